"""What a notebook holds: one account, what can be asked of it, and what is kept of its answers."""

from flowperf_helpers import lazy

_HOMES = {
    "Account": "account",
    "Plan": "planner",
    "ReportQuery": "queries",
    "Window": "timeframes",
    "connect": "account",
    "earlier_answers": "history",
    "last_complete_week": "timeframes",
    "parse_timeframe": "timeframes",
    "recent_weeks": "timeframes",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
