"""Whether the last report that was due is there: what notices a run that did not happen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flowperf_helpers.account.connection import latest_now
from flowperf_helpers.account.timeframes import last_complete_week
from flowperf_helpers.errors import OverdueError
from flowperf_helpers.klaviyo.accounts_file import read_section
from flowperf_helpers.report.run.archive import read_headlines, series_of

__all__ = ["check_last"]


def check_last(account: str, out: str | Path, *, prefix: str = "weekly", now: datetime | None = None) -> str:
    """Return a sentence about the report of the last complete week, which is due as soon as the week has ended.

    It is judged by the files alone: nothing is asked, and no key is needed. A report of a week that still ran does not
    count, one of a later week does.

    Parameters
    ----------
    account, out, prefix
        Whose report, and where it goes.
    now : datetime, optional
        Aware; of the account's clock, which is taken from its last report or its settings.

    Raises
    ------
    OverdueError
        It is not there.
    StorageError
        The folder cannot be read.
    """
    weeks = [week for week in series_of(read_headlines(out), f"{prefix}-{account}") if not week["is_partial"]]
    last = weeks[-1] if weeks else None
    due = str(last_complete_week(now or _now(account, last)).week)
    if last is None:
        raise OverdueError(f"No report of {account} is in {out}, and that of {due} is due: run flowperf weekly now.")
    if last["week"] < due:
        raise OverdueError(
            f"The report of {account} for {due} is not in {out}: the last one is that of {last['week']}, made "
            f"{last['made_at'][:10]}. Run flowperf weekly now and look why it did not run."
        )
    return f"the report of {account} for {last['week']} is there, made {last['made_at'][:16].replace('T', ' ')}"


def _now(account: str, last: Mapping[str, Any] | None) -> datetime:
    """Return the account's time: that of the embedded account stands still."""
    if account == "sandbox":
        return latest_now(account)
    if last is None:
        zone = None if account == "live" else read_section(account).get("timezone")
    else:
        zone = last["account"]["timezone"]
    return datetime.now(ZoneInfo(zone or "UTC"))
