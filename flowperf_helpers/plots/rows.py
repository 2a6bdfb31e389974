"""Which rows a picture shows: one per thing asked, the largest first, the rest counted."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from flowperf_helpers.catalog import STATISTICS
from flowperf_helpers.columns import NAMES, require_columns
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.formats import statistic_label
from flowperf_helpers.names import NO_NAME, short_name
from flowperf_helpers.style import label_names, printable

__all__ = ["full_name", "identity", "label_column", "labels_of", "noun_of", "one_row_each", "parts_of", "with_interval"]

_NOUNS = {
    "flow_name": "flow", "flow_id": "flow", "flow_message_name": "message", "flow_message_id": "message",
    "send_channel": "channel", "variation_name": "variation", "variation": "variation", "tag_name": "tag",
    "tag_id": "tag", "metric_name": "metric",
}  # fmt: skip
_LABELS = (
    "variation_name", "variation", "flow_message_name", "flow_message_id", "flow_name", "flow_id", "send_channel",
    "tag_name", "tag_id",
)  # fmt: skip


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
    found = next((column for column in _LABELS if column in frame.columns), None)
    if found is None:
        raise ArgumentError(f"{what} finds no column that names its rows: give by=, one of {', '.join(frame.columns)}.")
    return found


def identity(frame: pd.DataFrame, by: str) -> list[str]:
    """Columns that tell two rows of ``by`` apart: the identifier beside the name, which may be given twice."""
    identifier = NAMES.get(by, by)
    return [by] if identifier == by or identifier not in frame.columns else [identifier, by]


def labels_of(frame: pd.DataFrame, by: str, width: int = 40) -> list[str]:
    """Short labels of the rows, no two alike; a missing name is told by its identifier."""
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
    from flowperf_helpers.rollups import roll_up

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
    told = frame.attrs.get("denominators") or {}
    told = told.get(statistic) if isinstance(told, dict) else None
    if isinstance(told, dict):
        told = told.get("denominator")
    bottoms: Sequence[str] = [told, *entry.denominators] if isinstance(told, str) else entry.denominators
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
        from flowperf_helpers.rates import rate_interval

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
