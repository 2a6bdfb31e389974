"""One template, many accounts: asked side by side, rendered by workers, kept as one dataset, and compared."""

from flowperf_helpers import lazy

_HOMES = {
    "FLEET_VIEWS": "notebook",
    "benchmark_rates": "compare",
    "compare_accounts": "compare",
    "index_page": "index",
    "not_comparable": "compare",
    "read_failed": "notebook",
    "read_results": "notebook",
    "revenue_by_currency": "compare",
    "template_effect": "effect",
    "template_rows": "notebook",
    "view_fleet": "notebook",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
