"""Many rows to few, without lying: counts are summed, rates rebuilt from the sums, people never added over time.

What cannot be known is NA and ``attrs["why_na"]`` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import (
    TIMES,
    groupings_of,
    require_columns,
    require_once,
    statistics_of,
)
from flowperf_helpers.stats.rate_parts import (
    TAGS,
    Codes,
    Columns,
    Floats,
    Parts,
    bare,
    group_rows,
    sum_groups,
)

__all__ = ["roll_up"]

_CONTEXT = ("account", "conversion_metric_id", "currency", *TIMES)
_OVER_TIME = (
    "people cannot be added over time: one person may stand in several intervals; give values= of the whole period"
)
_PARTS_OVER_TIME = "its numerator counts people, and those cannot be added over time; give values= of the whole period"


def roll_up(frame: pd.DataFrame, by: Sequence[str] | str, *, values: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per group: counts summed, rates rebuilt from the sums.

    - Counts and money: the sum of what is known; NA where nothing is. A sum that lacks parts is named in
      ``attrs["missing_parts"]`` (null is not zero, so it is a lower bound).
    - Unique counts: summed over messages; over several intervals NA, unless ``values`` has them for the whole period.
    - Rates and ratios: from the sums of their parts, over the rows whose channel and numerator carry them. Rates that
      the frame has no column for are added where their parts are there. Which parts: `find_denominators`, kept in
      ``attrs["denominators"]``. Where a rate stands on fewer rows than the summed denominator (texts beside e-mails),
      ``attrs["narrower"]`` lists it and it cannot be rebuilt from this frame again: roll up from the messages instead.
    - Tags: a message with two tags stands in two rows; unless ``by`` asks for tags, it is counted once.
    - Money of several currencies (column ``currency``) is NA, unless ``by`` holds the currency.

    Parameters
    ----------
    frame : DataFrame
        Of a values or series report, one row per group (× interval).
    by : sequence of str or str
        Columns to keep; empty for one row of totals.
    values : DataFrame, optional
        A values report of the whole period of a series frame: unique counts are taken from it.

    Returns
    -------
    DataFrame
        ``by``, then the statistics (counts ``Int64``, the rest float64), groups in order of appearance::

              flow_id send_channel  delivered  opens_unique  open_rate
            0 T7K2j8  email              1870           640   0.342246

    Raises
    ------
    ArgumentError
        A column of ``by`` or every statistic is missing, rows that stand there twice, or several conversion metrics.
    """
    by = [by] if isinstance(by, str) else list(by)
    require_columns(frame, by, "roll_up")
    statistics = statistics_of(frame)
    if not statistics:
        require_columns(frame, ["recipients"], "roll_up")
    wrong = [c for c in by if c in STATISTICS]
    if wrong:
        raise ArgumentError(f"roll_up groups by columns that tell whose row it is, not by the statistic {wrong[0]}.")
    attrs = frame.attrs
    frame, notes = _each_once(bare(frame), by, statistics)
    codes, keys = group_rows(frame, by)
    sums = _Sums(frame, codes, len(keys), attrs.get("narrower", []))
    parts = sums.read.denominators()
    columns: dict[str, Any] = {}
    for name in [*statistics, *(r for r in parts if r not in statistics)]:
        columns[name] = sums.rate(name, parts.get(name)) if STATISTICS[name].numerators else sums.count(name, by)
    result = pd.concat([keys, pd.DataFrame(columns, index=keys.index)], axis=1)
    result.attrs = {
        **attrs,
        "statistics": list(columns),
        "denominators": {rate: found.to_dict() for rate, found in parts.items()},
        "why_na": sums.why_na,
        "missing_parts": sums.missing_parts,
        "narrower": sums.narrower,
        "notes": [*attrs.get("notes", []), *notes],
    }
    return result if values is None else _with_values(result, values, by)


# --- rows ---------------------------------------------------------------------------------------------------------


def _each_once(frame: pd.DataFrame, by: list[str], statistics: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Refuse rows that stand there twice, and take tags out of totals."""
    notes: list[str] = []
    require_once(frame, by, "roll_up")
    keys = [*groupings_of(frame, names=False), *(c for c in _CONTEXT if c in frame.columns)]
    metrics = frame["conversion_metric_id"].nunique(dropna=False) if "conversion_metric_id" in frame.columns else 1
    if metrics > 1 and not {"conversion_metric_id", "flow_id", "flow_message_id"} & set(by):
        notes.append(
            f"Flows with {metrics} different conversion metrics are together: their conversions differ in kind."
        )
    tags = [c for c in TAGS if c in frame.columns]
    if not tags:
        return frame, notes
    if any(c in by for c in TAGS):
        notes.append("A message with two tags counts in both: rows of tags do not add up to a total.")
        return frame, notes
    bare = [k for k in keys if k not in TAGS]
    once = frame.drop_duplicates([*bare, *statistics]) if bare else frame
    if bare and once.duplicated(bare).any():
        raise ArgumentError(
            "The frame is split by tags and a message's tags have different numbers, so they cannot be told apart: put "
            "tag_id into by, or ask without tags."
        )
    if len(once) < len(frame):
        notes.append(
            f"{len(frame) - len(once)} rows that repeat a message under another tag were left out of the sums."
        )
    return once, notes


# --- sums ---------------------------------------------------------------------------------------------------------


class _Sums:
    """Sums per group, and the reasons for what has none."""

    def __init__(self, frame: pd.DataFrame, codes: Codes, groups: int, narrowed: Sequence[str]) -> None:
        self.frame, self.codes, self.groups, self.narrowed = frame, codes, groups, narrowed
        self.read = Columns(frame)
        self.why_na: dict[str, str] = {}
        self.missing_parts: dict[str, int] = {}
        self.narrower: list[str] = []
        moments, times = group_rows(frame, [c for c in TIMES if c in frame.columns])
        self._number = max(1, len(times))
        self._pairs = codes * self._number + moments
        self._over_time = len(np.unique(self._pairs)) > groups
        sent = self.read.numbers("recipients") if "recipients" in frame.columns else np.full(len(frame), np.nan)
        self._idle = sent == 0

    def add(self, values: Floats) -> Floats:
        return sum_groups(values, self.codes, self.groups)

    def several_moments(self, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Groups whose known rows lie in more than one interval."""
        if not self._over_time:
            return np.zeros(self.groups, dtype=bool)
        group = np.unique(self._pairs[known]) // self._number
        return np.asarray(np.bincount(group, minlength=self.groups) > 1, dtype=bool)

    def count(self, name: str, by: list[str]) -> Any:
        """Sum of a count or of money."""
        entry = STATISTICS[name]
        meaning = self.read.carries(name)
        values = np.where(meaning, self.read.numbers(name), np.nan)
        total = self.add(values)
        missing = int((np.isnan(values) & meaning & ~self._idle).sum())
        if missing:
            self.missing_parts[name] = missing
        if entry.kind == "unique":
            total = self._not_over_time(name, values, total)
        if entry.unit == "money" and "currency" in self.frame.columns and "currency" not in by:
            mixed = self.frame.groupby(self.codes)["currency"].nunique(dropna=False).to_numpy() > 1
            if mixed.any():
                self.why_na[name] = "several currencies cannot be added up; put currency into by"
                total = np.where(mixed, np.nan, total)
        if not meaning.any() and len(meaning):
            self.why_na[name] = "it has no meaning on these channels"
        return pd.array(total, dtype="Float64").astype("Int64") if entry.is_count else total

    def _not_over_time(self, name: str, values: Floats, total: Floats) -> Floats:
        several = self.several_moments(~np.isnan(values))
        if several.any():
            self.why_na[name] = _OVER_TIME
        return np.where(several, np.nan, total)

    def rate(self, name: str, parts: Parts | None) -> Floats:
        """Rebuild a rate from the sums of its parts; a group of one row keeps the rate that it came with."""
        if parts is None:
            return self._as_given(name)
        meaning = self.read.carries(name)
        top, bottom = self.read.rate_rows(name, parts)
        both = ~np.isnan(top)
        above, below = self.add(top), self.add(bottom)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(below > 0, above / below, np.nan)
        if name in self.narrowed and name in self.frame.columns:
            return self._as_given(name)
        if (self.add(self.read.numbers(parts.denominator))[np.isfinite(below)] != below[np.isfinite(below)]).any():
            self.narrower.append(name)
        if name == "text_message_roi" and parts.evidence.startswith("assumed") and name in self.frame.columns:
            return self._as_given(name)
        for part in (parts.numerator, parts.denominator):
            if STATISTICS[part].kind == "unique":
                several = self.several_moments(both)
                value = np.where(several, np.nan, value)
                if several.any():
                    self.why_na[name] = _PARTS_OVER_TIME
            elif STATISTICS[part].unit == "money" and "currency" in self.why_na.get(part, ""):
                mixed = self.frame.groupby(self.codes)["currency"].nunique(dropna=False).to_numpy() > 1
                value = np.where(mixed, np.nan, value)
                self.why_na[name] = self.why_na[part]
        if not meaning.any() and len(meaning):
            self.why_na[name] = "it has no meaning on these channels"
        return np.asarray(value, dtype=np.float64)

    def _as_given(self, name: str) -> Floats:
        entry = STATISTICS[name]
        given = np.where(self.read.carries(name), self.read.numbers(name), np.nan)
        alone = np.bincount(self.codes, minlength=self.groups) == 1
        if not alone.all():
            need = f"{' or '.join(entry.numerators)} and {' or '.join(entry.denominators)}"
            self.why_na[name] = f"it is rebuilt from {need}, and these rows do not give it back from them"
        return np.where(alone, self.add(given), np.nan)


# --- people over a whole period -----------------------------------------------------------------------------------


def _with_values(result: pd.DataFrame, values: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Take from a values report what a series cannot give."""
    if any(c in by for c in TIMES):
        raise ArgumentError("values= is for a roll-up over the whole period: take the time out of by.")
    whole = roll_up(values, by)
    wanted = [c for c in result.attrs["why_na"] if c in whole.columns and "over time" in result.attrs["why_na"][c]]
    if not wanted:
        return result
    looked_up = result[by].merge(whole[[*by, *wanted]], on=by, how="left") if by else whole[wanted]
    attrs = dict(result.attrs)
    filled = result.assign(**{name: looked_up[name].to_numpy() for name in wanted})
    filled = filled.astype({name: "Int64" for name in wanted if STATISTICS[name].is_count})
    attrs["why_na"] = {k: v for k, v in attrs["why_na"].items() if k not in wanted}
    attrs["notes"] = [*attrs["notes"], f"Of the values report of the whole period: {', '.join(wanted)}."]
    filled.attrs = attrs
    return filled
