"""What a reader adds to the page, a frame or a picture, in the style of the rest."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.report.html import Section, render
from flowperf_helpers.report.tables import Cell, Table

__all__ = ["own_section"]

_WIDTH = 90
_SHARES = ("rate", "share", "probability", "low", "high", "mix_effect", "within_effect", "total_effect")


def own_section(drawn: Any, *, currency: str | None = None, limit: int = 200) -> Section:
    """A frame as a table of the page; a picture, or what else `as_html` takes, as a figure."""
    if isinstance(drawn, pd.Series):
        drawn = drawn.to_frame()
    if isinstance(drawn, pd.DataFrame):
        return render("own", table=_table(drawn, currency, limit), figure=None)
    return render("own", table=None, figure=Markup(as_html(drawn)))  # noqa: S704  as_html escapes what it is given


def _table(frame: pd.DataFrame, currency: str | None, limit: int) -> Table:
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(allow_duplicates=True)
    things = [column.removesuffix("_name") for column in map(str, frame.columns) if column.endswith("_name")]
    told = {*things, *(f"{thing}_id" for thing in things)}
    frame = frame[[column for column in frame.columns if str(column) not in told]]
    columns = [
        [_cell(value, str(name), values.dtype, currency) for value in values.head(limit)]
        for name, values in frame.items()
    ]
    more = f"The first {limit} of {len(frame)} rows." if len(frame) > limit else ""
    return Table([_head(str(name)) for name in frame], [list(row) for row in zip(*columns, strict=True)], more)


def _bare(column: str) -> str:
    return column.removesuffix("_before").removesuffix("_after")


def _head(column: str) -> str:
    label = formats.statistic_label(_bare(column).removesuffix("_name"))
    return label + column.removeprefix(_bare(column)).replace("_", " ")


def _cell(value: Any, column: str, dtype: Any, currency: str | None) -> Cell:
    is_number = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
    if not pd.api.types.is_scalar(value):
        return Cell(short_name(value, _WIDTH))
    if pd.isna(value):
        return Cell(formats.MISSING, None, is_number)
    if isinstance(value, pd.Timestamp):
        return Cell(f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M}", value.timestamp())
    if pd.api.types.is_bool_dtype(dtype):
        return Cell("yes" if value else "no")
    if not is_number:
        return Cell(short_name(value, _WIDTH))
    return Cell(_number(float(value), column, currency), float(value), True)


def _number(value: float, column: str, currency: str | None) -> str:
    bare = _bare(column)
    if bare in ("p_value", "q_value"):
        return f"{value:.4f}"
    if bare == "difference":
        return formats.points_text(value)
    if bare in _SHARES or bare.startswith(("share_", "probability_")):
        return formats.percent_text(value)
    if formats.unit_of(bare) == "count" and not value.is_integer():
        return f"{value:,.2f}"
    return formats.statistic_text(value, bare, currency)
