"""An account's last weeks as a small PNG for a mail: a bar a week, the last one in colour and named."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flowperf_helpers.frames.formats import money_text, unit_of
from flowperf_helpers.plots.style import COLORS, HATCH, INK, MUTED, PALE, TEXT, dress, styled

__all__ = ["weeks_png"]

_COLORS = 24
"""Colours of the file, shades between them included: mail servers and readers like small pictures."""


@styled
def weeks_png(
    days: Sequence[str],
    values: Sequence[float | None],
    provisional: Sequence[bool],
    *,
    title: str,
    last: str,
    statistic: str,
    currency: str | None,
) -> bytes:
    """Draw one bar per week.

    Parameters
    ----------
    days : sequence of str
        First day of each week, ISO.
    values : sequence of float
        None leaves a gap.
    provisional : sequence of bool
        Weeks that still grow: hatched.
    title, last : str
        Above the picture, and above the last bar.

    Returns
    -------
    bytes
        PNG of 1200 × 460 pixels, to be shown at half of that.
    """
    figure = Figure(figsize=(6.0, 2.3), dpi=200, layout="constrained")
    ax = figure.add_subplot()
    dress(ax, grid="y")
    heights = [float("nan") if value is None else value for value in values]
    bars = ax.bar(range(len(heights)), heights, width=0.74, color=PALE)
    bars[-1].set_facecolor(COLORS["blue"])
    for bar, soft in zip(bars, provisional, strict=True):
        if soft:
            bar.set(facecolor="white", edgecolor=bar.get_facecolor(), hatch=HATCH, linewidth=1.0)
    ax.set_title(title, loc="left", fontsize=9.5, color=INK)
    top = max((value for value in values if value is not None), default=0) or 1
    ax.set_ylim(0, 1.2 * top)
    ax.text(len(heights) - 0.6, 1.06 * top, last, ha="right", fontsize=9, weight="bold", color=TEXT[0])
    months = [place for place, day in enumerate(days) if place and day[:7] != days[place - 1][:7]]
    ax.set_xticks(months, [f"{date.fromisoformat(days[place]):%b}" for place in months], color=MUTED)
    money = unit_of(statistic) == "money"
    ax.yaxis.set_major_formatter(lambda y, _: money_text(y, currency if money else None, compact=True))
    ax.yaxis.set_major_locator(MaxNLocator(4))
    return _small_png(figure)


def _small_png(figure: Figure) -> bytes:
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture = drawn.quantize(_COLORS, dither=Image.Dither.NONE)
    made = io.BytesIO()
    picture.save(made, "PNG", optimize=True)
    return made.getvalue()
