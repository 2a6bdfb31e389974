"""What is planted in the numbers: one table, read by the generator and by whoever wants to know the truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from flowperf_helpers.sandbox.shop_flows import TEST_STARTS

__all__ = ["STORIES", "Story"]


@dataclass(frozen=True)
class Story:
    """One planted change.

    Attributes
    ----------
    story : str
        Its name.
    flow_id, flow_message_id : str
        Where it happens.
    statistic : str
        The statistic that shows it.
    first_day, last_day : date
        Account days on which it holds; ``last_day`` None where it goes on.
    direction : {"lower", "higher", "stopped"}
        Which way.
    size : float
        Factor on the true value of the days (0 for a stop).
    variation : str or None
        The only variation it touches.
    """

    story: str
    flow_id: str
    flow_message_id: str
    statistic: str
    first_day: date
    last_day: date | None
    direction: str
    size: float
    variation: str | None = None


STORIES: tuple[Story, ...] = (
    Story("click rate fell", "XbChk1", "Wc1aEm", "click_rate", date(2026, 11, 16), None, "lower", 0.60),
    Story("variation wins", "VwBrw2", "Wb1aEm", "click_rate", TEST_STARTS, None, "higher", 1.45, variation="VbrEmB"),
    Story(
        "spam spike", "RwWin5", "Ww1aEm", "spam_complaint_rate", date(2026, 11, 17), date(2026, 11, 22), "higher", 20.0
    ),
    Story("flow stopped", "UbBis6", "Wk1aEm", "recipients", date(2026, 11, 17), None, "stopped", 0.0),
)
"""The truth about the default variant; the quiet one has none of it."""
