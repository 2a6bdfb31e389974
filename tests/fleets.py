"""Invented results of a fleet whose law is known, made in milliseconds: one template's flow in many accounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.fleet.results import COLUMNS, Target, part_path, tidied, to_parquet

WEEKS = [f"2026-W{week:02}" for week in range(22, 48)]


@dataclass(frozen=True)
class Law:
    """How a fleet's rates come about: standard deviations are those of log rates."""

    accounts: int = 40
    per_week: float = 400.0  # median of delivered messages
    size_sd: float = 1.2
    rate: float = 0.06
    spread: float = 0.2  # between accounts
    tails: float = np.inf  # degrees of freedom of that spread
    moves: float = 0.06  # of an account's weeks by themselves
    memory: float = 0.0  # correlation of neighbouring weeks
    common: float = 0.05  # of all accounts' weeks together
    outliers: tuple[float, ...] = ()  # factors on the rates of the largest accounts but one
    effect: float = 1.0
    effect_sd: float = 0.0
    never: float = 0.2
    switches: tuple[int, int] = (4, 22)


@dataclass(frozen=True)
class Drawn:
    """A frame as `flowperf_helpers.fleet.read_results` gives it, and what is true of it."""

    results: pd.DataFrame
    rates: np.ndarray[Any, Any]  # [account], of the first version in an ordinary week
    is_outlier: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(0, dtype=bool))


def draw(law: Law, seed: int) -> Drawn:
    """Draw a fleet."""
    random, a, w = np.random.default_rng([7, seed]), law.accounts, len(WEEKS)
    sent = np.maximum(np.exp(np.log(law.per_week) + law.size_sd * random.standard_normal(a)), 20)
    odd = random.standard_normal(a) if np.isinf(law.tails) else random.standard_t(law.tails, a)
    log = np.log(law.rate) + law.spread * odd
    is_outlier = np.zeros(a, dtype=bool)
    place = np.argsort(-sent)[1 : 1 + len(law.outliers)]
    is_outlier[place] = True
    log[place] = np.log(law.rate) + np.log(law.outliers) if len(place) else log[place]
    own = random.standard_normal((a, w))
    for week in range(1, w):
        own[:, week] = law.memory * own[:, week - 1] + np.sqrt(1 - law.memory**2) * own[:, week]
    common = law.common * random.standard_normal(w)
    switch = np.where(random.random(a) < law.never, w, random.integers(*law.switches, a))
    each = np.log(law.effect) + law.effect_sd * random.standard_normal(a)
    is_new = np.arange(w) >= switch[:, None]
    rate = np.exp(log[:, None] + law.moves * own + common + is_new * each[:, None])
    n = random.poisson(np.repeat(sent[:, None], w, axis=1))
    x = random.binomial(n, np.minimum(rate, 0.9))
    names = np.array([f"shop-{i:04}" for i in range(1, a + 1)])
    frame = pd.DataFrame(
        {
            "account": np.repeat(names, w), "week": np.tile(WEEKS, a), "flow_id": np.repeat(names, w),
            "flow_name": "Welcome", "flow_type": "Signed Up",
            "template_version": np.where(is_new, "template-v2", "template-v1").ravel(),
            "currency": "EUR", "timezone": "Europe/Berlin", "recipients": n.ravel(), "delivered": n.ravel(),
            "clicks_unique": x.ravel(), "conversion_value": 0.9 * x.ravel(), "is_final": True, "sandbox": True,
            "made_at": pd.Timestamp("2026-11-23T11:00:00Z"),
        }
    ).reindex(columns=list(COLUMNS))  # fmt: skip
    return Drawn(tidied(frame[frame["recipients"] > 0]), np.exp(log), is_outlier)


def write_results(frame: pd.DataFrame, out: str) -> list[str]:
    """Write rows of any accounts and weeks into the dataset under ``out``, and return the parts' places."""
    parts = {part_path(*key): to_parquet(rows) for key, rows in tidied(frame).groupby(["week", "account"], sort=False)}
    for place, content in parts.items():
        Target(out).put(place, content)
    return list(parts)
