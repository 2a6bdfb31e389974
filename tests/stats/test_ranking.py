"""Ranked by what is known: luck names no best flow, and the numbers claim no more than the truth."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import flows_by_rate

from flowperf_helpers.stats.ranking import shrunken_ranking


def test_the_best_are_named_and_not_the_luckiest() -> None:
    """Of 400 small flows two or more of the five named are truly best, and what they claim is about the truth."""
    found, raw_week, claimed, held = [], [], [], []
    for seed in range(20):
        x, n, true = flows_by_rate(np.random.default_rng(seed))
        table = shrunken_ranking(x, n)
        best = set(np.argsort(-true)[:5])
        named = np.argsort(table["rank"].to_numpy(dtype=float, na_value=np.inf), kind="stable")[:5]
        found.append(len(best & set(named)))
        raw_week.append(len(best & set(np.argsort(-np.nan_to_num(x[:, -1] / np.maximum(n[:, -1], 1)))[:5])))
        claimed.append(table["shrunk"].to_numpy()[named].mean() / true[named].mean())
        held.append(((table["low"] <= true) & (true <= table["high"])).mean())
    assert np.mean(found) >= 2.3
    assert np.mean(found) >= 4 * np.mean(raw_week)
    assert np.mean(claimed) == pytest.approx(1.0, abs=0.06)
    assert 0.92 <= np.mean(held) <= 0.98


def test_raw_and_shrunk_stand_side_by_side() -> None:
    """A large row keeps its rate, a small one comes close to the mean, one without sends has no rank."""
    x = np.array([[5000.0], [3.0], [900.0], [0.0], [1100.0], [1000.0]])
    n = np.array([[100_000.0], [10.0], [20_000.0], [0.0], [20_000.0], [20_000.0]])
    table = shrunken_ranking(x, n)
    assert table["shrunk"][0] == pytest.approx(table["raw"][0], rel=0.02)
    assert table["raw"][1] == 0.3
    assert table["shrunk"][1] < 0.06
    assert table["raw_rank"][1] == 1
    assert table["rank"][1] > 1
    assert table.loc[3, ["rank", "raw_rank", "shrunk"]].isna().all()
    assert table["weight"][0] > 0.9 > 0.1 > table["weight"][1]


def test_two_rows_are_not_shrunk_and_it_says_so() -> None:
    """Two rows know nothing of how rates spread: they keep their raw rates."""
    table = shrunken_ranking(np.array([[5.0], [9.0]]), np.array([[100.0], [100.0]]))
    assert not table.attrs["is_shrunk"]
    assert (table["shrunk"] == table["raw"]).all()
