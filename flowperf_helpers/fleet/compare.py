"""How each account does beside the others: rates with pooling, outliers, benchmarks, and what cannot be compared.

Everything reads the results of a fleet's runs (`flowperf_helpers.fleet.read_results`): one row per account × week ×
flow, where the row without a ``flow_id`` is the account's total. **Partial pooling**: an account's rate is the mean of
what its own counts say and of what the fleet says, in the proportion of what either knows (`shrunken_ranking`).
**Outliers** are held against the spread of the fleet itself, not against counting alone (`find_outliers`), after one
correction over all accounts and rates of the table. **Money** is never summed over currencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError, suggest, suggestion
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import count_text, percent_text, statistic_label
from flowperf_helpers.stats.multiple_testing import correct
from flowperf_helpers.stats.ranking import LEAST_ROWS, find_outliers, shrunken_ranking

__all__ = [
    "COMPARED_RATES", "LEAST_EVENTS", "LEAST_WEEKS", "VERDICTS", "benchmark_rates", "compare_accounts",
    "not_comparable", "revenue_by_currency", "unusual_weeks", "weekly_counts",
]  # fmt: skip

COMPARED_RATES = ("open_rate", "click_rate", "conversion_rate", "unsubscribe_rate")
"""Rates that are compared where none are named."""

VERDICTS = ("above the fleet", "below the fleet", "within the fleet", "too few to say")

LEAST_WEEKS = 4
"""Weeks with sends below which an account is not compared, where the results hold as many."""

LEAST_EVENTS = 10.0
"""Successes that the fleet's rate must promise an account before the account can be an outlier or a benchmark."""

OUTLIER_SHARE = 0.02
"""Share of false outliers that is accepted: below a page's 5 %, since the shape of the spread is an assumption."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WeeklyCounts:
    """Both parts of a rate.

    Attributes
    ----------
    accounts, weeks : Index
        Names; ISO weeks in order.
    successes, trials : array of float64 [account, week]
        NaN where nothing was sent or the metric is missing.
    """

    accounts: pd.Index[str]
    weeks: pd.Index[str]
    successes: Floats
    trials: Floats


def compare_accounts(
    results: pd.DataFrame, statistics: Sequence[str] = COMPARED_RATES, *, weeks: int = 8
) -> pd.DataFrame:
    """Rates by account, as they are and as far as they are known, and which accounts stand out.

    Parameters
    ----------
    results : DataFrame
        Of `flowperf_helpers.fleet.read_results`. The accounts' totals are compared where it has them; of chosen flows
        (``results[results["flow_name"] == "Welcome"]``) their sums are.
    statistics : sequence of str
        Rates; they share one correction.
    weeks : int
        How many of the last weeks count.

    Returns
    -------
    DataFrame
        One row per rate × comparable account, the highest pooled rate first: ``account, statistic, successes, trials,
        weeks, raw, raw_low, raw_high, pooled, low, high`` (rates with 95 % intervals; those of ``raw`` reckon with
        moves between weeks), ``weight`` (share of the account's own counts in ``pooled``), ``ratio`` (``raw`` to the
        middle of the fleet), ``p_value, q_value, verdict`` (`VERDICTS`), ``reason`` (why raw and pooled differ).
        ``attrs``: ``sandbox, weeks`` (first and last), ``is_final, fleet`` (per rate: ``middle, low, high`` of the
        accounts' true rates).

    Raises
    ------
    ArgumentError
        A statistic that is not a rate, or a column that is missing.
    """
    from scipy.special import betaincinv

    tables, fleet = [], {}
    for statistic in statistics:
        counts, table = _ranked(results, statistic, weeks)
        size = table["effective"].to_numpy()
        found = find_outliers(np.where(table["is_tested"], table["raw"], np.nan), size)
        table["p_value"], table["ratio"] = found.p_values, table["raw"] / found.middle
        events = table["raw"].to_numpy() * size
        for side, end, error in (("raw_low", 0.0, 0.025), ("raw_high", 1.0, 0.975)):
            limit = betaincinv(np.maximum(events, 0) + 0.5, np.maximum(size - events, 0) + 0.5, error)
            table[side] = np.where(table["raw"] == end, end, limit)
        fleet[statistic] = {"middle": found.middle, "low": found.low, "high": found.high}
        shown = table[table["is_enough"] & (table["trials"] > 0)]
        tables.append(shown.assign(statistic=statistic).sort_values("shrunk", ascending=False, kind="stable"))
    whole = pd.concat(tables, ignore_index=True).rename(columns={"shrunk": "pooled"})
    corrected = correct(whole["p_value"], false_share=OUTLIER_SHARE)
    whole["q_value"] = corrected.q_value
    outside = np.where(whole["ratio"] > 1, VERDICTS[0], VERDICTS[1])
    whole["verdict"] = np.where(
        whole["p_value"].isna(), VERDICTS[3], np.where(corrected.is_claim, outside, VERDICTS[2])
    )
    whole["reason"] = [
        f"{count_text(successes)} of {count_text(trials)} "
        + ("say enough" if own >= 0.95 else f"weigh {percent_text(own)}, the fleet the rest")
        for own, successes, trials in zip(whole["weight"], whole["successes"], whole["trials"], strict=True)
    ]
    last = results["week"].astype("str").isin(counts.weeks)
    whole.attrs = {
        "sandbox": is_sandbox(results),
        "weeks": [str(counts.weeks[0]), str(counts.weeks[-1])] if len(counts.weeks) else [],
        "is_final": bool(results.loc[last, "is_final"].fillna(False).all()) if "is_final" in results else None,
        "fleet": fleet,
    }
    return whole[
        ["account", "statistic", "successes", "trials", "weeks", "raw", "raw_low", "raw_high", "pooled", "low", "high",
         "weight", "ratio", "p_value", "q_value", "verdict", "reason"]
    ]  # fmt: skip


def _ranked(results: pd.DataFrame, statistic: str, weeks: int) -> tuple[WeeklyCounts, pd.DataFrame]:
    """Counts of a rate, and the accounts' pooled ranking with what decides whether they are compared.

    ``weeks`` have numbers, ``is_enough`` says if they are enough, ``events`` are the successes that the fleet's rate
    promises, ``is_tested`` whether both are.
    """
    counts = weekly_counts(results, statistic, weeks=weeks)
    table = shrunken_ranking(counts.successes, counts.trials, weeks=weeks)
    table["account"], table["weeks"] = counts.accounts.astype("str"), _sent(counts)
    table["events"] = table["effective"].fillna(0) * float(table.attrs["mean"])
    table["is_enough"] = table["weeks"] >= min(LEAST_WEEKS, len(counts.weeks))
    table["is_tested"] = table["is_enough"] & (table["events"] >= LEAST_EVENTS)
    return counts, table


def _sent(counts: WeeklyCounts) -> npt.NDArray[np.int64]:
    return np.asarray((np.nan_to_num(counts.trials) > 0).sum(axis=1))


def weekly_counts(results: pd.DataFrame, statistic: str, *, weeks: int) -> WeeklyCounts:
    """Both parts of a rate by account and week: of the totals, or where the results have none, summed over flows.

    Parameters
    ----------
    results, statistic, weeks
        As in `compare_accounts`.
    """
    require_columns(results, ["account", "week", "flow_id"], "a fleet's results")
    top, bottom = rate_parts(results, statistic)
    is_total = results["flow_id"].fillna("") == ""
    chosen = results[is_total] if is_total.any() else results
    all_weeks = pd.Index(sorted(results["week"].astype("str").unique()))[-weeks:]
    # a denominator counts only where the numerator is known: null is not zero
    parts = chosen[["account", "week", top, bottom]].dropna()
    sums = parts.groupby(["account", "week"], observed=True)[[top, bottom]].sum()
    rows = pd.Index(sorted(results["account"].dropna().astype("str").unique()))
    x, n = (wide(sums[part], rows, all_weeks) for part in (top, bottom))
    n = np.where(n > 0, n, np.nan)
    return WeeklyCounts(rows, all_weeks, np.where(np.isnan(n), np.nan, np.minimum(x, n)), n)


def wide(sums: pd.Series, rows: pd.Index, weeks: pd.Index) -> Floats:
    """Sums by account and week as an array; NaN where there are none."""
    every = pd.MultiIndex.from_product([rows, weeks])
    return np.asarray(sums.reindex(every).to_numpy(np.float64, na_value=np.nan)).reshape(len(rows), len(weeks))


def rate_parts(results: pd.DataFrame, statistic: str) -> tuple[str, str]:
    """Numerator and denominator columns of a rate."""
    entry = STATISTICS.get(statistic)
    if entry is None or entry.kind != "rate":
        rates = [s.name for s in STATISTICS.values() if s.kind == "rate"]
        meant = suggestion(suggest(statistic, rates), rates)
        raise ArgumentError(f"{statistic!r} is not a rate that accounts can be compared by: {meant}")
    top = next((c for c in entry.numerators if c in results), None)
    bottom = next((c for c in entry.denominators if c in results), None)
    if top is None or bottom is None:
        wanted = " and ".join(entry.numerators[:1] + entry.denominators[:1])
        raise ArgumentError(f"The results hold no {wanted}, of which {entry.label.lower()} is made.")
    return top, bottom


def is_sandbox(results: pd.DataFrame) -> bool:
    """Whether any number of the results is invented."""
    return bool(results["sandbox"].fillna(False).any()) if "sandbox" in results else False


# What cannot be compared, and why.


def not_comparable(
    results: pd.DataFrame,
    statistics: Sequence[str] = COMPARED_RATES,
    *,
    weeks: int = 8,
    failed: pd.DataFrame | None = None,
    accounts: Sequence[str] = (),
) -> pd.DataFrame:
    """Accounts without a verdict, each with the reason.

    Parameters
    ----------
    results, statistics, weeks
        As in `compare_accounts`.
    failed : DataFrame, optional
        ``account, reason``: accounts whose run failed.
    accounts : sequence of str
        All of the fleet, where the results are those of chosen flows.

    Returns
    -------
    DataFrame
        ``account, statistic`` (NA: all of them), ``reason``; one row per account × rate, failed accounts first.
    """
    rows: list[tuple[str, str | None, str]] = []
    if failed is not None:
        rows += [
            (str(a), None, f"The run failed: {r}") for a, r in zip(failed["account"], failed["reason"], strict=True)
        ]
    gone = {account for account, _, _ in rows}
    missing = sorted({*map(str, accounts)} - gone - {*results["account"].astype("str")})
    rows += [(account, None, "It has no such flow") for account in missing]
    for statistic in statistics:
        counts, ranked = _ranked(results, statistic, weeks)
        ranked["sent"] = _sent(weekly_counts(results, "delivery_rate", weeks=weeks))
        tested = int(ranked["is_tested"].sum())
        for row in ranked[~ranked["account"].isin(gone)].to_dict("records"):
            if not row["sent"]:
                reason = f"Nothing was sent in these {weeks} weeks"
            elif not row["weeks"]:
                reason = f"The metric behind {statistic_label(statistic).lower()} is missing: every week is empty"
            elif not row["is_enough"]:
                least = min(LEAST_WEEKS, len(counts.weeks))
                reason = f"Too few weeks: {row['weeks']} with numbers, {least} are needed"
            elif not row["is_tested"]:
                reason = (
                    f"Too few recipients: about {row['events']:.0f} successes expected, {LEAST_EVENTS:.0f} are needed"
                )
            elif tested < LEAST_ROWS:
                reason = f"Too few accounts to know a spread: {tested}, {LEAST_ROWS} are needed"
            else:
                continue
            rows.append((row["account"], statistic, reason))
    table = pd.DataFrame(rows, columns=["account", "statistic", "reason"], dtype="str")
    table.attrs = {"sandbox": is_sandbox(results)}
    return table


# What is usual in this fleet.


def benchmark_rates(
    results: pd.DataFrame, statistics: Sequence[str] = COMPARED_RATES, *, weeks: int = 8
) -> pd.DataFrame:
    """Quartiles of the accounts' rates by flow type: what is usual in this fleet.

    Accounts whose rate rests on fewer than `LEAST_EVENTS` expected successes take no part, as their luck would
    widen the quartiles.

    Returns
    -------
    DataFrame
        One row per flow type × rate: ``flow_type`` (empty: all flows of an account), ``statistic, accounts`` (Int64),
        ``left_out`` (Int64, too few successes), ``lower_quartile, median, upper_quartile`` (float64; NaN below
        four accounts).
    """
    types = sorted(results["flow_type"].dropna().astype("str").unique()) if "flow_type" in results else []
    rows = []
    for kind in ["", *(t for t in types if t)]:
        for statistic in statistics:
            counts = weekly_counts(results[results["flow_type"] == kind] if kind else results, statistic, weeks=weeks)
            x, n = np.nansum(counts.successes, axis=1), np.nansum(counts.trials, axis=1)
            there = n > 0
            mean = x.sum() / n.sum() if there.any() else 0.0
            used = there & (n * mean >= LEAST_EVENTS)
            rates = x[used] / n[used]
            quartiles = np.quantile(rates, [0.25, 0.5, 0.75]) if len(rates) >= 4 else np.full(3, np.nan)
            rows.append((kind, statistic, int(used.sum()), int((there & ~used).sum()), *quartiles))
    columns = ["flow_type", "statistic", "accounts", "left_out", "lower_quartile", "median", "upper_quartile"]
    table = pd.DataFrame(rows, columns=columns).astype({"flow_type": "str", "statistic": "str", "accounts": "Int64",
                                                        "left_out": "Int64"})  # fmt: skip
    table.attrs = {"sandbox": is_sandbox(results), "weeks": weeks}
    return table


# Money, each currency by itself.


def revenue_by_currency(results: pd.DataFrame, *, week: str = "") -> dict[str, pd.DataFrame]:
    """Revenue of a week against the week before, one table per currency; nothing is summed over currencies.

    Parameters
    ----------
    results : DataFrame
    week : str
        ISO week; empty: the last one.

    Returns
    -------
    dict of str to DataFrame
        Per currency (``"?"`` where it is not known), the largest first: ``account, conversion_value, previous``
        (money), ``change`` (ratio less one; NaN where either is missing or only one of the weeks is final), ``share``
        (of this currency), ``revenue_per_recipient``.
    """
    needed = ["account", "week", "flow_id", "currency", "conversion_value", "recipients", "is_final"]
    require_columns(results, needed, "results")
    totals = results[results["flow_id"].fillna("") == ""]
    weeks = sorted(totals["week"].astype("str").unique())
    week = week or (weeks[-1] if weeks else "")
    before = weeks[weeks.index(week) - 1] if week in weeks[1:] else ""
    now, then = (totals[totals["week"] == w].set_index("account") for w in (week, before))
    then = then.reindex(now.index)
    value, previous, sent = (
        v.to_numpy(np.float64, na_value=np.nan)
        for v in (now["conversion_value"], then["conversion_value"], now["recipients"])
    )
    alike = (now["is_final"].astype("boolean") == then["is_final"].astype("boolean")).fillna(False).to_numpy(bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(alike & (previous > 0), value / previous - 1, np.nan)
        each = np.where(sent > 0, value / sent, np.nan)
    table = pd.DataFrame(
        {"account": now.index.astype("str"), "conversion_value": value, "previous": previous, "change": change,
         "share": np.nan, "revenue_per_recipient": each}
    )  # fmt: skip
    found = {}
    for code, part in table.groupby(now["currency"].fillna("?").astype("str").to_numpy()):
        part = part.sort_values("conversion_value", ascending=False, kind="stable", ignore_index=True)
        total = part["conversion_value"].sum()
        part["share"] = part["conversion_value"] / total if total > 0 else np.nan
        part.attrs = {"currency": code, "week": week, "sandbox": is_sandbox(results)}
        found[str(code)] = part
    return found


def unusual_weeks(values: Any) -> tuple[Floats, Floats]:
    """How far each row's last week lies from its eight before, beside how far its earlier weeks did.

    Parameters
    ----------
    values : array-like of float64 [row, week]
        Money or counts, oldest first; NaN is not known.

    Returns
    -------
    distance, p_value : array of float64 [row]
        Standardised log ratio, and its p-value by Student's t; NaN with fewer than six earlier weeks to judge by.
    """
    from scipy.special import stdtr

    v = np.asarray(values, dtype=np.float64)
    log = np.where(v > 0, np.log(np.where(v > 0, v, 1.0)), np.nan)
    gap = np.full(v.shape, np.nan)
    for week in range(4, v.shape[1]):
        before = log[:, max(week - 8, 0) : week]
        known = np.isfinite(before)
        mean = np.where(known, before, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        gap[:, week] = np.where(known.sum(axis=1) >= 4, log[:, week] - mean, np.nan)
    if v.shape[1] == 0:
        return np.full(len(v), np.nan), np.full(len(v), np.nan)
    past = gap[:, :-1]
    weeks = np.isfinite(past).sum(axis=1)
    square = np.where(np.isfinite(past), past**2, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where((weeks >= 6) & (square > 0), gap[:, -1] / np.sqrt(square / weeks), np.nan)
    # neighbouring gaps share seven of their eight weeks: half as many are worth a degree of freedom
    return distance, 2 * np.asarray(stdtr(np.maximum(weeks / 2, 1), -np.abs(distance)))
