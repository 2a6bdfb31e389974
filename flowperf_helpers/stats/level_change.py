"""Did the level of a rate change? A week against its last eight, as far as the rate's own weeks let one say.

The test and its interval are those of `flowperf_helpers.stats.level_test`, the variance between weeks and the common
move those of `flowperf_helpers.stats.overdispersion`, the correction over all claims of a page that of
`flowperf_helpers.stats.multiple_testing`. The interval of a row is at the level at which the page decides wherever that
matters: a row is *changed* if and only if its interval excludes "no change".

**Verdicts**, each with a size: *higher*, *lower* (by how much); *no change larger than x* (the interval lies within
±20 %); *cannot tell yet* (what this week could have shown with a chance of 80 %, and in how many weeks ±20 % would
show); *too few* (not even a doubling could have been shown; how many recipients ±20 % takes).
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.stats.level_test import MARGIN, MOST_WEEKS, Comparison
from flowperf_helpers.stats.multiple_testing import FALSE_SHARE, Corrected
from flowperf_helpers.stats.overdispersion import (
    BASELINE_WEEKS,
    HISTORY_WEEKS,
    INFORMED_WEEKS,
    PRIOR_SD,
    CommonMove,
    Ratios,
    common_move,
    log_ratios,
    posterior_spread,
    week_correlation,
)

__all__ = ["VERDICTS", "common_change", "compare_levels", "level_verdicts"]

VERDICTS = ("higher", "lower", "no change larger than", "cannot tell yet", "too few")
LEAST_MEMORY = 0.3
"""Correlation of neighbouring weeks that is assumed where less is found: half a year shows it only roughly."""

Floats = npt.NDArray[np.float64]


def compare_levels(
    successes: Any,
    trials: Any,
    *,
    recent: int = 1,
    flow: npt.NDArray[np.int64] | None = None,
    common: CommonMove | None = None,
    take_out: bool = True,
    alike: tuple[Any, ...] | None = None,
    part: float = 1.0,
    history: int = HISTORY_WEEKS,
) -> tuple[Comparison, CommonMove]:
    """Hold the last weeks of each row against the eight before them.

    Parameters
    ----------
    successes, trials : array-like [row, week]
        Weekly sums of one rate, oldest first, the reported week last. NaN is "nothing sent".
    recent : int
        Weeks that are held together against the eight before: 1 for "this week", more for a change that lasts.
    flow : array of int64 [row], optional
        For messages: the row of their flow in ``common``.
    common : CommonMove, optional
        For messages: that of the flows. Left out: found from the rows themselves.
    take_out : bool
        False for the account as a whole, whose change is the common move's.
    alike : tuple of two array-like [row, 9], optional
        Successes and trials of the eight weeks before and of the reported one as they may be compared while that one
        settles: at the same age, or of the days that are final in both. The variance between weeks is that of
        ``successes`` and ``trials`` all the same. For ``recent`` 1 only.
    part : float
        Share of a week's days that ``alike`` covers: half of the variance between weeks is taken to be that of days.
    history : int
        Weeks before the reported ones from which the variance between weeks is read.

    Returns
    -------
    Comparison
    CommonMove
        Of the rows, or as given.
    """
    x, n = _known(successes, trials)
    memory = max(week_correlation(x[:, -history - recent : -recent], n[:, -history - recent : -recent]), LEAST_MEMORY)
    if recent > 1:
        x, n = (np.concatenate([v[:, :-recent], v[:, -recent:].sum(axis=1, keepdims=True)], axis=1) for v in (x, n))
    x, n = x[:, -history - 1 :], n[:, -history - 1 :]
    ratios = log_ratios(x, n)
    slack = 1 + (1 / part - 1) / 2
    if alike is not None:
        x, n = _known(*alike)
        ratios = _with_last(ratios, log_ratios(x, n), slack)
    if common is None:
        common = _no_move(ratios.log.shape) if not take_out else _moves(ratios)
    without, without_variance = common.without, common.without_variance
    if flow is not None:
        without, without_variance = without[flow], without_variance[flow]
    rest = np.where(ratios.usable, ratios.log - without, 0.0)
    past = ratios.usable[:, :-1]
    spread = posterior_spread(
        rest[:, :-1], (ratios.variance + without_variance)[:, :-1], ratios.weight[:, :-1], past, pooled=take_out
    )
    factors = _later(round(memory, 2))
    before = slice(max(x.shape[1] - 1 - BASELINE_WEEKS, 0), x.shape[1] - 1)
    n_before = n[:, before].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(n_before > 0, 1 + (n[:, before] ** 2).sum(axis=1) / n_before**2, 2.0)
    times = np.minimum(recent * np.arange(1, MOST_WEEKS + 1), MOST_WEEKS)
    return Comparison(
        x=x[:, -1], n=n[:, -1], x_before=x[:, before].sum(axis=1), n_before=n_before,
        shift=without[:, -1] + np.zeros(len(x)), shift_variance=without_variance[:, -1] + np.zeros(len(x)),
        weight=one * slack * factors[recent - 1], later=one[:, None] * factors[times - 1],
        sd=spread.sd, chance=spread.chance, weeks_known=spread.weeks,
    ), common  # fmt: skip


def level_verdicts(comparison: Comparison, corrected: Corrected, *, margin: float = MARGIN) -> pd.DataFrame:
    """Say of each row what its numbers can bear; no row without a size.

    Parameters
    ----------
    comparison : Comparison
        Of all rows that may be claimed.
    corrected : Corrected
        Of `correct`, its first rows being those of ``comparison`` (others of the page may follow).
    margin : float
        Change that is worth knowing.

    Returns
    -------
    DataFrame
        One row per row: ``rate_before, rate_after, expected`` (the baseline's rate after the common move); ``change,
        low, high`` (float64, fractions of ``expected``: -0.3 is a fall by 30 %) and ``confidence`` of that interval
        (0.95, or what the page's correction asks where the row's own 95 % would claim something); ``p_value, q_value``;
        ``verdict`` (one of `VERDICTS`); ``size`` (of the verdict, always finite: the change, or the least of it where
        nothing was there before; the largest change that is not excluded; the smallest rise that would have shown; for
        *too few* the recipients that a change by ``margin`` takes at least); ``visible_fall, visible_rise`` (fractions,
        80 % power; 1 and infinity where none would have shown), ``weeks_until_margin`` (float64, infinite beyond a
        year), ``trials_until_margin`` (float64: recipients that a change by ``margin`` takes in a week, counting
        alone); ``overdispersion`` (standard deviation of the score against counting alone), ``week_sd`` (of the log
        rate between weeks), ``is_informed`` (bool: by its own history).
    """
    size = len(comparison)
    p, alpha, claim = comparison.p_values(), corrected.alpha[:size], corrected.is_claim[:size]
    level = np.where(p <= FALSE_SHARE, alpha, FALSE_SHARE)
    low, high = comparison.limits(level)
    fall, rise = comparison.visible(alpha)
    weeks = comparison.weeks_until(alpha, margin)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        before, after = comparison.x_before / comparison.n_before, comparison.x / comparison.n
        expected = before * np.exp(comparison.shift)
        change = np.where(expected > 0, after / expected - 1, np.inf)
        change = np.where(comparison.comparable, change, np.nan)
        bounds = np.expm1(low), np.expm1(high)
    largest = np.maximum(-bounds[0], bounds[1])
    few = ~comparison.comparable | (rise > np.log(2.0))
    names = np.select(
        [claim & (change > 0), claim, comparison.comparable & (largest <= margin), ~few], VERDICTS[:4], VERDICTS[4]
    )  # fmt: skip
    changed = np.where(np.isfinite(change), change, bounds[0])
    needed = comparison.trials_until(alpha, margin)
    told = np.select([claim, names == VERDICTS[2], names == VERDICTS[3]], [changed, largest, np.expm1(rise)], needed)
    mean = np.sqrt(comparison.chance @ comparison.sd**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(1 + (comparison.weight * mean**2 + comparison.shift_variance) / comparison.counted)
    return pd.DataFrame(
        {
            "rate_before": before, "rate_after": after, "expected": expected, "change": change,
            "low": bounds[0], "high": bounds[1], "confidence": 1 - level,
            "p_value": p, "q_value": corrected.q_value[:size], "verdict": pd.array(names.astype(object), dtype="str"),
            "size": told, "visible_fall": -np.expm1(-fall), "visible_rise": np.expm1(rise),
            "weeks_until_margin": weeks, "trials_until_margin": needed,
            "overdispersion": np.where(comparison.comparable, ratio, np.nan), "week_sd": mean,
            "is_informed": comparison.weeks_known >= INFORMED_WEEKS,
        }
    )  # fmt: skip


def common_change(common: CommonMove) -> dict[str, float]:
    """What all flows did together in the reported week, with an interval from what they did in the weeks before.

    Returns
    -------
    dict
        ``change, low, high`` (fractions, 95 %), ``p_value``, ``flows`` (that it rests on), ``week_sd`` (of the common
        move between weeks). NaN where fewer flows than `LEAST_FLOWS` have enough events.
    """
    from scipy.special import ndtr, ndtri

    flows = float(common.rows[-1])
    if common.variance[-1] <= 0:
        return dict.fromkeys(("change", "low", "high", "p_value", "week_sd"), float("nan")) | {"flows": flows}
    past = common.variance[None, :-1] > 0
    weight = np.full(past.shape, 1 + 1 / BASELINE_WEEKS)
    spread = posterior_spread(common.log[None, :-1], common.variance[None, :-1], weight, past, pooled=False)
    sd = np.sqrt(common.variance[-1] + weight[0, 0] * spread.sd**2)
    log = float(common.log[-1])
    tried = np.linspace(0, 10 * float(sd.max()), 4001)
    tails = (spread.chance[0] * ndtr(-tried[:, None] / sd)).sum(axis=1)
    half = float(np.interp(-float(ndtri(0.025)), -ndtri(np.clip(tails, 1e-300, 0.5)), tried))
    p = 2 * float((spread.chance[0] * ndtr(-abs(log) / sd)).sum())
    return {
        "change": float(np.expm1(log)), "low": float(np.expm1(log - half)), "high": float(np.expm1(log + half)),
        "p_value": p, "week_sd": float(spread.mean[0]), "flows": flows,
    }  # fmt: skip


# --- steps ----------------------------------------------------------------------------------------------------------


def _known(successes: Any, trials: Any) -> tuple[Floats, Floats]:
    """Counts as numbers, 0 where nothing was sent or they cannot be."""
    x, n = (np.asarray(v, dtype=np.float64) for v in (successes, trials))
    with np.errstate(invalid="ignore"):
        lost = ~(np.isfinite(x) & np.isfinite(n) & (n > 0) & (x <= n))
    return np.where(lost, 0.0, x), np.where(lost, 0.0, n)


def _with_last(ratios: Ratios, last: Ratios, slack: float) -> Ratios:
    """The history of one, the reported week of the other."""
    weighted = replace(last, weight=last.weight * slack)
    return Ratios(
        *(np.concatenate([getattr(ratios, f.name)[:, :-1], getattr(weighted, f.name)[:, -1:]], axis=1)
          for f in fields(Ratios))
    )  # fmt: skip


def _moves(ratios: Ratios) -> CommonMove:
    """The common move, with each row's own spread in its weight as far as the first look tells."""
    spread = np.full(len(ratios.log), PRIOR_SD)
    found = common_move(ratios, spread)
    for _ in range(2):
        rest = np.where(ratios.usable, ratios.log - found.without, 0.0)
        variance = (ratios.variance + found.without_variance)[:, :-1]
        posterior = posterior_spread(rest[:, :-1], variance, ratios.weight[:, :-1], ratios.usable[:, :-1])
        found = common_move(ratios, posterior.mean)
    return found


def _no_move(shape: tuple[int, ...]) -> CommonMove:
    weeks = np.zeros(shape[1])
    return CommonMove(weeks, weeks, weeks.astype(np.int64), np.zeros(shape), np.zeros(shape))


@cache
def _later(memory: float) -> Floats:
    """Variance of the mean of 1, 2, … weeks less that of the eight before, as a multiple of that of one week.

    First-order autoregression with the correlation ``memory`` between neighbouring weeks.
    """
    found = []
    for weeks in range(1, MOST_WEEKS + 1):
        coefficients = np.concatenate([np.full(BASELINE_WEEKS, -1 / BASELINE_WEEKS), np.full(weeks, 1 / weeks)])
        products = np.correlate(coefficients, coefficients, "full")[len(coefficients) - 1 :]
        lags = memory ** np.arange(len(products))
        found.append(products[0] + 2 * (products[1:] * lags[1:]).sum())
    return np.array(found) / found[0]
