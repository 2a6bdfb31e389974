"""Rolling up: counts summed, rates rebuilt, people never added over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from frames_by_hand import frame_of, messages
from hypothesis import given
from hypothesis import strategies as st

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.stats.rate_parts import find_denominators
from flowperf_helpers.stats.rollup import roll_up


def mixed() -> pd.DataFrame:
    """Two e-mails and a text of one flow, an e-mail of another; the text has no opens."""
    return frame_of(
        flow_id=["F1", "F1", "F1", "F2"], flow_message_id=["a", "b", "c", "d"],
        send_channel=["email", "email", "sms", "email"],
        recipients=[1_010, 505, 800, 202], delivered=[1_000, 500, 790, 200],
        opens=[500, 300, 0, 90], opens_unique=[400, 250, None, 80], open_rate=[0.4, 0.5, None, 0.4],
        bounced=[10, 5, None, 2], conversion_value=[100.5, 50.0, None, 7.0], conversions=[4, 2, None, 1],
    )  # fmt: skip


def test_texts_do_not_dilute_the_open_rate() -> None:
    """The open rate of a flow stands on its e-mails, though the text's delivered are in the sum."""
    row = roll_up(mixed(), by=["flow_id"]).iloc[0]
    assert 2_290 == row["delivered"]
    assert row["open_rate"] == pytest.approx(650 / 1_500)


def test_counts_and_dtypes() -> None:
    """Counts are summed and stay Int64, groups keep the order of appearance."""
    found = roll_up(mixed(), by=["flow_id", "send_channel"])
    assert [("F1", "email"), ("F1", "sms"), ("F2", "email")] == list(
        zip(found["flow_id"], found["send_channel"], strict=True)
    )
    assert [1_500, 790, 200] == list(found["delivered"])
    assert "Int64" == str(found["opens_unique"].dtype)
    assert "float64" == str(found["open_rate"].dtype)


def test_no_meaning_is_na() -> None:
    """What a channel gives no meaning is NA there, also where Klaviyo sent 0."""
    sms = roll_up(mixed(), by=["send_channel"]).set_index("send_channel").loc["sms"]
    assert pd.isna(sms["opens"])
    assert pd.isna(sms["open_rate"])
    assert pd.isna(sms["bounced"])
    assert 790 == sms["delivered"]


def test_null_is_not_zero() -> None:
    """A sum of nothing known is NA; a sum that lacks a part says so."""
    found = roll_up(mixed(), by=["flow_id", "send_channel"])
    assert pd.isna(found["conversions"][1])
    assert {"conversion_value": 1, "conversions": 1} == {
        k: v for k, v in roll_up(mixed(), by=["flow_id"]).attrs["missing_parts"].items() if k.startswith("conv")
    }


def test_missing_rates_are_computed() -> None:
    """Rates whose parts are there are added, also order value and revenue per recipient."""
    row = roll_up(mixed(), by=[]).iloc[0]
    assert row["average_order_value"] == pytest.approx(157.5 / 7)
    assert row["revenue_per_recipient"] == pytest.approx(157.5 / (1_010 + 505 + 202))
    assert row["bounce_rate"] == pytest.approx(17 / 1_717)


def test_denominator_is_inferred_from_the_rows() -> None:
    """Rates over recipients are noticed, rebuilt over recipients, and the evidence is told."""
    frame = mixed()
    frame["open_rate"] = (frame["opens_unique"] / frame["recipients"]).astype(float).round(6)
    found = roll_up(frame, by=["flow_id"])
    assert {
        "numerator": "opens_unique",
        "denominator": "recipients",
        "evidence": "inferred from 3 rows",
    } == found.attrs["denominators"]["open_rate"]
    assert found["open_rate"][0] == pytest.approx(650 / 1_515)


@pytest.mark.parametrize("decimals", [3, 4, 6, 15])
def test_rounded_rates_tell_too(decimals: int) -> None:
    """Rates rounded to three, four or six decimals still tell what they were divided by."""
    frame = messages([1_800, 950, 2_600], [91, 53, 177], bounced=200)
    frame["click_rate"] = (frame["clicks_unique"] / frame["recipients"]).astype(float).round(decimals)
    parts = find_denominators(frame)["click_rate"]
    assert ("recipients", "inferred from 3 rows") == (parts.denominator, parts.evidence)


def test_delivered_is_inferred_too() -> None:
    """Rates over delivered are inferred, not only assumed."""
    assert "inferred from 3 rows" == find_denominators(mixed())["open_rate"].evidence


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda f: f.assign(recipients=f["delivered"]), "tells the candidates apart"),
     (lambda f: f.assign(open_rate=[0.4, 250 / 505, None, 0.4]), "3 rows disagree"),
     (lambda f: f.assign(open_rate=[0.9, 0.9, None, 0.9]), "gives the rows' rates back"),
     (lambda f: f.drop(columns="open_rate"), "no such rate")],
)  # fmt: skip
def test_denominator_is_assumed_and_said(change, words: str) -> None:  # type: ignore[no-untyped-def]
    """Without evidence, or with rows that disagree, delivered is taken and the reason told."""
    parts = find_denominators(change(mixed()))["open_rate"]
    assert "delivered" == parts.denominator
    assert parts.evidence.startswith("assumed: ")
    assert words in parts.evidence


def test_numerator_of_the_unsubscribe_rate_is_inferred() -> None:
    """Events or people: the rows tell which one the unsubscribe rate counts."""
    frame = frame_of(flow_id=["F"], flow_message_id=["a"], recipients=[1_000], delivered=[900], unsubscribes=[20],
                     unsubscribe_uniques=[18], unsubscribe_rate=[20 / 900])  # fmt: skip
    parts = find_denominators(frame)["unsubscribe_rate"]
    assert ("unsubscribes", "delivered") == (parts.numerator, parts.denominator)


def series() -> pd.DataFrame:
    """Two weeks of two messages."""
    weeks = pd.to_datetime(["2026-11-09", "2026-11-16"] * 2).tz_localize("Europe/Copenhagen")
    return frame_of(flow_id=["F"] * 4, flow_message_id=["a", "a", "b", "b"], send_channel=["email"] * 4,
                    interval_start=weeks, recipients=[100, 200, 50, 60], delivered=[100, 200, 50, 60],
                    opens=[60, 100, 30, 30], opens_unique=[40, 70, 20, 25],
                    open_rate=[0.4, 0.35, 0.4, 25 / 60])  # fmt: skip


def test_people_are_not_added_over_time() -> None:
    """Uniques over several intervals are NA with the reason; counts of events still add up."""
    found = roll_up(series(), by=["flow_id"])
    assert pd.isna(found["opens_unique"][0])
    assert pd.isna(found["open_rate"][0])
    assert 220 == found["opens"][0]
    assert "over time" in found.attrs["why_na"]["opens_unique"]
    assert "over time" in found.attrs["why_na"]["open_rate"]


def test_people_are_added_over_messages() -> None:
    """Within an interval uniques add up over messages."""
    found = roll_up(series(), by=["flow_id", "interval_start"])
    assert [60, 95] == list(found["opens_unique"])
    assert found["open_rate"][0] == pytest.approx(60 / 150)


def test_people_of_a_whole_period_come_from_values() -> None:
    """With a values report of the whole period, uniques and their rates are taken from it."""
    values = frame_of(flow_id=["F", "F"], flow_message_id=["a", "b"], send_channel=["email"] * 2, delivered=[300, 110],
                      recipients=[300, 110], opens_unique=[100, 40])  # fmt: skip
    found = roll_up(series(), by=["flow_id"], values=values)
    assert 140 == found["opens_unique"][0]
    assert "Int64" == str(found["opens_unique"].dtype)
    assert found["open_rate"][0] == pytest.approx(140 / 410)
    assert "opens_unique" not in found.attrs["why_na"]


def test_two_windows_are_time_too() -> None:
    """Values of two windows in one frame are not added up as people."""
    both = pd.concat(
        [messages([100], [5]).assign(window_start=pd.Timestamp(day, tz="UTC")) for day in ("2026-11-09", "2026-11-16")]
    )
    assert roll_up(both, by=["flow_id"])["clicks_unique"].isna().all()


def test_tags_never_enter_totals() -> None:
    """A message under two tags is counted once; asked by tag it counts in both, and the note says so."""
    frame = pd.concat([messages([100, 50], [5, 1]).assign(tag_id="t1"), messages([100], [5]).assign(tag_id="t2")])
    assert 150 == roll_up(frame, by=["flow_id"])["delivered"][0]
    assert [150, 100] == list(roll_up(frame, by=["tag_id"])["delivered"])
    assert "do not add up" in roll_up(frame, by=["tag_id"]).attrs["notes"][0]


def test_tags_with_other_numbers_are_refused() -> None:
    """Where tags split a message's numbers nobody can tell the total: refused with the way out."""
    frame = pd.concat([messages([100], [5]).assign(tag_id="t1"), messages([90], [5]).assign(tag_id="t2")])
    with pytest.raises(ArgumentError, match="tag_id into by"):
        roll_up(frame, by=["flow_id"])


def test_currencies_never_add_up() -> None:
    """Money of two currencies is NA in a total and there per currency."""
    frame = mixed().assign(currency=pd.array(["EUR", "EUR", "EUR", "DKK"], dtype="str"))
    found = roll_up(frame, by=[])
    assert np.isnan(found["conversion_value"][0])
    assert np.isnan(found["average_order_value"][0])
    assert "currencies" in found.attrs["why_na"]["conversion_value"]
    assert 2_490 == found["delivered"][0]
    assert [150.5, 7.0] == list(roll_up(frame, by=["currency"])["conversion_value"])


def test_two_conversion_metrics_are_refused() -> None:
    """Two reports of one week under different conversion metrics hold every send twice: refused."""
    frame = pd.concat([mixed().assign(conversion_metric_id=m) for m in ("M1", "M2")])
    with pytest.raises(ArgumentError, match="2 conversion metrics"):
        roll_up(frame, by=["flow_id"])
    assert [2_490, 2_490] == list(roll_up(frame, by=["conversion_metric_id"])["delivered"])


def test_each_flow_under_its_own_metric() -> None:
    """Where each flow stands under its own conversion metric no send counts twice: summed, with a note."""
    frame = mixed()
    frame["conversion_metric_id"] = frame["flow_id"].map({"F1": "M1", "F2": "M2"})
    found = roll_up(frame, by=[])
    assert 2_490 == found["delivered"][0]
    assert "2 different conversion metrics" in found.attrs["notes"][0]
    assert [] == roll_up(frame, by=["flow_id"]).attrs["notes"]


def test_duplicate_messages_are_refused() -> None:
    """A message that stands there twice is named."""
    with pytest.raises(ArgumentError, match="flow_message_id=m1"):
        roll_up(pd.concat([messages([1, 2], [0, 0]), messages([1, 2], [0, 0]).iloc[[1]]]), by=["flow_id"])


def test_missing_columns_are_named() -> None:
    """A frame without the column asked for is refused with what it has."""
    with pytest.raises(ArgumentError, match="needs the column tag_id; the frame has flow_id"):
        roll_up(mixed(), by=["tag_id"])
    with pytest.raises(ArgumentError, match="needs the column recipients"):
        roll_up(mixed()[["flow_id"]], by=["flow_id"])
    with pytest.raises(ArgumentError, match="not by the statistic opens"):
        roll_up(mixed(), by=["opens"])


def test_empty() -> None:
    """An empty frame rolls up to an empty frame with the same columns and dtypes."""
    full, empty = roll_up(mixed(), by=["flow_id"]), roll_up(mixed().iloc[:0], by=["flow_id"])
    assert 0 == len(empty)
    assert list(full.columns) == list(empty.columns)
    assert list(full.dtypes.astype(str)) == list(empty.dtypes.astype(str))
    assert 0 == len(roll_up(mixed().iloc[:0], by=[]))


def test_zero_denominator() -> None:
    """A message delivered to nobody has no rate, and no share in the others'."""
    assert np.isnan(roll_up(messages([0], [0]), by=["flow_id"])["click_rate"][0])
    assert roll_up(messages([0, 10], [0, 1]), by=["flow_id"])["click_rate"][0] == pytest.approx(0.1)


def test_a_group_of_one_row_keeps_its_rate() -> None:
    """Without its parts a rate survives only where there is nothing to roll up."""
    bare = mixed()[["flow_id", "flow_message_id", "send_channel", "recipients", "open_rate"]]
    found = roll_up(bare, by=["flow_id"])
    assert np.isnan(found["open_rate"][0])
    assert 0.4 == found["open_rate"][1]
    assert "rebuilt from opens_unique" in found.attrs["why_na"]["open_rate"]


def test_a_narrower_rate_is_not_rebuilt_wrongly() -> None:
    """Once texts and e-mails are one row, the open rate cannot be rolled up again: NA, not a diluted number."""
    twice = roll_up(roll_up(mixed(), by=["flow_id"]), by=[])
    assert np.isnan(twice["open_rate"][0])
    assert 2_490 == twice["delivered"][0]


def test_missing_ids_are_a_group() -> None:
    """Rows without an id are kept as a group of their own."""
    frame = messages([10, 20], [1, 2])
    frame["flow_id"] = pd.array(["F1", None], dtype="str")
    assert [10, 20] == list(roll_up(frame, by="flow_id")["delivered"])


rows = st.lists(
    st.tuples(st.sampled_from(["F1", "F2", "F3"]), st.sampled_from(["email", "sms", "push-notification"]),
              st.integers(0, 10_000), st.integers(0, 100), st.one_of(st.none(), st.floats(0, 1))),
    min_size=1, max_size=30,
)  # fmt: skip


def hand_frame(drawn: list[tuple[str, str, int, int, float | None]]) -> pd.DataFrame:
    """Build messages of several flows and channels from drawn numbers."""
    flows, channels, delivered, lost, share = zip(*drawn, strict=True)
    opened = [
        None if s is None or c == "sms" else int(d * s) for d, s, c in zip(delivered, share, channels, strict=True)
    ]
    return frame_of(flow_id=list(flows), flow_message_id=[f"m{i}" for i in range(len(drawn))],
                    send_channel=list(channels), recipients=np.add(delivered, lost), delivered=list(delivered),
                    opens_unique=np.array(opened, dtype=float))  # fmt: skip


@given(rows, st.randoms())
def test_order_does_not_matter(drawn, random) -> None:  # type: ignore[no-untyped-def]
    """Shuffled rows roll up to the same numbers."""
    frame = hand_frame(drawn)
    order = list(range(len(frame)))
    random.shuffle(order)
    first, second = (
        roll_up(f, by=["flow_id", "send_channel"]).sort_values(["flow_id", "send_channel"], ignore_index=True)
        for f in (frame, frame.iloc[order])
    )
    pd.testing.assert_frame_equal(first, second, check_like=True)


@given(rows)
def test_a_rate_lies_between_its_parts(drawn) -> None:  # type: ignore[no-untyped-def]
    """A rolled-up rate lies between the smallest and the largest of its messages'."""
    frame = hand_frame(drawn)
    single = roll_up(frame, by=["flow_message_id"])["open_rate"]
    total = roll_up(frame, by=[])["open_rate"][0]
    assert np.isnan(total) if single.isna().all() else single.min() - 1e-12 <= total <= single.max() + 1e-12


@given(rows)
def test_splitting_changes_nothing(drawn) -> None:  # type: ignore[no-untyped-def]
    """Rolled up by flow and channel first, then by channel, gives what one step gives."""
    frame = hand_frame(drawn)
    frame = frame[frame["opens_unique"].notna() | frame["send_channel"].eq("sms")]
    steps = roll_up(roll_up(frame, by=["flow_id", "send_channel"]), by=["send_channel"])
    pd.testing.assert_frame_equal(roll_up(frame, by=["send_channel"]), steps)


@given(rows)
def test_counts_add_up(drawn) -> None:  # type: ignore[no-untyped-def]
    """Groups together have what the frame has."""
    frame = hand_frame(drawn)
    assert frame["delivered"].sum() == roll_up(frame, by=["flow_id"])["delivered"].sum()
