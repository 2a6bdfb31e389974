"""Variations of a message against each other: each rate with its interval, and how likely each is the best."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.columns import require_columns
from flowperf_helpers.formats import MISSING, axis_title, interval_text, percent_text, probability_text, statistic_label
from flowperf_helpers.names import short_name
from flowperf_helpers.plots.canvas import (
    canvas,
    few_ticks,
    headline,
    label_rows,
    nothing_to_draw,
    plural,
    put_alt,
    tick_format,
)
from flowperf_helpers.plots.rows import label_column, labels_of
from flowperf_helpers.style import COLORS, INK, MUTED, PALE, printable, styled, text_width

__all__ = ["plot_duel"]


@styled
def plot_duel(duel: pd.DataFrame, *, rate: str | None = None, top: int = 8, ax: Axes | None = None) -> Axes:
    """Dots with 95 % intervals, variations of one message together, the likely best one filled.

    Parameters
    ----------
    duel : DataFrame
        Of `variation_duel`: per message and variation ``rate, low, high, probability_best, klaviyo_rule, verdict``.
    rate : str, optional
        The statistic; left out: ``attrs["rate"]``.
    top : int
        Messages shown, the clearest contests first.
    ax : Axes, optional
        To draw on.
    """
    attrs = dict(duel.attrs)
    rate = rate or str(attrs.get("rate", "click_rate"))
    require_columns(duel, ["rate", "low", "high", "probability_best"], "plot_duel")
    by = label_column(duel, None, "plot_duel")
    known = duel[duel["rate"].notna()].reset_index(drop=True)
    key = next((c for c in ("flow_message_id", "flow_message_name", "flow_id") if c in known and c != by), None)
    known["contest"] = "all" if key is None else known[key].astype("str")
    contests = known.groupby("contest")["probability_best"].max().sort_values(ascending=False, kind="stable")
    if not len(known):
        return nothing_to_draw(canvas(ax, height=2.2), "No message has variations with numbers in this window.", attrs)
    ax = canvas(ax, height=1.8 + 0.34 * sum(1 + int((known["contest"] == c).sum()) for c in contests.index[:top]))
    labels: list[str] = []
    heads: list[int] = []
    for contest in contests.index[:top]:
        entrants = known[known["contest"] == contest].sort_values("probability_best", ascending=False, kind="stable")
        if key is not None:
            heads.append(len(labels))
            labels.append(printable(short_name(_message(entrants.iloc[0], key), 40)))
        for place, (name, row) in enumerate(zip(labels_of(entrants, by, 30), entrants.to_dict("records"), strict=True)):
            _entrant(ax, len(labels), row, leads=place == 0)
            labels.append(name)
    hang = max(label_rows(ax, labels), *(text_width(labels[head], 9.5, bold=True) + 7 for head in heads), 0.0)
    for head in heads:
        ax.get_yticklabels()[head].set_fontweight("bold")
        if head:
            ax.axhline(head - 0.5, color=PALE, linewidth=0.8)
    ax.margins(x=0.06)
    few_ticks(ax)
    ax.xaxis.set_major_formatter(tick_format(rate, None))
    ax.set_xlabel(axis_title(rate, denominator=attrs.get("denominator")), color=MUTED)
    best = known.loc[known["contest"] == contests.index[0]].sort_values("probability_best", ascending=False).iloc[0]
    name = printable(short_name(best[by], 40))
    likely, label = best["probability_best"], statistic_label(rate).lower()
    is_clear = not pd.isna(likely) and likely >= 0.95
    where = f" in {labels[heads[0]]}" if heads else ""
    finding = (
        f"{name} is the best variation{where} with a probability of {probability_text(likely)}"
        if is_clear
        else f"No variation is ahead beyond doubt: the closest is {name}{where} with {probability_text(likely)}"
    )
    left = len(contests) - top
    subtitle = (
        f"{statistic_label(rate)}, dot: value, line: 95 % interval · right: probability to be best, and Klaviyo’s rule"
    )
    headline(ax, finding, subtitle + (f" · {left} more messages" if left > 0 else ""), attrs, hang=hang)
    put_alt(
        ax,
        f"Variations of {plural(len(contests), 'message')} compared by {label}: {name}{where} has "
        f"{percent_text(best['rate'])} (95 % interval {interval_text(best['low'], best['high'], rate)}) and is the "
        f"best with a probability of {probability_text(likely)}.",
        attrs,
    )
    return ax


def _message(row: pd.Series, key: str) -> object:
    name = row.get("flow_message_name")
    return row[key] if name is None or pd.isna(name) else name


def _entrant(ax: Axes, row: int, values: dict[Any, Any], *, leads: bool) -> None:
    color = COLORS["blue"] if leads else MUTED
    low, high = float(values["low"]), float(values["high"])
    if low == low and high == high:
        ax.plot([low, high], [row, row], color=color, alpha=0.45, linewidth=4.5, solid_capstyle="butt")
    ax.plot([float(values["rate"])], [row], "D" if leads else "o", markersize=7, zorder=3, markeredgecolor=color,
            markeredgewidth=1.4, markerfacecolor=color if leads else "white")  # fmt: skip
    likely = values["probability_best"]
    text = MISSING if pd.isna(likely) else probability_text(likely)
    rule = values.get("klaviyo_rule")
    told = "" if rule is None or pd.isna(rule) else _rule(rule)
    ax.annotate(text + told, (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK if leads else MUTED,
                fontweight="bold" if leads else "normal")  # fmt: skip


def _rule(rule: object) -> str:
    if isinstance(rule, str):
        return f" · {short_name(rule, 24)}"
    return " · rule met ✓" if rule else " · rule not met"
