"""Everything that a page claims of one week, judged as one family: the function behind the report and its measurements.

Rates of flows, of messages and of the account, a change that lasts, money, split tests and silence each have a test of
their own (`level_change`, `revenue_level`, `split_tests`, `signals.stopped_flows`); their p-values are corrected
together (`multiple_testing`), and every verdict and interval is made at the level that this correction gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.stats.level_change import common_change, compare_levels, level_verdicts
from flowperf_helpers.stats.level_test import Comparison
from flowperf_helpers.stats.multiple_testing import Corrected, correct
from flowperf_helpers.stats.overdispersion import CommonMove
from flowperf_helpers.stats.revenue_level import RevenueComparison, compare_revenue, revenue_verdicts
from flowperf_helpers.stats.split_tests import watch, watched_test

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
    places : DataFrame
        One row per comparison: ``kind`` (``flow``, ``message``, ``account``, ``lasting``, ``money``, ``split test``,
        ``silence``; in this order from ``money`` on), ``statistic`` and ``row`` (of the flow or message; the test's
        number; 0 for the account's rates, -1 for its money).
    corrected : Corrected
        Of all of them together.
    scatter : float
        How much order values scatter, of `compare_revenue`.
    """

    places: pd.DataFrame
    corrected: Corrected
    scatter: float
    _moves: dict[str, CommonMove]
    _levels: Comparison | None
    _money: tuple[RevenueComparison, RevenueComparison] | None
    _tests: tuple[SplitTest, ...]

    @cached_property
    def levels(self) -> pd.DataFrame:
        """Rates: ``kind, statistic, row`` and the columns of `level_verdicts`."""
        if self._levels is None:
            return pd.DataFrame()
        verdicts = level_verdicts(self._levels, self.corrected)
        return pd.concat([self.places.iloc[: len(verdicts)], verdicts], axis=1)

    @cached_property
    def money(self) -> pd.DataFrame:
        """Money: ``row`` and the columns of `revenue_verdicts`; empty without money."""
        if self._money is None:
            return pd.DataFrame()
        rows = np.flatnonzero(self.places["kind"] == "money")
        each = zip(self._money, (rows[:-1], rows[-1:]), strict=True)
        table = pd.concat([revenue_verdicts(c, _part_of(self.corrected, at)) for c, at in each], ignore_index=True)
        return table.assign(row=self.places["row"].to_numpy()[rows])

    @cached_property
    def tests(self) -> list[pd.DataFrame]:
        """Split tests at the page's level: `watched_test` of each, and ``q_value``."""
        found = []
        for number, test in enumerate(self._tests):
            rows = np.flatnonzero((self.places["kind"] == "split test") & (self.places["row"] == number))
            table = watched_test(test.successes, test.trials, alpha=self.corrected.alpha[rows])
            found.append(table.assign(q_value=np.concatenate([[np.nan], self.corrected.q_value[rows]])))
        return found

    @property
    def common(self) -> dict[str, dict[str, float]]:
        """Rate to its `common_change`."""
        return {rate: common_change(move) for rate, move in self._moves.items()}

    @property
    def is_silent(self) -> npt.NDArray[np.bool_]:
        """Which silences are claimed."""
        return np.asarray(self.corrected.is_claim[(self.places["kind"] == "silence").to_numpy()])

    @property
    def kinds(self) -> dict[str, int]:
        """How many comparisons there were of each kind."""
        known = self.places["kind"][np.isfinite(self.corrected.q_value)]
        return {str(k): int(v) for k, v in known.value_counts(sort=False).items()}


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
    compared, places, moves = _compare_rates(flow, rates)
    levels = Comparison.join(compared) if compared else None
    coins = _compare_money(money)
    p = [] if levels is None else [levels.p_values()]
    if coins is not None:
        p += [c.p_values() for c in coins]
        places.append(("money", "revenue_per_recipient", [*range(len(coins[0].log)), -1]))
    for number, test in enumerate(tests):
        p.append(_against_first(test))
        places.append(("split test", "click_rate", [number] * len(p[-1])))
    p.append(np.asarray(silence, dtype=np.float64))
    places.append(("silence", "recipients", range(len(p[-1]))))
    where = _listed(places)
    corrected = correct(np.concatenate(p), where["kind"].to_numpy())
    return Judged(where, corrected, 1.0 if coins is None else coins[0].scatter, moves, levels, coins, tuple(tests))


# --- steps ----------------------------------------------------------------------------------------------------------


def _settled(values: Floats, unsettled: int) -> Floats:
    """Weeks before the reported one that still settle teach nothing of how weeks move."""
    if unsettled < 2:
        return values
    values = values.copy()
    values[:, -unsettled:-1] = np.nan
    return values


def _against_first(test: SplitTest) -> Floats:
    """Always-valid p-value of each variation against the first; NaN before the first look."""
    first, rest = np.zeros(len(test.trials) - 1, dtype=np.intp), slice(1, None)
    weeks = watch(test.successes[first], test.trials[first], test.successes[rest], test.trials[rest])
    return np.where(np.isfinite(weeks.boundary()[:, -1]), weeks.p_values()[:, -1], np.nan)


def _listed(places: Sequence[tuple[str, str, Any]]) -> pd.DataFrame:
    """Kind, statistic and row of every comparison."""
    sizes = [len(rows) for _, _, rows in places]
    texts = (np.repeat(np.array(names, dtype=object), sizes) for names in list(zip(*places, strict=True))[:2])
    kind, statistic = (pd.array(text, dtype="str") for text in texts)
    rows = np.concatenate([np.asarray(rows, dtype=np.int64) for _, _, rows in places])
    return pd.DataFrame({"kind": kind, "statistic": statistic, "row": rows})


def _part_of(corrected: Corrected, rows: npt.NDArray[np.intp]) -> Corrected:
    return Corrected(corrected.q_value[rows], corrected.is_claim[rows], corrected.alpha[rows], corrected.comparisons)


def _compare_rates(
    flow: Whole, rates: Mapping[str, RateWeeks]
) -> tuple[list[Comparison], list[tuple[str, str, Any]], dict[str, CommonMove]]:
    """Each rate of flows, of messages of flows with several, of the account, and of flows over several weeks."""
    flows = int(flow.max()) + 1 if len(flow) else 0
    several = np.flatnonzero(np.bincount(flow, minlength=flows)[flow] > 1) if flows else np.zeros(0, dtype=np.intp)
    compared: list[Comparison] = []
    places: list[tuple[str, str, Any]] = []
    moves: dict[str, CommonMove] = {}

    def add(found: Comparison, kind: str, rate: str, rows: Any) -> None:
        compared.append(found)
        places.append((kind, rate, rows))

    for rate, weeks in rates.items() if flows else ():
        successes, trials = (_settled(v, weeks.unsettled) for v in (weeks.successes, weeks.trials))
        x, n = (sum_rows(v, flow, flows) for v in (successes, trials))
        alike = None if weeks.alike is None else tuple(sum_rows(v, flow, flows) for v in weeks.alike)
        found, move = compare_levels(x, n, alike=alike, part=weeks.part)
        moves[rate] = move
        add(found, "flow", rate, np.arange(flows))
        if len(several):
            own = None if weeks.alike is None else tuple(v[several] for v in weeks.alike)
            found, _ = compare_levels(
                successes[several], trials[several], flow=flow[several], common=move, alike=own, part=weeks.part
            )  # fmt: skip
            add(found, "message", rate, several)
        x_all, n_all = (v.sum(axis=0)[None] for v in (x, n))
        whole = None if alike is None else tuple(v.sum(axis=0)[None] for v in alike)
        found, _ = compare_levels(x_all, n_all, take_out=False, alike=whole, part=weeks.part)
        add(found, "account", rate, [0])
        settled = x.shape[1] - weeks.unsettled
        if settled > LASTING_WEEKS:
            found, _ = compare_levels(x[:, :settled], n[:, :settled], recent=LASTING_WEEKS)
            add(found, "lasting", rate, np.arange(flows))
    return compared, places, moves


def _compare_money(weeks: MoneyWeeks | None) -> tuple[RevenueComparison, RevenueComparison] | None:
    """The flows' revenue per recipient, and the account's."""
    if weeks is None or not len(weeks.revenue):
        return None
    sums = [_settled(v, weeks.unsettled) for v in (weeks.revenue, weeks.conversions, weeks.recipients)]
    flows = compare_revenue(*sums, alike=weeks.alike, part=weeks.part)
    whole = None if weeks.alike is None else tuple(np.nan_to_num(v).sum(axis=0)[None] for v in weeks.alike)
    account = (np.nan_to_num(v).sum(axis=0)[None] for v in sums)
    return flows, compare_revenue(*account, scatter=flows.scatter, alike=whole, part=weeks.part)
