"""The test of a changed level: exact for the counts, divided by the overdispersion, and what it could have shown.

**Test.** Given both sums, the successes of a week are binomial if the rates have the ratio ``ρ`` (Przyborowski &
Wilenski, Biometrika 31, 1940): the mid-p of that is exact for small counts, and its score is scaled where rates are not
small. The score is divided by the overdispersion ``√((v + ω) / v)``: ``v`` is the variance of the counts, ``ω = τ²·c +
var(common move)`` that of the weeks (`flowperf_helpers.stats.overdispersion`). ``τ`` is not known but has a
posterior, so the p-value is the posterior's mean: heavy tails where little is known, the normal's where much is.

**Interval.** All ratios ``ρ`` that the same test does not reject, so test and interval cannot contradict each other.

**Power.** The smallest change that the same test finds with a chance of 80 %, and the weeks until ±20 % would be found:
``v`` and ``τ²`` both shrink with weeks, the latter more slowly the more a week resembles the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, ndtr, ndtri

__all__ = ["MARGIN", "MOST_WEEKS", "POWER", "Comparison"]

MARGIN = 0.20
"""Change that is worth knowing: weeks are counted until one of it would show."""

POWER = 0.80
MOST_WEEKS = 52
_SAFE_POWER = 0.90
_TRIED_WEEKS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 26, 39, MOST_WEEKS)
_FAR = 12.0  # of a log ratio: further is infinite

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """Weeks against their baselines, one row per group; arrays [row].

    Attributes
    ----------
    x, n : array of float64
        Successes and trials of the reported weeks.
    x_before, n_before : array of float64
        Of the baseline.
    shift, shift_variance : array of float64
        Common log move that is taken out, and its variance.
    weight : array of float64
        What the variance between weeks is multiplied with.
    later : array of float64 [row, weeks]
        The same for 1, 2, 3 … times as many weeks as are compared.
    sd : array of float64 [grid]
    chance : array of float64 [row, grid]
        Posterior of the standard deviation between weeks.
    weeks_known : array of int64
        Past weeks that speak for the row itself.
    """

    x: Floats
    n: Floats
    x_before: Floats
    n_before: Floats
    shift: Floats
    shift_variance: Floats
    weight: Floats
    later: Floats
    sd: Floats
    chance: Floats
    weeks_known: npt.NDArray[np.int64]

    @staticmethod
    def join(parts: Sequence[Comparison]) -> Comparison:
        """Put comparisons under each other (flows, messages, the account, each rate): one family."""
        stacked = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Comparison)
                   if f.name != "sd"}  # fmt: skip
        return Comparison(sd=parts[0].sd, **stacked)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def comparable(self) -> Bools:
        """Whether there is anything to compare: sends on both sides and one success at least."""
        return np.asarray((self.n > 0) & (self.n_before > 0) & (self.x + self.x_before > 0))

    @property
    def log_ratio(self) -> Floats:
        """Log ratio of the rates, less the common move; half a success more on either side."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log((self.x + 0.5) / self.n) - np.log((self.x_before + 0.5) / self.n_before) - self.shift
        return np.asarray(ratio)

    @property
    def between(self) -> Floats:
        """Variance that counting does not explain, per row and possible standard deviation [row, grid]."""
        return self.weight[:, None] * self.sd**2 + self.shift_variance[:, None]

    @property
    def counted(self) -> Floats:
        """Variance of the log ratio from counting alone, were the rates equal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            pooled = (self.x + self.x_before) / (self.n + self.n_before)
            return np.asarray((1 - pooled) / pooled * (1 / self.n + 1 / self.n_before))

    def p_values(self) -> Floats:
        """Two-sided p-value of "no change beyond the common move and the weeks' own"; NaN where not comparable."""
        found = np.full(len(self), np.nan)
        at = np.flatnonzero(self.comparable)
        found[at] = 2 * ndtr(-np.abs(_score(self, at, np.zeros(len(at)))))
        return np.minimum(found, 1.0)

    def limits(self, alpha: Floats) -> tuple[Floats, Floats]:
        """Log ratios that the test does not reject at level ``alpha`` [row]; infinite where a count is zero."""
        low, high = np.full(len(self), -np.inf), np.full(len(self), np.inf)
        edge = _isf(alpha / 2)
        at = np.flatnonzero(self.comparable & (self.x > 0))
        low[at] = _solve(self, at, edge[at], -1.0)
        at = np.flatnonzero(self.comparable & (self.x_before > 0))
        high[at] = _solve(self, at, -edge[at], 1.0)
        return low, high

    def visible(self, alpha: Floats) -> tuple[Floats, Floats]:
        """Log changes (fall, rise; both positive) that this week shows with a chance of `POWER`.

        Infinite where even no success at all, or every send a success, would not be called a change.
        """
        fall, rise = (_smallest_shown(self, alpha, sign) for sign in (-1.0, 1.0))
        return fall, rise

    def trials_until(self, alpha: Floats, margin: float = MARGIN) -> Floats:
        """Recipients that a change by ``margin`` takes at least: counting alone, against a baseline that is known."""
        rate = np.maximum(self.x + self.x_before, 0.5) / np.maximum(self.n + self.n_before, 1.0)
        wanted = (_isf(alpha / 2) + float(ndtri(POWER))) / np.log1p(margin)
        return np.asarray(np.maximum(1 - rate, 0.1) / rate * wanted**2)

    def weeks_until(self, alpha: Floats, margin: float = MARGIN) -> Floats:
        """Weeks of a lasting change by ``margin``, up or down, until they show it with a chance of `POWER`.

        Held together against the eight weeks before the change, at this week's volume; infinite beyond a year. Counted
        with nine chances in ten, as the variance between weeks is itself an estimate.
        """
        found = np.full(len(self), np.inf)
        up, down = (np.full(len(self), np.abs(np.log1p(m))) for m in (margin, -margin))
        for weeks in _TRIED_WEEKS[::-1]:
            shown = _shows(self, alpha, up, 1.0, weeks, _SAFE_POWER) & _shows(
                self, alpha, down, -1.0, weeks, _SAFE_POWER
            )
            found[shown] = weeks
        return found


# --- the test -------------------------------------------------------------------------------------------------------


def _score(c: Comparison, at: npt.NDArray[np.intp], log: Floats) -> Floats:
    """Normal score of each row's counts if its log ratio is ``log``; positive where the week has more."""
    x, before, n, n_before = c.x[at], c.x_before[at], c.n[at], c.n_before[at]
    return _referred(
        *_binomial_score(x, before, n, n_before, log + c.shift[at]), c.between[at], c.chance[at]
    )  # fmt: skip


def _binomial_score(x: Floats, before: Floats, n: Floats, n_before: Floats, log: Floats) -> tuple[Floats, Floats]:
    """Score of the counts alone, and the variance of the log ratio that goes with it."""
    total = x + before
    share = 1 / (1 + n_before / n * np.exp(-log))
    other = 1 / (1 + n / n_before * np.exp(log))
    up, down = np.maximum(x, 0.5), np.maximum(before, 0.5)  # where a count is zero the term is 1 or 0, set below
    at_least = np.where(x > 0, betainc(up, before + 1, share), 1.0)
    more = np.where(before > 0, betainc(x + 1, down, share), 0.0)
    at_most = np.where(before > 0, betainc(down, x + 1, other), 1.0)
    fewer = np.where(x > 0, betainc(before + 1, up, other), 0.0)
    upper, lower = (at_least + more) / 2, (at_most + fewer) / 2
    tail = np.clip(np.minimum(upper, lower), 1e-300, 0.5)
    score = np.where(upper < lower, -ndtri(tail), ndtri(tail))
    # successes of few trials vary less than rare events do; at small counts the rare events' tail is kept
    pooled = np.minimum(total / (n + n_before), 0.9)
    mean = total * share
    factor = 1 + pooled / (1 - pooled) * mean / (mean + 10)
    with np.errstate(divide="ignore"):
        variance = 1 / (total * share * other * factor)
    return score * np.sqrt(factor), np.minimum(variance, 1e12)


def _referred(score: Floats, variance: Floats, between: Floats, chance: Floats) -> Floats:
    """The score after overdispersion, as the normal score of the posterior's mean tail."""
    scale = np.sqrt(variance[:, None] / (variance[:, None] + between))
    tail = (chance * ndtr(-np.abs(score)[:, None] * scale)).sum(axis=1)
    return np.asarray(-np.sign(score) * ndtri(np.clip(tail, 1e-300, 0.5)))


def _solve(c: Comparison, at: npt.NDArray[np.intp], edge: Floats, side: float) -> Floats:
    """Log ratio at which the score is ``edge``: false position with halving (Illinois) inside a growing bracket."""
    inner = c.log_ratio[at]
    width = np.sqrt(c.counted[at] + (c.chance[at] * c.between[at]).sum(axis=1)) * np.maximum(np.abs(edge), 1.0)

    def off(log: Floats, rows: npt.NDArray[np.intp]) -> Floats:
        return _score(c, at[rows], log) - edge[rows]

    every = np.arange(len(at))
    for _ in range(8):  # the inner end has to be accepted
        wrong = side * off(inner, every) < 0
        if not wrong.any():
            break
        inner[wrong] -= side * width[wrong]
    a, fa = inner, off(inner, every)
    b = inner + side * width
    fb = off(b, every)
    for _ in range(12):
        rows = np.flatnonzero((np.sign(fa) == np.sign(fb)) & (np.abs(b) < _FAR))
        if not len(rows):
            break
        a[rows], fa[rows] = b[rows], fb[rows]
        width[rows] *= 2
        b[rows] += side * width[rows]
        fb[rows] = off(b[rows], rows)
    open_end = np.sign(fa) == np.sign(fb)
    for _ in range(14):
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = (a * fb - b * fa) / (fb - fa)
        middle = np.where(np.isfinite(middle), middle, (a + b) / 2)
        f = off(middle, every)
        crossed = np.sign(f) != np.sign(fb)
        a, fa = np.where(crossed, b, a), np.where(crossed, fb, fa / 2)
        b, fb = middle, f
        if np.abs(fb)[~open_end].max(initial=0.0) < 1e-6:
            break
    return np.where(open_end, side * np.inf, b)


# --- what could have been shown ----------------------------------------------------------------------------------


def _shows(c: Comparison, alpha: Floats, size: Floats, sign: float, weeks: int = 1, power: float = POWER) -> Bools:
    """Whether a log change of ``size`` is found with a chance of ``power`` or more."""
    z = float(ndtri(power))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = np.maximum(c.x + c.x_before, 0.5) / (c.n + c.n_before)
        usual = c.n * weeks * rate
        seen, before = usual * np.exp(sign * size), np.maximum(c.n_before * rate, 0.5)
        share, both = usual / (usual + before), seen + before
        kept = np.maximum(1 - rate, 0.1)
        # the score of these counts (signed root of the deviance), and by how much it is uncertain
        deviance = seen * np.log(seen / (both * share)) + before * np.log(before / (both * (1 - share)))
        score = np.sqrt(2 * np.maximum(deviance, 0.0) / kept)
        # the common move is a mean of such ratios: with the weeks it gets surer as they do
        omega = c.later[:, [weeks - 1]] * (c.sd**2 + (c.shift_variance / c.later[:, 0])[:, None])
        real = kept * (1 / seen + 1 / before) + (c.chance * omega).sum(axis=1)
        least = score * np.maximum(1 - z * np.sqrt(real) / size, 0.0)
        null = (kept / (both * share * (1 - share)))[:, None]
        tail = (c.chance * ndtr(-least[:, None] * np.sqrt(null / (null + omega)))).sum(axis=1)
        possible = seen <= c.n * weeks
    return np.asarray((tail <= alpha / 2) & possible & c.comparable)


def _smallest_shown(c: Comparison, alpha: Floats, sign: float) -> Floats:
    """Find the smallest log change that shows, by halving."""
    low, high = np.full(len(c), np.log(1e-3)), np.full(len(c), np.log(8.0))
    for _ in range(14):
        middle = (low + high) / 2
        shown = _shows(c, alpha, np.exp(middle), sign)
        low, high = np.where(shown, low, middle), np.where(shown, middle, high)
    size = np.where(_shows(c, alpha, np.exp(high), sign), np.exp(high), np.inf)
    at = np.flatnonzero(np.isfinite(size))
    if sign < 0 and len(at):  # can no success at all be called a fall?
        nothing = np.zeros(len(at))
        rate = np.maximum(c.x + c.x_before, 0.5)[at] / (c.n + c.n_before)[at]
        score = _binomial_score(nothing, c.n_before[at] * rate, c.n[at], c.n_before[at], nothing)
        hidden = np.abs(_referred(*score, c.between[at], c.chance[at])) < _isf(alpha[at] / 2)
        size[at[hidden]] = np.inf
    return size


def _isf(tail: Any) -> Floats:
    return np.asarray(-ndtri(tail))
