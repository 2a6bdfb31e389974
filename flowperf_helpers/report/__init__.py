"""The weekly report: what it asks, the numbers it holds, the sentences they make, and the parts of its page."""

from __future__ import annotations

from flowperf_helpers.report.answers import WeekAnswers, report_week
from flowperf_helpers.report.document import WeeklyReport
from flowperf_helpers.report.gather import fetch_week, plan_week
from flowperf_helpers.report.sections import Section

__all__ = ["Section", "WeekAnswers", "WeeklyReport", "fetch_week", "plan_week", "report_week"]
