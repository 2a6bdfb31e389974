"""What a rate rests on: successes and trials per group, summed from a report's rows.

Unlike `roll_up`, several intervals may be summed: each interval's sends are trials of their own, so someone mailed in
two weeks is tried twice and may succeed twice. That is a rate per send. It is no count of people, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from flowperf_helpers.columns import NAMES, TIMES, carries, keep_names, numbers, require_columns, require_once, row_keys
from flowperf_helpers.denominators import Parts

__all__ = ["Trials", "sum_trials"]

_TAGS = ("tag_id", "tag_name")


@dataclass(frozen=True)
class Trials:
    """Successes and trials per group.

    Attributes
    ----------
    counts : DataFrame
        Group columns, ``numerator, denominator, recipients`` (float64) and ``is_provisional`` (bool).
    names : DataFrame
        Group columns and the names that go with them, as last told.
    notes : list of str
        What was left out or is to be known.
    """

    counts: pd.DataFrame
    names: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def sum_trials(
    frame: pd.DataFrame, rate: str, parts: Parts, keys: Sequence[str], *, provisional: str, what: str
) -> Trials:
    """Sum per group what carries the rate; a row without numerator or denominator has no share in it.

    Partial intervals are left out, provisional ones marked or left out (``provisional="drop"``); rows that only repeat
    a message under another tag count once.
    """
    keys = list(keys)
    require_columns(frame, [*keys, parts.numerator, parts.denominator], what)
    require_once(frame, keys, what)
    notes: list[str] = []
    if "is_partial" in frame.columns and frame["is_partial"].any():
        notes.append(f"{what}: {int(frame['is_partial'].sum())} rows of unfinished intervals were left out.")
        frame = frame[~frame["is_partial"].to_numpy(dtype=bool)]
    young = np.zeros(len(frame), dtype=bool)
    if "is_provisional" in frame.columns:
        young = frame["is_provisional"].to_numpy(dtype=bool)
        if provisional == "drop" and young.any():
            notes.append(f"{what}: {int(young.sum())} rows of provisional intervals were left out.")
            frame, young = frame[~young], young[~young]
    if any(c in frame.columns and c not in keys for c in _TAGS):
        first = ~frame.duplicated([c for c in row_keys(frame) if c not in _TAGS]).to_numpy()
        frame, young = frame[first], young[first]
    top, bottom = numbers(frame, parts.numerator), numbers(frame, parts.denominator)
    known = carries(frame, rate) & ~np.isnan(top) & ~np.isnan(bottom)
    sent = numbers(frame, "recipients") if "recipients" in frame.columns else bottom
    rows = frame[keys].assign(
        numerator=np.where(known, top, np.nan), denominator=np.where(known, bottom, np.nan),
        recipients=np.where(known, sent, np.nan), is_provisional=young,
    )  # fmt: skip
    grouped = rows.groupby(keys, dropna=False, sort=False, observed=True)
    counts = grouped[["numerator", "denominator", "recipients"]].sum(min_count=1)
    counts["is_provisional"] = grouped["is_provisional"].any().astype(bool)
    times = [c for c in TIMES if c in frame.columns and c not in keys]
    if times and len(frame[times].drop_duplicates()) > 1:
        notes.append(f"{what}: several intervals together; a person counts once per message and interval.")
    labels = keep_names(frame, keys)
    names = frame[[*keys, *labels]].drop_duplicates(keys, keep="last")
    return Trials(counts.reset_index(), names.reset_index(drop=True), notes)


def without_names(by: Sequence[str]) -> list[str]:
    """Return ``by`` without names whose id is in it: rows are matched by ids, as names change."""
    return [c for c in by if NAMES.get(c) not in by]
