"""What can be asked of the reporting API, as immutable values that render the exact request body."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from flowperf_helpers.account.timeframes import MAX_DAYS, YEAR_DAYS, Preset, Timeframe, Window, parse_timeframe
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import DEFAULT_GROUP_BY, GROUPINGS, INTERVALS, REQUIRED_GROUP_BY, STATISTICS

__all__ = [
    "DEFINITIONS_SINCE", "GROUP_BY_SINCE", "MAX_FILTER_VALUES", "SERIES", "TEXT_COSTS_SINCE", "VALUES", "ReportQuery",
    "filter_string", "texts_of", "whole_windows",
]  # fmt: skip

VALUES = "/api/flow-values-reports"
SERIES = "/api/flow-series-reports"
GROUP_BY_SINCE = "2026-01-15"
"""First revision that surely takes ``group_by`` with names."""
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
_SELECTIONS = {"flow_ids": "flow_id", "send_channels": "send_channel", "flow_message_ids": "flow_message_id"}


@dataclass(frozen=True)
class ReportQuery:
    """One question to the reporting API, checked when it is made: values, or a series where ``interval`` is given.

    It may be wider than one request: the account asks for long windows in pieces and for more than a hundred flows
    without a filter.

    Parameters
    ----------
    conversion_metric_id : str
        Id of the metric that conversion statistics count; Klaviyo wants one always.
    timeframe : str, pair or Timeframe
        See `flowperf_helpers.account.timeframes.parse_timeframe`.
    statistics : sequence of str
        Names of `flowperf_helpers.frames.catalog.STATISTICS`, kept in this order.
    interval : {"hourly", "daily", "weekly", "monthly"}, optional
        Makes it a series.
    flow_ids, send_channels, flow_message_ids : sequence of str, optional
        Select; any number.
    group_by : sequence of str or None
        Groupings; ``flow_id`` and ``flow_message_id`` are always among them. None sends no ``group_by``, as revisions
        before 2026-01-15 need it; the answer is then grouped by flow, message and channel.
    notes : tuple of str
        What is to be said about the frame; two queries that differ only here are equal.

    Raises
    ------
    ArgumentError
        Anything Klaviyo would refuse, and values of more than a year of a statistic that does not add up over time; the
        message lists what is valid.

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
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        _check_ids("conversion_metric_id", [self.conversion_metric_id], _ID)
        put("timeframe", parse_timeframe(self.timeframe))
        put("statistics", _listed("statistics", self.statistics, STATISTICS))
        if not self.statistics:
            raise ArgumentError(f"statistics is empty: name at least one of {', '.join(STATISTICS)}.")
        if self.interval is not None:
            _listed("interval", [self.interval], INTERVALS)
        for name, pattern in (("flow_ids", _ID), ("send_channels", _CHANNEL), ("flow_message_ids", _ID)):
            put(name, _selection(name, getattr(self, name), pattern))
        if self.group_by is not None:
            asked = _listed("group_by", self.group_by, GROUPINGS)
            put("group_by", tuple(g for g in GROUPINGS if g in {*asked, *REQUIRED_GROUP_BY}))
        if self.interval is None and isinstance(self.timeframe, Window) and self.timeframe.days > YEAR_DAYS:
            self._check_sums()

    def _check_sums(self) -> None:
        """Refuse values that are asked in pieces and are not the sum of those."""
        statistics = [STATISTICS[name] for name in self.statistics]
        uniques = [s.name for s in statistics if s.kind == "unique"]
        quotients = [s.name for s in statistics if s.kind in ("rate", "ratio") or not s.additive_over_messages]
        reasons = [
            f"{', '.join(uniques)} counts a person once per request, so the sum counts some twice" if uniques else "",
            f"{', '.join(quotients)} is a quotient, not a sum" if quotients else "",
        ]
        if any(reasons):
            raise ArgumentError(
                f"{self.timeframe} is longer than the {YEAR_DAYS} days of one request, and its pieces do not add up: "
                f"{'; '.join(filter(None, reasons))}. Ask for {YEAR_DAYS} days at most, for counts and money, or for a "
                "series."
            )

    @property
    def endpoint(self) -> str:
        """Path to post to."""
        return VALUES if self.interval is None else SERIES

    @property
    def filter(self) -> str | None:
        """Klaviyo's filter string, None where nothing is selected."""
        return filter_string(**{column: getattr(self, name) for name, column in _SELECTIONS.items()})

    def body(self) -> dict[str, Any]:
        """Return the JSON body to post.

        Raises
        ------
        ArgumentError
            One request cannot hold the query.
        """
        if len(self.windows()) > 1:
            cap = MAX_DAYS.get(self.interval or "", YEAR_DAYS)
            what = "A values report" if self.interval is None else f"A {self.interval} series"
            raise ArgumentError(
                f"{what} holds {cap} days and {self.timeframe} is longer: shorten it, or ask through the account, "
                "which asks in pieces."
            )
        for name in _SELECTIONS:
            count = len(getattr(self, name) or ())
            if count > MAX_FILTER_VALUES:
                raise ArgumentError(
                    f"{name} holds {count} values and Klaviyo's filter takes {MAX_FILTER_VALUES}: "
                    "leave it out and select afterwards, or ask through the account, which does that."
                )
        attributes = {
            "timeframe": self.timeframe.body(),
            "interval": self.interval,
            "conversion_metric_id": self.conversion_metric_id,
            "filter": self.filter,
            "group_by": None if self.group_by is None else list(self.group_by),
            "statistics": list(self.statistics),
        }
        kind = "flow-values-report" if self.interval is None else "flow-series-report"
        return {"data": {"type": kind, "attributes": {k: v for k, v in attributes.items() if v is not None}}}

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

    def windows(self, today: Callable[[], date] | None = None) -> list[Timeframe]:
        """Return the timeframes that single requests can hold: no day twice, none lost.

        Parameters
        ----------
        today : callable, optional
            The day on the account's calendar, called for a series over one of Klaviyo's keys: one that is longer than
            the interval allows is asked as days. Without it a key is never split.
        """
        if isinstance(self.timeframe, Preset) and self.interval is not None and today is not None:
            parts = whole_windows(self.timeframe.window(today()), self.interval)
            return parts if len(parts) > 1 else [self.timeframe]
        return whole_windows(self.timeframe, self.interval)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a wider answer that this query asked for."""
        keep = pd.Series(True, index=frame.index)
        for name, column in _SELECTIONS.items():
            wanted = getattr(self, name)
            if wanted is not None and column in frame.columns:
                keep &= frame[column].isin(wanted)
        return frame[keep].reset_index(drop=True)


def filter_string(**selected: Sequence[str] | None) -> str | None:
    """Render one filter per field, joined by ``and(...)`` only where there are two or more.

    >>> filter_string(flow_id=["a", "b"], send_channel=["email"])
    'and(contains-any(flow_id,["a","b"]),equals(send_channel,"email"))'
    """
    parts = []
    for column, values in selected.items():
        if values is not None:
            literals = ",".join(json.dumps(value, ensure_ascii=False) for value in values)
            parts.append(f"equals({column},{literals})" if len(values) == 1 else f"contains-any({column},[{literals}])")
    return f"and({','.join(parts)})" if len(parts) > 1 else next(iter(parts), None)


def texts_of(name: str, values: object) -> tuple[str, ...]:
    """Return one text, or those of a list, each once; ``name`` is what they are given as, for the message."""
    if isinstance(values, str):
        return (values,)
    if not isinstance(values, Iterable):
        raise ArgumentError(f"{name} takes names in a list, not {values!r}.")
    items = tuple(dict.fromkeys(values))
    wrong = [item for item in items if not isinstance(item, str)]
    if wrong:
        raise ArgumentError(f"{name} takes strings, not {wrong[0]!r}: ids are opaque text, also where they are digits.")
    return items


def _listed(name: str, values: object, known: Iterable[str]) -> tuple[str, ...]:
    items = texts_of(name, values)
    wrong = [item for item in items if item not in known]
    if wrong:
        raise ArgumentError(f"{name} knows no {', '.join(map(repr, wrong))}: valid are {', '.join(known)}.")
    return items


def _check_ids(name: str, values: Sequence[object], pattern: re.Pattern[str]) -> None:
    for value in values:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ArgumentError(
                f"{name} holds {str(value)[:60]!r}, which is not an id of Klaviyo's: letters, digits, _ and -."
            )


def _selection(name: str, values: object, pattern: re.Pattern[str]) -> tuple[str, ...] | None:
    if values is None:
        return None
    items = texts_of(name, values)
    _check_ids(name, items, pattern)
    if not items:
        raise ArgumentError(f"{name} is an empty list, which selects nothing: name some, or leave it out for all.")
    return tuple(sorted(items))  # one spelling for equal questions


def whole_windows(timeframe: Timeframe, interval: str | None) -> list[Timeframe]:
    """Split a window of days at the interval's cap, weeks on Mondays and months on their firsts; values at a year.

    Keys of Klaviyo's and pairs of datetimes are not split here: Klaviyo alone knows a key's bounds, and datetimes are
    sent as they show.

    Examples
    --------
    >>> [str(part) for part in whole_windows(parse_timeframe(("2026-09-01", "2026-11-22")), "daily")]
    ['2026-09-01 to 2026-10-29', '2026-10-30 to 2026-11-22']
    """
    if not isinstance(timeframe, Window):
        return [timeframe]
    if interval is None:
        return list(timeframe.split(YEAR_DAYS))
    parts: list[Timeframe] = []
    first = timeframe.first
    while (timeframe.last - first).days >= MAX_DAYS[interval]:
        following = first + timedelta(days=MAX_DAYS[interval])
        if interval == "weekly":
            following -= timedelta(days=following.weekday())
        elif interval == "monthly":
            following = following.replace(day=1)
        parts.append(Window(first, following - timedelta(days=1)))
        first = following
    return [*parts, Window(first, timeframe.last)]
