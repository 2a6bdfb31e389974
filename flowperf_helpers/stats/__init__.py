"""Statistics: a frame in, a frame out. Nothing here reads a disk, a network or a clock, and nothing draws."""

from flowperf_helpers import lazy

_HOMES = {
    "compare_rates": "compare",
    "compare_variations": "ab_tests",
    "completeness_curve": "conversion_lag",
    "control_limits": "signals",
    "coverage_table": "data_quality",
    "decompose": "decomposition",
    "false_winners": "same_law",
    "find_signals": "signals",
    "forecast": "conversion_lag",
    "q_values": "rates",
    "rate_difference": "rates",
    "rate_interval": "rates",
    "reconcile": "data_quality",
    "restatements": "data_quality",
    "roll_up": "rollup",
    "same_law_weeks": "same_law",
    "stopped_flows": "signals",
    "watch_variations": "ab_tests",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
