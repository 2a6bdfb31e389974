"""Ranked by what is known: luck names no best flow, and the numbers claim no more than the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from worlds import flows_by_rate

from flowperf_helpers.plots import alt_text, plot_ranking
from flowperf_helpers.stats.ranking import rank_rates, shrunken_ranking


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


def test_flows_of_a_series_are_ranked_by_what_is_known_of_them() -> None:
    """A tiny flow with the highest rate as counted stands below a large one whose rate is known, and both are shown."""
    weeks = pd.date_range("2026-08-31", periods=12, freq="7D", tz="UTC")
    flows = {"tiny": (1, 2), "large": (300, 1_000), "middle": (200, 1_000), "low": (100, 1_000)}
    rows = [
        {"flow_id": flow, "flow_name": flow.title(), "flow_message_id": f"{flow}1", "send_channel": "email",
         "interval_start": week, "interval_end": week + pd.Timedelta(days=7), "is_partial": False,
         "delivered": n if flow != "tiny" or week == weeks[0] else 0,
         "clicks_unique": x if flow != "tiny" or week == weeks[0] else 0}
        for flow, (x, n) in flows.items() for week in weeks
    ]  # fmt: skip
    ranked = rank_rates(pd.DataFrame(rows), rate="click_rate")
    assert ["Large", "Tiny"] == list(ranked["flow_name"].head(2))
    tiny = ranked.set_index("flow_id").loc["tiny"]
    assert (1, 2) == (tiny["raw_rank"], tiny["rank"])
    assert "1 could be as good" in alt_text(plot_ranking(ranked))
