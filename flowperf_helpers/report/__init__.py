"""The weekly report: what it asks, the numbers it holds, the sentences they make, and the parts of its page."""

from flowperf_helpers import lazy

_HOMES = {
    "Section": "html",
    "WeekData": "data",
    "WeekNumbers": "numbers",
    "WeeklyReport": "document",
    "compute": "numbers",
    "fetch_week": "data",
    "plan_week": "data",
    "refuse_unknown_parameters": "run.checks",
    "report_week": "data",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
