"""Limits over time, silence, and the list of what changed lately."""

from __future__ import annotations

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from frames_by_hand import frame_of
from hypothesis import given, settings
from hypothesis import strategies as st

from flowperf_helpers import connect, plots
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.sandbox import STORIES
from flowperf_helpers.stats.rollup import roll_up
from flowperf_helpers.stats.signals import control_limits, find_signals, stopped_flows
from flowperf_helpers.widgets.views import view_series

ZONE = "Europe/Copenhagen"
STATISTICS = [
    "recipients", "delivered", "opens_unique", "open_rate", "clicks_unique", "click_rate", "conversion_uniques",
    "unsubscribe_uniques", "spam_complaints", "spam_complaint_rate", "bounced", "failed",
]  # fmt: skip


def series(clicks: object, delivered: object, *, freq: str = "D", message: str = "m") -> pd.DataFrame:
    """One message's intervals, none of them partial or provisional."""
    c, d = np.asarray(clicks, dtype=float), np.asarray(delivered, dtype=float)
    starts = pd.date_range("2026-09-07", periods=len(c), freq=freq, tz=ZONE)
    frame = frame_of(flow_id=["F"] * len(c), flow_name=["Flow"] * len(c), flow_message_id=[message] * len(c),
                     flow_message_name=[f"Mail {message}"] * len(c), send_channel=["email"] * len(c),
                     recipients=d, delivered=d, clicks_unique=c)  # fmt: skip
    return frame.assign(interval_start=starts, is_partial=False, is_provisional=False)


def steady(days: int = 56, rate: float = 0.05, scatter: float = 0.0, seed: int = 1, volume: int = 800) -> pd.DataFrame:
    """A rate that keeps its level, with a scatter of its own beyond counting noise."""
    random = np.random.default_rng(seed)
    delivered = random.poisson(volume, days)
    daily = np.clip(rate * np.exp(random.normal(0, scatter, days)), 0, 1)
    return series(random.binomial(delivered, daily), delivered)


def changed(frame: pd.DataFrame, from_row: int, factor: float, column: str = "clicks_unique") -> pd.DataFrame:
    """Multiply a column from a row on."""
    values = frame[column].to_numpy(dtype=float, copy=True)
    values[from_row:] = np.floor(values[from_row:] * factor)
    return frame.assign(**{column: pd.array(values, dtype="Float64").astype("Int64")})


# --- limits -------------------------------------------------------------------------------------------------------


def test_a_point_out_of_limits_is_named() -> None:
    """One day at half its rate is below the lower limit, the days around it are not signals."""
    frame = steady()
    frame.loc[40, "clicks_unique"] = frame["clicks_unique"][40] // 4
    found = control_limits(frame, rate="click_rate")
    assert [40] == list(found.index[found["is_signal"]])
    assert "below the lower limit" == found["reason"][40]
    assert found["lower"][40] > found["value"][40]


def test_limits_widen_with_overdispersion() -> None:
    """A rate that varies by a fifth every day is in control under its own limits, though not under a p-chart's."""
    frame = steady(scatter=0.2, volume=3_000)
    found = control_limits(frame, rate="click_rate")
    p, n = found["centre"], found["denominator"]
    plain = (found["value"] - p).abs() > 3 * np.sqrt(p * (1 - p) / n)
    assert plain.sum() > 5
    assert found["is_signal"].sum() <= 1


def test_limits_follow_the_volume() -> None:
    """The fewer are sent, the wider the limits; they never leave 0 to 1."""
    frame = steady()
    frame["delivered"] = pd.array(np.where(np.arange(56) % 2, 100, 5_000), dtype="Int64")
    frame["clicks_unique"] = pd.array(np.where(np.arange(56) % 2, 5, 250), dtype="Int64")
    found = control_limits(frame, rate="click_rate")
    width = found["upper"] - found["lower"]
    assert width[1] > 3 * width[0]
    assert found["lower"].min() >= 0
    assert found["upper"].max() <= 1


def test_a_run_is_named_with_its_first_day() -> None:
    """Eight in a row on one side are a signal from the eighth on, with the date on which the run began."""
    clicks = np.tile([44, 50, 47, 53], 14)[:52]
    clicks[40:50], clicks[50:] = 42, 53
    found = control_limits(series(clicks, np.full(52, 1_000)), rate="click_rate")
    assert [47, 48, 49] == list(found.index[found["is_signal"]])
    assert "8 or more in a row below the centre, since 2026-10-17" == found["reason"][47]


def test_a_run_does_not_cross_a_gap() -> None:
    """A missing day ends a run."""
    clicks = np.tile([44, 50, 47, 53], 14)[:52]
    clicks[40:50], clicks[50:] = 42, 53
    frame = pd.concat(
        [series(clicks, np.full(52, 1_000)).drop(index=[45]), series(clicks, np.full(52, 1_000), message="n")]
    )
    found = control_limits(frame, rate="click_rate", by=["flow_message_id"])
    assert {"n"} == set(found.loc[found["is_signal"], "flow_message_id"])


@pytest.mark.parametrize("flag", ["is_partial", "is_provisional"])
def test_young_intervals_are_never_flagged(flag: str) -> None:
    """A partial or provisional interval far below its limits is not tested and says why."""
    frame = changed(steady(), 54, 0.1)
    frame.loc[54:, flag] = True
    found = control_limits(frame, rate="click_rate")
    assert not found["is_signal"].any()
    assert [flag.removeprefix("is_")] * 2 == list(found["reason"].tail(2))


def test_empty_days_are_gaps() -> None:
    """A day without sends has no value and is no signal."""
    frame = steady()
    frame.loc[20, ["recipients", "delivered", "clicks_unique"]] = 0
    found = control_limits(frame, rate="click_rate")
    assert np.isnan(found["value"][20])
    assert "nothing sent" == found["reason"][20]


def test_rare_events_do_not_flag_zeros() -> None:
    """Spam complaints that hardly ever happen give neither a run of zeros nor an alarm for a single one."""
    complaints = np.zeros(56)
    complaints[[9, 37]] = 1
    frame = steady().assign(spam_complaints=pd.array(complaints, dtype="Float64").astype("Int64"))
    assert not control_limits(frame, rate="spam_complaint_rate")["is_signal"].any()


def test_counts_are_held_against_their_weekday() -> None:
    """Sundays that are always low are no signal; a low Tuesday is one."""
    week = np.array([900, 880, 870, 890, 910, 500, 300])
    sent = np.random.default_rng(3).poisson(np.tile(week, 8))
    quiet = control_limits(series(sent // 20, sent), count="recipients")
    assert not quiet["is_signal"].any()
    sent[43] = 400
    found = control_limits(series(sent // 20, sent), count="recipients")
    assert [43] == list(found.index[found["is_signal"]])
    assert found["numerator"].isna().all()


def test_too_few_intervals() -> None:
    """A handful of intervals gives no limits and says so."""
    found = control_limits(steady(days=5), rate="click_rate")
    assert found["centre"].isna().all()
    assert {"too few intervals"} == set(found["reason"])


def test_wrong_arguments() -> None:
    """Neither, both, money, or missing columns are refused with the way out."""
    frame = steady()
    for arguments in ({}, {"rate": "click_rate", "count": "clicks"}):
        with pytest.raises(ArgumentError, match="one statistic"):
            control_limits(frame, **arguments)
    with pytest.raises(ArgumentError, match="'conversion_value' is not a count"):
        control_limits(frame, count="conversion_value")
    with pytest.raises(ArgumentError, match="interval_start"):
        control_limits(frame.drop(columns="interval_start"), rate="click_rate")
    with pytest.raises(ArgumentError, match="opens_unique"):
        control_limits(frame, rate="open_rate")


def test_empty_series() -> None:
    """Nothing in, nothing out, same columns."""
    frame = steady()
    for arguments in ({"rate": "click_rate"}, {"count": "recipients"}):
        full, empty = control_limits(frame, **arguments), control_limits(frame.iloc[:0], **arguments)
        assert list(full.columns) == list(empty.columns)
        assert 0 == len(empty)
    assert 0 == len(find_signals(frame.iloc[:0]))
    assert 0 == len(stopped_flows(frame.iloc[:0]))


@settings(max_examples=25, deadline=None)
@given(st.randoms())
def test_order_of_rows_does_not_matter(random) -> None:  # type: ignore[no-untyped-def]
    """Shuffled rows give the same chart."""
    frame = pd.concat([steady(), steady(seed=2).assign(flow_message_id="n")], ignore_index=True)
    order = list(range(len(frame)))
    random.shuffle(order)
    first, second = (control_limits(f, rate="click_rate", by=["flow_message_id"]) for f in (frame, frame.iloc[order]))
    pd.testing.assert_frame_equal(first, second)


# --- silence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", [True, False])
def test_a_flow_that_stopped(absent: bool) -> None:
    """A daily sender that falls silent is found with its last day, whether rows say 0 or are missing."""
    frame = changed(steady(), 50, 0.0, "recipients")
    other = steady(seed=2).assign(flow_id="G")
    frame = pd.concat([frame[frame["recipients"] > 0] if absent else frame, other], ignore_index=True)
    found = stopped_flows(frame)
    assert ["F"] == list(found["flow_id"])
    assert pd.Timestamp("2026-10-27", tz=ZONE) == found["silent_since"][0]
    assert (6, 0) == (found["silent_intervals"][0], found["longest_gap_before"][0])
    assert "has sent nothing since 2026-10-27" in found["sentence"][0]


def test_weekends_are_no_stop() -> None:
    """A flow that never sends at weekends has not stopped on a Sunday."""
    sent = np.tile([100, 100, 100, 100, 100, 0, 0], 8)
    assert 0 == len(stopped_flows(series(sent * 0, sent)))


def test_a_rare_sender_may_be_silent() -> None:
    """A flow that sends on one day in five, at random, may be silent for nine."""
    sent = np.where(np.random.default_rng(5).random(56) < 0.2, 30, 0)
    sent[46], sent[47:] = 30, 0
    assert 0 == len(stopped_flows(series(sent * 0, sent)))


def test_a_running_day_is_no_silence() -> None:
    """Partial intervals are left out: a day that has just begun is not silent."""
    frame = changed(steady(), 53, 0.0, "recipients")
    frame.loc[53:, "is_partial"] = True
    assert 0 == len(stopped_flows(frame))


# --- what changed lately ------------------------------------------------------------------------------------------


def test_a_fall_is_found_with_its_date() -> None:
    """A click rate that falls on a day is named with that day, direction and size."""
    found = find_signals(changed(steady(), 49, 0.5))
    assert [("click_rate", "lower")] == list(zip(found["statistic"], found["direction"], strict=True))
    assert pd.Timestamp("2026-10-26", tz=ZONE) == found["interval_start"][0]
    assert found["size"][0] == pytest.approx(0.5, abs=0.1)
    assert "Click rate is lower since 2026-10-26" in found["sentence"][0]


def test_old_changes_are_no_news() -> None:
    """A change that began before the last days is part of the level."""
    assert 0 == len(find_signals(changed(steady(), 25, 0.5), last_days=7))


@pytest.mark.parametrize("flag", ["is_partial", "is_provisional"])
def test_nothing_young_is_reported(flag: str) -> None:
    """What only partial or provisional intervals show is not reported."""
    frame = changed(steady(), 49, 0.5)
    frame.loc[49:, flag] = True
    assert 0 == len(find_signals(frame))


def test_false_alarms_are_rare() -> None:
    """A hundred quiet messages that vary on their own give hardly a signal."""
    frames = [steady(seed=i, scatter=0.1, volume=50 + 15 * i).assign(flow_message_id=f"m{i}") for i in range(100)]
    assert len(find_signals(pd.concat(frames, ignore_index=True))) <= 1


def test_missing_columns_are_named() -> None:
    """A frame without message ids is refused."""
    with pytest.raises(ArgumentError, match="flow_message_id"):
        find_signals(steady().drop(columns="flow_message_id"))


@cache
def asked(variant: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days and weeks of the embedded account, up to its last complete week."""
    account = connect("sandbox", variant=variant)
    ask = {"statistics": STATISTICS, "conversion_metric_id": "RplOrd"}
    daily = account.flow_series(timeframe=("2026-09-25", "2026-11-22"), interval="daily", **ask)
    return daily, account.flow_series(timeframe=("2025-12-01", "2026-11-22"), interval="weekly", **ask)


@pytest.mark.parametrize("last_days", [7, 14])
def test_the_planted_stories_are_found(last_days: int) -> None:
    """The embedded account's fallen click rate, its spam spike and its silent flow are found with their dates."""
    found = find_signals(*asked("default"), last_days=last_days).set_index(["flow_message_id", "statistic"])
    for story in STORIES:
        if story.variation is not None:
            continue  # the business of a test of variations
        row = found.loc[(story.flow_message_id, story.statistic)]
        assert story.direction == row["direction"]
        assert story.first_day == row["interval_start"].date()
    strangers = set(found.index.get_level_values(0)) - {s.flow_message_id for s in STORIES}
    assert not strangers


@pytest.mark.parametrize("last_days", [7, 14, 28])
def test_the_quiet_twin_is_quiet(last_days: int) -> None:
    """Without stories nothing is reported."""
    assert 0 == len(find_signals(*asked("quiet"), last_days=last_days))


# --- silence in weeks ---------------------------------------------------------------------------------------------


def weekly_senders(silent_days: int, *, flows: int = 200) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A year of flows that send once a week, up to a silence, beside one that sends daily; as 59 days and 51 weeks."""
    random = np.random.default_rng(11)
    days = pd.date_range("2025-12-01", "2026-11-22", freq="D", tz=ZONE)
    frames = []
    for number in range(flows + 1):
        sent = random.poisson(300, len(days))
        if number:
            sent[days.day_of_week != random.integers(0, 7)] = 0
            sent[len(days) - silent_days :] = 0
        frames.append(pd.DataFrame({"number": number, "interval_start": days, "recipients": sent}))
    rows = pd.concat(frames, ignore_index=True)
    who = rows["number"].astype("str")
    daily = frame_of(flow_id="F" + who, flow_name="Flow " + who, flow_message_id="m" + who,
                     flow_message_name="Mail " + who, send_channel=["email"] * len(rows),
                     recipients=rows["recipients"]).assign(interval_start=rows["interval_start"])  # fmt: skip
    wall = daily["interval_start"].dt.tz_localize(None)
    mondays = (wall - pd.to_timedelta(wall.dt.day_of_week, unit="D")).dt.tz_localize(ZONE)
    keys = [c for c in daily.columns if c != "recipients"]
    weekly = daily.assign(interval_start=mondays).groupby(keys, as_index=False)["recipients"].sum()
    recent = (daily["interval_start"] > days[-1] - pd.Timedelta(days=59)) & (daily["recipients"] > 0)
    flags = {"is_partial": False, "is_provisional": False}
    return daily[recent].reset_index(drop=True).assign(**flags), weekly.assign(**flags)


@pytest.mark.parametrize("silent_days", [21, 42])
def test_weekly_senders_that_stopped_are_found_in_weeks(silent_days: int) -> None:
    """200 of 200 flows that send once a week are found after three weeks of silence, and are news at six still."""
    found = find_signals(*weekly_senders(silent_days), last_days=7)
    assert {"stopped"} == set(found["direction"])
    assert {f"F{number}" for number in range(1, 201)} == set(found["flow_id"])
    assert 200 == len(found)
    assert found["sentence"].str.contains("has sent nothing since the week of 2026-").all()
    assert found["sentence"].str.endswith("recipients in each week with sends; it had sent in every week before.").all()
    assert ("Flow " + found["flow_id"].str[1:]).eq(found["flow_name"]).all()


@pytest.mark.parametrize("silent_days", [0, 84])
def test_senders_and_old_stops_are_no_news(silent_days: int) -> None:
    """Of 200 flows that send once a week none is called silent, and none is called silent again after months."""
    assert 0 == len(find_signals(*weekly_senders(silent_days), last_days=7))


def test_what_days_have_told_weeks_do_not_repeat() -> None:
    """A daily sender that stopped five weeks ago was news then; the weekly sums do not bring it up again."""
    daily = changed(steady(), 21, 0.0, "recipients")
    weekly = series(np.full(51, 100), np.full(51, 5_600), freq="7D")
    weekly["interval_start"] = pd.date_range(end="2026-10-26", periods=51, freq="7D", tz=ZONE)
    weekly.loc[46:, "recipients"] = 0
    assert 0 == len(find_signals(daily, weekly, last_days=7, rates=()))


# --- one denominator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["open_rate", "click_rate", "spam_complaint_rate", "recipients"])
def test_line_and_limits_stand_on_one_denominator(statistic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn with its control limits, a rate over all channels is the rate that the limits judge, on every day."""
    daily, weekly = asked("default")
    drawn = {}

    def keep(frame: pd.DataFrame, *, statistic: str, limits: pd.DataFrame) -> object:
        drawn.update(line=frame.set_index("interval_start")[statistic], limits=limits.set_index("interval_start"))
        return plot_series(frame, statistic=statistic, limits=limits)

    plot_series = plots.plot_series
    monkeypatch.setattr(plots, "plot_series", keep)
    view_series(weekly, daily, interval="daily", statistic=statistic, picture="limits")
    plt.close("all")
    assert {"email", "sms"} <= set(daily["send_channel"])
    line = drawn["line"].astype("float64")
    judged = drawn["limits"]["value"].reindex(line.index)
    assert 50 < line.notna().sum()
    np.testing.assert_allclose(judged, line, rtol=1e-12)


def test_sums_that_lost_a_denominator_are_refused() -> None:
    """Limits of a rate from sums over channels that do not all carry it would have another denominator: refused."""
    total = roll_up(asked("default")[0], ["interval_start", "is_partial", "is_provisional"]).assign(all="all")
    with pytest.raises(ArgumentError, match="rows of the report"):
        control_limits(total, rate="spam_complaint_rate", by=["all"])
    assert len(control_limits(total, count="recipients", by=["all"]))
