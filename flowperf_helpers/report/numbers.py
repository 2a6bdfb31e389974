"""Everything a weekly report says, computed at once from the answers: no kernel, no disk, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.columns import numbers
from flowperf_helpers.report import measures
from flowperf_helpers.report.claims import Claims, make_claims
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import at_this_age, days_of, gather, week_ranges
from flowperf_helpers.report.findings import Sentence, Signal, claim_signals, five_sentences, not_compared, rank
from flowperf_helpers.stats.conversion_lag import completeness_curve, forecast
from flowperf_helpers.stats.rate_parts import bare, with_only
from flowperf_helpers.stats.signals import find_signals
from flowperf_helpers.stats.week_forecast import (
    LEAST_WEEKS,
    WeekForecast,
    forecast_week,
    late_growth,
    shared_curve_interval,
)

__all__ = ["DETAILED_FLOWS", "Settling", "WeekNumbers", "compute", "settling"]

DETAILED_FLOWS = 60
"""Flows that get a block of their own on the page, in the order of what changed; all are in the table and the files."""


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


@dataclass(frozen=True)
class WeekNumbers:
    """What page, spreadsheet and JSON of a week show.

    Attributes
    ----------
    answers : WeekData
        What it was computed from.
    claims : DataFrame
        Every comparison of the page with its verdict, corrected together: the columns of `Claims.frame`.
    weeks : DataFrame
        The last 26 weeks of every flow and of the account, with their usual ranges: those of `week_ranges`.
    family : Claims
        What belongs to the claims: the flows' common move, the split tests, what was corrected together and how a week
        that settles was compared.
    before : DataFrame or None
        The week before, at equal age where an earlier answer is in the store.
    equal_age : bool
        Whether the week before is of equal age.
    signals : list of Signal
        Everything that asks for a look, urgent first.
    flows : DataFrame
        Flows ranked by what changed: those with a signal first, then by the money that moved.
    messages : DataFrame
        Messages of the week beside the week before.
    effects : DataFrame
        Where a rate's change since the week before came from, for the flows with a block of their own: the rate of
        their first signal, else the click rate.
    strips : DataFrame
        12 weeks per flow.
    coverage : DataFrame
        Flows and messages without a number, each with the reason.
    restated, restated_weeks : DataFrame
        Numbers that changed since they were last asked for: message by message, and summed per week.
    settling : Settling
        How complete the week is, and where it will end.
    reconciled : DataFrame
        Where the week's values and its bucket in the weekly series disagree.
    tiles, sentences : list
        Headline numbers, and the week in five sentences.
    names, message_names : dict
        Flow id and message id to name.
    denominators : dict
        What each rate of this answer is divided by, as `roll_up` found it.
    """

    answers: WeekData
    claims: pd.DataFrame
    weeks: pd.DataFrame
    family: Claims
    before: pd.DataFrame | None
    equal_age: bool
    signals: list[Signal]
    flows: pd.DataFrame
    messages: pd.DataFrame
    effects: pd.DataFrame
    strips: pd.DataFrame
    coverage: pd.DataFrame
    restated: pd.DataFrame
    restated_weeks: pd.DataFrame
    settling: Settling
    reconciled: pd.DataFrame
    tiles: list[measures.Tile]
    sentences: list[Sentence]
    names: dict[str, str]
    message_names: dict[str, str]
    denominators: dict[str, dict[str, str]]


def compute(answers: WeekData) -> WeekNumbers:
    """Compute a week's numbers, findings and sentences from its answers.

    The same answers give the same numbers: nothing is read but the frames, and none of them is changed.
    """
    given, answers = answers, _light(answers)
    current, weekly = answers.current, answers.weekly
    last_week = answers.window.bounds(answers.account["timezone"])[0]
    then = at_this_age(answers)
    before, equal_age = measures.before_at_equal_age(answers, then)
    if answers.partial and not equal_age:  # a part of a week beside a whole one
        before = None
    settled = settling(answers, then)
    names = measures.names_of([weekly, current, answers.flows], "flow")
    message_names = measures.names_of([answers.messages, weekly, current], "flow_message")
    stops = find_signals(answers.daily, weekly, last_days=7, rates=())
    evidence = gather(answers, then if equal_age else then.iloc[:0])
    family = make_claims(evidence, stops, message_names)
    table = measures.week_table(current, before, by=["flow_id"])
    moved = measures.money_moved(table)
    currency = answers.account["currency"]
    signals = rank(claim_signals(family, names, message_names, currency), moved)
    flows = _ranked(table, [signal.flow_id for signal in signals], moved, names)
    now = measures.totals(current)
    unknown, alone = not_compared(before, answers.previous)
    tiles = measures.make_tiles(
        answers, now, before, family.frame, provisional=settled.open_days > 0, unknown=answers.unknown | unknown
    )
    earlier = measures.last_time_and_now(answers)
    return WeekNumbers(
        answers=given,
        claims=family.frame,
        weeks=week_ranges(evidence, family.scatter),
        family=family,
        before=before,
        equal_age=equal_age,
        signals=signals,
        flows=flows,
        messages=measures.week_table(current, before, by=["flow_id", "flow_message_id", "send_channel"]),
        effects=measures.effects(before, current, _rates_shown(flows, signals)),
        strips=measures.strips(weekly, last=last_week),
        coverage=measures.unsent(answers),
        restated=measures.restated(*earlier),
        restated_weeks=measures.restated_weeks(*earlier),
        settling=settled,
        reconciled=measures.disagreements(answers),
        tiles=tiles,
        sentences=five_sentences(
            answers,
            signals,
            tiles,
            names=names,
            claims=family,
            equal_age=equal_age,
            open_days=settled.open_days,
            forecast=settled.sentence or settled.note,
            alone=alone,
        ),
        names=names,
        message_names=message_names,
        denominators=now.attrs.get("denominators", {}),
    )


def _light(answers: WeekData) -> WeekData:
    """Return the answers without the lists in their frames' ``attrs``: pandas copies those deeply at every step."""
    frames: dict[str, Any] = {n: bare(frame) for n, frame in vars(answers).items() if isinstance(frame, pd.DataFrame)}
    for name, frame in frames.items():
        frame.attrs = {k: v for k, v in getattr(answers, name).attrs.items() if not isinstance(v, list)}
    return replace(answers, **frames)


def _rates_shown(flows: pd.DataFrame, signals: Sequence[Signal]) -> dict[str, str]:
    """Flow id to the rate whose change its block explains: that of its first signal, else the click rate."""
    changed = {
        s.flow_id: s.statistic for s in reversed(signals) if s.kind == "change" and s.statistic in measures.RATES
    }
    return {flow_id: changed.get(flow_id, "click_rate") for flow_id in flows["flow_id"].head(DETAILED_FLOWS)}


def _ranked(
    table: pd.DataFrame, first: Sequence[str], moved: Mapping[str, float], names: Mapping[str, str]
) -> pd.DataFrame:
    """A `week_table` by flow in the order of the page: flows with a signal, then by the money that moved."""
    order = {flow_id: i for i, flow_id in enumerate(dict.fromkeys(first))}
    missing = [flow_id for flow_id in order if flow_id not in set(table["flow_id"])]
    if missing:
        table = pd.concat([table, pd.DataFrame({"flow_id": pd.Series(missing, dtype="str")})], ignore_index=True)
    position = table["flow_id"].map(order).fillna(len(order))
    worth = -table["flow_id"].map(dict(moved)).fillna(0).abs()
    sent = -table["delivered"].astype("float64").fillna(0)
    keys = pd.DataFrame({"position": position, "worth": worth, "sent": sent, "flow_id": table["flow_id"]})
    table = table.loc[keys.sort_values(list(keys.columns)).index].reset_index(drop=True)
    table.insert(1, "flow_name", table["flow_id"].map(dict(names)).astype("str"))
    return table


# How complete a week is and where its conversions will end, from how earlier weeks filled up.


def settling(answers: WeekData, then: pd.DataFrame) -> Settling:
    """How many days are open, and where the week's conversions will end.

    Parameters
    ----------
    then : DataFrame
        The weeks before at this week's age, of `report.evidence.at_this_age`.
    """
    days = days_of(answers)
    open_days = int(days.loc[days["is_provisional"].fillna(False).astype(bool), "interval_start"].nunique())
    so_far = float(days["conversions"].fillna(0).sum()) if len(days) else None
    empty = pd.DataFrame(columns=["age_days", "share", "low", "high", "days_behind"])
    if not open_days:
        return Settling(0, empty, so_far, so_far, so_far, so_far, "", "Every day is older than the attribution window.")
    history, window = _daily(answers.history), answers.account["attribution_days"]
    known = len(history) > 0
    curve = completeness_curve(history, statistic="conversions", attribution_days=window) if known else empty
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
    if not len(days):
        return 0.0, 0.0
    age = (days["fetched_at"] - days["interval_end"]).dt.total_seconds() / 86_400
    keys = ["conversion_metric_id", "flow_id", "flow_message_id", "send_channel", "interval_start"]
    keys = [c for c in keys if c in days]
    late = days.loc[age >= window, [*keys, "fetched_at", "conversions"]].sort_values("fetched_at", kind="stable")
    first, last = (late.drop_duplicates(keys, keep=which) for which in ("first", "last"))
    pair = first.merge(last, on=keys, suffixes=("_first", ""))
    return late_growth(numbers(pair, "conversions_first"), numbers(pair, "conversions"))


def _by_days(days: pd.DataFrame, history: pd.DataFrame, curve: pd.DataFrame) -> WeekForecast | None:
    """The week's forecast from curves that its days share; None where none knows an age.

    An order from a text comes sooner than one from an email: a channel has its own curve where its history is enough
    for one, and the account's otherwise.
    """
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
