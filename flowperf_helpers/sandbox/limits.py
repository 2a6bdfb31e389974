"""Klaviyo's windows: how often an endpoint may be asked, and what the headers say about it (contract, section F)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from flowperf_helpers.sandbox.problems import Problem

__all__ = ["DAY_SPENT", "TIERS", "Windows", "throttled"]

TIERS: dict[str, tuple[tuple[int, int], ...]] = {
    "XS": ((1, 1), (15, 60)),
    "S": ((3, 1), (60, 60)),
    "M": ((10, 1), (150, 60)),
    "report": ((1, 1), (2, 60), (225, 86400)),
}
"""Calls and seconds of each window."""

DAY_SPENT = 61073
"""What ``Retry-After`` says in the variant whose daily window is spent."""


def headers(tier: str) -> dict[str, str]:
    """Return the headers of an answer that is no 429, in the form that was recorded: the burst window's figures."""
    windows = TIERS[tier]
    burst = windows[0][0]
    limit = ", ".join([str(burst), *(f"{calls};w={seconds}" for calls, seconds in windows)])
    return {"RateLimit-Limit": limit, "RateLimit-Remaining": str(burst - 1), "RateLimit-Reset": "0"}


def throttled(seconds: int) -> Problem:
    """Return the 429, in the form that was recorded."""
    return Problem(
        429,
        "throttled",
        "Request was throttled.",
        f"Request was throttled. Expected available in {seconds} seconds.",
        pointer="/data",
        headers={"Retry-After": str(seconds)},
        links={"type": "https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling"},
        meta=[],
    )


class Windows:
    """Fixed windows per credential and endpoint, on a clock that only goes forward.

    Parameters
    ----------
    time_scale : float
        Windows are that many times shorter than Klaviyo's.
    clock : callable
        Seconds.
    """

    def __init__(self, *, time_scale: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._scale = time_scale
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str, int], tuple[int, int]] = {}

    def take(self, who: str, endpoint: str, tier: str) -> None:
        """Count one call; a refused one is not counted.

        Raises
        ------
        Problem
            429 when a window is full.
        """
        with self._lock:
            now = self._clock() * self._scale
            wait = 0.0
            used: dict[tuple[str, str, int], tuple[int, int]] = {}
            for calls, seconds in TIERS[tier]:
                window = int(now // seconds)
                key = (who, endpoint, seconds)
                at, count = self._used.get(key, (window, 0))
                count = count if at == window else 0
                if count >= calls:
                    wait = max(wait, (window + 1) * seconds - now)
                used[key] = (window, count + 1)
            if wait:
                raise throttled(max(math.ceil(wait / self._scale), 1))
            self._used.update(used)
