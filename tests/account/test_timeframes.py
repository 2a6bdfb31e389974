"""Windows of whole account days: bounds on the account's clock, weeks, and splits that lose no day."""

from __future__ import annotations

import zoneinfo
from datetime import date, datetime, time, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowperf_helpers.account.timeframes import (
    MAX_DAYS,
    Moments,
    Preset,
    Window,
    iso_week,
    last_complete_week,
    parse_timeframe,
)
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import PRESETS
from flowperf_helpers.sandbox.requests import preset

DATES = st.dates(date(2000, 1, 3), date(2099, 12, 31))
WINDOWS = st.builds(lambda first, days: Window(first, first + timedelta(days=days - 1)), DATES, st.integers(1, 365))
ZONES = (
    "UTC", "Europe/Copenhagen", "America/New_York", "America/Sao_Paulo", "America/Santiago", "America/Havana",
    "Asia/Beirut", "Africa/Cairo", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham",
)  # fmt: skip


@given(WINDOWS, st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_split_covers_every_day_once(window: Window, days: int) -> None:
    """The parts of a split hold each day of the window once, in order, and none is longer than asked."""
    parts = window.split(days)
    held = [part.first + timedelta(days=i) for part in parts for i in range(part.days)]
    assert [window.first + timedelta(days=i) for i in range(window.days)] == held
    assert max(part.days for part in parts) <= days
    assert -(-window.days // days) == len(parts)


@given(WINDOWS, st.sampled_from(ZONES), st.sampled_from(list(MAX_DAYS.values())))
@settings(max_examples=100, deadline=None)
def test_parts_touch_in_every_zone(window: Window, zone: str, days: int) -> None:
    """On any account's clock a part ends at the instant the next one starts, and the ends are the window's."""
    bounds = [part.bounds(zone) for part in window.split(days)]
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert window.bounds(zone) == (bounds[0][0], bounds[-1][1])
    assert all(start < end for start, end in bounds)


@given(WINDOWS, st.sampled_from(ZONES))
@settings(max_examples=150, deadline=None)
def test_bounds_are_first_instants(window: Window, zone: str) -> None:
    """A window starts with its first day's first instant and ends with that of the day after its last."""
    for bound, day in zip(window.bounds(zone), (window.first, window.last + timedelta(days=1)), strict=True):
        assert day == bound.date()
        assert (bound - pd.Timedelta(seconds=1)).date() < day


def test_days_of_23_and_25_hours() -> None:
    """A day on which the clock changes is as long as the clock says."""
    hours = [
        (end - start) / pd.Timedelta(hours=1)
        for start, end in (Window(d, d).bounds("Europe/Copenhagen") for d in (date(2026, 3, 29), date(2026, 10, 25)))
    ]
    assert [23, 25] == hours


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T01:00:00-02:00"),  # midnight does not exist
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-24T01:00:00+03:00"),
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-29T01:00:00+03:00"),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T00:00:00-04:00"),  # midnight comes twice: the first one
        ("Europe/Copenhagen", date(2026, 10, 25), "2026-10-25T00:00:00+02:00"),
    ],
)
def test_midnight_that_is_skipped_or_repeated(zone: str, day: date, first: str) -> None:
    """Where the clock skips midnight the day starts after the gap; where it repeats it, at the first one."""
    assert pd.Timestamp(first) == Window(day, day).bounds(zone)[0]
    before = Window(day - timedelta(days=1), day - timedelta(days=1))
    assert before.bounds(zone)[1] == Window(day, day).bounds(zone)[0]


def test_window_body_is_whole_days() -> None:
    """A window is sent as the first second of its first day to the last second of its last, as wall time."""
    expected = {"start": "2024-05-08T00:00:00+00:00", "end": "2024-06-20T23:59:59+00:00"}
    assert expected == parse_timeframe(("2024-05-08", "2024-06-20")).body()
    assert expected == parse_timeframe((date(2024, 5, 8), date(2024, 6, 20))).body()


def test_a_window_may_be_of_any_length() -> None:
    """How long one request may be is the request's affair: a window of three years is a window."""
    assert 1096 == Window(date(2024, 1, 1), date(2026, 12, 31)).days


def test_wrong_way_round() -> None:
    """A window or a pair of moments that ends before it starts is refused."""
    with pytest.raises(ArgumentError, match="swap"):
        Window(date(2026, 1, 2), date(2026, 1, 1))
    with pytest.raises(ArgumentError, match="swap"):
        parse_timeframe((datetime(2026, 1, 2), datetime(2026, 1, 1)))
    with pytest.raises(ArgumentError, match="longer than 365 days"):
        parse_timeframe((datetime(2025, 1, 1), datetime(2026, 2, 1)))


@given(WINDOWS, st.integers(-400, 400))
@settings(max_examples=50, deadline=None)
def test_shift_and_previous(window: Window, days: int) -> None:
    """A shifted window keeps its length, shifting back undoes it, and the previous one ends the day before."""
    assert window.days == window.shift(days).days
    assert window == window.shift(days).shift(-days)
    assert window.first - timedelta(days=1) == window.previous().last
    assert window.days == window.previous().days


@given(DATES)
@settings(max_examples=100, deadline=None)
def test_iso_weeks(day: date) -> None:
    """Each day lies in the week of its ISO label, which reads back as the same window; other windows have no label."""
    year, week, _ = day.isocalendar()
    window = iso_week(f"{year}-W{week:02d}")
    assert window.first <= day <= window.last
    assert (0, 7) == (window.first.weekday(), window.days)
    assert f"{year}-W{week:02d}" == window.week
    assert window == parse_timeframe(f" {window.week}".strip())
    assert window.shift(1).week is None
    assert Window(window.first, window.last - timedelta(days=1)).week is None


@pytest.mark.parametrize("label", ["2026-47", "2026-W54", "2025-W53", "2026-W00", "W47", "", "2026-W4", "2026-W477"])
def test_no_such_week(label: str) -> None:
    """A label that is no ISO week, or a week the year does not have, is refused with the form that is meant."""
    with pytest.raises(ArgumentError, match="2026-W47"):
        iso_week(label)


def test_years_of_53_weeks() -> None:
    """The last week of a long year exists and may end in the next one."""
    assert Window(date(2026, 12, 28), date(2027, 1, 3)) == iso_week("2026-W53")
    assert Window(date(2024, 12, 30), date(2025, 1, 5)) == iso_week("2025W01")


@given(st.datetimes(datetime(2001, 1, 1), datetime(2098, 12, 31)))
@settings(max_examples=100, deadline=None)
def test_last_complete_week(now: datetime) -> None:
    """The last complete week is over at that moment, and the one after it is not."""
    window = last_complete_week(now)
    assert window.week is not None
    assert datetime.combine(window.last + timedelta(days=1), time.min) <= now
    assert now < datetime.combine(window.last + timedelta(days=8), time.min)


def test_the_week_is_the_accounts() -> None:
    """At the same instant two accounts may have different last weeks: the wall clock counts."""
    monday = pd.Timestamp("2026-11-23T00:30", tz="Europe/Copenhagen")
    assert "2026-W47" == last_complete_week(monday.to_pydatetime()).week
    assert "2026-W46" == last_complete_week(monday.tz_convert("America/New_York").to_pydatetime()).week


def test_moments_are_sent_as_they_show() -> None:
    """A pair of datetimes is sent as the wall time it shows, whatever its offset, and covers its last hour."""
    east = timezone(timedelta(hours=9))
    moments = parse_timeframe((datetime(2026, 3, 1, 10, tzinfo=east), pd.Timestamp("2026-03-02T11:20:30", tz="UTC")))
    assert isinstance(moments, Moments)
    assert {"start": "2026-03-01T10:00:00+00:00", "end": "2026-03-02T11:20:30+00:00"} == moments.body()
    start, end = moments.bounds("Europe/Copenhagen")
    assert pd.Timestamp("2026-03-01T10:00", tz="Europe/Copenhagen") == start
    assert pd.Timestamp("2026-03-02T12:00", tz="Europe/Copenhagen") == end
    assert "2026-03-01 10:00:00 to 2026-03-02 11:20:30" == str(moments)


@pytest.mark.parametrize("key", PRESETS)
def test_presets(key: str) -> None:
    """A preset is sent as its key, and nobody claims to know its bounds."""
    preset = parse_timeframe(key)
    assert Preset(key) == preset
    assert {"key": key} == preset.body()
    assert all(pd.isna(bound) for bound in preset.bounds("UTC"))
    assert key == str(preset)


@pytest.mark.parametrize(
    "value",
    ["last_fortnight", "", ("2026-01-01",), ("2026-01-01", "soon"), 7, None, ("2026-01-01", datetime(2026, 1, 2)),
     ("2026-02-30", "2026-03-01"), (None, None), ("2026-01-01", "2026-01-02", "2026-01-03")],
)  # fmt: skip
def test_no_timeframe(value: object) -> None:
    """Anything that is no key and no pair of dates is refused in words."""
    with pytest.raises(ArgumentError, match=r"(?i)timeframe|not a date"):
        parse_timeframe(value)  # type: ignore[arg-type]


@given(WINDOWS)
@settings(max_examples=30, deadline=None)
def test_parsing_is_stable(window: Window) -> None:
    """A window parses to itself, and so does what it prints."""
    assert window == parse_timeframe(window)
    first, last = str(window).split(" to ")
    assert window == parse_timeframe((first, last))
    assert window == parse_timeframe([first, last])


def test_limits_stay_under_klaviyos_caps() -> None:
    """The longest window per interval is under 7 days, 60 days, a year and 52 weeks."""
    assert {"hourly": 6, "daily": 59, "weekly": 357, "monthly": 364} == MAX_DAYS


def test_all_zones_have_bounds() -> None:
    """Today has bounds in every zone that Python knows, the second one later."""
    day = Window(date(2026, 11, 23), date(2026, 11, 23))
    for zone in sorted(zoneinfo.available_timezones()):
        start, end = day.bounds(zone)
        assert start < end, zone


@pytest.mark.parametrize("key", PRESETS)
@pytest.mark.parametrize("today", [date(2026, 11, 23), date(2026, 1, 1), date(2024, 2, 29), date(2026, 3, 31)])
def test_a_keys_days_are_those_of_the_embedded_account(key: str, today: date) -> None:
    """Two readings of Klaviyo's keys, written apart, name the same days."""
    expected = preset(key, datetime(today.year, today.month, today.day, 23, 30))
    window = Preset(key).window(today)
    assert (expected.start.date(), expected.end.date() - timedelta(days=1)) == (window.first, window.last)


def test_week_labels_in_either_case() -> None:
    """A small w names the same week everywhere; a year without room before or after it is refused in words."""
    assert iso_week("2026-W47") == iso_week("2026-w47") == parse_timeframe("2026-w47")
    for label in ("0001-W01", "1999-W52", "2200-W01", "9999-W52", "２０２６-W47"):
        with pytest.raises(ArgumentError, match="is not an ISO week"):
            iso_week(label)
