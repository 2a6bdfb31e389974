"""Numerator and denominator of each rate: which parts Klaviyo divided, and their sums per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import (
    NAMES,
    TIMES,
    carries,
    keep_names,
    numbers,
    require_columns,
    require_once,
    row_keys,
)

__all__ = [
    "Parts",
    "Trials",
    "find_denominators",
    "parts_of",
    "sum_trials",
]


# Which parts Klaviyo divided by which, read off the rows themselves.
#
# Klaviyo's own sources disagree on whether rates stand on delivered or on recipients (contract, section E). A row
# that has the rate, the count and both candidates tells: only the true one gives the count back within the rate's
# rounding.

_AGREED = 0.95
_HALF = 0.5
_LEAST_DECIMALS = 4
_COARSE_DECIMALS = 2
_MOST_DECIMALS = 12

Floats = npt.NDArray[np.float64]


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
        return {"numerator": self.numerator, "denominator": self.denominator, "evidence": self.evidence}


def find_denominators(frame: pd.DataFrame) -> dict[str, Parts]:
    """Parts of every rate and ratio that the frame's columns allow.

    A candidate fits a row if rate × denominator gives the numerator within half a unit of the rate's last decimal. Rows
    that all candidates fit (nothing bounced) tell nothing. Where at least 95 % of the telling rows fit one candidate
    best, it is inferred; otherwise the catalogue's first (delivered) is assumed and the evidence says why.

    Returns
    -------
    dict of str to Parts
        Keyed by rate, in the catalogue's order; a rate without any numerator or denominator column is left out.
    """
    found = {}
    for name, entry in STATISTICS.items():
        candidates = [
            (n, d)
            for n, d in product(entry.numerators, entry.denominators)
            if n in frame.columns and d in frame.columns
        ]
        if candidates:
            found[name] = _judge(frame, name, candidates)
    return found


def parts_of(frame: pd.DataFrame, rate: str, what: str) -> Parts:
    """Parts of one rate.

    Raises
    ------
    ArgumentError
        The frame lacks them; names what is missing.
    """
    if rate not in STATISTICS or not STATISTICS[rate].numerators:
        rates = ", ".join(name for name, entry in STATISTICS.items() if entry.numerators)
        raise ArgumentError(f"{rate!r} is no rate of the catalogue: give one of {rates}.")
    found = find_denominators(frame).get(rate)
    if found is None:
        entry = STATISTICS[rate]
        require_columns(
            frame,
            [
                next((c for c in names if c in frame.columns), names[0])
                for names in (entry.numerators, entry.denominators)
            ],
            f"{what} of {rate}",
        )
        raise ArgumentError(f"{what} of {rate} cannot tell its parts.")
    return found


def _judge(frame: pd.DataFrame, rate: str, candidates: list[tuple[str, str]]) -> Parts:
    first = candidates[0]
    if rate not in frame.columns:
        return Parts(
            *first, "only candidate" if len(candidates) == 1 else "assumed: the frame has no such rate to check"
        )
    given = numbers(frame, rate)
    meaning = carries(frame, rate)
    numerators = np.stack([numbers(frame, n) for n, _ in candidates])
    denominators = np.stack([numbers(frame, d) for _, d in candidates])
    usable = meaning & np.isfinite(given) & np.isfinite(numerators + denominators).all(axis=0)
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
        told = ", ".join(f"{v} for {d}" for v, (_, d) in zip(votes, candidates, strict=True))
        return Parts(*first, f"assumed: {n} rows disagree ({told})")
    return Parts(*candidates[best], f"inferred from {n} row{'s' if n > 1 else ''}")


def _slack(given: Floats, least: int) -> float:
    """Half a unit of the last decimal that the rates are given with, at least so many."""
    if not len(given):
        return 0.0
    for decimals in range(least, _MOST_DECIMALS):
        if np.all(np.abs(given - np.round(given, decimals)) <= 1e-13 * np.maximum(1.0, np.abs(given))):
            return 0.5 * 10.0**-decimals
    return 0.5 * 10.0**-_MOST_DECIMALS


# What a rate rests on: successes and trials per group, summed from a report's rows.
#
# Unlike `roll_up`, several intervals may be summed: each interval's sends are trials of their own, so someone
# mailed in two weeks is tried twice and may succeed twice. That is a rate per send. It is no count of people, and
# the notes say so.

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
