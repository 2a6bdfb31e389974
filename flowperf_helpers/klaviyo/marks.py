"""What ``accounts.toml`` wants drawn into a report: days with a name, and targets."""

from __future__ import annotations

from datetime import date
from typing import Any

from flowperf_helpers.errors import ArgumentError

__all__ = ["TARGETS", "check_marks"]

TARGETS = ("weekly_revenue",)


def check_marks(place: str, section: dict[str, Any]) -> None:
    """Refuse events and targets that no picture could draw; dates become ISO texts.

    Parameters
    ----------
    place : str
        For the message: file and section.
    section : dict
        Of the account; its ``events`` are rewritten.

    Raises
    ------
    ArgumentError
        An event without date or text, a date that is none, a target that is unknown or not above 0.
    """
    events, targets = section.get("events", []), section.get("targets", {})
    for event in events if isinstance(events, list) else [None]:
        if not isinstance(event, dict) or set(event) != {"date", "text"} or not str(event["text"]).strip():
            raise ArgumentError(f'{place}: events is a list such as [{{date = 2026-11-27, text = "Black Friday"}}].')
        try:
            event["date"] = date.fromisoformat(str(event["date"])[:10]).isoformat()
        except ValueError as error:
            raise ArgumentError(f"{place}: an event has the date {event['date']!r}: write 2026-11-27.") from error
    if not isinstance(targets, dict) or set(targets) - set(TARGETS):
        raise ArgumentError(f"{place}: targets is a table such as {{weekly_revenue = 120000}}.")
    for name, value in targets.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ArgumentError(f"{place}: the target {name} is a number above 0.")
