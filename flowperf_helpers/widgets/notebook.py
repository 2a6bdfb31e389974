"""What notebooks ask and print: questions of the comparison notebooks, how changes are judged, versions of packages."""

from __future__ import annotations

import contextlib
import platform
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.account.account import Account
from flowperf_helpers.account.history import rehearse
from flowperf_helpers.account.queries import ReportQuery
from flowperf_helpers.account.timeframes import Window, last_complete_week, parse_timeframe
from flowperf_helpers.errors import ArgumentError, FlowperfError
from flowperf_helpers.frames.columns import NAMES
from flowperf_helpers.report.claims import CHANGED, NO_CHANGE, TOO_FEW, Claims, make_claims, size_text
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import KNOWN_WEEKS, RATES, at_this_age, gather
from flowperf_helpers.report.measures import before_at_equal_age
from flowperf_helpers.stats.rate_parts import parts_of, sum_rate_parts
from flowperf_helpers.widgets.selection import select_rows

__all__ = [
    "COMPARED_STATISTICS",
    "PER_VARIATION",
    "comparison_queries",
    "level_changes",
    "report_answers",
    "same_basis",
    "versions_frame",
    "week_window",
    "weeks_of_tests",
]


# The questions that the comparison notebooks ask: which statistics, per what, over which two windows.

COMPARED_STATISTICS = (
    "recipients", "delivered", "opens_unique", "open_rate", "clicks_unique", "click_rate", "click_to_open_rate",
    "conversions", "conversion_uniques", "conversion_rate", "conversion_value", "revenue_per_recipient",
    "unsubscribe_uniques", "unsubscribe_rate", "spam_complaints", "spam_complaint_rate", "bounced", "bounce_rate",
)  # fmt: skip
"""Counts and the rates made of them: asking for both lets rates be rebuilt when rows are rolled up."""

PER_VARIATION = (
    "flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel", "variation", "variation_name",
)  # fmt: skip


def week_window(account: Account, week: str = "") -> Window:
    """Return an ISO week's window; an empty label is the last complete week on the account's clock.

    Raises
    ------
    ArgumentError
        No such week.
    """
    window = parse_timeframe(week) if week else last_complete_week(account.now())
    if not isinstance(window, Window):
        raise ArgumentError(f"{week!r} is not an ISO week: write it as 2026-W47.")
    return window


def comparison_queries(account: Account, conversion_metric: str, *, window: Any, **wanted: Any) -> list[ReportQuery]:
    """Return three queries: values of a window and of the one before it, and the weeks that tests are judged by.

    Parameters
    ----------
    account : Account
        Names metrics and knows settings; is asked for no report.
    conversion_metric : str
        Id, name or ``"revenue"``.
    window : Window or pair of dates
    **wanted
        As ``account.flow_values``; an empty list of flows means all.
    """
    now = parse_timeframe(window)
    if not isinstance(now, Window):
        raise ArgumentError("Only a window of whole days has a window before it: give a pair of dates.")
    options = wanted | {"flow_ids": wanted.get("flow_ids") or None}
    asked = [(now, None), (now.previous(), None), (weeks_of_tests(now), "weekly")]
    return [
        query
        for timeframe, interval in asked
        for query in account.wanted(conversion_metric, timeframe=timeframe, interval=interval, **options)
    ]


def weeks_of_tests(window: Window) -> Window:
    """Return the weeks up to the end of a window by which the weekly report judges it, its tests included."""
    return Window(window.last - timedelta(days=7 * KNOWN_WEEKS - 1), window.last)


def same_basis(account: Account | Any, after: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return the week before as the weekly report compares with it: as it stood at the age that the week has now.

    Sends nothing: where the store holds no answer of that age (`report.measures.before_at_equal_age`), the week before
    stays as it stands today. ``attrs["basis"]`` says in a sentence which of the two it is.

    Parameters
    ----------
    account : Account
    after, before : DataFrame
        Values of a week and of the one before, of one conversion metric.
    """
    basis = "The window before is shown as it stands today, with a head start in age: none of the same age is kept."
    if len(after) and len(before) and after["window_end"].notna().all():
        with contextlib.suppress(FlowperfError):  # nothing is kept, or it cannot be read
            answers = _answers(account, after, before)
            before, equal = before_at_equal_age(answers, at_this_age(answers))  # type: ignore[assignment]
            if equal:
                basis = "The window before is shown as it stood at the same age, as in the weekly report."
    marked = before.copy(deep=False)
    marked.attrs = {**before.attrs, "basis": basis}
    return marked


def report_answers(
    account: Account | Any, after: pd.DataFrame, before: pd.DataFrame, recent: pd.DataFrame
) -> WeekData | None:
    """Bring what was fetched, and what the store knows, into the shape that the weekly report judges.

    Sends nothing. None where the window is not a whole week from Monday to Sunday, or nothing was sent: the report
    judges such weeks only.

    Parameters
    ----------
    account : Account
    after, before : DataFrame
        Values of a week and of the one before.
    recent : DataFrame
        The weekly series of `weeks_of_tests`.
    """
    if after.empty or recent.empty or after["window_end"].isna().any():
        return None
    first, end = after["window_start"].min(), after["window_end"].max()
    if first.weekday() or (end.tz_localize(None) - first.tz_localize(None)).days != 7:
        return None
    try:
        found = _answers(account, after, before)
    except FlowperfError:  # nothing is kept, or it cannot be read
        return None
    here = recent["interval_start"] == first
    known = found.history
    days = known  # of this week, if a weekly report asked for them: they tell which flows stopped in it
    if len(known):
        is_day = known["interval_end"] - known["interval_start"] < timedelta(days=2)
        asked = known.loc[is_day & (known["interval_start"] >= first) & (known["interval_start"] < end), "fetched_at"]
        days = known[is_day & (known["fetched_at"] == asked.max())]
        known = known[~is_day & (known["interval_start"] >= first - timedelta(days=57))]
    return replace(
        found, weekly=recent[~here], daily=days if len(days) else recent[here], history=known.reset_index(drop=True)
    )


def _answers(account: Account | Any, after: pd.DataFrame, before: pd.DataFrame) -> WeekData:
    """Bring what is kept about the week before into the shape that the report compares."""
    metrics = list(after["conversion_metric_id"].dropna().unique())
    for metric in metrics:
        rehearse(account, metric)
    history = account.history("series", conversion_metric_id=metrics)
    if len(history):
        history = history[history["flow_id"].isin(before["flow_id"])].reset_index(drop=True)
    first, end = after["window_start"].min(), after["window_end"].max()
    none = after.iloc[:0]
    return WeekData(
        account={"timezone": str(account.timezone), "asked_at": after.attrs["fetched_at"]},
        window=Window(first.date(), (end - timedelta(hours=1)).date()),
        now=account.now(),
        partial=False,
        metrics=none,
        current=after,
        previous=before,
        year_ago=None,
        weekly=none,
        daily=none,
        flows=none,
        messages=none,
        history=history,
    )


# Changes of rates, judged as in the weekly report: against eight weeks, by how much each rate moves.

_NO_STOPS = pd.DataFrame(
    {c: pd.Series(dtype="str") for c in ("flow_id", "flow_message_id", "reason", "sentence")}
    | {"q_value": pd.Series(dtype="float64")}
)


def level_changes(
    answers: WeekData | None, *, rate: str, by: str = "flow_name", channel: str = ""
) -> pd.DataFrame | None:
    """Hold a week's rates against their last eight weeks, as the weekly report does.

    Parameters
    ----------
    answers : WeekData, optional
        Of `flowperf_helpers.widgets.notebook.report_answers`.
    rate : str
    by : {"flow_name", "flow_message_name"}
    channel : str
        ``""`` for all.

    Returns
    -------
    DataFrame or None
        As `compare_rates` returns it, ``rate_before`` being that of the eight weeks before with the common move of all
        flows applied; ``verdict`` one of ``higher, lower, no change larger than x, cannot tell yet, too few``; ``text``
        (the report's line). ``attrs["basis"]``: what was compared. None where the report does not judge this rate, or
        the window is not a week.
    """
    if answers is None or rate not in RATES or answers.weekly.empty:
        return None
    current, weekly, claims = _judged(answers, channel)
    if claims is None:
        return None
    judged = claims.frame[claims.frame["statistic"] == rate]
    key = NAMES[by]
    flows = judged[judged["kind"] == "flow"]
    if key != "flow_id":  # the report judges the only message of a flow as its flow
        messages = judged[judged["kind"] == "message"]
        pairs = pd.concat([current, weekly])[["flow_id", "flow_message_id"]].drop_duplicates()
        alone = flows.drop(columns="flow_message_id").merge(pairs, on="flow_id")
        flows = pd.concat([messages, alone[~alone["flow_message_id"].isin(messages["flow_message_id"])]])
    keys = list(dict.fromkeys(["flow_id", key]))
    columns = list(dict.fromkeys(["flow_id", "flow_name", key, by]))
    sums = sum_rate_parts(current, rate, parts_of(current, rate, "The comparison"), keys, what="level_changes")
    sent = sums.counts[[key, "denominator"]].rename(columns={"denominator": "denominator_after"})
    table = flows.merge(sent, on=key).merge(sums.names[columns], on=keys)
    verdict = np.select(
        [table["verdict"] == CHANGED, table["verdict"] == NO_CHANGE],
        [table["direction"].map({"up": "higher", "down": "lower"}),
         [f"no change larger than {size_text(size, up=True)}" for size in table["excluded"]]],
        table["verdict"],
    )  # fmt: skip
    usual = table["usual"]
    ends = table[["low", "high"]].mul(usual, axis=0)
    ends = ends.where(table["verdict"].ne(TOO_FEW) | np.isfinite(table["high"]))
    found = table[columns].assign(
        rate_before=usual, rate_after=table["now"], difference=table["now"] - usual, low=ends["low"],
        high=ends["high"], q_value=table["q_value"], verdict=verdict, text=table["text"],
        denominator_after=table["denominator_after"],
    )  # fmt: skip
    basis = (
        "Judged as in the weekly report: the week against its last eight, with how much each rate moves from week to "
        "week anyway, all comparisons corrected together. " + claims.basis
    )
    found.attrs = current.attrs | {
        "rate": rate, "basis": basis.strip(), "notes": [], "labels": ["eight weeks before", "this week"],
        "are_periods": True,
    }  # fmt: skip
    return found


_Judged = tuple[pd.DataFrame, pd.DataFrame, Claims | None]

_KEPT: dict[str, tuple[WeekData, _Judged]] = {}
"""By channel: the answers judged last, and what it came to."""


def _judged(answers: WeekData, channel: str) -> _Judged:
    """The week's rows on a channel, those of the weeks before, and the report's claims about them.

    None of it depends on what a board shows, so that a change of rate, flows or picture judges nothing anew.
    """
    if channel not in _KEPT or _KEPT[channel][0] is not answers:
        _KEPT[channel] = answers, _judge(answers, channel)
    return _KEPT[channel][1]


def _judge(answers: WeekData, channel: str) -> _Judged:
    chosen: dict[str, Any] = {
        n: select_rows(getattr(answers, n), channel=channel) for n in ("current", "weekly", "daily", "history")
    }
    answers = replace(answers, **chosen)
    if answers.current.empty:
        return answers.current, answers.weekly, None
    then = at_this_age(answers)
    _, is_equal = before_at_equal_age(answers, then)
    claims = make_claims(gather(answers, then if is_equal else then.iloc[:0]), _NO_STOPS, {})
    return answers.current, answers.weekly, claims


# Which versions made the numbers on a page: the last cell of every notebook.

_PACKAGES = ("flowperf", "pandas", "numpy", "scipy", "matplotlib", "ipywidgets")


def versions_frame(revision: str | None = None) -> pd.DataFrame:
    """Return what made the numbers.

    Parameters
    ----------
    revision : str, optional
        Klaviyo's API revision (``account.revision``).

    Returns
    -------
    DataFrame
        ``what, version``, both str.
    """
    rows = [("Klaviyo API revision", revision)] if revision else []
    rows.append(("Python", platform.python_version()))
    for name in _PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed as a package"))
    return pd.DataFrame(rows, columns=["what", "version"], dtype="str")
