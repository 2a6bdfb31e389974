"""What an answer leaves out, contradicts or takes back: rows with a reason, two reports held together, restatements."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.catalog import GROUPINGS, STATISTICS, VALUE_STATISTICS
from flowperf_helpers.columns import keep_names, numbers, require_columns, row_keys
from flowperf_helpers.errors import ApiError, ScopeError
from flowperf_helpers.reconciliation import reconcile

__all__ = ["REASONS", "honest_rows", "reconcile", "restatements"]

REASONS = (
    "sent",
    "no sends in the window",
    "draft",
    "archived",
    "metric refuses values",
    "not permitted",
    "request failed",
)
"""Why a row of `honest_rows` has the numbers it has, or none."""

_REFUSAL = "does not support querying for values"
_PEOPLE = ["flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel"]


# --- nothing disappears -------------------------------------------------------------------------------------------


def honest_rows(
    flows: pd.DataFrame,
    messages: pd.DataFrame,
    answer: pd.DataFrame,
    *,
    failures: Mapping[str | None, BaseException] | None = None,
    refused_values: bool | Collection[str] = False,
) -> pd.DataFrame:
    """Join what was discovered to what was answered: every flow and message has a row, and each row a reason.

    Numbers stay as Klaviyo sent them; where it sent none they are NA, never 0.

    Parameters
    ----------
    flows : DataFrame
        ``flow_id, flow_name, flow_status, archived``; a flow may stand in several rows (one per metric).
    messages : DataFrame
        ``flow_id, flow_message_id, flow_message_name, send_channel`` and, if known, ``action_status``.
    answer : DataFrame
        A values frame; its rows that discovery does not know are kept.
    failures : mapping, optional
        ``flow_id`` → the error its request ended in; None as the key stands for all flows.
    refused_values : bool or collection of str, optional
        Whether the conversion metric refused the statistics that need values, or the ids of the metrics that did.

    Returns
    -------
    DataFrame
        ``flow_id, flow_name, flow_message_id, flow_message_name, send_channel``, other groupings of the answer,
        ``flow_status, action_status`` (str), ``is_discovered`` (bool), ``reason`` (one of `REASONS`), then the other
        columns of the answer. Flows in the order of discovery, unknown ones last.

    Raises
    ------
    ArgumentError
        Columns that are missing.
    """
    require_columns(flows, ["flow_id", "flow_name", "flow_status", "archived"], "honest_rows (flows)")
    require_columns(
        messages, ["flow_id", "flow_message_id", "flow_message_name", "send_channel"], "honest_rows (messages)"
    )
    require_columns(answer, ["flow_id", "flow_message_id"], "honest_rows (answer)")
    known_flows = flows.drop_duplicates("flow_id").set_index("flow_id")
    known_messages = messages.drop_duplicates(["flow_id", "flow_message_id"])
    silent = _silent(known_flows, known_messages, answer)
    attrs, answer = answer.attrs, answer.copy(deep=False)
    answer.attrs = {}
    rows = pd.concat([answer, silent], ignore_index=True) if len(silent) else answer.reset_index(drop=True)
    has_numbers = np.arange(len(rows)) < len(answer)
    pairs = pd.MultiIndex.from_frame(known_messages[["flow_id", "flow_message_id"]].astype("object"))
    own = pd.MultiIndex.from_frame(rows[["flow_id", "flow_message_id"]].astype("object"))
    position = pairs.get_indexer(own)
    if "action_status" in known_messages.columns:
        rows["action_status"] = (
            known_messages["action_status"].astype("str").reset_index(drop=True).reindex(position).array
        )
    else:
        rows["action_status"] = pd.array([None] * len(rows), dtype="str")
    rows["flow_status"] = rows["flow_id"].map(known_flows["flow_status"]).astype("str")
    found_flow = rows["flow_id"].isin(known_flows.index)
    whole_flow = (found_flow & rows["flow_message_id"].isna()).to_numpy(dtype=bool)
    rows["is_discovered"] = (position >= 0) | whole_flow | ~has_numbers
    from_flows = rows["flow_id"].map(known_flows["flow_name"]).astype("str")
    from_messages = known_messages["flow_message_name"].astype("str").reset_index(drop=True).reindex(position)
    for name, discovered in (("flow_name", from_flows), ("flow_message_name", from_messages)):
        told = rows[name].astype("str") if name in rows.columns else pd.Series(pd.NA, index=rows.index, dtype="str")
        rows[name] = told.where(told.notna(), pd.Series(discovered.array, index=rows.index))
    rows["reason"] = _reasons(rows, has_numbers, known_flows, failures or {}, refused_values)
    extra = [c for c in answer.columns if c in GROUPINGS and c not in _PEOPLE]
    head = [*_PEOPLE, *extra, "flow_status", "action_status", "is_discovered", "reason"]
    if "send_channel" not in rows.columns:
        rows["send_channel"] = pd.array([None] * len(rows), dtype="str")
    order = np.argsort(_rank(rows["flow_id"], known_flows.index), kind="stable")
    rows = rows[head + [c for c in answer.columns if c not in head]].iloc[order].reset_index(drop=True)
    rows.attrs = dict(attrs)
    return rows


def _silent(flows: pd.DataFrame, messages: pd.DataFrame, answer: pd.DataFrame) -> pd.DataFrame:
    """Rows of discovery that the answer does not hold: messages, and flows of which no message is known at all."""
    answered = pd.MultiIndex.from_frame(answer[["flow_id", "flow_message_id"]].astype("object"))
    own = pd.MultiIndex.from_frame(messages[["flow_id", "flow_message_id"]].astype("object"))
    unheard = messages.loc[~own.isin(answered), ["flow_id", "flow_message_id", "send_channel"]]
    bare = flows.index[~flows.index.isin(messages["flow_id"]) & ~flows.index.isin(answer["flow_id"])]
    rows = pd.concat([unheard, pd.DataFrame({"flow_id": bare})], ignore_index=True)
    rows = rows.astype({c: "str" for c in ("flow_id", "flow_message_id", "send_channel") if c in rows.columns})
    # a typed NA for every other column keeps the answer's dtypes: an Int64 stays one
    return rows.reindex(columns=rows.columns.union(answer.columns, sort=False)).astype(
        {c: t for c, t in answer.dtypes.items() if c not in rows.columns and not pd.api.types.is_bool_dtype(t)}
    )


def _rank(flow_ids: pd.Series, known: pd.Index) -> np.ndarray:
    position = known.get_indexer(pd.Index(flow_ids))
    return np.where(position < 0, len(known), position)


def _reasons(
    rows: pd.DataFrame,
    has_numbers: np.ndarray,
    flows: pd.DataFrame,
    failures: Mapping[str | None, BaseException],
    refused_values: bool | Collection[str],
) -> pd.Series:
    told = {flow: _failure_reason(error) for flow, error in failures.items()}
    failed = rows["flow_id"].map({k: v for k, v in told.items() if k is not None}).astype("object")
    if None in told:
        failed = failed.where(failed.notna(), told[None])
    archived = rows["flow_id"].map(flows["archived"]).astype("boolean").fillna(False).to_numpy(dtype=bool)
    draft = (rows["flow_status"].eq("draft") | rows["action_status"].eq("draft")).to_numpy(dtype=bool, na_value=False)
    nothing = np.zeros(len(rows), dtype=bool)
    if "recipients" in rows.columns:
        nothing = numbers(rows, "recipients") == 0
    refused: Any
    if isinstance(refused_values, bool):
        refused = np.full(len(rows), refused_values)
    else:
        require_columns(rows, ["conversion_metric_id"], "honest_rows (answer)")
        refused = rows["conversion_metric_id"].isin(list(refused_values)).to_numpy()
    valued = [c for c in VALUE_STATISTICS if c in rows.columns]
    refused = refused & rows[valued].isna().all(axis=1).to_numpy()
    reason = np.select(
        [has_numbers & nothing, has_numbers & refused, has_numbers, failed.notna().to_numpy(), archived, draft],
        ["no sends in the window", "metric refuses values", "sent", failed.fillna("").to_numpy(), "archived", "draft"],
        "no sends in the window",
    )
    return pd.Series(reason, index=rows.index).astype("str")


def _failure_reason(error: BaseException) -> str:
    if isinstance(error, ScopeError):
        return "not permitted"
    if isinstance(error, ApiError) and _REFUSAL in f"{error.detail or ''} {error}".lower():
        return "metric refuses values"
    return "request failed"


# --- numbers taken back -------------------------------------------------------------------------------------------


def restatements(history: pd.DataFrame, *, statistics: Sequence[str] | None = None) -> pd.DataFrame:
    """Find the numbers that changed from one asking to the next: same group, same interval, same statistic.

    A number that became known or unknown is a change; a row that one asking lacks is none: it may not have been asked.

    Parameters
    ----------
    history : DataFrame
        Rows of series frames with ``fetched_at``, the moment they were asked; any order.
    statistics : sequence of str, optional
        Which; left out: all sums of the history (rates follow from them).

    Returns
    -------
    DataFrame
        Groupings (with names as last told), ``interval_start``, ``interval_end`` where known, ``statistic`` (str),
        ``before, after, change`` (float64; NaN where not known), ``asked_before, asked_after`` (datetime),
        ``days_between`` (float64), ``was_provisional`` (boolean: the first number was not final yet, NA if not told).
        Sorted by group, interval, statistic and asking; empty where nothing changed.

    Raises
    ------
    ArgumentError
        Columns that are missing.
    """
    require_columns(history, ["flow_id", "interval_start", "fetched_at", *(statistics or ())], "restatements")
    if statistics is None:
        statistics = [n for n, s in STATISTICS.items() if not s.denominators and n in history.columns]
    keys = row_keys(history)
    code = history.groupby(keys, dropna=False, sort=True, observed=True).ngroup().to_numpy()
    asked = pd.DatetimeIndex(history["fetched_at"])
    order = np.lexsort((asked.asi8, code))
    # the same moment twice is one asking that came in two answers: its last row counts
    last = np.append((np.diff(code[order]) != 0) | (np.diff(asked.asi8[order]) != 0), True)[: len(order)]
    order = order[last]
    follows = np.flatnonzero(np.diff(code[order]) == 0)
    old, new = order[follows], order[follows + 1]
    rows, names, before, after = [], [], [], []
    for name in statistics:
        counts = numbers(history, name)
        a, b = counts[old], counts[new]
        differs = np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))
        rows.append(differs)
        names.append(np.full(len(differs), name, dtype=object))
        before.append(a[differs])
        after.append(b[differs])
    at = np.concatenate(rows) if rows else np.zeros(0, dtype=int)
    order = np.argsort(at, kind="stable")  # pairs are sorted by group, interval and asking already
    at = at[order]
    shown = [k for key in keys for k in (key, *keep_names(history, [key]))]
    found = history[shown].iloc[new[at]].reset_index(drop=True)
    found["statistic"] = pd.array(np.concatenate([*names, np.zeros(0, dtype=object)])[order], dtype="str")
    found["before"], found["after"] = (np.concatenate([*part, np.zeros(0)])[order] for part in (before, after))
    found["change"] = found["after"] - found["before"]
    found["asked_before"], found["asked_after"] = asked[old[at]], asked[new[at]]
    found["days_between"] = (found["asked_after"] - found["asked_before"]) / pd.Timedelta(days=1)
    young: Any = history["is_provisional"].iloc[old[at]] if "is_provisional" in history.columns else [None] * len(at)
    found["was_provisional"] = pd.array(young, dtype="boolean")
    found = found.sort_values([*keys, "statistic", "asked_after"], kind="stable", ignore_index=True)
    found.attrs = {"askings": int(asked.nunique())}
    return found
