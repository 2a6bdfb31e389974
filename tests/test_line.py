"""The whole line over real HTTP: a served sandbox with Klaviyo's real limits, the command line in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app

FLOWPERF = Path(sys.executable).parent / "flowperf"


class Watched:
    """The sandbox behind Klaviyo's real windows, remembering which report requests came and what they were told."""

    def __init__(self) -> None:
        # the command line lives today, so the sandbox must
        self.app = sandbox_app(now=max(SANDBOX_NOW, datetime.now(SANDBOX_NOW.tzinfo)), enforce_limits=True)
        self.reports: list[str] = []
        self.refused = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: Any, *rest: Any) -> Any:
            if "-reports" in environ["PATH_INFO"]:
                self.reports.append(environ["PATH_INFO"])
            self.refused += status.startswith("429")
            return start_response(status, headers, *rest)

        return self.app(environ, start)


class Quiet(WSGIRequestHandler):
    wbufsize = -1

    def log(self, type: str, message: str, *args: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def watched() -> Iterator[tuple[Watched, str]]:
    app = Watched()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield app, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def flowperf(*arguments: str, url: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "KLAVIYO_API_KEY": "sandbox-key", "KLAVIYO_BASE_URL": url}
    return subprocess.run(
        [str(FLOWPERF), *arguments], cwd=cwd, env=environ, capture_output=True, text=True, timeout=280
    )


@pytest.mark.notebook
def test_a_first_report_of_all_flows_takes_six_requests_and_a_settled_one_none(
    watched: tuple[Watched, str], tmp_path: Path
) -> None:
    """Under the real limits a first report takes at most six requests without a 429, and the second run none."""
    app, url = watched
    year, week, _ = (date.today() - pd.Timedelta(weeks=4)).isocalendar()
    settled = f"{year}-W{week:02d}"
    arguments = ["weekly", "--account", "live", "--conversion-metric", "RplOrd", "--week", settled, "--out", "out"]

    plan = flowperf(*arguments, "--plan", url=url, cwd=tmp_path)
    assert (0, []) == (plan.returncode, app.reports), plan.stderr

    first = flowperf(*arguments, url=url, cwd=tmp_path)
    assert 0 == first.returncode, first.stderr[-2000:]
    assert 1 <= len(app.reports) <= 6
    assert 0 == app.refused

    sent = len(app.reports)
    second = flowperf(*arguments, url=url, cwd=tmp_path)
    assert 0 == second.returncode, second.stderr[-2000:]
    assert sent == len(app.reports)
    headline = json.loads((tmp_path / "out" / f"weekly-live-{settled}.json").read_text())
    assert "SANDBOX" in (tmp_path / "out" / f"weekly-live-{settled}.html").read_text()
    assert settled == headline["week"]


def test_status_counts_what_was_sent(watched: tuple[Watched, str], tmp_path: Path) -> None:
    """`flowperf status` shows each report request of today, under its endpoint, and sends none itself."""
    app, url = watched
    code = (
        "from flowperf_helpers import connect\n"
        "connect('live').flow_values('RplOrd', timeframe='last_7_days', statistics=['recipients'])"
    )
    environ = {**os.environ, "KLAVIYO_API_KEY": "sandbox-key", "KLAVIYO_BASE_URL": url}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, check=True, timeout=100)
    assert ["/api/flow-values-reports"] == app.reports
    status = flowperf("status", "--account", "live", url=url, cwd=tmp_path)
    assert ["/api/flow-values-reports"] == app.reports
    assert 0 == status.returncode, status.stderr
    lines = [line.split() for line in status.stdout.splitlines() if "-reports" in line]
    assert [["1", "224"], ["0", "225"]] == [line[1:3] for line in lines]
