"""Pictures: a frame in, axes out. Nothing here shows, saves or changes matplotlib's settings.

Every function takes the frame first and the rest by keyword, makes axes only where none are given, says the finding in
its title and SANDBOX where the numbers are invented, and leaves a sentence for those who do not see it (`alt_text`).
"""

from flowperf_helpers import lazy

_HOMES = {
    "alt_text": "figure",
    "plot_accounts": "fleet",
    "plot_comparison": "comparison",
    "plot_effects": "comparison",
    "plot_forecast": "weeks",
    "plot_funnel": "values",
    "plot_heatmap": "weeks",
    "plot_ranking": "values",
    "plot_same_law": "weeks",
    "plot_series": "series",
    "plot_small_multiples": "series",
    "plot_template_effect": "fleet",
    "plot_values": "values",
    "plot_variations": "comparison",
    "plot_volume": "values",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
