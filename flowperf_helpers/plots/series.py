"""Statistics over time: one line per group or a panel per statistic, with limits where asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import short_name, statistic_label, statistic_text
from flowperf_helpers.plots.figure import (
    SANDBOX_LOOKS,
    SANDBOX_MARK,
    breathe,
    canvas,
    headline,
    label_column,
    nothing_known,
    nothing_to_draw,
    noun_of,
    plural,
    put_alt,
    value_title,
)
from flowperf_helpers.plots.hover import tell
from flowperf_helpers.plots.style import (
    COLORS,
    HATCH,
    INK,
    MUTED,
    PALE,
    SERIES,
    printable,
    styled,
    wrapped,
)
from flowperf_helpers.plots.time_axis import (
    Lines,
    draw_lines,
    interval_name,
    lines_of,
    middle_width,
    name_ends,
    scale_lines,
    wall_times,
)

__all__ = ["draw_limits", "plot_series", "plot_small_multiples", "signal_words"]


# Control limits on a time axis: the band of ordinary weeks, and the points outside it with their dates.


MOST_PALE = 6
"""Other lines that are drawn pale; more of them would be scribble."""


_MOST_DATES = 4


def draw_limits(ax: Axes, limits: pd.DataFrame) -> None:
    """Draw centre and band, ring the signals and write dates at the latest ones.

    Parameters
    ----------
    limits : DataFrame
        One group, in time order: ``interval_start, centre, lower, upper, is_signal``, and ``value`` where it is known.
    """
    wall = wall_times(pd.DatetimeIndex(limits["interval_start"]))
    times = mdates.date2num(wall.to_pydatetime())
    centre, lower, upper = (limits[c].astype("float64").to_numpy() for c in ("centre", "lower", "upper"))
    band = ax.fill_between(times, lower, upper, step="mid", color=PALE, alpha=0.35, linewidth=0, zorder=0.5)
    band.set_gid("limits")
    (line,) = ax.plot(times, centre, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5, label="_centre")
    step = middle_width(wall)
    tell(line, [f"usual, {interval_name(start, step)}" for start in wall])
    if "value" not in limits.columns:
        return
    values = limits["value"].astype("float64").to_numpy()
    found = np.flatnonzero(limits["is_signal"].fillna(False).astype(bool).to_numpy() & ~np.isnan(values))
    if not len(found):
        return
    ax.plot(times[found], values[found], linestyle="", marker="o", markersize=12, markerfacecolor="none",
            markeredgecolor=COLORS["vermillion"], markeredgewidth=1.8, zorder=5, label="_signals")  # fmt: skip
    written: list[float] = []
    apart = 0.06 * (times[-1] - times[0] or 1.0)
    for place in found[::-1]:
        if len(written) >= _MOST_DATES or any(abs(times[place] - other) < apart for other in written):
            continue
        written.append(times[place])
        below = values[place] < centre[place]
        ax.annotate(interval_name(wall[place], step), (times[place], values[place]), xytext=(0, -11 if below else 11),
                    textcoords="offset points", ha="center", va="top" if below else "bottom", fontsize=9,
                    color=COLORS["vermillion"], fontweight="bold", zorder=6)  # fmt: skip


def _when(start: pd.Timestamp, step: pd.Timedelta) -> str:
    """An interval as a sentence names it: in a week or month, on a day."""
    return f"{'in' if step > pd.Timedelta(days=2) else 'on'} {interval_name(start, step)}"


def signal_words(limits: pd.DataFrame, step: pd.Timedelta, statistic: str, currency: str | None) -> str:
    """The latest signal in words, and how many there are."""
    flagged = limits[limits["is_signal"].fillna(False).astype(bool)]
    if not len(flagged):
        return "nothing outside the control limits"
    last = flagged.iloc[-1]
    when = _when(wall_times(pd.DatetimeIndex([last["interval_start"]]))[0], step)
    side = "above" if float(last["value"]) > float(last["centre"]) else "below"
    others = f", the latest of {len(flagged)} signals" if len(flagged) > 1 else ""
    usual = statistic_text(last["centre"], statistic, currency)
    return f"{statistic_text(last['value'], statistic, currency)} {when} lies {side} the usual {usual}{others}"


# Statistics over time: one line per group, gaps as gaps, what is not final hatched, limits where they are given.


@styled
def plot_series(
    frame: pd.DataFrame,
    *,
    statistic: str,
    by: str = "flow_name",
    limits: pd.DataFrame | None = None,
    top: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Lines over time of the largest groups; a few others stay pale in the background, many are counted only.

    Without limits the title names the line that lies farthest from its median, as in `plot_small_multiples`.

    Parameters
    ----------
    frame : DataFrame
        Series frame: ``interval_start``, ``by``, the statistic, and ``is_partial, is_provisional`` where known.
    statistic : str
        Column to draw.
    by : str
        Column that names the lines; rows that share it are rolled up per interval.
    limits : DataFrame, optional
        Of `control_limits`, for one group: ``interval_start, centre, lower, upper, is_signal``.
    top : int
        Lines with a colour and a label, at most six.
    ax : Axes, optional
        To draw on.

    Raises
    ------
    ArgumentError
        Missing columns, or limits of several groups at once.
    """
    by = label_column(frame, by, "plot_series")
    require_columns(frame, ["interval_start", statistic], "plot_series")
    attrs, noun, currency = dict(frame.attrs), noun_of(by), frame.attrs.get("currency")
    lines = lines_of(frame, statistic, by)
    if not len(lines.table.columns):
        return nothing_to_draw(ax, nothing_known(statistic, noun, frame), attrs, height=2.4)
    ax = canvas(ax, height=4.0, grid="y")
    looks: dict[object, int] = {c: place for place, c in enumerate(lines.table.columns[: min(top, len(SERIES))])}
    others = len(lines.table.columns) - len(looks)
    if others > MOST_PALE:
        lines = replace(lines, table=lines.table[list(looks)])
    draw_lines(ax, lines, looks)
    notes = [statistic_label(statistic) + f" by {noun}"]
    signals, also = "", []
    if limits is not None:
        limits = _limits_of_one(limits, lines)
        draw_limits(ax, limits)
        signals = signal_words(limits, lines.step, statistic, currency)
        notes.append("grey band: control limits, ringed: signals")
        also = [*limits["lower"].astype("float64"), *limits["upper"].astype("float64")]
    is_cut = scale_lines(ax, lines, statistic, currency, looks, also=also, headroom=0.08 if limits is None else 0.18)
    name_ends(ax, lines, statistic, currency, looks)
    ax.set_ylabel(value_title(frame, statistic), color=MUTED)
    if len(lines.soft):
        notes.append("hatched: not final yet")
    if others > MOST_PALE:
        notes.append(f"{plural(others, f'smaller {noun}')} not drawn")
    elif others > 0:
        notes.append(f"pale: {plural(others, f'other {noun}')}" + (", cut at the top" if is_cut else ""))
    name = short_name(lines.labels[lines.table.columns[0]], 40)
    finding = f"{name}: {signals}" if limits is not None else _farthest({statistic: lines}, currency)
    headline(ax, finding, notes, _line_words(lines, statistic, currency, noun, signals), attrs, hang=44)
    return ax


def _limits_of_one(limits: pd.DataFrame, lines: Lines) -> pd.DataFrame:
    require_columns(limits, ["interval_start", "centre", "lower", "upper", "is_signal"], "The frame of control limits")
    if limits.duplicated("interval_start").any():
        key = next((c for c in limits.columns if set(lines.table.columns) & set(limits[c].astype("object"))), None)
        if key is None or len(lines.table.columns) != 1:
            raise ArgumentError(
                "The control limits are of several groups: draw one group at a time, frame and limits filtered alike."
            )
        limits = limits[limits[key] == lines.table.columns[0]]
    return limits.sort_values("interval_start")


def _line_words(lines: Lines, statistic: str, currency: str | None, noun: str, signals: str) -> str:
    """The text alternative of some lines, about the largest group."""
    label = statistic_label(statistic)
    first = lines.table.columns[0]
    name, final = lines.labels[first], lines.table[first][~lines.table.index.isin(lines.soft)].dropna()
    known = final if len(final) else lines.table[first].dropna()
    start, end = (statistic_text(known.iloc[i], statistic, currency) for i in (0, -1))
    opening, closing = (interval_name(known.index[i], lines.step) for i in (0, -1))
    span = f"from {start} ({opening}) to {end} ({closing})"
    groups = plural(len(lines.table.columns), noun)
    tail = f"; {signals}" if signals else ""
    soft = f"; the last {plural(len(lines.soft), 'interval')} are not final" if len(lines.soft) > 1 else (
        "; the last interval is not final" if len(lines.soft) else ""
    )  # fmt: skip
    went = f"{name} went {span}" if len(known) > 1 else f"{name} had {end} ({closing})"
    return f"Lines of {label.lower()} for {groups} over {plural(len(lines.table), 'interval')}: {went}{tail}{soft}."


# Several statistics over the same weeks or days, a panel each.


@styled
def plot_small_multiples(
    frame: pd.DataFrame, *, statistics: Sequence[str], by: str = "flow_name", top: int = 3
) -> npt.NDArray[np.object_]:
    """One panel per statistic over the same weeks or days, two abreast, each with the largest groups only.

    The title names the line whose last final value lies farthest from its own median, in units of its usual distance
    from it: a place to look, not a verdict.

    Parameters
    ----------
    frame : DataFrame
        Series frame.
    statistics : sequence of str
        Columns to draw, a panel each.
    by : str
        Column that names the lines; the same colour in every panel.
    top : int
        Lines drawn.

    Returns
    -------
    array of Axes
        In the order asked, all on one figure.
    """
    if not statistics:
        raise ArgumentError("plot_small_multiples draws at least one statistic: give their names.")
    by = label_column(frame, by, "plot_small_multiples")
    require_columns(frame, ["interval_start", *statistics], "plot_small_multiples")
    statistics = list(dict.fromkeys(statistics))
    columns = min(2, len(statistics))
    height = -(-len(statistics) // columns)
    figure, grid = plt.subplots(
        height, columns, figsize=(10.5, 0.9 + 2.5 * height), layout="constrained", squeeze=False, sharex=True
    )
    panels = grid.ravel()
    breathe(figure)
    for spare in panels[len(statistics) :]:
        spare.remove()
        panels[len(statistics) - 2].tick_params(axis="x", labelbottom=True)
    shaped = {statistic: lines_of(frame, statistic, by) for statistic in statistics}
    names: dict[object, str] = {}
    for lines in shaped.values():
        names |= {key: name for key, name in lines.labels.items() if key not in names}
    looks = {key: place for place, key in enumerate(list(names)[: min(top, len(SERIES))])}
    noun, currency = noun_of(by), frame.attrs.get("currency")
    for ax, (statistic, lines) in zip(panels, shaped.items(), strict=False):
        canvas(ax, grid="y")
        if not len(lines.table.columns):
            nothing_to_draw(ax, f"{statistic_label(statistic)} is not known for any {noun} here.", {})
            put_alt(ax, ax.get_label(), frame.attrs)
            continue
        kept = [column for column in lines.table.columns if column in looks] or [*lines.table.columns[:top]]
        shaped[statistic] = lines = replace(lines, table=lines.table[kept])
        draw_lines(ax, lines, looks)
        scale_lines(ax, lines, statistic, currency, looks, most=4)
        name_ends(ax, lines, statistic, currency, looks)
        ax.set_title(value_title(frame, statistic), loc="left", fontsize=10.5, fontweight="bold", color=INK)
        put_alt(ax, _line_words(lines, statistic, currency, noun, ""), frame.attrs)
    _legend(figure, len(names) - len(looks), noun, any(len(lines.soft) for lines in shaped.values()))
    finding = _farthest(shaped, currency) or f"No {noun} has numbers here"
    _heading(figure, finding, sandbox=bool(frame.attrs.get("sandbox")))
    return np.asarray(panels[: len(statistics)], dtype=object)


def _farthest(shaped: dict[str, Lines], currency: str | None) -> str:
    """The line whose last final value is farthest from its median, measured by its median distance from it.

    Where no interval is final yet, the last value as it stands.
    """
    best, words = -1.0, ""
    for statistic, lines in shaped.items():
        is_final = ~lines.table.index.isin(lines.soft)
        for column, values in lines.table[is_final if is_final.any() else ~is_final].items():
            known = values.dropna()
            if not len(known):
                continue
            usual, last = float(known.median()), float(known.iloc[-1])
            spread = float((known - usual).abs().median())
            far = abs(last - usual) / spread if spread else 0.0
            if far > best:
                now, then = (statistic_text(value, statistic, currency) for value in (last, usual))
                seen = f"{lines.labels[column]}: {statistic_label(statistic).lower()} {now}"
                best, words = far, f"{seen} {_when(known.index[-1], lines.step)}, farthest from its median ({then})"
    return words


def _legend(figure: Figure, others: int, noun: str, has_soft: bool) -> None:
    handles = [Patch(facecolor="white", edgecolor=PALE, hatch=HATCH, label="not final yet")] if has_soft else []
    if others > 0:
        handles.append(Patch(facecolor="none", label=f"{plural(others, f'smaller {noun}')} not drawn"))
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=2, labelcolor=INK)


def _heading(figure: Figure, finding: str, *, sandbox: bool) -> None:
    inches = figure.get_figwidth()
    room = 72 * inches - (190 if sandbox else 20)
    text = wrapped(printable(finding), room, 12.5, bold=True)
    figure.suptitle(text, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    if sandbox:
        figure.text(0.99, 0.98, SANDBOX_MARK, ha="right", va="top", **SANDBOX_LOOKS)
