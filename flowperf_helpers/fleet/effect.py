"""Did the new version of a template help? Each account before and after its own switch, less what the others did then.

An account's effect is the log ratio of its rate after the switch to that before, less the same log ratio, in the same
weeks, of the accounts that did not switch in that time (difference in differences, one comparison per date: an account
that has switched long ago is a control, one that switches meanwhile is not; Callaway & Sant'Anna, J. Econometrics 225,
2021). The accounts' effects are pooled with random effects (DerSimonian & Laird 1986; the spread between accounts is
averaged over its restricted likelihood instead of taken as known), with the covariance that shared controls bring.
What a rate moves by itself from month to month is read off the controls' own log ratios, beyond counting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError, suggest, suggestion
from flowperf_helpers.fleet.compare import Floats, WeeklyCounts, is_sandbox, rate_parts, wide
from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.stats.multiple_testing import correct

__all__ = ["EFFECT_VERDICTS", "template_effect"]

EFFECT_VERDICTS = ("better", "worse", "cannot tell", "not comparable")

_LEAST_BEFORE, _LEAST_AFTER, _LEAST_EVENTS, _LEAST_CONTROLS = 3, 2, 10.0, 3
_HUBER, _STEPS = 1.5, 30
_FALSE_SHARE = 0.03  # of false claims of single accounts: below a page's 5 %, as their variance is estimated too
_COLUMNS = {
    "account": "str", "switched": "str", "before": "str", "weeks_before": "Int64", "weeks_after": "Int64",
    "controls": "Int64",
    **dict.fromkeys(
        ("rate_before", "rate_after", "ratio", "low", "high", "pooled", "pooled_low", "pooled_high", "q_value"),
        "float64",
    ),
    "verdict": "str", "reason": "str",
}  # fmt: skip
_SPREADS = np.concatenate([[0.0], np.geomspace(0.01, 1.0, 30)])

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Cells(WeeklyCounts):
    """A rate's parts by account and week, and which version the template had."""

    share: Floats  # of the trials that went out with the new version; NaN without trials
    before: list[str]


@dataclass(frozen=True)
class _Ratios:
    """Log ratios of all accounts around one date; arrays [account]."""

    log: Floats
    variance: Floats  # of counting
    weights: Floats  # [account, week]: the weeks' shares after, less those before
    is_control: Bools


def template_effect(
    results: pd.DataFrame, *, statistic: str = "click_rate", version: str = "", weeks: int = 8
) -> pd.DataFrame:
    """Before and after a new template version, each account against itself.

    Parameters
    ----------
    results : DataFrame
        Of `flowperf_helpers.fleet.read_results`, with as many weeks before and after as there are. Only flows with a
        ``template_version`` take part; choose among several templates before
        (``results[results["flow_name"] == "Welcome"]``).
    statistic : str
        A rate.
    version : str
        The new one; empty: the one that came last to the fleet.
    weeks : int
        Weeks before and after the switch that count at most.

    Returns
    -------
    DataFrame
        One row per account that has the new version: ``account, switched`` (ISO week of its first sends), ``before``
        (its version until then), ``weeks_before, weeks_after, controls`` (Int64), ``rate_before, rate_after``,
        ``ratio, low, high`` (factor on the rate beyond the controls', 95 % interval), ``pooled, pooled_low,
        pooled_high`` (the same, shrunk towards the fleet's), ``q_value``, ``verdict`` (`EFFECT_VERDICTS`), ``reason``
        (why not comparable). ``attrs["effect"]``: ``ratio, low, high`` (of the whole fleet), ``between_low,
        between_high`` (where 95 % of accounts' effects lie), ``p_value, accounts``; NaN where no account is comparable.

    Raises
    ------
    ArgumentError
        A statistic that is not a rate, a version that no flow has, or no version at all.
    """
    from scipy.special import ndtr

    cells, version = _cells(results, statistic, version)
    has_new = np.nan_to_num(cells.share).max(axis=1, initial=0) > 0
    first = np.where(has_new, (np.nan_to_num(cells.share) > 0).argmax(axis=1), -1)
    groups = {int(date): _ratios(cells, int(date), weeks) for date in np.unique(first[has_new])}
    table = _described(cells, groups, first)
    table.attrs = {
        "sandbox": is_sandbox(results), "statistic": statistic, "version": version, "weeks": weeks,
        "effect": dict.fromkeys(("ratio", "low", "high", "between_low", "between_high", "p_value"), float("nan"))
        | {"accounts": 0},
    }  # fmt: skip
    is_usable = (table["reason"] == "").to_numpy()
    rows = np.flatnonzero(has_new)[is_usable]
    if not len(rows):
        return table
    moves = _move_variance(groups)
    effect, covariance = _effects(cells, groups, rows, first, moves)
    own = np.sqrt(np.diag(covariance))
    fleet = _pooled(effect, covariance)
    known = fleet.between**2 / (fleet.between**2 + own**2)
    middle = fleet.mean + known * (effect - fleet.mean)
    reach = 1.96 * np.sqrt(known * own**2 + (1 - known) ** 2 * fleet.sd**2)
    logs = {
        "ratio": effect, "low": effect - 1.96 * own, "high": effect + 1.96 * own,
        "pooled": middle, "pooled_low": middle - reach, "pooled_high": middle + reach,
    }  # fmt: skip
    for column, values in logs.items():
        table.loc[is_usable, column] = np.exp(values)
    corrected = correct(2 * ndtr(-np.abs(effect) / own), false_share=_FALSE_SHARE)
    table.loc[is_usable, "q_value"] = corrected.q_value
    words = np.where(effect > 0, EFFECT_VERDICTS[0], EFFECT_VERDICTS[1])
    table.loc[is_usable, "verdict"] = np.where(corrected.is_claim, words, EFFECT_VERDICTS[2])
    table.attrs["effect"] = fleet.summary
    return table.sort_values("pooled", ascending=False, kind="stable", ignore_index=True)


# -- who switched when -----------------------------------------------------------------------------------------------


def _cells(results: pd.DataFrame, statistic: str, version: str) -> tuple[_Cells, str]:
    require_columns(results, ["account", "week", "flow_id", "template_version"], "a fleet's results")
    top, bottom = rate_parts(results, statistic)
    known = results["template_version"].fillna("").astype("str")
    rows = results[(known != "") & (results["flow_id"].fillna("") != "")]
    if not len(rows):
        raise ArgumentError("No flow of the results has a template version: tag the flows and run the weeks again.")
    firsts = rows.groupby("template_version")["week"].min().sort_values(kind="stable")
    if version and version not in firsts.index:
        meant = suggestion(suggest(version, list(firsts.index)), list(firsts.index))
        raise ArgumentError(f"No flow of the results has the template version {version!r}: {meant}")
    version = version or str(firsts.index[-1])
    parts = rows[["account", "week", "template_version", top, bottom]].dropna().astype({top: float, bottom: float})
    parts = parts.assign(new=parts[bottom].where(parts["template_version"] == version, 0.0))
    sums = parts.groupby(["account", "week"])[[top, bottom, "new"]].sum()
    weeks = pd.Index(sorted(results["week"].astype("str").unique()))
    accounts = pd.Index(sorted(rows["account"].astype("str").unique()))
    x, n, new = (wide(sums[part], accounts, weeks) for part in (top, bottom, "new"))
    n = np.where(n > 0, n, np.nan)
    old = parts[parts["template_version"] != version].sort_values("week", kind="stable")
    last = old.groupby("account")["template_version"].last()
    before = [str(last.get(account, "")) for account in accounts]
    return _Cells(accounts, weeks, np.minimum(np.nan_to_num(x), np.nan_to_num(n)), n, new / n, before), version


def _ratios(cells: _Cells, date: int, weeks: int) -> _Ratios:
    """Log ratios around a date, of all accounts: those that switch then, and those that keep their version."""
    column = np.arange(len(cells.weeks))
    after = (column >= date) & (column < date + weeks)
    before = (column < date) & (column >= date - weeks)
    there = np.isfinite(cells.trials)
    inside = there & (after | before)
    share = np.where(inside, cells.share, np.nan)
    some = inside.any(axis=1)
    constant = np.zeros(len(share), dtype=bool)
    constant[some] = (np.nanmax(share[some], axis=1) == 0) | (np.nanmin(share[some], axis=1) == 1)
    # weeks in which only some of an account's flows have the new version belong to neither side
    clean = inside & ((cells.share == 0) | (cells.share == 1))
    is_after = clean & after & (constant[:, None] | (cells.share == 1))
    is_before = clean & before & (constant[:, None] | (cells.share == 0))
    n = np.nan_to_num(cells.trials)
    (xa, na), (xb, nb) = (
        ((cells.successes * side).sum(axis=1), (n * side).sum(axis=1)) for side in (is_after, is_before)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (xa + xb) / (na + nb)
        log = np.log((xa + 0.5) / na) - np.log((xb + 0.5) / nb)
        variance = (1 - rate) / rate * (1 / na + 1 / nb)
        weights = np.nan_to_num(n * is_after / na[:, None]) - np.nan_to_num(n * is_before / nb[:, None])
        enough = np.minimum(na, nb) * rate >= _LEAST_EVENTS
    enough &= (is_after.sum(axis=1) >= _LEAST_AFTER) & (is_before.sum(axis=1) >= _LEAST_BEFORE)
    log, variance = np.where(enough, log, np.nan), np.where(enough, variance, np.nan)
    return _Ratios(log, variance, weights, enough & constant)


def _described(cells: _Cells, groups: dict[int, _Ratios], first: npt.NDArray[np.int64]) -> pd.DataFrame:
    """One row per account with the new version; those that can be compared have no reason."""
    rows: list[dict[str, Any]] = []
    for i in map(int, np.flatnonzero(first >= 0)):
        group = groups[int(first[i])]
        there = np.isfinite(cells.trials[i]) & (group.weights[i] != 0)
        after, before = there & (group.weights[i] > 0), there & (group.weights[i] < 0)
        controls = int(group.is_control.sum())
        reason = ""
        if not cells.before[i] or not np.isfinite(cells.trials[i, : first[i]]).any():
            reason = "It had the new version from its first week on: there is no before"
        elif before.sum() < _LEAST_BEFORE or after.sum() < _LEAST_AFTER:
            reason = f"Too few weeks: {before.sum()} before and {after.sum()} after the switch"
        elif not np.isfinite(group.log[i]):
            reason = "Too few recipients: fewer than ten successes expected before or after"
        elif controls < _LEAST_CONTROLS:
            reason = f"Too few accounts kept their version in that time: {controls}, {_LEAST_CONTROLS} are needed"
        rates = [
            float(cells.successes[i, side].sum() / cells.trials[i, side].sum()) if side.any() else float("nan")
            for side in (before, after)
        ]
        rows.append(
            {"account": cells.accounts[i], "switched": cells.weeks[first[i]], "before": cells.before[i],
             "weeks_before": int(before.sum()), "weeks_after": int(after.sum()), "controls": controls,
             "rate_before": rates[0], "rate_after": rates[1],
             "verdict": EFFECT_VERDICTS[3] if reason else EFFECT_VERDICTS[2], "reason": reason}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


# -- effects, their covariance, and their pool ---------------------------------------------------------------------


def _common(group: _Ratios, moves: float) -> tuple[float, Floats]:
    """Robust mean log ratio of the controls, and the weight of each in it."""
    used = group.is_control
    variance = group.variance[used] + moves * (group.weights[used] ** 2).sum(axis=1)
    log, base = group.log[used], 1 / variance
    for _ in range(3):  # no control is more than a third of the mean
        base = np.minimum(base, base.sum() / 3)
    middle, weight = float(np.median(log)), base
    for _ in range(10):
        weight = base * np.minimum(1.0, _HUBER / np.maximum(np.abs(log - middle) / np.sqrt(variance), 1e-9))
        middle = float((weight * log).sum() / weight.sum())
    shares = np.zeros(len(used))
    shares[used] = weight / weight.sum()
    return middle, shares


def _move_variance(groups: dict[int, _Ratios]) -> float:
    """Variance of a week's log rate beyond counting that explains how far the controls' log ratios lie apart."""
    moves = 0.0025
    compared = [g for g in groups.values() if g.is_control.sum() >= _LEAST_CONTROLS]
    for _ in range(_STEPS):
        top = bottom = 0.0
        for group in compared:
            used = group.is_control
            middle, _ = _common(group, moves)
            factor = (group.weights[used] ** 2).sum(axis=1)
            variance = group.variance[used] + moves * factor
            square = np.minimum((group.log[used] - middle) ** 2, 9 * variance)
            freed = used.sum() / (used.sum() - 1)
            weight = factor / variance**2
            top += float((weight * (square * freed - group.variance[used])).sum())
            bottom += float((weight * factor).sum())
        found = max(top / bottom, 0.0) if bottom else moves
        if abs(found - moves) < 1e-7:
            break
        moves = found
    return moves


def _effects(
    cells: _Cells, groups: dict[int, _Ratios], rows: npt.NDArray[np.int64], first: npt.NDArray[np.int64], moves: float
) -> tuple[Floats, Floats]:
    """Log ratios less the controls', and their covariance: every week of every account has a variance of its own."""
    n = np.nan_to_num(cells.trials)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = cells.successes.sum(axis=1) / n.sum(axis=1)
        cell = np.where(n > 0, ((1 - rate) / rate)[:, None] / n + moves, 0.0)
    cell = np.where(np.isfinite(cell), cell, 0.0)
    dates, place = np.unique(first[rows], return_inverse=True)
    means, parts = [], []
    for date in map(int, dates):
        middle, shares = _common(groups[date], moves)
        means.append(middle)
        parts.append(shares[:, None] * groups[date].weights)
    common = np.stack(parts)  # [date, account, week]
    flat = common.reshape(len(dates), -1)
    shared = (flat * cell.ravel()) @ flat.T
    own = np.stack([groups[int(first[i])].weights[i] for i in rows])  # [row, week]
    crossed = np.einsum("rw,drw->rd", own * cell[rows], common[:, rows])
    counted = np.array([groups[int(first[i])].variance[i] for i in rows])
    covariance = shared[np.ix_(place, place)] - crossed[:, place] - crossed[:, place].T
    covariance[np.diag_indices(len(rows))] += counted + moves * (own**2).sum(axis=1)
    effect = np.array([groups[int(first[i])].log[i] for i in rows]) - np.array(means)[place]
    return effect, covariance


@dataclass(frozen=True)
class _Pool:
    """Mean effect with its standard deviation, spread between accounts, and all of it as factors."""

    mean: float
    sd: float
    between: float
    summary: dict[str, float | int]


def _pooled(effect: Floats, covariance: Floats) -> _Pool:
    """Random effects: the mean for each spread between accounts, weighted with the spread's restricted likelihood."""
    from scipy.special import ndtr

    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 1e-12)
    y, one = vectors.T @ effect, vectors.T @ np.ones(len(effect))
    inverse = 1 / (values + _SPREADS[:, None] ** 2)
    precision = inverse @ one**2
    means, sds = (inverse @ (one * y)) / precision, 1 / np.sqrt(precision)
    rest = inverse @ y**2 - precision * means**2
    log = (np.log(inverse).sum(axis=1) - np.log(precision) - rest) / 2
    # half-normal prior: an effect that differs by a factor of two between accounts is rare
    chance = np.exp(log - log.max()) * np.gradient(_SPREADS) * np.exp(-((_SPREADS / 0.3) ** 2) / 2)
    chance = chance / chance.sum()
    # the mean and where accounts lie: mixtures over the spread between accounts
    mean = float(chance @ means)
    sd = float(np.sqrt(chance @ (sds**2 + (means - mean) ** 2)))
    grid = mean + np.linspace(-8, 8, 4001) * max(sd, 1e-9)
    below = chance @ ndtr((grid - means[:, None]) / sds[:, None])
    low, high = np.exp(np.interp([0.025, 0.975], below, grid))
    left = float(np.interp(0.0, grid, below, left=0.0, right=1.0))
    width = np.hypot(sds, _SPREADS)
    lies = mean + np.linspace(-8, 8, 4001) * float(np.sqrt(chance @ width**2))
    among = chance @ ndtr((lies - means[:, None]) / width[:, None])
    between_low, between_high = np.exp(np.interp([0.025, 0.975], among, lies))
    summary = {
        "ratio": float(np.exp(mean)), "low": float(low), "high": float(high),
        "between_low": float(between_low), "between_high": float(between_high),
        "p_value": min(2 * min(left, 1 - left), 1.0), "accounts": len(effect),
    }  # fmt: skip
    return _Pool(mean, sd, float(np.sqrt(chance @ _SPREADS**2)), summary)
