"""Everything of a week that asks for a look, as one list: what moved, what stopped, who won, what left its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from flowperf_helpers import formats
from flowperf_helpers.names import short_name
from flowperf_helpers.signals import MESSAGE_STOPPED

__all__ = ["Signal", "change_signals", "duel_signals", "duels_won", "limit_signals", "rank", "to_frame"]

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
        found.append(Signal("change", str(row["flow_id"]), "", rate, sentence, short, float(row["q_value"])))
    return found


def duels_won(duels: pd.DataFrame) -> pd.DataFrame:
    """The winning rows of `variation_duel`: best of their message, and better than the others beyond chance."""
    return duels[duels["is_best"].fillna(False).astype(bool) & duels["verdict"].eq("higher")] if len(duels) else duels


def duel_signals(duels: pd.DataFrame, names: Mapping[str, str], *, period: str) -> list[Signal]:
    """Variations that win their test; ``duels`` is the frame of `variation_duel`."""
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
        signals.append(Signal(kind, flow_id, message, str(row["statistic"]), text, short, since=since))
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
