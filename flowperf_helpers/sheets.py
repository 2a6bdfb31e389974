"""Finished cells as a printable table: one look, notes under it, SANDBOX over it where the numbers are invented."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from flowperf_helpers import cells
from flowperf_helpers.columns import NAMES

if TYPE_CHECKING:
    from great_tables import GT

__all__ = ["Sheet", "add_dates", "add_names", "add_text", "first_rows"]

SANDBOX_NOTE = "SANDBOX · invented numbers"


@dataclass
class Sheet:
    """Columns of finished HTML, collected before great_tables sees them."""

    title: str
    attrs: dict[Any, Any]
    labels: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    align: dict[str, Literal["left", "right"]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, label: str, made: Iterable[str], *, right: bool = False) -> None:
        """Put a column at the right; ``made`` is HTML of `flowperf_helpers.cells`."""
        self.labels[name], self.columns[name], self.align[name] = label, list(made), "right" if right else "left"

    def draw(self, empty: str) -> GT:
        """Make the table; one without rows says ``empty`` in their place."""
        from great_tables import GT
        from great_tables import html as as_html

        columns, labels = self.columns, self.labels
        if not next(iter(columns.values()), []):
            columns, labels = {"nothing": [html.escape(empty)]}, {"nothing": ""}
        content = hashlib.sha256(repr((self.title, columns)).encode("utf-8", "replace")).hexdigest()[:10]
        table = GT(pd.DataFrame(columns, dtype="object"), id=f"fp-{content}").fmt(str, columns=list(columns))
        table = table.cols_label(cases=dict(labels))
        for side in ("left", "right"):
            chosen = [name for name in columns if self.align.get(name, "left") == side]
            if chosen:
                table = table.cols_align(align=side, columns=chosen)
        mark = SANDBOX_NOTE if self.attrs.get("sandbox") else None
        flag = '<mark style="background:#F0E442;color:#000;font-weight:600;padding:1px 5px">{}</mark>'
        table = table.tab_header(
            title=as_html(f"<b>{html.escape(self.title)}</b>"), subtitle=as_html(flag.format(mark)) if mark else None
        )
        for note in self.notes:
            table = table.tab_source_note(note)
        return table.opt_align_table_header("left").tab_options(
            table_font_size="14px", heading_title_font_size="16px",
            column_labels_font_weight="bold", data_row_padding="5px", container_overflow_x="auto",
            table_margin_left="0px",
        )  # fmt: skip


def first_rows(frame: pd.DataFrame, top: int, sheet: Sheet, noun: str = "row") -> pd.DataFrame:
    """Return the first rows, and note on the sheet how many are left."""
    left = len(frame) - top
    if left > 0:
        sheet.notes.append(f"{left:,} more {noun}{'' if left == 1 else 's'} of {len(frame):,} not shown.")
    return frame.head(top)


def add_names(sheet: Sheet, frame: pd.DataFrame) -> None:
    """Add a column per thing that the rows are about: names where there are any, their ids folded away."""
    labels = {
        "flow_name": "Flow", "flow_message_name": "Message", "variation_name": "Variation", "tag_name": "Tag",
    }  # fmt: skip
    for name, label in labels.items():
        identifier = NAMES[name]
        if name in frame.columns:
            ids = frame[identifier] if identifier in frame.columns else [None] * len(frame)
            sheet.add(name, label, (cells.name_cell(n, i) for n, i in zip(frame[name], ids, strict=True)))
        elif identifier in frame.columns:
            sheet.add(identifier, label, (cells.text_cell(i) for i in frame[identifier]))
    if "send_channel" in frame.columns:
        sheet.add("send_channel", "Channel", (cells.text_cell(c, 20) for c in frame["send_channel"]))


def add_text(sheet: Sheet, frame: pd.DataFrame, columns: dict[str, str], width: int = 60) -> None:
    """Add those columns of words that the frame has."""
    for name, label in columns.items():
        if name in frame.columns:
            sheet.add(name, label, (cells.text_cell(value, width) for value in frame[name]))


def add_dates(sheet: Sheet, frame: pd.DataFrame, columns: dict[str, str]) -> None:
    """Add those columns of moments that the frame has, as days of the account's clock."""
    for name, label in columns.items():
        if name in frame.columns:
            sheet.add(
                name,
                label,
                (
                    cells.missing_cell() if pd.isna(d) else f'<span style="white-space:nowrap">{d:%Y-%m-%d}</span>'
                    for d in frame[name]
                ),
            )
