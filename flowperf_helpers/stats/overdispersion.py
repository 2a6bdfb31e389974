"""How much a rate moves from week to week on its own: variance between weeks, read off the account's own weeks.

Counting explains only a part of how a rate moves. The rest is found by holding every past week against the eight before
it, just as the reported week is held: the log ratio of a quiet past week has variance ``v + τ²·c``, where ``v`` is that
of the counts (binomial), ``τ`` the standard deviation of the log rate between weeks and ``c = 1 + Σ share²`` for the
week and its baseline. One past week in fifty may be exceptional (a sale, an outage): it is given a wide distribution
of its own, so that it does not widen all others.

``τ`` differs from flow to flow. Its distribution over the flows is estimated from all of them (empirical Bayes:
nonparametric maximum likelihood on a grid, Kiefer & Wolfowitz, Ann. Math. Stat. 27, 1956, steadied by a prior worth
`PRIOR_ROWS` flows), and each flow has a posterior of its own. Where the history is short, the posterior is the others'
and the prior's; the verdicts' ``is_informed`` says so.

**The common move.** What all flows do in a week (a holiday, a mail client, the weather) is their robust mean log ratio
(Huber, Ann. Math. Stat. 35, 1964). It is taken out, for each flow without that flow's own share in it, in the past
weeks as in the reported one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BASELINE_WEEKS", "HISTORY_WEEKS", "INFORMED_WEEKS", "LEAST_FLOWS", "PRIOR_SD", "CommonMove", "Ratios",
    "Spread", "common_move", "log_ratios", "posterior_spread", "usual_range", "week_correlation",
    "weeks_before",
]  # fmt: skip

BASELINE_WEEKS = 8
"""Weeks that a week is held against."""

HISTORY_WEEKS = 26
"""Weeks before the reported one from which the variance between weeks is read."""

LEAST_FLOWS = 5
"""Flows with enough events that a common move needs."""

PRIOR_SD = 0.08
"""Standard deviation of the log rate between weeks that is assumed where nothing is known (median of the prior)."""

PRIOR_ROWS = 1.0
"""Flows that the prior is worth."""

INFORMED_WEEKS = 8
"""Past weeks that make a history of its own."""

_PRIOR_WIDTH = 0.8  # of log τ
_EXCEPTIONAL, _EXCEPTIONAL_SD = 0.02, 0.5
_LEAST_WEEK, _LEAST_BASELINE = 5.0, 20.0
_SHORTEST = 4  # weeks with sends of a past week's baseline
_HUBER = 1.5
_STEPS = 60
_ROLLING_STEPS = 12

GRID = np.concatenate([[0.0], np.geomspace(0.012, 0.7, 17)])
"""Standard deviations between weeks among which the posterior is spread."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ratios:
    """Each week against the weeks before it; arrays [row, week], the last week is the reported one.

    Attributes
    ----------
    log : array of float64
        Log ratio of the week's rate to that of its baseline.
    variance : array of float64
        Of the counts, were the rates equal.
    weight : array of float64
        ``1 + Σ share²``: what the variance between weeks is multiplied with.
    usable : array of bool
        Enough events to learn from.
    """

    log: Floats
    variance: Floats
    weight: Floats
    usable: Bools


@dataclass(frozen=True)
class CommonMove:
    """What all rows did together.

    Attributes
    ----------
    log : array of float64 [week]
        Robust mean log ratio; 0 where too few rows have enough events.
    variance : array of float64 [week]
        Of its estimate.
    rows : array of int64 [week]
        Rows that it rests on.
    without : array of float64 [row, week]
        The same without the row itself.
    without_variance : array of float64 [row, week]
    """

    log: Floats
    variance: Floats
    rows: npt.NDArray[np.int64]
    without: Floats
    without_variance: Floats


@dataclass(frozen=True)
class Spread:
    """Standard deviation of the log rate between weeks, per row.

    Attributes
    ----------
    sd : array of float64 [grid]
        Values it may have.
    chance : array of float64 [row, grid]
        Posterior.
    weeks : array of int64 [row]
        Past weeks that speak for the row itself.
    """

    sd: Floats
    chance: Floats
    weeks: npt.NDArray[np.int64]

    @property
    def mean(self) -> Floats:
        """Root of the mean square, per row."""
        return np.sqrt(self.chance @ self.sd**2)


def log_ratios(successes: Floats, trials: Floats) -> Ratios:
    """Hold every week against the `BASELINE_WEEKS` weeks before it.

    Parameters
    ----------
    successes, trials : array of float64 [row, week]
        Weekly sums, oldest first; NaN counts as nothing.
    """
    x, n = np.nan_to_num(successes), np.nan_to_num(trials)
    n = np.where(n > 0, n, 0.0)
    x_before, n_before, n_square = (weeks_before(v, BASELINE_WEEKS) for v in (x, n, n**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (x + x_before) / (n + n_before)
        variance = (1 - pooled) / pooled * (1 / n + 1 / n_before)
        log = np.log((x + 0.5) / n) - np.log((x_before + 0.5) / n_before)
        weight = 1 + n_square / n_before**2
        usable = (n * pooled >= _LEAST_WEEK) & (x_before >= _LEAST_BASELINE)
    old_enough = np.arange(x.shape[1]) >= _SHORTEST
    usable &= old_enough & np.isfinite(log) & np.isfinite(variance) & (variance > 0)
    return Ratios(log, variance, np.where(n_before > 0, weight, 2.0), usable)


def weeks_before(values: Floats, weeks: int) -> Floats:
    """Sum of up to ``weeks`` columns before each column, [row, week]."""
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    last = np.arange(values.shape[1])
    return np.asarray(total[:, last] - total[:, np.maximum(last - weeks, 0)])


def common_move(ratios: Ratios, spread: Floats) -> CommonMove:
    """Find what all rows did together in each week.

    Parameters
    ----------
    ratios : Ratios
        Of flows.
    spread : array of float64 [row]
        Standard deviation between weeks, as far as known.
    """
    variance = np.where(ratios.usable, ratios.variance + spread[:, None] ** 2 * ratios.weight, np.inf)
    # no row is more than a third of the mean
    largest = 1 / variance
    for _ in range(3):
        largest = np.minimum(largest, largest.sum(axis=0) / 3)
    base = np.where(ratios.usable, largest, 0.0)
    log = np.where(ratios.usable, ratios.log, 0.0)
    scale = np.sqrt(np.where(ratios.usable, variance, 1.0))
    middle = _median(np.where(ratios.usable, ratios.log, np.nan))
    weight = base
    for _ in range(10):
        off = np.abs(log - middle) / scale
        weight = base * np.minimum(1.0, _HUBER / np.maximum(off, 1e-9))
        middle = (weight * log).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
    rows = ratios.usable.sum(axis=0)
    total, moment = weight.sum(axis=0), (weight * log).sum(axis=0)
    spent = weight**2 * np.where(ratios.usable, variance, 0.0)
    enough, enough_without = rows >= LEAST_FLOWS, rows - ratios.usable >= LEAST_FLOWS - 1
    enough_without &= enough
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.where(enough_without, (moment - weight * log) / (total - weight), 0.0)
        without_variance = np.where(enough_without, (spent.sum(axis=0) - spent) / (total - weight) ** 2, 0.0)
        mean_variance = np.where(enough, spent.sum(axis=0) / total**2, 0.0)
    return CommonMove(
        np.where(enough, middle, 0.0), mean_variance, rows.astype(np.int64), without, without_variance
    )  # fmt: skip


def _median(values: Floats) -> Floats:
    found = np.zeros(values.shape[1])
    some = np.isfinite(values).any(axis=0)
    found[some] = np.nanmedian(values[:, some], axis=0)
    return found


def posterior_spread(rest: Floats, variance: Floats, weight: Floats, usable: Bools, *, pooled: bool = True) -> Spread:
    """Find how much each row moves between weeks.

    Parameters
    ----------
    rest : array of float64 [row, week]
        Log ratios of past weeks, less the common move.
    variance, weight : array of float64 [row, week]
        Known part of its variance, and what the unknown part is multiplied with.
    usable : array of bool [row, week]
    pooled : bool
        Whether the rows learn from each other; False: from the prior alone.
    """
    _, prior, each_week = likelihoods(rest, variance, weight, usable)
    likelihood = each_week.sum(axis=1)
    weeks = usable.sum(axis=1).astype(np.int64)
    relative = np.exp(likelihood - likelihood.max(axis=1, keepdims=True, initial=-np.inf))
    chance = prior
    if pooled and (weeks > 0).any():
        seen = relative[weeks > 0]
        for _ in range(_STEPS):
            each = seen * chance
            each /= each.sum(axis=1, keepdims=True)
            chance = (each.sum(axis=0) + PRIOR_ROWS * prior) / (len(seen) + PRIOR_ROWS)
    each = relative * chance
    return Spread(GRID, each / each.sum(axis=1, keepdims=True), weeks)


def likelihoods(rest: Floats, variance: Floats, weight: Floats, usable: Bools) -> tuple[Floats, Floats, Floats]:
    """Values that the standard deviation between weeks may have, their prior, and each week's log likelihood of them.

    Returns
    -------
    tuple of array of float64 [grid], [grid], [row, week, grid]
    """
    found = np.zeros((*rest.shape, len(GRID)))
    at = np.nonzero(usable)
    if len(at[0]):
        e2, v, c = rest[at][:, None] ** 2, variance[at][:, None], weight[at][:, None]
        usual = v + c * GRID**2
        odd = usual + _EXCEPTIONAL_SD**2
        density = (1 - _EXCEPTIONAL) * np.exp(-e2 / (2 * usual)) / np.sqrt(usual)
        density += _EXCEPTIONAL * np.exp(-e2 / (2 * odd)) / np.sqrt(odd)
        found[at] = np.log(density)
    return GRID, _prior(), found


def _prior() -> Floats:
    place = np.log(np.maximum(GRID, GRID[1] / 1.2) / PRIOR_SD) / _PRIOR_WIDTH
    chance = np.exp(-(place**2) / 2)
    return np.asarray(chance / chance.sum())


def week_correlation(successes: Floats, trials: Floats) -> float:
    """Correlation of a week's own move with the next week's, over all rows, from 0 to 0.8.

    Squared differences of neighbouring weeks beside those of weeks three to six apart, less what counting explains; 0
    where too little is left after that.
    """
    x, n = np.nan_to_num(successes), np.nan_to_num(trials)
    usable = x >= 4 * _LEAST_WEEK
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(usable, np.log(x / n), np.nan)
        variance = np.where(usable, (1 - x / n) / x, np.nan)
    some = np.isfinite(log).any(axis=1)
    log = log[some] - np.nanmean(log[some], axis=1, keepdims=True)
    log, variance = log - _median(log), variance[some]
    close = _variogram(log, variance, (1,))
    far = _variogram(log, variance, (3, 4, 5, 6))
    return float(np.clip(1 - close / far, 0.0, 0.8)) if far > 1e-4 else 0.0


def _variogram(log: Floats, variance: Floats, lags: tuple[int, ...]) -> float:
    top = bottom = 0.0
    for lag in lags:
        if log.shape[1] <= lag:
            continue
        square: Any = (log[:, lag:] - log[:, :-lag]) ** 2
        known = variance[:, lag:] + variance[:, :-lag]
        weight = 1 / (0.01 + known) ** 2
        here = np.isfinite(square) & (square < 0.36)
        top += float((weight * (square - known))[here].sum())
        bottom += float(weight[here].sum())
    return top / bottom if bottom else 0.0


# --- the usual range of every past week ---------------------------------------------------------------------------


def usual_range(
    top: Any, bottom: Any, *, events: Any = None, scatter: float = 1.0, of_trials: bool = True
) -> tuple[Floats, Floats, Floats]:
    """Value and usual range of every week: where it was to be expected before it came, for pictures.

    About 19 of 20 quiet weeks lie in their range. The range is that of the eight weeks before; its width is what
    counting explains of so many events, and how much the row moved between weeks as far as that was known by then,
    weeks one by one. What all flows do together is not known before a week and not taken out. The range decides
    nothing: claims are corrected for all comparisons of a page (`flowperf_helpers.stats.claims`).

    Parameters
    ----------
    top, bottom : array-like [row, week]
        The number is their quotient; ``bottom`` is 1 for a count or a sum. NaN is "nothing sent".
    events : array-like [row, week], optional
        What is counted: conversions for money. Left out: ``top``.
    scatter : float
        Variance of one event's worth, relative to a count's: that of order values for money.
    of_trials : bool
        Whether ``top`` counts successes among ``bottom``.

    Returns
    -------
    value, low, high : array of float64 [row, week]
        NaN where nothing was sent; the range NaN also where too few weeks were before it.
    """
    from scipy.special import ndtri

    x, n = (np.asarray(v, dtype=np.float64) for v in (top, bottom))
    with np.errstate(invalid="ignore"):
        sent = np.isfinite(x) & np.isfinite(n) & (n > 0)
    x, n = np.where(sent, x, 0.0), np.where(sent, n, 0.0)
    e = x if events is None else np.nan_to_num(np.asarray(events, dtype=np.float64))
    x_before, n_before, e_before, n_square, known = (
        weeks_before(v, BASELINE_WEEKS) for v in (x, n, e, n**2, sent.astype(np.float64))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(sent, x / n, np.nan)
        before = np.where(x_before > 0, x_before, 0.5 if events is None else np.nan) / n_before
        count_before = np.maximum(e_before, 0.5)
        expected = n * count_before / n_before / scatter
        left = np.clip(1 - before, 0.05, 1.0) if of_trials else 1.0
        weight = 1 + n_square / n_before**2
        counted = left * scatter * (1 / (n * count_before / n_before) + 1 / count_before)
        log = np.log(x / n) - np.log(before)
    usable = sent & (known >= _SHORTEST) & (e >= _LEAST_WEEK) & (e_before >= _LEAST_BASELINE) & np.isfinite(log)
    between = _as_known(np.where(usable, log, 0.0), np.where(usable, counted, 1.0), weight, usable)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = left * scatter / count_before + weight * between
        # the square root of a count varies alike whatever its size; so does its bound reach down to nothing
        middle = np.sqrt(expected + 3 / 8)
        half = float(ndtri(0.975)) / 2 * np.sqrt(left + expected * share)
        low = np.maximum(np.maximum(middle - half, 0.0) ** 2 - 3 / 8, 0.0) / expected * before
        high = (middle + half) ** 2 / expected * before
    enough = sent & (known >= _SHORTEST)
    return value, np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def _as_known(log: Floats, variance: Floats, weight: Floats, usable: Bools) -> Floats:
    """Variance between weeks as it was known before each week [row, week]: posterior means, rows learning together."""
    sd, prior, each = likelihoods(log, variance, weight, usable)
    before = np.concatenate([np.zeros_like(each[:, :1]), np.cumsum(each, axis=1)[:, :-1]], axis=1)
    seen = np.concatenate([np.zeros((len(log), 1)), np.cumsum(usable, axis=1)[:, :-1]], axis=1) > 0
    relative = np.exp(before - before.max(axis=2, keepdims=True, initial=-np.inf))
    chance = np.broadcast_to(prior, relative.shape[1:])
    weights = seen[:, :, None]
    for _ in range(_ROLLING_STEPS):
        joint = relative * chance
        joint *= weights / joint.sum(axis=2, keepdims=True)
        chance = (joint.sum(axis=0) + PRIOR_ROWS * prior) / (weights.sum(axis=0) + PRIOR_ROWS)
    joint = relative * chance
    return np.asarray((joint @ sd**2) / joint.sum(axis=2))
