"""Counts known only at some ages: the chance of each age of arrival, its errors, and how far days scatter around it.

What arrived between two askings is interval-censored, and nothing of an interval is seen beyond its last asking
(right truncation). The estimate is the one of maximum likelihood (Turnbull, JRSS B 38, 1976), found by EM; ages are
given by their place in a sorted list, the last of which is final.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["arrival_chances", "linked_ages", "overdispersion", "share_errors"]

Floats = npt.NDArray[np.float64]

_STEPS, _CLOSE = 5000, 1e-9


def linked_ages(pairs: npt.NDArray[np.int64], final: int) -> list[int]:
    """Ages that a chain of askings ties to the final age, sorted; of any other age nothing can be learned.

    ``pairs`` [pair, 2] are the ages of consecutive askings of some interval.
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
        How much was seen in all of intervals whose oldest asking was at that age: later arrivals cannot have been seen.

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
        unseen = np.concatenate([[0.0], np.cumsum(beyond)[:-1]])  # of intervals whose last asking was younger
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
