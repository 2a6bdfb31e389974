"""Rows of a fetched frame that are wanted, and what is known of each flow in one row. Frame → frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from flowperf_helpers.errors import ArgumentError

__all__ = ["chosen_flows", "flow_overview", "flows_in", "select_rows"]


def select_rows(
    frame: pd.DataFrame,
    *,
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
    window: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the rows of some flows, of one channel, within a window.

    Parameters
    ----------
    frame : DataFrame
        Values or series; a column that is missing selects nothing away.
    flow_ids : iterable of str, optional
        None keeps all flows; an empty one keeps none.
    channel : str
        ``""`` keeps all.
    window : pair of ISO dates, optional
        First and last day, both included, on the account's clock; keeps intervals that lie inside as a whole.

    Returns
    -------
    DataFrame
        Same columns and ``attrs``.
    """
    keep = pd.Series(True, index=frame.index)
    if flow_ids is not None:
        keep &= frame["flow_id"].isin(list(flow_ids))
    if channel and "send_channel" in frame.columns:
        keep &= frame["send_channel"].eq(channel).fillna(False).astype(bool)
    if window is not None and "interval_start" in frame.columns:
        if len(window) != 2:
            raise ArgumentError(f"A window is a pair of first and last day, not {window!r}.")
        first, last = (pd.Timestamp(day) for day in window)
        starts, ends = (frame[name].dt.tz_localize(None) for name in ("interval_start", "interval_end"))
        keep &= (starts >= first) & (ends <= last + pd.Timedelta(days=1))
    chosen = frame[keep].reset_index(drop=True)
    chosen.attrs = dict(frame.attrs)
    return chosen


def chosen_flows(
    overview: pd.DataFrame, *, flow_ids: Iterable[str] | None = None, channel: str = "", at_least: int = 0
) -> list[str]:
    """Return the ids of the flows that fit, in the overview's order.

    Parameters
    ----------
    overview : DataFrame
        Of `flow_overview`.
    flow_ids : iterable of str, optional
        None for all.
    channel : str
        Only flows with a message on it; ``""`` for all.
    at_least : int
        Only flows with as many recipients.
    """
    kept = overview
    if channel:
        kept = kept[kept["send_channels"].fillna("").str.split(", ").map(lambda names: channel in names).astype(bool)]
    if at_least:
        kept = kept[kept["recipients"].fillna(0) >= at_least]
    if flow_ids is not None:
        kept = kept[kept["flow_id"].isin(list(flow_ids))]
    return [str(flow) for flow in kept["flow_id"]]


def flows_in(frame: pd.DataFrame, flows: pd.DataFrame) -> pd.DataFrame:
    """Return the flows that a report speaks of, one row each, in order of appearance.

    Parameters
    ----------
    frame : DataFrame
        Values or series with ``flow_id`` and ``flow_name``.
    flows : DataFrame
        Of ``account.flows()``. A flow that was deleted since is in the report only: its status is NA.

    Returns
    -------
    DataFrame
        ``flow_id, flow_name, flow_status``.
    """
    named = frame[["flow_id", "flow_name"]].drop_duplicates("flow_id")
    status = flows.drop_duplicates("flow_id").set_index("flow_id")["flow_status"]
    return named.assign(flow_status=named["flow_id"].map(status).astype("str")).reset_index(drop=True)


def flow_overview(flows: pd.DataFrame, messages: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    """Return what helps to choose flows: status, channels, volume and last activity, the largest flow first.

    Parameters
    ----------
    flows : DataFrame
        Of ``account.flows()``.
    messages : DataFrame
        Of ``account.messages()``.
    series : DataFrame
        With ``recipients`` per flow (or message) and interval.

    Returns
    -------
    DataFrame
        ``flow_id, flow_name, flow_status, archived, trigger_type, send_channels`` (str, joined by commas), ``messages``
        (Int64), ``recipients`` (Int64, in the series' window; NA where the report has no row: Klaviyo leaves flows out
        that sent nothing), ``last_sent`` (start of the last interval with recipients, NaT for none), ``updated``.
        A flow that only the report knows (deleted since) has a row too, its status is NA.
    """
    known = flows.drop_duplicates("flow_id").set_index("flow_id")
    sent = series[series["recipients"].fillna(0) > 0]
    by_flow = sent.groupby("flow_id")
    gone = [flow_id for flow_id in by_flow.groups if flow_id not in known.index]
    index = pd.Index([*known.index, *gone], name="flow_id", dtype="str")
    overview = known[["flow_name", "flow_status", "archived", "trigger_type", "updated"]].reindex(index)
    if "flow_name" in series.columns:
        overview["flow_name"] = overview["flow_name"].fillna(by_flow["flow_name"].first().reindex(index))
    pairs = messages[["flow_id", "send_channel"]].dropna().drop_duplicates()
    channels = pairs.groupby("flow_id")["send_channel"].agg(lambda names: ", ".join(sorted(names)))
    overview["send_channels"] = channels.reindex(index).astype("str")
    counts = messages[~messages["is_variation"].fillna(False).astype(bool)].groupby("flow_id").size()
    overview["messages"] = counts.reindex(index).astype("Int64")
    overview["recipients"] = by_flow["recipients"].sum().reindex(index).astype("Int64")
    overview["last_sent"] = by_flow["interval_start"].max().reindex(index)
    order = ["flow_name", "flow_status", "archived", "trigger_type", "send_channels", "messages", "recipients",
             "last_sent", "updated"]  # fmt: skip
    overview = overview[order].reset_index().sort_values("recipients", ascending=False, ignore_index=True)
    overview.attrs = dict(series.attrs)
    return overview
