"""How counts settle: the curve finds the truth, the forecast says how sure it is, too little is called so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowperf_helpers import connect
from flowperf_helpers.account.timeframes import Window
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.sandbox import SANDBOX_NOW
from flowperf_helpers.stats.conversion_lag import at_equal_age, completeness_curve, forecast

ZONE = "Europe/Copenhagen"
FIRST = pd.Timestamp("2026-01-01")
SHARES = np.array([0.5, 0.75, 0.9, 0.95, 0.99, 1.0])
"""What is in, in truth, a quarter of a day into each age."""


def finals(days: int, mean: float, seed: int = 1) -> list[np.ndarray]:
    """Per day, the ages at which its conversions arrive."""
    rng = np.random.default_rng(seed)
    knots = np.concatenate([[0.0], SHARES])
    return [np.sort(np.interp(rng.uniform(size=rng.poisson(mean)), knots, np.arange(7) - 0.75)) for _ in range(days)]


def history(world: list[np.ndarray], asked: Sequence[float], **columns: object) -> pd.DataFrame:
    """Daily series as asked at moments (days since the first day's midnight)."""
    day, moment = np.meshgrid(np.arange(len(world)), np.asarray(asked, dtype=float), indexing="ij")
    day, moment = day.ravel(), moment.ravel()
    begun = moment >= day
    day, moment = day[begun], moment[begun]
    counts = [int(np.searchsorted(world[d], m - d - 1, side="right")) for d, m in zip(day, moment, strict=True)]
    frame = pd.DataFrame({"flow_id": "F", "flow_message_id": "m"}, index=range(len(day)))
    starts = FIRST + pd.to_timedelta(day, unit="D")
    frame["interval_start"] = starts.tz_localize(ZONE).as_unit("us")
    frame["interval_end"] = (starts + pd.Timedelta(days=1)).tz_localize(ZONE).as_unit("us")
    frame["fetched_at"] = (FIRST + pd.to_timedelta(moment, unit="D")).tz_localize(ZONE).tz_convert("UTC").as_unit("us")
    frame["conversions"] = pd.array(counts, dtype="Int64")
    return frame.assign(**columns)


DAILY = np.arange(60) + 0.25
MONDAYS = np.arange(0, 60, 7) + 0.25


@pytest.mark.parametrize(
    ("asked", "room"),
    [(DAILY, 0.01), (MONDAYS, 0.03), (np.arange(0, 60, 3) + 0.25, 0.015), (DAILY[DAILY % 7 < 2], 0.03)],
)
def test_the_curve_is_found(asked: np.ndarray, room: float) -> None:
    """Asked daily, each Monday, every third day or on two days a week, the curve is the true one."""
    curve = completeness_curve(history(finals(60, 500), asked))
    assert list(range(6)) == curve["age_days"].tolist()
    assert SHARES == pytest.approx(curve["share"].to_numpy(), abs=room)
    assert ((curve["low"] <= curve["share"]) & (curve["share"] <= curve["high"])).all()
    assert curve["share"].is_monotonic_increasing
    assert curve.attrs["note"] is None
    assert (1, len(asked)) == (curve.attrs["interval_days"], curve.attrs["snapshots"])
    json.dumps(curve.attrs)


def test_limits_cover() -> None:
    """In at least nine worlds of ten the truth lies inside the curve's limits, age by age."""
    inside = []
    for seed in range(40):
        curve = completeness_curve(history(finals(30, 60, seed), MONDAYS))
        inside.append(((curve["low"] <= SHARES) & (SHARES <= curve["high"])).to_numpy()[:-1])
    assert np.mean(inside) >= 0.9


def test_complete_snapshots_are_the_chain_ladder() -> None:
    """Where each day was asked every day, the shares are the pooled development factors."""
    asked = history(finals(40, 100), np.arange(40) + 0.25)
    table = asked.assign(age=(asked["fetched_at"] - asked["interval_end"].dt.tz_convert("UTC")).dt.days)
    table = table[table["age"] >= 0].pivot_table(index="interval_start", columns="age", values="conversions")
    factors = []
    for age in range(5):
        both = table[[age, age + 1]].dropna().astype(float)
        factors.append(both[age + 1].sum() / both[age].sum())
    expected = np.append(1 / np.cumprod(factors[::-1])[::-1], 1.0)
    assert expected == pytest.approx(completeness_curve(asked)["share"].to_numpy(dtype=float), abs=1e-4)


def test_order_and_names_do_not_matter() -> None:
    """Shuffled rows and renamed messages give the same curve."""
    asked = history(finals(20, 100), DAILY, flow_message_name="Old")
    other = asked.assign(flow_message_name=np.where(np.arange(len(asked)) % 2, "Old", "New")).sample(
        frac=1, random_state=3
    )
    pd.testing.assert_frame_equal(completeness_curve(asked), completeness_curve(other))


def test_one_curve_per_group() -> None:
    """With by, each group has its own curve, and the forecast reads its own."""
    slow, fast = finals(30, 300), [np.zeros(300) - 0.5] * 30
    both = pd.concat([history(slow, DAILY, send_channel="email"), history(fast, DAILY, send_channel="sms")])
    curve = completeness_curve(both, by="send_channel")
    shares = curve.set_index(["send_channel", "age_days"])["share"]
    assert 1.0 == shares["sms", 0]
    assert 0.5 == pytest.approx(shares["email", 0], abs=0.02)
    young = both[(both["interval_start"].dt.day == 28) & (both["fetched_at"].dt.day == 29)]
    found = forecast(young, curve).set_index("send_channel")
    assert 300.0 == pytest.approx(found.loc["sms", "final"])
    assert found.loc["email", "final"] == pytest.approx(2 * found.loc["email", "conversions"], rel=0.05)


def test_too_few_snapshots_forecast_nothing() -> None:
    """One asking, two of the same days' young ages, or a handful of counts: no shares, no forecast, and a note."""
    world = finals(30, 100)
    for asked in ([30.25], [2.25, 3.25], []):
        curve = completeness_curve(history(world, asked))
        assert curve["share"].isna().all()
        assert curve.attrs["note"].startswith("Too few snapshots")
    curve = completeness_curve(history(finals(20, 0.5), [8.25, 15.25]))
    assert curve["share"].isna().all()
    recent = forecast(history(world, [30.25]), curve)
    assert recent.loc[recent["age_days"] < 5, ["final", "low", "high"]].isna().all(axis=None)
    assert recent.attrs["note"].startswith("Too few snapshots")
    assert completeness_curve(history(world, []), by=["flow_id"])["flow_id"].isna().all()


def test_unasked_ages() -> None:
    """An age between known ones is interpolated and says so; one younger than all is not known."""
    curve = completeness_curve(history(finals(60, 300), np.arange(60) + 0.25).query("fetched_at.dt.day % 2 == 0"))
    assert (curve["intervals"] > 0).all()
    skipping = history(finals(1, 3000), [2.25, 4.25, 8.25])
    curve = completeness_curve(skipping)
    assert np.isnan(curve.loc[0, "share"])
    assert [0, 1, 0, 1, 0, 1] == curve["intervals"].tolist()
    assert curve.loc[2, "share"] == pytest.approx((curve.loc[1, "share"] + curve.loc[3, "share"]) / 2)


def test_forecast_covers() -> None:
    """The final count lies inside the 95 % limits in 93 of 100 young days or more; settled days stay."""
    curve = completeness_curve(history(finals(60, 300), DAILY))
    inside = []
    for seed in range(60):
        world = finals(10, 40, seed + 100)
        found = forecast(history(world, [10.25]), curve)
        truth = np.array([len(day) for day in world])
        young = (found["age_days"] < 5).to_numpy()
        assert truth[~young] == pytest.approx(found.loc[~young, "final"].to_numpy())
        inside.append(((found["low"] <= truth) & (truth <= found["high"])).to_numpy()[young])
    assert np.mean(inside) >= 0.93


def test_forecast_of_nothing_yet() -> None:
    """A running day has no forecast; a day of zero may still become something; NA stays NA; empty stays empty."""
    curve = completeness_curve(history(finals(60, 300), DAILY))
    recent = history([np.zeros(0)] * 3, [2.25])
    recent["conversions"] = pd.array([0, 0, None], dtype="Int64")
    found = forecast(recent, curve)
    assert found.loc[2, "age_days"] is pd.NA
    assert found.loc[2, ["final", "low", "high"]].isna().all()
    assert [0.0, 0.0] == found.loc[:1, "final"].tolist()
    assert found.loc[1, "high"] >= 1
    assert 0 == len(forecast(recent.head(0), curve))
    told = recent.drop(columns="fetched_at")
    told.attrs["fetched_at"] = recent["fetched_at"].iloc[0].isoformat()
    assert found["share"].tolist() == pytest.approx(forecast(told, curve)["share"].tolist(), nan_ok=True)


def test_money_settles_too() -> None:
    """Money follows the same curve, with limits as wide as its orders scatter."""
    asked = history(finals(60, 300), DAILY)
    asked["conversion_value"] = asked["conversions"].astype(float) * 25.0
    curve = completeness_curve(asked, statistic="conversion_value")
    assert SHARES == pytest.approx(curve["share"].to_numpy(), abs=0.02)
    assert curve.loc[0, "overdispersion"] > 10
    assert "conversion_value" == curve.attrs["statistic"]


def test_corrections_and_gaps() -> None:
    """A count that falls later, an NA and a second asking on the same day do not break the curve."""
    asked = history(finals(40, 300), np.sort(np.append(DAILY[:40], DAILY[:40] + 0.1)))
    asked.loc[asked.index % 11 == 0, "conversions"] = pd.NA
    asked.loc[asked.index % 97 == 5, "conversions"] -= 1
    curve = completeness_curve(asked)
    assert SHARES == pytest.approx(curve["share"].to_numpy(), abs=0.02)


def test_summer_time() -> None:
    """A day of 23 hours is a day: ages count from its end on the account's clock."""
    world = finals(100, 50)
    frame = history(world, np.arange(80, 100) + 0.25)
    assert {23, 24} == set((frame["interval_end"] - frame["interval_start"]) / pd.Timedelta(hours=1))
    assert 1 == completeness_curve(frame).attrs["interval_days"]


def test_equal_age() -> None:
    """Rows are those asked within two hours of an age, the nearest; of days never asked so the number is told."""
    world = finals(12, 200)
    asked = history(world, [*np.arange(12) + 0.25, *np.arange(12) + 0.3, *np.arange(12) + 0.5])
    found = at_equal_age(asked, 2.26)
    assert list(range(1, 10)) == found["interval_start"].dt.day.tolist()
    assert [np.searchsorted(d, 2.25, side="right") for d in world[:9]] == found["conversions"].tolist()
    assert found.attrs["note"].startswith("3 intervals")
    assert found["age_days"].to_numpy() == pytest.approx(2.25)
    assert not found["is_interpolated"].any()
    with pytest.raises(ArgumentError, match="age_days"):
        at_equal_age(asked, float("nan"))


def test_between_two_ages() -> None:
    """Without an answer within two hours numbers are interpolated over two days at most, and else left out."""
    world = finals(12, 200)
    asked = history(world, np.arange(12) + 0.25)
    found = at_equal_age(asked, 2.75)
    assert found["is_interpolated"].all()
    assert found["conversions"].dtype == asked["conversions"].dtype
    line = [(np.searchsorted(d, 2.25, side="right") + np.searchsorted(d, 3.25, side="right")) / 2 for d in world[:8]]
    assert found["conversions"].tolist() == pytest.approx(line, abs=0.51)
    assert found["fetched_at"].equals(found["interval_end"].dt.tz_convert("UTC") + pd.Timedelta(days=2.75))
    assert at_equal_age(history(world, np.arange(0, 12, 3) + 0.25), 2.75).empty
    late = history(world[:1], [1.25 + 35 / 24])
    assert at_equal_age(late, 0.25).empty
    assert at_equal_age(late, 0.25).attrs["note"].startswith("1 interval was")


def test_refusals() -> None:
    """Missing columns, an impossible window, another interval and an unknown moment of asking are named."""
    asked = history(finals(20, 100), DAILY)
    curve = completeness_curve(asked)
    with pytest.raises(ArgumentError, match="completeness_curve.*interval_end.*flow_id"):
        completeness_curve(asked.drop(columns="interval_end"))
    with pytest.raises(ArgumentError, match="1 to 90"):
        completeness_curve(asked, attribution_days=0)
    weekly = asked.assign(interval_end=asked["interval_start"] + pd.Timedelta(days=7))
    with pytest.raises(ArgumentError, match="another length"):
        forecast(weekly, curve)
    with pytest.raises(ArgumentError, match="does not tell when"):
        forecast(asked.drop(columns="fetched_at"), curve)
    with pytest.raises(ArgumentError, match="forecast.*opens"):
        forecast(asked, curve, statistic="opens")


def test_a_long_attribution_window() -> None:
    """A window of 90 days is estimated in seconds."""
    curve = completeness_curve(history(finals(120, 20), np.arange(0, 120, 7) + 0.25), attribution_days=90)
    assert 91 == len(curve)
    assert 1.0 == curve["share"].iloc[-1]


def test_forecast_on_the_sandbox(tmp_path: Path) -> None:
    """Learned from Monday mornings, an account's days are forecast to 5 % of their final count from day 3 on."""
    moment = {"now": SANDBOX_NOW}
    account = connect("sandbox", now=lambda: moment["now"], home=tmp_path)

    def ask() -> pd.DataFrame:
        last = moment["now"].date() - timedelta(days=1)
        return account.flow_series(
            conversion_metric_id="RplOrd", statistics=["conversions"], interval="daily",
            timeframe=Window(last - timedelta(days=13), last),
        )  # fmt: skip

    def account_days(frame: pd.DataFrame) -> pd.DataFrame:
        days = frame.groupby(["interval_start", "interval_end"], as_index=False)["conversions"].sum()
        days.attrs["fetched_at"] = frame.attrs["fetched_at"]
        return days

    for weeks in range(8, 0, -1):
        moment["now"] = SANDBOX_NOW - timedelta(weeks=weeks)
        ask()
    moment["now"] = SANDBOX_NOW
    curve = completeness_curve(account.history(kind="series"))
    found = forecast(account_days(ask()), curve).set_index("interval_start")
    moment["now"] = SANDBOX_NOW + timedelta(days=7)
    truth = account_days(ask()).set_index("interval_start")["conversions"]
    rows = found.join(truth.rename("truth"), how="inner")
    off = (rows["final"] / rows["truth"] - 1).abs()
    assert off[rows["age_days"] >= 3].max() <= 0.05
    assert 7 == len(rows)
    assert ((rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"])).mean() > 0.8


def test_the_curve_is_the_same_whoever_asked(tmp_path: Path) -> None:
    """Days asked by message, and an hour later by variation too, settle as they do when asked by message alone."""
    message = ("flow_id", "flow_message_id", "send_channel")
    curves = []
    for groupings in ([message], [message, (*message, "variation")]):
        home = tmp_path / str(len(groupings))
        for weeks in (4, 3, 2, 1, 0):
            morning = SANDBOX_NOW - timedelta(weeks=weeks)
            last = morning.date() - timedelta(days=1)
            for hours, group_by in enumerate(groupings):
                connect("sandbox", now=morning + timedelta(hours=hours), home=home).flow_series(
                    conversion_metric_id="RplOrd", statistics=["conversions"], interval="daily",
                    timeframe=Window(last - timedelta(days=13), last), group_by=group_by,
                )  # fmt: skip
        curves.append(completeness_curve(connect("sandbox", home=home).history()))
    pd.testing.assert_frame_equal(*curves)
