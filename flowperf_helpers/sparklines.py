"""Lines as small as words: inline SVG that follows the colour of the text around it and says its numbers aloud."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from flowperf_helpers.formats import statistic_text

__all__ = ["sparkline_svg"]


def sparkline_svg(
    values: Sequence[Any] | pd.Series,
    *,
    label: str = "",
    statistic: str = "recipients",
    currency: str | None = None,
    provisional: Sequence[bool] | None = None,
    width: int = 120,
    height: int = 28,
) -> str:
    """Draw a series as one line of SVG.

    Parameters
    ----------
    values : sequence of numbers
        In time order; missing ones are gaps, a value between two gaps is a dot.
    label : str
        What the line is of, for the text alternative; escaped here.
    statistic : str
        Tells the unit of the numbers in the text alternative.
    currency : str, optional
        ISO code for money.
    provisional : sequence of bool, optional
        Values that still move: hollow dots.
    width, height : int
        Pixels.

    Returns
    -------
    str
        ``<svg role="img" aria-label="…">`` with nothing that a page could run or fetch.
    """
    known = [_number(value) for value in values]
    soft = list(provisional) if provisional is not None else [False] * len(known)
    soft += [False] * (len(known) - len(soft))
    there = [value for value in known if value is not None]
    low, high = min([0.0, *there]), max(there, default=0.0)
    step = (width - 8) / max(len(known) - 1, 1)
    points = [
        None if v is None else (4 + i * step, 4 + (height - 8) * (1 - (v - low) / ((high - low) or 1.0)))
        for i, v in enumerate(known)
    ]
    said = html.escape(_words(known, label, statistic, currency), quote=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{said}" style="vertical-align:middle">',
        f'<title>{said}</title><g fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round">',
    ]
    parts += [f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in run)}"/>' for run in _runs(points)]
    last = max((i for i, point in enumerate(points) if point is not None), default=-1)
    for i, point in enumerate(points):
        if point is None:
            continue
        alone = (i == 0 or points[i - 1] is None) and (i + 1 == len(points) or points[i + 1] is None)
        if i == last or alone or soft[i]:
            fill = "Canvas" if soft[i] else "currentColor"
            parts.append(f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="2.4" fill="{fill}"/>')
    return "".join([*parts, "</g></svg>"])


def _number(value: Any) -> float | None:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Stretches of two and more neighbours."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]


def _words(values: Sequence[float | None], label: str, statistic: str, currency: str | None) -> str:
    there = [value for value in values if value is not None]
    before = f"{label}: " if label else ""
    if not there:
        return f"{before}no values"
    least, most, last = (statistic_text(v, statistic, currency) for v in (min(there), max(there), there[-1]))
    gaps = len(values) - len(there)
    missing = f", {gaps} without a value" if gaps else ""
    return f"{before}{len(values)} intervals between {least} and {most}, the last known {last}{missing}"
