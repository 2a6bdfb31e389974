"""Is the difference real? The rates of two periods side by side, and whether they may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import groupings_of, require_columns
from flowperf_helpers.stats.rate_parts import Parts, parts_of, rows_of_both, sum_rate_parts, without_names
from flowperf_helpers.stats.rates import q_values, rate_difference, verdicts

__all__ = ["check_comparable", "compare_rates"]

_PERIODS = ("before", "after")
_ATTRIBUTION_DAYS = 5
"""Klaviyo's default, for frames whose account is not known."""


def check_comparable(before: pd.DataFrame, after: pd.DataFrame, allow_unequal: bool) -> list[str]:
    """Refuse windows of unequal length; note unequal ages.

    Parameters
    ----------
    before, after : DataFrame
        With ``window_start, window_end`` or ``interval_start, interval_end``; without either nothing can be said.
    allow_unequal : bool
        Note unequal lengths instead of refusing them.

    Returns
    -------
    list of str
        What is to be known, for ``attrs["notes"]``.

    Raises
    ------
    ArgumentError
        Windows of different length (in days on the wall clock, so a week with a clock change has seven).
    """
    earlier, later = _window(before), _window(after)
    if earlier is None or later is None:
        return []
    notes = []
    days = [
        round((end.tz_localize(None) - start.tz_localize(None)) / pd.Timedelta(days=1), 2)
        for start, end in (earlier, later)
    ]
    if days[0] != days[1]:
        lengths = f"The two windows have different lengths ({days[0]:g} and {days[1]:g} days)"
        if not allow_unequal:
            raise ArgumentError(f"{lengths}: compare windows of equal length, or say allow_unequal=True.")
        notes.append(f"{lengths}: rates can be compared, sums cannot.")
    settled = after.attrs.get("attribution_days", _ATTRIBUTION_DAYS)
    if _age(before, earlier[1]) >= settled > _age(after, later[1]):
        notes.append(
            f"The later window is younger than the attribution window of {settled} days: its conversions are still "
            "coming in."
        )
    return notes


def _window(frame: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    for start, end in (("window_start", "window_end"), ("interval_start", "interval_end")):
        if start in frame.columns and end in frame.columns and frame[start].notna().any():
            return frame[start].min(), frame[end].max()
    return None


def _age(frame: pd.DataFrame, end: pd.Timestamp) -> float:
    """Days from a window's end to the request; NaN where its moment is not known."""
    asked = frame.attrs.get("fetched_at")
    if not isinstance(asked, str):
        return float("nan")
    return float((pd.Timestamp(asked) - end) / pd.Timedelta(days=1))


def compare_rates(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    rate: str = "click_rate",
    by: Sequence[str] | str | None = None,
    allow_unequal: bool = False,
    labels: tuple[str, str] = ("before", "after"),
) -> pd.DataFrame:
    """Hold the rates of two periods, or of any two sets of rows, against each other, one row per group of either.

    Rows are summed per group first (`sum_rate_parts`), groups matched by ids; names are those of the later period.
    Partial intervals are left out, provisional ones marked in the result.

    Parameters
    ----------
    before, after : DataFrame
        Values or series frames of two windows.
    rate : str
        A rate of the catalogue; its denominator is read off the rows.
    by : sequence of str, optional
        Group columns; left out: all groupings that both frames have.
    allow_unequal : bool
        Whether windows of different length may be compared; rates bear it, but weekdays then differ.
    labels : tuple of str
        What the two are called in ``sample``, in `plot_comparison` and in `comparison_table`, such as
        ``("email", "SMS")``. Two channels share no message: compare them by ``["flow_id", "flow_name"]``.

    Returns
    -------
    DataFrame
        ``by``, ``numerator_before, denominator_before`` (Int64), ``rate_before``, the same ``_after``, ``difference,
        low, high`` (fractions), ``p_value, q_value`` (over all rows), ``verdict`` (one of `VERDICTS`), ``sample``
        (words), ``is_provisional`` (bool). A group of one period only, or with counts that cannot be (more successes
        than trials), keeps its numbers and is "too few to say". ``attrs``: ``rate, numerator, denominator, evidence,
        notes``, and ``labels`` where they are not periods.

    Raises
    ------
    ArgumentError
        Missing columns, no rate, windows of different length, or labels that are not two different words.
    """
    labels = _labels(labels)
    notes = check_comparable(before, after, allow_unequal)
    columns = _columns(before, after, by)
    parts = _parts(rate, before, after)
    keys = without_names(columns)
    sides = [
        sum_rate_parts(frame, rate, parts, keys, what=f"compare_rates ({period})")
        for period, frame in (("before", before), ("after", after))
    ]
    joined = sides[0].counts.merge(sides[1].counts, on=keys, how="outer", suffixes=("_before", "_after"), sort=False)
    young = joined[["is_provisional_before", "is_provisional_after"]].fillna(False).astype(bool).any(axis=1)
    table = _judged(joined, notes, labels).assign(is_provisional=young.to_numpy())
    names = pd.concat([sides[1].names, sides[0].names], ignore_index=True).drop_duplicates(keys)
    table = joined[keys].merge(names, on=keys, how="left").join(table)
    table = table[[*columns, *(c for c in table.columns if c not in names.columns)]]
    notes = [*after.attrs.get("notes", []), *notes, *sides[0].notes, *sides[1].notes]
    table.attrs = after.attrs | {"rate": rate, "notes": notes, **parts.to_dict()}
    if labels != _PERIODS:
        table.attrs["labels"] = list(labels)
    return table


# --- steps --------------------------------------------------------------------------------------------------------


def _labels(labels: Any) -> tuple[str, str]:
    words = list(labels) if isinstance(labels, tuple | list) else []
    words = [word.strip() for word in words if isinstance(word, str) and word.strip()]
    if len(words) != 2 or len(labels) != 2 or words[0] == words[1]:
        raise ArgumentError(f'labels is {labels!r}: give two different words, such as labels=("email", "SMS").')
    return words[0], words[1]


def _judged(joined: pd.DataFrame, notes: list[str], labels: tuple[str, str]) -> pd.DataFrame:
    """Differences, q-values over all rows, verdicts and the sample in words."""
    x1, n1, x2, n2 = (
        joined[c].to_numpy(dtype=float)
        for c in ("numerator_before", "denominator_before", "numerator_after", "denominator_after")
    )
    with np.errstate(invalid="ignore"):
        impossible = (x1 > n1) | (x2 > n2) | (x1 < 0) | (x2 < 0)
    if impossible.any():
        notes.append(
            f"{int(impossible.sum())} rows have counts that cannot be (more successes than trials): no verdict."
        )
    a, b = np.where(impossible, np.nan, x1), np.where(impossible, np.nan, x2)
    found = rate_difference(a, n1, b, n2)
    q = q_values(found["p_value"])
    with np.errstate(divide="ignore", invalid="ignore"):
        r1, r2 = np.where(n1 > 0, x1 / n1, np.nan), np.where(n2 > 0, x2 / n2, np.nan)
        pooled = (a + b) / (n1 + n2)
    texts = [_words(x1, n1), _words(x2, n2)]
    return pd.DataFrame(
        {
            "numerator_before": _whole(x1), "denominator_before": _whole(n1), "rate_before": r1,
            "numerator_after": _whole(x2), "denominator_after": _whole(n2), "rate_after": r2,
            "difference": np.where(impossible, r2 - r1, found["difference"]),
            **{c: found[c].to_numpy() for c in ("low", "high", "p_value")},
            "q_value": q,
            "verdict": pd.array(
                verdicts(found["difference"], found["low"], found["high"], q, pooled).astype(object), dtype="str"
            ),
            "sample": pd.array([f"{labels[0]} {s}; {labels[1]} {t}" for s, t in zip(*texts, strict=True)], dtype="str"),
        },
        index=joined.index,
    )  # fmt: skip


def _words(x: np.ndarray, n: np.ndarray) -> list[str]:
    return [
        f"{a:,.0f} of {b:,.0f}" if known else "not known"
        for a, b, known in zip(x, n, np.isfinite(x + n), strict=True)
    ]  # fmt: skip


def _whole(values: np.ndarray) -> Any:
    return pd.array(values, dtype="Float64").astype("Int64")


def _columns(before: pd.DataFrame, after: pd.DataFrame, by: Sequence[str] | str | None) -> list[str]:
    if by is None:
        columns = [c for c in groupings_of(after) if c in before.columns and not c.startswith("tag_")]
        if not columns:
            require_columns(after, ["flow_id"], "compare_rates (after)")
            require_columns(before, ["flow_id"], "compare_rates (before)")
        return columns
    columns = [by] if isinstance(by, str) else list(by)
    if not columns:
        raise ArgumentError("Give at least one column in by; for one total, add a column that is the same everywhere.")
    require_columns(before, columns, "The comparison (before)")
    require_columns(after, columns, "The comparison (after)")
    return columns


def _parts(rate: str, before: pd.DataFrame, after: pd.DataFrame) -> Parts:
    if rate not in STATISTICS or STATISTICS[rate].kind != "rate":
        rates = ", ".join(name for name, entry in STATISTICS.items() if entry.kind == "rate")
        raise ArgumentError(f"{rate!r} is not a rate: give one of {rates}.")
    return parts_of(rows_of_both(before, after, rate), rate, "The comparison")
