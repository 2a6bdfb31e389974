"""How far a fleet's answers can be trusted: false outliers, planted ones, pooled rates, the effect of a new version.

Simulated fleets whose law is known (`tests/fleets.py`, and the sandbox's own fleet), other seeds than the tests'.
`python tests/bench/bench_fleet_answers.py --long` draws four times as many.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fleets import Law, draw

from flowperf_helpers.fleet import simulate
from flowperf_helpers.fleet.compare import compare_accounts
from flowperf_helpers.fleet.effect import template_effect

SEED = 40_000
FLEETS = 200 * (4 if "--long" in sys.argv else 1)
SANDBOX_FLEETS = 5 * (4 if "--long" in sys.argv else 1)
RATES = ("click_rate",)
LAWS = {
    "40 accounts": Law(), "12 accounts": Law(accounts=12), "200 accounts": Law(accounts=200),
    "few recipients": Law(per_week=80), "weeks move by 12 %, with memory": Law(moves=0.12, memory=0.4),
}  # fmt: skip
HEAVY = Law(tails=4)
OUTLIERS = (3.0, 0.33)


def main() -> None:
    """Print the table."""
    started = time.perf_counter()
    print(f"{'figure':<76}{'goal':>9}{'measured':>12}")
    outliers()
    pooling()
    effects()
    sandbox_fleets()
    speed()
    print(f"\n({time.perf_counter() - started:.0f} s)")


def row(figure: str, goal: str, measured: str, kept: bool | None = None) -> None:
    """Print a figure; ``kept`` False is marked."""
    print(f"{figure:<76}{goal:>9}{measured:>12}{'' if kept is not False else '   short'}", flush=True)


def outliers() -> None:
    """Quiet fleets with any outlier named, and planted ones that are named."""
    for name, law in {**LAWS, "rates of heavier tails than assumed (t, 4)": HEAVY}.items():
        fleets = FLEETS if law == Law() else FLEETS // 2
        quiet = [compare_accounts(draw(law, SEED + s).results, RATES) for s in range(fleets)]
        share = np.mean([t["verdict"].isin(["above the fleet", "below the fleet"]).any() for t in quiet])
        goal = None if law is HEAVY else bool(share <= 0.05)
        row(f"quiet fleets with an outlier: {name}", "≤ 5 %" if goal is not None else "", f"{share:.1%}", goal)
    for name, law in LAWS.items():
        found, wrong = [], 0
        for seed in range(FLEETS // 4):
            drawn = draw(replace(law, outliers=OUTLIERS), SEED + seed)
            table = compare_accounts(drawn.results, RATES).set_index("account").sort_index()
            claimed = table["verdict"].isin(["above the fleet", "below the fleet"]).to_numpy()
            truth = dict(zip(sorted(drawn.results["account"].unique()), drawn.is_outlier, strict=True))
            planted = np.array([truth[a] for a in table.index])
            found.append(claimed[planted].mean())
            wrong += bool((claimed & ~planted).any())
        goal = law.accounts < 40 or np.mean(found) >= 0.9
        row(f"planted outliers (× 3, × ⅓) named: {name}", "" if law.accounts < 40 else "≥ 90 %",
            f"{np.mean(found):.0%}", goal)  # fmt: skip
        row(f"  such fleets with another one named too: {name}", "", f"{wrong / (FLEETS // 4):.1%}")


def pooling() -> None:
    """Squared error of rates against the truth, pooled and raw, and how often the intervals hold it."""
    for name, law in {**LAWS, "outliers planted": Law(outliers=OUTLIERS)}.items():
        for weeks in (1, 8):
            errors, held = [], []
            for seed in range(FLEETS // 8):
                drawn = draw(replace(law, common=0.0, never=1.0), SEED + seed)
                table = compare_accounts(drawn.results, RATES, weeks=weeks).set_index("account").sort_index()
                true = drawn.rates * np.exp(law.moves**2 / 2)
                errors.append([((table[c] - true) ** 2).mean() for c in ("raw", "pooled")])
                inside = [
                    (table[lo] <= true) & (true <= table[hi]) for lo, hi in (("raw_low", "raw_high"), ("low", "high"))
                ]
                held.append([i.mean() for i in inside])
            raw, pooled = np.mean(errors, axis=0)
            row(f"squared error, pooled to raw: {name}, {weeks} week{'s'[: weeks - 1]}", "< 1", f"{pooled / raw:.2f}",
                bool(pooled < raw))  # fmt: skip
            shares = np.mean(held, axis=0)
            row("  95 % intervals that hold the true rate, raw and pooled", "", f"{shares[0]:.1%} {shares[1]:.1%}")


def effects() -> None:
    """Coverage and false claims of the effect of a new version."""
    for name, law in {
        "no effect": Law(), "effect + 10 %": Law(effect=1.1),
        "effect + 10 %, differing by 8 %": Law(effect=1.1, effect_sd=0.08),
        "weeks move by 12 %, with memory": Law(moves=0.12, memory=0.4), "12 accounts": Law(accounts=12),
        "few recipients": Law(per_week=80), "all switch within 4 weeks": Law(switches=(12, 16)),
    }.items():  # fmt: skip
        fleets = range(FLEETS if law in (Law(), Law(effect=1.1)) else FLEETS // 2)
        found = [template_effect(draw(law, SEED + s).results).attrs["effect"] for s in fleets]
        found = [f for f in found if f["accounts"]]
        low, high, p = (np.array([f[k] for f in found]) for k in ("low", "high", "p_value"))
        held = ((low <= law.effect) & (law.effect <= high)).mean()
        row(f"effect’s 95 % interval holds the truth: {name}", "≥ 93 %", f"{held:.1%}", bool(held >= 0.93))
        row("  and claims a change" + (" (false)" if law.effect == 1 else ""), "≤ 5 %" if law.effect == 1 else "",
            f"{(p <= 0.05).mean():.1%}", bool(law.effect != 1 or (p <= 0.05).mean() <= 0.05))  # fmt: skip
    singles = [template_effect(draw(Law(), SEED + s).results) for s in range(FLEETS // 2)]
    share = np.mean([t["verdict"].isin(["better", "worse"]).any() for t in singles])
    row("fleets without effect in which a single account is claimed", "≤ 5 %", f"{share:.1%}", bool(share <= 0.05))
    inside = np.concatenate([((t["low"] <= 1) & (t["high"] >= 1))[t["ratio"].notna()] for t in singles])
    row("single accounts’ 95 % intervals that hold the truth", "", f"{inside.mean():.1%}")


def sandbox_fleets() -> None:
    """The sandbox's own fleets: what is planted is found, and the quiet twin says nothing."""
    weeks = [f"2026-W{week}" for week in range(22, 48)]
    named, other, quiet, held, claimed = [], 0, 0, 0, 0
    for seed in range(SANDBOX_FLEETS):
        for is_quiet in (False, True):
            planted = {"effect": 1.0, "outliers": 0} if is_quiet else {}
            shops = simulate.accounts(40, SEED + seed, flows=1, broken=0, **planted)
            rows = simulate.results(shops, weeks)
            template = rows[rows["template_version"] != ""]
            table = compare_accounts(template, ("click_rate", "conversion_rate"))
            said = set(table.loc[table["verdict"].isin(["above the fleet", "below the fleet"]), "account"])
            effect = template_effect(rows).attrs["effect"]
            true = {shop.name for shop in shops if shop.is_outlier}
            if is_quiet:
                quiet += bool(said)
                claimed += effect["p_value"] <= 0.05
            else:
                named.append(len(said & true) / len(true))
                other += bool(said - true)
            held += effect["low"] <= shops[0].effect <= effect["high"]
    row("sandbox fleets of 40: planted outliers named", "100 %", f"{np.mean(named):.0%}", np.mean(named) == 1)
    row("sandbox fleets of 40: fleets with another outlier", "", f"{other} of {SANDBOX_FLEETS}")
    row(
        "sandbox fleets of 40: quiet twins with an outlier, with an effect",
        "",
        f"{quiet}, {claimed} of {SANDBOX_FLEETS}",
    )
    row("sandbox fleets of 40: interval of the effect holds the truth", "", f"{held} of {2 * SANDBOX_FLEETS}")


def speed() -> None:
    """Seconds for a thousand accounts."""
    drawn = draw(Law(accounts=1000), SEED).results
    for name, ask in {
        "outliers": lambda: compare_accounts(drawn, RATES),
        "effect": lambda: template_effect(drawn),
    }.items():
        started = time.perf_counter()
        ask()
        taken = time.perf_counter() - started
        row(f"1,000 accounts, 26 weeks: {name}", "≤ 5 s", f"{taken:.1f} s", taken <= 5)


if __name__ == "__main__":
    main()
