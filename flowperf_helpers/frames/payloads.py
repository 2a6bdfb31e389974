"""Bytes → JSON, by stricter rules than the standard library's. Every answer is read through here.

A key that one object names twice is refused (readers differ in which of the two they take), and so is what is nested
too deeply to be walked. Half a surrogate pair, as a program leaves it that cuts text inside an emoji, becomes U+FFFD:
neither a file nor Arrow can hold it.

The numbers of a long series are taken out of a SIMD parser's document as whole arrays: several times as fast as one
Python object per number. What that parser cannot read, or would read by other rules, goes through the standard
library's.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import simdjson

from flowperf_helpers.errors import PayloadError

__all__ = ["NUMBERS", "decode", "decode_series", "text_of", "whole_text", "whole_texts"]

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


_ONE: Any = simdjson.Parser().parse(b"[1]")
NUMBERS: Any = type(_ONE.as_buffer(of_type="i"))
"""An array of as many numbers as there are labels, after `decode_series`: a buffer of int64 or float64."""

_SHORT = 16_000  # bytes below which there is nothing to win
_PIECE = 1_000_000  # bytes read at a time: the parser takes several times as much memory
_RESULTS = re.compile(rb'(?<!\\)"results"\s*:\s*\[')


class _Otherwise(Exception):
    """Something that only the standard library's reader distinguishes, or refuses with its place."""


def decode_series(body: bytes | str, counts: Collection[str]) -> Any:
    """Return what `decode` does, but an array of a statistic may be a buffer (`NUMBERS`) instead of a list.

    Parameters
    ----------
    counts : collection of str
        Statistics whose numbers are taken as int64; where one has a fraction or null, the array stays a list.
    """
    if len(body) < _SHORT:
        return decode(body)
    try:
        return _Series(body.encode() if isinstance(body, str) else body, counts).decoded()
    except (ValueError, RuntimeError, _Otherwise):
        return decode(body)


class _Series:
    """A body in the SIMD parser, its list of results piece by piece.

    Pieces that are lists each, and the rest that is JSON with a number in their place, are JSON together. What the
    parser would not notice, a key twice and a list among the numbers, which it flattens, is looked for: keys are
    compared, brackets counted.
    """

    def __init__(self, body: bytes, counts: Collection[str]) -> None:
        self._body = body
        self._counts = counts
        self._parser = simdjson.Parser()
        self._brackets = 0

    def decoded(self) -> Any:
        body, found, end = self._body, _RESULTS.search(self._body), self._body.rfind(b"}}]") + 2
        if found is None or end < found.end():
            raise _Otherwise
        start, mark = found.end(), time.monotonic_ns()
        document = self._plain(simdjson.Parser().parse(b"%b%d%b" % (body[:start], mark, body[end:])))
        attributes = document
        for key in ("data", "attributes"):
            attributes = attributes.get(key) if isinstance(attributes, dict) else None
        if not isinstance(attributes, dict) or attributes.get("results") != [mark]:
            raise _Otherwise
        labels = attributes.get("date_times")
        if not isinstance(labels, list):
            raise _Otherwise
        attributes["results"] = results = []
        while start < end:
            cut = body.find(b"}},", start + _PIECE, end)
            stop = end if cut < 0 else cut + 2
            results += self._piece(body[start:stop], len(labels))
            start = stop + 1
        return document

    def _piece(self, piece: bytes, intervals: int) -> list[Any]:
        if b"\\" in piece and b"\\u005" in piece:  # a bracket that is written otherwise cannot be counted
            raise _Otherwise
        self._brackets = piece.count(b"[")
        items: Any = self._parser.parse(b"[%b]" % piece)
        found = [self._result(item, intervals) for item in items]
        if self._brackets or not found:
            raise _Otherwise
        return found

    def _result(self, result: Any, intervals: int) -> Any:
        if not isinstance(result, simdjson.Object):
            raise _Otherwise
        return {
            key: self._statistics(result[key], intervals) if key == "statistics" else self._plain(result[key])
            for key in self._keys(result)
        }

    def _statistics(self, statistics: Any, intervals: int) -> Any:
        if not isinstance(statistics, simdjson.Object):
            raise _Otherwise
        names = self._keys(statistics)
        arrays: list[Any] = [statistics[name] for name in names]
        if {*map(type, arrays)} == {simdjson.Array} and {*map(len, arrays)} == {intervals}:
            try:
                kinds: list[Any] = ["i" if name in self._counts else "d" for name in names]
                buffers = [array.as_buffer(of_type=kind) for array, kind in zip(arrays, kinds, strict=True)]
            except (TypeError, ValueError):
                pass
            else:
                self._brackets -= len(arrays)
                return dict(zip(names, buffers, strict=True))
        return {name: self._numbers(name, array, intervals) for name, array in zip(names, arrays, strict=True)}

    def _numbers(self, name: str, array: Any, intervals: int) -> Any:
        if isinstance(array, simdjson.Array) and len(array) == intervals:
            try:
                buffer: Any = array.as_buffer(of_type="i" if name in self._counts else "d")
            except (TypeError, ValueError):
                buffer = array.as_list()
                if not {*map(type, buffer)} <= {int, float, type(None)}:
                    raise _Otherwise from None
            self._brackets -= 1
            return buffer
        return self._plain(array)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, simdjson.Object):
            return {key: self._plain(value[key]) for key in self._keys(value)}
        if isinstance(value, simdjson.Array):
            self._brackets -= 1
            return [self._plain(item) for item in value]
        if isinstance(value, str):
            self._brackets -= value.count("[")
        return value

    def _keys(self, value: Any) -> list[str]:
        keys = list(value.keys())
        if len(set(keys)) < len(keys):
            raise _Otherwise
        self._brackets -= "".join(keys).count("[")
        return keys


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
