"""Before and after, or variations of a message, side by side with their intervals; and where a change came from."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import (
    MISSING,
    VERDICT_SYMBOLS,
    axis_title,
    difference_text,
    interval_text,
    percent_text,
    points_text,
    probability_text,
    short_name,
    statistic_label,
    statistic_text,
)
from flowperf_helpers.plots.figure import (
    at_right,
    canvas,
    full_name,
    headline,
    interval_bar,
    key,
    label_column,
    label_rows,
    labels_of,
    legend_below,
    not_shown,
    nothing_to_draw,
    noun_of,
    plural,
    value_axis,
)
from flowperf_helpers.plots.hover import tell
from flowperf_helpers.plots.style import COLORS, HATCH, INK, MUTED, PALE, VERDICT_LOOKS, printable, styled, text_width
from flowperf_helpers.plots.tables import Sides, sides_of

__all__ = ["plot_comparison", "plot_effects", "plot_variations"]


# Before and after, side by side: how far each rate moved, and whether that is more than chance.

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
        Of `compare_rates` or `level_changes`: ``rate_before, rate_after, difference, low, high, verdict`` and grouping
        columns; the two sides are called as `flowperf_helpers.plots.tables.sides_of` says.
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
    sides = sides_of(compared)
    sides = sides._replace(first=printable(sides.first), second=printable(sides.second))
    change = "change" if sides.are_periods else "difference"
    known = compared[compared["rate_before"].notna() & compared["rate_after"].notna()]
    if not len(known):
        both = "periods" if sides.are_periods else " and ".join(sides[:2])
        sentence = f"No {noun} has a {label.lower()} in both {both}: there is nothing to compare."
        return nothing_to_draw(ax, sentence, attrs)
    known = _ranked(known)
    shown = known.head(top)
    labels = labels_of(shown, by)
    ax = canvas(ax, height=1.75 + 0.33 * len(shown))
    for row, values in enumerate(shown.to_dict("records")):
        _dumbbell(ax, row, values, rate, sides, change)
    hang = label_rows(ax, labels)
    before = shown["rate_before"]
    edges = [before, shown["rate_after"], before + shown["low"].fillna(0), before + shown["high"].fillna(0)]
    ends = pd.concat(edges).astype("float64")
    room = 0.04 * (float(ends.max() - max(ends.min(), 0)) or 0.01)
    ax.set_xlim(max(float(ends.min()), 0) - room, float(ends.max()) + room)
    value_axis(ax, rate, None, axis_title(rate, denominator=attrs.get("denominator")))
    _legend(ax, [str(v) for v in shown["verdict"]], hang, sides.first, change)
    name = full_name(known.iloc[0], by)
    unknown = len(compared) - len(known)
    only = "one period" if sides.are_periods else "one of them"
    notes = [
        f"{label} by {noun}, {sides.first} → {sides.second}; bar: 95 % interval of the {change}",
        not_shown(len(known) - len(shown), noun),
        f"{plural(unknown, noun)} in {only} only" if unknown else "",
    ]
    finding = _finding(known, name, noun, label.lower(), sides)
    headline(ax, finding, notes, _alt(known, name, noun, rate, sides, change), attrs, hang=hang)
    return ax


def _ranked(known: pd.DataFrame) -> pd.DataFrame:
    """Real changes by size, then the others by the size of their sample: three recipients make the widest swings."""
    change = known["difference"].abs().fillna(0).astype("float64")
    sample = known["denominator_after"].astype("float64").fillna(0) if "denominator_after" in known else change
    real = known["verdict"].isin(REAL)
    order = pd.DataFrame({"real": real, "size": change.where(real, sample)})
    return known.loc[order.sort_values(["real", "size"], ascending=False, kind="stable").index]


def _dumbbell(ax: Axes, row: int, values: dict[Any, Any], rate: str, sides: Sides, change: str) -> None:
    before, after = float(values["rate_before"]), float(values["rate_after"])
    low, high = float(values["low"]), float(values["high"])
    verdict = str(values["verdict"])
    is_real = verdict in REAL
    marker, color = VERDICT_LOOKS.get(verdict, ("o", MUTED))
    words = f"95 % interval of the {change} {difference_text(low, rate)} to {difference_text(high, rate)}"
    looks = {"color": PALE, "linewidth": 7, "alpha": 0.55, "zorder": 1}
    interval_bar(ax, row, max(before + low, 0), before + high, words=words, **looks)
    ax.plot([before, after], [row, row], color=color, linewidth=1.6, zorder=2,
            linestyle="-" if is_real else (0, (2, 2)))  # fmt: skip
    ax.plot([before], [row], "o", markersize=6.5, markerfacecolor="white", markeredgecolor=MUTED, zorder=3,
            label=sides.first)  # fmt: skip
    ax.plot([after], [row], marker=marker, markersize=8.5 if is_real else 6, color=color, markeredgecolor="white",
            zorder=4, label=sides.second)  # fmt: skip
    text = f"{VERDICT_SYMBOLS.get(verdict, '•')} {difference_text(values['difference'], rate)}"
    at_right(ax, row, text, color=INK if is_real else MUTED, bold=is_real)


def _legend(ax: Axes, verdicts: list[str], hang: float, before: str, change: str) -> None:
    """Say in words what the markers mean, for those verdicts that occur."""
    handles = [key("o", MUTED, before, 6, markerfacecolor="white")]
    verdicts = ["no change larger than x" if v.startswith("no change larger") else v for v in verdicts]
    for verdict, (marker, color) in VERDICT_LOOKS.items():
        if verdict in verdicts:
            handles.append(key(marker, color, verdict.replace("change", change), 8 if verdict in REAL else 6))
    legend_below(ax, hang=hang, handles=handles, ncols=5, handletextpad=0.2, columnspacing=1.2)


def _finding(known: pd.DataFrame, name: str, noun: str, label: str, sides: Sides) -> str:
    real = known[known["verdict"].isin(REAL)]
    if not len(real):
        between = f"differs beyond chance between {sides.first} and {sides.second}"
        return f"No {noun}’s {label} {'moved beyond chance' if sides.are_periods else between}"
    verdict, more = real["verdict"].iloc[0], f" (+{len(real) - 1} more)" if len(real) > 1 else ""
    before, after = (percent_text(real[side].iloc[0]) for side in ("rate_before", "rate_after"))
    if sides.are_periods:
        word = "rose" if verdict == "higher" else "fell"
        return f"{name}: {label} {word} beyond chance, {before} → {after}{more}"
    return f"{name}: {label} of {sides.second} is {verdict} than of {sides.first}, {after} against {before}{more}"


def _alt(known: pd.DataFrame, name: str, noun: str, rate: str, sides: Sides, change: str) -> str:
    label = statistic_label(rate)
    what, moved = f"{label} of {sides.first} and {sides.second}", "differs"
    if sides.are_periods:
        what, moved = f"Before and after of {label.lower()}", "moved"
    up, down = (int((known["verdict"] == verdict).sum()) for verdict in REAL)
    if not up + down:
        return f"{what} for {plural(len(known), noun)}: none {moved} beyond chance."
    first = known.iloc[0]
    before, after = (statistic_text(first[side], rate) for side in ("rate_before", "rate_after"))
    low, high = (difference_text(first[end], rate) for end in ("low", "high"))
    precise = "" if MISSING in (low, high) else f", 95 % interval of the {change} {low} to {high}"
    return (
        f"{what} for {plural(len(known), noun)}: {up} higher and {down} lower beyond chance, "
        f"most of all {name} from {before} to {after}{precise}."
    )


# Variations of a message against each other: each rate with its interval, and how likely each is the best.


@styled
def plot_variations(compared: pd.DataFrame, *, rate: str | None = None, top: int = 8, ax: Axes | None = None) -> Axes:
    """Dots with 95 % intervals, variations of one message together, the likely best one filled.

    Parameters
    ----------
    compared : DataFrame
        Of `compare_variations` or `watch_variations`: per message and variation ``rate, low, high, probability_best,
        klaviyo_rule, verdict``.
    rate : str, optional
        The statistic; left out: ``attrs["rate"]``.
    top : int
        Messages shown, the clearest contests first.
    ax : Axes, optional
        To draw on.
    """
    attrs = dict(compared.attrs)
    rate = rate or str(attrs.get("rate", "click_rate"))
    require_columns(compared, ["rate", "low", "high", "probability_best"], "plot_variations")
    by = label_column(compared, None, "plot_variations")
    known = compared[compared["rate"].notna()].reset_index(drop=True)
    message = next((c for c in ("flow_message_id", "flow_message_name", "flow_id") if c in known and c != by), None)
    known["contest"] = "all" if message is None else known[message].astype("str")
    contests = known.groupby("contest")["probability_best"].max().sort_values(ascending=False, kind="stable")
    if not len(known):
        return nothing_to_draw(ax, "No message has variations with numbers in this window.", attrs)
    ax = canvas(ax, height=1.8 + 0.34 * sum(1 + int((known["contest"] == c).sum()) for c in contests.index[:top]))
    labels: list[str] = []
    heads: list[int] = []
    for contest in contests.index[:top]:
        entrants = known[known["contest"] == contest].sort_values("probability_best", ascending=False, kind="stable")
        if message is not None:
            heads.append(len(labels))
            labels.append(printable(short_name(_message(entrants.iloc[0], message), 40)))
        for place, (name, row) in enumerate(zip(labels_of(entrants, by, 30), entrants.to_dict("records"), strict=True)):
            _entrant(ax, len(labels), row, leads=place == 0)
            labels.append(name)
    hang = max(label_rows(ax, labels), *(text_width(labels[head], 9.5, bold=True) + 7 for head in heads), 0.0)
    for head in heads:
        ax.get_yticklabels()[head].set_fontweight("bold")
        if head:
            ax.axhline(head - 0.5, color=PALE, linewidth=0.8)
    ax.margins(x=0.06)
    value_axis(ax, rate, None, axis_title(rate, denominator=attrs.get("denominator")))
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
    notes = [
        f"{statistic_label(rate)}, dot: value, line: 95 % interval",
        "right: probability to be best, and Klaviyo’s rule",
        f"{left} more messages" if left > 0 else "",
    ]
    alt = (
        f"Variations of {plural(len(contests), 'message')} compared by {label}: {name}{where} has "
        f"{percent_text(best['rate'])} (95 % interval {interval_text(best['low'], best['high'], rate)}) and is the "
        f"best with a probability of {probability_text(likely)}."
    )
    headline(ax, finding, notes, alt, attrs, hang=hang)
    return ax


def _message(row: pd.Series, key: str) -> object:
    name = row.get("flow_message_name")
    return row[key] if name is None or pd.isna(name) else name


def _entrant(ax: Axes, row: int, values: dict[Any, Any], *, leads: bool) -> None:
    color = COLORS["blue"] if leads else MUTED
    interval_bar(ax, row, values["low"], values["high"], color=color)
    ax.plot([float(values["rate"])], [row], "D" if leads else "o", markersize=7, zorder=3, markeredgecolor=color,
            markeredgewidth=1.4, markerfacecolor=color if leads else "white")  # fmt: skip
    likely, rule = values["probability_best"], values.get("klaviyo_rule")
    text = MISSING if pd.isna(likely) else probability_text(likely)
    ruled = "" if rule is None or pd.isna(rule) else _rule(rule)
    at_right(ax, row, text + ruled, color=INK if leads else MUTED, bold=leads)


def _rule(rule: object) -> str:
    if isinstance(rule, str):
        return f" · {short_name(rule, 24)}"
    return " · rule met ✓" if rule else " · rule not met"


# Where a change came from: a waterfall from the rate before to the rate after, message by message.

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
        return nothing_to_draw(ax, f"No {noun} was mailed in both periods: a change cannot be split.", attrs)
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
    start = float(before or 0.0) if has_level else 0.0
    ax = canvas(ax, height=1.9 + 0.33 * (len(steps) + 2))
    reached = _steps(ax, steps, start)
    end = reached[-1]
    last = len(steps) + 1
    for row, value in ((0, start), (last, end)):
        ax.plot([value], [row], "D", color=INK, markersize=7)
        at_right(ax, row, percent_text(value) if has_level else points_text(value), bold=True)
    first, final = ("Before", "After") if has_level else ("No change", "Change")
    hang = label_rows(ax, [first, *(name for name, _, _ in steps), final])
    room = 0.05 * (max(reached) - min(reached) or 0.001)
    ax.set_xlim(min(reached) - room, max(reached) + room)
    change = f"Change of {label.lower()} (percentage points)"
    title = axis_title(rate, denominator=attrs.get("denominator"))
    value_axis(ax, rate, None, title if has_level else change)
    looks = [
        Patch(facecolor=WITHIN, label="within: how the message itself did"),
        Patch(facecolor="white", edgecolor=MIX, hatch=HATCH, label="mix: who was mailed"),
    ]
    legend_below(ax, hang=hang, handles=looks, ncols=2, columnspacing=1.4)
    mix, within = float(known["mix_effect"].sum()), float(known["within_effect"].sum())
    name = full_name(shown.iloc[0], by) + _mark(shown.iloc[0].to_dict())
    largest = points_text(steps[0][1] + steps[0][2])
    notes = [f"Mix {points_text(mix)}, within {points_text(within)}", f"largest part: {name}, {largest}"]
    levels = f" from {percent_text(start)} to {percent_text(end)}" if has_level else ""
    alt = (
        f"Waterfall of the change of {label.lower()}{levels} ({points_text(end - start)}) over "
        f"{plural(len(known), noun)}: mix {points_text(mix)}, within {points_text(within)}, most from {name} "
        f"({largest})."
    )
    headline(ax, _cause(label, mix, within), notes, alt, attrs, hang=hang)
    return ax


def _mark(row: dict[Any, Any]) -> str:
    return " (new)" if row.get("is_new") else " (gone)" if row.get("is_gone") else ""


def _steps(ax: Axes, steps: list[tuple[str, float, float]], start: float) -> list[float]:
    """Draw the floating bars; returns the levels that they reach, the last one where they end."""
    reached = [start]
    for row, (name, mix, within) in enumerate(steps, start=1):
        level = reached[-1]
        ax.plot([level, level], [row - 1, row + 0.3], color=PALE, linewidth=1, zorder=1)
        solid = ax.barh(row - 0.14, within, left=level, height=0.26, color=WITHIN, zorder=2)
        hatched = ax.barh(row + 0.14, mix, left=level + within, height=0.26, facecolor="white", edgecolor=MIX,
                          hatch=HATCH, zorder=2)  # fmt: skip
        tell(solid, [f"{name}, within: {points_text(within)}"])
        tell(hatched, [f"{name}, mix: {points_text(mix)}"])
        reached += [level + within, level + (within + mix)]
        at_right(ax, row, points_text(within + mix))
    ax.plot([reached[-1]] * 2, [len(steps), len(steps) + 1], color=PALE, linewidth=1, zorder=1)
    return reached


def _cause(label: str, mix: float, within: float) -> str:
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
