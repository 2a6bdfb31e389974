"""Marks of a picture tell what they are when a pointer rests on them, in a real browser too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from frames_by_hand import messages
from playwright.sync_api import sync_playwright

from flowperf_helpers import connect
from flowperf_helpers.plots import plot_comparison, plot_heatmap, plot_series, plot_values
from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.report.html import find_browser
from flowperf_helpers.stats.compare import compare_rates

COUNTS = ["click_rate", "clicks_unique", "delivered", "recipients"]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Twelve weeks of the sandbox."""
    account = connect("sandbox", home=tmp_path_factory.mktemp("home"))
    return account.flow_series("RplOrd", timeframe="last_90_days", interval="weekly", statistics=COUNTS)


def _told(drawn: Any) -> list[str]:
    return [words.replace("\xa0", " ") for words in re.findall("<title>(.*?)</title>", as_html(drawn))]


def test_lines_and_cells_tell_name_week_and_value(series: pd.DataFrame) -> None:
    """A point of a line and the cell of the same flow and week say the same, with the digits of a table."""
    lines, cells = (
        _told(plot_series(series, statistic="click_rate")),
        _told(plot_heatmap(series, statistic="click_rate")),
    )
    assert all(re.fullmatch(r".+, W\d\d: \d+\.?\d* %", words) for words in lines)
    assert set(lines) <= set(cells)
    assert 50 < len(lines) < len(cells)


def test_rows_tell_name_value_and_interval() -> None:
    """Both sides of a comparison by their names, and the interval of the difference."""
    email, sms = messages([6_000], [300]), messages([6_000], [480])
    told = _told(plot_comparison(compare_rates(email, sms, labels=("email", "SMS"))))
    assert ["Mail 0, email: 5.00 %", "Mail 0, SMS: 8.00 %"] == told[1:]
    assert re.fullmatch(r"Mail 0: 95 % interval of the difference \+2\.\d+ points to \+3\.\d+ points", told[0])


def test_a_push_among_emails_does_not_move_the_interval() -> None:
    """A push has no clicks: the flow's rate leaves it out, and so does the interval, which holds the dot."""
    both = messages([2_000, 2_000], [160, 0]).assign(flow_id="F", flow_name="Points")
    both["send_channel"] = ["email", "push-notification"]
    (interval, dot) = _told(plot_values(both, statistic="click_rate"))
    assert "Points: 8.00 %" == dot
    low, high = (float(number) for number in re.findall(r"([\d.]+) %", interval)[1:])
    assert low < 8 < high


def test_a_channel_that_nobody_knows_counts_in_the_interval_as_in_the_rate() -> None:
    """Klaviyo may send by a channel of which we have not heard: its clicks are in the dot, and so in the interval."""
    three = messages([2_000, 2_000, 2_000], [160, 0, 480]).assign(flow_id="F", flow_name="Points")
    three["send_channel"] = ["email", "push-notification", "carrier-pigeon"]
    (interval, dot) = _told(plot_values(three, statistic="click_rate"))
    assert "Points: 16.0 %" == dot
    low, high = (float(number) for number in re.findall(r"([\d.]+) %", interval)[1:])
    assert low < 16 < high


def test_names_of_strangers_stay_text() -> None:
    """A name with markup is words in the layer, never an element."""
    frame = messages([2_000], [160]).assign(flow_message_name="<script>alert(1)</script>")
    assert "<script" not in as_html(plot_values(frame, statistic="click_rate", by="flow_message_name"))


def test_a_picture_without_marks_has_no_layer() -> None:
    """A figure of somebody else's stays the image it was."""
    figure, ax = plt.subplots()
    ax.plot([1, 2, 3], [1, 4, 2])
    assert as_html(figure).startswith("<img ")


@pytest.mark.parametrize("width", [400, 1000])
def test_marks_lie_on_the_image_at_any_width(series: pd.DataFrame, tmp_path: Path, width: int) -> None:
    """The layer shrinks with the image: in a browser its corners are the image's, and a mark is under the pointer."""
    page = tmp_path / "page.html"
    picture = as_html(plot_heatmap(series, statistic="click_rate"))
    page.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{picture}", encoding="utf-8")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto(page.as_uri())
        image, layer = (tab.locator(name).bounding_box() for name in ("img", "svg"))
        mark = tab.locator("rect").first.bounding_box()
        assert image is not None
        assert layer is not None
        assert mark is not None
        place = [mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2]
        found = tab.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", place)
        wide = tab.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert layer == pytest.approx(image, abs=1)
    assert re.search(r", W\d\d: ", found)
    assert wide <= width
