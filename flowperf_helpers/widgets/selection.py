"""Rows of a fetched frame that are wanted, and a choice of flows that the next notebooks take."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.errors import ArgumentError, StorageError

__all__ = [
    "FlowChoice",
    "chosen_flows",
    "flow_overview",
    "flows_in",
    "select_rows",
]


# A choice of flows that the next notebooks take: text to copy, and a small JSON file.


class FlowChoice:
    """Chosen flows as notebook parameters; shows itself as text to copy.

    Parameters
    ----------
    flow_ids : iterable of str
        Repeats count once; the order stays.
    account : str
        Name of the account that the ids belong to.

    Attributes
    ----------
    parameters : dict
        ``{"account": ..., "flow_ids": [...]}``, fit for ``papermill -y`` or a parameters file.
    """

    def __init__(self, flow_ids: Iterable[str], *, account: str) -> None:
        self.parameters: dict[str, Any] = {"account": account, "flow_ids": list(dict.fromkeys(flow_ids))}

    @property
    def text(self) -> str:
        """Lines to paste into a parameters cell."""
        ids = json.dumps(self.parameters["flow_ids"], ensure_ascii=False)
        return f"account = {json.dumps(self.parameters['account'])}\nflow_ids = {ids}"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        number = len(self.parameters["flow_ids"])
        hint = "No flow is chosen, which the next notebooks read as “all flows”:"
        if number:
            flows = f"{number} flow{'' if number == 1 else 's'}"
            hint = f"{flows} chosen. Paste this into the next notebook's parameters cell:"
        style = "white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #C4CAD1;padding:6px 10px;max-width:720px"
        return f'<p>{hint}</p><pre style="{style}" tabindex="0">{html.escape(self.text)}</pre>'

    def save(self, path: str | Path) -> Path | None:
        """Write the parameters as JSON; an empty path writes nothing and returns None.

        Raises
        ------
        StorageError
            The file could not be written.
        """
        if not str(path):
            return None
        target = Path(path).expanduser()
        try:
            target.write_text(json.dumps(self.parameters, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"The choice cannot be written to {target.name} ({error.strerror}).", path=target
            ) from error
        return target


# Rows of a fetched frame that are wanted, and what is known of each flow in one row. Frame → frame.


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
