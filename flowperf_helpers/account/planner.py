"""From queries to the least list of report requests, with its cost. Sends nothing.

Klaviyo allows each of the two report endpoints 1 request a second, 2 a minute and 225 a day, so:

- equal queries are one request; queries that differ only in statistics, flows, messages or channels are one request for
  all of it, and each takes its part from the answer;
- more than 100 flows are one request without a filter: the answer holds every flow anyway, and the alternative costs
  one request per hundred;
- a window that one request cannot hold is one request per piece;
- what the store holds costs nothing, and serves narrower queries of the same plan;
- values and series alternate, because their limits are separate and the waits overlap.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from itertools import chain, zip_longest
from math import ceil
from typing import Any

import pandas as pd

from flowperf_helpers.account.queries import MAX_FILTER_VALUES, SERIES, VALUES, ReportQuery
from flowperf_helpers.klaviyo.client import ReportResponse
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import DAY, limits_of, next_free

__all__ = ["Plan", "PlannedRequest", "QuerySlice", "plan_requests"]

_STORED = "already in store"


@dataclass(frozen=True)
class QuerySlice:
    """The part of query ``number`` that one request answers: the query itself, cut to its window ``place``."""

    number: int
    cut: ReportQuery
    place: int = 0


@dataclass(frozen=True)
class PlannedRequest:
    """One request.

    Attributes
    ----------
    query : ReportQuery
        What is sent.
    kept : ReportResponse or None
        The answer that the store holds; None has to be sent.
    why : str
        Why it is asked in this way.
    slices : tuple of QuerySlice
        What it serves.
    """

    query: ReportQuery
    kept: ReportResponse | None = field(repr=False)
    why: str
    slices: tuple[QuerySlice, ...]

    @property
    def in_store(self) -> bool:
        """Whether an answer is there already, so that nothing is sent."""
        return self.kept is not None


@dataclass(frozen=True)
class Plan:
    """The requests that answer some queries, and what they cost.

    Attributes
    ----------
    steps : tuple of PlannedRequest
        In the order of sending.
    queries : tuple of ReportQuery
        What was asked; `run` gives one frame for each.
    waits : mapping of str to float
        Seconds until each endpoint takes its next call, because of earlier ones.
    left : mapping of str to int
        Calls each endpoint still takes today.
    account : str
        Name, for the title.
    unlimited : bool
        An account that never makes anyone wait (the in-process sandbox).
    """

    steps: tuple[PlannedRequest, ...]
    queries: tuple[ReportQuery, ...]
    waits: Mapping[str, float] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    account: str = ""
    unlimited: bool = False

    @property
    def to_send(self) -> tuple[PlannedRequest, ...]:
        """Steps that the store cannot serve."""
        return tuple(step for step in self.steps if not step.in_store)

    @property
    def requests(self) -> int:
        """Report requests that will be sent; each page beyond the first is one more, of unknown size."""
        return len(self.to_send)

    @property
    def minutes(self) -> float:
        """Minutes until the last request may be sent at Klaviyo's limits; the endpoints wait side by side."""
        return max(self._seconds(endpoint) for endpoint in (VALUES, SERIES)) / 60

    @property
    def share_of_day(self) -> float:
        """Fraction of an endpoint's daily quota this takes, the larger of the two."""
        return max(self._count(endpoint) / _daily(endpoint) for endpoint in (VALUES, SERIES))

    def _count(self, endpoint: str) -> int:
        return sum(step.query.endpoint == endpoint for step in self.to_send)

    def _seconds(self, endpoint: str) -> float:
        times: list[float] = []
        now = self.waits.get(endpoint, 0.0)
        for _ in range(self._count(endpoint)):
            now = next_free(times, limits_of(endpoint), now)
            times.append(now)
        return now

    def with_costs(self, limiter: RateLimiter, account: str) -> Plan:
        """Return the plan with what an account's limits say of it now."""
        status = limiter.status().set_index("endpoint")
        ahead = (status["next_free"] - pd.Timestamp(limiter.clock(), unit="s", tz="UTC")).dt.total_seconds()
        unlimited = limiter.ledger is None
        left: Any = {} if unlimited else status["left_today"].dropna().to_dict()
        return replace(
            self,
            waits={e: max(0.0, float(ahead[e])) for e in (VALUES, SERIES)},
            left=left,
            account=account,
            unlimited=unlimited,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per request.

        Returns
        -------
        DataFrame
            ``request`` (Int64, its number among those sent, NA from the store), ``endpoint``, ``timeframe``,
            ``interval``, ``conversion_metric_id``, ``flows``, ``statistics`` (how many), ``in_store``, ``why``.
        """
        numbers = iter(range(1, len(self.steps) + 1))
        queries = [step.query for step in self.steps]
        return pd.DataFrame(
            {
                "request": pd.array([None if s.in_store else next(numbers) for s in self.steps], dtype="Int64"),
                "endpoint": pd.array([q.endpoint.removeprefix("/api/") for q in queries], dtype="str"),
                "timeframe": pd.array([str(q.timeframe) for q in queries], dtype="str"),
                "interval": pd.array([q.interval for q in queries], dtype="str"),
                "conversion_metric_id": pd.array([q.conversion_metric_id for q in queries], dtype="str"),
                "flows": pd.array([_flows(q) for q in queries], dtype="str"),
                "statistics": pd.array([len(q.statistics) for q in queries], dtype="int64"),
                "in_store": pd.array([s.in_store for s in self.steps], dtype="bool"),
                "why": pd.array([s.why for s in self.steps], dtype="str"),
            }
        )

    @property
    def summary(self) -> str:
        """The cost in one sentence."""
        stored = len(self.steps) - self.requests
        account = f" for {self.account}" if self.account else ""
        sent = f"{self.requests} report request{'' if self.requests == 1 else 's'} to send{account}"
        waiting = " (the sandbox itself has no limits)" if self.unlimited else ""
        text = (
            f"{sent}, {self.minutes:.1f} minutes at Klaviyo's limits, {self.share_of_day:.1%} of the day's quota of "
            f"the busier endpoint{waiting}; {stored} already in store."
        )
        short = [e for e in (VALUES, SERIES) if self._count(e) > self.left.get(e, _daily(e))]
        for endpoint in short:
            text += f" Only {self.left[endpoint]} calls to {endpoint} are left today: the rest is for a later run."
        return text

    def __str__(self) -> str:
        return f"{self.summary}\n{_printed(self.to_frame()).to_string(index=False)}" if self.steps else self.summary

    def _repr_html_(self) -> str:
        table = _printed(self.to_frame()).to_html(index=False, border=0) if self.steps else ""
        return f"<p><b>{html.escape(self.summary)}</b></p>{table}"


def plan_requests(
    queries: Sequence[ReportQuery],
    *,
    look_up: Callable[[ReportQuery], ReportResponse | None] = lambda query: None,
    today: Callable[[], date] | None = None,
    revision: str | None = None,
) -> Plan:
    """Return the least list of requests that answers all queries.

    Parameters
    ----------
    queries : sequence of ReportQuery
        In the order their frames are wanted.
    look_up : callable
        The kept answer that may still be used, if there is one; called once for each question.
    today : callable
        As `ReportQuery.windows`.
    revision : str, optional
        What it cannot give is not asked: queries that differ only in that are one request.
    """
    find = cache(look_up)
    groups: dict[tuple[object, ...], list[QuerySlice]] = {}
    for number, query in enumerate(queries):
        sent = query if revision is None else query.for_revision(revision)
        for place, window in enumerate(sent.windows(today)):
            cut = sent if window == sent.timeframe else replace(sent, timeframe=window)
            groups.setdefault(_mergeable(cut), []).append(QuerySlice(number, cut, place))
    steps = list(chain.from_iterable(_requests(slices, find) for slices in groups.values()))
    values = [step for step in steps if step.query.endpoint == VALUES]
    series = [step for step in steps if step.query.endpoint == SERIES]
    turns = chain.from_iterable(zip_longest(values, series))
    return Plan(tuple(filter(None, turns)), tuple(queries))


def _mergeable(cut: ReportQuery) -> tuple[object, ...]:
    """Return what must be equal for two queries to share an answer.

    A channel can be picked from an answer only where the answer has it.
    """
    tells_channel = cut.group_by is None or "send_channel" in cut.group_by
    channels = None if tells_channel else cut.send_channels
    return cut.conversion_metric_id, cut.timeframe, cut.interval, cut.group_by, channels


def _requests(slices: list[QuerySlice], find: Callable[[ReportQuery], ReportResponse | None]) -> list[PlannedRequest]:
    """Return the requests for slices that may share one."""
    everything, why = _merged(slices)
    kept = find(everything)
    if kept is not None or len(slices) == 1:
        return [PlannedRequest(everything, kept, _STORED if kept else why, tuple(slices))]
    stored: dict[ReportQuery, list[QuerySlice]] = {}
    missing: list[QuerySlice] = []
    for part in slices:
        query, _ = _merged([part])
        if find(query) is not None:
            stored.setdefault(query, []).append(part)
        else:
            missing.append(part)
    rest: list[QuerySlice] = []
    for part in missing:
        wider = next((query for query in stored if _covers(query, part.cut)), None)
        (rest if wider is None else stored[wider]).append(part)
    steps = [PlannedRequest(query, find(query), _STORED, tuple(served)) for query, served in stored.items()]
    if rest:
        query, why = _merged(rest)
        steps.append(PlannedRequest(query, find(query), why, tuple(rest)))
    return steps


def _merged(parts: Sequence[QuerySlice]) -> tuple[ReportQuery, str]:
    """Return the one request that answers all slices, and the thought behind it."""
    cuts = [part.cut for part in parts]
    first = cuts[0]
    if len(cuts) == 1 and max(len(first.flow_ids or ()), len(first.flow_message_ids or ())) <= MAX_FILTER_VALUES:
        return first, ""
    statistics = tuple(dict.fromkeys(chain.from_iterable(cut.statistics for cut in cuts)))
    flows = _union([cut.flow_ids for cut in cuts])
    messages = _union([cut.flow_message_ids for cut in cuts])
    thoughts = [f"one request for {len(set(cuts))} queries"] if len(set(cuts)) > 1 else []
    for name, ids in (("flows", flows), ("messages", messages)):
        if ids is not None and len(ids) > MAX_FILTER_VALUES:
            chunks = ceil(len(ids) / MAX_FILTER_VALUES)
            thoughts.append(f"{len(ids)} {name}: one request for all and selection here, instead of {chunks}")
    query = replace(
        first,
        statistics=statistics,
        flow_ids=_filterable(flows),
        send_channels=_union([cut.send_channels for cut in cuts]),
        flow_message_ids=_filterable(messages),
    )
    return query, "; ".join(thoughts)


def _union(selections: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    given = [selection for selection in selections if selection is not None]
    return tuple(sorted({*chain.from_iterable(given)})) if len(given) == len(selections) else None


def _filterable(ids: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if ids is None or len(ids) > MAX_FILTER_VALUES else ids


def _covers(query: ReportQuery, cut: ReportQuery) -> bool:
    """Whether an answer to ``query`` holds all that ``cut`` wants; the rest of the two is equal."""

    def holds(given: tuple[str, ...] | None, wanted: tuple[str, ...] | None) -> bool:
        return given is None or (wanted is not None and set(wanted) <= set(given))

    names = ("statistics", "flow_ids", "send_channels", "flow_message_ids")
    return all(holds(getattr(query, name), getattr(cut, name)) for name in names)


def _daily(endpoint: str) -> int:
    return next(limit.calls for limit in limits_of(endpoint) if limit.seconds == DAY)


def _flows(query: ReportQuery) -> str:
    return "all" if query.flow_ids is None else str(len(query.flow_ids))


def _printed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype("object").where(frame.notna(), "").astype("str")
