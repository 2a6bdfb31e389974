"""How far the report's claims can be trusted: false claims, power, coverage, forecasts.

Simulated accounts whose law is known (`tests/worlds.py`), other seeds than the tests', no network, and the function
that the report's numbers come from (`claims.judge_week`; first Mondays: from the answers on). A page is what a weekly
report claims: five rates of 18 flows (this week, and the last four weeks together), of the messages of flows with
several, and of the account; three split tests; the flows' and the account's money.
`python tests/bench/bench_claims.py --long` draws four times as many quiet weeks.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulated_week import NO_STOPS, simulated_week
from two_channels import two_channels
from worlds import (
    MONEY_WORLDS,
    RATES,
    SETTLING_WORLDS,
    WORLDS,
    Account,
    World,
    account,
    flows_by_rate,
    money,
    split_test,
    week_as_asked,
)

from flowperf_helpers import connect
from flowperf_helpers.report import compute, fetch_week
from flowperf_helpers.report.claims import make_claims
from flowperf_helpers.report.evidence import gather
from flowperf_helpers.report.numbers import _by_days
from flowperf_helpers.stats.claims import LASTING_WEEKS, Judged, MoneyWeeks, RateWeeks, SplitTest, judge_week
from flowperf_helpers.stats.conversion_lag import completeness_curve
from flowperf_helpers.stats.level_change import compare_levels
from flowperf_helpers.stats.ranking import shrunken_ranking
from flowperf_helpers.stats.rates import q_values, rate_difference
from flowperf_helpers.stats.revenue_level import compare_revenue
from flowperf_helpers.stats.split_tests import expected_loss, watch
from flowperf_helpers.stats.week_forecast import forecast_week, late_growth

Floats = npt.NDArray[np.float64]

SEED = 20261
HISTORY = 27
QUIET = {"coin tosses": 0.05, "mild": 0.05, "realistic": 0.05, "strong": 0.08, "uneven wander": 0.08,
         "few recipients": 0.05, "own noise of 1.2 %": 0.08}  # fmt: skip
EXTRA = {"own noise of 1.2 %": World(own_week=0.012)}
ACCOUNTS, WEEKS = 5, 50
MONDAYS = 60
TWIN_WEEKS = 12
KNOWN_WEEKS = 35  # as the report has them
MONEY_OF = {"coin tosses": "no wander", "strong": "wander 15 %"}


def main() -> None:
    """Print the table."""
    started = time.perf_counter()
    print(f"{'figure':<76}{'goal':>9}{'measured':>12}")
    quiet_weeks(ACCOUNTS * (4 if "--long" in sys.argv else 1))
    for part in (
        holidays,
        first_mondays,
        sandbox_variants,
        power,
        lasting_power,
        coverage,
        revenue,
        split_tests,
        sizes,
        weeks_named,
        forecasts,
        ranking,
        speed,
    ):
        part()
    print(f"\n({time.perf_counter() - started:.0f} s)")


def row(figure: str, goal: str, measured: str, kept: bool | None = None) -> None:
    """Print a figure; ``kept`` False is marked."""
    print(f"{figure:<76}{goal:>9}{measured:>12}{'' if kept is not False else '   short'}", flush=True)


# --- a page -------------------------------------------------------------------------------------------------------


Coins = tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]


def page(told: Account, week: int, coins: Coins | None = None, tests: Sequence[SplitTest] = ()) -> Judged:
    """Judge one week of an account by the function that the report uses; every flow sends, none is silent."""
    part = slice(max(week + 1 - KNOWN_WEEKS, 0), week + 1)
    rates = {
        rate: RateWeeks(told.successes[rate][:, part].astype(float), told.trials[:, part].astype(float))
        for rate in RATES
    }
    money = None if coins is None else MoneyWeeks(*(np.asarray(v[:, part], dtype=float) for v in coins))
    silence = np.ones(int(told.flow.max()) + 1)
    return judge_week(told.flow, rates, money=money, tests=tests, silence=silence)


def claimed(found: Judged, kind: str, rate: str, row: int) -> bool:
    """Whether one comparison is a claim."""
    at = (found.places["kind"] == kind) & (found.places["statistic"] == rate) & (found.places["row"] == row)
    return bool(found.corrected.is_claim[at.to_numpy()].any())


def naive_claims(told: Account, week: int) -> int:
    """Count what a test of the week against the single week before, as if rates were coins, would claim of flows."""
    p = []
    for rate in RATES:
        x, n = told.flows(rate)
        p.append(rate_difference(x[:, week - 1], n[:, week - 1], x[:, week], n[:, week])["p_value"].to_numpy())
    return int((q_values(np.concatenate(p)) <= 0.05).sum())


# --- rows of the table ----------------------------------------------------------------------------------------------


def quiet_weeks(accounts: int) -> None:
    """Weeks in which nothing ever changes, and any claim is false."""
    for name, goal in QUIET.items():
        false, naive, weeks = 0, 0, 0
        for seed in range(accounts):
            random = np.random.default_rng([SEED, seed])
            told = account(EXTRA.get(name, WORLDS.get(name, World())), HISTORY + WEEKS, random)
            x, n = split_test(HISTORY + WEEKS, random, tests=3)
            coins = money(MONEY_OF.get(name, "order sd 0.55"), HISTORY + WEEKS, random)
            for week in range(HISTORY, HISTORY + WEEKS):
                # three tests that began long ago and are looked at each week
                tests = [SplitTest(x[i, :, : week + 1], n[i, :, : week + 1]) for i in range(3)]
                false += bool(page(told, week, coins, tests).corrected.is_claim.any())
                naive += naive_claims(told, week) > 0
                weeks += 1
        share = false / weeks
        row(f"quiet weeks with any claim: {name} (week against week: {naive / weeks:.0%})", f"≤ {goal:.0%}",
            f"{share:.1%}", share <= goal)  # fmt: skip


def holidays() -> None:
    """Weeks in which all flows move together, and the week after."""
    for name in ("coin tosses", "mild", "realistic"):
        counts = []
        for seed in range(50):
            told = account(name, HISTORY + 2, np.random.default_rng([SEED, 1, seed]), holidays=(HISTORY,))
            for week in (HISTORY, HISTORY + 1):
                found = page(told, week)
                claim, of_account = found.corrected.is_claim, (found.places["kind"] == "account").to_numpy()
                counts.append([claim[~of_account].sum(), claim[of_account].any()])
        mean = np.array(counts, dtype=float).reshape(-1, 2, 2).mean(axis=0)
        for at, when in enumerate(("holiday week", "week after")):
            row(f"{when}: flow and message claims, {name} (account tells: {mean[at, 1]:.0%})", "≤ 0.1",
                f"{mean[at, 0]:.2f}", mean[at, 0] <= 0.1)  # fmt: skip


def first_mondays() -> None:
    """First reports of quiet weeks whose last five days lack a third of their successes, by the report's own path."""
    for name in ("coin tosses", "mild", "realistic", "strong"):
        false = fell = 0
        for seed in range(MONDAYS):
            answers = simulated_week(SEED + seed, world=name, young=0.67)
            changed = make_claims(gather(answers, answers.history), NO_STOPS, {}).changed
            false += bool(len(changed))
            fell += bool((changed["direction"] == "down").any())
        share = false / MONDAYS
        row(f"first Monday, any claim: {name} (of a fall: {fell / MONDAYS:.0%})", "≤ 5%", f"{share:.1%}", share <= 0.05)


def sandbox_variants() -> None:
    """Quiet twins of the embedded account, whole weekly reports of several weeks; stories of the reported week."""
    for name in ("quiet", "quiet-wandering", "quiet-stormy", "quiet-holiday"):
        with tempfile.TemporaryDirectory() as home:
            found = [_report_of(name, 47 - back, home) for back in range(TWIN_WEEKS)]
        flows = sum(bool((claims["kind"] != "account").any()) for claims in found)
        share = sum(bool(len(claims)) for claims in found) / TWIN_WEEKS
        row(f"quiet weeks with any claim: sandbox {name} (beyond the account: {flows / TWIN_WEEKS:.0%})", "≤ 8%",
            f"{share:.0%}", share <= 0.08 or name == "quiet-holiday")  # fmt: skip


def _report_of(variant: str, week: int, home: str) -> pd.DataFrame:
    account = connect("sandbox", variant=variant, home=Path(home))
    changed = compute(fetch_week(account, week=f"2026-W{week}")).family.changed
    return changed[changed["kind"] != "silence"]  # one flow was deleted in September


def power() -> None:
    """A click rate that falls in a flow of 9,000 a week."""
    for name, factor, goal in (("coin tosses", 0.7, 0.95), ("mild", 0.7, 0.75), ("realistic", 0.5, 0.6),
                               ("realistic", 0.7, None), ("strong", 0.5, None)):  # fmt: skip
        found = []
        for seed in range(80):
            random = np.random.default_rng([SEED, 2, seed])
            told = account(name, HISTORY + 1, random, fixed={0: 9000.0})
            clicks = told.successes["click_rate"]
            clicks[0, HISTORY] = random.binomial(clicks[0, HISTORY], factor)
            found.append(claimed(page(told, HISTORY), "flow", "click_rate", int(told.flow[0])))
        share = float(np.mean(found))
        row(f"power: ×{factor} in a flow of 9,000 a week, {name}", f"≥ {goal:.0%}" if goal else "", f"{share:.0%}",
            goal is None or share >= goal)  # fmt: skip


def lasting_power() -> None:
    """A click rate that stays down in a flow of 9,000 a week, by the last four weeks together or any week alone."""
    for name, factor in (("coin tosses", 0.8), ("mild", 0.8), ("realistic", 0.7)):
        found = []
        for seed in range(40):
            random = np.random.default_rng([SEED, 11, seed])
            told = account(name, HISTORY + LASTING_WEEKS, random, fixed={0: 9000.0})
            clicks = told.successes["click_rate"]
            clicks[0, HISTORY:] = random.binomial(clicks[0, HISTORY:], factor)
            seen = False
            for week in range(HISTORY, HISTORY + LASTING_WEEKS):
                shown = page(told, week)
                seen |= any(claimed(shown, kind, "click_rate", int(told.flow[0])) for kind in ("flow", "lasting"))
            found.append(seen)
        row(f"power: ×{factor} that lasts, within four weeks, {name}", "", f"{np.mean(found):.0%}")


def coverage() -> None:
    """Intervals of "the level changed" at 95 %, of flows of 500 to 60,000 recipients."""
    sizes = np.array([500, 1000, 3000, 9000, 20_000, 60_000] * 3)
    shares = []
    for rate in (0.01, 0.05, 0.42):
        for sd in (0.0, 0.03, 0.06, 0.10):
            random = np.random.default_rng([SEED, 3])
            quiet, changed = [], []
            for draw in range(90):
                n = random.poisson(sizes[:, None] * np.exp(random.normal(0, 0.08, (18, HISTORY))))
                log = np.log(rate) + random.normal(0, sd, (18, HISTORY))
                truth = np.zeros(18)
                truth[draw % 18] = np.log(0.8)
                log[:, -1] += truth
                found, _ = compare_levels(random.binomial(n, np.minimum(np.exp(log), 0.95)), n)
                low, high = found.limits(np.full(18, 0.05))
                held = (low <= truth) & (truth <= high)
                quiet.append(held[truth == 0])
                changed.append(held[truth != 0])
            share = float(np.concatenate([*quiet, *changed]).mean())
            shares.append(share)
            row(f"coverage at 95 %: rate {rate:.0%}, wander {sd:.0%} (changed flow: {np.mean(changed):.0%})", "93–97 %",
                f"{share:.1%}", 0.93 <= share <= 0.97)  # fmt: skip
    row("coverage: all of these", "93–97 %", f"{np.mean(shares):.1%}")


def revenue() -> None:
    """Revenue per recipient in weeks without a change."""
    for name in MONEY_WORLDS:
        flows_in, whole_in = [], []
        for seed in range(3):
            told = money(name, HISTORY + 50, np.random.default_rng([SEED, 4, seed]))
            for week in range(HISTORY, HISTORY + 50):
                flows = compare_revenue(*(v[:, : week + 1] for v in told))
                whole = compare_revenue(*(v[:, : week + 1].sum(axis=0)[None] for v in told), scatter=flows.scatter)
                p = flows.p_values()
                flows_in.append(p[np.isfinite(p)] > 0.05)
                whole_in.append(whole.p_values()[0] > 0.05)
        share = float(np.concatenate(flows_in).mean())
        row(f"money interval: {name} (account: {np.mean(whole_in):.0%})", "94–97 %", f"{share:.1%}",
            0.94 <= share <= 0.97)  # fmt: skip


def split_tests() -> None:
    """Tests looked at every week."""
    random = np.random.default_rng([SEED, 5])
    for a_week, rate in ((1500, 0.05), (300, 0.05), (1500, 0.003)):
        x, n = split_test(52, random, a_week=a_week, rate=rate, tests=3000)
        ever = (watch(x[:, 0], n[:, 0], x[:, 1], n[:, 1]).p_values() <= 0.05).any(axis=1).mean()
        row(f"A/A named a winner in 52 weekly looks: {a_week:,} an arm, rate {rate:.1%}", "≤ 5 %", f"{ever:.1%}",
            ever <= 0.05)  # fmt: skip
    for a_week, lift, goal in ((1500, 1.2, 0.65), (300, 1.2, None), (1500, 1.1, None)):
        x, n = split_test(8, random, a_week=a_week, lift=lift, tests=1500)
        found = (watch(x[:, 0], n[:, 0], x[:, 1], n[:, 1]).p_values() <= 0.05).any(axis=1).mean()
        row(f"×{lift} found by week 8: {a_week:,} an arm", f"≥ {goal:.0%}" if goal else "", f"{found:.0%}",
            goal is None or found >= goal)  # fmt: skip
    x, n = (v.cumsum(axis=2) for v in split_test(26, random, tests=100))
    loss, best = expected_loss(x.transpose(0, 2, 1), n.transpose(0, 2, 1))
    klaviyo = (best.max(axis=2) >= 0.9) & (n.min(axis=1) >= 500)
    row("beside: Klaviyo's rule named a winner of an A/A test by week 12, 26", "",
        f"{klaviyo[:, :12].any(axis=1).mean():.0%} {klaviyo.any(axis=1).mean():.0%}")  # fmt: skip
    x, n = (v.cumsum(axis=2) for v in split_test(8, random, lift=1.1, tests=150))
    loss, best = expected_loss(x.transpose(0, 2, 1), n.transpose(0, 2, 1))
    level = (x / n).max(axis=1)
    may = np.take_along_axis(loss, best.argmax(axis=2)[..., None], axis=2)[..., 0] < 0.01 * level
    first = may.argmax(axis=1)[may.any(axis=1)]
    right = best.argmax(axis=2)[may.any(axis=1)][np.arange(len(first)), first] == 1
    row("beside: ×1.1 at 1,500, may be stopped by week 8; with the better arm", "",
        f"{may.any(axis=1).mean():.0%} {right.mean():.0%}")  # fmt: skip


def sizes() -> None:
    """Verdicts without a size, and verdicts that their own interval contradicts."""
    without = against = rows = 0
    for name in WORLDS:
        for seed in range(4):
            random = np.random.default_rng([SEED, 6, seed])
            shifts = {(m, HISTORY): float(random.normal(0, 0.5)) for m in range(4)}
            told = account(name, HISTORY + 1, random, shifts=shifts)
            for week in (3, 12, HISTORY):
                table = page(told, week).levels
                without += int((~np.isfinite(table["size"])).sum())
                changed = table["verdict"].isin(["higher", "lower"])
                against += int((((table["low"] > 0) | (table["high"] < 0)) != changed).sum())
                rows += len(table)
    row(f"verdicts without a size, of {rows:,}", "0", f"{without}", without == 0)
    row("verdicts that their printed interval contradicts", "0", f"{against}", against == 0)


def weeks_named() -> None:
    """Whether ±20 % shows after as many weeks as were named."""
    alpha = 0.05 * 0.4 / 90
    for name in ("coin tosses", "mild", "realistic"):
        for factor in (0.8, 1.2):
            found = []
            for seed in range(150):
                random = np.random.default_rng([SEED, 7, seed])
                told = account(name, HISTORY + 26, random, rates=("click_rate",))
                x, n = told.flows("click_rate")
                now, _ = compare_levels(x[:, :HISTORY], n[:, :HISTORY])
                weeks = now.weeks_until(np.full(len(x), alpha))
                rows = np.flatnonzero(weeks <= 26)
                if not len(rows):
                    continue
                at = random.choice(rows)
                end = HISTORY + int(weeks[at])
                part = slice(HISTORY, end)
                extra = random.binomial(x[at, part], abs(factor - 1))
                x[at, part] += extra if factor > 1 else -extra
                then, _ = compare_levels(x[:, :end], n[:, :end], recent=int(weeks[at]))
                found.append(then.p_values()[at] <= alpha)
            share = float(np.mean(found))
            row(f"“k weeks” right: ×{factor}, {name} ({len(found)} rows with k ≤ 26)", "≥ 80 %", f"{share:.0%}",
                share >= 0.8)  # fmt: skip


def forecasts() -> None:
    """The week's conversions inside the interval, or a warning in its place."""
    for name in SETTLING_WORLDS:
        inside = warned = 0
        for seed in range(150):
            known = week_as_asked(name, np.random.default_rng([SEED, 8, seed]))
            told = forecast_week(
                known.seen_before, known.final_before, known.seen, recipients_before=known.recipients_before,
                recipients=known.recipients, grown_late=late_growth(known.younger, known.older),
            )  # fmt: skip
            warned += bool(told.warning)
            inside += not told.warning and told.low <= known.final <= told.high
        share = (inside + warned) / 150
        row(f"forecast holds or warns: {name} (warned: {warned / 150:.0%})", "≥ 90 %", f"{share:.0%}", share >= 0.9)
    inside = one = 0
    for seed in range(150):
        history, week, final = two_channels(np.random.default_rng([SEED, 9, seed]))
        curve = completeness_curve(history)
        for own in (True, False):
            ahead = _by_days(week, history if own else history.assign(send_channel="none"), curve)
            held = ahead is not None and ahead.low <= final <= ahead.high
            inside, one = inside + (held and own), one + (held and not own)
    row(f"forecast holds: texts tripled, a curve per channel (one curve: {one / 150:.0%})", "≥ 90 %",
        f"{inside / 150:.0%}", inside >= 135)  # fmt: skip


def ranking() -> None:
    """Of 400 small flows, how many of the five named best truly are."""
    found, week = [], []
    for seed in range(60):
        x, n, true = flows_by_rate(np.random.default_rng([SEED, 9, seed]))
        best = set(np.argsort(-true)[:5])
        named = np.argsort(-np.nan_to_num(shrunken_ranking(x, n)["shrunk"].to_numpy()))[:5]
        found.append(len(best & set(named)))
        week.append(len(best & set(np.argsort(-np.nan_to_num(x[:, -1] / np.maximum(n[:, -1], 1)))[:5])))
    row(f"truly best among the five named (by the raw week: {np.mean(week):.1f})", "2.9", f"{np.mean(found):.1f}")


def speed() -> None:
    """All verdicts of 1,000 messages in 200 flows."""
    told = account("realistic", HISTORY + 1, np.random.default_rng([SEED, 10]), flows=200, messages=1000)
    coins = money("order sd 0.55", HISTORY + 1, np.random.default_rng([SEED, 10]), flows=200)
    page(told, HISTORY, coins)
    begun = time.perf_counter()
    found = page(told, HISTORY, coins)
    rows = len(found.levels) + len(found.money)
    took = time.perf_counter() - begun
    row(f"time: {rows:,} comparisons of 1,000 messages", "≤ 1 s", f"{took:.2f} s", took <= 1.0)


if __name__ == "__main__":
    main()
