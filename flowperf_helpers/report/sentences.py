"""The week in five sentences, each made from the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowperf_helpers import formats
from flowperf_helpers.names import short_name
from flowperf_helpers.report.signals import Signal
from flowperf_helpers.report.tiles import Tile

__all__ = ["Sentence", "five_sentences", "not_compared"]

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
