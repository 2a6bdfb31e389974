"""Bytes → JSON, by stricter rules than the standard library's. Every answer is read through here.

A key that one object names twice is refused (readers differ in which of the two they take), and so is what is nested
too deeply to be walked. Half a surrogate pair, as a program leaves it that cuts text inside an emoji, becomes U+FFFD:
neither a file nor Arrow can hold it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flowperf_helpers.errors import PayloadError

__all__ = ["decode", "text_of", "whole_text", "whole_texts"]

MAX_DEPTH = 100
"""Of objects and lists in one another; Klaviyo's deepest answers, definitions of flow actions, have about twenty."""


def decode(body: bytes | str) -> Any:
    """Return what a body holds.

    Raises
    ------
    PayloadError
        Not JSON, nested beyond what can be read, or an object with one key twice.
    """
    twice: list[tuple[dict[str, Any], str]] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            twice.append((found, next(key for key, count in counts.items() if count > 1)))
        return found

    try:
        value = json.loads(body, object_pairs_hook=once)
    except ValueError as error:
        raise PayloadError("Klaviyo's answer is not whole JSON: ask again.", place="/") from error
    except RecursionError as error:
        raise _too_deep("/") from error
    if twice:
        found, key = twice[0]
        raise PayloadError(
            f"Klaviyo's answer names {key[:40]!r} twice in one object: which of the two holds would be a guess; ask "
            "again.",
            place=whole_text(f"{_place_of(found, value)}/{key}"),
        )
    return value


def _place_of(wanted: object, value: Any) -> str:
    """Return the JSON pointer of an object inside another; empty where its own key came twice as well."""
    rest = [("", value)]
    while rest:
        place, found = rest.pop()
        if found is wanted:
            return place
        items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        rest += [(f"{place}/{key}", item) for key, item in items if isinstance(item, (dict, list))]
    return ""


def whole_text(text: str) -> str:
    r"""Replace halves of surrogate pairs.

    >>> whole_text("Hi \ud83d") == "Hi \N{REPLACEMENT CHARACTER}"
    True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_texts(value: Any, place: str = "", depth: int = 0) -> Any:
    """Return a decoded answer with all its keys and texts whole.

    Raises
    ------
    PayloadError
        More than `MAX_DEPTH` levels.
    """
    if isinstance(value, str):
        return whole_text(value)
    if not isinstance(value, (Mapping, list)):
        return value
    if depth == MAX_DEPTH:
        raise _too_deep(place)
    if isinstance(value, list):
        return [whole_texts(item, f"{place}/{i}", depth + 1) for i, item in enumerate(value)]
    return {whole_text(key): whole_texts(item, f"{place}/{key}", depth + 1) for key, item in value.items()}


def text_of(value: Any, place: str) -> str | None:
    """Return a value that should be text as text: Klaviyo promises no type. Numbers and lists are written as JSON.

    Raises
    ------
    PayloadError
        What JSON cannot write.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return whole_text(value)
    try:
        return whole_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (ValueError, TypeError) as error:
        raise PayloadError(f"Klaviyo's answer holds something that is not JSON at {place}.", place=place) from error
    except RecursionError as error:
        raise _too_deep(place) from error


def _too_deep(place: str) -> PayloadError:
    return PayloadError(
        "Klaviyo's answer is nested too deeply to be read: look at what was asked.", place=whole_text(place[:200])
    )
