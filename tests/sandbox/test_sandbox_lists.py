"""The embedded account lists metrics, flows, actions, messages and itself in Klaviyo's shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sandbox_asking import error, frozen, get, headers, report
from werkzeug.test import Client

from flowperf_helpers.sandbox import VARIANTS
from flowperf_helpers.sandbox.call import REVISIONS


@pytest.fixture(scope="module")
def app():
    return frozen()


def test_the_guides_answers(app):
    """The guide's own requests find its metrics with nested sparse fields, and its flow."""
    got = get(app, "/api/metrics/", "2024-10-15", filter='equals(integration.name,"YourIntegration")',
              fields__metric="name,integration.id,integration.name").json["data"]  # fmt: skip
    by_id = {m["id"]: m for m in got}
    integration = {"id": "0rG4eQ", "name": "YourIntegration"}
    assert {"name": "YourIntegration: Sent SMS", "integration": integration} == by_id["REcTBe"]["attributes"]
    assert "YourIntegration: Marked Email as Spam" == by_id["RcsmFp"]["attributes"]["name"]
    assert "relationships" not in by_id["REcTBe"]
    ids = get(app, "/api/metrics/REcTBe/relationships/flow-triggers", "2024-10-15").json["data"]
    assert [{"type": "flow", "id": "T7K2j8"}] == ids
    rows = report(app, "values", filter='equals(flow_id,"T7K2j8")')["results"]
    assert ["01GMRWDSA0ARTAKE1SFX8JGXAY", "01GJTHNWVG93F3KNX71SJ4FDBB"] == [
        r["groupings"]["flow_message_id"] for r in rows
    ]


def test_account_is_as_promised(app):
    """About forty metrics of several integrations and 25 flows of every status, one name twice, some of them odd."""
    metrics = get(app, "/api/metrics").json["data"]
    assert 40 <= len(metrics) <= 45
    names = Counter(m["attributes"]["name"] for m in metrics)
    assert 2 == names["Placed Order"]
    integrations = {(m["attributes"]["integration"] or {}).get("name") for m in metrics}
    assert {"Shopify", "YourIntegration", "Klaviyo", "API", None} <= integrations
    flows = get(app, "/api/flows").json["data"] + get(app, "/api/flows", filter="equals(archived,true)").json["data"]
    assert 25 <= len(flows) <= 28
    assert len(flows) == len({f["id"] for f in flows})
    assert {"live", "draft", "manual"} == {f["attributes"]["status"] for f in flows}
    assert {"Metric", "Added to List", "Date Based", "Price Drop", "Low Inventory", "Unconfigured"} == {
        f["attributes"]["trigger_type"] for f in flows
    }


def test_category_filter_finds_nothing(app):
    """As was seen live: a filter by category is accepted and returns nothing."""
    answer = get(app, "/api/metrics", filter='equals(integration.category,"API")')
    assert (200, []) == (answer.status_code, answer.json["data"])


def test_whole_map_in_one_request(app):
    """Including flow-triggers gives each metric its flows and the flows themselves; list flows have no metric."""
    got = get(app, "/api/metrics", include="flow-triggers").json
    pairs = {(m["id"], f["id"]) for m in got["data"] for f in m["relationships"]["flow-triggers"]["data"]}
    assert {("RplOrd", "SpPst4"), ("RplOrd", "RwWin5"), ("REcTBe", "T7K2j8")} <= pairs
    assert {f["id"] for f in got["included"]} == {flow for _, flow in pairs}
    assert "WeLcm6" not in {flow for _, flow in pairs}
    one = get(app, "/api/metrics/RplOrd/flow-triggers").json["data"]
    assert ["SpPst4", "RwWin5"] == [f["id"] for f in one]
    assert "data" not in get(app, "/api/metrics").json["data"][0]["relationships"]["flow-triggers"]


def test_pages_of_metrics_and_flows():
    """Links lead through hundreds of metrics and flows once each, keeping what else was asked."""
    app = frozen(variant="many_flows")
    for path, size in (("/api/metrics?fields[metric]=name", 200), ("/api/flows?sort=-name&page[size]=50", 50)):
        seen, url = [], path
        while url:
            answer = Client(app).get(url, headers=headers()).json
            seen += [item["id"] for item in answer["data"]]
            url = answer["links"]["next"]
            assert len(answer["data"]) <= size
            assert url is None or ("sort" in url) == ("sort" in path)
        assert 490 <= len(seen) == len(set(seen)) <= 500


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"page__size": "10"}, "page[size]"), ({"page__cursor": "zzz"}, "page[cursor]"), ({"sort": "name"}, "sort"),
        ({"include": "flows"}, "include"), ({"fields__metric": "colour"}, "fields[metric]"), ({"x": "1"}, "x"),
        ({"filter": 'equals(name,"Placed Order")'}, "filter"), ({"filter": "equals(integration.name"}, "filter"),
        ({"filter": 'contains(integration.name,"S")'}, "filter"),
    ],
)  # fmt: skip
def test_metrics_refuse(app, query, parameter):
    """The metrics endpoint has no page size, no sort and no filter by name."""
    assert (400, parameter) == error(get(app, "/api/metrics", **query))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('any(id,["T7K2j8","XbChk1","NoSuch"])', {"T7K2j8", "XbChk1"}),
        ('any(id,["ArWel6"])', {"ArWel6"}),
        ('equals(name,"Winback")', {"RwWin5"}),
        ('contains(name,"Abandon")', {"XbChk1", "VwBrw2", "YcCrt3", "DrChk3"}),
        ('starts-with(name,"YourIntegration")', {"T7K2j8", "QdDlv7", "NaSpm8"}),
        ('ends-with(name,"Club")', {"ViPcl7"}),
        ('equals(status,"manual")', {"MnWhs5"}),
        ("equals(archived,true)", {"ArWel6", "ArSpr7"}),
        ('equals(trigger_type,"Date Based")', {"BiDay8"}),
        ("and(greater-than(created,2024-01-01T00:00:00Z),less-than(created,2025-01-01T00:00:00Z))", {"T7K2j8"}),
        ("and(greater-or-equal(updated,2026-11-01T00:00:00Z),equals(status,'draft'))", {"UnCfg8"}),
    ],
)
def test_filters_of_flows(app, text, expected):
    """Flows can be asked by the filters Klaviyo has; archived ones only when asked for, by id or by name of it."""
    assert expected == {f["id"] for f in get(app, "/api/flows", filter=text).json["data"]}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"page__size": "0"}, "page[size]"), ({"page__size": "51"}, "page[size]"), ({"page__size": "²"}, "page[size]"),
        ({"page__size": "1" * 5000}, "page[size]"), ({"sort": "colour"}, "sort"), ({"filter": "any(id,'x')"}, "filter"),
        ({"filter": "greater-than(created,'soon')"}, "filter"), ({"filter": "equals(id,'x')"}, "filter"),
    ],
)  # fmt: skip
def test_flows_refuse(app, query, parameter):
    """Page sizes of 1 to 50, known sorts and filters only."""
    assert (400, parameter) == error(get(app, "/api/flows", **query))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/metrics/NoSuch", 404), ("/api/metrics/NoSuch/flow-triggers", 404), ("/api/flows/NoSuch", 404),
        ("/api/metrics/NoSuch/relationships/flow-triggers", 404), ("/api/flows/DeLtd9", 404),
        ("/api/flows/NoSuch/flow-actions", 404), ("/api/flows/NoSuch/tags", 404), ("/api/flow-messages/NoSuch", 404),
        ("/api/flow-actions/1/flow-messages", 404), ("/api/flow-actions/abc/flow-messages", 400),
        ("/api/mapped-metrics/happiness", 404),
    ],
)  # fmt: skip
def test_unknown_ids(app, path, status):
    """An id that nobody has is a 404; one that cannot be one is a 400 where it was seen so."""
    assert (status, "/data/") == error(get(app, path))


def test_test_arms_are_in_the_definitions(app):
    """A test is an action with a main send and its variations; all of them carry a named message."""
    got = get(app, "/api/flows", include="flow-actions").json["included"]
    (test,) = [a for a in got if a["attributes"]["definition"]["type"] == "ab-test"
               and "Wb1aEm" in str(a["attributes"]["definition"])]  # fmt: skip
    data = test["attributes"]["definition"]["data"]
    assert "Browse Abandonment: Email 1" == data["main_action"]["data"]["message"]["name"]
    arms = [v["data"]["message"] for v in data["current_experiment"]["variations"]]
    assert [("VbrEmA", "Photo of the product"), ("VbrEmB", "Three alternatives")] == [
        (m["id"], m["name"]) for m in arms
    ]
    whole = get(app, "/api/flows/VwBrw2", **{"additional-fields__flow": "definition"}).json["data"]["attributes"]
    assert ["ab-test", "time-delay", "send-email"] == [a["type"] for a in whole["definition"]["actions"]]


def test_every_message_of_a_report_has_a_name(app):
    """Each message in an answer is found through its flow's actions, but for the flow that was deleted."""
    known = set()
    for flow in (
        get(app, "/api/flows").json["data"] + get(app, "/api/flows", filter="equals(archived,true)").json["data"]
    ):
        for action in get(app, f"/api/flows/{flow['id']}/flow-actions").json["data"]:
            messages = get(app, f"/api/flow-actions/{action['id']}/flow-messages").json["data"]
            known |= {m["id"] for m in messages}
    asked = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-11-22T23:59:59+00:00"}
    sent = {r["groupings"]["flow_message_id"] for r in report(app, "values", timeframe=asked)["results"]}
    assert {"Wx1aEm"} == sent - known


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("2024-10-15", {"name", "channel", "content", "created", "updated"}),
        ("2025-10-15", {"definition", "created", "updated"}),
        ("2026-10-15", {"definition", "channel", "created", "updated"}),
    ],
)
def test_message_by_revision(app, revision, expected):
    """A message's name and channel stand where its revision puts them."""
    assert expected == set(get(app, "/api/flow-messages/Wc4aSm", revision).json["data"]["attributes"])


def test_account_tells_zone_and_currency(app):
    """Zone and currency come from the accounts endpoint, also as the only fields."""
    (account,) = get(app, "/api/accounts", fields__account="timezone,preferred_currency").json["data"]
    assert {"timezone": "Europe/Copenhagen", "preferred_currency": "EUR"} == account["attributes"]


def test_revenue_is_the_main_metric(app):
    """What the account calls revenue is the shop's Placed Order, and nothing where there is none."""
    path = "/api/mapped-metrics/revenue"
    assert {"type": "metric", "id": "RplOrd"} == get(app, path).json["data"]["relationships"]["metric"]["data"]
    other = get(frozen(variant="no_integration"), path).json["data"]["relationships"]["metric"]
    assert None is other["data"]


def test_tags_of_a_flow(app):
    """A flow's tags are named."""
    got = get(app, "/api/flows/XbChk1/tags").json["data"]
    assert ["Store", "Key flow"] == [t["attributes"]["name"] for t in got]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_have_their_trouble(variant):
    """Each variant is the account it is named after, and answers every kind of request."""
    app = frozen(variant=variant)
    flows = get(app, "/api/flows")
    status = 403 if variant == "no_scope" else 200
    assert status == flows.status_code
    assert 200 == get(app, "/api/metrics").status_code
    assert status == get(app, "/api/metrics", include="flow-triggers").status_code
    if variant == "no_scope":
        assert "flows:read" in flows.json["errors"][0]["detail"]
        return
    ids = [f["id"] for f in flows.json["data"]]
    expected = {"no_flows": 0, "one_flow": 1, "many_flows": 50}
    assert expected.get(variant, len(ids)) == len(ids)
    statuses = {f["attributes"]["status"] for f in flows.json["data"]}
    assert (statuses == {"draft"}) == (variant == "drafts_only")
    if variant == "quota_spent":
        return
    metric = "RaStor" if variant == "no_integration" else "RplOrd"
    rows = report(app, "values", conversion_metric_id=metric)["results"]
    assert bool(rows) == (variant not in ("no_flows", "drafts_only", "empty_window"))
    if variant == "no_integration":
        assert [] == get(app, "/api/metrics", filter='equals(integration.name,"Shopify")').json["data"]


def links_in(answer: Any) -> Iterator[str]:
    """Return every address under ``links``, at any depth."""
    if isinstance(answer, list):
        for item in answer:
            yield from links_in(item)
    elif isinstance(answer, dict):
        for name, value in answer.items():
            if name == "links":
                yield from (link for link in value.values() if str(link).startswith("http"))
            else:
                yield from links_in(value)


@pytest.mark.parametrize(
    ("variant", "revision"),
    [*(("default", r) for r in ("2024-07-15", "2024-10-15", "2025-07-15", "2026-10-15")),
     ("no_integration", "2026-10-15")],
)  # fmt: skip
def test_every_link_leads_somewhere(variant, revision):
    """Whatever address an answer shows, at any revision, it is answered."""
    client = Client(frozen(variant=variant))
    left = ["/api/metrics", "/api/metrics?include=flow-triggers", "/api/flows?include=flow-actions,tags",
            "/api/flows?filter=equals(archived,true)", "/api/accounts"]  # fmt: skip
    left += ["/api/mapped-metrics"] if revision >= "2025-07-15" else []
    seen, dead = set(left), {}
    while left:
        address = left.pop()
        answer = client.get(address, headers=headers(revision))
        if answer.status_code != 200:
            dead[address] = answer.status_code
            continue
        found = {link.removeprefix("http://localhost") for link in links_in(answer.json)} - seen
        seen |= found
        left += found
    assert {} == dead
    assert len(seen) > 350


@pytest.mark.parametrize(
    ("related", "own"),
    [
        ("/api/metrics/RplOrd/flow-triggers", "/api/metrics/RplOrd/relationships/flow-triggers"),
        ("/api/flows/VwBrw2/flow-actions", "/api/flows/VwBrw2/relationships/flow-actions"),
        ("/api/flows/VwBrw2/tags", "/api/flows/VwBrw2/relationships/tags"),
        ("/api/flow-messages/VbrEmA/flow-action", "/api/flow-messages/VbrEmA/relationships/flow-action"),
        ("/api/mapped-metrics/revenue/metric", "/api/mapped-metrics/revenue/relationships/metric"),
    ],
)
def test_relationships_name_what_is_related(app, related, own):
    """A relationship's page shows types and ids of its related page, and has no fields to choose."""
    data = get(app, related).json["data"]
    expected = (
        [{"type": d["type"], "id": d["id"]} for d in data]
        if isinstance(data, list)
        else {"type": data["type"], "id": data["id"]}
    )
    assert expected
    assert expected == get(app, own).json["data"]
    assert (400, "fields[flow]") == error(get(app, own, fields__flow="name"))


def test_from_a_message_up_to_its_flow(app):
    """A message's action, the action alone and the action's flow fit together, for arms of a test too."""
    for message in ("Wb1aEm", "VbrEmA"):
        action = get(app, f"/api/flow-messages/{message}/flow-action").json["data"]
        assert action == get(app, f"/api/flow-actions/{action['id']}").json["data"]
        assert message in {m["id"] for m in get(app, f"/api/flow-actions/{action['id']}/flow-messages").json["data"]}
        assert "VwBrw2" == get(app, f"/api/flow-actions/{action['id']}/flow").json["data"]["id"]
    assert "Store" == get(app, "/api/tags/6f1d2c52-0c5e-4c6c-9d0e-2f1a60c0a101").json["data"]["attributes"]["name"]
    assert get(app, "/api/accounts").json["data"] == [get(app, "/api/accounts/NrdLys").json["data"]]
    for nobody in ("tags/x", "accounts/x", "flow-actions/1", "flow-messages/x/flow-action", "mapped-metrics/x/metric"):
        assert (404, "/data/") == error(get(app, f"/api/{nobody}"))


def test_address_has_a_city(app):
    """Klaviyo's schema requires a city in a street address until 2026-07-15."""
    (account,) = get(app, "/api/accounts").json["data"]
    assert isinstance(account["attributes"]["contact_information"]["street_address"]["city"], str)


def test_push_is_sent_by_klaviyos_action(app):
    """A push message is sent by an action of the type that Klaviyo's schema has."""
    got = get(app, "/api/flows/YcCrt3/flow-actions").json["data"]
    assert {"send-email", "time-delay", "send-mobile-push"} == {a["attributes"]["definition"]["type"] for a in got}


@pytest.mark.parametrize(
    ("path", "kind", "fields", "since", "before"),
    [
        ("/api/metrics", "metric", "id", "2026-04-15", None),
        ("/api/flows", "flow", "id,name", "2026-04-15", None),
        ("/api/flows", "flow", "definition", None, None),
        ("/api/flows/XbChk1", "flow", "definition", "2025-01-15", None),
        ("/api/accounts", "account", "id", "2026-04-15", None),
        ("/api/flows/XbChk1/tags", "tag", "id", "2026-04-15", None),
        ("/api/flows/XbChk1/flow-actions", "flow-action", "action_type,settings", "2024-02-15", "2025-10-15"),
        ("/api/flows/XbChk1/flow-actions", "flow-action", "definition", "2025-10-15", None),
        ("/api/flow-messages/Wc1aEm", "flow-message", "name,content", "2024-02-15", "2025-10-15"),
        ("/api/flow-messages/Wc1aEm", "flow-message", "definition", "2025-10-15", None),
        ("/api/flow-messages/Wc1aEm", "flow-message", "updated", "2024-02-15", None),
    ],
)
def test_fields_by_revision(app, path, kind, fields, since, before):
    """A sparse field is accepted exactly at the revisions whose schema has it."""
    for revision in REVISIONS:
        answer = get(app, path, revision, **{f"fields__{kind}": fields})
        if since is not None and since <= revision < (before or "9999"):
            assert 200 == answer.status_code, revision
        else:
            assert (400, f"fields[{kind}]") == error(answer), revision


@pytest.mark.parametrize("revision", REVISIONS)
def test_channel_of_a_message_went_and_came_back(app, revision):
    """The field ``channel`` of a message is unknown at 2025-10-15 alone."""
    answer = get(app, "/api/flow-messages/Wc1aEm", revision, **{"fields__flow-message": "channel"})
    if revision == "2025-10-15":
        assert (400, "fields[flow-message]") == error(answer)
    else:
        assert {"channel": "Email"} == answer.json["data"]["attributes"]
