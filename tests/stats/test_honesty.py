"""Nothing disappears, nothing absent becomes 0, and what changed is told."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowperf_helpers import connect
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.sandbox import SANDBOX_NOW
from flowperf_helpers.stats.data_quality import coverage_table, reconcile, restatements

ZONE = "Europe/Copenhagen"

FLOWS = pd.DataFrame(
    {
        "flow_id": pd.array(["live", "draft", "archived", "bare"], dtype="str"),
        "flow_name": pd.array(["Live", "Draft", "Archived", "Bare"], dtype="str"),
        "flow_status": pd.array(["live", "draft", "live", "live"], dtype="str"),
        "archived": pd.array([False, False, True, None], dtype="boolean"),
    }
)
MESSAGES = pd.DataFrame(
    {
        "flow_id": pd.array(["live", "live", "live", "draft", "archived"], dtype="str"),
        "flow_message_id": pd.array(["m1", "m2", "m3", "m4", "m5"], dtype="str"),
        "flow_message_name": pd.array(["One", "Two", "Three", "Four", "Five"], dtype="str"),
        "send_channel": pd.array(["email", "sms", "email", "email", "email"], dtype="str"),
        "action_status": pd.array(["live", "live", "draft", "draft", "live"], dtype="str"),
    }
)
ANSWER = pd.DataFrame(
    {
        "flow_id": pd.array(["gone", "live"], dtype="str"),
        "flow_message_id": pd.array(["m9", "m1"], dtype="str"),
        "send_channel": pd.array(["email", "email"], dtype="str"),
        "conversion_metric_id": pd.array(["M", "M"], dtype="str"),
        "recipients": pd.array([7, 5], dtype="Int64"),
        "opens": pd.array([3, None], dtype="Int64"),
        "conversion_value": [2.5, np.nan],
    }
)


def reasons(found: pd.DataFrame) -> dict[str, str]:
    keys = found["flow_message_id"].fillna(found["flow_id"])
    return dict(zip(keys, found["reason"], strict=True))


def test_every_message_has_a_row_and_a_reason() -> None:
    """Discovered and answered rows are all there, each with the reason of its numbers."""
    found = coverage_table(FLOWS, MESSAGES, ANSWER)
    expected = {"m1": "sent", "m2": "no sends in the window", "m3": "draft", "m4": "draft", "m5": "archived",
                "bare": "no sends in the window", "m9": "sent"}  # fmt: skip
    assert expected == reasons(found)
    assert ["live", "live", "live", "draft", "archived", "bare", "gone"] == found["flow_id"].tolist()
    assert [False] == found.loc[found["flow_id"] == "gone", "is_discovered"].tolist()
    assert found.loc[found["flow_id"] != "gone", "is_discovered"].all()


def test_absent_is_na_and_sent_stays() -> None:
    """Numbers stand as Klaviyo sent them, dtypes too; a row it did not send has NA, never 0."""
    found = coverage_table(FLOWS, MESSAGES, ANSWER).set_index("flow_message_id")
    assert 5 == found.loc["m1", "recipients"]
    assert "Int64" == str(found["recipients"].dtype)
    assert found.loc[["m2", "m3", "m4", "m5"], ["recipients", "opens", "conversion_value"]].isna().all(axis=None)
    assert ("One", "Live") == (found.loc["m1", "flow_message_name"], found.loc["m1", "flow_name"])


def test_zero_recipients() -> None:
    """A row that Klaviyo sent with no recipients had no sends."""
    zero = ANSWER.assign(recipients=pd.array([0, None], dtype="Int64"))
    found = reasons(coverage_table(FLOWS, MESSAGES, zero))
    assert ("no sends in the window", "sent") == (found["m9"], found["m1"])


def test_variations_and_duplicates() -> None:
    """Several rows of one message all stay; a flow or message discovered twice makes no second row."""
    two = pd.concat([ANSWER, ANSWER]).assign(variation=pd.array(["a", "a", "b", "b"], dtype="str"))
    found = coverage_table(pd.concat([FLOWS, FLOWS]), pd.concat([MESSAGES, MESSAGES]), two)
    assert 4 == (found["reason"] == "sent").sum()
    assert 9 == len(found)
    assert "variation" in found.columns[:8]


def test_nothing_at_all() -> None:
    """Empty frames give an empty frame; an account of drafts gives its drafts; attrs stay."""
    empty = coverage_table(FLOWS.head(0), MESSAGES.head(0), ANSWER.head(0))
    assert 0 == len(empty)
    assert "Int64" == str(empty["recipients"].dtype)
    answer = ANSWER.head(0)
    answer.attrs = {"account": "sandbox"}
    drafts = coverage_table(FLOWS.iloc[[1]], MESSAGES.iloc[[3]], answer)
    assert ["draft"] == drafts["reason"].tolist()
    assert {"account": "sandbox"} == drafts.attrs
    with pytest.raises(ArgumentError, match="coverage_table.*archived"):
        coverage_table(FLOWS.drop(columns="archived"), MESSAGES, ANSWER)


# --- reconcile ----------------------------------------------------------------------------------------------------


def daily(counts: dict[str, list[int | None]], first: date = date(2026, 11, 16), **columns: object) -> pd.DataFrame:
    days = len(next(iter(counts.values())))
    starts = pd.date_range(first, periods=days + 1, tz=ZONE).as_unit("us")
    parts = []
    for message, values in counts.items():
        part = pd.DataFrame({"flow_id": "F", "flow_message_id": message}, index=range(days))
        part["interval_start"], part["interval_end"] = starts[:-1], starts[1:]
        part["is_partial"] = part["is_provisional"] = False
        part["conversions"] = pd.array(values, dtype="Int64")
        parts.append(part)
    return pd.concat(parts, ignore_index=True).assign(**columns)


def total(counts: dict[str, int | None]) -> pd.DataFrame:
    frame = pd.DataFrame({"flow_id": "F", "flow_message_id": list(counts)})
    frame["window_start"] = pd.Timestamp("2026-11-16", tz=ZONE)
    frame["window_end"] = pd.Timestamp("2026-11-23", tz=ZONE)
    frame["conversions"] = pd.array(list(counts.values()), dtype="Int64")
    return frame


def test_equal_reports_agree() -> None:
    """Values equal to the summed days agree; days outside the values' window are not summed."""
    series = pd.concat([daily({"a": [1] * 7, "b": [0] * 7}), daily({"a": [50]}, date(2026, 11, 15))])
    found = reconcile(total({"a": 7}), series)
    assert found["agrees"].all()
    assert [7.0, 7.0, 0.0] == found.loc[found["flow_message_id"] == "a", ["values", "series_sum", "difference"]].iloc[
        0
    ].tolist()
    assert [""] == found["reasons"].unique().tolist()


def test_reasons_in_order() -> None:
    """Where they differ the reason with evidence comes first, and what the frames exclude is not named."""
    values, series = total({"a": 9}), daily({"a": [1] * 7})
    assert "attributed anew" in reconcile(values, series).loc[0, "reasons"]
    assert "filling" not in reconcile(values, series).loc[0, "reasons"]
    young = series.assign(is_provisional=True)
    assert reconcile(values, young).loc[0, "reasons"].startswith("recent intervals were still filling")
    assert reconcile(values, daily({"a": [1] * 6})).loc[0, "reasons"].startswith("the intervals do not cover")
    split = series.assign(variation="x")
    assert reconcile(values, split).loc[0, "reasons"].startswith("variations or tags")
    values.attrs["timezone"], series.attrs["timezone"] = "UTC", ZONE
    assert "time zones" in reconcile(values, series).loc[0, "reasons"].split("; ")[0]


def test_missing_side() -> None:
    """A group that only one report has disagrees, unless its numbers are zero."""
    found = reconcile(total({"a": 3, "z": 0}), daily({"b": [2] * 7, "c": [0] * 7}))
    agrees = dict(zip(found["flow_message_id"], found["agrees"], strict=True))
    assert {"a": False, "b": False, "c": True, "z": True} == agrees
    assert found.loc[found["flow_message_id"] == "b", "values"].isna().all()


@given(
    st.lists(st.lists(st.integers(0, 500), min_size=7, max_size=7), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
@settings(max_examples=30, deadline=None)
def test_summing_is_what_it_does(days: list[list[int]], random: Random) -> None:
    """A values report made by summing the series agrees with it, in any order of rows."""
    counts = {f"m{i}": list(values) for i, values in enumerate(days)}
    series = daily(counts)  # type: ignore[arg-type]
    series = series.iloc[random.sample(range(len(series)), len(series))]
    assert reconcile(total({m: sum(v) for m, v in counts.items()}), series)["agrees"].all()


def test_reconcile_refuses() -> None:
    """Frames without a common sum, without intervals, or a negative tolerance are refused by name."""
    with pytest.raises(ArgumentError, match="no statistic in common"):
        reconcile(total({"a": 1}).rename(columns={"conversions": "opens_unique"}), daily({"a": [1]}))
    with pytest.raises(ArgumentError, match="interval_start"):
        reconcile(total({"a": 1}), total({"a": 1}))
    with pytest.raises(ArgumentError, match="tolerance"):
        reconcile(total({"a": 1}), daily({"a": [1]}), tolerance=-1)


# --- restatements -------------------------------------------------------------------------------------------------


def asked(counts: list[int | None], when: str, **columns: object) -> pd.DataFrame:
    frame = daily({"a": counts}, **columns)
    return frame.assign(fetched_at=pd.Timestamp(when, tz="UTC").as_unit("us"), flow_message_name="A")


def test_changes_between_consecutive_snapshots() -> None:
    """Each change between neighbours in time is one row, NA to a number too; equal numbers are none."""
    history = pd.concat(
        [
            asked([5, None, 7], "2026-11-25T06:00", is_provisional=False),
            asked([4, None, 7], "2026-11-23T06:00", is_provisional=True),
            asked([5, 2, 7], "2026-11-30T06:00", is_provisional=False),
        ]
    )
    found = restatements(history)
    assert [16, 17] == found["interval_start"].dt.day.tolist()
    assert [4.0, 5.0, 1.0, 2.0] == found.loc[0, ["before", "after", "change", "days_between"]].tolist()
    assert np.isnan(found.loc[1, "before"])
    assert [2.0, 5.0] == found.loc[1, ["after", "days_between"]].tolist()
    assert [True, False] == found["was_provisional"].tolist()
    assert ["A", "A"] == found["flow_message_name"].tolist()
    assert 3 == found.attrs["snapshots"]


def test_renamed_messages_and_other_lengths() -> None:
    """A new name is no new row, and a week is never compared with a day that starts when it does."""
    day = asked([4], "2026-11-23T06:00")
    renamed = asked([5], "2026-11-24T06:00").assign(flow_message_name="B")
    week = asked([40], "2026-11-24T06:00").assign(interval_end=pd.Timestamp("2026-11-23", tz=ZONE))
    found = restatements(pd.concat([day, renamed, week]))
    assert [("B", 1.0)] == list(zip(found["flow_message_name"], found["change"], strict=True))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6), st.randoms(use_true_random=False)
)
@settings(max_examples=40, deadline=None)
def test_changes_add_up(snapshots: list[tuple[int, int]], random: Random) -> None:
    """All changes of a bucket add up to last less first, whatever the order of rows."""
    parts = [asked(list(c), f"2026-12-{i + 1:02d}T06:00") for i, c in enumerate(snapshots)]
    random.shuffle(parts)  # type: ignore[attr-defined]
    found = restatements(pd.concat(parts))
    for place, day in enumerate((16, 17)):
        change = found.loc[found["interval_start"].dt.day == day, "change"].sum()
        assert snapshots[-1][place] - snapshots[0][place] == change


def test_no_history() -> None:
    """No snapshots, one snapshot and unchanged snapshots give an empty frame with its columns."""
    one = asked([1, 2], "2026-11-23T06:00")
    for history in (one.head(0), one, pd.concat([one, asked([1, 2], "2026-11-24T06:00")])):
        found = restatements(history)
        assert 0 == len(found)
        assert {"statistic", "before", "after", "change", "asked_before", "asked_after", "days_between"} <= set(
            found.columns
        )
    with pytest.raises(ArgumentError, match="fetched_at"):
        restatements(one.drop(columns="fetched_at"))


def test_a_million_rows() -> None:
    """Of a million rows of history each change is found, once."""
    n = 1_000_000
    history = pd.DataFrame(
        {
            "flow_id": pd.array(np.repeat([f"f{i}" for i in range(100)], n // 100), dtype="str"),
            "interval_start": np.tile(
                np.repeat(pd.date_range("2024-01-01", periods=1000, tz="UTC").as_unit("us"), 10), 100
            ),
            "fetched_at": np.tile(pd.date_range("2026-11-01", periods=10, tz="UTC").as_unit("us"), n // 10),
            "conversions": pd.array(np.arange(n) % 20 // 11, dtype="Int64"),
        }
    )
    found = restatements(history)
    assert 50_000 == len(found)


# --- on the sandbox -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """One week of the sandbox in several shapes, asked once more a day later."""
    moment = {"now": SANDBOX_NOW}
    account = connect("sandbox", now=lambda: moment["now"], home=tmp_path_factory.mktemp("home"))
    asked = {"conversion_metric_id": "RplOrd", "timeframe": "2026-W47", "statistics": ["recipients", "conversions"]}
    people = ("flow_id", "flow_message_id", "send_channel")
    found = {
        "values": account.flow_values(**asked),
        "variations": account.flow_values(**asked, group_by=[*people, "variation"]),
        "tags": account.flow_values(**asked, group_by=[*people, "tag_id"]),
        "daily": account.flow_series(**asked, interval="daily"),
        "weekly": account.flow_series(**asked, interval="weekly"),
        "flows": account.flows(),
    }
    found["messages"] = account.messages(list(found["flows"]["flow_id"]))
    moment["now"] = SANDBOX_NOW + timedelta(days=1)
    account.flow_series(**asked, interval="daily", refresh=True)
    found["history"] = account.history(kind="series")
    return found


@pytest.mark.parametrize("shape", ["values", "variations", "tags"])
def test_sandbox_reports_agree(week: dict[str, pd.DataFrame], shape: str) -> None:
    """A week's values equal its days and its weekly bucket, also when split by variation or repeated by tag."""
    for series in ("daily", "weekly"):
        found = reconcile(week[shape], week[series])
        assert found["agrees"].all()
        assert {"recipients", "conversions"} == set(found["statistic"])


def test_sandbox_rows_have_reasons(week: dict[str, pd.DataFrame]) -> None:
    """All messages and flows of the account are there, with each reason the week gives."""
    found = coverage_table(week["flows"], week["messages"], week["values"])
    assert set(week["flows"]["flow_id"]) <= set(found["flow_id"])
    assert set(week["messages"]["flow_message_id"]) <= set(found["flow_message_id"])
    assert {"sent", "no sends in the window", "draft", "archived"} == set(found["reason"])
    assert found.loc[found["reason"] != "sent", "recipients"].isna().all()
    assert week["values"]["recipients"].sum() == found["recipients"].sum()


def test_sandbox_restates_young_days_only(week: dict[str, pd.DataFrame]) -> None:
    """A day later only days inside the attribution window have changed, and they only grew."""
    found = restatements(week["history"])
    assert len(found)
    assert found["was_provisional"].all()
    assert (found["change"] > 0).all()
    assert {"conversions"} == set(found["statistic"])
    assert found["interval_end"].min() > SANDBOX_NOW - timedelta(days=6)


def test_an_account_of_drafts(tmp_path: Path) -> None:
    """Where all flows are drafts each row says so, and no number is made up."""
    account = connect("sandbox", variant="drafts_only", home=tmp_path)
    flows = account.flows()
    answer = account.flow_values(conversion_metric_id="RplOrd", timeframe="2026-W47", statistics=["recipients"])
    found = coverage_table(flows, account.messages(list(flows["flow_id"])), answer)
    assert {"draft"} == set(found["reason"])
    assert found["recipients"].isna().all()
