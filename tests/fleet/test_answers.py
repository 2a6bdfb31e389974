"""Answers across accounts: what is planted is found, what is not there is not, and everyone is accounted for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fleets import WEEKS, Law, draw, write_results

from flowperf_helpers.errors import ArgumentError, NoRowsError, PayloadError
from flowperf_helpers.fleet import (
    benchmark_rates,
    compare_accounts,
    not_comparable,
    read_failed,
    read_results,
    revenue_by_currency,
    template_effect,
    template_rows,
    view_fleet,
)
from flowperf_helpers.fleet.compare import unusual_weeks
from flowperf_helpers.stats.ranking import find_outliers

CLICKS = ("click_rate",)
OUT = ["above the fleet", "below the fleet"]


def test_planted_outliers_are_named_and_the_quiet_twin_has_none() -> None:
    """In six fleets with two planted outliers nearly all are named; in their quiet twins nearly none is."""
    found, quiet = [], 0
    for seed in range(6):
        drawn = draw(Law(outliers=(3.0, 0.33)), seed)
        table = compare_accounts(drawn.results, CLICKS).set_index("account").sort_index()
        verdicts = table.loc[np.array(sorted(drawn.results["account"].unique()))[drawn.is_outlier], "verdict"]
        found += list(verdicts.isin(OUT))
        assert set(verdicts[verdicts.isin(OUT)]) <= set(OUT)
        quiet += int(compare_accounts(draw(Law(), seed).results, CLICKS)["verdict"].isin(OUT).any())
    assert np.mean(found) >= 0.9
    assert quiet <= 1


def test_the_sandbox_fleet_gives_up_what_was_planted_and_its_twin_says_nothing() -> None:
    """The three planted accounts and no other; the effect of 20 % within its interval; nothing in the quiet twin."""
    rows, quiet = read_results(), read_results(quiet=True)
    rates = ("click_rate", "conversion_rate")
    named = compare_accounts(template_rows(rows), rates).query("verdict in @OUT", local_dict={"OUT": OUT})
    assert 3 == named["account"].nunique()
    assert not compare_accounts(template_rows(quiet), rates)["verdict"].isin(OUT).any()
    for frame, true in ((rows, 1.2), (quiet, 1.0)):
        effect = template_effect(frame).attrs["effect"]
        assert effect["low"] <= true <= effect["high"]
        assert (effect["p_value"] <= 0.05) == (true != 1.0)


def test_pooled_rates_are_closer_to_the_truth() -> None:
    """The pooled rates of one week have at most three quarters of the raw ones' squared error."""
    errors = []
    for seed in range(5):
        drawn = draw(Law(common=0.0, never=1.0, per_week=150), seed)
        table = compare_accounts(drawn.results, CLICKS, weeks=1).set_index("account").sort_index()
        errors.append([((table[column] - drawn.rates) ** 2).mean() for column in ("raw", "pooled")])
    raw, pooled = np.mean(errors, axis=0)
    assert pooled <= 0.75 * raw


def test_raw_and_pooled_stand_side_by_side_with_the_reason() -> None:
    """The smaller an account, the less its own counts weigh; the reason says how much."""
    drawn = draw(Law(per_week=60), 3)
    table = compare_accounts(drawn.results, CLICKS, weeks=4).sort_values("trials")
    assert table["weight"].iloc[0] < 0.7 < table["weight"].iloc[-1]
    middle = table.attrs["fleet"]["click_rate"]["middle"]
    moved = (table["pooled"] - middle).abs() <= (table["raw"] - middle).abs() + 0.003
    assert moved.all()
    assert "the fleet the rest" in table["reason"].iloc[0]
    assert (table["raw_low"] <= table["raw"]).all()
    assert (table["raw"] <= table["raw_high"]).all()


def test_the_correction_counts_all_rates_together() -> None:
    """A second rate that is asked with the first makes each claim harder, not another correction."""
    rows = draw(Law(outliers=(3.0, 0.33)), 1).results.assign(opens_unique=lambda f: f["clicks_unique"] * 2)
    one, two = compare_accounts(rows, CLICKS), compare_accounts(rows, ("click_rate", "open_rate"))
    first = two[two["statistic"] == "click_rate"].set_index("account")["p_value"]
    pd.testing.assert_series_equal(one.set_index("account")["p_value"], first)
    assert len(two) == 2 * len(one)


def test_few_rows_say_nothing_of_a_spread() -> None:
    """With four rows nobody is an outlier, however far off; with zero successes everywhere nothing is computed."""
    assert np.isnan(find_outliers([0.1, 0.1, 0.1, 0.9], [1000.0] * 4).p_values).all()
    assert np.isnan(find_outliers([0.0] * 9, [100.0] * 9).p_values).all()
    p = find_outliers([0.1] * 8 + [0.3, np.nan], [4000.0] * 10).p_values
    assert p[8] < 0.01 < p[0]
    assert np.isnan(p[9])


def test_every_account_without_a_verdict_has_a_reason() -> None:
    """Failed, without the flow, unsent, without the metric, too new, too small: each with its own sentence."""
    rows = draw(Law(accounts=12), 2).results
    names = sorted(rows["account"].unique())
    rows.loc[rows["account"] == names[0], "clicks_unique"] = pd.NA
    rows = rows[(rows["account"] != names[1]) | (rows["week"] >= WEEKS[-2])]
    small = rows["account"] == names[2]
    rows.loc[small, ["recipients", "delivered"]], rows.loc[small, "clicks_unique"] = 8, 0
    rows = rows[(rows["account"] != names[3]) | (rows["week"] < WEEKS[-8])]
    failed = pd.DataFrame({"account": ["gone"], "reason": ["the key is no longer taken"]})
    table = not_comparable(rows, CLICKS, failed=failed, accounts=[*names, "gone", "other"]).set_index("account")[
        "reason"
    ]
    expected = {"gone": "The run failed: the key", "other": "no such flow", names[0]: "click rate is missing",
                names[1]: "Too few weeks: 2", names[2]: "Too few recipients", names[3]: "Nothing was sent"}  # fmt: skip
    assert set(expected) == set(table.index)
    for account, words in expected.items():
        assert words in table[account]
    compared = compare_accounts(rows, CLICKS)
    judged = set(compared.loc[compared["verdict"] != "too few to say", "account"])
    assert judged | set(expected) == {*names, "gone", "other"}


def test_the_effect_is_measured_against_accounts_that_kept_their_version() -> None:
    """A season that lifts everyone while most switch is not taken for the template's success."""
    drawn = draw(Law(effect=1.0, switches=(11, 15), never=0.4), 5)
    rows = drawn.results.copy()
    late = rows["week"] >= WEEKS[13]
    rows.loc[late, "clicks_unique"] = (rows.loc[late, "clicks_unique"] * 1.4).astype("int64")
    rows["clicks_unique"] = rows["clicks_unique"].clip(upper=rows["delivered"])
    table = template_effect(rows)
    effect = table.attrs["effect"]
    assert effect["low"] <= 1.0 <= effect["high"]
    assert effect["high"] / effect["low"] < 1.25
    before_after = (table["rate_after"] / table["rate_before"]).median()
    assert before_after > 1.2


def test_the_effect_interval_holds_what_was_planted() -> None:
    """Of twenty fleets with an effect of ten per cent that differs between accounts, at most three miss it."""
    law = Law(effect=1.1, effect_sd=0.06)
    found = [template_effect(draw(law, seed).results).attrs["effect"] for seed in range(20)]
    assert 17 <= sum(f["low"] <= 1.1 <= f["high"] for f in found)
    assert 10 <= sum(f["p_value"] <= 0.05 for f in found)


def test_accounts_that_cannot_be_held_against_themselves_are_named() -> None:
    """New from the first week, switched too lately, no controls: a reason each, and no number."""
    drawn = draw(replace(Law(), accounts=14, switches=(10, 16), never=0.4), 4)
    rows = drawn.results.copy()
    names = sorted(rows["account"].unique())
    rows.loc[rows["account"] == names[0], "template_version"] = "template-v2"
    rows.loc[rows["account"] == names[1], "template_version"] = np.where(
        rows.loc[rows["account"] == names[1], "week"] >= WEEKS[-1], "template-v2", "template-v1"
    )
    table = template_effect(rows).set_index("account")
    assert "no before" in table.loc[names[0], "reason"]
    assert "Too few weeks" in table.loc[names[1], "reason"]
    assert table.loc[names[:2], "ratio"].isna().all()
    everyone = rows.assign(template_version=np.where(rows["week"] >= WEEKS[12], "template-v2", "template-v1"))
    alone = template_effect(everyone)
    assert alone["reason"].str.contains("kept their version|Too few recipients").all()
    assert 0 == alone.attrs["effect"]["accounts"]


def test_wrong_questions_are_answered_with_what_there_is() -> None:
    """A statistic that is not a rate, a version nobody has, no version, no such flow, no results: one sentence each."""
    rows = draw(Law(accounts=6), 1).results
    with pytest.raises(ArgumentError, match="'conversion_value' is not a rate"):
        compare_accounts(rows, ["conversion_value"])
    with pytest.raises(ArgumentError, match="did you mean 'template-v2'"):
        template_effect(rows, version="template-v22")
    with pytest.raises(ArgumentError, match="No flow of the results has a template version"):
        template_effect(rows.assign(template_version=""))
    with pytest.raises(NoRowsError, match="No flow is called 'Wellcome'"):
        template_rows(rows, "Wellcome")


def test_benchmarks_are_quartiles_by_what_triggers_the_flow() -> None:
    """Quartiles lie in order around the truth, small accounts are counted as left out, three accounts have none."""
    rows = draw(Law(accounts=60, per_week=150), 1).results
    table = benchmark_rates(rows, CLICKS).set_index("flow_type").loc["Signed Up"]
    assert table["lower_quartile"] < table["median"] < table["upper_quartile"]
    assert table["median"] == pytest.approx(0.06, rel=0.15)
    assert 60 == table["accounts"] + table["left_out"]
    few = rows[rows["account"].isin(sorted(rows["account"].unique())[:3])]
    assert benchmark_rates(few, CLICKS)["median"].isna().all()


def test_money_is_never_summed_over_currencies() -> None:
    """One table per currency; shares add up within it; weeks of different age are not compared."""
    rows = read_results()
    found = revenue_by_currency(rows)
    assert {"DKK", "EUR", "GBP", "USD"} == set(found)
    for code, table in found.items():
        assert set(table["account"]) <= set(rows.loc[rows["currency"] == code, "account"])
        assert table["share"].sum() == pytest.approx(1.0)
        assert table["change"].notna().all()
    young = rows.assign(is_final=rows["week"] != rows["week"].max())
    assert all(table["change"].isna().all() for table in revenue_by_currency(young).values())


def test_money_without_its_age_is_refused_in_words() -> None:
    """Results that do not say which weeks are final lack a column, as any other that is needed."""
    rows = draw(Law(accounts=3), 1).results.drop(columns="is_final", errors="ignore")
    with pytest.raises(ArgumentError, match="needs the column is_final;"):
        revenue_by_currency(rows)


def test_an_unusual_week_is_one_beyond_the_accounts_own_weeks() -> None:
    """A steady account's half week is unusual, a wild account's is not, a new account's is not known."""
    random = np.random.default_rng(1)
    steady, wild = 100 * np.exp(0.03 * random.standard_normal(26)), 100 * np.exp(0.6 * random.standard_normal(26))
    steady[-1], wild[-1] = 50, 50
    new = np.full(26, np.nan)
    new[-3:] = 100.0
    distance, p_value = unusual_weeks([steady, wild, new])
    assert p_value[0] < 0.001 < 0.05 < p_value[1]
    assert distance[0] < 0
    assert np.isnan(p_value[2])


def test_results_are_read_from_where_a_run_wrote_them(tmp_path: Path) -> None:
    """What a run left is read with its failed accounts; an empty place and a broken list are sentences."""
    place = str(tmp_path)
    with pytest.raises(NoRowsError, match="holds no results"):
        read_results(place)
    assert read_failed(place).empty
    rows = draw(Law(accounts=3), 1).results
    write_results(rows[rows["week"] >= WEEKS[-2]], place)
    assert 6 == len(read_results(place))
    file = tmp_path / "fleet.json"
    file.write_text('{"accounts": [{"account": "a", "status": "failed"}]}')
    with pytest.raises(PayloadError, match=r"fleet\.json"):
        read_failed(place)
    kept, gone = {"account": "b", "status": "kept"}, {"account": "a", "status": "failed", "reason": "no key"}
    file.write_text(json.dumps({"accounts": [kept, gone]}))
    assert [("a", "no key")] == list(read_failed(place).itertuples(index=False, name=None))


@pytest.mark.parametrize("picture", ["rates table", "effect table", "benchmarks", "left out", "revenue"])
def test_each_table_of_the_notebook_says_sandbox(picture: str) -> None:
    """Tables of the sandbox's fleet are marked as such, and hold rows."""
    shown = view_fleet(read_results(), read_failed(), picture=picture)
    for table in shown if isinstance(shown, list) else [shown]:
        assert "SANDBOX" in table.title
        assert table.rows
