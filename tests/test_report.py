"""The report's numbers and words: every planted story is told, none on the quiet twin, and gaps are said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from flowperf_helpers import connect, discovery
from flowperf_helpers.errors import ArgumentError, NoRowsError, UnknownNameError
from flowperf_helpers.page import notebook_page, templates_folder
from flowperf_helpers.report import WeekAnswers, WeeklyReport, fetch_week, plan_week, report_week
from flowperf_helpers.report.measures import before_at_equal_age
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


def _said(found: WeeklyReport) -> set[tuple[str, str]]:
    return {(signal.flow_id, signal.statistic) for signal in found.signals}


def _page(found: WeeklyReport) -> str:
    sections = [
        found.first_screen(),
        found.flow_sections(),
        found.signal_section(),
        found.honest_section(),
        found.closing_section(),
    ]
    outputs = [
        {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/html": s.html}}
        for s in sections
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


def test_quiet_twin_tells_no_story(quiet: WeeklyReport) -> None:
    """On the same world without stories none of them is a signal, and the sentences say that nothing moved."""
    assert set() == _said(quiet) & {(s.flow_id, s.statistic) for s in STORIES}
    moved, _, stopped, _, first = quiet.sentences
    assert "Nothing moved beyond what chance explains" in moved.text
    assert "No flow that had been sending fell silent." == stopped.text
    assert "Nothing asks for a look first" in first.text


def test_direction_and_winner_are_right(report: WeeklyReport) -> None:
    """The click rate fell, the complaints rose, the right variation wins, the right flow fell silent."""
    by_key = {(s.flow_id, s.kind): s for s in report.signals}
    truth = {story.story: story for story in STORIES}
    assert "fell" in by_key[(truth["click rate fell"].flow_id, "change")].sentence
    assert "rose" in by_key[(truth["spam spike"].flow_id, "change")].sentence
    winner = report.duels[report.duels["is_best"] & report.duels["flow_id"].eq(truth["variation wins"].flow_id)]
    assert [truth["variation wins"].variation] == list(winner["variation"]) or len(winner) == 1
    assert (truth["flow stopped"].flow_id, "stopped") in by_key


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
    assert "nothing to compare" in page
    assert "not known: nothing was sent in the week before" in page
    assert "This is the first report of this account on this machine" in page


# --- comparisons ---------------------------------------------------------------------------------------------------


def test_week_before_is_taken_at_the_same_age(report: WeeklyReport) -> None:
    """With last Monday's answer in the store the week before is shown as it stood then, poorer than it stands today."""
    before, equal = before_at_equal_age(report.answers)
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
    change = report.changes[(report.changes["flow_id"] == flow) & (report.changes["statistic"] == "click_rate")]
    assert parts["total_effect"].sum() == pytest.approx(float(change["difference"].iloc[0]), abs=1e-4)


def test_nothing_known_is_missing(report: WeeklyReport) -> None:
    """Each flow of discovery is either in the table or among those without numbers, with a reason."""
    shown = set(report.flows["flow_id"]) | set(report.honest["flow_id"])
    assert set(report.answers.flows["flow_id"]) <= shown
    assert report.honest["reason"].notna().all()
    assert {"draft", "archived"} <= set(report.honest["reason"])


def test_vanished_flow_is_named(report: WeeklyReport) -> None:
    """A flow that sent in the last year and is in the account no more stands among those without numbers."""
    gone = STORIES[0].flow_id
    flows = report.answers.flows[report.answers.flows["flow_id"] != gone].reset_index(drop=True)
    rows = WeeklyReport(replace(report.answers, flows=flows)).honest
    assert "vanished" in rows.set_index("flow_id").loc[gone, "reason"]


def test_changes_since_last_time_are_listed(report: WeeklyReport) -> None:
    """The week before got more conversions since last Monday, and the section shows both numbers."""
    rows = report.restated[report.restated["statistic"] == "conversions"]
    assert (rows["after"] > rows["before"]).any()
    assert "9 November 2026" in report.honest_section().html


def test_forecast_lies_above_what_is_in(report: WeeklyReport) -> None:
    """With earlier Mondays in the store the week's conversions get a forecast with an interval."""
    found = report.settling
    assert 5 == found.open_days
    assert found.so_far is not None
    assert found.low is not None
    assert found.so_far <= found.low < found.final < found.high  # type: ignore[operator]


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


def test_report_costs_four_requests_and_then_none(tmp_path: Path) -> None:
    """Any number of flows: four report requests the first time, none the second."""
    account = connect("sandbox", home=tmp_path)
    assert 4 == plan_week(account).requests
    assert 4 == fetch_week(account).requests
    assert 0 == plan_week(account).requests
    assert 0 == fetch_week(connect("sandbox", home=tmp_path)).requests


def test_other_weeks_than_iso_weeks_cost_the_year(tmp_path: Path) -> None:
    """Where Klaviyo's weeks start on Sunday the fourth request goes to the week before, and a year ago is not known."""
    account = connect("sandbox", home=tmp_path, sandbox={"week_starts": "sunday"})
    answers = fetch_week(account)
    assert 4 == answers.requests
    assert answers.year_ago is None
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
        jsonschema.validate(values, schema, format_checker=jsonschema.FormatChecker())


def test_tidy_frame_holds_every_answer(report: WeeklyReport) -> None:
    """One row per answer, group and interval, with the statistics' own dtypes."""
    table = report.tidy()
    answers: WeekAnswers = report.answers
    assert {
        "values": len(answers.current),
        "previous": len(answers.previous),  # type: ignore[arg-type]
        "year_ago": len(answers.year_ago),  # type: ignore[arg-type]
        "weekly": len(answers.weekly),
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
    """Not one outside request: no address is fetched, every link stays on the page, and the policy forbids the rest."""
    parsed = _Page()
    parsed.feed(page)
    assert [] == [address for address in parsed.fetched if not address.startswith("data:")]
    assert [] == [target for target in parsed.targets if not target.startswith("#")]
    assert {target[1:] for target in parsed.targets} <= set(parsed.ids)
    assert "url(" not in page
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
    assert page.count('role="img"') == len(re.findall(r'<svg [^>]*role="img"[^>]*><title>[^<]', page))


def test_page_says_sandbox(report: WeeklyReport, page: str) -> None:
    """Invented numbers are marked in plain sight; a real account's page has no such mark."""
    assert "SANDBOX" in page
    real = WeeklyReport(replace(report.answers, account={**report.answers.account, "sandbox": False}))
    assert "SANDBOX" not in _page(real)


def test_page_hides_code(page: str) -> None:
    """Code stays in the notebook."""
    assert "secret_code" not in page


def test_page_of_many_flows_stays_a_page(tmp_path: Path) -> None:
    """500 flows: all in the table, the first 60 with a block of their own, under three megabytes."""
    found = _report(tmp_path, "many_flows")
    html = _page(found)
    assert 400 < len(found.views)
    assert 60 == html.count("<article")
    assert len(html) < 3_000_000


def test_a_flow_under_two_triggers_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by its own trigger, a flow of two metrics stands under the one of the integration, and it is said."""
    asked = discovery.fetch_flow_triggers

    def twice(wire: discovery.Wire, metric_ids: list[str]) -> pd.DataFrame:
        found = asked(wire, metric_ids)
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
    """Planned and made with what the revision tells: four requests, the numbers of the newest, and what is unknown."""
    account = connect("sandbox", home=tmp_path, environ={"KLAVIYO_REVISION": revision})
    assert 4 == plan_week(account).requests
    found = WeeklyReport(fetch_week(account))
    sums = ["recipients", "clicks", "conversions"]
    expected = report.answers.current.groupby("flow_id")[sums].sum()
    pd.testing.assert_frame_equal(expected, found.answers.current.groupby("flow_id")[sums].sum())
    assert any(f"Revision {revision} does not tell" in note for note in found.answers.notes)
    named = found.answers.messages.set_index("flow_message_id")["flow_message_name"]
    assert str(named["Wc1aEm"]) in _page(found)
    arms = set(report.answers.current["variation"].dropna())
    assert arms
    assert arms.isdisjoint(found.answers.messages["flow_message_id"])
