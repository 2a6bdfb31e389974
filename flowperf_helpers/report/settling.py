"""How complete a week is and where its conversions will end, from how earlier weeks filled up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.columns import numbers
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.stats.rate_parts import with_only

if TYPE_CHECKING:
    from flowperf_helpers.stats.week_forecast import WeekForecast

__all__ = ["Settling", "settling"]


@dataclass(frozen=True)
class Settling:
    """How complete a week is.

    Attributes
    ----------
    open_days : int
        Days of the week younger than the attribution window.
    curve : DataFrame
        Share of the final conversions by age, where snapshots tell; else empty.
    so_far, final, low, high : float or None
        Conversions of the week.
    sentence : str
        The forecast in words, or empty.
    note : str
        Why there is no forecast, or what it rests on.
    """

    open_days: int
    curve: pd.DataFrame
    so_far: float | None
    final: float | None
    low: float | None
    high: float | None
    sentence: str
    note: str


def settling(answers: WeekData, then: pd.DataFrame) -> Settling:
    """How many days are open, and where the week's conversions will end.

    Parameters
    ----------
    then : DataFrame
        The weeks before at this week's age, of `report.evidence.at_this_age`.
    """
    from flowperf_helpers.stats.conversion_lag import completeness_curve

    starts, ends = answers.window.bounds(answers.account["timezone"])
    days = answers.daily[(answers.daily["interval_start"] >= starts) & (answers.daily["interval_start"] < ends)]
    open_days = int(days.loc[days["is_provisional"].fillna(False).astype(bool), "interval_start"].nunique())
    so_far = float(days["conversions"].fillna(0).sum()) if len(days) else None
    empty = pd.DataFrame(columns=["age_days", "share", "low", "high", "days_behind"])
    if not open_days:
        return Settling(0, empty, so_far, so_far, so_far, so_far, "", "Every day is older than the attribution window.")
    history, window = _daily(answers.history), answers.account["attribution_days"]
    curve = empty
    if len(history):
        curve = completeness_curve(history, statistic="conversions", attribution_days=window)
    note = str(curve.attrs.get("note") or "")
    ahead = _whole_week(answers, then, _grown_late(history, window))
    if ahead is None and curve["share"].notna().any() and so_far is not None:
        ahead = _by_days(days, history, curve)
    if ahead is None:
        note = note or "No forecast: this account was not asked before on this machine."
        return Settling(open_days, curve, so_far, None, None, None, "", note)
    if ahead.warning:
        return Settling(open_days, curve, so_far, None, None, None, "", f"No forecast: {ahead.warning}.")
    sentence = (
        f"From how earlier weeks filled up, {formats.count_text(ahead.seen)} conversions so far should end near "
        f"{formats.count_text(ahead.final)} ({formats.count_text(ahead.low)} to {formats.count_text(ahead.high)})."
    )
    return Settling(open_days, curve, ahead.seen, ahead.final, ahead.low, ahead.high, sentence, note)


def _whole_week(answers: WeekData, then: pd.DataFrame, grown_late: tuple[float, float]) -> WeekForecast | None:
    """The week's forecast from earlier weeks at the same age, or a warning; None where too few are known."""
    from flowperf_helpers.stats.week_forecast import LEAST_WEEKS, forecast_week

    weekly = with_only(answers.weekly, ["conversions"])
    weekly = weekly[~weekly["is_provisional"].fillna(False).astype(bool)]
    if not len(then) or not len(weekly) or answers.partial:
        return None
    both = sorted(set(then["interval_start"].unique()) & set(weekly["interval_start"].unique()))
    flows = sorted(set(answers.current["flow_id"]))
    recipients = float(np.nansum(numbers(answers.current, "recipients")))
    if len(both) < LEAST_WEEKS or not recipients:
        return None

    def sums(frame: pd.DataFrame, column: str) -> pd.DataFrame:
        known = frame[["interval_start", "flow_id"]].assign(value=numbers(frame, column))
        table = known.pivot_table(index="interval_start", columns="flow_id", values="value", aggfunc="sum")
        return table.reindex(index=both, columns=flows).fillna(0.0)

    now = answers.current.assign(value=numbers(answers.current, "conversions")).groupby("flow_id")["value"].sum()
    return forecast_week(
        sums(then, "conversions"), sums(weekly, "conversions"), now.reindex(flows),
        recipients_before=sums(then, "recipients").sum(axis=1),
        recipients=recipients, grown_late=grown_late,
    )  # fmt: skip


def _grown_late(days: pd.DataFrame, window: int) -> tuple[float, float]:
    """Conversions that days gained after the attribution window that is assumed, and what they had before."""
    from flowperf_helpers.stats.week_forecast import late_growth

    if not len(days):
        return 0.0, 0.0
    age = (days["fetched_at"] - days["interval_end"]).dt.total_seconds() / 86_400
    keys = [
        c for c in ("conversion_metric_id", "flow_id", "flow_message_id", "send_channel", "interval_start") if c in days
    ]
    late = days.loc[age >= window, [*keys, "fetched_at", "conversions"]].sort_values("fetched_at", kind="stable")
    first, last = (late.drop_duplicates(keys, keep=which) for which in ("first", "last"))
    pair = first.merge(last, on=keys, suffixes=("_first", ""))
    return late_growth(numbers(pair, "conversions_first"), numbers(pair, "conversions"))


def _by_days(days: pd.DataFrame, history: pd.DataFrame, curve: pd.DataFrame) -> WeekForecast | None:
    """The week's forecast from curves that its days share; None where none knows an age.

    An order from a text comes sooner than one from an email: a channel has its own curve where its history is enough
    for one, and the account's otherwise.
    """
    from flowperf_helpers.stats.conversion_lag import completeness_curve
    from flowperf_helpers.stats.week_forecast import WeekForecast, shared_curve_interval

    own = completeness_curve(history, by="send_channel", attribution_days=curve.attrs["attribution_days"])
    found, rest = [], []
    for channel, rows in days.groupby("send_channel", observed=True, dropna=False):
        ahead = _ahead(rows, own[own["send_channel"] == channel].drop(columns="send_channel"))
        if ahead is None:
            rest.append(rows)
        else:
            found.append(ahead.assign(curve=str(channel)))
    if rest:
        shared = _ahead(pd.concat(rest), curve)
        if shared is None:
            return None
        found.append(shared.assign(curve=""))
    ahead = pd.concat(found, ignore_index=True)
    seen = numbers(ahead, "conversions")
    final, low, high = shared_curve_interval(
        seen, ahead["share"], ahead["error"], ahead["spread"], curves=ahead["curve"]
    )
    return WeekForecast(float(seen.sum()), final, low, high, 0, float(ahead["spread"].mean()))


def _ahead(days: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame | None:
    """Per day: conversions, share, its error and spread; None where the curve does not know an age."""
    from flowperf_helpers.stats.conversion_lag import forecast

    per_day = days.groupby(["interval_start", "interval_end"], as_index=False)[["conversions"]].sum()
    per_day.attrs = dict(days.attrs)
    ahead = forecast(per_day, curve)
    if ahead["final"].isna().any():
        return None
    known = curve.set_index("age_days")
    age = ahead["age_days"].clip(upper=known.index.max())
    error = ((known["high"] - known["low"]) / (2 * 1.96)).reindex(age).fillna(0.0)
    spread = known["overdispersion"].reindex(age).fillna(1.0)
    return ahead.assign(error=error.to_numpy(), spread=spread.to_numpy())


def _daily(history: pd.DataFrame) -> pd.DataFrame:
    if not len(history) or "interval_end" not in history:
        return history.iloc[:0]
    history = with_only(history, ["conversions"])
    return history[(history["interval_end"] - history["interval_start"]) <= timedelta(hours=26)]
