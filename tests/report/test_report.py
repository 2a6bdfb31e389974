"""The report's numbers and words: every planted story is told, none on the quiet twin, and gaps are said."""

from __future__ import annotations

import io
import json
import re
import socket
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from sized_week import sized_week

from flowperf_helpers import connect
from flowperf_helpers.account import discovery
from flowperf_helpers.account.timeframes import a_year_before, iso_week, last_year_weeks
from flowperf_helpers.errors import ArgumentError, NoRowsError, UnknownNameError
from flowperf_helpers.frames import formats
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.plots.tables import Table
from flowperf_helpers.report import WeekData, WeeklyReport, compute, fetch_week, pictures, plan_week, report_week
from flowperf_helpers.report.claims import COLUMNS, Claims
from flowperf_helpers.report.evidence import at_this_age
from flowperf_helpers.report.export import disagreement_table, files, restated_table, unsent_table, variations_table
from flowperf_helpers.report.findings import claim_signals
from flowperf_helpers.report.html import notebook_page, templates_folder
from flowperf_helpers.report.measures import before_at_equal_age, rate_counts
from flowperf_helpers.report.numbers import _ranked
from flowperf_helpers.report.rows import flow_rows
from flowperf_helpers.report.verdicts import message_name
from flowperf_helpers.sandbox import SANDBOX_NOW, STORIES


def _report(folder: Path, variant: str = "default", **wanted: object) -> WeeklyReport:
    return WeeklyReport(fetch_week(connect("sandbox", variant=variant, home=folder), **wanted))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> WeeklyReport:
    """Make the sandbox's report of its last complete week."""
    return _report(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> WeeklyReport:
    """Make the report of the same world without stories."""
    return _report(tmp_path_factory.mktemp("home"), "quiet")


def _week_before(answers: WeekData) -> tuple[pd.DataFrame | None, bool]:
    return before_at_equal_age(answers, at_this_age(answers))


def _said(found: WeeklyReport) -> set[tuple[str, str]]:
    return {(signal.flow_id, signal.statistic) for signal in found.signals}


def _page(found: WeeklyReport) -> str:
    outputs = [
        {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/html": s.html}}
        for s in found.parts()
    ]
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": f"c{i}",
            "metadata": {},
            "source": "secret_code()",
            "outputs": [o],
        }
        for i, o in enumerate(outputs)
    ]
    return notebook_page({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, title=found.title)


# --- stories -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.story)
def test_each_planted_story_is_told(report: WeeklyReport, story: object) -> None:
    """Each planted story is a signal of its flow and statistic, and its flow is named in sentences or signals."""
    assert (story.flow_id, story.statistic) in _said(report)  # type: ignore[attr-defined]
    name = report.names[story.flow_id]  # type: ignore[attr-defined]
    words = " ".join([s.text for s in report.sentences] + [s.sentence for s in report.signals])
    assert name in words


@pytest.mark.parametrize(
    ("story", "cause"),
    [("click rate fell", "the email “Abandoned Checkout: Email 1"), ("spam spike", "the email “Winback: We miss you”")],
)
def test_a_change_names_what_carries_it(report: WeeklyReport, story: str, cause: str) -> None:
    """The changed flow's sentence names the message that was planted, and its card explains the same rate."""
    truth = next(s for s in STORIES if s.story == story)
    rows = report.family.changed
    (row,) = rows[(rows["kind"] == "flow") & (rows["flow_id"] == truth.flow_id)].to_dict("records")
    assert truth.flow_message_id == row["cause_message_id"]
    assert row["cause_share"] > 0.9
    (signal,) = [
        s for s in report.signals if (s.flow_id, s.statistic) == (truth.flow_id, truth.statistic) and s.weeks == 1
    ]
    assert cause in signal.sentence
    shown = report.effects[report.effects["flow_id"] == truth.flow_id]
    assert {truth.statistic} == set(shown["statistic"])


def test_each_claim_rests_on_the_one_family(report: WeeklyReport) -> None:
    """A row is claimed if its interval excludes no change, and only then; every verdict has a size, all are counted."""
    rows = report.claims[report.claims["p_value"].notna() & (report.claims["kind"] != "silence")]
    claimed = rows["verdict"] == "changed"
    assert (claimed == (rows["low"] > 0) | (rows["high"] < 0)).all()
    assert (claimed == rows["direction"].ne("")).all()
    assert (rows["is_good"].isna() == ~claimed).all()
    size = {
        "changed": "change",
        "no change larger than": "excluded",
        "cannot tell yet": "visible",
        "too few": "trials_needed",
    }
    for verdict, column in size.items():
        of = report.claims[report.claims["verdict"] == verdict]
        assert len(of)
        assert np.isfinite(of[column]).all(), verdict
    number = int(report.claims["p_value"].notna().sum())
    assert f"{number:,} comparisons were corrected together" in report.notes().html
    assert number == report.headline()["comparisons"]


def test_the_usual_range_of_money_knows_how_orders_scatter(quiet: WeeklyReport) -> None:
    """Single orders differ more than a count does: with that, 19 of 20 quiet weeks lie in their flow's range."""
    assert 1.2 < quiet.family.scatter < 1.6
    weeks = quiet.weeks
    money = weeks[weeks["statistic"].eq("conversion_value") & weeks["flow_id"].ne("") & weeks["low"].notna()]
    assert 400 < len(money)
    assert 0.94 < money["value"].between(money["low"], money["high"]).mean() < 0.97


def test_weeks_have_their_usual_range(report: WeeklyReport) -> None:
    """The last 26 weeks of every flow and of the account, with a range that most final weeks of a calm world lie in."""
    weeks = report.weeks
    assert {"", *report.claims.loc[report.claims["kind"] == "money", "flow_id"]} == set(weeks["flow_id"])
    assert {26} == set(weeks.groupby(["flow_id", "statistic"]).size())
    known = weeks[weeks["is_final"] & weeks["value"].notna() & weeks["low"].notna()]
    inside = (known["value"] >= known["low"]) & (known["value"] <= known["high"])
    assert 0.92 < inside.mean() < 0.99
    last = weeks[weeks["interval_start"] == weeks["interval_start"].max()].set_index(["flow_id", "statistic"])
    fell = last.loc[(STORIES[0].flow_id, "click_rate")]
    assert fell["value"] < fell["low"]
    assert not fell["is_final"]
    assert last.loc[("", "delivered"), "is_final"]
    tile = next(t for t in report.tiles if t.statistic == "click_rate")
    assert last.loc[("", "click_rate"), "value"] == pytest.approx(tile.value)


def test_quiet_twin_tells_no_story(quiet: WeeklyReport) -> None:
    """On the same world without stories none of them is a signal, and the sentences say that nothing moved."""
    assert set() == _said(quiet) & {(s.flow_id, s.statistic) for s in STORIES}
    moved, _, stopped, _, first = quiet.sentences
    assert "comparisons shows a change beyond what weeks do on their own" in moved.text
    assert "opens: no change larger than" in moved.text
    assert "that were looked at" in stopped.text
    assert not len(quiet.family.changed)
    assert "Nothing asks for a look first" in first.text


def test_direction_and_winner_are_right(report: WeeklyReport) -> None:
    """The click rate fell, the complaints rose, the right variation wins, the right flow fell silent."""
    by_key = {(s.flow_id, s.kind): s for s in report.signals}
    truth = {story.story: story for story in STORIES}
    assert "fell" in by_key[(truth["click rate fell"].flow_id, "change")].sentence
    assert "rose" in by_key[(truth["spam spike"].flow_id, "change")].sentence
    tests = report.family.tests
    (winner,) = tests[tests["flow_id"] == truth["variation wins"].flow_id].query("is_best").to_dict("records")
    assert truth["variation wins"].variation == winner["variation"]
    assert winner["may_stop"]
    assert 4 == winner["weeks"]
    assert (
        f"the variation “{winner['variation_name']}” gets more clicks" in by_key[(winner["flow_id"], "winner")].sentence
    )
    assert (truth["flow stopped"].flow_id, "stopped") in by_key


def test_stories_are_told_and_nothing_else_where_rates_move_by_themselves(tmp_path: Path) -> None:
    """On the wandering shop each story is told and no other flow is named; its quiet twin has no claim at all."""
    told = compute(fetch_week(connect("sandbox", variant="wandering", home=tmp_path)))
    stories = {(s.flow_id, s.statistic) for s in STORIES}
    assert stories == {(s.flow_id, s.statistic) for s in told.signals}
    twin = compute(fetch_week(connect("sandbox", variant="quiet-wandering", home=tmp_path)))
    assert not len(twin.family.changed)


# --- the first screen ----------------------------------------------------------------------------------------------


def test_week_is_told_in_five_sentences(report: WeeklyReport) -> None:
    """Five, in the order of the page: moved, worth, stopped, settling, first."""
    assert ["moved", "worth", "stopped", "settling", "first"] == [s.role for s in report.sentences]
    assert all(s.text.endswith((".", "?")) for s in report.sentences)


def test_tiles_hold_the_answer(report: WeeklyReport) -> None:
    """A headline number is the sum of the week's rows, a rate the quotient of sums, inside its interval."""
    current = report.answers.current
    tiles = {tile.statistic: tile for tile in report.tiles}
    assert int(current["delivered"].sum()) == tiles["delivered"].value
    assert current["conversion_value"].sum() == pytest.approx(tiles["conversion_value"].value)
    opened = current[current["send_channel"].isin(["email", "push-notification"])]
    assert opened["opens_unique"].sum() / opened["delivered"].sum() == pytest.approx(tiles["open_rate"].value)
    for tile in report.tiles:
        if tile.low is not None:
            assert tile.low < tile.value < tile.high  # type: ignore[operator]
    assert tiles["conversions"].provisional
    assert not tiles["delivered"].provisional


def test_unknown_numbers_say_why(report: WeeklyReport) -> None:
    """Without a year ago a tile says that it is not known and why, and never 0."""
    answers = replace(report.answers, year_ago=None, unknown={"year_ago": "Klaviyo's data do not reach back to it"})
    tile = WeeklyReport(answers).tiles[0]
    assert "not known: Klaviyo's data do not reach back to it" == tile.beside("year_ago")


def test_first_week_ever_has_nothing_to_compare_with(report: WeeklyReport) -> None:
    """Without a week before the report says so and is made all the same."""
    starts = report.answers.window.bounds("Europe/Copenhagen")[0]
    answers = replace(
        report.answers,
        previous=None,
        year_ago=None,
        weekly=report.answers.weekly[report.answers.weekly["interval_start"] == starts].reset_index(drop=True),
        daily=report.answers.daily[report.answers.daily["interval_start"] >= starts].reset_index(drop=True),
        history=report.answers.history.iloc[:0],
        unknown={"previous": "nothing was sent in the week before", "year_ago": "no data"},
    )
    first = WeeklyReport(answers)
    page = _page(first)
    assert "no earlier week to compare with" in page
    assert "What can be said already" in page
    assert "This is the first report of this account on this machine" in page


# --- comparisons ---------------------------------------------------------------------------------------------------


def test_week_before_is_taken_at_the_same_age(report: WeeklyReport) -> None:
    """With last Monday's answer in the store the week before is shown as it stood then, poorer than it stands today."""
    before, equal = _week_before(report.answers)
    assert equal
    assert before is not None
    assert report.answers.previous is not None
    assert before["conversions"].sum() < report.answers.previous["conversions"].sum()
    assert before["delivered"].sum() == report.answers.previous["delivered"].sum()


def test_without_earlier_answers_the_week_before_stands_as_today(report: WeeklyReport) -> None:
    """No earlier answer: the week before as it is now, no verdict on conversions, and the sentence says so."""
    alone = WeeklyReport(replace(report.answers, history=report.answers.history.iloc[:0]))
    assert not alone.equal_age
    assert "head start in age" in alone.sentences[1].text
    assert "conversion_rate" not in {s.statistic for s in alone.signals if s.kind == "change"}


def test_a_flow_that_stopped_is_not_compared_at_the_age_of_the_week(report: WeeklyReport) -> None:
    """What it sent on Monday had all week for its conversions: they are not held against whole weeks of that age."""
    stopped = next(s.flow_id for s in STORIES if s.direction == "stopped")
    flows = report.claims[report.claims["kind"] == "flow"]
    rows = flows[flows["flow_id"] == stopped].set_index("statistic")
    assert "conversions: nothing to compare" == rows.loc["conversion_rate", "text"]
    assert rows.loc[["open_rate", "click_rate", "conversion_rate"], "p_value"].isna().all()


@pytest.mark.parametrize("variant", ["default", "quiet"])
def test_the_first_monday_has_no_false_fall(report: WeeklyReport, quiet: WeeklyReport, variant: str) -> None:
    """Without earlier answers a week of days that settle is held against the same final days, and the page says so."""
    told = report if variant == "default" else quiet
    first = WeeklyReport(replace(told.answers, history=told.answers.history.iloc[:0]))
    fell = first.family.changed.query("direction == 'down' and kind != 'silence'")
    assert {s.flow_id for s in STORIES if s.story == "click rate fell" and variant == "default"} >= set(fell["flow_id"])
    assert "on the 2 days that are final in both weeks" in first.notes().html
    assert "on the 2 days that are final in both weeks" in first.headline()["compared_how"]
    opens = first.claims.query("kind == 'account' and statistic == 'open_rate'")
    assert "no change larger than" == opens["verdict"].iloc[0]


def test_flows_are_ranked_by_what_changed(report: WeeklyReport) -> None:
    """Flows with a signal come first, in the order of the signals; then the money that moved falls."""
    signalled = list(dict.fromkeys(s.flow_id for s in report.signals))
    assert signalled == list(report.flows["flow_id"])[: len(signalled)]
    rest = report.flows.iloc[len(signalled) :]
    moved = (rest["conversion_value"].fillna(0) - rest["conversion_value_before"].fillna(0)).abs()
    assert moved.is_monotonic_decreasing


def test_effects_add_up_to_the_change(report: WeeklyReport) -> None:
    """What the messages contributed is the change of the flow's click rate."""
    flow = STORIES[0].flow_id
    parts = report.effects[report.effects["flow_id"] == flow]
    assert report.before is not None
    sides = [frame[frame["flow_id"] == flow] for frame in (report.before, report.answers.current)]
    rates = [side["clicks_unique"].sum() / side["delivered"].sum() for side in sides]
    assert parts["total_effect"].sum() == pytest.approx(rates[1] - rates[0], abs=1e-4)


def test_nothing_known_is_missing(report: WeeklyReport) -> None:
    """Each flow of discovery is either in the table or among those without numbers, with a reason."""
    shown = set(report.flows["flow_id"]) | set(report.coverage["flow_id"])
    assert set(report.answers.flows["flow_id"]) <= shown
    assert report.coverage["reason"].notna().all()
    assert {"draft", "archived"} <= set(report.coverage["reason"])


def test_vanished_flow_is_named(report: WeeklyReport) -> None:
    """A flow that sent in the last year and is in the account no more stands among those without numbers."""
    gone = STORIES[0].flow_id
    flows = report.answers.flows[report.answers.flows["flow_id"] != gone].reset_index(drop=True)
    rows = WeeklyReport(replace(report.answers, flows=flows)).coverage
    assert "deleted since it last sent" in rows.set_index("flow_id").loc[gone, "reason"]


def test_changes_since_last_time_are_listed(report: WeeklyReport) -> None:
    """The week before got more conversions since last Monday, and the section shows both numbers."""
    rows = report.restated[report.restated["statistic"] == "conversions"]
    assert (rows["after"] > rows["before"]).any()
    assert "9 November 2026" in report.notes().html


def test_forecast_lies_above_what_is_in(report: WeeklyReport) -> None:
    """With earlier Mondays in the store the week's conversions get a forecast with an interval."""
    found = report.settling
    assert 5 == found.open_days
    assert found.so_far is not None
    assert found.low is not None
    assert found.so_far <= found.low < found.final < found.high  # type: ignore[operator]


def test_a_week_unlike_the_others_has_a_warning_for_a_forecast(report: WeeklyReport) -> None:
    """A sale that trebles conversions per recipient is not forecast from quiet weeks; the page says so."""
    current = report.answers.current.copy()
    for column in ("conversions", "conversion_uniques"):
        current[column] = current[column] * 3
    found = WeeklyReport(replace(report.answers, current=current))
    assert found.settling.final is None
    assert "conversions per recipient are far more than in the 6 weeks before" in found.sentences[3].text


# --- which week ----------------------------------------------------------------------------------------------------


def test_last_complete_week_is_the_default() -> None:
    """On a Monday morning that is the week that ended yesterday."""
    assert "2026-W47" == report_week(pd.Timestamp(SANDBOX_NOW)).week


@pytest.mark.parametrize(
    ("week", "words"), [("2026-W49", "future"), ("2026-W48", "still running"), ("W47", "2026-W47")]
)
def test_unusable_weeks_are_refused(week: str, words: str) -> None:
    """A week to come, a running one and a label that is none are refused with the way out."""
    with pytest.raises(ArgumentError, match=words):
        report_week(pd.Timestamp(SANDBOX_NOW), week)


def test_running_week_is_marked(tmp_path: Path) -> None:
    """With allow_partial a running week is reported, and the page says so."""
    account = connect("sandbox", home=tmp_path, now=datetime.fromisoformat("2026-11-20T12:00:00+01:00"))
    found = WeeklyReport(fetch_week(account, week="2026-W47", allow_partial=True))
    assert found.answers.partial
    assert "still running" in found.first_screen().html
    assert found.headline()["is_partial"] is True


# --- what is asked -------------------------------------------------------------------------------------------------


def test_report_costs_six_requests_first_then_four_and_again_none(tmp_path: Path) -> None:
    """Any number of flows: two requests for the half-years before are sent once, four with each new week."""
    account = connect("sandbox", home=tmp_path)
    assert 6 == plan_week(account, week="2026-W46").requests
    assert 6 == fetch_week(account, week="2026-W46").requests
    assert 4 == plan_week(account).requests
    assert 4 == fetch_week(account).requests
    assert 0 == plan_week(account).requests
    assert 0 == fetch_week(connect("sandbox", home=tmp_path)).requests


def test_a_new_half_year_is_asked_once(tmp_path: Path) -> None:
    """A report of week 27, which needs a week of the second half-year before for the first time, costs one more."""
    account = connect("sandbox", home=tmp_path, now=datetime.fromisoformat("2026-07-06T09:00:00+02:00"))
    fetch_week(account, week="2026-W25")
    assert {"2026-W25": 0, "2026-W26": 4, "2026-W27": 5} == {
        week: plan_week(account, week=week).requests for week in ("2026-W25", "2026-W26", "2026-W27")
    }


def test_without_last_year_the_report_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the half-years costs the line, not the report, and a note says why."""
    from flowperf_helpers.sandbox import app

    account = connect("sandbox", home=tmp_path)
    send = app.SandboxApp.__call__

    def refusing(self: Any, environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        if b"2025-06-30" in body:
            environ["PATH_INFO"] = "/api/nowhere"
        return send(self, environ, start_response)

    monkeypatch.setattr(app.SandboxApp, "__call__", refusing)
    answers = fetch_week(account)
    assert answers.last_year is None
    assert any(note.startswith("The weeks of the year before are not drawn: ") for note in answers.notes)
    assert "The weeks of the year before are not drawn" in _page(WeeklyReport(answers))


def test_of_several_metrics_the_year_before_is_not_asked(tmp_path: Path) -> None:
    """Each flow judged by its own trigger costs four requests a metric, as without the line."""
    account = connect("sandbox", home=tmp_path)
    account.settings = replace(account.settings, conversion_metric=None)
    plan = plan_week(account, integration="YourIntegration").to_frame()
    assert 1 < plan["conversion_metric_id"].nunique()
    assert not plan["statistics"].eq(2).any()
    assert 4 * plan["conversion_metric_id"].nunique() == len(plan)


def test_a_metric_without_values_is_not_asked_for_last_year(tmp_path: Path) -> None:
    """Half-years are asked for their money; a metric that carries none, as a first answer tells, has none."""
    account = connect("sandbox", home=tmp_path)
    assert 6 == plan_week(account, conversion_metric="REcTBe").requests
    assert not account.refuses_values("REcTBe")
    answers = fetch_week(account, conversion_metric="REcTBe")
    assert account.refuses_values("REcTBe")
    assert answers.last_year is None
    assert 4 == answers.requests - 1  # one of them was the refusal
    assert 4 == plan_week(account, week="2026-W46", conversion_metric="REcTBe").requests


def test_other_weeks_than_iso_weeks_cost_the_year(tmp_path: Path) -> None:
    """Where Klaviyo's weeks start on Sunday the fourth request goes to the week before, and a year ago is not known."""
    account = connect("sandbox", home=tmp_path, sandbox={"week_starts": "sunday"})
    assert 6 == plan_week(account).requests
    answers = fetch_week(account)
    assert 6 == answers.requests
    assert answers.year_ago is None
    assert answers.last_year is not None
    assert 26 == answers.last_year["interval_start"].nunique()
    assert {7} == set((answers.last_year["interval_end"] - answers.last_year["interval_start"]).dt.round("D").dt.days)
    monday = fetch_week(connect("sandbox", home=tmp_path / "monday")).last_year
    assert monday is not None
    sums = [frame.groupby("interval_start")["recipients"].sum() for frame in (answers.last_year, monday)]
    assert (sums[0] / sums[1]).between(0.8, 1.25).all()
    assert answers.previous is not None
    assert 0 < answers.previous["delivered"].sum()
    assert "another day" in answers.unknown["year_ago"]


def test_integration_narrows_the_flows(tmp_path: Path) -> None:
    """Only flows that the integration's metrics trigger are reported."""
    found = fetch_week(connect("sandbox", home=tmp_path), integration="YourIntegration")
    assert 0 < found.flows["flow_id"].nunique() < 10
    assert set(found.current["flow_id"]) <= set(found.flows["flow_id"])


def test_unknown_integration_is_refused(tmp_path: Path) -> None:
    """A misspelt integration names what is near."""
    with pytest.raises(UnknownNameError, match="YourIntegration"):
        fetch_week(connect("sandbox", home=tmp_path), integration="Your Integration")


def test_ambiguous_metric_lists_its_candidates(tmp_path: Path) -> None:
    """A metric name that fits several metrics is refused with id and integration of each."""
    with pytest.raises(ArgumentError, match="RplOrd.*Shopify|Shopify.*RplOrd"):
        fetch_week(connect("sandbox", home=tmp_path), conversion_metric="Placed Order")


@pytest.mark.parametrize("variant", ["no_flows", "empty_window"])
def test_no_rows_where_rows_were_due_is_an_error(variant: str, tmp_path: Path) -> None:
    """An answer without a row is not made into a pretty empty page."""
    with pytest.raises(NoRowsError):
        fetch_week(connect("sandbox", home=tmp_path, variant=variant))


def test_drafts_only_is_an_error_with_the_reason(tmp_path: Path) -> None:
    """An account with drafts only is told so."""
    with pytest.raises(NoRowsError, match="none of them live"):
        fetch_week(connect("sandbox", home=tmp_path, variant="drafts_only"))


# --- the files -----------------------------------------------------------------------------------------------------


def test_headline_fits_its_schema(report: WeeklyReport, tmp_path: Path) -> None:
    """The JSON file is what the schema in the package describes, also where numbers are missing."""
    schema = json.loads((templates_folder() / "headline.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    bare = WeeklyReport(replace(report.answers, previous=None, year_ago=None, history=report.answers.history.iloc[:0]))
    for number, found in enumerate((report, bare)):
        found.save(tmp_path / str(number))
        values = json.loads((tmp_path / str(number) / "headline.json").read_text(encoding="utf-8"))
        wrong = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).iter_errors(values)
        assert [] == [error.message for error in wrong]


def test_tidy_frame_holds_every_answer(report: WeeklyReport) -> None:
    """One row per answer, group and interval, with the statistics' own dtypes."""
    table = report.tidy()
    answers: WeekData = report.answers
    assert {
        "values": len(answers.current),
        "previous": len(answers.previous),  # type: ignore[arg-type]
        "year_ago": len(answers.year_ago),  # type: ignore[arg-type]
        "weekly": len(answers.weekly),
        "last_year": len(answers.last_year),  # type: ignore[arg-type]
        "daily": len(answers.daily),
    } == table["frame"].value_counts().to_dict()
    assert "Int64" == str(table["delivered"].dtype)
    assert "float64" == str(table["click_rate"].dtype)
    keys = ["frame", "flow_id", "flow_message_id", "send_channel", "variation", "interval_start"]
    assert not table.duplicated(keys).any()


def test_without_a_folder_nothing_is_saved(report: WeeklyReport) -> None:
    """The notebook run by hand writes no files."""
    assert [] == report.save("")


# --- the page ------------------------------------------------------------------------------------------------------


VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Page(HTMLParser):
    """Collects what a browser would fetch, the anchors, the ids, and tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.heads: list[int] = []
        self.open: list[str] = []
        self.handlers: list[str] = []
        self.unclosed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.handlers += [name for name in facts if name.startswith("on")]
        self.fetched += [str(facts[a]) for a in ("src", "srcset", "data", "poster") if a in facts]
        if tag == "link":
            self.fetched.append(str(facts.get("href")))
        if tag == "a":
            self.targets.append(str(facts.get("href")))
        if "id" in facts:
            self.ids.append(str(facts["id"]))
        if re.fullmatch("h[1-6]", tag):
            self.heads.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)


@pytest.fixture(scope="module")
def page(report: WeeklyReport) -> str:
    """Render the whole page."""
    return _page(report)


def test_page_asks_nobody(page: str) -> None:
    """Nothing is fetched, the policy forbids it; links stay on the page or lead to the flow's own page at Klaviyo."""
    parsed = _Page()
    parsed.feed(page)
    assert [] == [address for address in parsed.fetched if not address.startswith("data:")]
    outside = [target for target in parsed.targets if not target.startswith("#")]
    assert outside
    assert all(re.fullmatch(r"https://www\.klaviyo\.com/flow/\w+/edit", target) for target in outside)
    assert {target[1:] for target in parsed.targets if target.startswith("#")} <= set(parsed.ids)
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {"#ha"}
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_page_is_well_formed(page: str) -> None:
    """Tags close in order, ids are unique, one first heading, and no level is skipped."""
    parsed = _Page()
    parsed.feed(page)
    assert [] == parsed.unclosed
    assert [] == [i for i in set(parsed.ids) if parsed.ids.count(i) > 1]
    assert 1 == parsed.heads.count(1)
    assert all(after - before <= 1 for before, after in zip(parsed.heads, parsed.heads[1:], strict=False))


def test_page_is_for_phone_paper_and_dark_rooms(page: str) -> None:
    """A viewport for phones, a style for printing, colours for the dark; pictures carry words."""
    assert re.search(r'<meta [^>]*content="width=device-width, initial-scale=1"', page)
    assert "@media print" in page
    assert "prefers-color-scheme:dark" in page
    said = re.findall(r'role="img"[^>]* aria-label="[^"]+"|role="img"><title>[^<]', page)
    assert page.count('role="img"') == len(said)


def test_page_says_sandbox(report: WeeklyReport, page: str) -> None:
    """Invented numbers are marked in plain sight; a real account's page has no such mark."""
    assert "SANDBOX" in page
    real = WeeklyReport(replace(report.answers, account={**report.answers.account, "sandbox": False}))
    assert "SANDBOX" not in _page(real)


def test_page_hides_code(page: str) -> None:
    """Code stays in the notebook."""
    assert "secret_code" not in page


def test_page_of_many_flows_stays_a_page(report: WeeklyReport) -> None:
    """500 flows: all in the table, a dozen shown until more is asked for, under a megabyte."""
    found = WeeklyReport(sized_week(report.answers, 500))
    html = _page(found)
    rows = html.count("<tbody data-n") + html.count('<tbody class="x" data-n')
    assert 300 < len(found.flows) == rows
    assert rows - html.count('<tbody class="x"') == max(12, html.count('data-g="1"'))
    assert len(html.encode()) < 1_000_000


# --- every section where it has something to say -------------------------------------------------------------------


@pytest.fixture(scope="module")
def talkative(report: WeeklyReport) -> WeeklyReport:
    """Make a report in which every section has rows: conversions arrived between two requests; one note was made."""
    current = report.answers.current.copy()
    late = current.index[current["conversions"].fillna(0) > 20][:3]
    current.loc[late, "conversions"] = current.loc[late, "conversions"] + 5
    return WeeklyReport(replace(report.answers, current=current, notes=["A note on an answer."]))


def _tables(found: WeeklyReport) -> dict[str, tuple[pd.DataFrame, Table]]:
    """Every table of the notes with the frame that feeds it, made by the function that feeds it."""
    weeks, currency = found.restated_weeks, found.answers.account["currency"]
    return {
        "unsent": (found.coverage, unsent_table(found.coverage, found.names, limit=999)),
        "restated": (weeks, restated_table(weeks, currency, limit=999)),
        "disagreements": (found.reconciled, disagreement_table(found.reconciled, found.names, currency)),
        "variations": (found.family.tests, variations_table(found.family.tests)),
    }


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("unsent", ["flow_status", "reason"]), ("restated", ["before", "after", "change", "share", "messages"]),
        ("disagreements", ["values", "series_sum", "reasons"]),
        ("variations", ["denominator", "rate", "low", "probability_best", "klaviyo_rule", "may_stop"]),
    ],
)  # fmt: skip
def test_each_table_prints_what_feeds_it(talkative: WeeklyReport, name: str, printed: list[str]) -> None:
    """Each table of the page has rows, as many as its frame, a cell per head, and no dash for what the frame knows."""
    frame, table = _tables(talkative)[name]
    assert 0 < len(frame) == len(table.rows)
    assert {len(table.heads)} == {len(row) for row in table.rows}
    known = int(frame[printed].notna().to_numpy().sum())
    filled = sum(formats.MISSING not in str(c.text) and str(c.text) != "" for row in table.rows for c in row)
    assert filled >= known


def test_a_row_opens_to_what_its_finding_rests_on(report: WeeklyReport) -> None:
    """The statistic of the finding over the weeks, the guilty message first with its share, and where it came from."""
    rows = {row.flow_id: row for row in flow_rows(report.view)}
    story = next(s for s in STORIES if s.story == "spam spike")
    opened = rows[story.flow_id].evidence
    assert opened is not None
    assert opened.chart is not None
    assert "Spam complaint rate" in opened.chart.title
    assert [True] + [False] * (len(opened.messages) - 1) == [m.is_cause for m in opened.messages]
    assert "all" == opened.messages[0].share
    assert ["Audience mix", "Messages’ own rate", "Total"] == [label for label, *_ in opened.mix]
    silent = rows[next(s for s in STORIES if s.story == "flow stopped").flow_id].evidence
    assert silent is not None
    assert silent.chart is not None
    assert "Recipients a day" in silent.chart.title
    assert silent.chart.data.split("|")[1].endswith(" 0 0 0")


def test_flows_with_a_signal_come_first_however_many_signals_they_have() -> None:
    """A flow with one signal stands before one with none, also where another flow has several and money moved there."""
    table = pd.DataFrame({"flow_id": ["calm", "once", "thrice"], "delivered": [9, 9, 9]})
    ranked = _ranked(table, ["thrice", "thrice", "thrice", "once"], {"calm": 500.0}, {})
    assert ["thrice", "once", "calm"] == list(ranked["flow_id"])


def test_a_flow_without_a_status_is_unknown(report: WeeklyReport) -> None:
    """Where Klaviyo sends no status the page says so, and is made."""
    flows = report.answers.flows.copy()
    flows["flow_status"] = flows["flow_status"].mask(flows["flow_id"] == report.view.order[0])
    found = WeeklyReport(replace(report.answers, flows=flows))
    assert "unknown" == next(row.status for row in flow_rows(found.view) if row.flow_id == report.view.order[0])
    assert "unknown" in found.flow_sections().html


def test_each_flow_has_its_numbers_in_its_row(report: WeeklyReport) -> None:
    """Money, change, deliveries and rates of a row are those of the flow; flows with a finding come first."""
    rows = flow_rows(report.view)
    table = report.flows.set_index("flow_id")
    assert sorted(table.index) == sorted(row.flow_id for row in rows)
    for row in rows:
        expected = table.loc[row.flow_id]
        assert formats.count_text(expected["delivered"]) == row.delivered
        if pd.notna(expected["conversion_value"]):
            assert formats.money_text(expected["conversion_value"], "EUR", whole=True) == row.money
    flags = [row.is_signal for row in rows]
    assert flags == sorted(flags, reverse=True)
    rest = [float(row.keys["r"] or 0) for row in rows if not row.is_signal]
    assert rest == sorted(rest, reverse=True)


def test_the_title_is_the_finding(report: WeeklyReport, quiet: WeeklyReport) -> None:
    """The amount, where it is heading and where that lies; the largest part of the change; what to do, once first."""
    value = next(t for t in report.tiles if t.statistic == "conversion_value").value
    html = report.first_screen().html
    assert report.view.title.startswith(f"€{value:,.0f} so far, heading for about €")
    assert report.view.title.endswith(": the low end of usual")
    assert quiet.view.title.endswith(": an ordinary week")
    assert "which fell silent" in html
    assert 1 == html.count("Do first:")
    assert 3 == html.count('<li><span class="g bad"')
    assert "is silent since Tuesday" in html
    assert "“We miss you”" in html
    calm = quiet.first_screen().html
    assert "Nothing left its usual range" in calm
    assert "Nothing to do this week." in calm


def test_disagreeing_answers_are_shown_with_both_numbers(talkative: WeeklyReport) -> None:
    """Conversions came between two requests: both numbers and the likely reason are on the page and in a sheet."""
    found = talkative.reconciled
    assert len(found)
    html = talkative.notes().html
    assert "Answers that disagree" in html
    for row in found.to_dict("records"):
        assert f"{row['values']:,.0f}" in html
        assert f"{row['series_sum']:,.0f}" in html
    assert escape(found["reasons"].iloc[0]) in html
    assert len(found) == len(talkative.tables()["answers that disagree"])


def test_each_section_has_something_to_say(talkative: WeeklyReport) -> None:
    """No part of the page is empty, and none of the words for an empty part is left."""
    html = "".join(section.html for section in talkative.parts())
    for words in ("None: every known message", "Nothing that was reported before", "nothing to compare with"):
        assert words not in html
    for words in ("What changed", "Revenue per recipient", "of the money", "All flows", "Open this flow in Klaviyo",
                  "Its test", "Not final yet", "archived", "Earlier weeks whose numbers changed", "Time zone",
                  "Denominators found in your data", "A note on an answer.", "What was asked"):  # fmt: skip
        assert words in html


def test_events_and_targets_are_drawn(report: WeeklyReport) -> None:
    """What accounts.toml names stands in the picture and in the words below it; a day outside of it does not."""
    events = [{"date": "2026-10-12", "text": "autumn sale"}, {"date": "2024-01-01", "text": "long ago"}]
    account = {**report.answers.account, "events": events, "targets": {"weekly_revenue": 140_000}}
    html = WeeklyReport(replace(report.answers, account=account)).first_screen().html
    assert "autumn sale (12 Oct)" in html
    assert 1 == len(re.findall(r"<text class=ev [^>]*>autumn sale<", html))
    assert "long ago" not in html
    assert "€140k" in html
    assert "class=tg " in html
    assert "class=tg " not in report.first_screen().html


def test_holidays_of_a_country_are_marked(tmp_path: Path, report: WeeklyReport) -> None:
    """Those of a country or of a part of it, in English; none where the account names no country."""
    account = connect("sandbox", home=tmp_path)
    account.settings = replace(account.settings, holidays="DE-BY")
    found = WeeklyReport(fetch_week(account))
    told = {f"{day}": words for _, words, day in pictures.events(found.view)}
    assert "German Unity Day" == told["2026-10-03"]
    assert "Corpus Christi" == told["2026-06-04"]  # a holiday in Bavaria, not in Berlin
    assert "German Unity Day (3 Oct)" in found.first_screen().html
    assert "German Unity Day" not in report.first_screen().html


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [("€112k", "€129k", "€112–129k"), ("DKK\N{NO-BREAK SPACE}64k", "DKK\N{NO-BREAK SPACE}99.7k",
                                       "DKK\N{NO-BREAK SPACE}64–99.7k"),
     ("€950k", "€1.1M", "€950k–1.1M"), ("€640", "€999", "€640–999"), ("€0", "€1.2k", "€0–1.2k")],
)  # fmt: skip
def test_a_range_of_money_says_currency_and_unit_once(low: str, high: str, said: str) -> None:
    """What both ends share is written once; a unit that only one has stays with it."""
    assert said == pictures._span(low, high)


def test_a_day_that_has_a_name_of_its_own_is_marked_once(report: WeeklyReport) -> None:
    """Singles' Day gives way to what the account calls that day."""
    events = [{"date": "2026-11-11", "text": "Armistice Day"}]
    answers = replace(report.answers, account={**report.answers.account, "events": events})
    words = [text for _, text, day in pictures.events(WeeklyReport(answers).view) if f"{day}" == "2026-11-11"]
    assert ["Armistice Day"] == words


# --- whose number it is --------------------------------------------------------------------------------------------


def _claim(**row: object) -> Claims:
    base: dict[str, object] = {
        "kind": "message", "flow_id": "F", "flow_message_id": "m2", "send_channel": "email", "variation": "",
        "statistic": "click_rate", "verdict": "changed", "direction": "down", "now": 0.0682, "usual": 0.0801,
        "change": -0.15, "low": -0.25, "high": -0.04, "q_value": 0.001, "text": "", "cause_text": "",
    }  # fmt: skip
    return Claims(pd.DataFrame([base | row]).reindex(columns=COLUMNS), pd.DataFrame(), pd.DataFrame())


def test_a_number_of_a_message_is_told_as_the_messages() -> None:
    """A message's rate carries the message's name and its flow's, on the page and in the summary; so does its stop."""
    names, messages = {"F": "Browse Abandonment"}, {"m2": "Second mail"}
    (rate,) = claim_signals(_claim(), names, messages)
    assert "Click rate of message “Second mail” of “Browse Abandonment” fell from a usual 8.01" in rate.sentence
    assert "of message “Second mail” of “Browse Abandonment” fell" in rate.short
    assert "m2" == rate.flow_message_id
    quiet = {"kind": "silence", "silent_since": "2026-11-18", "silent_unit": "day", "sent_before": 90.0}
    (message,) = claim_signals(_claim(**quiet), names, messages)
    told = "has sent nothing since Wednesday 18 November, after about 90 recipients a day."
    assert f"Message “Second mail” of “Browse Abandonment” {told}" == message.sentence
    assert "m2" == message.flow_message_id
    assert "2026-11-18" == message.since
    claim = _claim(**quiet | {"flow_message_id": ""})
    (whole,) = claim_signals(claim, names, messages)
    assert f"“Browse Abandonment” {told}" == whole.sentence
    assert not whole.flow_message_id


# --- probabilities -------------------------------------------------------------------------------------------------


def test_no_probability_is_certain(report: WeeklyReport) -> None:
    """A computed probability is printed neither as 100 % nor as 0.000 %."""
    certain = report.family.tests.head(2).assign(flow_id=report.flows["flow_id"].iloc[0],
                                                 probability_best=[0.99999, 0.00001])  # fmt: skip
    printed = [str(row[4].text) for row in variations_table(certain).rows]
    assert ["over 99.9\N{NO-BREAK SPACE}%", "under 0.1\N{NO-BREAK SPACE}%"] == printed


# --- what may be compared ------------------------------------------------------------------------------------------


def _settled(report: WeeklyReport, share: float) -> WeeklyReport:
    """Both weeks settled, no earlier answer kept, and a share of one large flow's conversions gone."""
    current = report.answers.current.copy()
    flow = current.groupby("flow_id")["conversion_uniques"].sum().idxmax()
    rows = current["flow_id"] == flow
    for column in ("conversion_uniques", "conversions"):
        kept = (current.loc[rows, column].astype("float64") * share).round()
        current.loc[rows, column] = kept.astype("Int64")
    current.loc[rows, "conversion_rate"] *= share
    answers = replace(
        report.answers,
        current=current,
        daily=report.answers.daily.assign(is_provisional=False),
        weekly=report.answers.weekly.assign(is_provisional=False),
        history=report.answers.history.iloc[:0],
    )
    return WeeklyReport(answers)


def test_settled_weeks_are_compared_without_earlier_answers(report: WeeklyReport) -> None:
    """Where every day of both weeks is settled, a fall of conversions is a signal, in the headline, and judged."""
    found = _settled(report, 0.3)
    assert not found.equal_age
    assert 0 == found.settling.open_days
    flow = report.answers.current.groupby("flow_id")["conversion_uniques"].sum().idxmax()
    signal = next(s for s in found.signals if (s.flow_id, s.statistic, s.kind) == (flow, "conversion_rate", "change"))
    assert signal.q_value < 1e-6
    assert "Conversion rate" in signal.sentence
    assert "conversion rate" in found.sentences[0].text
    assert "both weeks settled" in found.sentences[1].text
    assert not found.family.basis


def test_page_and_json_say_the_same_verdicts(report: WeeklyReport) -> None:
    """JSON and sheet are one decision, on a first Monday and at equal age; so is what the page counts."""
    alone = WeeklyReport(replace(report.answers, history=report.answers.history.iloc[:0]))
    for told in (alone, report):
        sheet = told.tables()["claims"].query("kind == 'account'").set_index("statistic")
        assert f"among {told.headline()['comparisons']} comparisons" in told.first_screen().html
        for value, tile in zip(told.headline()["numbers"], told.tiles, strict=True):
            assert value["verdict"] == tile.verdict
            assert (value["claim"] or "") == tile.claim
            if tile.statistic in sheet.index:
                assert sheet.loc[tile.statistic, "text"] == tile.claim


def test_part_of_a_week_is_not_compared_with_a_whole_one(tmp_path: Path) -> None:
    """A running week of a day and a half shows no change against the seven days before, and says why."""
    account = connect("sandbox", home=tmp_path, now=datetime.fromisoformat("2026-11-17T12:00:00+01:00"))
    answers = fetch_week(account, week="2026-W47", allow_partial=True)
    found = WeeklyReport(replace(answers, history=answers.history.iloc[:0]))
    assert answers.previous is not None
    assert all(tile.difference is None and tile.verdict is None for tile in found.tiles)
    assert "this week still runs" in found.tiles[0].beside("previous")
    assert "than the week before" not in found.sentences[1].text
    assert "a part of a week says nothing beside a whole one" in found.sentences[0].text
    assert {"split test"} >= set(found.family.changed["kind"])
    assert "No day of the week is final yet" in found.family.basis
    assert "first week with sends" not in _page(found)
    assert not [row for row in flow_rows(found.view) if row.change]
    assert "a part of a week is not compared with a whole one" in found.first_screen().html


def test_money_of_a_part_is_told_as_of_that_part(report: WeeklyReport) -> None:
    """Where some conversions carry no money, sentence, tile, page and JSON say of how many the money is."""
    current = report.answers.current.copy()
    rows = current["flow_id"] == current["flow_id"].iloc[0]
    for value in (float("nan"), 0.0):
        current.loc[rows, "conversion_value"] = value
        current.loc[rows, "conversion_metric_id"] = "Other1"
        found = WeeklyReport(replace(report.answers, current=current))
        total = int(current["conversions"].sum())
        without = int(current.loc[rows, "conversions"].sum())
        assert 0 < without < total
        assert f"from {total - without:,} of {total:,} conversions" in found.sentences[1].text
        assert f"the other {without:,} carry no money" in found.sentences[1].text
        told = f"of {total - without:,} of {total:,} conversions: the others carry no money"
        assert told in found.first_screen().html
        assert told == found.headline()["numbers"][0]["note"]
    assert "carry no money" not in report.first_screen().html


def test_no_event_among_many_has_an_upper_limit(report: WeeklyReport) -> None:
    """None in some 600,000 is known to be rare: the interval reaches from 0 to 0.0006 %, in tile and JSON."""
    current = report.answers.current.copy()
    current["spam_complaints"] = current["spam_complaints"] * 0
    current["spam_complaint_rate"] = current["spam_complaint_rate"] * 0.0
    trials = rate_counts(current)["spam_complaint_rate"][1]
    current["delivered"] = (current["delivered"] * round(600_000 / trials)).astype("Int64")
    current["recipients"] = (current["recipients"] * round(600_000 / trials)).astype("Int64")
    tile = next(t for t in WeeklyReport(replace(report.answers, current=current)).tiles
                if t.statistic == "spam_complaint_rate")  # fmt: skip
    assert 0 == tile.value == tile.low
    trials = rate_counts(current)["spam_complaint_rate"][1]
    assert tile.high == pytest.approx(1.96**2 / (trials + 1.96**2), rel=1e-3)


# --- a year ago ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("week", "before", "words"),
    [
        ("2026-W47", "2025-W47", "the same week a year ago"),
        ("2027-W01", "2026-W01", "the same week a year ago"),
        ("2027-W10", "2026-W10", "the same week a year ago"),
        ("2026-W53", "2026-W01", "52 weeks ago, 2026-W01, as the year before has no week 53"),
    ],
)
def test_a_year_ago_is_the_week_of_the_same_number(report: WeeklyReport, week: str, before: str, words: str) -> None:
    """The ISO week of the same number, also after a year of 53 weeks; for week 53 the page says what it took."""
    assert before == a_year_before(iso_week(week)).week
    answers = replace(report.answers, window=iso_week(week))
    assert words in answers.year_ago_words
    assert before in answers.year_ago_words
    found = WeeklyReport(answers)
    assert words in found.sentences[1].text
    assert words in found.notes().html
    assert before == found.headline()["year_ago_week"]


def test_a_year_ago_is_asked_for_by_its_number(tmp_path: Path) -> None:
    """In week 10 of 2027 the plan asks for week 10 of 2026, not for the week 364 days before."""
    account = connect("sandbox", home=tmp_path, now=datetime.fromisoformat("2027-03-15T09:00:00+01:00"))
    printed = plan_week(account, week="2027-W10").to_frame().to_string()
    assert "2026-03-02 to 2026-03-08" in printed
    assert "2026-03-09" not in printed


@pytest.mark.parametrize(
    ("week", "first", "last", "halves"),
    [
        ("2026-W47", "2025-W22", "2025-W47", ["2024-12-30 to 2025-06-29", "2025-06-30 to 2025-12-28"]),
        ("2026-W52", "2025-W27", "2025-W52", ["2025-06-30 to 2025-12-28"]),
        ("2026-W53", "2025-W28", "2026-W01", ["2025-06-30 to 2025-12-28", "2025-12-29 to 2026-06-28"]),
        ("2027-W05", "2025-W33", "2026-W05", ["2025-06-30 to 2025-12-28", "2025-12-29 to 2026-06-28"]),
    ],
)
def test_half_years_hold_the_weeks_of_the_year_before(
    tmp_path: Path, week: str, first: str, last: str, halves: list[str]
) -> None:
    """Each week of the picture has the week of its number; whole half-years are asked, also around a week 53."""
    weeks = last_year_weeks(iso_week(week))
    assert (26, first, last) == (len(weeks), weeks[0].week, weeks[-1].week)
    account = connect("sandbox", home=tmp_path, now=datetime.fromisoformat("2027-03-15T09:00:00+01:00"))
    planned = plan_week(account, week=week).to_frame()
    assert halves == sorted(planned.loc[planned["statistics"] == 2, "timeframe"])


def test_last_year_s_line_ends_with_what_the_week_a_year_ago_made(report: WeeklyReport, tmp_path: Path) -> None:
    """26 weeks, each at its place: equal to the revenue that those weeks' own values tell."""
    line = pictures._last_year(report.view, 26)
    assert np.isfinite(line).all()
    account = connect("sandbox", home=tmp_path)
    for place, week in ((-1, "2025-W47"), (-9, "2025-W39"), (0, "2025-W22")):  # summer time ends between two of them
        values = account.flow_values("RplOrd", timeframe=iso_week(week), statistics=["conversion_value"])
        assert values["conversion_value"].sum() == pytest.approx(line[place])
    known = report.answers.last_year
    assert known is not None
    young = known[known["interval_start"].isin(known["interval_start"].sort_values().unique()[20:])]
    assert np.isnan(pictures._last_year(WeeklyReport(replace(report.answers, last_year=young)).view, 26)).sum() == 20
    drawn = _page(report)
    assert "<bdi>A year ago</bdi></th>" in drawn
    assert re.search(r'class=ly d="M0,[\d.]+ 1,', drawn)


# --- earlier answers ------------------------------------------------------------------------------------------------


def _asked_later(report: WeeklyReport, hours: float, *, both: bool = False) -> WeekData:
    """As if last Monday's report had been made so many hours later, with the numbers of then (or also on time)."""
    history = report.answers.history
    monday = (history["fetched_at"] - (pd.Timestamp(SANDBOX_NOW) - pd.Timedelta(days=7))).abs() < pd.Timedelta("1h")
    late = history[monday].assign(fetched_at=history["fetched_at"] + pd.Timedelta(hours=hours))
    parts = [history, late] if both else [history[~monday], late]
    return replace(report.answers, history=pd.concat(parts, ignore_index=True))


@pytest.mark.parametrize(("hours", "equal"), [(-1.5, True), (1.5, True), (2.5, False), (35, False)])
def test_the_same_age_is_within_two_hours(report: WeeklyReport, hours: float, equal: bool) -> None:
    """Last week asked up to two hours earlier or later is of the same age; asked 35 hours late it is not."""
    before, found = _week_before(_asked_later(report, hours))
    assert equal == found
    assert before is not None
    whole = report.answers.previous if not equal else report.before
    assert whole["conversions"].sum() == before["conversions"].sum()  # type: ignore[index]


def test_the_nearest_of_several_answers_is_taken(report: WeeklyReport) -> None:
    """Asked on time and again later, the week before is shown as it stood on time."""
    answers = _asked_later(report, 1.0, both=True)
    late = answers.history["fetched_at"] == pd.Timestamp(SANDBOX_NOW) - pd.Timedelta(days=7) + pd.Timedelta(hours=1)
    assert late.any()
    answers.history.loc[late, "conversions"] += 100
    before, equal = _week_before(answers)
    assert equal
    assert before["conversions"].sum() == report.before["conversions"].sum()  # type: ignore[index]


def test_an_answer_about_some_flows_is_not_the_week(report: WeeklyReport) -> None:
    """Where only one flow was asked about at that age, the week before stands as it is today."""
    history = report.answers.history
    some = history[history["flow_id"] == history["flow_id"].iloc[0]].reset_index(drop=True)
    before, equal = _week_before(replace(report.answers, history=some))
    assert not equal
    assert before is report.answers.previous


def test_changed_weeks_are_summed_whole(report: WeeklyReport) -> None:
    """Both numbers of a week are those of all its messages; this report's own week is not listed."""
    weeks = report.restated_weeks
    starts = report.answers.window.bounds(report.answers.account["timezone"])[0]
    assert starts not in set(weeks["interval_start"])
    row = weeks[(weeks["interval_start"] == starts - pd.Timedelta(days=7)) & (weeks["statistic"] == "conversions")]
    assert report.answers.previous is not None
    assert report.before is not None
    assert int(report.answers.previous["conversions"].sum()) == int(row["after"].iloc[0])
    assert int(report.before["conversions"].sum()) == int(row["before"].iloc[0])
    assert row["change"].iloc[0] == row["after"].iloc[0] - row["before"].iloc[0]


def test_own_week_asked_before_is_not_a_change(report: WeeklyReport) -> None:
    """A report of a week that was asked about two days ago lists the weeks before it only."""
    history = report.answers.history
    starts = report.answers.window.bounds(report.answers.account["timezone"])[0]
    asked = history["fetched_at"].max()
    young = history[history["fetched_at"] == asked]
    young = young.assign(fetched_at=asked - pd.Timedelta(days=2), conversions=young["conversions"] // 2)
    found = WeeklyReport(replace(report.answers, history=pd.concat([history, young], ignore_index=True)))
    assert starts not in set(found.restated["interval_start"])
    assert starts not in set(found.restated_weeks["interval_start"])
    assert len(found.restated_weeks)


def test_a_second_report_of_a_day_lists_the_same_changes(report: WeeklyReport) -> None:
    """What was asked earlier on the same day is not what stood there last time."""
    history = report.answers.history
    asked = history["fetched_at"].max()
    morning = history[history["fetched_at"] == asked].assign(fetched_at=asked - pd.Timedelta(hours=4))
    again = replace(report.answers, history=pd.concat([history, morning], ignore_index=True))
    pd.testing.assert_frame_equal(report.restated_weeks, WeeklyReport(again).restated_weeks)
    pd.testing.assert_frame_equal(report.restated, WeeklyReport(again).restated)


def test_a_flow_under_two_triggers_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by its own trigger, a flow of two metrics stands under the one of the integration, and it is said."""
    asked = discovery.fetch_flow_triggers

    def twice(getter: discovery.Getter, metric_ids: list[str]) -> pd.DataFrame:
        found = asked(getter, metric_ids)
        return pd.concat([found[found["flow_id"] == "T7K2j8"].assign(metric_id="RplOrd"), found], ignore_index=True)

    monkeypatch.setattr(discovery, "fetch_flow_triggers", twice)
    account = connect("sandbox", home=tmp_path)
    account.settings = replace(account.settings, conversion_metric=None)
    answers = fetch_week(account, integration="YourIntegration")
    assert {"REcTBe"} == set(answers.current.loc[answers.current["flow_id"] == "T7K2j8", "conversion_metric_id"])
    assert any("T7K2j8 is triggered by several metrics and counted by REcTBe" in note for note in answers.notes)
    assert 1 == list(WeeklyReport(answers).flows["flow_id"]).count("T7K2j8")


@pytest.mark.parametrize("revision", ["2024-10-15", "2025-10-15"])
def test_an_older_revision_has_its_report(tmp_path: Path, report: WeeklyReport, revision: str) -> None:
    """Planned and made with what the revision tells: six requests, the numbers of the newest, and what is unknown."""
    account = connect("sandbox", home=tmp_path, environ={"KLAVIYO_REVISION": revision})
    assert 6 == plan_week(account).requests
    found = WeeklyReport(fetch_week(account))
    assert found.answers.last_year is not None
    sums = ["recipients", "clicks", "conversions"]
    expected = report.answers.current.groupby("flow_id")[sums].sum()
    pd.testing.assert_frame_equal(expected, found.answers.current.groupby("flow_id")[sums].sum())
    assert any(f"Revision {revision} does not return" in note for note in found.answers.notes)
    named = found.answers.messages.set_index("flow_message_id")["flow_message_name"]
    assert message_name(named["Wc1aEm"], found.names["XbChk1"]) in _page(found)
    arms = set(report.answers.current["variation"].dropna())
    assert arms
    assert arms.isdisjoint(found.answers.messages["flow_message_id"])


# --- data, numbers, files -------------------------------------------------------------------------------------------


def test_numbers_need_no_account_disk_or_network(report: WeeklyReport, monkeypatch: pytest.MonkeyPatch) -> None:
    """From answers in hand the numbers and the files are made without opening a file for writing or a connection."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the numbers of a week asked somebody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    numbers = compute(report.answers)
    pd.testing.assert_frame_equal(report.flows, numbers.flows)
    assert report.sentences == numbers.sentences
    made = files(numbers)
    assert ["data.parquet", "data.xlsx", "headline.json"] == sorted(made)
    assert report.answers.week == json.loads(made["headline.json"])["week"]
    assert len(report.tidy()) == len(pd.read_parquet(io.BytesIO(made["data.parquet"])))


def test_computing_leaves_the_answers_alone(report: WeeklyReport) -> None:
    """Computed twice from the same answers the numbers are equal, and no answer is changed."""
    before = report.answers.current.copy()
    assert compute(report.answers).sentences == report.sentences
    pd.testing.assert_frame_equal(before, report.answers.current)


@pytest.mark.parametrize("what", ["money", "clicks", "all but what was sent", "everything"])
@pytest.mark.parametrize("flow_id", [None, "XbChk1"])
def test_a_week_of_zeros_is_a_page(report: WeeklyReport, what: str, flow_id: str | None) -> None:
    """Where a flow, or the whole account, has nothing but zeros, every part of page and files is made all the same."""
    chosen = {
        "money": lambda name: "value" in name or "revenue" in name,
        "clicks": lambda name: "click" in name,
        "all but what was sent": lambda name: name not in ("recipients", "delivered"),
        "everything": lambda name: True,
    }[what]

    def zero(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        rows = pd.Series(True, index=frame.index) if flow_id is None else frame["flow_id"].eq(flow_id)
        for name in [name for name in frame.columns if name in STATISTICS and chosen(name)]:
            changed.loc[rows & frame[name].notna(), name] = 0
        return changed

    answers = report.answers
    frames = {name: zero(getattr(answers, name)) for name in ("current", "previous", "year_ago", "weekly", "daily")}
    found = WeeklyReport(replace(answers, **frames))
    page = "".join(part.html for part in found.parts())
    assert json.loads(files(found)["headline.json"])["week"] == answers.week
    assert {"clicks": "0.00\N{NO-BREAK SPACE}%"}.get(what, "€0") in page


@pytest.mark.parametrize("weeks", [1, 2, 3])
def test_a_young_account_has_a_page(report: WeeklyReport, weeks: int) -> None:
    """With one, two or three weeks and no earlier answers, every part of the page is there and calls nothing usual."""
    answers = report.answers
    last = sorted(answers.weekly["interval_start"].unique())[-weeks:]
    young = replace(
        answers, history=answers.history.iloc[:0], year_ago=None,
        weekly=answers.weekly[answers.weekly["interval_start"].isin(last)],
        daily=answers.daily[answers.daily["interval_start"] >= last[0]],
    )  # fmt: skip
    page = "".join(part.html for part in WeeklyReport(young).parts())
    assert "€97,064" in page
    assert "of usual</h1>" not in page
