"""What every picture shares: axes, a heading that says the finding, the SANDBOX mark, and which rows it shows."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation, Transform

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import NAMES, require_columns
from flowperf_helpers.frames.formats import (
    NO_NAME,
    axis_title,
    money_text,
    short_name,
    statistic_label,
    statistic_text,
    unit_of,
)
from flowperf_helpers.plots.hover import layer, tell
from flowperf_helpers.plots.style import COLORS, INK, MUTED, dress, label_names, printable, text_width, wrapped

__all__ = [
    "SANDBOX_LOOKS",
    "SANDBOX_MARK",
    "alt_text",
    "as_html",
    "at_right",
    "breathe",
    "canvas",
    "few_ticks",
    "figure_of",
    "full_name",
    "headline",
    "identity",
    "interval_bar",
    "key",
    "label_column",
    "label_rows",
    "labels_of",
    "legend_below",
    "not_shown",
    "nothing_known",
    "nothing_to_draw",
    "noun_of",
    "one_row_each",
    "plural",
    "put_alt",
    "tick_format",
    "value_axis",
    "value_title",
    "with_interval",
]


# What every picture shares: axes, a heading that says the finding, the SANDBOX mark, the text alternative.

SANDBOX_MARK = "SANDBOX · invented numbers"

SANDBOX_LOOKS: dict[str, Any] = {
    "fontsize": 8.5, "fontweight": "bold", "color": "black",
    "bbox": {"boxstyle": "square,pad=0.3", "facecolor": COLORS["yellow"], "edgecolor": "none"},
}  # fmt: skip

_TITLE, _SUBTITLE, _LINE = 12.5, 9.0, 1.25
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


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes stand on."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def headline(
    ax: Axes, finding: str, notes: Iterable[str], alt: str, attrs: dict[Any, Any], *, hang: float = 0.0
) -> None:
    """Write the finding over the axes, below it what is shown, above it SANDBOX where the numbers are invented.

    Parameters
    ----------
    finding, notes : str and iterable of str
        Title and parts of the subtitle, empty ones left out; broken into lines that fit.
    alt : str
        The text alternative.
    hang : float
        Points by which the heading starts left of the axes, so that it stands above the rows' labels.
    """
    figure = figure_of(ax)
    inches = figure.get_figwidth()
    whole = len(figure.axes) == 1
    width = 72 * inches - _MARGIN if whole else 72 * inches * ax.get_position().width + hang
    width *= 0.96  # letters are set a little wider than they are measured
    finding = wrapped(printable(finding), width, _TITLE, bold=True)
    shown = wrapped(printable(" · ".join(filter(None, notes))), width, _SUBTITLE)
    low = 7.0
    middle = low + _lines(shown) * _SUBTITLE * _LINE + (3 if shown else 0)
    high = middle + _lines(finding) * _TITLE * _LINE + 3
    title = ax.set_title(finding, loc="left", fontsize=_TITLE, fontweight="bold", color=INK, y=1.0, linespacing=1.15)
    title.set_transform(_moved(ax, -hang, middle))
    if shown:
        _over(ax, shown, -hang, low, fontsize=_SUBTITLE, color=MUTED, linespacing=1.15)
    if attrs.get("sandbox"):
        _over(ax, SANDBOX_MARK, -hang + 3, high + 4, **SANDBOX_LOOKS)
    put_alt(ax, alt, attrs)


def _over(ax: Axes, text: str, right: float, up: float, **looks: Any) -> None:
    """Write text over the axes' upper left corner, moved by points."""
    ax.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(right, up), textcoords="offset points", ha="left", va="bottom",
        annotation_clip=False, **looks,
    )  # fmt: skip


def _moved(ax: Axes, right: float, up: float) -> Transform:
    """Axes coordinates moved by points."""
    return ax.transAxes + ScaledTranslation(right / 72, up / 72, figure_of(ax).dpi_scale_trans)


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def nothing_to_draw(ax: Axes | None, sentence: str, attrs: dict[Any, Any], *, height: float = 2.2) -> Axes:
    """Put a sentence in place of a picture."""
    ax = canvas(ax, height=height)
    ax.set_axis_off()
    width = 72 * figure_of(ax).get_figwidth() * ax.get_position().width
    ax.text(0.5, 0.5, wrapped(printable(sentence), 0.9 * width, 11), transform=ax.transAxes, ha="center", va="center",
            fontsize=11, color=MUTED)  # fmt: skip
    headline(ax, "", (), sentence, attrs)
    return ax


def label_rows(ax: Axes, labels: Sequence[str]) -> float:
    """Name the rows 0, 1, … from top to bottom; returns the labels' width in points for the heading."""
    ax.set_yticks(range(len(labels)), labels=list(labels), parse_math=False)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    return max((text_width(label, 9.5) for label in labels), default=0.0) + 7


def at_right(ax: Axes, row: float, text: str, *, color: str = INK, bold: bool = False) -> None:
    """Write a row's number at the right of the axes."""
    ax.annotate(text, (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize=9, color=color, fontweight="bold" if bold else "normal")  # fmt: skip


def interval_bar(ax: Axes, row: float, low: Any, high: Any, *, words: str = "", **looks: Any) -> None:
    """Draw an interval along a row, unless an end is missing.

    Parameters
    ----------
    words : str
        What it says under a pointer, if not that it is the 95 % interval.
    **looks
        Of the line.
    """
    if pd.isna(low) or pd.isna(high):
        return
    looks = {"color": COLORS["blue"], "alpha": 0.45, "linewidth": 4.5, "solid_capstyle": "butt", **looks}
    (bar,) = ax.plot([low, high], [row, row], **looks)
    if words:
        tell(bar, [words])


def key(marker: str, color: str, label: str, size: float = 8, **looks: Any) -> Line2D:
    """A mark of a legend."""
    looks = {"linestyle": "", **looks}
    return Line2D([], [], marker=marker, color=color, label=label, markersize=size, **looks)


def legend_below(ax: Axes, *, hang: float = 0.0, down: float = 38, **looks: Any) -> None:
    """Put the legend under the axis title, at the left of the rows' labels."""
    looks = {"loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 0, "labelcolor": MUTED, **looks}
    ax.legend(bbox_transform=_moved(ax, -hang, -down), **looks)


def value_axis(
    ax: Axes, statistic: str, currency: str | None, title: str, *, axis: str = "x", whole: bool = False
) -> None:
    """Few ticks in the statistic's unit and a title, for the axis on which values are read."""
    few_ticks(ax, axis, whole=whole)
    getattr(ax, f"{axis}axis").set_major_formatter(tick_format(statistic, currency))
    getattr(ax, f"set_{axis}label")(title, color=MUTED)


def value_title(frame: pd.DataFrame, statistic: str) -> str:
    """Title of a statistic's axis, with the denominator that the frame has."""
    parts = parts_of(frame, statistic)
    return axis_title(statistic, frame.attrs.get("currency"), denominator=parts[1] if parts else None)


def tick_format(statistic: str, currency: str | None) -> Formatter:
    """Percent for rates, currency for money, thousands set apart for counts."""
    unit = unit_of(statistic)
    if unit == "fraction":
        form = FuncFormatter(lambda value, _: f"{_plain(100 * value)}\N{NO-BREAK SPACE}%")
    elif unit == "money":
        form = FuncFormatter(lambda value, _: money_text(value, currency, compact=True))
    else:
        form = FuncFormatter(lambda value, _: _plain(value))
    form.exact = lambda value: statistic_text(value, statistic, currency)  # type: ignore[attr-defined]
    return form


def _plain(value: float) -> str:
    return f"{round(value, 9):,.10g}".replace("-", "\N{MINUS SIGN}")


def few_ticks(ax: Axes, axis: str = "x", *, whole: bool = False, most: int = 6) -> None:
    """Few enough ticks that their labels never touch; ``whole`` for counts."""
    getattr(ax, f"{axis}axis").set_major_locator(MaxNLocator(most, integer=whole, steps=[1, 2, 2.5, 5, 10]))


def plural(number: int, noun: str) -> str:
    """``1 flow``, ``1,200 flows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def not_shown(number: int, noun: str) -> str:
    """How many rows are left out; empty for none."""
    return f"{plural(number, f'other {noun}')} not shown" if number > 0 else ""


# Which rows a picture shows: one per thing asked, the largest first, the rest counted.

_NOUNS = {
    "variation_name": "variation", "variation": "variation", "flow_message_name": "message",
    "flow_message_id": "message", "flow_name": "flow", "flow_id": "flow", "send_channel": "channel", "tag_name": "tag",
    "tag_id": "tag", "metric_name": "metric",
}  # fmt: skip
"""Columns that name rows, the finest first, and what a row of theirs is called."""


def noun_of(by: str) -> str:
    """What a row of this column is called: ``flow_name`` → ``flow``."""
    return _NOUNS.get(by, by.replace("_", " "))


def label_column(frame: pd.DataFrame, by: str | None, what: str) -> str:
    """The column that names the rows: the one asked, else the finest that the frame has.

    Raises
    ------
    ArgumentError
        The column asked is missing, or none is known.
    """
    if by is not None:
        identifier = NAMES.get(by)
        if by not in frame.columns and identifier in frame.columns:
            return str(identifier)  # older revisions know no names
        require_columns(frame, [by], what)
        return by
    found = next((column for column in _NOUNS if column in frame.columns), None)
    if found is None:
        raise ArgumentError(f"{what} finds no column that names its rows: give by=, one of {', '.join(frame.columns)}.")
    return found


def identity(frame: pd.DataFrame, by: str) -> list[str]:
    """Columns that tell two rows of ``by`` apart: the identifier beside the name, which may be given twice."""
    identifier = NAMES.get(by, by)
    return [by] if identifier == by or identifier not in frame.columns else [identifier, by]


def labels_of(frame: pd.DataFrame, by: str, width: int = 40) -> list[str]:
    """Short labels of the rows, no two alike; a missing name is replaced by its identifier."""
    keys = identity(frame, by)
    ids = list(frame[keys[0]])
    names = [i if pd.isna(name) else name for name, i in zip(frame[by], ids, strict=True)]
    return label_names(names, ids, width)


def full_name(row: pd.Series, by: str) -> str:
    """A row's name for sentences: longer than a label has room for."""
    name = row[by]
    return printable(short_name(row[identity(row.to_frame().T, by)[0]] if pd.isna(name) else name, 56)) or NO_NAME


def one_row_each(frame: pd.DataFrame, by: str, *, over_time: bool = False) -> pd.DataFrame:
    """The frame as it is where ``by`` names its rows once, else rolled up by the catalogue's rules."""
    keys = identity(frame, by)
    times = ["interval_start"] if over_time else []
    if not frame.duplicated([keys[0], *times]).any():
        return frame
    from flowperf_helpers.stats.rollup import roll_up

    rolled = roll_up(frame, by=[*keys, *times])
    facts = [
        c for c in ("interval_end", "is_partial", "is_provisional") if over_time and c not in rolled and c in frame
    ]
    if facts:
        rolled = rolled.merge(frame[["interval_start", *facts]].drop_duplicates("interval_start"), on="interval_start")
    rolled.attrs = {**frame.attrs, **rolled.attrs}
    return rolled


def parts_of(frame: pd.DataFrame, statistic: str) -> tuple[str, str] | None:
    """Numerator and denominator columns of a rate, as far as the frame has them."""
    entry = STATISTICS.get(statistic)
    if entry is None or entry.unit != "fraction":
        return None
    known = frame.attrs.get("denominators") or {}
    known = known.get(statistic) if isinstance(known, dict) else None
    if isinstance(known, dict):
        known = known.get("denominator")
    bottoms: Sequence[str] = [known, *entry.denominators] if isinstance(known, str) else entry.denominators
    top = next((c for c in entry.numerators if c in frame.columns), None)
    bottom = next((c for c in bottoms if c in frame.columns), None)
    return (top, bottom) if top and bottom else None


def with_interval(frame: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Add ``low`` and ``high`` of a rate where the frame can tell them; NaN where it cannot."""
    if {"low", "high"} <= set(frame.columns):
        return frame
    low = high = pd.Series(float("nan"), index=frame.index)
    parts = parts_of(frame, statistic)
    if parts is not None:
        from flowperf_helpers.stats.rates import rate_interval

        top, bottom = (frame[part].astype("Float64") for part in parts)
        possible = (top <= bottom).fillna(False)
        found = rate_interval(top.where(possible), bottom.where(possible)).set_axis(frame.index)
        low, high = found["low"], found["high"]
    return frame.assign(low=low, high=high)


def nothing_known(statistic: str, noun: str, frame: pd.DataFrame) -> str:
    """Say why there is no picture."""
    if not len(frame):
        return f"No {noun} has numbers in this window, so there is nothing to draw."
    return f"{statistic_label(statistic)} is not known for any {noun} here, so there is nothing to draw."


DPI = 96


def as_html(drawn: Any) -> str:
    """Turn what a view returned into HTML: a picture with its text alternative, a table, a sentence, or several.

    Parameters
    ----------
    drawn : Axes, Figure, str, object with ``_repr_html_``, or a sequence or array of these
        A figure is closed afterwards, so that it is not shown a second time; panels of one figure are one picture.
    """
    if isinstance(drawn, Axes):
        drawn = drawn.get_figure(root=True)
    if isinstance(drawn, Figure):
        return _picture(drawn)
    if isinstance(drawn, str):
        return f'<p style="max-width:720px;line-height:1.4">{html.escape(drawn)}</p>'
    if hasattr(drawn, "_repr_html_"):
        return str(drawn._repr_html_())
    if isinstance(drawn, Iterable):
        parts = list(getattr(drawn, "flat", drawn))
        figures = [part.get_figure(root=True) if isinstance(part, Axes) else part for part in parts]
        once = {id(part): part for part in figures}
        return "".join(as_html(part) for part in once.values())
    raise ArgumentError(f"A view returns axes, a table or a sentence, not {type(drawn).__name__}.")


def _picture(figure: Figure) -> str:
    alt = html.escape(alt_text(figure) or "A picture without numbers.", quote=True)
    file = io.BytesIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(file)  # draws once; savefig draws a second time for its layout
    wide, high = (round(inches * DPI) for inches in figure.get_size_inches())
    hover = layer(figure)
    plt.close(figure)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    image = (
        f'<img src="data:image/png;base64,{data}" alt="{alt}" width="{wide}" height="{high}" '
        'style="max-width:100%;height:auto;display:block">'
    )
    return f'<div style="position:relative;width:{wide}px;max-width:100%">{image}{hover}</div>' if hover else image
