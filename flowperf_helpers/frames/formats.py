"""Numbers as people read them, and names that strangers typed, made safe to print."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from flowperf_helpers.frames.catalog import STATISTICS, Statistic

__all__ = [
    "MISSING",
    "NO_NAME",
    "VERDICT_SYMBOLS",
    "axis_title",
    "clean_name",
    "count_text",
    "difference_text",
    "graphemes",
    "interval_text",
    "money_text",
    "percent_text",
    "points_text",
    "probability_text",
    "short_name",
    "statistic_label",
    "statistic_text",
    "unique_names",
    "unit_of",
    "verdict_text",
]


# Numbers as people read them: rates as percent, changes in percentage points, money with its currency.
#
# Missing is ``–``, never 0. Spaces inside a number do not break a line.

MISSING = "–"
SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"

_SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$", "JPY": "¥"}

VERDICT_SYMBOLS = {
    "higher": "▲",
    "lower": "▼",
    "no evidence of a change": "•",
    "too few to say": "◦",
    "too few": "◦",
    "stopped": "■",
}
"""A verdict is shown by word and shape; colour only repeats it."""


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or not math.isfinite(float(value))


def _signed(text: str, value: float, *, plus: bool) -> str:
    if not any(c in "123456789" for c in text):  # rounds to nothing
        return text
    return (MINUS if value < 0 else "+" if plus else "") + text


def _percent_digits(size: float) -> int:
    if size in (0, 1):
        return 0
    if size >= 0.1:
        return 1
    if size >= 0.001:
        return 2
    if 1e-7 <= size < 1e-5:  # one digit of what is there: nothing in half a million has a limit that is not 0.000 %
        return math.ceil(-math.log10(100 * size))
    return 3


def percent_text(value: Any) -> str:
    r"""A fraction as percent, with the digits its size deserves.

    >>> percent_text(0.0421).replace("\xa0", " "), percent_text(0.331).replace("\xa0", " ")
    ('4.21 %', '33.1 %')
    """
    if _missing(value):
        return MISSING
    size = abs(float(value))
    return _signed(f"{100 * size:,.{_percent_digits(size)}f}{SPACE}%", float(value), plus=False)


def probability_text(value: Any) -> str:
    """A probability as percent, never as certain: what was drawn 10,000 times and always won is over 99.9 %."""
    if _missing(value):
        return MISSING
    share = float(value)
    if share > 0.999:
        return f"over 99.9{SPACE}%"
    return f"under 0.1{SPACE}%" if share < 0.001 else f"{100 * share:.1f}{SPACE}%"


def points_text(value: Any) -> str:
    r"""A difference of two fractions in percentage points, signed.

    >>> points_text(-0.0042).replace("\xa0", " ")
    '−0.42 points'
    """
    if _missing(value):
        return MISSING
    size = abs(float(value))
    return _signed(f"{100 * size:,.{_percent_digits(size)}f}{SPACE}points", float(value), plus=True)


def count_text(value: Any, *, plus: bool = False) -> str:
    """A count with thousands set apart."""
    return MISSING if _missing(value) else _signed(f"{abs(float(value)):,.0f}", float(value), plus=plus)


def money_text(
    value: Any, currency: str | None = None, *, plus: bool = False, compact: bool = False, whole: bool = False
) -> str:
    """Money with its currency: cents below 100, none above.

    ``compact`` shortens thousands and millions for axes; ``whole`` leaves the cents out, for columns read as one.

    >>> money_text(1234.5, "EUR"), money_text(12.5, "EUR"), money_text(2_500_000, "EUR", compact=True)
    ('€1,234', '€12.50', '€2.5M')
    """
    if _missing(value):
        return MISSING
    size = abs(float(value))
    bare = whole or size >= 100 or size == 0 or (compact and size == int(size))
    number = f"{size:,.0f}" if bare else f"{size:,.2f}"
    if compact and size >= 1000:
        scale, letter = (1e6, "M") if size >= 1e6 else (1e3, "k")
        number = f"{size / scale:,.3g}{letter}"
    symbol = _SYMBOLS.get(currency or "", f"{currency}{SPACE}" if currency else "")
    return _signed(symbol + number, float(value), plus=plus)


def _entry(statistic: str) -> Statistic | None:
    return STATISTICS.get(statistic)


def unit_of(statistic: str) -> str:
    """The catalogue's unit; a column it does not know counts as a fraction if its name ends in ``_rate``."""
    entry = _entry(statistic)
    if entry is not None:
        return entry.unit
    return "fraction" if statistic.endswith("rate") else "count"


def statistic_label(statistic: str) -> str:
    """The catalogue's label, or the column's name in words."""
    entry = _entry(statistic)
    return entry.label if entry is not None else statistic.replace("_", " ").capitalize()


def statistic_text(value: Any, statistic: str, currency: str | None = None) -> str:
    """A value of a statistic in its unit."""
    unit = unit_of(statistic)
    if unit == "fraction":
        return percent_text(value)
    if unit == "money":
        return money_text(value, currency)
    if unit in ("ratio", "credits"):
        return MISSING if _missing(value) else _signed(f"{abs(float(value)):,.2f}", float(value), plus=False)
    return count_text(value)


def difference_text(value: Any, statistic: str, currency: str | None = None) -> str:
    """A change of a statistic, signed: points for rates, money for money, else a count."""
    unit = unit_of(statistic)
    if unit == "fraction":
        return points_text(value)
    if unit == "money":
        return money_text(value, currency, plus=True)
    if unit in ("ratio", "credits"):
        return MISSING if _missing(value) else _signed(f"{abs(float(value)):,.2f}", float(value), plus=True)
    return count_text(value, plus=True)


def interval_text(low: Any, high: Any, statistic: str, currency: str | None = None) -> str:
    """Both ends of an interval, ``3.90 % to 4.50 %``; missing ends are one dash."""
    if _missing(low) or _missing(high):
        return MISSING
    return f"{statistic_text(low, statistic, currency)} to {statistic_text(high, statistic, currency)}"


def axis_title(statistic: str, currency: str | None = None, *, denominator: str | None = None) -> str:
    """Label and unit for an axis or a table head.

    >>> axis_title("click_rate"), axis_title("conversion_value", "EUR")
    ('Click rate (% of delivered)', 'Conversion value (EUR)')
    """
    entry = _entry(statistic)
    label, unit = statistic_label(statistic), unit_of(statistic)
    if unit == "fraction":
        part = denominator or (entry.denominators[0] if entry and entry.denominators else "")
        of = f" of {statistic_label(part).lower()}" if part else ""
        return f"{label} (%{of})"
    if unit == "money":
        return f"{label} ({currency or 'account currency'})"
    if unit == "ratio":
        return f"{label} (ratio)"
    if unit == "credits":
        return f"{label} (credits)"
    return f"{label} ({'people per message' if entry and entry.kind == 'unique' else 'count'})"


def verdict_text(verdict: Any) -> str:
    """Symbol and words of a verdict."""
    if verdict is None or verdict is pd.NA or verdict != verdict:
        return MISSING
    return f"{VERDICT_SYMBOLS.get(str(verdict), '•')} {verdict}"


# Names that strangers typed, made safe to print: long ones cut, marks that reorder text removed, twins made distinct.

NO_NAME = "(no name)"

_JOINER = "\u200d"
_LONGEST = 2_000  # characters looked at; nobody prints more, and a name may have 100,000 of them
_LONGEST_CLUSTER = 32


def clean_name(text: object) -> str:
    """One line of printable text: no control characters, no marks that reorder what follows, single spaces.

    Direction follows from the letters themselves, so a name in Hebrew or Arabic still reads from the right.
    """
    if text is None or text is pd.NA or text is pd.NaT or (isinstance(text, float) and text != text):
        return NO_NAME
    shown = str(text)[:_LONGEST]
    if not shown.isprintable():
        shown = "".join(c if c == _JOINER or unicodedata.category(c) not in _UNPRINTABLE else " " for c in shown)
    return " ".join(shown.split()).strip(_JOINER) or NO_NAME


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def graphemes(text: str) -> Iterator[str]:
    r"""What a reader takes for one character: letters with their accents, joined emoji, flags.

    A practical subset of Unicode's text segmentation (UAX 29).

    >>> list(graphemes("ne\u0301e"))
    ['n', 'e\u0301', 'e']
    """
    cluster = ""
    for character in text:
        if cluster and not _continues(cluster, character):
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def _continues(cluster: str, character: str) -> bool:
    if character == _JOINER or cluster.endswith(_JOINER) or unicodedata.category(character) in {"Mn", "Me", "Mc"}:
        return len(cluster) < _LONGEST_CLUSTER  # piled-up accents are cut as well
    if 0x1F3FB <= ord(character) <= 0x1F3FF:  # skin tones
        return True
    return _is_flag_half(character) and len(cluster) == 1 and _is_flag_half(cluster)


def _is_flag_half(character: str) -> bool:
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


def _columns(cluster: str) -> int:
    return 2 if unicodedata.east_asian_width(cluster[0]) in "WF" or _is_flag_half(cluster[0]) else 1


def short_name(text: object, width: int = 36, *, keep_end: bool = False) -> str:
    """Cut a name to a width, never inside an emoji or an accented letter.

    Parameters
    ----------
    text : object
        The name; missing gives `NO_NAME`.
    width : int
        Columns as a terminal counts them: wide characters take two.
    keep_end : bool
        Cut out the middle, for names that differ in their end only.

    >>> short_name("Abandoned cart, third reminder", 16)
    'Abandoned cart,…'
    """
    clean = clean_name(text)
    if clean.isascii() and len(clean) <= width:
        return clean
    clusters = _fitting(graphemes(clean), width)
    if sum(map(len, clusters)) == len(clean):
        return clean
    end = list(graphemes(clean[-_LONGEST_CLUSTER * width :])) if keep_end else []
    tail = _fitting(end[::-1], (width - 1) // 2)[::-1]
    head = _fitting(clusters, width - 1 - sum(map(_columns, tail)))
    return "".join(head).rstrip() + "…" + "".join(tail).lstrip()


def _fitting(clusters: Iterable[str], width: int) -> list[str]:
    taken: list[str] = []
    for cluster in clusters:
        width -= _columns(cluster)
        if width < 0:
            break
        taken.append(cluster)
    return taken


def unique_names(names: Sequence[object], ids: Sequence[object] | None = None, width: int = 36) -> list[str]:
    """Short labels, no two alike: twins show their ends, then their ids.

    Parameters
    ----------
    names, ids : sequences of equal length
        Names as Klaviyo sent them; ids to tell equal names apart (their position where none are given).
    width : int
        Columns for the name; an id comes on top.
    """
    labels = [short_name(name, width) for name in names]
    labels = [
        short_name(name, width, keep_end=True) if label in twins else label
        for twins in [_twins(labels)]
        for name, label in zip(names, labels, strict=True)
    ]
    twins = _twins(labels)
    marks = range(1, len(labels) + 1) if ids is None else ids
    return [
        f"{label} · {short_name(mark, 14, keep_end=True)}" if label in twins else label
        for label, mark in zip(labels, marks, strict=True)
    ]


def _twins(labels: Sequence[str]) -> set[str]:
    return {label for label, times in Counter(labels).items() if times > 1}
