"""The simulated fleet tells the truth about itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from flowperf_helpers.fleet import simulate
from flowperf_helpers.sandbox.reports import counted_once
from flowperf_helpers.sandbox.shop import FLOWS

WEEKS = [f"2026-W{week}" for week in range(22, 47)]


def _template(shops: list[simulate.Shop]) -> pd.DataFrame:
    rows = simulate.results(shops, WEEKS)
    rows = rows[rows["flow_name"] == simulate.TEMPLATE]
    return rows.groupby(["account", "template_version"])[["delivered", "clicks_unique", "conversion_uniques"]].sum()


def _true_rates(shop: simulate.Shop) -> dict[str, float]:
    """Expected unique clicks and conversions of a week per delivered message, with the template's first version."""
    messages = next(f for f in FLOWS if f.name == simulate.TEMPLATE).messages
    sent = np.array([m.per_day * (1 - m.lost) for m in messages])
    # of a week's people the largest day's are all counted, and the usual share of the other days'
    once = float(counted_once(np.array([10_000]), np.array([70_000]))[0]) / 70_000
    return {
        name: shop.rate * once * float(sent @ np.array([getattr(m, field) for m in messages]) / sent.sum())
        for name, field in (("click_rate", "clicks"), ("conversion_rate", "converts"))
    }


def test_the_quiet_twin_differs_in_nothing_but_what_is_planted() -> None:
    """Without effect and outliers the accounts are the same ones, and none of them is an outlier."""
    planted, quiet = simulate.accounts(30), simulate.accounts(30, effect=1.0, outliers=0)
    assert 3 == sum(shop.is_outlier for shop in planted)
    assert not any(shop.is_outlier for shop in quiet)
    for one, other in zip(planted, quiet, strict=True):
        if not one.is_outlier:
            assert dataclasses.replace(one, effect=1.0) == other


def test_counts_follow_the_truth() -> None:
    """Over many weeks the rates of an account come within five standard errors of what is true, before and after."""
    shops = simulate.accounts(8, broken=0, outliers=2, effect=1.3)
    counts = _template(shops).astype("float64").reset_index()
    known = pd.DataFrame([{"account": s.name, "effect": s.effect, **_true_rates(s)} for s in shops])
    true = known.set_index("account").loc[counts["account"]].reset_index()
    factor = np.where(counts["template_version"] == "template-v2", true["effect"], 1.0)
    for rate, count in (("click_rate", "clicks_unique"), ("conversion_rate", "conversion_uniques")):
        expected = counts["delivered"] * true[rate] * factor
        # days differ a little in their rate, and the largest day of few people is a lucky one
        assert (np.abs(counts[count] - expected) < 5 * np.sqrt(expected) + 0.02 * expected).all()
    assert {"template-v1", "template-v2"} == set(counts["template_version"])


def test_ids_differ_from_account_to_account() -> None:
    """The same template and the same metric have another id in each account, and each account has its own numbers."""
    rows = simulate.results(simulate.accounts(5, broken=0), ["2026-W40"])
    template = rows[rows["flow_name"] == simulate.TEMPLATE]
    assert 5 == len(template) == template["flow_id"].nunique() == template["delivered"].nunique()
    assert {"Checkout Started"} == set(template["flow_type"])


def test_broken_accounts_have_no_rows() -> None:
    """A broken account left nothing in the dataset, and the faults are of several kinds."""
    shops = simulate.accounts(20, broken=0.25)
    broken = {shop.name for shop in shops if shop.fault}
    assert 5 == len(broken) == len({shop.fault for shop in shops if shop.fault})
    assert broken.isdisjoint(simulate.results(shops, ["2026-W40"])["account"])
