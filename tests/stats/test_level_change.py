"""A week against its last eight: few false claims, no verdict without a size, none against its own interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from worlds import RATES, World, account

from flowperf_helpers.stats.level_change import VERDICTS, common_change, compare_levels, level_verdicts
from flowperf_helpers.stats.level_test import Comparison
from flowperf_helpers.stats.multiple_testing import SHARES, correct
from flowperf_helpers.stats.overdispersion import PRIOR_SD, posterior_spread, week_correlation

WEEKS = 27  # 26 before the reported one


def page(told, week: int, rates: tuple[str, ...] = RATES) -> tuple[Comparison, np.ndarray]:
    """Compare flows, messages of flows with several, and the account: what a page claims of one week."""
    parts, kinds = [], []
    several = np.bincount(told.flow)[told.flow] > 1
    for rate in rates:
        x, n = (v[:, : week + 1] for v in told.flows(rate))
        flows, common = compare_levels(x, n)
        messages, _ = compare_levels(
            told.successes[rate][several, : week + 1], told.trials[several, : week + 1],
            flow=told.flow[several], common=common,
        )  # fmt: skip
        whole, _ = compare_levels(x.sum(axis=0)[None], n.sum(axis=0)[None], take_out=False)
        parts += [flows, messages, whole]
        kinds += ["flow"] * len(flows) + ["message"] * len(messages) + ["account"]
    return Comparison.join(parts), np.array(kinds)


def counted(x, n, before, n_before, sd: float = 0.0, shift: float = 0.0) -> Comparison:
    """Give a comparison whose standard deviation between weeks is known."""
    x = np.atleast_1d(np.asarray(x, dtype=float))
    rows = len(x)
    n, before, n_before = (np.broadcast_to(np.asarray(v, dtype=float), (rows,)) for v in (n, before, n_before))
    return Comparison(
        x, n, before, n_before, np.full(rows, shift), np.zeros(rows), np.full(rows, 1.125), np.ones((rows, 52)),
        np.array([sd]), np.ones((rows, 1)), np.zeros(rows, dtype=np.int64),
    )  # fmt: skip


@pytest.mark.parametrize("world", ["coin tosses", "realistic", "uneven wander"])
def test_quiet_weeks_carry_few_claims(world: str) -> None:
    """Where nothing ever changes, about one week in twenty has a claim, and p-values are as frequent as they say."""
    told = account(world, WEEKS + 60, np.random.default_rng(11))
    claimed, p_flows = [], []
    for week in range(WEEKS, WEEKS + 60):
        found, kinds = page(told, week)
        p = found.p_values()
        claimed.append(correct(p, kinds).is_claim.any())
        p_flows.append(p[kinds == "flow"])
    p_all = np.concatenate(p_flows)
    p_all = p_all[np.isfinite(p_all)]
    assert np.mean(claimed) <= 0.10
    assert 0.02 <= (p_all <= 0.05).mean() <= 0.06
    assert (p_all <= 0.01).mean() <= 0.015


@pytest.mark.parametrize(("rate", "n"), [(0.001, 400), (0.01, 100), (0.05, 400), (0.42, 30), (0.42, 400), (0.8, 100)])
@pytest.mark.parametrize("level", [0.05, 0.001])
def test_counts_alone_keep_the_level(rate: float, n: int, level: float) -> None:
    """Summed over all outcomes, counting alone is called a change no more often than the level says."""
    before, chance = np.unique(stats.binom.ppf((np.arange(200) + 0.5) / 200, 8 * n, rate), return_counts=True)
    x, baseline = np.meshgrid(np.arange(n + 1), before)
    weight = stats.binom.pmf(x, n, rate) * (chance / 200)[:, None]
    p = counted(x.ravel(), n, baseline.ravel(), 8 * n).p_values()
    assert weight.ravel()[np.nan_to_num(p, nan=1.0) <= level].sum() <= level


def test_rare_events_are_tested_exactly() -> None:
    """Of rare events the p-value is the mid-p of the binomial, both sums given."""
    x, n, before, n_before = 9, 20_000, 30, 160_000
    share = n / (n + n_before)
    upper = stats.binom.sf(x, x + before, share) + stats.binom.pmf(x, x + before, share) / 2
    assert counted(x, n, before, n_before).p_values()[0] == pytest.approx(2 * upper, rel=0.01)


def test_limits_are_the_test_turned_round() -> None:
    """At either limit of an interval the test's p-value is the level, with overdispersion and at small counts too."""
    x = np.array([4.0, 40.0, 400.0, 4000.0])
    alpha = np.full(4, 0.003)
    for sd in (0.0, 0.08):
        low, high = counted(x, 10_000, 8 * x, 80_000, sd).limits(alpha)
        for row in range(4):
            for limit in (low[row], high[row]):
                at = counted(x[row], 10_000, 8 * x[row], 80_000, sd, shift=float(limit))
                assert at.p_values()[0] == pytest.approx(0.003, rel=0.01)


def test_limits_of_nothing_are_open() -> None:
    """No success this week leaves the fall open, none before leaves the rise open."""
    low, high = counted([0, 12, 0], 1000, [40, 0, 0], 8000).limits(np.full(3, 0.05))
    assert low[0] == -np.inf
    assert np.isfinite(high[0])
    assert np.isfinite(low[1])
    assert high[1] == np.inf
    assert (low[2], high[2]) == (-np.inf, np.inf)


@pytest.mark.parametrize("world", ["coin tosses", "realistic", "few recipients"])
@pytest.mark.parametrize("seed", [1, 2])
def test_verdict_and_interval_agree(world: str, seed: int) -> None:
    """A row is called changed if and only if its interval leaves "no change" out; every row has a size."""
    shifts = {(m, WEEKS): s for m, s in ((0, -0.8), (1, 0.7), (2, -0.3), (3, 0.2))}
    told = account(world, WEEKS + 1, np.random.default_rng(seed), fixed={0: 9000.0, 1: 4000.0}, shifts=shifts)
    found, kinds = page(told, WEEKS)
    table = level_verdicts(found, correct(found.p_values(), kinds))
    changed = table["verdict"].isin(["higher", "lower"])
    assert ((table["low"] > 0) | (table["high"] < 0)).equals(changed)
    assert set(table["verdict"]) <= set(VERDICTS)
    assert np.isfinite(table["size"]).all()
    same = table[table["verdict"] == "no change larger than"]
    assert (same["size"] <= 0.2).all()
    assert (np.maximum(-same["low"], same["high"]) == same["size"]).all()
    assert changed.any()


def test_nothing_sent_is_too_few_with_a_size() -> None:
    """A row without sends, without history or without a success is "too few", and says how many it takes."""
    x = np.full((7, WEEKS), 50.0)
    n = np.full((7, WEEKS), 1000.0)
    n[0, -1], n[1, :-1], x[2], n[3] = 0.0, np.nan, 0.0, np.nan
    found, _ = compare_levels(x, n)
    table = level_verdicts(found, correct(found.p_values()))
    assert list(table["verdict"][:4]) == ["too few"] * 4
    assert (np.isfinite(table["size"]) & (table["size"] > 0)).all()
    assert table["p_value"][:4].isna().all()


@pytest.mark.parametrize("weeks", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("rows", [0, 1, 6])
def test_young_accounts_are_judged_without_fuss(weeks: int, rows: int) -> None:
    """However few weeks and rows there are, each row has a verdict and a size, and none claims to be informed."""
    random = np.random.default_rng(weeks)
    n = random.poisson(1000, (rows, weeks))
    found, common = compare_levels(random.binomial(n, 0.05), n)
    table = level_verdicts(found, correct(found.p_values()))
    assert len(table) == rows
    assert np.isfinite(table["size"]).all()
    assert not table["is_informed"].any()
    assert weeks > 1 or table["verdict"].eq("too few").all()
    assert weeks > 4 or np.isnan(common_change(common)["change"])


def test_a_holiday_is_the_accounts_and_no_flows_claim() -> None:
    """What all flows do together is told once, with an interval; the flows and the week after are left alone."""
    rows = []
    for seed in range(12):
        told = account("mild", WEEKS + 2, np.random.default_rng(300 + seed), holidays=(WEEKS,))
        for week in (WEEKS, WEEKS + 1):
            found, kinds = page(told, week)
            claim = correct(found.p_values(), kinds).is_claim
            rows.append((week, claim[kinds != "account"].sum(), claim[kinds == "account"].sum()))
    table = pd.DataFrame(rows, columns=["week", "flows", "account"]).groupby("week").mean()
    assert table["flows"].max() <= 0.25
    assert table.loc[WEEKS, "account"] >= 1
    assert table.loc[WEEKS + 1, "account"] <= 0.25
    _, common = compare_levels(*(v[:, : WEEKS + 1] for v in told.flows("conversion_rate")))
    said = common_change(common)
    assert said["low"] < np.exp(0.30) - 1 < said["high"]
    assert said["low"] > 0


def test_a_large_fall_is_found_and_a_common_one_is_not_its_own() -> None:
    """×0.5 in a flow of 9,000 a week shows through realistic wander; its interval holds the truth."""
    shown = held = 0
    for seed in range(12):
        shifts = {(0, WEEKS): float(np.log(0.5))}
        told = account("realistic", WEEKS + 1, np.random.default_rng(seed), fixed={0: 9000.0}, shifts=shifts,
                       rates=("click_rate",))  # fmt: skip
        found, kinds = page(told, WEEKS, ("click_rate",))
        table = level_verdicts(found, correct(found.p_values(), kinds))
        shown += table.loc[0, "verdict"] == "lower"
        held += table.loc[0, "low"] <= -0.5 <= table.loc[0, "high"]
    assert shown >= 10
    assert held >= 10


def test_few_flows_have_no_common_move() -> None:
    """With fewer than five flows nothing is taken out, and the account's sentence is missing rather than made up."""
    told = account("mild", WEEKS, np.random.default_rng(3), flows=4, messages=4)
    found, common = compare_levels(*told.flows("click_rate"))
    assert (found.shift == 0).all()
    assert np.isnan(common_change(common)["change"])


def test_spread_is_each_rows_own_where_it_can_be() -> None:
    """Rows that hardly move and rows that move a lot keep their own spread; a single sale does not widen it."""
    random = np.random.default_rng(4)
    sd = np.where(np.arange(40) < 20, 0.02, 0.15)
    rest = random.normal(0, sd[:, None], (40, 22))
    variance, weight = np.full(rest.shape, 1e-4), np.ones(rest.shape)
    rest[0, 5] = 1.2
    found = posterior_spread(rest, variance, weight, np.ones(rest.shape, dtype=bool))
    assert found.mean[:20].max() < 0.06
    assert found.mean[20:].min() > 0.09
    assert found.mean[20:].mean() == pytest.approx(0.15, rel=0.15)


def test_a_short_history_is_judged_by_the_prior() -> None:
    """Without a past the standard deviation between weeks is the prior's."""
    none = np.zeros((3, 2))
    found = posterior_spread(none, none + 0.01, none + 1, np.zeros((3, 2), dtype=bool))
    assert found.mean == pytest.approx(np.full(3, found.mean[0]))
    assert PRIOR_SD < found.mean[0] < 3 * PRIOR_SD


def test_memory_of_weeks_is_seen() -> None:
    """The correlation of neighbouring weeks is found roughly, and is 0 where only counting moves the rate."""
    law = World(own_week=0.15, memory=0.6)
    told = account(law, 60, np.random.default_rng(5), rates=("open_rate",))
    assert 0.35 <= week_correlation(*told.flows("open_rate")) <= 0.8
    told = account(World(), 60, np.random.default_rng(5), rates=("open_rate",))
    assert week_correlation(*told.flows("open_rate")) == 0.0


def test_weeks_until_a_change_shows_are_enough() -> None:
    """After the weeks that were named, a lasting fall by 20 % is found four times in five or oftener."""
    alpha, found = 0.0005, []
    for seed in range(60):
        random = np.random.default_rng(900 + seed)
        told = account("mild", WEEKS + 12, random, rates=("click_rate",))
        x, n = told.flows("click_rate")
        now, _ = compare_levels(x[:, :WEEKS], n[:, :WEEKS])
        weeks = now.weeks_until(np.full(len(x), alpha))
        rows = np.flatnonzero(weeks <= 10)
        if not len(rows):
            continue
        row = random.choice(rows)
        later = WEEKS + int(weeks[row])
        x[row, WEEKS:later] = random.binomial(x[row, WEEKS:later], 0.8)
        then, _ = compare_levels(x[:, :later], n[:, :later], recent=int(weeks[row]))
        found.append(then.p_values()[row] <= alpha)
    assert len(found) >= 40
    assert np.mean(found) >= 0.8


def test_one_correction_divides_the_error_over_the_kinds() -> None:
    """Each kind has its share of the error; levels and claims say the same; a kind without p-values gives its up."""
    p = np.array([1e-5, 0.004, 0.04, 0.5, 0.0009, np.nan])
    kinds = np.array(["flow", "flow", "flow", "flow", "split test", "silence"])
    found = correct(p, kinds)
    assert found.comparisons == 5
    both = SHARES["flow"] + SHARES["split test"]
    flow, test = SHARES["flow"] / both, SHARES["split test"] / both
    assert found.q_value[:4] == pytest.approx(np.minimum(stats.false_discovery_control(p[:4]) / flow, 1.0))
    assert found.q_value[4] == pytest.approx(0.0009 / test)
    assert list(found.is_claim) == [True, True, False, False, True, False]
    assert ((p <= found.alpha) == found.is_claim)[:5].all()


def test_one_kind_is_plain_benjamini_hochberg() -> None:
    """Without kinds the q-values are scipy's."""
    p = np.random.default_rng(1).uniform(0, 1, 50) ** 2
    assert correct(p).q_value == pytest.approx(stats.false_discovery_control(p))
