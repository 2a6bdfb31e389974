"""What goes wrong outside: each ends in a result or in an error of ours, and leaves ledger and store whole.

Wires are real sockets on loopback, locks are real locks, processes are real processes.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import multiprocessing
import socket
import sqlite3
import threading
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from raw_server import KEY, REPORT, Clock, RawServer, Step, reply, report, reset, serving
from werkzeug.serving import WSGIRequestHandler, make_server

from flowperf_helpers.account.queries import ReportQuery
from flowperf_helpers.account.store import Store
from flowperf_helpers.errors import (
    ApiError,
    ArgumentError,
    FlowperfError,
    PayloadError,
    QuotaError,
    StorageError,
    TransportError,
)
from flowperf_helpers.klaviyo.client import Client, ReportResponse
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import Ledger, scaled_limits
from flowperf_helpers.klaviyo.settings import account_settings
from flowperf_helpers.klaviyo.storage import StorageWarning
from flowperf_helpers.sandbox import SANDBOX_KEY, SANDBOX_NOW, sandbox_app


def paced(server: RawServer, home: Path, clock: Clock, *, timeout: float = 5.0) -> Client:
    """A client as a real account has it, on seconds that pass only in sleeps."""
    settings = server.settings()
    limiter = RateLimiter.from_environment(
        home, host=settings.host, fingerprint=settings.credentials.fingerprint, environ={}, clock=clock,
        sleep=clock.sleep, quiet=True,
    )  # fmt: skip
    return Client(settings, limiter=limiter, clock=clock, sleep=clock.sleep, timeout=(2.0, timeout))


def rows_of(home: Path) -> int:
    """Rows of the ledger, once SQLite has said that it is whole."""
    with sqlite3.connect(home / "ledger.sqlite3") as db:
        assert "ok" == db.execute("PRAGMA integrity_check").fetchone()[0]
        return int(db.execute("SELECT count(*) FROM calls").fetchone()[0])


def broken_off(connection: socket.socket, url: str) -> None:
    """Promise a body, send the half of it, and reset."""
    whole = reply(report(["x" * 1000]))
    connection.sendall(whole[:-500])
    time.sleep(0.05)
    reset(connection, url)


def short(connection: socket.socket, url: str) -> None:
    """Promise a body, send the half of it, and hang up politely."""
    connection.sendall(reply(report(["x" * 1000]))[:-500])


def silent(connection: socket.socket, url: str) -> None:
    """Say nothing for longer than the client waits."""
    time.sleep(0.6)


CURED: list[tuple[str, Step]] = [
    ("html 502", reply(raw=b"<html>Bad gateway</html>", status="502 Bad Gateway", Content_Type="text/html")),
    ("empty 504", reply(raw=b"", status="504 Timeout")),
    ("cloudflare 524", reply(raw=b"<html>", status="524 A timeout")),
    ("html 200", reply(raw=b"<html>Please wait</html>")),
    ("empty 200", reply(raw=b"")),
    ("truncated JSON", reply(raw=b'{"data": {"attributes": {"results": [')),
    ("not UTF-8", reply(raw=b'{"data": "\xff\xfe"}')),
    ("gzip garbage", reply(raw=b"no gzip at all", Content_Encoding="gzip")),
    ("gzip cut short", reply(raw=gzip.compress(json.dumps(report(list(range(999)))).encode())[:60],
                             Content_Encoding="gzip")),
    ("reset at once", reset),
    ("reset in the body", broken_off),
    ("hung up in the body", short),
    ("not HTTP", b"\x00\x01\x02 hello\r\n\r\n"),
    ("no answer", b""),
    ("slow", silent),
    ("429 bare", reply({}, status="429 Slow")),
    ("429 nonsense", reply({}, status="429 Slow", Retry_After="soon")),
    ("429 negative", reply({}, status="429 Slow", Retry_After="-30")),
    ("429 infinite", reply({}, status="429 Slow", Retry_After="inf")),
    ("429 empty", reply(raw=b"", status="429 Slow", Retry_After="")),
    ("429 absurd", reply({}, status="429 Slow", Retry_After="9" * 400)),
    ("429 in seconds", reply({"errors": [{"code": "throttled", "meta": []}]}, status="429 Slow", Retry_After="1")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "step"), CURED, ids=[name for name, _ in CURED])
def test_what_passes_is_survived(tmp_path: Path, name: str, step: Step) -> None:
    """One bad answer, then a good one: a result, and both sends are in the ledger."""
    clock = Clock()
    with serving(step, reply(report())) as server:
        got = paced(server, tmp_path, clock, timeout=0.3).post(REPORT, {})
    assert 2 == got.requests == len(server.requests) == rows_of(tmp_path)
    assert report() == json.loads(got.pages[0])


@pytest.mark.parametrize(("name", "step"), [case for case in CURED if case[0] != "slow"],
                         ids=[name for name, _ in CURED if name != "slow"])  # fmt: skip
def test_what_stays_is_an_error_of_ours(tmp_path: Path, name: str, step: Step) -> None:
    """The same answer for ever: an error of ours after four sends, each of them in the ledger."""
    clock = Clock()
    with serving(step) as server, pytest.raises((TransportError, ApiError, QuotaError)) as caught:
        paced(server, tmp_path, clock).post(REPORT, {})
    assert isinstance(caught.value, QuotaError) == name.startswith("429")
    assert 4 == len(server.requests) == rows_of(tmp_path)
    assert KEY not in str(caught.value)


def test_a_spent_day_ends_at_once(tmp_path: Path) -> None:
    """A 429 with Retry-After 61073 is the quota error without a wait, and the next run knows it."""
    body = {"errors": [{"status": 429, "code": "throttled", "title": "Request was throttled.", "meta": []}]}
    with serving(reply(body, status="429 Too Many Requests", Retry_After="61073")) as server:
        settings = server.settings()
        limiter = RateLimiter.from_environment(tmp_path, host=settings.host, fingerprint="f", environ={})
        before = datetime.now(UTC)
        with pytest.raises(QuotaError, match="run again after") as caught:
            Client(settings, limiter=limiter).post(REPORT, {})
        after = datetime.now(UTC)
        with pytest.raises(QuotaError):
            Client(settings, limiter=limiter).post(REPORT, {})
        assert 1 == len(server.requests)
    retry_at, wait, rounding = caught.value.retry_at, timedelta(seconds=61073), timedelta(seconds=1)
    assert retry_at is not None
    assert before + wait - rounding <= retry_at <= after + wait + rounding


def test_limit_headers_that_are_no_numbers(tmp_path: Path) -> None:
    """RateLimit headers in Klaviyo's real form, or in none, change nothing."""
    for limit in ("1, 1;w=1, 2;w=60, 225;w=86400", "lots", ""):
        answer = reply(report(), RateLimit_Limit=limit, RateLimit_Remaining="none", RateLimit_Reset="-")
        with serving(answer) as server:
            assert 1 == paced(server, tmp_path / (limit[:1] or "empty"), Clock()).post(REPORT, {}).requests


def test_a_cursor_that_loops(tmp_path: Path) -> None:
    """A page cursor that comes again is an error of the payload after two sends."""
    with serving(reply(report(next_link="/api/x?page_cursor=abc"))) as server, pytest.raises(PayloadError):
        paced(server, tmp_path, Clock()).post(REPORT, {})
    assert 2 == len(server.requests) == rows_of(tmp_path)


def test_a_redirect_to_another_host(tmp_path: Path) -> None:
    """The key does not follow: the other host is never asked."""
    with serving(reply({"data": []})) as other:
        steps = [reply({}, status="302 Found", Location=f"{other.url}/api/metrics")]
        with serving(*steps) as server, pytest.raises(ApiError, match="redirect"):
            paced(server, tmp_path, Clock()).get("/api/metrics")
        assert [] == other.requests


def test_redirects_in_a_circle(tmp_path: Path) -> None:
    """A host that sends us round is left after a few hops."""
    steps = [reply({}, status="307 Moved", Location="/b"), reply({}, status="307 Moved", Location="/a")] * 9
    with serving(*steps) as server, pytest.raises(ApiError):
        paced(server, tmp_path, Clock()).get("/a")
    assert len(server.requests) <= 4


def test_a_body_that_drips(tmp_path: Path) -> None:
    """A server that sends a byte now and then, never a whole answer, is left when the time for it is over."""
    gone = threading.Event()

    def drip(connection: socket.socket, url: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not gone.wait(0.05):
            connection.sendall(b"1\r\nx\r\n")

    with serving(drip) as server:
        client = Client(server.settings(), attempts=1, timeout=(2.0, 2.0), whole=0.4)
        with pytest.raises(TransportError, match="in time"):
            client.get("/api/metrics")
        gone.set()


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    """https to a server that speaks plain http is an error of transport at once, without further attempts."""
    with serving(reply({})) as server:
        settings = account_settings(
            "live", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": server.url.replace("http:", "https:")}
        )
        with pytest.raises(TransportError, match="certificate"):
            Client(settings, timeout=(2.0, 2.0)).get("/api/metrics")
        assert ["TLS"] == server.requests


def test_a_proxy_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead proxy on the way to Klaviyo is named as the culprit."""
    with serving(reply({})) as server:
        dead = server.url
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, dead)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TransportError, match="proxy"):
        Client(account_settings("live", environ={"KLAVIYO_API_KEY": KEY}), attempts=1).get("/api/metrics")


def test_a_body_that_nests_without_end(tmp_path: Path) -> None:
    """JSON too deep to read is an error of ours."""
    with serving(reply(raw=b"[" * 200_000)) as server, pytest.raises(TransportError):
        paced(server, tmp_path, Clock()).get("/api/metrics")


def test_a_locked_ledger(tmp_path: Path) -> None:
    """Another program sits on the ledger: an error of storage after the time given; then all works again."""
    ledger = Ledger(tmp_path / "ledger.sqlite3", lock_timeout=0.2)
    limiter = RateLimiter(ledger, host="h", fingerprint="f")
    limiter.after(limiter.before("/api/metrics"))
    holder = sqlite3.connect(ledger.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with serving(reply({"data": []})) as server:
        with pytest.raises(StorageError, match=r"locked by another program for 0\.2 s"):
            Client(server.settings(), limiter=limiter).get("/api/metrics")
        assert [] == server.requests
        holder.execute("ROLLBACK")
        holder.close()
        Client(server.settings(), limiter=limiter).get("/api/metrics")
    assert 2 == rows_of(tmp_path)


@pytest.mark.parametrize("damage", ["garbage", "middle", "empty"])
def test_a_damaged_ledger(tmp_path: Path, damage: str) -> None:
    """A ledger that is no database is set aside with a warning, and a new one counts from there."""
    path = tmp_path / "ledger.sqlite3"
    limiter = RateLimiter(Ledger(path), host="h", fingerprint="f", quiet=True, paced=False)
    for _ in range(100):
        limiter.before("/api/metrics")
    whole = path.read_bytes()
    path.write_bytes(
        {"garbage": b"\x00no database" * 500, "middle": whole[:4096] + b"\xab" * 8192, "empty": b""}[damage]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        limiter.after(limiter.before("/api/metrics"))
    assert [] == [entry for entry in caught if not issubclass(entry.category, StorageWarning)]
    assert (0 if damage == "empty" else 1) == len(caught)
    assert 1 == rows_of(tmp_path)
    assert (0 if damage == "empty" else 1) == len(list(tmp_path.glob("ledger-damaged-*")))


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be: an error of storage that names FLOWPERF_HOME, before anything is sent."""
    (tmp_path / "file").write_text("")
    limiter = RateLimiter(Ledger(tmp_path / "file" / "ledger.sqlite3"), host="h", fingerprint="f")
    with serving(reply({"data": []})) as server:
        with pytest.raises(StorageError, match="FLOWPERF_HOME"):
            Client(server.settings(), limiter=limiter).get("/api/metrics")
        assert [] == server.requests


def test_a_folder_that_takes_no_files() -> None:
    """Where no file can be made the error says so, even for root."""
    with pytest.raises(StorageError, match="could not be made"):
        RateLimiter(Ledger(Path("/proc/self/ledger.sqlite3"))).before("/api/metrics")


def test_many_find_the_damage_at_once(tmp_path: Path) -> None:
    """Eight threads meet a damaged ledger: it is set aside once, and every call is a row of the new one."""
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"\x00no database" * 500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StorageWarning)
        limiter = RateLimiter(Ledger(path), paced=False)
        threads = [threading.Thread(target=limiter.before, args=("/api/metrics",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 8 == rows_of(tmp_path)
    assert 1 == len(list(tmp_path.glob("ledger-damaged-*")))


def test_a_ledger_that_is_a_folder(tmp_path: Path) -> None:
    """Something else under the ledger's name is an error of storage too."""
    (tmp_path / "ledger.sqlite3").mkdir()
    with pytest.raises(StorageError, match=r"ledger\.sqlite3"):
        RateLimiter(Ledger(tmp_path / "ledger.sqlite3")).before("/api/metrics")


def test_a_damaged_snapshot_is_fetched_again(tmp_path: Path) -> None:
    """Store, damage, ask: the way an account goes ends in a whole snapshot."""
    end = datetime.now(UTC) - timedelta(days=30)
    store = Store(tmp_path, account_key="a-1")
    with serving(reply(report([1])), reply(report([2]))) as server:
        client = paced(server, tmp_path, Clock())

        def fetch() -> ReportResponse:
            kept = store.find(REPORT, "2026-10-15", {}, window_end=end)
            if kept is not None:
                return kept
            answer = client.post(REPORT, {})
            fresh = ReportResponse(answer.pages, answer.revision, datetime.now(UTC), requests=1)
            store.keep(REPORT, "2026-10-15", {}, fresh, window_end=end)
            return fresh

        first = fetch()
        assert fetch().pages == first.pages
        file = next(tmp_path.rglob("*.snap"))
        file.write_bytes(file.read_bytes()[:30])
        with pytest.warns(StorageWarning):
            second = fetch()
        assert second.pages == fetch().pages != first.pages
    assert 1 == store.count()


def test_a_clock_set_back_while_waiting(tmp_path: Path) -> None:
    """The clock jumps back an hour in the middle of a wait: the call is made all the same, soon."""
    clock = Clock()
    asleep: list[float] = []

    def sleep(seconds: float) -> None:
        asleep.append(seconds)
        clock.now += seconds
        if len(asleep) == 2:
            clock.now -= 3600

    limiter = RateLimiter(
        Ledger(tmp_path / "ledger.sqlite3"), host="h", fingerprint="f", clock=clock, sleep=sleep, quiet=True
    )
    for _ in range(4):
        limiter.after(limiter.before(REPORT))
    assert sum(asleep) < 200
    assert 4 == rows_of(tmp_path)


SCALE = 150.0
QUERY = ReportQuery("RplOrd", ("2026-11-16", "2026-11-22"), ["clicks"])  # type: ignore[arg-type]


class Counted:
    """A WSGI app that counts the statuses of another one."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.seen: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        def counting(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self.seen[status[:3]] += 1
            return start(status, headers, *rest)

        return self.app(environ, counting)


class _Quiet(WSGIRequestHandler):
    wbufsize = -1

    def log_request(self, *args: object, **kwargs: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def enforcing() -> Iterator[tuple[Counted, str]]:
    """The sandbox with Klaviyo's windows, 150 times shorter, on a free port."""
    app = Counted(sandbox_app(now=SANDBOX_NOW, enforce_limits=True, time_scale=SCALE))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield app, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _one_process(url: str, home: str, calls: int, results: multiprocessing.Queue[str]) -> None:
    settings = account_settings("live", environ={"KLAVIYO_API_KEY": SANDBOX_KEY, "KLAVIYO_BASE_URL": url})
    limiter = RateLimiter(
        Ledger(Path(home) / "ledger.sqlite3"), host=settings.host, fingerprint=settings.credentials.fingerprint,
        limits=scaled_limits(SCALE), quiet=True,
    )  # fmt: skip
    try:
        with contextlib.closing(Client(settings, limiter=limiter)) as client:
            sent = sum(client.post(REPORT, QUERY.body()).requests for _ in range(calls))
        results.put(f"{sent}")
    except FlowperfError as error:
        results.put(repr(error))


def test_four_processes_at_once(enforcing: tuple[Counted, str], tmp_path: Path) -> None:
    """On one account against enforced limits: no 429, and exactly one ledger row per request the server saw."""
    app, url = enforcing
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_one_process, args=(url, str(tmp_path), 4, results)) for _ in range(4)]
    for process in processes:
        process.start()
    got = [results.get(timeout=90) for _ in processes]
    for process in processes:
        process.join(30)
    assert ["4"] * 4 == got
    assert {"200": 16} == dict(app.seen)
    assert 16 == rows_of(tmp_path)


def flood(head: bytes, piece: bytes) -> Step:
    """Send the head, then the same piece as fast as it is taken, for as long as it is taken."""

    def step(connection: socket.socket, url: str) -> None:
        connection.settimeout(0.5)
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return step


def trickle(head: bytes, piece: bytes, gone: threading.Event) -> Step:
    """Send the head, then the same piece now and then, for ever."""

    def step(connection: socket.socket, url: str) -> None:
        connection.sendall(head)
        while not gone.wait(0.05):
            connection.sendall(piece)

    return step


CHUNKED = b"HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\nLocation: /elsewhere\r\n\r\n"
ENDLESS = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
NEVER = [
    ("200, bytes", CHUNKED % b"200 OK", b"1\r\nx\r\n"),
    ("302, bytes", CHUNKED % b"302 Found", b"1\r\nx\r\n"),
    ("500, bytes", CHUNKED % b"500 Bad", b"1\r\nx\r\n"),
    ("bytes up to a length", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
    ("one header", b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    ("many headers", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    ("the first line", b"HTTP/1.1 2", b"0"),
    ("100 Continue", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("a last chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
]


def nobody_requests() -> bool:
    """Whether no thread is left that reads an answer, soon."""
    ends = time.monotonic() + 5
    while any(thread.name == "flowperf-request" for thread in threading.enumerate()):
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize(("head", "piece"), [case[1:] for case in NEVER], ids=[case[0] for case in NEVER])
def test_whatever_drips_is_left(head: bytes, piece: bytes) -> None:
    """Bytes, headers or 1xx answers that never make a whole one: left when its time is over, thread and socket too."""
    gone = threading.Event()
    with serving(trickle(head, piece, gone)) as server:
        client = Client(server.settings(), attempts=1, timeout=(2.0, 2.0), whole=0.4)
        with pytest.raises(TransportError, match="in time|broke off"):
            client.get("/api/metrics")
        assert nobody_requests()
        gone.set()


def test_a_flood_of_1xx_is_left() -> None:
    """A server that answers 100 Continue as fast as it is read is left in time, and reading it ends."""
    with serving(flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)) as server:
        with pytest.raises(TransportError, match="in time"):
            Client(server.settings(), attempts=1, whole=0.4).get("/api/metrics")
        assert nobody_requests()


def test_a_name_that_is_looked_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer holds nobody beyond the time for an answer."""
    found = threading.Event()

    def asleep(*address: object, **options: object) -> None:
        found.wait(10)
        raise socket.gaierror("nobody is there")

    monkeypatch.setattr(socket, "getaddrinfo", asleep)
    settings = account_settings("live", environ={"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": "https://x.example"})
    with pytest.raises(TransportError, match="in time"):
        Client(settings, attempts=1, whole=0.3).get("/api/metrics")
    found.set()


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "307 Moved", "400 Bad", "401 No", "500 Bad"])
def test_an_endless_body_is_left_at_the_limit(status: str) -> None:
    """A body without an end is left at the limit, whatever its status, and is not asked for again."""
    head = CHUNKED % status.encode()
    with serving(flood(head, ENDLESS)) as server:
        settings = server.settings(FLOWPERF_MAX_ANSWER_MB="0.5")
        tracemalloc.start()
        with pytest.raises(TransportError, match=r"larger than 0\.5 MB.*FLOWPERF_MAX_ANSWER_MB"):
            Client(settings).get("/api/metrics")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 1 == len(server.requests)
    assert peak < 8e6


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("status", ["200 OK", "302 Found", "400 Bad"])
def test_a_body_that_unpacks_to_much_more(layers: int, status: str) -> None:
    """A packed body counts unpacked: 100 MB in 100 kB, or in less, is left at the limit and never held."""
    data = b"0" * 100_000_000
    for _ in range(layers):
        data = gzip.compress(data, 9)
    packed = reply(raw=data, status=status, Content_Encoding=", ".join(["gzip"] * layers), Location="/x")
    with serving(packed) as server:
        settings = server.settings(FLOWPERF_MAX_ANSWER_MB="2")
        tracemalloc.start()
        with pytest.raises(TransportError, match="larger than 2 MB"):
            Client(settings).get("/api/metrics")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12e6


def test_the_limit_of_an_answer_is_a_setting() -> None:
    """64 MB unless FLOWPERF_MAX_ANSWER_MB says otherwise, of which only numbers above 0 are taken."""
    environ = {"KLAVIYO_API_KEY": KEY}
    assert 64_000_000 == account_settings("live", environ=environ).max_answer
    assert 1_500_000 == account_settings("live", environ=environ | {"FLOWPERF_MAX_ANSWER_MB": " 1.5 "}).max_answer
    for wrong in ("0", "-1", "nan", "inf", "much", "1e9"):
        with pytest.raises(ArgumentError, match="FLOWPERF_MAX_ANSWER_MB"):
            account_settings("live", environ=environ | {"FLOWPERF_MAX_ANSWER_MB": wrong})
    whole = reply({"data": ["x" * 900_000]})
    with serving(whole) as server:
        assert 1 == len(Client(server.settings(FLOWPERF_MAX_ANSWER_MB="1")).get("/api/metrics"))


def test_one_deadline_for_all_attempts_and_pages(tmp_path: Path) -> None:
    """Attempts, their pauses, pages and waits for a free call end together at the client's deadline."""
    gone = threading.Event()
    with serving(trickle(*NEVER[0][1:], gone)) as server:
        with pytest.raises(TransportError, match="time given for the run"):
            Client(server.settings(), attempts=50, whole=0.2, backoff=0.01, seconds=0.8).get("/api/metrics")
        gone.set()
    with serving(reply(raw=b"", status="503 Busy", Retry_After="30")) as server:
        with pytest.raises(TransportError, match="time given for the run"):
            Client(server.settings(), seconds=5).get("/api/metrics")
        assert 1 == len(server.requests)
    with serving(reply(report())) as server:
        limiter = RateLimiter(Ledger(tmp_path / "ledger.sqlite3"), host="h", fingerprint="f", quiet=True)
        client = Client(server.settings(), limiter=limiter, seconds=5)
        client.post(REPORT, {})
        client.post(REPORT, {})
        with pytest.raises(QuotaError):
            client.post(REPORT, {})
        assert 2 == len(server.requests)


class _Keeping(BaseHTTPRequestHandler):
    """A server that keeps its connections open, as Klaviyo's does."""

    protocol_version = "HTTP/1.1"
    opened = 0

    def setup(self) -> None:
        type(self).opened += 1
        super().setup()

    def do_GET(self) -> None:
        self.wfile.write(reply({"data": []}).replace(b"Connection: close\r\n", b""))

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


def test_connections_are_used_again() -> None:
    """A request on a thread of its own costs nobody the connection: twenty calls go over one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Keeping)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environ = {"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": f"http://127.0.0.1:{server.server_port}"}
    with contextlib.closing(Client(account_settings("live", environ=environ))) as client:
        for _ in range(20):
            client.get("/api/flows")
    server.shutdown()
    thread.join()
    server.server_close()
    assert 1 == _Keeping.opened
