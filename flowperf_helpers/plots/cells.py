"""Cells of tables as inert HTML: whatever a stranger called a flow, it is shown and never run.

Every function escapes what it is given; what it returns may be put into a page as it is.
"""

from __future__ import annotations

import html
import math
from typing import Any

import pandas as pd

from flowperf_helpers.frames.formats import (
    MISSING,
    NO_NAME,
    VERDICT_SYMBOLS,
    clean_name,
    count_text,
    short_name,
    statistic_text,
)

__all__ = [
    "bar_cell",
    "interval_cell",
    "missing_cell",
    "name_cell",
    "number_cell",
    "rate_cell",
    "text_cell",
    "verdict_cell",
]

_LONGEST_TITLE = 200
_MUTED = "#59636E"
_VERDICT_COLORS = {"higher": "#0072B2", "lower": "#A94A00"}


def is_missing(value: Any) -> bool:
    """None, NA, NaN or NaT."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def missing_cell(reason: str = "not known") -> str:
    """A dash that says why."""
    said = html.escape(clean_name(reason), quote=True)
    return f'<span title="{said}" aria-label="{said}" role="img" style="color:{_MUTED}">{MISSING}</span>'


def text_cell(value: Any, width: int = 60) -> str:
    """Any text, cut; the whole of it (or its first 200 characters) as the tooltip."""
    if is_missing(value) or clean_name(value) == NO_NAME:
        return missing_cell()
    shown, whole = short_name(value, width), short_name(value, _LONGEST_TITLE)
    title = "" if shown == whole else f' title="{html.escape(whole, quote=True)}"'
    return f"<bdi{title}>{html.escape(shown, quote=True)}</bdi>"


def name_cell(name: Any, identifier: Any = None, width: int = 48) -> str:
    """A name, and its identifier folded away: opened by mouse or keyboard, taken whole by one click."""
    shown = f'<em style="color:{_MUTED}">{NO_NAME}</em>' if clean_name(name) == NO_NAME else text_cell(name, width)
    if is_missing(identifier):
        return shown
    code = html.escape(short_name(identifier, _LONGEST_TITLE), quote=True)
    return (
        f'{shown} <details style="display:inline-block;font-size:0.8em;color:{_MUTED}">'
        f'<summary style="cursor:pointer">id</summary><code style="user-select:all">{code}</code></details>'
    )


def number_cell(value: Any, statistic: str, currency: str | None = None, *, reason: str = "not known") -> str:
    """A statistic in its unit, or a dash that says why."""
    if is_missing(value):
        return missing_cell(reason)
    return html.escape(statistic_text(value, statistic, currency))


def bar_cell(value: Any, most: float, statistic: str, currency: str | None = None, *, reason: str = "not known") -> str:
    """A number with a bar from zero; ``most`` is the column's largest value."""
    if is_missing(value):
        return missing_cell(reason)
    share = 100 * min(max(float(value) / most, 0.0), 1.0) if most > 0 else 0.0
    bar = (
        '<span aria-hidden="true" style="display:inline-block;width:56px;height:8px;margin-left:8px;'
        'background:#E4E7EB;print-color-adjust:exact;-webkit-print-color-adjust:exact">'
        f'<span style="display:block;width:{share:.1f}%;height:8px;background:#0072B2"></span></span>'
    )
    text = html.escape(statistic_text(value, statistic, currency))
    return f'<span style="white-space:nowrap">{text}{bar}</span>'


def interval_cell(value: Any, low: Any, high: Any, reach: float, words: str) -> str:
    """A change as a dot with its interval around a zero line; ``reach`` is the largest distance of the column."""
    if is_missing(value) or is_missing(low) or is_missing(high) or not reach > 0:
        return missing_cell("no interval")
    x, left, right = (60 + 56 * max(-1.0, min(1.0, float(v) / reach)) for v in (value, low, high))
    said = html.escape(clean_name(words), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="18" viewBox="0 0 120 18" role="img" '
        f'aria-label="{said}"><title>{said}</title><line x1="60" y1="1" x2="60" y2="17" stroke="#C4CAD1"/>'
        f'<line x1="{left:.1f}" y1="9" x2="{right:.1f}" y2="9" stroke="{_MUTED}" stroke-width="3" opacity="0.55"/>'
        f'<circle cx="{x:.1f}" cy="9" r="3.6" fill="#1B1F24"/></svg>'
    )


def verdict_cell(verdict: Any) -> str:
    """Symbol and words; colour only repeats them."""
    if is_missing(verdict):
        return missing_cell()
    word = str(verdict)
    symbol = VERDICT_SYMBOLS.get(word, "•")
    looks = f"color:{_VERDICT_COLORS[word]};font-weight:600" if word in _VERDICT_COLORS else f"color:{_MUTED}"
    return f'<span style="white-space:nowrap;{looks}">{symbol} {html.escape(short_name(word, 60))}</span>'


def rate_cell(rate: Any, successes: Any, trials: Any, statistic: str) -> str:
    """A rate, and under it the counts it rests on."""
    if is_missing(rate):
        return missing_cell("nothing delivered")
    text = html.escape(statistic_text(rate, statistic))
    if is_missing(successes) or is_missing(trials):
        return text
    counts = f"{count_text(successes)} of {count_text(trials)}"
    return f'{text}<br><small style="color:{_MUTED};white-space:nowrap">{counts}</small>'
