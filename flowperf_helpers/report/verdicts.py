"""What the page says of a week's claims: findings as titles, the lines of the table, what to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from flowperf_helpers.frames.formats import count_text, money_text, percent_text, short_name, statistic_text

__all__ = [
    "EVENTS",
    "Verdict",
    "about",
    "channel_word",
    "message_name",
    "quiet_line",
    "share_words",
    "verdicts",
]

EVENTS = {
    "open_rate": "opens", "click_rate": "clicks", "conversion_rate": "orders", "unsubscribe_rate": "unsubscribes",
    "spam_complaint_rate": "complaints", "conversion_value": "revenue",
    "revenue_per_recipient": "revenue per recipient",
}  # fmt: skip
"""What a rate counts, in a reader's words."""

_SHARES = {0.1: "a tenth", 0.2: "a fifth", 0.25: "a quarter", 1 / 3: "a third", 0.4: "two fifths", 0.5: "half",
           0.6: "three fifths", 2 / 3: "two thirds", 0.75: "three quarters"}  # fmt: skip
_TIMES = {2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times", 7: "seven times",
          8: "eight times", 9: "nine times", 10: "ten times"}  # fmt: skip
_LASTING = {"lasting": " over four weeks"}
_URGENCY = {"silence": 0, "split test": 2.5}
_CHANNELS = {"email": "email", "sms": "SMS", "push-notification": "push", "whatsapp": "WhatsApp"}


@dataclass(frozen=True)
class Verdict:
    """One finding of the week about a flow or the account.

    Attributes
    ----------
    flow_id : str
        Empty for the account.
    kind, statistic : str
        Of the claim.
    glyph : str
    tone : {"bad", "good", ""}
        By meaning, not by direction.
    line : str
        For the table: a few words.
    title, text, action : str
        The finding, its numbers with the cause, and what to do about it.
    """

    flow_id: str
    kind: str
    statistic: str
    glyph: str
    tone: str
    line: str
    title: str
    text: str
    action: str = ""
    message_id: str = ""


def about(value: float, currency: str | None = None, *, digits: int = 3) -> str:
    """Money or a count rounded as a sentence needs it.

    >>> about(112_745.8, "EUR"), about(7_199.0, "EUR", digits=2), about(143.6)
    ('€113,000', '€7,200', '144')
    """
    rounded = float(f"{value:.{digits}g}")
    return money_text(rounded, currency) if currency is not None else count_text(rounded)


def share_words(share: float) -> str:
    r"""A share in words where one fits, else as per cent.

    >>> share_words(0.26), share_words(0.31), share_words(0.85).replace("\xa0", " ")
    ('a quarter', 'a third', '85 %')
    """
    closest = min(_SHARES, key=lambda known: abs(known - share))
    return _SHARES[closest] if abs(closest - share) <= 0.025 else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def channel_word(channel: object) -> str:
    """A channel as people write it."""
    return _CHANNELS.get(str(channel), str(channel))


def message_name(name: object, flow: object) -> str:
    """A message's name without the flow's name before it."""
    text = str(name)
    rest = text.removeprefix(str(flow)).lstrip(" :–-|/")
    return short_name(rest if rest and rest != text else text, 60)


def verdicts(
    claims: pd.DataFrame,
    *,
    names: Mapping[str, str],
    messages: Mapping[str, str],
    money: Mapping[str, str],
    week: date,
    currency: str | None = None,
) -> list[Verdict]:
    """One verdict per flow and statistic that changed, those that hurt first.

    Parameters
    ----------
    claims : DataFrame
        Of the week's numbers.
    money : mapping of str to str
        Flow id to a sentence about its money, such as ``about €7,200 a week; this week €2,062``.
    week : date
        First day of the week.
    currency : str, optional
        Of the account.
    """
    changed = claims[claims["verdict"].eq("changed") & claims["kind"].ne("account")]
    found: dict[tuple[str, str], tuple[tuple[float, ...], Verdict]] = {}
    rows: list[Any] = changed.to_dict("records")
    for row in rows:
        flow = short_name(names.get(str(row["flow_id"]), str(row["flow_id"])), 48)
        made = _verdict(row, flow, messages, money.get(str(row["flow_id"]), ""), week, currency)
        if made is None:
            continue
        order = _order(row)
        key = (made.flow_id, made.statistic if made.kind != "split test" else "test")
        if key not in found or order < found[key][0]:
            found[key] = (order, made)
    ranked = [made for _, made in sorted(found.values(), key=lambda pair: pair[0])]
    silent = {made.flow_id for made in ranked if made.kind == "silence"}
    tested = {made.flow_id for made in ranked if made.kind == "split test"}
    return [
        made
        for made in ranked
        if made.kind == "silence"
        or (made.flow_id not in silent and not (made.kind == "lasting" and made.flow_id in tested))
    ]


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float("nan") if value is None or pd.isna(value) else float(value)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None or pd.isna(value) else str(value)


def _order(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Silence, then complaints, then what hurts, then what is well, then tests; flows before their messages."""
    urgency = _URGENCY.get(str(row["kind"]), 1 if row["statistic"] == "spam_complaint_rate" else 2)
    good = bool(row["is_good"]) if not pd.isna(row["is_good"]) else False
    inside = {"silence": 0, "flow": 1, "money": 1, "message": 2, "lasting": 3}.get(str(row["kind"]), 4)
    change = abs(_number(row, "change"))
    return (urgency + (1 if good and urgency == 2 else 0), inside, 0.0 if change != change else -change)


def _verdict(
    row: Mapping[str, Any], flow: str, messages: Mapping[str, str], money: str, week: date, currency: str | None
) -> Verdict | None:
    kind, statistic = str(row["kind"]), str(row["statistic"])
    flow_id = _text(row, "flow_id")
    if kind == "silence":
        return _silent(row, flow_id, flow, messages, money, week)
    if kind == "split test":
        return _test(row, flow_id, flow, messages)
    if statistic not in EVENTS or not flow_id:
        return None
    now, usual, change = (_number(row, name) for name in ("now", "usual", "change"))
    events, up = EVENTS[statistic], str(row["direction"]) in ("higher", "up")
    tone = "good" if bool(row["is_good"]) else "bad"
    message = _text(row, "cause_message_id") or _text(row, "flow_message_id")
    share = _number(row, "cause_share") if kind != "message" else 1.0
    shown = message_name(messages.get(message, message), flow) if message else ""
    shown_now, shown_usual = (statistic_text(number, statistic, currency) for number in (now, usual))
    return Verdict(
        flow_id, kind, statistic, "▲" if up else "▼", tone,
        f"{events} {'up' if up else 'down'}" + (", one message" if shown and share >= 0.9 else ""),
        _change_title(f"“{shown}” of {flow}" if kind == "message" else flow, events, up,
                      now / usual if usual else float("nan"), change) + _LASTING.get(kind, ""),
        f"{shown_now} against a usual {shown_usual}. {_cause(shown, share, kind, row)}".strip(),
        _change_action(tone, statistic, shown if share >= 0.5 else ""),
        message,
    )  # fmt: skip


def _change_title(flow: str, events: str, up: bool, times: float, change: float) -> str:
    if up and times >= 1.75:
        many = _TIMES.get(round(times), f"{times:.0f} times")
        return f"{flow} draws {many} its usual {events}"
    if up:
        return f"{flow} gained {share_words(abs(change))} in {events}"
    return f"{flow} lost {share_words(abs(change))} of its {events}"


def _cause(message: str, share: float, kind: str, row: Mapping[str, Any]) -> str:
    words, rates = _text(row, "cause_text"), _text(row, "cause_rates")
    between = f" ({rates})" if rates else ""
    if kind == "message" or not (words or message):
        return ""
    if message and share >= 0.9:
        return f"All of it in “{message}”{between}; the other messages show no such change."
    if message:
        return f"{100 * share:.0f} % of it in “{message}”{between}."
    return f"Most of it: {words}." if words else ""


def _change_action(tone: str, statistic: str, message: str) -> str:
    named = f"“{message}”" if message else "it"
    if tone == "good":
        return f"keep it; what was edited in {named}?"
    if statistic in ("spam_complaint_rate", "unsubscribe_rate"):
        return f"pause {named}, then look at who received it." if message else "look at who receives it since then."
    return f"what was edited in {named}, or in who receives it, before this week?"


def _silent(
    row: Mapping[str, Any], flow_id: str, flow: str, messages: Mapping[str, str], money: str, week: date
) -> Verdict:
    message = _text(row, "flow_message_id")
    who = f"“{message_name(messages.get(message, message), flow)}” of {flow}" if message else flow
    silent_since = _text(row, "silent_since")
    day = pd.Timestamp(silent_since) if silent_since else None
    since = "" if day is None else f" since {day:%A}" if day.date() >= week else f" since {day:%-d %B}"
    usual = _number(row, "sent_before")
    people = f"Usually {about(usual)} people a day" if usual == usual else "Usually it sends"
    text = f"{people}{f' and {money}' if money and not message else ''}."
    return Verdict(
        flow_id, "silence", "recipients", "■", "bad", f"silent since {day:%a %-d %b}" if day is not None else "silent",
        f"{who} is silent{since}", text, "was it paused on purpose, or has its trigger stopped?", message,
    )  # fmt: skip


def _test(row: Mapping[str, Any], flow_id: str, flow: str, names: Mapping[str, str]) -> Verdict:
    arm = _text(row, "variation")
    verb = "wins" if str(row["direction"]) in ("higher", "up") else "loses"
    now, usual = _number(row, "now"), _number(row, "usual")
    rates = f", {percent_text(now)}" + (f" against {percent_text(usual)}" if usual == usual else "")
    text = f"the test in {flow}. “{short_name(names.get(arm, arm), 60)}” {verb} on clicks{rates}."
    line = f"test decided on {EVENTS.get(str(row['statistic']), 'clicks')}"
    return Verdict(
        flow_id, "split test", str(row["statistic"]), "◆", "", line,
        f"The test in {flow} is decided", text, "send the winner to all, if orders do not speak against it.",
        _text(row, "flow_message_id"),
    )  # fmt: skip


def quiet_line(row: Mapping[str, Any] | None) -> str:
    """What a rate without a change could have shown, with the size."""
    if row is None:
        return ""
    events, verdict = EVENTS.get(str(row["statistic"]), ""), str(row["verdict"])
    excluded, visible = _number(row, "excluded"), _number(row, "visible")
    if verdict == "no change larger than" and excluded == excluded:
        return f"{events}: no change larger than {100 * excluded:.0f}\N{NO-BREAK SPACE}%"
    if verdict == "cannot tell yet" and visible == visible:
        return f"{events}: cannot tell below ±{100 * visible:.0f}\N{NO-BREAK SPACE}%"
    return f"{events}: too few to say" if verdict == "too few" else ""
