"""Accounts of a fleet beside each other: rates with what is known of them, and the effect of a new template version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import (
    MINUS,
    SPACE,
    axis_title,
    percent_text,
    short_name,
    statistic_label,
    statistic_text,
)
from flowperf_helpers.plots.figure import (
    canvas,
    headline,
    interval_bar,
    key,
    label_rows,
    legend_below,
    not_shown,
    nothing_to_draw,
    plural,
    value_axis,
)
from flowperf_helpers.plots.hover import tell
from flowperf_helpers.plots.style import COLORS, INK, MUTED, PALE, label_names, printable, styled

__all__ = ["plot_accounts", "plot_template_effect"]

_FIRM = {"above the fleet": ("^", COLORS["blue"]), "below the fleet": ("v", COLORS["vermillion"]),
         "better": ("^", COLORS["blue"]), "worse": ("v", COLORS["vermillion"])}  # fmt: skip
_SOFT = ("o", MUTED)


@styled
def plot_accounts(
    compared: pd.DataFrame, *, statistic: str | None = None, top: int = 25, ax: Axes | None = None
) -> Axes:
    """Each account's rate: hollow dot and thin line as counted, filled mark and thick line as far as it is known.

    The band is where 95 % of the fleet's accounts lie; a mark with a colour lies where it does not reach.

    Parameters
    ----------
    compared : DataFrame
        Of `flowperf_helpers.fleet.compare_accounts`.
    statistic : str, optional
        One of its rates; left out: the first.
    top : int
        Accounts shown: those that stand out, then the largest; the highest pooled rate on top.
    ax : Axes, optional
        To draw on.

    Raises
    ------
    ArgumentError
        A column that is missing, or a rate that was not compared.
    """
    attrs = dict(compared.attrs)
    columns = ["account", "statistic", "raw", "raw_low", "raw_high", "pooled", "low", "high", "trials", "verdict"]
    require_columns(compared, columns, "plot_accounts")
    if not len(compared):
        return nothing_to_draw(ax, "No account can be compared: see the list of reasons.", attrs)
    rates = list(dict.fromkeys(compared["statistic"]))
    statistic = statistic or str(rates[0])
    if statistic not in rates:
        raise ArgumentError(f"{statistic!r} was not compared: there are {', '.join(map(repr, rates))}.")
    known = compared[(compared["statistic"] == statistic) & compared["pooled"].notna()]
    is_out = known["verdict"].isin(tuple(_FIRM))
    first = known.assign(_out=is_out).sort_values(["_out", "trials"], ascending=False, kind="stable").head(top)
    shown = first.sort_values("pooled", ascending=False, kind="stable")
    ax = canvas(ax, height=2.0 + 0.29 * len(shown))
    fleet = (attrs.get("fleet") or {}).get(statistic) or {}
    band = fleet.get("low", float("nan")), fleet.get("high", float("nan"))
    if np.isfinite(band[0]):
        ax.axvspan(*band, color=PALE, alpha=0.3, linewidth=0, zorder=0)
        middle = ax.axvline(fleet["middle"], color=MUTED, linewidth=0.9, zorder=1)
        tell(middle, [f"middle of the fleet: {statistic_text(fleet['middle'], statistic)}"])
    for row, values in enumerate(shown.to_dict("records")):
        _two_marks(ax, row, values, "raw raw_low raw_high", "pooled low high")
    hang = label_rows(ax, label_names(list(shown["account"]), width=30))
    value_axis(ax, statistic, None, axis_title(statistic))
    _legend(ax, shown["verdict"], hang, "where 95 % of the fleet’s accounts lie" if np.isfinite(band[0]) else "")
    label = statistic_label(statistic)
    out = known[is_out]
    weeks = attrs.get("weeks") or []
    notes = [
        f"{label} by account" + (f", {weeks[0]} to {weeks[1]}" if weeks else ""),
        "lines: 95 % intervals",
        "the last week is not final" if attrs.get("is_final") is False else "",
        not_shown(len(known) - len(shown), "account"),
    ]
    spread = f", 95 % of them between {_ends(band, statistic, ' and ')}" if np.isfinite(band[0]) else ""
    names = ", ".join(f"{printable(short_name(r.account, 30))} {percent_text(r.raw)}" for r in out.head(6).itertuples())
    who = f"{plural(len(out), 'account')} out of that spread: {names}" if len(out) else "none lies out of that spread"
    alt = f"{label} of {plural(len(known), 'account')} as counted and pooled with the fleet{spread}; {who}."
    headline(ax, _finding(out, label, statistic, band), notes, alt, attrs, hang=hang)
    return ax


def _ends(band: tuple[float, float], statistic: str, between: str) -> str:
    return between.join(statistic_text(end, statistic) for end in band)


def _finding(out: pd.DataFrame, label: str, statistic: str, band: tuple[float, float]) -> str:
    if not len(out):
        if not np.isfinite(band[0]):
            return f"{label}: too few accounts to know how they differ"
        return f"No account’s {label.lower()} lies out of the fleet’s own spread, {_ends(band, statistic, ' to ')}"
    first = out.iloc[int(np.argmax(np.abs(np.log(out["ratio"].to_numpy(np.float64)))))]
    way = "above" if first["verdict"] == "above the fleet" else "below"
    more = f" (+{len(out) - 1} more)" if len(out) > 1 else ""
    name = printable(short_name(first["account"], 40))
    return f"{name} lies {way} what the fleet’s spread explains: {label.lower()} {percent_text(first['raw'])}{more}"


def _two_marks(ax: Axes, row: int, values: dict[Any, Any], raw: str, pooled: str) -> None:
    """A value as counted above the row's line, as known below it; each by its columns: value, low, high."""
    marker, color = _FIRM.get(str(values["verdict"]), _SOFT)
    value, low, high = (float(values[c]) for c in raw.split())
    ax.plot([low, high], [row - 0.16] * 2, color=MUTED, linewidth=0.9, zorder=2)
    ax.plot([value], [row - 0.16], "o", markersize=4.6, markerfacecolor="white", markeredgecolor=MUTED, zorder=3)
    value, low, high = (float(values[c]) for c in pooled.split())
    interval_bar(ax, row + 0.16, low, high, color=color, linewidth=3.2, alpha=0.55, zorder=2)
    ax.plot([value], [row + 0.16], marker=marker, markersize=6.5, color=color, markeredgecolor="white", zorder=4)


def _legend(ax: Axes, verdicts: pd.Series, hang: float, band: str) -> None:
    handles: list[Any] = [
        key("o", MUTED, "as counted", 4.6, linestyle="-", linewidth=0.9, markerfacecolor="white"),
        key("o", MUTED, "pooled with the fleet", 6, linestyle="-", linewidth=3.2, markeredgecolor="white"),
    ]
    for verdict, (marker, color) in _FIRM.items():
        if (verdicts == verdict).any():
            handles.append(key(marker, color, verdict, 7))
    if band:
        handles.append(Patch(facecolor=PALE, alpha=0.4, label=band))
    legend_below(ax, hang=hang, handles=handles, ncols=3, handletextpad=0.4, columnspacing=1.2)


# Before and after a new template version: a forest.


@styled
def plot_template_effect(effects: pd.DataFrame, *, top: int = 25, ax: Axes | None = None) -> Axes:
    """Forest of the accounts' effects, the fleet's below them.

    Parameters
    ----------
    effects : DataFrame
        Of `flowperf_helpers.fleet.template_effect`.
    top : int
        Accounts shown: those with the narrowest intervals, the largest effect on top.
    ax : Axes, optional
        To draw on.
    """
    attrs = dict(effects.attrs)
    require_columns(effects, ["account", "ratio", "low", "high", "pooled", "pooled_low", "pooled_high", "verdict"],
                    "plot_template_effect")  # fmt: skip
    label = statistic_label(str(attrs.get("statistic", "click_rate")))
    version = printable(short_name(attrs.get("version", "the new version"), 40))
    known, fleet = effects[effects["ratio"].notna()], attrs.get("effect") or {}
    if not len(known):
        return nothing_to_draw(ax, f"No account can be compared before and after {version}: see the reasons.", attrs)
    narrow = (known["high"] / known["low"]).sort_values(kind="stable").index[:top]
    shown = known.loc[narrow].sort_values("pooled", ascending=False, kind="stable")
    ax = canvas(ax, height=2.4 + 0.29 * len(shown))
    ax.set_xscale("log")
    ax.axvline(1.0, color=INK, linewidth=0.9, zorder=1)
    last = len(shown)
    ax.axvspan(fleet["between_low"], fleet["between_high"], color=PALE, alpha=0.3, linewidth=0, zorder=0)
    for row, values in enumerate(shown.to_dict("records")):
        _two_marks(ax, row, values, "ratio low high", "pooled pooled_low pooled_high")
    ax.axhline(last - 0.5, color=PALE, linewidth=0.8)
    interval_bar(ax, last, fleet["low"], fleet["high"], color=INK, alpha=None, zorder=3)
    ax.plot([fleet["ratio"]], [last], "D", markersize=8.5, color=INK, markeredgecolor="white", zorder=4)
    hang = label_rows(ax, [*label_names(list(shown["account"]), width=30), "All accounts"])
    ax.get_yticklabels()[-1].set_fontweight("bold")
    ends = shown[["low", "high", "pooled_low", "pooled_high"]].astype("float64").to_numpy()
    left = min(float(np.min(ends)), fleet["between_low"], 1.0)
    right = max(float(np.max(ends)), fleet["between_high"], 1.0)
    room = (right / left) ** 0.04
    ax.set_xlim(left / room, right * room)
    steps = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(*ax.get_xlim())
    ax.xaxis.set_major_locator(FixedLocator([s for s in steps if ax.get_xlim()[0] <= s <= ax.get_xlim()[1]]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _change(value)))
    ax.set_xlabel(f"Change of {label.lower()} beyond that of accounts that kept their version", color=MUTED)
    _legend(ax, shown["verdict"], hang, "where 95 % of the accounts’ effects lie")
    unknown = len(effects) - len(known)
    notes = [
        "Each account against itself; lines: 95 % intervals",
        not_shown(len(known) - len(shown), "account"),
        f"{plural(unknown, 'account')} not comparable" if unknown else "",
    ]
    ratio, low, high, least, most = (
        _change(fleet[name]) for name in ("ratio", "low", "high", "between_low", "between_high")
    )
    moved = f"{'rose' if fleet['ratio'] > 1 else 'fell'} by {ratio.lstrip('+' + MINUS)}"
    finding = (
        f"{version}: {label.lower()} {moved} ({low} to {high}), each account against itself"
        if fleet["p_value"] <= 0.05
        else f"{version}: no change of {label.lower()} can be shown; it lies between {low} and {high}"
    )
    alt = (
        f"Effect of {version} on {label.lower()} in {plural(len(known), 'account')}, each against itself: on average "
        f"{ratio} (95 % interval {low} to {high}), single accounts between {least} and {most}."
    )
    headline(ax, finding, notes, alt, attrs, hang=hang)
    return ax


def _change(ratio: float) -> str:
    size = abs(100 * (ratio - 1))
    text = f"{size:.0f}" if size >= 9.95 or abs(size - round(size)) < 0.05 else f"{size:.1f}"
    sign = "" if text == "0" else MINUS if ratio < 1 else "+"
    return f"{sign}{text}{SPACE}%"
