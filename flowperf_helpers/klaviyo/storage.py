"""Where flowperf keeps things on this machine, and how it writes there: whole or not at all, for the owner only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from flowperf_helpers.errors import StorageError

__all__ = ["StorageWarning", "flowperf_home", "private_folder", "storage_error", "write_private"]


class StorageWarning(UserWarning):
    """A damaged file was set aside and work goes on without it."""


def flowperf_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of snapshots, ledger and tokens, made if it is not there.

    Parameters
    ----------
    environ : mapping, optional
        ``FLOWPERF_HOME`` is read from it; without that the platform's user data folder is taken.

    Returns
    -------
    Path
        Absolute. Where it had to be made only its owner can enter it.

    Raises
    ------
    StorageError
        It cannot be made.
    """
    named = environ.get("FLOWPERF_HOME", "").strip()
    path = Path(named).expanduser() if named else platformdirs.user_data_path("flowperf", appauthor=False)
    return private_folder(path.absolute())


def storage_error(path: Path, error: Exception, what: str) -> StorageError:
    """Return the sentence for a file that could not be used; ``what`` completes "could not be"."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return StorageError(
        f"{path} could not be {what} ({reason}): free or repair it, or point FLOWPERF_HOME at a folder you may write.",
        path=path,
    )


def private_folder(path: Path) -> Path:
    """Make a folder and what is missing above it, for its owner only; one that exists is left as it is."""
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(20, "not a folder")
    except OSError as error:
        raise storage_error(path, error, "made") from error
    return path


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only.

    The bytes go to a neighbour first and reach the disk before the neighbour takes the name, so that a crash, a full
    disk or a second process never shows half a file.

    Raises
    ------
    StorageError
        Full disk, no permission; nothing is left behind.
    """
    private_folder(path.parent)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-", suffix=path.suffix)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise storage_error(path, error, "written") from error
