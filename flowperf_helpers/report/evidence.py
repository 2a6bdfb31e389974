"""From a report's answers to the weekly sums that its claims are judged on: arrays [row, week], this week last.

The last column is the week as it was answered for itself; those before it come from the weekly series. While the week
still settles it is not held against weeks that had longer to do so: opens, clicks, conversions and money are compared
as earlier weeks stood at the same age, where the store tells of four of them at least, otherwise on those days alone
that are final in both weeks (`Basis`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import numbers, text_column
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.stats.ab_tests import TEST_WEEKS, running_tests, since_the_beginning
from flowperf_helpers.stats.claims import MoneyWeeks, RateWeeks, SplitTest, sum_rows
from flowperf_helpers.stats.conversion_lag import at_equal_age
from flowperf_helpers.stats.overdispersion import usual_range
from flowperf_helpers.stats.rate_parts import Columns, bare, each_message_once, find_denominators, with_only

__all__ = ["GROWING", "KNOWN_WEEKS", "RATES", "Basis", "Evidence", "at_this_age", "days_of", "gather", "week_ranges"]

RATES = ("open_rate", "click_rate", "conversion_rate", "unsubscribe_rate", "spam_complaint_rate")
"""Rates that are judged, in the order of the page."""

GROWING = ("open_rate", "click_rate", "conversion_rate")
"""Rates whose successes keep coming for days after a send."""

KNOWN_WEEKS = 35
"""Weeks that are looked at: the reported one, 26 whose own moves are read, and the eight before the first of these."""

LEAST_SNAPSHOTS = 4
"""Weeks before that have to be known at the same age; with fewer, single days tell more."""

SHOWN_WEEKS = 26
MOVING = ("conversion_value", "revenue_per_recipient", *GROWING)
WEEK_COLUMNS = ["flow_id", "statistic", "interval_start", "value", "low", "high", "is_final"]

MOVED_DAYS = 1.0
"""Sends whose mean day moved by more are not of the same age at the same age of the week."""

_SUMMED = ("delivered", "recipients", "conversions", "conversion_value")
_COUNTED = {*RATES, *_SUMMED, *(part for r in RATES for part in STATISTICS[r].numerators + STATISTICS[r].denominators)}
_MESSAGE = ["flow_id", "flow_message_id", "send_channel"]
_WEEK = pd.Timedelta(days=7)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """What is held against what.

    Attributes
    ----------
    kind : {"whole weeks", "same age", "final days"}
    days : int
        Days of a week that are compared: 7, or those that are final in both.
    weeks : int
        Weeks before that are known in that way, at most 8.
    """

    kind: str = "whole weeks"
    days: int = 7
    weeks: int = 8

    @property
    def sentence(self) -> str:
        """For the page; empty where the week is final."""
        if self.kind == "same age":
            return (
                f"Opens, clicks, conversions and money are compared with {self.weeks} earlier weeks as they stood at "
                "the same age."
            )
        if self.kind == "final days" and not self.days:
            return "No day of the week is final yet, so opens, clicks, conversions and money are not compared."
        if self.kind == "final days":
            return (
                f"Opens, clicks, conversions and money are compared on the {self.days} days that are final in both "
                f"weeks, with the same days of {self.weeks} weeks before: how earlier weeks stood at this age is not "
                "known."
            )
        return ""


@dataclass(frozen=True)
class Evidence:
    """Weekly sums of an account.

    Attributes
    ----------
    messages : DataFrame
        ``flow_id, flow_message_id, send_channel`` of each row of the arrays.
    flows : list of str
        Flow ids; ``flow`` is the place of each message's flow among them.
    flow : array of int64 [message]
    rates : dict of str to RateWeeks
    money : MoneyWeeks or None
        Per flow.
    counts : dict of str to array of float64 [flow, week]
        ``delivered, recipients, conversions, conversion_value``.
    tests : DataFrame
        Variations that are tested against each other, of `running_tests`.
    arms : dict of str to tuple of two arrays [variation, week]
        Rate to successes and trials of the rows of ``tests``, NaN where nothing was sent.
    basis : Basis
        Of this week's comparisons.
    unsettled : int
        Weeks at the end that still settle.
    starts : list of Timestamp
        Start of each week.
    """

    messages: pd.DataFrame
    flows: list[str]
    flow: npt.NDArray[np.int64]
    rates: dict[str, RateWeeks]
    money: MoneyWeeks | None
    counts: dict[str, Floats]
    tests: pd.DataFrame
    arms: dict[str, tuple[Floats, Floats]]
    basis: Basis
    unsettled: int
    starts: list[pd.Timestamp]

    def split_tests(self, rate: str = "click_rate") -> list[SplitTest]:
        """The tests as they are judged, in the order of their numbers."""
        return [SplitTest(*sums) for sums in since_the_beginning(self.tests, self.arms.get(rate))]


def gather(answers: WeekData, same_age: pd.DataFrame) -> Evidence:
    """Sum a report's answers per message and week.

    Parameters
    ----------
    answers : WeekData
    same_age : DataFrame
        The weeks before as they stood when they were as old as this one is now, of `at_this_age`; empty where
        the store does not tell.
    """
    start = answers.window.bounds(answers.account["timezone"])[0]
    weekly = with_only(answers.weekly, _COUNTED).assign(ago=_weeks_before(answers.weekly["interval_start"], start))
    weekly = weekly[(weekly["ago"] >= 1) & (weekly["ago"] < KNOWN_WEEKS) & ~weekly["is_partial"].astype(bool)]
    rows = _stacked([weekly, with_only(answers.current, _COUNTED).assign(ago=0, is_provisional=False)])
    parts = find_denominators(rows, RATES)
    table = _Table(rows, KNOWN_WEEKS)
    unsettled = _unsettled(answers, weekly)
    alike, others, basis = _alike(answers, same_age, start, unsettled, table.messages)
    rates = {}
    for rate in RATES:
        if rate in parts:
            compared = alike if rate in GROWING else others
            known = None if compared is None else compared.sums(rate, parts[rate])
            successes, trials = table.sums(rate, parts[rate])
            late = unsettled if rate in GROWING else int(answers.partial)
            rates[rate] = RateWeeks(successes, trials, known, max(basis.days, 1) / 7 if known else 1.0, late)
    flows, flow = np.unique(table.messages["flow_id"].to_numpy(dtype=object).astype(str), return_inverse=True)
    counts = {
        name: sum_rows(table.column(name), flow, len(flows))
        for name in _SUMMED if name in rows
    }  # fmt: skip
    watched = rows[(rows["ago"] < TEST_WEEKS).to_numpy()]
    rated = {rate: parts[rate] for rate in RATES if rate in parts}
    tests, arms = running_tests(watched, TEST_WEEKS - 1 - watched["ago"].to_numpy(dtype=np.int64), TEST_WEEKS, rated)
    zone = answers.account["timezone"]
    starts = [pd.Timestamp(answers.window.shift(-7 * k).bounds(zone)[0]) for k in range(KNOWN_WEEKS - 1, -1, -1)]
    return Evidence(
        messages=table.messages, flows=[str(f) for f in flows], flow=flow.astype(np.int64), rates=rates,
        money=_money(counts, alike, flow, len(flows), basis, unsettled), counts=counts, tests=tests, arms=arms,
        basis=basis, unsettled=unsettled, starts=starts,
    )  # fmt: skip


def week_ranges(evidence: Evidence, scatter: float) -> pd.DataFrame:
    """Every flow's last 26 weeks with their usual range, as it was known before each of them.

    Parameters
    ----------
    evidence : Evidence
    scatter : float
        How much order values scatter, of `compare_revenue`.

    Returns
    -------
    DataFrame
        One row per flow (``flow_id`` empty: the account), ``statistic`` (money, deliveries and rates, as far as the
        answers carry them) and week (``interval_start``): ``value`` (float64, NaN where nothing was sent), ``low,
        high`` (float64: about 19 of 20 quiet weeks lie between them; NaN with fewer than four weeks before) and
        ``is_final`` (bool)::

            flow_id  statistic   interval_start               value     low       high      is_final
            XbChk1   click_rate  2026-11-09 00:00:00+01:00    0.0781    0.0725    0.0844    True
            XbChk1   click_rate  2026-11-16 00:00:00+01:00    0.0597    0.0724    0.0843    False
    """
    flows, weeks = len(evidence.flows), SHOWN_WEEKS
    drawn: dict[str, tuple[Floats, Floats, Floats]] = {}
    ones = {name: _with_all(v) for name, v in evidence.counts.items()}
    sent = ones.get("recipients", np.ones((flows + 1, KNOWN_WEEKS)))
    once = np.where(np.cumsum(sent, axis=1) > 0, 1.0, np.nan)
    if evidence.money is not None:
        value, orders = ones["conversion_value"], ones["conversions"]
        drawn["conversion_value"] = usual_range(value, once, events=orders, scatter=scatter, of_trials=False)
        drawn["revenue_per_recipient"] = usual_range(value, sent, events=orders, scatter=scatter, of_trials=False)
    if "delivered" in ones:
        drawn["delivered"] = usual_range(ones["delivered"], once, of_trials=False)
    for rate, known in evidence.rates.items():
        drawn[rate] = usual_range(
            *(_with_all(sum_rows(v, evidence.flow, flows)) for v in (known.successes, known.trials))
        )
    starts = pd.DatetimeIndex(evidence.starts[-weeks:])
    final = np.arange(weeks, 0, -1) > evidence.unsettled
    ids = text_column("flow_id", [*evidence.flows, ""])
    parts = [
        pd.DataFrame(
            {
                "flow_id": ids.repeat(weeks),
                "statistic": pd.array([name] * (weeks * len(ids)), dtype="str"),
                "interval_start": starts.append([starts] * flows),
                **{c: v[:, -weeks:].ravel() for c, v in zip(("value", "low", "high"), ranges, strict=True)},
                "is_final": np.tile(final | (name not in MOVING), len(ids)),
            }
        )
        for name, ranges in drawn.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=WEEK_COLUMNS)


def days_of(answers: WeekData) -> pd.DataFrame:
    """The daily rows of the reported week."""
    start, end = answers.window.bounds(answers.account["timezone"])
    days = answers.daily
    return days[(days["interval_start"] >= start) & (days["interval_start"] < end)]


def _with_all(values: Floats) -> Floats:
    """The flows, and all of them together in the last row."""
    return np.concatenate([values, np.nan_to_num(values).sum(axis=0, keepdims=True)])


def at_this_age(answers: WeekData) -> pd.DataFrame:
    """The eight weeks before as they stood when each was as old as this week is now; empty where the store is.

    Taken are answers given at that age (`at_equal_age`: within two hours of it, else interpolated).
    """
    history = answers.history
    if not len(history) or "interval_start" not in history:
        return history.iloc[:0]
    zone = answers.account["timezone"]
    days = (answers.window.last - answers.window.first).days + 1
    weeks = [answers.window.shift(-days * k).bounds(zone) for k in range(1, 9)]
    bounds = pd.MultiIndex.from_frame(history[["interval_start", "interval_end"]])
    asked = pd.Timestamp(answers.account["asked_at"])
    age = (asked - answers.window.bounds(zone)[1]).total_seconds() / 86_400
    return at_equal_age(history[bounds.isin([(pd.Timestamp(a), pd.Timestamp(b)) for a, b in weeks])], age)


# --- tables to arrays -----------------------------------------------------------------------------------------------


class _Table:
    """Rows of messages and weeks, to be summed column by column; ``ago`` says how many weeks before this one."""

    def __init__(self, rows: pd.DataFrame, weeks: int, messages: pd.DataFrame | None = None) -> None:
        rows = each_message_once(rows, [*_MESSAGE, "ago", *(c for c in ("variation", "day") if c in rows)])
        keys = pd.MultiIndex.from_frame(rows[_MESSAGE])
        if messages is None:
            codes, found = keys.factorize()
            self.messages = pd.DataFrame(list(found), columns=_MESSAGE)
        else:
            self.messages = messages
            codes = pd.MultiIndex.from_frame(messages).get_indexer(keys)
        known = codes >= 0
        self._read, self._weeks = Columns(rows[known]), weeks
        self._place = codes[known] * weeks + (weeks - 1 - rows["ago"].to_numpy(dtype=np.int64)[known])

    def _sum(self, values: Floats) -> Floats:
        size = len(self.messages) * self._weeks
        total = np.bincount(self._place, np.nan_to_num(values), size)
        return np.asarray(total.reshape(-1, self._weeks), dtype=np.float64)

    def column(self, name: str) -> Floats:
        return self._sum(self._read.numbers(name))

    def sums(self, rate: str, parts: Any) -> tuple[Floats, Floats]:
        """Successes and trials [message, week]; NaN where nothing was sent."""
        top, bottom = (self._sum(v) for v in self._read.rate_rows(rate, parts))
        return np.where(bottom > 0, top, np.nan), np.where(bottom > 0, bottom, np.nan)


def _stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    kept = [c for c in frames[0] if all(c in f for f in frames)]
    return pd.concat([f[kept] for f in frames], ignore_index=True)


def _weeks_before(starts: pd.Series, start: pd.Timestamp) -> npt.NDArray[np.int64]:
    """How many weeks an interval starts before this one, at wall time."""
    apart = start.tz_localize(None) - starts.dt.tz_localize(None)
    return np.rint(apart.to_numpy() / _WEEK.to_timedelta64()).astype(np.int64)


def _unsettled(answers: WeekData, weekly: pd.DataFrame) -> int:
    """Weeks at the end that still settle: all from the oldest one that does."""
    this = int(answers.partial or days_of(answers)["is_provisional"].fillna(False).astype(bool).any())
    late = weekly.loc[weekly["is_provisional"].fillna(False).astype(bool), "ago"]
    return max(this, 1 + int(late.max()) if len(late) else 0)


# --- what may be compared while the week settles ------------------------------------------------------------------


def _alike(
    answers: WeekData, same_age: pd.DataFrame, start: pd.Timestamp, unsettled: int, messages: pd.DataFrame
) -> tuple[_Table | None, _Table | None, Basis]:
    """What opens, clicks, conversions and money are compared by, and the other rates; None: whole weeks."""
    if not unsettled:
        return None, None, Basis()
    if len(same_age):
        then = with_only(same_age, _COUNTED).assign(ago=_weeks_before(same_age["interval_start"], start))
        then = then[(then["ago"] >= 1) & (then["ago"] <= 8)]
        weeks = then["ago"].nunique()
        if weeks >= LEAST_SNAPSHOTS:
            rows = _stacked([then, with_only(answers.current, _COUNTED).assign(ago=0)])
            odd = pd.MultiIndex.from_frame(rows[_MESSAGE]).isin(_sent_on_other_days(answers.daily, start))
            return _Table(rows[~odd], 9, messages), _Table(rows, 9, messages), Basis("same age", 7, int(weeks))
    daily = with_only(answers.daily, _COUNTED)
    days = _days_after(daily, start)
    open_days = daily["is_provisional"].fillna(False).to_numpy(bool) | daily["is_partial"].fillna(False).to_numpy(bool)
    here = (days >= 0) & (days < 7)
    final = np.setdiff1d(np.unique(days[here]), np.unique(days[here & open_days]))
    ago = -(days // 7)
    first = int(days.min(initial=0))
    whole = np.array([-7 * k + (final.min() if len(final) else 0) >= first for k in range(10)])
    chosen = np.isin(days % 7, final) & (ago >= 0) & (ago <= 8) & whole[np.clip(ago, 0, 9)]
    table = _Table(daily.assign(ago=ago, day=days)[chosen], 9, messages)
    return table, table if answers.partial else None, Basis("final days", len(final), int(whole[1:9].sum()))


def _days_after(frame: pd.DataFrame, start: pd.Timestamp) -> npt.NDArray[np.int64]:
    """Day of each interval, counted from the first of the week."""
    days = frame["interval_start"].dt.tz_localize(None).dt.normalize() - start.tz_localize(None)
    return days.dt.days.to_numpy(dtype=np.int64)


def _sent_on_other_days(daily: pd.DataFrame, start: pd.Timestamp) -> pd.Index[Any]:
    """Messages whose sends of this week are a day older or younger on average than those of the weeks before.

    One that stopped on Tuesday has had all week for its clicks: at the same age of the week its sends are not.
    """
    frame = bare(daily)[_MESSAGE].assign(
        day=_days_after(daily, start), sent=np.nan_to_num(numbers(daily, "recipients"))
    )
    frame = frame[frame["day"] < 7].assign(now=frame["day"] >= 0, moment=(frame["day"] % 7) * frame["sent"])
    sums = frame.groupby([*_MESSAGE, "now"], dropna=False)[["sent", "moment"]].sum()
    mean = (sums["moment"] / sums["sent"].where(sums["sent"] > 0)).unstack("now")  # noqa: PD010
    mean = mean.reindex(columns=[False, True])
    return mean.index[((mean[True] - mean[False]).abs() > MOVED_DAYS).to_numpy()]


def _money(
    counts: dict[str, Floats], alike: _Table | None, flow: npt.NDArray[Any], flows: int, basis: Basis, unsettled: int
) -> MoneyWeeks | None:
    names = ("conversion_value", "conversions", "recipients")
    if any(name not in counts for name in names) or not (counts["conversion_value"] > 0).any():
        return None
    revenue, conversions, recipients = (counts[name] for name in names)
    weeks = MoneyWeeks(revenue, conversions, recipients, unsettled=unsettled)
    if alike is None:
        return weeks
    revenue, conversions, recipients = (sum_rows(alike.column(name), flow, flows) for name in names)
    return replace(weeks, alike=(revenue, conversions, recipients), part=max(basis.days, 1) / 7)
