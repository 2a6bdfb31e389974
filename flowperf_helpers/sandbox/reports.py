"""A request and the counts of a moment make the results of a values or series report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np

from flowperf_helpers.frames.catalog import STATISTICS, has_meaning
from flowperf_helpers.sandbox.arrivals import Counts
from flowperf_helpers.sandbox.call import Account
from flowperf_helpers.sandbox.filters import Condition
from flowperf_helpers.sandbox.numbers import Floats, Ints, day_number
from flowperf_helpers.sandbox.requests import Asked, buckets
from flowperf_helpers.sandbox.shop import EPOCH, FIRST_DAY, Cell

__all__ = ["counted_once", "make_report"]

_UNIQUES = ("opens_unique", "clicks_unique", "unsubscribe_uniques", "conversion_uniques")
_RETURNING = 4
"""Per cent of the uniques of all days but the largest that come back in the window and are counted once."""
_CREDITS_PER_SEGMENT, _EUR_PER_CREDIT = 3, 0.0085
_NULL_WITHOUT_MEANING = (
    "opens", "opens_unique", "open_rate", "click_to_open_rate", "text_message_credit_usage_amount",
    "text_message_spend", "text_message_roi",
)  # fmt: skip
"""Statistics that are null on channels without them; the others are 0 there. Klaviyo's own choice is not known."""

Grouping = tuple[str | None, ...]


def make_report(asked: Asked, account: Account) -> tuple[list[dict[str, Any]], list[str]]:
    """Answer a report request.

    Parameters
    ----------
    asked : Asked
        The checked request.
    account : Account
        Its counts, what it divides opens, clicks, unsubscribes, complaints and conversions by, and how its weeks start.

    Returns
    -------
    results : list of dict
        ``groupings`` and ``statistics``, in the account's order; groups without a recipient are left out.
    date_times : list of str
        Starts of the buckets, wall time labelled ``+00:00``; empty for a values report.
    """
    counts = account.counts()
    cells = counts.numbers.cells
    starts = [asked.period.start]
    if asked.interval is not None:
        starts = buckets(asked.period, asked.interval, account.week_starts)
    rows = _rows(cells, asked)
    plain = _plain(_sums(counts, asked, starts, list(rows.values())))
    sent = plain["recipients"].sum(axis=1) > 0
    shown = [row for row, is_sent in zip(rows.items(), sent, strict=True) if is_sent]
    channels = [cells[of_row[0]].message.channel for _, of_row in shown]
    columns = [
        _shown(name, channels, _column(name, plain, account.denominator)[sent], asked.interval is None)
        for name in asked.statistics
    ]
    results = [
        {
            "groupings": dict(zip(asked.group_by, grouping, strict=True)),
            "statistics": {name: column[index] for name, column in zip(asked.statistics, columns, strict=True)},
        }
        for index, (grouping, _) in enumerate(shown)
    ]
    labels = [] if asked.interval is None else [start.strftime("%Y-%m-%dT%H:%M:%S+00:00") for start in starts]
    return results, labels


def _rows(cells: tuple[Cell, ...], asked: Asked) -> dict[Grouping, list[int]]:
    """Which cells make which row; a flow with two tags stands in two rows when tags are asked."""
    rows: dict[Grouping, list[int]] = {}
    by_tag = any(name in ("tag_id", "tag_name") for name in asked.group_by)
    for index, cell in enumerate(cells):
        if not all(_holds(c, cell) for c in asked.conditions):
            continue
        for tag in (cell.flow.tags or _NO_TAG) if by_tag else _NO_TAG:
            grouping = tuple(_GROUPS[name](cell, tag) for name in asked.group_by)
            rows.setdefault(grouping, []).append(index)
    return rows


Tag = tuple[str | None, str | None]

_NO_TAG: tuple[Tag, ...] = ((None, None),)
_GROUPS: dict[str, Callable[[Cell, Tag], str | None]] = {
    "flow_id": lambda cell, tag: cell.flow.id,
    "flow_name": lambda cell, tag: cell.flow.name,
    "flow_message_id": lambda cell, tag: cell.message.id,
    "flow_message_name": lambda cell, tag: cell.message.name,
    "send_channel": lambda cell, tag: cell.message.channel,
    "variation": lambda cell, tag: cell.variation.id if cell.variation else None,
    "variation_name": lambda cell, tag: cell.variation.name if cell.variation else None,
    "text_message_format": lambda cell, tag: "sms" if cell.message.channel == "sms" else None,
    "tag_id": lambda cell, tag: tag[0],
    "tag_name": lambda cell, tag: tag[1],
}


def _holds(condition: Condition, cell: Cell) -> bool:
    told = {_GROUPS[condition.field](cell, tag) for tag in cell.flow.tags or _NO_TAG}
    wanted = set(condition.values)
    return wanted <= told if condition.operator == "contains-all" else bool(wanted & told)


def counted_once(most: Ints, total: Ints) -> Ints:
    """People of several days, out of the uniques of the largest day and of all days together."""
    return (_RETURNING * most + (100 - _RETURNING) * total + 50) // 100


def _sums(counts: Counts, asked: Asked, starts: list[datetime], rows: list[list[int]]) -> dict[str, Ints]:
    """Counts [row, bucket] of rows of cells: sums for events, people counted once for uniques."""
    times, parts = _pieces(counts, asked)
    per_text = np.array([c.message.segments for c in counts.numbers.cells], dtype=np.int64)
    parts["segments"] = parts["delivered"] * per_text[:, None]
    bucket = np.searchsorted(np.array(starts, dtype="datetime64[s]"), times, side="right") - 1
    bucket = np.maximum(bucket, 0)  # an hour that the clock skips has no bucket of its own
    sums = {name: np.zeros((len(rows), len(starts)), dtype=np.int64) for name in parts}
    if not rows or not bucket.size:
        return sums
    of_cell = np.concatenate(rows)
    lengths = np.array([len(cells) for cells in rows])  # no row is without a cell
    row_starts = np.cumsum(lengths) - lengths
    edges = np.flatnonzero(np.diff(bucket, prepend=-1))
    for name, values in parts.items():
        picked = values[of_cell]
        total = np.add.reduceat(picked, edges, axis=1)
        if name in _UNIQUES:
            total = counted_once(np.maximum.reduceat(picked, edges, axis=1), total)
        sums[name][:, bucket[edges]] = np.add.reduceat(total, row_starts, axis=0)
    return sums


def _pieces(counts: Counts, asked: Asked) -> tuple[np.ndarray, dict[str, Ints]]:
    """Counts per cell and piece of time: whole days, and hours where the window or the interval cuts a day."""
    midnight = datetime.combine(EPOCH, time.min)
    first_hour, last_hour = (int((t - midnight) / timedelta(hours=1)) for t in (asked.period.start, asked.period.end))
    first = min(max(first_hour // 24, day_number(FIRST_DAY)), counts.days)
    last = max(min(-(-last_hour // 24), counts.days), first)
    daily = counts.daily(first, last, asked.metric)
    if last == first:
        return np.zeros(0, dtype="datetime64[s]"), daily
    cut = {day for day in (first, last - 1) if first_hour > day * 24 or last_hour < day * 24 + 24}
    if asked.interval == "hourly":
        cut = set(range(first, last))
    pieces: list[tuple[list[int], dict[str, Ints]]] = []
    whole = [day for day in range(first, last) if day not in cut]
    if whole:
        days = slice(whole[0] - first, whole[-1] + 1 - first)
        pieces.append(([day * 24 for day in whole], {name: values[:, days] for name, values in daily.items()}))
    for day in cut:
        inside = [hour for hour in range(24) if first_hour <= day * 24 + hour < last_hour]
        hourly = counts.hourly(day, day + 1, asked.metric)
        pieces.append(
            ([day * 24 + hour for hour in inside], {name: values[:, 0, inside] for name, values in hourly.items()})
        )
    pieces.sort(key=lambda piece: piece[0])
    hours = np.concatenate([times for times, _ in pieces])
    joined = {name: np.concatenate([parts[name] for _, parts in pieces], axis=1) for name in daily}
    return np.datetime64(EPOCH, "s") + hours * np.timedelta64(3600, "s"), joined


def _plain(sums: dict[str, Ints]) -> dict[str, Floats | Ints]:
    """All statistics of all rows and buckets that are no quotient; without ``conversion_value`` where there is none."""
    lost = sums["recipients"] - sums["delivered"]
    plain = {
        **sums,
        "bounced": lost,
        "failed": lost,
        "bounced_or_failed": lost,
        "message_segment_count_sum": sums["segments"],
        "text_message_credit_usage_amount": sums["segments"] * float(_CREDITS_PER_SEGMENT),
        "text_message_spend": np.round(sums["segments"] * (_CREDITS_PER_SEGMENT * _EUR_PER_CREDIT), 4),
    }
    return plain | {"conversion_value": sums["cents"] / 100} if "cents" in sums else plain


def _column(name: str, plain: dict[str, Floats | Ints], denominator: str) -> Floats | Ints:
    """One statistic of all rows and buckets; NaN where it has no value."""
    if name in plain:
        return plain[name]
    entry = STATISTICS[name]
    is_rate = entry.kind == "rate"
    bottom = plain[denominator if is_rate and len(entry.denominators) > 1 else entry.denominators[0]]
    column = np.full(bottom.shape, 0.0 if is_rate else np.nan)
    if entry.numerators[0] in plain:
        np.divide(plain[entry.numerators[0]], bottom, out=column, where=bottom > 0)
    return column


def _shown(name: str, channels: list[str], column: Floats | Ints, alone: bool) -> list[Any]:
    """One statistic of all rows as it is sent: null or 0 where the statistic has no meaning on the channel.

    Rows stay arrays, and NaN among them: the app's encoder writes them as lists with null.
    """
    entry = STATISTICS[name]
    meaning = {channel: has_meaning(name, channel) for channel in set(channels)}
    nothing = [None if name in _NULL_WITHOUT_MEANING else (0 if entry.is_count else 0.0)] * column.shape[1]
    rows = [row if meaning[channel] else nothing for row, channel in zip(column, channels, strict=True)]
    return [row[0] for row in rows] if alone else rows
