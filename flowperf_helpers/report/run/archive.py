"""The weeks that an output folder holds: read back from their own files, and shown on one page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from flowperf_helpers.errors import StorageError
from flowperf_helpers.report.run.delivery import filesystem_of

__all__ = ["read_headlines"]

_FILE = re.compile(r"(?P<prefix>.+)-(?P<account>[A-Za-z0-9][A-Za-z0-9_.-]*)-(?P<week>\d{4}-W\d{2})\.json")
LARGEST = 2_000_000
"""Bytes of a headline file that is read; a real one has some ten thousand."""


def read_headlines(out: str | Path, *, prefix: str = "weekly", account: str | None = None) -> list[dict[str, Any]]:
    """Return the headlines of all weeks in an output folder, in the order of account and week.

    A file that is not a headline of ours, whatever its name, is left out.

    Parameters
    ----------
    out : path or address
    prefix : str
        How the files begin.
    account : str, optional
        Only of this one.

    Raises
    ------
    StorageError
        The folder cannot be read.
    """
    filesystem, folder = filesystem_of(out)
    start = f"{prefix}-{account}-" if account else f"{prefix}-"
    try:
        filesystem.invalidate_cache()
        found = filesystem.ls(folder, detail=True) if filesystem.exists(folder) else []
        paths = [
            entry["name"]
            for entry in found
            if entry["type"] == "file" and entry["size"] <= LARGEST and _is_ours(entry["name"], start)
        ]
        whole = [None] * len(paths)
        contents = filesystem.cat_ranges(paths, whole, whole, on_error="return")
    except Exception as error:
        raise StorageError(
            f"The earlier weeks in {out} could not be read ({type(error).__name__}): run it again later.", path=str(out)
        ) from error
    headlines = [read for content in contents if (read := _headline(content)) is not None]
    return sorted(headlines, key=lambda read: (read["account"]["name"], read["week"]))


def _is_ours(path: str, start: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(start) and _FILE.fullmatch(name) is not None


def _headline(content: bytes) -> dict[str, Any] | None:
    """Return a decoded headline, or None where a file is something else."""
    try:
        read = json.loads(content)
        if read["schema"] != "flowperf-weekly-headline" or read["schema_version"] != 1:
            return None
        usable = isinstance(read["account"]["name"], str) and re.fullmatch(r"\d{4}-W\d{2}", read["week"])
        whole = all(
            isinstance(signal[key], str)
            for signal in read["signals"]
            for key in ("flow_id", "statistic", "kind", "text")
        )
        return read if usable and whole and isinstance(read["numbers"], list) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
