"""The report's numbers as files, in the shapes that other programs read, and as the tables of the page's notes."""

from __future__ import annotations

import io
import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.errors import StorageError
from flowperf_helpers.frames.catalog import STATISTICS, how_to_read
from flowperf_helpers.frames.formats import clean_name, short_name
from flowperf_helpers.plots.tables import Column, Table, make_table
from flowperf_helpers.report import sheets
from flowperf_helpers.report.claims import PARTS
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.findings import to_frame
from flowperf_helpers.report.measures import HEADLINE
from flowperf_helpers.report.numbers import WeekNumbers
from flowperf_helpers.report.view import WeekView

__all__ = [
    "HEADLINE_VERSION", "definitions", "disagreement_table", "divisor_sentences", "files", "headline", "json_bytes",
    "named", "provenance", "restated_table", "save", "tables", "tidy", "title", "unsent_table", "variations_table",
    "versions",
]  # fmt: skip


# A report's numbers as files: one Parquet file, one spreadsheet, one JSON of headline numbers.
#
# The Parquet file is the tidy frame of `WeeklyReport.tidy`: one row per answer × group (× interval), its column
# ``frame`` naming the answer. The spreadsheet begins with sheets to read (`sheets`) and has one sheet per table of
# `WeeklyReport.tables`.


def _parquet(frame: pd.DataFrame) -> bytes:
    made = io.BytesIO()
    frame.to_parquet(made, index=False)
    return made.getvalue()


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """JSON that every reader takes: UTF-8, no NaN."""
    return (json.dumps(_finite(values), ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# The report's numbers in the shapes that other programs read.

HEADLINE_WEEKS = 26
HEADLINE_VERSION = 1
"""Of the JSON file; raised when a field goes or changes its meaning, not when one is added."""


def named(frame: pd.DataFrame, flows: Mapping[str, str], messages: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Names beside the ids, for a reader of the spreadsheet."""
    table = frame.copy(deep=False)
    for key, names in (("flow_id", flows), ("flow_message_id", messages or {})):
        column = f"{key.removesuffix('_id')}_name"
        if key in table and column not in table and names:
            table.insert(list(table.columns).index(key) + 1, column, table[key].map(names).astype("str"))
    return table


def tidy(answers: WeekData) -> pd.DataFrame:
    """All answers of a report as one frame.

    Returns
    -------
    DataFrame
        One row per answer × group (× interval): ``frame`` (``"values"``, ``"previous"``, ``"year_ago"``, ``"weekly"``,
        ``"daily"``, ``"last_year"``: recipients and revenue only), groupings, ``interval_start, interval_end`` (of
        values: the window), ``is_partial, is_provisional`` (series), ``conversion_metric_id``, statistics.
    """
    renamed = {"window_start": "interval_start", "window_end": "interval_end"}
    parts = {
        "values": answers.current, "previous": answers.previous, "year_ago": answers.year_ago,
        "weekly": answers.weekly, "daily": answers.daily, "last_year": answers.last_year,
    }  # fmt: skip
    frames = [f.rename(columns=renamed).assign(frame=name) for name, f in parts.items() if f is not None and len(f)]
    table = pd.concat(frames, ignore_index=True)
    for flag in ("is_partial", "is_provisional"):
        if flag in table:
            table[flag] = table[flag].astype("boolean")
    table["frame"] = table["frame"].astype("str")
    series = answers.weekly.columns
    order = ["frame", *(c for c in series if c in table), *(c for c in table if c not in series and c != "frame")]
    table = table[order]
    kept = ("account", "revision", "fetched_at", "currency", "schema_version", "sandbox")
    table.attrs = {name: answers.current.attrs[name] for name in kept if name in answers.current.attrs}
    return table


def provenance(numbers: WeekNumbers) -> list[tuple[str, str]]:
    """Where the numbers come from, as pairs of fact and value."""
    answers, account = numbers.answers, numbers.answers.account
    metrics = [
        f"{clean_name(row.metric_name)} ({clean_name(row.integration_name)}, {row.metric_id})"
        for row in answers.metrics.head(12).itertuples()
    ]
    return [
        ("Account", clean_name(account["title"]) + (" (SANDBOX: invented numbers)" if account["sandbox"] else "")),
        ("Week", f"{answers.week}, {answers.window.first} to {answers.window.last}, both included"),
        ("A year ago", answers.year_ago_words),
        ("Time zone", str(account["timezone"])),
        ("Currency", account["currency"] or "not known"),
        ("Conversion metric", "; ".join(metrics)),
        ("Attribution window taken", f"{account['attribution_days']} days"),
        ("Klaviyo revision", str(account["revision"])),
        ("Asked at", _moment(account["asked_at"], account["timezone"])),
        ("Made at", f"{answers.now:%Y-%m-%d %H:%M %Z}"),
        ("Report requests spent", str(answers.requests) if answers.requests else "0: everything was in the store"),
        ("Made with", ", ".join(f"{name} {number}" for name, number in versions().items())),
    ]


def divisor_sentences(denominators: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What rates were divided by, in words; ``denominators`` are those that `roll_up` found."""
    labels = {rate: STATISTICS[rate].label for rate in denominators if rate in HEADLINE}
    return [
        f"{label}: divided by {STATISTICS[found['denominator']].label.lower()} ({found['evidence']})."
        for (rate, label) in labels.items()
        if (found := denominators[rate]).get("denominator") in STATISTICS
    ]


def versions() -> dict[str, str]:
    """Names and versions of what made the report."""
    packages = {name: version(name) for name in ("flowperf", "pandas", "papermill", "nbconvert")}
    return packages | {"Python": platform.python_version()}


def _moment(iso: str | None, zone: str) -> str:
    return "not known" if not iso else f"{pd.Timestamp(iso).tz_convert(zone):%Y-%m-%d %H:%M %Z}"


def headline(numbers: WeekNumbers) -> dict[str, Any]:
    """Headline numbers for chat and mail; ``headline.schema.json`` describes and a test checks them."""
    answers, account = numbers.answers, numbers.answers.account
    return {
        "schema": "flowperf-weekly-headline",
        "schema_version": HEADLINE_VERSION,
        "sandbox": bool(account["sandbox"]),
        "account": {
            "name": account["name"], "title": clean_name(account["title"]), "timezone": str(account["timezone"]),
            "currency": account["currency"],
        },
        "week": answers.week,
        "first_day": str(answers.window.first),
        "last_day": str(answers.window.last),
        "year_ago_week": answers.year_ago_week,
        "is_partial": bool(answers.partial),
        "made_at": answers.now.isoformat(),
        "asked_at": account["asked_at"],
        "revision": str(account["revision"]),
        "requests": int(answers.requests),
        "conversion_metrics": [
            {"id": str(r.metric_id), "name": clean_name(r.metric_name), "integration": clean_name(r.integration_name)}
            for r in answers.metrics.itertuples()
        ],
        "sentences": [{"role": s.role, "heading": s.heading, "text": s.text} for s in numbers.sentences],
        "numbers": [
            {
                "statistic": t.statistic, "label": t.label, "unit": t.unit, "value": t.value,
                "low": t.low, "high": t.high,
                "previous": t.previous, "year_ago": t.year_ago, "difference": t.difference, "verdict": t.verdict,
                "claim": t.claim or None, "change": t.change_share, "change_low": t.change_low,
                "change_high": t.change_high,
                "is_provisional": t.provisional, "text": t.value_text, "note": t.note or None,
                "definition": t.definition,
            }
            for t in numbers.tiles
        ],
        "signals": [
            {"kind": s.kind, "flow_id": s.flow_id, "flow_name": clean_name(numbers.names.get(s.flow_id, s.flow_id)),
             "flow_message_id": s.flow_message_id or None, "statistic": s.statistic, "since": s.since or None,
             "direction": s.direction or None, "text": s.sentence}
            for s in numbers.signals
        ],
        "weeks": _weeks(answers.weekly),
        "compared_at_equal_age": numbers.equal_age,
        "compared_how": numbers.family.basis or None,
        "corrected_together": numbers.family.sentence,
        "comparisons": sum(numbers.family.comparisons.values()),
        "notes": list(answers.notes),
        "log": list(answers.log),
    }  # fmt: skip


def _weeks(weekly: pd.DataFrame) -> list[dict[str, Any]]:
    """The account's last weeks in order, the reported one last: what a small chart elsewhere draws."""
    counted = ["conversion_value", "delivered"]
    by_week = weekly.reindex(columns=["interval_start", "is_provisional", *counted]).groupby("interval_start")
    sums = by_week[counted].sum(min_count=1).astype("float64").tail(HEADLINE_WEEKS)
    listed = sums.astype(object).where(sums.notna(), None)
    listed.insert(0, "first_day", [f"{start:%Y-%m-%d}" for start in listed.index])
    listed["is_provisional"] = by_week["is_provisional"].any().astype(bool)
    return [{str(key): value for key, value in row.items()} for row in listed.to_dict("records")]


def title(answers: WeekData) -> str:
    """Account and week."""
    return f"{short_name(answers.account['title'], 80)}, week {answers.week}"


def definitions() -> pd.DataFrame:
    """Definitions of the statistics on the page."""
    return how_to_read([*HEADLINE, "recipients", "opens_unique", "clicks_unique", "conversion_uniques"])


def tables(numbers: WeekNumbers) -> dict[str, pd.DataFrame]:
    """Sheets of the spreadsheet, by name."""
    flows, messages = numbers.names, numbers.message_names
    return {
        "flows": numbers.flows,
        "messages": named(numbers.messages, flows, messages),
        "claims": named(numbers.claims.drop(columns=PARTS), flows, messages),
        "variations": numbers.family.tests,
        "effects": named(numbers.effects, flows, messages),
        "signals": named(to_frame(numbers.signals), flows),
        "weeks": named(numbers.strips, flows),
        "without numbers": numbers.coverage,
        "changed since": numbers.restated,
        "settling": numbers.settling.curve,
        "answers that disagree": numbers.reconciled,
        "definitions": definitions(),
        "provenance": pd.DataFrame(provenance(numbers), columns=["fact", "value"], dtype="str"),
    }


def files(numbers: WeekNumbers) -> dict[str, bytes]:
    """The data files of a report by their names, not written anywhere."""
    currency = numbers.answers.account["currency"]
    view = getattr(numbers, "view", None) or WeekView(numbers)  # a report has read its numbers for the page already
    return {
        "data.parquet": _parquet(tidy(numbers.answers)),
        "data.xlsx": sheets.workbook(tables(numbers), title(numbers.answers), currency, view),
        "headline.json": json_bytes(headline(numbers)),
    }


def save(numbers: WeekNumbers, folder: Path) -> list[str]:
    """Write the data files into a folder, which is made.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files(numbers).items():
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            why = f"{name} could not be written ({error.strerror or type(error).__name__})"
            raise StorageError(f"{why}: free some space and run it again.", path=folder / name) from error
    return sorted(path.name for path in folder.iterdir())


# The tables of the page's notes as lists of columns.

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
