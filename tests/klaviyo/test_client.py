"""One account's questions: headers, paging, retries and the errors at the edge."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
import requests
from hypothesis import strategies as st
from raw_server import KEY, REPORT, Clock, reply, report, serving
from werkzeug.wrappers import Request, Response

from flowperf_helpers.account.connection import settings_of
from flowperf_helpers.errors import (
    AmbiguousNameError,
    ApiError,
    AuthenticationError,
    FlowperfError,
    NotebookError,
    PayloadError,
    QuotaError,
    ScopeError,
    StorageError,
    TransportError,
    UnknownNameError,
)
from flowperf_helpers.klaviyo.client import Client, RevisionWarning
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import Ledger
from flowperf_helpers.klaviyo.responses import Pages
from flowperf_helpers.klaviyo.settings import account_settings
from flowperf_helpers.klaviyo.transport import WSGIAdapter
from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app


def client_of(answer: Callable[[Request], Response], clock: Clock | None = None) -> Client:
    """A client whose wire ends in a function of this process."""
    clock = clock or Clock()
    adapter = WSGIAdapter(Request.application(answer))
    return Client(settings_of("sandbox", environ={}), adapter=adapter, clock=clock, sleep=clock.sleep)


def ok(body: object, **headers: str) -> Response:
    return Response(json.dumps(body), headers=headers, content_type="application/vnd.api+json")


def refusal(status: int, **error: object) -> bytes:
    return reply({"errors": [{"id": "1", "meta": [], **error}]}, status=f"{status} No")


def test_what_is_sent(tmp_path: Path) -> None:
    """Key, revision and media types go along; the query is percent-encoded; the body is the JSON given."""
    with (
        serving(reply({"data": []}), reply(report())) as server,
        contextlib.closing(Client(server.settings())) as client,
    ):
        client.get("/api/metrics", {"filter": 'equals(integration.name,"My Shop")'})
        client.post(REPORT, {"name": "Vår"})
    get, post = server.requests
    assert "GET /api/metrics?filter=equals%28integration.name%2C%22My%20Shop%22%29 HTTP/1.1" in get
    low = get.lower()
    assert all(
        line in low
        for line in (f"authorization: klaviyo-api-key {KEY.lower()}", "revision: 2026-10-15", "user-agent: flowperf/",
                     "accept: application/vnd.api+json")
    )  # fmt: skip
    assert "content-type" not in low
    assert "content-type: application/vnd.api+json" in post.lower()
    assert {"name": "Vår"} == json.loads(post.partition("\r\n\r\n")[2])


def test_a_netrc_file_does_not_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .netrc entry for the host would make requests send another Authorization; ours stays."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login evil password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serving(reply({"data": []})) as server:
        Client(server.settings()).get("/api/metrics")
    assert f"Authorization: Klaviyo-API-Key {KEY}" in server.requests[0]


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is for addresses outside: loopback is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(reply({"data": []})) as server:
        assert 1 == len(Client(server.settings()).get("/api/metrics"))


def test_all_pages_of_a_list() -> None:
    """links.next is followed verbatim to its end, null or missing."""

    def answer(request: Request) -> Response:
        page = int(request.args.get("page[cursor]", "0"))
        following = f"{request.host_url}api/metrics?page%5Bcursor%5D={page + 1}&filter=any(id,%5B%22a%22%5D)"
        if page == 1:
            assert b"page%5Bcursor%5D=1&filter=any(id,%5B%22a%22%5D)" == request.query_string
            following = following.replace(request.host_url, "/")  # a relative one is one too
        return ok({"data": [page]} | ({"links": {"next": following}} if page < 2 else {}))

    pages = client_of(answer).get("/api/metrics")
    assert [[0], [1], [2]] == [json.loads(page)["data"] for page in pages]


@pytest.mark.parametrize("name", ["page_cursor", "page[cursor]"])
def test_all_pages_of_a_report(name: str) -> None:
    """A report's pages come by page_cursor, with the same body again, and each counts as a request."""
    bodies: list[bytes] = []

    def answer(request: Request) -> Response:
        bodies.append(request.get_data())
        page = int(request.args.get("page_cursor", "1 0").split()[-1])
        following = f"{request.base_url}?{name}=c%20{page + 1}" if page < 2 else None
        return ok(report([page], following), **{"X-Klaviyo-API-Revision": "2026-10-15"})

    clock = Clock(1_700_000_000.0)
    got = client_of(answer, clock).post(REPORT, {"b": 1})
    assert 3 == len(got.pages) == got.requests
    assert [b'{"b": 1}'] * 3 == bodies
    assert ("2026-10-15", datetime.fromtimestamp(1_700_000_000, UTC), False) == (
        got.revision, got.fetched_at, got.from_store,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_cursor_that_comes_again_is_an_error(method: str) -> None:
    """Pages that lead in a circle end in an error of the payload, not in a spent quota."""
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.full_path)
        return ok({"data": [], "links": {"next": f"{request.base_url}?page_cursor=same"}})

    client = client_of(answer)
    with pytest.raises(PayloadError, match="circle") as caught:
        client.get("/api/metrics") if method == "get" else client.post(REPORT, {})
    assert "/links/next" == caught.value.place
    assert 2 == len(asked)


@pytest.mark.parametrize(
    "link",
    ["http://evil.example/api?page_cursor=1", "https://sandbox.invalid/x?page_cursor=1",
     "http://sandbox.invalid:81/x?page_cursor=1", "//evil.example/?page_cursor=2"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["get", "post"])
def test_the_key_goes_to_no_other_host(link: str, method: str) -> None:
    """A next link to another scheme, host or port is refused, and the error names the host only."""
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.path)
        return ok({"data": [], "links": {"next": link}})

    client = client_of(answer)
    with pytest.raises(PayloadError, match="not sent there"):
        client.get("/api/metrics") if method == "get" else client.post(REPORT, {})
    assert 1 == len(asked)


@pytest.mark.parametrize("body", [{"links": {"next": 5}}, [1], "x", {"links": {"next": "/x?y=1"}}])
def test_a_report_of_another_shape(body: object) -> None:
    """A next link that is no text or holds no cursor, and JSON that is no object, are errors of the payload."""
    with pytest.raises(PayloadError):
        client_of(lambda request: ok(body)).post(REPORT, {})


@pytest.mark.parametrize("links", [None, [], {"next": None}, {"self": "x"}, {"next": ""}, {"next": {"href": None}}])
def test_links_of_any_shape_end_the_pages(links: object) -> None:
    """Links that are missing, null, empty or a list mean that this page was the last."""
    assert 1 == len(client_of(lambda request: ok({"links": links})).get("/api/metrics"))


def test_another_revision_warns_once() -> None:
    """Served at another revision than asked: one warning per client, and the answer tells the revision served."""
    client = client_of(lambda request: ok(report(), **{"X-Klaviyo-API-Revision": "2025-01-15"}))
    with pytest.warns(RevisionWarning, match=r"2025-01-15.*2026-10-15"):
        got = client.post(REPORT, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.get("/api/metrics")
    assert "2025-01-15" == got.revision


def test_the_revision_asked_for_does_not_warn() -> None:
    """The usual case is silent, also where the header is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = client_of(lambda request: ok(report())).post(REPORT, {})
    assert "2026-10-15" == got.revision


CASES = [
    (401, {"code": "authentication_failed", "detail": "Incorrect authentication credentials.",
           "source": {"pointer": "/data/"}}, AuthenticationError, "KLAVIYO_API_KEY"),
    (400, {"code": "invalid", "detail": "Missing or invalid private key."}, AuthenticationError, "does not accept"),
    (403, {"code": "permission_denied", "detail": "The key lacks flows:read."}, ScopeError, "scope flows:read"),
    (403, {"code": "permission_denied"}, ScopeError, "scope flows:read"),
    (404, {"code": "not_found", "detail": "A metric with id x does not exist."}, ApiError, "does not exist"),
    (404, {"code": "not_found", "detail": "No valid revisions found for method"}, ApiError, "KLAVIYO_REVISION"),
    (410, {"code": "gone"}, ApiError, "revision 2026-10-15"),
    (400, {"code": "invalid", "title": "Invalid input.", "detail": "metric has no access token field",
           "source": {"pointer": "/data/attributes/conversion_metric_id"}}, ApiError,
     "400 invalid at /data/attributes/conversion_metric_id"),
    (409, {"code": None, "detail": ["x"], "source": "s", "title": {}}, ApiError, "409"),
    (500, {"detail": "boom\nboom"}, ApiError, "boom boom"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "kind", "says"), CASES)
def test_statuses_become_our_errors(
    status: int, error: dict[str, object], kind: type[FlowperfError], says: str
) -> None:
    """Each error status has its class, its facts and its sentence, and is asked once only."""
    with serving(refusal(status, **error)) as server, pytest.raises(FlowperfError, match=says) as caught:
        Client(server.settings()).post(REPORT, {})
    assert kind is type(caught.value)
    assert 1 == len(server.requests)
    assert status == caught.value.status  # type: ignore[attr-defined]


def test_facts_of_an_error() -> None:
    """Status, code, pointer and detail are attributes, and the scope is one too."""
    error = {"code": "permission_denied", "detail": "needs accounts:read", "source": {"pointer": "/data/"}}
    with serving(refusal(403, **error)) as server, pytest.raises(ScopeError) as caught:
        Client(server.settings()).get("/api/accounts")
    got = caught.value
    assert (403, "permission_denied", "/data/", "needs accounts:read", "accounts:read") == (
        got.status, got.code, got.pointer, got.detail, got.scope,
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"errors":[]}', b'{"errors":"x"}', b'{"errors":[null]}', b"\xff", b'{"errors":{}}'],
)
def test_error_bodies_of_any_shape(body: bytes) -> None:
    """An error without a readable body is an error of ours all the same."""
    with serving(reply(raw=body, status="422 No")) as server, pytest.raises(ApiError, match="422"):
        Client(server.settings()).get("/api/metrics")


def test_no_message_holds_a_secret() -> None:
    """A server that echoes the key does not get it into our message or attributes."""
    with (
        serving(refusal(400, code="invalid", detail=f"bad {KEY} and pk_abcdef123456 !")) as server,
        pytest.raises(ApiError) as caught,
    ):
        Client(server.settings()).get("/api/metrics")
    assert "pk_" not in f"{caught.value} {caught.value.detail}"


def test_a_401_is_not_asked_again() -> None:
    """A key that is not known does not become known by asking."""
    with serving(refusal(401)) as server, pytest.raises(AuthenticationError):
        Client(server.settings()).get("/api/metrics")
    assert 1 == len(server.requests)


@pytest.mark.parametrize("status", [429, 502, 503, 504, 524])
def test_passing_failures_are_asked_again(status: int) -> None:
    """429 and the four gateway errors are followed by another attempt, reports included."""
    clock = Clock()
    with serving(reply(raw=b"<html>", status=f"{status} Busy"), reply(report())) as server:
        got = Client(server.settings(), clock=clock, sleep=clock.sleep).post(REPORT, {})
    assert 2 == got.requests
    assert 0 < sum(clock.slept) <= 3


def test_retry_after_is_obeyed() -> None:
    """The seconds Klaviyo asks for are waited, also where it failed otherwise than by 429."""
    for status in ("429 Slow", "503 Busy"):
        clock = Clock()
        with serving(reply({}, status=status, Retry_After="17"), reply(report())) as server:
            Client(server.settings(), clock=clock, sleep=clock.sleep).post(REPORT, {})
        assert 17 == pytest.approx(sum(clock.slept))


def test_attempts_end() -> None:
    """A server that stays broken ends in its own error, a throttled one in the quota error."""
    clock = Clock()
    with serving(reply(raw=b"", status="503 Busy")) as server, pytest.raises(ApiError, match="503"):
        Client(server.settings(), clock=clock, sleep=clock.sleep, attempts=3).get("/api/metrics")
    assert 3 == len(server.requests)
    with serving(reply(raw=b"", status="429 Slow")) as server, pytest.raises(QuotaError) as caught:
        Client(server.settings(), clock=clock, sleep=clock.sleep, attempts=3).get("/api/metrics")
    assert 3 == len(server.requests)
    assert "/api/metrics" == caught.value.endpoint


def test_every_send_asks_the_ledger(tmp_path: Path) -> None:
    """Pages and retries are rows of the ledger like any call."""
    clock = Clock()
    ledger = Ledger(tmp_path / "l.sqlite3")
    limiter = RateLimiter(ledger, host="h", fingerprint="f", clock=clock, sleep=clock.sleep, quiet=True)
    steps = [reply(raw=b"", status="502 Bad"), reply(report(next_link="/x?page_cursor=2")), reply(report())]
    with serving(*steps) as server:
        got = Client(server.settings(), limiter=limiter, clock=clock, sleep=clock.sleep).post(REPORT, {})
    assert 3 == got.requests == len(server.requests) == ledger.used("h", "f", clock())[REPORT]
    assert 60 <= clock() - 1_700_000_000.0


def test_nothing_answers() -> None:
    """A closed port is an error of transport that says what to look at."""
    with serving(reply({})) as server:
        settings = server.settings()
    clock = Clock()
    with pytest.raises(TransportError, match="is the server running") as caught:
        Client(settings, sleep=clock.sleep, attempts=2).get("/api/metrics")
    assert caught.value.url.startswith("http://127.0.0.1:")
    assert isinstance(caught.value.__cause__, requests.RequestException)


def test_a_name_that_leads_nowhere_names_the_blocklist() -> None:
    """A tracker blocklist can lead Klaviyo's name to 0.0.0.0; the error says so."""

    class Blocked(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:  # type: ignore[override]
            raise requests.ConnectionError("[Errno 111] Connection refused")

        def close(self) -> None:
            """Nothing is open."""

    settings = account_settings("live", environ={"KLAVIYO_API_KEY": KEY})
    with pytest.raises(TransportError, match=r"blocklist.*0\.0\.0\.0"):
        Client(settings, adapter=Blocked(), attempts=1).get("/api/metrics")


def test_compressed_answers_are_read() -> None:
    """gzip on the wire is plain JSON in the pages."""
    body = gzip.compress(b'{"data": []}')
    with serving(reply(raw=body, Content_Encoding="gzip")) as server:
        assert [b'{"data": []}'] == Client(server.settings()).get("/api/metrics")


def test_a_redirect_on_the_same_host_is_followed() -> None:
    """A slash more or less on the same host is no error, and each hop is a send."""
    steps = [reply({}, status="308 Moved", Location="/api/flow-values-reports/"), reply(report())]
    with serving(*steps) as server:
        got = Client(server.settings()).post(REPORT, {"a": 1})
    assert 2 == got.requests
    assert server.requests[1].startswith("POST /api/flow-values-reports/ ")
    assert server.requests[1].endswith('{"a": 1}')


def test_the_embedded_account_without_a_socket() -> None:
    """All pages of the sandbox's metrics come in-process, unpaced, at the revision asked for."""
    clock = Clock()
    client = Client(
        settings_of("sandbox", environ={}), adapter=WSGIAdapter(sandbox_app(now=SANDBOX_NOW)), sleep=clock.sleep
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = {metric["id"] for page in client.get("/api/metrics") for metric in json.loads(page)["data"]}
    assert {"RplOrd", "REcTBe"} <= ids
    assert [] == clock.slept


@pytest.mark.parametrize(
    "link",
    [f"https://{KEY}.evil.example/x?page_cursor=1", f"http://{KEY}@sandbox.invalid/x?page_cursor=1",
     "http://[bad/x?page_cursor=1", "http://sandbox.invalid:99999/x?page_cursor=1", "/x y?page_cursor=1",
     "http://evil.example\\@sandbox.invalid/x?page_cursor=1", "/\ud83d?page_cursor=1", "/x\n?page_cursor=1",
     "http://sandbox.invalid:x/?page_cursor=2", "/\u00f8?page_cursor=1", "https://\u2100.example/?page_cursor=1",
     ["x"], 5, True],
)  # fmt: skip
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_next_link_that_is_not_an_address(link: object, method: str) -> None:
    """A next link that no address is made of, or that hides its host, is an error of the payload, shown nowhere."""
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.path)
        return ok({"data": [], "links": {"next": link}})

    client = client_of(answer)
    with pytest.raises(PayloadError) as caught:
        client.get("/api/metrics") if method == "get" else client.post(REPORT, {})
    assert ("/links/next", 1) == (caught.value.place, len(asked))
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "location",
    ["http://[bad", "http://127.0.0.1:99999/", "/a b", "//", "http://127.0.0.1:x/", "\xff\xfe", "http://\\@x/", ""],
)  # fmt: skip
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Moved", "308 Moved", "300 Many", "304 Same"])
def test_a_redirect_to_what_is_not_an_address(location: str, status: str) -> None:
    """A Location that no address is made of is not followed, and the status is an error of ours."""
    head = f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with serving(head.encode("latin-1")) as server, pytest.raises(ApiError, match="redirect"):
        Client(server.settings(), attempts=1).get("/api/metrics")
    assert 1 == len(server.requests)


@pytest.mark.parametrize("length", ["-5", "-1", "0x-1", "zz", "9" * 30, "-" + "f" * 20])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "302 Found"])
def test_a_chunk_of_no_length(length: str, status: str) -> None:
    """A negative, endless or unreadable chunk is an error of transport, and nothing is read to the end for it."""
    step = (
        f"HTTP/1.1 {status}\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n{length}\r\nabc\r\n0\r\n\r\n".encode()
    )
    with serving(step) as server, pytest.raises(TransportError, match="broke off"):
        Client(server.settings(), attempts=1).get("/api/metrics")


@pytest.fixture
def nothing_collected() -> Iterator[None]:
    """What earlier tests left is collected before, not at the depth where a parser gives up and nothing can run."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("nothing_collected")
@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"errors":' + b"[" * 100_000, b"9" * 5000])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "403 No", "404 No", "500 Bad"])
def test_json_that_cannot_be_read(body: bytes, status: str) -> None:
    """JSON that nests too deep or holds absurd numbers is an error of ours at every status."""
    with serving(reply(raw=body, status=status)) as server, pytest.raises(FlowperfError) as caught:
        Client(server.settings(), attempts=1).get("/api/metrics")
    assert isinstance(caught.value, TransportError | ApiError | ScopeError)


def test_the_served_revision_is_a_revision() -> None:
    """A header that holds something else than a revision is neither repeated nor kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = client_of(lambda request: ok(report(), **{"X-Klaviyo-API-Revision": KEY})).post(REPORT, {})
    assert "2026-10-15" == got.revision


def test_the_missing_scope_is_named() -> None:
    """A map of metrics to flows that is refused without a word needs flows:read, once metrics:read has worked."""

    def answer(request: Request) -> Response:
        if "include" in request.args:
            return Response(json.dumps({"errors": [{"code": "permission_denied"}]}), status=403)
        return ok({"data": []})

    client = client_of(answer)
    with pytest.raises(ScopeError, match="flows:read"):
        client.get("/api/metrics", {"include": "flow-triggers"})
    client.get("/api/metrics")
    with pytest.raises(ScopeError) as caught:
        client.get("/api/metrics", {"include": "flow-triggers"})
    assert "flows:read" == caught.value.scope
    assert "metrics:read" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["next", "href", "self"]), inner),
    max_leaves=5,
)
LINKS = st.lists(
    st.sampled_from(["http:", "//", "/", "\\", "@", "?", "#", "[", "]", ":", "80", "99999", "sandbox.invalid",
                     "evil.example",
                     "page_cursor=", "page[cursor]=1", "%", "%00", ";", "\ud83d", "\u2100", "\t", " ", "..", "a"]),
    max_size=12,
).map("".join)  # fmt: skip


@hypothesis.settings(max_examples=1000, deadline=None)
@hypothesis.given(links=st.one_of(JSON, st.fixed_dictionaries({"next": JSON | LINKS})))
def test_links_of_any_kind_end_in_a_page_or_in_our_error(links: object) -> None:
    """Whatever an answer gives as its links, the next page is one of our host, or there is an error of the payload."""
    base = "http://sandbox.invalid"
    with contextlib.suppress(PayloadError):
        url = Pages(base).next_url({"links": links}, f"{base}/api/metrics?a=b")
        prepared = None if url is None else requests.Request("GET", url).prepare().url
        assert prepared is None or (prepared.startswith((f"{base}/", f"{base}?", f"{base}:80")))
    with contextlib.suppress(PayloadError):
        cursor = Pages(base).next_cursor({"links": links})
        assert cursor is None or cursor.encode()


@pytest.mark.parametrize(
    "error",
    [
        QuotaError("spent", endpoint=REPORT, retry_at=datetime(2026, 11, 23, tzinfo=UTC), kept=3),
        TransportError("cut", url="https://a.klaviyo.com/api/metrics"),
        PayloadError("odd", place="/data"),
        StorageError("full", path="ledger.sqlite3"),
        NotebookError("stopped", path="week.ipynb", cause_name="KeyError", exit_code=4, traceback="..."),
        ScopeError("no", scope="flows:read", status=403, detail="no"),
        UnknownNameError("who", near=["acme"]),
        AmbiguousNameError("two", candidates=[{"id": "a"}]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_travels_between_processes(error: FlowperfError) -> None:
    """It comes out of a pickle as it was, so that it does not take the pool of its worker with it."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, vars(copy)) == (type(error), error.args, vars(error))
