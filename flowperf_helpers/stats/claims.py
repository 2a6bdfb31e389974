"""Everything that a page claims of one week, judged as one family: the function behind the report and its measurements.

Rates of flows, of messages and of the account, a change that lasts, money, split tests and silence each have a test of
their own (`level_change`, `revenue_level`, `split_tests`, `signals.stopped_flows`); their p-values are corrected
together (`multiple_testing`), and every verdict and interval is made at the level that this correction gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.stats.level_change import common_change, compare_levels, level_verdicts
from flowperf_helpers.stats.level_test import Comparison
from flowperf_helpers.stats.multiple_testing import Corrected, correct
from flowperf_helpers.stats.revenue_level import RevenueComparison, compare_revenue, revenue_verdicts
from flowperf_helpers.stats.split_tests import watched_test

__all__ = ["LASTING_WEEKS", "Judged", "MoneyWeeks", "RateWeeks", "SplitTest", "judge_week", "sum_rows"]

LASTING_WEEKS = 4
"""Weeks that are held together to find a change that a single week is too small for."""

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RateWeeks:
    """One rate of all messages by week; the last column is the reported week.

    Attributes
    ----------
    successes, trials : array of float64 [message, week]
        Oldest week first; NaN where nothing was sent.
    alike : tuple of two arrays [message, 9], optional
        Successes and trials of the eight weeks before and of the reported one, as they may be held against each other
        while the week still settles: at the same age, or of the days that are final in both.
    part : float
        Share of a week's days that ``alike`` covers.
    unsettled : int
        Weeks at the end that still settle: a lasting change is looked for in those before.
    """

    successes: Floats
    trials: Floats
    alike: tuple[Floats, Floats] | None = None
    part: float = 1.0
    unsettled: int = 0


@dataclass(frozen=True)
class MoneyWeeks:
    """Revenue, conversions and recipients of all flows, each [flow, week]; the rest as for a rate."""

    revenue: Floats
    conversions: Floats
    recipients: Floats
    alike: tuple[Floats, Floats, Floats] | None = None
    part: float = 1.0
    unsettled: int = 0


@dataclass(frozen=True)
class SplitTest:
    """Successes and trials of a message's variations since the test began, each [arm, week]."""

    successes: Floats
    trials: Floats


@dataclass(frozen=True)
class Judged:
    """What one family of comparisons came to.

    Attributes
    ----------
    levels : DataFrame
        Of `level_verdicts`, with ``kind`` (``flow``, ``message``, ``account``, ``lasting``), ``statistic`` and ``row``
        (of the flow or message; 0 for the account).
    money : DataFrame
        Of `revenue_verdicts`, with ``row``: of the flow, -1 for the account. Empty without money.
    tests : list of DataFrame
        Of `watched_test`, one per test.
    is_silent : array of bool
        Which silences are claimed.
    corrected : Corrected
        Over all of them: `levels`, `money`, `tests` and silences in this order.
    kinds : dict of str to int
        How many comparisons there were of each kind.
    common : dict of str to dict
        Rate to its `common_change`.
    scatter : float
        How much order values scatter, of `compare_revenue`.
    """

    levels: pd.DataFrame
    money: pd.DataFrame
    tests: list[pd.DataFrame]
    is_silent: npt.NDArray[np.bool_]
    corrected: Corrected
    kinds: dict[str, int] = field(default_factory=dict)
    common: dict[str, dict[str, float]] = field(default_factory=dict)
    scatter: float = 1.0


def sum_rows(values: Floats, group: Whole, groups: int) -> Floats:
    """Sum the rows of each group; NaN counts as nothing."""
    found = np.zeros((groups, values.shape[1]))
    np.add.at(found, group, np.nan_to_num(values))
    return found


def judge_week(
    flow: Whole,
    rates: Mapping[str, RateWeeks],
    *,
    money: MoneyWeeks | None = None,
    tests: Sequence[SplitTest] = (),
    silence: Any = (),
) -> Judged:
    """Test everything that a page may claim of a week, and correct all of it together.

    Parameters
    ----------
    flow : array of int64 [message]
        Number of each message's flow, from 0 without gaps.
    rates : mapping of str to RateWeeks
    money : MoneyWeeks, optional
    tests : sequence of SplitTest
    silence : array-like
        Chance of each silence that was looked for, were nothing wrong; 1 for whoever still sends.

    Returns
    -------
    Judged
    """
    flows = int(flow.max()) + 1 if len(flow) else 0
    several = np.flatnonzero(np.bincount(flow, minlength=flows)[flow] > 1) if flows else np.zeros(0, dtype=np.intp)
    compared: list[Comparison] = []
    places: list[pd.DataFrame] = []
    common = {}

    def add(found: Comparison, kind: str, rate: str, rows: Any) -> None:
        compared.append(found)
        places.append(pd.DataFrame({"kind": kind, "statistic": rate, "row": rows}))

    for rate, weeks in rates.items() if flows else ():
        successes, trials = (_settled(v, weeks.unsettled) for v in (weeks.successes, weeks.trials))
        x, n = (sum_rows(v, flow, flows) for v in (successes, trials))
        alike = None if weeks.alike is None else tuple(sum_rows(v, flow, flows) for v in weeks.alike)
        found, move = compare_levels(x, n, alike=alike, part=weeks.part)
        common[rate] = common_change(move)
        add(found, "flow", rate, np.arange(flows))
        if len(several):
            own = None if weeks.alike is None else tuple(v[several] for v in weeks.alike)
            found, _ = compare_levels(
                successes[several], trials[several], flow=flow[several], common=move, alike=own, part=weeks.part,
            )  # fmt: skip
            add(found, "message", rate, several)
        whole = None if alike is None else tuple(v.sum(axis=0)[None] for v in alike)
        found, _ = compare_levels(
            x.sum(axis=0)[None], n.sum(axis=0)[None], take_out=False, alike=whole, part=weeks.part
        )  # fmt: skip
        add(found, "account", rate, [0])
        settled = x.shape[1] - weeks.unsettled
        if settled > LASTING_WEEKS:
            found, _ = compare_levels(x[:, :settled], n[:, :settled], recent=LASTING_WEEKS)
            add(found, "lasting", rate, np.arange(flows))
    joined = Comparison.join(compared) if compared else None
    of_flows, of_account = _money(money)
    looks = [watched_test(test.successes, test.trials) for test in tests]
    where = pd.concat(places, ignore_index=True) if places else pd.DataFrame({"kind": []})
    parts = {
        "level": (joined.p_values() if joined is not None else np.zeros(0), where["kind"].to_numpy(dtype=object)),
        "money": _as("money", *(c.p_values() for c in (of_flows, of_account) if c is not None)),
        "split test": _as("split test", *(look["p_value"].to_numpy()[1:] for look in looks)),
        "silence": _as("silence", np.asarray(silence, dtype=np.float64)),
    }
    p, kinds = (np.concatenate(both) for both in zip(*parts.values(), strict=True))
    corrected = correct(p, kinds)
    ends = np.cumsum([len(values) for values, _ in parts.values()])
    levels = pd.DataFrame()
    if joined is not None:
        verdicts = level_verdicts(joined, corrected)
        levels = pd.concat([where, verdicts], axis=1)
    return Judged(
        levels=levels,
        money=_money_verdicts(of_flows, of_account, _part_of(corrected, ends[0], ends[1])),
        tests=_again(tests, _part_of(corrected, ends[1], ends[2])),
        is_silent=corrected.is_claim[ends[2] :],
        corrected=corrected,
        kinds={str(k): int(v) for k, v in pd.Series(kinds[np.isfinite(p)]).value_counts(sort=False).items()},
        common=common,
        scatter=1.0 if of_flows is None else of_flows.scatter,
    )


# --- steps ----------------------------------------------------------------------------------------------------------


def _settled(values: Floats, unsettled: int) -> Floats:
    """Weeks before the reported one that still settle teach nothing of how weeks move."""
    if unsettled < 2:
        return values
    values = values.copy()
    values[:, -unsettled:-1] = np.nan
    return values


def _as(kind: str, *parts: Floats) -> tuple[Floats, npt.NDArray[Any]]:
    p = np.concatenate([np.zeros(0), *parts])
    return p, np.full(len(p), kind, dtype=object)


def _part_of(corrected: Corrected, first: int, last: int) -> Corrected:
    rows = slice(first, last)
    return Corrected(corrected.q_value[rows], corrected.is_claim[rows], corrected.alpha[rows], corrected.comparisons)


def _money(weeks: MoneyWeeks | None) -> tuple[RevenueComparison | None, RevenueComparison | None]:
    if weeks is None or not len(weeks.revenue):
        return None, None
    told = tuple(_settled(v, weeks.unsettled) for v in (weeks.revenue, weeks.conversions, weeks.recipients))
    flows = compare_revenue(*told, alike=weeks.alike, part=weeks.part)
    whole = None if weeks.alike is None else tuple(np.nan_to_num(v).sum(axis=0)[None] for v in weeks.alike)
    account = compare_revenue(
        *(np.nan_to_num(v).sum(axis=0)[None] for v in told), scatter=flows.scatter, alike=whole, part=weeks.part
    )
    return flows, account


def _money_verdicts(
    flows: RevenueComparison | None, account: RevenueComparison | None, corrected: Corrected
) -> pd.DataFrame:
    if flows is None or account is None:
        return pd.DataFrame()
    size = len(flows.log)
    return pd.concat(
        [
            revenue_verdicts(flows, _part_of(corrected, 0, size)).assign(row=np.arange(size)),
            revenue_verdicts(account, _part_of(corrected, size, size + 1)).assign(row=-1),
        ],
        ignore_index=True,
    )


def _again(tests: Sequence[SplitTest], corrected: Corrected) -> list[pd.DataFrame]:
    """The tests at the page's level."""
    found, at = [], 0
    for test in tests:
        arms = len(test.successes) - 1
        rows = slice(at, at + arms)
        table = watched_test(test.successes, test.trials, alpha=corrected.alpha[rows])
        found.append(table.assign(q_value=np.concatenate([[np.nan], corrected.q_value[rows]])))
        at += arms
    return found
