"""What a report owes beside its numbers: what has none and why, what changed afterwards, what is still to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from flowperf_helpers import formats
from flowperf_helpers.columns import numbers, row_keys
from flowperf_helpers.reconciliation import merge_answers
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
    """Weekly numbers of messages that changed since they were last asked for, this report's week left out.

    Last time is the last answer of an earlier day, so that a second report of one day says what the first one said.
    Only statistics of the headline; conversions and money of the week before always change and say so.
    """
    from flowperf_helpers.honesty import restatements

    before, now = _last_time_and_now(answers)
    if not len(before):
        return pd.DataFrame()
    found = restatements(pd.concat([before, now], ignore_index=True), statistics=_restated_statistics(now))
    found = found[_beyond(found["before"], found["change"])]
    return found.sort_values(["interval_start", "statistic"], ascending=[False, True]).reset_index(drop=True)


def restated_weeks(answers: WeekAnswers) -> pd.DataFrame:
    """Weeks whose sums changed since last time: all their messages, not only those that changed.

    Returns
    -------
    DataFrame
        ``interval_start, statistic, before, after, change, share`` (fraction of before), ``messages`` (how many
        changed).
    """
    before, now = _last_time_and_now(answers)
    columns = ["interval_start", "statistic", "before", "after", "change", "share", "messages"]
    if not len(before):
        return pd.DataFrame(columns=columns)
    both = before.merge(now, on=[k for k in row_keys(now) if k in before], suffixes=("_before", ""))
    parts = []
    for name in _restated_statistics(now):
        pair = both[["interval_start"]].assign(before=numbers(both, f"{name}_before"), after=numbers(both, name))
        pair = pair.dropna().assign(messages=lambda rows: rows["before"] != rows["after"])
        parts.append(pair.groupby("interval_start", as_index=False).sum().assign(statistic=name))
    weeks = pd.concat(parts, ignore_index=True)
    weeks["change"] = weeks["after"] - weeks["before"]
    weeks["share"] = weeks["change"] / weeks["before"].where(weeks["before"] > 0)
    weeks = weeks[_beyond(weeks["before"], weeks["change"])]
    return weeks.sort_values(["interval_start", "statistic"], ascending=[False, True], ignore_index=True)[columns]


def _last_time_and_now(answers: WeekAnswers) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weeks before this one: each message as it was last answered on an earlier day, and as it is answered now."""
    history, weekly = answers.history, answers.weekly
    if not len(history) or not len(weekly) or "interval_end" not in history:
        return history.iloc[:0], weekly.iloc[:0]
    asked = pd.Timestamp(weekly.attrs.get("fetched_at") or answers.account["asked_at"])
    now = merge_answers(weekly.assign(fetched_at=asked.tz_convert("UTC"), query="now"))
    now = now[now["interval_start"] < answers.window.bounds(answers.account["timezone"])[0]]
    earlier = history["fetched_at"] < asked.tz_convert(answers.account["timezone"]).normalize()
    whole = ~history["is_partial"].fillna(False).astype(bool)
    before = history[earlier & whole].sort_values("fetched_at", kind="stable")
    before = before.drop_duplicates([k for k in row_keys(now) if k in before], keep="last")
    bounds = ["interval_start", "interval_end"]
    same = pd.MultiIndex.from_frame(before[bounds]).isin(pd.MultiIndex.from_frame(now[bounds]))
    return before[same], now


def _restated_statistics(now: pd.DataFrame) -> list[str]:
    wanted = ("delivered", "opens_unique", "clicks_unique", "conversions", "conversion_value")
    return [name for name in wanted if name in now]


def _beyond(before: pd.Series, change: pd.Series) -> pd.Series:
    """Whether a change is worth a line: half a percent or more, or out of nothing."""
    share = change.abs() / before.abs().where(before != 0)
    return (share.fillna(1.0) >= LEAST_CHANGE) & (change != 0)


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
