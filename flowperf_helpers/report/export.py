"""The report's numbers as files and in the shapes that other programs read."""

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
from flowperf_helpers.report import sheets
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.findings import to_frame
from flowperf_helpers.report.numbers import WeekNumbers
from flowperf_helpers.report.tiles import HEADLINE
from flowperf_helpers.report.view import WeekView

__all__ = [
    "HEADLINE_VERSION",
    "definitions",
    "divisor_sentences",
    "files",
    "headline",
    "json_bytes",
    "named",
    "provenance",
    "save",
    "tables",
    "tidy",
    "title",
    "versions",
]


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
    for key, names, column in (
        ("flow_id", flows, "flow_name"),
        ("flow_message_id", messages or {}, "flow_message_name"),
    ):
        if key in table and column not in table and names:
            place = list(table.columns).index(key) + 1
            table.insert(place, column, table[key].map(names).astype("str"))
    return table


def tidy(answers: WeekData) -> pd.DataFrame:
    """All answers of a report as one frame.

    Returns
    -------
    DataFrame
        One row per answer × group (× interval): ``frame`` (``"values"``, ``"previous"``, ``"year_ago"``, ``"weekly"``,
        ``"daily"``), groupings, ``interval_start, interval_end`` (of values: the window), ``is_partial,
        is_provisional`` (series), ``conversion_metric_id``, statistics.
    """
    renamed = {"window_start": "interval_start", "window_end": "interval_end"}
    parts = {
        "values": answers.current, "previous": answers.previous, "year_ago": answers.year_ago,
        "weekly": answers.weekly, "daily": answers.daily,
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
    table.attrs = {
        k: v
        for k, v in answers.current.attrs.items()
        if k in ("account", "revision", "fetched_at", "currency", "schema_version", "sandbox")
    }
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
            "name": account["name"],
            "title": clean_name(account["title"]),
            "timezone": str(account["timezone"]),
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
        "claims": named(numbers.claims, flows, messages),
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
            why = error.strerror or type(error).__name__
            raise StorageError(
                f"{name} could not be written ({why}): free some space and run it again.", path=folder / name
            ) from error
    return sorted(path.name for path in folder.iterdir())
