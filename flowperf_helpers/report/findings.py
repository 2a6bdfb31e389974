"""Everything of a week that asks for a look, ranked, and the week in sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.report.tiles import Tile
from flowperf_helpers.stats.signals import MESSAGE_STOPPED

__all__ = [
    "Sentence",
    "Signal",
    "change_signals",
    "duel_signals",
    "duels_won",
    "five_sentences",
    "limit_signals",
    "not_compared",
    "rank",
    "to_frame",
]


# Everything of a week that asks for a look, as one list: what moved, what stopped, who won, what left its limits.

_WORSE = {"unsubscribe_rate", "spam_complaint_rate", "bounce_rate", "failed_rate", "bounced_or_failed_rate"}
_URGENCY = {"stopped": 0, "complaints": 1, "change": 2, "winner": 3, "limits": 4}


@dataclass(frozen=True)
class Signal:
    """One thing to look at.

    Attributes
    ----------
    kind : {"change", "stopped", "winner", "limits"}
    flow_id, flow_message_id, statistic : str
        Where; a message's id is empty where it is the flow as a whole.
    sentence, short : str
        For people, made from the numbers: with the interval, and as a part of a longer sentence.
    q_value : float
        Strength; NaN where it is not a test.
    worth : float
        Money the flow made more (less) than the week before; NaN where unknown. Only for ordering.
    since : str
        Date, where one is known.
    direction : str
        ``"higher"`` or ``"lower"`` where it has one; with flow and statistic it tells whether an earlier week found
        the same.
    """

    kind: str
    flow_id: str
    flow_message_id: str
    statistic: str
    sentence: str
    short: str
    q_value: float = float("nan")
    worth: float = float("nan")
    since: str = ""
    direction: str = ""

    @property
    def urgency(self) -> int:
        """Order of the kinds on the page: silence and complaints before everything else."""
        return _URGENCY["complaints"] if self.statistic == "spam_complaint_rate" else _URGENCY.get(self.kind, 9)


def change_signals(table: pd.DataFrame, names: Mapping[str, str]) -> list[Signal]:
    """Rates of flows that moved beyond chance."""
    moved = table[table["verdict"].isin(["higher", "lower"])] if len(table) else table
    found = []
    for row in moved.to_dict("records"):
        rate = str(row["statistic"])
        label = formats.statistic_label(rate).lower()
        verb = "rose" if row["verdict"] == "higher" else "fell"
        extra = float(row["difference"]) * float(row["denominator_after"])
        name = _name(names, row["flow_id"])
        change = f"from {formats.percent_text(row['rate_before'])} to {formats.percent_text(row['rate_after'])}"
        about = f"about {formats.count_text(abs(extra))} {_events(rate)} {'more' if extra > 0 else 'fewer'}"
        interval = f"{formats.points_text(row['low'])} to {formats.points_text(row['high'])}"
        sentence = (
            f"{label.capitalize()} of “{name}” {verb} {change} ({formats.points_text(row['difference'])}, "
            f"95 % interval {interval}): {about} than at the rate before."
        )
        short = f"the {label} of “{name}” {verb} {change} ({about})"
        q_value, way = float(row["q_value"]), str(row["verdict"])
        found.append(Signal("change", str(row["flow_id"]), "", rate, sentence, short, q_value, direction=way))
    return found


def duels_won(duels: pd.DataFrame) -> pd.DataFrame:
    """The winning rows of `compare_variations`: best of their message, and better than the others beyond chance."""
    return duels[duels["is_best"].fillna(False).astype(bool) & duels["verdict"].eq("higher")] if len(duels) else duels


def duel_signals(duels: pd.DataFrame, names: Mapping[str, str], *, period: str) -> list[Signal]:
    """Variations that win their test; ``duels`` is the frame of `compare_variations`."""
    found = []
    for row in duels_won(duels).to_dict("records"):
        name = row.get("variation_name")
        label = row["variation"] if name is None or pd.isna(name) else name
        flow, variation = _name(names, row["flow_id"]), short_name(label, 60)
        sentence = (
            f"Variation “{variation}” wins in “{flow}”: click rate {formats.percent_text(row['rate'])} over {period}, "
            f"the best with a probability of {formats.probability_text(row['probability_best'])}."
        )
        short = f"in “{flow}” the variation “{variation}” wins"
        found.append(Signal("winner", str(row["flow_id"]), str(row["flow_message_id"]), "click_rate", sentence, short))
    return found


def limit_signals(found: pd.DataFrame, names: Mapping[str, str]) -> list[Signal]:
    """Silent flows and messages, and points and runs outside limits; ``found`` is the frame of `find_signals`.

    A message's number is told as the message's: a flow's other messages are not in it.
    """
    signals = []
    for row in found.to_dict("records"):
        kind = "stopped" if row["direction"] == "stopped" else "limits"
        flow_id, message = str(row["flow_id"]), _text(row.get("flow_message_id"))
        sentence = str(row["sentence"])
        if kind == "stopped":
            # the first clause of the sentence, its day written out
            day = pd.Timestamp(row["interval_start"])
            sentence = sentence.partition(";")[0].rstrip(".").replace(f"{day:%Y-%m-%d}", f"{day:%A %-d %B}") + "."
            sentence = re.sub(r" in each (interval|day|week) with sends", _each, sentence)
            message = message if row["reason"] == MESSAGE_STOPPED else ""
        where = f"“{_name(names, flow_id)}”"
        if message:
            where = f"message “{short_name(_text(row.get('flow_message_name')) or message, 60)}” of {where}"
        if kind == "stopped":
            text = where[0].upper() + where[1:] + sentence[sentence.rindex("” has sent nothing") + 1 :]
        else:
            text = f"{where[0].upper()}{where[1:]}: {sentence}"
        label = formats.statistic_label(str(row["statistic"])).lower()
        short = f"the {label} of {where} left its limits ({row['direction']})"
        since = _day(row.get("interval_start"))
        way = "" if kind == "stopped" else str(row["direction"])
        signals.append(Signal(kind, flow_id, message, str(row["statistic"]), text, short, since=since, direction=way))
    return signals


def _each(found: re.Match[str]) -> str:
    return f" a {found[1]}"


def rank(signals: list[Signal], worth: Mapping[str, float]) -> list[Signal]:
    """One signal per flow and statistic (the strongest kind), urgent ones first, then by the money at stake."""
    best: dict[tuple[str, str, str], Signal] = {}
    for signal in sorted(signals, key=lambda s: s.urgency):
        key = (signal.flow_id, signal.statistic, "winner" if signal.kind == "winner" else "")
        best.setdefault(key, signal)
    return sorted(best.values(), key=lambda s: (s.urgency, -abs(worth.get(s.flow_id, 0.0)), s.flow_id))


def to_frame(signals: list[Signal]) -> pd.DataFrame:
    """Signals as a table."""
    columns = ["kind", "flow_id", "flow_message_id", "statistic", "since", "q_value", "sentence"]
    return pd.DataFrame([{c: getattr(s, c) for c in columns} for s in signals], columns=columns)


def _name(names: Mapping[str, str], flow_id: object) -> str:
    return short_name(names.get(str(flow_id), str(flow_id)), 60)


def _events(rate: str) -> str:
    return {
        "open_rate": "opens", "click_rate": "clicks", "conversion_rate": "conversions",
        "unsubscribe_rate": "unsubscribes", "spam_complaint_rate": "complaints",
    }.get(rate, "events")  # fmt: skip


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]


def _day(value: object) -> str:
    return "" if value is None or pd.isna(value) else f"{pd.Timestamp(value):%Y-%m-%d}"  # type: ignore[call-overload, arg-type]


# The week in five sentences, each made from the numbers.

_SHOWN = 3
_STILL_RUNS = "this week still runs, and a part of a week says nothing beside a whole one"


@dataclass(frozen=True)
class Sentence:
    """One of the five: its role (``"moved"``), the role's heading, the text, and the flow it leads to."""

    role: str
    heading: str
    text: str
    flow_id: str = ""


def five_sentences(
    signals: Sequence[Signal],
    tiles: Sequence[Tile],
    *,
    names: Mapping[str, str],
    comparisons: int,
    equal_age: bool,
    open_days: int,
    forecast: str,
    alone: str = "",
    metrics: int = 1,
    valued: tuple[float, float] = (0.0, 0.0),
    year_ago: str = "the same week a year ago",
) -> list[Sentence]:
    """What moved beyond chance, what it is worth, what stopped, what is still settling, what to look at first.

    Parameters
    ----------
    signals : sequence of Signal
        Ranked.
    comparisons : int
        How many rates were judged against the week before.
    equal_age : bool
        Whether the week before was taken at the same age.
    open_days : int
        Days of the week that are younger than the attribution window.
    forecast : str
        Where the conversions will end, as a sentence; empty where nobody can say.
    alone : str
        Why the week is compared with none, as a sentence; empty where it is compared.
    metrics : int
        How many conversion metrics the conversions are of.
    valued : pair
        Conversions that carry money, and all.
    year_ago : str
        Which week stands for a year ago, in words.
    """
    return [
        _moved(signals, comparisons, alone),
        _worth(tiles, equal_age, open_days, metrics, valued, year_ago),
        _stopped(signals, names),
        _settling(open_days, forecast),
        _first(signals, names),
    ]


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


def _moved(signals: Sequence[Signal], comparisons: int, alone: str) -> Sentence:
    heading = "Beyond chance"
    moved = [s for s in signals if s.kind != "stopped"]
    if alone and not moved:
        return Sentence("moved", heading, alone)
    if not moved:
        return Sentence(
            "moved", heading,
            f"Nothing moved beyond what chance explains: {comparisons} rates were compared with the week before, "
            "and none shows evidence of a change.",
        )  # fmt: skip
    rest = len(moved) - _SHOWN
    text = "; ".join(s.short for s in moved[:_SHOWN])
    more = f"; {_counted(rest, 'more signal')} below" if rest > 0 else ""
    return Sentence(
        "moved", heading, text[0].upper() + text[1:] + more + "." + (f" {alone}" if alone else ""), moved[0].flow_id
    )


def _worth(
    tiles: Sequence[Tile], equal_age: bool, open_days: int, metrics: int, valued: tuple[float, float], year_ago: str
) -> Sentence:
    heading = "Worth"
    by_name = {tile.statistic: tile for tile in tiles}
    value, orders = by_name["conversion_value"], by_name["conversions"]
    if value.value is None:
        count = f"{orders.value_text} conversions" if orders.value is not None else "no conversions that Klaviyo tells"
        return Sentence("worth", heading, f"The conversion metric carries no money; the flows led to {count}.")
    kinds = f" of {metrics} metrics" if metrics > 1 else ""
    part = 0 < valued[0] < valued[1]
    of = f"{formats.count_text(valued[0])} of {orders.value_text}" if part else orders.value_text
    text = f"The flows brought {value.value_text} from {of} conversions{kinds}"
    if part:
        text += f" (the other {formats.count_text(valued[1] - valued[0])} carry no money)"
    if value.difference is not None:
        more = "more" if value.difference > 0 else "less"
        amount = formats.money_text(abs(value.difference), value.currency)
        age = "at the same age" if equal_age else "as it stands today, with a head start in age"
        age = age if equal_age or open_days else "as it stands today, both weeks settled"
        text += f", {amount} {more} than the week before {age}"
    if value.year_ago is not None:
        text += f" ({year_ago}, long complete, ended at {value.beside('year_ago')})"
    return Sentence(
        "worth", heading, text + "; Klaviyo tells no spread of money, so whether that is chance stays open."
    )


def _stopped(signals: Sequence[Signal], names: Mapping[str, str]) -> Sentence:
    stopped = [s for s in signals if s.kind == "stopped"]
    if not stopped:
        return Sentence("stopped", "Stopped", "No flow that had been sending fell silent.")
    rest = len(stopped) - _SHOWN
    text = " ".join(s.sentence for s in stopped[:_SHOWN])
    return Sentence(
        "stopped", "Stopped", text + (f" {_counted(rest, 'more flow')} below." if rest > 0 else ""), stopped[0].flow_id
    )


def _settling(open_days: int, forecast: str) -> Sentence:
    if not open_days:
        return Sentence("settling", "Settling", "The week is settled: every day is older than the attribution window.")
    are = "is" if open_days == 1 else "are"
    days = f"{_counted(open_days, 'day')} of the week {are} younger than the attribution window"
    return Sentence(
        "settling",
        "Settling",
        f"{days}, so conversions and money still grow. {forecast or 'By how much is not known yet.'}",
    )


def _first(signals: Sequence[Signal], names: Mapping[str, str]) -> Sentence:
    heading = "Look first"
    if not signals:
        return Sentence(
            "first", heading, "Nothing asks for a look first; the flows below are ordered by the money that moved."
        )
    top = signals[0]
    name = f"“{short_name(names.get(top.flow_id, top.flow_id), 60)}”"
    if top.flow_message_id and top.kind != "winner":
        name = f"A message of {name}"
    advice = {
        "stopped": f"{name}: is it paused on purpose, or has its trigger stopped arriving?",
        "winner": f"{name}: end the test and send the winner to all.",
        "limits": f"{name}: see what was different on those days.",
    }.get(top.kind)
    if top.statistic == "spam_complaint_rate":
        advice = f"{name}: complaints endanger the delivery of everything else, find what people did not expect."
    if advice is None:
        label = formats.statistic_label(top.statistic).lower()
        advice = f"{name}: what changed in it, or in who receives it, when the {label} moved?"
    return Sentence("first", heading, advice, top.flow_id)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
