"""Discovery: metrics, the flows they trigger, messages; whatever shape Klaviyo gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripted_app import ScriptedApp, problem

from flowperf_helpers.account.account import Account, connect
from flowperf_helpers.account.connection import open_account
from flowperf_helpers.errors import AmbiguousNameError, PayloadError, ScopeError, UnknownNameError, suggest
from flowperf_helpers.frames.resources import (
    FLOW_COLUMNS,
    METRIC_COLUMNS,
    account_facts,
    channel_of,
    flows_frame,
    message_rows,
    messages_frame,
    metrics_frame,
    primary,
    trigger_map,
)
from flowperf_helpers.klaviyo.client import RevisionWarning
from flowperf_helpers.klaviyo.transport import WSGIAdapter
from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app

SEED = Path(__file__).parents[1] / "seed"


def scripted(script: Any, **options: Any) -> tuple[Account, ScriptedApp]:
    """An account whose wire says what the script says."""
    app = ScriptedApp(script)
    environ = {"KLAVIYO_API_KEY": "pk_test", "FLOWPERF_PACING": "off"} | options.pop("environ", {})
    home = options.pop("home", None)
    return connect("live", adapter=WSGIAdapter(app), environ=environ, home=home, sleep=lambda s: None, **options), app


@pytest.fixture
def sandbox(tmp_path: Path) -> Account:
    """The embedded account."""
    return connect("sandbox", home=tmp_path)


def seeded(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
    """The guide's account: metrics without relationships, triggers without facts."""
    if path == "/api/metrics":
        return 200, (SEED / "metrics.json").read_bytes()
    if path == "/api/metrics/REcTBe/relationships/flow-triggers":
        return 200, (SEED / "flow_triggers.json").read_bytes()
    if path == "/api/metrics/RcsmFp/relationships/flow-triggers":
        return 200, {"data": []}
    if path == "/api/flows":
        return 200, {"data": []}
    return problem(404, f"nothing at {path}", "not_found")


# --- pure -----------------------------------------------------------------------------------------------------------


def test_the_guides_metrics() -> None:
    """The guide's answer gives its two metrics, and NA for the category it does not hold."""
    frame = metrics_frame([(SEED / "metrics.json").read_bytes()])
    assert list(METRIC_COLUMNS) == list(frame.columns)
    assert ["REcTBe", "RcsmFp"] == list(frame["metric_id"])
    assert ["YourIntegration"] * 2 == list(frame["integration_name"])
    assert frame["integration_category"].isna().all()
    assert {"str"} == {str(dtype) for dtype in frame.dtypes}


def test_null_attributes_stay_missing() -> None:
    """Name, integration and attributes themselves may be null or left out."""
    data = [
        {"type": "metric", "id": "a", "attributes": {"name": None, "integration": None}},
        {"type": "metric", "id": "b"},
        {"type": "metric", "id": "c", "attributes": {"name": 7, "integration": {"name": "X"}}},
    ]
    frame = metrics_frame([json.dumps({"data": data}).encode()])
    assert ["a", "b", "c"] == list(frame["metric_id"])
    assert [True, True, False] == list(frame["metric_name"].isna())
    assert "X" == frame["integration_name"][2]


def test_an_empty_answer_keeps_the_columns() -> None:
    """No metric, no flow: empty frames of the same columns and dtypes."""
    empty = flows_frame([])
    assert list(FLOW_COLUMNS) == list(empty.columns)
    assert "boolean" == str(empty["archived"].dtype)
    assert "datetime64[us, UTC]" == str(empty["created"].dtype)
    assert 0 == len(metrics_frame([b'{"data": []}']))


@pytest.mark.parametrize(
    ("page", "place"),
    [
        (b"{", "/"),
        (b"[]", "/"),
        (b"{}", "/data"),
        (b'{"data": "x"}', "/data"),
        (b'{"data": [{"type": "flow"}]}', "/data/0"),
        (b'{"data": [3]}', "/data/0"),
    ],
)
def test_answers_of_another_shape_are_refused(page: bytes, place: str) -> None:
    """The error names the place."""
    with pytest.raises(PayloadError) as caught:
        primary([page])
    assert place == caught.value.place


def test_a_flow_that_is_only_an_id() -> None:
    """Type and id make a row of NA."""
    frame = flows_frame(primary([(SEED / "flow_triggers.json").read_bytes()]))
    assert ["T7K2j8"] == list(frame["flow_id"])
    assert frame.drop(columns="flow_id").isna().all(axis=None)


def test_the_map_tells_no_from_unknown() -> None:
    """An empty relationship means no flow; a missing one means ask elsewhere."""
    data = [
        {"type": "metric", "id": "a", "relationships": {"flow-triggers": {"data": []}}},
        {"type": "metric", "id": "b", "relationships": {"flow-triggers": {"links": {}}}},
        {"type": "metric", "id": "c", "relationships": {"flow-triggers": {"data": [{"type": "flow", "id": "F"}]}}},
    ]
    assert {"a": (), "b": None, "c": ("F",)} == trigger_map([json.dumps({"data": data}).encode()]).flow_ids


def test_a_walk_goes_into_tests() -> None:
    """Main action and every variation of an A/B test give their messages; delays and webhooks none."""

    def send(message: str, kind: str = "send-email", **data: Any) -> dict[str, Any]:
        return {"type": kind, "data": {"message": {"id": message, "name": message.upper()}, **data}}

    test = {
        "type": "ab-test",
        "data": {
            "status": "live",
            "main_action": send("m1"),
            "current_experiment": {"variations": [send("m1"), send("m2", status="draft")]},
        },
    }
    definitions = [
        test,
        send("s1", "send-mobile-push"),
        {"type": "time-delay", "data": {}},
        send("w", "send-webhook"),
        None,
    ]
    frame = messages_frame(row for definition in definitions for row in message_rows("F", definition))
    assert ["m1", "m2", "s1"] == list(frame["flow_message_id"])
    assert ["M1", "M2", "S1"] == list(frame["flow_message_name"])
    assert ["email", "email", "push-notification"] == list(frame["send_channel"])
    assert [True, True, False] == list(frame["is_variation"])
    assert ["live", "draft"] == list(frame["action_status"][:2])


@pytest.mark.parametrize(
    ("text", "channel"),
    [("Email", "email"), ("SEND_SMS", "sms"), ("send-whatsapp", "whatsapp"), ("SEND_WEBHOOK", None), (None, None)],
)
def test_channels_in_all_spellings(text: str | None, channel: str | None) -> None:
    """Klaviyo writes one channel in several ways; reports use the short one."""
    assert channel == channel_of(text)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("yourintegration", "YourIntegration"),
        ("Your Integration ", "YourIntegration"),
        ("Shopfy", "Shopify"),
        ("zzz", None),
    ],
)
def test_near_misses(name: str, near: str | None) -> None:
    """Case, spaces and spelling are forgiven, another word is not."""
    assert ([near] if near else []) == suggest(name, ["Shopify", "YourIntegration", "API"])


# --- over the wire --------------------------------------------------------------------------------------------------


def test_metrics_by_integration(sandbox: Account) -> None:
    """The integration's metrics, and only those."""
    frame = sandbox.metrics(integration="YourIntegration")
    assert {"YourIntegration"} == set(frame["integration_name"])
    assert "YourIntegration: Sent SMS" in set(frame["metric_name"])
    assert len(frame) < len(sandbox.metrics())


def test_metrics_by_category_are_picked_here(tmp_path: Path) -> None:
    """Klaviyo's own category filter was seen to return nothing, so it is never sent."""
    data = [
        {"type": "metric", "id": c, "attributes": {"name": c, "integration": {"name": "I", "category": c}}}
        for c in "ab"
    ]
    account, app = scripted(lambda path, query, body: (200, {"data": data}), home=tmp_path)
    assert ["b"] == list(account.metrics(category="b")["metric_id"])
    assert all("filter" not in query for _, query, _ in app.heard)


def test_all_pages_are_read(tmp_path: Path) -> None:
    """links.next is followed to its end."""

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        page = int(query.get("page[cursor]", 0))
        following = f"https://a.klaviyo.com/api/metrics/?page%5Bcursor%5D={page + 1}" if page < 2 else None
        return 200, {"data": [{"type": "metric", "id": f"M{page}"}], "links": {"next": following}}

    account, _ = scripted(script, home=tmp_path)
    assert ["M0", "M1", "M2"] == list(account.metrics()["metric_id"])


@pytest.mark.parametrize("name", ["yourintegration", "Your Integration", "YourIntegraton"])
def test_nothing_found_names_near_misses(sandbox: Account, name: str) -> None:
    """Wrong case, a space, a missing letter: the error names what was meant."""
    with pytest.raises(UnknownNameError, match="did you mean 'YourIntegration'") as caught:
        sandbox.metrics(integration=name)
    assert "YourIntegration" == caught.value.near[0]


def test_an_integration_is_picked_here(tmp_path: Path) -> None:
    """A name with double quotes is sent to nobody: the whole list serves every question about metrics."""
    account, app = scripted(lambda path, query, body: (200, {"data": []}), home=tmp_path)
    with pytest.raises(UnknownNameError, match="the account has none"):
        account.metrics(integration='A "B"')
    assert [False] == ["filter" in query for _, query, _ in app.heard]


def test_a_category_nobody_has(sandbox: Account) -> None:
    """The categories that are there are named."""
    with pytest.raises(UnknownNameError, match="category 'ecommerce'.*'eCommerce'"):
        sandbox.metrics(category="ecommerce")


def test_the_whole_map_in_one_request_per_page(tmp_path: Path) -> None:
    """The list of metrics brings their flows along."""
    account = connect("sandbox", home=tmp_path)
    metrics = account.metrics()
    before = account._client.transport.requests
    frame = account.flows_triggered_by(metrics)
    assert 0 == account._client.transport.requests - before
    assert ["metric_id", *FLOW_COLUMNS] == list(frame.columns)
    assert not frame.duplicated(["metric_id", "flow_id"]).any()
    assert frame["flow_name"].notna().all()
    assert {"draft", "live"} <= set(frame["flow_status"])
    assert frame["archived"].any()


def test_the_guides_shapes(tmp_path: Path) -> None:
    """Without relationship data each metric's own endpoint is asked; a name nobody tells stays NA."""
    account, app = scripted(seeded, home=tmp_path, environ={"KLAVIYO_REVISION": "2024-10-15"})
    frame = account.flows_triggered_by(["REcTBe", "RcsmFp"])
    assert [("REcTBe", "T7K2j8")] == list(frame[["metric_id", "flow_id"]].itertuples(index=False, name=None))
    assert frame["flow_name"].isna().all()
    assert "/api/metrics/REcTBe/relationships/flow-triggers" in app.paths()


def test_a_revision_that_cannot_include(tmp_path: Path) -> None:
    """Where include is refused the relationship endpoints answer all the same."""

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        return (
            problem(400, "'flow-triggers' is not a valid include") if "include" in query else seeded(path, query, body)
        )

    account, _ = scripted(script, home=tmp_path)
    assert ["T7K2j8"] == list(account.flows_triggered_by("REcTBe")["flow_id"])


def test_an_unknown_metric_id(sandbox: Account) -> None:
    """No metric of that id is an error, with the id that looks alike."""
    with pytest.raises(UnknownNameError, match="no metric with the id 'RplOrt': did you mean RplOrd"):
        sandbox.flows_triggered_by(["RplOrt"])


def test_a_missing_scope_is_no_empty_frame(tmp_path: Path) -> None:
    """A key without flows:read gets the scope named."""
    account = connect("sandbox", variant="no_scope", home=tmp_path)
    assert len(account.metrics())
    with pytest.raises(ScopeError, match="flows:read"):
        account.flows_triggered_by("RplOrd")


def test_flows_archived_ones_too(sandbox: Account) -> None:
    """Both halves are asked explicitly; each flow comes once."""
    frame = sandbox.flows()
    assert frame["archived"].sum() > 0
    assert not frame["flow_id"].duplicated().any()


def test_flows_in_the_order_asked(sandbox: Account) -> None:
    """Some flows, in the caller's order; an unknown one is named."""
    assert ["T7K2j8", "SpPst4"] == list(sandbox.flows(["T7K2j8", "SpPst4"])["flow_id"])
    with pytest.raises(UnknownNameError, match="did you mean 'T7K2j8'"):
        sandbox.flows("T7K2j9")


def test_messages_and_their_variations(sandbox: Account) -> None:
    """Every message that a report names is found, variations included."""
    messages = sandbox.messages()
    reported = sandbox.flow_values("RplOrd", timeframe="2026-W47", statistics=["recipients"])
    assert set(reported["flow_message_id"]) <= set(messages["flow_message_id"])
    assert messages["is_variation"].any()
    assert messages["flow_message_name"].notna().all()
    named = reported.merge(messages, on=["flow_id", "flow_message_id"], suffixes=("", "_here"))
    assert (named["send_channel"] == named["send_channel_here"]).all()


def test_messages_on_an_old_revision(tmp_path: Path) -> None:
    """Before actions carried their messages, the messages endpoint names them."""
    account = connect("sandbox", home=tmp_path, environ={"KLAVIYO_REVISION": "2024-10-15"})
    frame = account.messages("T7K2j8")
    assert len(frame) > 0
    assert frame["flow_message_name"].notna().all()


def test_conversion_metric_by_id_name_and_mapping(sandbox: Account) -> None:
    """An id, a name that is unique, or the account's own word for revenue."""
    assert "RplOrd" == sandbox.conversion_metric("RplOrd")
    assert "REcTBe" == sandbox.conversion_metric("YourIntegration: Sent SMS")
    assert "RplOrd" == sandbox.conversion_metric("revenue")


def test_an_ambiguous_name_lists_the_candidates(sandbox: Account) -> None:
    """Two metrics called Placed Order: both are named with id and integration, neither is chosen."""
    with pytest.raises(AmbiguousNameError, match="RplOrd \\(Shopify\\)") as caught:
        sandbox.conversion_metric("Placed Order")
    assert {"Shopify"} < {candidate["integration"] for candidate in caught.value.candidates}
    with pytest.raises(UnknownNameError, match="did you mean 'Placed Order'"):
        sandbox.conversion_metric("placed order")


@pytest.mark.parametrize(
    "answer",
    [problem(404, "No valid revisions found for method"), (200, {"data": {"type": "mapped-metric", "id": "revenue"}})],
)
def test_revenue_that_is_mapped_to_nothing(tmp_path: Path, answer: tuple[int, Any]) -> None:
    """No mapping, or no such endpoint: the error asks for the metric."""
    account, _ = scripted(lambda path, query, body: answer, home=tmp_path)
    with pytest.raises(UnknownNameError, match="give the conversion metric's id or name"):
        account.conversion_metric("revenue")


def test_a_frame_without_the_column_is_named(sandbox: Account) -> None:
    """Giving the wrong frame says which column is missing and what is there."""
    with pytest.raises(ValueError, match="no column metric_id: it has x"):
        sandbox.flows_triggered_by(pd.DataFrame({"x": [1]}))


# --- hostile answers --------------------------------------------------------------------------------------------------

HALF = "Hi \ud83d"


def page(*resources: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"data": list(resources)} | more).encode()


def test_half_an_emoji_in_a_name_is_replaced() -> None:
    """Metrics, flows and messages keep the rest of the name."""
    body = page({"type": "metric", "id": "a", "attributes": {"name": HALF, "integration": {"id": "i", "name": HALF}}})
    assert ["Hi \ufffd"] * 2 == metrics_frame([body])[["metric_name", "integration_name"]].iloc[0].tolist()
    body = page({"type": "flow", "id": HALF, "attributes": {"name": HALF}})
    assert ["Hi \ufffd"] * 2 == flows_frame(primary([body]))[["flow_id", "flow_name"]].iloc[0].tolist()
    definition = {"type": "send-email", "data": {"message": {"id": "m", "name": HALF}}}
    rows = message_rows(
        "f", primary([page({"type": "flow-action", "id": "x", "attributes": definition})])[0].attributes
    )
    assert ["Hi \ufffd"] == messages_frame(rows)["flow_message_name"].tolist()


def test_an_integration_of_another_type_is_written_as_json() -> None:
    """A list where an id belongs stays readable; the same metric twice is one row."""
    metric = {"type": "metric", "id": "a", "attributes": {"integration": {"id": ["x", 1], "name": 5, "category": True}}}
    frame = metrics_frame([page(metric, metric)])
    assert [['["x", 1]', "5", "true"]] == frame.iloc[:, 2:].to_numpy().tolist()


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (page({"type": "flow", "id": True}), "/data/0"),
        (page({"type": "flow", "id": ["a"]}), "/data/0"),
        (page({"type": "flow", "id": "a"}).replace(b'"type"', b'"id"'), "/data/0/id"),
        (b"[" * 100_000, "/"),
        (b'{"data":' + b"[" * 300 + b"]" * 300 + b"}", "/data" + "/0" * 99),
    ],
)
def test_hostile_resources_are_refused_with_the_place(body: bytes, place: str) -> None:
    """Ids that are not ids, a key twice, and nesting beyond reading."""
    with pytest.raises(PayloadError) as caught:
        primary([body])
    assert place[:200] == caught.value.place


def test_a_relationship_to_something_without_an_id_is_refused() -> None:
    """An id is text or a number; a list is neither."""
    metric = {"type": "metric", "id": "a", "relationships": {"flow-triggers": {"data": [{"id": ["b"]}]}}}
    with pytest.raises(PayloadError) as caught:
        trigger_map([page(metric)])
    assert "/relationships/flow-triggers/data" == caught.value.place


@pytest.mark.parametrize("created", ["now", "today", "", 5, None, "9999-12-31T23:59:59-12:00", "2026-02-30"])
def test_a_flow_created_at_no_time_keeps_its_row(created: object) -> None:
    """What is not a date is missing; pandas alone would read "now" as this moment."""
    frame = flows_frame(primary([page({"type": "flow", "id": "a", "attributes": {"created": created}})]))
    assert [True] == frame["created"].isna().tolist()


@pytest.mark.parametrize("key", ["timezone", "preferred_currency"])
def test_an_account_whose_facts_are_no_text_is_refused(key: str) -> None:
    """A list where the zone or the currency belongs."""
    body = page({"type": "account", "id": "a", "attributes": {"timezone": "UTC"} | {key: ["UTC"]}})
    with pytest.raises(PayloadError) as caught:
        account_facts([body])
    assert f"/data/0/attributes/{key}" == caught.value.place
    assert {"timezone": None, "currency": None} == account_facts([page({"type": "account", "id": "a"})])


def test_the_integration_decides_an_ambiguous_name(sandbox: Account, tmp_path: Path) -> None:
    """Given, or as the account's setting, it picks the metric of that name; one that has none leaves it ambiguous."""
    assert "RplOrd" == sandbox.conversion_metric("Placed Order", integration="Shopify")
    assert "RwoOrd" == sandbox.conversion_metric("Placed Order", integration="WooCommerce")
    with pytest.raises(AmbiguousNameError):
        sandbox.conversion_metric("Placed Order", integration="YourIntegration")
    opened = open_account("sandbox", home=tmp_path)
    opened.client.settings = replace(opened.client.settings, integration="WooCommerce")
    assert "RwoOrd" == Account(opened).conversion_metric("Placed Order")


TWICE = "Flow F1 is triggered by several metrics and counted by {}, not by {}: give conversion_metric_id to choose."


def test_a_flow_under_two_triggers_stands_under_one_metric(tmp_path: Path) -> None:
    """Its sends count once: under the metric of the integration, else the first; and that is said."""

    def metric(id_: str, integration: str, *flows: str) -> dict[str, Any]:
        related = {"flow-triggers": {"data": [{"type": "flow", "id": flow} for flow in flows]}}
        attributes = {"name": "Placed Order", "integration": {"name": integration}}
        return {"type": "metric", "id": id_, "attributes": attributes, "relationships": related}

    flows = [{"type": "flow", "id": f, "attributes": {"name": f, "status": "live"}} for f in ("F1", "F2")]
    answer = {"data": [metric("M1", "Shopify", "F1"), metric("M2", "WooCommerce", "F1", "F2")], "included": flows}
    account, _ = scripted(lambda *asked: (200, answer), home=tmp_path)
    assert ({"M1": ("F1",), "M2": ("F2",)}, (TWICE.format("M1", "M2"),)) == account.own_triggers(None)
    woo = account.own_triggers(None, integration="WooCommerce")
    assert ({"M2": ("F1", "F2")}, (TWICE.format("M2", "M1"),)) == woo
    wished = account.wanted(timeframe="last_week", statistics=["clicks"])
    assert [(TWICE.format("M1", "M2"),)] * 2 == [wish.notes for wish in wished]


@pytest.mark.parametrize("served", ["2025-10-15", "2026-10-15"])
def test_messages_after_a_fall_forward(tmp_path: Path, served: str) -> None:
    """A retired revision is answered by a newer one: what shape an answer has shows in the answer."""
    newest = connect("sandbox", home=tmp_path / "new").messages()
    app = sandbox_app(now=SANDBOX_NOW)

    def forward(environ: dict[str, Any], start_response: Any) -> Any:
        return app(environ | {"HTTP_REVISION": served}, start_response)

    environ = {"KLAVIYO_API_KEY": "sandbox-key", "KLAVIYO_REVISION": "2024-10-15", "FLOWPERF_PACING": "off"}
    account = connect("live", adapter=WSGIAdapter(forward), environ=environ, home=tmp_path, timezone="UTC")
    with pytest.warns(RevisionWarning, match="2024-10-15 was asked"):
        messages = account.messages()
    assert len(messages) > 0
    pd.testing.assert_frame_equal(newest, messages)


def test_an_action_that_tells_nothing_is_asked_for_its_messages(tmp_path: Path) -> None:
    """Neither a definition nor a type: the action's own endpoint is asked, where the name stands in a definition."""

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if path == "/api/flow-actions/1/flow-messages":
            attributes = {"channel": "Email", "definition": {"name": "Hello"}}
            return 200, {"data": [{"type": "flow-message", "id": "m1", "attributes": attributes}]}
        if "archived,true" in query["filter"]:
            return 200, {"data": []}
        related = {"flow-actions": {"data": [{"type": "flow-action", "id": "1"}]}}
        flow = {"type": "flow", "id": "F1", "attributes": {"name": "f"}, "relationships": related}
        return 200, {
            "data": [flow],
            "included": [{"type": "flow-action", "id": "1", "attributes": {"definition": None}}],
        }

    account, _ = scripted(script, home=tmp_path)
    (row,) = account.messages("F1").to_dict("records")
    assert ("m1", "Hello", "email") == (row["flow_message_id"], row["flow_message_name"], row["send_channel"])
