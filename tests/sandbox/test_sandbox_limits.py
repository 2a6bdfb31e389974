"""The embedded account's windows: headers always, 429 where they are enforced."""

from __future__ import annotations

import threading

import pytest
from sandbox_asking import error, frozen, get, headers, post
from werkzeug.test import Client

from flowperf_helpers.sandbox import SANDBOX_TOKEN
from flowperf_helpers.sandbox.app import TIERS, Windows
from flowperf_helpers.sandbox.call import Problem


class Clock:
    """Seconds that stand still until moved."""

    def __init__(self) -> None:
        self.at = 1000.0 * 86400

    def __call__(self) -> float:
        return self.at


def granted(windows: Windows, clock: Clock, tier: str, seconds: int, step: float) -> int:
    """Count calls let through when one is tried every ``step`` seconds."""
    count, refused, end = 0, 0, clock.at + seconds
    while clock.at < end:
        try:
            windows.take("key", "endpoint", tier)
            count += 1
        except Problem:
            refused += 1
        clock.at += step
    assert refused
    return count


@pytest.mark.parametrize(("tier", "per_minute"), [("XS", 15), ("S", 60), ("M", 150), ("report", 2)])
def test_windows_of_a_minute(tier, per_minute):
    """Each tier lets its calls per minute through and no more."""
    clock = Clock()
    windows = Windows(clock=clock)
    assert per_minute * 3 == granted(windows, clock, tier, 180, 0.05)


def test_burst_and_day():
    """A report endpoint gives one call a second and 225 a day; a refusal says how long to wait."""
    clock = Clock()
    windows = Windows(clock=clock)
    windows.take("key", "a", "report")
    with pytest.raises(Problem) as burst:
        windows.take("key", "a", "report")
    assert "1" == burst.value.headers["Retry-After"]
    windows.take("key", "b", "report")
    windows.take("other", "a", "report")
    clock = Clock()
    windows = Windows(clock=clock)
    assert 225 == granted(windows, clock, "report", 80_000, 30)
    with pytest.raises(Problem) as day:
        windows.take("key", "endpoint", "report")
    assert "6390" == day.value.headers["Retry-After"]


def test_refused_calls_cost_nothing_and_threads_do_not_fight():
    """Sixteen threads asking at once get exactly what one window holds."""
    clock = Clock()
    windows, got = Windows(clock=clock), []

    def ask() -> None:
        for _ in range(50):
            try:
                windows.take("key", "a", "M")
                got.append(1)
            except Problem:
                continue

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 10 == len(got)


@pytest.mark.parametrize(
    ("path", "limit", "remaining"),
    [
        ("/api/metrics", "10, 10;w=1, 150;w=60", "9"),
        ("/api/flows", "3, 3;w=1, 60;w=60", "2"),
        ("/api/accounts", "1, 1;w=1, 15;w=60", "0"),
    ],
)
def test_headers_as_recorded(path, limit, remaining):
    """Answers carry the header forms that were seen live, enforced or not."""
    got = get(frozen(), path).headers
    assert (limit, remaining, "0") == tuple(got[f"RateLimit-{n}"] for n in ("Limit", "Remaining", "Reset"))


def test_report_headers_as_recorded():
    """A successful report says Remaining 0, as Klaviyo's does."""
    got = post(frozen(), "values").headers
    assert ("1, 1;w=1, 2;w=60, 225;w=86400", "0") == (got["RateLimit-Limit"], got["RateLimit-Remaining"])


def test_429_as_recorded():
    """A report too many is throttled: Retry-After, no RateLimit headers, an empty list as meta."""
    app = frozen(enforce_limits=True)
    answers = [post(app, "values") for _ in range(5)]  # one more than two minutes that meet in between let through
    assert 200 == answers[0].status_code
    throttled = next(answer for answer in answers if answer.status_code != 200)
    assert (429, "/data") == error(throttled)
    assert 1 <= int(throttled.headers["Retry-After"]) <= 60
    assert not [name for name in throttled.headers.keys() if name.startswith("RateLimit")]  # noqa: SIM118
    only = throttled.json["errors"][0]
    assert ("throttled", []) == (only["code"], only["meta"])
    assert 200 == post(app, "series").status_code
    other = Client(app).get("/api/metrics", headers={**headers(), "Authorization": f"Bearer {SANDBOX_TOKEN}"})
    assert 200 == other.status_code


def test_time_scale_shortens_the_windows():
    """Windows sixty times shorter let sixty times as many calls through, and an app that has them serves on."""
    clock = Clock()
    assert 2 * 60 == granted(Windows(clock=clock, time_scale=60.0), clock, "report", 60, 0.01)
    app = frozen(enforce_limits=True, time_scale=6000.0)
    answers = [post(app, "values").status_code]
    while answers.count(200) < 5:  # at Klaviyo's pace this would take two minutes, and a test has less
        answers.append(post(app, "values").status_code)
    assert {200, 429} >= set(answers)


def test_spent_quota():
    """In its variant every report is refused for hours, while lists are answered."""
    app = frozen(variant="quota_spent")
    answer = post(app, "series")
    assert (429, "61073") == (answer.status_code, answer.headers["Retry-After"])
    assert 200 == get(app, "/api/flows").status_code


def test_tiers_are_klaviyos():
    """The windows are those of Klaviyo's page on rate limits."""
    assert {"XS": (1, 15), "S": (3, 60), "M": (10, 150), "report": (1, 2)} == {
        tier: (windows[0][0], windows[1][0]) for tier, windows in TIERS.items()
    }
    assert (225, 86400) == TIERS["report"][2]
