"""The time axis of pictures: which intervals there are, which of them are not final, and how they are named."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from flowperf_helpers.style import HATCH, MUTED, PALE

__all__ = ["date_axis", "interval_name", "middle_width", "not_final", "runs_of", "shade_not_final", "wall_times"]


def wall_times(moments: pd.Series | pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The account's wall clock without its zone: matplotlib would draw zoned moments in UTC."""
    index = pd.DatetimeIndex(moments)
    return index.tz_localize(None) if index.tz is not None else index


def not_final(frame: pd.DataFrame) -> pd.DatetimeIndex:
    """Starts (wall time) of the partial and provisional intervals, in order."""
    flags = [frame[c].fillna(False).astype(bool) for c in ("is_partial", "is_provisional") if c in frame.columns]
    if not flags or not len(frame):
        return pd.DatetimeIndex([])
    either = np.logical_or.reduce([flag.to_numpy() for flag in flags])
    return wall_times(pd.DatetimeIndex(frame.loc[either, "interval_start"])).unique().sort_values()


def middle_width(times: pd.DatetimeIndex) -> pd.Timedelta:
    """Usual distance of two neighbouring intervals; a week where there is only one."""
    steps = times.unique().sort_values().to_series().diff().dropna()
    return pd.Timedelta(steps.median()) if len(steps) else pd.Timedelta(days=7)


def shade_not_final(ax: Axes, starts: pd.DatetimeIndex, step: pd.Timedelta) -> list[Rectangle]:
    """Hatch the intervals that still move, as one area per run; returns what was drawn."""
    areas: list[Rectangle] = []
    runs: list[list[pd.Timestamp]] = []
    for start in starts:
        if runs and start - runs[-1][-1] <= step * 1.5:
            runs[-1].append(start)
        else:
            runs.append([start])
    for run in runs:
        left, right = mdates.date2num(run[0] - step / 2), mdates.date2num(run[-1] + step / 2)
        area = ax.axvspan(left, right, facecolor="none", edgecolor=PALE, hatch=HATCH, linewidth=0, zorder=0)
        area.set_gid("not-final")
        areas.append(area)
    return areas


def date_axis(ax: Axes, times: pd.DatetimeIndex, *, most: int = 7) -> None:
    """Dates of at most ``most`` intervals, counted from the last; the year where it is new."""
    places = list(range(len(times) - 1, -1, -max(1, -(-len(times) // most))))[::-1]
    chosen, step, labels, year = times[places], middle_width(times), [], 0
    for moment in chosen:
        text = f"{moment:%b}" if step > pd.Timedelta(days=20) else f"{moment.day} {moment:%b}"
        if step < pd.Timedelta(hours=20):
            text += f"{moment: %H:%M}"
        labels.append(text if moment.year == year else f"{text}\n{moment.year}")
        year = moment.year
    ax.set_xticks(list(mdates.date2num(chosen.to_pydatetime())), labels=labels)
    ax.tick_params(axis="x", labelcolor=MUTED)


def interval_name(start: pd.Timestamp, step: pd.Timedelta) -> str:
    """A week by its ISO number, a month by its name, else the day or hour."""
    if pd.Timedelta(days=6) <= step <= pd.Timedelta(days=8):
        return f"W{start.isocalendar().week:02d}"
    if step > pd.Timedelta(days=8):
        return f"{start:%b %Y}"
    return f"{start.day} {start:%b}" if step >= pd.Timedelta(hours=20) else f"{start.day} {start:%b %H:%M}"


def runs_of(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last position of each run of true values."""
    found: list[tuple[int, int]] = []
    for place, flag in enumerate(flags):
        if not flag:
            continue
        if found and found[-1][1] == place - 1:
            found[-1] = (found[-1][0], place)
        else:
            found.append((place, place))
    return found
