"""Widgets for notebooks: pickers that hold a value, boards that draw again, and the functions they call."""

from flowperf_helpers import lazy

_HOMES = {
    "COMPARED_STATISTICS": "notebook",
    "PER_VARIATION": "notebook",
    "SERIES_VIEWS": "views",
    "VALUES_VIEWS": "views",
    "Board": "board",
    "FlowChoice": "selection",
    "RequestButton": "board",
    "SearchPicker": "pickers",
    "WindowPicker": "pickers",
    "attempt": "lenient_account",
    "channel_picker": "pickers",
    "chosen_flows": "selection",
    "comparison_queries": "notebook",
    "flow_overview": "selection",
    "flow_picker": "pickers",
    "flows_in": "selection",
    "integration_picker": "pickers",
    "interval_picker": "pickers",
    "lenient": "lenient_account",
    "metric_picker": "pickers",
    "picture_picker": "pickers",
    "row_pickers": "pickers",
    "same_basis": "notebook",
    "select_rows": "selection",
    "show": "board",
    "statistic_picker": "pickers",
    "versions_frame": "notebook",
    "view_choice": "views",
    "view_series": "views",
    "view_triggers": "views",
    "view_values": "views",
    "volume_picker": "pickers",
    "week_window": "notebook",
    "weeks_of_tests": "notebook",
    "window_picker": "pickers",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
