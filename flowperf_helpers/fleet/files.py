"""One folder of output, local or any fsspec address: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flowperf_helpers.errors import StorageError
from flowperf_helpers.report.run.delivery import filesystem_of, is_address, local_folder

__all__ = ["Target"]

T = TypeVar("T")


class Target:
    """Where a fleet's files go.

    Parameters
    ----------
    out : str or Path
        A folder, made where it is missing, or an fsspec address of one.

    Raises
    ------
    ArgumentError
        An address that nothing here can write to.
    StorageError
        From the methods: full disk, no permission, an address that does not answer.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = str(out)
        self.is_local = not is_address(out)
        place: tuple[Any, str]
        if self.is_local:
            from fsspec.implementations.local import LocalFileSystem

            place = LocalFileSystem(), local_folder(out).as_posix()
        else:
            place = filesystem_of(out)
        self._files, self.root = place[0], place[1].rstrip("/")

    def put(self, place: str, content: bytes) -> int:
        """Write one file whole or not at all, in place of what was there; return its size."""

        def write() -> int:
            if self.is_local:
                _replace(Path(self.root, place), content)
            else:  # an object store shows an object only when it is whole
                self._files.makedirs(f"{self.root}/{place}".rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(f"{self.root}/{place}", content)
            return len(content)

        return self._done(write, f"{place} could not be written into {self.out}", "free some space, or give another "
                          "--out, and run it again: what is done is kept")  # fmt: skip

    def get(self, place: str) -> bytes | None:
        """Return a file's content, None where there is none."""

        def read() -> bytes | None:
            try:
                return bytes(self._files.cat_file(f"{self.root}/{place}"))
            except FileNotFoundError:
                return None

        return self._done(read, f"{place} could not be read from {self.out}", "check the place and its permissions")

    def find(self, pattern: str) -> list[str]:
        """Return the places that fit a pattern with ``*``, sorted."""
        found = self._done(
            lambda: self._files.glob(f"{self.root}/{pattern}"),
            f"{self.out} could not be listed",
            "check the place and its permissions",
        )
        root = str(self._files._strip_protocol(self.root)).rstrip("/")
        return sorted(str(path).removeprefix(root).lstrip("/") for path in found)

    def _done(self, work: Callable[[], T], what: str, advice: str) -> T:
        try:
            return work()
        except Exception as error:  # an address's library raises whatever it likes
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise StorageError(f"{what} ({reason}): {advice}.", path=self.out) from error


def _replace(final: Path, content: bytes) -> None:
    """Write a neighbour, then let it take the name."""
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=final.parent, prefix=".flowperf-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, final)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
