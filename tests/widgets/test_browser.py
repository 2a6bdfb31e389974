"""The notebooks and the app in a real Chromium: cells run, each kind of control changes the picture, keys suffice."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_driver import SHOTS, chromium, environment, free_port, jupyterlab, open_and_run, picture_source, serving

from flowperf_helpers.report.run.app import APP_NOTEBOOKS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = ("01_discover_metrics", "02_select_flows", "03_compare_values", "04_compare_series")

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve JupyterLab on copies of the notebooks; its address."""
    folder = tmp_path_factory.mktemp("lab")
    copies = folder / "notebooks"
    copies.mkdir()
    for name in NAMES:
        shutil.copy(NOTEBOOKS / f"{name}.ipynb", copies)
    with jupyterlab(copies, folder) as url:
        yield url


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a fresh Chromium."""
    with chromium() as opened:
        yield opened


def board_of(page: Any) -> Any:
    """The board of a page, its picture in sight."""
    board = page.locator(".flowperf-board").first
    board.locator("img, .fp-table").first.wait_for(state="visible")
    board.scroll_into_view_if_needed()
    return board


def changed(page: Any, board: Any, act: Any) -> str:
    """Do something, wait for another picture, and return its text alternative."""
    before = picture_source(board)
    act()
    page.wait_for_function(
        "([board, before]) => { const img = board.querySelector('img'); return img && img.src !== before; }",
        arg=[board.element_handle(), before],
        timeout=20_000,
    )
    return str(board.locator("img").first.get_attribute("alt"))


def offered(board: Any, label: str) -> list[str]:
    """What a picker offers."""
    return [name.replace("\xa0", " ") for name in board.get_by_label(label).locator("option").all_inner_texts()]


def keep(page: Any, name: str) -> None:
    """Keep a screenshot of all of the notebook or page."""
    SHOTS.mkdir(exist_ok=True)
    tall = page.evaluate(
        "() => Math.max(0, ...[...document.querySelectorAll('.jp-NotebookPanel *')].map(e => e.scrollHeight))"
    )
    if tall:
        page.set_viewport_size({"width": 1400, "height": min(int(tall) + 140, 9000)})
        page.evaluate("() => document.querySelectorAll('.jp-NotebookPanel *').forEach(e => { e.scrollTop = 0; })")
        page.wait_for_timeout(300)
    page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)


def problems(page: Any) -> list[str]:
    """Sentences of boards and buttons that say that something is not possible, and tracebacks."""
    return page.locator(".flowperf-error, [data-mime-type='application/vnd.jupyter.error']").all_inner_texts()


def test_discover_metrics_in_jupyterlab(lab: str, page: Any) -> None:
    """01 runs in the browser; another integration and another choice of metrics draw other pictures."""
    open_and_run(page, lab, "01_discover_metrics.ipynb")
    board = board_of(page)
    keep(page, "01_discover_metrics")
    assert "SANDBOX · invented numbers" in board.inner_text()
    board.get_by_label("Integration").select_option("YourIntegration")
    board.get_by_text("3 of 5 metrics trigger 3 flows").wait_for()
    alt = changed(page, board, lambda: board.get_by_role("button", name="Choose none").click())
    assert "No metric is chosen" in alt
    board.get_by_label("Search metrics").fill("sent sms")
    page.wait_for_function("() => document.querySelector('.flowperf-board select[multiple]').options.length < 4")
    board.get_by_label("Metrics", exact=True).select_option(index=1)
    board.get_by_text("1 of 1 metric").wait_for()
    assert [] == problems(page)


def test_select_flows_in_jupyterlab(lab: str, page: Any) -> None:
    """02 runs in the browser; channel, volume and flows change picture and parameters, also by keyboard alone."""
    open_and_run(page, lab, "02_select_flows.ipynb")
    board = board_of(page)
    keep(page, "02_select_flows")
    alt = changed(page, board, lambda: board.get_by_label("Channel").select_option("sms"))
    assert " flows chosen: " in alt
    changed(page, board, lambda: board.get_by_label("Volume").select_option("any volume"))
    board.get_by_label("Search flows").focus()
    page.keyboard.type("welcome series")
    page.wait_for_function("() => document.querySelector('.flowperf-board select[multiple]').options.length < 4")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    alt = changed(page, board, lambda: page.keyboard.press("Enter"))
    assert "0 of" in alt
    assert 'account = "sandbox"' in board.inner_text()
    assert [] == problems(page)


def test_compare_values_in_jupyterlab(lab: str, page: Any) -> None:
    """03 runs in the browser; each picture, statistic and grouping redraws, and one press asks for another window."""
    open_and_run(page, lab, "03_compare_values.ipynb")
    board = board_of(page)
    keep(page, "03_compare_values")
    assert "Before and after" in changed(
        page, board, lambda: board.get_by_label("Picture").select_option("against the window before")
    )
    assert "open rate" in changed(page, board, lambda: board.get_by_label("Statistic").select_option("Open rate"))
    assert "messages" in changed(page, board, lambda: board.get_by_label("Rows").select_option("per message"))
    board.get_by_label("Picture").select_option("table with verdicts")
    board.locator(".fp-table").get_by_text("no change larger than").first.wait_for()
    board.get_by_label("Picture").select_option("beside each other")
    board.locator("img").first.wait_for(state="visible")
    changed(page, board, lambda: board.get_by_role("button", name="All live").click())
    changed(page, board, lambda: board.get_by_label("Channel").select_option("email"))
    page.get_by_label("Window", exact=True).select_option("last 4 complete weeks")
    button = page.get_by_role("button", name="Ask Klaviyo (2)")  # the weeks of the tests are here already
    button.wait_for()
    changed(page, board, button.click)
    page.get_by_text("3 answers are here").wait_for()
    page.get_by_role("button", name="Show what is here").wait_for()
    assert [] == problems(page)


def test_compare_series_in_jupyterlab(lab: str, page: Any) -> None:
    """04 runs in the browser; each picture, the interval and the dates redraw."""
    open_and_run(page, lab, "04_compare_series.ipynb")
    board = board_of(page)
    keep(page, "04_compare_series")
    assert {"Click rate", "Revenue per recipient"} <= set(offered(board, "Statistic"))
    for words in ("all together, with control limits", "several statistics", "flows × time"):
        changed(page, board, lambda words=words: board.get_by_label("Picture").select_option(words))
    changed(page, board, lambda: board.get_by_label("Interval").select_option("daily"))
    changed(page, board, lambda: board.get_by_label("First day").fill("2026-11-01"))
    changed(page, board, lambda: board.get_by_label("Window", exact=True).select_option("last 4 complete weeks"))
    assert "Forecast" in changed(
        page, board, lambda: board.get_by_label("Picture").select_option("forecast of the last intervals")
    )
    assert "Conversions" in offered(board, "Statistic")
    assert "Click rate" not in offered(board, "Statistic")
    assert ["daily"] == offered(board, "Interval")
    assert [] == problems(page)


def test_quota_spent_is_said_in_words_in_the_browser(tmp_path: Path, page: Any) -> None:
    """A quota that is spent leaves a whole page: sentences in place of pictures, and a button that says why."""
    copies = tmp_path / "notebooks"
    copies.mkdir()
    shutil.copy(NOTEBOOKS / "03_compare_values.ipynb", copies)
    with jupyterlab(copies, tmp_path, FLOWPERF_SANDBOX_VARIANT="quota_spent") as url:
        open_and_run(page, url, "03_compare_values.ipynb")
        board = board_of(page)
        assert "takes no more calls" in str(board.locator("img").first.get_attribute("alt"))
        page.get_by_role("button", name="Ask Klaviyo (3)").click()
        page.locator(".flowperf-error").wait_for()
        keep(page, "03_quota_spent")
        assert "press it to try again" in page.locator(".flowperf-error").inner_text()
        assert page.get_by_role("button", name="Ask Klaviyo (3)").is_enabled()


def test_app_serves_the_comparisons(tmp_path: Path, page: Any) -> None:
    """03 and 04 are served without a line of code, their controls redraw, and only this server is asked."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "flowperf"), "app", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with serving(command, url, cwd=tmp_path, env=environment(tmp_path), log=tmp_path / "voila.log"):
        page.goto(url)
        links = page.get_by_role("link")
        assert "SANDBOX" in page.locator("body").inner_text()
        assert ["What changed this week, is it real, and where did it come from?"] == links.all_inner_texts()[:1]
        for place, (name, words) in enumerate(
            zip(APP_NOTEBOOKS, ("against the window before", "all together, with control limits"), strict=True)
        ):
            page.goto(url)
            links.nth(place).click(timeout=120_000)
            page.wait_for_selector(".flowperf-board .fp-table, .flowperf-board img", timeout=120_000)
            board = board_of(page)
            changed(page, board, lambda words=words, board=board: board.get_by_label("Picture").select_option(words))
            page.wait_for_timeout(300)
            keep(page, f"app_{name.removesuffix('.ipynb')}")
            size = page.viewport_size
            page.set_viewport_size({"width": 600, "height": 900})
            fits = "img => img.getBoundingClientRect().right <= document.documentElement.clientWidth"
            assert board.locator("img").first.evaluate(fits)  # a narrow window shows all of the picture
            page.set_viewport_size(size)
            text = page.locator("body").inner_text()
            assert all(
                word not in text for word in ("from flowperf_helpers", "Make it yours", "Parameters", "Draw once")
            )
            assert "money in EUR" in text
            assert {"#"} >= {link.get_attribute("href")[:1] for link in page.locator("main a, .jp-Cell a").all()}
            assert [] == problems(page)
        assert [] == [address for address in asked if not address.startswith((url, "data:", "blob:"))]
