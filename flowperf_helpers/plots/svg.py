"""Small pictures as inline SVG, for tables and the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from flowperf_helpers.frames.formats import statistic_text

__all__ = [
    "interval_bar",
    "sparkline_svg",
    "strip",
]


# Lines as small as words: inline SVG that follows the colour of the text around it and says its numbers aloud.


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


# Small pictures as inline SVG: a few hundred bytes each, coloured by the page's style, for the dark and for paper.
#
# The page of a large account holds hundreds of strips. Drawn as SVG text they cost microseconds, follow the
# reader's light or dark setting, and carry their words in ``<title>``.


def _scaled(
    values: Sequence[float | None], top: float, bottom: float, floor: float | None = None
) -> list[float | None]:
    known = [v for v in values if v is not None and math.isfinite(v)]
    low = min(known, default=0.0) if floor is None else floor
    high = max(known, default=1.0)
    span = (high - low) or 1.0
    return [None if v is None or not math.isfinite(v) else bottom - (v - low) / span * (bottom - top) for v in values]


def strip(
    bars: Sequence[float | None],
    line: Sequence[float | None],
    *,
    words: str,
    provisional: Sequence[bool] = (),
    limits: tuple[Sequence[float | None], Sequence[float | None]] | None = None,
    width: int = 168,
    height: int = 40,
    labels: Sequence[str] = (),
) -> Markup:
    """Bars from zero with a line over them, each on its own scale.

    Parameters
    ----------
    bars, line : sequence of float or None
        One value per interval; None leaves a gap.
    words : str
        What the picture says, for those who do not see it.
    provisional : sequence of bool
        Intervals that still move are hatched (bars) and hollow (points).
    labels : sequence of str
        A tooltip per interval.
    """
    n = max(len(bars), 1)
    step = width / n
    tops = _scaled(bars, 4, height - 1, floor=0.0)
    points = _scaled(line, 5, height - 8)
    soft = list(provisional) + [False] * (n - len(provisional))
    out = [
        f'<svg class="fp-strip" viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="none">'
        f"<title>{escape(words)}</title>"
    ]
    for i, top in enumerate(tops):
        if top is not None and bars[i]:
            kind = "fp-bar fp-soft" if soft[i] else "fp-bar"
            tip = f"<title>{escape(labels[i])}</title>" if i < len(labels) else ""
            out.append(
                f'<rect class="{kind}" x="{i * step + 1:.1f}" y="{top:.1f}" width="{step - 2:.1f}" '
                f'height="{max(height - top, 0.8):.1f}">{tip}</rect>'
            )
    out.append(f'<path class="fp-line" d="{_path(points, step)}"/>')
    last = next((i for i in reversed(range(len(points))) if points[i] is not None), None)
    if last is not None:
        kind = "fp-point fp-hollow" if soft[last] else "fp-point"
        out.append(f'<circle class="{kind}" cx="{(last + 0.5) * step:.1f}" cy="{points[last]:.1f}" r="2.6"/>')
    out.append("</svg>")
    return Markup("".join(out))  # noqa: S704 - numbers, and words that are escaped above


def _path(points: Sequence[float | None], step: float) -> str:
    parts, pen_down = [], False
    for i, y in enumerate(points):
        if y is None:
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{(i + 0.5) * step:.1f} {y:.1f}")
        pen_down = True
    return "".join(parts)


def interval_bar(
    low: float | None, high: float | None, value: float | None, *, span: float, words: str, verdict: str = ""
) -> Markup:
    """A difference with its interval around a zero line; ``span`` is the half width of the common scale."""
    if low is None or high is None or value is None or not all(map(math.isfinite, (low, high, value))) or span <= 0:
        return Markup("")

    def x(number: float) -> float:
        return 60 + max(-1.0, min(1.0, number / span)) * 56

    kind = {"higher": "fp-up", "lower": "fp-down"}.get(verdict, "fp-none")
    return Markup(  # noqa: S704 - numbers, and words that are escaped
        f'<svg class="fp-interval {kind}" viewBox="0 0 120 14" role="img"><title>{escape(words)}</title>'
        f'<line class="fp-zero" x1="60" x2="60" y1="0" y2="14"/>'
        f'<line class="fp-range" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="7" y2="7"/>'
        f'<circle cx="{x(value):.1f}" cy="7" r="3"/></svg>'
    )
