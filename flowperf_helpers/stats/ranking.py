"""Which flows or messages are best? Rates over twelve weeks, shrunk towards their mean, so that luck ranks no one.

The best of many small raw rates is mostly the luckiest. Each rate is the mean of its own counts and of the mean of all,
in the proportion of what either knows (empirical Bayes: Robbins 1956; Efron & Morris, JASA 70, 1975): a beta-binomial
whose mean and spread are found from all rows by moments, precision-weighted and repeated (Kleinman, JASA 68, 1973).
Rates move from week to week, so a row's weeks count for less than their sends do: the variance between its weeks is
found too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv

from flowperf_helpers.stats.rate_parts import parts_of, sum_rate_parts

__all__ = ["RANKED_WEEKS", "rank_rates", "shrunken_ranking"]

RANKED_WEEKS = 12
"""Weeks that a ranking looks at."""

_LEAST_ROWS = 3
_STEPS = 50

Floats = npt.NDArray[np.float64]


def shrunken_ranking(successes: Any, trials: Any, *, weeks: int = RANKED_WEEKS) -> pd.DataFrame:
    """Rank rows by their rate as far as it is known.

    Parameters
    ----------
    successes, trials : array-like [row, week]
        Weekly sums of one rate, oldest first; NaN is "nothing sent". Rows of one kind: flows, or messages.
    weeks : int
        How many of the last weeks count.

    Returns
    -------
    DataFrame
        One row per row, in the order given: ``successes, trials`` (float64, sums), ``raw`` (rate), ``shrunk`` (rate),
        ``low, high`` (its 95 % interval), ``weight`` (share of the row's own counts in it, 0 to 1), ``effective``
        (float64: sends that would tell as much if weeks did not move on their own), ``raw_rank, rank`` (Int64, 1 is the
        highest rate; NA without sends). ``attrs``: ``mean, spread`` (standard deviation of the true
        rates), ``week_sd`` (relative, between weeks) and ``is_shrunk`` (False with fewer than three rows: raw rates).
    """
    x, n = (np.nan_to_num(np.asarray(v, dtype=np.float64))[:, -weeks:] for v in (successes, trials))
    total, sent = x.sum(axis=1), n.sum(axis=1)
    here = sent > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.where(here, total / sent, np.nan)
    week_variance = _between_weeks(x, n)
    # sends that would tell as much if rates stayed the same
    mean, spread = _mean_and_spread(raw[here], _variance_factor(n[here], week_variance), sent[here])
    known = np.full(len(x), np.nan)
    if spread is None:
        shrunk, known = raw.copy(), np.where(here, 1.0, np.nan)
        strength, effective = 1.0, np.where(here, sent, np.nan)
    else:
        inflated = 1 + sent * _variance_factor(n, week_variance) * mean / (1 - mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = sent / inflated
        strength = mean * (1 - mean) / max(spread, 1e-12) - 1
        strength = float(np.clip(strength, 1.0, 1e9))
        known = np.where(here, effective / (effective + strength), np.nan)
        shrunk = np.where(here, known * np.nan_to_num(raw) + (1 - known) * mean, np.nan)
    size = np.where(here, effective + strength, np.nan)
    a, b = np.maximum(shrunk * size, 1e-9), np.maximum((1 - shrunk) * size, 1e-9)
    table = pd.DataFrame(
        {
            "successes": total, "trials": sent, "raw": raw, "shrunk": shrunk,
            "low": betaincinv(a, b, 0.025), "high": betaincinv(a, b, 0.975), "weight": known,
            "effective": effective,
        }
    )  # fmt: skip
    for name, column in (("raw_rank", "raw"), ("rank", "shrunk")):
        table[name] = table[column].rank(ascending=False, method="min").astype("Int64")
    table.attrs = {
        "mean": mean, "spread": float("nan") if spread is None else float(np.sqrt(spread)),
        "week_sd": float(np.sqrt(week_variance)), "is_shrunk": spread is not None,
    }  # fmt: skip
    return table


def rank_rates(weekly: pd.DataFrame, *, rate: str, by: str = "flow_id", weeks: int = RANKED_WEEKS) -> pd.DataFrame:
    """Rank flows or messages of a weekly series, best first.

    Parameters
    ----------
    weekly : DataFrame
        Of a series report; unfinished weeks are left out.
    rate : str
        A rate of the catalogue.
    by : str
        Id column: ``flow_id`` or ``flow_message_id``.
    weeks : int
        How many of the last weeks count.

    Returns
    -------
    DataFrame
        ``by`` and its name, and the columns and ``attrs`` of `shrunken_ranking`; rows without sends are left out.

    Raises
    ------
    ArgumentError
        No rate, or columns that are missing.
    """
    sums = sum_rate_parts(
        weekly, rate, parts_of(weekly, rate, "The ranking"), [by, "interval_start"], what="rank_rates"
    )
    wide = sums.counts.pivot_table(index=by, columns="interval_start", values=["numerator", "denominator"], sort=True)
    if wide.empty:
        none = shrunken_ranking(np.empty((0, weeks)), np.empty((0, weeks)))
        return none.assign(**{by: pd.Series(dtype="str")})
    table = shrunken_ranking(wide["numerator"], wide["denominator"], weeks=weeks)
    attrs = weekly.attrs | table.attrs | {"rate": rate, "weeks": min(weeks, wide["denominator"].shape[1])}
    table.insert(0, by, wide.index.to_numpy())
    names = sums.names.drop(columns="interval_start").drop_duplicates(by, keep="last")
    table = names.merge(table[table["trials"] > 0], on=by).sort_values("rank", kind="stable", ignore_index=True)
    table.attrs = attrs
    return table


def _variance_factor(n: Floats, week_variance: float) -> Floats:
    """Relative variance of a row's rate from its weeks' moves: fewer weeks, more of it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(week_variance * (n**2).sum(axis=1) / n.sum(axis=1) ** 2))


def _between_weeks(x: Floats, n: Floats) -> float:
    """Squared relative standard deviation of a row's weeks around its mean, beyond counting; one number for all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = x.sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True)
        left = 1 - n / n.sum(axis=1, keepdims=True)
        expected = n * rate
        chance = expected * (1 - rate) * left
        used = (expected >= 1) & (chance > 0)
    if not used.any():
        return 0.0
    square, chance, expected = ((x - n * rate) ** 2)[used], chance[used], expected[used]
    # least squares of the excess on expected², with the weight of a binomial's square
    weight = 1 / chance**2
    return float(max((weight * (square - chance) * expected**2).sum() / (weight * expected**4).sum(), 0.0))


def _mean_and_spread(raw: Floats, between: Floats, sent: Floats) -> tuple[float, float | None]:
    """Mean and variance of the true rates; no variance with fewer than three rows."""
    if not len(raw):
        return float("nan"), None
    mean = float((raw * sent).sum() / sent.sum())
    if len(raw) < _LEAST_ROWS or not 0 < mean < 1:
        return mean, None
    spread = mean**2 / 10
    for _ in range(_STEPS):
        noise = mean * (1 - mean) / sent + between * mean**2
        weight = 1 / (spread + noise)
        mean = float((weight * raw).sum() / weight.sum())
        square = weight**2
        freed = (len(raw)) / (len(raw) - 1)
        spread = float(max((square * ((raw - mean) ** 2 * freed - noise)).sum() / square.sum(), 0.0))
    return mean, spread
