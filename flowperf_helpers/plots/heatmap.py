"""Flow × week at a glance: one cell per group and interval, empty where nothing is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import axis_title, money_text, statistic_label, statistic_text, unit_of
from flowperf_helpers.plots.figure import (
    canvas,
    headline,
    label_column,
    label_rows,
    nothing_known,
    nothing_to_draw,
    noun_of,
    parts_of,
    plural,
    put_alt,
    tick_format,
)
from flowperf_helpers.plots.hover import tell
from flowperf_helpers.plots.style import GRID, HATCH, INK, MUTED, styled
from flowperf_helpers.plots.time_axis import Lines, interval_name, lines_of, runs_of

__all__ = ["plot_heatmap"]

RAMP = LinearSegmentedColormap.from_list("flowperf", ["#F3F7FB", "#A9CFE8", "#4C9BCB", "#0072B2", "#01365A"])
"""One hue from light to dark: the order survives a grey printer."""

_ENOUGH = 100  # recipients a cell needs to set the scale
_MOST_NUMBERS = 13  # columns up to which each cell says its number


@styled
def plot_heatmap(
    series: pd.DataFrame, *, statistic: str, by: str = "flow_name", top: int = 25, ax: Axes | None = None
) -> Axes:
    """Heat map, the largest groups on top; crossed cells have no value, hatched columns are not final.

    Parameters
    ----------
    series : DataFrame
        Series frame, as for `plot_series`.
    statistic : str
        Column to colour by.
    by : str
        Column that names the rows.
    top : int
        Rows shown.
    ax : Axes, optional
        To draw on; the colour scale takes its room from it.
    """
    by = label_column(series, by, "plot_heatmap")
    require_columns(series, ["interval_start", statistic], "plot_heatmap")
    attrs, noun, currency = dict(series.attrs), noun_of(by), series.attrs.get("currency")
    lines = lines_of(series, statistic, by)
    columns = list(lines.table.columns[:top])
    if not columns:
        return nothing_to_draw(canvas(ax, height=2.4), nothing_known(statistic, noun, series), attrs)
    values = lines.table[columns].to_numpy().T
    labels = [lines.labels[c] for c in columns]
    ax = canvas(ax, width=9.0, height=1.9 + 0.3 * len(columns), grid="")
    ax.set_aspect("auto")
    weighty = _weighty(series, lines, statistic, by, columns)
    most, least = float(np.nanmax(weighty)) or 1.0, min(0.0, float(np.nanmin(values)))
    is_cut = bool(np.nanmax(values) > most)
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(values), cmap=RAMP, vmin=least, vmax=most, edgecolors="white", linewidth=1.2
    )
    weeks = [interval_name(start, lines.step) for start in lines.table.index]
    tell(mesh, [
        f"{label}, {when}: {statistic_text(value, statistic, currency)}"
        for label, row in zip(labels, values, strict=True) for when, value in zip(weeks, row, strict=True)
    ])  # fmt: skip
    hang = label_rows(ax, labels)
    ax.set_yticks(np.arange(len(labels)) + 0.5, labels=labels, parse_math=False)
    ax.set_ylim(len(labels), 0)
    _cells(ax, values, most, statistic, currency, numbers=values.shape[1] <= _MOST_NUMBERS)
    _columns(ax, lines)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(
        mesh,
        ax=ax,
        pad=0.015,
        aspect=30,
        fraction=0.03,
        format=tick_format(statistic, currency),
        extend="max" if is_cut else "neither",
    )
    parts = parts_of(series, statistic)
    bar.set_label(axis_title(statistic, currency, denominator=parts[1] if parts else None), color=MUTED)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8.5, labelcolor=MUTED, length=0)
    row, column = (int(i) for i in np.unravel_index(np.nanargmax(weighty), values.shape))
    best, when = (
        statistic_text(values[row, column], statistic, currency),
        interval_name(lines.table.index[column], lines.step),
    )
    left = len(lines.table.columns) - len(columns)
    label = statistic_label(statistic)
    notes = [
        f"{label} by {noun}, most recipients on top" if "recipients" in series else f"{label} by {noun}",
        "crossed: no value" if np.isnan(values).any() else "",
        "hatched: not final yet" if len(lines.soft) else "",
        f"darkest: also above, from under {_ENOUGH} recipients" if is_cut else "",
        f"{plural(left, f'other {noun}')} not shown" if left > 0 else "",
    ]
    headline(ax, f"{label} peaks at {best}: {labels[row]}, {when}", " · ".join(n for n in notes if n), attrs, hang=hang)
    first, last = (interval_name(lines.table.index[i], lines.step) for i in (0, -1))
    unknown = int(np.isnan(values).sum())
    put_alt(
        ax,
        f"Heat map of {label.lower()} for {plural(len(columns), noun)} from {first} to {last}: the highest is {best} "
        f"({labels[row]}, {when}), the lowest {statistic_text(np.nanmin(values), statistic, currency)}; "
        f"{plural(unknown, 'cell')} without a value.",
        attrs,
    )
    return ax


def _weighty(series: pd.DataFrame, lines: Lines, statistic: str, by: str, columns: list[Any]) -> np.ndarray:
    """Values whose cell has recipients enough for a rate to mean something; all where none has, and for counts."""
    values = lines.table[columns].to_numpy().T
    if unit_of(statistic) != "fraction" or "recipients" not in series.columns:
        return values
    sent = lines_of(series, "recipients", by).table.reindex(index=lines.table.index, columns=columns).to_numpy().T
    kept = np.where(sent >= _ENOUGH, values, np.nan)
    return values if np.isnan(kept).all() else kept


def _cells(ax: Axes, values: np.ndarray, most: float, statistic: str, currency: str | None, *, numbers: bool) -> None:
    """Cross out empty cells and, where there is room, write the numbers."""
    middle = (most + min(0.0, float(np.nanmin(values)))) * 0.52
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            box = Rectangle((column, row), 1, 1, facecolor="white", edgecolor=GRID, hatch="xx", linewidth=0)
            box.set_gid("no-value")
            ax.add_patch(box)
        elif numbers:
            text = statistic_text(value, statistic, currency).replace("\N{NO-BREAK SPACE}%", "")
            text = money_text(value, currency, compact=True) if unit_of(statistic) == "money" else text
            ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, zorder=4, in_layout=False,
                    color="white" if value > middle else INK)  # fmt: skip


def _columns(ax: Axes, lines: Lines) -> None:
    """Name the intervals, as many as fit, and hatch those that are not final."""
    index = pd.DatetimeIndex(lines.table.index)
    every = max(1, -(-len(index) // 14))
    places = list(range(len(index) - 1, -1, -every))[::-1]
    ax.set_xticks([p + 0.5 for p in places], labels=[interval_name(index[p], lines.step) for p in places])
    ax.tick_params(axis="x", length=0)
    for first, last in runs_of(list(index.isin(lines.soft))):
        area = Rectangle((first, 0), last - first + 1, lines.table.shape[1], facecolor="none", edgecolor="#7F8B97",
                         hatch=HATCH, linewidth=0, alpha=0.4, zorder=3)  # fmt: skip
        area.set_gid("not-final")
        ax.add_patch(area)
