"""What a mark of a picture says when a pointer rests on it: a transparent layer over the flat image.

The image stays as it is, for paper, mail and readers that drop what they do not know; the layer is an inline SVG of the
same size whose circles and boxes have a ``<title>``, which a browser shows without a script.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, Formatter

__all__ = ["MOST", "exact", "layer", "tell"]

MOST = 2_000
"""Marks of one picture; beyond that nobody aims at one."""
_BAR = 2.8  # points: a line this thick is an interval, a thinner one only joins marks

_WIDE, _HIGH = 9.0, 12.0  # points and pixels: what a pointer hits at least, of a dot and of a line

Mark = tuple[float, float, float, float, str]  # left, top, width, height in pixels from the bottom left; words


def tell(artist: Any, words: Sequence[str]) -> None:
    """Say what marks are.

    Parameters
    ----------
    artist : Line2D, BarContainer, LineCollection or QuadMesh
    words : sequence of str
        Of a line: one per point, to which the axis adds the value (``"Welcome, W47"``), or all of an interval or of a
        line across the axes. Else one per bar, segment or cell, with its value. Empty words: no mark.

    Notes
    -----
    Dots and intervals in rows that nothing is told of are read off the axes: the row's name, the line's label and the
    value.
    """
    artist.flowperf_words = list(words)


def _told(artist: Any) -> list[str]:
    return getattr(artist, "flowperf_words", [])


def exact(formatter: Formatter, value: float) -> str:
    """A value as this axis prints it, with all the digits that a table would show."""
    words = getattr(formatter, "exact", None)
    return str(words(value)) if words else str(formatter(value))


def layer(figure: Figure) -> str:
    """Draw the layer of a figure that has been drawn already; empty where no mark has words."""
    wide, high = figure.bbox.width, figure.bbox.height
    marks = [mark for ax in figure.axes for mark in _marks(ax)]
    if not 0 < len(marks) <= MOST:
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
    """Boxes with words: what is long first, so that the marks on it are on top."""
    row_words = _row_words(ax)
    for bars in ax.containers:
        for bar, words in zip(bars, _told(bars), strict=False):
            yield from _box(bar.get_window_extent().get_points(), words)
    for drawn in ax.collections:
        if isinstance(drawn, QuadMesh):
            yield from _cells(ax, drawn)
        elif isinstance(drawn, LineCollection):
            for ends, words in zip(drawn.get_segments(), _told(drawn), strict=False):
                yield from _box(ax.transData.transform(ends), words)
    dots: list[Line2D] = []
    for line in sorted(ax.lines, key=Line2D.get_zorder):
        if line.get_transform() != ax.transData:  # across the axes
            yield from _box(line.get_window_extent().get_points(), "".join(_told(line)))
        elif not _is_interval(line):
            dots.append(line)
        elif row_words:
            yield from _interval(ax, line, row_words)
    for line in dots:
        yield from _points(ax, line, row_words)


def _box(corners: npt.NDArray[np.float64], words: str, least: float = _HIGH) -> Iterator[Mark]:
    """A box around two corners, large enough for a pointer; none without words."""
    if words:
        middle, size = np.mean(corners, axis=0), np.maximum(np.ptp(corners, axis=0), least)
        yield middle[0] - size[0] / 2, middle[1] + size[1] / 2, size[0], size[1], words


def _row_words(ax: Axes) -> Callable[..., str] | None:
    """What is said of a place in a row: ``Welcome, before: 4.8 %``; None for a picture that has no rows.

    The function takes the place, the value in words and the mark's label.
    """
    places = np.asarray(ax.yaxis.get_ticklocs(), dtype=np.float64)
    if not len(places) or not isinstance(ax.yaxis.get_major_locator(), FixedLocator):
        return None
    names = [tick.get_text().replace("\n", " ") for tick in ax.get_yticklabels()]

    def words(y: float, value: str, label: str = "_") -> str:
        name = names[int(np.argmin(np.abs(places - y)))]
        parts = [part for part in (name, "" if label.startswith("_") else label) if part]
        return f"{', '.join(parts)}: {value}" if parts else value

    return words


def _points(ax: Axes, line: Line2D, row_words: Callable[..., str] | None) -> Iterator[Mark]:
    heads = _told(line)
    if not heads and (row_words is None or str(line.get_marker()) in ("None", "", " ")):
        return
    size = max(float(line.get_markersize()), _WIDE) * ax.figure.dpi / 72
    across, up = ax.xaxis.get_major_formatter(), ax.yaxis.get_major_formatter()
    for i, (x, y) in enumerate(np.asarray(line.get_xydata(), dtype=float)):
        place = ax.transData.transform((x, y))
        if not np.isfinite(place).all() or not ax.bbox.padded(1).contains(*place):
            continue
        if heads or row_words is None:
            words = f"{heads[i]}: {exact(up, y)}"
        else:
            words = row_words(y, exact(across, x), str(line.get_label()))
        yield from _box(np.array([place, place]), words, size)


def _is_interval(line: Line2D) -> bool:
    data = np.asarray(line.get_xydata(), dtype=float)
    flat = len(data) == 2 and np.isfinite(data).all() and data[0, 1] == data[1, 1]
    return bool(flat and line.get_linewidth() >= _BAR)


def _interval(ax: Axes, line: Line2D, row_words: Callable[..., str]) -> Iterator[Mark]:
    ends = np.asarray(line.get_xydata(), dtype=float)
    low, high = (exact(ax.xaxis.get_major_formatter(), x) for x in ends[:, 0])
    words = "".join(_told(line)) or f"95 % interval {low} to {high}"
    yield from _box(ax.transData.transform(ends), row_words(ends[0, 1], words))


def _cells(ax: Axes, mesh: QuadMesh) -> Iterator[Mark]:
    grid = np.asarray(mesh.get_coordinates(), dtype=float)
    corners: Any = ax.transData.transform(grid.reshape(-1, 2)).reshape(grid.shape)
    for number, words in enumerate(_told(mesh)):
        row, column = divmod(number, corners.shape[1] - 1)
        yield from _box(corners[[row, row + 1], [column, column + 1]], words, 0.0)
