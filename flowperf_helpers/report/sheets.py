"""The spreadsheet: first sheets that read like the page, with native charts, then a sheet per table for machines."""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.frames.formats import clean_name
from flowperf_helpers.plots.tables import frame_columns, money_format, sheet_format
from flowperf_helpers.report.view import MONEY, PER_RECIPIENT, WeekView
from flowperf_helpers.stats.rate_parts import bare

__all__ = ["workbook"]

CELL_LIMIT = 32_767
"""Characters a spreadsheet's cell may hold."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SHEET = re.compile(r"[\[\]:*?/\\]")

SANDBOX = "SANDBOX: invented shop, invented numbers"
LAYERS = 8
"""Flows of the chart; the others are one."""


def workbook(
    tables: Mapping[str, pd.DataFrame], title: str, currency: str | None = None, view: WeekView | None = None
) -> bytes:
    """One sheet per table: real numbers and dates, frozen and filterable heads, a format per unit.

    Texts stay texts: nothing becomes a formula or a link, whatever it starts with. Times are written as the account's
    wall time, as spreadsheets know no zones.

    Parameters
    ----------
    tables : mapping
        Sheet name to frame; their heads are the frames' columns.
    title : str
        Kept in the file's properties and, with a view, over each sheet: their heads stand in the second line then.
    view : WeekView, optional
        Of the week: sheets to read go before the tables, and each sheet says whether the numbers are invented.
    """
    import xlsxwriter

    texts_stay = dict.fromkeys(("strings_to_formulas", "strings_to_urls", "strings_to_numbers"), False)
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {**texts_stay, "nan_inf_to_errors": False, "in_memory": True}) as book:
        book.set_properties({"title": _text(title)[:250], "comments": "Made by flowperf"})
        pen = _Pen(book, title, currency, view)
        if view is not None:
            pen.week(view)
        for name, frame in ((name, bare(frame)) for name, frame in tables.items()):
            described = [sheet_format(column, currency) for column in frame_columns(frame)]
            columns = [(str(c), v, f) for (c, v), f in zip(frame.items(), described, strict=True)]
            names = [number for number, head in enumerate(frame.columns[:2]) if str(head).endswith("_name")]
            pen.table(name, columns, len(frame), freeze=names[0] + 1 if names and view is not None else 0)
    return made.getvalue()


def _text(value: object) -> str:
    return _CONTROL.sub("", str(value))[:CELL_LIMIT]


class _Pen:
    """Writes the sheets of one book."""

    def __init__(self, book: Any, title: str, currency: str | None, view: WeekView | None) -> None:
        self.book, self.currency = book, currency
        is_invented = view is not None and bool(view.numbers.answers.account["sandbox"])
        self.banner = "" if view is None else f"{SANDBOX}. {title}" if is_invented else title
        self.is_invented = is_invented
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.mark = book.add_format({"bold": True, "bg_color": "#17191C", "font_color": "#FFFFFF"})
        self.bold, self.wrap = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
        self.large = book.add_format({"bold": True, "font_size": 18})
        self.looks = functools.cache(lambda pattern: book.add_format({"num_format": pattern}))

    def table(self, name: str, columns: list[tuple[str, pd.Series, str]], length: int, *, freeze: int = 0) -> Any:
        """A sheet of columns: head, values and number format of each."""
        sheet = self.book.add_worksheet(_SHEET.sub(" ", _text(name))[:31])
        top = self._over(sheet)
        sheet.freeze_panes(top + 1, freeze)
        if columns:
            sheet.autofilter(top, 0, top + max(length, 1), len(columns) - 1)
        for number, (head, values, pattern) in enumerate(columns):
            sheet.write_string(top, number, _text(head), self.head)
            # the column's format is that of its cells: an empty cell needs none of its own
            write, lines, cells = _cells(sheet, values)
            sheet.set_column(number, number, _width(head, values, cells), self.looks(pattern))
            for line, cell in zip(lines, cells, strict=True):
                write(top + line, number, cell)
        return sheet

    def _over(self, sheet: Any) -> int:
        """The line over the heads, where there is one; which line the heads are."""
        if not self.banner:
            return 0
        sheet.write_string(0, 0, _text(self.banner), self.mark if self.is_invented else self.bold)
        if self.is_invented:
            sheet.set_tab_color("#17191C")
        return 1

    # -- sheets to read -----------------------------------------------------------------------------------------------

    def week(self, view: WeekView) -> None:
        """The week as the page tells it, its revenue by week and flow, all flows."""
        front = self.book.add_worksheet("Week")
        weeks, flows = self._weeks(view), self._flows(view)
        front.hide_gridlines(2)
        front.set_column(0, 0, 34)
        front.set_column(1, 5, 16)
        self._over(front)
        front.set_row(1, 26)
        front.write_string(1, 0, _text(view.title), self.large)
        front.write_string(2, 0, _text(view.deck.striptags()))
        front.write_row(4, 0, ["What changed", "", "", "", "", ""], self.head)
        line = 5
        found = [v for v in view.verdicts if v.kind != "split test"][:3]
        for verdict in found:
            front.write_string(line, 0, _text(verdict.title), self.bold)
            front.write_string(
                line + 1, 0, _text(f"{verdict.text} {'Do first' if line == 5 else 'Next'}: {verdict.action}")
            )
            line += 2
        if not found:
            front.write_string(line, 0, "Nothing left its usual range." if not view.is_first else "The first week.")
            line += 1
        line = self._numbers(front, view, line + 1)
        if weeks:
            front.insert_chart(line + 1, 0, self._stacked(*weeks), {"x_scale": 1.9, "y_scale": 1.5})
        if flows:
            front.insert_chart(line + 24, 0, self._ranked(flows), {"x_scale": 1.9, "y_scale": 1.3})

    def _numbers(self, front: Any, view: WeekView, line: int) -> int:
        front.write_row(line, 0, ["Number", "This week", "Week before", "Usual, from", "Usual, to"], self.head)
        for tile in view.numbers.tiles:
            line += 1
            pattern = {"fraction": "0.00%", "money": money_format(self.currency)}.get(tile.unit, "#,##0")
            label = {MONEY: "Revenue", "conversions": "Orders"}.get(tile.statistic, tile.label)
            front.write_string(line, 0, label + (" so far" if tile.provisional else ""))
            values = [tile.value, tile.previous, *view.usual("", tile.statistic)]
            for number, value in enumerate(values, start=1):
                if value is not None and math.isfinite(value):
                    front.write_number(line, number, value, self.looks(pattern))
        return line

    def _weeks(self, view: WeekView) -> tuple[int, int] | None:
        """Revenue of the weeks by flow; rows and layers, None where nothing carries money."""
        if view.tiles[MONEY].value is None or len(view.starts) < 2:
            return None
        money = {flow_id: view.weeks(flow_id, MONEY) for flow_id in view.money.index}
        sized = sorted(money, key=lambda flow_id: -float(np.nansum(money[flow_id])))
        layers = [(view.name(flow_id), money[flow_id]) for flow_id in sized[:LAYERS]]
        if sized[LAYERS:]:
            layers.append((f"{len(sized) - LAYERS} other flows", np.nansum([money[f] for f in sized[LAYERS:]], axis=0)))
        pattern = money_format(self.currency)
        edges = [("Usual, from", view.weeks("", MONEY, "low")), ("Usual, to", view.weeks("", MONEY, "high"))]
        columns = [
            ("Week of", pd.Series(view.starts), "yyyy-mm-dd"),
            ("Total", pd.Series(view.weeks("", MONEY)), pattern),
        ]
        columns += [(name, pd.Series(values), pattern) for name, values in [*edges, *layers]]
        self.table("Revenue by week", columns, len(view.starts), freeze=1)
        return len(view.starts), len(layers)

    def _flows(self, view: WeekView) -> int:
        """All flows in words; how many of them carry money."""
        table = view.numbers.flows.assign(flow_id=view.numbers.flows["flow_id"].astype(str)).set_index("flow_id")
        table = table.reindex(view.order)
        blank = pd.Series(np.nan, index=table.index)
        moved = view.money["moved"].reindex(view.order)
        found = [view.signals.get(flow_id, []) for flow_id in view.order]
        pattern, share = money_format(self.currency), "0.00%"
        columns = [
            ("Flow", pd.Series([clean_name(view.numbers.names.get(f, f)) for f in view.order], dtype="str"), "@"),
            ("Revenue" + " so far" * view.is_open, table.get(MONEY, blank), pattern),
            ("On last week" + ", same age" * view.numbers.equal_age, moved, pattern),
            ("Usual, from", pd.Series([view.usual(f, MONEY)[0] for f in view.order]), pattern),
            ("Usual, to", pd.Series([view.usual(f, MONEY)[1] for f in view.order]), pattern),
            ("Signal", pd.Series(["; ".join(v.line for v in row) for row in found], dtype="str"), "@"),
            ("Revenue lies", pd.Series([view.money_verdict(f)[0] for f in view.order], dtype="str"), "@"),
            ("Delivered", table["delivered"], "#,##0"),
            ("Revenue per recipient", table.get(PER_RECIPIENT, blank), money_format(self.currency, cents=True)),
            *((label, table.get(name, blank), share) for name, label in (
                ("open_rate", "Open rate"), ("click_rate", "Click rate"), ("conversion_rate", "Conversion rate"),
                ("unsubscribe_rate", "Unsubscribe rate"), ("spam_complaint_rate", "Complaint rate"))),
        ]  # fmt: skip
        self.table("All flows", columns, len(table), freeze=1)
        return int(min((view.money["now"].fillna(0) > 0).sum(), len(table)))

    def _stacked(self, weeks: int, layers: int) -> Any:
        chart = self.book.add_chart({"type": "column", "subtype": "stacked"})
        shades = ["#414B5C", "#5B6679", "#758194", "#8D98A9", "#A3ADBB", "#B5BDC9", "#C2C8D2", "#D3D8DF", "#E2E5EA"]
        sheet, last = "Revenue by week", weeks + 1
        for number in range(layers):
            chart.add_series(_series(sheet, 4 + number, last) | {"gap": 30, "fill": {"color": shades[number]}})
        lines = self.book.add_chart({"type": "line"})
        for column in (2, 3):
            lines.add_series(_series(sheet, column, last) | {"line": {"color": "#8D9BD0", "width": 1.25}})
        chart.combine(lines)
        chart.set_title({"name": "Revenue by flow, week by week, with its usual range", "name_font": {"size": 12}})
        chart.set_legend({"position": "right"})
        chart.set_x_axis({"date_axis": False, "num_format": "d mmm"})
        chart.set_y_axis(
            {"min": 0, "num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": "#DEDAD1"}}}
        )
        return chart

    def _ranked(self, flows: int) -> Any:
        chart = self.book.add_chart({"type": "bar"})
        last = 1 + min(flows, 15)
        looks = {"name": "Revenue of the week", "fill": {"color": "#5B6679"}, "gap": 40}
        chart.add_series(_series("All flows", 1, last) | looks)
        chart.set_title({"name": "Flows, those with a signal first, then by revenue", "name_font": {"size": 12}})
        chart.set_legend({"none": True})
        chart.set_y_axis({"reverse": True})
        chart.set_x_axis({"num_format": "#,##0", "min": 0})
        return chart


def _series(sheet: str, column: int, last: int) -> dict[str, Any]:
    """Where a chart finds a column of a sheet, its name in the second line and its categories in the first column."""
    return {
        "name": [sheet, 1, column], "categories": [sheet, 2, 0, last, 0], "values": [sheet, 2, column, last, column],
    }  # fmt: skip


def _width(column: str, values: pd.Series, cells: list[Any]) -> float:
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return max(11, min(len(column) + 2, 18))
    longest = max((len(str(cell)) for cell in cells), default=0)
    return max(10, min(max(longest, len(column)) + 2, 60))


def _cells(sheet: Any, values: pd.Series) -> tuple[Callable[..., Any], list[int], list[Any]]:
    """How a column's cells are written, the lines of those that hold something, and what they hold."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        known = values.notna().to_numpy()
        write, found = sheet.write_datetime, list(values[known].dt.tz_localize(None).dt.to_pydatetime())
    elif pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        given = values.to_numpy(dtype=np.float64, na_value=np.nan)
        known = np.isfinite(given)
        write, found = sheet.write_number, given[known].tolist()
    else:
        known = values.notna().to_numpy()
        write, found = functools.partial(_write, sheet), values[known].tolist()
        if isinstance(values.dtype, pd.StringDtype):
            write, found = sheet.write_string, [_text(text) for text in found]
    return write, (np.flatnonzero(known) + 1).tolist(), found


def _write(sheet: Any, line: int, number: int, value: Any) -> None:
    """Write a cell of a column that may hold anything."""
    if isinstance(value, bool | np.bool_):
        sheet.write_boolean(line, number, bool(value))
    elif isinstance(value, pd.Timestamp):
        sheet.write_datetime(line, number, value.tz_localize(None).to_pydatetime())
    elif isinstance(value, int | float) or hasattr(value, "dtype"):
        if math.isfinite(value):
            sheet.write_number(line, number, float(value))
    else:
        sheet.write_string(line, number, _text(value))
