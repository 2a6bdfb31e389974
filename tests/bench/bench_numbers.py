"""How far the numbers can be trusted: coverage, false alarms, power, speed. Fixed seeds, no network.

Coverage is not drawn but summed: every outcome of a setting, weighted with its chance. The settings are drawn once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.stats.compare import compare_rates
from flowperf_helpers.stats.rates import q_values, rate_difference

Floats = npt.NDArray[np.float64]
Setting = tuple[int, float, int, float]
Method = Callable[[Floats, Floats, Floats, Floats], tuple[Floats, Floats]]

SETTINGS = 1_200
LARGEST_TABLE = 2e5
DRAWS = 20_000
FLOWS, WEEKS, YEARS = 100, 52, 25


def main() -> None:
    """Print the table."""
    started = time.perf_counter()
    coverage()
    false_alarms()
    power()
    speed()
    print(f"\n({time.perf_counter() - started:.0f} s)")


# --- coverage -----------------------------------------------------------------------------------------------------


def coverage() -> None:
    """Coverage of the 95 % interval, beside Wald's."""
    print("\nCoverage of the 95 % interval of a difference, exact (share of outcomes whose interval holds the truth)")
    print(f"{'settings':<46}{'number':>8}{'lowest':>9}{'highest':>9}{'mean':>8}{'as asked':>10}{'Wald lowest':>13}")
    drawn = _settings()
    ours = np.array([_coverage(s, _ours) for s in drawn])
    wald = np.array([_coverage(s, _wald) for s in drawn])
    ten = np.array([min(n1 * p1, n2 * p2) >= 10 for n1, p1, n2, p2 in drawn])
    failures = np.array([min(n1 * (1 - p1), n2 * (1 - p2)) >= 10 for n1, p1, n2, p2 in drawn])
    lopsided = np.array([max(n1, n2) > 3 * min(n1, n2) for n1, _, n2, _ in drawn])
    small = np.array([min(n1, n2) <= 200 for n1, _, n2, _ in drawn])
    rows = {
        "ten or more expected, small, balanced": ten & failures & small & ~lopsided,
        "ten or more expected, small, lopsided": ten & failures & small & lopsided,
        "ten or more expected, large, balanced": ten & failures & ~small & ~lopsided,
        "ten or more expected, large, lopsided": ten & failures & ~small & lopsided,
        "fewer than ten expected, balanced": ~ten & ~lopsided,
        "fewer than ten expected, lopsided": ~ten & lopsided,
        "ten successes, but fewer than ten failures": ten & ~failures,
    }
    for name, here in rows.items():
        low, high = 0.94, 0.96 if name.startswith("ten or more") else 1.0
        kept = int(((ours[here] >= low) & (ours[here] <= high)).sum())
        print(
            f"{name:<46}{here.sum():>8}{ours[here].min():>9.4f}{ours[here].max():>9.4f}{ours[here].mean():>8.4f}"
            f"{kept:>5} of {here.sum():<4}{wald[here].min():>9.4f}"
        )


def _settings() -> list[Setting]:
    """Group sizes from 5 to 20,000 and shares from 0.0005 to 0.5, equal, near and far; and the edge of ten expected."""
    random = np.random.default_rng(2026)
    sizes = np.unique(np.geomspace(5, 20_000, 24).astype(int))
    found: list[Setting] = []
    while len(found) < SETTINGS:
        n1, n2 = (int(n) for n in (random.choice(sizes, 2) if random.random() < 0.7 else [random.choice(sizes)] * 2))
        p1 = float(np.exp(random.uniform(np.log(0.0005), np.log(0.5))))
        kind = random.random()
        p2 = p1 if kind < 0.4 else float(min(0.5, p1 * np.exp(random.normal(0, 0.5))))
        if kind > 0.8:
            p2 = float(np.exp(random.uniform(np.log(0.0005), np.log(0.5))))
        if random.random() < 0.1:
            p1, p2 = 1 - p1, 1 - p2
        found.append((n1, p1, n2, p2))
    edge = [
        (20, 20_000),
        (20, 200),
        (50, 50),
        (200, 200),
        (2_000, 2_000),
        (20_000, 20_000),
        (100, 20_000),
        (500, 1_000),
    ]
    shares = (0.5, 0.3, 0.1, 0.03, 0.01)
    found += [
        (n1, c / n1, n2, q) for n1, n2 in edge for c in (10, 12) for q in (c / n1, *shares) if n2 * q >= 10
    ]  # fmt: skip
    return [s for s in found if _tables(s) <= LARGEST_TABLE and max(s[0] * s[1], s[2] * s[3]) >= 0.2]


def _tables(setting: Setting) -> float:
    n1, p1, n2, p2 = setting
    return 150 * float(np.sqrt((n1 * p1 * (1 - p1) + 1) * (n2 * p2 * (1 - p2) + 1)))


def _coverage(setting: Setting, method: Method) -> float:
    n1, p1, n2, p2 = setting
    axes = [np.arange(stats.binom.ppf(1e-8, n, p), stats.binom.isf(1e-8, n, p) + 1) for n, p in ((n1, p1), (n2, p2))]
    x, y = (grid.ravel() for grid in np.meshgrid(*axes, indexing="ij"))
    weight = np.outer(stats.binom.pmf(axes[0], n1, p1), stats.binom.pmf(axes[1], n2, p2)).ravel()
    likely = weight > 1e-11
    x, y, weight = x[likely], y[likely], weight[likely]
    low, high = method(x, np.full(len(x), float(n1)), y, np.full(len(y), float(n2)))
    return float(weight[(low <= p2 - p1) & (p2 - p1 <= high)].sum() / weight.sum())


def _ours(x: Floats, n: Floats, y: Floats, m: Floats) -> tuple[Floats, Floats]:
    found = rate_difference(x, n, y, m)
    return found["low"].to_numpy(), found["high"].to_numpy()


def _wald(x: Floats, n: Floats, y: Floats, m: Floats) -> tuple[Floats, Floats]:
    p, q = x / n, y / m
    half = 1.959963984540054 * np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    return q - p - half, q - p + half


# --- alarms and power ---------------------------------------------------------------------------------------------


def false_alarms() -> None:
    """Quiet flows, week against week, corrected over the hundred rows that are shown together."""
    print(f"\nFalse alarms: {FLOWS} quiet flows × {WEEKS} weeks, {YEARS} such years")
    random = np.random.default_rng(52)
    volume = np.exp(random.uniform(np.log(50), np.log(20_000), FLOWS))
    rate = np.exp(random.uniform(np.log(0.002), np.log(0.1), FLOWS))
    sent = random.poisson(volume, (YEARS, WEEKS + 1, FLOWS)) + 1
    clicks = random.binomial(sent, rate)
    before, after = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    p = rate_difference(*(a[part].ravel() for part in (before, after) for a in (clicks, sent)))["p_value"].to_numpy()
    p = p.reshape(YEARS * WEEKS, FLOWS)
    alarms = np.array([(q_values(week) <= 0.05).sum() for week in p])
    by_year = alarms.reshape(YEARS, WEEKS).sum(axis=1) / (WEEKS * FLOWS)
    print(f"  verdicts before correction (p ≤ 0.05): {100 * (p <= 0.05).mean():.2f} %")
    print(
        f"  verdicts after correction (q ≤ 0.05):  {100 * (alarms.sum() / p.size):.3f} %, "
        f"worst year {100 * by_year.max():.3f} %"
    )
    print(f"  weeks with any alarm after correction: {100 * (alarms > 0).mean():.2f} %   (asked: ≤ 5 %)")


def power() -> None:
    """Planted changes 2 % → 3 %, beside the z-test on the very same draws."""
    print(f"\nPower, 2 % → 3 %, {DRAWS:,} draws; corrected: one such change among {FLOWS} rows, the others quiet")
    print(f"{'recipients each':>16}{'z-test':>9}{'ours':>9}{'ratio':>8}{'corrected':>11}")
    for size in (2_000, 6_000, 20_000):
        random = np.random.default_rng(size)
        x, y = random.binomial(size, 0.02, DRAWS), random.binomial(size, 0.03, DRAWS)
        pooled = (x + y) / (2 * size)
        z = (y - x) / size / np.sqrt(pooled * (1 - pooled) * 2 / size)
        raw = float((2 * stats.norm.sf(np.abs(z)) <= 0.05).mean())
        p = rate_difference(x, np.full(DRAWS, size), y, np.full(DRAWS, size))["p_value"].to_numpy()
        ours = float((p <= 0.05).mean())
        families = 2_000
        quiet = random.binomial(size, 0.02, (2, families * (FLOWS - 1)))
        full = np.full(families * (FLOWS - 1), size)
        others = rate_difference(quiet[0], full, quiet[1], full)["p_value"].to_numpy().reshape(families, FLOWS - 1)
        family = np.column_stack([p[:families], others])
        corrected = np.mean([q_values(row)[0] <= 0.05 for row in family])
        print(f"{size:>16,}{raw:>9.3f}{ours:>9.3f}{ours / raw:>8.3f}{corrected:>11.3f}")
    print("  (asked: ratio ≥ 0.95)")


# --- speed --------------------------------------------------------------------------------------------------------


def speed() -> None:
    """A thousand messages in one call."""
    random = np.random.default_rng(1_000)
    sent = random.integers(20, 20_000, 1_000)
    before, after = (_thousand(sent, random) for _ in range(2))
    compare_rates(before, after)  # imports
    times: dict[str, list[float]] = {"compare_rates": [], "rate_difference": []}
    for _ in range(7):
        times["compare_rates"].append(_timed(lambda: compare_rates(before, after)))
        times["rate_difference"].append(
            _timed(lambda: rate_difference(before["clicks_unique"], sent, after["clicks_unique"], sent))
        )
    print("\nTime for 1,000 messages compared in one call, without imports (asked: ≤ 0.2 s)")
    for name, taken in times.items():
        print(f"  {name:<16} median {np.median(taken):.3f} s, slowest of 7 {max(taken):.3f} s")


def _thousand(sent: npt.NDArray[np.int64], random: np.random.Generator) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "flow_id": "F",
        "flow_message_id": [f"m{i}" for i in range(len(sent))],
        "delivered": sent,
    }
    frame = pd.DataFrame(columns | {"recipients": sent + 3, "clicks_unique": random.binomial(sent, 0.03)})
    counts = [c for c in frame.columns if c in STATISTICS]
    frame = frame.astype(dict.fromkeys(counts, "Int64"))
    return frame.assign(click_rate=(frame["clicks_unique"] / frame["delivered"]).astype("float64"))


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
