"""Which rates do not belong with the others? Each one against what all others say a rate of this kind may be.

Rates differ by nature: an account is not an outlier because its rate is not the mean, but because the spread of the
others does not reach it. The log rates of the many are normal with a mean and a spread that are not known; one in ten
may come from a distribution five times as wide, so that they do not widen the band in which they should stand out
(contaminated normal: Tukey 1960). Counts are binomial, with as many trials as the moves between weeks leave them.
The p-value of a row is that of its count among those predicted by the **other** rows (posterior predictive, mid-p; Box,
JRSS A 143, 1980): what is not known of mean and spread is in it, so that few rows make a wide band, as in a t-test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_ROWS", "Outliers", "find_outliers"]

LEAST_ROWS = 5
"""Rows below which nothing can be said of a spread."""

_ODD, _ODD_WIDTH = 0.1, 5.0
_WIDER = 1.15  # the wide distribution takes a part of the many's own ends, so that their spread is found too small
_STEP = 0.02  # of the log rate: rows that differ by less than about two per cent are alike
_REACH = 4.0
_MOST_EVENTS = 1 / _STEP**2
_FIRST_SPREADS = np.geomspace(0.02, 1.6, 19)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outliers:
    """What the rows say of each other.

    Attributes
    ----------
    p_values : array of float64 [row]
        That a row of the same kind as the others has so extreme a count; NaN where nothing was tried.
    middle : float
        Median of the rates of the many.
    low, high : float
        Between which 95 % of the true rates of the many lie.
    """

    p_values: Floats
    middle: float
    low: float
    high: float


def find_outliers(rates: Any, trials: Any) -> Outliers:
    """Hold each row's rate against the distribution of the others'.

    Parameters
    ----------
    rates : array-like of float64 [row]
        NaN takes no part.
    trials : array-like of float64 [row]
        That the rate is worth (``effective`` of `flowperf_helpers.stats.ranking.shrunken_ranking`).
    """
    rate, size = (np.asarray(v, dtype=np.float64) for v in (rates, trials))
    used = np.flatnonzero(np.isfinite(rate) & (size > 0))
    p_values = np.full(len(rate), np.nan)
    if len(used) < LEAST_ROWS or not (rate[used] > 0).any():
        return Outliers(p_values, float("nan"), float("nan"), float("nan"))
    n = np.minimum(size[used], _MOST_EVENTS / np.maximum(rate[used], 1e-12))
    x = rate[used] * n
    middle = float(np.log(np.clip(x.sum() / n.sum(), 1e-9, 1.0)))
    log_rate = np.arange(middle - _REACH, min(middle + _REACH, -1e-6), _STEP)
    seen = _likelihood(x, n, log_rate)
    centre = float(np.median(log_rate[seen.argmax(axis=1)]))
    # where mean and spread lie, coarsely, then finely
    means, spreads = centre + np.linspace(-0.5, 0.5, 21), _FIRST_SPREADS
    for points in (31, 0):
        among, odd = _densities(log_rate, means, spreads, 1.0), _densities(log_rate, means, spreads, _ODD_WIDTH)
        each = np.log(np.maximum(seen @ ((1 - _ODD) * among + _ODD * odd).T, 1e-300))
        if points:
            means, spreads = _narrowed(_chances(each.sum(axis=0)), means, spreads, points)
    among = _densities(log_rate, means, spreads, _WIDER)
    without = _chances(each.sum(axis=0) - each)
    predicted = without @ among
    at_most, below = _tails(x, n, log_rate)
    left = (predicted * (at_most + below) / 2).sum(axis=1) / predicted.sum(axis=1)
    p_values[used] = np.minimum(2 * np.minimum(left, 1 - left), 1.0)
    cumulated = np.cumsum(_chances(each.sum(axis=0)) @ among)
    low, half, high = np.exp(np.interp([0.025, 0.5, 0.975], cumulated / cumulated[-1], log_rate))
    return Outliers(p_values, float(half), float(low), float(high))


def _likelihood(x: Floats, n: Floats, log_rate: Floats) -> Floats:
    """Of each log rate, given a row's counts; [row, log rate], the largest is 1."""
    log = x[:, None] * log_rate + (n - x)[:, None] * np.log1p(-np.exp(log_rate))
    return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)))


def _tails(x: Floats, n: Floats, log_rate: Floats) -> tuple[Floats, Floats]:
    """Chance of at most, and of less than, a row's count at each log rate; also for broken counts."""
    from scipy.special import betainc

    x, n, rate = x[:, None], n[:, None], np.exp(log_rate)
    at_most = np.where(x >= n, 1.0, betainc(np.maximum(n - x, 1e-9), x + 1, 1 - rate))
    below = np.where(x <= 0, 0.0, betainc(n - x + 1, np.maximum(x, 1e-9), 1 - rate))
    return at_most, below


def _densities(log_rate: Floats, means: Floats, spreads: Floats, width: float) -> Floats:
    """Distribution of the log rate for each mean and spread, [mean × spread, log rate]."""
    mean, sd = (v.ravel()[:, None] for v in np.meshgrid(means, width * spreads, indexing="ij"))
    density = np.exp(-(((log_rate - mean) / sd) ** 2) / 2)
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def _chances(log: Floats) -> Floats:
    chance = np.exp(log - log.max(axis=-1, keepdims=True))
    return np.asarray(chance / chance.sum(axis=-1, keepdims=True))


def _narrowed(chance: Floats, means: Floats, spreads: Floats, points: int) -> tuple[Floats, Floats]:
    """Finer values of mean and spread where the coarse ones have any chance worth mentioning."""
    table = chance.reshape(len(means), len(spreads))
    ends = []
    for values, chance_of in ((means, table.sum(axis=1)), (np.log(spreads), table.sum(axis=0))):
        some = np.flatnonzero(chance_of > 1e-7)
        step = values[1] - values[0]
        ends.append(np.linspace(values[some[0]] - step, values[some[-1]] + step, points))
    return ends[0], np.exp(np.maximum(ends[1], np.log(_FIRST_SPREADS[0])))
