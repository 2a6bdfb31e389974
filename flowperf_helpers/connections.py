"""Connections that can be left at any moment: while a name is looked up, a header drips or a body never ends.

The timeouts of the libraries below start anew with every byte; here one time covers a whole request.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["Exchange", "LeavableAdapter"]

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
