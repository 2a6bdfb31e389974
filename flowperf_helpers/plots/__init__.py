"""Pictures: a frame in, axes out. Nothing here shows, saves or changes matplotlib's settings.

Every function takes the frame first and the rest by keyword, makes axes only where none are given, says the finding in
its title and SANDBOX where the numbers are invented, and leaves a sentence for those who do not see it (`alt_text`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowperf_helpers.plots.comparison import plot_comparison, plot_variations
    from flowperf_helpers.plots.conversion_lag import plot_forecast
    from flowperf_helpers.plots.decomposition import plot_effects
    from flowperf_helpers.plots.figure import alt_text
    from flowperf_helpers.plots.heatmap import plot_heatmap
    from flowperf_helpers.plots.series import plot_series, plot_small_multiples
    from flowperf_helpers.plots.values import plot_funnel, plot_values

__all__ = [
    "alt_text",
    "plot_comparison",
    "plot_effects",
    "plot_forecast",
    "plot_funnel",
    "plot_heatmap",
    "plot_series",
    "plot_small_multiples",
    "plot_values",
    "plot_variations",
]

_HOMES = {
    "alt_text": "figure",
    "plot_comparison": "comparison",
    "plot_variations": "comparison",
    "plot_effects": "decomposition",
    "plot_forecast": "conversion_lag",
    "plot_funnel": "values",
    "plot_heatmap": "heatmap",
    "plot_series": "series",
    "plot_small_multiples": "series",
    "plot_values": "values",
}


def __getattr__(name: str) -> Any:
    """Import a picture when it is used first: a table for the terminal needs no matplotlib."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
