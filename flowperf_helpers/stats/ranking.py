"""Which flows or messages are best? Rates over twelve weeks, shrunk towards their mean, so that luck ranks no one.

The best of many small raw rates is mostly the luckiest. Each rate is the mean of its own counts and of the mean of all,
in the proportion of what either knows (empirical Bayes: Robbins 1956; Efron & Morris, JASA 70, 1975): a beta-binomial
whose mean and spread are found from all rows by moments, precision-weighted and repeated (Kleinman, JASA 68, 1973).
Rates move from week to week, so a row's weeks count for less than their sends do: the variance between its weeks is
found too.

**Which rates do not belong with the others?** Each is held against what all others say a rate of this kind may be.
Rates differ by nature: an account is not an outlier because its rate is not the mean, but because the spread of the
others does not reach it. The log rates of the many are normal with a mean and a spread that are not known; one in ten
may come from a distribution five times as wide, so that they do not widen the band in which they should stand out
(contaminated normal: Tukey 1960). Counts are binomial, with as many trials as the moves between weeks leave them. The
p-value of a row is that of its count among those predicted by the **other** rows (posterior predictive, mid-p; Box,
JRSS A 143, 1980): what is not known of mean and spread is in it, so that few rows make a wide band, as in a t-test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv

from flowperf_helpers.stats.rate_parts import parts_of, sum_rate_parts

__all__ = ["LEAST_ROWS", "RANKED_WEEKS", "Outliers", "find_outliers", "rank_rates", "shrunken_ranking"]

RANKED_WEEKS = 12
"""Weeks that a ranking looks at."""

_RANKED_ROWS = 3
_STEPS = 50

LEAST_ROWS = 5
"""Rows below which nothing can be said of a spread."""

_ODD, _ODD_WIDTH = 0.1, 5.0
_WIDER = 1.15  # the wide distribution takes a part of the many's own ends, so that their spread is found too small
_STEP = 0.02  # of the log rate: rows that differ by less than about two per cent are alike
_REACH = 4.0
_MOST_EVENTS = 1 / _STEP**2
_FIRST_SPREADS = np.geomspace(0.02, 1.6, 19)

Floats = npt.NDArray[np.float64]


def shrunken_ranking(successes: Any, trials: Any, *, weeks: int = RANKED_WEEKS) -> pd.DataFrame:
    """Rank rows by their rate as far as it is known.

    Parameters
    ----------
    successes, trials : array-like [row, week]
        Weekly sums of one rate, oldest first; NaN is "nothing sent". Rows of one kind: flows, or messages.
    weeks : int
        How many of the last weeks count.

    Returns
    -------
    DataFrame
        One row per row, in the order given: ``successes, trials`` (float64, sums), ``raw`` (rate), ``shrunk`` (rate),
        ``low, high`` (its 95 % interval), ``weight`` (share of the row's own counts in it, 0 to 1), ``effective``
        (float64: sends that would tell as much if weeks did not move on their own), ``raw_rank, rank`` (Int64, 1 is the
        highest rate; NA without sends). ``attrs``: ``mean, spread`` (standard deviation of the true
        rates), ``week_sd`` (relative, between weeks) and ``is_shrunk`` (False with fewer than three rows: raw rates).
    """
    x, n = (np.nan_to_num(np.asarray(v, dtype=np.float64))[:, -weeks:] for v in (successes, trials))
    total, sent = x.sum(axis=1), n.sum(axis=1)
    here = sent > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.where(here, total / sent, np.nan)
    week_variance = _between_weeks(x, n)
    # sends that would tell as much if rates stayed the same
    mean, spread = _mean_and_spread(raw[here], _variance_factor(n[here], week_variance), sent[here])
    known = np.full(len(x), np.nan)
    if spread is None:
        shrunk, known = raw.copy(), np.where(here, 1.0, np.nan)
        strength, effective = 1.0, np.where(here, sent, np.nan)
    else:
        inflated = 1 + sent * _variance_factor(n, week_variance) * mean / (1 - mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = sent / inflated
        strength = mean * (1 - mean) / max(spread, 1e-12) - 1
        strength = float(np.clip(strength, 1.0, 1e9))
        known = np.where(here, effective / (effective + strength), np.nan)
        shrunk = np.where(here, known * np.nan_to_num(raw) + (1 - known) * mean, np.nan)
    size = np.where(here, effective + strength, np.nan)
    a, b = np.maximum(shrunk * size, 1e-9), np.maximum((1 - shrunk) * size, 1e-9)
    table = pd.DataFrame(
        {
            "successes": total, "trials": sent, "raw": raw, "shrunk": shrunk,
            "low": betaincinv(a, b, 0.025), "high": betaincinv(a, b, 0.975), "weight": known,
            "effective": effective,
        }
    )  # fmt: skip
    for name, column in (("raw_rank", "raw"), ("rank", "shrunk")):
        table[name] = table[column].rank(ascending=False, method="min").astype("Int64")
    table.attrs = {
        "mean": mean, "spread": float("nan") if spread is None else float(np.sqrt(spread)),
        "week_sd": float(np.sqrt(week_variance)), "is_shrunk": spread is not None,
    }  # fmt: skip
    return table


def rank_rates(weekly: pd.DataFrame, *, rate: str, by: str = "flow_id", weeks: int = RANKED_WEEKS) -> pd.DataFrame:
    """Rank flows or messages of a weekly series, best first.

    Parameters
    ----------
    weekly : DataFrame
        Of a series report; unfinished weeks are left out.
    rate : str
        A rate of the catalogue.
    by : str
        Id column: ``flow_id`` or ``flow_message_id``.
    weeks : int
        How many of the last weeks count.

    Returns
    -------
    DataFrame
        ``by`` and its name, and the columns and ``attrs`` of `shrunken_ranking`; rows without sends are left out.

    Raises
    ------
    ArgumentError
        No rate, or columns that are missing.
    """
    sums = sum_rate_parts(
        weekly, rate, parts_of(weekly, rate, "The ranking"), [by, "interval_start"], what="rank_rates"
    )
    wide = sums.counts.pivot_table(index=by, columns="interval_start", values=["numerator", "denominator"], sort=True)
    if wide.empty:
        none = shrunken_ranking(np.empty((0, weeks)), np.empty((0, weeks)))
        return none.assign(**{by: pd.Series(dtype="str")})
    table = shrunken_ranking(wide["numerator"], wide["denominator"], weeks=weeks)
    attrs = weekly.attrs | table.attrs | {"rate": rate, "weeks": min(weeks, wide["denominator"].shape[1])}
    table.insert(0, by, wide.index.to_numpy())
    names = sums.names.drop(columns="interval_start").drop_duplicates(by, keep="last")
    table = names.merge(table[table["trials"] > 0], on=by).sort_values("rank", kind="stable", ignore_index=True)
    table.attrs = attrs
    return table


def _variance_factor(n: Floats, week_variance: float) -> Floats:
    """Relative variance of a row's rate from its weeks' moves: fewer weeks, more of it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(week_variance * (n**2).sum(axis=1) / n.sum(axis=1) ** 2))


def _between_weeks(x: Floats, n: Floats) -> float:
    """Squared relative standard deviation of a row's weeks around its mean, beyond counting; one number for all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = x.sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True)
        left = 1 - n / n.sum(axis=1, keepdims=True)
        expected = n * rate
        chance = expected * (1 - rate) * left
        used = (expected >= 1) & (chance > 0)
    if not used.any():
        return 0.0
    square, chance, expected = ((x - n * rate) ** 2)[used], chance[used], expected[used]
    # least squares of the excess on expected², with the weight of a binomial's square
    weight = 1 / chance**2
    return float(max((weight * (square - chance) * expected**2).sum() / (weight * expected**4).sum(), 0.0))


def _mean_and_spread(raw: Floats, between: Floats, sent: Floats) -> tuple[float, float | None]:
    """Mean and variance of the true rates; no variance with fewer than three rows."""
    if not len(raw):
        return float("nan"), None
    mean = float((raw * sent).sum() / sent.sum())
    if len(raw) < _RANKED_ROWS or not 0 < mean < 1:
        return mean, None
    spread = mean**2 / 10
    for _ in range(_STEPS):
        noise = mean * (1 - mean) / sent + between * mean**2
        weight = 1 / (spread + noise)
        mean = float((weight * raw).sum() / weight.sum())
        square = weight**2
        freed = (len(raw)) / (len(raw) - 1)
        spread = float(max((square * ((raw - mean) ** 2 * freed - noise)).sum() / square.sum(), 0.0))
    return mean, spread


# --- outliers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outliers:
    """What the rows say of each other.

    Attributes
    ----------
    p_values : array of float64 [row]
        That a row of the same kind as the others has so extreme a count; NaN where nothing was tried.
    middle : float
        Median of the rates of the many.
    low, high : float
        Between which 95 % of the true rates of the many lie.
    """

    p_values: Floats
    middle: float
    low: float
    high: float


def find_outliers(rates: Any, trials: Any) -> Outliers:
    """Hold each row's rate against the distribution of the others'.

    Parameters
    ----------
    rates : array-like of float64 [row]
        NaN takes no part.
    trials : array-like of float64 [row]
        That the rate is worth (``effective`` of `shrunken_ranking`).
    """
    rate, size = (np.asarray(v, dtype=np.float64) for v in (rates, trials))
    used = np.flatnonzero(np.isfinite(rate) & (size > 0))
    p_values = np.full(len(rate), np.nan)
    if len(used) < LEAST_ROWS or not (rate[used] > 0).any():
        return Outliers(p_values, float("nan"), float("nan"), float("nan"))
    n = np.minimum(size[used], _MOST_EVENTS / np.maximum(rate[used], 1e-12))
    x = rate[used] * n
    middle = float(np.log(np.clip(x.sum() / n.sum(), 1e-9, 1.0)))
    log_rate = np.arange(middle - _REACH, min(middle + _REACH, -1e-6), _STEP)
    seen = _likelihood(x, n, log_rate)
    centre = float(np.median(log_rate[seen.argmax(axis=1)]))
    # where mean and spread lie, coarsely, then finely
    means, spreads = centre + np.linspace(-0.5, 0.5, 21), _FIRST_SPREADS
    for points in (31, 0):
        among, odd = _densities(log_rate, means, spreads, 1.0), _densities(log_rate, means, spreads, _ODD_WIDTH)
        each = np.log(np.maximum(seen @ ((1 - _ODD) * among + _ODD * odd).T, 1e-300))
        if points:
            means, spreads = _narrowed(_chances(each.sum(axis=0)), means, spreads, points)
    among = _densities(log_rate, means, spreads, _WIDER)
    without = _chances(each.sum(axis=0) - each)
    predicted = without @ among
    at_most, below = _tails(x, n, log_rate)
    left = (predicted * (at_most + below) / 2).sum(axis=1) / predicted.sum(axis=1)
    p_values[used] = np.minimum(2 * np.minimum(left, 1 - left), 1.0)
    cumulated = np.cumsum(_chances(each.sum(axis=0)) @ among)
    low, half, high = np.exp(np.interp([0.025, 0.5, 0.975], cumulated / cumulated[-1], log_rate))
    return Outliers(p_values, float(half), float(low), float(high))


def _likelihood(x: Floats, n: Floats, log_rate: Floats) -> Floats:
    """Of each log rate, given a row's counts; [row, log rate], the largest is 1."""
    log = x[:, None] * log_rate + (n - x)[:, None] * np.log1p(-np.exp(log_rate))
    return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)))


def _tails(x: Floats, n: Floats, log_rate: Floats) -> tuple[Floats, Floats]:
    """Chance of at most, and of less than, a row's count at each log rate; also for broken counts."""
    from scipy.special import betainc

    x, n, rate = x[:, None], n[:, None], np.exp(log_rate)
    at_most = np.where(x >= n, 1.0, betainc(np.maximum(n - x, 1e-9), x + 1, 1 - rate))
    below = np.where(x <= 0, 0.0, betainc(n - x + 1, np.maximum(x, 1e-9), 1 - rate))
    return at_most, below


def _densities(log_rate: Floats, means: Floats, spreads: Floats, width: float) -> Floats:
    """Distribution of the log rate for each mean and spread, [mean × spread, log rate]."""
    mean, sd = (v.ravel()[:, None] for v in np.meshgrid(means, width * spreads, indexing="ij"))
    density = np.exp(-(((log_rate - mean) / sd) ** 2) / 2)
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def _chances(log: Floats) -> Floats:
    chance = np.exp(log - log.max(axis=-1, keepdims=True))
    return np.asarray(chance / chance.sum(axis=-1, keepdims=True))


def _narrowed(chance: Floats, means: Floats, spreads: Floats, points: int) -> tuple[Floats, Floats]:
    """Finer values of mean and spread where the coarse ones have any chance worth mentioning."""
    table = chance.reshape(len(means), len(spreads))
    ends = []
    for values, chance_of in ((means, table.sum(axis=1)), (np.log(spreads), table.sum(axis=0))):
        some = np.flatnonzero(chance_of > 1e-7)
        step = values[1] - values[0]
        ends.append(np.linspace(values[some[0]] - step, values[some[-1]] + step, points))
    return ends[0], np.exp(np.maximum(ends[1], np.log(_FIRST_SPREADS[0])))
