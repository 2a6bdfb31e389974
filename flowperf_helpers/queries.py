"""What can be asked of the reporting API, as immutable values that render the exact request body. No network here.

A query is checked before it costs anything: names of statistics, intervals, presets and groupings against Klaviyo's
lists, ids against the alphabet Klaviyo uses, lists against Klaviyo's hundred (contract, sections A.5, A.6, B.2, C).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowperf_helpers.catalog import DEFAULT_GROUP_BY, GROUPINGS, INTERVALS, REQUIRED_GROUP_BY, STATISTICS
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.timeframes import YEAR_DAYS, Timeframe, Window, parse_timeframe

__all__ = [
    "DEFINITIONS_SINCE",
    "GROUP_BY_SINCE",
    "MAX_FILTER_VALUES",
    "SERIES",
    "TEXT_COSTS_SINCE",
    "VALUES",
    "ReportQuery",
    "filter_string",
]

VALUES = "/api/flow-values-reports"
SERIES = "/api/flow-series-reports"
GROUP_BY_SINCE = "2026-01-15"
"""First revision that surely takes ``group_by`` with names (contract, section B.1)."""
DEFINITIONS_SINCE = "2025-10-15"
"""First revision whose flow actions carry their messages, fifty flows a request."""
TEXT_COSTS_SINCE = "2025-10-15"
"""First revision with the four statistics of what texts cost."""
MAX_FILTER_VALUES = 100

_ID = re.compile(r"[A-Za-z0-9_-]+")
_CHANNEL = re.compile(r"[a-z][a-z-]*")
_TEXT_COSTS = (
    "message_segment_count_sum", "text_message_credit_usage_amount", "text_message_spend", "text_message_roi",
)  # fmt: skip
_OPTIONAL = (*DEFAULT_GROUP_BY, "variation", "variation_name")
"""Groupings whose absence leaves every number right: names, and what splits the rows of one message."""
_CAPS = {"hourly": 7, "daily": 60, "weekly": 364, "monthly": 364}


@dataclass(frozen=True)
class ReportQuery:
    """One question to the reporting API: values, or a series where ``interval`` is given.

    Parameters
    ----------
    conversion_metric_id : str
        Id of the metric that conversion statistics count; Klaviyo wants one always.
    timeframe : str, pair or Timeframe
        See `flowperf_helpers.timeframes.parse_timeframe`.
    statistics : sequence of str
        Names of `flowperf_helpers.catalog.STATISTICS`, kept in this order.
    interval : {"hourly", "daily", "weekly", "monthly"}, optional
        Makes it a series.
    flow_ids, send_channels, flow_message_ids : sequence of str, optional
        Select; at most 100 each.
    group_by : sequence of str or None
        Groupings; ``flow_id`` and ``flow_message_id`` are always among them. None sends no ``group_by``, as revisions
        before 2026-01-15 need it; the answer is then grouped by flow, message and channel.

    Raises
    ------
    ArgumentError
        Anything Klaviyo would refuse; the message lists what is valid.

    Examples
    --------
    >>> query = ReportQuery("REcTBe", "last_30_days", ["clicks"], interval="weekly", flow_ids=["T7K2j8"], group_by=None)
    >>> query.body()["data"]["attributes"]["filter"]
    'equals(flow_id,"T7K2j8")'
    """

    conversion_metric_id: str
    timeframe: Timeframe
    statistics: tuple[str, ...]
    interval: str | None = None
    flow_ids: tuple[str, ...] | None = None
    send_channels: tuple[str, ...] | None = None
    flow_message_ids: tuple[str, ...] | None = None
    group_by: tuple[str, ...] | None = DEFAULT_GROUP_BY

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        _check_ids("conversion_metric_id", [self.conversion_metric_id], _ID)
        put("timeframe", parse_timeframe(self.timeframe))
        put("statistics", _listed("statistics", self.statistics, STATISTICS, empty="name at least one"))
        if self.interval is not None:
            _listed("interval", [self.interval], INTERVALS)
        self._check_cap()
        for name, pattern in (("flow_ids", _ID), ("send_channels", _CHANNEL), ("flow_message_ids", _ID)):
            put(name, _selection(name, getattr(self, name), pattern))
        if self.group_by is not None:
            asked = _listed("group_by", self.group_by, GROUPINGS)
            put("group_by", tuple(g for g in GROUPINGS if g in {*asked, *REQUIRED_GROUP_BY}))

    def _check_cap(self) -> None:
        cap = YEAR_DAYS if self.interval is None else _CAPS[self.interval]
        if isinstance(self.timeframe, Window) and self.timeframe.days > cap:
            what = "A values report" if self.interval is None else f"A {self.interval} series"
            raise ArgumentError(
                f"{what} holds {cap} days at most and {self.timeframe} has {self.timeframe.days}: shorten it, or ask "
                "through the account, which splits it."
            )

    @property
    def endpoint(self) -> str:
        """Path to post to."""
        return VALUES if self.interval is None else SERIES

    @property
    def filter(self) -> str | None:
        """Klaviyo's filter string, None where nothing is selected."""
        return filter_string(
            flow_id=self.flow_ids, send_channel=self.send_channels, flow_message_id=self.flow_message_ids
        )

    def body(self) -> dict[str, Any]:
        """Return the JSON body to post."""
        attributes: dict[str, Any] = {"timeframe": self.timeframe.body()}
        if self.interval is not None:
            attributes["interval"] = self.interval
        attributes["conversion_metric_id"] = self.conversion_metric_id
        if self.filter is not None:
            attributes["filter"] = self.filter
        if self.group_by is not None:
            attributes["group_by"] = list(self.group_by)
        attributes["statistics"] = list(self.statistics)
        kind = "flow-values-report" if self.interval is None else "flow-series-report"
        return {"data": {"type": kind, "attributes": attributes}}

    def for_revision(self, revision: str) -> ReportQuery:
        """Return the query as an older revision takes it.

        Before 2026-01-15 that is without ``group_by`` (answers are then per message and channel), before 2025-10-15
        without the costs of texts; recipients stand in where nothing else was asked.

        Raises
        ------
        ArgumentError
            A grouping by tag or text format, whose numbers such a revision cannot give.
        """
        query = self
        if revision < TEXT_COSTS_SINCE:
            rest = tuple(s for s in self.statistics if s not in _TEXT_COSTS)
            query = replace(query, statistics=rest or ("recipients",))
        if revision >= GROUP_BY_SINCE or self.group_by is None:
            return query
        beyond = [g for g in self.group_by if g not in _OPTIONAL]
        if beyond:
            raise ArgumentError(
                f"Revision {revision} cannot group by {', '.join(beyond)}: leave it out of group_by, or set "
                f"KLAVIYO_REVISION to {GROUP_BY_SINCE} or later."
            )
        return replace(query, group_by=None)


def filter_string(**selected: Sequence[str] | None) -> str | None:
    """Render one filter per field, joined by ``and(...)`` only where there are two or more.

    >>> filter_string(flow_id=["a", "b"], send_channel=["email"])
    'and(contains-any(flow_id,["a","b"]),equals(send_channel,"email"))'
    """
    parts = []
    for field, values in selected.items():
        if values is None:
            continue
        literals = [json.dumps(value, ensure_ascii=False) for value in values]
        if len(literals) == 1:
            parts.append(f"equals({field},{literals[0]})")
        else:
            parts.append(f"contains-any({field},[{','.join(literals)}])")
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else f"and({','.join(parts)})"


def _as_tuple(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str):
        return (values,)
    if not isinstance(values, Iterable):
        raise ArgumentError(f"{name} takes names in a list, not {values!r}.")
    items = tuple(dict.fromkeys(values))
    wrong = [item for item in items if not isinstance(item, str)]
    if wrong:
        raise ArgumentError(f"{name} takes strings, not {wrong[0]!r}: ids are opaque text, also where they are digits.")
    return items


def _listed(name: str, values: object, known: Iterable[str], *, empty: str | None = None) -> tuple[str, ...]:
    items = _as_tuple(name, values)
    wrong = [item for item in items if item not in known]
    if wrong:
        raise ArgumentError(f"{name} knows no {', '.join(map(repr, wrong))}: valid are {', '.join(known)}.")
    if empty and not items:
        raise ArgumentError(f"{name} is empty: {empty} of {', '.join(known)}.")
    return items


def _check_ids(name: str, values: Sequence[object], pattern: re.Pattern[str]) -> None:
    for value in values:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ArgumentError(
                f"{name} holds {str(value)[:60]!r}, which is no id of Klaviyo's: letters, digits, _ and -."
            )


def _selection(name: str, values: object, pattern: re.Pattern[str]) -> tuple[str, ...] | None:
    if values is None:
        return None
    items = _as_tuple(name, values)
    _check_ids(name, items, pattern)
    if not items:
        raise ArgumentError(f"{name} is an empty list, which selects nothing: name some, or leave it out for all.")
    if len(items) > MAX_FILTER_VALUES:
        raise ArgumentError(
            f"{name} holds {len(items)} values and Klaviyo's filter takes {MAX_FILTER_VALUES}: leave it out and select "
            "afterwards, or ask through the account, which does that."
        )
    return items
