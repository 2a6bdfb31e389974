"""Where a young week's conversions will end, learned from how earlier weeks grew from the same age: one shared error.

The days of a week settle by one curve. An error of the curve is every day's error, so the days' intervals must not be
added as if they were independent. Here the week is forecast as a whole: earlier weeks, as they stood at the same age,
and what they became. The growth ``final / seen - 1`` is a ratio of sums (one per group where a group has `LEAST_GROUP`
late conversions of its own, pooled otherwise: the chain ladder of Mack, ASTIN Bulletin 23, 1993); its overdispersion is
that of whole weeks around it, so a curve that moves from week to week widens the interval by itself, with Student's
quantile as the weeks are few.

A forecast rests on the week being like the earlier ones and on the attribution window being the one assumed. Both are
looked at (`late_growth`, `unusual_score`), and where they fail there is a warning in the forecast's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_WEEKS", "WeekForecast", "forecast_week", "late_growth", "shared_curve_interval", "unusual_score"]

LEAST_WEEKS = 3
"""Earlier weeks, seen at the same age and again when final, that a forecast needs."""

LEAST_GROUP = 100.0
"""Late conversions of a group that give it a growth of its own."""

_LATE_SHARE, _LATE_LEAST = 0.005, 5.0
_UNUSUAL = 4.0
_LEAST_SD = 0.05  # of the log of conversions per recipient between weeks

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WeekForecast:
    """A week's conversions to come.

    Attributes
    ----------
    seen : float
        So far.
    final, low, high : float
        Where they will end, with a 95 % interval; NaN where `warning` stands in their place.
    weeks : int
        Earlier weeks that it rests on.
    overdispersion : float
        Of whole weeks round the growth; 1 is counting alone.
    warning : str
        Why there is no forecast; empty where there is one.
    """

    seen: float
    final: float
    low: float
    high: float
    weeks: int
    overdispersion: float
    warning: str = ""


def forecast_week(
    seen_before: Any, final_before: Any, seen: Any, *, recipients_before: Any = None, recipients: Any = None,
    grown_late: tuple[float, float] | None = None, confidence: float = 0.95,
) -> WeekForecast:  # fmt: skip
    """Forecast a week from earlier weeks at the same age.

    Parameters
    ----------
    seen_before, final_before : array-like [week] or [week, group]
        Conversions of earlier weeks as they stood at the age of this one, and as they stand now that they are final.
        Weeks of which one of the two is NaN take no part.
    seen : float or array-like [group]
        This week's so far.
    recipients_before, recipients : array-like [week], float, optional
        Sends of the weeks: with them it is looked at whether the week is like the others.
    grown_late : tuple of float, optional
        Of `late_growth`.
    confidence : float
        Of the interval.
    """
    from scipy.special import ndtri, stdtrit

    a, f = (_by_group(v) for v in (seen_before, final_before))
    now = np.atleast_1d(np.asarray(seen, dtype=np.float64))
    known = np.isfinite(a).all(axis=1) & np.isfinite(f).all(axis=1)
    total, weeks, nan = float(now.sum()), int(known.sum()), float("nan")
    warning = _late_warning(grown_late)
    if weeks < LEAST_WEEKS:
        warning = warning or (
            f"{weeks} earlier weeks were asked at this age and again when final: {LEAST_WEEKS} are needed"
        )
    elif recipients_before is not None and recipients is not None:
        sends = np.asarray(recipients_before, dtype=np.float64)[known]
        score = unusual_score(a[known].sum(axis=1), sends, total, float(recipients))
        if abs(score) > _UNUSUAL:
            side = "more" if score > 0 else "fewer"
            warning = warning or (
                f"conversions per recipient are far {side} than in the {weeks} weeks before: how those filled up says "
                "nothing of this one"
            )
    if warning:
        return WeekForecast(total, nan, nan, nan, weeks, nan, warning)
    a, g = a[known], (f - a)[known]
    growth = _growth(a, g)
    expected = float((growth * now).sum())
    # half an arrival more, as none so far is not proof
    fitted = np.maximum((a * growth).sum(axis=1), 0.5)
    variance = fitted * (1 + fitted / np.maximum(a.sum(axis=1), 1.0))
    phi = max(1.0, float(((g.sum(axis=1) - fitted) ** 2 / variance).sum() / (weeks - 1)))
    own = max(expected, 0.5)
    counting = own * (1 + own / max(total, 1.0))
    counting *= 1 + total / max(float(a.sum()), 1.0)  # the growth is uncertain too, the same for all days
    z, t = float(ndtri((1 + confidence) / 2)), float(stdtrit(weeks - 1, (1 + confidence) / 2))
    half = float(np.sqrt(counting * (z**2 + (phi - 1) * t**2)))
    low, high = np.floor(max(expected - half, 0.0)), np.ceil(expected + half)
    return WeekForecast(total, total + expected, total + float(low), total + float(high), weeks, phi)


def late_growth(younger: Any, older: Any) -> tuple[float, float]:
    """How much intervals grew that were final already by the attribution window that is assumed.

    Parameters
    ----------
    younger, older : array-like
        Conversions of the same intervals as answered twice, both after the window; NaN takes no part.

    Returns
    -------
    grown : float
        Conversions that came after the window.
    of : float
        Conversions of those intervals before.
    """
    young, old = (np.asarray(v, dtype=np.float64).ravel() for v in (younger, older))
    known = np.isfinite(young) & np.isfinite(old)
    return float((old - young)[known].sum()), float(young[known].sum())


def unusual_score(seen_before: Floats, recipients_before: Floats, seen: float, recipients: float) -> float:
    """How many standard deviations a week's conversions per recipient are from those of earlier weeks at that age."""
    with np.errstate(divide="ignore", invalid="ignore"):
        past = np.log((seen_before + 0.5) / recipients_before)
        now = np.log((seen + 0.5) / recipients)
    past = past[np.isfinite(past)]
    if len(past) < LEAST_WEEKS or not np.isfinite(now):
        return 0.0
    counting = 1 / (seen + 0.5) + 1 / (seen_before.sum() + 0.5)
    sd = np.sqrt(max(float(past.var(ddof=1)), _LEAST_SD**2 + counting) * (1 + 1 / len(past)))
    return float((now - past.mean()) / sd)


def shared_curve_interval(
    seen: Any, share: Any, share_error: Any, overdispersion: Any, *, curves: Any = None, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Sum of days that settle by one curve or a few: for accounts with snapshots of days, but not of enough weeks.

    What the days' own arrivals are uncertain by adds up in squares; what a curve is uncertain by is the same for every
    day on it, so it adds up as it stands, and in squares between curves.

    Parameters
    ----------
    seen, share, share_error, overdispersion : array-like [day]
        So far; share of the final count at that age, its standard error, and the days' overdispersion.
    curves : array-like [day], optional
        Which curve each day is on; left out: all on one.

    Returns
    -------
    final, low, high : float
    """
    from scipy.special import ndtri

    count, s, error, phi = (np.asarray(v, dtype=np.float64) for v in (seen, share, share_error, overdispersion))
    expected = (count + 0.5 * (s < 1)) * (1 - s) / s
    own = (phi * expected / s).sum()
    _, curve = np.unique(np.zeros(len(count)) if curves is None else np.asarray(curves), return_inverse=True)
    shared = np.bincount(curve, (count / s**2) * error)
    half = float(ndtri((1 + confidence) / 2)) * float(np.sqrt(own + (shared**2).sum()))
    total = float((count / s).sum())
    return total, max(float(count.sum()), float(np.floor(total - half))), float(np.ceil(total + half))


def _late_warning(grown_late: tuple[float, float] | None) -> str:
    if grown_late is None:
        return ""
    grown, of = grown_late
    if grown < max(_LATE_LEAST, _LATE_SHARE * of):
        return ""
    return (
        f"intervals older than the assumed attribution window still grew by {grown:,.0f} conversions "
        f"({100 * grown / max(of, 1.0):.1f} %): the account's window is longer than assumed"
    )


def _by_group(values: Any) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def _growth(seen: Floats, late: Floats) -> Floats:
    """Growth per group: its own where it has enough late conversions, that of the others together otherwise."""
    own = late.sum(axis=0) >= LEAST_GROUP
    rest = ~own if (~own).any() else np.ones(len(own), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = late[:, rest].sum() / max(seen[:, rest].sum(), 0.5)
        each = late.sum(axis=0) / seen.sum(axis=0)
    return np.asarray(np.maximum(np.where(own & np.isfinite(each), each, pooled), 0.0))
