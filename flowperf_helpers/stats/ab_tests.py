"""Variations of one message against each other: rates, chances of being best, and Klaviyo's own rule beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.stats.rate_parts import Floats, parts_of, sum_rate_parts
from flowperf_helpers.stats.rates import q_values, rate_difference, rate_interval, verdicts

__all__ = [
    "KLAVIYO_PROBABILITY",
    "KLAVIYO_RECIPIENTS",
    "TEST_WEEKS",
    "compare_recent_variations",
    "compare_variations",
    "probability_best",
]

KLAVIYO_PROBABILITY = 0.90
KLAVIYO_RECIPIENTS = 500
TEST_WEEKS = 4
"""Weeks that a test is judged by, in the report and in notebook 03 alike."""

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
    told = verdicts(against["difference"], against["low"], against["high"], q, pooled).astype(object)
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
        verdict=pd.array(told, dtype="str"),
    )
    notes = [*frame.attrs.get("notes", []), *side.notes]
    attrs: dict[Any, Any] = {**frame.attrs, "rate": rate, "notes": notes}
    result.attrs = attrs | vars(parts)
    return result


def compare_recent_variations(
    weekly: pd.DataFrame, *, last: pd.Timestamp | None = None, rate: str = "click_rate"
) -> pd.DataFrame:
    """Compare the variations of each message over the last `TEST_WEEKS` weeks, all sends of them together.

    A person mailed in two weeks is two trials: right for variations, which are drawn anew for every send.

    Parameters
    ----------
    weekly : DataFrame
        A weekly series grouped by ``variation``.
    last : Timestamp, optional
        Start of the last week that counts; left out: the last of the frame.

    Returns
    -------
    DataFrame
        Of `compare_variations`.
    """
    starts = weekly["interval_start"].drop_duplicates().sort_values()
    starts = (starts if last is None else starts[starts <= last]).tail(TEST_WEEKS)
    return compare_variations(weekly[weekly["interval_start"].isin(starts)], rate=rate)


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
