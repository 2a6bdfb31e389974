"""What tests say where nothing changes: simulated weeks of one law, and simulated split tests of equal variations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flowperf_helpers.stats.level_change import compare_levels
from flowperf_helpers.stats.rates import rate_difference, rate_interval
from flowperf_helpers.stats.split_tests import KLAVIYO_PROBABILITY, KLAVIYO_RECIPIENTS, watch

__all__ = ["false_winners", "same_law_weeks"]

_LEVEL = 0.05
_PAST = 35


def same_law_weeks(
    *, rate: float = 0.06, recipients: int = 9_000, week_sd: float = 0.08, weeks: int = 26, flows: int = 12,
    seed: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Simulate a rate whose law never changes, and what two tests say of each of its weeks.

    Parameters
    ----------
    rate : float
        In the middle of the weeks.
    recipients : int
        A week.
    week_sd : float
        Standard deviation of the log rate between weeks, as accounts have it; 0 is coin tosses only.
    weeks : int
    flows : int
        Flows of the same kind beside it, from which flowperf learns how rates move.
    seed : int
        Same seed, same weeks.

    Returns
    -------
    DataFrame
        Per week: ``week`` (from 1), ``rate, low, high`` (95 %, coin tosses only), ``is_claim_by_coins`` (bool: against
        the week before, as if rates moved by coin tosses only, at 5 %), ``is_claim`` (bool: flowperf's test against
        eight weeks before, at 5 %). ``attrs``: ``rate, week_sd, recipients``.
    """
    random = np.random.default_rng(seed)
    true = rate * np.exp(week_sd * random.standard_normal((flows, _PAST + weeks)))
    n = np.full(true.shape, recipients, dtype=np.float64)
    x = random.binomial(recipients, np.clip(true, 0, 1)).astype(np.float64)
    now = slice(_PAST, None)
    coins = rate_difference(x[0, _PAST - 1 : -1], n[0, _PAST - 1 : -1], x[0, now], n[0, now])["p_value"]
    ends = range(_PAST + 1, _PAST + weeks + 1)
    ours = [compare_levels(x[:, :end], n[:, :end])[0].p_values()[0] for end in ends]
    interval = rate_interval(x[0, now], n[0, now])
    table = pd.DataFrame(
        {
            "week": np.arange(1, weeks + 1), "rate": x[0, now] / n[0, now], "low": interval["low"].to_numpy(),
            "high": interval["high"].to_numpy(), "is_claim_by_coins": coins.to_numpy() <= _LEVEL,
            "is_claim": np.array(ours) <= _LEVEL,
        }
    )  # fmt: skip
    table.attrs = {"rate": rate, "week_sd": week_sd, "recipients": recipients}
    return table


def false_winners(
    *, recipients: int = 1_500, rate: float = 0.05, tests: int = 1_000, weeks: tuple[int, ...] = (4, 12, 26, 52),
    seed: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Simulate split tests of equal variations, looked at every week, and count how many have named a winner.

    Parameters
    ----------
    recipients : int
        Of each variation, a week.
    rate : float
        Of both.
    tests : int
        How many are simulated.
    weeks : tuple of int
        Looks after which is counted.
    seed : int
        Same seed, same tests.

    Returns
    -------
    DataFrame
        One row per rule: ``rule``, and ``by week k`` (share of the tests, float64). The rolling rule tests the last
        four weeks at 5 %; Klaviyo's asks for a probability of 90 % and 500 recipients each (posterior normal).
    """
    from scipy.special import ndtri

    random = np.random.default_rng(seed)
    x = random.binomial(recipients, rate, (2, tests, max(weeks))).astype(np.float64)
    n = np.full(x.shape, float(recipients))
    total, sent = x.cumsum(axis=2), n.cumsum(axis=2)
    four, four_sent = total.copy(), sent.copy()
    four[:, :, 4:] -= total[:, :, :-4]
    four_sent[:, :, 4:] -= sent[:, :, :-4]
    enough = sent.min(axis=0) >= KLAVIYO_RECIPIENTS
    named = {
        "flowperf: since the test began, valid at every look": watch(x[0], n[0], x[1], n[1]).p_values() <= _LEVEL,
        "the last four weeks, tested anew each week": np.abs(_score(four, four_sent)) >= ndtri(1 - _LEVEL / 2),
        "Klaviyo: probability of 90 %, 500 recipients each": enough
        & (np.abs(_score(total, sent)) >= ndtri(KLAVIYO_PROBABILITY)),
    }
    ever = {rule: np.logical_or.accumulate(found, axis=1).mean(axis=0) for rule, found in named.items()}
    columns = {f"by week {week}": [share[week - 1] for share in ever.values()] for week in weeks}
    return pd.DataFrame({"rule": list(ever), **columns})


def _score(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Difference of two rates in units of its standard deviation."""
    a, b = successes / trials
    pooled = successes.sum(axis=0) / trials.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (b - a) / np.sqrt(pooled * (1 - pooled) * (1 / trials).sum(axis=0))
    return np.asarray(np.nan_to_num(score))
