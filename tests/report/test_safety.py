"""Names come from strangers and keys come from the environment: neither does anything in a report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from flowperf_helpers import connect
from flowperf_helpers.report import WeeklyReport, fetch_week
from flowperf_helpers.report.html import find_browser, notebook_page
from flowperf_helpers.report.run.execute import stock_notebook
from flowperf_helpers.report.run.weekly import NOTEBOOK

FLOWPERF = str(Path(sys.executable).parent / "flowperf")
HOSTILE = [
    "<script>window.hit=1</script>",
    '<img src=x onerror="window.hit=1">',
    "</div></main></body><h1>mine</h1>",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\"quoted\" 'twice' & more",
    "abc\u202edcba\u202c \u2066isolated",
    "👩‍👩‍👧‍👦 family 🇩🇰",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "]]> --> `code` [link](javascript:alert(1))",
    "x" * 10_000,
    "line\nbreak\ttab\x00\x1b[31m",
    "שלום עולם",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> WeeklyReport:
    """Make the sandbox's report with strangers' names in place of the shop's."""
    answers = fetch_week(connect("sandbox", home=tmp_path_factory.mktemp("home")))
    ids = sorted(answers.weekly["flow_id"].unique())
    flows = {flow_id: HOSTILE[i % len(HOSTILE)] for i, flow_id in enumerate(ids)}

    def renamed(frame: pd.DataFrame | None) -> Any:
        if frame is None:
            return None
        frame = frame.copy()
        for key, column in (
            ("flow_id", "flow_name"),
            ("flow_id", "flow_message_name"),
            ("variation", "variation_name"),
        ):
            if column in frame and key in frame:
                frame[column] = frame[key].map(lambda v: flows.get(v, HOSTILE[0]), na_action="ignore").astype("str")
        return frame

    parts = {
        name: renamed(getattr(answers, name))
        for name in ("current", "previous", "year_ago", "weekly", "daily", "flows", "messages", "history")
    }
    account = {**answers.account, "title": HOSTILE[0] + HOSTILE[6]}
    metrics = answers.metrics.assign(metric_name=HOSTILE[1], integration_name=HOSTILE[3])
    return WeeklyReport(replace(answers, **parts, account=account, metrics=metrics, notes=[HOSTILE[0]]))


@pytest.fixture(scope="module")
def page(hostile: WeeklyReport) -> str:
    """Render the page of strangers' names."""
    sections = hostile.parts()
    cells = [
        {
            "cell_type": "code", "execution_count": 1, "id": f"c{i}", "metadata": {}, "source": "",
            "outputs": [
                {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/html": s.html}}
            ],
        }
        for i, s in enumerate(sections)
    ]  # fmt: skip
    return notebook_page({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, title=hostile.title)


def test_page_is_inert(page: str) -> None:
    """No name becomes a tag, a handler or a link; marks that reorder text are gone, long names are cut."""
    assert 1 == len(re.findall(r"<script\b", page))
    assert [] == re.findall(r"<img\b", page)
    assert [] == re.findall(r"<[^>]*\son\w+\s*=", re.sub(r'="[^"]*"', "", page))
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert "\u2066" not in page
    assert "x" * 500 not in page
    assert "{{ 7 * 7 }}" in page
    assert "49" not in re.findall(r"\{\{[^}]*\}\}", page)
    assert 'href="javascript' not in page


@pytest.mark.browser
def test_page_does_nothing_in_a_browser(page: str, tmp_path: Path) -> None:
    """In a real browser no name runs, nothing is fetched, nothing is blocked either, and the tables still sort."""
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=flags)
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        said: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(path.as_uri())
        assert tab.evaluate("window.hit === undefined")
        assert 1 == tab.locator("h1").count()
        assert 390 == tab.evaluate("document.documentElement.scrollWidth")
        tab.set_viewport_size({"width": 1280, "height": 800})
        sent = "[...document.querySelectorAll('.ft tbody[data-n]')].map(row => +row.dataset.dl)"
        tab.locator(".ft thead th[data-k=dl] button").click()
        sorted_by = tab.evaluate(sent)
        tab.hover(".rev .px[data-d]")
        tip = tab.inner_text("#tip")
        assert tab.evaluate("window.hit === undefined")
        browser.close()
    assert [path.as_uri()] == asked
    assert [] == said
    assert sorted_by == sorted(sorted_by, reverse=True)
    assert "{{ 7 * 7 }}" in tip


def test_spreadsheet_and_headline_are_inert(hostile: WeeklyReport, tmp_path: Path) -> None:
    """No name becomes a formula or a link, and the JSON of headline numbers holds printable text only."""
    hostile.save(tmp_path)
    book = openpyxl.load_workbook(tmp_path / "data.xlsx")
    for sheet in book:
        for row in sheet.iter_rows():
            for entry in row:
                assert "f" != entry.data_type
                assert entry.hyperlink is None
    with zipfile.ZipFile(tmp_path / "data.xlsx") as inside:
        assert not [name for name in inside.namelist() if "external" in name.lower()]
    text = (tmp_path / "headline.json").read_text(encoding="utf-8")
    assert [] == re.findall("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0e-\x1f]", "".join(_strings(json.loads(text))))
    assert len(pd.read_parquet(tmp_path / "data.parquet")) == len(hostile.tidy())


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []


class _Processes(threading.Thread):
    """Looks at the arguments of all processes until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.1)


@pytest.mark.notebook
def test_key_is_nowhere(tmp_path: Path, sandbox_url: str) -> None:
    """A key of the environment is in no file, snapshot, log or process's arguments; no path is in a report."""
    key = "sandbox-key"
    watcher = _Processes()
    watcher.start()
    environment = {
        **os.environ, "KLAVIYO_API_KEY": key, "KLAVIYO_BASE_URL": sandbox_url, "FLOWPERF_PACING": "off",
        "FLOWPERF_HOME": str(tmp_path / "home"), "ANOTHER_SECRET": "canary-in-the-mine",
    }  # fmt: skip
    command = [
        FLOWPERF,
        "weekly",
        "--account",
        "live",
        "--conversion-metric",
        "RplOrd",
        "--week",
        "2026-W47",
        "--out",
        "reports",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    watcher.stop.set()
    watcher.join()
    assert 0 == done.returncode, done.stderr
    assert 5 == len(done.stdout.splitlines())
    texts = {"stdout": done.stdout, "stderr": done.stderr, "processes": "\n".join(watcher.seen)}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        raw = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as inside:
                raw += b"".join(inside.read(name) for name in inside.namelist())
        texts[str(path.relative_to(tmp_path))] = raw.decode("utf-8", errors="replace")
    for place, text in texts.items():
        assert key not in text, place
        assert "canary-in-the-mine" not in text, place
    reports = {place: text for place, text in texts.items() if place.startswith("reports/")}
    for place, text in reports.items():
        assert str(tmp_path) not in text, place


def test_notebook_asks_for_no_secret() -> None:
    """The stock notebook's parameters cannot be mistaken for a place for a key."""
    text = stock_notebook(NOTEBOOK).read_text(encoding="utf-8")
    assert "environ" not in text
    assert "api_key" not in text


def test_discovery_prints_no_escape_codes(tmp_path: Path) -> None:
    """What strangers typed cannot move the terminal's cursor or start a formula in the CSV."""
    code = (
        "import json, sys, pandas as pd\nfrom flowperf_helpers.cli import echo_frame\n"
        "echo_frame(pd.DataFrame({'name': json.load(sys.stdin)}), sys.argv[1])"
    )
    for shape in ("table", "csv", "json"):
        done = subprocess.run(
            [sys.executable, "-c", code, shape],
            input=json.dumps(HOSTILE),
            capture_output=True,
            text=True,
            check=True,
        )
        if shape == "table":
            assert "\x1b" not in done.stdout
            assert "\u202e" not in done.stdout
            assert max(map(len, done.stdout.splitlines())) < 60
        if shape == "csv":
            assert "\n=cmd" not in done.stdout
            assert "\n@SUM" not in done.stdout
        if shape == "json":
            assert [{"name": name} for name in HOSTILE] == json.loads(done.stdout)
            assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", done.stdout.rstrip("\n"))
