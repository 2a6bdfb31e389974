"""Several statistics over the same weeks or days, a panel each."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from flowperf_helpers.columns import require_columns
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.formats import axis_title, statistic_label
from flowperf_helpers.plots.canvas import SANDBOX_MARK, breathe, canvas, nothing_to_draw, plural, put_alt
from flowperf_helpers.plots.lines import draw_lines, lines_of, scale_lines
from flowperf_helpers.plots.rows import label_column, noun_of, parts_of
from flowperf_helpers.plots.series import line_words
from flowperf_helpers.style import COLORS, HATCH, INK, LINES, MARKERS, PALE, SERIES, printable, styled, wrapped

__all__ = ["plot_small_multiples"]


@styled
def plot_small_multiples(
    frame: pd.DataFrame, *, statistics: Sequence[str], by: str = "flow_name", top: int = 3
) -> npt.NDArray[np.object_]:
    """One panel per statistic over the same weeks or days, two abreast.

    Parameters
    ----------
    frame : DataFrame
        Series frame.
    statistics : sequence of str
        Columns to draw, a panel each.
    by : str
        Column that names the lines; the same colour in every panel.
    top : int
        Lines with a colour.

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
    figure, grid = plt.subplots(height, columns, figsize=(9.5, 0.9 + 2.5 * height), layout="constrained", squeeze=False,
                                sharex=True)  # fmt: skip
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
        draw_lines(ax, lines, looks)
        scale_lines(ax, lines, statistic, currency, looks)
        parts = parts_of(frame, statistic)
        label = axis_title(statistic, currency, denominator=parts[1] if parts else None)
        ax.set_title(label, loc="left", fontsize=10.5, fontweight="bold", color=INK)
        put_alt(ax, line_words(lines, statistic, currency, noun, "")[1], frame.attrs)
    _legend(figure, names, looks, noun, any(len(lines.soft) for lines in shaped.values()))
    drawn = [(name, lines) for name, lines in shaped.items() if len(lines.table.columns)]
    finding = (
        f"No {noun} has numbers here" if not drawn else line_words(drawn[0][1], drawn[0][0], currency, noun, "")[0]
    )
    _heading(figure, finding, sandbox=bool(frame.attrs.get("sandbox")))
    return np.asarray(panels[: len(statistics)], dtype=object)


def _legend(figure: Figure, names: dict[object, str], looks: dict[object, int], noun: str, has_soft: bool) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=SERIES[i], linestyle=LINES[i], marker=MARKERS[i], markersize=5, label=names[key])
        for key, i in looks.items()
    ]
    others = len(names) - len(looks)
    if others > 0:
        handles.append(Line2D([], [], color=PALE, linewidth=1, label=plural(others, f"other {noun}")))
    if has_soft:
        handles.append(Patch(facecolor="white", edgecolor=PALE, hatch=HATCH, label="not final yet"))
    figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 3), labelcolor=INK)


def _heading(figure: Figure, finding: str, *, sandbox: bool) -> None:
    inches = figure.get_figwidth()
    room = 72 * inches - (190 if sandbox else 20)
    text = wrapped(printable(finding), room, 12.5, bold=True)
    figure.suptitle(text, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    if sandbox:
        box = {"boxstyle": "square,pad=0.3", "facecolor": COLORS["yellow"], "edgecolor": "none"}
        figure.text(
            0.99, 0.98, SANDBOX_MARK, ha="right", va="top", fontsize=8.5, fontweight="bold", color="black", bbox=box
        )
