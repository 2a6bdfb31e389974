"""Before and after, side by side: how far each rate moved, and whether that is more than chance."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from flowperf_helpers.columns import require_columns
from flowperf_helpers.formats import (
    MISSING,
    VERDICT_SYMBOLS,
    axis_title,
    difference_text,
    percent_text,
    statistic_label,
    statistic_text,
)
from flowperf_helpers.plots.canvas import (
    below,
    canvas,
    few_ticks,
    headline,
    label_rows,
    nothing_to_draw,
    plural,
    put_alt,
    tick_format,
)
from flowperf_helpers.plots.rows import full_name, label_column, labels_of, noun_of
from flowperf_helpers.style import INK, MUTED, PALE, VERDICT_LOOKS, styled

__all__ = ["plot_comparison"]

REAL = ("higher", "lower")


@styled
def plot_comparison(
    compared: pd.DataFrame, *, rate: str | None = None, by: str | None = None, top: int = 15, ax: Axes | None = None
) -> Axes:
    """Dumbbells from before to after, those that moved beyond chance first.

    The pale bar is the 95 % interval of the change, drawn from where the rate was before: where it leaves out the
    hollow dot, the rate alone would be called changed. The verdict also reckons with how many rows were compared.

    Parameters
    ----------
    compared : DataFrame
        Of `compare_rates`: ``rate_before, rate_after, difference, low, high, verdict`` and grouping columns.
    rate : str, optional
        The statistic that was compared; left out: ``attrs["rate"]``.
    by : str, optional
        Column that names the rows; left out: the finest there is.
    top : int
        Rows shown.
    ax : Axes, optional
        To draw on.
    """
    rate = rate or str(compared.attrs.get("rate", "click_rate"))
    attrs = dict(compared.attrs)
    require_columns(compared, ["rate_before", "rate_after", "difference", "low", "high", "verdict"], "plot_comparison")
    by = label_column(compared, by, "plot_comparison")
    noun, label = noun_of(by), statistic_label(rate)
    known = compared[compared["rate_before"].notna() & compared["rate_after"].notna()]
    if not len(known):
        return nothing_to_draw(
            canvas(ax, height=2.2),
            f"No {noun} has a {label.lower()} in both periods: there is nothing to compare.",
            attrs,
        )
    known = _ranked(known)
    shown = known.head(top)
    labels = labels_of(shown, by)
    ax = canvas(ax, height=1.75 + 0.33 * len(shown))
    for row, values in enumerate(shown.to_dict("records")):
        _dumbbell(ax, row, values, rate)
    hang = label_rows(ax, labels)
    edges = [
        shown["rate_before"], shown["rate_after"],
        shown["rate_before"] + shown["low"].fillna(0), shown["rate_before"] + shown["high"].fillna(0),
    ]  # fmt: skip
    ends = pd.concat(edges).astype("float64")
    room = 0.04 * (float(ends.max() - max(ends.min(), 0)) or 0.01)
    ax.set_xlim(max(float(ends.min()), 0) - room, float(ends.max()) + room)
    few_ticks(ax)
    ax.xaxis.set_major_formatter(tick_format(rate, None))
    ax.set_xlabel(axis_title(rate, denominator=compared.attrs.get("denominator")), color=MUTED)
    _legend(ax, [str(v) for v in shown["verdict"]], hang)
    name = full_name(known.iloc[0], by)
    finding = _finding(known, name, label, noun)
    left = len(known) - len(shown)
    unknown = len(compared) - len(known)
    notes = [
        f"{label} by {noun}, before → after; bar: 95 % interval of the change",
        f"{plural(left, f'other {noun}')} not shown" if left else "",
        f"{plural(unknown, noun)} in one period only" if unknown else "",
    ]
    headline(ax, finding, " · ".join(n for n in notes if n), attrs, hang=hang)
    put_alt(ax, _alt(known, name, rate, noun), attrs)
    return ax


def _ranked(known: pd.DataFrame) -> pd.DataFrame:
    """Real changes by size, then the others by the size of their sample: three recipients make the widest swings."""
    change = known["difference"].abs().fillna(0).astype("float64")
    sample = known["denominator_after"].astype("float64").fillna(0) if "denominator_after" in known else change
    real = known["verdict"].isin(REAL)
    order = pd.DataFrame({"real": real, "size": change.where(real, sample)})
    return known.loc[order.sort_values(["real", "size"], ascending=False, kind="stable").index]


def _dumbbell(ax: Axes, row: int, values: dict[Any, Any], rate: str) -> None:
    before, after = float(values["rate_before"]), float(values["rate_after"])
    low, high = float(values["low"]), float(values["high"])
    verdict = str(values["verdict"])
    marker, color = VERDICT_LOOKS.get(verdict, ("o", MUTED))
    if low == low and high == high:
        ax.plot([max(before + low, 0), before + high], [row, row], color=PALE, linewidth=7, alpha=0.55,
                solid_capstyle="butt", zorder=1)  # fmt: skip
    ax.plot([before, after], [row, row], color=color, linewidth=1.6, zorder=2,
            linestyle="-" if verdict in REAL else (0, (2, 2)))  # fmt: skip
    ax.plot([before], [row], "o", markersize=6.5, markerfacecolor="white", markeredgecolor=MUTED, zorder=3)
    ax.plot([after], [row], marker=marker, markersize=8.5 if verdict in REAL else 6, color=color,
            markeredgecolor="white", zorder=4)  # fmt: skip
    text = f"{VERDICT_SYMBOLS.get(verdict, '•')} {difference_text(values['difference'], rate)}"
    ax.annotate(text, (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK if verdict in REAL else MUTED,
                fontweight="bold" if verdict in REAL else "normal")  # fmt: skip


def _legend(ax: Axes, verdicts: list[str], hang: float) -> None:
    """Say in words what the markers mean, for those verdicts that occur."""
    handles = [Line2D([], [], marker="o", linestyle="", markerfacecolor="white", markeredgecolor=MUTED, label="before")]
    for verdict, (marker, color) in VERDICT_LOOKS.items():
        if verdict in verdicts:
            size = 8 if verdict in REAL else 6
            handles.append(Line2D([], [], marker=marker, ls="", color=color, markersize=size, label=verdict))
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=5,
              bbox_transform=below(ax, 38, hang=hang),
              handletextpad=0.2, columnspacing=1.2, borderaxespad=0, labelcolor=MUTED)  # fmt: skip


def _finding(known: pd.DataFrame, name: str, label: str, noun: str) -> str:
    real = known[known["verdict"].isin(REAL)]
    if not len(real):
        return f"No {noun}’s {label.lower()} moved beyond chance"
    first = real.iloc[0]
    word = "rose" if first["verdict"] == "higher" else "fell"
    change = f"{percent_text(first['rate_before'])} → {percent_text(first['rate_after'])}"
    more = f" (+{len(real) - 1} more)" if len(real) > 1 else ""
    return f"{name}: {label.lower()} {word} beyond chance, {change}{more}"


def _alt(known: pd.DataFrame, name: str, rate: str, noun: str) -> str:
    label = statistic_label(rate).lower()
    up, down = (int((known["verdict"] == verdict).sum()) for verdict in REAL)
    if not up + down:
        return f"Before and after of {label} for {plural(len(known), noun)}: none moved beyond chance."
    first = known.iloc[0]
    ends = [difference_text(first[end], rate) for end in ("low", "high")]
    precise = "" if MISSING in ends else f", 95 % interval of the change {ends[0]} to {ends[1]}"
    return (
        f"Before and after of {label} for {plural(len(known), noun)}: {up} higher and {down} lower beyond chance, "
        f"most of all {name} from {statistic_text(first['rate_before'], rate)} to "
        f"{statistic_text(first['rate_after'], rate)}{precise}."
    )
