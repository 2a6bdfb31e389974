"""Pictures: a frame in, axes out. Nothing here shows, saves or changes matplotlib's settings.

Every function takes the frame first and the rest by keyword, makes axes only where none are given, says the finding in
its title and SANDBOX where the numbers are invented, and leaves a sentence for those who do not see it (`alt_text`).
"""

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
