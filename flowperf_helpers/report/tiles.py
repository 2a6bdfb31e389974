"""Headline numbers: each with what is known around it, and the reason where something is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.report.claims import CHANGED

__all__ = ["AFTERWARDS", "HEADLINE", "Tile", "make_tiles"]

HEADLINE = (
    "conversion_value", "conversions", "delivered", "open_rate", "click_rate", "conversion_rate",
    "unsubscribe_rate", "spam_complaint_rate",
)  # fmt: skip
AFTERWARDS = ("conversion_value", "conversions", "conversion_rate")
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
        ``higher``, ``lower``, ``no change larger than``, ``cannot tell yet``, ``too few``: against the last eight
        weeks; of money, on the revenue per recipient. None for counts, and where there is nothing to compare.
    provisional : bool
        Whether the number still moves.
    notes : dict
        Why a field is None, by its name; ``"covers"``: what the value does not cover.
    claim : str
        The verdict with its size, as one short line; empty without one.
    change_share, change_low, change_high : float or None
        The change as a fraction of the usual value, and the interval that decides the verdict.
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
    claim: str = ""
    change_share: float | None = None
    change_low: float | None = None
    change_high: float | None = None

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
    def note(self) -> str:
        """What the value does not cover, or empty."""
        return self.notes.get("covers", "")

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
    claims: pd.DataFrame,
    *,
    currency: str | None,
    provisional: bool,
    unknown: dict[str, str],
    counts: Mapping[str, tuple[float, float]],
    valued: tuple[float, float],
) -> list[Tile]:
    """One tile per headline statistic.

    Parameters
    ----------
    now, before, year_ago : DataFrame or None
        One row each: the account's totals.
    claims : DataFrame
        All comparisons of the page (`Claims.frame`), of which the account's are taken.
    provisional : bool
        Whether days of the week are younger than the attribution window.
    unknown : dict
        Why ``previous`` or ``year_ago`` are not there.
    counts : mapping of str to pair
        Successes and trials of each rate.
    valued : pair
        Conversions that carry money, and all.
    """
    of_account = claims["kind"].isin(["account", "money"]) & (claims["flow_id"] == "") & claims["p_value"].notna()
    rows: dict[str, Any] = {str(row["statistic"]): row for row in claims[of_account].to_dict("records")}
    if "revenue_per_recipient" in rows:
        rows["conversion_value"] = rows["revenue_per_recipient"]
    tiles = []
    for name in HEADLINE:
        notes = dict(unknown)
        if name == "conversion_value" and 0 < valued[0] < valued[1]:
            notes["covers"] = (
                f"of {formats.count_text(valued[0])} of {formats.count_text(valued[1])} conversions: "
                "the others carry no money"
            )
        tiles.append(_tile(name, now, before, year_ago, rows.get(name), currency, provisional, notes, counts.get(name)))
    return tiles


def _tile(
    name: str,
    now: pd.DataFrame,
    before: pd.DataFrame | None,
    year_ago: pd.DataFrame | None,
    row: Any,
    currency: str | None,
    provisional: bool,
    notes: dict[str, str],
    counted: tuple[float, float] | None,
) -> Tile:
    entry = STATISTICS[name]
    value, previous = _number(now, name), _number(before, name)
    low = high = None
    if entry.kind == "rate":
        low, high = _wilson(counted)
        if low is None:
            notes["interval"] = "no interval: too few to say"
    elif entry.unit == "money":
        notes["interval"] = "a sum, by send date"
    else:
        notes["interval"] = "a count of what was sent" if name == "delivered" else "a count, by send date"
    if value is None:
        notes.setdefault("value", "Klaviyo sent no number")
    open_still = provisional and name in AFTERWARDS
    verdict, claim, share, least, most = _claimed(row)
    difference = None if value is None or previous is None else value - previous
    return Tile(
        name, entry.label, entry.sentence, entry.unit, value, low, high, previous, _number(year_ago, name), difference,
        verdict, open_still, notes, currency, claim, share, least, most,
    )  # fmt: skip


def _claimed(row: Any) -> tuple[str | None, str, float | None, float | None, float | None]:
    """Verdict, line, change and its interval of one comparison of the account."""
    if row is None:
        return None, "", None, None, None
    verdict = {"up": "higher", "down": "lower"}[row["direction"]] if row["verdict"] == CHANGED else str(row["verdict"])
    change, low, high = (float(v) if pd.notna(v := row[c]) else None for c in ("change", "low", "high"))
    return verdict, str(row["text"]), change, low, high


def _wilson(counted: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Interval of a rate from the counts it was rebuilt from; no event among many has an upper limit too."""
    from flowperf_helpers.stats.rates import rate_interval

    if counted is None or not 0 <= counted[0] <= counted[1]:
        return None, None
    bounds = rate_interval([counted[0]], [counted[1]])
    low, high = (float(bounds[c].iloc[0]) for c in ("low", "high"))
    return (None, None) if pd.isna(low) else (low, high)
