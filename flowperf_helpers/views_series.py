"""Pictures of series: select, compute, draw. The same function draws alone and on a board.

Each takes fetched frames first and the pickers' values by name, asks nobody anything, and returns what
`flowperf_helpers.panels.as_html` can show. Where the numbers do not allow a picture (no rows, too few weeks), it
returns axes with the sentence that says why, so that the cells below still run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from flowperf_helpers import plots
from flowperf_helpers.catalog import STATISTICS
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.explain import or_sentence, sentence_picture
from flowperf_helpers.rollups import roll_up
from flowperf_helpers.selection import select_rows
from flowperf_helpers.settling import forecast, settling_curve
from flowperf_helpers.signals import control_limits

__all__ = ["SERIES_VIEWS", "view_series"]

SERIES_VIEWS = {
    "one line per flow": "lines",
    "all together, with control limits": "limits",
    "several statistics": "multiples",
    "flows × time": "heat",
    "forecast of the last intervals": "forecast",
}
"""Pictures of `view_series`: words for people, and the value of ``picture``."""


@or_sentence
def view_series(
    weekly: pd.DataFrame,
    daily: pd.DataFrame,
    history: pd.DataFrame | None = None,
    *,
    interval: str = "weekly",
    statistic: str = "click_rate",
    statistics: Sequence[str] = (),
    picture: str = "lines",
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
    window: Sequence[str] | None = None,
) -> Any:
    """Show statistics over time.

    Parameters
    ----------
    weekly, daily : DataFrame
        Series per message, fetched before.
    history : DataFrame, optional
        Of `flowperf_helpers.rehearsal.fetch_history`; the forecast learns from it how late conversions come.
    interval : {"weekly", "daily"}
    statistic : str
        For all pictures but the small multiples, which draw ``statistics`` (or it, where none is given).
    picture : str
        One of the values of `SERIES_VIEWS`.
    window : pair of ISO dates, optional
        Intervals that lie inside.
    """
    frame = daily if interval == "daily" else weekly
    frame = select_rows(frame, flow_ids=flow_ids, channel=channel, window=window)
    if frame.empty:
        return sentence_picture(f"No {interval} row is there for this choice of flows, channel and days.", frame.attrs)
    if picture == "multiples":
        return plots.plot_small_multiples(frame, statistics=[*statistics] or [statistic])
    if picture == "heat":
        return plots.plot_heatmap(frame, statistic=statistic, top=15)
    if picture == "limits":
        return _with_limits(frame, statistic)
    if picture == "forecast":
        return _forecast(frame, statistic, history)
    return plots.plot_series(frame, statistic=statistic)


_TIME = ["interval_start", "interval_end", "is_partial", "is_provisional"]


def _all_in_one(frame: pd.DataFrame) -> pd.DataFrame:
    """Roll all flows up into one line per interval."""
    total = roll_up(frame, _TIME)
    number = frame["flow_id"].nunique()
    name = str(frame["flow_name"].iloc[0]) if number == 1 else f"All {number} flows together"
    total.insert(0, "flow_name", name)
    total.attrs = {**frame.attrs, **total.attrs}
    return total


def _with_limits(frame: pd.DataFrame, statistic: str) -> Any:
    total = _all_in_one(frame)
    is_rate = STATISTICS[statistic].kind == "rate"
    # of the rows, not of their sums: those count channels on which the rate means nothing
    rows = frame.assign(flow_name=total["flow_name"].iloc[0])
    limits = control_limits(rows, by=["flow_name"], **{"rate" if is_rate else "count": statistic})
    return plots.plot_series(total, statistic=statistic, limits=limits)


def _forecast(frame: pd.DataFrame, statistic: str, history: pd.DataFrame | None) -> Any:
    if history is None or history.empty:
        raise ArgumentError(
            "A forecast learns from earlier answers about the same days, and the store holds none yet: run this "
            "notebook, or the weekly report, on several days."
        )
    curve = settling_curve(history, statistic=statistic, attribution_days=frame.attrs.get("attribution_days", 5))
    expected = forecast(_all_in_one(frame).tail(14), curve, statistic=statistic)
    return plots.plot_forecast(expected, statistic=statistic)
