"""flowperf: how Klaviyo flows perform.

::

    from flowperf_helpers import connect

    account = connect("sandbox")
    account.flow_values(timeframe="2026-W47", statistics=["recipients", "clicks_unique", "click_rate"])

The names below are the public ones, and those of the folders `account`, `stats`, `plots`, `widgets`, `report` and
`fleet`: ``dir(flowperf_helpers.plots)`` lists the pictures. Each is imported when it is used first, so that a script
which only shapes an answer does not pay for the network, and one that lists metrics does not pay for statistics.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowperf_helpers.account.account import Account, connect
    from flowperf_helpers.account.planner import Plan
    from flowperf_helpers.account.queries import ReportQuery
    from flowperf_helpers.account.timeframes import recent_weeks
    from flowperf_helpers.errors import FlowperfError
    from flowperf_helpers.frames.catalog import how_to_read
    from flowperf_helpers.frames.reports import series_frame, to_long, values_frame
    from flowperf_helpers.report.run.checks import refuse_unknown_parameters
    from flowperf_helpers.stats.rates import rate_difference
    from flowperf_helpers.stats.rollup import roll_up

__all__ = [
    "Account",
    "FlowperfError",
    "Plan",
    "ReportQuery",
    "__version__",
    "connect",
    "how_to_read",
    "rate_difference",
    "recent_weeks",
    "refuse_unknown_parameters",
    "roll_up",
    "series_frame",
    "to_long",
    "values_frame",
]

_HOMES = {
    "Account": "account.account",
    "FlowperfError": "errors",
    "Plan": "account.planner",
    "ReportQuery": "account.queries",
    "connect": "account.account",
    "how_to_read": "frames.catalog",
    "rate_difference": "stats.rates",
    "recent_weeks": "account.timeframes",
    "refuse_unknown_parameters": "report.run.checks",
    "roll_up": "stats.rollup",
    "series_frame": "frames.reports",
    "to_long": "frames.reports",
    "values_frame": "frames.reports",
}

try:
    __version__ = version("flowperf")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package whose names are imported at their first use.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping
        Public name to the module inside the package that holds it.
    """
    namespace = vars(sys.modules[package])

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        return namespace[name]

    return find, lambda: sorted({*namespace, *homes})


__getattr__, __dir__ = lazy(__name__, _HOMES)
