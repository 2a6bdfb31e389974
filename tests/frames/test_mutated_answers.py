"""Answers that were tampered with, at every door: an error of ours, or a frame that holds what the answer says.

What a frame should hold is worked out here once more, plainly, from the bytes alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pandas as pd
import pytest

from flowperf_helpers.account.discovery import fetch_messages
from flowperf_helpers.errors import ArgumentError, FlowperfError, PayloadError
from flowperf_helpers.frames import payloads
from flowperf_helpers.frames.catalog import GROUPINGS, STATISTICS
from flowperf_helpers.frames.provenance import finish_series, finish_values
from flowperf_helpers.frames.reports import join_pages, series_frame, to_long, values_frame
from flowperf_helpers.frames.resources import account_facts, metrics_frame, trigger_map
from flowperf_helpers.klaviyo.responses import Pages

RUNS = 2_000  # of all doors together
SEED = Path(__file__).parents[1] / "seed"
BASE = "https://a.klaviyo.com"
ZONES = ("UTC", "Europe/Copenhagen", "Africa/Cairo", "America/Havana")

# --- what is tampered with ------------------------------------------------------------------------------------------


def report(*, series: bool) -> dict[str, Any]:
    """A small report of three messages, as Klaviyo's examples write it."""
    labels = ["2026-04-23T00:00:00+00:00", "2026-04-24T00:00:00+00:00", "2026-04-25T00:00:00+00:00"]
    numbers = {"clicks": [3, 0, None], "open_rate": [0.25, 0, None], "conversion_value": [10, 20.5, 0.0]}
    results = [
        {
            "groupings": {"flow_id": "T7K2j8", "flow_message_id": message, "send_channel": "email", "flow_name": "Æ"},
            "statistics": {name: row if series else row[i] for name, row in numbers.items()},
        }
        for i, message in enumerate("abc")
    ]
    attributes = {"results": results} | ({"date_times": labels} if series else {})
    return {"data": {"type": "flow-report", "attributes": attributes}, "links": {"next": None}}


METRICS = {
    "data": [
        {
            "type": "metric",
            "id": f"m{i}",
            "attributes": {"name": f"Metric {i}", "integration": {"id": "0e", "name": "Shopify", "category": None}},
            "relationships": {
                "flow-triggers": {"data": [{"type": "flow", "id": f"f{i}"}, {"type": "flow", "id": "f"}]}
            },
        }
        for i in range(3)
    ],
    "included": [
        {
            "type": "flow",
            "id": flow,
            "attributes": {"name": "Welcome", "status": "live", "archived": False, "created": "2026-01-01T00:00:00Z"},
        }
        for flow in ("f", "f0", "f1")
    ],
}
MESSAGE = {"type": "send-email", "data": {"message": {"id": "w1", "name": "Hello"}, "status": "live"}}
SPLIT = {"type": "ab-test", "data": {"main_action": MESSAGE, "current_experiment": {"variations": [MESSAGE, MESSAGE]}}}
FLOWS = {
    "data": [{"type": "flow", "id": "f", "relationships": {"flow-actions": {"data": [{"id": "1"}, {"id": "2"}]}}}],
    "included": [
        {"type": "flow-action", "id": "1", "attributes": {"definition": MESSAGE}},
        {"type": "flow-action", "id": "2", "attributes": {"definition": SPLIT}},
    ],
}
ACCOUNT = {
    "data": [{"type": "account", "id": "a", "attributes": {"timezone": "Europe/Oslo", "preferred_currency": "NOK"}}]
}
LINKS = {"data": [], "links": {"self": f"{BASE}/api/x", "next": f"{BASE}/api/x?page_cursor=abc"}}

VALUES = (
    None, True, False, 0, 1, -1, 1.5, -0.25, 3.0, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**400, 2.0**53, 1e308,
    float("nan"), float("inf"), "", "x", "now", "0", "Hi \ud83d", "\x00", "\u202e", "x" * 5_000, [], {}, [[]],
    [1, 2, 3], {"id": []}, {"": None}, ["2026-04-23T00:00:00+00:00"], "2026-01-01T00:00Z", "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00+00:00", "2026-04-24", "email", "T7K2j8", 10**30, {"href": "x"},
    "https://a.klaviyo.com.example/?page_cursor=1", "//[", "https://a.klaviyo.com:x/", "?page_cursor=", "http://\x00",
    "https://[::1", "/api/x?page[cursor]=%ff", "?page_cursor=2",
)  # fmt: skip
KEYS = (
    *GROUPINGS, "clicks", "open_rate", "interval_start", "is_partial", "conversion_metric_id", "value", "", "\ud83d",
    "id", "data", "next", "flow_id", "date_times",
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def tampered(document: Any, rng: random.Random) -> bytes:
    """Return a document's bytes after a few mutations of its tree and perhaps one of its text."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        where = list(places(document))
        if not where:
            break
        holder, key = rng.choice(where)
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = rng.choice(VALUES)
            case 3:
                del holder[key]
            case 4 if isinstance(holder, list):
                holder.insert(rng.randrange(len(holder) + 1), json.loads(json.dumps(holder[key])))
            case 4:
                holder[rng.choice(KEYS)] = holder.pop(key)
            case 5:
                other, there = rng.choice(where)
                holder[key] = json.loads(json.dumps(other[there])) if there in keys_of(other) else [holder[key]]
    text = json.dumps(document, ensure_ascii=rng.random() < 0.7)
    numbers = list(re.finditer(r"(?<=: )-?\d[\d.]*|(?<=: )null", text))
    match rng.randrange(24):
        case 0:
            text = text[: rng.randrange(len(text))]
        case 1:
            position = rng.randrange(len(text))
            text = text[:position] + rng.choice('{}[]",:0-e\\u\x00 ') + text[position + 1 :]
        case 2:
            text = re.sub(r'("\w+"): ', r"\1: 1, \1: ", text, count=rng.randrange(1, 9))
        case 3 if numbers:
            found = rng.choice(numbers)
            depth = rng.choice((50, 200, 5_000, 100_000))
            literal = rng.choice(("NaN", "-Infinity", "1e999", "-0", "1E2", "[" * depth + "]" * depth))
            text = text[: found.start()] + literal + text[found.end() :]
    return text.encode(rng.choice(("utf-8",) * 9 + ("utf-16",)), "surrogatepass")


def keys_of(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


# --- what is right --------------------------------------------------------------------------------------------------


def plain(body: bytes) -> Any:
    """The answer as JSON; an answer that was accepted names no key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(body, object_pairs_hook=once)


def whole(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def texts_in(document: Any) -> set[str]:
    """Everything an answer holds, as a cell would show it."""
    found = [holder[key] for holder, key in places(document)]
    return {whole(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)) for item in found}


def check_text(raw: Any, cell: Any) -> None:
    if raw is None:
        assert pd.isna(cell)
    elif isinstance(raw, str):
        assert whole(raw) == cell
    else:
        assert whole(json.dumps(raw, ensure_ascii=False)) == cell


def check_number(name: str, raw: Any, cell: Any) -> None:
    if raw is None:
        assert pd.isna(cell)
        return
    assert type(raw) in (int, float)
    if name in STATISTICS and STATISTICS[name].is_count:
        assert raw >= 0
        assert (raw, int) == (cell, type(int(cell)))
    else:
        assert float(raw) == cell


def check_report(body: bytes, frame: pd.DataFrame) -> None:
    """Each cell is what its place in the answer holds, and nothing else is there."""
    attributes = plain(body)["data"]["attributes"]
    results = attributes["results"]
    series = "interval_start" in frame.columns
    labels = attributes["date_times"] if series else [None]
    assert len(results) * len(labels) == len(frame)
    names = {whole(name): name for result in results for name in result["statistics"]}
    assert set(names) == set(frame.attrs["statistics"])
    groups = {whole(name): name for result in results for name in result["groupings"]}
    groups |= {name: name for name in ("flow_id", "flow_message_id", "send_channel")}
    assert {*names, *groups, *(["interval_start"] if series else [])} == set(frame.columns)
    rows = frame.astype("object").to_dict("records")
    for i, row in enumerate(rows):
        result, j = results[i // len(labels)], i % len(labels)
        for name, raw in groups.items():
            check_text(result["groupings"].get(raw), row[name])
        for name, raw in names.items():
            number = result["statistics"].get(raw)
            check_number(name, number[j] if series and number is not None else number, row[name])
        if series:
            wall = datetime.fromisoformat(labels[j]).replace(tzinfo=None)
            late = row["interval_start"].tz_localize(None) - wall
            assert late in (pd.Timedelta(0), pd.Timedelta(hours=1))


def values(body: bytes, rng: random.Random) -> None:
    frame = values_frame(body, rng.choice(ZONES))
    check_report(body, frame)
    check_report(body, values_frame(join_pages([body]), "UTC"))
    bounds = (pd.Timestamp("2026-04-23", tz="UTC"), pd.Timestamp("2026-04-26", tz="UTC"))
    asked = {"statistics": ["clicks", "opens"], "conversion_metric_id": "m", "bounds": bounds}
    finished = finish_values(frame, zone=bounds[0].tz, **asked)
    assert list(frame.get("clicks", [])) == list(finished["clicks"])[: len(frame) if "clicks" in frame else 0]
    long(frame)


def series(body: bytes, rng: random.Random) -> None:
    frame = series_frame(body, rng.choice((*ZONES, "Mars/Olympus")))
    check_report(body, frame)
    interval = rng.choice(("hourly", "daily", "weekly", "monthly"))
    finished = finish_series(
        frame,
        statistics=["clicks"],
        conversion_metric_id="m",
        interval=interval,
        bounds=(pd.NaT, pd.NaT),  # type: ignore[arg-type]
        asked_at=pd.Timestamp("2300-01-01", tz="UTC"),
        attribution_days=5,
    )
    assert (finished["interval_end"] > finished["interval_start"]).all()
    long(frame)


def long_series(body: bytes, rng: random.Random) -> None:
    """A series as if it were long, in pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payloads, "_SHORT", 0)
        patch.setattr(payloads, "_PIECE", rng.choice((50, 400, 10_000)))
        series(body, rng)


def long(frame: pd.DataFrame) -> None:
    try:
        assert len(frame) * len(frame.attrs["statistics"]) == len(to_long(frame))
    except ArgumentError:
        assert not frame.attrs["statistics"] or {"value", "statistic"} & set(frame.columns)


def metrics(body: bytes, rng: random.Random) -> None:
    frame = metrics_frame([body])
    data = plain(body)["data"]
    listed = [data] if isinstance(data, dict) else data
    assert {whole(str(item["id"])) for item in listed} == set(frame["metric_id"])
    ids = frame["metric_id"].tolist()
    for item in listed:
        name = item["attributes"].get("name") if isinstance(item.get("attributes"), dict) else None
        if ids.count(whole(str(item["id"]))) == 1:
            check_text(name, frame["metric_name"].iloc[ids.index(whole(str(item["id"])))])


def flows(body: bytes, rng: random.Random) -> None:
    found = trigger_map([body])
    document = plain(body)
    kept = [item for item in document.get("included") or [] if item.get("type") == "flow"]
    assert list(dict.fromkeys(whole(str(item["id"])) for item in kept)) == found.flows["flow_id"].tolist()
    for item, (_, row) in zip(kept, found.flows.iterrows(), strict=False):
        if len(kept) == len(found.flows):
            attributes = item.get("attributes") if isinstance(item.get("attributes"), dict) else {}
            check_text(attributes.get("name"), row["flow_name"])
            assert isinstance(attributes.get("archived"), bool) != pd.isna(row["archived"])
    assert {i for ids in found.flow_ids.values() for i in ids or ()} <= texts_in(document)


class OnePage:
    """A client whose account has this one page of flows, none of them archived."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def get(self, path: str, params: dict[str, str] | None = None) -> list[bytes]:
        other = "flow-actions" in path or "true" in (params or {}).get("filter", "")
        return [b'{"data": []}' if other else self.body]


def messages(body: bytes, rng: random.Random) -> None:
    frame = fetch_messages(OnePage(body), ["f"])
    told = texts_in(plain(body))
    assert not frame.duplicated(["flow_id", "flow_message_id"]).any()
    for row in frame.to_dict("records"):
        assert "f" == row["flow_id"]
        assert row["flow_message_id"] in told
        assert row["send_channel"] in ("email", "sms", "push-notification", "whatsapp")


def account(body: bytes, rng: random.Random) -> None:
    facts = account_facts([body])
    data = plain(body)["data"]
    told = (data if isinstance(data, dict) else data[0]).get("attributes")
    for name, key in (("timezone", "timezone"), ("currency", "preferred_currency")):
        check_text(told.get(key) if isinstance(told, dict) else None, facts[name])


def paging(body: bytes, rng: random.Random) -> None:
    try:
        document = plain(body)
    except (AssertionError, ValueError, RecursionError) as error:
        raise PayloadError("refused before its links are read", place="/") from error
    if not isinstance(document, dict):
        raise PayloadError("refused before its links are read", place="/")
    url = Pages(BASE).next_url(document, f"{BASE}/api/x")
    cursor = Pages(BASE).next_cursor(document)
    links = document.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    link = link.get("href") if isinstance(link, dict) else link
    if link in (None, ""):
        assert (None, None) == (url, cursor)
        return
    assert urljoin(f"{BASE}/api/x", link) == url
    assert ("https", "a.klaviyo.com") == urlsplit(url)[:2]
    assert [cursor] in parse_qs(urlsplit(url).query).values()


DOORS: dict[Callable[[bytes, random.Random], None], Any] = {
    values: report(series=False),
    series: report(series=True),
    long_series: report(series=True),
    metrics: METRICS,
    flows: METRICS,
    messages: FLOWS,
    account: ACCOUNT,
    paging: LINKS,
}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_mutated_answers_are_refused_by_an_error_of_ours_or_read_rightly(door: Callable[..., None]) -> None:
    """2,000 answers in all: nothing but a `FlowperfError` comes out of it, or what the answer says."""
    outcomes, messages_told = {"right": 0, "refused": 0}, []
    for number in range(RUNS // len(DOORS)):
        rng = random.Random(f"{door.__name__} {number}")
        body = tampered(DOORS[door], rng)
        try:
            door(body, rng)
            outcomes["right"] += 1
        except FlowperfError as error:
            outcomes["refused"] += 1
            messages_told.append(str(error))
        except Exception as error:
            pytest.fail(f"answer {number}: {error!r:.300} from {body[:1500]!r}")
    assert [] == [message for message in messages_told if not message.isprintable() or len(message) > 500]
    assert min(outcomes.values()) > RUNS // len(DOORS) // 20, outcomes
