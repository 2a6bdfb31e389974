"""Tidy rows of many snapshots as Parquet, asked by an engine made for that (pyarrow's dataset), not by loops."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.columns import NAMES, text_column
from flowperf_helpers.home import write_private
from flowperf_helpers.snapshot_files import DamagedError, is_regular

__all__ = ["damaged_rows", "read_rows", "write_rows"]

FETCHED_AT = "fetched_at"
QUERY = "query"

_MOST_ROWS, _MOST_BYTES = 5_000_000, 2**30
"""Of one answer; a file that tells of more is not believed."""


def write_rows(path: Path, rows: pd.DataFrame, *, fetched_at: datetime, query: str) -> None:
    """Write the rows of one snapshot, with the time of asking and the query's name as columns of their own.

    Without a row there is nothing to write: such columns have no dtype worth keeping.
    """
    if rows.empty:
        return
    import pyarrow as pa
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


def read_rows(
    files: Sequence[Path], *, where: Mapping[str, Any], since: datetime | None, columns: Sequence[str] | None
) -> pd.DataFrame:
    """Return the rows of all files that fit, oldest asking first.

    Columns that only some files have are NA elsewhere. Integers come as ``Int64``, truth values as ``boolean``.

    Raises
    ------
    DamagedError
        A file is another thing than `write_rows` made; `damaged_rows` says which.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
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
        known = [name for name in where if name in schema.names]
        if len(known) < len(where):
            return schema.empty_table().select(list(columns or schema.names)).to_pandas(types_mapper=dtypes.get)
        condition = pc.scalar(True)
        for name in known:
            value = where[name]
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
        chosen = None if columns is None else [FETCHED_AT, *(name for name in columns if name != FETCHED_AT)]
        table = dataset.to_table(columns=chosen, filter=condition)
        table = table.sort_by(FETCHED_AT)
        frame = table.to_pandas(types_mapper=dtypes.get)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedError(str(error)) from error
    for name in frame.columns.intersection(list(NAMES)):
        codes, texts = frame[name].cat.codes, text_column(name, frame[name].cat.categories)
        frame[name] = texts.take(codes, allow_fill=True)
    return frame


def damaged_rows(files: Sequence[Path]) -> dict[Path, DamagedError]:
    """Return the files among them that cannot be read, each with the reason; reads them whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = {}
    for file in files:
        try:
            _schema(file)
            pq.read_table(file, page_checksum_verification=True).to_pandas()
        except DamagedError as error:
            found[file] = error
        except (OSError, ValueError, pa.ArrowException) as error:
            found[file] = DamagedError(str(error))
    return found


def _schema(file: Path) -> Any:
    """Columns of one file, if it looks like one of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not is_regular(file):
        raise DamagedError("not a regular file")
    about = pq.read_metadata(file)
    size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > _MOST_ROWS or size > _MOST_BYTES:
        raise DamagedError(f"it tells of {about.num_rows} rows and {size} bytes")
    schema = about.schema.to_arrow_schema()
    expected = {FETCHED_AT: pa.timestamp("us", "UTC"), QUERY: None}
    for name, kind in expected.items():
        if name not in schema.names or (kind is not None and schema.field(name).type != kind):
            raise DamagedError(f"the column {name} is missing or of another kind")
    return schema


def _common(types: set[Any]) -> Any:
    """Return a type that all of them fit: the wider one, or text where a column changed its kind between snapshots."""
    import pyarrow as pa

    fields = [pa.schema([("it", kind)]) for kind in sorted(types, key=str)]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return pa.large_string()
