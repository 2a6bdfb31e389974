"""What a mark of a picture says when a pointer rests on it: a transparent layer over the flat image.

The image stays as it is, for paper, mail and readers that drop what they do not know; the layer is an inline SVG of the
same size whose circles and boxes have a ``<title>``, which a browser shows without a script.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, Formatter

__all__ = ["exact", "layer", "tell"]

_MOST = 2_000
"""Marks of one picture; beyond that nobody aims at one."""
_BAR = 2.8  # points: a line this thick is an interval, a thinner one only joins marks

Mark = tuple[float, float, float, float, str]  # left, top, width, height in pixels from the top left; words


def tell(artist: Any, words: Sequence[str]) -> None:
    """Say what the points of a line are (``"Welcome, W47"``; the axis adds the value), or all of an interval or a cell.

    What is not told is read off the axes: the row's name, the line's label and the value.
    """
    artist.flowperf_words = list(words)


def exact(formatter: Formatter, value: float) -> str:
    """A value as this axis prints it, with all the digits that a table would show."""
    words = getattr(formatter, "exact", None)
    return str(words(value)) if words else str(formatter(value))


def layer(figure: Figure) -> str:
    """Draw the layer of a figure that has been drawn already; empty where no mark has words."""
    wide, high = figure.bbox.width, figure.bbox.height
    marks = [mark for ax in figure.axes for mark in _marks(ax)]
    if not 0 < len(marks) <= _MOST:
        return ""
    shapes = [
        f'<rect x="{x:.0f}" y="{high - top:.0f}" width="{across:.0f}" height="{down:.0f}">'
        f"<title>{html.escape(words)}</title></rect>"
        for x, top, across, down, words in marks
    ]
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {wide:.0f} {high:.0f}" '
        'style="position:absolute;inset:0;width:100%;height:100%" fill="transparent">' + "".join(shapes) + "</svg>"
    )


def _marks(ax: Axes) -> Iterator[Mark]:
    """Boxes with words: intervals first, so that the marks on them are on top."""
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    rows = _Rows.of(ax)
    if rows:
        for line in lines:
            if _is_interval(line):
                yield _interval(ax, line, rows)
    for line in lines:
        if not _is_interval(line):
            yield from _points(ax, line, rows)
    for mesh in ax.collections:
        if isinstance(mesh, QuadMesh) and hasattr(mesh, "flowperf_words"):
            yield from _cells(ax, mesh)


@dataclass(frozen=True)
class _Rows:
    """Names of an axes' rows, for a picture whose values run across."""

    places: npt.NDArray[np.float64]
    names: list[str]

    @classmethod
    def of(cls, ax: Axes) -> _Rows | None:
        places = np.asarray(ax.yaxis.get_ticklocs(), dtype=np.float64)
        if not len(places) or not isinstance(ax.yaxis.get_major_locator(), FixedLocator):
            return None
        return cls(places, [tick.get_text().replace("\n", " ") for tick in ax.get_yticklabels()])

    def words(self, y: float, value: str, label: str = "_") -> str:
        """``Welcome, before: 4.8 %``: the row's name, the mark's where it has one, and the value."""
        name = self.names[int(np.argmin(np.abs(self.places - y)))]
        parts = [part for part in (name, "" if label.startswith("_") else label) if part]
        return f"{', '.join(parts)}: {value}" if parts else value


def _points(ax: Axes, line: Line2D, rows: _Rows | None) -> Iterator[Mark]:
    heads = getattr(line, "flowperf_words", None)
    if heads is None and (rows is None or str(line.get_marker()) in ("None", "", " ")):
        return
    size = max(float(line.get_markersize()), 9.0) * ax.figure.dpi / 72
    across, up = ax.xaxis.get_major_formatter(), ax.yaxis.get_major_formatter()
    for i, (x, y) in enumerate(np.asarray(line.get_xydata(), dtype=float)):
        if np.isfinite(x) and np.isfinite(y):
            middle, height = ax.transData.transform((x, y))
            if heads is not None:
                words = f"{heads[i]}: {exact(up, y)}"
            else:
                assert rows is not None
                words = rows.words(y, exact(across, x), str(line.get_label()))
            yield middle - size / 2, height + size / 2, size, size, words


def _is_interval(line: Line2D) -> bool:
    data = np.asarray(line.get_xydata(), dtype=float)
    flat = len(data) == 2 and np.isfinite(data).all() and data[0, 1] == data[1, 1]
    return bool(flat and line.get_linewidth() >= _BAR)


def _interval(ax: Axes, line: Line2D, rows: _Rows) -> Mark:
    (low, y), (high, _) = np.asarray(line.get_xydata(), dtype=float)
    (left, up), (right, _) = ax.transData.transform([(low, y), (high, y)])
    form = ax.xaxis.get_major_formatter()
    told = getattr(line, "flowperf_words", [f"95 % interval {exact(form, low)} to {exact(form, high)}"])
    return left, up + 6, right - left, 12.0, rows.words(y, told[0])


def _cells(ax: Axes, mesh: Any) -> Iterator[Mark]:
    corners = ax.transData.transform(mesh.get_coordinates().reshape(-1, 2)).reshape(mesh.get_coordinates().shape)
    rows, columns = corners.shape[0] - 1, corners.shape[1] - 1
    for number, words in enumerate(mesh.flowperf_words):
        row, column = divmod(number, columns)
        if row < rows and words:
            (x0, y0), (x1, y1) = corners[row, column], corners[row + 1, column + 1]
            yield min(x0, x1), max(y0, y1), abs(x1 - x0), abs(y1 - y0), words
