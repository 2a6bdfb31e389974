"""What was answered earlier about the same days: kept answers of a real account, a rehearsed past of the sandbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd

from flowperf_helpers.account import Account
from flowperf_helpers.errors import FlowperfError
from flowperf_helpers.timeframes import Window

__all__ = ["REHEARSED_DAYS", "fetch_history"]

REHEARSED_DAYS = 9
"""How many earlier mornings the sandbox is asked on; each asking covers the two weeks before it."""

_STATISTICS = ("recipients", "conversions", "conversion_value", "clicks", "opens")


def fetch_history(account: Account | Any, conversion_metric: str, window: Window) -> pd.DataFrame:
    """Return the daily answers about a window that were given at several moments.

    A real account is asked nothing: what earlier runs kept is read from disk. The sandbox, which has no past, is asked
    the same question with its clock set back, once per morning; those answers are kept like all others.

    Parameters
    ----------
    account : Account
    conversion_metric : str
        Id, name or ``"revenue"``.
    window : Window
        Days of interest.

    Returns
    -------
    DataFrame
        Of ``account.history("series")``, daily rows of the window; empty where nothing is kept, or where the account
        cannot be asked.
    """
    try:
        if account.settings.is_embedded:
            _rehearse(account, conversion_metric)
        metric = account.conversion_metric(conversion_metric)
        history = account.history("series", conversion_metric_id=metric)
    except FlowperfError:
        return pd.DataFrame({"fetched_at": pd.Series(dtype="datetime64[us, UTC]")})
    if history.empty:
        return history
    start, end = window.bounds(account.timezone)
    days = (history["interval_end"] - history["interval_start"]) < pd.Timedelta(hours=30)
    inside = (history["interval_start"] >= start) & (history["interval_end"] <= end)
    kept = history[days & inside].reset_index(drop=True)
    kept.attrs = {**history.attrs, "sandbox": account.is_sandbox, "account": account.name}
    return kept


def _rehearse(account: Any, conversion_metric: str) -> None:
    for days in range(1, REHEARSED_DAYS + 1):
        morning = account.now() - pd.Timedelta(days=days)
        last = morning.date() - timedelta(days=1)
        past = account.again(now=morning.to_pydatetime())
        past.flow_series(
            conversion_metric,
            timeframe=(last - timedelta(days=13), last),
            statistics=_STATISTICS,
            interval="daily",
        )
