"""Where a week was to be expected before it came: the usual range of every past week, rolling, for pictures.

A week's number lies in its range in about 19 of 20 quiet weeks. The range is that of the eight weeks before; its width
is what counting explains of so many events, and how much the row moved between weeks as far as that was known by then
(`overdispersion`, weeks one by one). What all flows do together is not known before a week and not taken out. The range
decides nothing: claims are corrected for all comparisons of a page (`claims`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from flowperf_helpers.stats.overdispersion import BASELINE_WEEKS, PRIOR_ROWS, likelihoods, weeks_before

__all__ = ["usual_range"]

LEAST_WEEKS = 4
"""Weeks with sends among the eight before that a range needs."""

_STEPS = 12
_LEAST_WEEK, _LEAST_BASELINE = 5.0, 20.0

Floats = npt.NDArray[np.float64]


def usual_range(
    top: Any, bottom: Any, *, events: Any = None, scatter: float = 1.0, of_trials: bool = True
) -> tuple[Floats, Floats, Floats]:
    """Value and usual range of every week.

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
    usable = sent & (known >= LEAST_WEEKS) & (e >= _LEAST_WEEK) & (e_before >= _LEAST_BASELINE) & np.isfinite(log)
    between = _as_known(np.where(usable, log, 0.0), np.where(usable, counted, 1.0), weight, usable)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = left * scatter / count_before + weight * between
        # the square root of a count varies alike whatever its size; so does its bound reach down to nothing
        middle = np.sqrt(expected + 3 / 8)
        half = float(ndtri(0.975)) / 2 * np.sqrt(left + expected * share)
        low = np.maximum(np.maximum(middle - half, 0.0) ** 2 - 3 / 8, 0.0) / expected * before
        high = (middle + half) ** 2 / expected * before
    told = sent & (known >= LEAST_WEEKS)
    return value, np.where(told, low, np.nan), np.where(told, high, np.nan)


def _as_known(log: Floats, variance: Floats, weight: Floats, usable: npt.NDArray[np.bool_]) -> Floats:
    """Variance between weeks as it was known before each week [row, week]: posterior means, rows learning together."""
    sd, prior, each = likelihoods(log, variance, weight, usable)
    before = np.concatenate([np.zeros_like(each[:, :1]), np.cumsum(each, axis=1)[:, :-1]], axis=1)
    seen = np.concatenate([np.zeros((len(log), 1)), np.cumsum(usable, axis=1)[:, :-1]], axis=1) > 0
    relative = np.exp(before - before.max(axis=2, keepdims=True, initial=-np.inf))
    chance = np.broadcast_to(prior, relative.shape[1:])
    weights = seen[:, :, None]
    for _ in range(_STEPS):
        told = relative * chance
        told *= weights / told.sum(axis=2, keepdims=True)
        chance = (told.sum(axis=0) + PRIOR_ROWS * prior) / (weights.sum(axis=0) + PRIOR_ROWS)
    told = relative * chance
    return np.asarray((told @ sd**2) / told.sum(axis=2))
