"""A week's forecast holds what comes, or says why there is none."""

from __future__ import annotations

import numpy as np
import pytest
from two_channels import two_channels
from worlds import SETTLING_WORLDS, week_as_asked

from flowperf_helpers.report.numbers import _by_days
from flowperf_helpers.stats.conversion_lag import completeness_curve
from flowperf_helpers.stats.week_forecast import forecast_week, late_growth, shared_curve_interval


@pytest.mark.parametrize("world", sorted(SETTLING_WORLDS))
def test_the_interval_holds_or_there_is_a_warning(world: str) -> None:
    """In nine weeks of ten or more the conversions end inside the interval, or a warning stands in its place."""
    good, warned = [], []
    for seed in range(80):
        known = week_as_asked(world, np.random.default_rng(seed))
        found = forecast_week(
            known.seen_before, known.final_before, known.seen, recipients_before=known.recipients_before,
            recipients=known.recipients, grown_late=late_growth(known.younger, known.older),
        )  # fmt: skip
        warned.append(bool(found.warning))
        good.append(bool(found.warning) or found.low <= known.final <= found.high)
        assert found.warning or found.high - found.low < 0.5 * found.final
    assert np.mean(good) >= 0.90
    if world in ("sale in the week", "30-day window"):
        assert np.mean(warned) >= 0.9
    else:
        assert np.mean(warned) <= 0.05


def test_each_group_grows_as_it_does() -> None:
    """When the slow group sends more, the growth of the whole is not the past's."""
    seen = np.array([[800.0, 100.0]] * 6)
    final = np.array([[840.0, 200.0]] * 6)
    found = forecast_week(seen, final, [800.0, 400.0])
    assert found.final == pytest.approx(840 + 800)


def test_too_few_weeks_are_no_forecast() -> None:
    """Two earlier weeks are not enough, and weeks that were not asked again do not count."""
    found = forecast_week([100, 100, np.nan], [120, 121, 130], 100)
    assert np.isnan(found.final)
    assert found.weeks == 2
    assert "2 earlier weeks" in found.warning


def test_weeks_that_scatter_widen_the_interval() -> None:
    """Weeks that grew unlike each other are believed less than weeks that grew alike."""
    alike = forecast_week([1000.0] * 6, [1200.0, 1210, 1190, 1205, 1195, 1200], 1000)
    apart = forecast_week([1000.0] * 6, [1100.0, 1300, 1150, 1260, 1190, 1200], 1000)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)
    assert alike.overdispersion == 1.0


def test_a_shared_curve_is_not_seven_curves() -> None:
    """The error of a shared curve adds up over the days; the arrivals' own adds up in squares."""
    one = shared_curve_interval([1000.0], [0.8], [0.04], [1.0])
    seven = shared_curve_interval([1000.0] * 7, [0.8] * 7, [0.04] * 7, [1.0] * 7)
    assert seven[0] == pytest.approx(7 * one[0])
    assert seven[2] - seven[1] > 6 * (one[2] - one[1])


def test_late_growth_counts_what_both_snapshots_know() -> None:
    """Intervals that were asked once take no part."""
    assert late_growth([10, 20, np.nan], [11, 20, 40]) == (1.0, 30.0)


def test_a_curve_per_channel_holds_where_the_mix_of_channels_shifts() -> None:
    """Texts tripled: their own curve keeps the truth inside, the account's one curve expects far too much."""
    inside = {"own": 0, "one": 0}
    for seed in range(20):
        history, week, final = two_channels(np.random.default_rng([7, seed]))
        curve = completeness_curve(history)
        own = _by_days(week, history, curve)
        one = _by_days(week, history.assign(send_channel="push"), curve)  # no channel's own past is known
        assert own is not None
        assert one is not None
        assert own.seen == one.seen == week["conversions"].sum()
        inside["own"] += own.low <= final <= own.high
        inside["one"] += one.low <= final <= one.high
    assert 18 <= inside["own"]
    assert inside["one"] <= 4


def test_a_young_channel_settles_by_the_accounts_curve() -> None:
    """A channel whose past is too short for a curve of its own takes part by the account's."""
    history, week, _ = two_channels(np.random.default_rng(1))
    few = history["send_channel"].eq("sms") & (history["fetched_at"] < history["fetched_at"].max())
    curve = completeness_curve(history)
    found = _by_days(week, history[~few], curve)
    own = _by_days(week, history, curve)
    assert found is not None
    assert own is not None
    email = _by_days(week[week["send_channel"] == "email"], history, curve)
    sms = _by_days(week[week["send_channel"] == "sms"], history.assign(send_channel="push"), curve)
    assert email is not None
    assert sms is not None
    assert found.final == pytest.approx(email.final + sms.final)
    assert found.final != pytest.approx(own.final)
