"""The planner: what is wanted becomes the least list of requests, and the cost is told before anything is sent."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowperf_helpers.account.planner import Plan, plan_requests
from flowperf_helpers.account.queries import SERIES, VALUES, ReportQuery, whole_windows
from flowperf_helpers.account.timeframes import MAX_DAYS, Window
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.klaviyo.client import ReportResponse

WEEK = ("2026-11-16", "2026-11-22")
ANSWER = ReportResponse((b"{}",), "2026-10-15", datetime(2026, 11, 23, tzinfo=UTC), from_store=True)
FLOWS = tuple(f"Flow{i:03d}" for i in range(142))


def values(**changes: object) -> ReportQuery:
    """A query for one week's clicks, changed."""
    return ReportQuery(**({"conversion_metric_id": "RplOrd", "timeframe": WEEK, "statistics": ["clicks"]} | changes))


def series(**changes: object) -> ReportQuery:
    """The same as a daily series."""
    return values(**({"interval": "daily"} | changes))


def test_equal_queries_are_one_request() -> None:
    """The same question asked three times costs one request."""
    plan = plan_requests([values(), values(), values()])
    assert 1 == plan.requests
    assert [0, 1, 2] == [part.number for part in plan.steps[0].slices]


def test_statistics_and_flows_are_united() -> None:
    """Wishes that differ only in statistics and flows become one request for all of it."""
    plan = plan_requests([values(flow_ids=["B"]), values(flow_ids=["A"], statistics=["opens", "clicks"])])
    (step,) = plan.steps
    assert ("clicks", "opens") == step.query.statistics
    assert ("A", "B") == step.query.flow_ids
    assert "2 queries" in step.why


def test_a_wish_for_all_flows_swallows_one_for_some() -> None:
    """Together with an unfiltered wish no filter is sent."""
    plan = plan_requests([values(flow_ids=["B"]), values()])
    assert [None] == [step.query.flow_ids for step in plan.steps]


@pytest.mark.parametrize(
    "other",
    [
        {"conversion_metric_id": "REcTBe"},
        {"timeframe": ("2026-11-09", "2026-11-15")},
        {"interval": "daily"},
        {"group_by": ["variation"]},
    ],
)
def test_what_changes_the_numbers_is_asked_apart(other: dict[str, object]) -> None:
    """Another metric, window, interval or grouping is another request."""
    assert 2 == plan_requests([values(), values(**other)]).requests


def test_channels_are_united_only_where_the_answer_tells_them() -> None:
    """Two channels share a request if send_channel is grouped by, else they cannot be told apart again."""
    pair = [{"send_channels": ["email"]}, {"send_channels": ["sms"]}]
    assert 1 == plan_requests([values(**p) for p in pair]).requests
    assert 2 == plan_requests([values(group_by=["flow_name"], **p) for p in pair]).requests


def test_more_than_a_hundred_flows_are_one_request_without_a_filter() -> None:
    """142 flows cost one request, not two, and the plan says why."""
    (step,) = plan_requests([values(flow_ids=FLOWS)]).steps
    assert step.query.filter is None
    assert "142 flows: one request for all and selection here, instead of 2" == step.why
    assert FLOWS == step.slices[0].cut.flow_ids


def test_ids_are_checked_beyond_the_first_hundred() -> None:
    """A wrong id in place 120 is refused before anything is sent."""
    with pytest.raises(ArgumentError, match="not an id of Klaviyo's"):
        values(flow_ids=[*FLOWS[:120], 'x")'])


def test_a_series_longer_than_the_cap_is_split() -> None:
    """A year of days is seven requests, and they meet without a gap."""
    plan = plan_requests([series(timeframe=("2025-11-23", "2026-11-22"))])
    windows = [step.query.timeframe for step in plan.steps]
    assert 7 == plan.requests
    assert all(b.first - a.last == timedelta(days=1) for a, b in itertools.pairwise(windows))


def test_a_year_of_values_is_one_request() -> None:
    """Nothing is cut that one request can hold."""
    assert 1 == plan_requests([values(timeframe=("2025-11-23", "2026-11-22"))]).requests


def test_three_years_are_asked_in_pieces() -> None:
    """A window over a year is split: a series at its cap, values of counts and money at a year."""
    years = ("2024-01-01", "2026-12-31")
    assert 4 == plan_requests([series(timeframe=years, interval="weekly")]).requests
    plan = plan_requests([values(timeframe=years, statistics=["recipients", "conversion_value"])])
    windows = [step.query.timeframe for step in plan.steps]
    assert [365, 365, 365, 1] == [window.days for window in windows]
    assert all(b.first - a.last == timedelta(days=1) for a, b in itertools.pairwise(windows))


@pytest.mark.parametrize(("statistic", "why"), [("opens_unique", "a person once"), ("open_rate", "quotient")])
def test_what_does_not_add_up_is_refused_beyond_a_year(statistic: str, why: str) -> None:
    """People and quotients are no sums of their pieces, and the error says so and what to do."""
    with pytest.raises(ArgumentError, match=f"{statistic} .*{why}.*365 days.*series"):
        values(timeframe=("2024-01-01", "2026-12-31"), statistics=["recipients", statistic])
    assert statistic in series(timeframe=("2024-01-01", "2026-12-31"), statistics=[statistic]).statistics


def test_a_key_over_the_cap_is_split_like_its_days() -> None:
    """The same days as a key or as dates are the same requests; a key that fits is sent as it is."""
    day = date(2026, 11, 23)
    by_key = plan_requests([series(timeframe="last_90_days", interval="daily")], today=lambda: day)
    by_dates = plan_requests([series(timeframe=("2026-08-25", "2026-11-23"), interval="daily")])
    assert [step.query for step in by_dates.steps] == [step.query for step in by_key.steps]
    assert 2 == by_key.requests
    (short,) = plan_requests([series(timeframe="last_30_days", interval="daily")], today=lambda: day).steps
    assert {"key": "last_30_days"} == short.query.body()["data"]["attributes"]["timeframe"]


@given(
    first=st.dates(date(2024, 1, 1), date(2027, 1, 1)),
    days=st.integers(1, 900),
    interval=st.sampled_from(sorted(MAX_DAYS)),
)
def test_no_day_in_two_windows_and_none_lost(first: date, days: int, interval: str) -> None:
    """Splitting keeps every day exactly once and stays under the cap; weeks and months are not cut."""
    whole = Window(first, first + timedelta(days=days - 1))
    parts = whole_windows(whole, interval)
    covered = [part.first + timedelta(days=i) for part in parts for i in range(part.days)]
    assert covered == [first + timedelta(days=i) for i in range(days)]
    assert all(part.days <= MAX_DAYS[interval] for part in parts)
    if interval == "weekly":
        assert all(part.first.weekday() == 0 for part in parts[1:])
    if interval == "monthly":
        assert all(part.first.day == 1 for part in parts[1:])


def test_what_is_in_store_costs_nothing() -> None:
    """Kept answers are steps that are not sent, and they serve narrower queries of the same plan."""
    kept = ReportQuery("RplOrd", WEEK, ["clicks", "opens"])
    plan = plan_requests(
        [kept, values(flow_ids=["A"]), values(statistics=["recipients"])],
        look_up=lambda q: ANSWER if q == kept else None,
    )
    stored, sent = plan.steps
    assert (True, False) == (stored.in_store, sent.in_store)
    assert [0, 1] == [part.number for part in stored.slices]
    assert ("recipients",) == sent.query.statistics


def test_a_united_answer_in_store_serves_the_queries_it_was_made_for() -> None:
    """The second run of a plan finds what the first one sent."""
    queries = [values(flow_ids=["A"]), values(flow_ids=["B"], statistics=["opens"])]
    sent = {step.query for step in plan_requests(queries).steps}
    assert 0 == plan_requests(queries, look_up=lambda q: ANSWER if q in sent else None).requests


def test_values_and_series_alternate() -> None:
    """Their limits are separate, so while one endpoint waits the other is asked."""
    days = [("2026-11-16", "2026-11-16"), ("2026-11-17", "2026-11-17"), ("2026-11-18", "2026-11-18")]
    plan = plan_requests([*(values(timeframe=d) for d in days), *(series(timeframe=d) for d in days)])
    assert [VALUES, SERIES] * 3 == [step.query.endpoint for step in plan.steps]
    assert 1.0 == pytest.approx(plan.minutes, abs=0.01)


def many(count: int) -> Plan:
    """A plan of so many values requests."""
    return plan_requests(
        [values(timeframe=(str(d := date(2026, 1, 1) + timedelta(days=i)), str(d))) for i in range(count)]
    )


@pytest.mark.parametrize(("count", "seconds"), [(0, 0), (1, 0), (2, 1), (3, 60), (4, 61), (5, 120)])
def test_minutes_follow_the_windows(count: int, seconds: int) -> None:
    """One a second and two a minute: the last of four requests leaves after 61 seconds."""
    assert seconds == pytest.approx(many(count).minutes * 60, abs=0.1)


def test_share_of_day_is_that_of_the_busier_endpoint() -> None:
    """Nine values requests and a series are 9 of 225."""
    assert 9 / 225 == pytest.approx(many(9).share_of_day)


def test_more_than_a_day_is_told() -> None:
    """A plan that does not fit into what is left today says so."""
    plan = replace(many(3), left={VALUES: 2}, waits={VALUES: 30.0})
    assert "Only 2 calls to /api/flow-values-reports are left today" in plan.summary
    assert plan.minutes == pytest.approx(1.5, abs=0.01)


def test_a_plan_prints_its_cost() -> None:
    """Text and notebook table name requests, minutes, share and what is in store; the frame has a row per request."""
    plan = plan_requests([values(), series()], look_up=lambda q: ANSWER if q.endpoint == SERIES else None)
    plan = replace(plan, account="acme")
    text = str(plan)
    assert text.startswith("1 report request to send for acme, 0.0 minutes at Klaviyo's limits, 0.4%")
    assert "1 already in store" in text
    assert "flow-series-reports" in text
    assert "<table" in plan._repr_html_()
    assert [True, False] == sorted(plan.to_frame()["in_store"], reverse=True)


def test_the_sandboxs_plan_shows_what_a_real_account_would_pay() -> None:
    """Minutes and share of the day are there to be looked at before one has a key; that nobody waits is said beside."""
    summary = replace(many(3), unlimited=True).summary
    assert "1.0 minutes at Klaviyo's limits" in summary
    assert "1.3% of the day's quota" in summary
    assert "the sandbox itself has no limits" in summary


def test_an_empty_plan_prints() -> None:
    """Nothing wanted is nothing to send."""
    assert str(plan_requests([])).startswith("0 report requests")


def test_a_query_is_checked_when_it_is_made() -> None:
    """Statistics, groupings and ids are refused before anything is planned."""
    with pytest.raises(ArgumentError, match="statistics knows no 'clickz'"):
        values(statistics=["clickz"])
    with pytest.raises(ArgumentError, match="flow_ids is an empty list"):
        values(flow_ids=[])
