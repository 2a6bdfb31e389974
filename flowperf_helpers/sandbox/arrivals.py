"""When it arrives: the counts of a day as an answer shows them at some moment.

Each recipient has an hour of sending; opens and clicks follow within hours, conversions within five days (the
attribution window). Everything hangs on the send: an event counts for the day and hour its message went out. Five
days after a day is over nothing of it is still under way.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import lru_cache

import numpy as np

from flowperf_helpers.sandbox.draws import Floats, Ints, Keys, normal, uniform
from flowperf_helpers.sandbox.model import EPOCH, FIRST_DAY, Metric
from flowperf_helpers.sandbox.numbers import FIRST_ORDER, NEXT_ORDER, Numbers, day_number, order_cents, spread

__all__ = ["ATTRIBUTION_DAYS", "Ledger", "hourly"]

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


class _People:
    """Recipients of some days, one by one, with the moment each one was sent to.

    Parameters
    ----------
    keys : array of uint64 [cell]
        Keys of the cells.
    first : int
        Number of the first day.
    recipients : array of int64 [cell, day]
        How many.
    """

    def __init__(self, keys: Keys, first: int, recipients: Ints) -> None:
        self.shape = recipients.shape
        flat = recipients.ravel()
        self.pair, self.place = spread(flat)
        self._offsets = np.concatenate([[0], np.cumsum(flat)[:-1]]).astype(np.int64)
        days = first + np.arange(recipients.shape[1])
        self._pair_keys = np.repeat(keys, recipients.shape[1])
        self._pair_days = np.tile(days, recipients.shape[0])
        self.start = self._pair_days * 24.0
        self.sent = np.interp(self.draw(self.pair, self.place, 101), _SENT_BY, np.arange(25.0))
        self.hour = np.minimum(self.sent.astype(np.int64), 23)

    def draw(self, pair: Ints, place: Ints, purpose: int, salt: int = 0) -> Floats:
        """Draw one number per event."""
        return uniform(self._pair_keys[pair], self._pair_days[pair], purpose, salt, place)

    def count(self, pair: Ints, person: Ints, age: Floats, now: float, weights: Ints | None = None) -> Ints:
        """Sum events that have happened by ``now``, per cell, day and hour of sending.

        ``person`` is the index of the recipient, ``age`` the hours between the send and the event.
        """
        seen = self.start[pair] + self.sent[person] + age <= now
        slot = pair[seen] * 24 + self.hour[person[seen]]
        size = self.shape[0] * self.shape[1] * 24
        got = np.bincount(slot, minlength=size, weights=None if weights is None else weights[seen].astype(np.float64))
        return np.rint(got).astype(np.int64).reshape(*self.shape, 24)

    def first_events(self, uniques: Ints) -> tuple[Ints, Ints]:
        """Pair and person of the first ``uniques`` recipients of each cell and day."""
        pair, place = spread(uniques.ravel())
        return pair, self._offsets[pair] + place

    def repeats(self, events: Ints, uniques: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Pair, running number, person and place among the first events, of every event after a first one."""
        firsts = uniques.ravel()
        pair, place = spread((events - uniques).ravel())
        member = place % np.maximum(firsts[pair], 1)
        before = np.concatenate([[0], np.cumsum(firsts)[:-1]]).astype(np.int64)
        return pair, place, self._offsets[pair] + member, before[pair] + member


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
    final = numbers.engagement(first, last)
    people = _People(numbers.keys, first, final["recipients"])
    if metric is not None:
        return _conversions(numbers, people, first, last, now, metric)
    out: dict[str, Ints] = {}
    everyone = np.arange(people.pair.size)
    out["recipients"] = people.count(people.pair, everyone, np.zeros(everyone.size), now)
    pair, person = people.first_events(final["delivered"])
    out["delivered"] = people.count(pair, person, np.zeros(pair.size), now)
    opened = _delay(people.draw(people.pair, people.place, 102), _OPEN)
    has_opens = np.array([c.message.opens > 0 for c in numbers.cells], dtype=bool)
    opened_by_pair = np.repeat(has_opens, last - first)
    clicked = np.where(opened_by_pair[people.pair], opened, 0.0)
    clicked = np.minimum(clicked + _delay(people.draw(people.pair, people.place, 103), _CLICK), _LONGEST)
    stopped = _delay(people.draw(people.pair, people.place, 104), _STOP)
    complained = _delay(people.draw(people.pair, people.place, 105), _STOP)
    for uniques, events, age, purpose in (
        ("opens_unique", "opens", opened, 106),
        ("clicks_unique", "clicks", clicked, 107),
        ("unsubscribe_uniques", "unsubscribes", stopped, 108),
        ("spam_complaints", "", complained, 109),
    ):
        pair, person = people.first_events(final[uniques])
        out[uniques] = people.count(pair, person, age[person], now)
        if events:
            pair, place, person, _ = people.repeats(final[events], final[uniques])
            later = _later(age[person], people.draw(pair, place, purpose))
            out[events] = out[uniques] + people.count(pair, person, later, now)
    return out


def _conversions(
    numbers: Numbers, people: _People, first: int, last: int, now: float, metric: Metric
) -> dict[str, Ints]:
    final = numbers.conversions(metric, first, last)
    salt = numbers.salt(metric)
    pair, person = people.first_events(final["conversion_uniques"])
    place = people.place[person]
    age = _delay(people.draw(pair, place, 110, salt), _CONVERT)
    again_pair, again_place, again_person, of = people.repeats(final["conversions"], final["conversion_uniques"])
    again = _later(age[of], people.draw(again_pair, again_place, 111, salt))
    uniques = people.count(pair, person, age, now)
    out = {"conversion_uniques": uniques, "conversions": uniques + people.count(again_pair, again_person, again, now)}
    if metric.order_value is not None:
        cents = order_cents(people.draw(pair, place, FIRST_ORDER, salt), metric)
        more = order_cents(people.draw(again_pair, again_place, NEXT_ORDER, salt), metric)
        out["cents"] = people.count(pair, person, age, now, cents)
        out["cents"] += people.count(again_pair, again_person, again, now, more)
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


class Ledger:
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
        self.now = now
        self.hours = (now - datetime.combine(EPOCH, time.min)) / timedelta(hours=1)
        self.days = max(day_number(now.date()) + 1, _FIRST)
        self._open_from = max(self.days - ATTRIBUTION_DAYS - 1, _FIRST)
        self._recent = lru_cache(maxsize=8)(self._make_recent)

    def counts(self, first: int, last: int, metric: Metric) -> dict[str, Ints]:
        """Everything countable, int64 [cell, day], for the days ``first`` to ``last`` (exclusive, none after today)."""
        first, last = self._inside(first, last)
        final = self.numbers.engagement(first, last) | self.numbers.conversions(metric, first, last)
        if last <= self._open_from:
            return final
        since = max(first, self._open_from)
        recent = self._recent(metric)
        for name, values in final.items():
            values[:, since - first :] = recent[name][:, since - self._open_from : last - self._open_from]
        return final

    def hours_of(self, first: int, last: int, metric: Metric) -> dict[str, Ints]:
        """Return the same for some days, int64 [cell, day, hour of sending]."""
        first, last = self._inside(first, last)
        engagement = hourly(self.numbers, first, last, self.hours)
        return engagement | hourly(self.numbers, first, last, self.hours, metric)

    def _inside(self, first: int, last: int) -> tuple[int, int]:
        last = min(last, self.days)
        return min(max(first, _FIRST), last), last

    def _make_recent(self, metric: Metric) -> dict[str, Ints]:
        """Counts of the days on which something may still arrive."""
        hours = self.hours_of(self._open_from, self.days, metric)
        return {name: values.sum(axis=2) for name, values in hours.items()}
