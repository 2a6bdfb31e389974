"""From what is wanted to the least list of report requests, with its cost. Sends nothing.

Klaviyo allows each of the two report endpoints 1 request a second, 2 a minute and 225 a day (contract, section F), so:

- equal wishes are one request; wishes that differ only in statistics, flows, messages or channels are one request for
  all of it, and each takes its part from the answer;
- more than 100 flows are one request without a filter: the answer holds every flow anyway, and the alternative costs
  one request per hundred;
- a window that one request cannot hold is one request per piece;
- what the store holds costs nothing, and serves narrower wishes of the same plan;
- values and series alternate, because their limits are separate and the waits overlap.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, zip_longest
from math import ceil

import pandas as pd

from flowperf_helpers.account.queries import MAX_FILTER_VALUES, SERIES, VALUES, ReportQuery, Wish
from flowperf_helpers.klaviyo.rate_limits import DAY, limits_of, next_free

__all__ = ["Plan", "PlannedRequest", "QuerySlice", "plan_requests"]


@dataclass(frozen=True)
class QuerySlice:
    """The part of a wish that one request answers: the wish itself, cut to its window number ``place``."""

    wish: int
    cut: Wish
    place: int = 0


@dataclass(frozen=True)
class PlannedRequest:
    """One request.

    Attributes
    ----------
    query : ReportQuery
        What is sent.
    in_store : bool
        Whether an answer is there already, so that nothing is sent.
    why : str
        What the planner thought.
    parts : tuple of QuerySlice
        Whom it serves.
    """

    query: ReportQuery
    in_store: bool
    why: str
    parts: tuple[QuerySlice, ...]


@dataclass(frozen=True)
class Plan:
    """The requests that answer some wishes, and what they cost.

    Attributes
    ----------
    steps : tuple of PlannedRequest
        In the order of sending.
    wishes : tuple of Wish
        What was wanted; `run` gives one frame for each.
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
    wishes: tuple[Wish, ...]
    waits: Mapping[str, float]
    left: Mapping[str, int]
    account: str = ""
    unlimited: bool = False

    @property
    def to_send(self) -> tuple[PlannedRequest, ...]:
        """Steps that the store cannot serve."""
        return tuple(step for step in self.steps if not step.in_store)

    @property
    def requests(self) -> int:
        """Report requests that will be sent; each page beyond the first is one more, and Klaviyo tells no page size."""
        return len(self.to_send)

    @property
    def minutes(self) -> float:
        """Minutes until the last request may be sent at Klaviyo's limits; the endpoints wait side by side."""
        return max((self._seconds(endpoint) for endpoint in (VALUES, SERIES)), default=0.0) / 60

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
    wishes: Sequence[Wish],
    *,
    in_store: Callable[[ReportQuery], bool] = lambda query: False,
    waits: Mapping[str, float] | None = None,
    left: Mapping[str, int] | None = None,
    account: str = "",
    unlimited: bool = False,
    today: Callable[[], date] | None = None,
    revision: str | None = None,
) -> Plan:
    """Return the least list of requests that answers all wishes.

    Parameters
    ----------
    wishes : sequence of Wish
        In the order their frames are wanted.
    in_store : callable
        Whether an answer that may still be used is kept.
    waits, left, account, unlimited
        As `Plan`.
    today : callable
        As `Wish.windows`.
    revision : str, optional
        What it cannot give is not asked: wishes that differ only in that are one request.
    """
    groups: dict[tuple[object, ...], list[QuerySlice]] = {}
    for number, wish in enumerate(wishes):
        sent = wish if revision is None else wish.for_revision(revision)
        for place, window in enumerate(wish.windows(today)):
            part = QuerySlice(number, replace(sent, timeframe=window), place)
            groups.setdefault(_mergeable(part.cut), []).append(part)
    steps = list(chain.from_iterable(_steps(parts, in_store) for parts in groups.values()))
    values = [step for step in steps if step.query.endpoint == VALUES]
    series = [step for step in steps if step.query.endpoint == SERIES]
    turns = chain.from_iterable(zip_longest(values, series))
    ordered = tuple(step for step in turns if step is not None)
    return Plan(ordered, tuple(wishes), dict(waits or {}), dict(left or {}), account, unlimited)


def _mergeable(cut: Wish) -> tuple[object, ...]:
    """Return what must be equal for two wishes to share an answer.

    A channel can be picked from an answer only where the answer tells it.
    """
    tells_channel = cut.group_by is None or "send_channel" in cut.group_by
    channels = None if tells_channel else cut.send_channels
    return cut.conversion_metric_id, cut.timeframe, cut.interval, cut.group_by, channels


def _steps(parts: list[QuerySlice], in_store: Callable[[ReportQuery], bool]) -> list[PlannedRequest]:
    """Return the requests for parts that may share one."""
    everything, why = _merged(parts)
    if in_store(everything):
        return [PlannedRequest(everything, True, "already in store", tuple(parts))]
    stored: dict[ReportQuery, list[QuerySlice]] = {}
    rest = []
    for part in parts:
        query, _ = _merged([part])
        if query in stored or in_store(query):
            stored.setdefault(query, []).append(part)
        else:
            rest.append(part)
    missing: list[QuerySlice] = []
    for part in rest:
        wider = next((query for query in stored if _covers(query, part.cut)), None)
        (missing if wider is None else stored[wider]).append(part)
    steps = [PlannedRequest(query, True, "already in store", tuple(served)) for query, served in stored.items()]
    if missing:
        query, why = _merged(missing)
        steps.append(PlannedRequest(query, in_store(query), why, tuple(missing)))
    return steps


def _merged(parts: Sequence[QuerySlice]) -> tuple[ReportQuery, str]:
    """Return the one request that answers all parts, and the thought behind it."""
    cuts = [part.cut for part in parts]
    first = cuts[0]
    statistics = tuple(dict.fromkeys(chain.from_iterable(cut.statistics for cut in cuts)))
    flows = _union([cut.flow_ids for cut in cuts])
    messages = _union([cut.flow_message_ids for cut in cuts])
    thoughts = [f"one request for {len(set(cuts))} wishes"] if len(set(cuts)) > 1 else []
    for name, ids in (("flows", flows), ("messages", messages)):
        if ids is not None and len(ids) > MAX_FILTER_VALUES:
            chunks = ceil(len(ids) / MAX_FILTER_VALUES)
            thoughts.append(f"{len(ids)} {name}: one request for all and selection here, instead of {chunks}")
    query = ReportQuery(
        first.conversion_metric_id,
        first.timeframe,
        statistics,
        first.interval,
        _filterable(flows),
        _union([cut.send_channels for cut in cuts]),
        _filterable(messages),
        first.group_by,
    )
    return query, "; ".join(thoughts)


def _union(selections: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    if any(selection is None for selection in selections):
        return None
    return tuple(sorted(set(chain.from_iterable(selection for selection in selections if selection is not None))))


def _filterable(ids: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if ids is None or len(ids) > MAX_FILTER_VALUES else ids


def _covers(query: ReportQuery, cut: Wish) -> bool:
    """Whether an answer to ``query`` holds all that ``cut`` wants; the rest of the two is equal."""
    if not set(cut.statistics) <= set(query.statistics):
        return False
    for name in ("flow_ids", "send_channels", "flow_message_ids"):
        given, wanted = getattr(query, name), getattr(cut, name)
        if given is not None and (wanted is None or not set(wanted) <= set(given)):
            return False
    return True


def _daily(endpoint: str) -> int:
    return next(limit.calls for limit in limits_of(endpoint) if limit.seconds == DAY)


def _flows(query: ReportQuery) -> str:
    return "all" if query.flow_ids is None else str(len(query.flow_ids))


def _printed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype("object").where(frame.notna(), "").astype("str")
