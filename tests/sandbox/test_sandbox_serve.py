"""The embedded account as a program: served on loopback, on its own clock."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import requests
from sandbox_asking import body, frozen, headers, report, served

from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app, serve

PROGRAM = """
from flowperf_helpers.sandbox import SANDBOX_NOW, serve
serve(0, now=SANDBOX_NOW, ready=lambda url: print(url, flush=True))
"""


def test_served_until_interrupted():
    """The server says where it listens, answers what the app in process answers, and ends quietly when interrupted."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        answer = requests.post(f"{url}/api/flow-values-reports", json=body(), headers=headers(), timeout=10)
        assert report(frozen(), "values")["results"] == answer.json()["data"]["attributes"]["results"]
        assert 404 == requests.get(f"{url}/x'<script>", headers=headers(), timeout=10).status_code
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=10)
    assert (0, "") == (process.returncode, complaints)


def test_taken_port_is_an_error():
    """A port that somebody has is an `OSError`, not an exit."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            serve(other.getsockname()[1], now=SANDBOX_NOW)


def test_many_clients_at_once():
    """Threads that ask at once get the same answer."""
    got: list[bytes] = []

    def ask(url: str) -> None:
        got.append(requests.post(f"{url}/api/flow-values-reports", json=body(), headers=headers(), timeout=30).content)

    with served(frozen(variant="one_flow")) as url:
        threads = [threading.Thread(target=ask, args=(url,)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert 8 == len(got)
    assert 1 == len(set(got))


def test_clock():
    """The clock is frozen, given, or the real one, which never stands before the sandbox's now."""
    assert SANDBOX_NOW == sandbox_app(now=SANDBOX_NOW).now()
    assert SANDBOX_NOW == sandbox_app(now=datetime(2026, 11, 23, 6)).now()
    assert SANDBOX_NOW == sandbox_app(now=lambda: datetime(2026, 11, 23, 5, tzinfo=UTC)).now()
    assert ZoneInfo("Europe/Copenhagen") == sandbox_app(now=lambda: datetime(2026, 11, 23, 5, tzinfo=UTC)).now().tzinfo
    before, free, after = datetime.now(UTC), sandbox_app().now(), datetime.now(UTC)
    assert max(SANDBOX_NOW, before) <= free <= max(SANDBOX_NOW, after)
    assert (0, 6) == (SANDBOX_NOW.weekday(), SANDBOX_NOW.hour)
