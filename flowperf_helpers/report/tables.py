"""The tables of the page as lists of columns, and what goes before them: names for ids, the scale of the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.plots.svg import strip
from flowperf_helpers.plots.tables import (
    NAME_WIDTH,
    Cell,
    Column,
    Table,
    frame_table,
    make_table,
    tables_by,
)
from flowperf_helpers.report.html import Section, render

__all__ = [
    "FlowView",
    "Table",
    "disagreement_table",
    "flow_list",
    "flow_views",
    "own_section",
    "restated_table",
    "settling_table",
    "unsent_table",
]

# -- columns ----------------------------------------------------------------------------------------------------------

WEEK = (
    Column("Delivered", "delivered", "statistic"),
    Column("Open rate", "open_rate", "statistic"),
    Column("Click rate", "click_rate", "statistic"),
    Column("Conversion rate", "conversion_rate", "statistic"),
    Column("Value", "conversion_value", "statistic"),
    Column("Value, change", "moved", "change", "conversion_value"),
)
FLOWS = (Column("Flow", "flow"), Column("12 weeks", "strip"), *WEEK)
CHANGES = (
    Column("Rate", "statistic", "label"),
    Column("Usual", "usual", "statistic", "statistic"),
    Column("Now", "now", "statistic", "statistic"),
    Column("Against the last eight weeks", "text", "words"),
)
MESSAGES = (
    Column("Message", "message"),
    Column("Channel", "send_channel"),
    Column("Delivered", "delivered", "statistic"),
    Column("Week before", "delivered_before", "statistic", "delivered"),
    *WEEK[1:5],
)
VARIATIONS = (
    Column("Variation", "name"),
    Column("Recipients", "recipients", "statistic"),
    Column("Click rate", "rate", "statistic", "click_rate"),
    Column("95 % interval", ("low", "high"), "interval", "click_rate"),
    Column("Probability to be best", "probability_best", "probability"),
    Column("Klaviyo’s own rule", "klaviyo_rule", "words"),
    Column("Against the first", "verdict", "words"),
    Column("May be stopped", "may_stop", "flag"),
)
EFFECTS = (
    Column("Message", "message"),
    Column("Mix of messages", "mix_effect", "points"),
    Column("How it did", "within_effect", "points"),
    Column("Together", "total_effect", "points"),
    Column("", "news", "words"),
)
UNSENT = (
    Column("Flow", "flow"),
    Column("Message", "message"),
    Column("Channel", "send_channel", "words"),
    Column("Status", "flow_status", "words"),
    Column("Reason", "reason", "words"),
)
RESTATED = (
    Column("Week from", "interval_start", "day"),
    Column("Number", "statistic", "label"),
    Column("Last time", "before", "statistic", "statistic"),
    Column("Now", "after", "statistic", "statistic"),
    Column("Change", "change", "change", "statistic"),
    Column("Share", "share", "share"),
    Column("Messages", "messages", "statistic"),
)
SETTLING = (
    Column("Age of a day", "age_days", "days"),
    Column("Share of its final conversions", "share", "share"),
    Column("95 % interval", ("low", "high"), "interval", "click_rate"),
)
DISAGREEMENTS = (
    Column("Flow", "flow"),
    Column("Number", "statistic", "label"),
    Column("Values", "values", "statistic", "statistic"),
    Column("Series", "series_sum", "statistic", "statistic"),
    Column("Likely reason", "reasons", "words"),
)

_IN_SHEET = "; the rest is in the spreadsheet."


def _named(frame: pd.DataFrame, key: str, names: Mapping[str, str] | pd.Series) -> pd.Series:
    """Names in place of ids, the id where there is no name."""
    ids = frame[key].astype("object")
    known = names.astype("object") if isinstance(names, pd.Series) else ids.map(dict(names))
    return known.where(known.notna(), ids)


# -- flows ------------------------------------------------------------------------------------------------------------


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
    signals: list[str]


def flow_views(
    table: pd.DataFrame,
    *,
    strips: pd.DataFrame,
    changes: pd.DataFrame,
    messages: pd.DataFrame,
    variations: pd.DataFrame,
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
    pictures = _strips(strips)
    parts = {
        "changes": (changes, CHANGES, False),
        "messages": (_with_messages(messages, message_names), MESSAGES, True),
        "variations": (_with_variations(variations), VARIATIONS, False),
        "effects": (_with_news(_with_messages(effects, message_names)), EFFECTS, False),
    }
    tables = {
        name: tables_by(frame, "flow_id", columns, currency=currency, sortable=sortable)
        for name, (frame, columns, sortable) in parts.items()
    }
    blank = pd.Series(float("nan"), index=table.index)
    value, before = (table.get(name, blank) for name in ("conversion_value", "conversion_value_before"))
    moved = value - before
    week = make_table(table.assign(moved=moved), WEEK, currency=currency)
    facts = [_facts(v, m, currency) for v, m in zip(value, moved, strict=True)]
    return [
        FlowView(
            flow_id,
            f"flow-{index}",
            short_name(names.get(flow_id, flow_id), NAME_WIDTH),
            statuses.get(flow_id, "not in discovery"),
            facts[index - 1],
            pictures.get(flow_id, Markup("")),
            week.rows[index - 1],
            **{name: tables[name].get(flow_id, Table(columns)) for name, (_, columns, _) in parts.items()},
            signals=by_flow.get(flow_id, []),
        )
        for index, flow_id in enumerate(map(str, table["flow_id"]), start=1)
    ]


def flow_list(views: list[FlowView], shown: int) -> Table:
    """All flows; the first ``shown`` lead to their block below."""
    rows = []
    for index, view in enumerate(views, start=1):
        name = Markup("<bdi>{}</bdi>").format(view.name)
        if index <= shown:
            name = Markup('<a href="#{}">{}</a>').format(view.anchor, name)
        count = len(view.signals)
        says = f"{view.status}, {count} signal{'' if count == 1 else 's'}" if count else view.status
        name += Markup('<span class="fp-facts">{}</span>').format(says)
        rows.append([Cell(name), Cell(view.strip, index), *view.cells])
    return Table(FLOWS, rows, title="All flows", sortable=True)


def _facts(value: Any, moved: Any, currency: str | None) -> list[str]:
    if pd.isna(value):
        return []
    text = f"{formats.money_text(value, currency)} by send date"
    if not pd.isna(moved):
        text += f", {formats.money_text(moved, currency, plus=True)} on the week before"
    return [text]


def _strips(frame: pd.DataFrame) -> dict[str, Markup]:
    if frame.empty:
        return {}
    frame = frame.sort_values("interval_start")
    labels = [
        f"Week of {start:%-d %b}: {formats.count_text(sent)} delivered, click rate {formats.percent_text(rate)}"
        for start, sent, rate in zip(frame["interval_start"], frame["delivered"], frame["click_rate"], strict=True)
    ]
    frame = frame.assign(label=labels, is_provisional=frame["is_provisional"].fillna(False))
    pictures = {}
    for flow_id, rows in frame.groupby("flow_id", sort=False):
        bars, line, soft, labels = (rows[c].tolist() for c in ("delivered", "click_rate", "is_provisional", "label"))
        words = f"{len(bars)} weeks, bars: delivered, line: click rate. {labels[0]}. {labels[-1]}."
        pictures[str(flow_id)] = strip(bars, line, words=words, provisional=soft, labels=labels)
    return pictures


def _with_messages(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    return frame.assign(message=_named(frame, "flow_message_id", names)) if len(frame) else frame


def _with_variations(variations: pd.DataFrame) -> pd.DataFrame:
    names = variations["variation_name"] if "variation_name" in variations else variations["variation"]
    return variations.assign(name=_named(variations, "variation", names), recipients=variations["denominator"])


def _with_news(effects: pd.DataFrame) -> pd.DataFrame:
    news = pd.Series("", index=effects.index, dtype="object")
    for flag, word in (("is_gone", "gone"), ("is_new", "new")):
        if flag in effects:
            news = news.mask(effects[flag].astype(bool), word)
    return effects.assign(news=news)


# -- the other tables -------------------------------------------------------------------------------------------------


def unsent_table(frame: pd.DataFrame, names: Mapping[str, str], *, limit: int = 80) -> Table:
    """Flows and messages without numbers."""
    messages = frame["flow_message_name"] if "flow_message_name" in frame else frame["flow_message_id"]
    frame = frame.assign(flow=_named(frame, "flow_id", names), message=_named(frame, "flow_message_id", messages))
    return make_table(frame, UNSENT, limit=limit, rest=_IN_SHEET, sortable=True)


def restated_table(frame: pd.DataFrame, currency: str | None, *, limit: int = 24) -> Table:
    """Weeks whose numbers changed since the last request."""
    return make_table(frame, RESTATED, currency=currency, limit=limit, rest=_IN_SHEET, sortable=True)


def settling_table(frame: pd.DataFrame) -> Table:
    """How much of the final conversions is in, by age."""
    return make_table(frame, SETTLING)


def disagreement_table(
    frame: pd.DataFrame, names: Mapping[str, str], currency: str | None, *, limit: int = 20
) -> Table:
    """Where two answers about the same week differ."""
    frame = frame.assign(flow=_named(frame, "flow_id", names)) if len(frame) else frame
    return make_table(frame, DISAGREEMENTS, currency=currency, limit=limit, rest=_IN_SHEET)


def own_section(drawn: Any, *, currency: str | None = None, limit: int = 200) -> Section:
    """A frame of the reader's as a table of the page; a picture, or what else `as_html` takes, as a figure."""
    if isinstance(drawn, pd.Series):
        drawn = drawn.to_frame()
    if not isinstance(drawn, pd.DataFrame):
        return render("own", table=None, figure=Markup(as_html(drawn)))  # noqa: S704  as_html escapes what it is given
    frame = drawn if isinstance(drawn.index, pd.RangeIndex) else drawn.reset_index(allow_duplicates=True)
    things = [column.removesuffix("_name") for column in map(str, frame.columns) if column.endswith("_name")]
    ids = {*things, *(f"{thing}_id" for thing in things)}
    frame = frame.loc[:, [str(column) not in ids for column in frame.columns]]
    return render("own", table=frame_table(frame, currency=currency, limit=limit), figure=None)
