"""Variations of one message against each other: rates, chances of being best, and Klaviyo's own rule beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import keep_names, numbers, require_columns
from flowperf_helpers.stats.rate_parts import Columns, Floats, Parts, bare, parts_of, sum_rate_parts
from flowperf_helpers.stats.rates import q_values, rate_difference, rate_interval, verdicts
from flowperf_helpers.stats.split_tests import KLAVIYO_PROBABILITY, KLAVIYO_RECIPIENTS, watched_test

__all__ = [
    "KLAVIYO_PROBABILITY",
    "KLAVIYO_RECIPIENTS",
    "TEST_WEEKS",
    "compare_variations",
    "probability_best",
    "running_tests",
    "since_the_beginning",
    "variation_table",
    "watch_variations",
]

TEST_WEEKS = 26
"""Weeks within which a running test's beginning is looked for, in the report and in notebook 03 alike."""

_POINTS = 400


def compare_variations(frame: pd.DataFrame, *, rate: str = "click_rate") -> pd.DataFrame:
    """Compare the variations of each message.

    Parameters
    ----------
    frame : DataFrame
        A report grouped by ``variation``; several intervals are summed as trials of their own. Rows without a variation
        take no part.
    rate : str
        A rate of the catalogue.

    Returns
    -------
    DataFrame
        One row per message and variation: the groupings and their names, ``numerator, denominator, recipients``
        (Int64), ``rate, low, high`` (Wilson, 95 %), ``probability_best`` (of the highest true rate among the message's
        variations; uniform in Jeffreys' sense before the data), ``klaviyo_rule`` (str: ``winner``, or what is missing
        for one: 90 % and 500 recipients each), ``is_best`` (bool), ``p_value, q_value`` and ``verdict`` (against the
        message's other variations together). For rates where less is better, "best" still means highest.

    Raises
    ------
    ArgumentError
        Missing columns or no rate.
    """
    if rate not in STATISTICS or STATISTICS[rate].kind != "rate":
        raise ArgumentError(
            f"{rate!r} is not a rate of the catalogue: variations are compared by one, such as click_rate."
        )
    require_columns(frame, ["flow_id", "flow_message_id", "variation"], "compare_variations")
    parts = parts_of(frame, rate, "compare_variations")
    message = ["flow_id", "flow_message_id"]
    keys = [*message, "variation"]
    side = sum_rate_parts(frame[frame["variation"].notna()], rate, parts, keys, what="compare_variations")
    counts = side.counts.merge(side.names, on=keys, how="left")
    x, n = counts["numerator"].to_numpy(dtype=float), counts["denominator"].to_numpy(dtype=float)
    x = np.where((x > n) | (x < 0), np.nan, x)
    group = counts.groupby(message, dropna=False, sort=False).ngroup().to_numpy()
    own = rate_interval(x, n)
    known = np.isfinite(x) & (n > 0)
    others = [_sum_of_others(np.where(known, v, 0.0), group) for v in (x, n)]
    against = rate_difference(others[0], others[1], np.where(known, x, np.nan), n)
    q = q_values(against["p_value"])
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (others[0] + x) / (others[1] + n)
    best = probability_best(x, n, group)
    sent = counts["recipients"].to_numpy(dtype=float)
    leads = _leads(best, group)
    said = verdicts(against["difference"], against["low"], against["high"], q, pooled).astype(object)
    names = [c for c in ("flow_name", "flow_message_name", "variation_name") if c in counts.columns]
    order = ["flow_id", "flow_name", "flow_message_id", "flow_message_name", "variation", "variation_name"]
    result = counts[[c for c in order if c in keys or c in names]].assign(
        numerator=counts["numerator"].astype("Int64"),
        denominator=counts["denominator"].astype("Int64"),
        recipients=counts["recipients"].astype("Int64"),
        rate=own["rate"],
        low=own["low"],
        high=own["high"],
        probability_best=best,
        klaviyo_rule=pd.array(_klaviyo(best, sent, group), dtype="str"),
        is_best=leads,
        p_value=against["p_value"],
        q_value=q,
        verdict=pd.array(said, dtype="str"),
    )
    notes = [*frame.attrs.get("notes", []), *side.notes]
    attrs: dict[Any, Any] = {**frame.attrs, "rate": rate, "notes": notes}
    result.attrs = attrs | vars(parts)
    return result


def watch_variations(
    weekly: pd.DataFrame, *, last: pd.Timestamp | None = None, rate: str = "click_rate"
) -> pd.DataFrame:
    """Say how the variations of running tests stand since each test began, however often one looks.

    A test runs while two variations of a message at least are sent; it began in the first of the last `TEST_WEEKS`
    weeks with two. A person mailed in two weeks is two trials: right for variations, which are drawn anew for every
    send.

    Parameters
    ----------
    weekly : DataFrame
        A weekly series grouped by ``variation``.
    last : Timestamp, optional
        Start of the last week that counts; left out: the last of the frame.
    rate : str
        A rate of the catalogue.

    Returns
    -------
    DataFrame
        Of `variation_table`, each test at 5 %.

    Raises
    ------
    ArgumentError
        Missing columns or no rate.
    """
    require_columns(weekly, ["flow_id", "flow_message_id", "variation", "interval_start"], "watch_variations")
    parts = parts_of(weekly, rate, "watch_variations")
    known = weekly["interval_start"].drop_duplicates().sort_values()
    starts = pd.DatetimeIndex((known if last is None else known[known <= last]).tail(TEST_WEEKS))
    rows = weekly[weekly["interval_start"].isin(starts)]
    rows = rows[~rows["is_partial"].to_numpy(bool)] if "is_partial" in rows else rows
    place = starts.get_indexer(pd.DatetimeIndex(rows["interval_start"]))
    tests, arms = running_tests(rows, place, len(starts), {rate: parts})
    found = [watched_test(*sums) for sums in since_the_beginning(tests, arms.get(rate))]
    table = variation_table(tests, found)
    table.attrs = {**weekly.attrs, "rate": rate} | vars(parts)
    return table


def running_tests(
    frame: pd.DataFrame, place: npt.NDArray[np.integer[Any]], weeks: int, parts: Mapping[str, Parts]
) -> tuple[pd.DataFrame, dict[str, tuple[Floats, Floats]]]:
    """Variations of messages of which two at least were sent in the last week, and their sums.

    Parameters
    ----------
    frame : DataFrame
        Rows per message, variation and week.
    place : array of int [row]
        Week of each row, from 0; the last one is ``weeks - 1``.
    weeks : int
    parts : mapping of str to Parts
        The rates.

    Returns
    -------
    tests : DataFrame
        One row per variation, those of a test one after the other and the one that was sent first (then by name) at its
        head: ``flow_id, flow_message_id, variation``, the names the frame has, and ``test`` (int64, its number).
    sums : dict of str to tuple of two arrays of float64 [variation, week]
        Rate to successes and trials; NaN where nothing was sent.
    """
    keys = ["flow_id", "flow_message_id", "variation"]
    names = keep_names(frame, keys)
    empty = frame.iloc[:0].reindex(columns=[*keys, *names]).assign(test=pd.Series(dtype="int64"))
    if "variation" not in frame:
        return empty, {}
    known = frame["variation"].notna().to_numpy()
    frame, place = bare(frame)[known], place[known]
    sent = np.nan_to_num(
        numbers(frame, "recipients" if "recipients" in frame else next(iter(parts.values())).denominator)
    )
    some = frame[[*keys, *names]].assign(place=place)[sent > 0]
    now = some.loc[some["place"] == weeks - 1, keys].drop_duplicates()
    now = now[now.duplicated(keys[:2], keep=False)]
    if not len(now):
        return empty, {}
    tests = now.merge(some.groupby(keys, as_index=False)["place"].min(), on=keys)
    tests = tests.merge(some[[*keys, *names]].drop_duplicates(keys, keep="last"), on=keys)
    by = [*keys[:2], "place", *(n for n in ("variation_name",) if n in names), "variation"]
    tests = tests.sort_values(by, ignore_index=True).drop(columns="place")
    tests["test"] = tests.groupby(keys[:2], sort=False).ngroup().astype("int64")
    code = pd.MultiIndex.from_frame(tests[keys]).get_indexer(pd.MultiIndex.from_frame(frame[keys]))
    here, size = code >= 0, len(tests) * weeks
    at = (code * weeks + place)[here]
    read, sums = Columns(frame), {}
    for rate, of in parts.items():
        top, bottom = (
            np.bincount(at, np.nan_to_num(v)[here], size).reshape(-1, weeks) for v in read.rate_rows(rate, of)
        )
        sums[rate] = (np.where(bottom > 0, top, np.nan), np.where(bottom > 0, bottom, np.nan))
    return tests[[*keys, *names, "test"]], sums


def since_the_beginning(tests: pd.DataFrame, sums: tuple[Floats, Floats] | None) -> list[tuple[Floats, Floats]]:
    """Successes and trials [arm, week] of each test, from the first week in which two of its variations were sent."""
    if sums is None:
        return []
    found = []
    for rows in tests.groupby("test").indices.values():
        x, n = (v[rows] for v in sums)
        both = (n > 0).sum(axis=0) >= 2
        first = int(both.argmax()) if both.any() else n.shape[1] - 1
        found.append((x[:, first:], n[:, first:]))
    return found


def variation_table(tests: pd.DataFrame, found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put what `watched_test` says of each test beside its variations.

    Returns
    -------
    DataFrame
        The columns of ``tests``, and ``numerator, denominator`` (float64, sums), ``rate, low, high`` (Wilson, 95 %),
        ``probability_best, is_best`` (bool), ``klaviyo_rule`` (str); against the test's first variation (NaN in its own
        row) ``change, change_low, change_high`` (fractions, valid at every look), ``p_value, verdict, size,
        weeks_until_margin``; ``loss, may_stop`` (bool), ``sample_ratio_p, is_ratio_off``, as in `watched_test`.
    """
    renamed = {
        "successes": "numerator", "trials": "denominator", "low": "change_low", "high": "change_high",
        "is_leader": "is_best",
    }  # fmt: skip
    if not found:
        empty = ["numerator", "denominator", "rate", "low", "high", "probability_best", "klaviyo_rule", "verdict"]
        return tests.reindex(columns=[*tests.columns, *empty]).assign(is_best=False, may_stop=False)
    table = pd.concat([tests, pd.concat(found, ignore_index=True).rename(columns=renamed)], axis=1)
    own = rate_interval(table["numerator"], table["denominator"])
    return table.assign(low=own["low"].to_numpy(), high=own["high"].to_numpy())


def probability_best(x: Floats, n: Floats, group: npt.NDArray[np.integer]) -> Floats:
    """Chance that a row has the highest true rate of its group, its beta posterior given.

    The integral of one row's density times all others' distribution functions, at equally likely points of its own
    distribution: exact to three digits, and the same on every run. NaN for rows without trials.
    """
    from scipy.special import betainc, betaincinv

    found = np.full(len(x), np.nan)
    rows = np.flatnonzero(np.isfinite(x) & (n > 0))
    if not len(rows):
        return found
    a, b = x[rows] + 0.5, n[rows] - x[rows] + 0.5
    at = betaincinv(a[:, None], b[:, None], (np.arange(_POINTS) + 0.5) / _POINTS)
    index = pd.DataFrame({"group": group[rows], "row": np.arange(len(rows))})
    pairs = index.merge(index, on="group", suffixes=("", "_other"))
    pairs = pairs[pairs["row"] != pairs["row_other"]]
    mine, other = pairs["row"].to_numpy(), pairs["row_other"].to_numpy()
    below = np.zeros(at.shape)
    with np.errstate(divide="ignore"):
        np.add.at(below, mine, np.log(betainc(a[other, None], b[other, None], at[mine])))
    chance = np.exp(below).mean(axis=1)
    total = np.bincount(index["group"], chance, minlength=int(group.max()) + 1)
    found[rows] = chance / total[group[rows]]
    return found


def _sum_of_others(values: Floats, group: npt.NDArray[np.integer]) -> Floats:
    return np.bincount(group, values, minlength=0)[group] - values if len(values) else values


def _leads(best: Floats, group: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    if not len(best):
        return np.zeros(0, dtype=bool)
    top = np.full(int(group.max()) + 1, -1.0)
    np.maximum.at(top, group, np.nan_to_num(best, nan=-1.0))
    return np.asarray(best == top[group], dtype=bool)


def _klaviyo(best: Floats, sent: Floats, group: npt.NDArray[np.integer]) -> npt.NDArray[np.object_]:
    if not len(best):
        return np.zeros(0, dtype=object)
    least = np.full(int(group.max()) + 1, np.inf)
    np.minimum.at(least, group, np.nan_to_num(sent))
    top = np.zeros(len(least))
    np.maximum.at(top, group, np.nan_to_num(best))
    alone = np.bincount(group)[group] < 2
    found = np.select(
        [alone, least[group] < KLAVIYO_RECIPIENTS, top[group] < KLAVIYO_PROBABILITY, best == top[group]],
        ["no other variation", "under 500 recipients", "under 90 %", "winner"],
        "not the winner",
    )
    return found.astype(object)
