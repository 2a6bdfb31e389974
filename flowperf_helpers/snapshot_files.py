"""One snapshot as one file: a gzip whose first line is a header, whose rest are the pages as they came.

gzip's checksum tells a damaged file; the header holds the whole question, so that a snapshot is never taken for the
answer to another one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["DamagedError", "Header", "canonical", "pack", "query_hash", "unpack"]

FORMAT = 1


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
        head, _, rest = gzip.decompress(data).partition(b"\n")
        fields = json.loads(head)
        if fields.pop("format") != FORMAT:
            raise DamagedError("written by another version")
        header = Header(**fields)
        header.asked_at  # noqa: B018 - a header without a readable time is damaged
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(str(error) or type(error).__name__) from error
    if sum(header.lengths) != len(rest):
        raise DamagedError("pages are missing")
    pages, start = [], 0
    for length in header.lengths:
        pages.append(rest[start : start + length])
        start += length
    return header, tuple(pages)
