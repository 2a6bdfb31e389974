"""Windows of whole account days: what to ask for, which instants that covers, and how to cut it.

Klaviyo reads the wall clock of a custom timeframe in the account's zone and ignores its offset; both ends are
inclusive and the end is rounded up to ``:59:59`` of its hour. So a window of days is sent as
``00:00:00`` to ``23:59:59`` and two neighbouring windows share nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import PRESETS

__all__ = [
    "MAX_DAYS", "YEAR_DAYS", "Moments", "Preset", "Timeframe", "Window", "a_year_before", "iso_week",
    "last_complete_week", "last_year_weeks", "parse_timeframe", "recent_weeks",
]  # fmt: skip

YEAR_DAYS = 365
"""Longest window of one request, in days."""
MAX_DAYS = {"hourly": 6, "daily": 59, "weekly": 51 * 7, "monthly": 364}
"""Longest window per interval, in days: one unit under Klaviyo's cap, as its way of measuring is unknown (D.3)."""

_WEEK = re.compile(r"(\d{4})-?W(\d{2})", re.ASCII | re.IGNORECASE)
_YEARS = range(2000, 2200)
"""Years of a week label: a year before and after each of them can still be computed with."""


def _instant(wall: date, zone: tzinfo | str) -> pd.Timestamp:
    """First instant of a day or of a wall time in a zone, also where the clock skips or repeats it."""
    return pd.Timestamp(wall).tz_localize(zone, nonexistent="shift_forward", ambiguous=True)


@dataclass(frozen=True)
class Window:
    """Whole account days, first and last both included.

    >>> Window(date(2026, 11, 16), date(2026, 11, 22)).days
    7
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ArgumentError(f"The timeframe ends on {self.last}, before it starts on {self.first}: swap the dates.")

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.last - self.first).days + 1

    def body(self) -> dict[str, str]:
        """As Klaviyo's ``timeframe``."""
        return {"start": f"{self.first}T00:00:00+00:00", "end": f"{self.last}T23:59:59+00:00"}

    def bounds(self, zone: tzinfo | str) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Start and exclusive end as instants in the account's zone."""
        return _instant(self.first, zone), _instant(self.last + timedelta(days=1), zone)

    def shift(self, days: int) -> Window:
        """The same length, moved by a number of days."""
        step = timedelta(days=days)
        return Window(self.first + step, self.last + step)

    def previous(self) -> Window:
        """The window of the same length that ends the day before this one starts."""
        return self.shift(-self.days)

    def split(self, days: int) -> list[Window]:
        """Consecutive windows of at most ``days`` days: no day twice, none lost."""
        starts = [self.first + timedelta(days=i) for i in range(0, self.days, days)]
        return [Window(first, min(first + timedelta(days=days - 1), self.last)) for first in starts]

    @property
    def week(self) -> str | None:
        """ISO label such as ``"2026-W47"`` where the window is exactly one ISO week."""
        year, week, weekday = self.first.isocalendar()
        return f"{year}-W{week:02d}" if weekday == 1 and self.days == 7 else None

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Moments:
    """Two wall times, sent as they show."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        # an offset is not read by Klaviyo: compare what is sent
        length = self.end.replace(tzinfo=None) - self.start.replace(tzinfo=None)
        if length < timedelta(0):
            raise ArgumentError(f"The timeframe ends at {self.end}, before it starts at {self.start}: swap them.")
        if length > timedelta(days=YEAR_DAYS):
            raise ArgumentError(
                f"The timeframe {self} is longer than {YEAR_DAYS} days, Klaviyo's longest: ask for a shorter one, or "
                "give two dates, which are asked in pieces."
            )

    def body(self) -> dict[str, str]:
        """As Klaviyo's ``timeframe``."""
        return {"start": f"{self.start:%Y-%m-%dT%H:%M:%S}+00:00", "end": f"{self.end:%Y-%m-%dT%H:%M:%S}+00:00"}

    def bounds(self, zone: tzinfo | str) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Start and exclusive end as instants; Klaviyo takes the whole hour the end lies in."""
        end = self.end.replace(tzinfo=None, minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return _instant(self.start.replace(tzinfo=None), zone), _instant(end, zone)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M:%S} to {self.end:%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True)
class Preset:
    """One of Klaviyo's keys; Klaviyo alone knows its bounds, and they include the running day."""

    key: str

    def __post_init__(self) -> None:
        if self.key not in PRESETS:
            raise ArgumentError(
                f"{self.key!r} is not a timeframe of Klaviyo's: give one of {', '.join(PRESETS)}, or a pair of dates."
            )

    def body(self) -> dict[str, str]:
        """As Klaviyo's ``timeframe``."""
        return {"key": self.key}

    def bounds(self, zone: tzinfo | str) -> tuple[pd.Timestamp, pd.Timestamp]:
        """Two NaT: Klaviyo does not say where a preset begins and ends."""
        return pd.NaT, pd.NaT  # type: ignore[return-value]

    def window(self, today: date) -> Window:
        """Return the days that the key stands for on a day: with the running day, weeks from Monday on.

        "Last N days" has been seen to be N days back and the running one. Klaviyo publishes no bounds, so a key is sent
        as it is wherever one request can hold it.
        """
        back, month, year = timedelta(days=1), today.replace(day=1), today.replace(month=1, day=1)
        monday = today - timedelta(days=today.weekday())
        bounds = {
            "today": (today, today),
            "yesterday": (today - back, today - back),
            "this_week": (monday, today),
            "last_week": (monday - 7 * back, monday - back),
            "this_month": (month, today),
            "last_month": ((month - back).replace(day=1), month - back),
            "this_year": (year, today),
            "last_year": ((year - back).replace(month=1, day=1), year - back),
        }
        if self.key in bounds:
            return Window(*bounds[self.key])
        _, count, unit = self.key.split("_")  # such as last_30_days
        length: Any = {unit: int(count)}
        return Window((pd.Timestamp(today) - pd.DateOffset(**length)).date(), today)

    def __str__(self) -> str:
        return self.key


Timeframe = Window | Moments | Preset


def parse_timeframe(value: str | Timeframe | Sequence[object]) -> Timeframe:
    """A preset key, a pair of dates (both included) or a pair of datetimes, as one of the three classes.

    Parameters
    ----------
    value : str, pair, or an object of this module
        Dates may be ``date`` or ``"YYYY-MM-DD"``; datetimes ``datetime``, ``Timestamp`` or ISO strings with a time.

    Raises
    ------
    ArgumentError
        Unknown key, no pair, no dates, the wrong way round, or datetimes more than a year apart.
    """
    if isinstance(value, (Window, Moments, Preset)):
        return value
    if isinstance(value, str):
        return iso_week(value) if _WEEK.fullmatch(value.strip()) else Preset(value)
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ArgumentError(
            f"A timeframe is one of Klaviyo's keys or a pair of first and last day, not {value!r}: "
            'give for instance "last_30_days" or ("2026-11-16", "2026-11-22").'
        )
    first, last = (_moment(part) for part in value)
    if isinstance(first, datetime) and isinstance(last, datetime):
        return Moments(first, last)
    if isinstance(first, datetime) or isinstance(last, datetime):
        raise ArgumentError(f"A timeframe is two dates or two datetimes, not one of each: {value!r}.")
    return Window(first, last)


def _moment(part: object) -> date | datetime:
    if isinstance(part, datetime):
        return part.to_pydatetime() if isinstance(part, pd.Timestamp) else part
    if isinstance(part, date):
        return part
    try:
        text = str(part).strip()
        return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(f"{part!r} is not a date: write it as 2026-11-16 (or 2026-11-16T00:00:00).") from error


def iso_week(label: str) -> Window:
    """The window of an ISO week such as ``"2026-W47"`` (or ``"2026-w47"``), Monday to Sunday."""
    match = _WEEK.fullmatch(label.strip())
    try:
        if match is None or int(match[1]) not in _YEARS:
            raise ValueError(label)
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError as error:
        raise ArgumentError(f"{label[:40]!r} is not an ISO week: write it as 2026-W47.") from error
    return Window(monday, monday + timedelta(days=6))


def a_year_before(window: Window) -> Window:
    """The ISO week of the same number in the ISO year before; for week 53, where that year has none, 52 weeks before.

    52 weeks before is the neighbour's number whenever a year of 53 weeks lies between.
    """
    year, week, _ = window.first.isocalendar()
    try:
        return iso_week(f"{year - 1}-W{week:02d}")
    except ArgumentError:
        return window.shift(-52 * 7)


def last_year_weeks(window: Window, count: int = 26) -> list[Window]:
    """What stands for a year ago beside each of so many weeks that end with ``window``, oldest first."""
    return [a_year_before(window.shift(-7 * back)) for back in reversed(range(count))]


def last_complete_week(now: datetime) -> Window:
    """The last ISO week that is over at ``now``, read on the wall clock that ``now`` shows."""
    monday = now.date() - timedelta(days=now.weekday())
    return Window(monday - timedelta(days=7), monday - timedelta(days=1))


def recent_weeks(now: datetime, weeks: int) -> Window:
    """The last complete ISO weeks at ``now``, as one window (51 at most: Klaviyo answers for a year)."""
    if not 1 <= weeks <= 51:
        raise ArgumentError(f"{weeks} weeks cannot be asked for at once: give a number from 1 to 51.")
    last = last_complete_week(now)
    return Window(last.shift(-7 * (weeks - 1)).first, last.last)
