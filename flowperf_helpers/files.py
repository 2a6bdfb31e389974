"""A report's numbers as files: one Parquet file, one spreadsheet, one JSON of headline numbers.

The Parquet file is the tidy frame of `WeeklyReport.tidy`: one row per answer × group (× interval), its column
``frame`` naming the answer. The spreadsheet has one sheet per table of `WeeklyReport.tables`.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.errors import StorageError

__all__ = ["write_headline", "write_parquet", "write_sheets"]

CELL_LIMIT = 32_767
"""Characters a spreadsheet's cell may hold."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SHEET = re.compile(r"[\[\]:*?/\\]")
_POINTS = ("difference", "low", "high", "mix_effect", "within_effect", "total_effect")


def _full(path: Path, error: Exception) -> StorageError:
    reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return StorageError(f"{path.name} could not be written ({reason}): free some space and run it again.", path=path)


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame with its dtypes and its ``attrs``.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    try:
        frame.to_parquet(path, index=False)
    except OSError as error:
        raise _full(path, error) from error


def write_headline(values: Mapping[str, Any], path: Path) -> None:
    """Write JSON that every reader takes: UTF-8, no NaN.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    text = json.dumps(_finite(values), ensure_ascii=False, indent=2, allow_nan=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise _full(path, error) from error


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_sheets(tables: Mapping[str, pd.DataFrame], path: Path, *, title: str, currency: str | None = None) -> None:
    """Write one sheet per table: real numbers and dates, frozen and filterable heads, a format per unit.

    Texts stay texts: nothing becomes a formula or a link, whatever it starts with. Times are written as the account's
    wall time, as spreadsheets know no zones.

    Parameters
    ----------
    tables : mapping
        Sheet name to frame.
    title : str
        Kept in the file's properties.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    import xlsxwriter

    options = {
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": False,
        "in_memory": True,
    }
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, options) as book:
        book.set_properties({"title": _CONTROL.sub("", title)[:250], "comments": "Made by flowperf"})
        formats = _formats(book, currency)
        for name, frame in tables.items():
            _sheet(book, _SHEET.sub(" ", _CONTROL.sub("", name))[:31], frame, formats)
    try:
        path.write_bytes(made.getvalue())
    except OSError as error:
        raise _full(path, error) from error


def _formats(book: Any, currency: str | None) -> dict[str, Any]:
    # a code of letters; anything else would end the format, or the file
    code = "".join(c for c in currency or "" if c.isalnum())[:8]
    money = f'#,##0.00 "{code}"' if code else "#,##0.00"
    patterns = {
        "fraction": "0.00%", "small": "0.000%", "count": "#,##0", "money": money, "ratio": "0.00",
        "date": "yyyy-mm-dd", "time": "yyyy-mm-dd hh:mm", "p": "0.0000", "text": "@",
    }  # fmt: skip
    made = {name: book.add_format({"num_format": pattern}) for name, pattern in patterns.items()}
    made["head"] = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
    return made


def _sheet(book: Any, name: str, frame: pd.DataFrame, formats: Mapping[str, Any]) -> None:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 0)
    if frame.shape[1]:
        sheet.autofilter(0, 0, max(len(frame), 1), frame.shape[1] - 1)
    for number, column in enumerate(frame.columns):
        values = frame[column]
        look = formats[_look(str(column), values)]
        sheet.write_string(0, number, _CONTROL.sub("", str(column)), formats["head"])
        sheet.set_column(number, number, _width(str(column), values))
        for line, value in enumerate(values.array, start=1):
            _write(sheet, line, number, value, look, formats)


def _look(column: str, values: pd.Series) -> str:
    from flowperf_helpers.formats import unit_of

    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        known = values.dropna()
        return "date" if len(known) and (known == known.dt.normalize()).all() else "time"
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        return "text"
    if column in ("p_value", "q_value"):
        return "p"
    if column in _POINTS or column.startswith(("rate", "share", "probability")):
        return "small"
    bare = column.removesuffix("_before").removesuffix("_after")
    unit = unit_of(bare)
    if unit == "count" and pd.api.types.is_float_dtype(values.dtype) and not (values.dropna() % 1 == 0).all():
        return "ratio"
    return {"fraction": "fraction", "money": "money", "count": "count"}.get(unit, "ratio")


def _width(column: str, values: pd.Series) -> float:
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return max(11, min(len(column) + 2, 18))
    longest = int(values.dropna().astype(str).str.len().max() or 0) if values.notna().any() else 0
    return max(10, min(max(longest, len(column)) + 2, 60))


def _write(sheet: Any, line: int, number: int, value: Any, look: Any, formats: Mapping[str, Any]) -> None:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        sheet.write_blank(line, number, None, look)
    elif isinstance(value, pd.Timestamp):
        sheet.write_datetime(line, number, value.tz_localize(None).to_pydatetime(), look)
    elif isinstance(value, bool | np.bool_):
        sheet.write_boolean(line, number, bool(value))
    elif isinstance(value, int | float) or hasattr(value, "dtype"):
        sheet.write_number(line, number, float(value), look)
    else:
        sheet.write_string(line, number, _CONTROL.sub("", str(value))[:CELL_LIMIT], formats["text"])
