"""Tables of the page, ready to print: texts, numbers to sort by, and small pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.plots.svg import interval_bar, strip

__all__ = [
    "Cell",
    "FlowView",
    "Table",
    "as_float",
    "as_text",
    "cell",
    "disagreement_table",
    "flow_views",
    "restated_table",
    "settling_table",
    "unsent_table",
]


# What the page shows of each flow, ready to print: texts, numbers to sort by, and small pictures.

TABLE_RATES = ("open_rate", "click_rate", "conversion_rate", "unsubscribe_rate", "spam_complaint_rate")
_NAME_WIDTH = 90


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the number a reader may sort by (None: sorted by text)."""

    text: str | Markup
    number: float | None = None
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """A printable table."""

    heads: list[str]
    rows: list[list[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class FlowView:
    """One flow on the page."""

    flow_id: str
    anchor: str
    name: str
    status: str
    facts: list[str]
    strip: Markup
    cells: list[Cell]
    changes: Table
    messages: Table
    variations: Table
    effects: Table
    signals: list[str] = field(default_factory=list)


def cell(value: Any, statistic: str, currency: str | None = None) -> Cell:
    """A number of a statistic."""
    known = value is not None and not pd.isna(value)
    return Cell(
        formats.statistic_text(value if known else None, statistic, currency), float(value) if known else None, True
    )


def flow_views(
    table: pd.DataFrame,
    *,
    strips: pd.DataFrame,
    changes: pd.DataFrame,
    messages: pd.DataFrame,
    duels: pd.DataFrame,
    effects: pd.DataFrame,
    signals: Iterable[Any],
    names: Mapping[str, str],
    message_names: Mapping[str, str],
    statuses: Mapping[str, str],
    currency: str | None,
) -> list[FlowView]:
    """One view per row of the ranked flow table, in its order."""
    by_flow: dict[str, list[str]] = {}
    for signal in signals:
        by_flow.setdefault(signal.flow_id, []).append(signal.sentence)
    frames = {"strips": strips, "changes": changes, "messages": messages, "duels": duels, "effects": effects}
    groups = {name: _groups(frame) for name, frame in frames.items()}
    views = []
    for index, row in enumerate(table.to_dict("records"), start=1):
        flow_id = str(row["flow_id"])
        part = {name: of.get(flow_id) for name, of in groups.items()}
        views.append(
            FlowView(
                flow_id,
                f"flow-{index}",
                short_name(names.get(flow_id, flow_id), _NAME_WIDTH),
                statuses.get(flow_id, "not in discovery"),
                _facts(row, currency),
                _strip(part["strips"]),
                [*_week_cells(row, currency)],
                _change_table(part["changes"]),
                _message_table(part["messages"], message_names, currency),
                _duel_table(part["duels"]),
                _effect_table(part["effects"], message_names),
                by_flow.get(flow_id, []),
            )
        )
    return views


def _groups(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(key): part for key, part in frame.groupby("flow_id", sort=False)} if len(frame) else {}


def _facts(row: Mapping[Any, Any], currency: str | None) -> list[str]:
    value, before = row.get("conversion_value"), row.get("conversion_value_before")
    if value is None or pd.isna(value):
        return []
    text = f"{formats.money_text(value, currency)} by send date"
    if before is not None and not pd.isna(before):
        text += f", {formats.money_text(value - before, currency, plus=True)} on the week before"
    return [text]


def _week_cells(row: Mapping[Any, Any], currency: str | None) -> list[Cell]:
    value, before = row.get("conversion_value"), row.get("conversion_value_before")
    known = value is not None and before is not None and not pd.isna(value) and not pd.isna(before)
    moved = float(value) - float(before) if known else None  # type: ignore[arg-type]
    return [
        cell(row.get("delivered"), "delivered"),
        cell(row.get("open_rate"), "open_rate"),
        cell(row.get("click_rate"), "click_rate"),
        cell(row.get("conversion_rate"), "conversion_rate"),
        cell(value, "conversion_value", currency),
        Cell(formats.money_text(moved, currency, plus=True), moved, True),
    ]


def _strip(frame: pd.DataFrame | None) -> Markup:
    if frame is None:
        return Markup("")
    frame = frame.sort_values("interval_start")
    bars = [None if pd.isna(v) else float(v) for v in frame["delivered"]]
    line = [None if pd.isna(v) else float(v) for v in frame["click_rate"]]
    labels = [
        f"Week of {start:%-d %b}: {formats.count_text(n)} delivered, click rate {formats.percent_text(r)}"
        for start, n, r in zip(frame["interval_start"], bars, line, strict=True)
    ]
    words = f"{len(bars)} weeks, bars: delivered, line: click rate. {labels[0]}. {labels[-1]}." if labels else ""
    return strip(bars, line, words=words, provisional=list(frame["is_provisional"].fillna(False)), labels=labels)


def _change_table(frame: pd.DataFrame | None) -> Table:
    heads = ["Rate", "Before", "Now", "Change", "95 % interval", "", "Verdict", "Rests on"]
    if frame is None:
        return Table(heads, [])
    bounds = pd.concat([frame["low"].abs(), frame["high"].abs()]).dropna()
    rows = []
    for row in frame.to_dict("records"):
        rate = str(row["statistic"])
        verdict = str(row["verdict"])
        interval = formats.MISSING
        if not pd.isna(row["low"]):
            interval = (
                f"{formats.points_text(row['low']).split(formats.SPACE)[0]} to {formats.points_text(row['high'])}"
            )
        bar = interval_bar(
            row["low"], row["high"], row["difference"], span=float(bounds.max()) if len(bounds) else 0.0,
            words=f"{formats.points_text(row['difference'])}, {interval}", verdict=verdict,
        )  # fmt: skip
        rests = f"{formats.count_text(row['denominator_before'])} and {formats.count_text(row['denominator_after'])}"
        rows.append(
            [
                Cell(formats.statistic_label(rate)),
                cell(row["rate_before"], rate),
                cell(row["rate_after"], rate),
                Cell(formats.points_text(row["difference"]), as_float(row["difference"]), True),
                Cell(interval, None, True),
                Cell(bar),
                Cell(formats.verdict_text(verdict)),
                Cell(rests, None, True),
            ]
        )
    return Table(heads, rows)


def _message_table(frame: pd.DataFrame | None, names: Mapping[str, str], currency: str | None) -> Table:
    heads = ["Message", "Channel", "Delivered", "Week before", "Open rate", "Click rate", "Conversion rate", "Value"]
    if frame is None:
        return Table(heads, [])
    rows = [
        [
            Cell(short_name(names.get(str(row["flow_message_id"]), str(row["flow_message_id"])), _NAME_WIDTH)),
            Cell(formats.MISSING if pd.isna(row["send_channel"]) else short_name(row["send_channel"], 30)),
            cell(row.get("delivered"), "delivered"),
            cell(row.get("delivered_before"), "delivered"),
            cell(row.get("open_rate"), "open_rate"),
            cell(row.get("click_rate"), "click_rate"),
            cell(row.get("conversion_rate"), "conversion_rate"),
            cell(row.get("conversion_value"), "conversion_value", currency),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(heads, rows)


def _duel_table(frame: pd.DataFrame | None) -> Table:
    heads = [
        "Variation",
        "Recipients",
        "Click rate",
        "95 % interval",
        "Probability to be best",
        "Klaviyo’s own rule",
        "Verdict",
    ]
    if frame is None:
        return Table(heads, [])
    rows = []
    for row in frame.to_dict("records"):
        name = row.get("variation_name")
        label = row.get("variation") if name is None or pd.isna(name) else name
        rows.append(
            [
                Cell(short_name(label, _NAME_WIDTH)),
                cell(row.get("recipients", row.get("denominator")), "recipients"),
                cell(row.get("rate"), "click_rate"),
                Cell(formats.interval_text(row.get("low"), row.get("high"), "click_rate"), None, True),
                Cell(
                    formats.probability_text(row.get("probability_best")), as_float(row.get("probability_best")), True
                ),
                Cell(as_text(row.get("klaviyo_rule"))),
                Cell(as_text(row.get("verdict"))),
            ]
        )
    return Table(heads, rows)


def _effect_table(frame: pd.DataFrame | None, names: Mapping[str, str]) -> Table:
    heads = ["Message", "Who was mailed", "How it did", "Together", ""]
    if frame is None:
        return Table(heads, [])
    rows = []
    for row in frame.to_dict("records"):
        key = str(row["flow_message_id"])
        news = "new" if bool(row.get("is_new")) else "gone" if bool(row.get("is_gone")) else ""
        rows.append(
            [
                Cell(short_name(names.get(key, key), _NAME_WIDTH)),
                *(
                    Cell(formats.points_text(row[c]), as_float(row[c]), True)
                    for c in ("mix_effect", "within_effect", "total_effect")
                ),
                Cell(news),
            ]
        )
    return Table(heads, rows)


def as_float(value: Any) -> float | None:
    """Return a number, None where it is missing."""
    return None if value is None or pd.isna(value) else float(value)


def as_text(value: Any) -> str:
    """Return words for a flag, a text or a gap."""
    if isinstance(value, bool):
        return "met" if value else "not met"
    return formats.MISSING if value is None or pd.isna(value) else str(value)


# Tables of what a report owes: rows without numbers, restated weeks, the settling curve, answers that disagree.


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
