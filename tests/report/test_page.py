"""The page in a real browser: it works without its script, and the script finds, sorts, sums and tells numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from flowperf_helpers import connect
from flowperf_helpers.report import WeeklyReport, fetch_week
from flowperf_helpers.report.html import find_browser, notebook_page, templates_folder
from flowperf_helpers.sandbox import STORIES

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SHOWN = "[...document.querySelectorAll('.ft tbody[data-n]')].filter(r => r.offsetParent).map(r => r.dataset.n)"


def _write(report: WeeklyReport, path: Path) -> Path:
    cells = [
        {"cell_type": "code", "execution_count": 1, "id": f"c{i}", "metadata": {}, "source": "", "outputs": [
            {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/html": part.html}}
        ]}
        for i, part in enumerate(report.parts())
    ]  # fmt: skip
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(notebook_page(notebook, title=report.title), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of the sandbox's week."""
    folder = tmp_path_factory.mktemp("page")
    return _write(WeeklyReport(fetch_week(connect("sandbox", home=folder / "home"))), folder / "page.html")


@contextmanager
def _browser(page: Path, fragment: str = "", *, script: bool = True, width: int = 1280) -> Iterator[Any]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=FLAGS)
        tab = browser.new_page(viewport={"width": width, "height": 800}, java_script_enabled=script)
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(page.as_uri() + fragment)
        yield tab
        browser.close()
    assert [] == said


def test_the_script_finds_sorts_sums_and_tells(page: Path) -> None:
    """Search hides the other rows and sums what is shown; heads sort with a visible sign; marks tell their numbers."""
    with _browser(page) as tab:
        whole = tab.inner_text(".ft .sum [data-t=r]")
        tab.fill("#q", "abandoned c")
        assert ["Abandoned Checkout", "Abandoned Cart"] == tab.evaluate(SHOWN)
        assert "Shown: 2 of 21" == tab.inner_text(".ft .sum th")
        assert whole != tab.inner_text(".ft .sum [data-t=r]")
        tab.fill("#q", "")
        assert whole == tab.inner_text(".ft .sum [data-t=r]")
        tab.check("#fs")
        assert {story.flow_id for story in STORIES} >= set(
            tab.evaluate("[...document.querySelectorAll('.ft tbody[data-g] .ev')].map(e => e.id.slice(2))")
        )
        assert 4 == len(tab.evaluate(SHOWN))
        tab.uncheck("#fs")
        tab.check("#fa")
        assert 21 == len(tab.evaluate(SHOWN))
        tab.click(".ft thead th[data-k=n] button")
        names = tab.evaluate(SHOWN)
        assert names == sorted(names, key=str.lower)
        assert "ascending" == tab.get_attribute(".ft thead th[data-k=n]", "aria-sort")
        tab.focus(".rev .px[data-d]")
        tab.keyboard.press("ArrowLeft")
        told = tab.inner_text("#tip")
        assert "16 Nov – 22 Nov" in told
        assert "so far, about €" in told
        assert "usual €" in told
        tab.keyboard.press("ArrowLeft")
        assert "9 Nov – 15 Nov" in tab.inner_text("#tip")


def test_without_script_rows_open_and_filters_work(page: Path) -> None:
    """The document is a document: filters, rows and links to a row need no script; the search box is not there."""
    flow = STORIES[0].flow_id
    with _browser(page, f"#e-{flow}", script=False) as tab:
        opened = tab.locator(f"#e-{flow}")
        assert opened.is_visible()
        assert "Share of" in opened.inner_text()
        assert not tab.locator("#q").is_visible()
        rows = tab.locator(".ft tbody[data-n]:visible")
        assert 12 == rows.count()
        tab.check("#fs")
        assert 4 == rows.count()
        tab.locator(".ft tbody[data-g] summary").first.click()
        assert tab.locator(".ft tbody[data-g] .ev").first.is_visible()


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_nothing_is_wider_than_the_window(page: Path, width: int) -> None:
    """Also with all rows and notes open."""
    with _browser(page, width=width) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_script_is_small() -> None:
    """Five kilobytes, inline."""
    assert (templates_folder() / "page.js").stat().st_size <= 5_000
