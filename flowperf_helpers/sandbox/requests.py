"""What a report request must look like, by revision, and the window it means."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flowperf_helpers.frames.catalog import (
    CHANNELS,
    GROUPINGS,
    INTERVALS,
    PRESETS,
    REQUIRED_GROUP_BY,
    STATISTICS,
    VALUE_STATISTICS,
)
from flowperf_helpers.sandbox.call import invalid
from flowperf_helpers.sandbox.filters import Condition, FilterError, parse_filter
from flowperf_helpers.sandbox.model import ZONE, Metric, World

__all__ = [
    "CAPS",
    "Asked",
    "Period",
    "buckets",
    "custom",
    "groupings_of",
    "preset",
    "read_report",
    "statistics_of",
]


# Klaviyo's timeframes and intervals on the account's wall clock.
#
# Where Klaviyo's documentation is silent the sandbox decides: a first or last bucket is clipped to the timeframe and
# labelled with the clipped start; lengths are measured on the wall clock; a window may reach into the future and shows
# zeros there.

CAPS = {
    "hourly": timedelta(days=7),
    "daily": timedelta(days=60),
    "weekly": timedelta(weeks=52),
    "monthly": timedelta(weeks=52),
}
"""Longest timeframe per interval."""

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Period:
    """Wall time from ``start`` to ``end``, exclusive; ``length`` is what caps are measured with."""

    start: datetime
    end: datetime
    length: timedelta


def custom(start: datetime, end: datetime) -> Period:
    """Return two wall times, both included, the end rounded up to the end of its hour."""
    start, end = start.replace(tzinfo=None), end.replace(tzinfo=None)
    upto = end.replace(minute=0, second=0, microsecond=0) + _HOUR
    return Period(start.replace(minute=0, second=0, microsecond=0), upto, end - start)


def preset(key: str, now: datetime, week_starts: str = "monday") -> Period:
    """Return one of Klaviyo's keys at ``now`` (naive wall time): the running day is part of it."""
    today = now.date()
    tomorrow = today + _DAY
    week = today - timedelta(days=(today.weekday() + (week_starts == "sunday")) % 7)
    month, year = today.replace(day=1), today.replace(month=1, day=1)
    bounds = {
        "today": (today, tomorrow),
        "yesterday": (today - _DAY, today),
        "this_week": (week, tomorrow),
        "last_week": (week - 7 * _DAY, week),
        "this_month": (month, tomorrow),
        "last_month": (_months_back(month, 1), month),
        "this_year": (year, tomorrow),
        "last_year": (year.replace(year=year.year - 1), year),
        "last_3_months": (_months_back(today, 3), tomorrow),
        "last_12_months": (_months_back(today, 12), tomorrow),
    }
    for days in (7, 30, 90, 365):
        bounds[f"last_{days}_days"] = (today - days * _DAY, tomorrow)
    first, last = bounds[key]
    start, end = datetime.combine(first, time.min), datetime.combine(last, time.min)
    return Period(start, end, min(end, now) - start)


def buckets(period: Period, interval: str, week_starts: str = "monday") -> list[datetime]:
    """Return starts of the buckets of a period, as wall times; an hour that the clock skips is left out."""
    starts: list[datetime] = []
    at = period.start
    while at < period.end:
        if interval != "hourly" or _exists(at):
            starts.append(at)
        at = _next(at, interval, week_starts)
    return starts


def _next(at: datetime, interval: str, week_starts: str) -> datetime:
    if interval == "hourly":
        return at + _HOUR
    midnight = datetime.combine(at.date(), time.min)
    if interval == "daily":
        return midnight + _DAY
    if interval == "weekly":
        since = (at.weekday() + (week_starts == "sunday")) % 7
        return midnight + (7 - since) * _DAY
    return (midnight.replace(day=1) + 32 * _DAY).replace(day=1)


def _exists(wall: datetime) -> bool:
    zone = ZoneInfo(ZONE)
    return wall.replace(tzinfo=zone).astimezone(ZoneInfo("UTC")).astimezone(zone).replace(tzinfo=None) == wall


def _months_back(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 - months
    year, month = divmod(number, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


# What Klaviyo's revisions brought to reports.

_TEXT_COSTS = ("message_segment_count_sum", "text_message_credit_usage_amount", "text_message_spend",
               "text_message_roi")  # fmt: skip


def groupings_of(revision: str) -> tuple[str, ...]:
    """Return groupings that ``group_by`` may name; none before 2025-10-15."""
    if revision >= "2026-01-15":
        return GROUPINGS
    return ("flow_id", "flow_message_id", "send_channel") if revision >= "2025-10-15" else ()


def statistics_of(revision: str) -> tuple[str, ...]:
    """Return statistics that may be asked."""
    if revision >= "2025-10-15":
        return tuple(STATISTICS)
    return tuple(name for name in STATISTICS if name not in _TEXT_COSTS)


# What the body of a report request must look like, checked field by field.

FIXED_GROUP_BY = ("flow_id", "send_channel", "flow_message_id")
"""What is grouped by without ``group_by``, in the order of Klaviyo's documented answers."""

MAX_ITEMS = 100
_AT = "/data/attributes/"
_YEAR = timedelta(days=366)
_OLD_FIELDS = ("flow_id", "send_channel", "flow_message_id")
_LISTS = ("tag_id", "tag_name")
_NEW_FIELDS = (*_OLD_FIELDS, "flow_name", "flow_message_name", "text_message_format", "variation", "variation_name")


@dataclass(frozen=True)
class Asked:
    """A report request that may be answered."""

    statistics: tuple[str, ...]
    metric: Metric
    period: Period
    interval: str | None
    group_by: tuple[str, ...]
    conditions: tuple[Condition, ...] = field(default=())


def read_report(
    body: Any, *, kind: str, revision: str, world: World, now: datetime, week_starts: str = "monday"
) -> Asked:
    """Check a decoded body and return what it asks for.

    Parameters
    ----------
    body : object
        Decoded JSON.
    kind : {"flow-values-report", "flow-series-report"}
        What the endpoint makes.
    revision : str
        Of the request.
    world : World
        The account.
    now : datetime
        Wall time in the account's zone, naive.
    week_starts : {"monday", "sunday"}
        For presets.

    Raises
    ------
    Problem
        400 with a pointer to the offending place.
    """
    attributes = _attributes(body, kind)
    series = kind == "flow-series-report"
    known = {"statistics", "timeframe", "conversion_metric_id", "filter", "group_by"} | (
        {"interval"} if series else set()
    )
    for name in attributes:
        if name not in known:
            raise invalid(f"'{name[:100]}' is not a valid field for the resource '{kind}'.", _AT + name[:100])
    for name in ("statistics", "timeframe", "conversion_metric_id", *(("interval",) if series else ())):
        if attributes.get(name) is None:
            raise invalid(f"'{name}' is a required field for the resource '{kind}'.", _AT + name)
    statistics = _names(attributes["statistics"], statistics_of(revision), "statistics")
    metric = _metric(attributes["conversion_metric_id"], statistics, world)
    interval = _interval(attributes["interval"]) if series else None
    period = _period(attributes["timeframe"], now, week_starts)
    cap = _YEAR if interval is None else CAPS[interval]
    is_preset = "key" in attributes["timeframe"]
    if period.length > cap and not (interval is None and is_preset):
        what = "1 year" if interval is None else f"{cap.days} days for the interval '{interval}'"
        raise invalid(f"The timeframe is longer than the maximum of {what}.", _AT + "timeframe")
    return Asked(
        statistics, metric, period, interval,
        _group_by(attributes.get("group_by"), "group_by" in attributes, revision),
        _conditions(attributes.get("filter"), revision),
    )  # fmt: skip


def _attributes(body: Any, kind: str) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        raise invalid("The request body must be an object with 'data'.", "/data")
    data = body["data"]
    if data.get("type") != kind:
        raise invalid(f"'type' must be '{kind}'.", "/data/type")
    attributes = data.get("attributes")
    if not isinstance(attributes, dict):
        raise invalid("'attributes' must be an object.", "/data/attributes")
    return attributes


def _names(value: Any, allowed: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise invalid(f"'{where}' must be a list with at least one value.", _AT + where)
    for item in value:
        if not isinstance(item, str) or item not in allowed:
            raise invalid(f"'{str(item)[:100]}' is not one of {', '.join(allowed)}.", _AT + where)
    return tuple(dict.fromkeys(value))


def _metric(value: Any, statistics: tuple[str, ...], world: World) -> Metric:
    where = _AT + "conversion_metric_id"
    metric = world.metric(value) if isinstance(value, str) else None
    if metric is None:
        raise invalid(f"Conversion metric '{str(value)[:100]}' does not exist.", where)
    if metric.order_value is None and any(name in VALUE_STATISTICS for name in statistics):
        raise invalid("Passed in conversion metric does not support querying for values data", where)
    return metric


def _interval(value: Any) -> str:
    if not isinstance(value, str) or value not in INTERVALS:
        raise invalid(f"'{str(value)[:100]}' is not one of {', '.join(INTERVALS)}.", _AT + "interval")
    return value


def _period(value: Any, now: datetime, week_starts: str) -> Period:
    where = _AT + "timeframe"
    if not isinstance(value, dict):
        raise invalid("'timeframe' must be an object with 'key', or with 'start' and 'end'.", where)
    if "key" in value:
        key = value["key"]
        if set(value) != {"key"} or not isinstance(key, str) or key not in PRESETS:
            raise invalid(f"'{str(key)[:100]}' is not one of {', '.join(PRESETS)}.", where + "/key")
        return preset(key, now, week_starts)
    if set(value) != {"start", "end"}:
        raise invalid("'timeframe' must be an object with 'key', or with 'start' and 'end'.", where)
    start, end = (_moment(value[name], f"{where}/{name}") for name in ("start", "end"))
    if end < start:
        raise invalid("The timeframe's 'end' must not be before its 'start'.", where)
    return custom(start, end)


def _moment(value: Any, where: str) -> datetime:
    try:
        if not isinstance(value, str) or "T" not in value:
            raise ValueError(value)
        # the offset is not read: what counts is the wall time it stands beside
        moment = datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        raise invalid(f"'{str(value)[:100]}' is not a valid date-time.", where) from None
    if not 2000 <= moment.year <= 2200:
        raise invalid(f"'{value[:100]}' is out of range.", where)
    return moment


def _group_by(value: Any, sent: bool, revision: str) -> tuple[str, ...]:
    allowed = groupings_of(revision)
    if sent and not allowed:
        raise invalid("'group_by' is not a valid field in this revision.", _AT + "group_by")
    if value is None:
        return FIXED_GROUP_BY
    names = _names(value, allowed, "group_by")
    for name in REQUIRED_GROUP_BY:
        if name not in names:
            raise invalid(f"'group_by' must contain {' and '.join(REQUIRED_GROUP_BY)}.", _AT + "group_by")
    return names


def _conditions(value: Any, revision: str) -> tuple[Condition, ...]:
    where = _AT + "filter"
    if value is None:
        return ()
    if not isinstance(value, str):
        raise invalid("'filter' must be a string.", where)
    try:
        conditions = parse_filter(value)
    except FilterError as error:
        raise invalid(f"Invalid filter: {error}.", where) from None
    scalars = _NEW_FIELDS if revision >= "2026-01-15" else _OLD_FIELDS
    lists = _LISTS if revision >= "2026-01-15" else ()
    fields = [c.field for c in conditions]
    for c in conditions:
        _check_condition(c, scalars, lists, revision)
        if fields.count(c.field) > 1:
            raise invalid(f"Only one filter for '{c.field}' is allowed.", where)
    return tuple(conditions)


def _check_condition(c: Condition, scalars: tuple[str, ...], lists: tuple[str, ...], revision: str) -> None:
    where = _AT + "filter"
    if c.field not in scalars and c.field not in lists:
        raise invalid(f"'{c.field}' is not a field that can be filtered on.", where)
    operators = ("equals", "contains-any") if c.field in scalars else ("contains-any", "contains-all")
    if c.operator not in operators:
        raise invalid(f"'{c.operator}' is not an operator of '{c.field}': use {' or '.join(operators)}.", where)
    if isinstance(c.value, tuple) != (c.operator != "equals"):
        raise invalid(f"'{c.operator}' takes a {'value' if c.operator == 'equals' else 'list'}.", where)
    if not c.values or len(c.values) > MAX_ITEMS:
        raise invalid(f"A list must have 1 to {MAX_ITEMS} items, '{c.field}' has {len(c.values)}.", where)
    if not all(isinstance(v, str) for v in c.values):
        raise invalid(f"'{c.field}' takes strings.", where)
    channels = CHANNELS if revision >= "2026-01-15" else CHANNELS[:3]
    if c.field == "send_channel" and not set(c.values) <= set(channels):
        raise invalid(f"'send_channel' takes {', '.join(channels)}.", where)
