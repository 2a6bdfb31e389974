"""The report's numbers in the shapes that other programs read."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd

from flowperf_helpers.catalog import STATISTICS
from flowperf_helpers.names import clean_name
from flowperf_helpers.report.answers import WeekAnswers
from flowperf_helpers.report.tiles import HEADLINE

if TYPE_CHECKING:
    from flowperf_helpers.report.document import WeeklyReport

__all__ = ["HEADLINE_VERSION", "divisor_sentences", "headline", "named", "provenance", "tidy", "versions"]

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


def tidy(answers: WeekAnswers) -> pd.DataFrame:
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


def provenance(report: WeeklyReport) -> list[tuple[str, str]]:
    """Where the numbers come from, as pairs of fact and value."""
    answers, account = report.answers, report.answers.account
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


def headline(report: WeeklyReport) -> dict[str, Any]:
    """Headline numbers for chat and mail; ``headline.schema.json`` describes and a test checks them."""
    answers, account = report.answers, report.answers.account
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
        "sentences": [{"role": s.role, "heading": s.heading, "text": s.text} for s in report.sentences],
        "numbers": [
            {
                "statistic": t.statistic, "label": t.label, "unit": t.unit, "value": t.value,
                "low": t.low, "high": t.high,
                "previous": t.previous, "year_ago": t.year_ago, "difference": t.difference, "verdict": t.verdict,
                "is_provisional": t.provisional, "text": t.value_text, "note": t.note or None,
                "definition": t.definition,
            }
            for t in report.tiles
        ],
        "signals": [
            {"kind": s.kind, "flow_id": s.flow_id, "flow_name": clean_name(report.names.get(s.flow_id, s.flow_id)),
             "flow_message_id": s.flow_message_id or None, "statistic": s.statistic, "since": s.since or None,
             "text": s.sentence}
            for s in report.signals
        ],
        "compared_at_equal_age": report.equal_age,
        "notes": list(answers.notes),
        "log": list(answers.log),
    }  # fmt: skip
