"""Two reports of one window held together: the values against the sum of the series, and what may explain a gap."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flowperf_helpers.catalog import STATISTICS
from flowperf_helpers.columns import group_keys, keep_names, numbers, require_columns, row_keys
from flowperf_helpers.errors import ArgumentError

__all__ = ["reconcile"]

_TAGS = ("tag_id", "tag_name")
_SPLITS = ("variation", "variation_name", "text_message_format", *_TAGS)
_SMALLEST = {"count": 0.5, "money": 0.005, "credits": 0.005}


def reconcile(values: pd.DataFrame, series: pd.DataFrame, *, tolerance: float = 0.005) -> pd.DataFrame:
    """Hold a values report against the sum of a series, per group and statistic that may be summed over time.

    Where ``values`` tells its window, only the intervals that lie inside it are summed. A group without sends stands in
    one report as zeros and in the other not at all: that agrees.

    Parameters
    ----------
    values, series : DataFrame
        Of the same window; rows finer in one of them are summed up to the groupings they share, and rows that a second
        tag repeats count once.
    tolerance : float, optional
        As a fraction of the larger of the two; half a count or half a cent is always allowed.

    Returns
    -------
    DataFrame
        Groupings both have (with names), ``statistic`` (str), ``values, series_sum, difference`` (series less values;
        float64, NaN where one side is not known), ``agrees`` (bool), ``reasons`` (str: what may explain it, likeliest
        first; empty where they agree).

    Raises
    ------
    ArgumentError
        Columns that are missing, no statistic in common, or a negative tolerance.
    """
    if not tolerance >= 0:
        raise ArgumentError(f"tolerance is {tolerance!r}: give a fraction of 0 or more, such as 0.005.")
    require_columns(values, ["flow_id"], "reconcile (values)")
    require_columns(series, ["flow_id", "interval_start"], "reconcile (series)")
    keys = [k for k in group_keys(values) if k in group_keys(series) and k not in _TAGS]
    additive = [
        n for n, s in STATISTICS.items() if s.additive_over_time and n in values.columns and n in series.columns
    ]
    if not additive:
        raise ArgumentError(
            "The two frames have no statistic in common that may be summed over time: ask both for counts."
        )
    inside = _inside(values, series)
    left, right = (_long_sums(f, keys, additive) for f in (values, inside))
    joined = left.add_suffix("_values").join(right.add_suffix("_series"), how="outer")
    found = joined.index.to_frame(index=False)
    found = found.astype({k: values[k].dtype for k in keys} | {"statistic": "str"})
    for name in keep_names(values, keys):
        key = next(k for k in keys if keep_names(values, [k]) == [name])
        known = values[[key, name]].dropna().drop_duplicates(key).set_index(key)[name]
        found.insert(list(found.columns).index(key) + 1, name, found[key].map(known).astype("str"))
    v, s = joined["sum_values"].to_numpy(), joined["sum_series"].to_numpy()
    found["values"], found["series_sum"] = v, s
    found["difference"] = s - v
    room = np.array([_SMALLEST.get(STATISTICS[n].unit, 0.0) for n in found["statistic"]], dtype=float)
    near = np.abs(s - v) <= np.fmax(room, tolerance * np.fmax(np.abs(v), np.abs(s)))
    found["agrees"] = near | (np.isnan(v) & ~(s > room)) | (np.isnan(s) & ~(v > room))
    found["reasons"] = _explained(found, values, series, inside)
    return found


def _long_sums(frame: pd.DataFrame, keys: list[str], statistics: list[str]) -> pd.DataFrame:
    if set(_TAGS) & set(frame.columns):  # a second tag repeats the row
        own = [k for k in row_keys(frame) if k not in _TAGS]
        frame = frame.drop_duplicates([*own, *statistics])
    columns = pd.DataFrame({name: numbers(frame, name) for name in statistics})
    groups = [frame[k].reset_index(drop=True) for k in keys]
    sums = columns.groupby(groups, dropna=False, sort=True, observed=True).sum(min_count=1)
    sums.index = pd.MultiIndex.from_frame(sums.index.to_frame(index=False).set_axis(keys, axis=1).astype("object"))
    parts = [sums[name].to_frame("sum") for name in statistics]
    return pd.concat(parts, keys=statistics, names=["statistic"]).reorder_levels([*keys, "statistic"]).dropna()


def _inside(values: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    if "window_start" not in values.columns or values["window_start"].isna().all():
        return series
    start, end = values["window_start"].min(), values["window_end"].max()
    ends = series["interval_end"] if "interval_end" in series.columns else series["interval_start"]
    return series[(series["interval_start"] >= start) & (ends <= end)]


def _explained(found: pd.DataFrame, values: pd.DataFrame, series: pd.DataFrame, inside: pd.DataFrame) -> list[str]:
    """Name the candidate reasons: those with evidence in the frames first, those excluded by it not at all."""
    asked = [f.attrs.get("fetched_at") for f in (values, series)]
    same_moment = asked[0] is not None and asked[0] == asked[1]
    young = bool(inside["is_provisional"].any()) if "is_provisional" in inside.columns else None
    cut = bool(inside["is_partial"].any()) if "is_partial" in inside.columns else None
    if "window_start" in values.columns and "interval_end" in series.columns and len(inside) and len(values):
        edges = (inside["interval_start"].min(), inside["interval_end"].max())
        bounds = (values["window_start"].min(), values["window_end"].max())
        cut = bool(cut) or (not pd.isna(bounds[0]) and edges != bounds)
    split = any((c in values.columns) != (c in series.columns) for c in _SPLITS)
    zones = {f.attrs.get("timezone") for f in (values, series)} - {None}
    weighed = [
        (0 if young and not same_moment else None if young is False or same_moment else 1,
         "recent intervals were still filling between the two askings"),
        (0 if cut else None if cut is False else 1,
         "the intervals do not cover the window exactly, or are cut at an edge"),
        (0 if split else None, "variations or tags split or repeat rows in one of the two"),
        (0 if len(zones) > 1 else None if zones else 2, "the two were read in different time zones"),
        (None if same_moment else 2, "conversions were attributed anew between the two askings"),
        (3, "Klaviyo counts the two reports differently"),
    ]  # fmt: skip
    ranked = [text for rank, text in sorted((w for w in weighed if w[0] is not None), key=lambda w: w[0] or 0)]
    general = "; ".join(t for t in ranked if not t.startswith("conversions"))
    converted = "; ".join(ranked)
    about = found["statistic"].str.startswith("conversion")
    return list(np.where(found["agrees"], "", np.where(about, converted, general)))
