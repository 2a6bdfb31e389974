"""The app: Voila on loopback, under its own names only, a clear word where it is missing, an end without a trace."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from lab_driver import environment, free_port

from flowperf_helpers.errors import ArgumentError, CredentialsError, UnknownNameError
from flowperf_helpers.report.run.app import APP_NOTEBOOKS, serve_app

FLOWPERF = str(Path(sys.executable).parent / "flowperf")


def test_missing_voila_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Voila: one sentence that names the extra."""
    monkeypatch.setitem(sys.modules, "voila", None)
    with pytest.raises(ArgumentError, match=r'pip install "flowperf\[app\]"'):
        serve_app(port=8866)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"port": 70000}, ArgumentError, "70000 is not a port"),
        ({"notebooks": ["nowhere.ipynb"]}, ArgumentError, r"no notebook nowhere\.ipynb"),
        ({"week": "last"}, ArgumentError, "not an ISO week"),
        ({"account": "nobody"}, UnknownNameError, "nobody"),
        ({"account": "live"}, CredentialsError, "KLAVIYO_API_KEY"),
        ({"conversion_metric": "No Such Metric"}, UnknownNameError, "No Such Metric"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(given: dict[str, object], error: type[Exception], words: str) -> None:
    """A wrong port, notebook, week, account or metric is a sentence before a server starts, not on a page."""
    with pytest.raises(error, match=words):
        serve_app(**given)  # type: ignore[arg-type]


def test_taken_port_is_said(tmp_path: Path) -> None:
    """A port that another program has is named; no other one is taken in silence."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ArgumentError, match=f"Port {port} cannot be used .*--port"):
            serve_app(port=port)


@contextmanager
def _app(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Serve the app as the command does; process, address and the lines it greets with."""
    port = free_port()
    env = environment(tmp_path) | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen([FLOWPERF, "app", "--port", str(port), *arguments], env=env, cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, f"http://127.0.0.1:{port}", [process.stdout.readline().strip() for _ in range(3)]
    finally:
        process.kill()
        process.wait()


def _answer(url: str, host: str | None = None) -> tuple[int, str, str]:
    """Status, content security policy and text."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, str(answer.headers["Content-Security-Policy"]), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", ""


def _until(there: Callable[[], bool]) -> bool:
    """Whether something becomes true within half a minute."""
    ends = time.monotonic() + 30
    while not there() and time.monotonic() < ends:
        time.sleep(0.2)
    return there()


def _kernels(folder: Path) -> list[psutil.Process]:
    """Server and kernels of one test: processes whose environment names its folder as the temporary one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(folder / "tmp") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_app_ends_with_its_kernels(stop: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, an order to end and a closed terminal end server, kernels and folders; the exit code is 0."""
    with _app(tmp_path) as (process, url, _):
        assert 200 == _answer(f"{url}/voila/render/{APP_NOTEBOOKS[0]}")[0]
        assert 2 <= len(_kernels(tmp_path))
        process.send_signal(stop)
        assert 0 == process.wait(timeout=30)
        assert _until(lambda: not _kernels(tmp_path))
        assert [] == [p.name for p in (tmp_path / "tmp").iterdir() if p.name.startswith(("flowperf", "voila"))]


@pytest.mark.xdist_group("browser")
def test_killed_app_leaves_nobody_behind(tmp_path: Path) -> None:
    """A server that is killed outright has no kernel that lives on."""
    with _app(tmp_path) as (process, url, _):
        assert 200 == _answer(f"{url}/voila/render/{APP_NOTEBOOKS[0]}")[0]
        assert 2 <= len(_kernels(tmp_path))
        process.kill()
        process.wait()
        assert _until(lambda: not _kernels(tmp_path))


@pytest.mark.xdist_group("browser")
def test_app_answers_to_its_own_name_only(tmp_path: Path) -> None:
    """Address, how to stop and a line to try are printed; under another name nothing is served, kernels above all."""
    with _app(tmp_path, "--week", "2026-w46", "--conversion-metric", "RplOrd") as (_, url, greeting):
        for words in (url, "account sandbox", "Ctrl-C", f"curl -s {url}/voila/render/{APP_NOTEBOOKS[0]}"):
            assert words in " ".join(greeting)
        port = url.rpartition(":")[2]
        kernel = "/api/kernels/11111111-1111-1111-1111-111111111111"
        for path in ("/", f"/voila/render/{APP_NOTEBOOKS[0]}", "/voila/static/voila.js", "/voila/api/contents",
                     kernel, f"{kernel}/channels"):  # fmt: skip
            for host in (f"rebound.example:{port}", f"127.0.0.1.rebound.example:{port}", "0.0.0.0"):
                assert 403 == _answer(url + path, host)[0], path
        assert 200 == _answer(url, f"localhost:{port}")[0]


@pytest.mark.xdist_group("browser")
def test_pages_say_sandbox_first_and_ask_nobody(tmp_path: Path) -> None:
    """The mark stands before the first number, the week asked for is shown, and no other server is asked."""
    with _app(tmp_path, "--week", "2026-w46") as (_, url, _greeting):
        for name in ("", *(f"voila/render/{name}" for name in APP_NOTEBOOKS)):
            status, policy, text = _answer(f"{url}/{name}")
            assert 200 == status
            assert "default-src 'self'" in policy
            assert "https:" not in policy
            assert [] == re.findall(r"""(?:src|href|url)=["']?(?:https?:)?//[^"' ]*""", text)
            if name:
                assert 0 < text.index("SANDBOX: an invented shop") < text.index("money in EUR")
        assert "2026-11-09" in _answer(f"{url}/voila/render/{APP_NOTEBOOKS[0]}")[2]
