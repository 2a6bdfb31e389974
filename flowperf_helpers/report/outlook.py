"""What a report owes beside its numbers: what has none and why, what changed afterwards, what is still to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from flowperf_helpers import formats
from flowperf_helpers.report.answers import WeekAnswers

__all__ = ["Settling", "disagreements", "restated", "restated_weeks", "settling", "unsent"]

LEAST_CHANGE = 0.005
"""Restatements smaller than this fraction are counted, not listed."""


@dataclass(frozen=True)
class Settling:
    """How complete a week is.

    Attributes
    ----------
    open_days : int
        Days of the week younger than the attribution window.
    curve : DataFrame
        Share of the final conversions by age, where snapshots tell; else empty.
    so_far, final, low, high : float or None
        Conversions of the week.
    sentence : str
        The forecast in words, or empty.
    note : str
        Why there is no forecast, or what it rests on.
    """

    open_days: int
    curve: pd.DataFrame
    so_far: float | None
    final: float | None
    low: float | None
    high: float | None
    sentence: str
    note: str


def unsent(answers: WeekAnswers) -> pd.DataFrame:
    """Flows and messages that have no number this week, with the reason."""
    from flowperf_helpers.honesty import honest_rows

    table = honest_rows(answers.flows, answers.messages, answers.current)
    keep = [
        c
        for c in (
            "flow_id",
            "flow_name",
            "flow_status",
            "flow_message_id",
            "flow_message_name",
            "send_channel",
            "reason",
        )
        if c in table
    ]
    rows = table.loc[table["reason"] != "sent", keep].drop_duplicates()
    if "variation" in answers.current and "flow_message_id" in rows:
        # a variation is a message of its own in discovery and a grouping of its parent in the answer
        rows = rows[~rows["flow_message_id"].isin(answers.current["variation"].dropna())]
    seen = answers.weekly.loc[answers.weekly["recipients"].fillna(0) > 0, ["flow_id", "flow_name"]].drop_duplicates(
        "flow_id"
    )
    gone = seen[~seen["flow_id"].isin(answers.flows["flow_id"])]
    if len(gone):
        rows = pd.concat(
            [rows, gone.assign(reason="no longer in the account: it vanished since it last sent")], ignore_index=True
        )
    return rows.reset_index(drop=True)


def _daily(history: pd.DataFrame) -> pd.DataFrame:
    if not len(history) or "interval_end" not in history:
        return history.iloc[:0]
    return history[(history["interval_end"] - history["interval_start"]) <= timedelta(hours=26)]


def restated(answers: WeekAnswers) -> pd.DataFrame:
    """Weekly numbers that changed between the last two times they were asked for, this report's week left out.

    Only statistics of the headline; conversions and money of the week before always change and say so.
    """
    from flowperf_helpers.honesty import restatements

    history = answers.history
    if not len(history) or history["fetched_at"].nunique() < 2:
        return pd.DataFrame()
    weekly = history[(history["interval_end"] - history["interval_start"]) > timedelta(days=5)]
    times = sorted(weekly["fetched_at"].unique())[-2:]
    recent = weekly[weekly["fetched_at"].isin(times)]
    if recent["fetched_at"].nunique() < 2:
        return pd.DataFrame()
    table = restatements(recent)
    table = table[
        table["statistic"].isin(["delivered", "opens_unique", "clicks_unique", "conversions", "conversion_value"])
    ]
    base = table["before"].abs().astype("float64").where(lambda v: v > 0)
    change = table["change"].astype("float64")
    table = table[(change.abs() / base).fillna(1.0) >= LEAST_CHANGE]
    return table.sort_values(["interval_start", "statistic"], ascending=[False, True]).reset_index(drop=True)


def restated_weeks(table: pd.DataFrame) -> pd.DataFrame:
    """Sum restatements of messages per week and statistic.

    Returns
    -------
    DataFrame
        ``interval_start, statistic, before, after, change, share`` (fraction of before), ``messages`` (how many).
    """
    if not len(table):
        return pd.DataFrame(columns=["interval_start", "statistic", "before", "after", "change", "share", "messages"])
    numbers = table.astype({"before": "float64", "after": "float64", "change": "float64"})
    groups = numbers.groupby(["interval_start", "statistic"], sort=False)
    weeks = groups[["before", "after", "change"]].sum().assign(messages=groups.size()).reset_index()
    weeks.insert(5, "share", weeks["change"] / weeks["before"].where(weeks["before"] > 0))
    return weeks


def settling(answers: WeekAnswers) -> Settling:
    """How many days are open, and where the week's conversions will end."""
    from flowperf_helpers.settling import forecast, settling_curve

    starts, ends = answers.window.bounds(answers.account["timezone"])
    days = answers.daily[(answers.daily["interval_start"] >= starts) & (answers.daily["interval_start"] < ends)]
    open_days = int(days.loc[days["is_provisional"].fillna(False).astype(bool), "interval_start"].nunique())
    so_far = float(days["conversions"].fillna(0).sum()) if len(days) else None
    empty = pd.DataFrame(columns=["age_days", "share", "low", "high", "days_behind"])
    if not open_days:
        return Settling(0, empty, so_far, so_far, so_far, so_far, "", "Every day is older than the attribution window.")
    history = _daily(answers.history)
    curve = empty
    if len(history):
        curve = settling_curve(history, statistic="conversions", attribution_days=answers.account["attribution_days"])
    note = str(curve.attrs.get("note") or "")
    if not curve["share"].notna().any():
        return Settling(
            open_days, empty, so_far, None, None, None, "",
            note or "No forecast: this account was not asked before on this machine.",
        )  # fmt: skip
    per_day = days.groupby(["interval_start", "interval_end"], as_index=False)[["conversions"]].sum()
    per_day.attrs = dict(answers.daily.attrs)
    ahead = forecast(per_day, curve)
    if so_far is None or ahead["final"].isna().any():
        return Settling(open_days, curve, so_far, None, None, None, "", note)
    final = float(ahead["final"].sum())
    # the days' errors are independent of each other: their squares add up, not their limits
    low = max(so_far, final - float(((ahead["final"] - ahead["low"]) ** 2).sum() ** 0.5))
    high = final + float(((ahead["high"] - ahead["final"]) ** 2).sum() ** 0.5)
    sentence = (
        f"From how earlier weeks filled up, {formats.count_text(so_far)} conversions so far should end near "
        f"{formats.count_text(final)} ({formats.count_text(low)} to {formats.count_text(high)})."
    )
    return Settling(open_days, curve, so_far, final, low, high, sentence, note)


def disagreements(answers: WeekAnswers) -> pd.DataFrame:
    """Where the values of the week and its bucket in the weekly series do not agree."""
    from flowperf_helpers.honesty import reconcile

    starts, _ = answers.window.bounds(answers.account["timezone"])
    bucket = answers.weekly[answers.weekly["interval_start"] == starts]
    if not len(bucket):
        return pd.DataFrame()
    table = reconcile(answers.current, bucket)
    return table[~table["agrees"].astype(bool)].reset_index(drop=True)
