"""Notebook 03 and the weekly report judge changes alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from flowperf_helpers import connect
from flowperf_helpers.report import compute, fetch_week
from flowperf_helpers.report.evidence import RATES
from flowperf_helpers.widgets import (
    COMPARED_STATISTICS,
    PER_VARIATION,
    notebook,
    report_answers,
    same_basis,
    view_values,
    week_window,
    weeks_of_tests,
)
from flowperf_helpers.widgets.notebook import level_changes


@pytest.fixture(scope="module")
def sandbox() -> dict[str, Any]:
    """What notebook 03 has in hand, and what the report claims of the same week."""
    account = connect("sandbox")
    numbers = compute(fetch_week(account))
    window = week_window(account)
    wanted: dict[str, Any] = {"statistics": COMPARED_STATISTICS, "group_by": PER_VARIATION}
    after, before = (account.flow_values("revenue", timeframe=w, **wanted) for w in (window, window.previous()))
    recent = account.flow_series("revenue", timeframe=weeks_of_tests(window), interval="weekly", **wanted)
    answers = report_answers(account, after, before, recent)
    assert answers is not None
    return {
        "frames": (after, same_basis(account, after, before), recent), "answers": answers,
        "claims": numbers.family.frame,
    }  # fmt: skip


@pytest.mark.parametrize("by", ["flow_name", "flow_message_name"])
@pytest.mark.parametrize("rate", RATES)
def test_a_flow_has_one_verdict_in_notebook_and_report(sandbox: dict[str, Any], rate: str, by: str) -> None:
    """Every flow and message of the sandbox's week has the verdict and the interval that the report gives it."""
    found = level_changes(sandbox["answers"], rate=rate, by=by)
    assert found is not None
    assert len(found) > 15
    key = by.replace("_name", "_id")
    claims = sandbox["claims"]
    kinds = ["flow"] if key == "flow_id" else ["message"]
    claims = claims[claims["kind"].isin(kinds) & (claims["statistic"] == rate)]
    both = found.merge(claims, on=key, suffixes=("", "_said"))
    assert len(both) > 10
    said = both["verdict_said"].mask(both["direction"] == "up", "higher").mask(both["direction"] == "down", "lower")
    assert list(both["text"]) == list(both["text_said"])
    assert all(mine.startswith(theirs) for mine, theirs in zip(both["verdict"], said, strict=True))


def test_the_story_is_told_and_the_basis_said(sandbox: dict[str, Any]) -> None:
    """Abandoned Checkout fell and no other flow is claimed; a sentence under the picture says what was compared."""
    picture, sentence = view_values(*sandbox["frames"], sandbox["answers"], picture="before")
    assert "Abandoned Checkout" in picture.get_title(loc="left")
    assert "last eight" in sentence
    _, _, alone = view_values(*sandbox["frames"], picture="before")
    assert "window before alone" in alone


def test_a_board_judges_once_per_channel(sandbox: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another rate, picture or choice of flows judges nothing anew; a channel and other answers do, each once."""
    judged = []
    gather = notebook.gather
    monkeypatch.setattr(notebook, "gather", lambda answers, then: judged.append(answers) or gather(answers, then))
    answers = replace(sandbox["answers"])
    first = level_changes(answers, rate="click_rate")
    assert first is not None
    for rate in RATES:
        for by in ("flow_name", "flow_message_name"):
            level_changes(answers, rate=rate, by=by)
    view_values(*sandbox["frames"], answers, picture="table", flow_ids=first["flow_id"].head(2))
    assert 1 == len(judged)
    for channel in ("sms", "email", "sms"):
        level_changes(answers, rate="click_rate", channel=channel)
    assert 3 == len(judged)
    pd.testing.assert_frame_equal(first, level_changes(replace(answers), rate="click_rate"))
    assert 4 == len(judged)
