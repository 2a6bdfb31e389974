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
from flowperf_helpers.plots import (
    plot_accounts,
    plot_comparison,
    plot_effects,
    plot_forecast,
    plot_funnel,
    plot_heatmap,
    plot_ranking,
    plot_same_law,
    plot_series,
    plot_values,
)
from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.report.html import find_browser
from flowperf_helpers.stats.compare import compare_rates
from flowperf_helpers.stats.ranking import rank_rates
from flowperf_helpers.stats.same_law import same_law_weeks

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


def test_bars_of_a_funnel_tell_group_step_and_share() -> None:
    """Each bar its group, its step, the count and the share."""
    frame = messages([2_000], [160]).assign(recipients=pd.array([2_100], dtype="Int64"))
    told = _told(plot_funnel(frame, by="flow_message_name"))
    assert ["Mail 0, recipients: 2,100  (100 %)", "Mail 0, delivered: 2,000  (95.2 %)"] == told[:2]


def test_bars_of_a_waterfall_tell_message_part_and_points() -> None:
    """Each bar the message, which part of its effect it is, and its size."""
    frame = pd.DataFrame({"flow_message_id": ["m"], "flow_message_name": ["One"], "mix_effect": [-0.002],
                          "within_effect": [0.004], "total_effect": [0.002]})  # fmt: skip
    told = _told(plot_effects(frame))
    assert ["One, within: +0.40 points", "One, mix: −0.20 points"] == told[:2]


def test_bars_of_a_forecast_tell_day_and_end() -> None:
    """What is in so far, and where the day will end with its interval."""
    days = pd.date_range("2026-11-20", periods=2, freq="D", tz="Europe/Copenhagen")
    frame = pd.DataFrame({"interval_start": days, "so_far": [90, 40], "final": [92.0, 95.0], "low": [90.0, 70.0],
                          "high": [96.0, 130.0]})  # fmt: skip
    assert [
        "20 Nov: 90 so far", "21 Nov: 40 so far", "20 Nov: about 92 in the end, 95 % interval 90 to 96",
        "21 Nov: about 95 in the end, 95 % interval 70 to 130",
    ] == _told(plot_forecast(frame))  # fmt: skip


def test_rows_that_are_not_shown_tell_their_range() -> None:
    """The hatched row says how many it stands for, and from where to where they reach."""
    four = messages([2_000] * 4, [160, 120, 80, 40])
    told = _told(plot_values(four, statistic="click_rate", by="flow_message_name", top=2))
    assert "2 other messages: 2.00 % – 4.00 %" in told


def test_a_ranking_tells_each_interval(series: pd.DataFrame) -> None:
    """The pale line of each row is the interval of the rate as far as it is known."""
    ranked = rank_rates(series, rate="click_rate", by="flow_id")
    told = _told(plot_ranking(ranked))
    lines = [words for words in told if ": 95 % interval " in words]
    assert min(len(ranked), 20) == len(lines)
    assert lines[0].startswith(f"{ranked['flow_name'].iloc[0]}: 95 % interval")


def test_pale_lines_tell_their_name(series: pd.DataFrame) -> None:
    """Also a line without a colour says whose point it is; one that is cut at the top has no mark above the axes."""
    seven = series[series["flow_id"].isin(series["flow_id"].unique()[:7])]
    told = _told(plot_series(seven, statistic="recipients", top=2))
    assert 7 == len({words.rpartition(", W")[0] for words in told})
    huge = seven.groupby(["flow_id", "flow_name", "interval_start"], as_index=False)[["click_rate"]].max()
    huge["recipients"] = (huge["flow_id"] != "XbChk1").astype(int)
    huge.loc[huge["recipients"] == 0, "click_rate"] = 9.0
    told = _told(plot_series(huge, statistic="click_rate", top=2))
    assert not [words for words in told if words.startswith("Abandoned Checkout, ")]


def test_pale_lines_of_many_days_leave_the_others_their_marks() -> None:
    """Where all points would be too many, those of the coloured lines still tell what they are."""
    days = pd.date_range("2025-11-01", periods=365, tz="Europe/Copenhagen")
    flows = [pd.DataFrame({"flow_id": f"F{i}", "flow_name": f"Flow {i}", "interval_start": days, "recipients": 900 - i})
             for i in range(7)]  # fmt: skip
    told = _told(plot_series(pd.concat(flows), statistic="recipients", top=2))
    assert {"Flow 0", "Flow 1"} == {words.partition(",")[0] for words in told}


def test_lines_across_the_axes_tell_what_they_are(series: pd.DataFrame) -> None:
    """The law of simulated weeks, the middle of control limits week by week, and the middle of a fleet."""
    assert "the law, in every week: 5.00 %" in _told(plot_same_law(same_law_weeks(rate=0.05)))
    one = series[series["flow_id"] == "XbChk1"].groupby("interval_start", as_index=False).first()
    limits = one[["interval_start"]].assign(centre=0.07, lower=0.05, upper=0.09, is_signal=False)
    told = _told(plot_series(one, statistic="click_rate", limits=limits))
    assert len(one) == sum(bool(re.fullmatch(r"usual, W\d\d: 7.00 %", words)) for words in told)
    accounts = pd.DataFrame(
        {
            "account": ["a"],
            "statistic": "click_rate",
            "trials": 900.0,
            "raw": 0.05,
            "raw_low": 0.04,
            "raw_high": 0.06,
            "pooled": 0.05,
            "low": 0.04,
            "high": 0.06,
            "verdict": "within the fleet",
        }
    )
    accounts.attrs = {"fleet": {"click_rate": {"middle": 0.05, "low": 0.03, "high": 0.08}}}
    assert "middle of the fleet: 5.00 %" in _told(plot_accounts(accounts))


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
