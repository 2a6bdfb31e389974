"""What a request travels by: one deadline over all of an exchange, and a WSGI app behind the same door."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from werkzeug.test import EnvironBuilder, run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = [
    "Exchange",
    "LeavableAdapter",
    "WSGIAdapter",
]


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


class _HTTPConnection(HTTPConnection):
    response_class = _Response

    def getresponse(self) -> Any:
        Exchange.current.exchange.uses(self.sock)
        return super().getresponse()


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response

    def getresponse(self) -> Any:
        Exchange.current.exchange.uses(self.sock)
        return super().getresponse()


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


class WSGIAdapter(BaseAdapter):
    """Answers requests by calling an app in this process.

    Parameters
    ----------
    app : WSGI callable
        It sees the same method, path, query, headers and body as behind a socket.
    """

    def __init__(self, app: WSGIApplication) -> None:
        super().__init__()
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the app's whole answer."""
        parts = urlsplit(str(request.url))
        body = request.body or b""
        builder = EnvironBuilder(
            path=parts.path,
            base_url=f"{parts.scheme}://{parts.netloc}",
            query_string=parts.query,
            method=request.method or "GET",
            headers=list(request.headers.items()),
            data=body.encode() if isinstance(body, str) else bytes(body),
        )
        try:
            chunks, status, headers = run_wsgi_app(self._app, builder.get_environ(), buffered=True)
        finally:
            builder.close()
        content = b"".join(chunks)
        response = requests.Response()
        response.status_code = int(status.split(" ", 1)[0])
        response.reason = status.partition(" ")[2]
        response.headers = CaseInsensitiveDict(headers.items())
        response.url = str(request.url)
        response.request = request
        response.raw = io.BytesIO(content)
        response._content = content
        response._content_consumed = True  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Nothing is held open."""
