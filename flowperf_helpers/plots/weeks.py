"""Weeks and days in a row: a heat map, what is still to come, a law that never changes, and a mail's small picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import (
    axis_title,
    interval_text,
    money_text,
    statistic_label,
    statistic_text,
    unit_of,
)
from flowperf_helpers.plots.figure import (
    canvas,
    few_ticks,
    figure_of,
    headline,
    label_column,
    label_rows,
    legend_below,
    not_shown,
    nothing_known,
    nothing_to_draw,
    noun_of,
    plural,
    tick_format,
    value_axis,
    value_title,
)
from flowperf_helpers.plots.hover import tell
from flowperf_helpers.plots.style import COLORS, GRID, HATCH, INK, MUTED, PALE, TEXT, dress, styled
from flowperf_helpers.plots.time_axis import (
    Lines,
    date_axis,
    interval_name,
    lines_of,
    middle_width,
    runs_of,
    wall_times,
)

__all__ = ["plot_forecast", "plot_heatmap", "plot_same_law", "weeks_png"]


# Flow × week at a glance: one cell per group and interval, empty where nothing is known.

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
        return nothing_to_draw(ax, nothing_known(statistic, noun, series), attrs, height=2.4)
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
    weeks = lines.names
    tell(mesh, [
        f"{label}, {when}: {statistic_text(value, statistic, currency)}"
        for label, row in zip(labels, values, strict=True) for when, value in zip(weeks, row, strict=True)
    ])  # fmt: skip
    hang = label_rows(ax, labels)
    ax.set_yticks(np.arange(len(labels)) + 0.5, labels=labels, parse_math=False)
    ax.set_ylim(len(labels), 0)
    _cells(ax, values, most, statistic, currency, numbers=values.shape[1] <= _MOST_NUMBERS)
    _columns(ax, lines, weeks)
    for spine in ax.spines.values():
        spine.set_visible(False)
    form = tick_format(statistic, currency)
    extend = "max" if is_cut else "neither"
    bar = figure_of(ax).colorbar(mesh, ax=ax, pad=0.015, aspect=30, fraction=0.03, format=form, extend=extend)
    bar.set_label(value_title(series, statistic), color=MUTED)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8.5, labelcolor=MUTED, length=0)
    row, column = (int(i) for i in np.unravel_index(np.nanargmax(weighty), values.shape))
    best = statistic_text(values[row, column], statistic, currency)
    label, when = statistic_label(statistic), weeks[column]
    notes = [
        f"{label} by {noun}, most recipients on top" if "recipients" in series else f"{label} by {noun}",
        "crossed: no value" if np.isnan(values).any() else "",
        "hatched: not final yet" if len(lines.soft) else "",
        f"darkest: also above, from under {_ENOUGH} recipients" if is_cut else "",
        not_shown(len(lines.table.columns) - len(columns), noun),
    ]
    unknown = int(np.isnan(values).sum())
    alt = (
        f"Heat map of {label.lower()} for {plural(len(columns), noun)} from {weeks[0]} to {weeks[-1]}: the highest is "
        f"{best} ({labels[row]}, {when}), the lowest {statistic_text(np.nanmin(values), statistic, currency)}; "
        f"{plural(unknown, 'cell')} without a value."
    )
    headline(ax, f"{label} peaks at {best}: {labels[row]}, {when}", notes, alt, attrs, hang=hang)
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


def _columns(ax: Axes, lines: Lines, names: list[str]) -> None:
    """Name the intervals, as many as fit, and hatch those that are not final."""
    every = max(1, -(-len(names) // 14))
    places = list(range(len(names) - 1, -1, -every))[::-1]
    ax.set_xticks([p + 0.5 for p in places], labels=[names[p] for p in places])
    ax.tick_params(axis="x", length=0)
    for first, last in runs_of(lines.table.index.isin(lines.soft)):
        area = Rectangle((first, 0), last - first + 1, lines.table.shape[1], facecolor="none", edgecolor="#7F8B97",
                         hatch=HATCH, linewidth=0, alpha=0.4, zorder=3)  # fmt: skip
        area.set_gid("not-final")
        ax.add_patch(area)


# Where recent days will end, beside what is in so far.


@styled
def plot_forecast(forecast: pd.DataFrame, *, statistic: str | None = None, ax: Axes | None = None) -> Axes:
    """What is in so far as solid bars, and hatched on top what is expected still to come, with its interval.

    Parameters
    ----------
    forecast : DataFrame
        Of `forecast`, one row per interval: ``interval_start``, so far (``so_far`` or the statistic's own column),
        ``final, low, high``.
    statistic : str, optional
        What is counted; left out: ``attrs["statistic"]``.
    ax : Axes, optional
        To draw on.
    """
    attrs = dict(forecast.attrs)
    statistic = statistic or str(attrs.get("statistic", "conversions"))
    now = "so_far" if "so_far" in forecast.columns else statistic
    require_columns(forecast, ["interval_start", now, "final", "low", "high"], "plot_forecast")
    label, currency = statistic_label(statistic), attrs.get("currency")
    known = forecast[forecast[now].notna()].sort_values("interval_start")
    if not len(known) or known["final"].isna().all():
        reason = str(attrs.get("note") or "Too few snapshots: where the recent days will end is not forecast.")
        return nothing_to_draw(ax, reason, attrs, height=2.4)
    ax = canvas(ax, height=3.8, grid="y")
    wall = wall_times(pd.DatetimeIndex(known["interval_start"]))
    step = middle_width(wall)
    times, width = mdates.date2num(wall.to_pydatetime()), 0.62 * step / pd.Timedelta(days=1)
    so_far, final, low, high = (known[c].astype("float64").to_numpy() for c in (now, "final", "low", "high"))
    solid = ax.bar(times, so_far, width=width, color=COLORS["blue"], label="in so far")
    hatched = ax.bar(times, np.nan_to_num(np.maximum(final - so_far, 0)), bottom=so_far, width=width, facecolor="white",
                     edgecolor=COLORS["blue"], hatch=HATCH, linewidth=0.8, label="expected to come")  # fmt: skip
    days = [interval_name(start, step) for start in wall]
    now_texts, texts = ([statistic_text(v, statistic, currency) for v in values] for values in (so_far, final))
    intervals = [interval_text(*ends, statistic, currency) for ends in zip(low, high, strict=True)]
    tell(solid, [f"{day}: {text} so far" for day, text in zip(days, now_texts, strict=True)])
    ends = zip(days, texts, intervals, strict=True)
    tell(hatched, [f"{day}: about {text} in the end, 95 % interval {interval}" for day, text, interval in ends])
    has = ~np.isnan(final)
    error = np.abs(np.vstack([final - low, high - final]))[:, has]
    ax.errorbar(times[has], final[has], yerr=error, fmt="none", ecolor=MUTED, elinewidth=1.4, capsize=3,
                label="95 % interval")  # fmt: skip
    ax.set_xlim(times[0] - width, times[-1] + width)
    ax.set_ylim(0, float(np.nanmax([so_far.max(), np.nanmax(high), np.nanmax(final)])) * 1.12 or 1.0)
    date_axis(ax, wall)
    value_axis(ax, statistic, currency, axis_title(statistic, currency), axis="y")
    legend_below(ax, down=34, ncols=3)
    ax.spines["bottom"].set_color(PALE)
    last = int(np.flatnonzero(has)[-1])
    when, text, now_text, interval = days[last], texts[last], now_texts[last], intervals[last]
    finding = f"{when} will end at about {text} {label.lower()}, {now_text} so far"
    alt = (
        f"Forecast of {label.lower()} for {plural(len(known), 'interval')}: {when} stands at {now_text} and is "
        f"expected to end at {text} (95 % interval {interval})."
    )
    notes = [f"{label}; line: 95 % interval of the forecast ({interval} for {when})"]
    headline(ax, finding, notes, alt, attrs, hang=44)
    return ax


# A rate whose law never changes, and what two tests say of its weeks.


@styled
def plot_same_law(simulated: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the weeks with their intervals; rings are claims of a coin-toss test, squares those of flowperf.

    Parameters
    ----------
    simulated : DataFrame
        Of `flowperf_helpers.stats.same_law.same_law_weeks`.
    ax : Axes, optional
        To draw on.
    """
    require_columns(simulated, ["week", "rate", "low", "high", "is_claim_by_coins", "is_claim"], "plot_same_law")
    ax = canvas(ax, height=4.0, grid="y")
    week, attrs = simulated["week"], {**simulated.attrs, "sandbox": True}
    bars = ax.vlines(week, simulated["low"], simulated["high"], color=COLORS["blue"], alpha=0.35, linewidth=4)
    ends = zip(week, simulated["low"], simulated["high"], strict=True)
    tell(bars, [f"week {w}: 95 % interval {interval_text(low, high, 'click_rate')}" for w, low, high in ends])
    (line,) = ax.plot(week, simulated["rate"], "-o", color=COLORS["blue"], markersize=4.5, linewidth=1,
                      label="rate of the week")  # fmt: skip
    tell(line, [f"week {w}" for w in week])
    looks = (
        ("is_claim_by_coins", "o", "against the week before, coin tosses only: “changed”"),
        ("is_claim", "s", "flowperf, against eight weeks: “changed”"),
    )
    for name, marker, words in looks:
        claimed = simulated[simulated[name]]
        color = COLORS["vermillion"] if marker == "o" else COLORS["black"]
        ax.plot(claimed["week"], claimed["rate"], marker, markersize=11 if marker == "o" else 15, label=words,
                markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.6)  # fmt: skip
    law = float(simulated.attrs.get("rate", simulated["rate"].mean()))
    line = ax.axhline(law, color=MUTED, linewidth=0.8, linestyle="--")
    tell(line, [f"the law, in every week: {statistic_text(law, 'click_rate')}"])
    few_ticks(ax, whole=True)
    ax.yaxis.set_major_formatter(tick_format("click_rate", None))
    ax.set_xlabel("Week", color=MUTED)
    legend_below(ax, labelspacing=0.9)  # a line each: beside each other they are wider than the picture
    coins, ours = int(simulated["is_claim_by_coins"].sum()), int(simulated["is_claim"].sum())
    weeks = plural(len(simulated), "week")
    finding = f"Nothing changed in {weeks}: coin tosses claim {coins} changes, flowperf {ours}"
    moves = f"{100 * float(simulated.attrs.get('week_sd', 0)):.0f} %"
    notes = [f"simulated: one law, moving by {moves} from week to week", "bar: 95 % by counting alone"]
    alt = (
        f"A simulated rate over {weeks} whose law never changes: a test against the week before that knows coin tosses "
        f"only claims {coins} changes, flowperf's test against eight weeks {ours}."
    )
    headline(ax, finding, notes, alt, attrs)
    return ax


# An account's last weeks as a small PNG for a mail: a bar a week, the last one in colour and named.

_COLORS = 24
"""Colours of the file, shades between them included: mail servers and readers like small pictures."""


@styled
def weeks_png(
    days: Sequence[str],
    values: Sequence[float | None],
    provisional: Sequence[bool],
    *,
    title: str,
    last: str,
    statistic: str,
    currency: str | None,
) -> bytes:
    """Draw one bar per week.

    Parameters
    ----------
    days : sequence of str
        First day of each week, ISO.
    values : sequence of float
        None leaves a gap.
    provisional : sequence of bool
        Weeks that still grow: hatched.
    title, last : str
        Above the picture, and above the last bar.

    Returns
    -------
    bytes
        PNG of 1200 × 460 pixels, to be shown at half of that.
    """
    figure = Figure(figsize=(6.0, 2.3), dpi=200, layout="constrained")
    ax = figure.add_subplot()
    dress(ax, grid="y")
    heights = [float("nan") if value is None else value for value in values]
    bars = ax.bar(range(len(heights)), heights, width=0.74, color=PALE)
    bars[-1].set_facecolor(COLORS["blue"])
    for bar, soft in zip(bars, provisional, strict=True):
        if soft:
            bar.set(facecolor="white", edgecolor=bar.get_facecolor(), hatch=HATCH, linewidth=1.0)
    ax.set_title(title, loc="left", fontsize=9.5, color=INK)
    top = max((value for value in values if value is not None), default=0) or 1
    ax.set_ylim(0, 1.2 * top)
    ax.text(len(heights) - 0.6, 1.06 * top, last, ha="right", fontsize=9, weight="bold", color=TEXT[0])
    months = [place for place, day in enumerate(days) if place and day[:7] != days[place - 1][:7]]
    ax.set_xticks(months, [f"{date.fromisoformat(days[place]):%b}" for place in months], color=MUTED)
    money = unit_of(statistic) == "money"
    ax.yaxis.set_major_formatter(lambda y, _: money_text(y, currency if money else None, compact=True))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    return _small_png(figure)


def _small_png(figure: Figure) -> bytes:
    from PIL import Image

    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    picture = Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("RGB")
    made = io.BytesIO()
    picture.quantize(_COLORS, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return made.getvalue()
