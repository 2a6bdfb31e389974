"""Limits that a series keeps to while nothing happens: for rates with changing volume, and for counts.

Rates: Laney's p′ chart (Quality Engineering 14, 2002). A plain p-chart knows the noise of counting only; real rates
also vary from day to day, so its limits are too narrow and everything is an alarm. Laney takes this overdispersion from
the moving ranges of the standardised points and widens the limits by it (never narrows them). Where few events are
expected the limits are those of the binomial, as the normal's would be wrong at both ends. Counts: the same with the
Poisson; daily counts are held against the mean of their weekday, or every Sunday would be a signal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import groupings_of, keep_names, require_columns
from flowperf_helpers.stats.rate_parts import (
    Codes,
    Columns,
    Floats,
    Parts,
    any_of,
    bare,
    group_rows,
    parts_of,
    without_names,
)

__all__ = ["LEAST_INTERVALS", "RUN", "WIDTH", "control_limits", "overdispersion"]

WIDTH = 3.0
RUN = 8
LEAST_INTERVALS = 8
_PER_RANGE = 1.128  # mean moving range of two, in standard deviations
_NORMAL_FROM = 25.0
_WEEKDAY_FROM = 21
_WEEKDAYS = 3
_LEAST_FOR_RUNS = 4.0

Bools = npt.NDArray[np.bool_]


def control_limits(
    series: pd.DataFrame,
    *,
    rate: str | None = None,
    count: str | None = None,
    by: Sequence[str] | str | None = None,
) -> pd.DataFrame:
    """Control limits of one statistic, per group and interval.

    Points outside, and `RUN` or more in a row on one side of the centre, are signals. Partial and provisional intervals
    are never tested; intervals without a row or without sends are gaps, and a run does not go across a gap.

    Parameters
    ----------
    series : DataFrame
        Of a series report; of what `roll_up` made, where the rate's denominator is still among its sums.
    rate, count : str
        The statistic; exactly one of the two. Money is none: its spread is not known.
    by : sequence of str, optional
        Groups; left out: all groupings of the frame.

    Returns
    -------
    DataFrame
        ``by``, ``interval_start``, ``value``, ``numerator, denominator`` (float64; NaN for counts), ``centre, lower,
        upper, z`` (float64; NaN where fewer than `LEAST_INTERVALS` could be used), ``is_signal`` (bool), ``reason``
        (str: what is out, or why it was not tested), ``is_tested`` (bool); sorted by group and time.

    Raises
    ------
    ArgumentError
        Neither or both of ``rate`` and ``count``, another kind of statistic, missing columns, or sums over channels on
        some of which the rate means nothing.
    """
    statistic = _one_of(rate, count)
    if statistic in series.attrs.get("narrower", []):
        raise ArgumentError(
            f"These rows are sums over channels, and {statistic} means nothing on some of them: its denominator is no "
            "longer in the sums. Give control_limits the rows of the report, with by= for the groups wanted."
        )
    columns = _groups(series, by)
    table, code, position = counted(series, statistic, columns)
    x, n, tested = table["numerator"].to_numpy(), table["denominator"].to_numpy(), table["is_tested"].to_numpy()
    groups = int(code.max()) + 1 if len(code) else 0
    enough = np.bincount(code[tested], minlength=groups) >= LEAST_INTERVALS
    tested = tested & enough[code]
    used = tested.copy()
    for _ in range(2):  # the second time without what was out the first time
        expected, spread = (_rates if rate else _counts)(x, n, code, used, groups, table["interval_start"])
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = np.where(spread > 0, (x - expected) / spread, 0.0)
        wide = np.maximum(1.0, overdispersion(raw, code, used, groups))[code]
        lower, upper = _limits(expected, spread, wide, n)
        out = tested & ((x < lower - 1e-9) | (x > upper + 1e-9))
        used = tested & ~out
    scale = n if rate else np.ones(len(x))
    known = enough[code] if len(code) else np.zeros(0, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        table["value"] = x / scale
        for name, values in (("centre", expected), ("lower", lower), ("upper", upper)):
            table[name] = np.where(known & (scale > 0), values / scale, np.nan)
        table["z"] = np.where(known, raw / wide, np.nan)
    side = np.where(spread**2 >= _LEAST_FOR_RUNS, np.sign(raw), 0.0)  # rare events lie below their mean most days
    runs, since = _runs(side, code, position, tested)
    starts = table["interval_start"].dt.strftime("%Y-%m-%d").to_numpy(dtype=object)
    table["is_signal"] = out | runs
    table["reason"] = pd.array(
        _reasons(table, x, upper, out, runs, starts[since], enough[code] if len(code) else known), "str"
    )
    table["is_tested"] = tested
    if count:
        table[["numerator", "denominator"]] = np.nan
    order = [*columns, "interval_start", "value", "numerator", "denominator", "centre", "lower", "upper", "z",
             "is_signal", "reason", "is_tested"]  # fmt: skip
    table = table[order]
    table.attrs = {**series.attrs, "statistic": statistic}
    return table


def counted(
    series: pd.DataFrame, statistic: str, columns: Sequence[str], parts: Parts | None = None
) -> tuple[pd.DataFrame, Codes, Codes]:
    """Sum a statistic's counts per group and interval, sorted; with group numbers and places among all intervals.

    The frame has ``columns``, ``interval_start, numerator, denominator`` (of a count: itself and 1), ``is_partial,
    is_provisional, is_tested``. ``parts`` of a rate, left out, are read off the rows.
    """
    series = bare(series)
    is_rate = STATISTICS[statistic].kind == "rate"
    if is_rate:
        parts = parts or parts_of(series, statistic, "The control chart")
    else:
        require_columns(series, [statistic], "The control chart")
    table, code, rows = intervals(series, columns)
    x, n = Columns(series).sums(statistic, parts, rows, len(table))
    table["numerator"], table["denominator"] = x, n
    table["is_tested"] = usable(table, x, n) & ((x <= n) | (not is_rate))
    labels = pd.DatetimeIndex(series["interval_start"].drop_duplicates().sort_values())
    return table, code, labels.get_indexer(pd.DatetimeIndex(table["interval_start"]))


def intervals(series: pd.DataFrame, columns: Sequence[str]) -> tuple[pd.DataFrame, Codes, Codes]:
    """Groups and their intervals, sorted, with ``is_partial, is_provisional``; the number of each one's group.

    The last array is the place in that frame of each row of the series.
    """
    require_columns(series, [*columns, "interval_start"], "The control chart")
    keys = without_names(columns)
    rows, table = group_rows(series, [*keys, "interval_start"], sort=True)
    for flag in ("is_partial", "is_provisional"):
        table[flag] = any_of(series, flag, rows, len(table))
    names = [c for c in columns if c not in keys]
    if names:
        table = table.merge(series[[*keys, *names]].drop_duplicates(keys, keep="last"), on=keys, how="left")
    return table, table.groupby(keys, dropna=False, sort=False).ngroup().to_numpy(), rows


def usable(table: pd.DataFrame, x: Floats, n: Floats) -> Bools:
    """Intervals that are over and settled, with counts that can be."""
    soft = table["is_partial"].to_numpy() | table["is_provisional"].to_numpy()
    return np.asarray(np.isfinite(x) & (n > 0) & (x >= 0) & ~soft, dtype=bool)


def overdispersion(z: Floats, code: Codes, used: Bools, groups: int) -> Floats:
    """Laney's sigma-z per group: mean moving range of the standardised points over 1.128; 1 where there is none."""
    values, groups_of = z[used], code[used]
    ranges = np.abs(np.diff(values))
    same = np.diff(groups_of) == 0
    total = np.bincount(groups_of[1:][same], ranges[same], groups)
    pairs = np.bincount(groups_of[1:][same], minlength=groups)
    return np.where(pairs > 0, total / np.maximum(pairs, 1) / _PER_RANGE, 1.0)


# --- steps --------------------------------------------------------------------------------------------------------


def _one_of(rate: str | None, count: str | None) -> str:
    if (rate is None) == (count is None):
        raise ArgumentError('Give control_limits one statistic: rate="click_rate", say, or count="recipients".')
    statistic = str(rate or count)
    kinds = ("rate",) if rate else ("count", "unique")
    if statistic not in STATISTICS or STATISTICS[statistic].kind not in kinds:
        fitting = ", ".join(name for name, s in STATISTICS.items() if s.kind in kinds)
        raise ArgumentError(f"{statistic!r} is not a {kinds[0]} of the catalogue: give one of {fitting}.")
    return statistic


def _groups(series: pd.DataFrame, by: Sequence[str] | str | None) -> list[str]:
    columns = groupings_of(series) if by is None else [by] if isinstance(by, str) else list(by)
    columns = [c for c in columns if by is not None or not c.startswith("tag_")]
    if not columns:
        raise ArgumentError("control_limits needs at least one group column, such as flow_id.")
    return columns + (keep_names(series, columns) if by is None else [])


def _rates(x: Floats, n: Floats, code: Codes, used: Bools, groups: int, starts: pd.Series) -> tuple[Floats, Floats]:
    """Return expected counts and their binomial standard deviation."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.bincount(code[used], x[used], groups) / np.bincount(code[used], n[used], groups)
        p = share[code]
        return n * p, np.sqrt(n * p * (1 - p))


def _counts(x: Floats, n: Floats, code: Codes, used: Bools, groups: int, starts: pd.Series) -> tuple[Floats, Floats]:
    """Return the mean (of the weekday, where intervals are days) and its Poisson standard deviation."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.bincount(code[used], minlength=groups)
        mean = np.bincount(code[used], x[used], groups) / size
    expected = mean[code]
    steps = starts.drop_duplicates().sort_values().dt.tz_localize(None).diff().dropna()
    if len(steps) and steps.median() == pd.Timedelta(days=1):
        day = code * 7 + starts.dt.day_of_week.to_numpy()
        held = np.bincount(day[used], minlength=groups * 7)
        own = np.bincount(day[used], x[used], groups * 7)[day] / np.maximum(held[day], 1)
        expected = np.where((size[code] >= _WEEKDAY_FROM) & (held[day] >= _WEEKDAYS), own, expected)
    return expected, np.sqrt(expected)


def _limits(expected: Floats, spread: Floats, wide: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return limits as counts: the normal's, or the discrete distribution's where few events are expected."""
    from scipy import stats

    lower, upper = np.maximum(0.0, expected - WIDTH * wide * spread), expected + WIDTH * wide * spread
    few = np.isfinite(expected) & (spread**2 < _NORMAL_FROM)
    tail = stats.norm.sf(WIDTH * wide[few])
    rates = np.nan_to_num(n[few]) > 1
    e, m = expected[few], np.maximum(n[few], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.clip(e / m, 0.0, 1.0)
    p = np.where(rates, p, 0.0)
    low = np.where(rates, stats.binom.ppf(tail, m, p), stats.poisson.ppf(tail, e))
    high = np.where(rates, stats.binom.isf(tail, m, p), stats.poisson.isf(tail, e))
    lower[few], upper[few] = np.maximum(low, 0.0), np.maximum(high, 0.0)
    return lower, np.where(n > 1, np.minimum(upper, n), upper)


def _runs(side: Floats, code: Codes, position: Codes, tested: Bools) -> tuple[Bools, Codes]:
    """Rows from the eighth on that stand in a run on one side, and the row each run began at."""
    if not len(side):
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=np.intp)
    fresh = np.ones(len(side), dtype=bool)
    fresh[1:] = (
        (np.diff(code) != 0) | (np.diff(position) != 1) | (np.diff(side) != 0) | ~tested[1:] | ~tested[:-1]
        | (side[1:] == 0)
    )  # fmt: skip
    begun = np.maximum.accumulate(np.where(fresh, np.arange(len(side)), 0))
    return tested & (np.arange(len(side)) - begun + 1 >= RUN), begun


def _reasons(
    table: pd.DataFrame,
    x: Floats,
    upper: Floats,
    out: Bools,
    runs: Bools,
    since: npt.NDArray[np.object_],
    enough: Bools,
) -> npt.NDArray[np.object_]:
    above = table["value"].to_numpy() > table["centre"].to_numpy()
    run = np.array([f"{RUN} or more in a row {'above' if a else 'below'} the centre, since {s}"
                    for a, s in zip(above, since, strict=True)], dtype=object)  # fmt: skip
    empty = ~np.isfinite(x) | ~(table["denominator"].to_numpy() > 0)
    partial, provisional = table["is_partial"].to_numpy(), table["is_provisional"].to_numpy()
    cases = {
        "above the upper limit": out & (x > upper),
        "below the lower limit": out,
        "run": runs,
        "partial": partial,
        "provisional": provisional,
        "nothing sent": empty,
        "too few intervals": ~enough,
    }
    words = [run if name == "run" else name for name in cases]
    return np.select(list(cases.values()), words, "").astype(object)
