"""A week in one message: subject, HTML and plain text for a mail, a few lines for a chat, one chart."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.report.html import fill
from flowperf_helpers.report.memory import Memory

__all__ = ["CHART", "Digest", "check_condition", "contents", "make_digest", "notice", "reason_to_send"]

CHART = "flowperf-weeks"
"""Content id of the chart inside the mail."""
_NUMBERS = ("conversion_value", "revenue_per_recipient", "delivered", "click_rate", "conversions", "open_rate")
_SHOWN = 6
"""Findings of each kind that a message tells; the report has all of them."""
_NOTE = "Results count on the day the message was sent."


@dataclass(frozen=True)
class Digest:
    """One message in the shapes that mail and chats take.

    Attributes
    ----------
    subject : str
        One line.
    text, html, chat : str
        Plain text of a mail, its HTML with styles inlined (empty: text only), and a few lines for a chat.
    chart : bytes
        PNG that the HTML shows as ``cid:flowperf-weeks``; empty: none.
    report_name : str
        Name of the page's file.
    """

    subject: str
    text: str
    html: str = ""
    chat: str = ""
    chart: bytes = field(default=b"", repr=False)
    report_name: str = ""


def notice(subject: str, text: str) -> Digest:
    """Return a message of plain text, for whoever looks after the runs."""
    return Digest(subject, textwrap.fill(text, 78) + "\n", chat=text)


def check_condition(condition: str) -> None:
    """Refuse a condition that `reason_to_send` does not know.

    Raises
    ------
    ArgumentError
        It is not ``always``, ``signal`` or ``change:PCT`` with a percentage.
    """
    kind, _, percent = condition.partition(":")
    number = re.fullmatch(r"\d+(\.\d+)?", percent)
    if condition not in ("always", "signal") and not (kind == "change" and number):
        raise ArgumentError(f"--send-if takes always, signal or change:PCT such as change:10, not {condition[:40]!r}.")


def reason_to_send(headline: Mapping[str, Any], memory: Memory, condition: str) -> str:
    """Return why a week's message goes out, as a sentence; empty where it does not.

    Parameters
    ----------
    condition : str
        ``"always"``; ``"signal"``: a finding is new or has ended; ``"change:PCT"``: the money (or what stands for it)
        moved by at least so many per cent. A change that nobody knows is sent, as it may be one.
    """
    if condition == "always":
        return "Sent after every report."
    if condition == "signal":
        return (
            f"Sent because of what is new: {memory.summary} (--send-if signal)." if memory.new or memory.ended else ""
        )
    least = float(condition.partition(":")[2])
    first = _numbers(headline)[0]
    change = _change(headline, first)
    if change is None or not first["previous"]:
        return f"Sent because nobody knows how {first['label'].lower()} changed (--send-if {condition})."
    moved = abs(change / first["previous"])
    if moved * 100 < least:
        return ""
    return f"Sent because {first['label'].lower()} moved by {formats.percent_text(moved)} (--send-if {condition})."


def make_digest(
    headline: Mapping[str, Any], memory: Memory, *, reason: str, link: str = "", report_name: str, mail: bool = True
) -> Digest:
    """Make the message of a week.

    Parameters
    ----------
    headline : mapping
        Of the ``.json`` file.
    memory : Memory
        Its findings beside those of earlier weeks.
    reason : str
        Of `reason_to_send`.
    link : str
        Address of the page; empty: the page is attached to a mail.
    report_name : str
        Name of the page's file.
    mail : bool
        Whether HTML and chart are made; a chat needs neither.
    """
    said = contents(headline, memory, link=link, reason=reason)
    parts = {"subject": said["subject"], "report_name": report_name, "chat": _chat(said, report_name)}
    if not mail:
        return Digest(text="", **parts)
    chart, words = _chart(headline)
    return Digest(text=_text(said), html=_html(said, words if chart else ""), chart=chart, **parts)


def contents(headline: Mapping[str, Any], memory: Memory, *, link: str = "", reason: str = "") -> dict[str, Any]:
    """Return what every shape of a week's message says, as texts.

    Parameters
    ----------
    headline, memory, link, reason
        See `make_digest`.
    """
    numbers = _numbers(headline)
    account, currency = headline["account"], headline["account"]["currency"]
    first = numbers[0]
    change = _change(headline, first)
    title = f"{first['text']}{' so far' if first['is_provisional'] else ''}"
    if change:
        amount = formats.statistic_text(abs(change), first["statistic"], currency)
        title += f", {amount} {'more' if change > 0 else 'less'} than the week before"
    shop = short_name(account["title"], 60)
    mark = "[SANDBOX] " if headline["sandbox"] else ""
    kinds = {"stopped" if signal["kind"] == "stopped" else "moved" for signal in headline["signals"]}
    return {
        "sandbox": headline["sandbox"],
        "subject": f"{mark}{shop}, week {headline['week'][-2:]}: {title.partition(',')[0] if change is None else title}"
        f", {memory.summary}",
        "shop": shop,
        "when": f"week {int(headline['week'][-2:])}, {_days(headline['first_day'], headline['last_day'])}",
        "partial": headline["is_partial"],
        "title": title,
        # a sentence that only lists the findings gives way to the list below
        "sentences": [s for s in headline["sentences"] if s["role"] not in kinds],
        "new": [signal["text"] for signal in memory.new[:_SHOWN]],
        "still": [(words, signal["text"]) for signal, words in memory.still[:_SHOWN]],
        "ended": [signal["text"] for signal in memory.ended[:_SHOWN]],
        "more": sum(max(0, len(found) - _SHOWN) for found in (memory.new, memory.still, memory.ended)),
        "new_heading": "New this week" if memory.known else "What was found",
        "numbers": [
            {
                "label": number["label"] + (" so far" if number["is_provisional"] else ""),
                "text": number["text"],
                "change": _change_words(headline, number),
            }
            for number in numbers
        ],
        "link": link,
        "reason": reason,
        "note": _NOTE,
        "made": f"Made by flowperf on {_moment(headline['made_at'])}, {account['timezone']} time.",
    }


def _numbers(headline: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return four headline numbers, money first; the first one has a value where any of them has."""
    found = {number["statistic"]: number for number in headline["numbers"]}
    wanted = [found[name] for name in _NUMBERS if name in found] or list(found.values())
    known = [number for number in wanted if number["value"] is not None]
    return (known + [number for number in wanted if number["value"] is None])[:4]


def _change(headline: Mapping[str, Any], number: Mapping[str, Any]) -> float | None:
    """Return the change since the week before; None while the two weeks are of unequal age and it still grows."""
    if number["is_provisional"] and not headline["compared_at_equal_age"]:
        return None
    return None if number["difference"] is None else float(number["difference"])


def _change_words(headline: Mapping[str, Any], number: Mapping[str, Any]) -> str:
    change = _change(headline, number)
    if change is None:
        return "change not known"
    text = formats.difference_text(change, number["statistic"], headline["account"]["currency"])
    claim = number.get("claim")
    return f"{text} on the week before{f'; {claim}' if claim else ''}"


def _days(first: str, last: str) -> str:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    begins = f"{start.day}" if (start.year, start.month) == (end.year, end.month) else f"{start.day} {start:%B}"
    years = f" {start.year}" if start.year != end.year else ""
    return f"{begins}{years} to {end.day} {end:%B %Y}"


def _moment(iso: str) -> str:
    made = datetime.fromisoformat(iso)
    return f"{made:%A} {made.day} {made:%B %Y, %H:%M}"


def _html(said: Mapping[str, Any], chart_words: str) -> str:
    import css_inline

    page = fill("digest", **said, chart=CHART if chart_words else "", chart_words=chart_words)
    return css_inline.CSSInliner(keep_style_tags=False, load_remote_stylesheets=False).inline(page)


def _text(said: Mapping[str, Any]) -> str:
    """Return the plain text of the mail, 78 characters wide."""
    blocks = [f"{said['shop']}, {said['when']}{' (still running)' if said['partial'] else ''}", said["title"]]
    if said["sandbox"]:
        blocks.insert(0, "SANDBOX: invented shop, invented numbers")
    blocks += [f"{s['heading']}: {s['text']}" for s in said["sentences"]]
    blocks += _findings(said)
    width = max(len(number["label"]) for number in said["numbers"])
    blocks.append("\n".join(f"{n['label']:<{width}}  {n['text']:>10}  ({n['change']})" for n in said["numbers"]))
    blocks.append(f"The whole report: {said['link']}" if said["link"] else "The whole report is attached.")
    blocks.append(f"{said['reason']} {said['note']} {said['made']}")
    wrap = textwrap.TextWrapper(78, break_long_words=False, break_on_hyphens=False, subsequent_indent="")
    return "\n\n".join("\n".join(wrap.fill(line) for line in block.splitlines()) for block in blocks) + "\n"


def _findings(said: Mapping[str, Any]) -> list[str]:
    lines = [f"{said['new_heading']}: {text}" for text in said["new"]]
    lines += [f"Still so, {words}: {text}" for words, text in said["still"]]
    lines += [f"Not found any more: {text}" for text in said["ended"]]
    return lines + ([f"{said['more']} more in the report."] if said["more"] else [])


def _chat(said: Mapping[str, Any], report_name: str) -> str:
    """Return a few lines; nothing that a stranger typed mentions anybody or becomes a link."""
    lines = [said["title"], *_findings(said)]
    lines += [f"{number['label']}: {number['text']} ({number['change']})" for number in said["numbers"]]
    inert = "\n".join(lines).translate(
        {ord("<"): "‹", ord(">"): "›", ord("@"): "@\u2060", ord("`"): "'", ord("["): "(", ord("]"): ")"}
    )
    return f"{inert}\n{said['link'] or report_name}"


def _chart(headline: Mapping[str, Any]) -> tuple[bytes, str]:
    """Draw the last weeks' money (or what was delivered) as PNG, and say it in words; nothing for a first week."""
    from flowperf_helpers.plots.weeks import weeks_png

    weeks = headline.get("weeks", [])
    statistic = next((s for s in ("conversion_value", "delivered") if any(week[s] for week in weeks)), "")
    if len(weeks) < 2 or not statistic:
        return b"", ""
    currency = headline["account"]["currency"]
    label = f"{formats.statistic_label(statistic)} by week"
    if headline["sandbox"]:
        label += " (SANDBOX: invented numbers)"
    values = [week[statistic] for week in weeks]
    soft = [week["is_provisional"] for week in weeks]
    days = [week["first_day"] for week in weeks]
    last = formats.statistic_text(values[-1], statistic, currency) + (" so far" if soft[-1] else "")
    known = [value for value in values[:-1] if value is not None] or [0.0]
    words = (
        f"{label}, {len(weeks)} weeks: {last} in the last one, "
        f"{formats.statistic_text(min(known), statistic, currency)} to "
        f"{formats.statistic_text(max(known), statistic, currency)} in those before."
    )
    return weeks_png(days, values, soft, title=label, last=last, statistic=statistic, currency=currency), words
