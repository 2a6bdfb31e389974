"""What `flowperf fleet` and `flowperf accounts` do, from their options to the exit code.

A whole fleet's files are ``fleet.json`` for programs, ``fleet.xlsx`` for people, ``index.html`` to start from.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers import __version__
from flowperf_helpers.account.timeframes import iso_week
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.fleet import results
from flowperf_helpers.fleet.accounts import Outcome, check_account, exit_code, members, shared_keys
from flowperf_helpers.fleet.compare import is_sandbox
from flowperf_helpers.fleet.index import index_page
from flowperf_helpers.fleet.run import ASKED_AT_ONCE, Fleet, Progress, fleet_week
from flowperf_helpers.fleet.workers import Workers, open_workers
from flowperf_helpers.klaviyo.rate_limits import limits_of, scaled_limits
from flowperf_helpers.report.sheets import workbook

__all__ = ["check_command", "run_account", "run_command", "write_summary"]

SANDBOX_SCALE = 60.0
"""A minute of Klaviyo's limits is a second for a simulated fleet."""
SANDBOX_PORT = 8790
"""Where it is served if the port is free, so that a repeated run finds its answers in the store."""
JSON_VERSION = 1
_SHOWN = 20
_ACCOUNTS = {
    "account": "str", "status": "str", "reason": "str", "reconnect": "bool", "title": "str", "currency": "str",
    "timezone": "str", "sandbox": "boolean", "is_final": "boolean", "requests": "Int64", "sentence": "str",
    "report": "str",
}  # fmt: skip


# -- the commands ----------------------------------------------------------------------------------------------------


def run_command(
    accounts_file: str | None,
    *,
    only: Sequence[str],
    tags: Sequence[str],
    week: str | None,
    out: str | None,
    plan_only: bool,
    workers: int | None,
    scheduler: str | None,
    notebooks: bool,
    refresh: bool,
    sandbox: int | None,
    quiet: bool,
    show: Callable[[pd.DataFrame], None],
    say: Callable[[str], None],
    tell: Callable[[str], None],
) -> int:
    """Plan a fleet, run it, write its files, and return the exit code.

    Parameters
    ----------
    accounts_file : str or None
        Instead of ``FLOWPERF_ACCOUNTS`` or ``accounts.toml`` in the working folder.
    quiet : bool
        Show no bar.
    show, say, tell : callable
        Get tables, lines about the work, and lines about the result.

    Raises
    ------
    FlowperfError
        The fleet as a whole cannot be run; what is wrong with one account is a row.
    """
    if not out and not plan_only:
        raise ArgumentError("Where shall the reports go? Give a folder with --out (or --plan to see the cost first).")
    if sandbox and (accounts_file or only or tags):
        raise ArgumentError("--sandbox brings its own accounts: leave the file, --accounts and --tag out.")
    if workers and scheduler:
        raise ArgumentError("Give --workers or --scheduler: a cluster brings its own workers.")
    started = time.monotonic()
    with ExitStack() as stack:
        if sandbox:
            stack.enter_context(_simulated(sandbox))
        elif accounts_file:
            os.environ["FLOWPERF_ACCOUNTS"] = accounts_file
        found = members(only=only, tags=tags)
        for warning in shared_keys(found):
            say(f"warning: {warning}")
        label = fleet_week(week)
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="flowperf-"))
        fleet = Fleet(
            found,
            out=folder,
            week=label,
            notebooks=notebooks,
            refresh=refresh,
            limits=scaled_limits(SANDBOX_SCALE) if sandbox else limits_of,
            progress=Progress(quiet=quiet),
        )
        stack.enter_context(fleet.locked())
        mark = "SANDBOX (invented accounts), " if sandbox else ""
        say(f"{mark}{len(found):,} accounts, week {label}")
        plan = fleet.plan()
        (tell if plan_only else say)(plan.summary)
        if plan_only:
            share = plan.table["share_of_day"]
            percent = share.map("{:.1%}".format).where(share.notna(), "")
            show(plan.table.assign(minutes=plan.table["minutes"].round(1), share_of_day=percent))
            _tell_failed(plan.failed, say)
            return exit_code([*plan.settled, *(Outcome(name, "planned") for name in plan.to_ask)])
        outcomes = plan.settled
        if plan.to_ask:
            with open_workers(workers or os.cpu_count() or 1, scheduler) as pool:
                outcomes = fleet.run(plan, pool)
        _tell_failed(outcomes, say)
        for place in write_summary(outcomes, label, folder):
            tell(f"{folder.rstrip('/')}/{place}")
        done = sum(outcome.status != "failed" for outcome in outcomes)
        sent = sum(outcome.requests for outcome in outcomes)
        say(
            f"{done:,} of {len(outcomes):,} accounts done in {time.monotonic() - started:.1f} s, "
            f"{sent:,} report requests"
        )
        return exit_code(outcomes)


def _tell_failed(outcomes: Sequence[Outcome], say: Callable[[str], None]) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed[:_SHOWN]:
        say(f"{outcome.account}: {outcome.reason}")
    if len(failed) > _SHOWN:
        say(f"and {len(failed) - _SHOWN:,} more: fleet.json has them all")


@contextmanager
def _simulated(count: int) -> Iterator[None]:
    """Serve so many invented accounts, and let the environment lead to them while the block runs."""
    from flowperf_helpers.fleet import simulate

    shops = simulate.accounts(count)
    before = dict(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="flowperf-") as folder,
        simulate.serving(simulate.FleetApp(shops, time_scale=SANDBOX_SCALE), port=SANDBOX_PORT) as address,
    ):
        file = Path(folder) / "accounts.toml"
        file.write_text(simulate.accounts_toml(shops, address), encoding="utf-8")
        os.environ.update(simulate.environment(shops), FLOWPERF_ACCOUNTS=str(file))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def run_account(name: str, *, out: str, week: str | None = None) -> dict[str, Any]:
    """Make one account's part of a fleet in this process: what a scheduler calls per account (Airflow, Dagster).

    Parameters
    ----------
    name : str
        A section of ``accounts.toml``.
    out : str
        The fleet's folder or address; `flowperf fleet` puts the parts together.
    week : str, optional
        ISO label; left out, the last week that is complete in UTC.

    Returns
    -------
    dict
        The account's manifest, as JSON values.

    Raises
    ------
    FlowperfError
        What kept the account from being done.
    """
    fleet = Fleet(members(only=[name]), out=out, week=fleet_week(week))
    return fleet.alone(name, Workers(lambda: ThreadPoolExecutor(1), 1)).manifest


def check_command(
    accounts_file: str | None, *, only: Sequence[str], tags: Sequence[str]
) -> tuple[pd.DataFrame, list[str], int]:
    """Check every section, and return a table, sentences about shared keys, and the exit code."""
    if accounts_file:
        os.environ["FLOWPERF_ACCOUNTS"] = accounts_file
    found = members(only=only, tags=tags)
    if not found:
        raise ArgumentError("No account was chosen.")
    with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
        table = pd.DataFrame(threads.map(check_account, found)).astype({"calls_left": "Int64"})
    codes = [Outcome(name, "", code=code) for name, code in zip(table["account"], table.pop("code"), strict=True)]
    return table, shared_keys(found), exit_code(codes)


# -- the files of a whole fleet --------------------------------------------------------------------------------------


def write_summary(outcomes: Sequence[Outcome], week: str, out: str) -> list[str]:
    """Write ``fleet.json``, ``fleet.xlsx`` and ``index.html`` over all accounts, and return their places.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of `flowperf_helpers.fleet.run.Fleet.run`.
    week : str
        ISO label.
    out : str
        The folder or address of the run, which holds the dataset: this week, and the totals of the eleven before it
        are shown.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    accounts = pd.DataFrame([_account(outcome) for outcome in outcomes], columns=list(_ACCOUNTS)).astype(_ACCOUNTS)
    window = iso_week(week)
    weeks = [str(window.shift(-7 * back).week) for back in range(12)]
    there = list(accounts.loc[accounts["status"] != "failed", "account"])
    rows = results.read(out, weeks=weeks, accounts=there, only_totals=weeks[1:])
    this_week = rows[rows["week"] == week]
    totals = this_week[this_week["flow_id"] == ""].reset_index(drop=True)
    sheets = {
        "accounts": accounts,
        "totals": totals.drop(columns=["flow_id", "flow_name", "flow_type", "template_version"]),
        "flows": this_week[this_week["flow_id"] != ""].reset_index(drop=True),
    }
    mark = "SANDBOX: " if is_sandbox(accounts) else ""
    content = {
        "fleet.json": (json.dumps(_values(accounts, totals, week), ensure_ascii=False, indent=1) + "\n").encode(),
        "fleet.xlsx": workbook(sheets, f"{mark}{len(accounts)} accounts, week {week}"),
        "index.html": index_page(rows, accounts, week=week).encode(),
    }
    target = results.Target(out)
    for place, made in content.items():
        target.put(place, made)
    return list(content)


def _account(outcome: Outcome) -> dict[str, Any]:
    """One row of the accounts: what became of it, and what its manifest says."""
    summary = outcome.manifest.get("summary", {})
    pages = [file["path"] for file in outcome.manifest.get("files", []) if file["kind"] == "html"]
    return {
        **{name: getattr(outcome, name) for name in ("account", "status", "reason", "reconnect")},
        **{name: summary.get(name) for name in ("sandbox", "is_final")},
        **{name: summary.get(name) or "" for name in ("title", "currency", "timezone", "sentence")},
        "requests": outcome.manifest.get("requests"),
        "report": pages[0] if pages else "",
    }


def _values(accounts: pd.DataFrame, totals: pd.DataFrame, week: str) -> dict[str, Any]:
    """The week as JSON values: counts, and per account its state, its totals and where its files are."""
    counts = [name for name, dtype in results.COLUMNS.items() if dtype in ("Int64", "float64")]
    numbers = json.loads(totals.set_index("account")[counts].to_json(orient="index"))
    rows = json.loads(accounts.to_json(orient="records"))
    statuses = accounts["status"].value_counts()
    return {
        "schema": "flowperf-fleet",
        "schema_version": JSON_VERSION,
        "sandbox": is_sandbox(accounts),
        "week": week,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_with": f"flowperf {__version__}",
        "counts": {status: int(statuses.get(status, 0)) for status in ("done", "kept", "failed")},
        "accounts": [{**row, "totals": numbers.get(row["account"])} for row in rows],
    }
