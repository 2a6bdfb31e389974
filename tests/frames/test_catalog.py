"""The catalogue is Klaviyo's: the same words as its own generated client, and sums that follow from what is counted."""

from __future__ import annotations

import importlib
import itertools
import re
from typing import Any

import pytest

from flowperf_helpers.account.queries import ReportQuery
from flowperf_helpers.account.timeframes import Preset, Window, iso_week
from flowperf_helpers.frames import catalog
from flowperf_helpers.frames.catalog import (
    CHANNELS,
    DEFAULT_GROUP_BY,
    GROUPINGS,
    INTERVALS,
    PRESETS,
    REQUIRED_GROUP_BY,
    STATISTICS,
    VALUE_STATISTICS,
    has_meaning,
    how_to_read,
)

MODELS = "openapi_client.models.flow_{}_request_dto_resource_object_attributes"


def model(kind: str) -> Any:
    """Return the class that klaviyo-api generated for the attributes of a values or series request."""
    name = f"Flow{kind.capitalize()}RequestDTOResourceObjectAttributes"
    return getattr(importlib.import_module(MODELS.format(kind)), name)


def told(kind: str, field: str, pattern: str) -> set[str]:
    """Return the words that a field's description lists."""
    found = re.search(pattern, model(kind).model_fields[field].description)
    assert found is not None
    return set(re.split(r",\s*", found[1]))


def accepted(kind: str, field: str, words: set[str]) -> set[str]:
    """Return the words that klaviyo-api's validator of a field lets pass, asked one by one."""
    base: dict[str, Any] = {"statistics": ["opens"], "timeframe": {"key": "today"}, "conversion_metric_id": "M"}
    base |= {"interval": "daily"} if kind == "series" else {}
    wrap = (lambda word: word) if field == "interval" else lambda word: [word]
    passed = set()
    for word in words:
        try:
            model(kind)(**base | {field: wrap(word)})
        except ValueError:
            continue
        passed.add(word)
    return passed


def refusal(kind: str, field: str) -> set[str]:
    """Return the words that klaviyo-api names when it refuses one."""
    base: dict[str, Any] = {"statistics": ["opens"], "timeframe": {"key": "today"}, "conversion_metric_id": "M"}
    base |= {"interval": "daily"} if kind == "series" else {}
    with pytest.raises(ValueError, match="must be one of") as caught:
        model(kind)(**base | {field: "no such" if field == "interval" else ["no such"]})
    return set(re.findall(r"'([a-z_]+)'", str(caught.value).split("must be one of", 1)[1].split("[type=")[0]))


@pytest.mark.parametrize("kind", ["values", "series"])
def test_statistics_are_klaviyos(kind: str) -> None:
    """The 31 statistics are exactly those that klaviyo-api accepts."""
    assert 31 == len(STATISTICS)
    assert set(STATISTICS) == refusal(kind, "statistics")
    assert set(STATISTICS) == accepted(kind, "statistics", set(STATISTICS))
    assert all(name == entry.name for name, entry in STATISTICS.items())


@pytest.mark.parametrize("kind", ["values", "series"])
def test_groupings_are_klaviyos(kind: str) -> None:
    """Groupings, the required ones and the channels are those of klaviyo-api."""
    assert set(GROUPINGS) == refusal(kind, "group_by")
    assert set(REQUIRED_GROUP_BY) == told(kind, "group_by", r"attributes are required: ([^.]+)\.")
    assert set(CHANNELS) == told(kind, "filter", r"allowed values are ([^.]+)\.")
    assert set(REQUIRED_GROUP_BY) <= set(DEFAULT_GROUP_BY) <= set(GROUPINGS)


def test_intervals_are_klaviyos() -> None:
    """The intervals are those that klaviyo-api accepts for a series."""
    assert set(INTERVALS) == refusal("series", "interval")


def test_presets_are_klaviyos() -> None:
    """Fourteen presets without repeats; each is a timeframe of ours and passes klaviyo-api's model as we send it."""
    assert 14 == len(PRESETS) == len(set(PRESETS))
    for key, kind in itertools.product(PRESETS, ("values", "series")):
        query = ReportQuery("M", Preset(key), ("opens",), interval="daily" if kind == "series" else None)
        sent = query.body()["data"]["attributes"]
        assert {"key": key} == model(kind)(**sent).timeframe


def test_what_we_send_passes_the_model() -> None:
    """A request with every statistic and grouping passes klaviyo-api's own model unchanged."""
    for interval, kind in ((None, "values"), ("weekly", "series")):
        window = Window(iso_week("2026-W40").first, iso_week("2026-W47").last)
        query = ReportQuery("M", window, tuple(STATISTICS), interval=interval, group_by=GROUPINGS)
        sent = query.body()["data"]["attributes"]
        assert sent == model(kind)(**sent).to_dict()


def test_parts_of_rates() -> None:
    """Each rate and ratio names sums as its parts, and each sum has none."""
    for entry in STATISTICS.values():
        derived = entry.kind in ("rate", "ratio")
        assert derived == bool(entry.numerators) == bool(entry.denominators)
        for part in (*entry.numerators, *entry.denominators):
            assert STATISTICS[part].kind in ("count", "unique", "money")
            assert STATISTICS[part].additive_over_messages
        assert derived != entry.additive_over_messages


def test_sums_and_units() -> None:
    """People are never summed over time, counts are whole, rates are fractions, money needs a value-bearing metric."""
    uniques = {name for name, s in STATISTICS.items() if s.kind == "unique"}
    assert {"opens_unique", "clicks_unique", "unsubscribe_uniques", "conversion_uniques"} == uniques
    for name, entry in STATISTICS.items():
        assert entry.additive_over_time == (entry.kind in ("count", "money")), name
        assert entry.is_count == (entry.unit == "count"), name
        assert (entry.unit == "fraction") == (entry.kind == "rate"), name
        assert entry.sentence.endswith("."), name
        assert entry.label, name
    assert {name for name, s in STATISTICS.items() if s.needs_value} >= set(VALUE_STATISTICS)


def test_channels() -> None:
    """Opens mean nothing on SMS; a channel that nobody knows gets the benefit of the doubt."""
    assert has_meaning("open_rate", "email")
    assert not has_meaning("open_rate", "sms")
    assert not has_meaning("bounced", "push-notification")
    assert not has_meaning("text_message_spend", "email")
    assert has_meaning("open_rate", "carrier-pigeon")
    assert all(has_meaning(name, channel) for name in ("delivered", "conversions") for channel in CHANNELS)
    assert all(s.channels is None or s.channels <= set(CHANNELS) for s in STATISTICS.values())


def test_a_rate_means_something_where_its_parts_do() -> None:
    """No rate claims a channel on which a numerator of it means nothing."""
    for entry in STATISTICS.values():
        for channel in CHANNELS:
            if entry.numerators and has_meaning(entry.name, channel):
                assert any(has_meaning(part, channel) for part in entry.numerators), (entry.name, channel)


def test_how_to_read() -> None:
    """The table for people has a row per statistic, in the order asked, and every cell is filled."""
    table = how_to_read()
    assert list(STATISTICS) == table["statistic"].tolist()
    assert table.map(bool).all(axis=None)
    assert ["clicks", "opens"] == how_to_read(["clicks", "opens"])["statistic"].tolist()
    assert "never: rebuilt from its parts" == how_to_read(["open_rate"]).loc[0, "may_be_summed"]


def test_public_names() -> None:
    """The room's public names are these."""
    expected = {"CHANNELS", "DEFAULT_GROUP_BY", "GROUPINGS", "INTERVALS", "PRESETS", "REQUIRED_GROUP_BY", "STATISTICS",
                "VALUE_STATISTICS", "Statistic", "has_meaning", "how_to_read"}  # fmt: skip
    assert expected == set(catalog.__all__)
