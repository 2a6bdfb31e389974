"""Answers become tidy frames, or an error that names the place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowperf_helpers.errors import ArgumentError, PayloadError
from flowperf_helpers.frames import join_pages, series_frame, to_long, values_frame
from flowperf_helpers.provenance import finish_series, finish_values

SEED = Path(__file__).parent / "seed"
COPENHAGEN = "Europe/Copenhagen"


def values_payload(*results: dict[str, Any]) -> dict[str, Any]:
    return {"data": {"attributes": {"results": list(results)}}}


def result(statistics: dict[str, Any], **groupings: Any) -> dict[str, Any]:
    return {
        "groupings": {"flow_id": "f", "flow_message_id": "m", "send_channel": "email", **groupings},
        "statistics": statistics,
    }


def series_payload(labels: list[str], *results: dict[str, Any]) -> dict[str, Any]:
    return {"data": {"attributes": {"date_times": labels, "results": list(results)}}}


DAYS = ["2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00"]


def test_the_guides_values_answer_keeps_every_number() -> None:
    """The guide's values answer, placeholders and all, is two rows of its six numbers."""
    frame = values_frame((SEED / "values_response.json").read_bytes())
    expected = pd.DataFrame(
        {
            "flow_id": ["T7K2j8", "T7K2j8"],
            "flow_message_id": ["01GMRWDSA0ARTAKE1SFX8JGXAY", "01GJTHNWVG93F3KNX71SJ4FDBB"],
            "send_channel": ["email", "email"],
            "clicks": pd.array([123, 342], dtype="Int64"),
            "clicks_unique": pd.array([98, 208], dtype="Int64"),
            "conversion_uniques": pd.array([3, 10], dtype="Int64"),
        }
    )
    pd.testing.assert_frame_equal(expected, frame)


def test_the_guides_series_answer_keeps_every_number_and_its_wall_clock() -> None:
    """The guide's series answer is 2 × 3 rows; labels are read as the account's wall clock."""
    frame = series_frame((SEED / "series_response.json").read_text(), timezone=COPENHAGEN)
    assert (6, 7) == frame.shape
    assert [123, 156, 144] * 2 == frame["clicks"].tolist()
    assert [0.8253, 0.8722, 0.8398] * 2 == frame["open_rate"].tolist()
    assert pd.Timestamp("2024-01-05", tz=COPENHAGEN) == frame["interval_start"].iloc[0]
    assert "datetime64[us, Europe/Copenhagen]" == str(frame["interval_start"].dtype)


def test_null_is_not_zero() -> None:
    """A null count is NA, a null rate NaN, a zero stays zero, and a statistic that one result lacks is NA there."""
    frame = values_frame(
        values_payload(
            result({"clicks": None, "open_rate": None, "opens": 0}),
            result({"clicks": 4.0, "open_rate": 0}, flow_message_id="n"),
        )
    )
    assert [pd.NA, 4] == frame["clicks"].tolist()
    assert [0, pd.NA] == frame["opens"].tolist()
    assert np.isnan(frame["open_rate"].iloc[0])
    assert 0.0 == frame["open_rate"].iloc[1]
    assert ["Int64", "Int64", "float64"] == [str(frame[c].dtype) for c in ("clicks", "opens", "open_rate")]


def test_the_unknown_is_kept() -> None:
    """Unknown groupings, statistics and channels pass through; a list as a grouping stays readable."""
    frame = values_frame(
        values_payload(result({"new_rate": 0.5}, send_channel="pigeon", tag_id=["a", "b"], colour=None))
    )
    assert {"send_channel": "pigeon", "tag_id": '["a", "b"]', "new_rate": 0.5} == frame[
        ["send_channel", "tag_id", "new_rate"]
    ].iloc[0].to_dict()
    assert pd.isna(frame["colour"].iloc[0])


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (b"<html>", "/"),
        ({"data": []}, "/data"),
        ({"data": {"attributes": None}}, "/data/attributes"),
        ({"data": {"attributes": {"results": {}}}}, "/data/attributes/results"),
        (values_payload({"groupings": {}}), "/data/attributes/results/0/statistics"),
        (values_payload(result({"clicks": "12"})), "/data/attributes/results/0/statistics/clicks"),
        (values_payload(result({"clicks": True})), "/data/attributes/results/0/statistics/clicks"),
        (values_payload(result({"clicks": 1.5})), "/data/attributes/results/0/statistics/clicks"),
        (values_payload(result({"open_rate": float("inf")})), "/data/attributes/results/0/statistics/open_rate"),
        (values_payload(result({"clicks": 1}), result({"clicks": 1})), "/data/attributes/results/1/groupings"),
    ],
)
def test_values_of_another_shape_are_refused_with_the_place(payload: Any, place: str) -> None:
    """What cannot be read is a PayloadError that names the JSON pointer."""
    with pytest.raises(PayloadError) as caught:
        values_frame(payload)
    assert place == caught.value.place


@pytest.mark.parametrize(
    ("labels", "array", "place"),
    [
        (DAYS, [1, 2], "/data/attributes/results/0/statistics/clicks"),
        (DAYS, 3, "/data/attributes/results/0/statistics/clicks"),
        (DAYS, [1, "2", 3], "/data/attributes/results/0/statistics/clicks/1"),
        (["monday"], [1], "/data/attributes/date_times"),
        (None, [1], "/data/attributes/date_times"),
        ([DAYS[0], DAYS[0]], [1, 2], "/data/attributes/date_times"),
    ],
)
def test_series_of_another_shape_are_refused_with_the_place(labels: Any, array: Any, place: str) -> None:
    """Arrays of another length than date_times, and labels that are no times, are refused."""
    with pytest.raises(PayloadError) as caught:
        series_frame(series_payload(labels, result({"clicks": array})))
    assert place == caught.value.place


@pytest.mark.parametrize("shape", [values_payload(), series_payload(DAYS)])
def test_an_empty_answer_has_the_columns_of_a_full_one(shape: dict[str, Any]) -> None:
    """No results is no rows, with the groupings and dtypes in place."""
    frame = (series_frame if "date_times" in shape["data"]["attributes"] else values_frame)(shape, COPENHAGEN)
    assert 0 == len(frame)
    assert ["flow_id", "flow_message_id", "send_channel"] == list(frame.columns[:3])
    assert {"str"} == {str(frame[c].dtype) for c in frame.columns[:3]}


@given(groups=st.integers(0, 5), days=st.integers(0, 6), seed=st.integers(0, 99))
def test_rows_are_groups_times_intervals(groups: int, days: int, seed: int) -> None:
    """A series has groups × intervals rows, and its counts add up to what was sent."""
    numbers = np.random.default_rng(seed).integers(0, 50, (groups, days)).tolist()
    labels = [f"2026-11-{d + 1:02d}T00:00:00+00:00" for d in range(days)]
    frame = series_frame(
        series_payload(labels, *(result({"clicks": row}, flow_message_id=f"m{i}") for i, row in enumerate(numbers)))
    )
    assert groups * days == len(frame)
    if groups:
        assert sum(map(sum, numbers)) == frame["clicks"].sum()


def test_a_repeated_hour_is_read_as_two_hours() -> None:
    """When the clock falls back, the hour that comes twice is first summer, then winter time."""
    labels = [f"2026-10-25T0{h}:00:00+00:00" for h in (1, 2, 2, 3)]
    frame = series_frame(series_payload(labels, result({"clicks": [1, 2, 3, 4]})), COPENHAGEN)
    assert [1.0, 1.0, 1.0] == (frame["interval_start"].diff().dropna() / pd.Timedelta(hours=1)).tolist()


def test_pages_join_only_when_their_intervals_agree() -> None:
    """Two pages are one answer; a page with other date_times is refused."""
    first, second = (series_payload(DAYS, result({"clicks": [1, 2, 3]}, flow_message_id=m)) for m in "ab")
    assert 6 == len(series_frame(join_pages([json.dumps(first).encode(), second])))
    other = copy.deepcopy(second)
    other["data"]["attributes"]["date_times"] = DAYS[:2]
    with pytest.raises(PayloadError, match="other intervals"):
        join_pages([first, other])


def finished(labels: list[str], interval: str, *, asked: str, bounds: tuple[str, str] | None = None) -> pd.DataFrame:
    frame = series_frame(series_payload(labels, result({"clicks": [1] * len(labels)})), COPENHAGEN)
    ends = (pd.NaT, pd.NaT) if bounds is None else tuple(pd.Timestamp(b, tz=COPENHAGEN) for b in bounds)
    return finish_series(
        frame,
        statistics=["open_rate", "clicks"],
        conversion_metric_id="m",
        interval=interval,
        bounds=ends,  # type: ignore[arg-type]
        asked_at=pd.Timestamp(asked, tz=COPENHAGEN),
        attribution_days=5,
    )


def test_the_columns_of_a_finished_series_stand_in_the_fixed_order() -> None:
    """Groupings, time, provenance, then the statistics in the order asked, missing ones as NA."""
    frame = finished(DAYS, "daily", asked="2026-11-23")
    assert [
        "flow_id", "flow_message_id", "send_channel", "interval_start", "interval_end", "is_partial", "is_provisional",
        "conversion_metric_id", "open_rate", "clicks",
    ] == list(frame.columns)  # fmt: skip
    assert frame["open_rate"].isna().all()
    assert "bool" == str(frame["is_partial"].dtype)


def test_recent_days_are_provisional_and_the_running_one_partial() -> None:
    """A day is partial while it runs and provisional until five days after its end."""
    labels = [f"2026-11-{d:02d}T00:00:00+00:00" for d in range(16, 24)]
    frame = finished(labels, "daily", asked="2026-11-23 06:00")
    assert [False] * 7 + [True] == frame["is_partial"].tolist()
    assert [False, False, True, True, True, True, True, True] == frame["is_provisional"].tolist()


def test_a_day_lasts_until_the_next_midnight_of_the_account() -> None:
    """The day the clock falls back has 25 hours, the one it springs forward 23."""
    for day, hours in (("2026-10-25", 25), ("2026-03-29", 23)):
        frame = finished([f"{day}T00:00:00+00:00"], "daily", asked="2026-11-23")
        assert hours == (frame["interval_end"] - frame["interval_start"]).iloc[0] / pd.Timedelta(hours=1)


def test_an_interval_that_the_window_cuts_is_partial() -> None:
    """A week cut by the window's end ends there and is marked; whole weeks are not."""
    labels = ["2026-11-02T00:00:00+00:00", "2026-11-09T00:00:00+00:00"]
    frame = finished(labels, "weekly", asked="2026-12-23", bounds=("2026-11-02", "2026-11-12"))
    assert [False, True] == frame["is_partial"].tolist()
    assert pd.Timestamp("2026-11-12", tz=COPENHAGEN) == frame["interval_end"].iloc[1]


def test_an_empty_finished_frame_has_every_column_and_dtype() -> None:
    """No rows, the same columns and dtypes as with rows."""
    kwargs: dict[str, Any] = {
        "statistics": ["clicks", "open_rate"],
        "conversion_metric_id": "m",
        "bounds": (pd.Timestamp("2026-11-01", tz=COPENHAGEN), pd.Timestamp("2026-11-04", tz=COPENHAGEN)),
    }
    more = {"interval": "daily", "asked_at": pd.Timestamp("2026-11-23", tz=COPENHAGEN), "attribution_days": 5}
    row = {"clicks": [1, 2, 3], "open_rate": [0.1, 0.2, 0.3]}
    full = finish_series(series_frame(series_payload(DAYS, result(row)), COPENHAGEN), **kwargs, **more)
    none = finish_series(series_frame(series_payload(DAYS), COPENHAGEN), **kwargs, **more)
    assert full.dtypes.to_dict() == none.dtypes.to_dict()
    zone = full["interval_start"].dt.tz
    value = finish_values(values_frame(values_payload(result({"clicks": 1, "open_rate": 0.1}))), zone=zone, **kwargs)
    empty = finish_values(values_frame(values_payload()), zone=zone, **kwargs)
    assert value.dtypes.to_dict() == empty.dtypes.to_dict()


def test_long_frames_have_a_row_per_statistic() -> None:
    """to_long keeps keys, names each number, and leaves the unknown unknown."""
    long = to_long(values_frame(values_payload(result({"clicks": None, "open_rate": 0.5}))))
    assert ["clicks", "open_rate"] == long["statistic"].tolist()
    assert np.isnan(long["value"].iloc[0])
    assert 0.5 == long["value"].iloc[1]
    with pytest.raises(ArgumentError, match="flow_id"):
        to_long(pd.DataFrame({"flow_id": ["a"]}))
