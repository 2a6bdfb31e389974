"""Small pictures as inline SVG for pages and tables: no width of their own, coloured by the style sheet.

Positions are per cent of whatever box the page gives them, so that text and lines never scale. The numbers of a picture
stand beside it once, as ``data-d="unit|values|usual range|so far"``, for the page's script.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

__all__ = ["Layer", "axis_ticks", "heat_strip", "interval_mark", "marks", "sparkline", "stacked_weeks"]

Numbers = Sequence[float] | npt.NDArray[np.floating[Any]]

HEAT_STEPS = (-0.40, -0.18, -0.07, 0.07, 0.18, 0.40)
_NUMBER = 4  # significant digits of a number that the script prints


def _compact(value: Any) -> str:
    return "" if pd.isna(value) or not math.isfinite(value) else f"{float(value):.{_NUMBER}g}"


def marks(unit: str, values: Numbers | Sequence[Any], usual: Numbers | Sequence[Any] = (), so_far: Any = None) -> str:
    """The numbers of a picture as the page's script reads them."""
    texts = [" ".join(_compact(v) for v in part) for part in (values, usual)]
    return "|".join([unit, *texts, "" if so_far is None else _compact(so_far)])


def axis_ticks(top: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to ``top``.

    >>> axis_ticks(130_000)
    [0.0, 50000.0, 100000.0]
    """
    if not top > 0:
        return [0.0]
    raw = top / most
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw)
    return [float(step * i) for i in range(int(top / step + 1e-9) + 1)]


def _pen(heights: Numbers, digits: int = 0) -> str:
    """A path through the known points; a missing one leaves a gap."""
    known = [math.isfinite(h) for h in heights]
    return "".join(f"{' ' if i and known[i - 1] else 'M'}{i},{h:.{digits}f}" for i, h in enumerate(heights) if known[i])


def sparkline(
    values: Numbers,
    *,
    usual: tuple[float, float] | None = None,
    is_open: bool = False,
    tone: str = "",
    from_zero: bool = False,
    top: float | None = None,
) -> Markup:
    """A line over the weeks with its last point and, behind it, the usual range.

    Parameters
    ----------
    values : sequence of float
        NaN where nothing is known.
    usual : pair of float, optional
        The range behind the line.
    is_open : bool
        The last value is not final: dashed towards it, and a hollow point.
    tone : {"", "bad", "good"}
        Of the last point.
    from_zero : bool
        The axis starts at 0, and ends at ``top``.
    """
    numbers = np.asarray(values, dtype=float)
    band = np.asarray([v for v in usual or () if math.isfinite(v)], dtype=float)
    shown = np.concatenate([numbers[np.isfinite(numbers)], band])
    if not len(shown):
        return Markup("<svg aria-hidden=true></svg>")
    low, high = (0.0, top or float(shown.max())) if from_zero else (float(shown.min()), float(shown.max()))
    span = (high - low) or 1.0
    heights = (93 - (numbers - low) / span * 86) if not from_zero else 100 - (numbers - low) / span * 100
    parts = ["<svg aria-hidden=true>"]
    if len(band) == 2:
        edges = (93 - (band - low) / span * 86) if not from_zero else 100 - (band - low) / span * 100
        parts.append(f'<rect class=b width=100% y="{edges[1]:.0f}%" height="{max(edges[0] - edges[1], 1):.0f}%"/>')
    parts.append(f'<svg viewBox="-.5 0 {len(numbers)} 100" preserveAspectRatio=none>')
    cut = len(numbers) - 1 if is_open else len(numbers)
    parts.append(f'<path d="{_pen(list(heights[:cut]))}"/>')
    last = len(numbers) - 1
    if is_open and last and np.isfinite(heights[last - 1 :]).all():
        parts.append(f'<path class=q d="M{last - 1},{heights[last - 1]:.0f}L{last},{heights[last]:.0f}"/>')
    parts.append("</svg>")
    if math.isfinite(heights[last]):
        kind = " ".join(filter(None, ["o" if is_open else "", {"bad": "w", "good": "g"}.get(tone, "")]))
        parts.append(
            f'<circle class="{kind}" cx="{100 * (last + 0.5) / len(numbers):.1f}%" cy="{heights[last]:.0f}%" r=3 />'
        )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - numbers only


def heat_strip(values: Numbers, *, is_open: bool = False) -> Markup:
    """A cell per week, coloured by how far it lies from the mean of them all; empty where nothing is known."""
    numbers = np.asarray(values, dtype=float)
    known = np.isfinite(numbers) & (numbers > 0)
    mean = numbers[known].mean() if known.any() else 1.0
    step = 100 / max(len(numbers), 1)
    cells = [
        f'<rect x="{i * step:.2f}%" width="{step - 0.25:.2f}%" height=100% class=h{shade} />'
        for i, shade in enumerate(np.searchsorted(HEAT_STEPS, numbers / mean - 1))
        if known[i]
    ]
    if is_open and len(numbers) and known[-1]:
        cells.append(f'<rect x="{100 - step:.2f}%" width="{step - 0.25:.2f}%" height=100% class=hq />')
    return Markup("<svg aria-hidden=true>" + "".join(cells) + "</svg>")  # noqa: S704 - numbers only


@dataclass(frozen=True)
class Layer:
    """One layer of a stack: its name, its values from below, its colour (a class of the style sheet)."""

    name: str
    heights: Numbers
    look: str
    tone: str = ""


def stacked_weeks(
    layers: Sequence[Layer],
    *,
    usual: tuple[Numbers, Numbers] | None = None,
    last_year: Numbers = (),
    expected: tuple[float, float, float] | None = None,
    targets: Sequence[float] = (),
    events: Sequence[tuple[float, str]] = (),
) -> tuple[Markup, float]:
    """Columns from zero, a layer each; behind them the usual range, over the last one what is still to come.

    Parameters
    ----------
    layers : sequence of Layer
        From below.
    usual : pair of sequences, optional
        Lower and upper edge of each week's usual range.
    last_year : sequence of float
        A line; NaN where nothing is known.
    expected : tuple, optional
        Where the last week will end, with its interval.
    targets : sequence of float
        A dashed line per target.
    events : sequence of (float, str)
        Place in weeks from the left, and words.

    Returns
    -------
    picture : Markup
    top : float
        What the picture's upper edge stands for.
    """
    heights = np.nan_to_num(np.array([layer.heights for layer in layers], dtype=float))
    count = heights.shape[1]
    edges = np.vstack([np.zeros(count), heights.cumsum(axis=0)])
    tops = [edges[-1].max(), *(expected or ()), *targets, *[v for v in last_year if math.isfinite(v)]]
    tops += [float(np.nanmax(usual[1]))] if usual and np.isfinite(usual[1]).any() else []
    top = float(max(tops) or 1.0) * (1.24 if events else 1.06)
    step = 100 / count

    def y(value: float) -> float:
        return 100 - value / top * 100

    out = [
        "<svg aria-hidden=true><defs><pattern id=ha width=5 height=5 patternUnits=userSpaceOnUse "
        "patternTransform=rotate(45)><rect width=5 height=5 class=p /><rect width=1.6 height=5 class=s2 />"
        "</pattern></defs>"
    ]
    if usual:
        for i, (low, high) in enumerate(zip(*usual, strict=True)):
            if math.isfinite(low) and math.isfinite(high):
                out.append(
                    f'<rect class=b x="{i * step:.2f}%" width="{step + 0.05:.2f}%" y="{y(high):.2f}%" '
                    f'height="{y(low) - y(high):.2f}%"/>'
                )
    out += [
        f'<line class=hl x2=100% y1="{y(v):.2f}%" y2="{y(v):.2f}%"/>'
        for v in axis_ticks(top / (1.2 if events else 1))
        if v
    ]
    for number, layer in enumerate(layers):
        columns = [
            f'<rect x="{i * step + 0.09 * step:.2f}%" width="{0.82 * step:.2f}%" y="{y(upper):.2f}%" '
            f'height="{max(y(lower) - y(upper) - 0.14, 0.1):.2f}%"/>'
            for i, (lower, upper) in enumerate(zip(edges[number], edges[number + 1], strict=True))
            if upper > lower
        ]
        out.append(f'<g class="l{number} {layer.look}">{"".join(columns)}</g>')
    if usual:
        for side in usual:
            out += [
                f'<line class=be x1="{i * step:.2f}%" x2="{(i + 1) * step:.2f}%" y1="{y(v):.2f}%" y2="{y(v):.2f}%"/>'
                for i, v in enumerate(side)
                if math.isfinite(v)
            ]
    left = (count - 1) * step
    if expected:
        final, low, high = expected
        middle = left + step / 2
        out.append(
            f'<rect class=ex x="{left + 0.09 * step:.2f}%" width="{0.82 * step:.2f}%" y="{y(final):.2f}%" '
            f'height="{max(y(edges[-1][-1]) - y(final), 0.1):.2f}%"/>'
            f'<line class=wh x1="{middle:.2f}%" x2="{middle:.2f}%" y1="{y(low):.2f}%" y2="{y(high):.2f}%"/>'
        )
        out += [
            f'<line class=wh x1="{middle - step / 4:.2f}%" x2="{middle + step / 4:.2f}%" y1="{y(v):.2f}%" '
            f'y2="{y(v):.2f}%"/>'
            for v in (low, high)
        ]
    known = [(i, v) for i, v in enumerate(last_year) if math.isfinite(v)]
    if len(known) == 1:  # one week of last year is a mark, not a line
        i, v = known[0]
        line = f'x1="{i * step:.2f}%" x2="{(i + 1) * step:.2f}%" y1="{y(v):.2f}%" y2="{y(v):.2f}%"'
        out.append(f"<line class=halo {line} /><line class=ly {line} />")
    elif known:
        path = _pen([y(v) for v in last_year], digits=1)
        out.append(
            f'<svg viewBox="-.5 0 {count} 100" preserveAspectRatio=none><path class=halo d="{path}"/>'
            f'<path class=ly d="{path}"/></svg>'
        )
    out += [f'<line class=tg x2=100% y1="{y(v):.2f}%" y2="{y(v):.2f}%"/>' for v in targets]
    drawn = Markup("".join(out))  # noqa: S704 - numbers only
    picture = drawn + _event_marks(events, count) + Markup("</svg>")
    return picture, top


def _event_marks(events: Sequence[tuple[float, str]], count: int) -> Markup:
    """Dotted lines with words on up to three levels; words that would cross others are left out, the line stays."""
    placed: list[tuple[int, float, float, float]] = []  # level from above, place, and where the words begin and end
    out = Markup("")
    spots = sorted((100 * place / count, words) for place, words in events)
    for x, words in [spot for spot in spots if spot[0] >= 55] + [spot for spot in spots if spot[0] < 55][::-1]:
        width = 1.25 * len(words) + 2
        begins = x if x < 55 else x - width
        free = [
            level
            for level in range(3)
            if all(
                (begins >= b or begins + width <= a or other != level)  # no words over words, none over a line
                and not (begins < at < begins + width and other <= level)
                and not (a < x < b and level <= other)
                for other, at, a, b in placed
            )
        ]
        level = max(free, default=None)
        top = 4.6 * (level or 0)
        out += Markup('<line class=evl x1="{0}%" x2="{0}%" y1="{1}%" y2=17% />').format(f"{x:.2f}", f"{top:.1f}")
        if level is not None:
            placed.append((level, x, begins, begins + width))
            out += Markup('<text class=ev x="{}%" dx={} y="{}%" dy=.75em text-anchor={}>{}</text>').format(
                f"{x:.2f}", *((5, f"{top:.1f}", "start") if x < 55 else (-5, f"{top:.1f}", "end")), words
            )
    return out


def layered(parts: Mapping[str, Numbers]) -> str:
    """The numbers of a stack's layers as JSON for the page's script."""
    return json.dumps([[name, [None if pd.isna(v) else round(float(v)) for v in vs]] for name, vs in parts.items()],
                      ensure_ascii=False, separators=(",", ":"))  # fmt: skip


def _known(value: Any) -> bool:
    return not pd.isna(value) and math.isfinite(value)


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
    return Markup(  # noqa: S704 - numbers, and words that format escapes
        f'<svg class="fp-interval {kind}" viewBox="0 0 120 14" role="img"><title>{{}}</title>'
        f'<line class="fp-zero" x1="60" x2="60" y1="0" y2="14"/>'
        f'<line class="fp-range" x1="{left:.1f}" x2="{right:.1f}" y1="7" y2="7"/>'
        f'{arrows}<circle cx="{x:.1f}" cy="7" r="3"/></svg>'
    ).format(words)
