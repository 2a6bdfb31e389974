"""Control limits on a time axis: the band of ordinary weeks, and the points outside it with their dates."""

from __future__ import annotations

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.formats import statistic_text
from flowperf_helpers.plots.timelines import interval_name, wall_times
from flowperf_helpers.style import COLORS, MUTED, PALE

__all__ = ["draw_limits", "signal_words"]


def _value_column(limits: pd.DataFrame) -> str:
    return "value" if "value" in limits.columns else "rate"


def draw_limits(ax: Axes, limits: pd.DataFrame, *, most: int = 4) -> None:
    """Draw centre and band, ring the signals and write dates at the latest ones.

    Parameters
    ----------
    limits : DataFrame
        One group, in time order: ``interval_start, centre, lower, upper, is_signal`` and ``value`` (or ``rate``).
    most : int
        Dates written.
    """
    wall = wall_times(pd.DatetimeIndex(limits["interval_start"]))
    times = mdates.date2num(wall.to_pydatetime())
    centre, lower, upper = (limits[c].astype("float64").to_numpy() for c in ("centre", "lower", "upper"))
    band = ax.fill_between(times, lower, upper, step="mid", color=PALE, alpha=0.35, linewidth=0, zorder=0.5)
    band.set_gid("limits")
    ax.plot(times, centre, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5, label="_centre")
    column = _value_column(limits)
    if column not in limits.columns:
        return
    values = limits[column].astype("float64").to_numpy()
    found = np.flatnonzero(limits["is_signal"].fillna(False).astype(bool).to_numpy() & ~np.isnan(values))
    if not len(found):
        return
    ax.plot(times[found], values[found], linestyle="", marker="o", markersize=12, markerfacecolor="none",
            markeredgecolor=COLORS["vermillion"], markeredgewidth=1.8, zorder=5, label="_signals")  # fmt: skip
    written: list[float] = []
    apart = 0.06 * (times[-1] - times[0] or 1.0)
    step = pd.Timedelta(np.median(np.diff(wall.to_numpy()))) if len(wall) > 1 else pd.Timedelta(days=7)
    for place in found[::-1]:
        if len(written) >= most or any(abs(times[place] - other) < apart for other in written):
            continue
        written.append(times[place])
        below = values[place] < centre[place]
        ax.annotate(interval_name(wall[place], step), (times[place], values[place]), xytext=(0, -11 if below else 11),
                    textcoords="offset points", ha="center", va="top" if below else "bottom", fontsize=9,
                    color=COLORS["vermillion"], fontweight="bold", zorder=6)  # fmt: skip


def signal_words(limits: pd.DataFrame, step: pd.Timedelta, statistic: str, currency: str | None) -> str:
    """The latest signal in words, and how many there are."""
    flagged = limits[limits["is_signal"].fillna(False).astype(bool)]
    if not len(flagged):
        return "nothing outside the control limits"
    last, column = flagged.iloc[-1], _value_column(limits)
    when = interval_name(wall_times(pd.DatetimeIndex([last["interval_start"]]))[0], step)
    side = "above" if float(last[column]) > float(last["centre"]) else "below"
    others = f", the latest of {len(flagged)} signals" if len(flagged) > 1 else ""
    usual = statistic_text(last["centre"], statistic, currency)
    return f"{statistic_text(last[column], statistic, currency)} in {when} lies {side} the usual {usual}{others}"
