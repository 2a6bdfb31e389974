"""What an answer says: an error status as one of our errors, and the way to the next page. No network here.

Of an error the status decides first, then pointer and code; texts are matched only where nothing else distinguishes the
case. Bodies of a 5xx answer can be HTML or empty; ``meta`` can be a list.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

from flowperf_helpers.errors import ApiError, AuthenticationError, FlowperfError, PayloadError, ScopeError
from flowperf_helpers.klaviyo.settings import AccountSettings

__all__ = ["RETRIED", "Pages", "error_from_response", "is_authentication", "retry_after"]

RETRIED = frozenset({429, 502, 503, 504, 524})
"""Statuses that are worth asking again (reports only read, so a POST may be repeated too)."""
LONGEST_RETRY_AFTER = 32 * 86400.0

_AUTH = re.compile(r"authenticat|api[ -]?key|private key|access token|\bcredentials\b", re.IGNORECASE)
_SCOPE = re.compile(r"\b[a-z]+(?:-[a-z]+)*:(?:read|write|full)\b")
_NO_REVISION = re.compile(r"no valid revisions? found", re.IGNORECASE)


class _Facts(NamedTuple):
    code: str | None
    title: str | None
    detail: str | None
    pointer: str | None


def _facts(content: bytes, scrub: Callable[[str], str]) -> _Facts:
    """Read the first error object; every field may be missing or of another kind."""
    try:
        errors = json.loads(content)["errors"]
        first: Any = errors[0] if isinstance(errors, list) else errors
    except (ValueError, LookupError, TypeError, RecursionError):
        return _Facts(None, None, None, None)

    def text(value: object) -> str | None:
        if not isinstance(value, str) or not value.strip():
            return None
        return scrub(" ".join("".join(c if c.isprintable() else " " for c in value).split()))[:400]

    if not isinstance(first, dict):
        return _Facts(None, None, text(first), None)
    source = first.get("source")
    place = (source.get("pointer") or source.get("parameter")) if isinstance(source, dict) else None
    return _Facts(text(first.get("code")), text(first.get("title")), text(first.get("detail")), text(place))


def is_authentication(status: int, content: bytes) -> bool:
    """Tell whether an answer says that the key is not known: 401, or a 400 whose text says so."""
    if status != 400:
        return status == 401
    facts = _facts(content, str)
    if (facts.pointer or "").startswith("/data/attributes"):
        return False
    return bool(_AUTH.search(" ".join(filter(None, (facts.code, facts.title, facts.detail)))))


def error_from_response(
    status: int, content: bytes, *, endpoint: str, scopes: Sequence[str], settings: AccountSettings
) -> FlowperfError:
    """Return the error for a status other than success.

    Parameters
    ----------
    status : int
        HTTP status.
    content : bytes
        Body, of any kind.
    endpoint : str
        What was asked.
    scopes : sequence of str
        What the key may lack; named where Klaviyo names no scope.
    settings : AccountSettings
        At which revision, with a key from where; takes the secret out of a text.
    """
    source = settings.credentials.source
    facts = _facts(content, settings.credentials.scrub)
    known: dict[str, Any] = {
        "status": status, "code": facts.code, "pointer": facts.pointer, "detail": facts.detail or facts.title,
    }  # fmt: skip
    said = (facts.detail or facts.title or "").rstrip(".")
    quoted = f' ("{said}")' if said else ""
    if is_authentication(status, content):
        return AuthenticationError(
            f"Klaviyo does not accept the key from {source}{quoted}: check that it is whole, not "
            "revoked, and of this account.",
            **known,
        )
    if status == 403:
        named = sorted(set(_SCOPE.findall(said))) or list(scopes)
        scope = " and ".join(named) or None
        need = f"give the key the scope {scope}" if scope else "check what the key may do"
        return ScopeError(f"The key from {source} may not use {endpoint}{quoted}: {need}.", scope=scope, **known)
    if status == 410 or (status == 404 and _NO_REVISION.search(said)):
        text = (
            f"Klaviyo does not serve {endpoint} at revision {settings.revision} (any more){quoted}: set "
            "KLAVIYO_REVISION to a newer one, or leave it unset."
        )
    elif 300 <= status < 400:
        text = (
            f"{endpoint} was answered by a redirect ({status}) that is not followed, so that the key stays where it "
            "belongs: check KLAVIYO_BASE_URL, or a proxy on the way."
        )
    elif status >= 500:
        text = f"Klaviyo failed on {endpoint} with {status}{quoted}: try again in a few minutes."
    else:
        code = f" {facts.code}" if facts.code else ""
        place = f" at {facts.pointer}" if facts.pointer else ""
        todo = "check the id" if status == 404 else "change what it names"
        text = f"Klaviyo refused {endpoint} with {status}{code}{place}{quoted}: {todo}."
    return ApiError(text, **known)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for, None where it is missing or nonsense.

    Whole seconds are what Klaviyo sends; a fraction and an HTTP date are read too. Anything negative, infinite or
    beyond a month is nonsense.

    >>> retry_after("61073", 0.0), retry_after("soon", 0.0), retry_after("-5", 0.0), retry_after(None, 0.0)
    (61073.0, None, None, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= LONGEST_RETRY_AFTER else None


# From one page to the next: which address or cursor follows, and what is refused. No network here.
#
# ``links.next`` is followed verbatim until it is null or missing, on the same host only;
# reports take its ``page_cursor`` and the same body again. A cursor that comes twice would never end and costs
# quota.

MAX_PAGES = 1000
_PLACE = "/links/next"
_ADDRESS = re.compile(r"[\x21-\x7e]+")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}
    return parts.scheme, parts.hostname, parts.port or usual.get(parts.scheme)


class Pages:
    """The way through the pages of one answer.

    Parameters
    ----------
    base_url : str
        Scheme and host that every link has to keep.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._seen: set[str] = set()

    def next_url(self, body: dict[str, Any], current: str) -> str | None:
        """Return the address of the page after ``current``, None after the last.

        Raises
        ------
        PayloadError
            The link is not an address, leads to another host, or was followed before.
        """
        link = _next_link(body)
        return None if link is None else self._once(self._own(current, link))

    def next_cursor(self, body: dict[str, Any]) -> str | None:
        """Return the ``page_cursor`` of a report's next page, None after the last.

        Raises
        ------
        PayloadError
            As `next_url`, and where the link holds no cursor.
        """
        link = _next_link(body)
        if link is None:
            return None
        query = parse_qs(urlsplit(self._own(self._base_url, link)).query)
        values = query.get("page_cursor") or query.get("page[cursor]")
        if not values:
            raise PayloadError(
                "The link to the report's next page holds no page_cursor: the report is not whole and was not used.",
                place=_PLACE,
            )
        return self._once(values[0])

    def own_target(self, current: str, link: str) -> str | None:
        """Return the address a link at ``current`` leads to, None where the key may not go: scheme, host and port."""
        if not _ADDRESS.fullmatch(link):
            return None
        try:
            url = urljoin(current, link)
            # what stands before an @ or after a backslash is read as the host by some and not by others
            is_plain = "\\" not in url and "@" not in url.split("?")[0]
            return url if is_plain and _origin(url) == _origin(self._base_url) else None
        except ValueError:
            return None

    def _own(self, current: str, link: str) -> str:
        url = self.own_target(current, link)
        if url is None:
            raise PayloadError(
                "The link to the next page of Klaviyo's answer does not lead to "
                f"{urlsplit(self._base_url).netloc}: the key was not sent there, and the answer was not used; check "
                "KLAVIYO_BASE_URL, or a proxy on the way.",
                place=_PLACE,
            )
        return url

    def _once(self, mark: str) -> str:
        if mark in self._seen or len(self._seen) >= MAX_PAGES:
            raise PayloadError(
                f"The pages of the answer lead in a circle: the same cursor came again after {len(self._seen) + 1} "
                "pages, and the answer was not used.",
                place=_PLACE,
            )
        self._seen.add(mark)
        return mark


def _next_link(body: dict[str, Any]) -> str | None:
    links = body.get("links")
    link = links.get("next") if isinstance(links, dict) else None
    if isinstance(link, dict):  # JSON:API allows a link object
        link = link.get("href")
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise PayloadError(
            "The link to the next page is not a text: the answer is not whole and was not used.", place=_PLACE
        )
    return link
