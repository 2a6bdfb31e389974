"""The embedded account as an HTTP server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from flowperf_helpers.sandbox.app import sandbox_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["bound_server", "make_sandbox_server", "serve"]

HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Answers in one packet (unbuffered writes cost 44 ms per POST) and without a line per request."""

    wbufsize = -1
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def make_sandbox_server(
    port: int, *, enforce_limits: bool = False, now: datetime | None = None, variant: str = "default"
) -> BaseWSGIServer:
    """Bind the server without starting it; port 0 takes a free one.

    Raises
    ------
    OSError
        The port is taken.
    """
    return bound_server(port, sandbox_app(enforce_limits=enforce_limits, now=now, variant=variant))


def bound_server(port: int, app: WSGIApplication) -> BaseWSGIServer:
    """Bind a server of an app on loopback without starting it; port 0 takes a free one.

    Raises
    ------
    OSError
        The port is taken.
    """
    # bound here: make_server itself would end the process when the port is taken
    with socket.create_server((HOST, port)) as bound:
        port = bound.getsockname()[1]
        server = make_server(HOST, port, app, threaded=True, request_handler=_Handler, fd=bound.fileno())
    server.server_port = port  # a server that was given a socket does not look it up
    return server


def serve(
    port: int,
    *,
    enforce_limits: bool = False,
    now: datetime | None = None,
    variant: str = "default",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the sandbox on loopback until interrupted.

    Parameters
    ----------
    port : int
        0 takes a free one.
    enforce_limits : bool
        Whether Klaviyo's windows hold.
    now : datetime, optional
        Freezes the account's clock; left out, the real one, never before `SANDBOX_NOW`.
    variant : str
        Of `VARIANTS`.
    ready : callable, optional
        Called with the address once the server listens.

    Raises
    ------
    OSError
        The port is taken.
    """
    server = make_sandbox_server(port, enforce_limits=enforce_limits, now=now, variant=variant)
    try:
        if ready is not None:
            ready(f"http://{HOST}:{server.server_port}")
        server.serve_forever()
    except KeyboardInterrupt:
        return
    finally:
        server.server_close()
