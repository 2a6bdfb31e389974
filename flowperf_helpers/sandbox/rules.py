"""What a report request must look like: the body of section A.5 and A.6, checked field by field."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flowperf_helpers.catalog import CHANNELS, INTERVALS, PRESETS, REQUIRED_GROUP_BY, VALUE_STATISTICS
from flowperf_helpers.sandbox.grammar import Condition, FilterError, parse_filter
from flowperf_helpers.sandbox.model import Metric, World
from flowperf_helpers.sandbox.periods import CAPS, Period, custom, preset
from flowperf_helpers.sandbox.problems import invalid
from flowperf_helpers.sandbox.revisions import groupings_of, statistics_of

__all__ = ["Asked", "read_report"]

FIXED_GROUP_BY = ("flow_id", "send_channel", "flow_message_id")
"""What is grouped by when nothing is said, in the order of the guide's answers."""

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
