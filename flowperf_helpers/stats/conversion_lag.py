"""How much of a day's final conversions is in after 0, 1, 2 … days, and where recent days will end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import group_keys, numbers, require_columns, row_keys, statistics_of

__all__ = [
    "arrival_chances",
    "at_equal_age",
    "completeness_curve",
    "forecast",
    "linked_ages",
    "overdispersion",
    "share_errors",
]


# Counts known only at some ages: the chance of each age of arrival, its errors, and how far days scatter around it.
#
# What arrived between two snapshots is interval-censored, and nothing of an interval is seen beyond its last snapshot
# (right truncation). The estimate is the one of maximum likelihood (Turnbull, JRSS B 38, 1976), found by EM; ages
# are given by their place in a sorted list, the last of which is final.

Floats = npt.NDArray[np.float64]

_STEPS, _CLOSE = 5000, 1e-9


def linked_ages(pairs: npt.NDArray[np.int64], final: int) -> list[int]:
    """Ages that a chain of snapshots ties to the final age, sorted; of any other age nothing can be learned.

    ``pairs`` [pair, 2] are the ages of consecutive snapshots of some interval.
    """
    links = {(int(a), int(b)) for a, b in pairs}
    tied, grown = {final}, True
    while grown:
        more = {age for link in links if tied & set(link) for age in link} - tied
        tied, grown = tied | more, bool(more)
    return sorted(tied)


def arrival_chances(cells: npt.NDArray[np.int64], seen: Floats, truncated: Floats) -> Floats:
    """Estimate the chance of each age by EM.

    Parameters
    ----------
    cells : array of int64 [2, span]
        Places of the ages between which something was counted: after ``cells[0]`` (−1: from the beginning), up to and
        with ``cells[1]``.
    seen : array of float64 [span]
        How much arrived in each span.
    truncated : array of float64 [age]
        How much was seen in all of intervals whose oldest snapshot had that age: later arrivals cannot be in it.

    Returns
    -------
    array of float64 [age]
        Adds up to 1.
    """
    size = len(truncated)
    ages = np.arange(size)
    member = ((ages > cells[0][:, None]) & (ages <= cells[1][:, None])).astype(np.float64)
    mass = np.full(size, 1.0 / size)
    for _ in range(_STEPS):
        inside, known = member @ mass, np.cumsum(mass)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(seen > 0, seen / inside, 0.0)
            beyond = np.where(truncated > 0, truncated / known, 0.0)
        unseen = np.concatenate([[0.0], np.cumsum(beyond)[:-1]])  # of intervals whose last snapshot was younger
        better = mass * (weight @ member + unseen)
        better /= better.sum()
        moved = np.abs(better - mass).max()
        mass = better
        if moved < _CLOSE:
            break
    return mass


def share_errors(cells: npt.NDArray[np.int64], seen: Floats, truncated: Floats, share: Floats) -> Floats:
    """Standard errors of the shares from the observed information; the last share is 1 by definition."""
    size = len(share)
    step = np.zeros((cells.shape[1], size))
    rows = np.arange(cells.shape[1])
    step[rows, cells[1]] += 1.0
    begun = cells[0] >= 0
    step[rows[begun], cells[0][begun]] -= 1.0
    chance = step @ share
    weight = np.where((seen > 0) & (chance > 0), seen / np.maximum(chance, 1e-12) ** 2, 0.0)
    information = (step * weight[:, None]).T @ step - np.diag(truncated / np.maximum(share, 1e-12) ** 2)
    variance = np.diag(np.linalg.pinv(information[:-1, :-1], hermitian=True))
    return np.append(np.sqrt(np.clip(variance, 0, None)), 0.0)


def overdispersion(
    start: npt.NDArray[Any], lower: npt.NDArray[Any], upper: npt.NDArray[Any], last: npt.NDArray[Any],
    arrived: Floats, share: Floats,
) -> float:  # fmt: skip
    """Pearson's statistic over its degrees of freedom, days around the curve; never under 1 for counts."""
    days: Any = pd.DataFrame({"start": start, "last": last, "lower": lower, "upper": upper, "arrived": arrived})
    days = days.groupby(["start", "last", "lower", "upper"], as_index=False)["arrived"].sum()
    given = days.groupby(["start", "last"])["arrived"].transform("sum").to_numpy()
    cumulated = np.concatenate([share, [0.0]])
    expected = given * (cumulated[days["upper"]] - cumulated[days["lower"]]) / share[days["last"]]
    used = expected >= 1
    freedom = int(used.sum()) - days[used].groupby(["start", "last"]).ngroups - (len(share) - 1)
    if freedom < 1:
        return 1.0
    return max(1.0, float((((days["arrived"] - expected) ** 2)[used] / expected[used]).sum() / freedom))


# Settling: how much of a day's final conversions is in after 0, 1, 2 … days, learned from snapshots at several ages.
#
# Each snapshot shows how many conversions of a day's sends had arrived by then. Two snapshots of one day tell how many
# arrived between two ages; after the last one nothing is seen. The curve is the maximum-likelihood estimate for
# such counts (`flowperf_helpers.stats.conversion_lag`). Where each day was asked every day it equals the chain
# ladder of insurance (Mack, ASTIN Bulletin 23, 1993): development factors pooled over days. Where it was not (a
# report each Monday links age 0 to 7, age 1 to 8 …) it still uses each link for what it says. Errors come from the
# observed information, widened by the scatter of the days around the curve (quasi-likelihood), so that money
# settles by the same rules as counts do.
#
# Ages are whole days since the interval's end; from ``attribution_days`` on a number counts as final.

_SECONDS = 86_400
_FEWEST = 30.0
"""Counts that have to be seen settling before a curve is drawn."""
_Z = 1.959963984540054
_SAME_AGE, _INTERPOLATED = 2 / 24, 2.0
"""Days: how far apart two ages may be and still count as the same, and two answers to interpolate between them."""


def completeness_curve(
    history: pd.DataFrame,
    *,
    statistic: str = "conversions",
    by: str | Sequence[str] = (),
    attribution_days: int = 5,
) -> pd.DataFrame:
    """Share of the final count that is in, by age.

    Parameters
    ----------
    history : DataFrame
        Rows of series frames with ``fetched_at`` (the moment they were asked), ``interval_start`` and ``interval_end``;
        any order, any moment of the request. Of intervals of several lengths, the shortest whole days are used.
    statistic : str, optional
        A column that may be summed over messages.
    by : sequence of str, optional
        One curve per value of these columns, such as ``["send_channel"]``; left out: one for all.
    attribution_days : int, optional
        Age from which on a number is final.

    Returns
    -------
    DataFrame
        ``by`` columns, ``age_days`` (int64, 0 to ``attribution_days``), ``share, low, high`` (fractions, 95 %; NaN
        where nobody knows), ``intervals`` (int64: how many were asked at that age and again; 0: interpolated),
        ``age_exact`` (float64: mean age in days of those snapshots), ``overdispersion`` (float64)::

              age_days     share       low      high  intervals  age_exact  overdispersion
            0        0  0.382391  0.371804  0.393087         40       0.25             1.1

        ``attrs``: ``statistic, attribution_days, interval_days, snapshots`` (how many were used) and ``note``: why
        shares are missing, or is None.

    Raises
    ------
    ArgumentError
        Columns that are missing, or an attribution window that is not 1 to 90 days.
    """
    by = [by] if isinstance(by, str) else list(by)
    require_columns(history, ["interval_start", "interval_end", "fetched_at", statistic, *by], "completeness_curve")
    if not 1 <= attribution_days <= 90:
        raise ArgumentError(f"attribution_days is {attribution_days!r}: Klaviyo's windows have 1 to 90 days.")
    length = _length_days(history)
    interval_days = int(length[length >= 1].min()) if (length >= 1).any() else 1
    links = _links(history[length == interval_days], statistic, by, attribution_days)
    groups: Any = list(links.groupby(by, dropna=False, sort=True, observed=True)) if by else []
    parts = []
    for key, of in groups or [((None,) * len(by), links)]:
        curve = _curve(of, attribution_days)
        for place, name in enumerate(by):
            curve.insert(place, name, pd.Series([key[place]] * len(curve), dtype=history[name].dtype))
        parts.append(curve)
    curve = pd.concat(parts, ignore_index=True)
    unknown = int(curve["share"].isna().sum())
    curve.attrs = {"statistic": statistic, "attribution_days": attribution_days, "interval_days": interval_days}
    curve.attrs |= {"snapshots": int(history["fetched_at"].nunique()), "note": None}
    if unknown:
        curve.attrs["note"] = (
            f"Too few snapshots: the share of {statistic} is not known for {unknown} of {len(curve)} ages. The same "
            f"days have to be asked young and again {attribution_days} days after their end, with {_FEWEST:.0f} "
            f"{statistic} or more in all; so far there are {curve.attrs['snapshots']} snapshots."
        )
    return curve


def forecast(recent: pd.DataFrame, curve: pd.DataFrame, *, statistic: str | None = None) -> pd.DataFrame:
    """Where recent intervals will end, with a 95 % interval.

    Sum rows before forecasting what is wanted (an account's day, a flow's day): limits do not add up.

    Parameters
    ----------
    recent : DataFrame
        Rows of a series with ``interval_start``, ``interval_end`` and the statistic, asked at ``fetched_at`` (a column,
        or in ``attrs``). Intervals as long as the curve's.
    curve : DataFrame
        Of `completeness_curve`.
    statistic : str, optional
        Left out: the curve's.

    Returns
    -------
    DataFrame
        ``recent`` with ``age_days`` (Int64), ``share, final, low, high`` (float64). A settled interval is final as
        it stands; one that still runs, whose number is NA, or whose age the curve does not know has NaN.
        ``attrs["note"]``: the curve's.

    Raises
    ------
    ArgumentError
        Columns that are missing, no moment of the request, or intervals of another length than the curve's.
    """
    from scipy.special import gammaincinv

    statistic = statistic or curve.attrs.get("statistic") or "conversions"
    require_columns(curve, ["age_days", "share", "low", "high", "age_exact", "overdispersion"], "forecast (curve)")
    by = list(curve.columns[: list(curve.columns).index("age_days")])
    require_columns(recent, ["interval_start", "interval_end", statistic, *by], "forecast (recent)")
    window, days = (
        int(curve.attrs.get("attribution_days", curve["age_days"].max())),
        curve.attrs.get("interval_days", 1),
    )
    if len(recent) and (wrong := ~np.isin(_length_days(recent), (0, days))).any():
        raise ArgumentError(
            f"The curve is of intervals of {days} days, and row {int(np.flatnonzero(wrong)[0])} has another length: "
            "ask for a series of the same interval."
        )
    exact = _ages(recent)
    share, error, dispersion = np.full(len(recent), np.nan), np.zeros(len(recent)), np.ones(len(recent))
    apart: Any = recent.groupby(by, dropna=False, observed=True).indices if by else {(): np.arange(len(recent))}
    for key, rows in apart.items():
        mask = np.ones(len(curve), dtype=bool)
        for name, value in zip(by, key if isinstance(key, tuple) else (key,), strict=True):
            mask &= (curve[name].isna() if pd.isna(value) else curve[name] == value).to_numpy(dtype=bool)
        share[rows], error[rows], dispersion[rows] = _read_off(curve[mask], exact[rows], window)
    count = numbers(recent, statistic)
    final = count / share
    known = np.flatnonzero(np.isfinite(final) & (share < 1))
    c, s, e, phi = count[known] + dispersion[known] / 2, share[known], error[known], dispersion[known]
    # what is still to come: negative binomial round the curve (half a count more, as a zero is not proof), as a gamma
    to_come = c * (1 - s) / s
    variance = phi * to_come / s + (c / s**2 * e) ** 2
    shape, scale = to_come**2 / variance, variance / to_come
    out = recent.copy(deep=False)
    out["age_days"] = pd.array(np.where(np.isnan(exact) | (exact < 0), np.nan, np.floor(exact)), dtype="Int64")
    out["share"], out["final"] = share, final
    # arrivals come whole: round outwards, money to what one arrival brings
    unit = 1.0 if statistic in STATISTICS and STATISTICS[statistic].is_count else phi
    for name, quantile, outwards in (("low", 0.025, np.floor), ("high", 0.975, np.ceil)):
        limit = final.copy()
        limit[known] = count[known] + unit * outwards(scale * gammaincinv(shape, quantile) / unit)
        out[name] = limit
    out.attrs = {**recent.attrs, "note": curve.attrs.get("note")}
    return out


def at_equal_age(history: pd.DataFrame, age_days: float) -> pd.DataFrame:
    """Rows as they stood at one age, so that two periods are compared on equal terms.

    Taken is the answer nearest to that age, if it was given within two hours of it. Otherwise each number is
    interpolated between the last answer before and the first after, if these are two days or less apart: conversions
    come ever more slowly, so that a straight line over a longer time says too little.

    Parameters
    ----------
    history : DataFrame
        As for `completeness_curve`.
    age_days : float
        Days since the interval's end; negative while it ran.

    Returns
    -------
    DataFrame
        The history's rows at that age, with ``age_days`` (float64; as asked, or of the interpolation) and
        ``is_interpolated`` (bool), sorted by interval. A row without such answers is left out;
        ``attrs["note"]`` says how many intervals that leaves without any row, or is None.
    """
    require_columns(history, ["interval_start", "interval_end", "fetched_at"], "at_equal_age")
    if not np.isfinite(age_days):
        raise ArgumentError(f"age_days is {age_days!r}: give the days since an interval's end, such as 1.5.")
    keys = row_keys(history)
    rows = history.assign(age_days=_ages(history)).reset_index(drop=True)
    rows["code"] = rows.groupby(keys, dropna=False, sort=False).ngroup()
    rows["apart"] = rows["age_days"] - age_days
    rows = rows.sort_values("apart", kind="stable")
    rows = rows.iloc[rows["apart"].abs().argsort(kind="stable")]
    then = rows[rows["apart"].abs() <= _SAME_AGE].drop_duplicates("code").assign(is_interpolated=False)
    rest = rows[~rows["code"].isin(then["code"])]
    earlier, later = (
        rest[side].drop_duplicates("code").set_index("code") for side in (rest["apart"] < 0, rest["apart"] > 0)
    )
    between = earlier.index.intersection(later.index)
    between = between[(later["apart"][between] - earlier["apart"][between]) <= _INTERPOLATED]
    if len(between):
        then = pd.concat([then, _between(earlier.loc[between], later.loc[between], age_days)])
    then = then.sort_values(["interval_start", *group_keys(history)], kind="stable", ignore_index=True)
    then = then.drop(columns=["code", "apart"])
    bounds = ["interval_start", "interval_end"]
    missed = len(history.drop_duplicates(bounds)) - len(then.drop_duplicates(bounds))
    missing = f"{missed} interval{' was' if missed == 1 else 's were'} not asked about at {age_days:g} days"
    note = f"{missing}, nor just before and after." if missed else None
    then.attrs = {**history.attrs, "note": note}
    return then


def _between(earlier: pd.DataFrame, later: pd.DataFrame, age_days: float) -> pd.DataFrame:
    """Numbers on the line between two answers; whatever is not a number is the earlier one's."""
    part = (-earlier["apart"] / (later["apart"] - earlier["apart"])).to_numpy()
    made = earlier.assign(age_days=age_days, is_interpolated=True)
    made["fetched_at"] = earlier["fetched_at"] + (later["fetched_at"] - earlier["fetched_at"]) * part
    for name in statistics_of(earlier):
        old, new = numbers(earlier, name), numbers(later, name)
        number = old + (new - old) * part
        if STATISTICS[name].is_count:
            number = np.rint(number)
        made[name] = pd.array(number, dtype="Float64").astype(earlier[name].dtype)
    return made.reset_index(names="code")


# --- from snapshots to arrivals -------------------------------------------------------------------------------------


def _length_days(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Length of the intervals in whole days; a day of 23 or 25 hours is one, an hour is none."""
    length = (frame["interval_end"] - frame["interval_start"]).dt.total_seconds() / _SECONDS
    return np.rint(length.to_numpy(dtype=np.float64, na_value=0.0)).astype(np.int64)


def _ages(frame: pd.DataFrame) -> Floats:
    """Age at the request in days; negative while the interval runs."""
    if "fetched_at" in frame.columns:
        asked = frame["fetched_at"]
    elif frame.attrs.get("fetched_at"):
        asked = pd.Series(pd.to_datetime(frame.attrs["fetched_at"], utc=True), index=frame.index)
    else:
        raise ArgumentError("The frame does not tell when it was asked: give it a column fetched_at, or attrs.")
    if not len(frame):
        return np.zeros(0)
    age = (asked.dt.tz_convert("UTC") - frame["interval_end"].dt.tz_convert("UTC")).dt.total_seconds() / _SECONDS
    return age.to_numpy(dtype=np.float64, na_value=np.nan)


def _links(history: pd.DataFrame, statistic: str, by: list[str], window: int) -> pd.DataFrame:
    """One row per group, interval and snapshot that has a neighbour: what had arrived since the one before.

    Columns ``start`` (interval), ``since`` (age of the snapshot before, −1 for none), ``age, last`` (oldest age asked),
    ``count``, ``arrived``, ``exact``, and ``by``.
    """
    exact = _ages(history)
    count = numbers(history, statistic)
    keep = (exact >= 0) & ~np.isnan(count)
    frame = history.loc[keep, by].copy()
    frame["code"] = history.groupby(row_keys(history), dropna=False, sort=False).ngroup().to_numpy()[keep]
    frame["start"] = history["interval_start"].astype("int64").to_numpy()[keep]
    frame["exact"], frame["count"] = exact[keep], count[keep]
    frame["age"] = np.minimum(np.floor(exact[keep]), window).astype(np.int64)
    frame = frame.sort_values(["code", "exact"], kind="stable").drop_duplicates(["code", "age"])
    within = frame.groupby("code", sort=False)
    frame = frame[within["age"].transform("size") > 1]
    within = frame.groupby("code", sort=False)
    frame["since"] = within["age"].shift(fill_value=-1)
    frame["arrived"] = frame["count"] - within["count"].shift(fill_value=0.0)
    frame["last"] = within["age"].transform("last")
    return frame


def _curve(links: pd.DataFrame, window: int) -> pd.DataFrame:
    from scipy.special import expit, logit

    pairs = links.loc[links["since"] >= 0, ["since", "age"]].drop_duplicates().to_numpy()
    nodes = linked_ages(pairs, window)
    links = links[links["age"].isin(nodes)]
    ages = np.arange(window + 1)
    asked = links.groupby("age")
    curve = pd.DataFrame({"age_days": ages, "share": np.nan, "low": np.nan, "high": np.nan})
    curve["intervals"] = asked["start"].nunique().reindex(ages, fill_value=0).to_numpy(dtype=np.int64)
    exact = asked["exact"].mean().reindex(ages)
    exact[window] = float(window)
    curve["age_exact"], curve["overdispersion"] = exact.to_numpy(dtype=np.float64), np.nan
    if len(nodes) < 2 or links["arrived"].sum() < _FEWEST:
        return curve
    place = {age: i for i, age in enumerate(nodes)}
    lower = links["since"].map(place).fillna(-1).to_numpy(dtype=np.int64)
    upper, last = (links[c].map(place).to_numpy(dtype=np.int64) for c in ("age", "last"))
    arrived = links["arrived"].to_numpy(dtype=np.float64)
    cells, cell = np.unique(np.stack([lower, upper]), axis=1, return_inverse=True)
    seen: Floats = np.clip(np.bincount(cell.ravel(), arrived, cells.shape[1]), 0, None)  # corrections are not arrivals
    first = lower == -1
    totals = links.groupby("code")["count"].last().to_numpy()
    truncated: Floats = np.clip(np.bincount(last[first], totals, len(nodes)), 0, None)
    share = np.cumsum(arrival_chances(cells, seen, truncated))
    share[-1] = 1.0
    phi = overdispersion(links["start"].to_numpy(), lower, upper, last, arrived, share)
    error = np.sqrt(phi) * share_errors(cells, seen, truncated, share)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = error / (share * (1 - share))
        bounds = [expit(logit(share) + z * spread) for z in (-_Z, _Z)]
    between = (ages >= nodes[0]) & (ages <= window)
    for name, values in (("share", share), ("low", bounds[0]), ("high", bounds[1])):
        values = np.where(share >= 1, 1.0, np.where(share <= 0, 0.0, values))
        curve[name] = np.where(between, np.interp(ages, nodes, values), np.nan)
    curve["age_exact"] = np.where(between, np.interp(ages, nodes, exact[nodes].to_numpy(dtype=np.float64)), np.nan)
    curve["overdispersion"] = phi
    return curve


def _read_off(curve: pd.DataFrame, age: Floats, window: int) -> tuple[Floats, Floats, Floats]:
    """Share, its standard error and the overdispersion at exact ages, on the curve between its ages."""
    known = curve[curve["share"].notna()].sort_values("age_exact")
    if known.empty:
        return np.where(age >= window, 1.0, np.nan), 0.0 * age, np.ones(len(age))
    at, share = known["age_exact"].to_numpy(), known["share"].to_numpy()
    found = np.interp(age, at, share)
    error = np.interp(age, at, (known["high"] - known["low"]).to_numpy() / (2 * _Z))
    youngest = int(known["age_days"].min())
    found = np.where(age >= window, 1.0, np.where((age >= youngest) & (found > 0), found, np.nan))
    return found, error, np.full(len(age), float(known["overdispersion"].iloc[0]))
