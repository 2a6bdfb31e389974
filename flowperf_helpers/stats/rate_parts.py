"""Numerator and denominator of each rate: which parts Klaviyo divided, and their sums per group.

Klaviyo's documentation and its answers disagree on whether rates stand on delivered or on recipients. A row that has
the rate, the count and both candidates tells: only the true one gives the count back within the rate's rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import (
    NAMES,
    TIMES,
    carried,
    keep_names,
    numbers,
    require_columns,
    require_once,
    row_keys,
)

__all__ = [
    "Columns",
    "GroupSums",
    "Parts",
    "bare",
    "find_denominators",
    "group_rows",
    "parts_of",
    "sum_groups",
    "sum_rate_parts",
    "with_only",
]

TAGS = ("tag_id", "tag_name")
_AGREED = 0.95
_HALF = 0.5
_LEAST_DECIMALS = 4
_COARSE_DECIMALS = 2
_MOST_DECIMALS = 12

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Parts:
    """What a rate is divided into, and how that is known.

    Attributes
    ----------
    numerator, denominator : str
        Columns of the frame.
    evidence : str
        ``"inferred from n rows"``, ``"only candidate"``, or ``"assumed: …"`` with the reason.
    """

    numerator: str
    denominator: str
    evidence: str

    def to_dict(self) -> dict[str, str]:
        """For ``attrs``."""
        return asdict(self)


def find_denominators(frame: pd.DataFrame, rates: Iterable[str] = STATISTICS) -> dict[str, Parts]:
    """Parts of the rates and ratios that the frame's columns allow.

    A candidate fits a row if rate × denominator gives the numerator within half a unit of the rate's last decimal. Rows
    that all candidates fit (nothing bounced) tell nothing. Where at least 95 % of the telling rows fit one candidate
    best, it is inferred; otherwise the catalogue's first (delivered) is assumed and the evidence says why.

    Parameters
    ----------
    rates : iterable of str, optional
        The rates to judge; left out: all of the catalogue.

    Returns
    -------
    dict of str to Parts
        Keyed by rate, in the order given; a rate without any numerator or denominator column is left out.
    """
    return Columns(frame).denominators(rates)


class Columns:
    """Numbers and channels of a frame, each read once for all the rates that are made of them.

    Attributes
    ----------
    names : Index
        The frame's columns.
    rows : int
        How many rows it has.
    numbers : callable
        `flowperf_helpers.frames.columns.numbers` of a column.
    carries : callable
        Rows whose channel gives a statistic a meaning.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.names, self.rows = frame.columns, len(frame)
        self.numbers = cache(partial(numbers, frame))
        self.carries = carried(frame)

    def denominators(self, rates: Iterable[str] = STATISTICS) -> dict[str, Parts]:
        """See `find_denominators`."""
        found = {}
        for name in rates:
            entry = STATISTICS[name]
            pairs = product(entry.numerators, entry.denominators)
            candidates = [(n, d) for n, d in pairs if n in self.names and d in self.names]
            if candidates:
                found[name] = self._judge(name, candidates)
        return found

    def rate_rows(self, statistic: str, parts: Parts | None) -> tuple[Floats, Floats]:
        """Numerator and denominator per row, both NaN where the row has no share in the rate.

        Parameters
        ----------
        parts : Parts or None
            None for a count: the count itself over 1.
        """
        top = self.numbers(parts.numerator if parts else statistic)
        bottom = self.numbers(parts.denominator) if parts else np.ones(self.rows)
        known = self.carries(statistic) & ~np.isnan(top) & ~np.isnan(bottom)
        return np.where(known, top, np.nan), np.where(known, bottom, np.nan)

    def sums(self, statistic: str, parts: Parts | None, codes: Codes, groups: int) -> tuple[Floats, Floats]:
        """Sum both per group, over the rows that have both and whose channel carries the statistic.

        Parameters
        ----------
        parts : Parts or None
            None for a count: its own sum over 1.
        codes : array of int
            Number of each row's group, of `group_rows`.
        groups : int
            How many groups there are.

        Returns
        -------
        tuple of two arrays of float64 [group]
            NaN for a group of which nothing is known.
        """
        top, bottom = self.rate_rows(statistic, parts)
        below = sum_groups(bottom, codes, groups)
        return sum_groups(top, codes, groups), below if parts else np.minimum(below, 1.0)

    def _judge(self, rate: str, candidates: list[tuple[str, str]]) -> Parts:
        first = candidates[0]
        if rate not in self.names:
            return Parts(
                *first, "only candidate" if len(candidates) == 1 else "assumed: the frame has no such rate to check"
            )
        given = self.numbers(rate)
        numerators = np.stack([self.numbers(n) for n, _ in candidates])
        denominators = np.stack([self.numbers(d) for _, d in candidates])
        usable = self.carries(rate) & np.isfinite(given) & np.isfinite(numerators + denominators).all(axis=0)
        usable &= (denominators > 0).all(axis=0)
        given, numerators, denominators = given[usable], numerators[:, usable], denominators[:, usable]
        off = np.abs(given * denominators - numerators) - 1e-9 * (1 + np.abs(numerators))
        fits = off <= _slack(given, _LEAST_DECIMALS) * denominators
        if len(given) and fits.any(axis=0).mean() < _HALF:  # rates that were rounded more than Klaviyo's own
            fits = off <= _slack(given, _COARSE_DECIMALS) * denominators
        if len(candidates) == 1:
            wrong = int((~fits[0]).sum())
            if wrong > (1 - _AGREED) * len(given):
                return Parts(*first, f"assumed: {wrong} of {len(given)} rows have another rate than these parts give")
            return Parts(*first, "only candidate")
        telling = fits.any(axis=0) & ~fits.all(axis=0)
        votes = fits[:, telling].sum(axis=1)
        n = int(telling.sum())
        best = int(votes.argmax())
        if n == 0:
            none = len(given) > 0 and not fits.any()
            why = "no candidate gives the rows' rates back" if none else "no row tells the candidates apart"
            return Parts(*first, f"assumed: {why}")
        if votes[best] < _AGREED * n or np.delete(votes, best).max() >= votes[best]:
            split = ", ".join(f"{v} for {d}" for v, (_, d) in zip(votes, candidates, strict=True))
            return Parts(*first, f"assumed: {n} rows disagree ({split})")
        return Parts(*candidates[best], f"inferred from {n} row{'s' if n > 1 else ''}")


def parts_of(frame: pd.DataFrame, rate: str, what: str) -> Parts:
    """Parts of one rate.

    Raises
    ------
    ArgumentError
        The frame lacks them; names what is missing.
    """
    if rate not in STATISTICS or not STATISTICS[rate].numerators:
        rates = ", ".join(name for name, entry in STATISTICS.items() if entry.numerators)
        raise ArgumentError(f"{rate!r} is not a rate of the catalogue: give one of {rates}.")
    found = find_denominators(frame, [rate]).get(rate)
    if found is None:
        entry = STATISTICS[rate]
        needed = (entry.numerators, entry.denominators)
        first = [next((c for c in names if c in frame.columns), names[0]) for names in needed]
        require_columns(frame, first, f"{what} of {rate}")
        raise ArgumentError(f"{what} of {rate} cannot tell its parts.")
    return found


def rows_of_both(before: pd.DataFrame, after: pd.DataFrame, rate: str) -> pd.DataFrame:
    """Columns of two periods that tell a rate's parts, one below the other."""
    entry = STATISTICS[rate]
    wanted = {rate, "send_channel", *entry.numerators, *entry.denominators}
    shared = [c for c in before.columns if c in after.columns and c in wanted]
    return pd.concat([bare(before)[shared], bare(after)[shared]], ignore_index=True)


def _slack(given: Floats, least: int) -> float:
    """Half a unit of the last decimal that the rates are given with, at least so many."""
    if not len(given):
        return 0.0
    for decimals in range(least, _MOST_DECIMALS):
        if np.all(np.abs(given - np.round(given, decimals)) <= 1e-13 * np.maximum(1.0, np.abs(given))):
            return 0.5 * 10.0**-decimals
    return 0.5 * 10.0**-_MOST_DECIMALS


# --- sums per group -----------------------------------------------------------------------------------------------


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without ``attrs``, which pandas would copy deeply at every step of a calculation."""
    frame = frame.copy(deep=False)
    frame.attrs = {}
    return frame


def with_only(frame: pd.DataFrame, statistics: Collection[str]) -> pd.DataFrame:
    """Return the frame, bare, without the other statistics, which would be carried through every step."""
    return bare(frame)[[c for c in frame.columns if c in statistics or c not in STATISTICS]]


def group_rows(frame: pd.DataFrame, by: Sequence[str], *, sort: bool = False) -> tuple[Codes, pd.DataFrame]:
    """Number of each row's group, and the groups: in order of appearance, or sorted; all rows where ``by`` is empty."""
    if not by:
        return np.zeros(len(frame), dtype=np.intp), pd.DataFrame(index=pd.RangeIndex(min(1, len(frame))))
    codes = np.zeros(len(frame), dtype=np.intp)
    for place, name in enumerate(by):  # numbered anew at each column: the product of many would not fit
        column, values = pd.factorize(frame[name], sort=sort, use_na_sentinel=False)
        codes = codes * len(values) + column
        if place:
            codes = pd.factorize(codes, sort=sort)[0]
    first = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last one written is the first row of its group
    return codes, frame[list(by)].iloc[first].reset_index(drop=True)


def sum_groups(values: Floats, codes: Codes, groups: int) -> Floats:
    """Sum per group; NaN where nothing is known."""
    known = ~np.isnan(values)
    total = np.bincount(codes[known], values[known], groups)
    return np.where(np.bincount(codes[known], minlength=groups) > 0, total, np.nan)


@dataclass(frozen=True)
class GroupSums:
    """Successes and trials per group.

    Attributes
    ----------
    counts : DataFrame
        Group columns, ``numerator, denominator, recipients`` (float64) and ``is_provisional`` (bool).
    names : DataFrame
        Group columns and the names that go with them, the last ones of the frame.
    notes : list of str
        What was left out or is to be known.
    """

    counts: pd.DataFrame
    names: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def sum_rate_parts(frame: pd.DataFrame, rate: str, parts: Parts, keys: Sequence[str], *, what: str) -> GroupSums:
    """Sum per group what carries the rate.

    Unlike in `roll_up`, several intervals may be summed: someone mailed in two weeks is tried twice and may succeed
    twice. That is a rate per send and not a count of people, and the notes say so. Partial intervals are left out,
    provisional ones marked; rows that only repeat a message under another tag count once.
    """
    keys, frame = list(keys), bare(frame)
    require_columns(frame, [*keys, parts.numerator, parts.denominator], what)
    require_once(frame, keys, what)
    notes: list[str] = []
    if "is_partial" in frame.columns and frame["is_partial"].any():
        notes.append(f"{what}: {int(frame['is_partial'].sum())} rows of unfinished intervals were left out.")
        frame = frame[~frame["is_partial"].to_numpy(dtype=bool)]
    frame = each_message_once(frame, keys)
    codes, counts = group_rows(frame, keys)
    top, bottom = Columns(frame).rate_rows(rate, parts)
    sent = numbers(frame, "recipients" if "recipients" in frame.columns else parts.denominator)
    sums = (sum_groups(v, codes, len(counts)) for v in (top, bottom, np.where(np.isnan(top), np.nan, sent)))
    counts = counts.assign(
        **dict(zip(("numerator", "denominator", "recipients"), sums, strict=True)),
        is_provisional=any_of(frame, "is_provisional", codes, len(counts)),
    )  # fmt: skip
    times = [c for c in TIMES if c in frame.columns and c not in keys]
    if times and len(frame[times].drop_duplicates()) > 1:
        notes.append(f"{what}: several intervals together; a person counts once per message and interval.")
    names = frame[[*keys, *keep_names(frame, keys)]].drop_duplicates(keys, keep="last")
    return GroupSums(counts, names.reset_index(drop=True), notes)


def any_of(frame: pd.DataFrame, flag: str, codes: Codes, groups: int) -> npt.NDArray[np.bool_]:
    """Whether any row of a group has a flag; False where the frame does not have the column."""
    if flag not in frame.columns:
        return np.zeros(groups, dtype=bool)
    return np.asarray(np.bincount(codes[frame[flag].to_numpy(dtype=bool)], minlength=groups) > 0, dtype=bool)


def each_message_once(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Leave out rows that repeat a message under another tag, unless the tags are asked for."""
    own = [c for c in row_keys(frame) if c not in TAGS or c in keys]
    if own and any(c in frame.columns and c not in keys for c in TAGS):
        return frame[~frame.duplicated(own).to_numpy()]
    return frame


def without_names(by: Sequence[str]) -> list[str]:
    """Return ``by`` without names whose id is in it: rows are matched by ids, as names change."""
    return [c for c in by if NAMES.get(c) not in by]
