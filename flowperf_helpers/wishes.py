"""What is wanted, before Klaviyo's limits are thought of: any number of flows, a window of any length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import pandas as pd

from flowperf_helpers.catalog import DEFAULT_GROUP_BY, STATISTICS
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.queries import MAX_FILTER_VALUES, ReportQuery
from flowperf_helpers.timeframes import MAX_DAYS, YEAR_DAYS, Preset, Timeframe, Window, parse_timeframe

__all__ = ["Wish", "as_wish", "whole_windows"]

_SELECTIONS = {"flow_ids": "flow_id", "send_channels": "send_channel", "flow_message_ids": "flow_message_id"}


@dataclass(frozen=True)
class Wish:
    """One frame that is wanted: a `ReportQuery` without the limits of one request.

    Parameters
    ----------
    conversion_metric_id, timeframe, statistics, interval, send_channels, flow_message_ids, group_by
        As `ReportQuery`; windows may be longer than one request holds.
    flow_ids : sequence of str, optional
        Any number.
    notes : tuple of str
        What is to be said about the frame; two wishes that differ only here are equal.

    Raises
    ------
    ArgumentError
        As `ReportQuery`; and values of more than a year of a statistic that cannot be added up over time.
    """

    conversion_metric_id: str
    timeframe: Timeframe
    statistics: tuple[str, ...]
    interval: str | None = None
    flow_ids: tuple[str, ...] | None = None
    send_channels: tuple[str, ...] | None = None
    flow_message_ids: tuple[str, ...] | None = None
    group_by: tuple[str, ...] | None = DEFAULT_GROUP_BY
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeframe", parse_timeframe(self.timeframe))
        checked = self._checked()
        for name in ("statistics", "send_channels", "group_by"):
            object.__setattr__(self, name, getattr(checked, name))
        for name in ("flow_ids", "flow_message_ids"):
            ids = getattr(self, name)
            if ids is not None:
                unique = (ids,) if isinstance(ids, str) else tuple(dict.fromkeys(ids))
                object.__setattr__(self, name, unique)
        if self.interval is None and len(self.windows()) > 1:
            self._check_sums()

    def _check_sums(self) -> None:
        """Refuse values that are asked in pieces and are not the sum of those."""
        statistics = [STATISTICS[name] for name in self.statistics]
        uniques = [s.name for s in statistics if s.kind == "unique"]
        quotients = [s.name for s in statistics if s.kind in ("rate", "ratio") or not s.additive_over_messages]
        reasons = [
            f"{', '.join(uniques)} counts a person once per request, so the sum counts some twice" if uniques else "",
            f"{', '.join(quotients)} is a quotient and no sum" if quotients else "",
        ]
        if any(reasons):
            raise ArgumentError(
                f"{self.timeframe} is longer than the {YEAR_DAYS} days of one request, and its pieces do not add up: "
                f"{'; '.join(filter(None, reasons))}. Ask for {YEAR_DAYS} days at most, for counts and money, or for a "
                "series."
            )

    def _checked(self) -> ReportQuery:
        """Let `ReportQuery` refuse what it refuses, window by window and hundred by hundred."""
        flows, messages = _hundreds(self.flow_ids), _hundreds(self.flow_message_ids)
        query = ReportQuery(
            self.conversion_metric_id,
            whole_windows(self.timeframe, self.interval)[0],
            self.statistics,
            self.interval,
            flows[0],
            self.send_channels,
            messages[0],
            self.group_by,
        )
        for chunk in flows[1:]:
            replace(query, flow_ids=chunk)
        for chunk in messages[1:]:
            replace(query, flow_message_ids=chunk)
        return query

    def for_revision(self, revision: str) -> Wish:
        """Return the wish as a revision takes it, see `ReportQuery.for_revision`."""
        sent = self._checked().for_revision(revision)
        return replace(self, group_by=sent.group_by, statistics=sent.statistics)

    def windows(self, today: Callable[[], date] | None = None) -> list[Timeframe]:
        """Return the timeframes that single requests can hold: no day twice, none lost.

        Parameters
        ----------
        today : callable, optional
            The day on the account's calendar, called for a series over one of Klaviyo's keys: one that is longer than
            the interval allows is asked as days. Without it a key is never split.
        """
        timeframe = self.timeframe
        if isinstance(timeframe, Preset) and self.interval is not None and today is not None:
            parts = whole_windows(timeframe.window(today()), self.interval)
            return [timeframe] if len(parts) == 1 else parts
        return whole_windows(timeframe, self.interval)

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a wider answer that this wish asked for."""
        keep = pd.Series(True, index=frame.index)
        for name, column in _SELECTIONS.items():
            wanted = getattr(self, name)
            if wanted is not None and column in frame.columns:
                keep &= frame[column].isin(wanted)
        selected = frame[keep].reset_index(drop=True)
        selected.attrs = dict(frame.attrs)
        return selected


def as_wish(query: ReportQuery | Wish) -> Wish:
    """Return a query as a wish; a wish as it is."""
    if isinstance(query, Wish):
        return query
    return Wish(
        query.conversion_metric_id,
        query.timeframe,
        query.statistics,
        query.interval,
        query.flow_ids,
        query.send_channels,
        query.flow_message_ids,
        query.group_by,
    )


def whole_windows(timeframe: Timeframe, interval: str | None) -> list[Timeframe]:
    """Split a window of days at the interval's cap, weeks on Mondays and months on their firsts; values at a year.

    Keys of Klaviyo's and pairs of datetimes are not split here: Klaviyo alone knows a key's bounds, and datetimes are
    sent as they show.

    Examples
    --------
    >>> [str(part) for part in whole_windows(parse_timeframe(("2026-09-01", "2026-11-22")), "daily")]
    ['2026-09-01 to 2026-10-29', '2026-10-30 to 2026-11-22']
    """
    if not isinstance(timeframe, Window):
        return [timeframe]
    if interval not in MAX_DAYS:
        return list(timeframe.split(YEAR_DAYS))
    parts: list[Timeframe] = []
    first = timeframe.first
    while (timeframe.last - first).days >= MAX_DAYS[interval]:
        last = _last_whole(first, MAX_DAYS[interval], interval)
        parts.append(Window(first, last))
        first = last + timedelta(days=1)
    parts.append(Window(first, timeframe.last))
    return parts


def _last_whole(first: date, days: int, interval: str) -> date:
    """Return the last day of the longest window from ``first`` on that cuts no week and no month."""
    following = first + timedelta(days=days)
    if interval == "weekly":
        following -= timedelta(days=following.weekday())
    elif interval == "monthly":
        following = following.replace(day=1)
    return following - timedelta(days=1)


def _hundreds(ids: Sequence[str] | None) -> list[tuple[str, ...] | None]:
    if ids is None or isinstance(ids, str):
        return [ids]  # type: ignore[list-item]
    listed = tuple(dict.fromkeys(ids))
    return [listed[i : i + MAX_FILTER_VALUES] for i in range(0, max(len(listed), 1), MAX_FILTER_VALUES)]
