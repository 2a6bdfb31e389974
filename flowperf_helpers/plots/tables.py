"""Tables: columns declared as data, and one engine that prints them for a notebook, a page, a terminal, a spreadsheet.

A `Column` says what stands over it, which columns of a frame it reads and how (`KINDS`); `make_table` reads a frame by
a list of columns. Another look is another list, another kind, or another line of ``table.html.j2`` and ``tables.css``.
Everything that a stranger typed is escaped where it is printed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import NAMES, require_columns
from flowperf_helpers.frames.formats import MISSING, NO_NAME, clean_name, short_name
from flowperf_helpers.plots.svg import interval_mark

if TYPE_CHECKING:
    import jinja2

__all__ = [
    "COMPARISON",
    "KINDS",
    "Cell",
    "Column",
    "Kind",
    "Sides",
    "Table",
    "comparison_table",
    "frame_columns",
    "frame_table",
    "make_table",
    "money_format",
    "sheet_format",
    "sides_of",
    "style",
]

NAME_WIDTH = 90


# -- how a value is read ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How the values of a column are read.

    Attributes
    ----------
    text : callable
        What is printed, from the row's values, the statistic whose unit they have, and the currency.
    is_number : bool
        Numbers stand at the right.
    sort : callable, optional
        The number that a reader sorts by, from the first value; left out: by the text.
    sheet : str
        The spreadsheet's number format; empty: that of the statistic's unit.
    """

    text: Callable[[Sequence[Any], str, str | None], str]
    is_number: bool = False
    sort: Callable[[Any], float] | None = None
    sheet: str = "@"


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _or_dash(words: Callable[[Any], str]) -> Callable[[Sequence[Any], str, str | None], str]:
    return lambda v, unit, currency: MISSING if _is_missing(v[0]) else words(v[0])


def _number(words: Callable[[Any], str], sheet: str = "0.000%") -> Kind:
    return Kind(lambda v, unit, currency: words(v[0]), True, float, sheet)


def _points_interval(low: Any, high: Any) -> str:
    if _is_missing(low):
        return MISSING
    return f"{formats.points_text(low).split(formats.SPACE)[0]} to {formats.points_text(high)}"


def _mark(low: Any, high: Any, difference: Any, verdict: str, reach: float) -> str:
    words = f"{formats.points_text(difference)}, {_points_interval(low, high)}"
    return interval_mark(difference, low, high, reach=reach, words=words, verdict=verdict)


def _words(text: str) -> str:
    """A cell for a terminal: what its elements say."""
    return Markup(str(text).replace("><", "> <")).striptags() if isinstance(text, Markup) else text  # noqa: S704 - no page


_NAMED, _NAMELESS = Markup("<bdi>{}</bdi>"), Markup("<em>{}</em>")
_FOLD = Markup("{} <details><summary>id</summary><code>{}</code></details>")


def _name(name: Any, identifier: Any) -> str:
    """A name, and its id folded away: opened by mouse or keyboard, taken whole by one click."""
    shown = (_NAMELESS if clean_name(name) == NO_NAME else _NAMED).format(short_name(name, 48))
    return shown if _is_missing(identifier) else _FOLD.format(shown, short_name(identifier, 200))


def _bare(value: Any) -> str:
    """A value as a frame holds it, without what only a machine reads: midnight and its zone, the 17th digit."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M %Z}".strip()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


KINDS: Mapping[str, Kind] = {
    # words
    "text": Kind(_or_dash(lambda v: short_name(v, NAME_WIDTH))),
    "words": Kind(_or_dash(lambda v: ("met" if v else "not met") if isinstance(v, bool) else str(v))),
    "flag": Kind(_or_dash(lambda v: "yes" if v else "no")),
    "label": Kind(_or_dash(formats.statistic_label)),
    "verdict": Kind(lambda v, unit, currency: formats.verdict_text(v[0])),
    "name": Kind(lambda v, unit, currency: _name(*v)),
    "plain": Kind(_or_dash(_bare)),
    "plain number": Kind(_or_dash(_bare), True, float),
    # moments
    "date": Kind(_or_dash(lambda v: f"{v:%Y-%m-%d}"), sort=lambda v: v.timestamp(), sheet="yyyy-mm-dd"),
    "time": Kind(_or_dash(lambda v: f"{v:%Y-%m-%d %H:%M}"), sort=lambda v: v.timestamp(), sheet="yyyy-mm-dd hh:mm"),
    "day": Kind(_or_dash(lambda v: f"{v:%-d %B %Y}"), sort=lambda v: v.timestamp()),
    "days": Kind(_or_dash(lambda v: f"{v} day{'' if v == 1 else 's'}"), sort=float),
    # numbers, in the unit of a statistic or in their own
    "statistic": Kind(lambda v, unit, currency: formats.statistic_text(v[0], unit, currency), True, float, ""),
    "change": Kind(lambda v, unit, currency: formats.difference_text(v[0], unit, currency), True, float, ""),
    "share": _number(formats.percent_text),
    "points": _number(formats.points_text),
    "probability": _number(formats.probability_text),
    "p": _number(lambda v: MISSING if _is_missing(v) else f"{v:.4f}", "0.0000"),
    "decimal": _number(lambda v: MISSING if _is_missing(v) else f"{v:,.2f}", "0.00"),
    # several numbers in one cell
    "interval": Kind(lambda v, unit, currency: formats.interval_text(v[0], v[1], unit, currency), True),
    "points interval": Kind(lambda v, unit, currency: _points_interval(*v), True),
    "counts": Kind(lambda v, unit, currency: " and ".join(map(formats.count_text, v)), True),
    "mark": Kind(lambda v, unit, currency: _mark(*v)),
}


# -- columns and tables -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    head : str
    source : str or tuple of str
        Columns of the frame; one that the frame lacks is missing in every row.
    kind : str
        A key of `KINDS`; it also tells the alignment.
    unit : str
        The statistic whose unit the numbers have, or the frame's column that names one per row; empty: the source.
    meaning : str
        What the numbers mean, as a tooltip of the head.
    """

    head: str
    source: str | tuple[str, ...]
    kind: str = "text"
    unit: str = ""
    meaning: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns of the frame."""
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def is_number(self) -> bool:
        """Whether it stands at the right."""
        return KINDS[self.kind].is_number

    def cells(self, frame: pd.DataFrame, currency: str | None = None) -> list[Cell]:
        """Read a frame, one cell per row."""
        kind, unit, blank = KINDS[self.kind], self.unit or self.sources[0], [None] * len(frame)
        values = zip(*(frame[c].tolist() if c in frame else blank for c in self.sources), strict=True)
        per_row = bool(self.unit) and unit not in STATISTICS and unit in frame
        units = frame[unit].tolist() if per_row else [unit] * len(frame)
        return [
            Cell(
                kind.text(row, of, currency),
                None if kind.sort is None or _is_missing(row[0]) else kind.sort(row[0]),
                kind.is_number,
            )
            for row, of in zip(values, units, strict=True)
        ]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the number a reader may sort by (None: sorted by text)."""

    text: str
    number: float | None = None
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """A printable table: put into a page as ``{{ table }}``, shown by a notebook, printed to a terminal by `text`."""

    columns: Sequence[Column]
    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""
    title: str = ""
    notes: Sequence[str] = ()

    @property
    def heads(self) -> list[str]:
        """What stands over the columns."""
        return [column.head for column in self.columns]

    def __html__(self) -> str:
        """HTML for a page that has the style already."""
        return _template().render(t=self)

    def _repr_html_(self) -> str:
        over = Markup("<p><b>{}</b></p>").format(self.title) if self.title else ""
        notes = Markup("").join(Markup("<p>{}</p>").format(note) for note in self.notes)
        return f'<style>{style()}</style><div class="fp-table">{over}{self.__html__()}{notes}</div>'

    def text(self, width: int = 48) -> str:
        """Lines for a terminal: cells cut to a width, nothing in them that steers it."""
        lines = [[short_name(text, width) if text else "" for text in line] for line in
                 [self.heads, *([_words(cell.text) for cell in row] for row in self.rows)]]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * most for most in widths])
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


@functools.cache
def style() -> str:
    """The style sheet of tables and their small pictures."""
    return (Path(__file__).parent / "tables.css").read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    source = (Path(__file__).parent / "table.html.j2").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


def make_table(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    currency: str | None = None,
    limit: int | None = None,
    rest: str = ".",
    **looks: Any,
) -> Table:
    """Read a frame by a list of columns.

    Parameters
    ----------
    columns : sequence of Column
    currency : str, optional
        ISO code for money.
    limit : int, optional
        Rows printed; a caption counts them where there are more.
    rest : str
        How that caption ends.
    **looks
        Further fields of `Table`.
    """
    if limit is not None and len(frame) > limit:
        looks["caption"] = f"The first {limit} of {len(frame)} rows{rest}"
        frame = frame.head(limit)
    cells = [column.cells(frame, currency) for column in columns]
    return Table(columns, [list(row) for row in zip(*cells, strict=True)], **looks)


# -- columns of any frame ---------------------------------------------------------------------------------------------

_SHARES = ("rate", "share", "probability", "low", "high", "mix_effect", "within_effect", "total_effect")


def _kind_of(bare: str, values: pd.Series) -> str:
    dtype = values.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        known = values.dropna()
        return "date" if len(known) and (known == known.dt.normalize()).all() else "time"
    if pd.api.types.is_bool_dtype(dtype):
        return "flag"
    if not pd.api.types.is_numeric_dtype(dtype):
        return "text"
    if bare in ("p_value", "q_value"):
        return "p"
    if bare == "difference":
        return "points"
    if bare in _SHARES or bare.startswith(("share_", "probability_")):
        return "share"
    is_broken = (
        pd.api.types.is_float_dtype(dtype) and formats.unit_of(bare) == "count" and (values.dropna() % 1 != 0).any()
    )
    return "decimal" if is_broken else "statistic"


def frame_columns(frame: pd.DataFrame) -> list[Column]:
    """Columns for a frame that no list was written for: each with the kind that its name and its values tell."""
    columns = []
    for number, (name, values) in enumerate(frame.items()):
        bare = str(name).removesuffix("_before").removesuffix("_after")
        label = formats.statistic_label(bare.removesuffix("_name")) + str(name).removeprefix(bare).replace("_", " ")
        columns.append(Column(label, f"#{number}", _kind_of(bare, values), bare))
    return columns


def frame_table(frame: pd.DataFrame, *, plain: bool = False, currency: str | None = None, **looks: Any) -> Table:
    """Any frame as a table; ``plain`` keeps heads and values as they are."""
    columns = frame_columns(frame)
    if plain:
        kinds = ["plain number" if c.is_number else "plain" for c in columns]
        columns = [replace(c, head=str(n), kind=k) for c, n, k in zip(columns, frame, kinds, strict=True)]
    return make_table(frame.set_axis([c.source for c in columns], axis=1), columns, currency=currency, **looks)


def money_format(currency: str | None, *, cents: bool = False) -> str:
    """The spreadsheet's number format of money; anything but letters and digits would end the format, or the file."""
    number = "#,##0.00" if cents else "#,##0"
    code = "".join(c for c in currency or "" if c.isalnum())[:8]
    return f'{number} "{code}"' if code else number


def sheet_format(column: Column, currency: str | None = None) -> str:
    """The spreadsheet's number format of a column."""
    if KINDS[column.kind].sheet:
        return KINDS[column.kind].sheet
    return {"fraction": "0.00%", "money": money_format(currency, cents=True), "count": "#,##0"}.get(
        formats.unit_of(column.unit), "0.00"
    )


# -- two periods side by side -----------------------------------------------------------------------------------------

COMPARISON = (
    Column("Before", "rate_before", "statistic", "statistic"),
    Column("Now", "rate_after", "statistic", "statistic"),
    Column("Change", "difference", "points"),
    Column("95 % interval", ("low", "high"), "points interval"),
    Column("", ("low", "high", "difference", "verdict", "reach"), "mark"),
    Column("Verdict", "verdict", "verdict"),
)
"""Rates of `compare_rates`, with a ``statistic`` that names the rate and the ``reach`` of the pictures' scale."""

_WHO = (
    *(Column(head, (name, NAMES[name]), "name") for name, head in (
        ("flow_name", "Flow"), ("flow_message_name", "Message"), ("variation_name", "Variation"), ("tag_name", "Tag"))),
    Column("Channel", "send_channel"),
)  # fmt: skip


class Sides(NamedTuple):
    """What the two sides of a comparison are called, and whether they are a time before and a time after."""

    first: str
    second: str
    are_periods: bool


def sides_of(compared: pd.DataFrame) -> Sides:
    """The sides that ``attrs["labels"]`` names; before and after where it is missing.

    Labels are of channels and the like, unless ``attrs["are_periods"]`` says otherwise.
    """
    labels = compared.attrs.get("labels")
    first, second = labels or ("before", "after")
    return Sides(first, second, compared.attrs.get("are_periods", not labels))


def comparison_table(compared: pd.DataFrame, *, rate: str | None = None, top: int = 100) -> Table:
    """Before, now, the change with its interval as numbers and picture, and the verdict.

    Real changes come first, then the largest.

    Parameters
    ----------
    compared : DataFrame
        Of `compare_rates` (or `flowperf_helpers.widgets.notebook.level_changes`).
    rate : str, optional
        The statistic; left out: ``attrs["rate"]``.
    top : int
        Rows shown.
    """
    require_columns(compared, ["rate_before", "rate_after", "difference", "low", "high", "verdict"], "comparison_table")
    rate = rate or str(compared.attrs.get("rate", "click_rate"))
    real = compared["verdict"].isin(("higher", "lower"))
    order = pd.DataFrame({"real": real, "change": compared["difference"].abs().astype("float64")})
    shown = compared.loc[order.sort_values(["real", "change"], ascending=False).index].assign(statistic=rate)
    # one flow of three recipients shall not flatten the intervals of all others: a longer one leaves the scale
    reach = 2 * shown[["low", "high"]].astype("float64").abs().max(axis=1).quantile(0.75)
    who = [column for column in _WHO if {*column.sources} & {*shown.columns}]
    notes = [str(note) for note in compared.attrs.get("notes") or []]
    sides = sides_of(compared)
    heads = (sides.first.capitalize(), COMPARISON[1].head) if sides.are_periods else sides[:2]
    both = "before and now" if sides.are_periods else " and ".join(heads)
    title = f"{formats.statistic_label(rate)}, {both}"
    if compared.attrs.get("sandbox"):
        title += " · SANDBOX · invented numbers"
    if shown.empty:
        what = "periods" if sides.are_periods else "of them"
        notes.append(f"There is nothing to compare: no group is in both {what}.")
    last = Column("Rests on", "sample", "words") if "sample" in shown else Column("In words", "text", "words")
    rates = [replace(column, head=head) for column, head in zip(COMPARISON[:2], heads, strict=True)]
    change = COMPARISON[2]
    if not sides.are_periods:
        change = replace(change, head="Difference")
        shown["verdict"] = shown["verdict"].str.replace("change", "difference")
    columns = [*who, *rates, change, *COMPARISON[3:], last]
    return make_table(shown.assign(reach=reach), columns, limit=top, title=title, notes=notes)
