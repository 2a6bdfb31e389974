"""Asked before every send: waits until Klaviyo's limits leave room, and keeps count.

Waiting is arithmetic (`flowperf_helpers.klaviyo.rate_limits.next_free`) over the ledger's rows, plus a sleep that
can be replaced. Rows carry the moment a call was *done*, so a slow connection
cannot squeeze two calls into one of Klaviyo's windows.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.errors import ArgumentError, QuotaError
from flowperf_helpers.klaviyo.rate_limits import DAY, REPORTS, Ledger, Limit, limits_of

__all__ = ["CEILING", "RateLimiter"]

CEILING = 120.0
"""Seconds we are willing to wait for one call, by default."""
SHOWN_FROM = 2.0
"""A wait longer than this shows a progress bar."""
_SLICE = 0.5


@dataclass(eq=False, repr=False)
class RateLimiter:
    """The pace of one account at one host.

    Parameters
    ----------
    ledger : Ledger or None
        None paces and counts nothing, as the in-process sandbox needs it; a 429 is obeyed still.
    host, fingerprint : str
        Whose calls these are.
    clock, sleep : callable
        Seconds since 1970, and a sleep; replaceable.
    ceiling : float
        Longest wait in seconds; a longer one is a `QuotaError` at once.
    limits : callable
        Endpoint to limits; replaceable for tests and benchmarks.
    paced : bool
        False counts calls and obeys a 429 but does not wait for windows (``FLOWPERF_PACING=off``).
    quiet : bool
        No progress bar.
    """

    ledger: Ledger | None
    _: KW_ONLY
    host: str = ""
    fingerprint: str = ""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    ceiling: float = CEILING
    limits: Callable[[str], Sequence[Limit]] = limits_of
    paced: bool = True
    quiet: bool = False
    _blocks: dict[str, float] = field(default_factory=dict, init=False)

    @classmethod
    def from_environment(
        cls, home: Path, *, host: str, fingerprint: str, environ: Mapping[str, str] = os.environ, **options: Any
    ) -> RateLimiter:
        """Return the limiter of a real account, as ``FLOWPERF_PACING`` and ``FLOWPERF_MAX_WAIT`` (seconds) say.

        Raises
        ------
        ArgumentError
            One of them holds something else than ``on``, ``off`` or a number of seconds.
        """
        switch = environ.get("FLOWPERF_PACING", "").strip().lower() or "on"
        if switch not in ("on", "off"):
            raise ArgumentError(f"FLOWPERF_PACING is on or off, not {switch[:20]!r}.")
        text = environ.get("FLOWPERF_MAX_WAIT", "").strip()
        try:
            longest = float(text) if text else CEILING
            if not 0 <= longest < 7 * DAY:
                raise ValueError(text)
        except ValueError as error:
            raise ArgumentError(f"FLOWPERF_MAX_WAIT is a number of seconds, not {text[:20]!r}.") from error
        return cls(
            Ledger(home / "ledger.sqlite3"),
            host=host,
            fingerprint=fingerprint,
            ceiling=longest,
            paced=switch == "on",
            **options,
        )

    def before(self, endpoint: str, *, at_most: float | None = None) -> int | None:
        """Block until a call is free, and record it.

        Parameters
        ----------
        at_most : float, optional
            Seconds the caller has left; a lower ceiling for this call.

        Returns
        -------
        int or None
            To be given to `after` once the call has been answered or has failed.

        Raises
        ------
        QuotaError
            It would take longer than the ceiling; at once, nothing recorded.
        StorageError
            The ledger cannot be used.
        """
        ceiling = self.ceiling if at_most is None else min(self.ceiling, at_most)
        start, slept = self.clock(), 0.0
        bar: Any = None
        try:
            while True:
                now = self.clock()
                if now < start:  # set back while we waited
                    start, slept = now, 0.0
                elif now == start:  # a clock that stands still, as the sandbox's does
                    now += slept
                free, row = self._take(endpoint, now)
                if free <= now:
                    return row
                if free - now > ceiling:
                    raise self.quota_error(endpoint, free)
                if bar is None and free - now > SHOWN_FROM and not self.quiet:
                    bar = _bar(endpoint, free - now, free)
                pause = min(free - now, _SLICE) if bar is not None else free - now
                self.sleep(pause)
                slept += pause
                if bar is not None:
                    bar.update(max(0.0, min(now + pause - start, bar.total) - bar.n))
        finally:
            if bar is not None:
                bar.close()

    def after(self, row: int | None) -> None:
        """Record that the call has been answered, or has failed."""
        if self.ledger is not None and row is not None:
            self.ledger.done(row, self.clock())

    def block(self, endpoint: str, seconds: float) -> None:
        """Record a 429: no call to this endpoint for so many seconds, here and in other processes."""
        now = self.clock()
        if self.ledger is None:
            self._blocks[endpoint] = now + seconds
        else:
            self.ledger.block(self._key(endpoint), now, now + seconds)

    def quota_error(self, endpoint: str, free: float) -> QuotaError:
        """Return the error that says when the endpoint is free again."""
        retry_at = datetime.fromtimestamp(ceil(free)).astimezone()
        minute = datetime.fromtimestamp(ceil(free / 60) * 60).astimezone()
        day = self._calls_a_day(endpoint)
        quota = "" if day is None else f" ({day} calls a day)"
        return QuotaError(
            f"Klaviyo takes no more calls to {endpoint} for now{quota}: run again after {minute:%Y-%m-%d %H:%M %Z}, "
            "local time; answers that arrived are kept.",
            endpoint=endpoint,
            retry_at=retry_at,
        )

    def status(self) -> pd.DataFrame:
        """Return what is used and left.

        Returns
        -------
        DataFrame
            One row per report endpoint and per other endpoint used: ``endpoint`` (str), ``used_today`` (Int64; calls of
            the last 24 hours, the safe reading: when Klaviyo's day starts is not documented), ``left_today`` (Int64, NA
            where the endpoint has no limit per day), ``next_free`` (datetime64[us, UTC]; now or later).
        """
        now = self.clock()
        used = {} if self.ledger is None else self.ledger.used(self.host, self.fingerprint, now)
        endpoints = [*REPORTS, *sorted(set(used) - set(REPORTS))]
        counts = pd.Series([used.get(endpoint, 0) for endpoint in endpoints], dtype="Int64")
        days = pd.Series([self._calls_a_day(endpoint) for endpoint in endpoints], dtype="Int64")
        free = pd.to_datetime([self._free_at(endpoint, now) for endpoint in endpoints], unit="s", utc=True)
        return pd.DataFrame(
            {
                "endpoint": pd.array(endpoints, dtype="str"),
                "used_today": counts,
                "left_today": (days - counts).clip(lower=0),
                "next_free": free.as_unit("us"),
            }
        )

    def _key(self, endpoint: str) -> tuple[str, str, str]:
        return self.host, self.fingerprint, endpoint

    def _windows(self, endpoint: str) -> Sequence[Limit]:
        return self.limits(endpoint) if self.paced else ()

    def _calls_a_day(self, endpoint: str) -> int | None:
        return next((limit.calls for limit in self.limits(endpoint) if limit.seconds >= DAY), None)

    def _take(self, endpoint: str, now: float) -> tuple[float, int | None]:
        if self.ledger is None:
            free = self._blocks.get(endpoint, now)
            if free <= now:
                self._blocks.pop(endpoint, None)
            return free, None
        return self.ledger.take(self._key(endpoint), self._windows(endpoint), now)

    def _free_at(self, endpoint: str, now: float) -> float:
        if self.ledger is None:
            return max(now, self._blocks.get(endpoint, now))
        return self.ledger.free_at(self._key(endpoint), self._windows(endpoint), now)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def _bar(endpoint: str, seconds: float, free: float) -> Any:
    """Return a progress bar with the reason and the end of a wait."""
    if _in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    end = datetime.fromtimestamp(ceil(free)).astimezone()
    return tqdm(
        total=round(seconds, 1),
        desc=f"Klaviyo's limit for {endpoint.removeprefix('/api/')}, until {end:%H:%M:%S}",
        unit="s",
        bar_format="{desc}: {bar} {n:.0f}/{total:.0f} s",
        leave=False,
        mininterval=0.2 if _in_notebook() or sys.stderr.isatty() else 30.0,  # a log file wants few lines
    )
