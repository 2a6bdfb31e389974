"""Everything of a week that asks for a look, ranked, and the week in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.report.claims import NO_CHANGE, Claims, size_text
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.measures import Tile, conversions_with_value
from flowperf_helpers.stats.claims import LASTING_WEEKS

__all__ = [
    "Sentence", "Signal", "account_changes", "claim_signals", "common_sentence", "five_sentences", "not_compared",
    "rank", "to_frame",
]  # fmt: skip


# Everything of a week that asks for a look, as one list: what changed, what stopped, which variation is better.

_URGENCY = {"stopped": 0, "complaints": 1, "change": 2, "winner": 3, "lasting": 4}


@dataclass(frozen=True)
class Signal:
    """One thing to look at.

    Attributes
    ----------
    kind : {"change", "stopped", "winner"}
    flow_id, flow_message_id, statistic : str
        Where; a message's id is empty where it is the flow as a whole.
    sentence, short : str
        For people, made from the numbers: with the interval, and as a part of a longer sentence.
    q_value : float
        Corrected for all comparisons of the page.
    since : str
        Date, where one is known.
    weeks : int
        That are held together against the eight before them.
    direction : str
        ``"higher"`` or ``"lower"`` where it has one; with flow, message and statistic it tells whether an earlier week
        found the same.
    """

    kind: str
    flow_id: str
    flow_message_id: str
    statistic: str
    sentence: str
    short: str
    q_value: float = float("nan")
    since: str = ""
    weeks: int = 1
    direction: str = ""

    @property
    def urgency(self) -> int:
        """Order of the kinds on the page: silence and complaints before everything else."""
        if self.statistic == "spam_complaint_rate":
            return _URGENCY["complaints"]
        return _URGENCY["lasting" if self.weeks > 1 else self.kind]


def claim_signals(
    claims: Claims, names: Mapping[str, str], message_names: Mapping[str, str], currency: str | None = None
) -> list[Signal]:
    """What the page claims, one signal per story, each with its interval and its cause.

    A message's change is left to its flow's where that changed too; what the account did as a whole is for the tiles
    and the first sentence (`common_sentence`).
    """
    changed = claims.changed
    whole = changed[changed["kind"].isin(["flow", "lasting"])]
    flows = set(zip(whole["flow_id"], whole["statistic"], whole["direction"], strict=True))
    found = []
    rows: list[dict[str, Any]] = changed[changed["flow_id"] != ""].to_dict("records")  # type: ignore[assignment]
    for row in rows:
        kind, where = str(row["kind"]), f"“{_name(names, row['flow_id'])}”"
        if kind == "message" and (row["flow_id"], row["statistic"], row["direction"]) in flows:
            continue
        if kind == "silence":
            signal, (sentence, short) = "stopped", _silence(row, where, message_names)
        elif kind == "split test":
            signal, (sentence, short) = "winner", _of_test(row, where, claims.tests, message_names)
        else:
            signal, (sentence, short) = "change", _of_change(row, where, message_names, currency)
        found.append(
            Signal(
                signal, str(row["flow_id"]), str(row["flow_message_id"]), str(row["statistic"]), sentence, short,
                float(row["q_value"]), since=str(row["silent_since"]) if signal == "stopped" else "",
                weeks=LASTING_WEEKS if kind == "lasting" else 1,
                direction=_WAYS.get(str(row["direction"]), "") if signal == "change" else "",
            )
        )  # fmt: skip
    return found


_WAYS = {"up": "higher", "down": "lower"}
Texts = tuple[str, str]


def _of_change(row: Mapping[str, Any], where: str, names: Mapping[str, str], currency: str | None) -> Texts:
    """``fell from a usual 7.74 % to 5.97 % (−23 %, interval −34 % to −10 %)``, with the cause where one is known."""
    verb, side = ("rose", "above") if row["direction"] == "up" else ("fell", "below")
    usual, now = (formats.statistic_text(row[of], str(row["statistic"]), currency) for of in ("usual", "now"))
    moved = f"{verb} from a usual {usual} to {now}"
    if row["kind"] == "money":
        claim = f"evenue per recipient of {where} is {side} its usual range"
        return f"R{claim}: it {moved} ({_size(row)}).", f"the r{claim}"
    if row["kind"] == "message":
        where = f"message “{_name(names, row['flow_message_id'])}” of {where}"
    if row["kind"] == "lasting":
        moved += f" over {LASTING_WEEKS} weeks together"
    label = formats.statistic_label(str(row["statistic"]))
    parts = ("cause_text", "cause_short") if row["cause_text"] else ()
    cause, short = [f"; it comes from {row[part]}" for part in parts] or ["", ""]
    return f"{label} of {where} {moved} ({_size(row)}){cause}.", f"the {label.lower()} of {where} {moved}{short}"


def _size(row: Mapping[str, Any]) -> str:
    change, low, high = (size_text(float(row[side]), signed=True) for side in ("change", "low", "high"))
    return f"{change}, interval {low} to {high}"


def _of_test(row: Mapping[str, Any], where: str, tests: pd.DataFrame, names: Mapping[str, str]) -> Texts:
    """The better variation of two, and whether the test may be stopped."""
    of_test = tests[(tests["flow_id"] == row["flow_id"]) & (tests["flow_message_id"] == row["flow_message_id"])]
    rates = dict(zip(of_test["variation"].astype(str), of_test["rate"], strict=True))
    mine = of_test[of_test["variation"] == row["variation"]].iloc[0]
    pair = [str(row["variation"]), next(iter(rates))][:: 1 if row["direction"] == "up" else -1]
    better, worse = (f"“{_name(names, variation)}”" for variation in pair)
    rate = " against ".join(formats.percent_text(rates[variation]) for variation in pair)
    more = [
        "The test may be stopped." if bool(mine["may_stop"]) else "",
        *(f"But it has more {w}." for w in ("complaints", "unsubscribes") if str(mine[w]) == "worse"),
        "Its sends are not divided as planned: look at that first." if bool(mine["is_ratio_off"]) else "",
    ]
    sentence = (
        f"In the test of “{_name(names, row['flow_message_id'])}” ({where}) the variation {better} gets more clicks "
        f"than {worse}: {rate} in the {mine['weeks']} weeks since the test began ({_size(row)}; this holds however "
        "often one looks). "
    )
    return sentence + " ".join(filter(None, more)), f"in {where} the variation {better} gets more clicks than {worse}"


def _silence(row: Mapping[str, Any], where: str, names: Mapping[str, str]) -> Texts:
    """Since when, and how much it sent before; a message's carries the message's name."""
    day, unit = f"{pd.Timestamp(row['silent_since']):%A %-d %B}", row["silent_unit"]
    clause = f"has sent nothing since {'the week of ' * (unit == 'week')}{day}, "
    clause += f"after about {formats.count_text(row['sent_before'])} recipients a {unit}"
    if row["flow_message_id"]:
        where = f"message “{_name(names, row['flow_message_id'])}” of {where}"
    return f"{where[0].upper()}{where[1:]} {clause}.", f"{where} {clause}"


def account_changes(claims: Claims) -> tuple[list[str], list[str]]:
    """What changed in the account as a whole: what all flows share, and what shows over all of them only."""
    common = {} if claims.common.empty else claims.common.set_index("statistic")[["low", "high"]].to_dict("index")
    together: list[str] = []
    alone: list[str] = []
    changed = claims.changed
    for row in changed[changed["kind"] == "account"].to_dict("records"):
        move = common.get(row["statistic"], {"low": float("nan"), "high": float("nan")})
        shared = move["high"] < 0 if row["direction"] == "down" else move["low"] > 0
        (together if shared else alone).append(str(row["text"]))
    return together, alone


def common_sentence(claims: Claims) -> str:
    """What the account did as a whole, once; empty where nothing of it changed."""
    heads = zip(("all flows moved together", "over all flows"), account_changes(claims), strict=True)
    return "; ".join(f"{head}: {', '.join(texts)}" for head, texts in heads if texts)


def rank(signals: list[Signal], worth: Mapping[str, float]) -> list[Signal]:
    """One signal per flow, message, statistic and kind (the first), urgent ones first, then by the money at stake."""
    best: dict[tuple[str, ...], Signal] = {}
    for signal in signals:
        best.setdefault((signal.flow_id, signal.flow_message_id, signal.statistic, signal.kind), signal)
    return sorted(best.values(), key=lambda s: (s.urgency, -abs(worth.get(s.flow_id, 0.0)), s.flow_id))


def to_frame(signals: list[Signal]) -> pd.DataFrame:
    """Signals as a table."""
    columns = ["kind", "flow_id", "flow_message_id", "statistic", "since", "q_value", "sentence"]
    return pd.DataFrame([{c: getattr(s, c) for c in columns} for s in signals], columns=columns)


def _name(names: Mapping[str, str], flow_id: object) -> str:
    return short_name(names.get(str(flow_id), str(flow_id)), 60)


# The week in five sentences, each made from the numbers.

_SHOWN = 3
_HEADINGS = {
    "moved": "Changed", "worth": "Worth", "stopped": "Stopped", "settling": "Settling", "first": "Look first",
}  # fmt: skip
_STILL_RUNS = "this week still runs, and a part of a week says nothing beside a whole one"


@dataclass(frozen=True)
class Sentence:
    """One of the five: its role (``"moved"``), the role's heading, the text, and the flow it leads to."""

    role: str
    heading: str
    text: str
    flow_id: str = ""


def five_sentences(
    answers: WeekData,
    signals: Sequence[Signal],
    tiles: Sequence[Tile],
    *,
    names: Mapping[str, str],
    claims: Claims,
    equal_age: bool,
    open_days: int,
    forecast: str,
    alone: str,
) -> list[Sentence]:
    """What changed, what it is worth, what stopped, what is still settling, what to look at first.

    Parameters
    ----------
    signals : sequence of Signal
        Ranked.
    claims : Claims
        All comparisons of the page.
    equal_age : bool
        Whether the week before was taken at the same age.
    open_days : int
        Days of the week that are younger than the attribution window.
    forecast : str
        Where the conversions will end, as a sentence; empty where nobody can say.
    alone : str
        Why the week is compared with none, as a sentence; empty where it is compared.
    """
    told = {
        "moved": _moved(signals, claims, alone),
        "worth": (_worth(answers, tiles, equal_age, open_days), ""),
        "stopped": _stopped(signals, claims),
        "settling": (_settling(open_days, forecast), ""),
        "first": _first(signals, names),
    }
    return [Sentence(role, _HEADINGS[role], text, flow_id) for role, (text, flow_id) in told.items()]


def not_compared(before: object, previous: object) -> tuple[dict[str, str], str]:
    """Why the week is compared with none: by the name of the frame for the tiles, and as a sentence; empty if it is.

    Parameters
    ----------
    before, previous : DataFrame or None
        The week before as it is compared with, and as it was answered.
    """
    if before is not None:
        return {}, ""
    if previous is not None:
        return {"previous": _STILL_RUNS}, f"The week before is not compared with: {_STILL_RUNS}."
    return {}, "This is the first week with sends: there is nothing to compare it with yet."


def _moved(signals: Sequence[Signal], claims: Claims, alone: str) -> Texts:
    moved = [s for s in signals if s.kind != "stopped"]
    parts = [s.short for s in moved[:_SHOWN]]
    if len(moved) > _SHOWN:
        parts.append(f"{_counted(len(moved) - _SHOWN, 'more signal')} below")
    parts += filter(None, [common_sentence(claims)])
    if parts:
        text = "; ".join(parts)
        text = f"{text[0].upper()}{text[1:]}." + (f" {alone}" if alone else "")
        return text, moved[0].flow_id if moved else ""
    if alone:
        return alone, ""
    number = sum(claims.comparisons.values())
    text = f"None of {number:,} comparisons shows a change beyond what weeks do on their own."
    whole = claims.frame[(claims.frame["kind"] == "account") & claims.frame["p_value"].notna()]
    sizes = f" Over all flows: {'; '.join(whole['text'])}." if len(whole) else ""
    return text + sizes, ""


def _worth(answers: WeekData, tiles: Sequence[Tile], equal_age: bool, open_days: int) -> str:
    by_name = {tile.statistic: tile for tile in tiles}
    value, orders = by_name["conversion_value"], by_name["conversions"]
    if value.value is None:
        count = f"{orders.value_text} conversions" if orders.value is not None else "no conversions that Klaviyo tells"
        return f"The conversion metric carries no money; the flows were credited with {count}."
    kinds = f" of {len(answers.metrics)} metrics" if len(answers.metrics) > 1 else ""
    valued = conversions_with_value(answers.current)
    part = 0 < valued[0] < valued[1]
    of = f"{formats.count_text(valued[0])} of {orders.value_text}" if part else orders.value_text
    text = f"The flows were credited with {value.value_text} from {of} conversions{kinds}"
    if part:
        text += f" (the other {formats.count_text(valued[1] - valued[0])} carry no money)"
    if value.difference is not None:
        more = "more" if value.difference > 0 else "less"
        amount = formats.money_text(abs(value.difference), value.currency)
        age = "at the same age" if equal_age else "as it stands today, with a head start in age"
        age = age if equal_age or open_days else "as it stands today, both weeks settled"
        text += f", {amount} {more} than the week before {age}"
    if value.year_ago is not None:
        text += f" ({answers.year_ago_words}, long complete, ended at {value.beside('year_ago')})"
    return f"{text}; {value.claim}." if value.claim else f"{text}."


def _stopped(signals: Sequence[Signal], claims: Claims) -> Texts:
    stopped = [s for s in signals if s.kind == "stopped"]
    if not stopped:
        watched = claims.frame[claims.frame["kind"] == "silence"]
        sent = int((watched["verdict"] == NO_CHANGE).sum())
        text = f"Of {_counted(len(watched), 'flow')} that were looked at, {sent} sent this week"
        rest = len(watched) - sent
        silent = f"; the silence of the other {rest} is no longer than their history explains" if rest else ""
        return f"{text}{silent}.", ""
    rest = len(stopped) - _SHOWN
    text = " ".join(s.sentence for s in stopped[:_SHOWN])
    more = f" {rest} more below." if rest > 0 else ""
    return text + more, stopped[0].flow_id


def _settling(open_days: int, forecast: str) -> str:
    if not open_days:
        return "The week is settled: every day is older than the attribution window."
    are = "is" if open_days == 1 else "are"
    days = f"{_counted(open_days, 'day')} of the week {are} younger than the attribution window"
    return f"{days}, so conversions and money still grow. {forecast or 'By how much is not known yet.'}"


def _first(signals: Sequence[Signal], names: Mapping[str, str]) -> Texts:
    if not signals:
        return "Nothing asks for a look first; the flows below are ordered by the money that moved.", ""
    top = signals[0]
    name = f"“{_name(names, top.flow_id)}”"
    if top.flow_message_id and top.kind != "winner":
        name = f"A message of {name}"
    advice = {
        "stopped": f"{name}: is it paused on purpose, or has its trigger stopped arriving?",
        "winner": f"{name}: end the test and send the better variation to all.",
    }.get(top.kind)
    if top.statistic == "spam_complaint_rate":
        advice = f"{name}: complaints endanger the delivery of everything else, find what people did not expect."
    if advice is None:
        label = formats.statistic_label(top.statistic).lower()
        advice = f"{name}: what changed in it, or in who receives it, when the {label} moved?"
    return advice, top.flow_id


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
