"""Rates that move by themselves: as far as each variant is made to, on top of the same shop and the same stories."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from flowperf_helpers.sandbox import STORIES
from flowperf_helpers.sandbox.numbers import Floats, Numbers, day_number, numbers_of
from flowperf_helpers.sandbox.shop import HOLIDAY, build_world

MOVING = ["wandering", "stormy", "holiday"]
NEXT_MONDAY = day_number(date(2026, 11, 23))
"""The day after the reported week."""


def weekly(numbers: Numbers, name: str, weeks: int) -> Floats:
    """Counts [cell, week] of the last weeks up to the reported one."""
    found = numbers.engagement(NEXT_MONDAY - 7 * weeks, NEXT_MONDAY)[name]
    return found.reshape(len(numbers.cells), weeks, 7).sum(axis=2).astype(np.float64)


def log_rates(variant: str, name: str, weeks: int = 104) -> Floats:
    """Log rates [message, week] of e-mails sent a million times a day, so that nearly all that moves is the law."""
    world = build_world(variant)
    flows = [
        replace(f, messages=tuple(replace(m, per_day=1e6, variations=()) for m in f.messages))
        for f in world.flows if f.status == "live"
    ]  # fmt: skip
    numbers = Numbers(replace(world, flows=tuple(flows)), 11)
    first = date(2024, 11, 1)
    whole = [c.message.opens > 0.2 and c.starts < first and c.ends is None for c in numbers.cells]
    return np.log(weekly(numbers, name, weeks)[whole] / weekly(numbers, "delivered", weeks)[whole])


def test_default_numbers_are_what_they_always_were():
    """Every count of the default account over a year is the one that was first published, and `calm` has the same."""
    expected = {
        "recipients": 3862367, "delivered": 3831864, "opens_unique": 1509982, "opens": 2295911,
        "clicks_unique": 268303, "clicks": 351550, "unsubscribe_uniques": 14299, "unsubscribes": 14575,
        "spam_complaints": 1506, "conversion_uniques": 68093, "conversions": 72875, "cents": 579617676,
    }  # fmt: skip
    for variant in ("default", "calm"):
        numbers = numbers_of(variant, 2026)
        year = NEXT_MONDAY - 364, NEXT_MONDAY
        counts = numbers.engagement(*year) | numbers.conversions(numbers.world.metric("RplOrd"), *year)
        assert expected == {name: values.sum() for name, values in counts.items()}


@pytest.mark.parametrize("variant", ["quiet", "quiet-wandering", "quiet-stormy"])
@pytest.mark.parametrize(("name", "part"), [("opens_unique", 0.5), ("clicks_unique", 1.0), ("spam_complaints", 1.0)])
def test_weekly_rates_move_as_designed(variant: str, name: str, part: float):
    """Weekly log rates vary as the variant's law says, alone and together, with its trend; opens half as much."""
    rates = log_rates(variant, name)
    law = build_world(variant).moves
    own, common, trend = (0.01, 0.003, 0.0)  # what is left of the sandbox's smaller daily noise
    if law is not None:
        own = part * np.hypot(law.own_week, law.own_day / 7**0.5)
        common = part * np.hypot(law.common_week, law.common_day / 7**0.5)
        trend = part * law.trend
    weeks = np.arange(rates.shape[1])
    together = rates.mean(axis=0)
    slope, level = np.polyfit(weeks, together, 1)
    alone = rates - rates.mean(axis=1, keepdims=True) - (together - together.mean())
    together = together - slope * weeks - level
    if law is None:
        assert alone.std() < 2 * own
        assert together.std() < 2 * common
        return
    assert own == pytest.approx(alone.std(), rel=0.12)
    assert np.hypot(common, own / len(rates) ** 0.5) == pytest.approx(together.std(), rel=0.25)
    assert trend == pytest.approx(slope * 13, abs=0.012)
    again = (alone[:, 1:] * alone[:, :-1]).mean() / alone.var()
    assert law.persistence * law.own_week**2 / (own / part) ** 2 == pytest.approx(again, abs=0.08)


def test_holiday_moves_all_flows_at_once_and_is_over_a_week_later():
    """Beside the same account without it, every message's rates differ by the holiday in the reported week alone."""
    for name in ("opens_unique", "clicks_unique"):
        with_it, without = log_rates("quiet-holiday", name, 3), log_rates("quiet-wandering", name, 3)
        assert np.array_equal(with_it[:, :2], without[:, :2])
        assert np.allclose(with_it[:, 2] - without[:, 2], HOLIDAY[name], atol=0.005)
    after = [numbers_of(v, 2026).engagement(NEXT_MONDAY, NEXT_MONDAY + 7) for v in ("holiday", "wandering")]
    assert all(np.array_equal(after[0][name], after[1][name]) for name in after[0])


@pytest.mark.parametrize("variant", MOVING)
def test_stories_are_planted_and_findable(variant: str):
    """In the reported week each story's number lies outside its 26 weeks before; the quiet twin was never touched."""
    loud, quiet = numbers_of(variant, 2026), numbers_of(f"quiet-{variant}", 2026)
    counts = {"click_rate": "clicks_unique", "spam_complaint_rate": "spam_complaints", "recipients": "recipients"}
    assert not quiet.world.tells_stories
    for story in STORIES:
        name = counts[story.statistic]
        rows = [i for i, c in enumerate(loud.cells) if c.message.id == story.flow_message_id]
        if story.variation:
            a, b = (loud.cells[i].variation.id == story.variation for i in rows[-2:])
            assert (a, b) == (False, True)
            (x, y), (n, m) = (weekly(loud, k, 4)[rows[-2:]].sum(axis=1) for k in (name, "delivered"))
            assert np.log(y / m) - np.log(x / n) == pytest.approx(np.log(story.size), abs=0.1)
            (x, y), (n, m) = (weekly(quiet, k, 4)[rows[-2:]].sum(axis=1) for k in (name, "delivered"))
            assert np.log(y / m) - np.log(x / n) == pytest.approx(0.0, abs=0.1)
            continue
        seen, untouched = (weekly(numbers, name, 27)[rows].sum(axis=0) for numbers in (loud, quiet))
        sent = 1.0 if name == "recipients" else weekly(loud, "delivered", 27)[rows].sum(axis=0)
        rates = seen / sent
        assert rates[-1] > rates[:-1].max() if story.direction == "higher" else rates[-1] < rates[:-1].min()
        assert np.array_equal(seen[:-1], untouched[:-1])
        assert seen[-1] != untouched[-1]


@pytest.mark.parametrize("variant", MOVING)
def test_moving_rates_depend_on_nothing_but_the_day_and_keep_counts_nested(variant: str):
    """Any cut of days has the same numbers, and people who click have opened, who open were reached."""
    whole, cut = numbers_of(variant, 2026), Numbers(build_world(variant), 2026)
    long = whole.engagement(NEXT_MONDAY - 400, NEXT_MONDAY)
    short = cut.engagement(NEXT_MONDAY - 131, NEXT_MONDAY - 120)
    for name, values in short.items():
        assert np.array_equal(long[name][:, -131:-120], values), name
    mail = [c.message.channel == "email" for c in whole.cells]
    counts = {name: values[mail] for name, values in long.items()}
    chain = ("recipients", "delivered", "opens_unique", "clicks_unique")
    assert all((counts[a] >= counts[b]).all() for a, b in pairwise(chain))
    assert (counts["opens"] >= counts["opens_unique"]).all()


def test_moving_accounts_have_flows_of_few_recipients():
    """Five flows of 2 to 200 recipients a week stand beside the shop's own, in the variants with moving rates."""
    numbers, own = numbers_of("wandering", 2026), {f.id for f in build_world("default").flows}
    rows = [i for i, c in enumerate(numbers.cells) if c.flow.id not in own]
    sent = weekly(numbers, "recipients", 26)[rows].mean(axis=1)
    assert 5 == len(rows)
    assert 2 < sent.min() < 5
    assert 100 < sent.max() < 200
