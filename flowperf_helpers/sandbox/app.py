"""The account as a WSGI app: routes, keys, revisions, limits, answers in Klaviyo's shape; and its HTTP server."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from flowperf_helpers.sandbox.arrivals import Counts
from flowperf_helpers.sandbox.call import Call, Problem, check_revision
from flowperf_helpers.sandbox.handlers import ENDPOINTS
from flowperf_helpers.sandbox.numbers import numbers_of
from flowperf_helpers.sandbox.shop import SANDBOX_KEY, SANDBOX_NOW, SANDBOX_TOKEN, ZONE, build_world

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "DAY_SPENT",
    "TIERS",
    "SandboxApp",
    "Windows",
    "bound_server",
    "make_sandbox_server",
    "sandbox_app",
    "serve",
    "throttled",
]


# Klaviyo's windows: how often an endpoint may be asked, and what the headers say about it.

TIERS: dict[str, tuple[tuple[int, int], ...]] = {
    "XS": ((1, 1), (15, 60)),
    "S": ((3, 1), (60, 60)),
    "M": ((10, 1), (150, 60)),
    "report": ((1, 1), (2, 60), (225, 86400)),
}
"""Calls and seconds of each window."""

DAY_SPENT = 61073
"""What ``Retry-After`` says in the variant whose daily window is spent."""


def headers(tier: str) -> dict[str, str]:
    """Return the headers of every answer but a 429, in the form that was recorded: the burst window's figures."""
    windows = TIERS[tier]
    burst = windows[0][0]
    limit = ", ".join([str(burst), *(f"{calls};w={seconds}" for calls, seconds in windows)])
    return {"RateLimit-Limit": limit, "RateLimit-Remaining": str(burst - 1), "RateLimit-Reset": "0"}


def throttled(seconds: int) -> Problem:
    """Return the 429, in the form that was recorded."""
    return Problem(
        429, "throttled", "Request was throttled.", f"Request was throttled. Expected available in {seconds} seconds.",
        "/data", headers={"Retry-After": str(seconds)}, meta=[],
        links={"type": "https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling"},
    )  # fmt: skip


class Windows:
    """Fixed windows per credential and endpoint, on a clock that only goes forward.

    Parameters
    ----------
    time_scale : float
        Windows are that many times shorter than Klaviyo's.
    clock : callable
        Seconds.
    """

    def __init__(self, *, time_scale: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._scale = time_scale
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str, int], tuple[int, int]] = {}

    def take(self, who: str, endpoint: str, tier: str) -> None:
        """Count one call; a refused one is not counted.

        Raises
        ------
        Problem
            429 when a window is full.
        """
        with self._lock:
            now = self._clock() * self._scale
            wait = 0.0
            used: dict[tuple[str, str, int], tuple[int, int]] = {}
            for calls, seconds in TIERS[tier]:
                window = int(now // seconds)
                key = (who, endpoint, seconds)
                at, count = self._used.get(key, (window, 0))
                count = count if at == window else 0
                if count >= calls:
                    wait = max(wait, (window + 1) * seconds - now)
                used[key] = (window, count + 1)
            if wait:
                raise throttled(max(math.ceil(wait / self._scale), 1))
            self._used.update(used)


# The account as a WSGI app: routes, keys, revisions, windows, and answers in Klaviyo's shapes.
#
# Whatever comes in, the answer is a JSON:API document: what was asked, or an error object with a 4xx.

MAX_BODY = 1_000_000
_MEDIA = "application/vnd.api+json"
_ZONE = ZoneInfo(ZONE)
_URLS = Map(
    [Rule("/" + name, endpoint=name, methods=[e.method]) for name, e in ENDPOINTS.items()], strict_slashes=False
)

Clock = Callable[[], datetime]


class _Request(Request):
    max_content_length = MAX_BODY


class SandboxApp:
    """The embedded account.

    Made by `sandbox_app`, which says what the arguments mean. Numbers are shared between apps of one variant and
    seed; the windows of ``enforce_limits`` belong to the app.
    """

    def __init__(
        self, *, variant: str, seed: int, now: Clock, enforce_limits: bool, time_scale: float, denominator: str,
        week_starts: str, page_rows: int,
    ) -> None:  # fmt: skip
        self.world = build_world(variant)
        self.variant = variant
        self.seed = seed
        self.denominator = denominator
        self.week_starts = week_starts
        self.page_rows = page_rows
        self._now = now
        self._windows = Windows(time_scale=time_scale) if enforce_limits else None
        self._counts_at = lru_cache(maxsize=4)(self._make_counts)

    def now(self) -> datetime:
        """Return the account's time, aware, in its zone."""
        moment = self._now()
        return moment.astimezone(_ZONE) if moment.tzinfo else moment.replace(tzinfo=_ZONE)

    def counts(self) -> Counts:
        """Return the counts as they are known now, to the minute."""
        return self._counts_at(self.now().replace(tzinfo=None, second=0, microsecond=0))

    def _make_counts(self, wall: datetime) -> Counts:
        return Counts(numbers_of(self.variant, self.seed), wall)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = _Request(environ)
        extra: dict[str, str] = {}
        try:
            response = self._answer(request, extra)
        except Problem as problem:
            response = _refusal(problem)
        except RequestRedirect:
            response = _refusal(_problem_of(404, "No such address."))
        except HTTPException as error:
            response = _refusal(_problem_of(error.code or 400, error.name))
        response.headers.update(extra)
        return response(environ, start_response)

    def _answer(self, request: Request, extra: dict[str, str]) -> Response:
        path = request.path.rstrip("/") or "/"
        name, values = _URLS.bind("").match(path, method=request.method)
        endpoint = ENDPOINTS[name]
        who = _check_key(request.headers.get("Authorization"))
        revision = check_revision(request.headers.get("revision"))
        extra["X-Klaviyo-API-Revision"] = revision
        if revision < endpoint.since:
            raise Problem(404, "not_found", "Not found.", "No valid revisions found for method")
        if self.variant == "quota_spent" and endpoint.tier == "report":
            raise throttled(DAY_SPENT)
        if self._windows is not None:
            self._windows.take(who, name, endpoint.tier)
        extra.update(headers(endpoint.tier))
        call = Call(self, self.world, request, revision, request.host_url, request.url_root.rstrip("/") + path)
        if self.variant == "no_scope" and ("flows:read" in endpoint.scopes or "include" in request.args):
            raise Problem(
                403, "permission_denied", "You do not have permission to perform this action.",
                "The API key is missing the required scope: flows:read",
            )  # fmt: skip
        answer = endpoint.answer(call, *values.values())
        return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), content_type=_MEDIA)


def sandbox_app(
    *,
    variant: str = "default",
    seed: int = 2026,
    now: Clock | datetime | None = None,
    enforce_limits: bool = False,
    time_scale: float = 1.0,
    denominator: str = "delivered",
    week_starts: str = "monday",
    page_rows: int = 5000,
) -> SandboxApp:
    """Make the embedded account.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`: ``default`` with the planted stories (``calm`` is the same account); ``wandering`` and
        ``stormy``, whose rates move by themselves between weeks, days and weekdays; ``holiday``, as wandering with
        a holiday in the reported week; ``quiet`` and ``quiet-wandering``, …: the same without the stories; and accounts
        with other troubles.
    seed : int
        Another seed, another history.
    now : datetime or callable, optional
        The account's clock: a frozen moment, or a function that returns one. A naive moment is account wall time.
        Left out, the real clock, but never before `SANDBOX_NOW`.
    enforce_limits : bool
        Whether Klaviyo's windows hold, with 429 and ``Retry-After``. They run on the real clock.
    time_scale : float
        Windows are that many times shorter than Klaviyo's, for benchmarks.
    denominator : {"delivered", "recipients"}
        What open, click, unsubscribe, complaint and conversion rates are divided by.
    week_starts : {"monday", "sunday"}
        Of weekly buckets and of the presets.
    page_rows : int
        Rows per page of a report.

    Returns
    -------
    SandboxApp
        A WSGI callable; its ``now()`` is the account's clock.

    Raises
    ------
    ValueError
        An argument is not one of these.

    Notes
    -----
    Keys: ``Klaviyo-API-Key sandbox-key`` or ``Bearer sandbox-token``.
    """
    if denominator not in ("delivered", "recipients"):
        raise ValueError(f"The sandbox divides by delivered or by recipients, not by {denominator!r}.")
    if week_starts not in ("monday", "sunday"):
        raise ValueError(f"The sandbox's weeks start on monday or on sunday, not on {week_starts!r}.")
    if time_scale <= 0 or page_rows < 1:
        raise ValueError("time_scale must be above 0 and page_rows at least 1.")
    if not (now is None or callable(now) or isinstance(now, datetime)):
        raise ValueError(f"The sandbox's clock is a moment or a function that returns one, not {now!r}.")
    clock = _real_clock if now is None else now if callable(now) else lambda: now
    return SandboxApp(
        variant=variant, seed=seed, now=clock, enforce_limits=enforce_limits, time_scale=time_scale,
        denominator=denominator, week_starts=week_starts, page_rows=page_rows,
    )  # fmt: skip


def _real_clock() -> datetime:
    return max(datetime.now(_ZONE), SANDBOX_NOW)


def _check_key(header: str | None) -> str:
    if header not in (f"Klaviyo-API-Key {SANDBOX_KEY}", f"Bearer {SANDBOX_TOKEN}"):
        text = "Incorrect authentication credentials."
        raise Problem(401, "authentication_failed", text, text)
    return header.split(" ")[0]


def _problem_of(status: int, name: str) -> Problem:
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(status, "invalid")
    return Problem(status if 400 <= status < 500 else 400, code, name, name)


def _refusal(problem: Problem) -> Response:
    # what is quoted back may be half of a surrogate pair, which only the standard library's encoder writes
    return Response(json.dumps(problem.body()), problem.status, problem.headers, content_type=_MEDIA)


# The account as an HTTP server on loopback.

HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Answers in one packet (unbuffered writes cost 44 ms per POST) and without a line per request."""

    wbufsize = -1
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def make_sandbox_server(port: int, **options: Any) -> BaseWSGIServer:
    """Bind the server of a `sandbox_app` with some options without starting it; port 0 takes a free one.

    Raises
    ------
    OSError
        The port is taken.
    ValueError
        An option is none.
    """
    return bound_server(port, sandbox_app(**options))


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


def serve(port: int, *, ready: Callable[[str], None] | None = None, **options: Any) -> None:
    """Serve the sandbox on loopback until interrupted.

    Parameters
    ----------
    port : int
        0 takes a free one.
    ready : callable, optional
        Called with the address once the server listens.
    **options
        Of `sandbox_app`.

    Raises
    ------
    OSError
        The port is taken.
    ValueError
        An option is none.
    """
    server = make_sandbox_server(port, **options)
    try:
        if ready is not None:
            ready(f"http://{HOST}:{server.server_port}")
        server.serve_forever()
    except KeyboardInterrupt:
        return
    finally:
        server.server_close()
