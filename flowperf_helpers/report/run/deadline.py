"""The one moment by which a whole run has to end, from the look-up of names to the delivery of its files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from flowperf_helpers.errors import DeadlineError

__all__ = ["Deadline"]

T = TypeVar("T")


class Deadline:
    """What is left of the seconds given for a run.

    Parameters
    ----------
    seconds : float, optional
        From now on; None is a run without a deadline.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._ends = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, at least 0; None without a deadline."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    def check(self, doing: str) -> None:
        """Go on only before the deadline.

        Raises
        ------
        DeadlineError
            It has passed.
        """
        if self.left() == 0:
            raise self.error(doing)

    def error(self, doing: str) -> DeadlineError:
        """Return the sentence for a deadline that passed while ``doing`` ("the page was being made")."""
        return DeadlineError(f"The deadline of {self.seconds or 0:g} seconds passed while {doing}")

    def hold(self, doing: str, work: Callable[[], T]) -> T:
        """Do something that may never come back, in a thread of its own, and wait for it until the deadline only.

        Raises
        ------
        DeadlineError
            The deadline passed; the thread is left to itself and ends with the process.
        """
        self.check(doing)
        if self._ends is None:
            return work()
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(work())
            except BaseException as error:  # carried over to the thread that waits
                result.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            return result.result(self.left())
        except TimeoutError:
            if result.done():
                raise  # its own: a socket that gave up
            raise self.error(doing) from None
