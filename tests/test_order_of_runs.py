"""A report says the same whatever ran before it on the same home."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from notebook_cells import run_cells

from flowperf_helpers import connect
from flowperf_helpers.account.history import REHEARSED_WEEKS, earlier_answers
from flowperf_helpers.account.timeframes import recent_weeks
from flowperf_helpers.cli import main
from flowperf_helpers.report import WeeklyReport, fetch_week
from flowperf_helpers.sandbox import SANDBOX_NOW

MOMENTS = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+\d\d:\d\d)?")
SPENT = {"made_at", "asked_at", "requests", "log"}
"""Of the headline: when it was made, and which answers were on disk already."""
SPENT_WORDS = re.compile(
    r"(?<=Report requests spent</dt><dd><bdi>)\d|\d(?= requests, )|(?<= rows )(asked, \d requests|from the store)"
)
"""Of the page: the same."""


def said(home: Path, *, minutes: int = 0, **wanted: str) -> str:
    """Headline and page of a report, without time stamps and without what was paid for them."""
    account = connect("sandbox", home=home, now=SANDBOX_NOW + timedelta(minutes=minutes))
    report = WeeklyReport(fetch_week(account, **wanted))  # type: ignore[arg-type]
    headline = {name: value for name, value in report.headline().items() if name not in SPENT}
    sections = [report.first_screen(), report.flow_sections(), report.notes()]
    frames = [report.settling.curve.to_csv(), report.restated.to_csv(index=False)]
    text = MOMENTS.sub("", json.dumps(headline, indent=0) + "\n".join([s.html for s in sections] + frames))
    return SPENT_WORDS.sub("", text)


def notebook_04(home: Path) -> None:
    """Open the notebook of series; it asks by message, for other statistics than the report."""
    run_cells("04_compare_series", {})


def notebook_03(home: Path) -> None:
    """Open the notebook of values."""
    run_cells("03_compare_values", {})


def discover(home: Path) -> None:
    """Run the command."""
    sys.argv = ["flowperf", "discover", "--format", "json"]
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def another_week(home: Path) -> None:
    """Report the week before."""
    said(home, week="2026-W46")


def another_integration(home: Path) -> None:
    """Report the flows of one integration only."""
    said(home, integration="Shopify")


def single_questions(home: Path) -> None:
    """Ask about one flow, by variation and by tag, for the days and weeks of the report."""
    account = connect("sandbox", home=home)
    flow: Any = account.flows()["flow_id"].iloc[:1].tolist()
    message = ("flow_id", "flow_message_id")
    for interval, first in (("daily", "2026-10-01"), ("weekly", "2026-06-01")):
        for group_by in ((*message, "variation"), (*message, "tag_id"), message):
            account.flow_series(
                timeframe=(first, "2026-11-22"), statistics=["conversions"], interval=interval, flow_ids=flow,
                group_by=group_by,
            )  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the report says on a new home."""
    return said(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(
    "before",
    [[notebook_04, another_week], [another_integration, single_questions], [discover, notebook_03, notebook_04]],
    ids=lambda steps: "-".join(step.__name__ for step in steps),
)
def test_a_report_does_not_depend_on_what_ran_before(
    before: list[Callable[[Path], None]], alone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After notebooks, commands and reports of other weeks and flows, the report is the one of a new home."""
    monkeypatch.setenv("FLOWPERF_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["flowperf"])
    for step in before:
        step(tmp_path)
    assert alone.splitlines() == said(tmp_path).splitlines()


def test_a_report_does_not_depend_on_what_was_asked_that_day(tmp_path: Path) -> None:
    """What others asked in the morning does not move the numbers of a report in the afternoon."""
    asked: dict[str, Any] = {"timeframe": ("2026-11-01", "2026-11-22"), "statistics": ["conversions"]}
    for home, days_ago in (("a", 1), ("b", 1), ("b", 0)):
        account = connect("sandbox", home=tmp_path / home, now=SANDBOX_NOW - timedelta(days=days_ago))
        account.flow_series("revenue", interval="daily", **asked)
    assert said(tmp_path / "a", minutes=420).splitlines() == said(tmp_path / "b", minutes=420).splitlines()


def test_a_notebook_does_not_depend_on_what_ran_before(tmp_path: Path) -> None:
    """The forecast of notebook 04 learns from the same past before and after a weekly report."""
    found = []
    for name in ("a", "b"):
        account = connect("sandbox", home=tmp_path / name)
        if name == "b":
            fetch_week(account, week="2026-W46")
        history = earlier_answers(account, "revenue", recent_weeks(account.now(), 8))
        keys = ["fetched_at", "flow_id", "flow_message_id", "send_channel", "interval_start"]
        earlier = history[history["fetched_at"] < account.now() - timedelta(hours=12)]
        found.append(earlier.sort_values(keys, ignore_index=True)[[*keys, "conversions"]])
    assert found[0]["fetched_at"].nunique() == REHEARSED_WEEKS
    assert found[0].equals(found[1])
