"""When it arrives: the counts of a day as an answer shows them at some moment.

Each recipient has an hour of sending; opens and clicks follow within hours, conversions within five days (the
attribution window). Everything belongs to the send: an event counts for the day and hour its message went out. Five
days after a day is over nothing of it is still under way.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import lru_cache

import numpy as np

from flowperf_helpers.sandbox.numbers import (
    COUNTS,
    FIRST_ORDER,
    NEXT_ORDER,
    Floats,
    Ints,
    Keys,
    Numbers,
    day_number,
    normal,
    order_cents,
    spread,
    uniform,
)
from flowperf_helpers.sandbox.shop import EPOCH, FIRST_DAY, Metric

__all__ = ["ATTRIBUTION_DAYS", "Counts", "hourly"]

ATTRIBUTION_DAYS = 5
_LONGEST = ATTRIBUTION_DAYS * 24.0
_FIRST = day_number(FIRST_DAY)

_HOURS = np.array([3, 2, 1, 1, 1, 2, 4, 6, 8, 9, 10, 9, 8, 8, 8, 8, 9, 10, 11, 12, 12, 10, 7, 5], dtype=np.float64)
_SENT_BY = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])

_OPEN = (1.1, 1.3)
_CLICK = (0.15, 1.0)
_STOP = (2.5, 1.4)
_CONVERT = (20.0, 1.4)
"""Delays as median hours and standard deviation of their logarithm."""


Events = tuple[Ints, Floats, Floats | None]
"""Of some events of one day: cell and hour of sending as one number, when they happen (hours), what they are worth."""


class _People:
    """Recipients of one day, one by one, with the moment each one was sent to.

    Parameters
    ----------
    keys : array of uint64 [cell]
        Keys of the cells.
    day : int
        Number of the day.
    recipients : array of int64 [cell]
        How many.
    """

    def __init__(self, keys: Keys, day: int, recipients: Ints) -> None:
        self.cell, self.place = spread(recipients)
        self._offsets = np.cumsum(recipients) - recipients
        self._keys = keys
        self._day = day
        sent = np.interp(self.draw(self.cell, self.place, 101), _SENT_BY, np.arange(25.0))
        self._slot = self.cell * 24 + np.minimum(sent.astype(np.int64), 23)
        self._sent = day * 24.0 + sent

    def draw(self, cell: Ints, place: Ints, purpose: int, salt: int = 0) -> Floats:
        """Draw one number per event."""
        return uniform(self._keys[cell], self._day, purpose, salt, place)

    def events(self, person: Ints, age: Floats | float = 0.0) -> Events:
        """Events of some recipients, ``age`` hours after the send."""
        return self._slot[person], self._sent[person] + age, None

    def first_events(self, uniques: Ints) -> tuple[Ints, Ints]:
        """Cell and person of the first ``uniques`` recipients of each cell."""
        cell, place = spread(uniques)
        return cell, self._offsets[cell] + place

    def repeats(self, events: Ints, uniques: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Cell, running number, person and place among the first events, of every event after a first one."""
        cell, place = spread(events - uniques)
        member = place % np.maximum(uniques[cell], 1)
        before = np.cumsum(uniques) - uniques
        return cell, place, self._offsets[cell] + member, before[cell] + member


def hourly(numbers: Numbers, first: int, last: int, now: float, metric: Metric | None = None) -> dict[str, Ints]:
    """Return counts of the days ``first`` to ``last`` (exclusive) by hour of sending, as known at ``now``.

    Parameters
    ----------
    numbers : Numbers
        The final counts.
    first, last : int
        Numbers of days since the epoch.
    now : float
        Hours since the epoch's midnight on the account's wall clock; infinity for the final counts.
    metric : Metric, optional
        With it conversions instead of engagement.

    Returns
    -------
    dict of array of int64 [cell, day, hour]
        `COUNTS`; with a metric ``conversions, conversion_uniques`` and, where it carries values, ``cents``.
    """
    names = COUNTS
    if metric is not None:
        names = ("conversions", "conversion_uniques", *(() if metric.order_value is None else ("cents",)))
    shape = (len(numbers.cells), 24)
    out = {name: np.zeros((shape[0], last - first, 24), dtype=np.int64) for name in names}
    for day in range(first, last):
        for name, found in _arrivals(numbers, day, metric).items():
            for slot, moment, worth in found:
                seen = moment <= now
                weights = None if worth is None else worth[seen]
                got = np.bincount(slot[seen], minlength=shape[0] * 24, weights=weights)
                out[name][:, day - first] += np.rint(got).astype(np.int64).reshape(shape)
    return out


@lru_cache(maxsize=48)
def _arrivals(numbers: Numbers, day: int, metric: Metric | None) -> dict[str, list[Events]]:
    """Everything that happens to what one day sends; kept, because only the clock differs between two answers."""
    final = {name: values[:, 0] for name, values in numbers.engagement(day, day + 1).items()}
    people = _People(numbers.keys, day, final["recipients"])
    if metric is not None:
        return _conversions(numbers, people, day, metric)
    everyone = np.arange(people.cell.size)
    delivered = people.first_events(final["delivered"])[1]
    out = {"recipients": [people.events(everyone)], "delivered": [people.events(delivered)]}
    opened = _delay(people.draw(people.cell, people.place, 102), _OPEN)
    clicked = np.where(numbers.has_opens[people.cell, 0], opened, 0.0)
    clicked = np.minimum(clicked + _delay(people.draw(people.cell, people.place, 103), _CLICK), _LONGEST)
    stopped = _delay(people.draw(people.cell, people.place, 104), _STOP)
    complained = _delay(people.draw(people.cell, people.place, 105), _STOP)
    for uniques, events, age, purpose in (
        ("opens_unique", "opens", opened, 106),
        ("clicks_unique", "clicks", clicked, 107),
        ("unsubscribe_uniques", "unsubscribes", stopped, 108),
        ("spam_complaints", "", complained, 109),
    ):
        person = people.first_events(final[uniques])[1]
        out[uniques] = [people.events(person, age[person])]
        if events:
            cell, place, person, _ = people.repeats(final[events], final[uniques])
            later = _later(age[person], people.draw(cell, place, purpose))
            out[events] = [*out[uniques], people.events(person, later)]
    return out


def _conversions(numbers: Numbers, people: _People, day: int, metric: Metric) -> dict[str, list[Events]]:
    final = {name: values[:, 0] for name, values in numbers.conversions(metric, day, day + 1).items()}
    salt = numbers.salt(metric)
    cell, person = people.first_events(final["conversion_uniques"])
    place = people.place[person]
    age = _delay(people.draw(cell, place, 110, salt), _CONVERT)
    again_cell, again_place, again_person, of = people.repeats(final["conversions"], final["conversion_uniques"])
    first = people.events(person, age)
    again = people.events(again_person, _later(age[of], people.draw(again_cell, again_place, 111, salt)))
    out = {"conversion_uniques": [first], "conversions": [first, again]}
    if metric.order_value is not None:
        worth = order_cents(people.draw(cell, place, FIRST_ORDER, salt), metric).astype(np.float64)
        more = order_cents(people.draw(again_cell, again_place, NEXT_ORDER, salt), metric).astype(np.float64)
        out["cents"] = [(*first[:2], worth), (*again[:2], more)]
    return out


def _delay(u: Floats, law: tuple[float, float]) -> Floats:
    """Hours until an event: log-normal, cut at the attribution window."""
    median, spread = law
    within = _share_within(median, spread)
    return np.minimum(median * np.exp(spread * normal(u * within)), _LONGEST)


@lru_cache(maxsize=8)
def _share_within(median: float, spread: float) -> float:
    """Share of the uncut law that lies inside the attribution window, found on its own quantiles."""
    grid = np.linspace(0.5, 1 - 1e-7, 200_001)
    return float(np.interp(np.log(_LONGEST / median) / spread, normal(grid), grid))


def _later(age: Floats, u: Floats) -> Floats:
    """Age of a repeat: after the first event, mostly soon, before the window closes."""
    return age + (_LONGEST - age) * u**4


class Counts:
    """Daily counts as known at a moment: final ones, with the last days replaced by what has arrived.

    Parameters
    ----------
    numbers : Numbers
        The final counts.
    now : datetime
        Wall time in the account's zone, naive.
    """

    def __init__(self, numbers: Numbers, now: datetime) -> None:
        self.numbers = numbers
        self.hours = (now - datetime.combine(EPOCH, time.min)) / timedelta(hours=1)
        self.days = max(day_number(now.date()) + 1, _FIRST)
        self._open_from = max(self.days - ATTRIBUTION_DAYS - 1, _FIRST)
        self._recent = lru_cache(maxsize=8)(self._make_recent)

    def daily(self, first: int, last: int, metric: Metric) -> dict[str, Ints]:
        """Everything countable, int64 [cell, day], for the days ``first`` to ``last`` (exclusive, none after today)."""
        final = self.numbers.engagement(first, last) | self.numbers.conversions(metric, first, last)
        if last <= self._open_from:
            return final
        since = max(first, self._open_from)
        recent = self._recent(metric)
        for name, values in final.items():
            values[:, since - first :] = recent[name][:, since - self._open_from : last - self._open_from]
        return final

    def hourly(self, first: int, last: int, metric: Metric) -> dict[str, Ints]:
        """Return the same for some days, int64 [cell, day, hour of sending]."""
        engagement = hourly(self.numbers, first, last, self.hours)
        return engagement | hourly(self.numbers, first, last, self.hours, metric)

    def _make_recent(self, metric: Metric) -> dict[str, Ints]:
        """Counts of the days on which something may still arrive."""
        hours = self.hourly(self._open_from, self.days, metric)
        return {name: values.sum(axis=2) for name, values in hours.items()}
