"""Small pictures as inline SVG: a few hundred bytes each, coloured by the page's style, for the dark and for paper.

The page of a large account holds hundreds of strips. Drawn as SVG text they cost microseconds, follow the reader's
light or dark setting, and carry their words in ``<title>``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

__all__ = ["interval_bar", "strip"]


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
