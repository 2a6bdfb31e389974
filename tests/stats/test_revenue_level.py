"""Revenue per recipient: the interval holds the truth as often as it says, and money is never told without a size."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import MONEY_WORLDS, money

from flowperf_helpers.stats.multiple_testing import correct
from flowperf_helpers.stats.revenue_level import REVENUE_VERDICTS, compare_revenue, revenue_verdicts

WEEKS = 27


@pytest.mark.parametrize("world", sorted(MONEY_WORLDS))
def test_quiet_weeks_lie_within(world: str) -> None:
    """Of weeks in which nothing changes about nineteen in twenty lie in the interval, whatever orders are like."""
    revenue, orders, sent = money(world, WEEKS + 60, np.random.default_rng(5))
    inside = []
    for week in range(WEEKS, WEEKS + 60):
        p = compare_revenue(revenue[:, : week + 1], orders[:, : week + 1], sent[:, : week + 1]).p_values()
        inside.append(p[np.isfinite(p)] > 0.05)
    assert 0.92 <= np.concatenate(inside).mean() <= 0.98


def test_the_interval_is_that_of_the_verdict() -> None:
    """A flow is above or below its range if and only if its interval leaves "no change" out; every row has a size."""
    revenue, orders, sent = money("order sd 0.55", WEEKS, np.random.default_rng(6))
    largest = int(orders[:, -1].argmax())
    revenue[largest, -1] *= 0.4
    orders[0, -1] = 2
    found = compare_revenue(revenue, orders, sent)
    table = revenue_verdicts(found, correct(found.p_values()))
    changed = table["verdict"].isin(REVENUE_VERDICTS[:2])
    assert ((table["low"] > 0) | (table["high"] < 0)).equals(changed)
    assert table.loc[largest, "verdict"] == "below its usual range"
    assert table.loc[largest, "per_recipient"] < table.loc[largest, "usual_low"]
    assert table.loc[0, "verdict"] == "too few"
    assert np.isfinite(table["size"]).all()


def test_scatter_of_orders_is_read_off_the_weeks() -> None:
    """κ is 1 plus the squared coefficient of variation of the orders, found from weekly sums alone."""
    for sd in (0.55, 0.9):
        found = [
            compare_revenue(*money(f"order sd {sd}", WEEKS, np.random.default_rng(seed))).scatter for seed in range(20)
        ]
        assert np.mean(found) == pytest.approx(np.exp(sd**2), rel=0.2)


def test_the_account_is_a_row_of_its_own() -> None:
    """The account's total is judged by its own weeks, with the flows' scatter of orders."""
    revenue, orders, sent = money("order sd 0.55", WEEKS, np.random.default_rng(7))
    flows = compare_revenue(revenue, orders, sent)
    whole = compare_revenue(
        revenue.sum(axis=0)[None], orders.sum(axis=0)[None], sent.sum(axis=0)[None], scatter=flows.scatter
    )
    assert whole.scatter == flows.scatter
    assert 0 < whole.half_width(np.array([0.05]))[0] < 0.6
