"""What a reader adds to the page: any frame and any picture come out in its style, inert."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.report.document import own_section


def _cells(html: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", html)]


def test_each_number_is_printed_in_its_unit() -> None:
    """Rates as percent, differences in points, money with currency, counts grouped, gaps as a dash, words as heads."""
    frame = pd.DataFrame({
        "flow_id": ["T7K2j8"], "flow_name": ["Welcome"], "delivered": pd.array([12_345], dtype="Int64"),
        "click_rate_before": [0.0421], "difference": [-0.012], "conversion_value": [12.5], "q_value": [0.00012],
        "opens": pd.array([pd.NA], dtype="Int64"), "is_best": [True],
        "interval_start": pd.to_datetime(["2026-11-16"]).tz_localize("Europe/Copenhagen"),
    })  # fmt: skip
    cells = [cell.replace("\xa0", " ") for cell in _cells(own_section(frame, currency="EUR").html)]
    heads = ["Flow", "Delivered", "Click rate before", "Difference", "Conversion value", "Q value", "Opens", "Is best"]
    assert heads == cells[:8]
    assert ["Welcome", "12,345", "4.21 %", "−1.20 points", "€12.50", "0.0001", "–", "yes", "2026-11-16"] == cells[9:]


def test_groups_series_and_long_frames() -> None:
    """The keys of a groupby become columns, a series is a table, and what is cut off is said."""
    frame = pd.DataFrame({"flow_name": ["a", "a", "b"], "clicks": [1, 2, 3]})
    assert ["Flow", "Clicks", "a", "3", "b", "3"] == _cells(
        own_section(frame.groupby("flow_name")["clicks"].sum()).html
    )
    assert "The first 200 of 500 rows." in own_section(pd.DataFrame({"clicks": range(500)})).html
    assert ["Clicks"] == _cells(own_section(pd.DataFrame({"clicks": []})).html)


def test_hostile_names_are_inert() -> None:
    """Markup in a cell, a head or a picture's words is shown and not run."""
    html = own_section(pd.DataFrame({"<b>x</b>": ["<script>alert(1)</script>"]})).html
    axes = plt.subplots()[1]
    axes.set_label('"><script>alert(2)</script>')
    html += own_section(axes).html
    assert "<script" not in html
    assert "<b>" not in html
    assert "<figure" in html


def test_what_cannot_be_shown_is_refused() -> None:
    """A number is neither a table nor a picture."""
    with pytest.raises(ArgumentError, match="not int"):
        own_section(3)


def test_a_section_has_its_title_and_text() -> None:
    """Both stand over the table, inert, and name it for those who do not see it."""
    html = own_section(pd.DataFrame({"clicks": [1]}), "My <b>title</b>", "What it says.").html
    assert '<h2 class="big">My &lt;b&gt;title&lt;/b&gt;</h2>' in html
    assert "What it says." in html
    assert 'aria-label="My &lt;b&gt;title&lt;/b&gt;"' in html
