"""Statistics over time: one line per group, gaps as gaps, what is not final hatched, limits where they are given."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.columns import require_columns
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.formats import axis_title, statistic_label, statistic_text
from flowperf_helpers.names import short_name
from flowperf_helpers.plots.canvas import canvas, headline, nothing_to_draw, plural, put_alt
from flowperf_helpers.plots.limits import draw_limits, signal_words
from flowperf_helpers.plots.lines import Lines, draw_lines, lines_of, name_ends, scale_lines
from flowperf_helpers.plots.rows import label_column, nothing_known, noun_of, parts_of
from flowperf_helpers.plots.timelines import interval_name
from flowperf_helpers.style import MUTED, SERIES, styled

__all__ = ["line_words", "plot_series"]


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
    """Lines over time of the largest groups; the others stay pale in the background.

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
        return nothing_to_draw(canvas(ax, height=2.4), nothing_known(statistic, noun, frame), attrs)
    ax = canvas(ax, height=4.0, grid="y")
    looks: dict[object, int] = {
        column: place for place, column in enumerate(lines.table.columns[: min(top, len(SERIES))])
    }
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
    parts = parts_of(frame, statistic)
    ax.set_ylabel(axis_title(statistic, currency, denominator=parts[1] if parts else None), color=MUTED)
    if len(lines.soft):
        notes.append("hatched: not final yet")
    others = len(lines.table.columns) - len(looks)
    if others > 0:
        notes.append(f"pale: {plural(others, f'other {noun}')}" + (", cut at the top" if is_cut else ""))
    finding, alt = line_words(lines, statistic, currency, noun, signals)
    headline(ax, finding, " · ".join(notes), attrs, hang=44)
    put_alt(ax, alt, attrs)
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


def line_words(lines: Lines, statistic: str, currency: str | None, noun: str, signals: str) -> tuple[str, str]:
    """The finding and the text alternative of some lines, told of the largest group."""
    label = statistic_label(statistic)
    first = lines.table.columns[0]
    name, final = lines.labels[first], lines.table[first][~lines.table.index.isin(lines.soft)].dropna()
    known = final if len(final) else lines.table[first].dropna()
    start, end = (statistic_text(known.iloc[i], statistic, currency) for i in (0, -1))
    opening, closing = (interval_name(known.index[i], lines.step) for i in (0, -1))
    span = f"from {start} ({opening}) to {end} ({closing})"
    finding = f"{name}: {label.lower()} {span}" if len(known) > 1 else f"{name}: {label.lower()} {end} ({closing})"
    if signals:
        finding = f"{short_name(name, 40)}: {signals}"
    groups = plural(len(lines.table.columns), noun)
    tail = f"; {signals}" if signals else ""
    soft = f"; the last {plural(len(lines.soft), 'interval')} are not final" if len(lines.soft) > 1 else (
        "; the last interval is not final" if len(lines.soft) else ""
    )  # fmt: skip
    went = f"{name} went {span}" if len(known) > 1 else f"{name} had {end} ({closing})"
    return (
        finding,
        f"Lines of {label.lower()} for {groups} over {plural(len(lines.table), 'interval')}: {went}{tail}{soft}.",
    )
