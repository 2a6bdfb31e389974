"""Klaviyo's filter language, and the order of lists, as far as reports and lists use them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flowperf_helpers.sandbox.call import invalid_parameter
from flowperf_helpers.sandbox.shop import Flow, Metric

__all__ = [
    "Condition",
    "FilterError",
    "filter_flows",
    "filter_metrics",
    "parse_filter",
    "sort_flows",
]


# Klaviyo's filter language, as far as reports and lists use it.
#
# ::
#
#     filter     = term { "," term }
#     term       = "and(" filter ")" | operator "(" field "," value ")"
#     value      = string | number | true | false | datetime | "[" [ value { "," value } ] "]"
#     string     = '"' ... '"' or "'" ... "'", with backslash escapes

MAX_LENGTH = 100_000
MAX_DEPTH = 8

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<moment>\d{4}-\d{2}-\d{2}(?:T[0-9:.]+(?:Z|[+-]\d{2}:?\d{2})?)?)
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.\-]*)
      | (?P<mark>[(),\[\]])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}

Scalar = str | float | bool


class FilterError(ValueError):
    """The expression cannot be read."""


@dataclass(frozen=True)
class Condition:
    """One ``operator(field,value)``; a list becomes a tuple."""

    operator: str
    field: str
    value: Scalar | tuple[Scalar, ...]

    @property
    def values(self) -> tuple[Scalar, ...]:
        """The value, or the values of a list."""
        return self.value if isinstance(self.value, tuple) else (self.value,)


def parse_filter(text: str) -> list[Condition]:
    """Read an expression.

    Parameters
    ----------
    text : str
        Not URL-encoded.

    Returns
    -------
    list of Condition
        All of them must hold.

    Raises
    ------
    FilterError
        Not in the language above, too long or nested too deep.

    Examples
    --------
    >>> parse_filter('equals(flow_id,"T7K2j8")')
    [Condition(operator='equals', field='flow_id', value='T7K2j8')]
    """
    if len(text) > MAX_LENGTH:
        raise FilterError("the filter is too long")
    reader = _Reader(_tokens(text))
    conditions = reader.terms(0)
    reader.end()
    return conditions


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token, and an ``end``."""
    tokens: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise FilterError(f"unexpected {text[at : at + 12]!r} at position {at}")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return [*tokens, ("end", "")]


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def terms(self, depth: int) -> list[Condition]:
        if depth > MAX_DEPTH:
            raise FilterError("nested too deep")
        found = self._term(depth)
        while self._comes(","):
            found += self._term(depth)
        return found

    def end(self) -> None:
        kind, text = self._tokens[self._at]
        if kind != "end":
            raise FilterError(f"unexpected {text!r} after the end")

    def _term(self, depth: int) -> list[Condition]:
        name = self._word()
        self._mark("(")
        if name == "and":
            found = self.terms(depth + 1)
        else:
            field = self._word()
            self._mark(",")
            found = [Condition(name, field, self._value())]
        self._mark(")")
        return found

    def _value(self) -> Scalar | tuple[Scalar, ...]:
        if not self._comes("["):
            return self._scalar()
        values: list[Scalar] = []
        while not self._comes("]"):
            if values:
                self._mark(",")
            values.append(self._scalar())
        return tuple(values)

    def _scalar(self) -> Scalar:
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "string":
            return _ESCAPE.sub(_unescaped, text[1:-1])
        if kind == "moment":
            return text
        if kind == "number":
            return float(text)
        if text in ("true", "false"):
            return text == "true"
        raise FilterError(
            "the filter ends where a value was expected" if kind == "end" else f"a value was expected, not {text!r}"
        )

    def _word(self) -> str:
        kind, text = self._tokens[self._at]
        if kind != "word":
            raise FilterError("the filter ends too early" if kind == "end" else f"a name was expected, not {text!r}")
        self._at += 1
        return text

    def _mark(self, mark: str) -> None:
        if not self._comes(mark):
            raise FilterError(f"{mark!r} was expected, not {self._tokens[self._at][1]!r}")

    def _comes(self, mark: str) -> bool:
        """Whether this mark is next; if so, it is read."""
        comes = self._tokens[self._at] == ("mark", mark)
        self._at += comes
        return comes


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return _ESCAPES.get(code, code)


# What list requests may ask: filters and order of metrics and flows.

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "equals": operator.eq,
    "greater-than": operator.gt,
    "greater-or-equal": operator.ge,
    "less-than": operator.lt,
    "less-or-equal": operator.le,
    "any": lambda told, wanted: told in wanted,
    "contains": operator.contains,
    "starts-with": str.startswith,
    "ends-with": str.endswith,
}
_ORDERS = ("equals", "greater-than", "greater-or-equal", "less-than", "less-or-equal")
_FLOW_FILTERS = {
    "id": ("any",),
    "name": ("contains", "ends-with", "equals", "starts-with"),
    "status": ("equals",),
    "archived": ("equals",),
    "created": _ORDERS,
    "updated": _ORDERS,
    "trigger_type": ("equals",),
}
_METRIC_FILTERS = {"integration.name": ("equals",), "integration.category": ("equals",)}
_SORTS = ("created", "id", "name", "status", "trigger_type", "updated")
_MAX_ANY = 100


def filter_metrics(metrics: Sequence[Metric], text: str | None) -> list[Metric]:
    """Metrics that a filter lets through; one by category finds nothing, as it was seen live."""
    found = list(metrics)
    for c in _read(text, _METRIC_FILTERS):
        found = [m for m in found if c.field == "integration.name" and m.integration_name == c.value]
    return found


def filter_flows(flows: Sequence[Flow], text: str | None) -> list[Flow]:
    """Flows that a filter lets through; archived ones stay hidden unless the filter names them."""
    conditions = _read(text, _FLOW_FILTERS)
    found = [f for f in flows if f.listed]
    if not any(c.field in ("archived", "id") for c in conditions):
        found = [f for f in found if not f.archived]
    for c in conditions:
        found = list(filter(_test(c), found))
    return found


def sort_flows(flows: list[Flow], order: str | None) -> list[Flow]:
    """Flows in the order that ``sort`` asks for; by id without it."""
    name = (order or "id").removeprefix("-")
    if name not in _SORTS:
        raise invalid_parameter(f"'{(order or '')[:100]}' is not a valid sort.", "sort")
    return sorted(flows, key=lambda f: (str(getattr(f, name) or ""), f.id), reverse=(order or "").startswith("-"))


def _read(text: str | None, allowed: Mapping[str, tuple[str, ...]]) -> list[Condition]:
    if text is None:
        return []
    try:
        conditions = parse_filter(text)
    except FilterError as error:
        raise invalid_parameter(f"Invalid filter: {error}.", "filter") from None
    for c in conditions:
        if c.field not in allowed or c.operator not in allowed[c.field]:
            raise invalid_parameter(f"'{c.operator}' on '{c.field}' is not a filter of this endpoint.", "filter")
        if isinstance(c.value, tuple) != (c.operator == "any") or len(c.values) > _MAX_ANY:
            raise invalid_parameter(f"The value of the filter on '{c.field}' is not usable.", "filter")
    return conditions


def _test(c: Condition) -> Callable[[Flow], bool]:
    compare = _COMPARE[c.operator]
    if c.field in ("created", "updated"):
        moment = _moment(c.value)
        return lambda f: compare(datetime.fromisoformat(getattr(f, c.field)), moment)
    if c.operator in ("any", "equals"):
        return lambda f: compare(getattr(f, c.field), c.value)
    return lambda f: compare(f.name or "", str(c.value))


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise invalid_parameter(f"'{str(value)[:100]}' is not a date-time.", "filter") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
