"""The public names are a promise: they are pinned, they exist, and importing the package costs little."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import flowperf_helpers

NAMES = [
    "Account",
    "FlowperfError",
    "Plan",
    "ReportQuery",
    "__version__",
    "connect",
    "how_to_read",
    "rate_difference",
    "roll_up",
    "series_frame",
    "to_long",
    "values_frame",
]


def test_the_public_names() -> None:
    """Adding or removing a public name is a decision, made here."""
    assert sorted(flowperf_helpers.__all__) == NAMES
    assert set(NAMES) <= set(dir(flowperf_helpers))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_documented(name: str) -> None:
    """Every public name can be imported and says what it is."""
    thing = getattr(flowperf_helpers, name)
    assert name == "__version__" or inspect.getdoc(thing)


def test_a_name_that_is_not_public() -> None:
    """A misspelt name is an AttributeError, as everywhere."""
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = flowperf_helpers.conect


def test_the_fixed_signatures() -> None:
    """Other programs call these: names, order and defaults stay."""

    def signature(function: object) -> str:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        return ", ".join(
            str(p.replace(annotation=inspect.Parameter.empty))
            if p.kind is not inspect.Parameter.KEYWORD_ONLY
            else f"*{p.replace(annotation=inspect.Parameter.empty)}"
            for p in parameters
        )

    account = flowperf_helpers.Account
    assert "self, *integration=None, *category=None" == signature(account.metrics)
    assert "self, metric_ids" == signature(account.flows_triggered_by)
    shared = "*flow_ids=None, *send_channels=None, *group_by=None, *refresh=False"
    values = f"self, conversion_metric_id=None, *timeframe, *statistics, {shared}"
    series = f"self, conversion_metric_id=None, *timeframe, *statistics, *interval='weekly', {shared}"
    assert values == signature(account.flow_values)
    assert series == signature(account.flow_series)
    assert "payload, timezone='UTC'" == signature(flowperf_helpers.values_frame)
    assert "payload, timezone='UTC'" == signature(flowperf_helpers.series_frame)
    assert "frame" == signature(flowperf_helpers.to_long)
    expected = "successes_a, trials_a, successes_b, trials_b, *confidence=0.95"
    assert expected == signature(flowperf_helpers.rate_difference)
    assert signature(flowperf_helpers.roll_up).startswith(("frame, by", "frame, *by"))


def test_importing_the_package_is_light() -> None:
    """Neither pandas nor the network is imported before something is used; no statistics library by connect."""
    code = (
        "import sys, flowperf_helpers; heavy = {'pandas', 'requests', 'scipy', 'matplotlib', 'pyarrow', 'IPython'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "flowperf_helpers.connect;"
        "late = {'scipy', 'statsmodels', 'matplotlib', 'flowperf_helpers.sandbox'};"
        "assert not late & set(sys.modules), late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
