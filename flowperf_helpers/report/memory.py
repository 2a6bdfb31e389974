"""What earlier weeks already said: which findings are new, which still hold, which are gone.

Reports are compared by what each week's file says for itself, never by what was said when it was made. So the same
files give the same text whatever the order in which the weeks were run, and however often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from flowperf_helpers.account.timeframes import iso_week

__all__ = ["Memory", "linked_weeks", "marked_since", "memory_part", "page_before", "remember"]

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

Signal = Mapping[str, Any]
"""One of a headline's ``signals``."""


@dataclass(frozen=True)
class Memory:
    """A week's findings beside those of the weeks before it.

    Attributes
    ----------
    new : list of dict
        Signals that the week before did not have, or nobody knows as it has no report.
    still : list of tuple
        Signals that it had too, each with the words for how long: ``"third week"``.
    ended : list of dict
        Signals of the week before that are not found any more.
    known : bool
        Whether the week before has a report.
    """

    new: list[Signal]
    still: list[tuple[Signal, str]]
    ended: list[Signal]
    known: bool

    @property
    def summary(self) -> str:
        """``2 new findings, 1 ended``, for a subject line."""
        if not self.new and not self.ended:
            return "nothing new" if self.known else "no finding"
        counted = f"{len(self.new)} new finding{'' if len(self.new) == 1 else 's'}"
        parts = ([counted] if self.new else []) + ([f"{len(self.ended)} ended"] if self.ended else [])
        return ", ".join(parts)


def remember(headline: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]]) -> Memory:
    """Compare a week's findings with those of the weeks before it.

    Parameters
    ----------
    headline : mapping
        Of the ``.json`` file.
    earlier : iterable of mapping
        Other weeks' files, in any order; those of other accounts and of later weeks do not count.
    """
    weeks = {
        other["week"]: {_key(signal): signal for signal in other.get("signals", ())}
        for other in earlier
        if other["account"]["name"] == headline["account"]["name"]
    }
    before = _week_before(headline["week"])
    last = weeks.get(before)
    now = {_key(signal): signal for signal in headline.get("signals", ())}
    still = [(signal, _words(_lasted(key, before, weeks))) for key, signal in now.items() if key in (last or {})]
    return Memory(
        new=[signal for key, signal in now.items() if key not in (last or {})],
        still=still,
        ended=[signal for key, signal in (last or {}).items() if key not in now],
        known=last is not None,
    )


def marked_since(first_screen: str, memory: Memory) -> str:
    """The first screen with the words for how long beside each finding that still holds."""
    lasted = {(s["flow_id"], s["statistic"]): words for s, words in memory.still}
    lasted |= {(s["flow_id"], s["statistic"]): words for s, words in memory.still if not s.get("flow_message_id")}
    for (flow_id, statistic), words in lasted.items():
        place = Markup("<!--since {} {}-->").format(flow_id, statistic)
        first_screen = first_screen.replace(place, Markup(' <span class="sub">still so, {}</span>').format(words))
    return first_screen


def page_before(
    headline: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]], prefix: str = "weekly"
) -> dict[str, str]:
    """The page of the last report before a week, its words by its file's name; empty where there is none."""
    weeks = [other["week"] for other in earlier if other["week"] < headline["week"]]
    last = max(weeks, default="")
    return {f"{prefix}-{headline['account']['name']}-{last}.html": f"Week {int(last[-2:])}"} if last else {}


def linked_weeks(page: str, links: Mapping[str, str]) -> str:
    """A page with links to other weeks in its head: words by address, as the files will lie beside each other."""
    items = Markup("").join(
        Markup('<a href="{}">{}</a>').format(quote(address), words) for address, words in links.items()
    )
    nav = Markup('<nav aria-label="Other weeks">{}</nav>').format(items)
    return page.replace("<!--weeks-->", nav, 1) if links else page


def memory_part(memory: Memory) -> str:
    """The part of the page that says which findings are old news and which are gone; empty where there are none."""
    from flowperf_helpers.report.html import render

    if not memory.still and not memory.ended:
        return ""
    still = [(words, signal["text"]) for signal, words in memory.still]
    return str(render("memory", still=still, ended=[signal["text"] for signal in memory.ended]).html)


def _key(signal: Signal) -> tuple[str, ...]:
    """What makes a finding the same one in another week: a flow's or message's statistic, and which way it went."""
    place = (str(signal["flow_id"]), str(signal.get("flow_message_id") or ""), str(signal["statistic"]))
    return (*place, str(signal.get("direction") or signal["kind"]))


def _week_before(label: str) -> str:
    return str(iso_week(label).previous().week)


def _lasted(key: tuple[str, ...], before: str, weeks: Mapping[str, Mapping[Any, Signal]]) -> int:
    """Weeks in a row, this one included, that have a finding."""
    count = 1
    while key in weeks.get(before, {}):
        count, before = count + 1, _week_before(before)
    return count


def _words(count: int) -> str:
    return f"{_ORDINALS[count - 1]} week" if count <= len(_ORDINALS) else f"for {count} weeks"
