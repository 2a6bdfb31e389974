"""What a report request must look like, by revision, and the window it means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.frames.catalog import (
    CHANNELS,
    GROUPINGS,
    INTERVALS,
    PRESETS,
    REQUIRED_GROUP_BY,
    STATISTICS,
    VALUE_STATISTICS,
)
from flowperf_helpers.sandbox.call import Account, Call, Problem, invalid
from flowperf_helpers.sandbox.filters import Condition, FilterError, parse_filter
from flowperf_helpers.sandbox.shop import ZONE, Metric, World

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
    step = {"hourly": "h", "daily": "D", "weekly": f"W-{week_starts[:3].upper()}", "monthly": "MS"}[interval]
    midnight = datetime.combine(period.start.date(), time.min)
    starts = pd.date_range(period.start if step == "h" else midnight, period.end, freq=step, inclusive="left")
    if step == "h":
        zoned = starts.tz_localize(ZONE, nonexistent="NaT", ambiguous=np.ones(len(starts), dtype=bool))
        return list(starts[zoned.notna()].to_pydatetime())
    return [period.start, *(at for at in starts.to_pydatetime() if at > period.start)]


def _months_back(day: date, months: int) -> date:
    return (pd.Timestamp(day) - pd.DateOffset(months=months)).date()


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
_LISTS = ("tag_id", "tag_name")


@dataclass(frozen=True)
class Asked:
    """A report request that may be answered."""

    statistics: tuple[str, ...]
    metric: Metric
    period: Period
    interval: str | None
    group_by: tuple[str, ...]
    conditions: tuple[Condition, ...]


def read_report(call: Call, kind: str, body: Any) -> Asked:
    """Check a decoded body and return what it asks for.

    Parameters
    ----------
    call : Call
    kind : {"flow-values-report", "flow-series-report"}
        What the endpoint makes.
    body : object
        Decoded JSON.

    Raises
    ------
    Problem
        400 with a pointer to the offending place.
    """
    attributes = _attributes(body, kind)
    series = ("interval",) if kind == "flow-series-report" else ()
    required = ("statistics", "timeframe", "conversion_metric_id", *series)
    for name in attributes:
        if name not in (*required, "filter", "group_by"):
            raise invalid(f"'{name[:100]}' is not a valid field for the resource '{kind}'.", _AT + name[:100])
    for name in required:
        if attributes.get(name) is None:
            raise invalid(f"'{name}' is a required field for the resource '{kind}'.", _AT + name)
    statistics = _names(attributes["statistics"], statistics_of(call.revision), "statistics")
    metric = _metric(attributes["conversion_metric_id"], statistics, call.world)
    interval = attributes.get("interval")
    if series and interval not in INTERVALS:
        raise _not_one_of(interval, INTERVALS, "interval")
    period = _period(attributes["timeframe"], interval, call.account)
    group_by = _group_by(attributes, call.revision)
    return Asked(statistics, metric, period, interval, group_by, _conditions(attributes.get("filter"), call.revision))


def _attributes(body: Any, kind: str) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        raise invalid("The request body must be an object with 'data'.", "/data")
    data = body["data"]
    if data.get("type") != kind:
        raise invalid(f"'type' must be '{kind}'.", "/data/type")
    if not isinstance(data.get("attributes"), dict):
        raise invalid("'attributes' must be an object.", "/data/attributes")
    return data["attributes"]


def _not_one_of(value: Any, allowed: tuple[str, ...], where: str) -> Problem:
    return invalid(f"'{str(value)[:100]}' is not one of {', '.join(allowed)}.", _AT + where)


def _names(value: Any, allowed: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise invalid(f"'{where}' must be a list with at least one value.", _AT + where)
    for item in value:
        if item not in allowed:
            raise _not_one_of(item, allowed, where)
    return tuple(dict.fromkeys(value))


def _metric(value: Any, statistics: tuple[str, ...], world: World) -> Metric:
    where = _AT + "conversion_metric_id"
    metric = world.metric(value)
    if metric is None:
        raise invalid(f"Conversion metric '{str(value)[:100]}' does not exist.", where)
    if metric.order_value is None and not set(VALUE_STATISTICS).isdisjoint(statistics):
        raise invalid("Passed in conversion metric does not support querying for values data", where)
    return metric


def _period(value: Any, interval: str | None, account: Account) -> Period:
    where = _AT + "timeframe"
    if not isinstance(value, dict) or ("key" not in value and set(value) != {"start", "end"}):
        raise invalid("'timeframe' must be an object with 'key', or with 'start' and 'end'.", where)
    if "key" in value:
        if len(value) > 1 or value["key"] not in PRESETS:
            raise _not_one_of(value["key"], PRESETS, "timeframe/key")
        period = preset(value["key"], account.now().replace(tzinfo=None), account.week_starts)
        if interval is None:
            return period
    else:
        start, end = (_moment(value[name], f"{where}/{name}") for name in ("start", "end"))
        if end < start:
            raise invalid("The timeframe's 'end' must not be before its 'start'.", where)
        period = custom(start, end)
    cap = _YEAR if interval is None else CAPS[interval]
    if period.length > cap:
        what = "1 year" if interval is None else f"{cap.days} days for the interval '{interval}'"
        raise invalid(f"The timeframe is longer than the maximum of {what}.", where)
    return period


def _moment(value: Any, where: str) -> datetime:
    text = str(value)
    try:
        if "T" not in text:
            raise ValueError(text)
        # the offset is not read: what counts is the wall time it stands beside
        moment = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise invalid(f"'{text[:100]}' is not a valid date-time.", where) from None
    if not 2000 <= moment.year <= 2200:
        raise invalid(f"'{text[:100]}' is out of range.", where)
    return moment


def _group_by(attributes: dict[str, Any], revision: str) -> tuple[str, ...]:
    allowed = groupings_of(revision)
    if "group_by" in attributes and not allowed:
        raise invalid("'group_by' is not a valid field in this revision.", _AT + "group_by")
    if attributes.get("group_by") is None:
        return FIXED_GROUP_BY
    names = _names(attributes["group_by"], allowed, "group_by")
    if not set(REQUIRED_GROUP_BY) <= set(names):
        raise invalid(f"'group_by' must contain {' and '.join(REQUIRED_GROUP_BY)}.", _AT + "group_by")
    return names


def _conditions(text: Any, revision: str) -> tuple[Condition, ...]:
    where = _AT + "filter"
    if text is None:
        return ()
    if not isinstance(text, str):
        raise invalid("'filter' must be a string.", where)
    try:
        conditions = parse_filter(text)
    except FilterError as error:
        raise invalid(f"Invalid filter: {error}.", where) from None
    fields = [c.field for c in conditions]
    for c in conditions:
        wrong = _wrong_with(c, revision >= "2026-01-15")
        if not wrong and fields.count(c.field) > 1:
            wrong = f"Only one filter for '{c.field}' is allowed."
        if wrong:
            raise invalid(wrong, where)
    return tuple(conditions)


def _wrong_with(c: Condition, is_new: bool) -> str:
    """What is wrong with a condition, empty where nothing is; ``is_new`` since the revision 2026-01-15."""
    operators = ("contains-any", "contains-all") if c.field in _LISTS else ("equals", "contains-any")
    channels = CHANNELS if is_new else CHANNELS[:3]
    if c.field not in (GROUPINGS if is_new else FIXED_GROUP_BY):
        return f"'{c.field}' is not a field that can be filtered on."
    if c.operator not in operators:
        return f"'{c.operator}' is not an operator of '{c.field}': use {' or '.join(operators)}."
    if isinstance(c.value, tuple) != (c.operator != "equals"):
        return f"'{c.operator}' takes a {'value' if c.operator == 'equals' else 'list'}."
    if not 1 <= len(c.values) <= MAX_ITEMS:
        return f"A list must have 1 to {MAX_ITEMS} items, '{c.field}' has {len(c.values)}."
    if set(map(type, c.values)) != {str}:
        return f"'{c.field}' takes strings."
    if c.field == "send_channel" and not set(c.values) <= set(channels):
        return f"'send_channel' takes {', '.join(channels)}."
    return ""
