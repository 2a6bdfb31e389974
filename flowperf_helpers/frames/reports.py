"""One answer of the reporting API → one tidy frame. Pure functions, one door per payload: decode, check, shape, finish.

A values answer gives one row per group, a series one row per group × interval, every statistic in its own column::

      flow_id flow_message_id send_channel            interval_start  clicks  open_rate
      str     str             str             datetime64[us, zone]     Int64    float64
    0 T7K2j8  01GMRW…         email        2026-11-09 00:00:00+01:00     123     0.8253
    1 T7K2j8  01GMRW…         email        2026-11-16 00:00:00+01:00    <NA>        NaN

Counts are ``Int64`` (null stays NA and is never 0), rates (fractions), money and ratios ``float64`` (null is NaN),
groupings strings. Klaviyo labels its times ``+00:00`` but means the account's wall clock:
labels are read as they show and the zone is attached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.errors import ArgumentError, PayloadError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import COUNTS, joined_column, statistic_column, text_column
from flowperf_helpers.frames.payloads import NUMBERS, decode_series, text_of, whole_text

__all__ = ["SCHEMA_VERSION", "join_pages", "series_frame", "to_long", "values_frame"]

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
        Kept in ``attrs["timezone"]``; a values answer has no time.

    Returns
    -------
    DataFrame
        Groupings, then statistics, as drawn in the module's docstring without ``interval_start``.

    Raises
    ------
    PayloadError
        Not JSON, results that are not a list, a statistic that is not a number or cannot be (a negative count), the
        same group or key twice; names the place.
    ArgumentError
        A time zone that is not known.

    Notes
    -----
    ``attrs["notes"]`` says which rates lie outside 0 to 1; they are kept as Klaviyo sent them.
    """
    _check_zone(timezone)
    attributes = _attributes(payload)
    groups, statistics = _results(attributes)
    columns: dict[str, Any] = dict(groups)
    columns |= {name: statistic_column(name, values, _at(name)) for name, values in statistics.items()}
    return _framed(columns, list(statistics), timezone, 1)


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
        As `values_frame`; also an array of another length than ``date_times``, or a label that is not a time.
    ArgumentError
        As `values_frame`.
    """
    _check_zone(timezone)
    attributes = _attributes(payload)
    starts = _labels(attributes.get("date_times"), timezone)
    groups, statistics = _results(attributes)
    number = len(next(iter(groups.values())))
    repeated = np.repeat(np.arange(number), len(starts))
    columns: dict[str, Any] = {name: texts.take(repeated) for name, texts in groups.items()}
    columns["interval_start"] = starts.take(np.tile(np.arange(len(starts)), number))
    for name, arrays in statistics.items():
        columns[name] = _series_column(name, arrays, len(starts))
    return _framed(columns, list(statistics), timezone, len(starts))


def join_pages(pages: Sequence[Payload]) -> dict[str, Any]:
    """Join the pages of one report into one payload.

    Raises
    ------
    PayloadError
        Pages of a series with different ``date_times``: they do not belong together.
    """
    attributes = [_attributes(page) for page in pages]
    labels = [_label_list(page["date_times"]) if "date_times" in page else None for page in attributes]
    for number, other in enumerate(labels[1:], start=2):
        if other != labels[0]:
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
    taken = [c for c in keys if c in ("statistic", "value")]
    if taken:
        raise ArgumentError(f"to_long makes a column {taken[0]} and the frame has one already: rename it first.")
    index = np.repeat(np.arange(len(frame)), len(names))
    long = frame[keys].take(index).reset_index(drop=True)
    long["statistic"] = pd.array(np.tile(names, len(frame)).astype(object), dtype="str")
    long["value"] = frame[names].astype("float64").to_numpy().reshape(-1)
    long.attrs = dict(frame.attrs)
    return long


# --- decode and check ---------------------------------------------------------------------------------------------


def _attributes(payload: Payload) -> dict[str, Any]:
    if isinstance(payload, (bytes, str)):
        payload = decode_series(payload, COUNTS)
    place = ""
    found: Any = payload
    for step in ("data", "attributes"):
        found = found.get(step) if isinstance(found, Mapping) else None
        place += f"/{step}"
        if not isinstance(found, Mapping):
            raise PayloadError(
                f"Klaviyo's answer has no object at {place}: it is not a flow report; look at what was asked.",
                place=place,
            )
    return dict(found)


def _result_list(attributes: Mapping[str, Any]) -> list[Any]:
    results = attributes.get("results")
    if not isinstance(results, list):
        raise PayloadError(
            f"Klaviyo's answer holds {type(results).__name__} where the list of results belongs: it is not a flow "
            "report.",
            place=_RESULTS,
        )
    return results


def _results(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the groups' columns, one row per result, and per statistic the value (or array) of each result."""
    results = _result_list(attributes)
    for i, result in enumerate(results):
        for part in ("groupings", "statistics"):
            if not isinstance(result, Mapping) or not isinstance(result.get(part), Mapping):
                raise PayloadError(f"Result {i} of Klaviyo's answer has no {part}.", place=f"{_RESULTS}/{i}/{part}")
    groupings = [result["groupings"] for result in results]
    named = _column_names(chain(_DEFAULT_GROUPS, chain.from_iterable(groupings)), "groupings")
    texts = {
        column: [text_of(g.get(raw), f"{_RESULTS}/{i}/groupings/{column}") for i, g in enumerate(groupings)]
        for raw, column in sorted(named.items(), key=lambda pair: _ORDER.get(pair[1], len(_ORDER)))
    }
    _check_once(texts)
    columns = {column: text_column(column, values) for column, values in texts.items()}
    asked = _column_names(chain.from_iterable(result["statistics"] for result in results), "statistics")
    _check_names(results, "groupings", columns, {*STATISTICS, *asked.values(), *_PROVENANCE})
    _check_names(results, "statistics", asked.values(), {*_ORDER, *_PROVENANCE})
    statistics = [result["statistics"] for result in results]
    return columns, {name: [numbers.get(raw) for numbers in statistics] for raw, name in asked.items()}


def _check_once(texts: Mapping[str, list[str | None]]) -> None:
    seen = set()
    for i, group in enumerate(zip(*texts.values(), strict=True)):
        if group in seen:
            key = ", ".join(f"{name}={text[:60]}" for name, text in zip(texts, group, strict=True) if text is not None)
            raise PayloadError(
                f"Klaviyo's answer names one group twice ({key}): adding the two up would be a guess; ask with fewer "
                "groupings.",
                place=f"{_RESULTS}/{i}/groupings",
            )
        seen.add(group)


def _series_column(name: str, arrays: list[Any], intervals: int) -> Any:
    """Return one statistic of all results, in their order."""
    if {*map(type, arrays)} != {NUMBERS}:
        arrays = [[None] * intervals if array is None else array for array in arrays]
        for i, array in enumerate(arrays):
            if not isinstance(array, NUMBERS) and not (isinstance(array, list) and len(array) == intervals):
                found = f"{len(array)} numbers" if isinstance(array, list) else type(array).__name__
                raise PayloadError(
                    f"Klaviyo's series has {intervals} intervals but {found} for {name:.60} of result {i}: the answer "
                    "cannot be aligned; ask again.",
                    place=f"{_RESULTS}/{i}/statistics/{name}",
                )
    return joined_column(name, arrays, intervals, _at(name, intervals))


def _check_names(results: Sequence[Any], part: str, names: Iterable[str], taken: set[str]) -> None:
    for name in names:
        if name in taken:
            i = next(i for i, result in enumerate(results) if name in map(whole_text, result[part]))
            raise PayloadError(
                f"Klaviyo's answer has {name[:60]!r} among its {part}, which is the name of another column: look at "
                "what was asked.",
                place=f"{_RESULTS}/{i}/{part}/{name}",
            )


def _column_names(keys: Iterable[Any], part: str) -> dict[Any, str]:
    """Return each key's column name: the same text, made whole."""
    names = {key: whole_text(str(key)) for key in dict.fromkeys(keys)}
    if len(set(names.values())) < len(names):
        raise PayloadError(f"Klaviyo's answer has two {part} that cannot be told apart: ask again.", place=_RESULTS)
    return names


_ORDER = {
    name: i
    for i, name in enumerate(
        ("flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel", "variation", "variation_name",
         "text_message_format", "tag_id", "tag_name")
    )
}  # fmt: skip


def _at(name: str, per_result: int = 0) -> Callable[[int], str]:
    """Return the JSON pointer of a value by its position among all values of a statistic."""
    if per_result:
        return lambda i: f"{_RESULTS}/{i // per_result}/statistics/{name}/{i % per_result}"
    return lambda i: f"{_RESULTS}/{i}/statistics/{name}"


def _label_list(labels: Any) -> list[str]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise PayloadError(
            "Klaviyo's series has no list of date_times: nothing says when its numbers are from.", place=_LABELS
        )
    return labels


_LABELS = "/data/attributes/date_times"
_LABEL = re.compile(
    r"((?:19[7-9]|20\d|21\d)\d-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


def _labels(labels: Any, timezone: str | tzinfo) -> pd.DatetimeIndex:
    found = [_LABEL.fullmatch(label) for label in _label_list(labels)]
    try:
        texts = [f"{match[1]}T{match[2] or '00:00'}{match[3] or ':00'}" if match else "" for match in found]
        wall = pd.DatetimeIndex(np.array(texts, dtype="datetime64[us]"))
    except ValueError as error:
        raise _no_time() from error
    if wall.hasnans:
        raise _no_time()
    # an hour that the clock repeats comes twice: the first is summer time
    local = wall.tz_localize(timezone, ambiguous=~wall.duplicated(), nonexistent="shift_forward")
    if local.has_duplicates and not wall.has_duplicates:
        return local  # an hour that the clock skips was labelled all the same
    if local.has_duplicates:
        raise PayloadError("Klaviyo's date_times name one interval twice.", place=_LABELS)
    return local


def _no_time() -> PayloadError:
    return PayloadError("Klaviyo's date_times hold something that is not a time.", place=_LABELS)


def _check_zone(timezone: str | tzinfo) -> None:
    try:
        pd.DatetimeIndex([], tz=timezone)
    except (LookupError, ValueError, TypeError, OSError) as error:
        raise ArgumentError(
            f'{str(timezone)[:60]!r} is not a time zone that is known here: give a name such as "Europe/Copenhagen".'
        ) from error


def _framed(columns: dict[str, Any], statistics: list[str], timezone: str | tzinfo, per_result: int) -> pd.DataFrame:
    frame = pd.DataFrame(columns, copy=False)
    frame.attrs = {"schema_version": SCHEMA_VERSION, "timezone": str(timezone), "statistics": statistics}
    notes = []
    for name in statistics:
        if name in STATISTICS and STATISTICS[name].kind == "rate":
            odd = np.flatnonzero((columns[name] < 0) | (columns[name] > 1))
            if len(odd):
                notes.append(
                    f"{len(odd)} of {len(frame)} values of {name} lie outside 0 to 1, the first at "
                    f"{_at(name, per_result)(int(odd[0]))}: they are kept as Klaviyo sent them."
                )
    if notes:
        frame.attrs["notes"] = notes
    return frame


def _is_statistic(frame: pd.DataFrame, column: str) -> bool:
    if column in frame.attrs.get("statistics", ()) or column in STATISTICS:
        return True
    numeric = pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column])
    return numeric and column not in _PROVENANCE
