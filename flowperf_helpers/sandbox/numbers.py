"""How many, per cell and day, once everything has arrived: drawn by what each number is for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from flowperf_helpers.sandbox.shop import (
    EPOCH,
    HOLIDAY,
    HOLIDAY_STARTS,
    STORIES,
    Cell,
    Metric,
    Moves,
    World,
    build_world,
)

__all__ = [
    "COUNTS",
    "FIRST_ORDER",
    "NEXT_ORDER",
    "Floats",
    "Ints",
    "Keys",
    "Numbers",
    "binomial",
    "day_number",
    "key_of",
    "normal",
    "numbers_of",
    "order_cents",
    "spread",
    "uniform",
    "wobble",
]


# Random numbers that depend on what they are for alone: a function of the key, the day and the purpose, and of nothing
# else.
#
# So a day has the same numbers whoever asks, whenever, and however many days or messages there are beside it.

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key_of(seed: int, name: str) -> int:
    """Return 64 bits out of a seed and a name."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finish of the splitmix64 generator."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(keys: NDArray[np.uint64], *parts: NDArray[np.int64] | int) -> Floats:
    """Return numbers strictly between 0 and 1, one per broadcast element of keys and parts."""
    x = np.atleast_1d(np.asarray(keys, dtype=np.uint64))
    with np.errstate(over="ignore"):
        for part in parts:
            x = _mix(x + (np.atleast_1d(np.asarray(part, dtype=np.int64)).astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return ((x >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52


def wobble(u: Floats) -> Floats:
    """Return noise with mean 0 and standard deviation 1, evenly spread: cheaper than `normal`, and never far out."""
    return (u - 0.5) * 12.0**0.5


_A = (-3.969683028665376e01, 2.209460984245205e02, -2.759285104469687e02, 1.383577518672690e02, -3.066479806614716e01,
      2.506628277459239e00)  # fmt: skip
_B = (-5.447609879822406e01, 1.615858368580409e02, -1.556989798598866e02, 6.680131188771972e01, -1.328068155288572e01,
      1.0)  # fmt: skip
_C = (-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e00, -2.549732539343734e00,
      4.374664141464968e00, 2.938163982698783e00)  # fmt: skip
_D = (7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e00, 3.754408661907416e00, 1.0)


def normal(u: Floats) -> Floats:
    """Return the standard normal quantile of ``u``, by Acklam's rational approximation (error below 1e-8)."""
    q = np.minimum(u, 1 - u)
    centred = q - 0.5
    r = centred * centred
    lower = np.polyval(_A, r) * centred / np.polyval(_B, r)
    far = np.flatnonzero(q < 0.02425)
    tail = np.sqrt(-2 * np.log(q.ravel()[far]))
    np.put(lower, far, np.polyval(_C, tail) / np.polyval(_D, tail))
    return np.where(u <= 0.5, lower, -lower)


_NORMAL_FROM = 40.0


def binomial(n: Ints | Floats, p: Floats, u: Floats) -> Ints:
    """Return the quantile ``u`` of Binomial(n, p): exact where few are expected, else by Cornish and Fisher.

    Parameters
    ----------
    n, p, u : arrays that broadcast against each other
        Trials, probability of one, quantile.

    Returns
    -------
    array of int64
        Between 0 and ``n``.
    """
    shape = np.broadcast_shapes(n.shape, p.shape, u.shape)
    trials = np.broadcast_to(n, shape).astype(np.float64)
    p = np.broadcast_to(p, shape)
    flipped = p > 0.5
    p = np.where(flipped, 1 - p, p)
    u = np.where(flipped, 1 - u, u)
    u = np.broadcast_to(u, shape)
    mean = trials * p
    k = np.zeros(shape)
    many = mean >= _NORMAL_FROM
    z = normal(u[many])
    k[many] = np.floor(mean[many] + z * np.sqrt(mean[many] * (1 - p[many])) + (1 - 2 * p[many]) * (z * z - 1) / 6 + 0.5)
    few = (mean > 0) & ~many
    k[few] = _walk(trials[few], p[few], u[few])
    k = np.clip(k, 0, trials)
    return np.where(flipped, trials - k, k).astype(np.int64)


def _walk(n: Floats, p: Floats, u: Floats) -> Floats:
    """Smallest k whose cumulated probability reaches u, element by element."""
    found = np.zeros(n.shape)
    left = np.arange(n.size)
    mass = np.exp(n * np.log1p(-p))
    odds = p / (1 - p)
    total = mass.copy()
    k = 0
    while left.size:
        going = (total < u) & (k < n)
        if not going.all():
            found[left[~going]] = k
            left, n, u = left[going], n[going], u[going]
            mass, odds, total = mass[going], odds[going], total[going]
        mass = mass * odds * (n - k) / (k + 1)
        total = total + mass
        k += 1
        if k > 400:  # nothing but rounding is left
            found[left] = k
            break
    return found


# How many, per cell and day, once everything has arrived: the account's final counts.
#
# A cell is a message, or one variation of it. Every count is a quantile of a binomial at a random number that depends
# on (seed, cell, day, purpose), so counts nest by construction: delivered out of recipients, unique opens out of
# delivered, unique clicks out of unique opens (out of delivered where a channel has no opens).

COUNTS = (
    "recipients", "delivered", "opens_unique", "opens", "clicks_unique", "clicks", "unsubscribe_uniques",
    "unsubscribes", "spam_complaints",
)  # fmt: skip
"""Counts that do not depend on the conversion metric; the others follow from them."""

_WEEKDAYS = np.array([1.04, 1.02, 1.0, 0.99, 0.97, 0.95, 1.03])
_GROWTH = 0.0005
"""Growth of the audience per day, from the epoch on and back."""
_VOLUME_NOISE, _RATE_NOISE, _DAY_NOISE = 0.05, 0.012, 0.003
"""Standard deviations of the logarithm: volume of a cell's day, a cell's rate on a day, all cells' rate on a day."""
_SAMPLE = 25
"""Recipients are a binomial of 25 times their mean: nearly Poisson."""
_BLOCK = 128
"""Days that are drawn together, on demand: a short window does not pay for the whole past."""

FIRST_ORDER, NEXT_ORDER = 112, 113
"""Purposes of the draws of values: of a first conversion, of a repeated one."""
_FOREVER = 10**9

_PURPOSE = {
    name: number for number, name in enumerate((*COUNTS, "volume", "conversion_uniques", "conversions"), start=1)
}


class Numbers:
    """Final counts of one world, made on demand and kept.

    Parameters
    ----------
    world : World
        Who sends.
    seed : int
        Another seed is another history of the same account.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.cells = world.cells()
        self.keys = np.array([key_of(seed, c.key) for c in self.cells], dtype=np.uint64)
        self._message_keys = np.array([key_of(seed, c.message.id) for c in self.cells], dtype=np.uint64)
        self.has_opens = np.array([c.message.opens > 0 for c in self.cells], dtype=bool)[:, None]
        self._day_key = np.array([key_of(seed, "all cells")], dtype=np.uint64)
        self._metric_salt = {m.id: key_of(seed, m.id) & 0xFFFFFFFF for m in world.metrics}
        self._engagement = lru_cache(maxsize=32)(self._make_engagement)
        self._conversions = lru_cache(maxsize=128)(self._make_conversions)

    def engagement(self, first: int, last: int) -> dict[str, Ints]:
        """Counts of `COUNTS`, each int64 [cell, day], for the days ``first`` to ``last`` (exclusive)."""
        return _joined(self._engagement, first, last)

    def conversions(self, metric: Metric, first: int, last: int) -> dict[str, Ints]:
        """``conversion_uniques, conversions`` of a metric and, where it carries values, ``cents``, in the same way."""
        return _joined(lambda block: self._conversions(metric, block), first, last)

    def salt(self, metric: Metric) -> int:
        """A number that sets a metric's random numbers apart."""
        return self._metric_salt[metric.id]

    def _make_engagement(self, block: int) -> dict[str, Ints]:
        days = _days(block)
        recipients = self._recipients(days)
        lost = binomial(recipients, self._column(lambda c: c.message.lost), self._draw("delivered", days))
        delivered = recipients - lost
        opens = self._thin("opens_unique", delivered, self._column(lambda c: c.message.opens), days)
        per_open = self._column(lambda c: c.message.clicks / c.message.opens if c.message.opens else c.message.clicks)
        clicks = self._thin("clicks_unique", np.where(self.has_opens, opens, delivered), per_open, days)
        stops = self._thin("unsubscribe_uniques", delivered, self._column(lambda c: c.message.unsubscribes), days)
        return {
            "recipients": recipients,
            "delivered": delivered,
            "opens_unique": opens,
            "opens": opens + self._thin("opens", opens, 0.52, days),
            "clicks_unique": clicks,
            "clicks": clicks + self._thin("clicks", clicks, 0.31, days),
            "unsubscribe_uniques": stops,
            "unsubscribes": stops + self._thin("unsubscribes", stops, 0.02, days),
            "spam_complaints": self._thin(
                "spam_complaints", delivered, self._column(lambda c: c.message.complains), days
            ),
        }

    def _make_conversions(self, metric: Metric, block: int) -> dict[str, Ints]:
        days = _days(block)
        delivered = self._engagement(block)["delivered"]
        salt = self.salt(metric)
        chance = self._column(lambda c: min(c.message.converts * metric.factor, 0.5))
        uniques = self._thin("conversion_uniques", delivered, chance, days, salt)
        again = self._thin("conversions", uniques, 0.07, days, salt)
        out = {"conversion_uniques": uniques, "conversions": uniques + again}
        if metric.order_value is not None:
            out["cents"] = self._cents(metric, days, uniques, FIRST_ORDER) + self._cents(
                metric, days, again, NEXT_ORDER
            )
        return out

    def _cents(self, metric: Metric, days: Ints, orders: Ints, purpose: int) -> Ints:
        """Value in cents [cell, day] of so many orders, drawn one by one."""
        whose, place = spread(orders.ravel())
        keys, numbers = np.repeat(self.keys, days.size), np.tile(days, self.keys.size)
        cents = order_cents(uniform(keys[whose], numbers[whose], purpose, self.salt(metric), place), metric)
        total = np.bincount(whose, weights=cents.astype(np.float64), minlength=orders.size)
        return np.rint(total).astype(np.int64).reshape(orders.shape)

    def _recipients(self, days: Ints) -> Ints:
        noise = _VOLUME_NOISE * wobble(self._draw("volume", days))
        mean = self._column(lambda c: c.message.per_day * c.share) * _WEEKDAYS[days % 7]
        mean = mean * np.exp(_GROWTH * days + noise) * self._factors("recipients", days) * self._running(days)
        sample = np.ceil(mean * _SAMPLE)
        chance = np.divide(mean, sample, out=np.zeros_like(mean), where=sample > 0)
        return binomial(sample, chance, self._draw("recipients", days))

    def _thin(self, name: str, base: Ints, rate: Floats | float, days: Ints, salt: int = 0) -> Ints:
        """Draw how many of ``base`` do something, with a rate that wobbles a little from day to day."""
        alone = _RATE_NOISE * wobble(self._draw(name, days, salt, 1))
        together = _DAY_NOISE * wobble(uniform(self._day_key[:, None], days[None, :], _PURPOSE[name]))
        chance = np.clip(rate * np.exp(alone + together) * self._factors(name, days), 0.0, 0.98)
        return binomial(base, chance, self._draw(name, days, salt))

    def _draw(self, name: str, days: Ints, *parts: int) -> Floats:
        return uniform(self.keys[:, None], days[None, :], _PURPOSE[name], *parts)

    def _column(self, of: Callable[[Cell], float]) -> Floats:
        return np.array([of(c) for c in self.cells], dtype=np.float64).reshape(-1, 1)

    def _running(self, days: Ints) -> Floats:
        """1 on the days on which a cell is sent, else 0."""
        starts = np.array([day_number(c.starts) for c in self.cells], dtype=np.int64)[:, None]
        ends = np.array([_FOREVER if c.ends is None else day_number(c.ends) for c in self.cells])[:, None]
        return ((starts <= days) & (days < ends)).astype(np.float64)

    def _factors(self, name: str, days: Ints) -> Floats:
        """What the stories, and moving rates, do to a count: factors [cell, day]."""
        factors = np.ones((len(self.cells), days.size))
        if self.world.moves is not None:
            factors = np.exp(self._moved(self.world.moves, name, days))
        if not self.world.tells_stories:
            return factors
        for story in STORIES:
            if _TOUCHES.get(story.statistic) != name:
                continue
            last = _FOREVER if story.last_day is None else day_number(story.last_day) + 1
            holds = (day_number(story.first_day) <= days) & (days < last)
            for row, cell in enumerate(self.cells):
                arm = None if cell.variation is None else cell.variation.id
                if cell.message.id == story.flow_message_id and story.variation in (None, arm):
                    factors[row, holds] *= story.size
        return factors

    def _moved(self, moves: Moves, name: str, days: Ints) -> Floats:
        """Return what is added to the logarithm of a count's rate, or volume [cell, day]; arms of a test share it."""
        if name not in _MOVING:
            return np.zeros((1, 1))
        purpose = _PURPOSE[name]
        own, common = self._message_keys[:, None], self._day_key[:, None]
        if name == "recipients":
            return moves.volume * _weekly(own, days, moves.persistence, purpose)
        pattern = normal(uniform(own, np.arange(7), purpose, _WEEKDAY))
        moved = (
            moves.own_week * _weekly(own, days, moves.persistence, purpose)
            + moves.common_week * _weekly(common, days, moves.persistence, purpose)
            + moves.own_day * normal(uniform(own, days, purpose, _DAY))
            + moves.common_day * normal(uniform(common, days, purpose, _DAY))
            + moves.weekday * (pattern - pattern.mean(axis=1, keepdims=True))[:, days % 7]
            + moves.trend * (days - day_number(HOLIDAY_STARTS)) / 91
        )
        if name == "opens_unique":
            moved = moved / 2
        if moves.holiday:
            moved = moved + HOLIDAY.get(name, 0.0) * (days // 7 == day_number(HOLIDAY_STARTS) // 7)
        if name == "clicks_unique":  # they are drawn out of the opens, and move per message delivered
            moved = moved - np.where(self.has_opens, self._moved(moves, "opens_unique", days), 0.0)
        return moved


_MOVING = ("recipients", "delivered", "opens_unique", "clicks_unique", "unsubscribe_uniques", "spam_complaints",
           "conversion_uniques")  # fmt: skip
"""Counts whose rates move where rates do; ``delivered`` stands for what was lost."""
_WEEK, _DAY, _WEEKDAY = 201, 202, 203
"""Purposes of the draws that moving rates are made of."""
_LAGS = np.arange(12)


def _weekly(keys: Keys, days: Ints, persistence: float, purpose: int) -> Floats:
    """Return a stationary AR(1) process of weeks with standard deviation 1 [key, day], as a sum of its past shocks."""
    weeks = np.arange(days[0] // 7, days[-1] // 7 + 1)
    shocks = normal(uniform(keys[:, :, None], weeks[:, None] - _LAGS, purpose, _WEEK))
    return (shocks @ persistence**_LAGS * (1 - persistence**2) ** 0.5)[:, days // 7 - weeks[0]]


_TOUCHES = {
    "click_rate": "clicks_unique",
    "spam_complaint_rate": "spam_complaints",
    "recipients": "recipients",
}
"""Which drawn count a story's statistic rests on."""


def _days(block: int) -> Ints:
    """Numbers of the days of a block."""
    return np.arange(block * _BLOCK, (block + 1) * _BLOCK)


def _joined(made: Callable[[int], dict[str, Ints]], first: int, last: int) -> dict[str, Ints]:
    """Put the blocks of some days together and cut them to the days."""
    start = first // _BLOCK
    blocks = [made(block) for block in range(start, max(-(-last // _BLOCK), start + 1))]
    cut = slice(first - start * _BLOCK, max(last, first) - start * _BLOCK)
    return {name: np.concatenate([block[name] for block in blocks], axis=1)[:, cut] for name in blocks[0]}


def spread(counts: Ints) -> tuple[Ints, Ints]:
    """For counts [3, 0, 2]: whose each one is [0, 0, 0, 2, 2], and its place there [0, 1, 2, 0, 1]."""
    whose = np.repeat(np.arange(counts.size), counts)
    starts = np.cumsum(counts) - counts
    return whose, np.arange(whose.size) - starts[whose]


def order_cents(u: Floats, metric: Metric) -> Ints:
    """Values of orders in cents, log-normal around the metric's median."""
    return np.rint(100 * (metric.order_value or 0.0) * np.exp(0.55 * normal(u))).astype(np.int64)


def day_number(day: date) -> int:
    """Days since the epoch, negative before it."""
    return (day - EPOCH).days


@lru_cache(maxsize=16)
def numbers_of(variant: str, seed: int) -> Numbers:
    """Return the numbers of a variant and seed, once per process."""
    return Numbers(build_world(variant), seed)
