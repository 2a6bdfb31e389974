"""Klaviyo's own SDK uses the served sandbox as it uses Klaviyo."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from klaviyo_api import KlaviyoAPI
from openapi_client.exceptions import BadRequestException, UnauthorizedException

from flowperf_helpers.sandbox import SANDBOX_KEY, SANDBOX_TOKEN

SEED = Path(__file__).parents[1] / "seed"


@pytest.fixture
def sdk(sandbox_url):
    return KlaviyoAPI(SANDBOX_KEY, test_host=sandbox_url, max_retries=1)


def test_from_metrics_to_series(sdk):
    """The guide's whole way: metrics, flow ids, values, series; every answer fits the SDK's response models."""
    metrics = sdk.Metrics.get_metrics(filter='equals(integration.name,"YourIntegration")').data
    assert {"REcTBe", "RcsmFp"} <= {m.id for m in metrics}
    (flow,) = sdk.Metrics.get_ids_for_flows_triggered_by_metric("REcTBe").data
    assert "T7K2j8" == flow.id
    asked = {"statistics": ["clicks", "open_rate"], "timeframe": {"key": "last_30_days"},
             "conversion_metric_id": "REcTBe", "filter": f'equals(flow_id,"{flow.id}")'}  # fmt: skip
    values = sdk.Reporting.query_flow_values({"data": {"type": "flow-values-report", "attributes": asked}})
    assert 2 == len(values.data.attributes.results)
    series = sdk.Reporting.query_flow_series(
        {"data": {"type": "flow-series-report", "attributes": {**asked, "interval": "weekly"}}}
    )
    dates = series.data.attributes.date_times
    assert [len(dates)] * 2 == [len(r.statistics["clicks"]) for r in series.data.attributes.results]


def test_the_guides_bodies(sdk):
    """The seed's request bodies are accepted as they stand."""
    for name, call in (("values", sdk.Reporting.query_flow_values), ("series", sdk.Reporting.query_flow_series)):
        asked = json.loads((SEED / f"{name}_request.json").read_text())
        assert f"flow-{name}-report" == call(asked).data.type.value


def test_every_get(sdk):
    """Every other call is answered in a shape the SDK's models accept."""
    assert 1 < len(sdk.Metrics.get_metrics(include=["flow-triggers"]).included)
    assert "REcTBe" == sdk.Metrics.get_metric("REcTBe").data.id
    assert "T7K2j8" == sdk.Metrics.get_flows_triggered_by_metric("REcTBe").data[0].id
    assert 20 < len(sdk.Flows.get_flows(include=["flow-actions", "tags"]).data)
    flow = sdk.Flows.get_flow("VwBrw2", additional_fields_flow=["definition"]).data
    actions = sdk.Flows.get_actions_for_flow("VwBrw2").data
    assert [a.id for a in actions] == [a["id"] for a in flow.attributes.definition.actions]
    messages = sdk.Flows.get_flow_action_messages(actions[0].id).data
    assert ["Wb1aEm", "VbrEmA", "VbrEmB"] == [m.id for m in messages]
    assert "Email" == sdk.Flows.get_flow_message("Wb1aEm").data.attributes.channel
    assert "Store" == sdk.Flows.get_tags_for_flow("VwBrw2").data[0].attributes.name
    assert "Europe/Copenhagen" == sdk.Accounts.get_accounts().data[0].attributes.timezone
    assert "RplOrd" == sdk.Metrics.get_mapped_metric("revenue").data.relationships.metric.data.id
    assert "revenue" in {m.id for m in sdk.Metrics.get_mapped_metrics().data}


def test_sdk_pages_flows(sdk):
    """The cursor of a next link, given to the SDK, leads to the next page."""
    first = sdk.Flows.get_flows(page_size=10)
    (cursor,) = parse_qs(urlsplit(first.links.next).query)["page[cursor]"]
    second = sdk.Flows.get_flows(page_size=10, page_cursor=cursor)
    assert 20 == len({f.id for f in [*first.data, *second.data]})


def test_token_and_errors(sandbox_url, sdk):
    """A bearer token works; a wrong key and a wrong body come back as the SDK's own exceptions."""
    assert KlaviyoAPI("", access_token=SANDBOX_TOKEN, test_host=sandbox_url).Accounts.get_accounts().data
    with pytest.raises(UnauthorizedException):
        KlaviyoAPI("pk_nobody", test_host=sandbox_url).Accounts.get_accounts()
    asked = {"statistics": ["conversion_value"], "timeframe": {"key": "today"}, "conversion_metric_id": "REcTBe"}
    with pytest.raises(BadRequestException, match="does not support querying for values data"):
        sdk.Reporting.query_flow_values({"data": {"type": "flow-values-report", "attributes": asked}})
