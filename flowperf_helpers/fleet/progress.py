"""How far a fleet is: one bar over the accounts, with who failed and who waits for Klaviyo's limits."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

__all__ = ["Progress"]

SHOWN_FROM = 2.0
"""Seconds from which a wait is worth a word."""


class Progress:
    """The bar, and the sleep of all who wait, which can be ended for all of them.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.waited = 0.0
        self._bar: Any = None
        self._counts: Counter[str] = Counter()
        self._waiting: dict[str, float] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def sleeper(self, name: str) -> Callable[[float], None]:
        """Return the sleep of one account: it is seen while it waits, and ends when the run does."""

        def sleep(seconds: float) -> None:
            if self._stopped.is_set():
                raise KeyboardInterrupt
            with self._lock:
                self.waited += seconds
                if seconds >= SHOWN_FROM:
                    self._waiting[name] = time.time() + seconds
            self._show()
            stopped = self._stopped.wait(seconds)
            with self._lock:
                self._waiting.pop(name, None)
            if stopped:
                raise KeyboardInterrupt

        return sleep

    @contextmanager
    def over(self, total: int, what: str, counts: Mapping[str, int]) -> Iterator[None]:
        """Show a bar over so many accounts while the block runs."""
        from tqdm import tqdm

        self._counts = Counter(counts)
        slow = not sys.stderr.isatty()
        with tqdm(
            total=total,
            initial=sum(counts.values()),
            desc=what,
            unit="account",
            disable=self.quiet,
            mininterval=10.0 if slow else 0.2,  # a log file wants few lines
        ) as self._bar:
            try:
                self._show()
                yield
            finally:
                self._bar = None

    def add(self, status: str) -> None:
        """Count an account."""
        with self._lock:
            self._counts[status] += 1
            if self._bar is not None:
                self._bar.update()
        self._show()

    def stop(self) -> None:
        """End every wait; who waits stops there."""
        self._stopped.set()

    def reset(self) -> None:
        """Let accounts wait again."""
        self._stopped.clear()

    def _show(self) -> None:
        with self._lock:
            if self._bar is None:
                return
            words = [f"{self._counts[status]} {status}" for status in ("kept", "failed") if self._counts[status]]
            if self._waiting:
                until = datetime.fromtimestamp(max(self._waiting.values())).astimezone()
                words.append(f"{len(self._waiting)} wait for a limit until {until:%H:%M:%S}")
            self._bar.set_postfix_str(", ".join(words), refresh=False)
