"""One answer of the reporting API → one tidy frame. Pure functions, one door per payload: decode, check, shape, finish.

A values answer gives one row per group, a series one row per group × interval, every statistic in its own column::

      flow_id flow_message_id send_channel            interval_start  clicks  open_rate
      str     str             str             datetime64[us, zone]     Int64    float64
    0 T7K2j8  01GMRW…         email        2026-11-09 00:00:00+01:00     123     0.8253
    1 T7K2j8  01GMRW…         email        2026-11-16 00:00:00+01:00    <NA>        NaN

Counts are ``Int64`` (null stays NA and is never 0), rates (fractions), money and ratios ``float64`` (null is NaN),
groupings strings. Klaviyo labels its times ``+00:00`` but means the account's wall clock (contract, section D.4):
labels are read as they show and the zone is attached.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.catalog import STATISTICS
from flowperf_helpers.errors import ArgumentError, PayloadError

__all__ = ["SCHEMA_VERSION", "join_pages", "series_frame", "statistic_column", "to_long", "values_frame"]

SCHEMA_VERSION = 1
"""Of the frames' columns and dtypes; rises when a reader would have to change."""

Payload = bytes | str | Mapping[str, Any]

_DEFAULT_GROUPS = ("flow_id", "flow_message_id", "send_channel")
_RESULTS = "/data/attributes/results"
_PROVENANCE = ("interval_start", "interval_end", "window_start", "window_end", "is_partial", "is_provisional",
               "conversion_metric_id")  # fmt: skip


def values_frame(payload: Payload, timezone: str | tzinfo = "UTC") -> pd.DataFrame:
    """Shape a flow-values answer: one row per group.

    Parameters
    ----------
    payload : bytes, str or decoded dict
        The answer's body.
    timezone : str or tzinfo
        Kept in ``attrs["timezone"]``; a values answer tells no time.

    Returns
    -------
    DataFrame
        Groupings, then statistics, as drawn in the module's docstring without ``interval_start``.

    Raises
    ------
    PayloadError
        Not JSON, results that are no list, a statistic that is no number, the same group twice; names the place.
    """
    attributes = _attributes(payload)
    groups, statistics = _results(attributes)
    columns = {name: statistic_column(name, values, _at(name)) for name, values in statistics.items()}
    frame = pd.concat([groups, pd.DataFrame(columns, index=groups.index)], axis=1)
    return _with_attrs(frame, list(statistics), timezone)


def series_frame(payload: Payload, timezone: str | tzinfo = "UTC") -> pd.DataFrame:
    """Shape a flow-series answer: one row per group × interval.

    Parameters
    ----------
    payload : bytes, str or decoded dict
        The answer's body.
    timezone : str or tzinfo
        Zone of the account, attached to ``interval_start``.

    Returns
    -------
    DataFrame
        As drawn in the module's docstring: rows = groups × ``date_times``, groups in Klaviyo's order.

    Raises
    ------
    PayloadError
        As `values_frame`; also an array of another length than ``date_times``, or a label that is no time.
    """
    attributes = _attributes(payload)
    starts = _labels(attributes.get("date_times"), timezone)
    groups, statistics = _results(attributes)
    index = np.repeat(np.arange(len(groups)), len(starts))
    frame = groups.take(index).reset_index(drop=True)
    frame["interval_start"] = starts.take(np.tile(np.arange(len(starts)), len(groups)))
    blank: list[None] = [None] * len(starts)
    columns = {}
    for name, arrays in statistics.items():
        filled = [blank if array is None else array for array in arrays]
        for i, array in enumerate(filled):
            if not isinstance(array, list) or len(array) != len(starts):
                found = f"{len(array)} numbers" if isinstance(array, list) else type(array).__name__
                raise PayloadError(
                    f"Klaviyo's series has {len(starts)} intervals but {found} for {name} of result {i}: the answer "
                    "cannot be aligned; ask again.",
                    place=f"{_RESULTS}/{i}/statistics/{name}",
                )
        columns[name] = statistic_column(name, list(chain.from_iterable(filled)), _at(name, per_result=len(starts)))
    frame = pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis=1)
    return _with_attrs(frame, list(statistics), timezone)


def join_pages(pages: Sequence[Payload]) -> dict[str, Any]:
    """Join the pages of one report into one payload.

    Raises
    ------
    PayloadError
        Pages of a series with different ``date_times``: they do not belong together.
    """
    attributes = [_attributes(page) for page in pages]
    for number, other in enumerate(attributes[1:], start=2):
        if other.get("date_times") != attributes[0].get("date_times"):
            raise PayloadError(
                f"Page {number} of Klaviyo's series has other intervals than page 1: ask again.",
                place="/data/attributes/date_times",
            )
    results = [_result_list(page) for page in attributes]
    return {"data": {"attributes": {**attributes[0], "results": list(chain.from_iterable(results))}}}


def to_long(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn one column per statistic into one row per group (× interval) × statistic.

    Returns
    -------
    DataFrame
        All other columns as they are, then ``statistic`` (str) and ``value`` (float64, NaN where unknown). Statistics
        of one row stay together, in the order of the columns.
    """
    names = [c for c in frame.columns if _is_statistic(frame, c)]
    if not names:
        raise ArgumentError(
            f"to_long needs a column per statistic; the frame has only {', '.join(map(str, frame.columns))}."
        )
    keys = [c for c in frame.columns if c not in names]
    index = np.repeat(np.arange(len(frame)), len(names))
    long = frame[keys].take(index).reset_index(drop=True)
    long["statistic"] = pd.array(np.tile(names, len(frame)).astype(object), dtype="str")
    long["value"] = frame[names].astype("float64").to_numpy().reshape(-1)
    long.attrs = dict(frame.attrs)
    return long


# --- decode and check ---------------------------------------------------------------------------------------------


def _attributes(payload: Payload) -> dict[str, Any]:
    if isinstance(payload, (bytes, str)):
        try:
            payload = json.loads(payload)
        except ValueError as error:
            raise PayloadError("Klaviyo's answer is not whole JSON: ask again.", place="/") from error
    place = ""
    found: Any = payload
    for step in ("data", "attributes"):
        found = found.get(step) if isinstance(found, Mapping) else None
        place += f"/{step}"
        if not isinstance(found, Mapping):
            raise PayloadError(
                f"Klaviyo's answer has no object at {place}: it is no flow report; look at what was asked.", place=place
            )
    return dict(found)


def _result_list(attributes: Mapping[str, Any]) -> list[Any]:
    results = attributes.get("results")
    if not isinstance(results, list):
        raise PayloadError(
            f"Klaviyo's answer holds {type(results).__name__} where the list of results belongs: it is no flow report.",
            place=_RESULTS,
        )
    return results


def _results(attributes: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, list[Any]]]:
    """Return the groups, one row per result, and per statistic the value (or array) of each result."""
    results = _result_list(attributes)
    for i, result in enumerate(results):
        for part in ("groupings", "statistics"):
            if not isinstance(result, Mapping) or not isinstance(result.get(part), Mapping):
                raise PayloadError(f"Result {i} of Klaviyo's answer has no {part}.", place=f"{_RESULTS}/{i}/{part}")
    groupings = [result["groupings"] for result in results]
    names = list(dict.fromkeys(chain(_DEFAULT_GROUPS, chain.from_iterable(groupings))))
    names = sorted(names, key=lambda n: _ORDER.get(n, len(_ORDER)))
    groups = pd.DataFrame({n: pd.array([_text(g.get(n)) for g in groupings], dtype="str") for n in names})
    twice = np.flatnonzero(groups.duplicated())
    if len(twice):
        key = ", ".join(f"{n}={v}" for n, v in groups.iloc[twice[0]].items() if not pd.isna(v))
        raise PayloadError(
            f"Klaviyo's answer names one group twice ({key}): adding the two up would be a guess; ask with fewer "
            "groupings.",
            place=f"{_RESULTS}/{twice[0]}/groupings",
        )
    asked = dict.fromkeys(chain.from_iterable(result["statistics"] for result in results))
    return groups, {name: [result["statistics"].get(name) for result in results] for name in asked}


_ORDER = {
    name: i
    for i, name in enumerate(
        ("flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel", "variation", "variation_name",
         "text_message_format", "tag_id", "tag_name")
    )
}  # fmt: skip


def _text(value: Any) -> str | None:
    """Return a grouping value as text: Klaviyo promises no type (contract, section A.5)."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _at(name: str, per_result: int = 0) -> Callable[[int], str]:
    """Return the JSON pointer of a value by its position among all values of a statistic."""
    if per_result:
        return lambda i: f"{_RESULTS}/{i // per_result}/statistics/{name}/{i % per_result}"
    return lambda i: f"{_RESULTS}/{i}/statistics/{name}"


def statistic_column(
    name: str, values: list[Any], place: Callable[[int], str] = str
) -> pd.api.extensions.ExtensionArray | np.ndarray:
    """Return one statistic's numbers: Int64 where the catalogue counts, float64 otherwise, null as missing.

    Parameters
    ----------
    values : list
        Numbers and None.
    place : callable
        JSON pointer of the value at a position, for the error.

    Raises
    ------
    PayloadError
        Something that is no number, infinite, or a fraction where things are counted.
    """
    if not set(map(type, values)) <= {int, float, type(None)}:
        i = next(i for i, v in enumerate(values) if type(v) not in (int, float, type(None)))
        raise PayloadError(f"Klaviyo sent {str(values[i])[:40]!r} as {name}, which is no number.", place=place(i))
    numbers = np.array(values, dtype="float64")
    counted = name in STATISTICS and STATISTICS[name].is_count
    missing = np.isnan(numbers)
    whole = np.where(missing, 0, numbers)
    wrong = np.flatnonzero(np.isinf(whole) | (counted & (whole != np.floor(whole))))
    if len(wrong):
        i = int(wrong[0])
        raise PayloadError(f"Klaviyo sent {numbers[i]} as {name}, which cannot be.", place=place(i))
    return pd.arrays.IntegerArray(whole.astype("int64"), missing) if counted else numbers


def _labels(labels: Any, timezone: str | tzinfo) -> pd.DatetimeIndex:
    place = "/data/attributes/date_times"
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise PayloadError(
            "Klaviyo's series has no list of date_times: nothing tells when its numbers are from.", place=place
        )
    try:
        wall = pd.DatetimeIndex(pd.to_datetime([label[:19] for label in labels], format="ISO8601")).as_unit("us")
    except ValueError as error:
        raise PayloadError("Klaviyo's date_times hold something that is no time.", place=place) from error
    # an hour that the clock repeats comes twice: the first is summer time
    local = wall.tz_localize(timezone, ambiguous=~wall.duplicated(), nonexistent="shift_forward")
    if local.has_duplicates and not wall.has_duplicates:
        return local  # an hour that the clock skips was labelled all the same
    if local.has_duplicates:
        raise PayloadError("Klaviyo's date_times name one interval twice.", place=place)
    return local


def _with_attrs(frame: pd.DataFrame, statistics: list[str], timezone: str | tzinfo) -> pd.DataFrame:
    frame.attrs = {"schema_version": SCHEMA_VERSION, "timezone": str(timezone), "statistics": statistics}
    return frame


def _is_statistic(frame: pd.DataFrame, column: str) -> bool:
    if column in frame.attrs.get("statistics", ()) or column in STATISTICS:
        return True
    numeric = pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column])
    return numeric and column not in _PROVENANCE
