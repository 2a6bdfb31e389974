"""Everything a weekly report says, computed at once from the answers: no kernel, no disk, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from flowperf_helpers.report import measures
from flowperf_helpers.report.claims import Claims, make_claims
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import at_this_age, gather, week_ranges
from flowperf_helpers.report.findings import (
    Sentence,
    Signal,
    claim_signals,
    five_sentences,
    not_compared,
    rank,
)
from flowperf_helpers.report.settling import Settling, settling
from flowperf_helpers.report.tiles import Tile, make_tiles
from flowperf_helpers.stats.rate_parts import bare

__all__ = ["DETAILED_FLOWS", "WeekNumbers", "compute"]

DETAILED_FLOWS = 60
"""Flows that get a block of their own on the page, in the order of what changed; all are in the table and the files."""


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
    tiles: list[Tile]
    sentences: list[Sentence]
    names: dict[str, str]
    message_names: dict[str, str]
    denominators: dict[str, dict[str, str]]


def compute(answers: WeekData) -> WeekNumbers:
    """Compute a week's numbers, findings and sentences from its answers.

    The same answers give the same numbers: nothing is read but the frames, and none of them is changed.
    """
    from flowperf_helpers.stats.signals import find_signals

    given, answers = answers, _light(answers)
    current, weekly = answers.current, answers.weekly
    last_week = answers.window.bounds(answers.account["timezone"])[0]
    then = at_this_age(answers)
    before, equal_age = measures.before_at_equal_age(answers, then)
    if answers.partial and not equal_age:  # a part of a week beside a whole one
        before = None
    settled = settling(answers, then)
    names, message_names = measures.flow_names(answers), measures.message_names(answers)
    stops = find_signals(answers.daily, weekly, last_days=7, rates=())
    evidence = gather(answers, then if equal_age else then.iloc[:0])
    family = make_claims(evidence, stops, message_names)
    table = measures.week_table(current, before, by=["flow_id"])
    moved = measures.money_moved(table)
    currency = answers.account["currency"]
    signals = rank(claim_signals(family, names, message_names, currency), moved)
    flows = _ranked(table, [signal.flow_id for signal in signals], moved, names)
    now = measures.totals(current)
    assert now is not None
    unknown, alone = not_compared(before, answers.previous)
    valued = measures.conversions_with_value(current)
    tiles = make_tiles(
        now,
        measures.totals(before),
        measures.totals(answers.year_ago),
        family.frame,
        currency=currency,
        provisional=settled.open_days > 0,
        unknown=answers.unknown | unknown,
        counts=measures.rate_counts(current),
        valued=valued,
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
            signals,
            tiles,
            names=names,
            claims=family,
            equal_age=equal_age,
            open_days=settled.open_days,
            forecast=settled.sentence or settled.note,
            alone=alone,
            metrics=len(answers.metrics),
            valued=valued,
            year_ago=answers.year_ago_words,
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
    order = {flow_id: i for i, flow_id in reversed(list(enumerate(first)))}
    known = set(table["flow_id"])
    missing = [f for f in order if f not in known]
    if missing:
        table = pd.concat([table, pd.DataFrame({"flow_id": pd.Series(missing, dtype="str")})], ignore_index=True)
    position = table["flow_id"].map(order).fillna(len(order))
    worth = -table["flow_id"].map(dict(moved)).fillna(0).abs()
    sent = -table["delivered"].astype("float64").fillna(0)
    keys = pd.DataFrame({"position": position, "worth": worth, "sent": sent, "flow_id": table["flow_id"]})
    table = table.loc[keys.sort_values(list(keys.columns)).index].reset_index(drop=True)
    table.insert(1, "flow_name", table["flow_id"].map(dict(names)).astype("str"))
    return table
