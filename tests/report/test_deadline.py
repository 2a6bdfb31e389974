"""One deadline for a whole run: what comes after the notebook does not outlive it, and what was made is kept."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest

from flowperf_helpers.errors import ArgumentError, DeadlineError
from flowperf_helpers.report.memory import Memory
from flowperf_helpers.report.run.delivery import Deadline, check_target, deliver, workplace
from flowperf_helpers.report.run.execute import read_notebook, stock_notebook
from flowperf_helpers.report.run.weekly import NOTEBOOK, _finish, file_names

FLOWPERF = Path(sys.executable).parent / "flowperf"
KEPT = re.compile(r"is in (\S+/flowperf-kept-\w+): (.+)\.$")


class FtpServer:
    """As much of FTP as a delivery needs; it stops answering at the command that it is told to stop at."""

    def __init__(self, silent: str = "") -> None:
        self.silent = silent
        self.files: dict[str, bytes] = {}
        self._gone = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"ftp://127.0.0.1:{self._socket.getsockname()[1]}/reports"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data, renamed, offset = socket.create_server(("127.0.0.1", 0)), "", 0
        with contextlib.suppress(OSError), connection, data, connection.makefile("r") as lines:
            connection.sendall(b"220 ready\r\n")
            for line in lines:
                verb, _, rest = line.strip().partition(" ")
                if self.silent and verb.startswith(self.silent):
                    if verb == "STOR":
                        self.files[rest] = b"half"
                    self._gone.wait()
                    return
                if verb == "PASV":
                    answer = "227 here (127,0,0,1,{},{})".format(*divmod(data.getsockname()[1], 256))
                elif verb == "REST":
                    offset, answer = int(rest), "350 from there"
                elif verb in ("STOR", "MLSD"):
                    connection.sendall(b"150 go\r\n")
                    with data.accept()[0] as stream:
                        if verb == "STOR":
                            sent = b"".join(iter(partial(stream.recv, 65536), b""))
                            self.files[rest] = self.files.get(rest, b"")[:offset] + sent
                    answer = "226 done"
                elif verb == "RNFR":
                    renamed, answer = rest, "350 and to?"
                elif verb == "RNTO":
                    self.files[rest] = self.files.pop(renamed)
                    answer = "250 done"
                else:
                    answer = {"USER": "331 password?", "PASS": "230 in", "MKD": f'257 "{rest}"'}.get(verb, "200 fine")
                connection.sendall(f"{answer}\r\n".encode())

    def close(self) -> None:
        self._gone.set()
        self._socket.close()


@contextlib.contextmanager
def ftp(silent: str = "") -> Iterator[FtpServer]:
    server = FtpServer(silent)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def executed(tmp_path: Path) -> tuple[nbformat.NotebookNode, Path]:
    """Return an executed notebook of one cell, and the folder with the data that its kernel left."""
    bundle = tmp_path / "work" / "bundle"
    bundle.mkdir(parents=True)
    for name in ("data.parquet", "data.xlsx", "headline.json"):
        (bundle / name).write_bytes(b"data")
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A week")]), bundle


NOTHING_EARLIER = Memory([], [], [], known=False)
HEADLINE = {"sandbox": True, "week": "2026-W47", "account": {"title": "Shop"}}
NAMES = file_names("sandbox", "2026-W47")
KINDS = {f"weekly-sandbox-2026-W47.{kind}" for kind in ("html", "ipynb", "parquet", "xlsx", "json")}


def test_file_server_gets_whole_files_only(tmp_path: Path) -> None:
    """At an FTP address each file arrives under another name first: who looks for its own finds it whole."""
    (tmp_path / "a").write_bytes(b"page" * 50_000)
    with ftp() as server:
        done = deliver({"html": tmp_path / "a"}, server.address, names={"html": "a.html"}, deadline=Deadline(20))
        assert f"{server.address}/a.html" == done[0].path
        assert {"/reports/a.html": b"page" * 50_000} == server.files
    with ftp("STOR") as server, pytest.raises(DeadlineError, match=r"a\.html was being sent .*0 of 1 files"):
        deliver({"html": tmp_path / "a"}, server.address, names={"html": "a.html"}, deadline=Deadline(0.5))
    assert "/reports/a.html" not in server.files


def test_address_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """A server that takes the connection and says nothing more does not hold the first look at the target."""
    with ftp("USER") as server, pytest.raises(DeadlineError, match="did not answer"):
        check_target(server.address, deadline=Deadline(0.01))


def test_slow_address_leaves_the_files_here(
    executed: tuple[nbformat.NotebookNode, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that stops in the middle is given up at the deadline; the report is whole in a folder that is named."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    notebook, bundle = executed
    with ftp("RNTO") as server, pytest.raises(DeadlineError) as caught:
        _finish(
            notebook,
            bundle,
            HEADLINE,
            NOTHING_EARLIER,
            server.address,
            names=NAMES,
            links={},
            pdf=False,
            deadline=Deadline(3),
        )
    folder, named = KEPT.search(str(caught.value)).groups()  # type: ignore[union-attr]
    assert KINDS == set(named.split(", ")) == {path.name for path in Path(folder).iterdir()}
    assert "0 of 5 files are there" in str(caught.value)


def test_page_that_takes_too_long_leaves_the_data(executed: tuple[nbformat.NotebookNode, Path], tmp_path: Path) -> None:
    """Where the page is not made in time, the notebook and the data are at their place, and named."""
    notebook, bundle = executed
    notebook.cells = [nbformat.v4.new_markdown_cell("# A week", id=f"c{n}") for n in range(300)]
    with pytest.raises(DeadlineError, match="while the page was being made") as caught:
        _finish(
            notebook,
            bundle,
            HEADLINE,
            NOTHING_EARLIER,
            tmp_path / "out",
            names=NAMES,
            links={},
            pdf=False,
            deadline=Deadline(0.01),
        )
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert KINDS - {"weekly-sandbox-2026-W47.html"} == there
    assert all(name in str(caught.value) for name in there)


# --- as a process -----------------------------------------------------------------------------------------------------

_SAVES = """
import json, pathlib
for name in ("data.parquet", "data.xlsx"):
    pathlib.Path(bundle, name).write_bytes(b"data")
headline = {"week": week, "sandbox": True, "account": {"title": "Shop"}, "requests": 0, "log": []}
pathlib.Path(bundle, "headline.json").write_text(json.dumps(headline))
"""


def _notebook(path: Path, source: str) -> Path:
    """Write a notebook that takes the stock report's parameters and has one cell more."""
    cells = read_notebook(stock_notebook(NOTEBOOK))["cells"]
    first = "".join(next(c for c in cells if "parameters" in c["metadata"].get("tags", []))["source"])
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    two = [nbformat.v4.new_code_cell(first, metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=two, metadata=kernel), path)
    return path


def _weekly(
    folder: Path, *arguments: str, limit: int | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run ``flowperf weekly`` on a week of the sandbox; ``limit`` is the size at which a file counts as too large."""
    return subprocess.run(
        [FLOWPERF, "weekly", "--week", "2026-W47", "--out", "out", "--quiet", *arguments],
        cwd=folder, env=os.environ | {"FLOWPERF_HOME": str(folder / "home")} | environ,
        capture_output=True, text=True, check=False, timeout=100,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None,
    )  # fmt: skip


@pytest.mark.notebook
def test_browser_that_hangs_is_stopped_at_the_deadline(tmp_path: Path) -> None:
    """A Chromium that never ends is stopped with all it started; the run exits with 8 and leaves the five files."""
    browser = tmp_path / "bin" / "chromium"
    browser.parent.mkdir()
    browser.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {tmp_path}/child\nwait\n")
    browser.chmod(0o755)
    notebook = _notebook(tmp_path / "mine.ipynb", _SAVES)
    path = f"{browser.parent}:{os.environ['PATH']}"
    done = _weekly(tmp_path, "--notebook", str(notebook), "--pdf", "--timeout", "12", PATH=path)
    assert 8 == done.returncode, done.stderr
    assert "The deadline of 12 seconds passed while the PDF was being printed" in done.stderr
    names = {f"mine-sandbox-2026-W47.{kind}" for kind in ("html", "ipynb", "parquet", "xlsx", "json")}
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    assert all(name in done.stderr for name in names)
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


@pytest.mark.notebook
def test_full_temporary_folder_is_storage(tmp_path: Path) -> None:
    """Where the executed notebook cannot be written, the run exits with 7 and names the folder and TMPDIR."""
    notebook = _notebook(tmp_path / "mine.ipynb", "print('x' * 90_000)")
    (tmp_path / "tmp").mkdir()
    done = _weekly(tmp_path, "--notebook", str(notebook), limit=70_000, TMPDIR=str(tmp_path / "tmp"))
    assert 7 == done.returncode, done.stderr
    assert f"{tmp_path}/tmp" in done.stderr
    assert "TMPDIR" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert [] == [*(tmp_path / "out").iterdir(), *(tmp_path / "tmp").glob("flowperf*")]


def test_wrong_temporary_folder_is_a_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TMPDIR that is missing, or is a file, is refused with 2 before anything runs, by its name."""
    done = _weekly(tmp_path, TMPDIR=str(tmp_path / "missing"))
    assert 2 == done.returncode, done.stderr
    assert f"TMPDIR is {tmp_path / 'missing'}, which is not a folder" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    with pytest.raises(ArgumentError, match="TMPDIR"), workplace():
        raise AssertionError("there is no folder to work in")


def test_exit_codes_are_documented() -> None:
    """README's table and the command's help say each exit code that an error has."""
    from flowperf_helpers import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    help_text = subprocess.run([FLOWPERF, "--help"], capture_output=True, text=True, check=True).stdout
    for code in {kind.exit_code for kind in kinds if issubclass(kind, errors.FlowperfError)}:
        assert f"\n| {code} | " in readme
        assert re.search(rf"\b{code} [a-z]", help_text)
