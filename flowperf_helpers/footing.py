"""Whether two windows may be held against each other: equal length, equal age."""

from __future__ import annotations

import pandas as pd

from flowperf_helpers.errors import ArgumentError

__all__ = ["equal_footing"]

_ATTRIBUTION_DAYS = 5
"""Klaviyo's default, where a frame does not tell its account's setting."""


def equal_footing(before: pd.DataFrame, after: pd.DataFrame, allow_unequal: bool) -> list[str]:
    """Refuse windows of unequal length; note unequal ages.

    Parameters
    ----------
    before, after : DataFrame
        With ``window_start, window_end`` or ``interval_start, interval_end``; without either nothing can be said.
    allow_unequal : bool
        Note unequal lengths instead of refusing them.

    Returns
    -------
    list of str
        What is to be known, for ``attrs["notes"]``.

    Raises
    ------
    ArgumentError
        Windows of different length (in days on the wall clock, so a week with a clock change has seven).
    """
    earlier, later = _window(before), _window(after)
    if earlier is None or later is None:
        return []
    notes = []
    days = [
        round((end.tz_localize(None) - start.tz_localize(None)) / pd.Timedelta(days=1), 2)
        for start, end in (earlier, later)
    ]
    if days[0] != days[1]:
        told = f"The two windows have different lengths ({days[0]:g} and {days[1]:g} days)"
        if not allow_unequal:
            raise ArgumentError(f"{told}: compare windows of equal length, or say allow_unequal=True.")
        notes.append(f"{told}: rates can be compared, sums cannot.")
    settled = after.attrs.get("attribution_days", _ATTRIBUTION_DAYS)
    if _age(before, earlier[1]) >= settled > _age(after, later[1]):
        notes.append(
            f"The later window is younger than the attribution window of {settled} days: its conversions are still "
            "coming in."
        )
    return notes


def _window(frame: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    for start, end in (("window_start", "window_end"), ("interval_start", "interval_end")):
        if start in frame.columns and end in frame.columns and frame[start].notna().any():
            return frame[start].min(), frame[end].max()
    return None


def _age(frame: pd.DataFrame, end: pd.Timestamp) -> float:
    """Days from a window's end to the asking; NaN where that is not told."""
    asked = frame.attrs.get("fetched_at")
    if not isinstance(asked, str):
        return float("nan")
    return float((pd.Timestamp(asked) - end) / pd.Timedelta(days=1))
