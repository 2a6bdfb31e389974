"""What the notebook over many accounts takes: the results of a fleet, what failed, and its pictures and tables."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.account.timeframes import recent_weeks
from flowperf_helpers.errors import NoRowsError, PayloadError
from flowperf_helpers.fleet import compare, results, simulate
from flowperf_helpers.fleet.effect import template_effect
from flowperf_helpers.plots.fleet import plot_accounts, plot_template_effect
from flowperf_helpers.plots.tables import Column, Table, make_table

__all__ = ["FLEET_VIEWS", "read_failed", "read_results", "template_rows", "view_fleet"]

FLEET_VIEWS = {
    "rates by account": "rates",
    "effect of the newest template version": "effect",
    "table: rates by account": "rates table",
    "table: effect by account": "effect table",
    "table: what is usual in this fleet": "benchmarks",
    "table: revenue, each currency by itself": "revenue",
    "table: what cannot be compared": "left out",
}
"""Words of the picker to what `view_fleet` shows."""

_SANDBOX_ACCOUNTS, _SANDBOX_WEEKS = 40, 26
_SANDBOX_REASONS = {
    "expired": "This customer has to reconnect: Klaviyo no longer takes the key.",
    "unavailable": "Klaviyo answered 503 to every attempt: run it again later.",
    "scope": "The key lacks the scope flows:read.",
    "metric missing": f"No metric is called {simulate.METRIC!r}.",
    "metric ambiguous": f"Two metrics are called {simulate.METRIC!r}: name the integration.",
}


def read_results(place: str = "", *, quiet: bool = False) -> pd.DataFrame:
    """Read what a fleet's runs left, or make a sandbox fleet where no place is given.

    Parameters
    ----------
    place : str
        The ``--out`` of ``flowperf fleet``, a folder or an fsspec address; empty: forty invented accounts over 26
        weeks, three of them outliers, with a new template version that lifts clicks by 20 %.
    quiet : bool
        Of the invented ones: their twin in which nothing was planted.

    Returns
    -------
    DataFrame
        One row per account × week × flow, as `flowperf_helpers.fleet.results.COLUMNS`; the row with an empty
        ``flow_id`` is the account's total.

    Raises
    ------
    NoRowsError
        There is no dataset at that place.
    PayloadError, StorageError
        A part of it cannot be read.
    """
    found = results.read(place) if place else _sandbox_results(quiet).copy()
    if found.empty:
        raise NoRowsError(f"{place} holds no results: give the folder that `flowperf fleet --out` wrote into.")
    found.attrs = {"sandbox": compare.is_sandbox(found)}
    return found


def read_failed(place: str = "") -> pd.DataFrame:
    """Accounts that failed in the last run, each with its reason.

    Parameters
    ----------
    place : str
        As in `read_results`.

    Returns
    -------
    DataFrame
        ``account, reason`` (str); empty where none failed, or where no run has ended yet. ``attrs``: ``sandbox``.

    Raises
    ------
    PayloadError, StorageError
        ``fleet.json`` cannot be read.
    """
    if not place:
        shops = [shop for shop in _sandbox_shops(False) if shop.fault]
        rows = [(shop.name, _SANDBOX_REASONS[shop.fault]) for shop in shops]
    else:
        content = results.Target(place).get("fleet.json")
        try:
            accounts = json.loads(content)["accounts"] if content else []
            rows = [(a["account"], a["reason"]) for a in accounts if a["status"] == "failed"]
        except (ValueError, KeyError, TypeError) as error:
            raise PayloadError(
                f"fleet.json in {place} is not what a run left: run that week again.", place="fleet.json"
            ) from error
    table = pd.DataFrame(rows, columns=["account", "reason"], dtype="str")
    table.attrs = {"sandbox": not place}
    return table


@functools.cache
def _sandbox_shops(quiet: bool) -> list[simulate.Shop]:
    planted: dict[str, Any] = {"effect": 1.0, "outliers": 0} if quiet else {}
    return simulate.accounts(_SANDBOX_ACCOUNTS, flows=5, **planted)


@functools.cache
def _sandbox_results(quiet: bool) -> pd.DataFrame:
    weeks = recent_weeks(simulate.FLEET_NOW, _SANDBOX_WEEKS).split(7)
    return simulate.results(_sandbox_shops(quiet), [str(week.week) for week in weeks])


def template_rows(rows: pd.DataFrame, flow_name: str = "") -> pd.DataFrame:
    """The rows of the flows that a template made, or of one flow by its name in all accounts.

    Parameters
    ----------
    rows : DataFrame
        Of `read_results`.
    flow_name : str
        Empty: every flow with a ``template_version``.

    Raises
    ------
    NoRowsError
        There are none.
    """
    chosen = rows["flow_name"] == flow_name if flow_name else rows["template_version"].fillna("") != ""
    if not chosen.any():
        what = f"No flow is called {flow_name!r}" if flow_name else "No flow has a template version"
        raise NoRowsError(f"{what} in these results: look at their flow_name and template_version.")
    return rows[chosen]


# -- pictures and tables ---------------------------------------------------------------------------------------------

_ACCOUNT, _RATE = Column("Account", "account"), Column("Rate", "statistic", "label")
_COMPARED = (
    _ACCOUNT,
    Column("As counted", "raw", "statistic", "statistic"),
    Column("95 % interval", ("raw_low", "raw_high"), "interval", "statistic"),
    Column("Pooled", "pooled", "statistic", "statistic"),
    Column("95 % interval", ("low", "high"), "interval", "statistic"),
    Column("Own weight", "weight", "share", meaning="Share of the account's own counts in the pooled rate"),
    Column("Beside the fleet", "verdict"), Column("Why counted and pooled differ", "reason"),
)  # fmt: skip
_EFFECTS = (
    _ACCOUNT, Column("Switched", "switched"), Column("Before", "rate_before", "share"),
    Column("After", "rate_after", "share"), Column("Beyond the others", "change", "share"),
    Column("95 % interval", ("low_change", "high_change"), "interval", "click_rate"),
    Column("Pooled", "pooled_change", "share"), Column("Verdict", "verdict"), Column("Why not", "reason"),
)  # fmt: skip
_LEFT_OUT = (_ACCOUNT, _RATE, Column("Why it cannot be compared", "reason"))
_USUAL = (
    Column("Flows triggered by", "flow_type"), _RATE, Column("Accounts", "accounts", "statistic", "recipients"),
    Column("A quarter is below", "lower_quartile", "statistic", "statistic"),
    Column("Half is below", "median", "statistic", "statistic"),
    Column("A quarter is above", "upper_quartile", "statistic", "statistic"),
    Column("Too few to count", "left_out", "statistic", "recipients"),
)  # fmt: skip
_MONEY = (
    _ACCOUNT, Column("Revenue", "conversion_value", "statistic"), Column("Week before", "previous", "statistic",
    "conversion_value"), Column("Change", "change", "share"), Column("Share", "share", "share"),
    Column("Revenue per recipient", "revenue_per_recipient", "statistic"),
)  # fmt: skip


def view_fleet(
    rows: pd.DataFrame,
    failed: pd.DataFrame | None = None,
    *,
    picture: str = "rates",
    statistic: str = "click_rate",
    weeks: int = 8,
    flow_name: str = "",
) -> Any:
    """One picture or table of a fleet.

    Parameters
    ----------
    rows, failed : DataFrame
        Of `read_results` and `read_failed`.
    picture : str
        A value of `FLEET_VIEWS`.
    statistic : str
        A rate.
    weeks : int
        Weeks that count: the last ones, or those before and after a switch.
    flow_name : str
        One flow by its name; empty: the template's flows (their totals where no flow has a version).

    Returns
    -------
    Axes, Table, or list of Table
        What a notebook shows (`flowperf_helpers.widgets.show`).
    """
    has_template = bool((rows["template_version"].fillna("") != "").any())
    chosen = template_rows(rows, flow_name) if flow_name or has_template else rows
    if picture.startswith("effect"):
        effects = template_effect(chosen, statistic=statistic, weeks=weeks)
        return plot_template_effect(effects) if picture == "effect" else _effect_table(effects)
    if picture == "benchmarks":
        usual = compare.benchmark_rates(rows, [statistic], weeks=weeks)
        return _table(usual.assign(flow_type=usual["flow_type"].replace("", "(all flows)")), _USUAL, rows)
    if picture == "revenue":
        tables = compare.revenue_by_currency(rows).items()
        return [_table(part, _MONEY, rows, title=code, currency=code, limit=40) for code, part in tables]
    if picture == "left out":
        everyone = list(rows["account"].unique())
        reasons = compare.not_comparable(chosen, weeks=weeks, failed=failed, accounts=everyone)
        return _table(reasons, _LEFT_OUT, rows)
    compared = compare.compare_accounts(chosen, [statistic], weeks=weeks)
    return plot_accounts(compared) if picture == "rates" else _rates_table(compared)


def _rates_table(compared: pd.DataFrame) -> Table:
    """Those that stand out, then those of which pooling changes most."""
    is_out = compared["verdict"].isin(compare.VERDICTS[:2])
    moved = (compared["pooled"] / compared["raw"].where(compared["raw"] > 0) - 1).abs().fillna(np.inf)
    order = pd.DataFrame({"out": is_out, "moved": moved}).sort_values(["out", "moved"], ascending=False).index
    return _table(compared.loc[order], _COMPARED, compared, limit=15)


def _effect_table(effects: pd.DataFrame) -> Table:
    changes = {f"{c}_change" if c != "ratio" else "change": effects[c] - 1 for c in ("ratio", "low", "high", "pooled")}
    reason = effects["reason"].where(effects["reason"] != "")
    return _table(effects.assign(**changes, reason=reason), _EFFECTS, effects, limit=15)


def _table(frame: pd.DataFrame, columns: tuple[Column, ...], rows: pd.DataFrame, **looks: Any) -> Table:
    mark = "SANDBOX · invented numbers" if compare.is_sandbox(rows) or rows.attrs.get("sandbox") else ""
    title = " · ".join(filter(None, [looks.pop("title", ""), mark]))
    return make_table(frame, columns, title=title, **({"limit": 200} | looks))
