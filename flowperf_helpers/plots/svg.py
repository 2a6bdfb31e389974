"""Small pictures as inline SVG, for tables: coloured by ``tables.css``, their words in ``<title>``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

__all__ = ["interval_mark", "strip"]


def strip(
    bars: Sequence[Any],
    line: Sequence[Any],
    *,
    words: str,
    provisional: Sequence[bool] = (),
    labels: Sequence[str] = (),
    width: int = 168,
    height: int = 40,
) -> Markup:
    """Bars from zero with a line over them, each on its own scale.

    Parameters
    ----------
    bars, line : sequence of numbers
        One value per interval; a missing one leaves a gap.
    words : str
        What the picture says, for those who do not see it.
    provisional : sequence of bool
        Intervals that still move: hatched bars, a hollow last point.
    labels : sequence of str
        A tooltip per interval.
    """
    step = width / max(len(bars), 1)
    soft = [*provisional, *[False] * (len(bars) - len(provisional))]
    out = [
        f'<svg class="fp-strip" viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="none">'
        f"<title>{escape(words)}</title>"
    ]
    for i, top in enumerate(_scaled(bars, 4, height - 1, floor=0.0)):
        if top is not None and bars[i]:
            tip = f"<title>{escape(labels[i])}</title>" if i < len(labels) else ""
            out.append(
                f'<rect class="fp-bar{" fp-soft" if soft[i] else ""}" x="{i * step + 1:.1f}" y="{top:.1f}" '
                f'width="{step - 2:.1f}" height="{max(height - top, 0.8):.1f}">{tip}</rect>'
            )
    points = _scaled(line, 5, height - 8)
    known = [(i, (i + 0.5) * step, y) for i, y in enumerate(points) if y is not None]
    pen = "".join(f"{'L' if i and points[i - 1] is not None else 'M'}{x:.1f} {y:.1f}" for i, x, y in known)
    out.append(f'<path class="fp-line" d="{pen}"/>')
    for i, x, y in known[-1:]:
        out.append(f'<circle class="fp-point{" fp-hollow" if soft[i] else ""}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
    return Markup("".join([*out, "</svg>"]))  # noqa: S704 - numbers, and words that are escaped above


def _known(value: Any) -> bool:
    return not pd.isna(value) and math.isfinite(value)


def _scaled(values: Sequence[Any], top: float, bottom: float, floor: float | None = None) -> list[float | None]:
    """Heights between bottom and top, None where nothing is known."""
    known = [float(v) for v in values if _known(v)]
    low = min(known, default=0.0) if floor is None else floor
    span = (max(known, default=1.0) - low) or 1.0
    return [bottom - (float(v) - low) / span * (bottom - top) if _known(v) else None for v in values]


def interval_mark(value: Any, low: Any, high: Any, *, reach: float, words: str, verdict: str = "") -> Markup:
    """A difference as a dot with its interval around a zero line; ``reach`` is half the width of the common scale."""
    if not (_known(value) and _known(low) and _known(high) and reach > 0):
        return Markup("")
    x, left, right = (60 + max(-1.0, min(1.0, number / reach)) * 56 for number in (value, low, high))
    kind = {"higher": "fp-up", "lower": "fp-down"}.get(verdict, "fp-none")
    beyond = [(-1, low < -reach), (1, high > reach)]
    arrows = "".join(
        f'<path class="fp-range" fill="none" d="M{60 + side * 52} 3l{side * 5} 4l{-side * 5} 4"/>'
        for side, is_cut in beyond
        if is_cut
    )
    return Markup(  # noqa: S704 - numbers, and words that are escaped
        f'<svg class="fp-interval {kind}" viewBox="0 0 120 14" role="img"><title>{escape(words)}</title>'
        f'<line class="fp-zero" x1="60" x2="60" y1="0" y2="14"/>'
        f'<line class="fp-range" x1="{left:.1f}" x2="{right:.1f}" y1="7" y2="7"/>'
        f'{arrows}<circle cx="{x:.1f}" cy="7" r="3"/></svg>'
    )
