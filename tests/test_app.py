"""The app: Voila on loopback, a clear word where it is missing, an end without a trace."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from lab_driver import environment, free_port

from flowperf_helpers.app import APP_NOTEBOOKS, app_command, serve_app
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.runner import stock_notebook


def test_missing_voila_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Voila: one sentence that names the extra."""
    monkeypatch.setitem(sys.modules, "voila", None)
    with pytest.raises(ArgumentError, match=r'pip install "flowperf\[app\]"'):
        app_command(port=8866, folder=".")


def test_impossible_ports_and_notebooks_are_refused() -> None:
    """A port that is none, and a notebook that does not exist, stop before a server starts."""
    with pytest.raises(ArgumentError, match="70000 is no port"):
        app_command(port=70000, folder=".")
    with pytest.raises(ArgumentError, match=r"no notebook nowhere\.ipynb"):
        serve_app(port=8866, notebooks=["nowhere.ipynb"])


def test_app_listens_on_loopback_only() -> None:
    """The command binds 127.0.0.1, and shows no code and no traceback."""
    command = app_command(port=8866, folder="pages")
    assert "--Voila.ip=127.0.0.1" in command
    assert "--strip_sources=True" in command
    assert "--VoilaConfiguration.show_tracebacks=False" in command
    assert all(stock_notebook(name).is_file() for name in APP_NOTEBOOKS)


@pytest.mark.xdist_group("browser")
def test_app_serves_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """The first page answers; an interrupt ends server and command with exit code 0."""
    port = free_port()
    code = f"from flowperf_helpers.app import serve_app; raise SystemExit(serve_app(port={port}))"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(tmp_path), cwd=tmp_path,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        status = None
        ends = time.monotonic() + 60
        while status is None and time.monotonic() < ends and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as answer:
                    status = answer.status
            except OSError:
                time.sleep(0.2)
        assert 200 == status
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
