"""What list requests may ask: filters, order and pages of metrics and flows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import unquote, urlencode

from werkzeug.datastructures import MultiDict

from flowperf_helpers.sandbox.grammar import Condition, FilterError, parse_filter
from flowperf_helpers.sandbox.model import Flow, Metric
from flowperf_helpers.sandbox.problems import invalid_parameter

__all__ = ["check_parameters", "filter_flows", "filter_metrics", "included", "page_of", "page_size", "sort_flows"]

Args = MultiDict[str, str]
T = TypeVar("T")

_ORDERS = ("equals", "greater-than", "greater-or-equal", "less-than", "less-or-equal")
_FLOW_FILTERS: dict[str, tuple[str, ...]] = {
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


def check_parameters(args: Args, allowed: Sequence[str]) -> None:
    """Refuse query parameters that the endpoint does not have, or that come twice.

    Raises
    ------
    Problem
        400 with the parameter's name.
    """
    for name in args:
        if name not in allowed:
            raise invalid_parameter(f"'{name[:100]}' is not a valid query parameter.", name[:100])
        if len(args.getlist(name)) > 1:
            raise invalid_parameter(f"'{name}' was given twice.", name)


def included(args: Args, allowed: Sequence[str]) -> tuple[str, ...]:
    """Read ``include``."""
    asked = args.get("include")
    names = tuple(asked.split(",")) if asked else ()
    for name in names:
        if name not in allowed:
            raise invalid_parameter(f"'{name[:100]}' cannot be included.", "include")
    return names


def filter_metrics(metrics: Sequence[Metric], text: str | None) -> list[Metric]:
    """Metrics that a filter lets through; one by category finds nothing, as it was seen live."""
    found = list(metrics)
    for c in _read(text, _METRIC_FILTERS):
        found = [m for m in found if c.field == "integration.name" and m.integration_name == c.value]
    return found


def filter_flows(flows: Sequence[Flow], text: str | None) -> list[Flow]:
    """Flows that a filter lets through; without a word on it archived ones stay hidden."""
    conditions = _read(text, _FLOW_FILTERS)
    found = [f for f in flows if f.listed]
    if not any(c.field in ("archived", "id") for c in conditions):
        found = [f for f in found if not f.archived]
    for c in conditions:
        test = _flow_test(c)
        found = [f for f in found if test(f)]
    return found


def sort_flows(flows: list[Flow], order: str | None) -> list[Flow]:
    """Flows in the order asked; by id where nothing is said."""
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


def _flow_test(c: Condition) -> Callable[[Flow], bool]:
    if c.field in ("created", "updated"):
        wanted = _moment(c.value)
        return lambda f: _compare(c.operator, datetime.fromisoformat(getattr(f, c.field)), wanted)
    if c.operator == "any":
        return lambda f: f.id in c.values
    if c.operator == "equals":
        return lambda f: getattr(f, c.field) == c.value
    value = str(c.value)
    if c.operator == "contains":
        return lambda f: value in (f.name or "")
    if c.operator == "ends-with":
        return lambda f: (f.name or "").endswith(value)
    return lambda f: (f.name or "").startswith(value)


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise invalid_parameter(f"'{str(value)[:100]}' is not a date-time.", "filter") from None
    return moment if moment.tzinfo else datetime.fromisoformat(f"{moment.isoformat()}+00:00")


def _compare(operator: str, a: datetime, b: datetime) -> bool:
    if operator == "equals":
        return a == b
    above, below = operator.startswith("greater"), operator.startswith("less")
    return (above and a > b) or (below and a < b) or (operator.endswith("equal") and a == b)


def page_size(args: Args, largest: int, default: int) -> int:
    """Read ``page[size]``."""
    text = args.get("page[size]")
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= largest:
        raise invalid_parameter(f"Page size must be an integer between 1 and {largest}.", "page[size]")
    return int(text[:9])


def page_of(rows: Sequence[T], size: int, args: Args, url: str, *, parameter: str = "page[cursor]") -> tuple[
    list[T], dict[str, str | None]
]:  # fmt: skip
    """Cut one page and make its links; everything else that was asked stays in them.

    Raises
    ------
    Problem
        400 for a cursor that never was.
    """
    start = _decode(args.get(parameter), parameter)
    if start and start >= len(rows):
        raise invalid_parameter("The cursor is not valid.", parameter)

    def link(offset: int) -> str:
        query = [(k, v) for k, v in args.items() if k != parameter]
        return f"{url}?{urlencode([*query, (parameter, _encode(offset))])}"

    plain = f"{url}?{urlencode(list(args.items()))}" if args else url
    links: dict[str, str | None] = {
        "self": link(start) if parameter in args else plain,
        "next": link(start + size) if start + size < len(rows) else None,
        "prev": link(max(start - size, 0)) if start else None,
    }
    return list(rows[start : start + size]), links


def _encode(offset: int) -> str:
    return base64.urlsafe_b64encode(f"next::from::{offset}".encode()).decode().rstrip("=")


def _decode(cursor: str | None, parameter: str) -> int:
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
    except (ValueError, binascii.Error):
        raise invalid_parameter("The cursor is not valid.", parameter) from None
