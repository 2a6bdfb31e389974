"""Where reports are computed: processes of this machine, or the workers of a Dask cluster, behind one interface."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from flowperf_helpers import __version__
from flowperf_helpers.errors import ArgumentError, FlowperfError
from flowperf_helpers.fleet.render import Rendered, Task, render

__all__ = ["Workers", "open_workers"]

SECONDS_TO_ANSWER = 10
DEATHS = 3
"""Workers that one account's report may take with it (out of memory, killed) before it counts as failed."""


class Workers:
    """Computes reports, at most two tasks per worker on their way at a time, so that memory does not grow.

    Parameters
    ----------
    make : callable
        Makes the `concurrent.futures.Executor`; called again when a worker's death has broken it.
    count : int
        Workers it has.
    """

    def __init__(self, make: Callable[[], Executor], count: int) -> None:
        self.count = count
        self._make = make
        self._executor = make()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(2 * count)

    def render(self, task: Task) -> Rendered:
        """Compute one report, waiting for a free place.

        Raises
        ------
        FlowperfError
            Its workers died, several times in a row.
        """
        with self._places:
            for _ in range(DEATHS):
                executor = self._executor
                try:
                    return executor.submit(render, task).result()
                except BrokenProcessPool:
                    self._renew(executor)
        raise FlowperfError(
            f"The report's worker ended {DEATHS} times before it was done: it was killed, or the machine is short of "
            "memory; run it again with fewer --workers."
        )

    def _renew(self, broken: Executor) -> None:
        with self._lock:
            if self._executor is broken:
                broken.shutdown(wait=False)
                self._executor = self._make()

    def close(self, *, at_once: bool = False) -> None:
        """Let the workers go; ``at_once`` without what has not begun."""
        self._executor.shutdown(wait=not at_once, cancel_futures=at_once)


@contextmanager
def open_workers(count: int, scheduler: str | None = None) -> Iterator[Workers]:
    """Open the workers and let them go afterwards.

    Parameters
    ----------
    count : int
        Processes on this machine.
    scheduler : str, optional
        Address of a Dask scheduler (``"tcp://host:8786"``), whose workers are used instead.

    Raises
    ------
    ArgumentError
        ``distributed`` is not installed here, nobody answers there, it has no workers, or one of them lacks flowperf or
        has another version.
    """
    if scheduler is None:
        context = multiprocessing.get_context("spawn")
        workers = Workers(lambda: ProcessPoolExecutor(count, mp_context=context, initializer=_begin), count)
        at_once = True
        try:
            yield workers
            at_once = False
        finally:
            workers.close(at_once=at_once)
        return
    client = _client(scheduler)
    try:
        versions = _versions(client, scheduler)
        yield Workers(lambda: client.get_executor(pure=False), len(versions))
    finally:
        client.close()


def _begin() -> None:
    """End this worker when the process that started it is gone, even killed: nobody else would end it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started it
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _client(scheduler: str) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ArgumentError(
            "--scheduler needs Dask distributed, which is not installed: pip install 'flowperf[fleet]', here and on "
            "the workers."
        ) from error
    try:
        return distributed.Client(scheduler, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        raise ArgumentError(
            f"No Dask scheduler answers at {scheduler[:100]} ({type(error).__name__}): start one with `dask "
            "scheduler`, or leave --scheduler out to compute on this machine."
        ) from error


def _versions(client: Any, scheduler: str) -> dict[str, str]:
    """Workers of a cluster and their versions of the package, all the same as here."""
    try:
        found: dict[str, str] = client.run(_version)
    except Exception as error:  # whatever a worker without the package raises
        raise ArgumentError(
            f"A worker of {scheduler} cannot use flowperf ({type(error).__name__}): install flowperf {__version__} "
            "on every worker."
        ) from error
    if not found:
        raise ArgumentError(f"The scheduler {scheduler} has no workers: start some with `dask worker {scheduler}`.")
    for worker, version in found.items():
        if version != __version__:
            check = f"The worker {worker} has flowperf {version}, and {__version__} is here: "
            raise ArgumentError(f"{check}install the same version on both.")
    return found


def _version() -> str:
    return __version__
