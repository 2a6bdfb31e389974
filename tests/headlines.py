"""Headlines of weeks by hand, as the report's JSON files hold them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

STOPPED = ("stopped", "UbBis6", "recipients", None, "“Back in Stock” has sent nothing since Tuesday.")
COMPLAINTS = ("change", "RwWin5", "spam_complaint_rate", "higher", "Spam complaint rate of “Winback” rose.")
CLICKS_UP = ("change", "XbChk1", "click_rate", "higher", "Click rate of “Abandoned Checkout” rose.")
CLICKS_DOWN = ("change", "XbChk1", "click_rate", "lower", "Click rate of “Abandoned Checkout” fell.")
WINNER = ("winner", "VwBrw2", "click_rate", None, "Variation “Three alternatives” wins in “Browse Abandonment”.")


def _number(statistic: str, label: str, unit: str, value: float | None, previous: float | None, text: str) -> dict:
    return {
        "statistic": statistic, "label": label, "unit": unit, "value": value, "low": None, "high": None,
        "previous": previous, "year_ago": None,
        "difference": None if value is None or previous is None else value - previous, "verdict": None,
        "is_provisional": statistic == "conversion_value", "text": text, "note": None, "definition": "As it says.",
    }  # fmt: skip


def headline(
    week: str,
    *signals: tuple[str, str, str, str | None, str],
    account: str = "acme",
    title: str = "Acme Outdoor",
    value: float | None = 97_064.0,
    previous: float | None = 105_064.0,
    sandbox: bool = False,
    equal_age: bool = True,
) -> dict[str, Any]:
    """Return one week's headline with these findings."""
    year, number = int(week[:4]), int(week[-2:])
    first = date.fromisocalendar(year, number, 1)
    starts = [first - timedelta(weeks=back) for back in range(11, -1, -1)]
    money = "—" if value is None else f"€{value:,.0f}"
    return {
        "schema": "flowperf-weekly-headline",
        "schema_version": 1,
        "sandbox": sandbox,
        "account": {"name": account, "title": title, "timezone": "Europe/Copenhagen", "currency": "EUR"},
        "week": week,
        "first_day": str(first),
        "last_day": str(first + timedelta(days=6)),
        "year_ago_week": f"{year - 1}-W{number:02d}",
        "is_partial": False,
        "made_at": f"{first + timedelta(days=7)}T06:00:00+01:00",
        "asked_at": None,
        "revision": "2026-10-15",
        "requests": 4,
        "conversion_metrics": [],
        "sentences": [
            {"role": "moved", "heading": "Beyond chance", "text": "What moved, in one sentence."},
            {"role": "worth", "heading": "Worth", "text": "The flows brought money."},
            {"role": "stopped", "heading": "Stopped", "text": "What stopped, in one sentence."},
            {"role": "settling", "heading": "Settling", "text": "5 days still grow."},
            {"role": "first", "heading": "Look first", "text": "Look at “Back in Stock”."},
        ],
        "numbers": [
            _number("conversion_value", "Conversion value", "money", value, previous, money),
            _number("conversions", "Conversions", "count", 1196.0, 1345.0, "1,196"),
            _number("delivered", "Delivered", "count", 77_675.0, 78_391.0, "77,675"),
            _number("open_rate", "Open rate", "fraction", 0.4186, 0.4231, "41.9 %"),
            _number("click_rate", "Click rate", "fraction", 0.0654, 0.0718, "6.54 %"),
        ],
        "signals": [
            {
                "kind": kind, "flow_id": flow, "flow_name": flow, "flow_message_id": None, "statistic": statistic,
                "since": None, "direction": direction, "text": text,
            }
            for kind, flow, statistic, direction, text in signals
        ],
        "weeks": [
            {"first_day": str(start), "conversion_value": 100_000.0 + 997.0 * place, "delivered": 70_000.0 + place,
             "is_provisional": place == 11}
            for place, start in enumerate(starts)
        ],
        "compared_at_equal_age": equal_age,
        "notes": [],
        "log": [],
    }  # fmt: skip
