"""Periods, groups and variations side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from frames_by_hand import messages

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.plots import alt_text, plot_comparison
from flowperf_helpers.plots.tables import comparison_table
from flowperf_helpers.stats.ab_tests import compare_variations, probability_best
from flowperf_helpers.stats.compare import compare_rates

COLUMNS = [
    "numerator_before", "denominator_before", "rate_before", "numerator_after", "denominator_after", "rate_after",
    "difference", "low", "high", "p_value", "q_value", "verdict", "sample", "is_provisional",
]  # fmt: skip


def window(frame: pd.DataFrame, first: str, end: str) -> pd.DataFrame:
    """Add the window that an account method would add."""
    zone = "Europe/Copenhagen"
    return frame.assign(window_start=pd.Timestamp(first, tz=zone), window_end=pd.Timestamp(end, tz=zone))


def test_verdicts_of_a_week() -> None:
    """A real fall is lower, a wiggle no evidence, a handful too few; the sample is told in words."""
    before, after = messages([6_000, 6_000, 20], [480, 300, 1]), messages([6_000, 6_000, 22], [300, 310, 3])
    found = compare_rates(before, after).set_index("flow_message_id")
    assert ["lower", "no evidence of a change", "too few to say"] == list(found["verdict"])
    assert "before 480 of 6,000; after 300 of 6,000" == found["sample"]["m0"]
    assert COLUMNS == list(found.columns[-len(COLUMNS) :])
    assert found["difference"]["m0"] == pytest.approx(-0.03)
    assert found["low"]["m0"] < -0.03 < found["high"]["m0"] < 0


def test_two_channels_are_compared_in_their_own_words() -> None:
    """With labels, the sample, the table, the picture's finding, legend and alternative text name the two channels."""
    email, sms = messages([6_000, 6_000], [300, 300]), messages([6_000, 6_000], [480, 290])
    found = compare_rates(email, sms, labels=("email", "SMS"))
    assert "email 300 of 6,000; SMS 480 of 6,000" == found["sample"].iloc[0]
    text = comparison_table(found)._repr_html_()
    assert not [head for head in (">Before<", ">Now<", ">Change<") if head in text]
    assert "Click rate, email and SMS" in text
    assert "no evidence of a difference" in text
    ax = plot_comparison(found)
    finding = " ".join(ax.get_title(loc="left").split())
    assert "click rate of SMS is higher than of email, 8.00 % against 5.00 %" in finding.replace("\u202f", " ")
    legend = ax.get_legend()
    assert legend is not None
    assert ["email", "higher", "no evidence of a difference"] == [entry.get_text() for entry in legend.get_texts()]
    words = finding + alt_text(ax)
    assert "Click rate of email and SMS" in alt_text(ax)
    assert not [word for word in ("before", "Before", "rose", "change", "period") if word in words]
    same = compare_rates(email, email, labels=("email", "SMS"))
    assert "differs beyond chance between email and SMS" in " ".join(
        plot_comparison(same).get_title(loc="left").split()
    )


@pytest.mark.parametrize(
    "labels", ["ab", ("email",), ("email", "email"), ("email", " "), ("a", "b", "c"), None, 5, (1, 2), {"a", "b"}]
)
def test_labels_are_two_different_words(labels: Any) -> None:
    """Anything else is refused with an example."""
    frame = messages([100], [10])
    with pytest.raises(ArgumentError, match='labels=\\("email", "SMS"\\)'):
        compare_rates(frame, frame, labels=labels)


def test_groups_of_one_period_stay() -> None:
    """New and vanished messages keep their row and numbers, with no verdict and never a 0 in the other period."""
    found = compare_rates(messages([100], [9], ids=["old"]), messages([100], [7], ids=["new"]))
    found = found.set_index("flow_message_id")
    assert pd.isna(found.loc["old", "numerator_after"])
    assert pd.isna(found.loc["new", "rate_before"])
    assert ["too few to say"] == list(found["verdict"].unique())
    assert "before 9 of 100; after not known" == found.loc["old", "sample"]


def test_renamed_flow_is_the_same_flow() -> None:
    """Rows are matched by ids; a new name is shown and splits nothing."""
    after = messages([1_000], [50]).assign(flow_name="Renamed")
    found = compare_rates(messages([1_000], [50]), after, by=["flow_id", "flow_name"])
    assert 1 == len(found)
    assert "Renamed" == found["flow_name"][0]


def test_messages_are_rolled_up() -> None:
    """By flow, the messages' counts are summed before the rates are taken."""
    found = compare_rates(messages([100, 300], [10, 6]), messages([100, 300], [10, 6]), by="flow_id")
    assert (16, 400) == (found["numerator_after"][0], found["denominator_after"][0])


def test_denominator_is_read_off_the_rows() -> None:
    """Where the rates stand on recipients, so does the comparison, and attrs says on which evidence."""
    frame = messages([1_000, 900], [50, 40], bounced=50)
    frame["click_rate"] = [50 / 1_050, 40 / 950]
    found = compare_rates(frame, frame)
    assert "recipients" == found.attrs["denominator"]
    assert found.attrs["evidence"].startswith("inferred from")
    assert 1_050 == found["denominator_after"][0]


def test_unequal_windows_are_refused() -> None:
    """Six days against seven are refused, unless allowed, and then noted."""
    six, seven = (window(messages([100], [5]), f, "2026-11-23") for f in ("2026-11-17", "2026-11-16"))
    with pytest.raises(ArgumentError, match=r"\(6 and 7 days\)"):
        compare_rates(six, seven)
    assert "different lengths" in compare_rates(six, seven, allow_unequal=True).attrs["notes"][0]


def test_weeks_over_a_clock_change_are_equal() -> None:
    """A week with a clock change has seven days like any other."""
    autumn, winter = (
        window(messages([100], [5]), f, e) for f, e in (("2026-10-19", "2026-10-26"), ("2026-10-26", "2026-11-02"))
    )
    assert 1 == len(compare_rates(autumn, winter))


def test_a_younger_window_is_noted() -> None:
    """A week asked on the day after it ended is noted as still filling."""
    before = window(messages([100], [5]), "2026-11-09", "2026-11-16")
    after = window(messages([100], [5]), "2026-11-16", "2026-11-23")
    for frame in (before, after):
        frame.attrs["fetched_at"] = "2026-11-23T05:00:00+00:00"
    assert "younger than the attribution window of 5 days" in compare_rates(before, after).attrs["notes"][0]


def test_the_accounts_attribution_window_decides_what_is_young() -> None:
    """Five days after its end a week still fills where the account attributes for seven, and not where for three."""
    before = window(messages([100], [5]), "2026-11-02", "2026-11-09")
    after = window(messages([100], [5]), "2026-11-09", "2026-11-16")
    for days, noted in ((7, True), (3, False)):
        for frame in (before, after):
            frame.attrs |= {"fetched_at": "2026-11-21T05:00:00+00:00", "attribution_days": days}
        assert noted == any(f"of {days} days" in note for note in compare_rates(before, after).attrs["notes"])


def test_provisional_is_marked_and_partial_never_counts() -> None:
    """Unfinished intervals never count; provisional ones are marked."""
    days = pd.date_range("2026-11-16", periods=3, tz="UTC")
    frame = pd.concat([messages([100], [c]).assign(interval_start=d) for d, c in zip(days, [5, 6, 7], strict=True)])
    frame = frame.assign(is_provisional=[False, True, True], is_partial=[False, False, True])
    marked = compare_rates(frame, frame)
    assert (11, True) == (marked["numerator_after"][0], bool(marked["is_provisional"][0]))
    assert any("counts once per message and interval" in note for note in marked.attrs["notes"])


def test_impossible_counts_claim_nothing() -> None:
    """More unique clicks than delivered: the row stays, without interval and verdict, and a note tells."""
    found = compare_rates(messages([100, 100], [10, 10]), messages([100, 100], [120, 11]))
    assert np.isnan(found["low"][0])
    assert "too few to say" == found["verdict"][0]
    assert "cannot be" in found.attrs["notes"][0]
    assert 0.11 == pytest.approx(found["rate_after"][1])


def test_missing_and_wrong_arguments() -> None:
    """What is missing is named, a sum is refused, an empty by is refused."""
    frame = messages([100], [5])
    with pytest.raises(ArgumentError, match="needs the column clicks_unique"):
        compare_rates(frame.drop(columns="clicks_unique"), frame.drop(columns="clicks_unique"))
    with pytest.raises(ArgumentError, match="not a rate"):
        compare_rates(frame, frame, rate="recipients")
    with pytest.raises(ArgumentError, match="tag_id"):
        compare_rates(frame, frame, by=["tag_id"])
    with pytest.raises(ArgumentError, match="at least one column"):
        compare_rates(frame, frame, by=[])


def test_messages_that_stand_twice_are_refused() -> None:
    """A message twice in one window, or under two conversion metrics, would count twice: refused with its name."""
    frame = messages([100], [5])
    with pytest.raises(ArgumentError, match="flow_message_id=m0"):
        compare_rates(frame, pd.concat([frame, frame]))
    two = pd.concat([frame.assign(conversion_metric_id=m) for m in ("M1", "M2")])
    with pytest.raises(ArgumentError, match="2 conversion metrics"):
        compare_rates(two, two)


def test_empty_frames() -> None:
    """Nothing compared with nothing is an empty table with all columns; with something, it is all new."""
    frame = messages([100], [5])
    none = compare_rates(frame.iloc[:0], frame.iloc[:0])
    assert 0 == len(none)
    assert COLUMNS == list(none.columns[-len(COLUMNS) :])
    assert ["too few to say"] == list(compare_rates(frame.iloc[:0], frame)["verdict"])


def variations(delivered: list[int], clicks: list[int]) -> pd.DataFrame:
    """Variations of one message."""
    frame = messages(delivered, clicks, ids=["m"] * len(delivered))
    return frame.assign(variation=pd.array([f"v{i}" for i in range(len(delivered))], dtype="str"))


def test_a_clear_winner() -> None:
    """A clear winner is best by probability, by Klaviyo's rule and by verdict."""
    found = compare_variations(variations([2_000, 2_000], [100, 160]))
    assert [False, True] == list(found["is_best"])
    assert ["not the winner", "winner"] == list(found["klaviyo_rule"])
    assert ["lower", "higher"] == list(found["verdict"])
    assert found["probability_best"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("delivered", "clicks", "words"),
    [([400, 2_000], [10, 160], "under 500 recipients"), ([2_000, 2_000], [100, 105], "under 90 %"),
     ([2_000], [100], "no other variation")],
)  # fmt: skip
def test_klaviyos_rule_says_what_is_missing(delivered: list[int], clicks: list[int], words: str) -> None:
    """Without 90 % and 500 recipients each there is no winner, and the rule tells which is missing."""
    assert {words} == set(compare_variations(variations(delivered, clicks))["klaviyo_rule"])


def test_weeks_of_a_test_are_summed() -> None:
    """Several intervals are summed as trials, messages without variations take no part."""
    weeks = pd.concat([variations([500, 500], [20, 30]).assign(interval_start=pd.Timestamp(d, tz="UTC"))
                       for d in ("2026-11-09", "2026-11-16")])  # fmt: skip
    found = compare_variations(
        pd.concat([weeks, messages([10], [1]).assign(interval_start=pd.Timestamp("2026-11-09", tz="UTC"))])
    )
    assert [40, 60] == list(found["numerator"])
    assert 2 == len(found)


def test_no_variations() -> None:
    """A frame whose messages have no variation gives an empty table, one without the column names it."""
    frame = messages([10], [1]).assign(variation=pd.array([None], dtype="str"))
    assert 0 == len(compare_variations(frame))
    with pytest.raises(ArgumentError, match="variation"):
        compare_variations(messages([10], [1]))


def test_probability_best_against_simulation() -> None:
    """The integral agrees with draws from the posteriors."""
    x, n = np.array([30.0, 38.0, 41.0]), np.array([900.0, 1_000.0, 950.0])
    draws = np.random.default_rng(1).beta(x + 0.5, n - x + 0.5, size=(200_000, 3))
    expected = np.bincount(draws.argmax(axis=1), minlength=3) / len(draws)
    np.testing.assert_allclose(probability_best(x, n, np.zeros(3, dtype=int)), expected, atol=0.005)


def test_a_thousand_messages_at_once() -> None:
    """A thousand messages are compared in one call, each as it is compared alone."""
    random = np.random.default_rng(7)
    delivered = random.integers(20, 20_000, 1_000)
    before, after = (messages(list(delivered), list(random.binomial(delivered, 0.03))) for _ in range(2))
    found = compare_rates(before, after).set_index("flow_message_id")
    assert 1_000 == len(found)
    for row in (0, 617, 999):
        alone = compare_rates(before.iloc[[row]], after.iloc[[row]]).iloc[0]
        same = found.loc[alone["flow_message_id"]]
        figures = ["difference", "low", "high", "p_value"]
        assert pytest.approx(list(alone[figures]), rel=1e-9) == list(same[figures])
