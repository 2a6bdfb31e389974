"""What an answer does not say of itself: its window, its conversion metric, and which of its intervals are final."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.frames.columns import statistic_column

__all__ = ["finish_series", "finish_values"]


def finish_values(
    frame: pd.DataFrame,
    *,
    statistics: Sequence[str],
    conversion_metric_id: str,
    bounds: tuple[pd.Timestamp, pd.Timestamp],
    zone: tzinfo,
) -> pd.DataFrame:
    """Add provenance and put statistics in the order asked.

    Parameters
    ----------
    frame : DataFrame
        Of `values_frame`.
    statistics : sequence of str
        As asked; one that the answer lacks becomes a column of NA.
    bounds : pair of Timestamp
        Start and exclusive end of the window; two NaT where Klaviyo does not say.

    Returns
    -------
    DataFrame
        Groupings, ``window_start, window_end, conversion_metric_id``, statistics.
    """
    added: dict[str, Any] = {}
    for name, bound in zip(("window_start", "window_end"), bounds, strict=True):
        added[name] = pd.Series(bound, index=frame.index, dtype=f"datetime64[us, {zone}]")
    return _finish(frame, added, statistics, conversion_metric_id)


def finish_series(
    frame: pd.DataFrame,
    *,
    statistics: Sequence[str],
    conversion_metric_id: str,
    interval: str,
    bounds: tuple[pd.Timestamp, pd.Timestamp],
    asked_at: pd.Timestamp,
    attribution_days: int,
) -> pd.DataFrame:
    """Add the intervals' ends, what is not final about them, and provenance.

    An interval ends where the next one starts, one unit after its label, or where the window ends, whichever is first.
    It is *partial* while it runs (and where the window cuts it), *provisional* until the attribution window has passed
    since its end: conversions are still attributed to it until then.

    Parameters
    ----------
    frame : DataFrame
        Of `series_frame`.
    asked_at : Timestamp
        When the answer was given, aware.

    Returns
    -------
    DataFrame
        Groupings, ``interval_start, interval_end, is_partial, is_provisional, conversion_metric_id``, statistics.
    """
    starts = pd.DatetimeIndex(frame["interval_start"].drop_duplicates().sort_values())
    whole = pd.Series(_one_unit_later(starts, interval), index=starts)
    ends = whole
    following = starts.to_series().shift(-1)
    ends = ends.where(following.isna() | (ends <= following), following)
    if not pd.isna(bounds[1]):
        ends = ends.where(ends <= bounds[1], bounds[1])
    partial = (ends > asked_at) | (ends < whole)
    provisional = ends + pd.Timedelta(days=attribution_days) > asked_at
    facts = pd.DataFrame({"interval_end": ends, "is_partial": partial, "is_provisional": provisional | partial})
    looked_up = facts.reindex(pd.DatetimeIndex(frame["interval_start"]))
    added = {
        "interval_start": frame["interval_start"],
        "interval_end": pd.Series(
            looked_up["interval_end"].array, index=frame.index, dtype=frame["interval_start"].dtype
        ),
        "is_partial": pd.Series(looked_up["is_partial"].to_numpy(dtype=bool), index=frame.index),
        "is_provisional": pd.Series(looked_up["is_provisional"].to_numpy(dtype=bool), index=frame.index),
    }
    return _finish(frame, added, statistics, conversion_metric_id)


def _one_unit_later(starts: pd.DatetimeIndex, interval: str) -> pd.DatetimeIndex:
    """Return whole intervals' ends: an hour is an hour, a day lasts until the next midnight on the account's clock.

    Where the clock skips midnight (Cairo, Santiago, Beirut, Havana), that day starts at one and ends at midnight still.
    """
    if interval == "hourly":
        return starts + pd.Timedelta(hours=1)
    step = {"daily": pd.DateOffset(days=1), "weekly": pd.DateOffset(weeks=1), "monthly": pd.DateOffset(months=1)}
    wall = starts.tz_localize(None)
    midnight = wall.normalize()
    wall = wall.where(_on_clock(midnight, starts.tz) != starts, midnight)
    return _on_clock(pd.DatetimeIndex(wall.to_series() + step[interval]).as_unit("us"), starts.tz)


def _on_clock(wall: pd.DatetimeIndex, zone: tzinfo | None) -> pd.DatetimeIndex:
    """Return wall times as moments: the first of two, and the next there is for one that the clock skips."""
    return wall.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(len(wall), dtype=bool))


def _finish(
    frame: pd.DataFrame, added: dict[str, Any], statistics: Sequence[str], conversion_metric_id: str
) -> pd.DataFrame:
    sent = frame.attrs["statistics"]
    groups = [c for c in frame.columns if c not in sent and c != "interval_start"]
    ordered = [*statistics, *(s for s in sent if s not in statistics)]
    blank = [None] * len(frame)
    columns = {c: frame[c] for c in groups} | added
    columns["conversion_metric_id"] = pd.Series(conversion_metric_id, index=frame.index, dtype="str")
    columns |= {s: frame[s] if s in sent else pd.Series(statistic_column(s, blank), index=frame.index) for s in ordered}
    finished = pd.DataFrame(columns, index=frame.index)
    finished.attrs = {**frame.attrs, "statistics": ordered}
    return finished
