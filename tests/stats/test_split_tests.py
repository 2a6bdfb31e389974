"""Split tests that are looked at each week: equal variations stay equal, a real lift is found, and one may stop."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import split_test

from flowperf_helpers.stats.multiple_testing import correct
from flowperf_helpers.stats.split_tests import (
    SPLIT_VERDICTS,
    expected_loss,
    guardrail,
    sample_ratio,
    watch,
    watched_test,
)


@pytest.mark.parametrize(("a_week", "rate"), [(1500, 0.05), (60, 0.05), (1500, 0.003)])
def test_equal_variations_are_hardly_ever_told_apart(a_week: int, rate: float) -> None:
    """In a year of weekly looks at most one A/A test in twenty ever names a better variation."""
    x, n = split_test(52, np.random.default_rng(1), a_week=a_week, rate=rate, tests=1500)
    found = watch(x[:, 0], n[:, 0], x[:, 1], n[:, 1])
    told = (found.p_values() <= 0.05).any(axis=1)
    assert told.mean() <= 0.05
    assert ((np.abs(found.difference) > found.boundary(0.05)).any(axis=1) == told).all()


def test_a_real_lift_is_found_in_time() -> None:
    """×1.2 at 1,500 a week and variation is found by week 8 in 65 % or more."""
    x, n = split_test(8, np.random.default_rng(2), lift=1.2, tests=800)
    found = watch(x[:, 0], n[:, 0], x[:, 1], n[:, 1])
    assert (found.p_values() <= 0.05).any(axis=1).mean() >= 0.62


def test_weeks_in_common_cancel() -> None:
    """A division that changes together with the week's mood tells nothing: weeks are compared within themselves."""
    x = np.array([[[900.0, 20.0]], [[100.0, 180.0]]])  # 10 % in the first week, 2 % in the second, in both variations
    n = np.array([[[9000.0, 1000.0]], [[1000.0, 9000.0]]])
    found = watch(x[0], n[0], x[1], n[1])
    assert found.difference[0, -1] == pytest.approx(0.0, abs=1e-12)
    assert found.p_values()[0, -1] == 1.0


def test_the_interval_holds_the_truth_at_all_weeks() -> None:
    """The interval holds the difference in every week of a year in 95 % of tests or more."""
    x, n = split_test(52, np.random.default_rng(3), lift=1.15, wander=0.0, tests=800)
    found = watch(x[:, 0], n[:, 0], x[:, 1], n[:, 1])
    held = np.abs(found.difference - 0.05 * 0.15) <= found.boundary(0.05)
    assert held[np.isfinite(found.boundary(0.05))].mean() > 0.98
    assert (held | ~np.isfinite(found.boundary(0.05))).all(axis=1).mean() >= 0.95


def test_verdicts_have_sizes_and_agree_with_the_page() -> None:
    """The verdict at the page's level is the page's claim, and each has a size."""
    for seed, lift in ((1, 1.0), (2, 1.5), (3, 0.6), (4, 1.02)):
        x, n = split_test(8, np.random.default_rng(seed), lift=lift)
        first = watched_test(x[0], n[0])
        page = correct(np.append(first["p_value"].to_numpy()[1:], np.full(4, 0.8)), ["split test"] + ["flow"] * 4)
        table = watched_test(x[0], n[0], alpha=page.alpha[:1])
        assert table["verdict"][1] in SPLIT_VERDICTS
        assert (table["verdict"][1] in ("better", "worse")) == bool(page.is_claim[0])
        assert np.isfinite(table["size"][1])
        assert (table["low"][1] > 0 or table["high"][1] < 0) == bool(page.is_claim[0])
    assert table["verdict"].isna()[0]


def test_a_young_test_is_too_few() -> None:
    """Before twenty successes nothing is said but how many it takes."""
    table = watched_test(np.array([[2, 1], [1, 3]]), np.array([[50, 40], [50, 45]]))
    assert table["verdict"][1] == "too few"
    assert table["size"][1] == 20
    lucky = watched_test(np.array([[0, 0], [3, 1]]), np.full((2, 2), 100.0))
    assert lucky["probability_best"][1] > 0.9
    assert not lucky["may_stop"].any()


def test_expected_loss_is_what_simulation_says() -> None:
    """Loss and chance of being best agree with draws from the posteriors."""
    x, n = np.array([50.0, 60.0, 40.0]), np.array([1000.0, 1000.0, 900.0])
    loss, best = expected_loss(x, n)
    draws = np.random.default_rng(4).beta(x + 0.5, n - x + 0.5, (200_000, 3))
    assert loss == pytest.approx((draws.max(axis=1, keepdims=True) - draws).mean(axis=0), abs=1e-4)
    assert best == pytest.approx(np.bincount(draws.argmax(axis=1), minlength=3) / len(draws), abs=5e-3)


def test_one_may_stop_when_little_is_given_up() -> None:
    """Clear winners and long ties may be stopped, a young test may not."""
    for successes, may in (([600, 400], True), ([30, 25], False)):
        table = watched_test(np.array(successes)[:, None], np.full((2, 1), 10_000.0))
        assert table["may_stop"].all() == may


def test_klaviyos_rule_is_told_beside() -> None:
    """90 % and 500 recipients each."""
    few = watched_test(np.array([[30], [60]]), np.array([[400], [400]]))
    sure = watched_test(np.array([[300], [400]]), np.array([[4000], [4000]]))
    even = watched_test(np.array([[300], [301]]), np.array([[4000], [4000]]))
    assert set(few["klaviyo_rule"]) == {"under 500 recipients"}
    assert list(sure["klaviyo_rule"]) == ["not the winner", "winner"]
    assert set(even["klaviyo_rule"]) == {"under 90 %"}


def test_a_division_that_is_off_is_seen_and_a_fair_one_is_not() -> None:
    """53 of 100 instead of 50 is seen within a month; a year of fair weeks is not called off."""
    random = np.random.default_rng(5)
    fair = random.binomial(3000, 0.5, (300, 52))
    off = random.binomial(3000, 0.53, (60, 4))
    assert np.mean([sample_ratio(np.stack([w, 3000 - w]))[-1] <= 0.001 for w in fair]) <= 0.01
    assert np.mean([sample_ratio(np.stack([w, 3000 - w]))[-1] <= 0.001 for w in off]) >= 0.9
    assert sample_ratio(np.array([[700.0], [300.0]]), [0.7, 0.3])[-1] == 1.0


def test_guardrails_do_not_take_silence_for_safety() -> None:
    """Worse is said where it is shown, "not worse" only where the margin is excluded, otherwise nothing."""
    n = np.full(8, 50_000.0)
    same = guardrail(np.full(8, 400.0), n, np.full(8, 400.0), n)
    worse = guardrail(np.full(8, 400.0), n, np.full(8, 600.0), n)
    open_ = guardrail(np.full(8, 15.0), n, np.full(8, 16.0), n)
    none = guardrail(np.full(8, 0.0), n, np.full(8, 1.0), n)
    assert same["verdict"] == "not worse by more than the margin"
    assert same["high"] <= 0.25
    assert worse["verdict"] == "worse"
    assert worse["low"] > 0
    assert open_["verdict"] == "cannot tell yet"
    assert open_["size"] > 0.25
    assert none["verdict"] == "too few"
    assert none["size"] > 0
