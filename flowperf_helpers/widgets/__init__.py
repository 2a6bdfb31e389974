"""Widgets that hold a value and call a given function; they know no data source."""
