"""Tidy rows of many snapshots as Parquet, asked by an engine made for that (pyarrow's dataset), not by loops."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.columns import NAMES, text_column
from flowperf_helpers.home import storage_error, write_private

__all__ = ["read_rows", "write_rows"]

FETCHED_AT = "fetched_at"
QUERY = "query"


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
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, compression="zstd")
    write_private(path, sink.getvalue())


def read_rows(
    files: Sequence[Path], *, where: Mapping[str, Any], since: datetime | None, columns: Sequence[str] | None
) -> pd.DataFrame:
    """Return the rows of all files that fit, oldest asking first.

    Columns that only some files have are NA elsewhere. Integers come as ``Int64``, truth values as ``boolean``.

    Raises
    ------
    StorageError
        A file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    if not files:
        return pd.DataFrame({FETCHED_AT: pd.Series(dtype="datetime64[us, UTC]"), QUERY: pd.Series(dtype="str")})
    try:
        types: dict[str, set[pa.DataType]] = {}
        for file in files:
            for field in pq.read_schema(file):
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
        reader = ds.ParquetFileFormat(dictionary_columns=names)
        dataset = ds.dataset([str(file) for file in files], schema=schema, format=reader)
        chosen = None if columns is None else [FETCHED_AT, *(name for name in columns if name != FETCHED_AT)]
        table = dataset.to_table(columns=chosen, filter=condition)
        table = table.sort_by(FETCHED_AT)
    except (OSError, pa.ArrowException) as error:
        raise storage_error(files[0].parent, error, "read as Parquet") from error
    frame = table.to_pandas(types_mapper=dtypes.get)
    for name in frame.columns.intersection(list(NAMES)):
        codes, texts = frame[name].cat.codes, text_column(name, frame[name].cat.categories)
        frame[name] = texts.take(codes, allow_fill=True)
    return frame


def _common(types: set[Any]) -> Any:
    """Return a type that all of them fit: the wider one, or text where a column changed its kind between snapshots."""
    import pyarrow as pa

    fields = [pa.schema([("it", kind)]) for kind in sorted(types, key=str)]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return pa.large_string()
