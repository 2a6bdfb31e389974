"""Tables are read as a browser reads them: which elements there are, what the cells say, and that nothing can run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.plots.svg import (
    Layer,
    axis_ticks,
    heat_strip,
    interval_mark,
    marks,
    sparkline,
    stacked_weeks,
)
from flowperf_helpers.plots.tables import (
    KINDS,
    Column,
    Table,
    comparison_table,
    frame_columns,
    frame_table,
    make_table,
    sheet_format,
)

NB = "\N{NO-BREAK SPACE}"
NASTY = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</td></table><h1>",
    "\u202egnp.exe\u202c", "x" * 10_000, "=cmd|' /C calc'!A0", "{{7*7}} & &lt;", "![a](javascript:alert(1))", "🎉" * 40,
]  # fmt: skip
ALLOWED = {
    "div", "style", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "span", "bdi", "details", "summary", "code",
    "p", "small", "br", "svg", "title", "line", "circle", "g", "polyline", "em", "mark", "b",
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


def read(table: Table) -> Reader:
    return Reader(table._repr_html_())


def body(table: Table) -> list[list[str]]:
    return read(table).rows[1:]


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


def test_names_of_strangers_are_inert_in_every_kind_of_column() -> None:
    """Whatever a text holds, the page has only our elements, no handler, no address, no mark that turns text."""
    frame = pd.DataFrame({"flow_name": NASTY, "flow_id": NASTY})
    words = [name for name in ("text", "label", "verdict", "plain") if name in KINDS]
    columns = [Column(NASTY[0], "flow_name", kind, meaning=NASTY[1]) for kind in words]
    listed = make_table(frame, [*columns, Column("Flow", ("flow_name", "flow_id"), "name")], title=NASTY[0])
    for table in (comparison_table(compared(NASTY)), listed, frame_table(frame)):
        text = table._repr_html_()
        page = Reader(text)
        assert page.tags <= ALLOWED
        assert not [name for name in page.attributes if name.startswith("on")]
        assert [] == page.links
    text = comparison_table(compared(NASTY))._repr_html_()
    assert "\u202e" not in text
    assert "x" * 1000 not in text


def test_nasty_names_are_shown_as_they_are() -> None:
    """Inert does not mean lost: the reader sees the characters."""
    shown = body(comparison_table(compared(NASTY)))
    assert shown[0][0].startswith("<script>alert(1)</script>")
    assert "&lt;" in shown[7][0]
    assert shown[5][0].startswith("x" * 40)


@pytest.mark.parametrize(
    ("kind", "values", "unit", "text", "number"),
    [
        ("text", ["Welcome"], "", "Welcome", None),
        ("words", [True], "", "met", None),
        ("words", [None], "", "–", None),
        ("flag", [False], "", "no", None),
        ("label", ["click_rate"], "", "Click rate", None),
        ("verdict", ["higher"], "", "▲ higher", None),
        ("verdict", ["too few to say"], "", "◦ too few to say", None),
        ("plain", [0.5], "", "0.5", None),
        ("plain", [pd.Timestamp("2026-11-18 06:00", tz="UTC")], "", "2026-11-18 06:00 UTC", None),
        ("date", [pd.Timestamp("2026-11-18", tz="UTC")], "", "2026-11-18", 1794960000.0),
        ("time", [pd.Timestamp("2026-11-18 06:00", tz="UTC")], "", "2026-11-18 06:00", 1794981600.0),
        ("day", [pd.Timestamp("2026-11-08", tz="UTC")], "", "8 November 2026", 1794096000.0),
        ("days", [1], "", "1 day", 1.0),
        ("days", [3], "", "3 days", 3.0),
        ("statistic", [1234], "delivered", "1,234", 1234.0),
        ("statistic", [0.0421], "click_rate", "4.21 %", 0.0421),
        ("statistic", [12.5], "conversion_value", "€12.50", 12.5),
        ("statistic", [pd.NA], "delivered", "–", None),
        ("change", [-0.0042], "click_rate", "−0.42 points", -0.0042),
        ("change", [120], "delivered", "+120", 120.0),
        ("share", [0.331], "", "33.1 %", 0.331),
        ("points", [0.012], "", "+1.20 points", 0.012),
        ("probability", [0.9999], "", "over 99.9 %", 0.9999),
        ("p", [0.00012], "", "0.0001", 0.00012),
        ("p", [float("nan")], "", "–", None),
        ("decimal", [2.5], "", "2.50", 2.5),
        ("interval", [0.04, 0.05], "click_rate", "4.00 % to 5.00 %", None),
        ("points interval", [-0.037, -0.003], "", "−3.70 to −0.30 points", None),
        ("points interval", [float("nan"), float("nan")], "", "–", None),
        ("counts", [1000, pd.NA], "", "1,000 and –", None),
    ],
)
def test_each_kind_reads_its_values(kind: str, values: list[Any], unit: str, text: str, number: float | None) -> None:
    """What is printed, in which unit, and the number that a reader sorts by."""
    names = tuple(f"c{i}" for i in range(len(values)))
    frame = pd.DataFrame({name: pd.Series([value], dtype="object") for name, value in zip(names, values, strict=True)})
    ((cell,),) = make_table(frame, [Column("Head", names, kind, unit)], currency="EUR").rows
    assert (text, number) == (cell.text.replace(NB, " "), cell.number)


def test_a_unit_may_stand_in_the_frame() -> None:
    """A row of the click rate is printed as percent, one of deliveries as a count."""
    frame = pd.DataFrame({"statistic": ["click_rate", "delivered"], "value": [0.05, 1200.0]})
    assert [[f"5.00{NB}%"], ["1,200"]] == body(make_table(frame, [Column("Value", "value", "statistic", "statistic")]))


def test_a_column_that_the_frame_lacks_is_missing_in_every_row() -> None:
    """A dash for each, never a zero."""
    frame = pd.DataFrame({"flow_name": ["a", "b"]})
    assert [["a", "–"], ["b", "–"]] == body(make_table(frame, [Column("Flow", "flow_name"),
                                                               Column("Opens", "opens", "statistic")]))  # fmt: skip


def test_numbers_stand_right_and_heads_tell_their_meaning() -> None:
    """The head stands over its numbers."""
    columns = [Column("Flow", "flow_name"), Column("Opens", "opens", "statistic", meaning="People, once each")]
    page = read(make_table(pd.DataFrame({"flow_name": ["a"], "opens": [3]}), columns))
    assert [["", "fp-n"], ["", "fp-n"]] == page.classes
    assert "title" in page.attributes


def test_what_does_not_fit_is_counted() -> None:
    """Rows beyond the limit are told in the caption."""
    table = make_table(pd.DataFrame({"opens": range(60)}), [Column("Opens", "opens", "statistic")], limit=50)
    assert 50 == len(body(table))
    assert "<caption>The first 50 of 60 rows.</caption>" in table.__html__()


def test_any_frame_has_columns() -> None:
    """Names and values tell the kind, for the page and for a spreadsheet; equal and odd names are no hindrance."""
    day = pd.Timestamp("2026-11-16", tz="Europe/Copenhagen")
    frame = pd.DataFrame(
        [["a", 0.04, 0.1, 1.5, 3.0, 12.5, 0.01, day, True, 7]],
        columns=["flow_name", "click_rate", "rate_before", "opens", "opens", "conversion_value", "p_value", "week",
                 "is_best", 0],
    )  # fmt: skip
    columns = frame_columns(frame)
    assert ["text", "statistic", "share", "decimal", "statistic", "statistic", "p", "date", "flag", "statistic"] == [
        column.kind for column in columns
    ]
    formats = ["@", "0.00%", "0.000%", "0.00", "#,##0", '#,##0.00 "EUR"', "0.0000", "yyyy-mm-dd", "@", "#,##0"]
    assert formats == [sheet_format(column, 'E"U;R') for column in columns]
    (row,) = body(frame_table(frame, currency="EUR"))
    assert ["a", "4.00 %", "10.0 %", "1.50", "3", "€12.50", "0.0100", "2026-11-16", "yes", "7"] == [
        text.replace(NB, " ") for text in row
    ]


def test_a_terminal_gets_aligned_lines() -> None:
    """Heads, a rule, and one line per row, each cut to a width and without what a terminal would obey."""
    frame = pd.DataFrame({"flow_name": ["Welcome", "x" * 60 + "\x1b[2J"], "share": [0.5, None]})
    lines = frame_table(frame, plain=True).text().split("\n")
    assert ["flow_name" + " " * 41 + "share", "-" * 48 + "  -----"] == lines[:2]
    assert ["Welcome" + " " * 43 + "0.5", "x" * 47 + "…  –"] == lines[2:]


def test_a_terminal_gets_the_words_of_pictures_and_names() -> None:
    """A cell that is a picture or folds its id away on a page is its words in a terminal, whatever a name holds."""
    text = comparison_table(compared(["Welcome", "<b>&amp;</b>"])).text()
    assert not [mark for mark in ("<svg", "<bdi", "<details", "<title") if mark in text]
    lines = text.split("\n")
    assert lines[2].startswith("Welcome id Fl0")
    assert lines[2].count("−3.70 to −0.30 points") == 2
    assert lines[3].startswith("<b>&amp;</b> id Fl1")


def test_comparison_says_the_verdict_in_words_and_by_a_sign() -> None:
    """Rates, the change with its interval as words and picture, the verdict, the counts it rests on."""
    table = comparison_table(compared(["Welcome"]))
    ((name, before, after, change, interval, picture, verdict, rests),) = body(table)
    assert "Welcome idFl0" == name
    assert (f"5.00{NB}%", f"3.00{NB}%") == (before, after)
    assert (f"−2.00{NB}points", f"−3.70 to −0.30{NB}points", "", "▼ lower") == (change, interval, picture, verdict)
    assert "1,000 and 1,000 delivered" == rests
    assert f"<title>−2.00{NB}points, −3.70 to −0.30{NB}points</title>" in table._repr_html_()
    assert "Click rate, before and now · SANDBOX · invented numbers" in table._repr_html_()


def test_a_real_change_is_never_among_the_rows_left_out() -> None:
    """Where rows are cut, those that moved beyond chance come first."""
    frame = compared(["Quiet", "Fallen", "Still"])
    frame["verdict"] = ["no evidence of a change", "lower", "no evidence of a change"]
    (row,) = body(comparison_table(frame, top=1))
    assert row[0].startswith("Fallen")


def test_a_comparison_without_rows_says_a_sentence() -> None:
    """An empty frame gives words in place of rows."""
    assert "There is nothing to compare" in comparison_table(compared([]))._repr_html_()
    with pytest.raises(ArgumentError, match="needs the column"):
        comparison_table(pd.DataFrame({"something": [1]}))


def test_lines_break_at_gaps_and_tell_what_is_open() -> None:
    """Missing values leave gaps, the last week is hollow while it moves, the numbers stand beside the picture."""
    svg = sparkline([0.1, float("nan"), 0.2, 0.3], usual=(0.1, 0.2), is_open=True)
    assert 2 == svg.split("class=q")[0].count("M")
    assert (1, 1) == (svg.count("<rect"), svg.count('class="o"'))
    assert "m|5  7|4 8|6" == marks("m", [5, None, 7], (4, 8), 6)
    assert "<path" not in sparkline([float("nan")])


def test_a_week_is_coloured_by_its_distance_from_the_mean() -> None:
    """Cells are as many as the known weeks; the farthest below is the first colour, the farthest above the last."""
    svg = heat_strip([50, 150, 100, 100, float("nan")])
    assert ["h0", "h6", "h3", "h3"] == re.findall(r"class=(h\d)", svg)


def test_a_stack_stands_on_zero_and_reaches_its_sum() -> None:
    """Layers stand on each other, what is to come is hatched above them, and words of events are escaped."""
    layers = [Layer("a", [10, 20], "s1"), Layer("b", [30, 20], "s2")]
    svg, top = stacked_weeks(layers, expected=(50.0, 45.0, 55.0), events=[(0.5, "<b>")])
    assert 4 == sum(part.count("<rect x=") for part in re.findall(r"<g class.*?</g>", svg))
    assert 55 < top
    assert "class=ex" in svg
    assert "&lt;b&gt;" in svg
    assert [0.0, 50.0, 100.0] == axis_ticks(130)


def test_an_interval_is_drawn_on_the_common_scale() -> None:
    """The dot stands where the difference is; without an interval there is no picture."""
    assert 'cx="88.0"' in interval_mark(0.05, 0.0, 0.1, reach=0.1, words="", verdict="higher")
    assert "" == interval_mark(0.05, None, 0.1, reach=0.1, words="")
