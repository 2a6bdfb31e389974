"""A picture for choosing: which flows send how much."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from flowperf_helpers.plots.figure import canvas, headline, label_rows, nothing_to_draw, plural, put_alt
from flowperf_helpers.plots.style import COLORS, INK, MUTED, label_names, styled

__all__ = ["flow_states", "plot_volume"]

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


def _legend(ax: Axes, states: Iterable[str]) -> None:
    there = [state for state in _LOOKS if state in set(states)]
    marks = [
        Line2D([], [], marker=_LOOKS[s][0], color=_LOOKS[s][1], linestyle="", markersize=8, label=s) for s in there
    ]
    ax.legend(handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.16 if ax.get_ylim()[0] < 8 else -0.1),
              ncols=len(marks), title=None)  # fmt: skip


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
    ax = canvas(ax, height=1.9 + 0.28 * max(len(shown), 3))
    if shown.empty:
        nobody = f"Nothing was sent by {plural(len(overview), 'flow')} in {_window(overview)}."
        return nothing_to_draw(ax, nobody, overview.attrs)
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
    _legend(ax, states)
    part = int(sending.loc[sending["flow_id"].isin(ids), "recipients"].sum())
    whole = int(sending["recipients"].sum())
    number = int(overview["flow_id"].isin(ids).sum())
    finding = f"{number} of {plural(len(overview), 'flow')} chosen: {part / whole:.0%} of {whole:,} recipients"
    silent = len(overview) - len(sending)
    rest = f"; {len(sending) - len(shown)} smaller flows are not drawn" if len(sending) > len(shown) else ""
    note = f"{_window(overview).capitalize()}; {plural(silent, 'flow')} sent nothing{rest}"
    headline(ax, finding, note, overview.attrs, hang=hang)
    put_alt(ax, f"{finding}. {note}.", overview.attrs)
    return ax


def _window(overview: pd.DataFrame) -> str:
    window = overview.attrs.get("timeframe")
    return str(window) if window else "this window"
