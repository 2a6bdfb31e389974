"""Whatever is thrown at the embedded account, it answers with JSON:API and never with a 5xx."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_asking import WEEK, frozen, headers, served
from werkzeug.test import Client

from flowperf_helpers.frames.catalog import GROUPINGS, INTERVALS, PRESETS, STATISTICS
from flowperf_helpers.sandbox.filters import FilterError, parse_filter

APP = frozen()
QUICK = settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])

garbage: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
moments = st.one_of(
    st.datetimes().map(lambda d: d.isoformat() + "+00:00"),
    st.sampled_from([WEEK["start"], WEEK["end"], "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2026-W47"]),
    st.text(max_size=25),
)
filters = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="andequlscoti-y()[],\"'\\ _flw123", max_size=80),
    st.sampled_from(['equals(flow_id,"T7K2j8")', "contains-any(send_channel,['sms'])", 'equals(flow_name,"\\ud800")']),
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "statistics": st.lists(st.sampled_from(list(STATISTICS)) | st.text(max_size=5), max_size=5) | garbage,
        "timeframe": st.fixed_dictionaries({"key": st.sampled_from(PRESETS)})
        | st.fixed_dictionaries({"start": moments, "end": moments})
        | garbage,
        "conversion_metric_id": st.sampled_from(["RplOrd", "REcTBe"]) | garbage,
        "interval": st.sampled_from(INTERVALS) | garbage,
        "group_by": st.lists(st.sampled_from(GROUPINGS), max_size=6) | garbage,
        "filter": filters | garbage,
    },
)


def check(answer: Any) -> None:
    """Any answer is 2xx or 4xx and a JSON:API document."""
    assert 200 <= answer.status_code < 500, answer.text
    assert {"data"} <= set(answer.json) or {"errors"} == set(answer.json)


@QUICK
@given(kind=st.sampled_from(["values", "series"]), given_attributes=attributes | garbage, type_=st.none() | garbage)
def test_any_body(kind, given_attributes, type_):
    """Half-right and wholly wrong bodies are answered or refused, never stumbled over."""
    name = f"flow-{kind}-report"
    text = json.dumps({"data": {"type": name if type_ is None else type_, "attributes": given_attributes}})
    check(Client(APP).post(f"/api/{name}s", data=text, content_type="application/json", headers=headers()))


@QUICK
@given(start=moments, end=moments, interval=st.sampled_from([None, *INTERVALS]))
def test_any_timeframe(start, end, interval):
    """No pair of moments breaks the calendar."""
    kind = "values" if interval is None else "series"
    asked: dict[str, Any] = {"statistics": ["recipients"], "conversion_metric_id": "RplOrd",
                             "timeframe": {"start": start, "end": end}}  # fmt: skip
    if interval:
        asked["interval"] = interval
    text = json.dumps({"data": {"type": f"flow-{kind}-report", "attributes": asked}})
    check(Client(APP).post(f"/api/flow-{kind}-reports", data=text, content_type="application/json", headers=headers()))


@QUICK
@given(data=st.binary(max_size=200), path=st.sampled_from(["/api/flow-values-reports", "/api/flow-series-reports/"]))
def test_any_bytes(data, path):
    """Bytes that are no text are a 400."""
    answer = Client(APP).post(path, data=data, content_type="application/vnd.api+json", headers=headers())
    check(answer)
    assert 400 == answer.status_code


names = st.sampled_from(
    ["filter", "sort", "include", "page[size]", "page[cursor]", "page_cursor", "fields[metric]", "fields[flow]",
     "fields[flow-action]", "fields[tag]", "additional-fields[flow]"]
)  # fmt: skip


@QUICK
@given(
    path=st.sampled_from(
        ["metrics", "metrics/RplOrd", "flows", "flows/T7K2j8", "flows/T7K2j8/flow-actions", "accounts"]
    )
    | st.text(max_size=20),
    query=st.dictionaries(names | st.text(max_size=8), filters, max_size=4),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    revision=st.sampled_from(["2026-10-15", "2024-10-15", "", "x"]),
)
def test_any_address(path, query, method, revision):
    """Any path, query, method and revision."""
    answer = Client(APP).open(
        "/api/" + quote(path), method=method, query_string=query, headers={**headers(), "revision": revision}
    )
    check(answer)


@QUICK
@given(text=filters)
def test_any_filter(text):
    """A filter is read or refused with the one error of the language."""
    with contextlib.suppress(FilterError):
        assert all(condition.operator and condition.field for condition in parse_filter(text))


def test_broken_http():
    """Raw sockets that send nonsense get an answer or a closed connection, and the server goes on."""
    with served(frozen()) as url:
        host = urlsplit(url).netloc
        for length in ("-1", "x", "10", "999999999999"):
            connection = http.client.HTTPConnection(host, timeout=2)
            connection.putrequest("POST", "/api/flow-values-reports")
            for name, value in {**headers(), "Content-Length": length, "Content-Type": "application/json"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.sock.shutdown(1)
            answer = connection.getresponse()
            assert 400 <= answer.status < 500
            connection.close()
        connection = http.client.HTTPConnection(host, timeout=5)
        connection.request("GET", "/api/metrics", headers=headers())
        assert 200 == connection.getresponse().status
        connection.close()
