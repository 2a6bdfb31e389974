"""One request on its way to an answer: what it may ask at its revision, its pages, and how it is refused."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlencode

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request

from flowperf_helpers.sandbox.arrivals import Counts
from flowperf_helpers.sandbox.shop import World

__all__ = [
    "REVISIONS",
    "Account",
    "Answer",
    "Call",
    "Endpoint",
    "Fields",
    "Problem",
    "check_revision",
    "invalid",
    "invalid_parameter",
    "not_found",
]

Answer = dict[str, Any]
Fields = tuple[str, ...] | None
T = TypeVar("T")


# Everything the sandbox refuses, as JSON:API error objects in the forms that were recorded.


@dataclass(eq=False)
class Problem(Exception):
    """An answer that is an error.

    Attributes
    ----------
    status : int
        HTTP status, 400 to 499.
    pointer, parameter : str
        The place in the body, or the query parameter, that is wrong.
    headers : dict
        Headers beside the usual ones (``Retry-After``).
    """

    status: int
    code: str
    title: str
    detail: str
    pointer: str = "/data/"
    parameter: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    meta: Any = field(default_factory=dict)

    def body(self) -> Answer:
        """Return the whole body."""
        error = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.status} {self.code} {self.detail!a}")),
            "status": self.status,
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "source": {"parameter": self.parameter} if self.parameter is not None else {"pointer": self.pointer},
            "links": self.links,
            "meta": self.meta,
        }
        return {"errors": [error]}


def invalid(detail: str, pointer: str = "/data") -> Problem:
    """Return a 400 about a place in the body."""
    return Problem(400, "invalid", "Invalid input.", detail, pointer)


def invalid_parameter(detail: str, parameter: str) -> Problem:
    """Return a 400 about a query parameter."""
    return Problem(400, "invalid", "Invalid input.", detail, parameter=parameter)


def not_found(kind: str, resource_id: str) -> Problem:
    """Return a 404 that names what is not there."""
    return Problem(404, "not_found", "Not found.", f"A {kind} with id {resource_id[:200]} does not exist.")


# Klaviyo's revisions and the fields that each of them knows.

REVISIONS = (
    "2024-02-15", "2024-05-15", "2024-06-15", "2024-07-15", "2024-10-15", "2025-01-15", "2025-04-15", "2025-07-15",
    "2025-10-15", "2026-01-15", "2026-04-15", "2026-07-15", "2026-10-15",
)  # fmt: skip
"""From the first one with flow reports to the newest."""

_FIRST, _NEVER = REVISIONS[0], "9999"
_FIELDS = (
    ("metric", ("name", "created", "updated", "integration"), _FIRST, _NEVER),
    ("flow", ("name", "status", "archived", "created", "updated", "trigger_type"), _FIRST, _NEVER),
    ("flow-action", ("created", "updated"), _FIRST, _NEVER),
    ("flow-action", ("action_type", "status", "settings", "tracking_options", "send_options", "render_options"), _FIRST,
     "2025-10-15"),
    ("flow-action", ("definition",), "2025-10-15", _NEVER),
    ("flow-message", ("created", "updated"), _FIRST, _NEVER),
    ("flow-message", ("name", "channel", "content"), _FIRST, "2025-10-15"),
    ("flow-message", ("definition",), "2025-10-15", _NEVER),
    ("flow-message", ("channel",), "2026-01-15", _NEVER),
    ("account", ("test_account", "contact_information", "industry", "timezone", "preferred_currency", "public_api_key",
                 "locale"), _FIRST, _NEVER),
    ("tag", ("name",), _FIRST, _NEVER),
    ("mapped-metric", ("updated",), _FIRST, _NEVER),
)  # fmt: skip
"""Resource, fields, the first revision that has them and the first that has not."""


def check_revision(value: str | None) -> str:
    """Return the revision of a request.

    Raises
    ------
    Problem
        400: missing, or never published.
    """
    if not value:
        raise Problem(400, "missing_revision", "Missing revision.", "The revision header is required.")
    if value not in REVISIONS:
        raise Problem(400, "invalid_revision", "Invalid revision.", f"{value[:40]!r} is not a valid revision.")
    return value


# One request.


class Account(Protocol):
    """What an endpoint needs to know of the app."""

    denominator: str
    week_starts: str
    page_rows: int

    def now(self) -> datetime:
        """Return the account's time."""

    def counts(self) -> Counts:
        """Return the counts as known now."""


@dataclass(frozen=True)
class Call:
    """One request on its way: who is asked, what, at which revision, and under which address.

    Attributes
    ----------
    account, world : Account, World
        Who is asked.
    request : Request
    revision : str
        Of `REVISIONS`.
    host, url : str
        Of the server, with a last slash; of the request, without query and last slash.
    """

    account: Account
    world: World
    request: Request
    revision: str
    host: str
    url: str

    @property
    def args(self) -> MultiDict[str, str]:
        """The query parameters."""
        return self.request.args

    def allow(self, names: Container[str]) -> None:
        """Refuse query parameters that the endpoint does not have, or that come twice.

        Raises
        ------
        Problem
            400 with the parameter's name.
        """
        for name in self.args:
            if name not in names:
                raise invalid_parameter(f"'{name[:100]}' is not a valid query parameter.", name[:100])
            if len(self.args.getlist(name)) > 1:
                raise invalid_parameter(f"'{name}' was given twice.", name)

    def fields(self, kind: str, *more: str) -> Fields:
        """Read ``fields[kind]``; None where everything is wanted. ``more`` are fields of this endpoint alone.

        Raises
        ------
        Problem
            400 for a name that is not a field at this revision.
        """
        asked = self.args.get(f"fields[{kind}]")
        if asked is None:
            return None
        names = tuple(name.strip() for name in asked.split(","))
        known = {"id", *more} if self.revision >= "2026-04-15" else set(more)
        for of_kind, some, since, before in _FIELDS:
            if of_kind == kind and since <= self.revision < before:
                known.update(some)
        for name in names:
            if name.split(".")[0] not in known or ("." in name and not name.startswith("integration.")):
                raise invalid_parameter(f"'{name[:100]}' is not a field of '{kind}'.", f"fields[{kind}]")
        return names

    def included(self, allowed: Container[str]) -> tuple[str, ...]:
        """Read ``include``."""
        names = tuple(self.args["include"].split(",")) if self.args.get("include") else ()
        for name in names:
            if name not in allowed:
                raise invalid_parameter(f"'{name[:100]}' cannot be included.", "include")
        return names

    def page_size(self, largest: int) -> int:
        """Read ``page[size]``, the largest without it."""
        text = self.args.get("page[size]", str(largest))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= largest:
            raise invalid_parameter(f"Page size must be an integer between 1 and {largest}.", "page[size]")
        return int(text[:9])

    def page(
        self, rows: Sequence[T], size: int, parameter: str = "page[cursor]"
    ) -> tuple[Sequence[T], dict[str, str | None]]:
        """Cut one page and make its links; everything else that was asked stays in them.

        Raises
        ------
        Problem
            400 for a cursor that no page has.
        """
        start = _offset(self.args.get(parameter), parameter)
        if start and start >= len(rows):
            raise invalid_parameter("The cursor is not valid.", parameter)
        others = [(k, v) for k, v in self.args.items() if k != parameter]

        def link(offset: int) -> str:
            cursor = base64.urlsafe_b64encode(f"next::from::{offset}".encode()).decode().rstrip("=")
            return f"{self.url}?{urlencode([*others, (parameter, cursor)])}"

        plain = f"{self.url}?{urlencode(others)}" if others else self.url
        return rows[start : start + size], {
            "self": link(start) if parameter in self.args else plain,
            "next": link(start + size) if start + size < len(rows) else None,
            "prev": link(max(start - size, 0)) if start else None,
        }


def _offset(cursor: str | None, parameter: str) -> int:
    """Row that a cursor stands for."""
    if cursor is None:
        return 0
    # Klaviyo's SDKs hand over the whole next link, decoded or not; its cursor stands last
    cursor = unquote(cursor).rpartition(f"{parameter}=")[2].partition("&")[0]
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        head, _, number = text.rpartition("::")
        if head != "next::from" or not number.isdigit() or len(number) > 9:
            raise ValueError(text)
        return int(number)
    except ValueError:  # binascii's errors are of this kind
        raise invalid_parameter("The cursor is not valid.", parameter) from None


@dataclass(frozen=True)
class Endpoint:
    """Where an answer comes from.

    Attributes
    ----------
    answer : callable
        Takes the call and the ids in the path.
    tier : str
        Of `app.TIERS`.
    scopes : tuple of str
        What a key needs; including flows needs theirs too.
    since : str
        First revision that has it.
    """

    answer: Callable[..., Answer]
    tier: str
    scopes: tuple[str, ...]
    method: str = "GET"
    since: str = _FIRST
