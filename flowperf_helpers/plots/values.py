"""One number per flow, message or channel: dots, rankings, volumes, and the steps from recipients to customers."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import carries, require_columns
from flowperf_helpers.frames.formats import (
    MISSING,
    axis_title,
    count_text,
    interval_text,
    percent_text,
    statistic_label,
    statistic_text,
    unit_of,
)
from flowperf_helpers.plots.figure import (
    at_right,
    canvas,
    full_name,
    headline,
    identity,
    interval_bar,
    key,
    label_column,
    label_rows,
    labels_of,
    legend_below,
    not_shown,
    nothing_known,
    nothing_to_draw,
    noun_of,
    one_row_each,
    plural,
    value_axis,
    value_title,
    with_interval,
)
from flowperf_helpers.plots.hover import tell
from flowperf_helpers.plots.style import COLORS, HATCH, INK, MUTED, PALE, SERIES, label_names, styled

__all__ = ["STAGES", "flow_states", "plot_funnel", "plot_ranking", "plot_values", "plot_volume"]


# One number per flow, message or channel: a dot with what is known of its precision, no bar that pretends more.


@styled
def plot_values(
    frame: pd.DataFrame, *, statistic: str, by: str = "flow_name", top: int = 20, ax: Axes | None = None
) -> Axes:
    """Dot plot of one statistic, largest first; rates with their 95 % interval.

    Parameters
    ----------
    frame : DataFrame
        Values frame. Rows that share ``by`` are rolled up first. Columns ``low`` and ``high`` are drawn where given,
        else a rate's interval is computed from its counts where those are there.
    statistic : str
        Column to draw.
    by : str
        Column that names the rows.
    top : int
        Rows shown; the others become one hatched range.
    ax : Axes, optional
        To draw on.

    Returns
    -------
    Axes
        With ``alt_text(ax)``.
    """
    by = label_column(frame, by, "plot_values")
    require_columns(frame, [statistic], "plot_values")
    noun, attrs = noun_of(by), dict(frame.attrs)
    rows = one_row_each(frame, by)
    known = rows[rows[statistic].notna()]
    if not len(known):
        return nothing_to_draw(ax, nothing_known(statistic, noun, rows), attrs)
    known = _with_own_interval(known, frame, statistic, by).sort_values(statistic, ascending=False, kind="stable")
    most = len(known) if len(known) == top + 1 else top  # a single row left over may as well be shown
    shown, rest = known.head(most), known.iloc[most:]
    labels = labels_of(shown, by) + ([plural(len(rest), f"other {noun}")] if len(rest) else [])
    ax = canvas(ax, height=1.5 + 0.29 * len(labels))
    currency = attrs.get("currency")
    values, low, high = (shown[c].astype("float64").to_numpy() for c in (statistic, "low", "high"))
    for row, (start, end) in enumerate(zip(low, high, strict=True)):
        interval_bar(ax, row, start, end)
    ax.plot(values, range(len(shown)), "o", color=COLORS["blue"], markersize=6.5, markeredgecolor="white", zorder=3)
    for row, value in enumerate(values):
        at_right(ax, row, statistic_text(value, statistic, currency))
    if len(rest):
        _rest(ax, rest[statistic].astype("float64"), labels[-1], len(shown), statistic, currency)
    hang = label_rows(ax, labels)
    ends = pd.Series([*values, *high, *rest[statistic].astype("float64").head(1)]).max()
    ax.set_xlim(*_span(pd.concat([known[statistic], shown["low"]]).astype("float64"), float(ends), statistic))
    is_small = unit_of(statistic) == "count" and float(ends) < 10
    value_axis(ax, statistic, currency, value_title(rows, statistic), whole=is_small)
    has_interval = bool(shown["low"].notna().any())
    finding, alt = _words(known, full_name(known.iloc[0], by), statistic, currency, noun, has_interval)
    unknown = len(rows) - len(known)
    notes = [
        f"{statistic_label(statistic)} by {noun}",
        "dot: value" + (", line: 95 % interval" if has_interval else ""),
        f"{plural(unknown, noun)} without a value" if unknown else "",
    ]
    headline(ax, finding, notes, alt, attrs, hang=hang)
    return ax


def _with_own_interval(rows: pd.DataFrame, frame: pd.DataFrame, statistic: str, by: str) -> pd.DataFrame:
    """The interval of what the rate counts: a push among emails has no clicks, and is not in the flow's click rate."""
    counts = carries(frame, statistic)
    if counts.all() or {"low", "high"} <= set(rows.columns):
        return with_interval(rows, statistic)
    who = identity(frame, by)[0]
    counted = with_interval(one_row_each(frame[counts], by), statistic).drop_duplicates(who).set_index(who)
    return rows.assign(low=rows[who].map(counted["low"]), high=rows[who].map(counted["high"]))


@styled
def plot_ranking(ranked: pd.DataFrame, *, by: str = "flow_name", top: int = 20, ax: Axes | None = None) -> Axes:
    """Dot plot of ranked rates: hollow as counted, filled as far as they are known (shrunk), with its 95 % interval.

    Parameters
    ----------
    ranked : DataFrame
        Of `flowperf_helpers.stats.ranking.rank_rates`, best first.
    by : str
        Column that names the rows.
    top : int
        Rows shown.
    ax : Axes, optional
        To draw on.

    Returns
    -------
    Axes
        With ``alt_text(ax)``.
    """
    by = label_column(ranked, by, "plot_ranking")
    require_columns(ranked, ["raw", "shrunk", "low", "high", "raw_rank", "rank"], "plot_ranking")
    attrs, noun, rate = dict(ranked.attrs), noun_of(by), str(ranked.attrs.get("rate", "click_rate"))
    if not len(ranked):
        return nothing_to_draw(ax, nothing_known(rate, noun, ranked), attrs)
    shown = ranked.head(top)
    ax = canvas(ax, height=1.9 + 0.29 * len(shown))
    rows = range(len(shown))
    labels = labels_of(shown, by)
    bars = ax.hlines(rows, shown["low"], shown["high"], color=COLORS["blue"], alpha=0.45, linewidth=4.5)
    ends = zip(labels, shown["low"], shown["high"], strict=True)
    tell(bars, [f"{label}: 95 % interval {interval_text(low, high, rate)}" for label, low, high in ends])
    ax.plot(shown["raw"], rows, "o", markersize=6.5, markerfacecolor="white", markeredgecolor=MUTED, zorder=3,
            label="as counted")  # fmt: skip
    ax.plot(shown["shrunk"], rows, "o", color=COLORS["blue"], markersize=6.5, markeredgecolor="white", zorder=4,
            label="as far as it is known, with its 95 % interval")  # fmt: skip
    for row, rank, raw_rank in zip(rows, shown["rank"], shown["raw_rank"], strict=True):
        is_moved = rank != raw_rank
        at_right(ax, row, f"{rank} (counted: {raw_rank})", color=MUTED if is_moved else INK, bold=is_moved)
    hang = label_rows(ax, labels)
    value_axis(ax, rate, None, axis_title(rate))
    legend_below(ax, hang=hang, ncols=2)
    best, label = full_name(ranked.iloc[0], by), statistic_label(rate).lower()
    value = percent_text(ranked["shrunk"].iloc[0])
    rivals = int((ranked["high"].iloc[1:] > ranked["low"].iloc[0]).sum())
    others = f"; {rivals} could be as good" if rivals else ", ahead of all others"
    weeks = plural(int(attrs.get("weeks", 12)), "week")
    notes = [
        f"{statistic_label(rate)} by {noun}, last {weeks} together",
        "right: rank",
        not_shown(len(ranked) - len(shown), noun),
    ]
    moved = int((ranked["rank"] != ranked["raw_rank"]).sum())
    alt = (
        f"{plural(len(ranked), noun)} ranked by {label} over {weeks}, each rate drawn towards their mean as far as its "
        f"numbers are few: first {best} with {value}, 95 % interval "
        f"{interval_text(ranked['low'].iloc[0], ranked['high'].iloc[0], rate)}; {rivals} could be as good, and {moved} "
        "stand at another rank than by the rate as counted."
    )
    headline(ax, f"{best} has the best {label}, {value}{others}", notes, alt, attrs, hang=hang)
    return ax


def _span(values: pd.Series, end: float, statistic: str) -> tuple[float, float]:
    """From zero, except for rates that all lie far from it: dots are read by position, not by length."""
    least = float(values.min())
    if unit_of(statistic) == "fraction" and least > 0.4 * end > 0:
        room = 0.12 * (end - least) or 0.05 * end
        return max(0.0, least - room), end + room / 2
    return min(0.0, least * 1.05), (end or 1.0) * 1.04


def _rest(ax: Axes, values: pd.Series, name: str, row: int, statistic: str, currency: str | None) -> None:
    """Draw the rows beyond the top as one hatched range from their least to their largest value."""
    low, high = float(values.min()), float(values.max())
    bar = ax.barh(row, high - low, left=low, height=0.42, facecolor="white", edgecolor=PALE, hatch=HATCH, linewidth=0.8)
    text = " – ".join(dict.fromkeys(statistic_text(end, statistic, currency) for end in (low, high)))
    tell(bar, [f"{name}: {text}"])
    at_right(ax, row, text, color=MUTED)


def _words(
    known: pd.DataFrame, name: str, statistic: str, currency: str | None, noun: str, has_interval: bool
) -> tuple[str, str]:
    first, last = known.iloc[0], known.iloc[-1]
    best = statistic_text(first[statistic], statistic, currency)
    label = statistic_label(statistic)
    interval = interval_text(first["low"], first["high"], statistic, currency)
    precise = f" (95 % interval {interval})" if has_interval and interval != MISSING else ""
    if len(known) == 1:
        return f"{name}: {label.lower()} {best}", f"{label} of {name} is {best}{precise}."
    finding = f"{name} has the highest {label.lower()}: {best}"
    worst = statistic_text(last[statistic], statistic, currency)
    if first[statistic] == last[statistic]:
        finding = f"All {len(known)} {noun}s have the same {label.lower()}: {best}"
    alt = (
        f"Dot plot of {label.lower()} for {plural(len(known), noun)}: the highest is {name} with {best}{precise}, "
        f"the lowest {worst}."
    )
    return finding, alt


# From recipients to customers, step by step, for one group or a few.

STAGES = (
    ("Recipients", "recipients"),
    ("Delivered", "delivered"),
    ("Opened", "opens_unique"),
    ("Clicked", "clicks_unique"),
    ("Converted", "conversion_uniques"),
)
"""Steps and their columns; people are counted once per message."""

_HATCHES = ("", "////", "....", "xxxx")


@styled
def plot_funnel(frame: pd.DataFrame, *, by: str = "flow_name", top: int = 4, ax: Axes | None = None) -> Axes:
    """Bars as shares of recipients, with the counts; several groups stand beside each other in each step.

    Parameters
    ----------
    frame : DataFrame
        Values frame with ``recipients`` and any of ``delivered, opens_unique, clicks_unique, conversion_uniques``.
    by : str
        Column that names the groups; rows that share it are rolled up.
    top : int
        Groups shown, those with most recipients; at most four.
    ax : Axes, optional
        To draw on.
    """
    by = label_column(frame, by, "plot_funnel")
    require_columns(frame, ["recipients"], "plot_funnel")
    attrs, noun = dict(frame.attrs), noun_of(by)
    rows = one_row_each(frame, by)
    rows = rows[rows["recipients"].fillna(0) > 0].sort_values("recipients", ascending=False, kind="stable")
    stages = [(label, column) for label, column in STAGES if column in rows.columns]
    if not len(rows):
        return nothing_to_draw(ax, f"No {noun} has recipients in this window: there is no funnel.", attrs)
    shown = rows.head(min(top, len(_HATCHES)))
    labels = labels_of(shown, by)
    few = len(shown)
    ax = canvas(ax, height=1.6 + len(stages) * (0.26 * few + 0.24))
    thick = 0.82 / few
    for group, row in enumerate(shown.to_dict("records")):
        for stage, (_, column) in enumerate(stages):
            value, whole = row[column], float(row["recipients"])
            place = stage + (group - (few - 1) / 2) * thick
            share = None if pd.isna(value) else float(value) / whole
            text = f"{MISSING} not known" if share is None else f"{count_text(value)}  ({percent_text(share)})"
            bar = ax.barh(place, share or 0.0, height=thick * 0.86, color=SERIES[group], hatch=_HATCHES[group],
                          edgecolor="white", linewidth=0, label=labels[group] if not stage else "_")  # fmt: skip
            bar[0].set_gid(column)
            tell(bar, [f"{labels[group]}, {stages[stage][0].lower()}: {text}"])
            ax.annotate(text, (share or 0.0, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9,
                        color=INK if share is not None else MUTED)  # fmt: skip
    hang = label_rows(ax, [label for label, _ in stages])
    ax.set_xlim(0, 1.22)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol="\N{NO-BREAK SPACE}%"))
    ax.set_xlabel("Share of recipients (%)", color=MUTED)
    if few > 1:
        legend_below(ax, hang=hang, ncols=min(few, 2), labelcolor=INK)
    first = shown.iloc[0]
    name = full_name(first, by)
    steps = [(label, first[column]) for label, column in stages if not pd.isna(first[column])]
    label, reached = steps[-1]
    of = percent_text(float(reached) / float(first["recipients"]))
    finding = f"{name}: {count_text(reached)} of {count_text(first['recipients'])} recipients {label.lower()} ({of})"
    if label == "Recipients":
        finding = f"{name}: {count_text(reached)} recipients"
    is_unique = any(STATISTICS[column].kind == "unique" for _, column in stages)
    notes = ["people are counted once per message" if is_unique else "", not_shown(len(rows) - few, noun)]
    path = ", ".join(f"{count_text(value)} {step.lower()}" for step, value in steps)
    also = f" (and {plural(few - 1, f'other {noun}')})" if few > 1 else ""
    headline(ax, finding, notes, f"Funnel of {name}{also}: {path}.", attrs, hang=hang)
    return ax


# For choosing: which flows send how much.

_LOOKS = {
    "live": ("o", COLORS["blue"]), "manual": ("^", COLORS["orange"]), "draft": ("s", COLORS["purple"]),
    "archived": ("X", MUTED), "unknown": ("D", INK),
}  # fmt: skip


def flow_states(frame: pd.DataFrame) -> pd.Series:
    """A flow's status as pictures and tables show it: ``archived`` above all, ``unknown`` where Klaviyo sent none."""
    archived = frame["archived"].fillna(False).astype(bool)
    return (
        frame["flow_status"].astype("object").where(frame["flow_status"].notna(), "unknown").mask(archived, "archived")
    )


@styled
def plot_volume(
    overview: pd.DataFrame, *, chosen: Iterable[str] | None = None, top: int = 25, ax: Axes | None = None
) -> Axes:
    """Draw how many messages each flow sent; flows that were not chosen are hollow.

    Parameters
    ----------
    overview : DataFrame
        Of `flowperf_helpers.widgets.selection.flow_overview`.
    chosen : iterable of str, optional
        Flow ids; None for all.
    top : int
        Flows drawn, the largest first; the rest is counted in the subtitle.
    """
    sending = overview[overview["recipients"].notna()].sort_values("recipients", ascending=False, kind="stable")
    shown = sending.head(top)
    window = str(overview.attrs.get("timeframe") or "this window")
    height = 1.9 + 0.28 * max(len(shown), 3)
    if shown.empty:
        nobody = f"Nothing was sent by {plural(len(overview), 'flow')} in {window}."
        return nothing_to_draw(ax, nobody, overview.attrs, height=height)
    ax = canvas(ax, height=height)
    ids = set(overview["flow_id"] if chosen is None else chosen)
    states = flow_states(shown)
    for y, (flow_id, state, sent) in enumerate(zip(shown["flow_id"], states, shown["recipients"], strict=True)):
        marker, color = _LOOKS.get(state, _LOOKS["unknown"])
        face = color if flow_id in ids else "white"
        ax.plot([float(sent)], [y], marker=marker, markersize=9, color=color, markerfacecolor=face, linestyle="")
        last = shown["last_sent"].iloc[y]
        ax.annotate(f"last sent {last:%d %b %Y}" if last < shown["last_sent"].max() else "", (float(sent), y),
                    xytext=(9, 0), textcoords="offset points", va="center", fontsize=8.5, color=MUTED)  # fmt: skip
    hang = label_rows(ax, label_names(list(shown["flow_name"]), list(shown["flow_id"])))
    ax.set_xscale("log")
    ax.set_xlim(max(0.8, float(shown["recipients"].min()) / 2), float(shown["recipients"].max()) * 4)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.xaxis.set_minor_formatter(lambda value, _: "")
    ax.set_xlabel("recipients (each step to the right is ten times more); hollow: not chosen")
    marks = [key(*look, state) for state, look in _LOOKS.items() if state in set(states)]
    ax.legend(handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.16 if len(shown) < 9 else -0.1),
              ncols=len(marks))  # fmt: skip
    part = int(sending.loc[sending["flow_id"].isin(ids), "recipients"].sum())
    whole = int(sending["recipients"].sum())
    number = int(overview["flow_id"].isin(ids).sum())
    finding = f"{number} of {plural(len(overview), 'flow')} chosen: {part / whole:.0%} of {whole:,} recipients"
    silent = len(overview) - len(sending)
    rest = f"; {len(sending) - len(shown)} smaller flows are not drawn" if len(sending) > len(shown) else ""
    note = f"{window.capitalize()}; {plural(silent, 'flow')} sent nothing{rest}"
    headline(ax, finding, [note], f"{finding}. {note}.", overview.attrs, hang=hang)
    return ax
