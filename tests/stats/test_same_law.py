"""Simulated weeks and tests in which nothing changes: what naive rules claim of them, and what ours does."""

from __future__ import annotations

import pandas as pd

from flowperf_helpers.plots import alt_text, plot_same_law
from flowperf_helpers.stats import false_winners, same_law_weeks


def test_a_naive_test_claims_changes_of_one_law_and_ours_hardly_any() -> None:
    """Over simulated flows a coin-toss test claims four times as many false changes as the report's, or more."""
    runs = pd.concat([same_law_weeks(seed=seed, flows=6, weeks=13) for seed in range(100, 112)])
    coins, ours = runs["is_claim_by_coins"].mean(), runs["is_claim"].mean()
    assert ours <= 0.09
    assert coins >= 4 * ours
    quiet = same_law_weeks(seed=7, week_sd=0.0)
    assert quiet["is_claim_by_coins"].sum() <= 4


def test_same_seed_same_weeks_and_the_picture_counts_them() -> None:
    """The picture's words are the numbers of the frame, and a seed gives the same frame again."""
    weeks = same_law_weeks(seed=3)
    pd.testing.assert_frame_equal(weeks, same_law_weeks(seed=3))
    assert 26 == len(weeks)
    assert (weeks["low"] < weeks["rate"]).all()
    text = alt_text(plot_same_law(weeks))
    assert f"claims {weeks['is_claim_by_coins'].sum()} changes" in text
    assert f"against eight weeks {weeks['is_claim'].sum()}." in text


def test_rules_that_are_asked_anew_name_winners_among_equals() -> None:
    """By week 52 the rolling rule and Klaviyo's have named one in most tests of equals, ours in one of twenty."""
    table = false_winners(tests=400, seed=11).set_index("rule")
    ours, rolling, klaviyo = (table["by week 52"].iloc[place] for place in range(3))
    assert ours <= 0.05
    assert min(rolling, klaviyo) > 0.5
    assert (table.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
