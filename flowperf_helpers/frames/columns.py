"""What a frame of ours has: the columns that are needed, the statistics among them, the keys of its rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError, PayloadError
from flowperf_helpers.frames.catalog import GROUPINGS, STATISTICS, has_meaning
from flowperf_helpers.frames.payloads import NUMBERS

__all__ = [
    "COUNTS",
    "NAMES",
    "TIMES",
    "carried",
    "carries",
    "group_keys",
    "groupings_of",
    "joined_column",
    "keep_names",
    "numbers",
    "require_columns",
    "require_once",
    "require_unique",
    "row_keys",
    "statistic_column",
    "statistics_of",
    "text_column",
]

NAMES = {
    "flow_name": "flow_id",
    "flow_message_name": "flow_message_id",
    "variation_name": "variation",
    "tag_name": "tag_id",
}
"""Columns of names, with the id that they belong to. Names change; ids are what rows are matched by."""

COUNTS = frozenset(name for name, entry in STATISTICS.items() if entry.is_count)
"""Statistics whose column is ``Int64``."""

TIMES = ("interval_start", "window_start", "window_end")

_SHOWN = 12
_EXACT = 2**53  # beyond it a float skips whole numbers
_MOST = 2**63 - 1


def require_columns(frame: pd.DataFrame, names: Iterable[str], what: str) -> None:
    """Raise an `ArgumentError` that names the missing columns and what is there."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        there = [str(c) for c in frame.columns]
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise ArgumentError(
            f"{what} needs the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; the frame has "
            f"{', '.join(there[:_SHOWN]) or 'no columns'}{more}. Ask Klaviyo for what is missing."
        )


def statistics_of(frame: pd.DataFrame) -> list[str]:
    """Columns that are statistics of the catalogue, in the frame's order."""
    return [c for c in frame.columns if c in STATISTICS]


def groupings_of(frame: pd.DataFrame, *, names: bool = True) -> list[str]:
    """Columns that say whose row it is, in Klaviyo's order; without names whose id is there, if wished."""
    found = [c for c in GROUPINGS if c in frame.columns]
    return found if names else [c for c in found if NAMES.get(c) not in found]


def require_unique(frame: pd.DataFrame, keys: Sequence[str], what: str) -> None:
    """Raise an `ArgumentError` that names the first row that stands there twice."""
    twice = np.flatnonzero(frame.duplicated(list(keys)))
    if len(twice):
        row = frame.iloc[twice[0]]
        place = ", ".join(f"{k}={row[k]}" for k in keys if not pd.isna(row[k]))
        raise ArgumentError(
            f"{what} was given {len(twice)} row{'s' if len(twice) > 1 else ''} twice, the first at position {twice[0]} "
            f"({place or 'without any key'}): take out the repetition, or add the grouping that tells the rows apart."
        )


def require_once(frame: pd.DataFrame, by: Sequence[str], what: str) -> None:
    """Raise an `ArgumentError` where a message stands twice in one interval, so that its sends would count twice.

    Without message ids in the frame nothing is checked. Several conversion metrics do no harm as long as each message
    stands under one of them (its flow's own).
    """
    if "flow_message_id" not in frame.columns:
        return
    keys = groupings_of(frame, names=False)
    keys += [c for c in ("account", "currency", *TIMES) if c in frame.columns]
    keys += [c for c in by if c not in keys and NAMES.get(c) not in keys]
    metric = "conversion_metric_id"
    metrics = frame[metric].nunique(dropna=False) if metric in frame.columns and metric not in by else 0
    if metrics > 1:
        require_unique(frame, [*keys, metric], what)
        if frame.duplicated(keys).any():
            raise ArgumentError(
                f"{what} was given {metrics} conversion metrics, and messages stand under "
                "several of them, so their sends would count several times: put conversion_metric_id into by, or "
                "choose one."
            )
    require_unique(frame, keys, what)


def numbers(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """Return one column as floats, NaN where unknown."""
    try:
        return np.asarray(frame[name].to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"The column {name} holds something that is not a number.") from error


def carries(frame: pd.DataFrame, statistic: str) -> npt.NDArray[np.bool_]:
    """Rows whose channel gives a statistic a meaning; all of them where the frame has no channel."""
    return carried(frame)(statistic)


def carried(frame: pd.DataFrame) -> Callable[[str], npt.NDArray[np.bool_]]:
    """`carries` of a frame for many statistics: its channels are read once."""
    if "send_channel" not in frame.columns:
        return lambda statistic: np.ones(len(frame), dtype=bool)
    codes, channels = pd.factorize(frame["send_channel"])
    names = [str(channel) for channel in channels]
    return lambda statistic: np.array([*(has_meaning(statistic, name) for name in names), True], dtype=bool)[codes]


def keep_names(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """Names that the frame has for the ids in ``by`` and that are not in ``by`` already."""
    return [n for n, key in NAMES.items() if key in by and n not in by and n in frame.columns]


def group_keys(frame: pd.DataFrame) -> list[str]:
    """Columns that name a group for good: ids rather than names, and the conversion metric."""
    return groupings_of(frame, names=False) + [c for c in ("conversion_metric_id",) if c in frame.columns]


def row_keys(frame: pd.DataFrame) -> list[str]:
    """Columns that name a row of a series for good: `group_keys` and the interval's bounds."""
    return group_keys(frame) + [c for c in ("interval_start", "interval_end") if c in frame.columns]


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
        Something that is not a number, infinite or NaN; where things are counted also a fraction, less than none, and
        what 64 bits (a float: its 53) cannot hold exactly.
    """
    if not set(map(type, values)) <= {int, float, type(None)}:
        i = next(i for i, v in enumerate(values) if type(v) not in (int, float, type(None)))
        shown = f"{values[i]!r:.40}" if isinstance(values[i], (str, bool)) else f"a {type(values[i]).__name__}"
        raise PayloadError(f"Klaviyo sent {shown} as {name:.60}, which is not a number.", place=place(i))
    try:
        numbers = np.array(values, dtype="float64")
    except OverflowError as error:
        i = next(i for i, v in enumerate(values) if isinstance(v, int) and abs(v) > sys.float_info.max)
        raise PayloadError(
            f"Klaviyo sent a number as {name:.60} that is too large to be one.", place=place(i)
        ) from error
    counted = name in COUNTS
    missing = np.isnan(numbers)
    whole = np.where(missing, 0, numbers)
    wrong = np.isinf(whole)
    if np.count_nonzero(missing) > values.count(None):
        wrong |= missing & np.array([v is not None for v in values])
    if counted:
        wrong |= (whole != np.floor(whole)) | (whole < 0)
        for i in map(int, np.flatnonzero(whole >= _EXACT)):
            wrong[i] |= isinstance(values[i], float) or values[i] > _MOST
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise PayloadError(f"Klaviyo sent {values[i]!s:.40} as {name:.60}, which cannot be.", place=place(i))
    if not counted:
        return numbers
    exact = [v or 0 for v in values] if whole.max(initial=0) >= _EXACT else whole
    return pd.arrays.IntegerArray(np.array(exact, dtype="int64"), missing)


def joined_column(
    name: str, arrays: Sequence[Any], intervals: int, place: Callable[[int], str] = str
) -> pd.api.extensions.ExtensionArray | np.ndarray:
    """Return `statistic_column` of arrays of one length, one after the other.

    Parameters
    ----------
    arrays : sequence of list or `flowperf_helpers.frames.payloads.NUMBERS`
        Buffers are taken as a whole, lists one number at a time: to the same result.
    place : callable
        JSON pointer of the number at a position in all arrays.
    """
    counted = name in COUNTS
    dtype = "int64" if counted else "float64"
    odd = np.array([not isinstance(array, NUMBERS) for array in arrays], dtype=bool)
    if not odd.all():
        joined = bytearray().join(array for array in arrays if isinstance(array, NUMBERS))
        numbers = np.frombuffer(joined, dtype=dtype).reshape(len(arrays) - np.count_nonzero(odd), intervals)
        if not counted or numbers.min(initial=0) >= 0:
            column = _with_lists(name, arrays, odd, numbers)
            if column is not None:
                return column
    lists = (np.frombuffer(a, dtype=dtype).tolist() if isinstance(a, NUMBERS) else a for a in arrays)
    return statistic_column(name, list(chain.from_iterable(lists)), place)


def _with_lists(name: str, arrays: Sequence[Any], odd: np.ndarray, numbers: np.ndarray) -> Any:
    """Put buffers and lists together; None where a number is wrong, whose place is found by going through all."""
    missing = np.zeros((len(arrays), numbers.shape[1]), dtype=bool)
    if odd.any():
        try:
            rest = statistic_column(name, list(chain.from_iterable(arrays[i] for i in np.flatnonzero(odd).tolist())))
        except PayloadError:
            return None
        taken, numbers = numbers, np.empty(missing.shape, dtype=numbers.dtype)
        numbers[~odd] = taken
        filled = rest.to_numpy("int64", na_value=0) if isinstance(rest, pd.arrays.IntegerArray) else rest
        numbers[odd] = np.asarray(filled).reshape(-1, missing.shape[1])
        missing[odd] = pd.isna(rest).reshape(-1, missing.shape[1])
    return pd.arrays.IntegerArray(numbers.ravel(), missing.ravel()) if name in COUNTS else numbers.ravel()


def text_column(name: str, values: Sequence[str | None]) -> pd.api.extensions.ExtensionArray:
    """Return texts as ``str``, None as missing.

    Names are Python's objects underneath: a series then holds each once, not once per interval, so that names of
    100,000 characters cost megabytes instead of gigabytes.
    """
    return pd.array(list(values), dtype=pd.StringDtype("python", na_value=np.nan) if name in NAMES else "str")
