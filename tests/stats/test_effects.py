"""Where a change came from: it adds up, and nothing that could not be counted is passed over."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.stats import decomposition
from flowperf_helpers.stats.decomposition import decompose


def period(rows: dict[str, tuple[int | None, int | None]], **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame({"flow_message_id": pd.array(list(rows), dtype="str")})
    frame["delivered"] = pd.array([n for n, _ in rows.values()], dtype="Int64")
    frame["clicks_unique"] = pd.array([x for _, x in rows.values()], dtype="Int64")
    return frame.assign(**columns)


def row(found: pd.DataFrame, message: str) -> pd.Series:
    return found.set_index("flow_message_id").loc[message]


COUNTS = st.integers(0, 10**6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
PERIODS = st.dictionaries(st.sampled_from("abcdefgh"), COUNTS, max_size=8)


@given(PERIODS, PERIODS)
@settings(max_examples=80, deadline=None)
def test_effects_add_up(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> None:
    """Mix and within effects add up to the change of the whole rate, whatever came, went or was empty."""
    found = decompose(period(before), period(after))
    totals = [sum(n for n, _ in side.values()) for side in (before, after)]
    assert set(before) | set(after) == set(found["flow_message_id"])
    if not all(totals):
        assert found.attrs["change"] is None
        assert found["total_effect"].isna().all()
        return
    rates = [sum(x for _, x in s.values()) / n for s, n in zip((before, after), totals, strict=True)]
    assert rates[1] - rates[0] == pytest.approx(found["total_effect"].sum(), abs=1e-12)
    assert rates[1] - rates[0] == pytest.approx(found.attrs["change"], abs=1e-12)
    assert found.attrs["change"] == pytest.approx(found.attrs["mix_effect"] + found.attrs["within_effect"], abs=1e-12)
    assert (found["mix_effect"] + found["within_effect"]).tolist() == pytest.approx(found["total_effect"].tolist())


@given(PERIODS, PERIODS, st.randoms())
@settings(max_examples=25, deadline=None)
def test_order_and_direction(before: dict, after: dict, random: object) -> None:
    """The order of rows changes nothing, and swapping the periods turns every sign."""
    one, two = period(before), period(after)
    found = decompose(one, two).sort_values("flow_message_id", ignore_index=True)
    shuffled = decompose(one.iloc[::-1], two.iloc[::-1]).sort_values("flow_message_id", ignore_index=True)
    back = decompose(two, one).sort_values("flow_message_id", ignore_index=True)
    pd.testing.assert_frame_equal(found, shuffled)
    assert np.allclose(found["total_effect"], -back["total_effect"], atol=1e-12, equal_nan=True)


def test_reversal() -> None:
    """Every message up and the total down: the within effects are positive and the mix explains the fall."""
    found = decompose(
        period({"strong": (9000, 900), "weak": (1000, 20)}), period({"strong": (1000, 110), "weak": (9000, 270)})
    )
    assert (found["rate_after"] > found["rate_before"]).all()
    assert (found["within_effect"] > 0).all()
    assert found.attrs["change"] < 0
    assert found.attrs["mix_effect"] < found.attrs["change"]


def test_new_and_gone() -> None:
    """A message of one period only is pure mix, and named as new or gone."""
    found = decompose(period({"old": (100, 10), "both": (100, 5)}), period({"new": (100, 2), "both": (100, 5)}))
    assert row(found, "new")["is_new"]
    assert row(found, "old")["is_gone"]
    assert not row(found, "both")["is_new"] | row(found, "both")["is_gone"]
    assert [0.0, 0.0] == [row(found, m)["within_effect"] for m in ("new", "old")]
    assert np.isnan(row(found, "new")["rate_before"])
    assert row(found, "new")["mix_effect"] < 0  # weaker than the average, so its coming pulls the rate down


def test_unknown_is_named_and_not_new() -> None:
    """A row without a number, or on a channel where the rate means nothing, is listed with the reason."""
    before = period({"a": (100, 10), "b": (100, None), "c": (None, 3)})
    after = period({"a": (100, 10), "b": (100, 20), "c": (50, 3), "push": (50, 1)}).assign(
        send_channel=["email", "email", "email", "push-notification"]
    )
    found = decompose(before, after)
    told = {(r["flow_message_id"], r["period"]): r["reason"] for r in found.attrs["not_counted"]}
    assert {("b", "before"), ("c", "before"), ("push", "after")} == set(told)
    assert "clicks_unique is not known" == told["b", "before"]
    assert "means nothing on this channel" in told["push", "after"]
    assert not found["is_new"].any()
    json.dumps(found.attrs)


def test_variations_are_summed_and_tags_are_not() -> None:
    """Two variations of a message are one message; a row that a second tag repeats counts once."""
    split = pd.concat([period({"a": (60, 6)}, variation="x"), period({"a": (40, 4)}, variation="y")])
    tagged = pd.concat([split.assign(tag_id="t1"), split.assign(tag_id="t2")])
    found = decompose(tagged, period({"a": (100, 20)}))
    assert 0.1 == pytest.approx(found.attrs["total_before"])
    assert 1 == len(found)
    assert 0.1 == pytest.approx(found.loc[0, "within_effect"])


def test_denominator() -> None:
    """The denominator is the one the frames were found to use, else delivered."""
    frame = period({"a": (80, 8)}).assign(recipients=pd.array([100], dtype="Int64"))
    assert "delivered" == decompose(frame, frame).attrs["denominator"]
    frame.attrs["denominators"] = {"click_rate": {"denominator": "recipients"}}
    assert "recipients" == decompose(frame, frame).attrs["denominator"]


def test_names_and_several_keys() -> None:
    """Names follow their ids, the later period's first, and several columns may form the key."""
    before = period({"a": (10, 1), "gone": (10, 1)}, flow_id="F", flow_message_name=["Old", "Gone"])
    after = period({"a": (10, 1)}, flow_id="F", flow_message_name=["New"])
    found = decompose(before, after, by=["flow_id", "flow_message_id"])
    assert ["flow_id", "flow_message_id", "flow_message_name"] == list(found.columns[:3])
    assert {"a": "New", "gone": "Gone"} == dict(zip(found["flow_message_id"], found["flow_message_name"], strict=True))


def test_empty_and_impossible() -> None:
    """Empty frames give an empty frame; impossible counts are refused or pointed out."""
    empty = decompose(period({}), period({}))
    assert 0 == len(empty)
    assert empty.attrs["change"] is None
    assert "not known" in empty.attrs["notes"][0]
    with pytest.raises(ArgumentError, match="Row 0 .*'after'.* negative"):
        decompose(period({"a": (10, 1)}), period({"a": (10, -1)}))
    assert "cannot be" in decompose(period({"a": (10, 1)}), period({"a": (10, 11)})).attrs["notes"][0]
    assert 0.0 == decompose(period({"a": (0, 0), "b": (5, 1)}), period({"a": (0, 0), "b": (5, 1)}))["mix_effect"].sum()


def test_missing_columns() -> None:
    """A frame without the counts, or a statistic that is no rate, is refused by name."""
    frame = period({"a": (10, 1)})
    with pytest.raises(ArgumentError, match="clicks_unique.*flow_message_id"):
        decompose(frame.drop(columns="clicks_unique"), frame)
    with pytest.raises(ArgumentError, match="'clicks' is not a rate"):
        decompose(frame, frame, rate="clicks")
    with pytest.raises(ArgumentError, match="at least one column"):
        decompose(frame, frame, by=[])


def test_the_example_runs() -> None:
    """The reversal in the docstring gives what it says."""
    assert 0 == doctest.testmod(decomposition).failed


def test_many_flows_in_one_call_are_wholes_of_their_own() -> None:
    """Given within, each flow's messages are split as if the flow had been given alone."""
    before = period({"a": (100, 10), "b": (300, 9), "c": (0, 0), "d": (50, 5)}).assign(flow_id=["F", "F", "G", "G"])
    after = period({"a": (200, 30), "b": (100, 2), "c": (40, 4), "d": (60, 3)}).assign(flow_id=["F", "F", "G", "G"])
    found = decompose(before, after, within="flow_id")
    alone = [decompose(before[before["flow_id"] == f], after[after["flow_id"] == f]) for f in ("F", "G")]
    pd.testing.assert_frame_equal(
        pd.concat(alone, ignore_index=True), found.drop(columns="flow_id"), check_exact=True, check_like=True
    )
    assert ["F", "F", "G", "G"] == found["flow_id"].tolist()
    assert "total_before" not in found.attrs
