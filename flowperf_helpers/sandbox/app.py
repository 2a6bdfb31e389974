"""The account as a WSGI app: routes, keys, revisions, windows, and answers in Klaviyo's shapes.

Whatever comes in, the answer is a JSON:API document: what was asked, or an error object with a 4xx.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, RequestRedirect, Rule
from werkzeug.wrappers import Request, Response

from flowperf_helpers.sandbox.arrivals import Ledger
from flowperf_helpers.sandbox.call import Call
from flowperf_helpers.sandbox.endpoints import ENDPOINTS
from flowperf_helpers.sandbox.limits import DAY_SPENT, Windows, headers, throttled
from flowperf_helpers.sandbox.model import ZONE
from flowperf_helpers.sandbox.numbers import numbers_of
from flowperf_helpers.sandbox.problems import Problem
from flowperf_helpers.sandbox.revisions import check_revision, needs
from flowperf_helpers.sandbox.world import build_world

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["SANDBOX_KEY", "SANDBOX_NOW", "SANDBOX_TOKEN", "SandboxApp", "sandbox_app"]

SANDBOX_NOW = datetime(2026, 11, 23, 6, 0, tzinfo=ZoneInfo(ZONE))
"""The frozen moment of ``connect("sandbox")``: a Monday at six, the week 2026-W47 just over."""

SANDBOX_KEY = "sandbox-key"
SANDBOX_TOKEN = "sandbox-token"  # noqa: S105
"""What the invented account lets in; no secret."""

MAX_BODY = 1_000_000
_MEDIA = "application/vnd.api+json"
_URLS = Map(
    [Rule("/" + name, endpoint=name, methods=list(e.methods)) for name, e in ENDPOINTS.items()], strict_slashes=False
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
        self._clock = now
        self._windows = Windows(time_scale=time_scale) if enforce_limits else None
        self._ledger_at = lru_cache(maxsize=4)(self._make_ledger)

    def now(self) -> datetime:
        """Return the account's time, aware, in its zone."""
        return self._clock().astimezone(ZoneInfo(ZONE))

    def ledger(self) -> Ledger:
        """Return the counts as they are known now, to the minute."""
        return self._ledger_at(self.now().replace(tzinfo=None, second=0, microsecond=0))

    def _make_ledger(self, wall: datetime) -> Ledger:
        return Ledger(numbers_of(self.variant, self.seed), wall)

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
        for name, value in extra.items():
            if not (response.status_code == 429 and name.startswith("RateLimit")):
                response.headers[name] = value
        return response(environ, start_response)

    def _answer(self, request: Request, extra: dict[str, str]) -> Response:
        path = request.path.rstrip("/") or "/"
        name, values = _URLS.bind("").match(path, method=request.method)
        endpoint = ENDPOINTS[name]
        who = _check_key(request.headers.get("Authorization"))
        revision = check_revision(request.headers.get("revision"))
        extra["X-Klaviyo-API-Revision"] = revision
        needs(revision, endpoint.since)
        extra.update(headers(endpoint.tier))
        if self.variant == "quota_spent" and endpoint.tier == "report":
            raise throttled(DAY_SPENT)
        if self._windows is not None:
            self._windows.take(who, name, endpoint.tier)
        call = Call(self, self.world, request, revision, request.host_url, request.url_root.rstrip("/") + path)
        if self.variant == "no_scope" and "flows:read" in endpoint.scopes(call):
            raise Problem(
                403, "permission_denied", "You do not have permission to perform this action.",
                "The API key is missing the required scope: flows:read", pointer="/data/",
            )  # fmt: skip
        return _response(200, endpoint.answer(call, *values.values()))


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
        One of `VARIANTS`: ``default`` with the planted stories, ``quiet`` without, and accounts with other troubles.
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
        An argument that is none of these.

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
    return SandboxApp(
        variant=variant, seed=seed, now=_clock_of(now), enforce_limits=enforce_limits, time_scale=time_scale,
        denominator=denominator, week_starts=week_starts, page_rows=page_rows,
    )  # fmt: skip


def _clock_of(now: Clock | datetime | None) -> Clock:
    if now is None:
        return lambda: max(datetime.now(ZoneInfo(ZONE)), SANDBOX_NOW)
    if isinstance(now, datetime):
        frozen = _aware(now)
        return lambda: frozen
    clock = now
    return lambda: _aware(clock())


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(ZONE))


def _check_key(header: str | None) -> str:
    if header not in (f"Klaviyo-API-Key {SANDBOX_KEY}", f"Bearer {SANDBOX_TOKEN}"):
        text = "Incorrect authentication credentials."
        raise Problem(401, "authentication_failed", text, text, pointer="/data/")
    return header.split(" ")[0]


def _problem_of(status: int, name: str) -> Problem:
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(status, "invalid")
    return Problem(status if 400 <= status < 500 else 400, code, name, name, pointer="/data/")


def _refusal(problem: Problem) -> Response:
    error_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{problem.status} {problem.code} {problem.detail!a}"))
    response = _response(problem.status, problem.body(error_id))
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response


def _response(status: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body, separators=(",", ":")), status=status, content_type=_MEDIA)
