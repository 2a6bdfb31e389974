"""What a mark of a picture says when a pointer rests on it: a transparent layer over the flat image.

The image stays as it is, for paper, mail and readers that drop what they do not know; the layer is an inline SVG of the
same size whose circles and boxes have a ``<title>``, which a browser shows without a script.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
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


def layer(figure: Figure, scale: float = 1.0) -> str:
    """Draw the layer of a figure that has been drawn already; empty where no mark has words.

    Parameters
    ----------
    figure : Figure
    scale : float
        Pixels of the page per pixel of the figure.
    """
    high = figure.bbox.height
    marks = [mark for ax in figure.axes for mark in _marks(ax)]
    if not 0 < len(marks) <= _MOST:
        return ""
    shapes = [
        f'<rect x="{scale * x:.0f}" y="{scale * (high - top):.0f}" width="{scale * wide:.0f}" '
        f'height="{scale * tall:.0f}"><title>{html.escape(words)}</title></rect>'
        for x, top, wide, tall, words in marks
    ]
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {scale * figure.bbox.width:.0f} {scale * high:.0f}" '
        'style="position:absolute;inset:0;width:100%;height:100%" fill="transparent">' + "".join(shapes) + "</svg>"
    )


def _marks(ax: Axes) -> Iterator[Mark]:
    """Boxes with words: intervals first, so that the marks on them are on top."""
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    for line in lines:
        yield from _interval(ax, line)
    for line in lines:
        yield from _points(ax, line)
    for mesh in ax.collections:
        if isinstance(mesh, QuadMesh) and hasattr(mesh, "flowperf_words"):
            yield from _cells(ax, mesh)


def _points(ax: Axes, line: Line2D) -> Iterator[Mark]:
    data = np.asarray(line.get_xydata(), dtype=float)
    heads = getattr(line, "flowperf_words", None)
    if _is_interval(line) or (heads is None and (str(line.get_marker()) in ("None", "", " ") or not _has_rows(ax))):
        return
    size = max(float(line.get_markersize()), 9.0) * ax.figure.dpi / 72
    for i, (x, y) in enumerate(data):
        if np.isfinite(x) and np.isfinite(y):
            across, up = ax.transData.transform((x, y))
            if heads is not None:
                words = f"{heads[i]}: {exact(ax.yaxis.get_major_formatter(), y)}"
            else:
                words = _row(ax, y, exact(ax.xaxis.get_major_formatter(), x), str(line.get_label()))
            yield across - size / 2, up + size / 2, size, size, words


def _interval(ax: Axes, line: Line2D) -> Iterator[Mark]:
    if not _is_interval(line) or not _has_rows(ax):
        return
    (low, y), (high, _) = np.asarray(line.get_xydata(), dtype=float)
    (left, up), (right, _) = ax.transData.transform([(low, y), (high, y)])
    form = ax.xaxis.get_major_formatter()
    told = getattr(line, "flowperf_words", [f"95 % interval {exact(form, low)} to {exact(form, high)}"])
    yield left, up + 6, right - left, 12.0, _row(ax, y, told[0])


def _cells(ax: Axes, mesh: Any) -> Iterator[Mark]:
    corners = ax.transData.transform(mesh.get_coordinates().reshape(-1, 2)).reshape(mesh.get_coordinates().shape)
    rows, columns = corners.shape[0] - 1, corners.shape[1] - 1
    for number, words in enumerate(mesh.flowperf_words):
        row, column = divmod(number, columns)
        if row < rows and words:
            (x0, y0), (x1, y1) = corners[row, column], corners[row + 1, column + 1]
            yield min(x0, x1), max(y0, y1), abs(x1 - x0), abs(y1 - y0), words


def _has_rows(ax: Axes) -> bool:
    """Whether the rows have names and the axis across has the values."""
    return isinstance(ax.yaxis.get_major_locator(), FixedLocator)


def _is_interval(line: Line2D) -> bool:
    data = np.asarray(line.get_xydata(), dtype=float)
    flat = len(data) == 2 and np.isfinite(data).all() and data[0, 1] == data[1, 1]
    return bool(flat and line.get_linewidth() >= _BAR)


def _row(ax: Axes, y: float, value: str, label: str = "_") -> str:
    """``Welcome, before: 4.8 %``: the row's name, the mark's where it has one, and the value."""
    places = np.asarray(ax.yaxis.get_ticklocs(), dtype=float)
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    near = int(np.argmin(np.abs(places - y))) if len(places) else -1
    name = names[near].replace("\n", " ") if 0 <= near < len(names) else ""
    parts = [part for part in (name, "" if label.startswith("_") else label) if part]
    return f"{', '.join(parts)}: {value}" if parts else value
