"""The weekly report: what it asks, the numbers it holds, the sentences they make, and the parts of its page."""

from __future__ import annotations

from flowperf_helpers.report.data import WeekData, fetch_week, plan_week, report_week
from flowperf_helpers.report.document import WeeklyReport
from flowperf_helpers.report.html import Section
from flowperf_helpers.report.numbers import WeekNumbers, compute

__all__ = ["Section", "WeekData", "WeekNumbers", "WeeklyReport", "compute", "fetch_week", "plan_week", "report_week"]
