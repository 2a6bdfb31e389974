"""Where a change of a rate came from: who was mailed (mix), and how each message did (within).

The rate of a whole is the mean of its messages' rates, weighted by their shares of the denominator. Between two periods
both move. With bars for the mean of the two periods, Δ for after less before, R for the whole's rate::

    mix_i    = (r̄_i − R̄) · Δs_i        a message above the average got a larger share
    within_i = s̄_i · Δr_i              the message itself did better

Summed over all messages this is the change of R exactly, whichever period is called the first (the midpoint form of
Kitagawa, JASA 50, 1955); measuring the mix against R̄ moves no total, as the shares' changes add up to nothing, and
makes the sign of a single mix effect readable. A message of one period only has no change of rate: it is pure mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import keep_names, require_columns
from flowperf_helpers.stats.rate_parts import (
    Codes,
    Columns,
    Floats,
    Parts,
    bare,
    each_message_once,
    find_denominators,
    group_rows,
    rows_of_both,
)

__all__ = ["decompose"]

_MEASURES = ("share_before", "share_after", "rate_before", "rate_after", "mix_effect", "within_effect", "total_effect")


def decompose(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    rate: str = "click_rate",
    by: str | Sequence[str] = "flow_message_id",
    within: str | Sequence[str] = (),
) -> pd.DataFrame:
    """Split the change of a rate of the whole into a mix and a within effect per message.

    Rows of one key are summed (variations of a message); rows that a tag repeats count once. A row whose numerator or
    denominator is NA, or on whose channel the rate means nothing, is not counted and is named in ``attrs``.

    Parameters
    ----------
    before, after : DataFrame
        Values frames of the two periods, with ``by`` and the counts behind the rate.
    rate : str, optional
        A rate or ratio of the catalogue.
    by : str or sequence of str, optional
        What the whole is split into.
    within : str or sequence of str, optional
        Columns whose groups are wholes of their own, such as ``"flow_id"`` for many flows in one call.

    Returns
    -------
    DataFrame
        Largest total effect (either sign) first, whole by whole: ``within`` and ``by`` columns (with their names where
        the frames have them), ``share_before, share_after, rate_before, rate_after`` (fractions; NaN where nothing was
        delivered), ``mix_effect, within_effect, total_effect`` (float64, in units of the rate), ``is_new, is_gone``
        (bool).
        ``attrs``: ``rate, numerator, denominator, total_before, total_after, change``, the sums ``mix_effect`` and
        ``within_effect`` (None where not known; left out where ``within`` makes several wholes), ``not_counted`` (list
        of dict) and ``notes``.

    Raises
    ------
    ArgumentError
        No rate of the catalogue; columns that are missing; negative counts.

    Examples
    --------
    Every message does better and the whole does worse, because most of the mail moved to the weaker message:

    >>> import pandas as pd
    >>> def week(sent, clicks):
    ...     return pd.DataFrame({"flow_message_id": ["strong", "weak"], "delivered": sent, "clicks_unique": clicks})
    >>> found = decompose(week([9000, 1000], [900, 20]), week([1000, 9000], [110, 270]))
    >>> found.set_index("flow_message_id")[["rate_before", "rate_after"]].round(3).to_dict("index")
    {'strong': {'rate_before': 0.1, 'rate_after': 0.11}, 'weak': {'rate_before': 0.02, 'rate_after': 0.03}}
    >>> {name: round(found.attrs[name], 3) for name in ("change", "mix_effect", "within_effect")}
    {'change': -0.054, 'mix_effect': -0.064, 'within_effect': 0.01}
    """
    by, wholes = ([names] if isinstance(names, str) else list(names) for names in (by, within))
    if not by:
        raise ArgumentError('decompose needs at least one column in by, such as "flow_message_id".')
    keys = [*wholes, *(c for c in by if c not in wholes)]
    parts = _parts(rate, before, after)
    top, bottom = parts.numerator, parts.denominator
    sides, not_counted = {}, []
    for period, frame in (("before", before), ("after", after)):
        require_columns(frame, [*keys, top, bottom], f"decompose ({period})")
        sides[period], left_out = _summed(bare(frame), keys, parts, rate, period)
        not_counted += left_out
    joined = sides["before"].add_suffix("_before").join(sides["after"].add_suffix("_after"), how="outer", sort=True)
    sums = joined.fillna(0.0)
    found = joined.index.to_frame(index=False).astype(
        {k: before[k].dtype if len(before) else after[k].dtype for k in keys}
    )
    found = _named(found, keys, bare(before), bare(after))
    whole, _ = group_rows(found, wholes)
    x0, n0, x1, n1 = (sums[c].to_numpy() for c in ("top_before", "bottom_before", "top_after", "bottom_after"))
    measures, totals = _effects(x0, n0, x1, n1, whole)
    for name in _MEASURES:
        found[name] = measures[name]
    unknown = {}
    for period in sides:  # keys that were there but could not be counted are neither new nor gone
        uncounted = [tuple(row[k] for k in keys) for row in not_counted if row["period"] == period]
        unknown[period] = joined.index.isin(uncounted) if uncounted else np.zeros(len(joined), dtype=bool)
    found["is_new"] = (n0 == 0) & (n1 > 0) & ~unknown["before"]
    found["is_gone"] = (n0 > 0) & (n1 == 0) & ~unknown["after"]
    order = np.lexsort((-np.abs(np.nan_to_num(measures["total_effect"])), whole))
    found = found.iloc[order].reset_index(drop=True)
    for frame in (before, after):
        found.attrs |= {name: frame.attrs[name] for name in ("sandbox", "currency") if name in frame.attrs}
    found.attrs |= {"rate": rate, "numerator": top, "denominator": bottom, "not_counted": not_counted}
    if not wholes:
        found.attrs.update(totals)
    found.attrs["notes"] = _notes({} if wholes else totals, sums, rate, bottom)
    return found


def _parts(rate: str, before: pd.DataFrame, after: pd.DataFrame) -> Parts:
    """What the frames' ``attrs`` say the rate is divided by, else what their rows say."""
    entry = STATISTICS.get(rate)
    if entry is None or not entry.denominators:
        rates = ", ".join(name for name, s in STATISTICS.items() if s.denominators)
        raise ArgumentError(f"{rate!r} is not a rate that can be rebuilt from counts: give one of {rates}.")
    read = find_denominators(rows_of_both(before, after, rate), [rate]).get(rate)
    parts = read or Parts(entry.numerators[0], entry.denominators[0], "")
    known = [frame.attrs.get("denominators", {}).get(rate) for frame in (after, before)]
    return next((replace(parts, denominator=found["denominator"]) for found in known if found), parts)


def _summed(
    frame: pd.DataFrame, keys: list[str], parts: Parts, rate: str, period: str
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return numerator and denominator per key, and the rows that were left out with the reason."""
    frame = each_message_once(frame, keys)
    read = Columns(frame)
    top, bottom = read.numbers(parts.numerator), read.numbers(parts.denominator)
    negative = np.flatnonzero((top < 0) | (bottom < 0))
    if len(negative):
        raise ArgumentError(
            f"Row {negative[0]} of the frame given as {period!r} has a negative {parts.numerator} or "
            f"{parts.denominator}."
        )
    cases = {
        f"{rate} means nothing on this channel": ~read.carries(rate),
        f"{parts.denominator} is not known": np.isnan(bottom),
        f"{parts.numerator} is not known": np.isnan(top),
    }
    reason = np.select(list(cases.values()), list(cases), "").astype(object)
    out = reason != ""
    left_out = [
        {str(k): None if pd.isna(v) else str(v) for k, v in row.items()} | {"period": period, "reason": str(why)}
        for row, why in zip(frame.loc[out, keys].to_dict("records"), reason[out], strict=True)
    ]
    counted = frame[~out]
    codes, groups = group_rows(counted, keys)
    above, below = Columns(counted).sums(rate, parts, codes, len(groups))
    index = pd.MultiIndex.from_frame(groups.astype("object"))
    return pd.DataFrame({"top": above, "bottom": below}, index=index), left_out


def _effects(
    x0: Floats, n0: Floats, x1: Floats, n1: Floats, whole: Codes
) -> tuple[dict[str, Floats], dict[str, float | None]]:
    """Return the measures per row, and the sums over all rows as if they were one whole."""

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(whole, values)[whole] if len(whole) else values, dtype=np.float64)

    with np.errstate(invalid="ignore", divide="ignore"):
        s0, s1 = n0 / total(n0), n1 / total(n1)
        r0, r1 = x0 / n0, x1 / n1
        middle = (total(x0) / total(n0) + total(x1) / total(n1)) / 2
        total0, total1 = (float(x.sum() / n.sum()) if n.sum() else float("nan") for x, n in ((x0, n0), (x1, n1)))
    q0, q1 = np.where(n0 > 0, r0, r1), np.where(n1 > 0, r1, r0)  # one period only: its own rate, so no within effect
    nowhere = (n0 == 0) & (n1 == 0) & ~np.isnan(middle)
    mix = np.where(nowhere, 0.0, ((q0 + q1) / 2 - middle) * (s1 - s0))
    within = np.where(nowhere, 0.0, np.where(np.isnan(middle), np.nan, (s0 + s1) / 2 * (q1 - q0)))
    measures = dict(zip(_MEASURES, (s0, s1, r0, r1, mix, within, mix + within), strict=True))
    totals = {
        "total_before": total0,
        "total_after": total1,
        "change": total1 - total0,
        "mix_effect": float(mix.sum()) if len(mix) else total1 - total0,
        "within_effect": float(within.sum()) if len(within) else total1 - total0,
    }
    return measures, {name: None if np.isnan(value) else value for name, value in totals.items()}


def _named(found: pd.DataFrame, keys: list[str], before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Put names beside their identifiers: the later period's where both have one."""
    for key in keys:
        for name in dict.fromkeys([*keep_names(after, [key]), *keep_names(before, [key])]):
            parts = [f[[key, name]] for f in (after, before) if name in f.columns and key in f.columns]
            known = pd.concat(parts, ignore_index=True).dropna().drop_duplicates(key).set_index(key)[name]
            if name not in keys:
                found.insert(list(found.columns).index(key) + 1, name, found[key].map(known).astype("str"))
    return found


def _notes(totals: dict[str, float | None], sums: pd.DataFrame, rate: str, bottom: str) -> list[str]:
    notes = []
    empty = [period for period in ("before", "after") if totals.get(f"total_{period}", 0.0) is None]
    if empty:
        notes.append(f"Nothing counted in {bottom} {' and '.join(empty)}: the change of {rate} is not known.")
    over = (sums["top_before"] > sums["bottom_before"]) | (sums["top_after"] > sums["bottom_after"])
    if STATISTICS[rate].kind == "rate" and over.any():
        notes.append(f"{int(over.sum())} rows count more successes than {bottom}, which cannot be: look at them first.")
    return notes
