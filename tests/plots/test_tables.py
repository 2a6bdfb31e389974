"""Tables are read as a browser reads them: which elements there are, what the cells say, and that nothing can run."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.plots import cells
from flowperf_helpers.plots.tables import (
    comparison_table,
    flows_table,
    honest_table,
    how_to_read_table,
    metrics_table,
    signals_table,
    values_table,
)

NB = "\N{NO-BREAK SPACE}"
NASTY = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</td></table><h1>",
    "\u202egnp.exe\u202c", "x" * 10_000, "=cmd|' /C calc'!A0", "{{7*7}} & &lt;", "![a](javascript:alert(1))", "🎉" * 40,
]  # fmt: skip
ALLOWED = {
    "div", "style", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "span", "bdi", "details", "summary", "code",
    "small", "br", "svg", "title", "line", "circle", "g", "polyline", "em", "mark", "b",
}  # fmt: skip


class Reader(HTMLParser):
    """The page as elements and cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.classes: list[list[str]] = []
        self.head: list[str] = []
        self._open = ""
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "xlink:href")]
        if tag == "tr":
            self.rows.append([])
            self.classes.append([])
        if tag in ("td", "th"):
            self._open = tag
            self.rows[-1].append("")
            self.classes[-1].append(dict(attrs).get("class") or "")
        if tag in ("style", "title"):
            self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = ""
        if tag in ("style", "title"):
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if self._open and not self._hidden:
            self.rows[-1][-1] += data


def read(table: Any) -> Reader:
    return Reader(table.as_raw_html())


def body(table: Any) -> list[list[str]]:
    page = read(table)
    return [row for row, kinds in zip(page.rows, page.classes, strict=True) if kinds and kinds[0].startswith("gt_row")]


def values(names: list[Any], **attrs: Any) -> pd.DataFrame:
    count = len(names)
    frame = pd.DataFrame(
        {
            "flow_id": pd.Series([f"Fl{i}" for i in range(count)], dtype="str"),
            "flow_name": pd.Series(names, dtype="str"),
            "send_channel": pd.Series(["email", *["sms"] * (count - 1)][:count], dtype="str"),
            "recipients": pd.array([1000 * (i + 1) for i in range(count)], dtype="Int64"),
            "open_rate": [0.4, *[np.nan] * (count - 1)][:count],
            "conversion_value": [1234.5] * count,
        }
    )
    frame.attrs = {"currency": "EUR", "sandbox": False, **attrs}
    return frame


def compared(names: list[Any]) -> pd.DataFrame:
    count = len(names)
    frame = pd.DataFrame(
        {
            "flow_id": [f"Fl{i}" for i in range(count)], "flow_name": names, "numerator_before": [50] * count,
            "denominator_before": [1000] * count, "rate_before": [0.05] * count, "numerator_after": [30] * count,
            "denominator_after": [1000] * count, "rate_after": [0.03] * count, "difference": [-0.02] * count,
            "low": [-0.037] * count, "high": [-0.003] * count, "verdict": ["lower"] * count,
            "sample": ["1,000 and 1,000 delivered"] * count,
        }
    )  # fmt: skip
    frame.attrs = {"rate": "click_rate", "sandbox": True}
    return frame


def every_table(names: list[Any]) -> list[Any]:
    flows = values(names).assign(
        flow_status=names,
        archived=False,
        trigger_type=names,
        created=pd.Timestamp("2026-01-05", tz="UTC"),
        updated=pd.NaT,
    )
    metrics = pd.DataFrame({"metric_id": names, "metric_name": names, "integration_name": names})
    signals = pd.DataFrame(
        {"flow_id": names, "flow_name": names, "flow_message_name": names, "statistic": names, "direction": names,
         "interval_start": pd.Timestamp("2026-11-18", tz="Europe/Copenhagen"), "sentence": names}
    )  # fmt: skip
    told = values(names, why_na={"open_rate": names[0]})
    return [
        values_table(told), comparison_table(compared(names)), flows_table(flows), metrics_table(metrics),
        honest_table(values(names).assign(reason=names)), signals_table(signals), how_to_read_table(),
    ]  # fmt: skip


def test_names_of_strangers_are_inert_in_every_table() -> None:
    """Whatever a name holds, the page has only our elements, no handler, no address, no mark that turns text."""
    for table in every_table(NASTY):
        text = table.as_raw_html()
        page = Reader(text)
        assert page.tags <= ALLOWED
        assert not [name for name in page.attributes if name.startswith("on")]
        assert [] == page.links
        assert "\u202e" not in text
        assert "x" * 1000 not in text


def test_nasty_names_are_shown_as_they_are() -> None:
    """Inert does not mean lost: the reader sees the characters."""
    shown = body(values_table(values(NASTY)))
    assert shown[0][0].startswith("<script>alert(1)</script>")
    assert "&lt;" in shown[7][0]
    assert shown[5][0].startswith("x" * 40)


def test_numbers_have_units_and_stand_right() -> None:
    """Counts with thousands set apart, rates as percent, money with currency, all right-aligned."""
    page = read(values_table(values(["Welcome"])))
    head, cells_of_row = page.rows[1], page.rows[2]
    assert ["Flow", "Channel", "Recipients (count)", "Open rate (% of delivered)", "Conversion value (EUR)"] == head
    assert ["1,000", f"40.0{NB}%", "€1,234"] == cells_of_row[2:]
    assert ["gt_left", "gt_left", "gt_right", "gt_right", "gt_right"] == [c.split()[-1] for c in page.classes[2]]


def test_a_missing_value_is_a_dash_with_its_reason() -> None:
    """A text has no open rate: a dash that says so, never a zero."""
    table = values_table(values(["Welcome", "Text"]))
    assert "–" == body(table)[1][3]
    assert 'title="no meaning on sms"' in table.as_raw_html()


def test_reasons_of_a_roll_up_stand_under_the_table() -> None:
    """Why a statistic is NA is told in a note."""
    frame = values(["Welcome", "Text"], why_na={"open_rate": "people do not add up over time"})
    assert any("– Open rate: people do not add up over time" in "".join(row) for row in read(values_table(frame)).rows)


def test_ids_are_folded_away_and_copyable() -> None:
    """The id is in the page, in a fold that opens without a mouse, selected whole by one click."""
    text = values_table(values(["Welcome"])).as_raw_html()
    assert '<summary style="cursor:pointer">id</summary><code style="user-select:all">Fl0</code></details>' in text


def test_bars_follow_the_largest_value() -> None:
    """The largest value of a column has a full bar, half of it half a bar."""
    text = values_table(values(["a", "b"]), statistics=["recipients"]).as_raw_html()
    assert text.index("width:50.0%") < text.index("width:100.0%")


def test_a_trend_adds_a_line_per_flow() -> None:
    """With a series beside it, each row has a line whose gaps are those of the series."""
    starts = pd.date_range("2026-11-02", periods=3, freq="W-MON", tz="Europe/Copenhagen")
    trend = pd.DataFrame(
        {"flow_id": ["Fl0"] * 3, "interval_start": starts, "recipients": pd.array([5, pd.NA, 7], dtype="Int64"),
         "is_provisional": [False, False, True]}
    )  # fmt: skip
    table = values_table(values(["Welcome", "Text"]), statistics=["recipients"], trend=trend)
    text = table.as_raw_html()
    assert "Recipients: 3 intervals between 5 and 7, the last known 7, 1 without a value" in text
    assert "nothing sent in these intervals" in text
    assert 1 == text.count("<svg")


def test_comparison_says_the_verdict_in_words_and_by_a_sign() -> None:
    """Counts, rates, the change with its interval, and the verdict; colour is not needed."""
    table = comparison_table(compared(["Welcome"]))
    ((name, before, after, change, picture, verdict),) = body(table)
    assert name.startswith("Welcome")
    assert (f"5.00{NB}%50 of 1,000", f"3.00{NB}%30 of 1,000") == (before, after)
    assert ("−2.00", "", "▼ lower") == (change, picture, verdict)
    points = f"−2.00{NB}points, 95 % interval −3.70{NB}points to −0.30{NB}points"
    assert f'aria-label="{points.replace(NB, " ")}"' in table.as_raw_html()


def test_a_real_change_is_never_among_the_rows_left_out() -> None:
    """Where rows are cut, those that moved beyond chance come first."""
    frame = compared(["Quiet", "Fallen", "Still"])
    frame["verdict"] = ["no evidence of a change", "lower", "no evidence of a change"]
    (row,) = body(comparison_table(frame, top=1))
    assert row[0].startswith("Fallen")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("higher", "▲ higher"),
        ("no evidence of a change", "• no evidence of a change"),
        ("too few to say", "◦ too few to say"),
    ],
)
def test_each_verdict_has_its_own_sign(verdict: str, said: str) -> None:
    """Every verdict is told by another sign."""
    assert said in cells.verdict_cell(verdict)


def test_sandbox_is_said_over_the_table() -> None:
    """Tables of invented numbers say so, others do not."""
    assert "SANDBOX · invented numbers" in values_table(values(["a"], sandbox=True)).as_raw_html()
    assert "SANDBOX" not in values_table(values(["a"])).as_raw_html()


def test_what_does_not_fit_is_counted() -> None:
    """Rows beyond the top are told in a note."""
    table = values_table(values([f"Flow {i}" for i in range(60)]), top=50)
    assert 50 == len(body(table))
    assert "10 more rows of 60 not shown." in "".join(read(table).rows[-1])


def test_tables_without_rows_say_a_sentence() -> None:
    """An empty frame gives words in place of rows."""
    empty = values(["a"]).head(0)
    assert [["Nothing was sent in this window, or nothing fits the filter."]] == body(values_table(empty))
    assert "no flows" in body(flows_table(empty))[0][0]
    assert "nothing to compare" in body(comparison_table(compared([])))[0][0].lower()


def test_archived_flows_say_so() -> None:
    """Status and archive are two facts, shown as one cell."""
    frame = values(["a", "b"]).assign(flow_status=["live", None], archived=[True, True], created=pd.NaT)
    rows = body(flows_table(frame))
    assert ["live · archived", "status unknown · archived"] == [row[2] for row in rows]
    assert "–" == rows[0][3]


def test_honest_rows_give_their_reason_with_the_dash() -> None:
    """A draft has no recipients because it is a draft."""
    frame = values(["a"]).assign(reason="draft")
    frame["recipients"] = pd.array([pd.NA], dtype="Int64")
    text = honest_table(frame).as_raw_html()
    assert 'title="draft"' in text
    assert ["draft", "–"] == body(honest_table(frame))[0][-2:]


def test_how_to_read_defines_every_statistic_asked() -> None:
    """All 31 by default, else those that were named."""
    assert 31 == len(body(how_to_read_table()))
    ((label, definition, *_),) = body(how_to_read_table(["delivered"]))
    assert label.startswith("Delivered")
    assert definition == "Recipients less those that bounced or failed."


def test_missing_columns_are_named() -> None:
    """A frame without what a table needs is refused in words."""
    for table in (comparison_table, honest_table, signals_table, flows_table, metrics_table):
        with pytest.raises(ArgumentError, match="needs the column"):
            table(pd.DataFrame({"something": [1]}))


def test_the_same_table_is_the_same_text() -> None:
    """No random ids: a table made twice is equal, so that a report made twice is."""
    assert values_table(values(["a"])).as_raw_html() == values_table(values(["a"])).as_raw_html()


def test_empty_cells_and_names_are_dashes() -> None:
    """None, NA and blank text are no text."""
    for nothing in (None, pd.NA, float("nan"), "", " \u200f "):
        assert "–" in cells.text_cell(nothing)
        assert "(no name)" in cells.name_cell(nothing, "id1")
