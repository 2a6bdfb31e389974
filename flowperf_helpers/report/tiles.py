"""Headline numbers: each with what is known around it, and the reason where something is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowperf_helpers import formats
from flowperf_helpers.catalog import STATISTICS

__all__ = ["HEADLINE", "Tile", "make_tiles"]

HEADLINE = (
    "conversion_value", "conversions", "delivered", "open_rate", "click_rate", "conversion_rate",
    "unsubscribe_rate", "spam_complaint_rate",
)  # fmt: skip
_AFTERWARDS = ("conversion_value", "conversions", "conversion_rate")
"""Statistics that an attribution window keeps open."""


@dataclass(frozen=True)
class Tile:
    """One headline number.

    Attributes
    ----------
    statistic, label, definition : str
    value, low, high, previous, year_ago, difference : float or None
        None where nobody knows; fractions for rates.
    verdict : str or None
        In words; None for counts and money, whose chance is not known.
    provisional : bool
        Whether the number still moves.
    notes : dict
        Why a field is None, by its name.
    """

    statistic: str
    label: str
    definition: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    previous: float | None
    year_ago: float | None
    difference: float | None
    verdict: str | None
    provisional: bool
    notes: dict[str, str]
    currency: str | None = None

    @property
    def value_text(self) -> str:
        """The number as people read it."""
        return formats.statistic_text(self.value, self.statistic, self.currency)

    @property
    def interval(self) -> str:
        """``95 %: 3.9 % to 4.5 %``, or why there is none."""
        if self.low is None:
            return self.notes.get("interval", "")
        return "95 % interval " + formats.interval_text(self.low, self.high, self.statistic, self.currency)

    @property
    def change(self) -> str:
        """The change since the week before, signed."""
        return formats.difference_text(self.difference, self.statistic, self.currency)

    def beside(self, name: str) -> str:
        """Another week's number, or ``not known: …``."""
        value = getattr(self, name)
        if value is None:
            return f"not known: {self.notes.get(name, 'no answer about it')}"
        return formats.statistic_text(value, self.statistic, self.currency)


def _number(frame: pd.DataFrame | None, column: str) -> float | None:
    if frame is None or not len(frame) or column not in frame or pd.isna(frame[column].iloc[0]):
        return None
    return float(frame[column].iloc[0])


def make_tiles(
    now: pd.DataFrame,
    before: pd.DataFrame | None,
    year_ago: pd.DataFrame | None,
    compared: pd.DataFrame,
    *,
    currency: str | None,
    provisional: bool,
    unknown: dict[str, str],
) -> list[Tile]:
    """One tile per headline statistic.

    Parameters
    ----------
    now, before, year_ago : DataFrame or None
        One row each: the account's totals.
    compared : DataFrame
        The account's rates beside the week before, one row per ``statistic`` (columns of `compare_rates`).
    provisional : bool
        Whether days of the week are younger than the attribution window.
    unknown : dict
        Why ``previous`` or ``year_ago`` are not there.
    """
    rows: dict[str, Any] = {str(row["statistic"]): row for _, row in compared.iterrows()}
    return [_tile(name, now, before, year_ago, rows.get(name), currency, provisional, unknown) for name in HEADLINE]


def _tile(
    name: str,
    now: pd.DataFrame,
    before: pd.DataFrame | None,
    year_ago: pd.DataFrame | None,
    row: Any,
    currency: str | None,
    provisional: bool,
    unknown: dict[str, str],
) -> Tile:
    entry = STATISTICS[name]
    value, previous = _number(now, name), _number(before, name)
    low = high = None
    notes = dict(unknown)
    if entry.kind == "rate":
        low, high = _wilson(now, name, value)
        if low is None:
            notes["interval"] = "no interval: too few to say"
    elif entry.unit == "money":
        notes["interval"] = "no interval: Klaviyo tells no spread of money"
    else:
        notes["interval"] = "a count of what was sent" if name == "delivered" else "a count, by send date"
    if value is None:
        notes.setdefault("value", "Klaviyo sent no number")
    open_still = provisional and name in _AFTERWARDS
    verdict = None if row is None else str(row["verdict"])
    difference = None if value is None or previous is None else value - previous
    return Tile(
        name, entry.label, entry.sentence, entry.unit, value, low, high, previous, _number(year_ago, name), difference,
        verdict, open_still, notes, currency,
    )  # fmt: skip


def _wilson(now: pd.DataFrame, rate: str, value: float | None) -> tuple[float | None, float | None]:
    from flowperf_helpers.rates import rate_interval

    entry = STATISTICS[rate]
    top = next((_number(now, n) for n in entry.numerators if _number(now, n) is not None), None)
    if value is None or top is None or not 0 < value <= 1:
        return None, None
    # the trials that the rate itself was rebuilt from: other channels than the rate's are not in them
    trials = top / value
    bounds = rate_interval([top], [round(trials)])
    low, high = (float(bounds[c].iloc[0]) for c in ("low", "high"))
    return (None, None) if pd.isna(low) else (low, high)
