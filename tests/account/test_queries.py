"""Queries render exactly what Klaviyo takes, and refuse what it would refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openapi_client.models.flow_series_request_dto import FlowSeriesRequestDTO
from openapi_client.models.flow_values_request_dto import FlowValuesRequestDTO

from flowperf_helpers.account.queries import ReportQuery, filter_string
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import GROUPINGS, STATISTICS

SEED = Path(__file__).parents[1] / "seed"


def test_the_guides_values_request_is_made_to_the_byte() -> None:
    """The guide's values request comes out as the guide's file, byte for byte."""
    query = ReportQuery(
        "REcTBe",
        (datetime(2024, 5, 8, tzinfo=UTC), datetime(2024, 6, 20, tzinfo=UTC)),
        ("clicks", "clicks_unique", "conversion_uniques"),
        flow_ids=["T7K2j8"],
        group_by=None,
    )
    assert (SEED / "values_request.json").read_text().strip() == json.dumps(query.body(), indent=2)


def test_the_guides_series_request_is_made_to_the_byte() -> None:
    """The guide's series request comes out as the guide's file, byte for byte."""
    query = ReportQuery(
        "REcTBe",
        "last_30_days",
        ["clicks", "delivery_rate", "open_rate"],
        interval="weekly",
        flow_ids="T7K2j8",
        group_by=None,
    )
    assert (SEED / "series_request.json").read_text().strip() == json.dumps(query.body(), indent=2)


@pytest.mark.parametrize("interval", [None, "daily"])
def test_klaviyos_own_model_accepts_a_body_with_everything(interval: str | None) -> None:
    """The referee, Klaviyo's generated model, takes a body with every statistic and grouping."""
    body = ReportQuery(
        "Abc123",
        ("2026-11-01", "2026-11-22"),
        list(STATISTICS),
        interval=interval,
        flow_ids=["a", "b"],
        send_channels=["email", "sms"],
        flow_message_ids=["m"],
        group_by=GROUPINGS,
    ).body()
    model = FlowValuesRequestDTO if interval is None else FlowSeriesRequestDTO
    assert body["data"]["attributes"] == model.model_validate(body).to_dict()["data"]["attributes"]


def test_a_window_of_days_ends_one_second_before_midnight() -> None:
    """Whole days go out as 00:00:00 to 23:59:59, because Klaviyo includes both ends."""
    body = ReportQuery("m", ("2024-05-08", "2024-06-20"), ["clicks"]).body()
    assert {
        "start": "2024-05-08T00:00:00+00:00",
        "end": "2024-06-20T23:59:59+00:00",
    } == body["data"]["attributes"]["timeframe"]


def test_required_groupings_are_always_sent() -> None:
    """flow_id and flow_message_id are in every group_by, in Klaviyo's order, whatever was asked."""
    query = ReportQuery("m", "today", ["clicks"], group_by=["variation", "send_channel"])
    assert ("flow_id", "flow_message_id", "send_channel", "variation") == query.group_by


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        ({}, None),
        ({"flow_id": ["a"]}, 'equals(flow_id,"a")'),
        ({"flow_id": ["a", "b"]}, 'contains-any(flow_id,["a","b"])'),
        ({"flow_id": ["a"], "send_channel": ["sms"]}, 'and(equals(flow_id,"a"),equals(send_channel,"sms"))'),
        ({"flow_name": ['5" & \\ more']}, 'equals(flow_name,"5\\" & \\\\ more")'),
    ],
)
def test_filters_use_and_only_for_two_or_more(selected: dict[str, list[str]], expected: str | None) -> None:
    """One filter per field, and(...) from two on, quotes and backslashes escaped as JSON does."""
    assert expected == filter_string(**selected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"statistics": ["open_rat"]}, "average_order_value"),
        ({"statistics": []}, "name at least one"),
        ({"interval": "yearly"}, "hourly, daily, weekly, monthly"),
        ({"timeframe": "last_31_days"}, "last_30_days"),
        ({"group_by": ["flow"]}, "flow_message_name"),
        ({"flow_ids": ['x")']}, "not an id"),
        ({"flow_ids": []}, "selects nothing"),
        ({"flow_ids": [12]}, "strings"),
        ({"flow_ids": [f"f{i}" for i in range(101)]}, "101"),
        ({"conversion_metric_id": "Placed Order"}, "not an id"),
        ({"interval": "daily", "timeframe": ("2026-01-01", "2026-03-31")}, "59"),
        ({"timeframe": ("2026-02-01", "2026-01-01")}, "swap"),
        ({"timeframe": ("2024-01-01", "2026-01-01")}, "365"),
        ({"timeframe": ("2024-01-01", "soon")}, "is not a date"),
    ],
)
def test_what_klaviyo_would_refuse_is_refused_before_sending(change: dict[str, object], said: str) -> None:
    """A wrong name, id, list or window is an ArgumentError whose text lists what is valid."""
    good = {"conversion_metric_id": "m", "timeframe": "today", "statistics": ["clicks"]}
    with pytest.raises(ArgumentError, match=".*") as caught:
        ReportQuery(**{**good, **change}).body()  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_an_old_revision_gets_no_group_by() -> None:
    """Before 2026-01-15 group_by is not sent; only a grouping whose numbers no such revision has is refused."""
    query = ReportQuery("m", "today", ["clicks"])
    assert "group_by" not in query.for_revision("2024-10-15").body()["data"]["attributes"]
    assert "group_by" in query.for_revision("2026-01-15").body()["data"]["attributes"]
    split = ReportQuery("m", "today", ["clicks"], group_by=["variation"]).for_revision("2024-10-15")
    assert split.group_by is None
    with pytest.raises(ArgumentError, match="tag_id"):
        ReportQuery("m", "today", ["clicks"], group_by=["tag_id"]).for_revision("2024-10-15")


def test_an_old_revision_is_not_asked_for_the_costs_of_texts() -> None:
    """Before 2025-10-15 there are none; recipients stand in where nothing else was asked."""
    query = ReportQuery("m", "today", ["text_message_roi", "clicks"])
    assert ("clicks",) == query.for_revision("2025-07-15").statistics
    assert query.statistics == query.for_revision("2025-10-15").statistics
    assert ("recipients",) == ReportQuery("m", "today", ["text_message_spend"]).for_revision("2024-10-15").statistics


def test_equal_questions_are_equal_values() -> None:
    """Lists or tuples, dates or strings: the same question is one value and one dictionary key."""
    a = ReportQuery("m", ("2026-11-01", "2026-11-02"), ["clicks"], flow_ids=["x"])
    b = ReportQuery("m", (datetime(2026, 11, 1).date(), "2026-11-02"), ("clicks",), flow_ids="x")
    assert {a} == {b}


def test_filter_strings_select_nothing_for_none() -> None:
    """A field that selects nothing leaves no trace in the filter."""
    assert 'equals(send_channel,"sms")' == filter_string(flow_id=None, send_channel=["sms"])
