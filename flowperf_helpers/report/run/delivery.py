"""Files of a report brought to where they belong, whole or not at all, and the moment by which a run has to end."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flowperf_helpers.errors import ArgumentError, DeadlineError, StorageError

__all__ = [
    "Deadline", "Delivered", "check_target", "deliver", "filesystem_of", "is_address", "local_folder", "workplace",
]  # fmt: skip

T = TypeVar("T")

_FILE_SERVERS = ("ftp", "sftp", "ssh")
"""Where a file can be seen before it is whole; they rename, other than object stores, which show whole objects only."""
_CHUNK = 2**20


class Deadline:
    """What is left of the seconds given for a run, from the look-up of names to the delivery of its files.

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


@dataclass(frozen=True)
class Delivered:
    """One file at its place: kind (``"html"``), path or address, size in bytes."""

    kind: str
    path: str
    size: int


def is_address(target: str | Path) -> bool:
    """Whether a target is an fsspec address (``s3://…``, ``memory://…``) and not a local folder."""
    return "://" in str(target) and not str(target).startswith("file://")


def local_folder(target: str | Path) -> Path:
    """A local target as an absolute path; ``file://`` is understood.

    Raises
    ------
    ArgumentError
        The path is relative to a working folder that is gone, or to a home that nobody knows.
    """
    try:
        return Path(str(target).removeprefix("file://")).expanduser().absolute()
    except OSError as error:
        raise ArgumentError("The working folder was deleted: change into one that exists.") from error
    except RuntimeError as error:
        raise ArgumentError(f"The home folder of {target} is not known: give a whole path.") from error


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder that only its owner can enter, gone afterwards.

    Raises
    ------
    ArgumentError
        TMPDIR does not name a folder that can be written into.
    StorageError
        No temporary folder takes a file.
    """
    given = os.environ.get("TMPDIR")
    if given and not (os.path.isdir(given) and os.access(given, os.W_OK | os.X_OK)):
        raise ArgumentError(f"TMPDIR is {given}, which is not a folder that can be written into: name another one.")
    try:
        folder = Path(tempfile.mkdtemp(prefix="flowperf-"))
    except OSError as error:
        raise StorageError(
            f"No temporary folder could be made ({error.strerror}): free some space, or let TMPDIR point elsewhere.",
            path=os.environ.get("TMPDIR", "/tmp"),  # noqa: S108  only named
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_target(target: str | Path, *, deadline: Deadline | None = None) -> None:
    """Find out before anything runs whether files can be written there; a local folder is made.

    Raises
    ------
    DeadlineError
        The address did not answer in time.
    ArgumentError
        No such kind of address, or its library is not installed.
    StorageError
        A file stands in the way, or writing is not allowed.
    """
    if is_address(target):
        (deadline or Deadline()).hold(f"{target} did not answer", lambda: filesystem_of(target))
        return
    folder = local_folder(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"Nothing can be written into {target} ({error.strerror}): give another folder with --out.", path=folder
        ) from error


def deliver(
    files: Mapping[str, Path], target: str | Path, *, names: Mapping[str, str], deadline: Deadline | None = None
) -> list[Delivered]:
    """Bring finished files to their target; a reader sees the old file or the new one, never half of one.

    All places are looked at and all files copied beside them first, so that a folder in the way or a full disk is
    noticed before any old file is replaced. The copies have names that nobody can guess, and no link is followed: one
    that lies at a file's place is replaced, what it points to is not touched.

    Parameters
    ----------
    files : mapping
        Kind to finished file.
    target : str or Path
        A folder, made where it is missing, or an fsspec address of one.
    names : mapping
        Kind to the file's final name.
    deadline : Deadline, optional
        When to give up. A local folder then has none of the new files; at an address those that had arrived are whole.

    Raises
    ------
    DeadlineError
        The deadline passed; says what had arrived.
    StorageError
        Full disk, no permission, a folder in the way, an address that does not answer; says what was replaced by then.
    """
    kinds = [kind for kind in names if kind in files]
    deadline = deadline or Deadline()
    if is_address(target):
        return _upload(files, str(target), names, kinds, deadline)
    folder = local_folder(target)
    finals = {kind: folder / names[kind] for kind in kinds}
    waiting: dict[str, Path] = {}
    placed: list[Delivered] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for final in finals.values():
            if final.is_dir() and not final.is_symlink():
                raise IsADirectoryError(errno.EISDIR, f"{final.name} is a folder")
        for kind in kinds:
            handle, name = tempfile.mkstemp(dir=folder, prefix=".flowperf-", suffix=".part")
            waiting[kind] = Path(name)
            with os.fdopen(handle, "wb") as copy, files[kind].open("rb") as file:
                while chunk := file.read(_CHUNK):
                    deadline.check(f"{names[kind]} was being written into {target}")
                    copy.write(chunk)
            shutil.copymode(files[kind], name)
        for kind, final in finals.items():
            size = waiting[kind].stat().st_size
            os.replace(waiting[kind], final)
            shown = Path(str(target).removeprefix("file://")) / final.name  # a relative one stays relative
            placed.append(Delivered(kind, str(shown), size))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        replaced = ", ".join(Path(done.path).name for done in placed)
        what = f"{replaced} had been replaced, the others are" if replaced else "what lay there before is"
        raise StorageError(
            f"The report could not be written into {target} ({reason}): {what} untouched.", path=folder
        ) from error
    finally:
        for beside in waiting.values():
            beside.unlink(missing_ok=True)
    return placed


def filesystem_of(target: str | Path) -> tuple[Any, str]:
    """The fsspec file system of a target, and its path there.

    Raises
    ------
    ArgumentError
        No such kind of address, or its library is not installed.
    """
    import fsspec

    if not is_address(target):
        return fsspec.filesystem("file"), str(local_folder(target))
    scheme = str(target).partition("://")[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(str(target))
    except (ImportError, ValueError) as error:
        raise ArgumentError(
            f"Nothing here can write to {scheme}:// addresses: install its fsspec library (s3fs for s3, gcsfs for gs)."
        ) from error
    except (TypeError, OSError) as error:  # a library that wants more than an address, or asks its server at once
        raise ArgumentError(
            f"{scheme}:// addresses need more than what --out can say ({type(error).__name__}): give a folder, or an "
            "address of a store such as s3://bucket/reports."
        ) from error
    return filesystem, path


def _upload(
    files: Mapping[str, Path], target: str, names: Mapping[str, str], kinds: Sequence[str], deadline: Deadline
) -> list[Delivered]:
    done: list[Delivered] = []
    try:
        filesystem, path = deadline.hold(f"{target} did not answer", lambda: filesystem_of(target))
        deadline.hold(f"{target} did not answer", partial(filesystem.makedirs, path, exist_ok=True))
        for kind in kinds:
            final = f"{path.rstrip('/')}/{names[kind]}"
            deadline.hold(f"{names[kind]} was being sent to {target}", partial(_put, filesystem, files[kind], final))
            done.append(Delivered(kind, f"{target.rstrip('/')}/{names[kind]}", files[kind].stat().st_size))
    except ArgumentError:
        raise
    except Exception as error:
        arrived = f"{len(done)} of {len(kinds)} files are there"
        if isinstance(error, DeadlineError):
            raise DeadlineError(f"{error} ({arrived})") from error
        why = f"The report could not be written to {target} ({type(error).__name__}): {arrived}; run it again."
        raise StorageError(why, path=target) from error
    return done


def _put(filesystem: Any, file: Path, final: str) -> None:
    """Write one object or file; who looks for its name finds it whole, or the old one."""
    protocols = (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    if not set(protocols) & set(_FILE_SERVERS):
        filesystem.put_file(str(file), final)
        return
    folder, _, name = final.rpartition("/")
    part = f"{folder}/.{name}.{secrets.token_hex(4)}.part"
    filesystem.put_file(str(file), part)
    filesystem.mv(part, final)
