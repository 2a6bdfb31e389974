"""The one style sheet of all pictures: colours, fonts, lines, and nothing left behind in matplotlib's settings.

Colours are Okabe and Ito's, chosen for the common forms of colour blindness; a second sign (marker, line style, hatch)
always says the same, so that a picture survives a grey printer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ft2font import FT2Font

from flowperf_helpers.frames.formats import NO_NAME, graphemes, short_name, unique_names

__all__ = [
    "COLORS",
    "GRID",
    "HATCH",
    "INK",
    "LINES",
    "MARKERS",
    "MUTED",
    "PALE",
    "SERIES",
    "TEXT",
    "VERDICT_LOOKS",
    "dress",
    "fonts",
    "label_names",
    "printable",
    "styled",
    "text_width",
    "wrapped",
]

COLORS = {
    "blue": "#0072B2", "vermillion": "#D55E00", "green": "#009E73", "orange": "#E69F00", "purple": "#CC79A7",
    "sky": "#56B4E9", "yellow": "#F0E442", "black": "#000000",
}  # fmt: skip
INK, MUTED, PALE, GRID = "#1B1F24", "#59636E", "#C4CAD1", "#E4E7EB"
HATCH = "////"

SERIES = tuple(COLORS[name] for name in ("blue", "vermillion", "green", "orange", "purple", "sky"))
TEXT = tuple(to_hex((0.62 * r, 0.62 * g, 0.62 * b)) for r, g, b in map(to_rgb, SERIES))
"""The same colours dark enough to be read as words."""

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Literal["-"] | tuple[float, tuple[float, ...]], ...] = (
    "-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 3)), (0, (8, 2)),
)  # fmt: skip

VERDICT_LOOKS: dict[str, tuple[str, str]] = {
    "higher": ("^", COLORS["blue"]),
    "lower": ("v", COLORS["vermillion"]),
    "no evidence of a change": ("o", MUTED),
    "no change larger than x": ("o", MUTED),
    "cannot tell yet": ("d", MUTED),
    "too few to say": (".", MUTED),
    "too few": (".", MUTED),
}
"""Marker and colour of a verdict. Higher is not better everywhere (spam), so neither is green or red."""

_FAMILIES = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans",
    "Noto Sans Hebrew", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Segoe UI Symbol",
    "Segoe UI Emoji", "Apple Symbols", "Symbola", "Arial Unicode MS",
)  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def fonts() -> tuple[str, ...]:
    """Families to draw with, in order: those of the list that this machine has."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(family for family in _FAMILIES if family in there)


@functools.cache
def _drawable() -> frozenset[int]:
    """Every character that one of the fonts can draw."""
    covered: set[int] = set()
    for family in fonts():
        covered.update(FT2Font(font_manager.findfont(family)).get_charmap())
    return frozenset(covered)


def printable(text: str) -> str:
    """Leave out emoji that no font here can draw; other characters without a glyph become a box.

    >>> printable("Welcome \U0001fae8")
    'Welcome'
    """
    covered = _drawable()
    kept = [g if all(ord(c) in covered for c in g) else _stand_in(g) for g in graphemes(text)]
    return re.sub(" {2,}", " ", "".join(kept)).strip(" ") or ("□" if text.strip() else text)


def _stand_in(grapheme: str) -> str:
    first = grapheme[0]
    if ord(first) in _drawable():
        return first
    return "□" if first.isalpha() else ""


def label_names(names: list[object], ids: list[object] | None = None, width: int = 34) -> list[str]:
    """Labels for a picture: short, no two alike, only what the fonts can draw."""
    shown = [printable(label) or NO_NAME for label in (short_name(name, 400) for name in names)]
    return unique_names(shown, ids, width)


def _settings() -> dict[str, object]:
    return {
        "font.family": list(fonts()), "font.size": 9.5, "text.color": INK, "text.parse_math": False,
        "axes.labelsize": 9.5, "axes.labelcolor": INK, "axes.titlesize": 12.5, "axes.titleweight": "bold",
        "axes.edgecolor": PALE, "axes.linewidth": 0.8, "axes.axisbelow": True, "axes.facecolor": "white",
        "figure.facecolor": "white", "xtick.labelsize": 9, "ytick.labelsize": 9.5, "xtick.color": MUTED,
        "ytick.color": INK, "hatch.linewidth": 0.7, "lines.linewidth": 1.8, "lines.solid_capstyle": "round",
        "legend.fontsize": 9, "legend.frameon": False, "axes.unicode_minus": True,
    }  # fmt: skip


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in this style and put matplotlib's settings back afterwards."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(_settings()):  # type: ignore[arg-type]
            return draw(*args, **kwargs)

    return drawn


def dress(ax: Axes, *, grid: str = "x") -> None:
    """Bring given axes into the style as well: ticks that are made later do not read the settings of now."""
    ax.set_facecolor("white")
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(PALE)
    family = {"labelfontfamily": list(fonts())}
    ax.tick_params(axis="x", color=PALE, labelcolor=MUTED, labelsize=9, length=3, **family)
    ax.tick_params(axis="y", color=PALE, labelcolor=INK, labelsize=9.5, length=0, **family)
    ax.grid(visible=False)
    if grid:
        ax.grid(visible=True, axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    ax.set_axisbelow(True)


@functools.lru_cache(maxsize=8192)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line in points."""
    if not text.strip():
        return 0.0
    prop = font_manager.FontProperties(family=list(fonts()[:1]), weight="bold" if bold else "normal")
    font = font_manager.get_font(font_manager.findfont(prop))
    font.set_size(size, 72)  # at 72 dots an inch a pixel is a point
    font.set_text("".join(c if ord(c) < 0x2500 else "M" for c in text), 0.0)
    return float(font.get_width_height()[0]) / 64


def wrapped(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Break a sentence into lines that fit a width in points."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
