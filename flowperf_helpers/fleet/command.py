"""What `flowperf fleet` and `flowperf accounts` do, from their options to the exit code."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.fleet.accounts import Member, check_account, members, shared_keys
from flowperf_helpers.fleet.progress import Progress
from flowperf_helpers.fleet.run import ASKED_AT_ONCE, Fleet, Outcome, exit_code, fleet_week
from flowperf_helpers.fleet.summary import summarise, write_summary
from flowperf_helpers.fleet.workers import Workers, open_workers
from flowperf_helpers.klaviyo.rate_limits import Limit, limits_of, scaled_limits

__all__ = ["check_command", "run_account", "run_command"]

SANDBOX_SCALE = 60.0
"""A minute of Klaviyo's limits is a second for a simulated fleet."""
SANDBOX_PORT = 8790
"""Where it is served if the port is free, so that a repeated run finds its answers in the store."""
_SHOWN = 20


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
    show: Callable[[pd.DataFrame], None],
    say: Callable[[str], None],
    tell: Callable[[str], None],
    quiet: bool = False,
) -> int:
    """Plan a fleet, run it, write its files, and return the exit code.

    Parameters
    ----------
    accounts_file : str or None
        Instead of ``FLOWPERF_ACCOUNTS`` or ``accounts.toml`` in the working folder.
    show, say, tell : callable
        Get tables, lines about the work, and lines about the result.

    Raises
    ------
    FlowperfError
        The fleet as a whole cannot be run; what is wrong with one account is a row.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        limits: Callable[[str], Sequence[Limit]] = limits_of
        if sandbox:
            stack.enter_context(_simulated(sandbox))
            limits = scaled_limits(SANDBOX_SCALE)
        elif accounts_file:
            os.environ["FLOWPERF_ACCOUNTS"] = accounts_file
        found = members(only=only, tags=tags)
        for warning in shared_keys(found):
            say(f"warning: {warning}")
        label = fleet_week(week)
        progress = Progress(quiet=quiet)
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="flowperf-"))
        fleet = Fleet(
            found, out=folder, week=label, notebooks=notebooks, refresh=refresh, limits=limits, progress=progress
        )
        stack.enter_context(fleet.locked())
        mark = "SANDBOX (invented accounts), " if sandbox else ""
        say(f"{mark}{len(found):,} accounts, week {label}")
        plan = fleet.plan()
        (tell if plan_only else say)(plan.summary)
        if plan_only:
            show(plan.table.assign(minutes=plan.table["minutes"].round(1), share_of_day=_percent(plan.table)))
            _tell_failed(plan.failed, say)
            return exit_code([*plan.settled, *(Outcome(name, "planned") for name in plan.to_ask)])
        outcomes = plan.settled
        if plan.to_ask:
            with open_workers(workers or os.cpu_count() or 1, scheduler) as pool:
                outcomes = fleet.run(plan, pool)
        _tell_failed(outcomes, say)
        places = write_summary(summarise(outcomes, label, folder), folder)
        for place in places:
            tell(f"{folder.rstrip('/')}/{place}")
        done = sum(outcome.status != "failed" for outcome in outcomes)
        sent = sum(outcome.requests for outcome in outcomes)
        say(
            f"{done:,} of {len(outcomes):,} accounts done in {time.monotonic() - started:.1f} s, "
            f"{sent:,} report requests"
        )
        return exit_code(outcomes)


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
    outcome = fleet.alone(name, Workers(lambda: ThreadPoolExecutor(1), 1))
    return outcome.manifest


def _percent(table: pd.DataFrame) -> pd.Series:
    return table["share_of_day"].map("{:.1%}".format).where(table["share_of_day"].notna(), "")


def _tell_failed(outcomes: Sequence[Outcome], say: Callable[[str], None]) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed[:_SHOWN]:
        say(f"{outcome.account}: {outcome.reason}")
    if len(failed) > _SHOWN:
        say(f"and {len(failed) - _SHOWN:,} more: fleet.json has them all")


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
        rows = list(threads.map(check_account, found))
    table = pd.DataFrame(rows).astype({"calls_left": "Int64"})
    outcomes = [
        Outcome(row["account"], "done" if row["usable"] else "failed", row["problem"], row.pop("code")) for row in rows
    ]
    return table.drop(columns="code"), shared_keys(found), exit_code(outcomes)


@contextmanager
def _simulated(count: int) -> Iterator[list[Member]]:
    """Serve so many invented accounts, and let the environment lead to them while the block runs."""
    from flowperf_helpers.fleet import serve, simulate

    shops = simulate.accounts(count)
    before = dict(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="flowperf-") as folder,
        serve.serving(serve.fleet_app(shops, time_scale=SANDBOX_SCALE), port=SANDBOX_PORT) as address,
    ):
        file = Path(folder) / "accounts.toml"
        file.write_text(serve.accounts_toml(shops, address), encoding="utf-8")
        os.environ.update(serve.environment(shops), FLOWPERF_ACCOUNTS=str(file))
        try:
            yield []
        finally:
            os.environ.clear()
            os.environ.update(before)
