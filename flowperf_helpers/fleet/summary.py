"""The files of a whole fleet: ``fleet.json`` for programs, ``fleet.xlsx`` for people, ``index.html`` to start from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from flowperf_helpers import __version__
from flowperf_helpers.account.timeframes import iso_week
from flowperf_helpers.fleet import results
from flowperf_helpers.fleet.files import Target
from flowperf_helpers.fleet.index import index_page
from flowperf_helpers.fleet.results import FleetWeek
from flowperf_helpers.fleet.run import Outcome
from flowperf_helpers.report.sheets import workbook

__all__ = ["fleet_json", "summarise", "write_summary"]

JSON_VERSION = 1
_ACCOUNTS = {
    "account": "str", "status": "str", "reason": "str", "reconnect": "bool", "title": "str", "currency": "str",
    "timezone": "str", "sandbox": "boolean", "is_final": "boolean", "requests": "Int64", "sentence": "str",
    "report": "str",
}  # fmt: skip


def summarise(outcomes: Sequence[Outcome], week: str, out: str) -> FleetWeek:
    """Put what became of the accounts beside what they left in the dataset.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of `flowperf_helpers.fleet.run.Fleet.run`.
    week : str
        ISO label.
    out : str
        The folder or address of the run.
    """
    table = pd.DataFrame([_account(outcome) for outcome in outcomes], columns=list(_ACCOUNTS)).astype(_ACCOUNTS)
    window = iso_week(week)
    weeks = [str(window.shift(-7 * back).week) for back in range(12)]
    there = list(table.loc[table["status"] != "failed", "account"])
    return FleetWeek(week, table, results.read(out, weeks=weeks, accounts=there, only_totals=weeks[1:]))


def _account(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.manifest.get("summary", {})
    pages = [file["path"] for file in outcome.manifest.get("files", []) if file["kind"] == "html"]
    return {
        "account": outcome.account,
        "status": outcome.status,
        "reason": outcome.reason,
        "reconnect": outcome.reconnect,
        **{name: summary.get(name) for name in ("sandbox", "is_final")},
        **{name: summary.get(name) or "" for name in ("title", "currency", "timezone", "sentence")},
        "requests": outcome.manifest.get("requests"),
        "report": pages[0] if pages else "",
    }


def fleet_json(fleet: FleetWeek) -> dict[str, Any]:
    """The week as JSON values: counts, and per account its state, its totals and where its files are."""
    totals = fleet.rows[(fleet.rows["week"] == fleet.week) & (fleet.rows["flow_id"] == "")].set_index("account")
    counts = [name for name, dtype in results.COLUMNS.items() if dtype in ("Int64", "float64")]
    numbers = json.loads(totals[counts].to_json(orient="index"))
    accounts = json.loads(fleet.accounts.to_json(orient="records"))
    statuses = fleet.accounts["status"].value_counts()
    return {
        "schema": "flowperf-fleet",
        "schema_version": JSON_VERSION,
        "sandbox": fleet.sandbox,
        "week": fleet.week,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_with": f"flowperf {__version__}",
        "counts": {status: int(statuses.get(status, 0)) for status in ("done", "kept", "failed")},
        "accounts": [{**row, "totals": numbers.get(row["account"])} for row in accounts],
    }


def write_summary(fleet: FleetWeek, out: str) -> list[str]:
    """Write ``fleet.json``, ``fleet.xlsx`` and ``index.html``, and return their places.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    target = Target(out)
    week = fleet.rows[fleet.rows["week"] == fleet.week]
    mark = "SANDBOX: " if fleet.sandbox else ""
    totals = week[week["flow_id"] == ""].drop(columns=["flow_id", "flow_name", "flow_type", "template_version"])
    sheets = {
        "accounts": fleet.accounts,
        "totals": totals.reset_index(drop=True),
        "flows": week[week["flow_id"] != ""].reset_index(drop=True),
    }
    content = {
        "fleet.json": (json.dumps(fleet_json(fleet), ensure_ascii=False, indent=1) + "\n").encode(),
        "fleet.xlsx": workbook(sheets, f"{mark}{len(fleet.accounts)} accounts, week {fleet.week}"),
        "index.html": index_page(fleet.rows, fleet.accounts, week=fleet.week).encode(),
    }
    for place, made in content.items():
        target.put(place, made)
    return list(content)
