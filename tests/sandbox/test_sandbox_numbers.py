"""The invented numbers hang together, today and in a year."""

from __future__ import annotations

import json
import math
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sandbox_asking import WEEK, by_message, days, frozen, report
from scipy import stats

from flowperf_helpers.account import connection
from flowperf_helpers.frames.catalog import STATISTICS, has_meaning
from flowperf_helpers.sandbox import SANDBOX_NOW
from flowperf_helpers.sandbox.arrivals import hourly
from flowperf_helpers.sandbox.numbers import Numbers, binomial, day_number, normal
from flowperf_helpers.sandbox.shop import build_world

ALL = list(STATISTICS)
ADDITIVE = [s.name for s in STATISTICS.values() if s.additive_over_time and s.is_count]
UNIQUES = ["opens_unique", "clicks_unique", "unsubscribe_uniques", "conversion_uniques"]


@pytest.fixture(scope="module")
def app():
    return frozen()


def test_same_question_same_answer(app):
    """Two apps of one seed give the same numbers; another seed gives others."""
    first, again, other = (report(a, "values", statistics=ALL) for a in (app, frozen(), frozen(seed=7)))
    assert first == again
    assert by_message(first)["Wc1aEm"] != by_message(other)["Wc1aEm"]


@pytest.mark.parametrize("file", ["shop.toml", "shop.py"])
def test_another_shop_is_another_world(file, tmp_path, monkeypatch):
    """Kept answers of the sandbox hold until its code or its shop changes."""
    sandbox = Path(connection.__file__).parents[1] / "sandbox"
    shutil.copytree(sandbox, tmp_path / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(connection, "__file__", str(tmp_path / "account" / "connection.py"))
    _, before = connection._mounted(None, None, {})
    assert before == connection._mounted(None, None, {})[1]
    with (tmp_path / "sandbox" / file).open("a") as more:
        more.write("# changed\n")
    assert before != connection._mounted(None, None, {})[1]


def test_history_does_not_depend_on_how_far_it_is_read():
    """A day's numbers are the same whether a week or three years are generated."""
    short, long = Numbers(build_world("default"), 2026), Numbers(build_world("default"), 2026)
    metric = short.world.metric("RplOrd")
    begin = day_number(date(2024, 1, 1))
    whole = long.engagement(begin, 730) | long.conversions(metric, begin, 730)
    for first in (begin, -131, -3, 0, 125, 700):
        week = short.engagement(first, first + 7) | short.conversions(metric, first, first + 7)
        assert set(week) == set(whole)
        for name, values in week.items():
            assert np.array_equal(whole[name][:, first - begin : first - begin + 7], values), name


def test_counts_nest(app):
    """Delivered is what did not bounce; uniques never exceed events or what they are drawn from."""
    for row in report(app, "values", statistics=ALL)["results"]:
        s, channel = row["statistics"], row["groupings"]["send_channel"]
        assert s["recipients"] - s["bounced_or_failed"] == s["delivered"]
        assert s["unsubscribe_uniques"] <= s["unsubscribes"]
        assert s["conversion_uniques"] <= s["conversions"]
        assert s["clicks_unique"] <= s["clicks"]
        if channel != "sms":
            assert s["clicks_unique"] <= s["opens_unique"] <= s["delivered"]
            assert s["opens_unique"] <= s["opens"]


@pytest.mark.parametrize("denominator", ["delivered", "recipients"])
def test_rates_are_their_ratio(denominator):
    """Each rate is its numerator over its denominator, exactly, with either denominator of Klaviyo's."""
    for row in report(frozen(denominator=denominator), "values", statistics=ALL)["results"]:
        s, channel = row["statistics"], row["groupings"]["send_channel"]
        for rate in (r for r in STATISTICS.values() if r.kind == "rate" and has_meaning(r.name, channel)):
            over = denominator if len(rate.denominators) > 1 else rate.denominators[0]
            expected = s[rate.numerators[0]] / s[over] if s[over] else 0.0
            assert math.isclose(expected, s[rate.name]), rate.name
            assert 0 <= s[rate.name] <= 1


def test_money_adds_up(app):
    """Order value, revenue per recipient and return on text spend are quotients of the money they are made of."""
    for row in report(app, "values", statistics=ALL)["results"]:
        s = row["statistics"]
        assert math.isclose(s["conversion_value"], s["revenue_per_recipient"] * s["recipients"], abs_tol=1e-9)
        if s["conversions"]:
            assert math.isclose(s["conversion_value"], s["average_order_value"] * s["conversions"])
        if row["groupings"]["send_channel"] == "sms":
            assert s["text_message_credit_usage_amount"] == 3 * s["message_segment_count_sum"]
            assert math.isclose(s["conversion_value"], s["text_message_roi"] * s["text_message_spend"])


def test_values_are_the_sum_of_days(app):
    """Additive counts and money of a window are the sums of its daily buckets, message by message."""
    values, daily = by_message(report(app, "values", statistics=ALL)), report(app, "series", statistics=ALL)
    assert 7 == len(daily["date_times"])
    for message, s in by_message(daily).items():
        for name in ADDITIVE:
            expected = values[message][name]
            assert expected == (None if expected is None else sum(s[name])), name
        assert math.isclose(values[message]["conversion_value"], sum(s["conversion_value"]), abs_tol=1e-6)


def test_uniques_of_a_window_lie_below_the_sum(app):
    """People are counted once per window: no fewer than on the best day, a few per cent below the sum of days."""
    values, daily = (by_message(report(app, kind, statistics=UNIQUES)) for kind in ("values", "series"))
    for message, s in daily.items():
        for name in UNIQUES:
            if s[name][0] is None:
                continue
            assert max(s[name]) <= values[message][name] <= sum(s[name])
            assert values[message][name] >= 0.95 * sum(s[name]) - 1


def test_uniques_grow_with_the_window(app):
    """One more day never makes fewer people."""
    before: dict[str, int] = {}
    for last in range(1, 15):
        asked = days("2026-11-01", f"2026-11-{last:02d}")
        now = {m: s["clicks_unique"] for m, s in by_message(
            report(app, "values", statistics=["clicks_unique"], timeframe=asked)).items()}  # fmt: skip
        assert all(now[m] >= count for m, count in before.items())
        before = now


def test_weekly_bucket_is_the_week(app):
    """A week asked as values equals its bucket in a weekly series, uniques and rates included."""
    asked = days("2025-12-01", "2026-11-22")
    weekly = report(app, "series", statistics=ALL, interval="weekly", timeframe=asked)
    assert ["2025-12-01T00:00:00+00:00", "2026-11-16T00:00:00+00:00"] == [weekly["date_times"][i] for i in (0, -1)]
    values, series = by_message(report(app, "values", statistics=ALL)), by_message(weekly)
    for message, s in values.items():
        assert s == {name: series[message][name][-1] for name in ALL}


@pytest.mark.parametrize(("day", "labels"), [("2026-06-10", 24), ("2026-10-25", 24), ("2027-03-28", 23)])
def test_hours_add_up_to_the_day(day, labels):
    """Hours of sending sum to their day, also on the days on which the clock is changed."""
    app = frozen(now=datetime(2027, 6, 1, 12))
    hours = report(app, "series", statistics=ADDITIVE, interval="hourly", timeframe=days(day, day))
    daily = by_message(report(app, "series", statistics=ADDITIVE, timeframe=days(day, day)))
    assert labels == len(hours["date_times"]) == len(set(hours["date_times"]))
    for message, s in by_message(hours).items():
        for name in ADDITIVE:
            if s[name][0] is not None:
                assert [sum(s[name])] == daily[message][name], name


def test_hour_that_is_skipped_has_no_label():
    """Two o'clock on the last Sunday of March does not exist in Copenhagen."""
    app = frozen(now=datetime(2027, 6, 1, 12))
    got = report(app, "series", interval="hourly", timeframe=days("2027-03-28", "2027-03-28"))["date_times"]
    assert "2027-03-28T02:00:00+00:00" not in got
    assert ["2027-03-28T01:00:00+00:00", "2027-03-28T03:00:00+00:00"] == got[1:3]


def test_person_by_person_reaches_the_final_counts():
    """Simulated arrivals end exactly at the drawn counts, values included."""
    numbers = Numbers(build_world("default"), 2026)
    metric = numbers.world.metric("RplOrd")
    first = day_number(date(2026, 3, 2))
    arrived = hourly(numbers, first, first + 7, np.inf) | hourly(numbers, first, first + 7, np.inf, metric)
    final = numbers.engagement(first, first + 7) | numbers.conversions(metric, first, first + 7)
    assert "cents" in final
    for name, values in final.items():
        assert np.array_equal(values, arrived[name].sum(axis=2)), name


def test_earlier_clocks_leave_no_trace():
    """What is known at a moment is the same whichever moments were asked about before."""
    first = day_number(date(2026, 11, 20))
    moments = [first * 24.0 + hours for hours in (9, 30, 71, 140)]

    def known(order: list[float]) -> dict[float, dict[str, np.ndarray]]:
        numbers = Numbers(build_world("default"), 2026)
        metric = numbers.world.metric("RplOrd")
        return {
            now: hourly(numbers, first, first + 3, now) | hourly(numbers, first, first + 3, now, metric)
            for now in order
        }

    forward, back = known(moments), known(moments[::-1])
    for now in moments:
        for name, values in forward[now].items():
            assert np.array_equal(values, back[now][name]), (now, name)
    assert forward[moments[0]]["clicks"].sum() < forward[moments[-1]]["clicks"].sum()


def test_yesterday_grows_when_asked_later():
    """Late opens, clicks and conversions raise a day's answer until it is five days old, and never lower it."""
    names = ["recipients", "opens", "opens_unique", "clicks", "clicks_unique", "conversions", "conversion_value"]
    asked = days("2026-11-22", "2026-11-22")
    seen = []
    for hours in (0, 6, 24, 48, 72, 96, 114, 1000):
        app = frozen(now=SANDBOX_NOW + timedelta(hours=hours))
        rows = by_message(report(app, "values", statistics=names, timeframe=asked)).values()
        seen.append([sum(row[name] or 0 for row in rows) for name in names])
    table = np.array(seen)
    assert (np.diff(table, axis=0) >= 0).all()
    assert (table[0, 1:] < table[-1, 1:]).all()
    assert table[0, 0] == table[-1, 0]
    assert np.array_equal(table[-2], table[-1])
    assert 0.2 < table[0, 5] / table[-1, 5] < 0.7


def test_running_day_is_partial():
    """Sends go out over the day, so the running day holds less at six than at noon, and nothing is ahead of now."""
    asked = days("2026-11-23", "2026-11-24")
    six, noon = (report(frozen(now=datetime(2026, 11, 23, h)), "series", timeframe=asked) for h in (6, 12))
    a, b = (np.array([s["recipients"] for s in by_message(r).values()]).sum(axis=0) for r in (six, noon))
    assert 0 < a[0] < b[0]
    assert 0 == a[1] == b[1]


def test_silent_messages_are_absent():
    """A message without a send in the window has no row; an empty window still has all its dates."""
    app = frozen()
    got = by_message(report(app, "values"))
    assert "Wt1aEm" not in got  # stopped in August
    assert "Wt1aEm" in by_message(report(app, "values", timeframe=days("2026-07-01", "2026-07-07")))
    future = report(app, "series", timeframe=days("2026-12-01", "2026-12-07"))
    assert [] == future["results"]
    assert 7 == len(future["date_times"])


def test_before_the_first_day_there_is_nothing():
    """The account began on 2024-01-01; earlier days are empty and no error."""
    asked = {"start": "2022-05-08T00:00:00+00:00", "end": "2022-06-20T00:00:00+00:00"}
    assert [] == report(frozen(), "values", timeframe=asked)["results"]
    first = report(frozen(), "series", timeframe=days("2023-12-30", "2024-01-02"))
    assert [0, 0] == by_message(first)["Wc1aEm"]["recipients"][:2]
    assert by_message(first)["Wc1aEm"]["recipients"][2] > 0


def test_the_guides_window_has_rows(app):
    """The spring of 2024, which Klaviyo's guide asks for, shows both messages of the guide's flow, in full."""
    asked = json.loads((Path(__file__).parents[1] / "seed/values_request.json").read_text())["data"]["attributes"]
    rows = by_message(report(app, "values", **asked))
    assert ["01GMRWDSA0ARTAKE1SFX8JGXAY", "01GJTHNWVG93F3KNX71SJ4FDBB"] == list(rows)
    for s in rows.values():
        assert s["clicks"] >= s["clicks_unique"] > s["conversion_uniques"] > 0
    weekly = report(app, "series", interval="weekly", timeframe=days("2024-04-01", "2025-03-30"))
    assert all(count > 0 for count in by_message(weekly)["Wc1aEm"]["recipients"])


def test_clock_in_the_early_past():
    """A clock that stands in 2024 knows what was sent until then, and late conversions arrive there too."""
    asked = days("2024-05-06", "2024-05-12")
    names = ["recipients", "conversions"]
    then = report(frozen(now=datetime(2024, 5, 13, 6)), "values", timeframe=asked, statistics=names)
    now = report(frozen(), "values", timeframe=asked, statistics=names)
    a, b = by_message(then)["Wc1aEm"], by_message(now)["Wc1aEm"]
    assert a["recipients"] == b["recipients"]
    assert 0 < a["conversions"] < b["conversions"]


def test_end_is_rounded_up_to_its_hour(app):
    """An end at midnight takes the first hour of that day with it, as a bucket of its own in a daily series."""
    asked = {"start": "2026-11-10T00:00:00+00:00", "end": "2026-11-11T00:00:00+00:00"}
    got = report(app, "series", timeframe=asked)
    assert 2 == len(got["date_times"])
    hour = report(app, "series", interval="hourly", timeframe=days("2026-11-11", "2026-11-11"))
    a, b = by_message(got), by_message(hour)
    assert [s["recipients"][1] for s in a.values()] == [b[m]["recipients"][0] for m in a]


def test_conversion_metric_changes_conversions_only(app):
    """Another conversion metric leaves engagement alone and counts other conversions."""
    names = ["recipients", "clicks", "conversions", "conversion_value"]
    main, other = (
        by_message(report(app, "values", statistics=names, conversion_metric_id=m))["Wc1aEm"]
        for m in ("RplOrd", "RwoOrd")
    )
    assert [main[n] for n in names[:2]] == [other[n] for n in names[:2]]
    assert main["conversions"] > 3 * other["conversions"] > 0
    assert main["conversion_value"] > other["conversion_value"] > 0


def test_statistics_without_meaning(app):
    """Klaviyo leaves it open: opens of a text are null, its bounces are 0, an e-mail's text costs are null."""
    got = by_message(report(app, "values", statistics=ALL))
    text, mail = got["Wc4aSm"], got["Wc1aEm"]
    assert [None, None, 0, 0.0] == [text[n] for n in ("opens", "open_rate", "bounced", "bounce_rate")]
    assert text["text_message_spend"] > 0
    assert [None, None, 0] == [mail[n] for n in ("text_message_spend", "text_message_roi", "failed")]


def test_volumes_are_spread(app):
    """Some flows send thousands a week, some a handful, and weekdays differ a little."""
    week = [s["recipients"] for s in by_message(report(app, "values", timeframe=WEEK)).values()]
    assert max(week) > 5000
    assert min(week) < 20
    assert len(week) >= 35


def test_quantiles_are_right():
    """The binomial quantile is exact where few are expected and within one of scipy's where many are."""
    rng = np.random.default_rng(1)
    u = rng.uniform(size=4000)
    for n, p in ((1, 0.3), (20, 0.05), (700, 0.004), (60, 0.5), (50, 0.97)):
        assert np.array_equal(stats.binom.ppf(u, n, p), binomial(np.array([n]), np.array([p]), u)), (n, p)
    for n, p in ((900, 0.08), (5000, 0.45), (1_000_000, 0.0007)):
        got = binomial(np.array([n]), np.array([p]), u)
        assert np.abs(stats.binom.ppf(u, n, p) - got).max() <= 1, (n, p)
    assert np.allclose(stats.norm.ppf(u), normal(u), atol=1e-7)
    assert 0 == binomial(np.array([0]), np.array([0.4]), u[:1])[0] == binomial(np.array([9]), np.array([0.0]), u[:1])[0]
