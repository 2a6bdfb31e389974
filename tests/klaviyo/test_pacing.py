"""Klaviyo's limits as arithmetic, and the ledger that all processes share."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_server import Clock

from flowperf_helpers.errors import ArgumentError, QuotaError
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import (
    DAY,
    KEPT,
    REPORTS,
    Ledger,
    Limit,
    endpoint_of,
    limits_of,
    next_free,
    scopes_of,
)

VALUES, SERIES = REPORTS


def limiter(
    tmp_path: Path,
    clock: Clock,
    *,
    fingerprint: str = "f",
    ceiling: float = 120.0,
    paced: bool = True,
    limits: Callable[[str], Sequence[Limit]] = limits_of,
) -> RateLimiter:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    return RateLimiter(
        ledger, host="h", fingerprint=fingerprint, clock=clock, sleep=clock.sleep, ceiling=ceiling, paced=paced,
        limits=limits, quiet=True,
    )  # fmt: skip


def call(pace: RateLimiter, endpoint: str = VALUES) -> float:
    row = pace.before(endpoint)
    pace.after(row)
    return pace.clock()


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [("/api/metrics", "/api/metrics"), ("/api/metrics/", "/api/metrics"), ("/api/metrics/Ab1", "/api/metrics/{id}"),
     ("/api/flow-actions/123/flow-messages/?x=1", "/api/flow-actions/{id}/flow-messages"),
     ("/api/metrics/Ab1/relationships/flow-triggers", "/api/metrics/{id}/relationships/flow-triggers")],
)  # fmt: skip
def test_paths_belong_to_endpoints(path: str, endpoint: str) -> None:
    """Ids, slashes at the end and queries do not make another endpoint."""
    assert endpoint == endpoint_of(path)


def test_the_table_is_the_contracts() -> None:
    """Reports 1/s, 2/min, 225/day; metrics 10/s, 150/min; an unknown path the strictest tier."""
    assert ((1, 1.0), (2, 60.0), (225, DAY)) == limits_of(VALUES) == limits_of(SERIES)
    assert ((10, 1.0), (150, 60.0)) == limits_of("/api/metrics/{id}/flow-triggers")
    assert ((1, 1.0), (15, 60.0)) == limits_of("/api/accounts") == limits_of("/api/nothing")
    assert ("flows:read", "tags:read") == scopes_of("/api/flows/{id}/tags")


@given(
    st.lists(st.floats(0, 30), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(1, 4), st.floats(0.5, 20)), min_size=1, max_size=3),
    st.floats(0, 20),
)
def test_no_fixed_window_overflows(gaps: list[float], raw_limits: list[tuple[int, float]], offset: float) -> None:
    """Calls made when they are free fit every fixed window of each limit, wherever it starts."""
    limits = [Limit(*limit) for limit in raw_limits]
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now = next_free(times, limits, now + gap)
        times.append(now)
    for calls, seconds in limits:
        counts: dict[int, int] = {}
        for moment in times:
            window = int((moment + offset) // seconds)
            counts[window] = counts.get(window, 0) + 1
        assert max(counts.values()) <= calls


def test_reports_wait_as_the_limits_say(tmp_path: Path) -> None:
    """The second call comes a second later, the third a minute after the first; the other endpoint waits for none."""
    clock = Clock(1000.0)
    pace = limiter(tmp_path, clock)
    got = [round(call(pace) - 1000) for _ in range(5)]
    assert [0, 1, 60, 61, 120] == got
    assert clock() == call(pace, SERIES)


def test_a_slow_answer_counts_from_its_end(tmp_path: Path) -> None:
    """A call that took seven seconds may have been counted at its end, so the next window starts there."""
    clock = Clock(1000.0)
    pace = limiter(tmp_path, clock)
    row = pace.before(VALUES)
    clock.now += 7
    pace.after(row)
    assert 1008.0 == pytest.approx(call(pace), abs=0.1)


def test_the_ledger_outlives_the_process(tmp_path: Path) -> None:
    """A second limiter on the same file knows the calls of the first; another account or host does not share them."""
    clock = Clock(1000.0)
    call(limiter(tmp_path, clock))
    assert 1001.0 == pytest.approx(call(limiter(tmp_path, clock)), abs=0.1)
    now = clock()
    assert now == call(limiter(tmp_path, clock, fingerprint="other"))


def test_the_ledger_is_the_owners(tmp_path: Path) -> None:
    """Nobody else can read the ledger."""
    call(limiter(tmp_path / "new", Clock()))
    assert 0o600 == stat.S_IMODE((tmp_path / "new" / "ledger.sqlite3").stat().st_mode)
    assert 0o700 == stat.S_IMODE((tmp_path / "new").stat().st_mode)


def test_a_spent_day_is_an_error_at_once(tmp_path: Path) -> None:
    """Beyond the ceiling nobody waits: the error says when, in local time, and nothing is recorded."""
    clock = Clock(1000.0)
    pace = limiter(tmp_path, clock, limits=lambda _: (Limit(3, DAY),))
    for _ in range(3):
        call(pace)
    slept = len(clock.slept)
    with pytest.raises(QuotaError, match="3 calls a day") as caught:
        pace.before(VALUES)
    assert slept == len(clock.slept)
    assert caught.value.retry_at is not None
    assert 1000.0 + DAY == pytest.approx(caught.value.retry_at.timestamp(), abs=120)
    assert caught.value.retry_at.tzinfo is not None
    assert VALUES == caught.value.endpoint
    assert 3 == pace.status().loc[0, "used_today"]


def test_pacing_off_counts_and_does_not_wait(tmp_path: Path) -> None:
    """FLOWPERF_PACING=off ignores the windows, keeps count, and obeys what Klaviyo said in a 429."""
    clock = Clock(1000.0)
    pace = limiter(tmp_path, clock, paced=False)
    assert [1000.0] * 4 == [call(pace) for _ in range(4)]
    assert 4 == pace.status().loc[0, "used_today"]
    pace.block(VALUES, 30)
    assert 1030.0 == pytest.approx(call(pace))


def test_a_429_holds_for_other_processes(tmp_path: Path) -> None:
    """What one process was told, the next one knows; other endpoints are not held."""
    clock = Clock(1000.0)
    limiter(tmp_path, clock).block(VALUES, 61073)
    with pytest.raises(QuotaError):
        limiter(tmp_path, clock).before(VALUES)
    assert 1000.0 == call(limiter(tmp_path, clock), SERIES)


def test_without_a_ledger_only_a_429_holds() -> None:
    """The in-process sandbox is never paced nor counted."""
    clock = Clock(1000.0)
    pace = RateLimiter(None, clock=clock, sleep=clock.sleep, quiet=True)
    assert [1000.0] * 3 == [call(pace) for _ in range(3)]
    pace.block(VALUES, 5)
    assert 1005.0 == pytest.approx(call(pace))
    assert [0, 0] == pace.status()["used_today"].to_list()


@pytest.mark.parametrize("back", [3.0, 3600.0, 40 * DAY])
def test_a_clock_set_back_does_not_block_for_ever(tmp_path: Path, back: float) -> None:
    """Calls and 429s that lie ahead of the clock count as just made, and age from then on."""
    clock = Clock(1_700_000_000.0)
    pace = limiter(tmp_path, clock)
    call(pace)
    call(pace)
    pace.block(VALUES, 50)
    clock.now -= back
    before = clock()
    assert 0 < call(pace) - before <= 70
    clock.now += 61
    now = clock()
    assert now == call(pace)


@pytest.mark.parametrize("counted", [True, False])
def test_a_clock_that_stands_still_does_not_block(tmp_path: Path, counted: bool) -> None:
    """The sandbox's day does not move: what was slept counts as passed."""
    slept: list[float] = []
    ledger = Ledger(tmp_path / "ledger.sqlite3") if counted else None
    pace = RateLimiter(ledger, host="h", fingerprint="f", clock=lambda: 1000.0, sleep=slept.append, quiet=True)
    pace.block(VALUES, 17)
    for _ in range(3):
        pace.after(pace.before(VALUES))
    assert 17 <= sum(slept) < 200


def test_status_says_used_left_and_when(tmp_path: Path) -> None:
    """One row per report endpoint and per other endpoint used."""
    clock = Clock(1_700_000_000.0)
    pace = limiter(tmp_path, clock)
    call(pace)
    call(pace)
    call(pace, "/api/metrics")
    frame = pace.status()
    assert [VALUES, SERIES, "/api/metrics"] == frame["endpoint"].to_list()
    assert [2, 0, 1] == frame["used_today"].to_list()
    assert [223, 225] == frame["left_today"].to_list()[:2]
    assert frame["left_today"].isna().to_list() == [False, False, True]
    assert {"used_today": "Int64", "left_today": "Int64", "next_free": "datetime64[us, UTC]"} == {
        name: str(frame[name].dtype) for name in ("used_today", "left_today", "next_free")
    }
    assert pd.Timestamp(1_700_000_060, unit="s", tz="UTC") <= frame.loc[0, "next_free"]
    assert clock() == pytest.approx(frame.loc[1, "next_free"].timestamp())


def test_calls_older_than_a_day_are_free_again(tmp_path: Path) -> None:
    """The day is the last 24 hours."""
    clock = Clock(1000.0)
    pace = limiter(tmp_path, clock)
    call(pace)
    clock.now += DAY + 1
    assert 0 == pace.status().loc[0, "used_today"]
    call(pace)
    clock.now += 2 * DAY + 1
    call(pace)
    assert 1 == pace.status().loc[0, "used_today"]


def test_settings_of_the_environment(tmp_path: Path) -> None:
    """FLOWPERF_PACING and FLOWPERF_MAX_WAIT are read, and nonsense in them is refused."""
    make = RateLimiter.from_environment
    assert make(tmp_path, host="h", fingerprint="f", environ={}).paced
    off = make(tmp_path, host="h", fingerprint="f", environ={"FLOWPERF_PACING": "off", "FLOWPERF_MAX_WAIT": "7.5"})
    assert (False, 7.5) == (off.paced, off.ceiling)
    for environ in ({"FLOWPERF_PACING": "sometimes"}, {"FLOWPERF_MAX_WAIT": "long"}, {"FLOWPERF_MAX_WAIT": "-1"},
                    {"FLOWPERF_MAX_WAIT": "nan"}):  # fmt: skip
        with pytest.raises(ArgumentError, match=next(iter(environ))):
            make(tmp_path, host="h", fingerprint="f", environ=environ)


def test_a_long_wait_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wait of more than two seconds shows a bar with its reason and its end; a short one shows nothing."""
    clock = Clock(1_700_000_000.0)
    pace = limiter(tmp_path, clock)
    pace.quiet = False
    call(pace)
    call(pace)
    assert "" == capsys.readouterr().err
    call(pace)
    shown = capsys.readouterr().err
    assert "flow-values-reports" in shown
    assert f"until {datetime.fromtimestamp(1_700_000_060).astimezone():%H:%M}" in shown


@pytest.mark.parametrize("by", [3 * DAY, 400 * DAY, -3 * DAY, -400 * DAY, 3600.0, -3600.0])
def test_a_clock_that_was_wrong_for_a_while_forgets_no_call(tmp_path: Path, by: float) -> None:
    """A day that is used up stays used up when the clock is set ahead and back, or back and ahead."""
    clock = Clock(1_700_000_000.0)
    pace = limiter(tmp_path, clock, limits=lambda _: (Limit(25, DAY),))
    for _ in range(25):
        pace.after(pace.before(VALUES))
        clock.now += 1
    clock.now += by
    with contextlib.suppress(QuotaError):
        pace.after(pace.before(VALUES))
    pace.after(pace.before(SERIES))
    clock.now -= by - 60
    assert 25 <= pace.status().loc[0, "used_today"]
    with pytest.raises(QuotaError):
        pace.before(VALUES)
    clock.now += DAY
    assert clock() == call(pace)


@pytest.mark.parametrize("by", [3 * DAY, -3 * DAY])
def test_a_clock_that_was_wrong_for_a_while_forgets_no_429(tmp_path: Path, by: float) -> None:
    """What Klaviyo said holds when the clock is right again."""
    clock = Clock(1_700_000_000.0)
    pace = limiter(tmp_path, clock)
    pace.block(VALUES, 61073)
    clock.now += by
    with contextlib.suppress(QuotaError):
        pace.before(VALUES)
    clock.now -= by
    with pytest.raises(QuotaError):
        pace.before(VALUES)
    clock.now += 61100
    assert clock() == call(pace)


def test_old_calls_leave_the_ledger(tmp_path: Path) -> None:
    """The file does not grow for ever: of an endpoint's calls, old ones beyond the newest few hundred go."""
    clock = Clock(1_700_000_000.0)
    pace = limiter(tmp_path, clock, limits=lambda _: ())
    pace.before(VALUES)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db, db:
        rows = [("h", "f", VALUES, clock(), 1)] * (KEPT + 100)
        db.executemany("INSERT INTO calls (host, fingerprint, endpoint, let_go, pid) VALUES (?, ?, ?, ?, ?)", rows)
    clock.now += 3 * DAY
    pace.before(VALUES)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
        assert [(KEPT,)] == db.execute("SELECT count(*) FROM calls").fetchall()
    assert 1 == pace.status().loc[0, "used_today"]


def test_a_ledger_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """Calls and 429s that an earlier version wrote count on."""
    clock = Clock(1_700_000_000.0)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
        db.executescript(
            "CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, fingerprint TEXT NOT NULL, "
            "endpoint TEXT NOT NULL, let_go REAL NOT NULL, done REAL, pid INTEGER NOT NULL);"
            "CREATE TABLE blocks (host TEXT NOT NULL, fingerprint TEXT NOT NULL, endpoint TEXT NOT NULL, "
            "seen REAL NOT NULL, until REAL NOT NULL, PRIMARY KEY (host, fingerprint, endpoint));"
            f"INSERT INTO calls VALUES (1, 'h', 'f', '{VALUES}', {clock() - 9}, {clock() - 8}, 1);"
            f"INSERT INTO blocks VALUES ('h', 'f', '{SERIES}', {clock() - 9}, {clock() + 9999});"
            "PRAGMA user_version = 1;"
        )
    pace = RateLimiter(Ledger(tmp_path / "ledger.sqlite3"), host="h", fingerprint="f", clock=clock, quiet=True)
    assert 1 == pace.status().loc[0, "used_today"]
    with pytest.raises(QuotaError):
        pace.before(SERIES)
    pace.after(pace.before(VALUES))
    assert 2 == pace.status().loc[0, "used_today"]


def test_many_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    """Forty accounts that ask at once each get their row, though nobody would wait longer than a moment for SQLite."""
    ledger = Ledger(tmp_path / "ledger.sqlite3", lock_timeout=0.0)
    with ThreadPoolExecutor(40) as threads:
        rows = [threads.submit(ledger.take, ("h", f"f{i}", "/api/x"), [Limit(5, 60.0)], 0.0) for i in range(200)]
        assert 200 == len({row.result()[1] for row in rows})
