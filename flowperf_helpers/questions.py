"""The questions that the comparison notebooks ask: which statistics, per what, over which two windows."""

from __future__ import annotations

from typing import Any

from flowperf_helpers.account import Account
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.timeframes import Window, last_complete_week, parse_timeframe
from flowperf_helpers.wishes import Wish

__all__ = ["COMPARED", "PER_VARIATION", "before_and_after", "week_window"]

COMPARED = (
    "recipients", "delivered", "opens_unique", "open_rate", "clicks_unique", "click_rate", "click_to_open_rate",
    "conversions", "conversion_uniques", "conversion_rate", "conversion_value", "revenue_per_recipient",
    "unsubscribe_uniques", "unsubscribe_rate", "spam_complaints", "spam_complaint_rate", "bounced", "bounce_rate",
)  # fmt: skip
"""Counts and the rates made of them: asking for both lets rates be rebuilt when rows are rolled up."""

PER_VARIATION = (
    "flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel", "variation", "variation_name",
)  # fmt: skip


def week_window(account: Account, week: str = "") -> Window:
    """Return an ISO week's window; an empty label is the last complete week on the account's clock.

    Raises
    ------
    ArgumentError
        No such week.
    """
    window = parse_timeframe(week) if week else last_complete_week(account.now())
    if not isinstance(window, Window):
        raise ArgumentError(f"{week!r} is not an ISO week: write it as 2026-W47.")
    return window


def before_and_after(account: Account, conversion_metric: str, *, window: Any, **wanted: Any) -> list[Wish]:
    """Return two wishes for values: of a window, and of the window of equal length before it.

    Parameters
    ----------
    account : Account
        Names metrics and knows settings; is asked for no report.
    conversion_metric : str
        Id, name or ``"revenue"``.
    window : Window or pair of dates
    **wanted
        As ``account.flow_values``; an empty list of flows means all.
    """
    now = parse_timeframe(window)
    if not isinstance(now, Window):
        raise ArgumentError("Only a window of whole days has a window before it: give a pair of dates.")
    options = wanted | {"flow_ids": wanted.get("flow_ids") or None}
    return [
        wish
        for timeframe in (now, now.previous())
        for wish in account.wanted(conversion_metric, timeframe=timeframe, **options)
    ]
