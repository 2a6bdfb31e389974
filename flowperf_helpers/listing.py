"""What the command line prints of frames: an aligned table for people, CSV and JSON for programs."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Any

import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.names import clean_name

__all__ = ["discovered", "moment", "print_frame"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal would obey instead of showing it."""

_WIDTH = 48


def discovered(account: Any, *, integration: str | None = None, category: str | None = None) -> pd.DataFrame:
    """Metrics with the flows they trigger: one row per metric × flow, and one for a metric without flows."""
    metrics = account.metrics(integration=integration, category=category)
    flows = account.flows_triggered_by(list(metrics["metric_id"]))
    kept = ["metric_id", "flow_id", "flow_name", "flow_status", "archived"]
    return metrics.merge(flows[[c for c in kept if c in flows]], on="metric_id", how="left")


def print_frame(frame: pd.DataFrame, shape: str) -> None:
    """Print a frame as ``table``, ``csv`` or ``json`` (one object per row); no text of it steers a terminal."""
    import click

    if shape == "csv":
        click.echo(frame.map(_inert).to_csv(index=False), nl=False)
    elif shape == "json":
        text = frame.to_json(orient="records", date_format="iso", force_ascii=False)
        click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))  # the same value, spelled in ASCII
    elif frame.empty:
        click.echo("nothing to show")
    else:
        click.echo(_table(frame))


def _inert(value: Any) -> Any:
    """Controls become spaces; a text that a spreadsheet would take for a formula gets an apostrophe before it.

    Spreadsheets look past what cannot be seen, and read the wide forms of East Asian keyboards as the plain signs.
    """
    if not isinstance(value, str):
        return value
    text = _CONTROL.sub(" ", value)
    is_formula = unicodedata.normalize("NFKC", clean_name(text)[:1]) in ("=", "+", "-", "@")
    return f"'{text}" if is_formula or value[:1] in ("\t", "\r") else text


def _table(frame: pd.DataFrame) -> str:
    cells = [[_cell(v) for v in row] for row in frame.itertuples(index=False)]
    heads = [str(c) for c in frame.columns]
    widths = [max(len(h), *(len(row[i]) for row in cells)) for i, h in enumerate(heads)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *cells]
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M %Z}".strip()
    text = _CONTROL.sub(" ", str(value))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def moment(text: str) -> datetime:
    """An ISO moment with its offset.

    Raises
    ------
    ArgumentError
        No such moment, or one without an offset.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(f"{text[:40]!r} is not a moment: write it as 2026-11-23T06:00:00+01:00.") from error
    if parsed.tzinfo is None:
        raise ArgumentError(f"{text} lacks its offset: write it as {text}+01:00.")
    return parsed
