"""Tables of what a report owes: rows without numbers, restated weeks, the settling curve, answers that disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from flowperf_helpers import formats
from flowperf_helpers.names import short_name
from flowperf_helpers.report.views import Cell, Table, as_float, as_text, cell

__all__ = ["disagreement_table", "restated_table", "settling_table", "unsent_table"]

_NAME_WIDTH = 90


def unsent_table(frame: pd.DataFrame, names: Mapping[str, str], *, limit: int = 80) -> Table:
    """Flows and messages without numbers."""
    rows = [
        [
            Cell(short_name(names.get(str(row["flow_id"]), str(row["flow_id"])), _NAME_WIDTH)),
            Cell(formats.MISSING if pd.isna(row["flow_message_id"]) else _message(row)),
            Cell(as_text(row.get("send_channel"))),
            Cell(as_text(row.get("flow_status"))),
            Cell(as_text(row["reason"])),
        ]
        for row in frame.head(limit).to_dict("records")
    ]
    return Table(["Flow", "Message", "Channel", "Status", "Reason"], rows, _more(len(frame), limit))


def _message(row: Mapping[Any, Any]) -> str:
    name = row.get("flow_message_name")
    return short_name(row["flow_message_id"] if name is None or pd.isna(name) else name, _NAME_WIDTH)


def restated_table(frame: pd.DataFrame, currency: str | None, *, limit: int = 24) -> Table:
    """Weeks whose numbers changed since they were last asked for."""
    rows = [
        [
            Cell(f"{row['interval_start']:%-d %B %Y}", row["interval_start"].timestamp()),
            Cell(formats.statistic_label(row["statistic"])),
            cell(row["before"], row["statistic"], currency),
            cell(row["after"], row["statistic"], currency),
            Cell(formats.difference_text(row["change"], row["statistic"], currency), as_float(row["change"]), True),
            Cell(formats.percent_text(row["share"]), as_float(row["share"]), True),
            Cell(formats.count_text(row["messages"]), as_float(row["messages"]), True),
        ]
        for row in frame.head(limit).to_dict("records")
    ]
    heads = ["Week from", "Number", "Last time", "Now", "Change", "Share", "Messages"]
    return Table(heads, rows, _more(len(frame), limit))


def settling_table(frame: pd.DataFrame) -> Table:
    """How much of the final conversions is in, by age."""
    rows = [
        [
            Cell(f"{row['age_days']} days" if row["age_days"] != 1 else "1 day", float(row["age_days"])),
            Cell(formats.percent_text(row["share"]), as_float(row["share"]), True),
            Cell(formats.interval_text(row["low"], row["high"], "click_rate"), None, True),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(["Age of a day", "Share of its final conversions", "95 % interval"], rows)


def disagreement_table(
    frame: pd.DataFrame, names: Mapping[str, str], currency: str | None, *, limit: int = 20
) -> Table:
    """Where two answers about the same week differ."""
    rows = [
        [
            Cell(short_name(names.get(str(row["flow_id"]), str(row["flow_id"])), _NAME_WIDTH)),
            Cell(formats.statistic_label(row["statistic"])),
            cell(row["values"], row["statistic"], currency),
            cell(row["series_sum"], row["statistic"], currency),
            Cell(as_text(row["reasons"])),
        ]
        for row in frame.head(limit).to_dict("records")
    ]
    return Table(["Flow", "Number", "Values", "Series", "Likely reason"], rows, _more(len(frame), limit))


def _more(rows: int, limit: int) -> str:
    return f"The first {limit} of {rows} rows; the rest is in the spreadsheet." if rows > limit else ""
