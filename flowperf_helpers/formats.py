"""Numbers as people read them: rates as percent, changes in percentage points, money with its currency.

Missing is ``–``, never 0. Spaces inside a number do not break a line.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from flowperf_helpers.catalog import STATISTICS, Statistic

__all__ = [
    "MISSING",
    "VERDICT_SYMBOLS",
    "axis_title",
    "count_text",
    "difference_text",
    "interval_text",
    "money_text",
    "percent_text",
    "points_text",
    "probability_text",
    "statistic_label",
    "statistic_text",
    "unit_of",
    "verdict_text",
]

MISSING = "–"
SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"

_SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$", "JPY": "¥"}

VERDICT_SYMBOLS = {"higher": "▲", "lower": "▼", "no evidence of a change": "•", "too few to say": "◦", "stopped": "■"}
"""A verdict is told by word and shape; colour only repeats it."""


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


def money_text(value: Any, currency: str | None = None, *, plus: bool = False, compact: bool = False) -> str:
    """Money with its currency: cents below 100, none above; ``compact`` shortens thousands and millions for axes.

    >>> money_text(1234.5, "EUR"), money_text(12.5, "EUR"), money_text(2_500_000, "EUR", compact=True)
    ('€1,234', '€12.50', '€2.5M')
    """
    if _missing(value):
        return MISSING
    size = abs(float(value))
    number = f"{size:,.0f}" if size >= 100 or (size == 0 or (compact and size == int(size))) else f"{size:,.2f}"
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
