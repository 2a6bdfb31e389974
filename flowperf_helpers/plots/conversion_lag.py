"""Where recent days will end, beside what is in so far."""

from __future__ import annotations

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import axis_title, interval_text, statistic_label, statistic_text
from flowperf_helpers.plots.figure import (
    below,
    canvas,
    few_ticks,
    headline,
    nothing_to_draw,
    plural,
    put_alt,
    tick_format,
)
from flowperf_helpers.plots.style import COLORS, HATCH, MUTED, PALE, styled
from flowperf_helpers.plots.time_axis import date_axis, interval_name, middle_width, wall_times

__all__ = ["plot_forecast"]


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
        return nothing_to_draw(canvas(ax, height=2.4), reason, attrs)
    ax = canvas(ax, height=3.8, grid="y")
    wall = wall_times(pd.DatetimeIndex(known["interval_start"]))
    step = middle_width(wall)
    times, width = mdates.date2num(wall.to_pydatetime()), 0.62 * step / pd.Timedelta(days=1)
    so_far, final, low, high = (known[c].astype("float64").to_numpy() for c in (now, "final", "low", "high"))
    ax.bar(times, so_far, width=width, color=COLORS["blue"], label="in so far")
    ax.bar(times, np.nan_to_num(np.maximum(final - so_far, 0)), bottom=so_far, width=width, facecolor="white",
           edgecolor=COLORS["blue"], hatch=HATCH, linewidth=0.8, label="expected to come")  # fmt: skip
    has = ~np.isnan(final)
    error = np.abs(np.vstack([final - low, high - final]))[:, has]
    ax.errorbar(times[has], final[has], yerr=error, fmt="none", ecolor=MUTED, elinewidth=1.4, capsize=3,
                label="95 % interval")  # fmt: skip
    ax.set_xlim(times[0] - width, times[-1] + width)
    ax.set_ylim(0, float(np.nanmax([so_far.max(), np.nanmax(high), np.nanmax(final)])) * 1.12 or 1.0)
    date_axis(ax, wall)
    few_ticks(ax, "y")
    ax.yaxis.set_major_formatter(tick_format(statistic, currency))
    ax.set_ylabel(axis_title(statistic, currency), color=MUTED)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below(ax, 34),
        ncols=3,
        borderaxespad=0,
        labelcolor=MUTED,
    )
    ax.spines["bottom"].set_color(PALE)
    last = int(np.flatnonzero(has)[-1])
    when, text = interval_name(wall[last], step), statistic_text(final[last], statistic, currency)
    interval = interval_text(low[last], high[last], statistic, currency)
    finding = (
        f"{when} will end at about {text} {label.lower()}, {statistic_text(so_far[last], statistic, currency)} so far"
    )
    headline(ax, finding, f"{label}; line: 95 % interval of the forecast ({interval} for {when})", attrs, hang=44)
    put_alt(ax, f"Forecast of {label.lower()} for {plural(len(known), 'interval')}: {when} stands at "
                f"{statistic_text(so_far[last], statistic, currency)} and is expected to end at {text} "
                f"(95 % interval {interval}).", attrs)  # fmt: skip
    return ax
