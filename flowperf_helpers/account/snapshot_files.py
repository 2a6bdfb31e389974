"""One snapshot as one file, and the tidy rows of many snapshots as Parquet."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import stat
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flowperf_helpers.frames.columns import NAMES, text_column
from flowperf_helpers.klaviyo.storage import write_private

__all__ = [
    "LARGEST", "DamagedError", "Header", "canonical", "damaged_rows", "pack", "query_hash", "read_regular", "read_rows",
    "unpack", "write_rows",
]  # fmt: skip


# One snapshot as one file: a gzip whose first line is a header, whose rest are the pages as they came.
#
# gzip's checksum shows a damaged file; the header holds the whole question, so that a snapshot is never taken for
# the answer to another one.

FORMAT = 1
LARGEST = 256 * 2**20
"""Bytes of the pages of one snapshot: more is not kept, and a file that unpacks to more is not believed."""

_HEAD = 2**20
_UNUSABLE = (errno.EACCES, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENXIO)
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class DamagedError(ValueError):
    """The bytes are not a whole snapshot."""


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
        pages = io.BytesIO(rest)
        return header, tuple(pages.read(length) for length in header.lengths)
    except DamagedError:
        raise
    except (
        OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise DamagedError(str(error) or type(error).__name__) from error


# Tidy rows of many snapshots as Parquet, asked by an engine made for that (pyarrow's dataset), not by loops.

FETCHED_AT = "fetched_at"
QUERY = "query"

_MOST_ROWS, _MOST_BYTES = 5_000_000, 2**30
"""Of one answer; a file that claims more is not read."""


def write_rows(path: Path, rows: pd.DataFrame, *, fetched_at: datetime, query: str) -> None:
    """Write the rows of one snapshot, with the time of the request and the query's name as columns of their own.

    Without a row there is nothing to write: such columns have no dtype worth keeping.
    """
    if rows.empty:
        return
    import pyarrow.parquet as pq

    own = [name for name in (FETCHED_AT, QUERY) if name in rows.columns]
    frame = rows.drop(columns=own).reset_index(drop=True)
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):  # one dtype in all files, whatever the categories
            frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    moment = pd.Timestamp(fetched_at).tz_convert("UTC").as_unit("us")
    frame.insert(0, FETCHED_AT, pd.Series([moment] * len(frame), dtype="datetime64[us, UTC]"))
    frame.insert(1, QUERY, pd.Series([query] * len(frame), dtype="str"))
    frame.attrs = {}
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_private(path, sink.getvalue())


def read_rows(files: Sequence[Path], *, where: Mapping[str, Any], since: datetime | None) -> pd.DataFrame:
    """Return the rows of all files that fit, oldest request first.

    Columns that only some files have are NA elsewhere. Integers come as ``Int64``, truth values as ``boolean``.

    Raises
    ------
    DamagedError
        A file is another thing than `write_rows` made; `damaged_rows` says which.
    """
    import pyarrow.dataset as ds

    dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    if not files:
        return pd.DataFrame({FETCHED_AT: pd.Series(dtype="datetime64[us, UTC]"), QUERY: pd.Series(dtype="str")})
    try:
        types: dict[str, set[pa.DataType]] = {}
        for file in files:
            for field in _schema(file):
                types.setdefault(field.name, set()).add(field.type)
        schema = pa.schema([(name, _common(found)) for name, found in types.items()])
        if not set(where) <= set(schema.names):
            return schema.empty_table().to_pandas(types_mapper=dtypes.get)
        condition = pc.scalar(True)
        for name, value in where.items():
            values = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
            condition &= pc.field(name).isin(values)
        if since is not None:
            condition &= pc.field(FETCHED_AT) >= pa.scalar(pd.Timestamp(since).tz_convert("UTC").to_pydatetime())
        names = [name for name in NAMES if name in schema.names]
        for name in names:
            schema = schema.set(schema.get_field_index(name), pa.field(name, pa.dictionary(pa.int32(), pa.string())))
        # `page_checksum_verification` makes a changed byte an error instead of another number
        scan = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        parquet = ds.ParquetFileFormat(dictionary_columns=names, default_fragment_scan_options=scan)
        dataset = ds.dataset([str(file) for file in files], schema=schema, format=parquet)
        table = dataset.to_table(filter=condition).sort_by(FETCHED_AT)
        frame = table.to_pandas(types_mapper=dtypes.get)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedError(str(error)) from error
    for name in frame.columns.intersection(list(NAMES)):
        codes, texts = frame[name].cat.codes, text_column(name, frame[name].cat.categories)
        frame[name] = texts.take(codes, allow_fill=True)
    return frame


def damaged_rows(files: Sequence[Path]) -> dict[Path, DamagedError]:
    """Return the files among them that cannot be read, each with the reason; reads them whole."""
    import pyarrow.parquet as pq

    found = {}
    for file in files:
        try:
            _schema(file)
            pq.read_table(file, page_checksum_verification=True).to_pandas()
        except (OSError, ValueError, pa.ArrowException) as error:
            found[file] = DamagedError(str(error))
    return found


def _schema(file: Path) -> Any:
    """Columns of one file, if it looks like one of ours."""
    import pyarrow.parquet as pq

    if not stat.S_ISREG(file.lstat().st_mode):  # a link to a file, a pipe, a folder or a device
        raise DamagedError("not a regular file")
    about = pq.read_metadata(file)
    size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > _MOST_ROWS or size > _MOST_BYTES:
        raise DamagedError(f"it claims {about.num_rows} rows and {size} bytes")
    schema = about.schema.to_arrow_schema()
    for name, kind in ((FETCHED_AT, pa.timestamp("us", "UTC")), (QUERY, None)):
        if name not in schema.names or (kind is not None and schema.field(name).type != kind):
            raise DamagedError(f"the column {name} is missing or of another kind")
    return schema


def _common(types: set[Any]) -> Any:
    """Return a type that all of them fit: the wider one, or text where a column changed its kind between snapshots."""
    fields = [pa.schema([("it", kind)]) for kind in sorted(types, key=str)]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return pa.large_string()
