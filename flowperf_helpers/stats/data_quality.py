"""What an answer leaves out, contradicts or takes back; two reports of one window held together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import GROUPINGS, STATISTICS
from flowperf_helpers.frames.columns import group_keys, keep_names, numbers, require_columns, row_keys, statistics_of
from flowperf_helpers.stats.rollup import roll_up

__all__ = [
    "coverage_table",
    "merge_answers",
    "reconcile",
    "restatements",
]


# Several answers about one window held together: merged into one, or the values against the sum of the series.

_TAGS = ("tag_id", "tag_name")
_SPLITS = ("variation", "variation_name", "text_message_format", *_TAGS)
_BOUNDS = ("interval_start", "interval_end", "window_start", "window_end")
_SMALLEST = {"count": 0.5, "money": 0.005, "credits": 0.005}


def merge_answers(history: pd.DataFrame, *, by: Collection[str] = ()) -> pd.DataFrame:
    """Merge answers to different questions, so that a number of one moment stands there once, whoever asked.

    The same messages may have been asked about whole, by variation, by tag, without their channel, or for other
    statistics. Variations are summed, tags counted once, a channel that was not asked is filled in from the other
    answers, and statistics of several answers stand in one row.

    Parameters
    ----------
    history : DataFrame
        Rows of series or values frames with ``fetched_at`` and ``query``.
    by : collection of str, optional
        Groupings to keep beside flow, message and channel.

    Returns
    -------
    DataFrame
        One row per request time, conversion metric, flow, message, channel and interval (or window); the columns
        of ``history`` without variations and tags, its order kept.
    """
    if history.empty or not {"flow_id", "flow_message_id"} <= set(history.columns):
        return history
    dropped = [c for c in _SPLITS if c in history.columns and c not in by]
    keys = [c for c in group_keys(history) if c not in dropped] + [c for c in _BOUNDS if c in history.columns]
    rows = _with_channels(history.drop(columns=[c for c in dropped if c in _TAGS]))
    finer = [c for c in dropped if c in rows.columns]
    rows = rows.drop_duplicates(["fetched_at", *keys, *finer, "query"], keep="last").reset_index(drop=True)
    if "window_start" in keys:  # nobody knows the windows of presets: two of them are never the same
        rows["own"] = rows["query"].where(rows["window_start"].isna())
        keys.append("own")
    keys.append("fetched_at")
    split = rows.duplicated([*keys, "query"], keep=False)
    if split.any():
        rows = pd.concat([rows[~split], _summed(rows[split], [*keys, "query"])]).sort_index()
    rows = rows.drop(columns=finer)
    again = rows.duplicated(keys, keep=False)
    if again.any():
        # the fullest first: an interval that the border of another window cut holds less
        sent = rows[again].get("recipients", pd.Series(0, index=rows.index[again]))
        order = sent.astype("float64").sort_values(ascending=False, kind="stable", na_position="last").index
        twice = rows.loc[order]
        codes = twice.groupby(keys, dropna=False, sort=False).ngroup().to_numpy()
        merged = twice.groupby(codes, sort=True).first()
        merged.index = pd.Series(order).groupby(codes, sort=True).min().to_numpy()
        rows = pd.concat([rows[~again], merged[rows.columns].astype(rows.dtypes.to_dict())]).sort_index()
    merged = rows.drop(columns="own", errors="ignore").reset_index(drop=True)
    merged.attrs = dict(history.attrs)
    return merged


def _with_channels(history: pd.DataFrame) -> pd.DataFrame:
    """Fill in channels that were not asked; where a message has several, such rows would count again and go."""
    if "send_channel" not in history.columns or not history["send_channel"].isna().any():
        return history.copy()
    message = ["flow_id", "flow_message_id"]
    known = history.dropna(subset="send_channel").drop_duplicates([*message, "send_channel"])
    several = known.duplicated(message, keep=False)
    index = pd.MultiIndex.from_frame(history[message])
    single = known[~several].set_index(message)["send_channel"].reindex(index).array
    filled = history.assign(send_channel=history["send_channel"].fillna(pd.Series(single, index=history.index)))
    ambiguous = index.isin(pd.MultiIndex.from_frame(known.loc[several, message]))
    return filled[~(filled["send_channel"].isna() & ambiguous)]


def _summed(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Sum the parts of each group; rates are rebuilt. Each group keeps the index of its first row."""
    first = rows.drop_duplicates(keys)
    codes = rows.groupby(keys, dropna=False, sort=False).ngroup().to_numpy()
    statistics = statistics_of(rows)
    sums = [c for c in statistics if not STATISTICS[c].denominators]
    added = rows[sums].groupby(codes).sum(min_count=1)
    rates = roll_up(rows, keys) if len(sums) < len(statistics) else added
    whole = {c: (added if c in sums else rates)[c].array for c in statistics}
    return first.assign(**whole).astype(rows.dtypes.to_dict())


def reconcile(values: pd.DataFrame, series: pd.DataFrame, *, tolerance: float = 0.005) -> pd.DataFrame:
    """Hold a values report against the sum of a series, per group and statistic that may be summed over time.

    Where ``values`` tells its window, only the intervals that lie inside it are summed. A group without sends stands in
    one report as zeros and in the other not at all: that agrees.

    Parameters
    ----------
    values, series : DataFrame
        Of the same window; rows finer in one of them are summed up to the groupings they share, and rows that a second
        tag repeats count once.
    tolerance : float, optional
        As a fraction of the larger of the two; half a count or half a cent is always allowed.

    Returns
    -------
    DataFrame
        Groupings both have (with names), ``statistic`` (str), ``values, series_sum, difference`` (series less values;
        float64, NaN where one side is not known), ``agrees`` (bool), ``reasons`` (str: what may explain it, likeliest
        first; empty where they agree).

    Raises
    ------
    ArgumentError
        Columns that are missing, no statistic in common, or a negative tolerance.
    """
    if not tolerance >= 0:
        raise ArgumentError(f"tolerance is {tolerance!r}: give a fraction of 0 or more, such as 0.005.")
    require_columns(values, ["flow_id"], "reconcile (values)")
    require_columns(series, ["flow_id", "interval_start"], "reconcile (series)")
    keys = [k for k in group_keys(values) if k in group_keys(series) and k not in _TAGS]
    additive = [
        n for n, s in STATISTICS.items() if s.additive_over_time and n in values.columns and n in series.columns
    ]
    if not additive:
        raise ArgumentError(
            "The two frames have no statistic in common that may be summed over time: ask both for counts."
        )
    inside = _inside(values, series)
    left, right = (_long_sums(f, keys, additive) for f in (values, inside))
    joined = left.add_suffix("_values").join(right.add_suffix("_series"), how="outer")
    found = joined.index.to_frame(index=False)
    found = found.astype({k: values[k].dtype for k in keys} | {"statistic": "str"})
    for name in keep_names(values, keys):
        key = next(k for k in keys if keep_names(values, [k]) == [name])
        known = values[[key, name]].dropna().drop_duplicates(key).set_index(key)[name]
        found.insert(list(found.columns).index(key) + 1, name, found[key].map(known).astype("str"))
    v, s = joined["sum_values"].to_numpy(), joined["sum_series"].to_numpy()
    found["values"], found["series_sum"] = v, s
    found["difference"] = s - v
    room = np.array([_SMALLEST.get(STATISTICS[n].unit, 0.0) for n in found["statistic"]], dtype=float)
    close = np.abs(s - v) <= np.fmax(room, tolerance * np.fmax(np.abs(v), np.abs(s)))
    found["agrees"] = close | (np.isnan(v) & ~(s > room)) | (np.isnan(s) & ~(v > room))
    found["reasons"] = _explained(found, values, series, inside)
    return found


def _long_sums(frame: pd.DataFrame, keys: list[str], statistics: list[str]) -> pd.DataFrame:
    if set(_TAGS) & set(frame.columns):  # a second tag repeats the row
        own = [k for k in row_keys(frame) if k not in _TAGS]
        frame = frame.drop_duplicates([*own, *statistics])
    columns = pd.DataFrame({name: numbers(frame, name) for name in statistics})
    groups = [frame[k].reset_index(drop=True) for k in keys]
    sums = columns.groupby(groups, dropna=False, sort=True, observed=True).sum(min_count=1)
    sums.index = pd.MultiIndex.from_frame(sums.index.to_frame(index=False).set_axis(keys, axis=1).astype("object"))
    parts = [sums[name].to_frame("sum") for name in statistics]
    return pd.concat(parts, keys=statistics, names=["statistic"]).reorder_levels([*keys, "statistic"]).dropna()


def _inside(values: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    if "window_start" not in values.columns or values["window_start"].isna().all():
        return series
    start, end = values["window_start"].min(), values["window_end"].max()
    ends = series["interval_end"] if "interval_end" in series.columns else series["interval_start"]
    return series[(series["interval_start"] >= start) & (ends <= end)]


def _explained(found: pd.DataFrame, values: pd.DataFrame, series: pd.DataFrame, inside: pd.DataFrame) -> list[str]:
    """Name the candidate reasons: those with evidence in the frames first, those excluded by it not at all."""
    asked = [f.attrs.get("fetched_at") for f in (values, series)]
    same_moment = asked[0] is not None and asked[0] == asked[1]
    young = bool(inside["is_provisional"].any()) if "is_provisional" in inside.columns else None
    cut = bool(inside["is_partial"].any()) if "is_partial" in inside.columns else None
    if "window_start" in values.columns and "interval_end" in series.columns and len(inside) and len(values):
        edges = (inside["interval_start"].min(), inside["interval_end"].max())
        bounds = (values["window_start"].min(), values["window_end"].max())
        cut = bool(cut) or (not pd.isna(bounds[0]) and edges != bounds)
    split = any((c in values.columns) != (c in series.columns) for c in _SPLITS)
    zones = {f.attrs.get("timezone") for f in (values, series)} - {None}
    weighed = [
        (0 if young and not same_moment else None if young is False or same_moment else 1,
         "recent intervals were still filling between the two requests"),
        (0 if cut else None if cut is False else 1,
         "the intervals do not cover the window exactly, or are cut at an edge"),
        (0 if split else None, "variations or tags split or repeat rows in one of the two"),
        (0 if len(zones) > 1 else None if zones else 2, "the two were read in different time zones"),
        (None if same_moment else 2, "conversions were attributed anew between the two requests"),
        (3, "Klaviyo counts the two reports differently"),
    ]  # fmt: skip
    ranked = [text for rank, text in sorted((w for w in weighed if w[0] is not None), key=lambda w: w[0] or 0)]
    general = "; ".join(t for t in ranked if not t.startswith("conversions"))
    converted = "; ".join(ranked)
    about = found["statistic"].str.startswith("conversion")
    return list(np.where(found["agrees"], "", np.where(about, converted, general)))


# What an answer leaves out, contradicts or takes back: rows with a reason, two reports held together, restatements.

_PEOPLE = ["flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel"]


# --- nothing disappears -------------------------------------------------------------------------------------------


def coverage_table(
    flows: pd.DataFrame,
    messages: pd.DataFrame,
    answer: pd.DataFrame,
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

    Returns
    -------
    DataFrame
        ``flow_id, flow_name, flow_message_id, flow_message_name, send_channel``, other groupings of the answer,
        ``flow_status, action_status`` (str), ``is_discovered`` (bool), ``reason`` (``sent``, ``no sends in the
        window``, ``draft`` or ``archived``), then the other columns of the answer. Flows in the order of discovery,
        unknown ones last.

    Raises
    ------
    ArgumentError
        Columns that are missing.
    """
    require_columns(flows, ["flow_id", "flow_name", "flow_status", "archived"], "coverage_table (flows)")
    require_columns(
        messages, ["flow_id", "flow_message_id", "flow_message_name", "send_channel"], "coverage_table (messages)"
    )
    require_columns(answer, ["flow_id", "flow_message_id"], "coverage_table (answer)")
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
        own_name = rows[name].astype("str") if name in rows.columns else pd.Series(pd.NA, index=rows.index, dtype="str")
        rows[name] = own_name.where(own_name.notna(), pd.Series(discovered.array, index=rows.index))
    rows["reason"] = _reasons(rows, has_numbers, known_flows)
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


def _reasons(rows: pd.DataFrame, has_numbers: np.ndarray, flows: pd.DataFrame) -> pd.Series:
    archived = rows["flow_id"].map(flows["archived"]).astype("boolean").fillna(False).to_numpy(dtype=bool)
    draft = (rows["flow_status"].eq("draft") | rows["action_status"].eq("draft")).to_numpy(dtype=bool, na_value=False)
    nothing = np.zeros(len(rows), dtype=bool)
    if "recipients" in rows.columns:
        nothing = numbers(rows, "recipients") == 0
    unsent = "no sends in the window"
    reason = np.select(
        [has_numbers & nothing, has_numbers, archived, draft], [unsent, "sent", "archived", "draft"], unsent
    )
    return pd.Series(reason, index=rows.index).astype("str")


# --- numbers taken back -------------------------------------------------------------------------------------------


def restatements(history: pd.DataFrame, *, statistics: Sequence[str] | None = None) -> pd.DataFrame:
    """Find the numbers that changed from one snapshot to the next: same group, same interval, same statistic.

    A number that became known or unknown is a change; a row that one snapshot lacks is not: it may not have been asked.

    Parameters
    ----------
    history : DataFrame
        Rows of series frames with ``fetched_at``, the moment they were asked; any order.
    statistics : sequence of str, optional
        Which; left out: all sums of the history (rates follow from them).

    Returns
    -------
    DataFrame
        Groupings (with names as last seen), ``interval_start``, ``interval_end`` where known, ``statistic`` (str),
        ``before, after, change`` (float64; NaN where not known), ``asked_before, asked_after`` (datetime),
        ``days_between`` (float64), ``was_provisional`` (boolean: the first number was not final yet, NA if unknown).
        Sorted by group, interval, statistic and snapshot; empty where nothing changed.

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
    # the same moment twice is one snapshot that came in two answers: its last row counts
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
    order = np.argsort(at, kind="stable")  # pairs are sorted by group, interval and snapshot already
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
    found.attrs = {"snapshots": int(asked.nunique())}
    return found
