"""One account's questions: paging, retries, and our own errors at the edge. Returns bytes."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import tenacity
from requests.adapters import BaseAdapter

from flowperf_helpers.errors import ArgumentError, FlowperfError, PayloadError, TransportError
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import endpoint_of, scopes_of
from flowperf_helpers.klaviyo.responses import RETRIED, Pages, error_from_response, is_authentication, retry_after
from flowperf_helpers.klaviyo.settings import AccountSettings
from flowperf_helpers.klaviyo.transport import WHOLE_ANSWER, AgainError, HTTPTransport, Received

__all__ = ["Client", "ReportResponse", "RevisionWarning"]


# What came back for one question, as bytes with their provenance.


@dataclass(frozen=True)
class ReportResponse:
    """All pages of one answer.

    Attributes
    ----------
    pages : tuple of bytes
        JSON bodies as Klaviyo sent them, in order.
    revision : str
        The revision that served the last page.
    fetched_at : datetime
        When it was asked, aware, UTC.
    requests : int
        Sends it took, retries included; 0 from the store.
    from_store : bool
        Whether it was read from a snapshot.
    """

    pages: tuple[bytes, ...]
    revision: str
    fetched_at: datetime
    requests: int = 0
    from_store: bool = False


# One account's questions: paging, retries, and our own errors at the edge. Returns bytes.
#
# Every send, retries included, asks the limiter first, which the transport does; neither the transport nor urllib3
# retries, so the ledger sees every call.


class RevisionWarning(UserWarning):
    """Klaviyo served another revision than the one asked for."""


class Client:
    """One account's connection.

    Parameters
    ----------
    settings : AccountSettings
        Address, revision and key.
    limiter : RateLimiter, optional
        Asked before every send; without one nothing is paced or counted, and a 429 is obeyed still.
    adapter : requests adapter, optional
        Replaces the wire: `flowperf_helpers.klaviyo.transport.WSGIAdapter` for the embedded account.
    clock, sleep : callable
        Seconds since 1970 (for `ReportResponse.fetched_at` and HTTP dates), and a sleep (for backoff).
    attempts : int
        Sends per page at most.
    timeout : tuple of float
        Seconds to connect, and between two pieces of an answer.
    backoff : float
        Seconds of the first backoff; it doubles, with jitter, up to 30.
    whole : float
        Seconds in which a whole answer has to arrive, from the look-up of the host's name to the last byte.
    seconds : float, optional
        Seconds from now on after which nothing is sent or waited for: one deadline for all that this client does.

    Raises
    ------
    CredentialsError, QuotaError, AnswerError, StorageError
        From `get` and `post`; no message holds a secret.
    """

    def __init__(
        self,
        settings: AccountSettings,
        *,
        limiter: RateLimiter | None = None,
        adapter: BaseAdapter | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = 4,
        timeout: tuple[float, float] = (10.0, 60.0),
        backoff: float = 0.5,
        whole: float = WHOLE_ANSWER,
        seconds: float | None = None,
    ) -> None:
        self.settings = settings
        self.limiter = limiter if limiter is not None else RateLimiter(None, clock=clock, sleep=sleep)
        self.attempts = attempts
        self._clock = clock
        self._sleep = sleep
        self._backoff = tenacity.wait_exponential(multiplier=backoff, max=30.0) + tenacity.wait_random(0.0, backoff)
        self._warned = False
        self._granted: set[str] = set()  # scopes that an answer has shown the key to have
        self.transport = HTTPTransport(
            settings, self.limiter, adapter=adapter, timeout=timeout, whole=whole, seconds=seconds
        )

    def get(self, path: str, params: Mapping[str, str] | None = None) -> list[bytes]:
        """Return all pages of a list or the one body of a resource.

        Parameters
        ----------
        path : str
            Such as ``"/api/metrics"``.
        params : mapping, optional
            Query of the first page; later pages are ``links.next`` verbatim.

        Raises
        ------
        PayloadError
            A next link that leads to another host or in a circle.
        """
        with _whole_text():
            query = f"?{urlencode(params, quote_via=quote)}" if params else ""
            url: str | None = f"{self.settings.base_url}{quote(path)}{query}"
        way, pages = Pages(self.settings.base_url), []
        while url is not None:
            received, body = self._ask("GET", url)
            pages.append(received.content)
            url = way.next_url(body, url)
        return pages

    def post(self, path: str, body: Mapping[str, Any]) -> ReportResponse:
        """Return all pages of a report.

        Parameters
        ----------
        path : str
            ``"/api/flow-values-reports"`` or ``"/api/flow-series-reports"``.
        body : mapping
            The JSON body; sent again, the same, with each page's ``page_cursor``.
        """
        with _whole_text():
            data = json.dumps(body, ensure_ascii=False).encode()
        start, asked_at = self.transport.requests, datetime.fromtimestamp(self._clock(), UTC)
        way, pages = Pages(self.settings.base_url), []
        cursor: str | None = ""
        served = self.settings.revision
        while cursor is not None:
            query = f"?page_cursor={quote(cursor, safe='')}" if cursor else ""
            received, answer = self._ask("POST", f"{self.settings.base_url}{path}{query}", data)
            pages.append(received.content)
            served = _served(received) or served
            cursor = way.next_cursor(answer)
        return ReportResponse(tuple(pages), served, asked_at, requests=self.transport.requests - start)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    # one page

    def _ask(self, method: str, url: str, data: bytes | None = None) -> tuple[Received, dict[str, Any]]:
        """Send until an answer is whole; raise our errors only."""
        parts = urlsplit(url)
        endpoint = endpoint_of(parts.path)
        scopes = scopes_of(endpoint, parts.query)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            retry=tenacity.retry_if_exception_type(AgainError),
            wait=self._wait,
            sleep=lambda seconds: self._pause(seconds, endpoint),
            reraise=True,
        )
        renewed = False
        try:
            for attempt in retrying:
                with attempt:
                    if self.settings.credentials.needs_refresh():
                        renewed = self.settings.credentials.refresh(self._post_form)
                    received = self.transport.send(method, url, endpoint, data)
                    if is_authentication(received.status, received.content) and not renewed:
                        renewed = self.settings.credentials.refresh(self._post_form)
                        if renewed:
                            raise AgainError(self._error(received, endpoint, scopes), wait=0.0)
                    return received, self._checked(received, endpoint, scopes, attempt.retry_state)
        except AgainError as last:
            raise last.error from last.__cause__
        raise AssertionError("unreachable")  # pragma: no cover

    def _post_form(self, url: str, form: str, user: tuple[str, str]) -> tuple[int, bytes]:
        """Ask the token endpoint; what passes is worth another attempt there too."""
        received = self.transport.post_form(url, form, user)
        if received.status in RETRIED:
            error = TransportError(f"The token endpoint answered {received.status}: try again later.", url=url)
            raise self._passing(error, received)
        return received.status, received.content

    def _pause(self, seconds: float, endpoint: str) -> None:
        left = self.transport.time_left
        if left is not None and seconds >= left:
            raise self.transport.out_of_time(endpoint)
        self._sleep(seconds)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        wait = error.wait if isinstance(error, AgainError) else None
        return self._backoff(state) if wait is None else wait

    def _checked(
        self, received: Received, endpoint: str, scopes: tuple[str, ...], state: tenacity.RetryCallState
    ) -> dict[str, Any]:
        if received.status == 429:
            asked = self._wish(received)
            seconds = self._backoff(state) if asked is None else asked
            self.limiter.block(endpoint, seconds)  # the next attempt waits there, or ends in the quota error
            raise AgainError(self.limiter.quota_error(endpoint, self.limiter.clock() + seconds), wait=0.0)
        if received.status in RETRIED:
            raise self._passing(self._error(received, endpoint, scopes), received)
        if not 200 <= received.status < 300:
            raise self._error(received, endpoint, scopes)
        self._granted.update(scopes)
        self._compare_revision(received)
        try:
            body = json.loads(received.content)
        except (ValueError, RecursionError) as error:
            text = f"The answer of {endpoint} is not JSON or was cut short ({len(received.content)} bytes): try again."
            raise AgainError(TransportError(text, url=f"{self.settings.base_url}{endpoint}")) from error
        if not isinstance(body, dict):
            raise PayloadError(f"The answer of {endpoint} is JSON but not an object: it was not used.", place="")
        return body

    def _wish(self, received: Received) -> float | None:
        return retry_after(received.headers.get("Retry-After"), self._clock())

    def _passing(self, error: FlowperfError, received: Received) -> Exception:
        """Return what is to be raised for a failure that passes: it itself, where it takes longer than we wait."""
        asked = self._wish(received)
        return error if asked is not None and asked > self.limiter.ceiling else AgainError(error, wait=asked)

    def _error(self, received: Received, endpoint: str, scopes: tuple[str, ...]) -> FlowperfError:
        lacking = [scope for scope in scopes if scope not in self._granted] or scopes
        return error_from_response(
            received.status, received.content, endpoint=endpoint, scopes=lacking, settings=self.settings
        )

    def _compare_revision(self, received: Received) -> None:
        served = _served(received)
        if served is not None and served != self.settings.revision and not self._warned:
            self._warned = True
            warnings.warn(
                f"Klaviyo served revision {served} where {self.settings.revision} was asked: numbers may follow "
                "other rules; set KLAVIYO_REVISION to a revision that is still served.",
                RevisionWarning,
                stacklevel=2,
            )


def _served(received: Received) -> str | None:
    """Return the revision that served an answer, None where the header holds something else."""
    served = received.headers.get("X-Klaviyo-API-Revision") or ""
    return served if re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.pre)?", served, re.ASCII) else None


@contextmanager
def _whole_text() -> Iterator[None]:
    """Refuse what no address and no body can carry."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"Something that was asked for holds half a character ({error.object[error.start]!a}): give its whole id "
            "or name."
        ) from error
