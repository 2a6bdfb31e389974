"""What every picture shares: axes, a heading that says the finding, the SANDBOX mark, the text alternative."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import Formatter, FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation, Transform

from flowperf_helpers.formats import money_text, unit_of
from flowperf_helpers.style import COLORS, INK, MUTED, dress, printable, text_width, wrapped

__all__ = [
    "SANDBOX_MARK", "alt_text", "below", "breathe", "canvas", "few_ticks", "headline", "label_rows", "nothing_to_draw",
    "plural", "put_alt", "tick_format",
]  # fmt: skip

SANDBOX_MARK = "SANDBOX · invented numbers"

_TITLE, _SUBTITLE, _MARK, _LINE = 12.5, 9.0, 8.5, 1.25
_MARGIN = 22  # points that a heading leaves free at the right of the figure


def canvas(ax: Axes | None, *, width: float = 8.0, height: float = 4.0, grid: str = "x") -> Axes:
    """Return the given axes in this style, or new ones on a figure of their own (inches)."""
    if ax is None:
        figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
        breathe(figure)
    dress(ax, grid=grid)
    return ax


def breathe(figure: Figure) -> None:
    """Keep a margin around what is drawn."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.11, h_pad=0.1)


def put_alt(ax: Axes, sentence: str, attrs: dict[Any, Any]) -> None:
    """Keep the text alternative as the axes' label, where ``repr(ax)`` shows it too."""
    sandbox = " These are invented numbers of the sandbox." if attrs.get("sandbox") else ""
    ax.set_label(sentence + sandbox)


def alt_text(drawn: Axes | Figure | Iterable[Axes]) -> str:
    """One sentence made from a picture's numbers, for those who do not see it.

    Parameters
    ----------
    drawn : Axes, Figure, or array of Axes
        As returned by a ``plot_*`` function; several panels give their sentences in order.

    Returns
    -------
    str
        Empty for axes that no function of this package drew on.
    """
    if isinstance(drawn, Axes):
        label = drawn.get_label()
        return label if isinstance(label, str) and " " in label and not label.startswith("<") else ""
    panels: Iterable[Any] = drawn.axes if isinstance(drawn, Figure) else getattr(drawn, "flat", drawn)
    sentences = [sentence for sentence in map(alt_text, panels) if sentence]
    mark = " These are invented numbers of the sandbox."
    if sentences and all(sentence.endswith(mark) for sentence in sentences):
        return " ".join(sentence.removesuffix(mark) for sentence in sentences) + mark
    return " ".join(sentences)


def headline(ax: Axes, finding: str, shown: str, attrs: dict[Any, Any], *, hang: float = 0.0) -> None:
    """Write the finding over the axes, below it what is shown, above it SANDBOX where the numbers are invented.

    Parameters
    ----------
    finding, shown : str
        Title and subtitle; broken into lines that fit.
    hang : float
        Points by which the heading starts left of the axes, so that it stands above the rows' labels.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    inches = figure.get_figwidth()
    whole = len(figure.axes) == 1
    width = 72 * inches - _MARGIN if whole else 72 * inches * ax.get_position().width + hang
    width *= 0.96  # letters are set a little wider than they are measured
    finding, shown = wrapped(printable(finding), width, _TITLE, bold=True), wrapped(printable(shown), width, _SUBTITLE)
    low = 7.0
    middle = low + _lines(shown) * _SUBTITLE * _LINE + (3 if shown else 0)
    high = middle + _lines(finding) * _TITLE * _LINE + 3
    title = ax.set_title(finding, loc="left", fontsize=_TITLE, fontweight="bold", color=INK, y=1.0, linespacing=1.15)
    title.set_transform(ax.transAxes + ScaledTranslation(-hang / 72, middle / 72, figure.dpi_scale_trans))
    if shown:
        _over(ax, shown, -hang, low, fontsize=_SUBTITLE, color=MUTED, linespacing=1.15)
    if attrs.get("sandbox"):
        box = {"boxstyle": "square,pad=0.3", "facecolor": COLORS["yellow"], "edgecolor": "none"}
        _over(ax, SANDBOX_MARK, -hang + 3, high + 4, fontsize=_MARK, fontweight="bold", color="black", bbox=box)


def _over(ax: Axes, text: str, right: float, up: float, **looks: Any) -> None:
    """Write text over the axes' upper left corner, moved by points."""
    ax.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(right, up), textcoords="offset points", ha="left", va="bottom",
        annotation_clip=False, **looks,
    )  # fmt: skip


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def nothing_to_draw(ax: Axes, sentence: str, attrs: dict[Any, Any]) -> Axes:
    """Put a sentence in place of a picture."""
    ax.set_axis_off()
    figure = ax.get_figure(root=True)
    assert figure is not None
    width = 72 * figure.get_figwidth() * ax.get_position().width
    ax.text(0.5, 0.5, wrapped(printable(sentence), 0.9 * width, 11), transform=ax.transAxes, ha="center", va="center",
            fontsize=11, color=MUTED)  # fmt: skip
    if attrs.get("sandbox"):
        headline(ax, "", "", attrs)
    put_alt(ax, sentence, attrs)
    return ax


def label_rows(ax: Axes, labels: Sequence[str]) -> float:
    """Name the rows 0, 1, … from top to bottom; returns the labels' width in points for the heading."""
    ax.set_yticks(range(len(labels)), labels=list(labels), parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    return max((text_width(label, 9.5) for label in labels), default=0.0) + 7


def below(ax: Axes, points: float, *, hang: float = 0.0) -> Transform:
    """Axes coordinates moved down (and left), for what stands under the axis title."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return ax.transAxes + ScaledTranslation(-hang / 72, -points / 72, figure.dpi_scale_trans)


def tick_format(statistic: str, currency: str | None) -> Formatter:
    """Percent for rates, currency for money, thousands set apart for counts."""
    unit = unit_of(statistic)
    if unit == "fraction":
        return FuncFormatter(lambda value, _: f"{_plain(100 * value)}\N{NO-BREAK SPACE}%")
    if unit == "money":
        return FuncFormatter(lambda value, _: money_text(value, currency, compact=True))
    return FuncFormatter(lambda value, _: _plain(value))


def _plain(value: float) -> str:
    return f"{round(value, 9):,.10g}".replace("-", "\N{MINUS SIGN}")


def few_ticks(ax: Axes, axis: str = "x", *, whole: bool = False, most: int = 6) -> None:
    """Few enough ticks that their labels never touch; ``whole`` for counts."""
    getattr(ax, f"{axis}axis").set_major_locator(MaxNLocator(most, integer=whole, steps=[1, 2, 2.5, 5, 10]))


def plural(number: int, noun: str) -> str:
    """``1 flow``, ``1,200 flows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
