"""One snapshot as one file: a gzip whose first line is a header, whose rest are the pages as they came.

gzip's checksum tells a damaged file; the header holds the whole question, so that a snapshot is never taken for the
answer to another one.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import stat
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = [
    "LARGEST",
    "DamagedError",
    "Header",
    "canonical",
    "is_regular",
    "pack",
    "query_hash",
    "read_regular",
    "unpack",
]

FORMAT = 1
LARGEST = 256 * 2**20
"""Bytes of the pages of one snapshot: more is not kept, and a file that unpacks to more is not believed."""

_HEAD = 2**20
_UNUSABLE = (errno.EACCES, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENXIO)
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class DamagedError(ValueError):
    """The bytes are no whole snapshot."""


@dataclass(frozen=True)
class Header:
    """What a snapshot knows of itself.

    Attributes
    ----------
    account_key, endpoint, revision, body : str
        The question: host and fingerprint, path, revision asked, canonical JSON body.
    served : str
        Revision that answered.
    fetched_at : str
        ISO, UTC: when it was asked.
    window_end : str or None
        ISO, UTC, exclusive end of the window; None for a preset.
    settled : bool
        Whether the window had settled when it was asked.
    lengths : list of int
        Bytes per page.
    """

    account_key: str
    endpoint: str
    revision: str
    body: str
    served: str
    fetched_at: str
    window_end: str | None
    settled: bool
    lengths: list[int]

    @property
    def asked_at(self) -> datetime:
        """``fetched_at`` as an aware datetime."""
        return datetime.fromisoformat(self.fetched_at).astimezone(UTC)

    @property
    def question(self) -> tuple[str, str, str, str]:
        """What the snapshot answers."""
        return self.account_key, self.endpoint, self.revision, self.body


def canonical(body: Mapping[str, Any]) -> str:
    """Return a body in the one spelling that all equal bodies share."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def query_hash(question: tuple[str, str, str, str]) -> str:
    """Return a name for a question: 32 hexadecimal digits."""
    return hashlib.blake2b("\n".join(question).encode(), digest_size=16).hexdigest()


def is_regular(path: Path) -> bool:
    """Return whether a file is one itself, not a link to one nor a pipe, a folder or a device."""
    return stat.S_ISREG(path.lstat().st_mode)


def read_regular(path: Path) -> bytes:
    """Return the bytes of a file, of `LARGEST` at most; never follows a link, never waits for a writer.

    Raises
    ------
    DamagedError
        It is another thing than a file, or cannot be read.
    OSError
        Whatever is wrong with more than this file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError as error:
        if error.errno in _UNUSABLE:
            raise DamagedError(f"not a readable file: {error.strerror}") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise DamagedError("not a regular file")
        with open(handle, "rb", closefd=False) as file:
            return file.read(LARGEST)
    except OSError as error:
        raise DamagedError(f"not a readable file: {error.strerror}") from error
    finally:
        os.close(handle)


def pack(header: Header, pages: tuple[bytes, ...]) -> bytes:
    """Return the file's bytes."""
    head = json.dumps({"format": FORMAT, **asdict(header)}).encode() + b"\n"
    return gzip.compress(head + b"".join(pages), compresslevel=6, mtime=0)


def unpack(data: bytes) -> tuple[Header, tuple[bytes, ...]]:
    """Return header and pages.

    Raises
    ------
    DamagedError
        Anything else than what `pack` made.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            whole = file.read(LARGEST + _HEAD + 1)
        if len(whole) > LARGEST + _HEAD:
            raise DamagedError(f"it unpacks to more than {LARGEST >> 20} MB")
        head, _, rest = whole.partition(b"\n")
        fields = json.loads(head)
        if fields.pop("format") != FORMAT:
            raise DamagedError("written by another version")
        header = Header(**fields)
        header.asked_at  # noqa: B018 - a header without a readable time is damaged
        if min(header.lengths, default=0) < 0 or sum(header.lengths) != len(rest):
            raise DamagedError("pages are missing")
    except DamagedError:
        raise
    except (
        OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise DamagedError(str(error) or type(error).__name__) from error
    pages, start = [], 0
    for length in header.lengths:
        pages.append(rest[start : start + length])
        start += length
    return header, tuple(pages)
