"""Widgets that hold a value and call a given function; they know no data source."""

from flowperf_helpers.widgets.notebook import before_and_after, versions_frame

__all__ = ["before_and_after", "versions_frame"]
