"""One account's answers → its report's files: a pure function, for workers that know no key and ask nobody."""

from __future__ import annotations

import functools
import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowperf_helpers import __version__
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.fleet import results
from flowperf_helpers.report.data import WeekData

__all__ = ["Rendered", "Task", "render", "report_page"]

_MARK = "<!-- a part of the report -->"


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


def check_version(version: str, where: str) -> None:
    """Refuse a worker of another version: two accounts of a fleet are never counted by two rules.

    Raises
    ------
    ArgumentError
        Says both versions.
    """
    if version != __version__:
        raise ArgumentError(
            f"{where} has flowperf {__version__} and the fleet was started by {version}: install the same version on "
            "both."
        )


def render(task: Task) -> Rendered:
    """Compute one account's report: the numbers, the page, the data files, the rows of the dataset.

    Raises
    ------
    ArgumentError
        This worker has another version of the package.
    """
    from flowperf_helpers.report.document import WeeklyReport
    from flowperf_helpers.report.export import files

    check_version(task.version, "A worker")
    started = time.process_time()
    report = WeeklyReport(task.answers)
    made = files(report)
    contents = {
        "parquet": made["data.parquet"],
        "xlsx": made["data.xlsx"],
        "json": made["headline.json"],
    }
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
    from flowperf_helpers.report.memory import marked_since, memory_part, remember

    first, *others = (part.html for part in report.parts())
    memory = remember(report.headline(), earlier)
    parts = [bare_part(part) for part in (marked_since(first, memory), memory_part(memory), *others) if part]
    mark = "SANDBOX: " if report.answers.account["sandbox"] else ""
    head, *between = _shell(len(parts))
    title = f"{mark}{report.headline()['account']['title']}, week {report.answers.week}"
    page = [head.replace(_MARK, html.escape(title))]
    for part, after in zip(parts, between, strict=True):
        page += [part, after]
    return "".join(page)


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
