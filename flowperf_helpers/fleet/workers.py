"""One account's answers → its report's files: a pure function, and the workers that compute it, which ask nobody.

Workers are processes of this machine, or those of a Dask cluster, behind one interface. They get frames and no key.
"""

from __future__ import annotations

import functools
import html
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import pandas as pd

from flowperf_helpers import __version__
from flowperf_helpers.errors import ArgumentError, FlowperfError
from flowperf_helpers.fleet import results
from flowperf_helpers.report.data import WeekData

__all__ = ["Rendered", "Task", "Workers", "open_workers", "render", "report_page"]

SECONDS_TO_ANSWER = 10
DEATHS = 3
"""Workers that one account's report may take with it (out of memory, killed) before it counts as failed."""
_MARK = "<!-- a part of the report -->"


# -- what is computed ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What a worker gets: frames and facts, no key, no address of an account, no place to write to.

    Attributes
    ----------
    answers : WeekData
    facts : DataFrame
        ``flow_id, flow_type, template_version``, as `results.flow_rows` wants them.
    version : str
        Of the package that sends it.
    with_page : bool
        Whether the page is made here; not where the notebook makes it.
    earlier : sequence of mapping
        Headlines of the account's other weeks, as far as `flowperf_helpers.report.memory.remember` needs them.
    """

    answers: WeekData
    facts: pd.DataFrame
    version: str = __version__
    with_page: bool = True
    earlier: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Rendered:
    """What a worker gives back.

    Attributes
    ----------
    files : dict
        Kind (``html, parquet, xlsx, json``) to content.
    rows : bytes
        The account's part of the dataset, as Parquet.
    summary : dict
        JSON values for the fleet's own files: ``title, currency, timezone, sandbox, is_final, sentence``.
    cpu_seconds : float
        What it took.
    """

    files: dict[str, bytes]
    rows: bytes
    summary: dict[str, Any]
    cpu_seconds: float


def render(task: Task) -> Rendered:
    """Compute one account's report: the numbers, the page, the data files, the rows of the dataset.

    Raises
    ------
    ArgumentError
        This worker has another version of the package.
    """
    from flowperf_helpers.report.document import WeeklyReport
    from flowperf_helpers.report.export import files

    if task.version != __version__:  # two accounts of a fleet are never counted by two rules
        raise ArgumentError(
            f"A worker has flowperf {__version__} and the fleet was started by {task.version}: install the same "
            "version on both."
        )
    started = time.process_time()
    report = WeeklyReport(task.answers)
    made = files(report)
    contents = {"parquet": made["data.parquet"], "xlsx": made["data.xlsx"], "json": made["headline.json"]}
    if task.with_page:
        contents["html"] = report_page(report, task.earlier).encode()
    rows = results.flow_rows(report, task.facts)
    summary = {
        "title": report.headline()["account"]["title"],
        "currency": task.answers.account["currency"],
        "timezone": str(task.answers.account["timezone"]),
        "sandbox": bool(task.answers.account["sandbox"]),
        "is_final": bool(rows["is_final"].all()),
        "sentence": "; ".join([verdict.title for verdict in report.view.verdicts[:2]] or [report.view.money_place]),
    }
    return Rendered(contents, results.to_parquet(rows), summary, time.process_time() - started)


def report_page(report: Any, earlier: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page that `flowperf weekly` makes of the stock notebook, without a kernel.

    Parameters
    ----------
    report : WeeklyReport
    earlier : sequence of mapping
        As `Task` has them.
    """
    from flowperf_helpers.report.html import bare_part
    from flowperf_helpers.report.memory import linked_weeks, marked_since, memory_part, page_before, remember

    first, *others = (part.html for part in report.parts())
    memory = remember(report.headline(), earlier)
    links = page_before(report.headline(), earlier) | {"../../index.html": "All accounts"}
    first = linked_weeks(marked_since(first, memory), links)
    parts = [bare_part(part) for part in (first, memory_part(memory), *others) if part]
    mark = "SANDBOX: " if report.answers.account["sandbox"] else ""
    head, *between = _shell(len(parts))
    title = f"{mark}{report.headline()['account']['title']}, week {report.answers.week}"
    page = [part + after for part, after in zip(parts, between, strict=True)]
    return head.replace(_MARK, html.escape(title)) + "".join(page)


@functools.cache
def _shell(parts: int) -> tuple[str, ...]:
    """What the page's template puts before, between and after its parts; the template is filled once per worker."""
    from flowperf_helpers.report.html import notebook_page

    slot = "<!-- slot -->"
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code", "execution_count": None, "id": f"part-{number}", "metadata": {}, "source": "",
            "outputs": [{"output_type": "execute_result", "execution_count": 1, "metadata": {},
                         "data": {"text/html": slot}}],
        }
        for number in range(parts)
    ]  # fmt: skip
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    return tuple(notebook_page(notebook, title=_MARK).replace(html.escape(_MARK), _MARK).split(slot))


# -- who computes it -------------------------------------------------------------------------------------------------


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
