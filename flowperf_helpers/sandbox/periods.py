"""Klaviyo's timeframes and intervals on the account's wall clock (contract, sections D.1 to D.4).

Where Klaviyo tells nothing the sandbox decides: a first or last bucket is clipped to the timeframe and labelled with
the clipped start; lengths are measured on the wall clock; a window may reach into the future and shows zeros there.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from flowperf_helpers.sandbox.model import ZONE

__all__ = ["CAPS", "Period", "buckets", "custom", "preset"]

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
