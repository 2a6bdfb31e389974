"""Groups × intervals as lines: shaped from a frame, drawn with gaps as gaps, named at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.dates as mdates
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.formats import statistic_text, unit_of
from flowperf_helpers.plots.canvas import few_ticks, tick_format
from flowperf_helpers.plots.rows import identity, labels_of, one_row_each
from flowperf_helpers.plots.timelines import date_axis, middle_width, not_final, shade_not_final, wall_times
from flowperf_helpers.style import LINES, MARKERS, MUTED, PALE, SERIES, TEXT

__all__ = ["Lines", "draw_lines", "lines_of", "scale_lines"]


@dataclass(frozen=True)
class Lines:
    """Groups × intervals of one statistic, largest group first.

    Attributes
    ----------
    table : DataFrame
        Index wall times, one float column per group identifier; NaN is a gap.
    labels : dict
        Identifier → label.
    soft : DatetimeIndex
        Starts of intervals that are not final.
    """

    table: pd.DataFrame
    labels: dict[object, str]
    soft: pd.DatetimeIndex

    @property
    def step(self) -> pd.Timedelta:
        """Usual length of an interval."""
        return middle_width(pd.DatetimeIndex(self.table.index))


def lines_of(frame: pd.DataFrame, statistic: str, by: str) -> Lines:
    """Shape a series frame for drawing: rolled up to ``by``, every interval present, the largest groups first.

    Large is by recipients where the frame has them, else by the statistic.
    """
    rows = one_row_each(frame, by, over_time=True)
    key = identity(rows, by)[0]
    times = wall_times(pd.DatetimeIndex(frame["interval_start"])).unique().sort_values()
    values = rows.assign(_time=wall_times(pd.DatetimeIndex(rows["interval_start"])), _key=rows[key].astype("object"))
    table = values.pivot_table(
        index="_time", columns="_key", values=statistic, aggfunc="first", observed=True, dropna=False
    )
    table = table.astype("float64").reindex(_whole(times))
    weight = values.groupby("_key")["recipients" if "recipients" in values else statistic].sum().astype("float64")
    known = table.columns[table.notna().any().to_numpy()]
    order = weight.reindex(known).fillna(0).sort_values(ascending=False, kind="stable").index
    latest = values.sort_values("_time").drop_duplicates("_key", keep="last").set_index("_key").reindex(order)
    latest = latest.assign(**{key: list(order)}) if key not in latest else latest
    labels = dict(zip(order, labels_of(latest.reset_index(drop=True), by, 26), strict=True)) if len(order) else {}
    return Lines(table[list(order)], labels, not_final(frame))


def _whole(times: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Put back the intervals that are missing for every group, so that a line does not run across them."""
    if len(times) < 3:
        return times
    step = middle_width(times)
    added = [
        times[place] + n * step
        for place, gap in enumerate(np.diff(times.to_numpy()))
        for n in range(1, round(gap / step.to_timedelta64()))
    ]
    return times.union(pd.DatetimeIndex(added)) if added and step < pd.Timedelta(days=20) else times


def draw_lines(
    ax: Axes, lines: Lines, statistic: str, currency: str | None, looks: dict[object, int], *, named: bool = True
) -> int:
    """Draw the lines and name them at their ends; returns how many have a colour.

    Parameters
    ----------
    looks : dict
        Group → its place in the palette; groups that are not in it stay pale.
    named : bool
        Write names and last values at the right.
    """
    times = mdates.date2num(pd.DatetimeIndex(lines.table.index).to_pydatetime())
    soft = lines.table.index.isin(lines.soft)
    shade_not_final(ax, lines.soft, lines.step)
    columns = list(lines.table.columns)
    for column in (c for c in columns if c not in looks):
        ax.plot(times, lines.table[column], color=PALE, linewidth=1, zorder=1, label=f"_{lines.labels[column]}")
    ends: list[tuple[float, str, str]] = []
    coloured = [c for c in columns if c in looks]
    for column in coloured:
        place = looks[column]
        values = lines.table[column].to_numpy()
        color, marker = SERIES[place], MARKERS[place]
        ax.plot(times, values, color=color, linestyle=LINES[place], zorder=3, label=lines.labels[column])
        sizes = 4.5 if len(times) <= 40 else 0.0
        _dots(ax, times, values, soft, color, marker, sizes)
        last = int(np.flatnonzero(~np.isnan(values))[-1])
        ends.append(
            (
                float(values[last]),
                f"{lines.labels[column]}  {statistic_text(values[last], statistic, currency)}",
                TEXT[place],
            )
        )
    if named:
        _name_ends(ax, ends, lines)
    return len(coloured)


def _dots(
    ax: Axes, times: npt.NDArray[np.float64], values: npt.NDArray[np.float64], soft: npt.NDArray[np.bool_], color: str,
    marker: str, size: float,
) -> None:  # fmt: skip
    """Filled where final, hollow where not; a value between two gaps always has a dot."""
    known = ~np.isnan(values)
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    for chosen, face in ((known & ~soft, color), (known & soft, "white")):
        shown = chosen if size else chosen & alone
        if shown.any():
            ax.plot(times[shown], values[shown], linestyle="", marker=marker, markersize=size or 3.5, zorder=4,
                    color=color, markerfacecolor=face, label="_dots")  # fmt: skip


def _name_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], lines: Lines) -> None:
    """Write the names at the right, moved apart so that none covers another."""
    low, high = np.nanmin(lines.table.to_numpy()), np.nanmax(lines.table.to_numpy())
    low, high = min(0.0, float(low)), float(high) or 1.0
    figure = ax.get_figure(root=True)
    assert figure is not None
    points = 72 * figure.get_figheight() * (0.62 if len(figure.axes) == 1 else ax.get_position().height * 0.85)
    gap = 12.5 / points * (high - low) * 1.06
    order = sorted(range(len(ends)), key=lambda i: ends[i][0])
    heights = [ends[i][0] for i in order]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    over = max(0.0, heights[-1] - high) if heights else 0.0
    for i in range(len(heights) - 1, -1, -1):
        ceiling = heights[i] - over if i == len(heights) - 1 else heights[i + 1] - gap
        heights[i] = min(heights[i], ceiling)
    for i, height in zip(order, heights, strict=True):
        _, text, color = ends[i]
        ax.annotate(text, (1, height), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
                    va="center", fontsize=9, color=color, fontweight="bold", annotation_clip=False)  # fmt: skip


def scale_lines(ax: Axes, lines: Lines, statistic: str, currency: str | None, *, headroom: float = 0.06) -> None:
    """Set the axes from zero to the highest value and name their ticks; ``headroom`` is left above."""
    ax.autoscale(enable=True, axis="y")
    high = ax.get_ylim()[1]
    shown = float(np.nanmax(lines.table.to_numpy()))
    ax.set_ylim(min(0.0, float(np.nanmin(lines.table.to_numpy())) * 1.05), max(high, shown * (1 + headroom)) or 1.0)
    few_ticks(ax, "y", whole=unit_of(statistic) == "count" and shown < 10)
    ax.yaxis.set_major_formatter(tick_format(statistic, currency))
    times = pd.DatetimeIndex(lines.table.index)
    room = lines.step / 2
    ax.set_xlim(mdates.date2num(times[0] - room), mdates.date2num(times[-1] + room))
    date_axis(ax, times)
    ax.tick_params(axis="y", labelcolor=MUTED, labelsize=9)
