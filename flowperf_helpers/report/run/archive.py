"""The weeks that an output folder holds: read back from their own files, and listed on one page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flowperf_helpers.account.connection import latest_now
from flowperf_helpers.account.timeframes import last_complete_week
from flowperf_helpers.errors import OverdueError, StorageError
from flowperf_helpers.klaviyo.accounts_file import read_section
from flowperf_helpers.report.archive import OURS, archive_page, entry
from flowperf_helpers.report.run.delivery import Delivered, deliver, filesystem_of

__all__ = ["INDEX", "Headlines", "check_last", "may_replace", "read_headlines", "series_of", "update_archive"]

INDEX = "index.html"
LARGEST = 2_000_000
"""Bytes of a headline file that is read; a real one has some ten thousand."""

_STEM = re.compile(r"(?P<series>.+)-\d{4}-W\d{2}")

Headlines = dict[str, dict[str, Any]]
"""Headlines by the names of their files, without ``.json``."""


def series_of(headlines: Mapping[str, dict[str, Any]], series: str) -> list[dict[str, Any]]:
    """Return the headlines of one report of one account (``"weekly-acme"``), in the order of the weeks."""
    return [headline for stem, headline in sorted(headlines.items()) if stem[: -len("-2026-W47")] == series]


def read_headlines(out: str | Path) -> Headlines:
    """Return the headlines of all weeks in an output folder; what is not a headline of ours is left out.

    Raises
    ------
    StorageError
        The folder cannot be read.
    """
    filesystem, folder = filesystem_of(out)
    try:
        filesystem.invalidate_cache()
        found = filesystem.ls(folder, detail=True) if filesystem.exists(folder) else []
        paths = [e["name"] for e in found if e["type"] == "file" and e["size"] <= LARGEST and _stem(e["name"])]
        whole = [None] * len(paths)
        contents = filesystem.cat_ranges(paths, whole, whole, on_error="return") if paths else []
    except Exception as error:
        raise StorageError(f"The weeks in {out} could not be read ({type(error).__name__}).", path=str(out)) from error
    pairs = ((_stem(path), _headline(content)) for path, content in zip(paths, contents, strict=True))
    return {stem: headline for stem, headline in pairs if headline is not None and stem.endswith(headline["week"])}


def _stem(path: str) -> str:
    """Return a file's name without ``.json``; empty where it is not named like a headline."""
    name = path.rpartition("/")[2]
    stem = name.removesuffix(".json")
    return stem if stem != name and _STEM.fullmatch(stem) else ""


def _headline(content: Any) -> dict[str, Any] | None:
    """Return a decoded headline, or None where a file is something else."""
    try:
        read = json.loads(content)
        if (read["schema"], read["schema_version"]) != ("flowperf-weekly-headline", 1):
            return None
        entry("", read, [read])  # whatever cannot be listed is not a headline, whoever wrote it
        return dict(read)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def update_archive(out: str | Path, work: Path) -> Delivered | None:
    """Write ``index.html`` over all weeks that an output folder holds; a page of somebody else's is left alone.

    Parameters
    ----------
    work : path
        A folder for the page until it is whole.

    Returns
    -------
    Delivered or None
        None where another page has that name.

    Raises
    ------
    StorageError
        The folder cannot be read or written.
    """
    if not may_replace(out):
        return None
    page = work / INDEX
    try:
        page.write_text(archive_page(read_headlines(out)), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{INDEX} could not be written ({error.strerror}).", path=work) from error
    return deliver({"index": page}, out, names={"index": INDEX})[0]


def may_replace(out: str | Path) -> bool:
    """Whether the list of weeks is ours to write: no page is there, or one that we wrote.

    Raises
    ------
    StorageError
        The folder cannot be read.
    """
    filesystem, folder = filesystem_of(out)
    path = f"{folder.rstrip('/')}/{INDEX}"
    try:
        return not filesystem.isfile(path) or OURS.encode() in filesystem.cat_file(path, 0, 2_000)
    except Exception as error:
        raise StorageError(f"{INDEX} in {out} could not be read ({type(error).__name__}).", path=str(out)) from error


def check_last(account: str, out: str | Path, *, prefix: str = "weekly", now: datetime | None = None) -> str:
    """Return a sentence about the report of the last complete week, which is due as soon as the week has ended.

    It is judged by the files alone: nothing is asked, and no key is needed. A report of a week that still ran does not
    count, one of a later week does.

    Parameters
    ----------
    account, out, prefix
        Whose report, and where it goes.
    now : datetime, optional
        Aware; of the account's clock, which is taken from its last report or its settings.

    Raises
    ------
    OverdueError
        It is not there.
    StorageError
        The folder cannot be read.
    """
    weeks = [week for week in series_of(read_headlines(out), f"{prefix}-{account}") if not week["is_partial"]]
    last = weeks[-1] if weeks else None
    due = str(last_complete_week(now or _now(account, last)).week)
    if last is None:
        raise OverdueError(f"No report of {account} is in {out}, and that of {due} is due: run flowperf weekly now.")
    if last["week"] < due:
        raise OverdueError(
            f"The report of {account} for {due} is not in {out}: the last one is that of {last['week']}, made "
            f"{last['made_at'][:10]}. Run flowperf weekly now and look why it did not run."
        )
    return f"the report of {account} for {last['week']} is there, made {last['made_at'][:16].replace('T', ' ')}"


def _now(account: str, last: Mapping[str, Any] | None) -> datetime:
    """Return the account's time: that of the embedded account stands still."""
    if account == "sandbox":
        return latest_now(account)
    if last is None:
        zone = None if account == "live" else read_section(account).get("timezone")
    else:
        zone = last["account"]["timezone"]
    return datetime.now(ZoneInfo(zone or "UTC"))
