"""A plan → frames: store first, then the network, and every answer kept the moment it arrives.

So a plan that meets a spent quota, a crash or Ctrl-C loses nothing: run it again and only what is missing is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.account import discovery
from flowperf_helpers.account.connection import Connection, is_sandbox
from flowperf_helpers.account.discovery import AccountInfo
from flowperf_helpers.account.planner import Plan, PlannedRequest, QuerySlice, plan_requests
from flowperf_helpers.account.queries import DEFINITIONS_SINCE, GROUP_BY_SINCE, ReportQuery
from flowperf_helpers.account.snapshot_files import Header
from flowperf_helpers.account.timeframes import Preset, parse_timeframe
from flowperf_helpers.errors import ApiError, PayloadError, QuotaError, suggest, suggestion
from flowperf_helpers.frames.catalog import GROUPINGS, STATISTICS
from flowperf_helpers.frames.columns import text_column
from flowperf_helpers.frames.provenance import finish_series, finish_values
from flowperf_helpers.frames.reports import SCHEMA_VERSION, join_pages, series_frame, statistic_column, values_frame
from flowperf_helpers.klaviyo.client import ReportResponse
from flowperf_helpers.klaviyo.storage import write_private

__all__ = ["Collected", "Executor", "MetricsWithoutValues", "added_up", "joined"]

_NEED_VALUES = frozenset(name for name, statistic in STATISTICS.items() if statistic.needs_value)
_NO_VALUES = "does not support querying for values data"
"""What Klaviyo says of a conversion metric without values; the one text that is matched."""


@dataclass(frozen=True)
class Collected:
    """One answer and its finished frame; ``refused`` names statistics that the conversion metric cannot have."""

    answer: ReportResponse
    frame: pd.DataFrame
    refused: tuple[str, ...] = ()


class MetricsWithoutValues:
    """Conversion metrics of one account that Klaviyo refused value statistics for, kept beside its snapshots.

    Each refusal costs a call of the day's 225, so it is remembered between runs; for `REMEMBERED` only, as a metric may
    begin to carry values.

    Parameters
    ----------
    folder : Path
        The account's folder of snapshots.
    clock : callable
        Seconds since 1970.
    """

    REMEMBERED = timedelta(days=30)

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._path = folder / "metrics_without_values.json"
        self._clock = clock

    def __contains__(self, metric_id: object) -> bool:
        refused_at = self._read().get(str(metric_id))
        return refused_at is not None and abs(self._clock() - refused_at) <= self.REMEMBERED.total_seconds()

    def add(self, metric_id: str) -> None:
        """Remember a refusal of now."""
        write_private(self._path, json.dumps({**self._read(), metric_id: self._clock()}, sort_keys=True).encode())

    def _read(self) -> dict[str, float]:
        """Return metric and moment; a file that cannot be read says nothing, and the next refusal writes it anew."""
        try:
            kept = json.loads(self._path.read_bytes()) if self._path.is_file() else {}
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {k: v for k, v in kept.items() if isinstance(v, int | float) and not isinstance(v, bool)}


class Executor:
    """The way of one account from queries to finished frames.

    Parameters
    ----------
    connection : Connection
        Of the account.
    info : AccountInfo
        Zone, currency and clock; asked when they are needed first. Its lists have the names of flows and messages,
        which are joined where the revision cannot group by them.
    """

    def __init__(self, connection: Connection, info: AccountInfo) -> None:
        self.client = connection.client
        self.store = connection.store
        self.info = info
        self.without_values = MetricsWithoutValues(self.store.folder, connection.clock)

    @property
    def revision(self) -> str:
        """The revision asked for."""
        return self.client.settings.revision

    def plan(self, queries: Sequence[ReportQuery], *, refresh: bool = False) -> Plan:
        """Return the least list of requests, each looked up in the store once."""
        plan = plan_requests(
            queries,
            revision=self.revision,
            look_up=lambda query: None if refresh else self._find(query),
            today=lambda: self.info.now().date(),
        )
        return replace(plan, steps=tuple(map(self._explained, plan.steps)))

    def run(self, queries: Sequence[ReportQuery], *, refresh: bool = False) -> list[pd.DataFrame]:
        """Return one frame for each query, in order.

        Raises
        ------
        QuotaError
            An endpoint takes no more calls; the other endpoint's requests were sent all the same, and ``kept`` says how
            many answers of the plan are in the store.
        """
        plan = self.plan(queries, refresh=refresh)
        found: dict[QuerySlice, Collected] = {}
        spent: dict[str, QuotaError] = {}
        kept = 0
        for step in plan.steps:
            if step.query.endpoint in spent and not step.in_store:
                continue
            try:
                collected = self._collected(step)
            except QuotaError as error:
                spent[step.query.endpoint] = error
                continue
            kept += 1
            found |= {part: replace(collected, frame=_cut(step, part, collected)) for part in step.slices}
        if spent:
            last = max(spent.values(), key=lambda e: e.retry_at.timestamp() if e.retry_at else float("inf"))
            more = f" {kept} of {len(plan.steps)} answers of this plan are in the store; the next run sends the rest."
            raise QuotaError(
                f"{last}{more if len(plan.steps) > 1 else ''}",
                endpoint=last.endpoint,
                retry_at=last.retry_at,
                kept=kept,
            ) from last
        in_order = sorted(found, key=lambda part: part.place)
        return [
            self._described(query, [found[part] for part in in_order if part.number == i])
            for i, query in enumerate(plan.queries)
        ]

    def one_frame(self, queries: Sequence[ReportQuery], *, refresh: bool = False) -> pd.DataFrame:
        """Return the frames of several queries, which differ in conversion metric and flows, as one."""
        frames = self.run(queries, refresh=refresh)
        frame, notes = joined(frames)
        if len(frames) > 1:
            first: list[Any] = [f.attrs for f in frames]
            frame.attrs = {
                **first[0],
                "conversion_metric_id": [a["conversion_metric_id"] for a in first],
                "fetched_at": min(a["fetched_at"] for a in first),
                "requests": sum(a["requests"] for a in first),
                "from_store": all(a["from_store"] for a in first),
                "notes": list(dict.fromkeys([*(note for a in first for note in a["notes"]), *notes])),
            }
        return frame

    def _explained(self, step: PlannedRequest) -> PlannedRequest:
        """Say of a request that it will be sent without the value statistics."""
        query = step.query
        if step.in_store or _NEED_VALUES.isdisjoint(query.statistics):
            return step
        if query.conversion_metric_id not in self.without_values:
            return step
        return replace(step, why="; ".join(filter(None, [step.why, "without values: the metric carries none"])))

    def _find(self, query: ReportQuery) -> ReportResponse | None:
        return self.store.find(query.endpoint, self.revision, query.body(), window_end=self._end(query))

    def _collected(self, step: PlannedRequest) -> Collected:
        """Return the answer to one request, kept or from Klaviyo; a new one is kept."""
        query, body = step.query, step.query.body()
        if step.kept is not None:
            try:
                return self._shaped(query, step.kept)
            except PayloadError as error:  # a kept answer that nothing can be made of must not be served for ever
                self.store.set_aside(query.endpoint, self.revision, body, step.kept, error)
        answer = self._sent(query)
        collected = self._shaped(query, answer)
        self.store.keep(query.endpoint, self.revision, body, answer, window_end=self._end(query), rows=collected.frame)
        return collected

    def rows_of(self, header: Header, pages: tuple[bytes, ...]) -> pd.DataFrame:
        """Return the tidy rows of a kept answer, made from its question and its pages alone.

        Raises
        ------
        PayloadError
            Nothing can be made of them.
        """
        try:
            asked = json.loads(header.body)["data"]["attributes"]
            time = asked["timeframe"]
            query = ReportQuery(
                asked["conversion_metric_id"],
                parse_timeframe(time.get("key") or (time["start"], time["end"])),
                asked["statistics"],
                asked.get("interval"),
                group_by=asked.get("group_by"),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PayloadError(
                "The snapshot holds a question that is not one of ours: ask again.", place="/"
            ) from error
        return self._shaped(query, ReportResponse(pages, header.served, header.asked_at, from_store=True)).frame

    def _sent(self, query: ReportQuery) -> ReportResponse:
        """Send a query; where the metric refuses value statistics, without all that need a value."""
        before = self.client.transport.requests
        if query.conversion_metric_id not in self.without_values:
            try:
                return self.client.post(query.endpoint, query.body())
            except ApiError as error:
                if (
                    _NEED_VALUES.isdisjoint(query.statistics)
                    or error.status != 400
                    or _NO_VALUES not in f"{error.detail} {error}".casefold()
                ):
                    raise
                self.without_values.add(query.conversion_metric_id)
        answer = self.client.post(query.endpoint, _without_values(query).body())
        return replace(answer, requests=self.client.transport.requests - before)

    def _end(self, query: ReportQuery) -> datetime:
        """Return the exclusive end of a query's window, NaT of one of Klaviyo's keys."""
        return query.timeframe.bounds(self.info.timezone)[1]

    def _shaped(self, query: ReportQuery, answer: ReportResponse) -> Collected:
        zone = self.info.timezone
        payload = join_pages(answer.pages)
        finish: dict[str, Any] = {
            "statistics": query.statistics,
            "conversion_metric_id": query.conversion_metric_id,
            "bounds": query.timeframe.bounds(zone),
        }
        raw = values_frame(payload, zone) if query.interval is None else series_frame(payload, zone)
        refused = [s for s in query.statistics if s in _NEED_VALUES and s not in raw.attrs["statistics"]]
        raw = self._with_groupings(query, raw)
        if query.interval is None:
            frame = finish_values(raw, **finish, zone=zone)
        else:
            frame = finish_series(
                raw,
                **finish,
                interval=query.interval,
                asked_at=pd.Timestamp(answer.fetched_at).tz_convert(zone),
                attribution_days=self.info.settings.attribution_days,
            )
        return Collected(answer, frame, tuple(refused) if len(raw) else ())

    def _with_groupings(self, query: ReportQuery, raw: pd.DataFrame) -> pd.DataFrame:
        """Add groupings that were asked and did not come (an empty answer has none), and names on old revisions."""
        frame = raw.copy()
        for name in query.group_by or ():
            if name not in frame.columns:
                frame[name] = text_column(name, [None] * len(frame))
        if self.revision < GROUP_BY_SINCE and "flow_name" not in frame.columns:
            named = discovery.fetch_flows(self.info.lists).set_index("flow_id")["flow_name"]
            frame["flow_name"] = text_column("flow_name", frame["flow_id"].map(named).tolist())
        if DEFINITIONS_SINCE <= self.revision < GROUP_BY_SINCE and "flow_message_name" not in frame.columns:
            messages = discovery.fetch_messages(self.info.lists, discovery.fetch_flows(self.info.lists)["flow_id"])
            messages = messages.drop_duplicates("flow_message_id").set_index("flow_message_id")
            named = frame["flow_message_id"].map(messages["flow_message_name"])
            frame["flow_message_name"] = text_column("flow_message_name", named.tolist())
        return frame[_groups_first(frame.columns)]

    def _described(self, query: ReportQuery, collected: Sequence[Collected]) -> pd.DataFrame:
        sent = query.for_revision(self.revision)
        pieces = [piece.frame for piece in collected]
        if query.interval is None and len(pieces) > 1:
            frame = added_up(pieces, sent.statistics, query.timeframe.bounds(self.info.timezone))
            notes = [f"{query.timeframe} was asked in {len(pieces)} pieces of a year at most, which are added up."]
        else:
            frame, notes = joined(pieces)
        if isinstance(query.timeframe, Preset) and len(pieces) > 1:
            days = query.timeframe.window(self.info.now().date())
            notes.append(
                f"{query.timeframe} is longer than one {query.interval} series may be, so {days} was asked in "
                f"{len(pieces)} pieces."
            )
        returned = list(collected[0].frame.attrs["statistics"])
        frame, missing = _as_asked(frame, query, sent, returned)
        if missing:
            notes.append(f"Revision {self.revision} does not return {', '.join(missing)}: unknown here.")
        notes = [note for piece in collected for note in piece.frame.attrs.get("notes", ())] + notes
        notes += [*query.notes, *self._unknown_flows(query, frame)]
        refused = [s for s in sent.statistics if any(s in piece.refused for piece in collected)]
        if refused:
            notes.append(
                f"The conversion metric {query.conversion_metric_id} carries no values, so these are unknown: "
                f"{', '.join(refused)}."
            )
        answers = [piece.answer for piece in collected]
        settings = self.info.settings
        attrs: dict[str, Any] = {
            "account": settings.name,
            "sandbox": is_sandbox(settings),
            "revision": answers[-1].revision,
            "fetched_at": min(answer.fetched_at for answer in answers).isoformat(),
            "timeframe": str(query.timeframe),
            "timezone": str(self.info.timezone),
            "currency": self.info.currency,
            "interval": query.interval,
            "conversion_metric_id": query.conversion_metric_id,
            "attribution_days": settings.attribution_days,
            "requests": sum(answer.requests for answer in answers),
            "from_store": all(answer.from_store for answer in answers),
            "notes": notes,
            "schema_version": SCHEMA_VERSION,
            "statistics": [c for c in frame.columns if c in query.statistics or c in returned],
        }
        frame.attrs = attrs  # type: ignore[assignment]
        return frame

    def _unknown_flows(self, query: ReportQuery, frame: pd.DataFrame) -> list[str]:
        """Say which flows without a row the account does not have: Klaviyo answers for those as for silent ones."""
        silent = set(query.flow_ids or ()) - set(frame["flow_id"])
        known = discovery.fetch_flows(self.info.lists)["flow_id"] if silent else ()
        return [
            f"The account has no flow with the id {flow!r}, hence no rows: {suggestion(suggest(flow, known), known)}"
            for flow in sorted(silent - set(known))
        ]


def joined(pieces: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """Join the frames of several windows or conversion metrics, with what is to be said about it.

    An interval that two windows share was cut by their border: both its rows are marked partial.
    """
    if len(pieces) == 1:
        return pieces[0], []
    frame = _stacked(pieces)
    frame = frame[list(dict.fromkeys(c for piece in pieces for c in piece.columns if c in frame.columns))]
    if "interval_start" not in frame.columns:
        return frame, []
    keys = [c for c in frame.columns if c in GROUPINGS or c in ("interval_start", "conversion_metric_id")]
    cut = frame.duplicated(keys, keep=False)
    if not cut.any():
        return frame, []
    frame[["is_partial", "is_provisional"]] = frame[["is_partial", "is_provisional"]].mask(cut, True).astype(bool)
    return frame, ["An interval was cut by the border of two requests: its two rows are marked partial."]


def _stacked(pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([piece for piece in pieces if len(piece)] or list(pieces[:1]), ignore_index=True)


def added_up(
    pieces: Sequence[pd.DataFrame], statistics: Sequence[str], bounds: tuple[pd.Timestamp, pd.Timestamp]
) -> pd.DataFrame:
    """Add up the values of windows that follow each other, group by group; unknown in one piece is unknown in the sum.

    Parameters
    ----------
    pieces : sequence of DataFrame
        Of the windows, in time.
    statistics : sequence of str
        Counts and money.
    bounds : pair of Timestamp
        Start and exclusive end of all windows together.
    """
    frame = _stacked(pieces)
    names = [c for c in frame.columns if c in GROUPINGS and c.endswith("_name") and c != "tag_name"]
    keys = [c for c in frame.columns if (c in GROUPINGS and c not in names) or c == "conversion_metric_id"]
    groups = frame.groupby(keys, dropna=False, sort=False)
    columns: dict[str, Any] = {name: groups[name].last() for name in names}
    columns |= {name: groups[name].sum(skipna=False) for name in statistics}
    total = pd.DataFrame(columns).reset_index()
    for name, bound in zip(("window_start", "window_end"), bounds, strict=True):
        total[name] = pd.Series(bound, index=total.index, dtype=frame[name].dtype)
    return total[[c for c in frame.columns if c in total.columns]]


def _without_values(query: ReportQuery) -> ReportQuery:
    """Return the query without statistics that need a value; recipients stand in where nothing else was asked."""
    rest = tuple(s for s in query.statistics if s not in _NEED_VALUES)
    return replace(query, statistics=rest or ("recipients",))


def _cut(step: PlannedRequest, part: QuerySlice, collected: Collected) -> pd.DataFrame:
    """Return what a part wanted of a step's frame: its rows and its statistics, in its order."""
    frame = part.cut.select(collected.frame)
    sent: list[str] = frame.attrs["statistics"]
    unknown = [s for s in sent if s not in {*part.cut.statistics, *step.query.statistics, "recipients"}]
    statistics = [*part.cut.statistics, *unknown]
    shown: Any = frame[[*(c for c in frame.columns if c not in sent), *statistics]]
    shown.attrs = {**collected.frame.attrs, "statistics": statistics}
    return shown


def _groups_first(columns: Collection[str]) -> list[str]:
    """Return columns with the groupings before the others, in the catalogue's order."""
    groups = [g for g in GROUPINGS if g in columns]
    return [*groups, *(c for c in columns if c not in groups)]


def _as_asked(
    frame: pd.DataFrame, query: ReportQuery, sent: ReportQuery, returned: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame with all columns asked for, NA where the revision does not return them, and their names."""
    groupings = [g for g in query.group_by or () if g not in frame.columns]
    statistics = [s for s in query.statistics if s not in sent.statistics]
    kept = [s for s in returned if s in frame.columns and s not in query.statistics and s not in sent.statistics]
    columns = [*(c for c in frame.columns if c not in returned), *groupings]
    blank = [None] * len(frame)
    unknown: dict[str, Any] = {name: text_column(name, blank) for name in groupings}
    unknown |= {name: statistic_column(name, blank) for name in statistics}
    return frame.assign(**unknown)[[*_groups_first(columns), *query.statistics, *kept]], list(unknown)
