"""The catalogue of statistics, held to Klaviyo's own package."""

from __future__ import annotations

import ast
import inspect
import re
from types import ModuleType

import pytest
from openapi_client.models import (
    flow_series_request_dto_resource_object_attributes as series_model,
)
from openapi_client.models import (
    flow_values_request_dto_resource_object_attributes as values_model,
)

from flowperf_helpers.catalog import (
    CHANNELS,
    DEFAULT_GROUP_BY,
    GROUPINGS,
    INTERVALS,
    PRESETS,
    STATISTICS,
    VALUE_STATISTICS,
    has_meaning,
    how_to_read,
)


def enum_of(module: ModuleType, field: str) -> set[str]:
    """Words that a validator of Klaviyo's generated model accepts for a field."""
    source = inspect.getsource(module)
    match = re.search(rf"def {field}_validate_enum.*?set\((\[.*?\])\)", source, re.DOTALL)
    assert match is not None, f"{module.__name__} has no list of {field} any more"
    return set(ast.literal_eval(match[1]))


@pytest.mark.parametrize("module", [values_model, series_model])
def test_statistics_are_klaviyos(module: ModuleType) -> None:
    """The 31 statistics are exactly those of the newest klaviyo-api, for values and for series."""
    assert enum_of(module, "statistics") == set(STATISTICS)
    assert 31 == len(STATISTICS)


@pytest.mark.parametrize("module", [values_model, series_model])
def test_groupings_are_klaviyos(module: ModuleType) -> None:
    """The groupings are exactly those of the newest klaviyo-api."""
    assert enum_of(module, "group_by") == set(GROUPINGS)
    assert set(DEFAULT_GROUP_BY) <= set(GROUPINGS)


def test_intervals_are_klaviyos() -> None:
    """The intervals are exactly those of the newest klaviyo-api."""
    assert enum_of(series_model, "interval") == set(INTERVALS)


def test_presets_are_klaviyos() -> None:
    """The presets are the contract's; klaviyo-api leaves the timeframe untyped, and this notices when that ends."""
    text = inspect.getsource(values_model)
    assert "timeframe: Dict[str, Any]" in text, "klaviyo-api now types the timeframe: read the presets from it"
    assert {
        "last_12_months", "last_30_days", "last_365_days", "last_3_months", "last_7_days", "last_90_days", "last_month",
        "last_week", "last_year", "this_month", "this_week", "this_year", "today", "yesterday",
    } == set(PRESETS)  # fmt: skip


def test_parts_are_statistics_and_sums() -> None:
    """Every numerator and denominator is a statistic that may itself be summed over messages."""
    for entry in STATISTICS.values():
        for part in (*entry.numerators, *entry.denominators):
            assert STATISTICS[part].additive_over_messages, f"{entry.name} is built from {part}"
        assert bool(entry.numerators) == (entry.kind in ("rate", "ratio"))
        assert bool(entry.denominators) == bool(entry.numerators)


def test_uniques_are_not_additive_over_time() -> None:
    """People counted per message add up over messages, never over time; rates add up nowhere."""
    for entry in STATISTICS.values():
        assert entry.additive_over_time == (entry.kind in ("count", "money"))
        assert entry.additive_over_messages == (entry.kind in ("count", "money", "unique"))


def test_value_statistics_need_values() -> None:
    """The statistics that a metric without values refuses are marked so."""
    assert all(STATISTICS[name].needs_value for name in VALUE_STATISTICS)


def test_channels() -> None:
    """An open rate means nothing on SMS, clicks nothing on push; an unknown channel gets the benefit of the doubt."""
    assert not has_meaning("open_rate", "sms")
    assert has_meaning("open_rate", "email")
    assert not has_meaning("clicks", "push-notification")
    assert has_meaning("open_rate", "pigeon")
    assert {"email", "sms", "push-notification", "whatsapp"} == set(CHANNELS)


def test_how_to_read_has_a_sentence_each() -> None:
    """The table for people has one row and one whole sentence per statistic."""
    table = how_to_read()
    assert list(STATISTICS) == list(table["statistic"])
    assert table["definition"].str.endswith(".").all()
    assert ["open_rate"] == list(how_to_read(["open_rate"])["statistic"])
