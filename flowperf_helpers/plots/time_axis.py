"""The time axis of pictures, and groups × intervals as lines along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.dates as mdates
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.frames.formats import statistic_text, unit_of
from flowperf_helpers.plots.figure import few_ticks, figure_of, identity, labels_of, one_row_each, tick_format
from flowperf_helpers.plots.hover import MOST, tell
from flowperf_helpers.plots.style import HATCH, LINES, MARKERS, MUTED, PALE, SERIES, TEXT

__all__ = [
    "Lines",
    "date_axis",
    "draw_lines",
    "interval_name",
    "lines_of",
    "middle_width",
    "name_ends",
    "runs_of",
    "scale_lines",
    "wall_times",
]


# The time axis of pictures: which intervals there are, which of them are not final, and how they are named.


def wall_times(moments: pd.Series | pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The account's wall clock without its zone: matplotlib would draw zoned moments in UTC."""
    index = pd.DatetimeIndex(moments)
    return index.tz_localize(None) if index.tz is not None else index


def middle_width(times: pd.DatetimeIndex) -> pd.Timedelta:
    """Usual distance of two neighbouring intervals; a week where there is only one."""
    steps = times.unique().sort_values().to_series().diff().dropna()
    return pd.Timedelta(steps.median()) if len(steps) else pd.Timedelta(days=7)


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


def runs_of(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last position of each run of true values."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False]))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


# Groups × intervals as lines: shaped from a frame, drawn with gaps as gaps, named at their ends.


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

    @property
    def names(self) -> list[str]:
        """What the intervals are called."""
        return [interval_name(start, self.step) for start in self.table.index]


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
    young = [frame[c].fillna(False).astype(bool) for c in ("is_partial", "is_provisional") if c in frame.columns]
    soft = frame.loc[np.logical_or.reduce(young) if young else [], "interval_start"]
    return Lines(table[list(order)], labels, wall_times(soft).unique().sort_values())


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


def draw_lines(ax: Axes, lines: Lines, looks: dict[object, int]) -> None:
    """Draw the lines and hatch what is not final.

    Parameters
    ----------
    looks : dict
        Group → its place in the palette; groups that are not in it stay pale.
    """
    times = mdates.date2num(pd.DatetimeIndex(lines.table.index).to_pydatetime())
    soft = lines.table.index.isin(lines.soft)
    half = lines.step / pd.Timedelta(days=2)
    for first, last in runs_of(soft):
        area = ax.axvspan(times[first] - half, times[last] + half, facecolor="none", edgecolor=PALE, hatch=HATCH,
                          linewidth=0, zorder=0)  # fmt: skip
        area.set_gid("not-final")
    columns = list(lines.table.columns)
    pale = [c for c in columns if c not in looks]
    if pale:  # one artist with gaps between the groups: hundreds of them take too long to draw
        heights = np.r_[lines.table[pale].to_numpy(), np.full((1, len(pale)), np.nan)].ravel(order="F")
        across = np.tile(np.r_[times, np.nan], len(pale))
        (line,) = ax.plot(across, heights, color=PALE, linewidth=1, zorder=1, label="_others")
        if lines.table.size <= MOST:  # else their marks would cost those of the others
            tell(line, [f"{lines.labels[column]}, {name}" for column in pale for name in (*lines.names, "")])
    for column in (c for c in columns if c in looks):
        place = looks[column]
        values = lines.table[column].to_numpy()
        (line,) = ax.plot(times, values, color=SERIES[place], linestyle=LINES[place], zorder=3,
                          label=lines.labels[column])  # fmt: skip
        tell(line, [f"{lines.labels[column]}, {name}" for name in lines.names])
        _dots(ax, times, values, soft, place)


def _dots(
    ax: Axes, times: npt.NDArray[np.float64], values: npt.NDArray[np.float64], soft: npt.NDArray[np.bool_], place: int
) -> None:
    """Filled where final, hollow where not; of many values only those between two gaps have one."""
    shown, size = ~np.isnan(values), 4.5
    if len(times) > 40:
        shown, size = shown & ~np.r_[False, shown[:-1]] & ~np.r_[shown[1:], False], 3.5
    for chosen, face in ((shown & ~soft, SERIES[place]), (shown & soft, "white")):
        if chosen.any():
            ax.plot(times[chosen], values[chosen], linestyle="", marker=MARKERS[place], markersize=size, zorder=4,
                    color=SERIES[place], markerfacecolor=face, label="_dots")  # fmt: skip


def name_ends(ax: Axes, lines: Lines, statistic: str, currency: str | None, looks: dict[object, int]) -> None:
    """Write names and last values at the right of the scaled axes, moved apart so that none covers another."""
    ends: list[tuple[float, str, str]] = []
    for column in (c for c in lines.table.columns if c in looks):
        last = float(lines.table[column].dropna().iloc[-1])
        ends.append((last, f"{lines.labels[column]}  {statistic_text(last, statistic, currency)}", TEXT[looks[column]]))
    low, high = ax.get_ylim()
    figure = figure_of(ax)
    points = 72 * figure.get_figheight() * (0.62 if len(figure.axes) == 1 else ax.get_position().height * 0.85)
    gap = 13.5 / points * (high - low)
    ends.sort(key=lambda end: end[0])
    heights = [height for height, _, _ in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    ceiling = high
    for i in range(len(heights) - 1, -1, -1):
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - gap
    for height, (_, text, color) in zip(heights, ends, strict=True):
        ax.annotate(text, (1, height), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
                    va="center", fontsize=9, color=color, fontweight="bold", annotation_clip=False)  # fmt: skip


def scale_lines(
    ax: Axes,
    lines: Lines,
    statistic: str,
    currency: str | None,
    looks: dict[object, int],
    *,
    also: Sequence[float] = (),
    headroom: float = 0.08,
    most: int = 7,
) -> bool:
    """Fit the axes to the coloured lines and name their ticks; returns whether pale lines leave the picture.

    Counts and money start at zero. Rates do too, unless all that is shown lies far from it.

    Parameters
    ----------
    looks : dict
        The coloured groups: a pale one with three recipients shall not flatten them.
    also : sequence of float
        Other values that must be seen, such as limits.
    headroom : float
        Share of the height that stays free above.
    most : int
        Dates written.
    """
    seen = [c for c in lines.table.columns if c in looks] or list(lines.table.columns)
    values = np.r_[lines.table[seen].to_numpy().ravel(), np.asarray(also, dtype=float)]
    least, largest = float(np.nanmin(values)), float(np.nanmax(values))
    low, high = min(0.0, least), largest or 1.0
    if unit_of(statistic) == "fraction" and least > 0.6 * largest:
        low = max(0.0, least - (0.8 * (largest - least) or 0.5 * least))
    ax.set_ylim(low * (1.05 if low < 0 else 1), high + headroom * (high - low))
    few_ticks(ax, "y", whole=unit_of(statistic) == "count" and largest < 10)
    ax.yaxis.set_major_formatter(tick_format(statistic, currency))
    times = pd.DatetimeIndex(lines.table.index)
    room = lines.step / 2
    ax.set_xlim(mdates.date2num(times[0] - room), mdates.date2num(times[-1] + room))
    date_axis(ax, times, most=most)
    ax.tick_params(axis="y", labelcolor=MUTED, labelsize=9)
    pale = lines.table[[c for c in lines.table.columns if c not in looks]].to_numpy()
    return bool(np.any(pale > ax.get_ylim()[1]))
