"""What was answered earlier about the same days: kept answers of a real account, a rehearsed past of the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from flowperf_helpers.account.queries import ReportQuery
from flowperf_helpers.account.timeframes import Window, last_complete_week
from flowperf_helpers.errors import FlowperfError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import row_keys

__all__ = ["DAYS", "REHEARSED_WEEKS", "WEEKS", "Subject", "answers_before", "earlier_answers", "ending", "rehearse"]

WEEKS = 51
DAYS = 59
"""Weeks and days that the two series of a weekly report cover."""

REHEARSED_WEEKS = 6
"""How many earlier weekly reports the sandbox's past consists of: enough for settling, and for the same age."""


def ending(window: Window, days: int) -> Window:
    """Return the window of so many days that ends with a week."""
    return Window(window.shift(7 - days).first, window.last)


def rehearse(account: Any, conversion_metric_id: str, flow_ids: Sequence[str] | None = None) -> None:
    """Give the sandbox its past: what weekly reports would have been answered one week ago, two weeks ago, ….

    It is always the same past, whoever needs it first, and each answer of it that is missing is asked for, whatever
    else the store holds. A real account is asked nothing: its past is what earlier runs kept.

    Parameters
    ----------
    account : Account
    conversion_metric_id : str
    flow_ids : sequence of str, optional
        Left out: all flows.
    """
    if not account.settings.is_embedded:
        return
    flows = None if flow_ids is None else tuple(flow_ids)
    for weeks in range(REHEARSED_WEEKS, 0, -1):
        moment = (account.now() - pd.Timedelta(weeks=weeks)).to_pydatetime()
        then = account.again(now=moment)
        week = last_complete_week(then.now().to_pydatetime())
        queries = [
            ReportQuery(conversion_metric_id, ending(week, days), tuple(STATISTICS), interval, flows)
            for interval, days in (("weekly", WEEKS * 7), ("daily", DAYS))
        ]
        if then.plan(queries).requests:
            then.run(queries)


Subject = tuple[str, tuple[str, ...] | None]
"""A conversion metric and the flows it is asked of, None for all."""


def answers_before(
    account: Any,
    subjects: Sequence[Subject],
    series: Sequence[pd.DataFrame],
    before: Window,
) -> pd.DataFrame:
    """Earlier answers about what the report shows: its flows, its weeks and its days, whatever else was asked.

    Of today only the report's own answers count, so that no notebook opened before it moves its numbers.
    Of an interval that had settled when it was asked, the first and the last answer of earlier days are kept (of the
    week before, all): what lies between tells nothing of settling nor of restatements.
    """
    for metric, flow_ids in subjects:
        rehearse(account, metric, flow_ids)
    since = account.now() - pd.Timedelta(weeks=REHEARSED_WEEKS + 1)
    frame: pd.DataFrame = account.history("series", since=since, conversion_metric_id=[m for m, _ in subjects])
    if frame.empty:
        return frame
    bounds = ["interval_start", "interval_end"]
    shown = pd.concat([part[bounds] for part in series])
    own = [pd.Timestamp(part.attrs["fetched_at"]) for part in series]
    today = min(own).tz_convert(account.timezone).normalize()
    of_report = pd.Series(False, index=frame.index)
    for metric, flow_ids in subjects:
        of_metric = frame["conversion_metric_id"] == metric
        of_report |= of_metric if flow_ids is None else of_metric & frame["flow_id"].isin(flow_ids)
    earlier = frame["fetched_at"] < today
    of_report &= earlier | frame["fetched_at"].isin(own)
    of_report &= pd.MultiIndex.from_frame(frame[bounds]).isin(pd.MultiIndex.from_frame(shown[bounds]))
    settled = earlier & (frame["fetched_at"] - frame["interval_end"] >= pd.Timedelta(days=account.attribution_days))
    settled &= of_report & (frame["interval_start"] != before.bounds(account.timezone)[0])
    asked = frame.loc[settled, row_keys(frame)]  # oldest request first
    between = asked.duplicated(keep="first") & asked.duplicated(keep="last")
    of_report[between.index[between]] = False
    return frame[of_report].reset_index(drop=True)


def earlier_answers(account: Any, conversion_metric: str, window: Window) -> pd.DataFrame:
    """Return the daily answers about a window that were given at several moments.

    A real account is asked nothing: what earlier runs kept is read from disk. The sandbox, which has no past, is asked
    with its clock set back (`rehearse`); those answers are kept like all others.

    Parameters
    ----------
    account : Account
    conversion_metric : str
        Id, name or ``"revenue"``.
    window : Window
        Days of interest.

    Returns
    -------
    DataFrame
        Of ``account.history("series")``, daily rows of the window; empty where nothing is kept, or where the account
        cannot be asked.
    """
    try:
        metric = account.conversion_metric(conversion_metric)
        rehearse(account, metric)
        history = account.history("series", conversion_metric_id=metric)
    except FlowperfError:
        return pd.DataFrame({"fetched_at": pd.Series(dtype="datetime64[us, UTC]")})
    if history.empty:
        return history
    start, end = window.bounds(account.timezone)
    days = (history["interval_end"] - history["interval_start"]) < pd.Timedelta(hours=30)
    inside = (history["interval_start"] >= start) & (history["interval_end"] <= end)
    kept = history[days & inside].reset_index(drop=True)
    kept.attrs = {**history.attrs, "sandbox": account.is_sandbox, "account": account.name}
    return kept
