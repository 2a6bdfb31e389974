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
from flowperf_helpers.frames import payloads
from flowperf_helpers.frames.provenance import finish_series, finish_values
from flowperf_helpers.frames.reports import join_pages, series_frame, to_long, values_frame

SEED = Path(__file__).parents[1] / "seed"
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


@pytest.mark.parametrize(
    ("zone", "skipped"),
    [
        ("Africa/Cairo", "2026-04-24"),
        ("America/Santiago", "2026-09-06"),
        ("Asia/Beirut", "2026-03-29"),
        ("America/Havana", "2026-03-08"),
    ],
)
@pytest.mark.parametrize("interval", ["daily", "weekly", "monthly"])
def test_a_day_without_a_midnight_becomes_final(zone: str, skipped: str, interval: str) -> None:
    """Where the clock skips midnight, the interval still ends at a midnight, and is final once that is long ago."""
    step = {"daily": pd.DateOffset(days=1), "weekly": pd.DateOffset(weeks=1), "monthly": pd.DateOffset(months=1)}
    days = [pd.Timestamp(skipped) + n * step[interval] for n in (-1, 0, 1, 2)]
    labels = [f"{day:%Y-%m-%d}T00:00:00+00:00" for day in days[:3]]
    frame = finish_series(
        series_frame(series_payload(labels, result({"clicks": [1, 2, 3]})), zone),
        statistics=["clicks"],
        conversion_metric_id="m",
        interval=interval,
        bounds=(pd.NaT, pd.NaT),  # type: ignore[arg-type]
        asked_at=pd.Timestamp("2027-03-01", tz=zone),
        attribution_days=5,
    )
    assert pd.Timestamp(f"{skipped} 01:00", tz=zone) == frame["interval_start"].iloc[1]
    assert [days[2].tz_localize(zone), days[3].tz_localize(zone)] == list(frame["interval_end"].iloc[1:])
    assert not frame[["is_partial", "is_provisional"]].any(axis=None)


HALF = "Hi \ud83d"


@pytest.mark.parametrize("decoded", [True, False])
def test_half_an_emoji_is_replaced(decoded: bool) -> None:
    """A surrogate without its partner becomes U+FFFD, in values and in keys; a whole emoji stays."""
    payload = values_payload(
        result({"clicks": 1, HALF: 2}, flow_name=HALF, tag_name="\U0001f600", **{f"2{HALF}": [HALF]})
    )
    frame = values_frame(payload if decoded else json.dumps(payload).encode())
    assert ["Hi \ufffd", "\U0001f600"] == [frame["flow_name"].iloc[0], frame["tag_name"].iloc[0]]
    assert ["clicks", "Hi \ufffd"] == frame.attrs["statistics"]
    assert '["Hi \ufffd"]' == frame["2Hi \ufffd"].iloc[0]


def test_keys_and_statistics_that_are_told_apart_by_half_an_emoji_are_refused() -> None:
    """Two names that become the same once they are whole are not merged."""
    with pytest.raises(PayloadError, match="told apart"):
        values_frame(b'{"data":{"attributes":{"results":[{"groupings":{},"statistics":{"x\\ud83d":1,"x\\ud83e":2}}]}}}')


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 0])
def test_integers_stay_integers(number: int) -> None:
    """A count beyond what a float holds is kept to the last digit, beside a null as well as beside a float."""
    row = json.dumps(series_payload(DAYS, result({"clicks": [number, None, 3.0]}))).encode()
    assert [number, pd.NA, 3] == series_frame(row)["clicks"].tolist()
    assert [number] == values_frame(values_payload(result({"clicks": number})))["clicks"].tolist()


@pytest.mark.parametrize("name", ["clicks", "open_rate", "conversion_value", "a_new_one"])
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400])
def test_what_is_not_a_number_is_refused_with_its_place(name: str, text: str) -> None:
    """Neither NaN nor what no float holds passes for a missing value."""
    body = json.dumps(series_payload(DAYS, result({name: [1, "here", None]}))).replace('"here"', text)
    with pytest.raises(PayloadError) as caught:
        series_frame(body)
    assert f"/data/attributes/results/0/statistics/{name}/1" == caught.value.place


@pytest.mark.parametrize("count", [-1, -0.5, 2**63, -(2**63) - 1, 2.0**53, 1e18, float("nan")])
def test_counts_that_cannot_be_are_refused(count: float) -> None:
    """Negative counts, those beyond 64 bits, and floats that skip whole numbers."""
    with pytest.raises(PayloadError, match="clicks, which cannot be") as caught:
        values_frame(values_payload(result({"clicks": count})))
    assert "/data/attributes/results/0/statistics/clicks" == caught.value.place


def test_an_unusual_rate_is_kept_and_noted() -> None:
    """A rate outside 0 to 1 stays as it came, and the frame says where; a negative amount is a refund."""
    rows = [result({"open_rate": [0, 0.5, 1], "conversion_value": [-5, 1, 2]})]
    assert "notes" not in series_frame(series_payload(DAYS, *rows)).attrs
    rows += [result({"open_rate": [1.25, None, -0.1], "conversion_value": [0, 0, 0]}, flow_message_id="n")]
    frame = series_frame(series_payload(DAYS, *rows))
    assert [1.25, -0.1] == [frame["open_rate"].iloc[3], frame["open_rate"].iloc[5]]
    (note,) = frame.attrs["notes"]
    assert "2 of 6 values of open_rate" in note
    assert "/data/attributes/results/1/statistics/open_rate/0" in note


def test_an_object_with_one_key_twice_is_refused() -> None:
    """Readers differ in which of the two they take."""
    body = json.dumps(values_payload(result({"clicks": 1}), result({"clicks": 2, "opens": 7}, flow_message_id="n")))
    with pytest.raises(PayloadError, match="twice in one object") as caught:
        values_frame(body.replace('"opens"', '"clicks"'))
    assert "/data/attributes/results/1/statistics/clicks" == caught.value.place


@pytest.mark.parametrize(
    "label",
    ["now", "today", "", "2026-13-01", "2026-02-30T00:00:00", "9999-12-31T00:00:00+00:00", "0001-01-01", "20261101",
     "2026-11-01T25:00:00", "２０２６-11-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00 or so", "2026-W47"],
)  # fmt: skip
def test_labels_that_name_no_time_are_refused(label: str) -> None:
    """Only a date, with or without a time of day, in years that an account can have."""
    with pytest.raises(PayloadError) as caught:
        series_frame(series_payload([label, *DAYS], result({"clicks": [1, 2, 3, 4]})), COPENHAGEN)
    assert "/data/attributes/date_times" == caught.value.place


@pytest.mark.parametrize("label", ["2026-01-01T00:00Z", "2026-01-01", "2026-01-01T00:00:00.000000+02:00"])
def test_a_label_is_read_as_the_wall_clock_it_shows(label: str) -> None:
    """Without seconds, without a time of day, with another offset: the account's clock shows that."""
    frame = series_frame(series_payload([label], result({"clicks": [1]})), COPENHAGEN)
    assert [pd.Timestamp("2026-01-01", tz=COPENHAGEN)] == frame["interval_start"].tolist()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "Europe", "../etc/passwd", "\ud83d"])
@pytest.mark.parametrize("frame_of", [values_frame, series_frame])
def test_an_unknown_zone_is_an_argument_error(zone: str, frame_of: Any) -> None:
    """Before anything is read."""
    with pytest.raises(ArgumentError, match="not a time zone"):
        frame_of(series_payload(DAYS), zone)


@pytest.mark.parametrize(
    ("row", "place"),
    [
        (result({"opens": 1}, clicks="x"), "groupings/clicks"),
        (result({"new": 1}, new="x"), "groupings/new"),
        (result({"flow_name": 1}), "statistics/flow_name"),
        (result({"interval_start": 1}), "statistics/interval_start"),
        (result({"opens": 1}, is_partial="x"), "groupings/is_partial"),
        (result({"opens": 1}, tag_id=float("nan")), "groupings/tag_id"),
    ],
)
def test_names_that_would_make_two_columns_are_refused(row: dict[str, Any], place: str) -> None:
    """A grouping named like a statistic, a statistic named like a grouping or like a column of ours."""
    with pytest.raises(PayloadError) as caught:
        values_frame(values_payload(row))
    assert f"/data/attributes/results/0/{place}" == caught.value.place


def test_deep_answers_are_refused() -> None:
    """Nesting that no reader can follow is an error of ours, wherever it stands."""
    deep = "[" * 100_000 + "]" * 100_000
    whole = json.dumps(values_payload(result({"clicks": 1}, tag_id="here")))
    for body in (deep, whole.replace('"here"', deep), whole.replace("1", deep)):
        with pytest.raises(PayloadError):
            values_frame(body)
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    for payload in (values_payload(result({"clicks": nested})), values_payload(result({"clicks": 1}, tag_id=nested))):
        with pytest.raises(PayloadError):
            values_frame(payload)


def test_long_frames_keep_a_grouping_that_is_called_value() -> None:
    """to_long does not write over a column."""
    with pytest.raises(ArgumentError, match="a column value"):
        to_long(values_frame(values_payload(result({"opens": 1}, value="x"))))


def test_a_series_holds_a_long_name_once() -> None:
    """Rows that repeat a name share it, whole: 60 intervals of a name of 100,000 characters are one text."""
    name = "å" * 100_000
    labels = [f"2026-{month:02d}-01T00:00:00+00:00" for month in range(1, 13)]
    rows = [result({"clicks": [1] * 12}, flow_name=name, flow_message_id=m) for m in "ab"]
    frame = series_frame(json.dumps(series_payload(labels, *rows)))
    assert {name} == set(frame["flow_name"])
    assert 2 >= len({id(cell) for cell in frame["flow_name"].to_numpy()})
    assert "str" == str(frame["flow_name"].dtype)
    assert "str" == str(pd.concat([frame, frame.iloc[:0]])["flow_name"].dtype)


# --- long answers, whose numbers are not read one by one ------------------------------------------------------------


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Read every series as if it were long, in pieces of a few results; the list tells which way each body took."""
    taken: list[str] = []
    decoded = payloads._Series.decoded

    def watched(self: Any) -> Any:
        found = decoded(self)
        taken.append("in pieces")
        return found

    monkeypatch.setattr(payloads, "_SHORT", 0)
    monkeypatch.setattr(payloads, "_PIECE", 300)
    monkeypatch.setattr(payloads._Series, "decoded", watched)
    return taken


def several(**statistics: list[Any]) -> list[dict[str, Any]]:
    """Seven messages: the first and the last have the arrays given, those between plain ones."""
    plain: dict[str, list[Any]] = {"clicks": [1, 2, 3], "open_rate": [0.1, 0.25, 0.3], "new": [1, 2.5, 3]}
    return [
        result(plain | (statistics if i in (0, 6) else {}), flow_message_id=f"m{i}", flow_name=f"[Email] {i}")
        for i in range(7)
    ]


def same(body: bytes | str, zone: str = COPENHAGEN) -> pd.DataFrame:
    """Bytes give what the decoded answer gives: values to the last bit, dtypes, order, attrs."""
    expected, found = series_frame(json.loads(body), zone), series_frame(body, zone)
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    for name in found.attrs["statistics"]:
        one, other = expected[name].array, found[name].array
        assert type(one) is type(other)
        if isinstance(one, pd.arrays.IntegerArray):
            assert one._data.tobytes() == other._data.tobytes()
            assert one._mask.tobytes() == other._mask.tobytes()
        else:
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert expected.attrs == found.attrs
    return found


@pytest.mark.parametrize(
    "statistics",
    [
        {},
        {"clicks": [None, 2, 3]},
        {"clicks": [2.0, 2, 3.0]},
        {"clicks": [2**53 + 1, 2**63 - 1, 0]},
        {"open_rate": [None, None, None]},
        {"open_rate": [0, 1, 1]},
        {"open_rate": [1e-320, 0.1 + 0.2, 5e-324], "conversion_value": [-0.0, 1.7e308, -5]},
        {"open_rate": [1.5, 0, -1]},
        {"conversion_value": [2**53 + 1, 2**63, 2**64 - 1]},
        {"conversion_value": [10**30, 0, 0]},
    ],
)
@pytest.mark.parametrize("compact", [False, True])
def test_a_long_series_is_what_its_numbers_say(statistics: dict[str, Any], compact: bool, in_pieces: list[str]) -> None:
    """Read in pieces or one by one: the same frame, also with nulls, whole numbers among fractions, and brackets."""
    payload = series_payload(DAYS, *several(**statistics)) | {"links": {"next": None}, "more": [{"a": [1]}]}
    body = json.dumps(payload, separators=(",", ":") if compact else None)
    assert 21 == len(same(body))
    assert 21 == len(same(body.encode()))
    huge = any(number == 10**30 for array in statistics.values() for number in array)
    assert ([] if huge else ["in pieces"] * 2) == in_pieces


def test_a_repeated_hour_is_the_same_in_a_long_series(in_pieces: list[str]) -> None:
    """Also with an array missing, or null as a whole."""
    labels = [f"2026-10-25T0{h}:00:00+00:00" for h in (1, 2, 2, 3)]
    rows = [result({"clicks": [1, 2, 3, 4]}), result({"clicks": None, "opens": [1, 2, 3, 4]}, flow_message_id="n")]
    frame = same(json.dumps(series_payload(labels, *rows)))
    assert 1 == len(in_pieces)
    assert [1.0, 1.0, 1.0] == (frame["interval_start"].iloc[:4].diff().dropna() / pd.Timedelta(hours=1)).tolist()
    assert [4, 4] == frame[["clicks", "opens"]].isna().sum().tolist()


@pytest.mark.parametrize(
    ("number", "becomes"),
    [
        ("[7, 8, 9]", "[[7], 8, 9]"),
        ("[7, 8, 9]", "[7, [8], []]"),
        ("[7, 8, 9]", "[7, [8, 9]]"),
        ("[7, 8, 9]", "[7, -8, 9]"),
        ("[7, 8, 9]", "[7, 8.5, 9]"),
        ("[7, 8, 9]", "[7, 9223372036854775808, 9]"),
        ("[7, 8, 9]", "[7, NaN, 9]"),
        ("[7, 8, 9]", '[7, "8", 9]'),
        ("[7, 8, 9]", "[7, true, 9]"),
        ("[7, 8, 9]", '[7, {"a": 1}, 9]'),
        ("[7, 8, 9]", "[7, 8]"),
        ("[7, 8, 9]", '[7, 8, 9], "clicks": [7, 8, 9]'),
        ('"send_channel"', '"flow_id"'),
        ('"results"', '"results": [], "results"'),
        ('"groupings"', '"\\u005b": 1, "groupings"'),
        ("}}, {", "}},, {"),
        ("}}]", "}},]"),
        ("}}]", "}]"),
        ('"date_times": [', '"date_times": [1, '),
    ],
)  # fmt: skip
def test_a_long_series_hides_no_error(number: str, becomes: str, in_pieces: list[str]) -> None:
    """What the quick reader would flatten, drop or bend is refused or read as the standard library's reader does."""
    body = json.dumps(series_payload(DAYS, *several(clicks=[7, 8, 9]))).replace(number, becomes, 1)
    errors = []
    for short in (0, 10**9):
        payloads._SHORT = short
        try:
            errors.append(series_frame(body).to_dict())
        except PayloadError as error:
            errors.append((str(error), error.place))
    assert errors[0] == errors[1]
    assert isinstance(errors[0], tuple) or "005b" in becomes


@pytest.mark.parametrize(
    "name", ["a}}, {b", "}},", "}}]", '"results": [', '\\"results\\": [0]', "\ud83d", "\u00e6[\u0301]", ""]
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_names_that_look_like_json_are_names(name: str, ascii_only: bool, in_pieces: list[str]) -> None:
    """Wherever a name would cut the answer into pieces, nothing of it is lost."""
    rows = several()
    rows[3]["groupings"]["flow_name"] = rows[6]["groupings"]["tag_name"] = name
    body = json.dumps(series_payload(DAYS, *rows), ensure_ascii=ascii_only)
    shown = name.replace("\ud83d", "\ufffd")
    assert [shown] * 3 == same(body)["flow_name"].iloc[9:12].tolist()
    assert shown == same(body.encode("utf-8", "surrogatepass"))["tag_name"].iloc[-1]


def test_pages_of_a_long_series_join(in_pieces: list[str]) -> None:
    """Two pages read in pieces are one frame, which may be written to."""
    rows = several()
    pages = [json.dumps(series_payload(DAYS, *part)).encode() for part in (rows[:4], rows[4:])]
    frame = series_frame(join_pages(pages))
    pd.testing.assert_frame_equal(series_frame(series_payload(DAYS, *rows)), frame)
    assert 2 == len(in_pieces)
    frame.loc[0, ["clicks", "open_rate"]] = [5, 0.5]
    assert [5, 0.5] == [frame["clicks"].iloc[0], frame["open_rate"].iloc[0]]
