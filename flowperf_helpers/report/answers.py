"""What Klaviyo answered for one report, and which week a report is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.timeframes import Window, iso_week, last_complete_week

__all__ = ["WeekAnswers", "a_year_before", "report_week"]

_YEAR_OF_WEEKS = 52 * 7


@dataclass(frozen=True)
class WeekAnswers:
    """Everything that was answered for one report, as tidy frames.

    Attributes
    ----------
    account : dict
        JSON-able facts: ``name, title, timezone, currency, revision, sandbox, attribution_days``.
    window : Window
        The week.
    now : Timestamp
        The account's clock when the report was made, in its zone.
    partial : bool
        Whether the week still runs.
    metrics : DataFrame
        Conversion metrics of the numbers: ``metric_id, metric_name, integration_name``.
    current, previous, year_ago : DataFrame or None
        One row per flow message, channel and variation; None where nobody knows.
    weekly, daily : DataFrame
        Series of the same groups.
    flows, messages : DataFrame
        Of discovery.
    history : DataFrame
        Earlier answers out of the store, with ``fetched_at``; empty on a first run.
    unknown : dict
        Why a frame is None: ``{"year_ago": "…"}``.
    notes : list of str
        Sentences for the page.
    log : list of str
        What was asked and what came from the store.
    requests : int
        Report requests that were sent.
    """

    account: dict[str, Any]
    window: Window
    now: pd.Timestamp
    partial: bool
    metrics: pd.DataFrame
    current: pd.DataFrame
    previous: pd.DataFrame | None
    year_ago: pd.DataFrame | None
    weekly: pd.DataFrame
    daily: pd.DataFrame
    flows: pd.DataFrame
    messages: pd.DataFrame
    history: pd.DataFrame
    unknown: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    requests: int = 0

    @property
    def week(self) -> str:
        """ISO label."""
        return str(self.window.week)

    @property
    def year_ago_week(self) -> str:
        """ISO label of the week that stands for a year ago."""
        return str(a_year_before(self.window).week)

    @property
    def year_ago_words(self) -> str:
        """What that week is: the same one, or which one is taken where last year has no week of that number."""
        label = self.year_ago_week
        if label[-3:] == self.week[-3:]:
            return f"the same week a year ago, {label}"
        return f"the week 52 weeks ago, {label}, as the year before has no week {self.week[-2:]}"


def a_year_before(window: Window) -> Window:
    """The ISO week of the same number in the ISO year before; for week 53, where that year has none, 52 weeks before.

    52 weeks before is the neighbour's number whenever a year of 53 weeks lies between.
    """
    year, week, _ = window.first.isocalendar()
    try:
        return iso_week(f"{year - 1}-W{week:02d}")
    except ArgumentError:
        return window.shift(-_YEAR_OF_WEEKS)


def report_week(now: pd.Timestamp, week: str = "", *, allow_partial: bool = False) -> Window:
    """The week to report at ``now`` (the account's clock): the one asked for, or the last complete one.

    Raises
    ------
    ArgumentError
        No ISO week, one that has not begun, or one that still runs and may not.
    """
    if not week:
        return last_complete_week(now.to_pydatetime())
    window = iso_week(week)
    starts, ends = window.bounds(now.tzinfo)  # type: ignore[arg-type]
    if starts > now:
        raise ArgumentError(f"The week {week} lies in the future: it starts on {window.first}, today is {now.date()}.")
    if ends > now and not allow_partial:
        raise ArgumentError(
            f"The week {week} is still running (it ends on {window.last}): wait for it, or give --allow-partial."
        )
    return window
