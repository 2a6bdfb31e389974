"""Statistics: a frame in, a frame out. Nothing here reads a disk, a network or a clock, and nothing draws."""

from flowperf_helpers import lazy

_HOMES = {
    "compare_rates": "compare",
    "control_limits": "signals",
    "decompose": "decomposition",
    "find_signals": "signals",
    "forecast": "conversion_lag",
    "honest_rows": "data_quality",
    "q_values": "rates",
    "rate_difference": "rates",
    "rate_interval": "rates",
    "recent_duel": "ab_tests",
    "reconcile": "data_quality",
    "restatements": "data_quality",
    "roll_up": "rollup",
    "settling_curve": "conversion_lag",
    "stopped_flows": "signals",
    "variation_duel": "compare",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
