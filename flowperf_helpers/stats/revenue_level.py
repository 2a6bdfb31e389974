"""Revenue per recipient of a week against its last eight: an interval from the weekly history, no order being known.

Klaviyo tells sums of money, not single orders, but the sums of many weeks tell how much they scatter. The log ratio of
a quiet week to the eight before it has variance ``τ²·c + κ·(1/conversions + 1/conversions before)``. ``κ`` (1 plus the
squared coefficient of variation of order values: a compound Poisson sum) is common to all flows and found together with
a pooled ``τ²`` by weighted least squares of the squared log ratios, repeated; each flow's ``τ`` then has a posterior as
rates have (`flowperf_helpers.stats.overdispersion`). The common move is left in: a holiday's revenue is the flow's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from flowperf_helpers.stats.level_test import MARGIN, POWER
from flowperf_helpers.stats.multiple_testing import FALSE_SHARE, Corrected
from flowperf_helpers.stats.overdispersion import (
    BASELINE_WEEKS,
    HISTORY_WEEKS,
    INFORMED_WEEKS,
    LEAST_FLOWS,
    posterior_spread,
    weeks_before,
)

__all__ = ["REVENUE_VERDICTS", "RevenueComparison", "compare_revenue", "revenue_verdicts"]

REVENUE_VERDICTS = ("above its usual range", "below its usual range", "within its usual range", "too few")
LEAST_CONVERSIONS = 5.0
_PRIOR_SCATTER, _PRIOR_WEEKS = 1.5, 10.0  # κ where nothing is known, and the weeks that this is worth

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RevenueComparison:
    """Revenue per recipient against the eight weeks before; arrays [row].

    Attributes
    ----------
    before, after : array of float64
        Money per recipient.
    log : array of float64
        Log ratio, less what few conversions bias it by; NaN where too few.
    conversions, conversions_before : array of float64
    counted : array of float64
        Variance from the conversions and the scatter of order values.
    weight : array of float64
        What the variance between weeks is multiplied with.
    sd, chance : array of float64 [grid], [row, grid]
        Posterior of the standard deviation between weeks.
    weeks_known : array of int64
    scatter : float
        κ.
    """

    before: Floats
    after: Floats
    log: Floats
    conversions: Floats
    conversions_before: Floats
    counted: Floats
    weight: Floats
    sd: Floats
    chance: Floats
    weeks_known: npt.NDArray[np.int64]
    scatter: float

    @property
    def _deviation(self) -> Floats:
        return np.sqrt(self.counted[:, None] + self.weight[:, None] * self.sd**2)

    def p_values(self) -> Floats:
        """Two-sided p-value of "as in the eight weeks before"; NaN where too few."""
        tail = (self.chance * ndtr(-np.abs(self.log)[:, None] / self._deviation)).sum(axis=1)
        return np.where(np.isfinite(self.log), 2 * tail, np.nan)

    def half_width(self, alpha: Floats) -> Floats:
        """Half of the interval of the log ratio at level ``1 - alpha``."""
        deviation = self._deviation
        low, high = np.zeros(len(self.log)), -ndtri(alpha / 2) * deviation.max(axis=1)
        for _ in range(40):
            middle = (low + high) / 2
            inside = (self.chance * ndtr(-middle[:, None] / deviation)).sum(axis=1) > alpha / 2
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return np.where(np.isfinite(self.log), high, np.nan)


def compare_revenue(
    revenue: Any, conversions: Any, recipients: Any, *, scatter: float | None = None,
    alike: tuple[Any, ...] | None = None, part: float = 1.0, history: int = HISTORY_WEEKS,
) -> RevenueComparison:  # fmt: skip
    """Hold the last week's revenue per recipient against the eight weeks before.

    Parameters
    ----------
    revenue, conversions, recipients : array-like [row, week]
        Weekly sums, oldest first; NaN is "nothing". Rows are flows, or the account as a single one.
    scatter : float, optional
        κ where it is known: the flows' for the account.
    alike : tuple of three array-like [row, 9], optional
        The same of the eight weeks before and of the reported one, as they may be compared while that one settles.
    part : float
        Share of a week's days that ``alike`` covers.
    history : int
        Weeks before the reported one that are learned from.
    """
    told = _Ratios.of((revenue, conversions, recipients), history)
    now = told if alike is None else _Ratios.of(alike, BASELINE_WEEKS)
    log, few, weight, usable = told.log, told.few, told.weight, told.usable
    past = usable[:, :-1]
    if scatter is None:
        scatter = _scatter(log[:, :-1][past], few[:, :-1][past], weight[:, :-1][past])
    log, variance = told.unbiased(scatter)
    spread = posterior_spread(
        log[:, :-1], variance[:, :-1], weight[:, :-1], past, pooled=len(log) >= LEAST_FLOWS
    )  # fmt: skip
    log, variance = now.unbiased(scatter)
    usable, weight = now.usable[:, -1], now.weight[:, -1] * (1 + (1 / part - 1) / 2)
    return RevenueComparison(
        before=now.before[:, -1], after=now.after[:, -1], log=np.where(usable, log[:, -1], np.nan),
        conversions=now.conversions[:, -1], conversions_before=now.conversions_before[:, -1],
        counted=variance[:, -1], weight=np.where(usable, weight, 1.0), sd=spread.sd, chance=spread.chance,
        weeks_known=spread.weeks, scatter=scatter,
    )  # fmt: skip


@dataclass(frozen=True)
class _Ratios:
    """Every week's revenue per recipient against the eight before; arrays [row, week]."""

    before: Floats
    after: Floats
    log: Floats
    few: Floats
    weight: Floats
    usable: npt.NDArray[np.bool_]
    conversions: Floats
    conversions_before: Floats

    @staticmethod
    def of(sums: tuple[Any, ...], history: int) -> _Ratios:
        money, orders, sent = (np.nan_to_num(np.asarray(v, dtype=np.float64))[:, -history - 1 :] for v in sums)
        money_before, orders_before, sent_before, sent_square = (
            weeks_before(v, BASELINE_WEEKS) for v in (money, orders, sent, sent**2)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            before, after = money_before / sent_before, money / sent
            log = np.log(after) - np.log(before)
            few = 1 / orders + 1 / orders_before
            weight = 1 + sent_square / sent_before**2
        usable = (orders >= LEAST_CONVERSIONS) & (orders_before >= 4 * LEAST_CONVERSIONS) & np.isfinite(log)
        usable &= np.arange(money.shape[1]) >= BASELINE_WEEKS // 2
        return _Ratios(before, after, log, few, weight, usable, orders, orders_before)

    def unbiased(self, scatter: float) -> tuple[Floats, Floats]:
        """Log ratios less what few conversions bias them by, and their variance; 0 and 1 where too few."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log = self.log + scatter / 2 * (1 / self.conversions - 1 / self.conversions_before)
        return np.where(self.usable, log, 0.0), np.where(self.usable, scatter * self.few, 1.0)


def revenue_verdicts(comparison: RevenueComparison, corrected: Corrected, *, margin: float = MARGIN) -> pd.DataFrame:
    """Say of each row's revenue per recipient whether it is within its usual range.

    Returns
    -------
    DataFrame
        ``per_recipient_before, per_recipient`` (money); ``change, low, high`` (fractions of before) and ``confidence``;
        ``p_value, q_value``; ``verdict`` (one of `REVENUE_VERDICTS`); ``size`` (of the verdict: the change, the largest
        that the interval does not exclude, for *too few* the conversions that a change by ``margin`` takes at least);
        ``usual_low, usual_high`` (money per recipient: where the week was to be expected); ``visible`` (the smallest
        rise that this week shows with a chance of 80 %); ``week_sd``;
        ``is_informed`` (bool).
    """
    rows = len(comparison.log)
    p, claim = comparison.p_values(), corrected.is_claim[:rows]
    level = np.where(p <= FALSE_SHARE, corrected.alpha[:rows], FALSE_SHARE)
    half = comparison.half_width(level)
    change = np.expm1(comparison.log)
    low, high = np.expm1(comparison.log - half), np.expm1(comparison.log + half)
    known = np.isfinite(comparison.log)
    deviation = np.sqrt(comparison.counted + comparison.weight * (comparison.chance @ comparison.sd**2))
    names = np.select([claim & (change > 0), claim, known], REVENUE_VERDICTS[:3], REVENUE_VERDICTS[3])
    wanted = (float(ndtri(1 - FALSE_SHARE / 2)) + float(ndtri(POWER))) / np.log1p(margin)
    size = np.select([claim, known], [change, np.maximum(-low, high)], comparison.scatter * wanted**2)
    return pd.DataFrame(
        {
            "per_recipient_before": comparison.before, "per_recipient": comparison.after,
            "change": change, "low": low, "high": high, "confidence": 1 - level,
            "p_value": p, "q_value": corrected.q_value[:rows],
            "verdict": pd.array(names.astype(object), dtype="str"), "size": size,
            "usual_low": comparison.before * np.exp(-half), "usual_high": comparison.before * np.exp(half),
            "visible": np.expm1(comparison.half_width(corrected.alpha[:rows]) + float(ndtri(POWER)) * deviation),
            "week_sd": np.sqrt(comparison.chance @ comparison.sd**2),
            "is_informed": comparison.weeks_known >= INFORMED_WEEKS,
        }
    )  # fmt: skip


def _scatter(log: Floats, few: Floats, weight: Floats) -> float:
    """Weighted least squares of squared log ratios on what the weeks and what the conversions explain."""
    between, scatter = 0.005, _PRIOR_SCATTER
    if len(log) < INFORMED_WEEKS:
        return scatter
    for _ in range(30):
        expected = between * weight + scatter * few
        square = np.minimum(log**2, 9.0 * expected) / 0.974  # a normal's squares, cut at three deviations
        design = np.stack([weight, few], axis=1) / expected[:, None]
        prior = _PRIOR_WEEKS * np.diag([0.0, 1.0]) / scatter**2
        moment = design.T @ (square / expected) + prior @ np.array([0.0, _PRIOR_SCATTER])
        between, scatter = np.linalg.solve(design.T @ design + prior, moment)
        between, scatter = max(float(between), 0.0), max(float(scatter), 1.0)
    return scatter
