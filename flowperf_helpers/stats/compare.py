"""Is the difference real? Two periods or several groups side by side, and whether they may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import groupings_of, require_columns
from flowperf_helpers.stats.ab_tests import variation_duel
from flowperf_helpers.stats.rate_parts import Parts, parts_of, sum_trials, without_names
from flowperf_helpers.stats.rates import VERDICTS, q_values, rate_difference, verdicts
from flowperf_helpers.stats.rollup import roll_up

__all__ = [
    "VERDICTS",
    "WHY_NO_SIGNIFICANCE",
    "compare_groups",
    "compare_money",
    "compare_rates",
    "equal_footing",
    "variation_duel",
]


# Whether two windows may be held against each other: equal length, equal age.

_ATTRIBUTION_DAYS = 5
"""Klaviyo's default, where a frame does not tell its account's setting."""


def equal_footing(before: pd.DataFrame, after: pd.DataFrame, allow_unequal: bool) -> list[str]:
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
        told = f"The two windows have different lengths ({days[0]:g} and {days[1]:g} days)"
        if not allow_unequal:
            raise ArgumentError(f"{told}: compare windows of equal length, or say allow_unequal=True.")
        notes.append(f"{told}: rates can be compared, sums cannot.")
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
    """Days from a window's end to the asking; NaN where that is not told."""
    asked = frame.attrs.get("fetched_at")
    if not isinstance(asked, str):
        return float("nan")
    return float((pd.Timestamp(asked) - end) / pd.Timedelta(days=1))


# Is the difference real? Two periods or several groups side by side: rates with intervals, money without a claim.

WHY_NO_SIGNIFICANCE = (
    "Klaviyo reports sums of money, not single orders: without their spread nobody can tell a change from chance."
)


def compare_rates(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    rate: str = "click_rate",
    by: Sequence[str] | str | None = None,
    confidence: float = 0.95,
    provisional: Literal["mark", "drop"] = "mark",
    allow_unequal: bool = False,
) -> pd.DataFrame:
    """Hold the rates of two periods against each other, one row per group of either.

    Rows are summed per group first (`sum_trials`), groups matched by ids; names are those of the later period. Partial
    intervals are left out, provisional ones marked in the result.

    Parameters
    ----------
    before, after : DataFrame
        Values or series frames of two windows.
    rate : str
        A rate of the catalogue; its denominator is read off the rows.
    by : sequence of str, optional
        Group columns; left out: all groupings that both frames have.
    confidence : float
        Of the interval.
    provisional : {"mark", "drop"}
        What to do with intervals younger than the attribution window.
    allow_unequal : bool
        Whether windows of different length may be compared; rates bear it, but weekdays then differ.

    Returns
    -------
    DataFrame
        ``by``, ``numerator_before, denominator_before`` (Int64), ``rate_before``, the same ``_after``, ``difference,
        low, high`` (fractions), ``p_value, q_value`` (over all rows), ``verdict`` (one of `VERDICTS`), ``sample``
        (words), ``is_provisional`` (bool). A group of one period only, or with counts that cannot be (more successes
        than trials), keeps its numbers and is "too few to say". ``attrs``: ``rate, numerator, denominator, evidence,
        notes``.

    Raises
    ------
    ArgumentError
        Missing columns, no rate, or windows of different length.
    """
    if provisional not in ("mark", "drop"):
        raise ArgumentError(f'provisional is {provisional!r}: give "mark" or "drop".')
    notes = equal_footing(before, after, allow_unequal)
    columns = _columns(before, after, by)
    parts = _parts(rate, [before, after])
    keys = without_names(columns)
    sides = [
        sum_trials(frame, rate, parts, keys, provisional=provisional, what=f"compare_rates ({period})")
        for period, frame in (("before", before), ("after", after))
    ]
    joined = sides[0].counts.merge(sides[1].counts, on=keys, how="outer", suffixes=("_before", "_after"), sort=False)
    young = joined[["is_provisional_before", "is_provisional_after"]].fillna(False).astype(bool).any(axis=1)
    table = _judged(joined, confidence, "before", "after", notes).assign(is_provisional=young.to_numpy())
    names = pd.concat([sides[1].names, sides[0].names], ignore_index=True).drop_duplicates(keys)
    table = joined[keys].merge(names, on=keys, how="left").join(table)
    table = table[[*columns, *(c for c in table.columns if c not in names.columns)]]
    table.attrs = _attrs(after, rate, parts, [*notes, *sides[0].notes, *sides[1].notes])
    return table


def compare_groups(
    frame: pd.DataFrame,
    *,
    rate: str = "click_rate",
    by: Sequence[str] | str = ("flow_id",),
    reference: str | Sequence[str] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Hold flows, messages or any groups of one frame against each other.

    Parameters
    ----------
    frame : DataFrame
        A values or series frame.
    by : sequence of str
        Group columns.
    reference : str or sequence of str, optional
        The ids (without names) of the group that the others are compared with; left out: each against all others.

    Returns
    -------
    DataFrame
        As `compare_rates`: ``_before`` is the reference (or all others), ``_after`` the group itself.

    Raises
    ------
    ArgumentError
        Missing columns, no rate, or no such reference.
    """
    columns = [by] if isinstance(by, str) else list(by)
    keys = without_names(columns)
    parts = _parts(rate, [frame])
    side = sum_trials(frame, rate, parts, keys, provisional="mark", what="compare_groups")
    counts = side.counts
    measured = counts[["numerator", "denominator"]]
    if reference is None:
        others = measured.sum() - measured.fillna(0)
    else:
        wanted = [reference] if isinstance(reference, str) else list(reference)
        here = (counts[keys].astype("str") == wanted).all(axis=1) if len(wanted) == len(keys) else np.zeros(0, bool)
        if not np.any(here):
            raise ArgumentError(f"No group of {', '.join(keys)} is {', '.join(wanted)}: choose one that the frame has.")
        others = pd.DataFrame(
            np.repeat(measured[here].to_numpy(), len(counts), axis=0), columns=measured.columns, index=counts.index
        )
        others[here] = np.nan
    joined = counts[keys].join(others.add_suffix("_before")).join(measured.add_suffix("_after"))
    notes = list(side.notes)
    label = "all others" if reference is None else "reference"
    table = _judged(joined, confidence, label, "here", notes).assign(is_provisional=counts["is_provisional"])
    table = counts[keys].merge(side.names, on=keys, how="left").join(table)
    table = table[[*columns, *(c for c in table.columns if c not in side.names.columns)]]
    table.attrs = _attrs(frame, rate, parts, notes)
    return table


def compare_money(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    statistic: str = "conversion_value",
    by: Sequence[str] | str | None = None,
    allow_unequal: bool = False,
) -> pd.DataFrame:
    """Put sums of two periods side by side: the difference is shown, significance is not claimed.

    Returns
    -------
    DataFrame
        ``by``, ``before, after, difference`` (in the statistic's unit), ``change`` (fraction of before; NaN where that
        is zero), ``why`` (str: why there is no verdict). A group of one period only has NaN in the other, never 0.

    Raises
    ------
    ArgumentError
        Missing columns, a rate (see `compare_rates`), or windows of different length.
    """
    if statistic in STATISTICS and STATISTICS[statistic].kind == "rate":
        raise ArgumentError(f"{statistic} is a rate: compare_rates tells whether its change is real.")
    notes = equal_footing(before, after, allow_unequal)
    columns = _columns(before, after, by)
    keys = without_names(columns)
    sides = []
    for period, frame in (("before", before), ("after", after)):
        rolled = roll_up(frame, by=keys)
        require_columns(rolled, [statistic], f"compare_money ({period})")
        sides.append(rolled[[*keys, statistic]].rename(columns={statistic: period}))
    table = sides[0].merge(sides[1], on=keys, how="outer", sort=False)
    table[["before", "after"]] = table[["before", "after"]].astype("float64")
    table["difference"] = table["after"] - table["before"]
    with np.errstate(divide="ignore", invalid="ignore"):
        table["change"] = np.where(table["before"] != 0, table["difference"] / table["before"], np.nan)
    table["why"] = pd.Series(WHY_NO_SIGNIFICANCE, index=table.index, dtype="str")
    for name in (c for c in columns if c not in keys):
        told = pd.concat([f[[*keys, name]] for f in (after, before) if name in f.columns]).drop_duplicates(keys)
        table = table.merge(told, on=keys, how="left")
    table = table[[*columns, "before", "after", "difference", "change", "why"]]
    table.attrs = {**after.attrs, "statistic": statistic, "notes": notes, "why_no_significance": WHY_NO_SIGNIFICANCE}
    return table


# --- steps --------------------------------------------------------------------------------------------------------


def _judged(joined: pd.DataFrame, confidence: float, first: str, second: str, notes: list[str]) -> pd.DataFrame:
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
    found = rate_difference(a, n1, b, n2, confidence=confidence)
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
            "sample": pd.array([f"{first} {s}; {second} {t}" for s, t in zip(*texts, strict=True)], dtype="str"),
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


def _parts(rate: str, frames: Sequence[pd.DataFrame]) -> Parts:
    if rate not in STATISTICS or STATISTICS[rate].kind != "rate":
        rates = ", ".join(name for name, entry in STATISTICS.items() if entry.kind == "rate")
        raise ArgumentError(f"{rate!r} is no rate: give one of {rates}; for sums and money there is compare_money.")
    shared = [
        c for c in frames[0].columns if all(c in f.columns for f in frames) and c in {*STATISTICS, "send_channel"}
    ]
    return parts_of(pd.concat([f[shared] for f in frames], ignore_index=True), rate, "The comparison")


def _attrs(frame: pd.DataFrame, rate: str, parts: Parts, notes: list[str]) -> dict[Any, Any]:
    return {**frame.attrs, "rate": rate, **vars(parts), "notes": [*frame.attrs.get("notes", []), *notes]}
