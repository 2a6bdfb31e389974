"""One request over HTTP: one deadline over all of an exchange, and a WSGI app behind the same door."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flowperf_helpers import __version__
from flowperf_helpers.errors import FlowperfError, TransportError
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.responses import Pages
from flowperf_helpers.klaviyo.settings import AccountSettings, is_loopback

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["WHOLE_ANSWER", "AgainError", "HTTPTransport", "Received", "WSGIAdapter"]


# Connections that can be left at any moment: while a name is looked up, a header drips or a body never ends.
#
# The timeouts of the libraries below start anew with every byte; here one time covers a whole request.

T = TypeVar("T")


class Exchange:
    """One request on a thread of its own, so that its caller can leave it whatever it waits for."""

    current = threading.local()

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_left = False
        self._lock = threading.Lock()

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """Return what ``work`` returns, or leave it behind: a name that is looked up cannot be interrupted."""
        outcome: Future[T] = Future()

        def call() -> None:
            self.current.exchange = self
            try:
                outcome.set_result(work())
            except BaseException as error:  # all of it is the caller's, an interruption too
                if not self._is_left:  # kept by nobody, it would keep the socket open
                    outcome.set_exception(error)

        threading.Thread(target=call, name="flowperf-request", daemon=True).start()
        try:
            return outcome.result(timeout=seconds)
        except TimeoutError:
            if outcome.done():
                raise
            raise requests.exceptions.ReadTimeout("the answer was not whole in time") from None
        finally:
            if not outcome.done():
                self._leave()

    def uses(self, sock: socket.socket) -> None:
        """Note what the answer will be read from; called on the thread of the request."""
        with self._lock:
            if self._is_left:
                raise TimeoutError("nobody waits for this answer any more")
            self._sockets.append(sock)

    def _leave(self) -> None:
        """Wake the thread up where it reads."""
        with self._lock:
            self._is_left = True
            for sock in self._sockets:
                with contextlib.suppress(OSError, TypeError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Response(http.client.HTTPResponse):
    """Refuses a chunk of negative length, for which the library would read to the end or fail in a way of its own."""

    def _safe_read(self, amt: int) -> bytes:
        if amt < 0:
            raise http.client.IncompleteRead(b"")
        return super()._safe_read(amt)  # type: ignore[misc]


class _Leavable:
    response_class: Any = _Response
    sock: socket.socket

    def getresponse(self) -> Any:
        Exchange.current.exchange.uses(self.sock)
        return super().getresponse()  # type: ignore[misc]


class _HTTPConnection(_Leavable, HTTPConnection):
    """Without encryption: this machine, or a proxy."""


class _HTTPSConnection(_Leavable, HTTPSConnection):
    """Everything else."""


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class LeavableAdapter(HTTPAdapter):
    """The network, on connections that can be left."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the manager of direct connections."""
        super().init_poolmanager(*args, **options)
        self._use_ours(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the manager of connections by a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if isinstance(manager, urllib3.ProxyManager):  # that of a SOCKS proxy has connections of its own kind
            self._use_ours(manager)
        return manager

    @staticmethod
    def _use_ours(manager: urllib3.PoolManager) -> None:
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


# A WSGI app behind requests' front door: the embedded account without a socket.


class WSGIAdapter(HTTPAdapter):
    """Answers requests by calling an app in this process.

    Parameters
    ----------
    app : WSGI callable
        It sees the same method, path, query, headers and body as behind a socket.
    """

    def __init__(self, app: WSGIApplication) -> None:
        super().__init__()
        self._app = app

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Return the app's whole answer."""
        parts = urlsplit(str(request.url))
        data = request.body or b""
        builder = EnvironBuilder(
            path=parts.path,
            base_url=f"{parts.scheme}://{parts.netloc}",
            query_string=parts.query,
            method=request.method or "GET",
            headers=list(request.headers.items()),
            data=data.encode() if isinstance(data, str) else bytes(data),
        )
        try:
            chunks, status, headers = run_wsgi_app(self._app, builder.get_environ(), buffered=True)
        finally:
            builder.close()
        code, _, reason = status.partition(" ")
        body = io.BytesIO(b"".join(chunks))
        fields = urllib3.HTTPHeaderDict(headers.items())
        return self.build_response(
            request, urllib3.HTTPResponse(body, fields, int(code), reason=reason, preload_content=False)
        )


# One request over HTTP: the only file that speaks it. What breaks on the way becomes one of our errors.
#
# Connect and read timeouts on every call, one deadline for the whole of it, and a limit to what is read; redirects
# only on the same host, as the key goes along; a ``.netrc`` file or a proxy's address never replaces the key.

MEDIA_TYPE = "application/vnd.api+json"
WHOLE_ANSWER = 300.0
"""Seconds in which a whole answer has to arrive, from the look-up of the host's name to the last byte."""
MAX_HOPS = 3


class Received(NamedTuple):
    """A whole answer of any status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class AgainError(Exception):
    """Another attempt may do better: what to raise if there is none, and the seconds to wait (None: backoff)."""

    def __init__(self, error: FlowperfError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class HTTPTransport:
    """The connections of one account.

    Parameters
    ----------
    settings : AccountSettings
        Address, revision, key and the most bytes of an answer.
    limiter : RateLimiter
        Asked before every send.
    adapter : requests adapter, optional
        Replaces the network.
    timeout : tuple of float
        Seconds to connect, and between two pieces of an answer.
    whole : float
        Seconds in which a whole answer has to arrive.
    seconds : float, optional
        Seconds from now on after which nothing is asked any more.

    Attributes
    ----------
    requests : int
        Sends so far, those of the token endpoint not counted.
    """

    def __init__(
        self,
        settings: AccountSettings,
        limiter: RateLimiter,
        *,
        adapter: BaseAdapter | None,
        timeout: tuple[float, float],
        whole: float,
        seconds: float | None,
    ) -> None:
        self.settings = settings
        self.limiter = limiter
        self.requests = 0
        self.timeout = timeout
        self.whole = whole
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._is_network = adapter is None
        self._pages = Pages(settings.base_url)
        self._session = requests.Session()
        self._session.auth = self._signed
        # proxies of the environment are for addresses outside this machine
        self._session.trust_env = adapter is None and not is_loopback(urlsplit(settings.base_url).hostname)
        self._session.headers.update(
            {"revision": settings.revision, "accept": MEDIA_TYPE, "user-agent": f"flowperf/{__version__}"}
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, LeavableAdapter())
        if adapter is not None:
            self._session.mount(settings.base_url, adapter)

    @property
    def time_left(self) -> float | None:
        """Seconds until the end of the run, None where it has none."""
        return None if self._ends is None else self._ends - time.monotonic()

    def out_of_time(self, endpoint: str) -> TransportError:
        """Return the error for a run that has reached its end."""
        return TransportError(
            f"The time given for the run was over before {endpoint} was answered: give it more, or try again later.",
            url=f"{self.settings.base_url}{endpoint}",
        )

    def send(self, method: str, url: str, endpoint: str, data: bytes | None) -> Received:
        """Send one request, and again where the same host redirects it; each single send asks the limiter first.

        Parameters
        ----------
        method, url, endpoint, data
            What to send; ``endpoint`` is what the limiter counts by.

        Raises
        ------
        AgainError
            No connection, a timeout, a reset, a body cut short.
        TransportError
            A certificate that is not accepted, an answer beyond the limit, an unusable address, the run's end.
        """
        headers = {"content-type": MEDIA_TYPE} if data is not None else {}
        for _ in range(MAX_HOPS + 1):
            prepared = self._session.prepare_request(requests.Request(method, url, data=data, headers=headers))
            if method == "GET":
                prepared.url = url  # verbatim: a cursor is not ours to spell anew
            row = self.limiter.before(endpoint, at_most=self.time_left)
            self.requests += 1
            try:
                received = self._transmit(prepared, endpoint)
            finally:
                self.limiter.after(row)
            may_follow = received.status in (307, 308) or (method == "GET" and received.status in (301, 302))
            target = self._pages.own_target(url, received.headers.get("Location") or "") if may_follow else None
            if target is None or target == url:
                break
            url = target
        return received

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _signed(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set our header last, so that neither a .netrc file nor an address can replace it."""
        request.headers.update(self.settings.credentials.headers())
        return request

    def _transmit(self, prepared: requests.PreparedRequest, endpoint: str) -> Received:
        """Send once and read the whole body; what goes wrong on the wire is worth another attempt, mostly."""
        address = f"{self.settings.base_url}{endpoint}"
        left = self.time_left
        if left is not None and left <= 0:
            raise self.out_of_time(endpoint)
        try:
            options: Any = self._session.merge_environment_settings(prepared.url or address, {}, True, None, None)
            if isinstance(options["verify"], str) and not Path(options["verify"]).exists():
                raise TransportError(
                    "The certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names cannot be read: "
                    "correct its path.",
                    url=address,
                )
            # not the session itself: it reads the body of a redirect to its end before anybody can look at it
            adapter = self._session.get_adapter(prepared.url or address)

            def exchange() -> Received:
                with adapter.send(prepared, timeout=self.timeout, **options) as response:
                    return Received(response.status_code, response.headers, self._body(response, address))

            if not self._is_network:
                return exchange()
            return Exchange().run(exchange, self.whole if left is None else min(self.whole, left))
        except (ValueError, OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            is_final, text = self._reason(error, endpoint)
            refusal = TransportError(text, url=address)
            raise (refusal if is_final else AgainError(refusal)) from error

    def _reason(self, error: Exception, endpoint: str) -> tuple[bool, str]:
        """Return whether another attempt is in vain after an error of the libraries', and the sentence about it."""
        host, kinds = self.settings.host, requests.exceptions
        certificate = (
            f"The certificate of {host} was not accepted: check the clock, or REQUESTS_CA_BUNDLE where a company's "
            "proxy reads along."
        )
        garbled = f"The answer of {endpoint} broke off or came garbled: try again."
        reasons: tuple[tuple[Any, bool, str], ...] = (
            (kinds.SSLError, True, certificate),
            (kinds.ProxyError, False, f"The proxy on the way to {host} failed: check HTTPS_PROXY."),
            (kinds.Timeout, False, f"{host} did not answer {endpoint} in time: try again."),
            ((kinds.ChunkedEncodingError, kinds.ContentDecodingError), False, garbled),
            (kinds.ConnectionError, False, self._no_connection()),
            (kinds.RequestException, True, f"{endpoint} could not be asked: check KLAVIYO_BASE_URL."),
            (Exception, False, garbled),  # what the libraries do not translate: headers and lengths that mean nothing
        )
        return next((is_final, text) for kind, is_final, text in reasons if isinstance(error, kind))

    def _body(self, response: requests.Response, address: str) -> bytes:
        """Read a body of any status, unpacked, up to the limit."""
        limit = self.settings.max_answer
        chunks, size = [], 0
        for chunk in response.iter_content(1 << 16):
            size += len(chunk)
            if size > limit:
                raise TransportError(
                    f"The answer of {urlsplit(address).path} (status {response.status_code}) is larger than "
                    f"{limit / 1e6:g} MB and was left: ask for less, or raise FLOWPERF_MAX_ANSWER_MB.",
                    url=address,
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def _no_connection(self) -> str:
        host = self.settings.host
        if is_loopback(urlsplit(self.settings.base_url).hostname):
            return f"Nothing answers at {host} on this machine, or it hung up: is the server running?"
        return (
            f"No connection to {host}, or it hung up: check the network. A blocklist against trackers (in a router, a "
            "Pi-hole or an ad blocker) can lead this name to 0.0.0.0; allow it there."
        )

    def post_form(self, url: str, form: str, user: tuple[str, str]) -> Received:
        """Post a form with HTTP Basic, as the token endpoint wants it.

        Raises
        ------
        AgainError, TransportError
            As `send`.
        """
        request = requests.Request(
            "POST",
            url,
            data=form,
            auth=user,
            headers={"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
        )
        return self._transmit(self._session.prepare_request(request), urlsplit(url).path)
