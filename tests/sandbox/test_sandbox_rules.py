"""The embedded account refuses what Klaviyo refuses, with a JSON:API error that names the place."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from sandbox_asking import EVERYTHING, WEEK, body, by_message, days, error, frozen, get, headers, post, report
from werkzeug.test import Client

from flowperf_helpers.frames.catalog import GROUPINGS, PRESETS, STATISTICS
from flowperf_helpers.sandbox import SANDBOX_TOKEN
from flowperf_helpers.sandbox.call import REVISIONS
from flowperf_helpers.sandbox.filters import Condition, FilterError, parse_filter

AT = "/data/attributes/"


@pytest.fixture(scope="module")
def app():
    return frozen()


@pytest.mark.parametrize(
    ("kind", "attributes", "pointer"),
    [
        ("values", {"statistics": ...}, "statistics"),
        ("values", {"statistics": []}, "statistics"),
        ("values", {"statistics": "recipients"}, "statistics"),
        ("values", {"statistics": ["open_rates"]}, "statistics"),
        ("values", {"statistics": [["recipients"]]}, "statistics"),
        ("values", {"conversion_metric_id": ...}, "conversion_metric_id"),
        ("values", {"conversion_metric_id": "NoSuch"}, "conversion_metric_id"),
        ("values", {"conversion_metric_id": 7}, "conversion_metric_id"),
        ("values", {"timeframe": ...}, "timeframe"),
        ("values", {"timeframe": "last_7_days"}, "timeframe"),
        ("values", {"timeframe": {"key": "last_8_days"}}, "timeframe/key"),
        ("values", {"timeframe": {**WEEK, "key": "today"}}, "timeframe/key"),
        ("values", {"timeframe": {"start": WEEK["start"]}}, "timeframe"),
        ("values", {"timeframe": {**WEEK, "end": "2026-11-22"}}, "timeframe/end"),
        ("values", {"timeframe": {**WEEK, "start": "monday"}}, "timeframe/start"),
        ("values", {"timeframe": {"start": WEEK["end"], "end": WEEK["start"]}}, "timeframe"),
        ("values", {"timeframe": days("2025-10-01", "2026-11-01")}, "timeframe"),
        ("values", {"group_by": ["flow_id"]}, "group_by"),
        ("values", {"group_by": ["flow_id", "flow_message_id", "weekday"]}, "group_by"),
        ("values", {"group_by": []}, "group_by"),
        ("values", {"interval": "daily"}, "interval"),
        ("values", {"colour": "red"}, "colour"),
        ("series", {"interval": ...}, "interval"),
        ("series", {"interval": "yearly"}, "interval"),
        ("series", {"interval": "hourly", "timeframe": days("2026-11-01", "2026-11-08")}, "timeframe"),
        ("series", {"interval": "hourly", "timeframe": {"key": "last_7_days"}}, "timeframe"),
        ("series", {"interval": "daily", "timeframe": days("2026-09-01", "2026-10-31")}, "timeframe"),
        ("series", {"interval": "daily", "timeframe": {"key": "last_90_days"}}, "timeframe"),
        ("series", {"interval": "weekly", "timeframe": {"key": "last_365_days"}}, "timeframe"),
        ("series", {"interval": "monthly", "timeframe": days("2025-11-01", "2026-10-31")}, "timeframe"),
        ("values", {"filter": 7}, "filter"),
        ("values", {"filter": ""}, "filter"),
        ("values", {"filter": 'equals(flow_id,"T7K2j8"'}, "filter"),
        ("values", {"filter": 'equals(flow_id,"T7K2j8") or true'}, "filter"),
        ("values", {"filter": 'greater-than(flow_id,"T7K2j8")'}, "filter"),
        ("values", {"filter": 'equals(colour,"red")'}, "filter"),
        ("values", {"filter": 'equals(flow_id,["T7K2j8"])'}, "filter"),
        ("values", {"filter": 'contains-any(flow_id,"T7K2j8")'}, "filter"),
        ("values", {"filter": "contains-any(flow_id,[])"}, "filter"),
        ("values", {"filter": "equals(flow_id,7)"}, "filter"),
        ("values", {"filter": 'equals(send_channel,"pigeon")'}, "filter"),
        ("values", {"filter": 'and(equals(flow_id,"a"),equals(flow_id,"b"))'}, "filter"),
        ("values", {"filter": 'equals(tag_name,"Store")'}, "filter"),
        ("values", {"filter": "and(" * 20 + 'equals(flow_id,"a")' + ")" * 20}, "filter"),
    ],
)
def test_refused_with_the_place(app, kind, attributes, pointer):
    """A request that breaks one of Klaviyo's rules is a 400 whose pointer names the attribute."""
    assert (400, AT + pointer) == error(post(app, kind, **attributes))


@pytest.mark.parametrize(
    ("interval", "asked"),
    [
        ("hourly", days("2026-11-01", "2026-11-07")),
        ("daily", days("2026-09-01", "2026-10-30")),
        ("daily", {"key": "last_7_days"}),
        ("weekly", days("2025-11-24", "2026-11-22")),
        ("monthly", {"key": "this_year"}),
    ],
)
def test_longest_windows_are_answered(app, interval, asked):
    """Windows of exactly Klaviyo's caps are fine."""
    assert 200 == post(app, "series", interval=interval, timeframe=asked).status_code


def test_hundred_items_and_no_more(app):
    """A filter's list holds a hundred values; the hundred and first is refused."""
    for count, status in ((100, 200), (101, 400)):
        values = ",".join(f'"F{n:05d}"' for n in range(count))
        assert status == post(app, "values", filter=f"contains-any(flow_id,[{values}])").status_code


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"data": []}', "{", "\ufeff{}", "9" * 5000, "[" * 100_000, ""])
def test_bodies_that_are_none(app, text):
    """Whatever stands in the body, the answer is a 400."""
    answer = Client(app).post("/api/flow-values-reports", data=text, content_type="application/json", headers=headers())
    assert 400 == error(answer)[0]


def test_wrong_type_media_and_size(app):
    """A body of the other report, of no JSON type or of a megabyte is refused."""
    client = Client(app)
    for path, data, media, expected in (
        ("/api/flow-series-reports", json.dumps(body("values")), "application/json", (400, "/data/type")),
        ("/api/flow-values-reports", json.dumps(body("values")), "text/plain", (415, "/data/")),
        ("/api/flow-values-reports", " " * 1_000_001, "application/json", (413, "/data/")),
    ):
        assert expected == error(client.post(path, data=data, content_type=media, headers=headers()))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/api/campaigns", 404), ("DELETE", "/api/flows", 405), ("POST", "/api/metrics", 405),
     ("GET", "/api/flow-values-reports", 405), ("GET", "/api/metrics/%00%ff", 404), ("GET", "/api//flows", 404),
     ("BREW", "/api/flows", 405)],
)  # fmt: skip
def test_addresses_and_methods(app, method, path, status):
    """Unknown addresses are 404, unknown methods 405, each as JSON:API."""
    assert status == error(Client(app).open(path, method=method, headers=headers()))[0]


@pytest.mark.parametrize("key", ["", "Klaviyo-API-Key pk_nobody", "Bearer sandbox-key", "sandbox-key", "Basic eDp5"])
def test_key_is_checked(app, key):
    """A missing or wrong key is the recorded 401."""
    answer = Client(app).get("/api/metrics", headers={**headers(), "Authorization": key})
    assert (401, "/data/") == error(answer)
    assert "authentication_failed" == answer.json["errors"][0]["code"]


def test_token_is_let_in(app):
    """The bearer token of the sandbox works as its key does."""
    answer = Client(app).get("/api/metrics", headers={**headers(), "Authorization": f"Bearer {SANDBOX_TOKEN}"})
    assert 200 == answer.status_code


@pytest.mark.parametrize("revision", ["", "2023-12-15", "2024-10-16", "2026-10-15.pre", "latest", "2027-01-15"])
def test_revision_is_checked(app, revision):
    """No revision, or one that never was, is a 400."""
    assert 400 == error(get(app, "/api/metrics", revision))[0]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_is_served_as_asked(app, revision):
    """Each known revision is answered and named in the answer's header, by both spellings of the path."""
    for slash in ("", "/"):
        answer = get(app, f"/api/metrics{slash}", revision)
        assert (200, revision) == (answer.status_code, answer.headers["X-Klaviyo-API-Revision"])
    assert 200 == post(app, "values", revision).status_code


def test_what_a_revision_brought(app):
    """Triggers of metrics come with 2024-10-15, text costs and three groupings with 2025-10-15, the others later."""
    assert (400, AT + "group_by") == error(post(app, "values", "2024-10-15", group_by=EVERYTHING))
    assert (400, AT + "group_by") == error(post(app, "values", "2025-10-15", group_by=EVERYTHING))
    three = ["flow_id", "flow_message_id", "send_channel"]
    for kind in ("values", "series"):
        answer = post(app, kind, "2025-10-15", group_by=three)
        assert three == list(answer.json["data"]["attributes"]["results"][0]["groupings"])
        assert (400, AT + "group_by") == error(post(app, kind, "2025-07-15", group_by=three))
    assert 200 == post(app, "values", "2026-01-15", group_by=EVERYTHING).status_code
    assert (400, AT + "statistics") == error(post(app, "values", "2025-07-15", statistics=["text_message_spend"]))
    assert 200 == post(app, "values", "2025-10-15", statistics=["text_message_spend"]).status_code
    assert (400, AT + "filter") == error(post(app, "values", "2024-10-15", filter='equals(flow_name,"Winback")'))
    answer = get(app, "/api/metrics/RplOrd/flow-triggers", "2024-07-15")
    assert (404, "No valid revisions found for method") == (answer.status_code, answer.json["errors"][0]["detail"])
    assert 404 == get(app, "/api/mapped-metrics", "2025-04-15").status_code
    assert 400 == post(app, "values", "2026-01-15", "?fields[flow-values-report]=results").status_code


def test_metric_without_values(app):
    """The three value statistics of a metric without values are refused in Klaviyo's words; the rest is answered."""
    for name in ("conversion_value", "average_order_value", "revenue_per_recipient"):
        answer = post(app, "values", statistics=["clicks", name], conversion_metric_id="REcTBe")
        assert (400, AT + "conversion_metric_id") == error(answer)
        assert "does not support querying for values data" in answer.json["errors"][0]["detail"]
    got = report(app, "values", statistics=["clicks", "conversions", "text_message_roi"], conversion_metric_id="REcTBe")
    assert None is by_message(got)["Wc4aSm"]["text_message_roi"]


def test_filters_select(app):
    """Filters on flow, message, channel, name and tag keep exactly their rows, in any of the spellings in use."""

    def keys(text: str) -> set[tuple[str, str]]:
        rows = report(app, "values", filter=text)["results"]
        return {(r["groupings"]["flow_id"], r["groupings"]["send_channel"]) for r in rows}

    assert {("T7K2j8", "email")} == keys('equals(flow_id,"T7K2j8")') == keys("equals(flow_id,'T7K2j8')")
    expected = {("XbChk1", "sms"), ("WeLcm6", "sms")}
    for text in (
        'and(contains-any(flow_id,["XbChk1","WeLcm6"]),equals(send_channel,"sms"))',
        "contains-any(flow_id,['XbChk1', 'WeLcm6']),equals(send_channel,'sms')",
    ):
        assert expected == keys(text)
    assert {"RwWin5"} == {flow for flow, _ in keys('equals(flow_name,"Winback")')}
    assert {"XbChk1", "VwBrw2", "YcCrt3"} == {flow for flow, _ in keys('contains-any(tag_name,["Store"])')}
    assert {"XbChk1"} == {flow for flow, _ in keys('contains-all(tag_name,["Store","Key flow"])')}
    assert set() == keys('equals(flow_id,"NoSuch")')
    assert {("VwBrw2", "email")} == keys('equals(variation_name,"Three alternatives")')


def test_filter_language():
    """Escapes, quotes, nesting and commas are read as Klaviyo's builders write them."""
    assert [Condition("equals", "flow_name", 'a "b" \\ é')] == parse_filter(
        'equals(flow_name,"a \\"b\\" \\\\ \\u00e9")'
    )
    assert [Condition("equals", "flow_name", "it's")] == parse_filter("equals(flow_name,'it\\'s')")
    both = [Condition("equals", "a", "1"), Condition("any", "id", ("x", "y"))]
    for text in (
        'and(equals(a,"1"),any(id,["x","y"]))',
        "equals(a,'1'),any(id,['x','y'])",
        'and(and(equals(a,"1")),any(id,["x","y"]))',
    ):
        assert both == parse_filter(text)
    assert [Condition("equals", "archived", False)] == parse_filter("equals(archived,false)")
    assert [Condition("greater-than", "created", "2026-01-01T00:00:00Z")] == parse_filter(
        "greater-than(created,2026-01-01T00:00:00Z)"
    )
    for broken in (
        "",
        "equals",
        "equals()",
        'equals(a,"1"',
        'equals(a,"1"))',
        "equals(a,b)",
        'equals("a","1")',
        "and()",
        "\x00",
    ):
        with pytest.raises(FilterError):
            parse_filter(broken)


def test_groupings(app):
    """All groupings come in the order asked; nothing said means the guide's three; null means the same."""
    rows = report(app, "values", group_by=list(GROUPINGS))["results"]
    assert all(list(GROUPINGS) == list(r["groupings"]) for r in rows)
    plain, null = report(app, "values")["results"], report(app, "values", group_by=None)["results"]
    assert plain == null
    assert ["flow_id", "send_channel", "flow_message_id"] == list(plain[0]["groupings"])


def test_variations_split_a_message(app):
    """A test's arms share the message's id, add up to it, and show only where variation is asked."""
    asked = [*EVERYTHING, "variation", "variation_name"]
    merged, split = report(app, "values"), report(app, "values", group_by=asked)
    arms = [r for r in split["results"] if r["groupings"]["flow_message_id"] == "Wb1aEm"]
    assert ["Photo of the product", "Three alternatives"] == [r["groupings"]["variation_name"] for r in arms]
    assert by_message(merged)["Wb1aEm"]["recipients"] == sum(r["statistics"]["recipients"] for r in arms)
    before = report(app, "values", group_by=asked, timeframe=days("2026-10-12", "2026-10-18"))["results"]
    assert [None] == [r["groupings"]["variation"] for r in before if r["groupings"]["flow_message_id"] == "Wb1aEm"]


def test_tags_repeat_rows(app):
    """A flow with two tags stands in two rows when tags are asked, each with its whole numbers."""
    rows = report(app, "values", group_by=["flow_id", "flow_message_id", "tag_name"])["results"]
    twice = [r for r in rows if r["groupings"]["flow_message_id"] == "Wc1aEm"]
    assert ["Store", "Key flow"] == [r["groupings"]["tag_name"] for r in twice]
    assert twice[0]["statistics"] == twice[1]["statistics"]


def test_pages_of_a_report():
    """With small pages a report's links lead through all rows once, with the same body."""
    app, whole = frozen(page_rows=10), report(frozen(), "values")["results"]
    rows, query = [], ""
    while True:
        answer = post(app, "values", query=query).json
        rows += answer["data"]["attributes"]["results"]
        link = answer["links"]["next"]
        if link is None:
            break
        query = "?" + link.partition("?")[2]
        assert "page_cursor=" in query
    assert whole == rows
    for cursor in ("x", "bmV4dDo6ZnJvbTo6OTk5OTk", "", "é", "bmV4dDo6ZnJvbTo6LTE"):
        assert (400, "page_cursor") == error(post(app, "values", query=f"?page_cursor={cursor}"))


@pytest.mark.parametrize(
    ("key", "first", "last"),
    [
        ("today", "2026-11-25", "2026-11-25"), ("yesterday", "2026-11-24", "2026-11-24"),
        ("this_week", "2026-11-23", "2026-11-25"), ("last_week", "2026-11-16", "2026-11-22"),
        ("this_month", "2026-11-01", "2026-11-25"), ("last_month", "2026-10-01", "2026-10-31"),
        ("last_7_days", "2026-11-18", "2026-11-25"), ("last_30_days", "2026-10-26", "2026-11-25"),
    ],
)  # fmt: skip
def test_presets(key, first, last):
    """Presets include the running day: the last seven days are eight dates, as was recorded."""
    app = frozen(now=datetime(2026, 11, 25, 9, 30))
    got = report(app, "series", timeframe={"key": key})["date_times"]
    assert [f"{first}T00:00:00+00:00", f"{last}T00:00:00+00:00"] == [got[0], got[-1]]
    assert report(app, "values", timeframe={"key": key}) == report(app, "values", timeframe=days(first, last))


def test_every_preset_has_values(app):
    """Each of Klaviyo's keys is answered as values, whatever its length."""
    assert [200] * len(PRESETS) == [post(app, "values", timeframe={"key": k}).status_code for k in PRESETS]


def test_weeks_may_start_on_sunday():
    """Where a week starts is the account's matter: buckets and presets follow the option."""
    got = report(frozen(week_starts="sunday"), "series", interval="weekly", timeframe=days("2026-11-11", "2026-11-22"))
    labels = ["2026-11-11T00:00:00+00:00", "2026-11-15T00:00:00+00:00", "2026-11-22T00:00:00+00:00"]
    assert labels == got["date_times"]


def test_series_shape(app):
    """Every statistic of every row has one value per date."""
    got = report(
        app, "series", statistics=list(STATISTICS), interval="daily", timeframe=days("2026-10-01", "2026-10-31")
    )
    assert 31 == len(got["date_times"])
    assert all({31} == {len(v) for v in r["statistics"].values()} for r in got["results"])


def test_sparse_report(app):
    """Fields of a report may be chosen from 2026-04-15 on."""
    answer = post(app, "series", query="?fields[flow-series-report]=date_times")
    assert ["date_times"] == list(answer.json["data"]["attributes"])
    assert 400 == post(app, "series", query="?fields[flow-series-report]=colour").status_code


@pytest.mark.parametrize(
    "wrong",
    [{"variant": "loud"}, {"denominator": "sent"}, {"week_starts": "friday"}, {"time_scale": 0}, {"page_rows": 0}],
)
def test_wrong_options(wrong):
    """An option that does not exist is an error that says so."""
    with pytest.raises(ValueError, match=r"sandbox|time_scale"):
        frozen(**wrong)
