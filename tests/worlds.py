"""Accounts made of chance alone, whose law is known: what a claim of the report is tested on.

A world has flows with messages; each rate of a message wanders round its mean by the week, by the day, with all others,
by weekday and with a trend (standard deviations of the log rate). Counts are binomial. Nothing else ever happens unless
it is planted (`Account.plant`), so every claim about a world left alone is false. Seeds are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

RATES = ("open_rate", "click_rate", "conversion_rate", "unsubscribe_rate", "spam_complaint_rate")
MEANS = {"open_rate": 0.42, "click_rate": 0.05, "conversion_rate": 0.012, "unsubscribe_rate": 0.003,
         "spam_complaint_rate": 0.0003}  # fmt: skip
SPREAD = {"click_rate": 0.5, "conversion_rate": 0.6, "unsubscribe_rate": 0.4, "spam_complaint_rate": 0.4}
HOLIDAY = {"open_rate": -0.08, "click_rate": -0.15, "conversion_rate": 0.30}
FLOWS, MESSAGES = 18, 40


@dataclass(frozen=True)
class World:
    """How much the log rate of a message moves.

    Attributes
    ----------
    own_week, common_week, own_day, common_day : float
        Standard deviations; opens move half as much.
    memory : float
        Correlation of a week's own move with the next.
    weekday : float
        Standard deviation of the weekdays' pattern.
    trend : float
        Change of the log rate in thirteen weeks.
    uneven : float
        Own week of every second message, where it is not that of the others.
    volume : tuple of float
        Recipients of a message a week, log-uniform between these.
    """

    own_week: float = 0.0
    common_week: float = 0.0
    own_day: float = 0.0
    common_day: float = 0.0
    memory: float = 0.0
    weekday: float = 0.0
    trend: float = 0.0
    uneven: float | None = None
    volume: tuple[float, float] = (20.0, 9000.0)


WORLDS = {
    "coin tosses": World(),
    "mild": World(0.04, 0.015, 0.05, 0.02, 0.3, 0.05),
    "realistic": World(0.08, 0.03, 0.10, 0.04, 0.3, 0.10, -0.05),
    "strong": World(0.15, 0.06, 0.20, 0.06, 0.5, 0.15, -0.08),
    "few recipients": World(0.08, 0.03, 0.10, 0.04, 0.3, 0.10, -0.05, volume=(3.0, 150.0)),
    "uneven wander": World(0.02, 0.02, 0.08, 0.0, 0.3, 0.10, uneven=0.15),
}


@dataclass(frozen=True)
class Account:
    """What a world has told: counts per rate, message and week.

    Attributes
    ----------
    flow : array of int64 [message]
        Which flow a message belongs to.
    trials : array of int64 [message, week]
        Recipients.
    successes : dict of rate to array of int64 [message, week]
    """

    flow: Whole
    trials: Whole
    successes: dict[str, Whole] = field(repr=False)

    def flows(self, rate: str) -> tuple[Whole, Whole]:
        """Sum messages to flows: successes and trials."""
        return by_flow(self.successes[rate], self.flow), by_flow(self.trials, self.flow)


def by_flow(values: Whole, flow: Whole) -> Whole:
    """Sum the rows of each flow."""
    found = np.zeros((int(flow.max()) + 1, values.shape[1]), dtype=np.int64)
    np.add.at(found, flow, values)
    return found


def account(
    world: World | str,
    weeks: int,
    random: np.random.Generator,
    *,
    flows: int = FLOWS,
    messages: int = MESSAGES,
    fixed: dict[int, float] | None = None,
    holidays: tuple[int, ...] = (),
    shifts: dict[tuple[int, int], float] | None = None,
    rates: tuple[str, ...] = RATES,
) -> Account:
    """Draw an account.

    Parameters
    ----------
    world : World or name of one
    weeks : int
    random : Generator
    fixed : dict, optional
        Weekly volume of single messages, which then are flows of their own.
    holidays : tuple of int
        Weeks in which all rates move together.
    shifts : dict, optional
        Log shift of all rates but opens per (message, week from which on).
    """
    law = WORLDS[world] if isinstance(world, str) else world
    fixed, shifts = fixed or {}, shifts or {}
    flow = np.concatenate([np.arange(flows), random.integers(0, flows, messages - flows)])
    for message in fixed:
        mates = (flow == flow[message]) & (np.arange(messages) != message)
        flow[mates & (np.arange(messages) >= flows)] = (flow[message] + 1) % flows
    volume = np.exp(random.uniform(*np.log(law.volume), messages))
    for message, size in fixed.items():
        volume[message] = size
    daily = volume[:, None, None] / 7 * np.exp(random.normal(0, 0.08, (messages, weeks, 1)))
    trials = random.poisson(np.broadcast_to(daily, (messages, weeks, 7)))
    successes = {}
    for rate in rates:
        if rate == "open_rate":
            mean = np.clip(random.normal(0.42, 0.08, messages), 0.1, 0.8)
        else:
            mean = MEANS[rate] * np.exp(random.normal(0, SPREAD[rate], messages))
        for message in fixed:
            mean[message] = MEANS[rate]
        part = 0.5 if rate == "open_rate" else 1.0
        log = np.log(mean)[:, None, None] + part * _moves(law, messages, weeks, random)
        for week in holidays:
            log[:, week] += HOLIDAY.get(rate, 0.0)
        if rate != "open_rate":
            for (message, week), size in shifts.items():
                log[message, week:] += size
        successes[rate] = random.binomial(trials, np.minimum(np.exp(log), 0.95)).sum(axis=2)
    return Account(flow, trials.sum(axis=2), successes)


def _moves(law: World, messages: int, weeks: int, random: np.random.Generator) -> Floats:
    own = np.full(messages, law.own_week)
    if law.uneven is not None:
        own[::2] = law.uneven
    steps = random.normal(0, 1, (messages, weeks))
    week = steps.copy()
    for t in range(1, weeks):
        week[:, t] = law.memory * week[:, t - 1] + np.sqrt(1 - law.memory**2) * steps[:, t]
    moves = (own[:, None] * week)[:, :, None] + random.normal(0, law.common_week, (1, weeks, 1))
    moves = moves + random.normal(0, law.own_day, (messages, weeks, 7))
    moves += random.normal(0, law.common_day, (1, weeks, 7)) + random.normal(0, law.weekday, (1, 1, 7))
    return moves + law.trend / 13 * np.arange(weeks)[None, :, None]


# --- money --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MoneyWorld:
    """How orders come.

    Attributes
    ----------
    order_sd : float
        Of the log order value.
    wander : float
        Log standard deviation of the weeks' revenue per recipient.
    common : float
        The same for all flows together.
    whales : float
        Share of orders that are fifteen times as large.
    trend : float
        Log change in a year.
    """

    order_sd: float = 0.55
    wander: float = 0.08
    common: float = 0.03
    whales: float = 0.0
    trend: float = 0.0


MONEY_WORLDS = {
    "order sd 0.55": MoneyWorld(),
    "order sd 0.9": MoneyWorld(order_sd=0.9),
    "no wander": MoneyWorld(wander=0.0, common=0.0),
    "1 % of orders × 15": MoneyWorld(whales=0.01),
    "+40 % a year": MoneyWorld(trend=float(np.log(1.4))),
    "wander 15 %": MoneyWorld(wander=0.15, common=0.05),
}


def money(
    world: MoneyWorld | str, weeks: int, random: np.random.Generator, *, flows: int = FLOWS
) -> tuple[Floats, Whole, Whole]:
    """Revenue, orders and recipients, each [flow, week]."""
    law = MONEY_WORLDS[world] if isinstance(world, str) else world
    volume = np.exp(random.uniform(np.log(400), np.log(20_000), flows))[:, None]
    sent = random.poisson(volume * np.exp(random.normal(0, 0.08, (flows, weeks))))
    rate = np.log(0.012) + random.normal(0, 0.5, (flows, 1)) + law.trend / 52 * np.arange(weeks)
    rate = rate + random.normal(0, law.wander, (flows, weeks)) + random.normal(0, law.common, (1, weeks))
    orders = random.poisson(sent * np.exp(rate))
    revenue = np.zeros((flows, weeks))
    price = 60 * np.exp(random.normal(0, 0.3, flows))
    for i in range(flows):
        values = price[i] * np.exp(random.normal(0, law.order_sd, int(orders[i].sum())))
        values[random.random(len(values)) < law.whales] *= 15
        ends = np.cumsum(orders[i])
        total = np.concatenate([[0.0], np.cumsum(values)])
        revenue[i] = np.diff(total[np.concatenate([[0], ends])])
    return revenue, orders, sent


# --- settling -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SettlingWorld:
    """How conversions arrive after a send.

    Attributes
    ----------
    shares : tuple of float
        Share of a day's conversions that arrive 0, 1, 2 … days after it.
    slow_weekends : float
        Part of a day's arrivals at weekends that waits until Monday.
    curve : float
        Weekly log standard deviation of the odds of arriving later.
    sale : float
        Factor on arrivals of Friday to Sunday in the last week; 1 for none.
    window : int
        Days after which nothing arrives any more.
    """

    shares: tuple[float, ...] = (0.60, 0.16, 0.10, 0.08, 0.06)
    slow_weekends: float = 0.0
    curve: float = 0.0
    sale: float = 1.0
    window: int = 5


SETTLING_WORLDS = {
    "stationary": SettlingWorld(),
    "slow weekends": SettlingWorld(slow_weekends=0.5),
    "wandering curve": SettlingWorld(curve=0.25),
    "sale in the week": SettlingWorld(sale=3.0),
    "30-day window": SettlingWorld(shares=tuple(np.exp(-np.arange(30) / 4.0) / np.exp(-np.arange(30) / 4.0).sum()),
                                   window=30),
}  # fmt: skip


def arrivals(
    world: SettlingWorld | str, weeks: int, random: np.random.Generator, *, a_day: float = 60.0
) -> npt.NDArray[np.int64]:
    """Conversions [day of the send, day of the arrival]; the last week of sends is the one that is forecast."""
    law = SETTLING_WORLDS[world] if isinstance(world, str) else world
    days = weeks * 7
    reach = days + 40
    mean = a_day * np.exp(random.normal(0, 0.10, days) + np.repeat(random.normal(0, 0.06, weeks), 7))
    found = np.zeros((days, reach), dtype=np.int64)
    tilt = np.repeat(random.normal(0, law.curve, weeks), 7) if law.curve else np.zeros(days)
    for day in range(days):
        share = np.array(law.shares)
        share = share * np.exp(tilt[day] * (np.arange(len(share)) > 0))
        expected = np.zeros(reach)
        expected[day : day + len(share)] = mean[day] * share / share.sum()
        if law.slow_weekends:
            for at in range(day, day + len(share)):
                if at % 7 in (5, 6):
                    waits = law.slow_weekends * expected[at]
                    expected[at] -= waits
                    expected[at + 7 - at % 7] += waits
        if law.sale != 1.0:
            last = (weeks - 1) * 7
            expected[last + 4 : last + 7] *= law.sale
        found[day] = random.poisson(expected)
    return found


def split_test(
    weeks: int,
    random: np.random.Generator,
    *,
    a_week: int = 1500,
    rate: float = 0.05,
    lift: float = 1.0,
    wander: float = 0.08,
    tests: int = 1,
) -> tuple[Whole, Whole]:
    """Successes and trials [test, arm, week] of two variations that share each week's wander."""  # fmt: skip
    level = rate * np.exp(random.normal(0, wander, (tests, 1, weeks)))
    chance = level * np.array([1.0, lift])[None, :, None]
    trials = random.binomial(2 * a_week, 0.5, (tests, weeks))
    both = np.stack([trials, 2 * a_week - trials], axis=1)
    return random.binomial(both, np.minimum(chance, 0.95)), both


def flows_by_rate(random: np.random.Generator, *, flows: int = 400, weeks: int = 12) -> tuple[Whole, Whole, Floats]:
    """Successes, trials [flow, week] and the true rates of many small flows."""
    true = 0.05 * np.exp(random.normal(0, 0.35, flows))
    trials = random.poisson(np.exp(random.uniform(np.log(5), np.log(400), flows))[:, None], (flows, weeks))
    week = true[:, None] * np.exp(random.normal(0, 0.08, (flows, weeks)))
    return random.binomial(trials, np.minimum(week, 0.95)), trials, true


def calm(world: World) -> World:
    """Return the same world without what all flows share."""
    return replace(world, common_week=0.0, common_day=0.0)


@dataclass(frozen=True)
class AskedWeek:
    """What a report of each Monday knows of conversions: earlier weeks, and the one that just ended."""

    seen_before: list[float]
    final_before: list[float]
    younger: list[float]
    older: list[float]
    recipients_before: list[float]
    seen: float
    recipients: float
    final: float


def week_as_asked(
    world: SettlingWorld | str, random: np.random.Generator, *, a_day: float = 60.0, mondays: int = 6
) -> AskedWeek:
    """Ask about each week on the Monday after it and on the Mondays after that; five days are taken for the window."""
    weeks = mondays + 3
    told = arrivals(world, weeks, random, a_day=a_day)
    last = weeks - 1

    def known(week: int, days_later: int) -> float:
        return float(told[7 * week : 7 * week + 7, : 7 * week + 7 + days_later].sum())

    past = range(last - mondays, last)
    twice = [week for week in past if week <= last - 2]
    sent = random.poisson(700 * a_day, weeks).astype(np.float64)
    return AskedWeek(
        seen_before=[known(week, 0) for week in past], final_before=[known(week, 7) for week in past],
        younger=[known(week, 7) for week in twice], older=[known(week, 14) for week in twice],
        recipients_before=[float(sent[week]) for week in past], seen=known(last, 0), recipients=float(sent[last]),
        final=float(told[7 * last : 7 * last + 7].sum()),
    )  # fmt: skip
