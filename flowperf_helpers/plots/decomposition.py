"""Where a change came from: a waterfall from the rate before to the rate after, message by message."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import axis_title, percent_text, points_text, statistic_label
from flowperf_helpers.plots.figure import (
    below,
    canvas,
    few_ticks,
    full_name,
    headline,
    label_column,
    label_rows,
    labels_of,
    nothing_to_draw,
    noun_of,
    plural,
    put_alt,
    tick_format,
)
from flowperf_helpers.plots.style import COLORS, HATCH, INK, MUTED, PALE, styled

__all__ = ["plot_effects"]

WITHIN, MIX = COLORS["blue"], COLORS["orange"]


@styled
def plot_effects(
    decomposed: pd.DataFrame, *, rate: str | None = None, by: str | None = None, top: int = 8, ax: Axes | None = None
) -> Axes:
    """Waterfall of mix and within effects, largest first, the rest in one row.

    Parameters
    ----------
    decomposed : DataFrame
        Of `decompose`: grouping columns, ``mix_effect, within_effect, total_effect`` (fractions), ``is_new, is_gone``;
        ``attrs`` may tell ``rate, total_before, total_after, denominator``. Without totals it starts at no change.
    rate : str, optional
        The statistic; left out: ``attrs["rate"]``.
    by : str, optional
        Column that names the rows.
    top : int
        Messages with a row of their own.
    ax : Axes, optional
        To draw on.
    """
    attrs = dict(decomposed.attrs)
    rate = rate or str(attrs.get("rate", "click_rate"))
    require_columns(decomposed, ["mix_effect", "within_effect", "total_effect"], "plot_effects")
    by = label_column(decomposed, by, "plot_effects")
    noun, label = noun_of(by), statistic_label(rate)
    known = decomposed[decomposed["total_effect"].notna()]
    if not len(known):
        return nothing_to_draw(
            canvas(ax, height=2.2), f"No {noun} was mailed in both periods: a change cannot be split.", attrs
        )
    known = known.loc[known["total_effect"].abs().sort_values(ascending=False, kind="stable").index]
    shown, rest = known.head(top), known.iloc[top:]
    steps = [
        (name + _mark(row), float(row["mix_effect"]), float(row["within_effect"]))
        for name, row in zip(labels_of(shown, by, 38), shown.to_dict("records"), strict=True)
    ]
    if len(rest):
        steps.append(
            (plural(len(rest), f"other {noun}"), float(rest["mix_effect"].sum()), float(rest["within_effect"].sum()))
        )
    before = attrs.get("total_before")
    has_level = isinstance(before, float) and before == before
    start = float(before) if has_level and before is not None else 0.0
    ax = canvas(ax, height=1.9 + 0.33 * (len(steps) + 2))
    end = _steps(ax, steps, start)
    last = len(steps) + 1
    for row, value in ((0, start), (last, end)):
        ax.plot([value], [row], "D", color=INK, markersize=7)
        _at_right(ax, row, percent_text(value) if has_level else points_text(value), bold=True)
    names = (
        ["Before", *(name for name, _, _ in steps), "After"]
        if has_level
        else ["No change", *(n for n, _, _ in steps), "Change"]
    )
    hang = label_rows(ax, names)
    ax.set_xlim(*_room(steps, start))
    few_ticks(ax)
    ax.xaxis.set_major_formatter(tick_format(rate, None))
    title = axis_title(rate, denominator=attrs.get("denominator"))
    ax.set_xlabel(title if has_level else f"Change of {label.lower()} (percentage points)", color=MUTED)
    ax.legend(handles=[
        Patch(facecolor=WITHIN, label="within: how the message itself did"),
        Patch(facecolor="white", edgecolor=MIX, hatch=HATCH, label="mix: who was mailed"),
    ], loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below(ax, 38, hang=hang), ncols=2, borderaxespad=0,
        labelcolor=MUTED, columnspacing=1.4)  # fmt: skip
    mix, within = float(known["mix_effect"].sum()), float(known["within_effect"].sum())
    finding = _finding(label, mix, within)
    name = full_name(shown.iloc[0], by) + _mark(shown.iloc[0].to_dict())
    where = f"largest part: {name}, {points_text(steps[0][1] + steps[0][2])}"
    headline(ax, finding, f"Mix {points_text(mix)}, within {points_text(within)} · {where}", attrs, hang=hang)
    levels = f" from {percent_text(start)} to {percent_text(end)}" if has_level else ""
    put_alt(
        ax,
        f"Waterfall of the change of {label.lower()}{levels} ({points_text(end - start)}) over "
        f"{plural(len(known), noun)}: mix {points_text(mix)}, within {points_text(within)}, most from {name} "
        f"({points_text(steps[0][1] + steps[0][2])}).",
        attrs,
    )
    return ax


def _mark(row: dict[Any, Any]) -> str:
    return " (new)" if row.get("is_new") else " (gone)" if row.get("is_gone") else ""


def _room(steps: list[tuple[str, float, float]], start: float) -> tuple[float, float]:
    """Limits of the axis that leave no bar cut."""
    level, reached = start, [start]
    for _, mix, within in steps:
        reached += [level + within, level + within + mix]
        level += within + mix
    room = 0.05 * (max(reached) - min(reached) or 0.001)
    return min(reached) - room, max(reached) + room


def _steps(ax: Axes, steps: list[tuple[str, float, float]], start: float) -> float:
    """Draw the floating bars; returns where they end."""
    level = start
    for row, (_, mix, within) in enumerate(steps, start=1):
        ax.plot([level, level], [row - 1, row + 0.3], color=PALE, linewidth=1, zorder=1)
        ax.barh(row - 0.14, within, left=level, height=0.26, color=WITHIN, zorder=2)
        ax.barh(
            row + 0.14, mix, left=level + within, height=0.26, facecolor="white", edgecolor=MIX, hatch=HATCH, zorder=2
        )
        level += within + mix
        _at_right(ax, row, points_text(within + mix))
    ax.plot([level, level], [len(steps), len(steps) + 1], color=PALE, linewidth=1, zorder=1)
    return level


def _at_right(ax: Axes, row: int, text: str, *, bold: bool = False) -> None:
    ax.annotate(text, (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK, fontweight="bold" if bold else "normal")  # fmt: skip


def _finding(label: str, mix: float, within: float) -> str:
    change = mix + within
    if points_text(change) == points_text(0.0) or change == 0:
        return f"{label} as a whole did not move"
    word = "rose" if change > 0 else "fell"
    if mix * within < 0:
        cause = "mix outweighed" if abs(mix) > abs(within) else "messages outweighed"
        against = "how messages did" if abs(mix) > abs(within) else "who was mailed"
        return f"{label} {word} by {points_text(abs(change)).lstrip('+')}: {cause} {against}"
    cause = "who was mailed" if abs(mix) > abs(within) else "how messages did"
    return f"{label} {word} by {points_text(abs(change)).lstrip('+')}, mostly by {cause}"
