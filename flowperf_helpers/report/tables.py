"""The tables of the page's notes as lists of columns, and a reader's own tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.plots.tables import Column, Table, frame_table, make_table
from flowperf_helpers.report.html import Section, render

__all__ = ["Table", "disagreement_table", "own_section", "restated_table", "unsent_table", "variations_table"]

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


def variations_table(tests: pd.DataFrame, flow: str = "") -> Table:
    """A flow's variations beside each other, since their test began."""
    names = tests["variation_name"] if "variation_name" in tests else tests["variation"]
    named = tests.assign(name=_named(tests, "variation", names), recipients=tests["denominator"])
    return make_table(named, VARIATIONS, title=f"Variations {flow}".strip())


def unsent_table(frame: pd.DataFrame, names: Mapping[str, str], *, limit: int = 80) -> Table:
    """Flows and messages without numbers."""
    messages = frame["flow_message_name"] if "flow_message_name" in frame else frame["flow_message_id"]
    frame = frame.assign(flow=_named(frame, "flow_id", names), message=_named(frame, "flow_message_id", messages))
    return make_table(frame, UNSENT, limit=limit, rest=_IN_SHEET, title="Flows and messages without results")


def restated_table(frame: pd.DataFrame, currency: str | None, *, limit: int = 24) -> Table:
    """Weeks whose numbers changed since the last request."""
    return make_table(frame, RESTATED, currency=currency, limit=limit, rest=_IN_SHEET, title="Weeks that changed")


def disagreement_table(
    frame: pd.DataFrame, names: Mapping[str, str], currency: str | None, *, limit: int = 20
) -> Table:
    """Where two answers about the same week differ."""
    frame = frame.assign(flow=_named(frame, "flow_id", names)) if len(frame) else frame
    return make_table(frame, DISAGREEMENTS, currency=currency, limit=limit, rest=_IN_SHEET, title="Disagreements")


def own_section(
    drawn: Any, title: str = "", text: str = "", *, currency: str | None = None, limit: int = 200
) -> Section:
    """A frame of the reader's as a table of the page; a picture, or what else `as_html` takes, as a figure."""
    if isinstance(drawn, pd.Series):
        drawn = drawn.to_frame()
    if not isinstance(drawn, pd.DataFrame):
        figure = Markup(as_html(drawn))  # noqa: S704  as_html escapes what it is given
        return render("own", title=title, text=text, table=None, figure=figure)
    frame = drawn if isinstance(drawn.index, pd.RangeIndex) else drawn.reset_index(allow_duplicates=True)
    things = [column.removesuffix("_name") for column in map(str, frame.columns) if column.endswith("_name")]
    ids = {*things, *(f"{thing}_id" for thing in things)}
    frame = frame.loc[:, [str(column) not in ids for column in frame.columns]]
    table = frame_table(frame, currency=currency, limit=limit, title=title)
    return render("own", title=title, text=text, table=table, figure=None)
