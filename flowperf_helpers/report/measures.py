"""The numbers of a weekly report and what it says beside them: frames in, frames out; and its headline numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import numbers, row_keys
from flowperf_helpers.report.claims import CHANGED
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import RATES
from flowperf_helpers.stats.data_quality import coverage_table, merge_answers, reconcile, restatements
from flowperf_helpers.stats.decomposition import decompose
from flowperf_helpers.stats.rate_parts import Columns, bare, each_message_once, with_only
from flowperf_helpers.stats.rates import rate_interval
from flowperf_helpers.stats.rollup import roll_up

__all__ = [
    "AFTERWARDS", "HEADLINE", "RATES", "STRIP_WEEKS", "Tile", "before_at_equal_age", "conversions_with_value",
    "disagreements", "effects", "last_time_and_now", "make_tiles", "money_moved", "names_of", "rate_counts",
    "restated", "restated_weeks", "strips", "totals", "unsent", "week_table",
]  # fmt: skip

STRIP_WEEKS = 12


def before_at_equal_age(answers: WeekData, then: pd.DataFrame) -> tuple[pd.DataFrame | None, bool]:
    """The week before as it stood when it was as old as this week is now.

    Opens, clicks and conversions keep coming; a fresh week beside an old one looks poor.

    Parameters
    ----------
    then : DataFrame
        Of `report.evidence.at_this_age`; taken if it tells of every message that the week before has.

    Returns
    -------
    frame : DataFrame or None
        Rows like those of ``answers.previous``, variations summed.
    equal : bool
        Whether it is of equal age. False: the week before as it stands today.
    """
    previous = answers.previous
    if previous is None or not len(then):
        return previous, False
    start, end = answers.window.previous().bounds(answers.account["timezone"])
    then = then[(then["interval_start"] == start) & (then["interval_end"] == end)]
    keys = ["conversion_metric_id", "flow_id", "flow_message_id", "send_channel"]
    keys = [c for c in keys if c in previous and c in then]
    then = then[then["recipients"].fillna(0) > 0]
    sent = previous[previous["recipients"].fillna(0) > 0]
    if not pd.MultiIndex.from_frame(sent[keys]).isin(pd.MultiIndex.from_frame(then[keys])).all():
        return previous, False
    frame = then.reindex(columns=[c for c in previous.columns if c in then.columns]).reset_index(drop=True)
    frame.attrs = dict(previous.attrs)
    return frame, True


def totals(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Counts summed and rates rebuilt, over everything or per group."""
    return roll_up(frame, by=list(by))


def rate_counts(frame: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Successes and trials of each rate over all rows that carry it; rates without their counts are left out."""
    if not len(frame):
        return {}
    read = Columns(each_message_once(frame, []))
    everything = np.zeros(read.rows, dtype=np.intp)
    sums = {rate: read.sums(rate, of, everything, 1) for rate, of in read.denominators(RATES).items()}
    return {rate: (float(top[0]), float(bottom[0])) for rate, (top, bottom) in sums.items()}


def conversions_with_value(frame: pd.DataFrame) -> tuple[float, float]:
    """Conversions that carry money, and all: those of rows without a value, and of metrics without any, carry none."""
    if not {"conversions", "conversion_value"} <= set(frame.columns):
        return 0.0, 0.0
    counts = frame["conversions"].astype("float64").fillna(0.0)
    carries = frame["conversion_value"].notna()
    if "conversion_metric_id" in frame.columns:
        money = frame["conversion_value"].groupby(frame["conversion_metric_id"], dropna=False).transform("sum")
        carries &= money != 0
    return float(counts[carries].sum()), float(counts.sum())


def week_table(after: pd.DataFrame, before: pd.DataFrame | None, *, by: Sequence[str]) -> pd.DataFrame:
    """Numbers of the week per group, and the counts and money of the week before beside them (``…_before``)."""
    now = totals(after, by)
    then = now.iloc[:0] if before is None else totals(before, by)
    kept = ["recipients", "delivered", "conversions", "conversion_value", *RATES]
    then = then[[*by, *(c for c in kept if c in then)]]
    table = now.merge(then, on=list(by), how="outer", suffixes=("", "_before"), sort=False)
    table.attrs = dict(after.attrs)
    return table


def strips(weekly: pd.DataFrame, *, last: pd.Timestamp, by: Sequence[str] = ("flow_id",)) -> pd.DataFrame:
    """The last 12 weeks per group: ``interval_start, is_provisional``, deliveries, rates and money."""
    starts = sorted(weekly["interval_start"].unique())
    recent = weekly[weekly["interval_start"].isin([s for s in starts if s <= last][-STRIP_WEEKS:])]
    flags = recent.groupby("interval_start")[["is_partial", "is_provisional"]].any()
    table = totals(recent, [*by, "interval_start"])
    return table.merge(flags, left_on="interval_start", right_index=True, how="left")


def effects(before: pd.DataFrame | None, after: pd.DataFrame, rates: Mapping[str, str]) -> pd.DataFrame:
    """Where the change of a flow's rate since the week before came from, message by message.

    Parameters
    ----------
    rates : mapping of str to str
        Flow id to the rate.

    Returns
    -------
    DataFrame
        ``flow_id, statistic`` and the columns of `decompose`.
    """
    told = ["flow_id", "statistic", "flow_message_id", "mix_effect", "within_effect", "total_effect"]
    nothing = pd.DataFrame(columns=[*told, "is_new", "is_gone"])
    if before is None:
        return nothing
    parts = []
    for rate in dict.fromkeys(rates.values()):
        wanted = [flow_id for flow_id, of in rates.items() if of == rate]
        counted = {rate, *STATISTICS[rate].numerators, *STATISTICS[rate].denominators}
        sides = [with_only(f, counted) for f in (before, after)]
        sides = [f.loc[f["flow_id"].isin(wanted), f.columns != "flow_name"] for f in sides]
        both = set(sides[0]["flow_id"]) & set(sides[1]["flow_id"])
        messages = pd.concat([f[["flow_id", "flow_message_id"]] for f in sides]).drop_duplicates()
        count = messages["flow_id"].value_counts()
        several = [flow_id for flow_id in wanted if flow_id in both and count[flow_id] > 1]
        if several:
            split = decompose(*(f[f["flow_id"].isin(several)] for f in sides), rate=rate, within="flow_id")
            parts.append(bare(split).drop(columns="flow_id").assign(flow_id=split["flow_id"], statistic=rate))
    if not parts:
        return nothing
    table = pd.concat(parts, ignore_index=True)
    order = table["flow_id"].map({flow_id: i for i, flow_id in enumerate(rates)}).argsort(kind="stable")
    return table.iloc[order].reset_index(drop=True)


def money_moved(table: pd.DataFrame) -> dict[str, float]:
    """Flow id to money made more (less) than the week before; ``table`` is a `week_table` by flow."""
    if "conversion_value" not in table:
        return {}
    then = table.get("conversion_value_before", pd.Series(0.0, index=table.index))
    moved = table["conversion_value"].fillna(0) - then.fillna(0)
    return dict(zip(table["flow_id"], moved, strict=True))


def names_of(frames: Sequence[pd.DataFrame], thing: str) -> dict[str, str]:
    """Id to name, of the last frame that has one; ``thing`` is ``"flow"`` or ``"flow_message"``."""
    key, name = f"{thing}_id", f"{thing}_name"
    names: dict[str, str] = {}
    for frame in frames:
        if name in frame:
            known = frame[[key, name]].dropna().drop_duplicates(key, keep="last")
            names |= dict(zip(known[key], known[name], strict=True))
    return names


# What a report says beside its numbers: what has none and why, what changed afterwards, what is still to come.

RESTATED = ("delivered", "opens_unique", "clicks_unique", "conversions", "conversion_value")
LEAST_CHANGE = 0.005
"""Restatements smaller than this fraction are counted, not listed."""


def unsent(answers: WeekData) -> pd.DataFrame:
    """Flows and messages that have no number this week, with the reason."""
    table = coverage_table(answers.flows, answers.messages, answers.current)
    told = ["flow_id", "flow_name", "flow_status", "flow_message_id", "flow_message_name", "send_channel", "reason"]
    keep = [c for c in told if c in table]
    rows = table.loc[table["reason"] != "sent", keep].drop_duplicates()
    if "variation" in answers.current and "flow_message_id" in rows:
        # a variation is a message of its own in discovery and a grouping of its parent in the answer
        rows = rows[~rows["flow_message_id"].isin(answers.current["variation"].dropna())]
    seen = answers.weekly.loc[answers.weekly["recipients"].fillna(0) > 0, ["flow_id", "flow_name"]]
    gone = seen.drop_duplicates("flow_id")[lambda rows: ~rows["flow_id"].isin(answers.flows["flow_id"])]
    if len(gone):
        rows = pd.concat([rows, gone.assign(reason="deleted since it last sent")], ignore_index=True)
    return rows.reset_index(drop=True)


def restated(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Weekly numbers of messages that changed since they were last asked for, this report's week left out.

    Last time is the last answer of an earlier day, so that a second report of one day says what the first one said.
    The frames are those of `last_time_and_now`. Only statistics of the headline; conversions and money of the week
    before always change and say so.
    """
    if not len(before):
        return pd.DataFrame()
    found = restatements(
        pd.concat([before, now], ignore_index=True), statistics=[name for name in RESTATED if name in now]
    )
    found = found[_beyond(found["before"], found["change"])]
    return found.sort_values(["interval_start", "statistic"], ascending=[False, True]).reset_index(drop=True)


def restated_weeks(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Weeks whose sums changed since last time: all their messages, not only those that changed.

    Returns
    -------
    DataFrame
        ``interval_start, statistic, before, after, change, share`` (fraction of before), ``messages`` (how many
        changed).
    """
    columns = ["interval_start", "statistic", "before", "after", "change", "share", "messages"]
    if not len(before):
        return pd.DataFrame(columns=columns)
    both = before.merge(now, on=[k for k in row_keys(now) if k in before], suffixes=("_before", ""))
    parts = []
    for name in [name for name in RESTATED if name in now]:
        pair = both[["interval_start"]].assign(before=numbers(both, f"{name}_before"), after=numbers(both, name))
        pair = pair.dropna().assign(messages=lambda rows: rows["before"] != rows["after"])
        parts.append(pair.groupby("interval_start", as_index=False).sum().assign(statistic=name))
    weeks = pd.concat(parts, ignore_index=True)
    weeks["change"] = weeks["after"] - weeks["before"]
    weeks["share"] = weeks["change"] / weeks["before"].where(weeks["before"] > 0)
    weeks = weeks[_beyond(weeks["before"], weeks["change"])]
    return weeks.sort_values(["interval_start", "statistic"], ascending=[False, True], ignore_index=True)[columns]


def last_time_and_now(answers: WeekData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weeks before this one: each message as it was last answered on an earlier day, and as it is answered now.

    Of the statistics they have those that restatements are looked for in.
    """
    history, weekly = answers.history, answers.weekly
    if not len(history) or not len(weekly) or "interval_end" not in history:
        return history.iloc[:0], weekly.iloc[:0]
    asked = pd.Timestamp(weekly.attrs.get("fetched_at") or answers.account["asked_at"])
    history, weekly = (with_only(frame, {*RESTATED, "recipients"}) for frame in (history, weekly))
    now = merge_answers(weekly.assign(fetched_at=asked.tz_convert("UTC"), query="now"))
    now = now[now["interval_start"] < answers.window.bounds(answers.account["timezone"])[0]]
    earlier = history["fetched_at"] < asked.tz_convert(answers.account["timezone"]).normalize()
    whole = ~history["is_partial"].fillna(False).astype(bool)
    before, bounds = history[earlier & whole], ["interval_start", "interval_end"]
    same = pd.MultiIndex.from_frame(before[bounds]).isin(pd.MultiIndex.from_frame(now[bounds]))
    before = before[same].sort_values("fetched_at", kind="stable")
    return before.drop_duplicates([k for k in row_keys(now) if k in before], keep="last"), now


def _beyond(before: pd.Series, change: pd.Series) -> pd.Series:
    """Whether a change is worth a line: half a percent or more, or out of nothing."""
    share = change.abs() / before.abs().where(before != 0)
    return (share.fillna(1.0) >= LEAST_CHANGE) & (change != 0)


def disagreements(answers: WeekData) -> pd.DataFrame:
    """Where the values of the week and its bucket in the weekly series do not agree."""
    starts, _ = answers.window.bounds(answers.account["timezone"])
    bucket = answers.weekly[answers.weekly["interval_start"] == starts]
    if not len(bucket):
        return pd.DataFrame()
    table = reconcile(answers.current, bucket)
    return table[~table["agrees"].astype(bool)].reset_index(drop=True)


# Headline numbers: each with what is known around it, and the reason where something is not.

HEADLINE = (
    "conversion_value", "conversions", "delivered", "open_rate", "click_rate", "conversion_rate",
    "unsubscribe_rate", "spam_complaint_rate",
)  # fmt: skip
AFTERWARDS = ("conversion_value", "conversions", "conversion_rate")
"""Statistics that an attribution window keeps open."""


@dataclass(frozen=True)
class Tile:
    """One headline number.

    Attributes
    ----------
    statistic, label, definition : str
    value, low, high, previous, year_ago, difference : float or None
        None where nobody knows; fractions for rates.
    verdict : str or None
        ``higher``, ``lower``, ``no change larger than``, ``cannot tell yet``, ``too few``: against the last eight
        weeks; of money, on the revenue per recipient. None for counts, and where there is nothing to compare.
    provisional : bool
        Whether the number still moves.
    notes : dict
        Why a field is None, by its name; ``"covers"``: what the value does not cover.
    claim : str
        The verdict with its size, as one short line; empty without one.
    change_share, change_low, change_high : float or None
        The change as a fraction of the usual value, and the interval that decides the verdict.
    """

    statistic: str
    label: str
    definition: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    previous: float | None
    year_ago: float | None
    difference: float | None
    verdict: str | None
    provisional: bool
    notes: dict[str, str]
    currency: str | None = None
    claim: str = ""
    change_share: float | None = None
    change_low: float | None = None
    change_high: float | None = None

    @property
    def value_text(self) -> str:
        """The number as people read it."""
        return formats.statistic_text(self.value, self.statistic, self.currency)

    @property
    def note(self) -> str:
        """What the value does not cover, or empty."""
        return self.notes.get("covers", "")

    def beside(self, name: str) -> str:
        """Another week's number, or ``not known: …``."""
        value = getattr(self, name)
        if value is None:
            return f"not known: {self.notes.get(name, 'no answer about it')}"
        return formats.statistic_text(value, self.statistic, self.currency)


def make_tiles(
    answers: WeekData,
    now: pd.DataFrame,
    before: pd.DataFrame | None,
    claims: pd.DataFrame,
    *,
    provisional: bool,
    unknown: Mapping[str, str],
) -> list[Tile]:
    """One tile per headline statistic.

    Parameters
    ----------
    answers : WeekData
    now : DataFrame
        One row: the account's `totals` of the week.
    before : DataFrame or None
        Rows of the week before, as it is compared with.
    claims : DataFrame
        All comparisons of the page (`Claims.frame`), of which the account's are taken.
    provisional : bool
        Whether days of the week are younger than the attribution window.
    unknown : mapping of str to str
        Why ``previous`` or ``year_ago`` are not there.
    """
    then, year_ago = (None if f is None else totals(f) for f in (before, answers.year_ago))
    counts, valued = rate_counts(answers.current), conversions_with_value(answers.current)
    of_account = claims["kind"].isin(["account", "money"]) & (claims["flow_id"] == "") & claims["p_value"].notna()
    rows: dict[str, Any] = {str(row["statistic"]): row for row in claims[of_account].to_dict("records")}
    if "revenue_per_recipient" in rows:
        rows["conversion_value"] = rows["revenue_per_recipient"]
    tiles = []
    for name in HEADLINE:
        entry, notes = STATISTICS[name], dict(unknown)
        if name == "conversion_value" and 0 < valued[0] < valued[1]:
            with_money, every = (formats.count_text(number) for number in valued)
            notes["covers"] = f"of {with_money} of {every} conversions: the others carry no money"
        value, previous = _number(now, name), _number(then, name)
        low, high = _wilson(counts.get(name)) if entry.kind == "rate" else (None, None)
        if value is None:
            notes.setdefault("value", "Klaviyo sent no number")
        tiles.append(Tile(
            name, entry.label, entry.sentence, entry.unit, value, low, high, previous, _number(year_ago, name),
            None if value is None or previous is None else value - previous, provisional=provisional
            and name in AFTERWARDS, notes=notes, currency=answers.account["currency"], **_claimed(rows.get(name)),
        ))  # fmt: skip
    return tiles


def _number(frame: pd.DataFrame | None, column: str) -> float | None:
    if frame is None or not len(frame) or column not in frame or pd.isna(frame[column].iloc[0]):
        return None
    return float(frame[column].iloc[0])


def _claimed(row: Any) -> dict[str, Any]:
    """Verdict, line, change and its interval of one comparison of the account."""
    if row is None:
        return {"verdict": None}
    verdict = {"up": "higher", "down": "lower"}[row["direction"]] if row["verdict"] == CHANGED else str(row["verdict"])
    change, low, high = (float(v) if pd.notna(v := row[c]) else None for c in ("change", "low", "high"))
    return {
        "verdict": verdict, "claim": str(row["text"]), "change_share": change, "change_low": low, "change_high": high,
    }  # fmt: skip


def _wilson(counted: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Interval of a rate from the counts it was rebuilt from; no event among many has an upper limit too."""
    if counted is None or not 0 <= counted[0] <= counted[1]:
        return None, None
    bounds = rate_interval([counted[0]], [counted[1]])
    low, high = (float(bounds[c].iloc[0]) for c in ("low", "high"))
    return (None, None) if pd.isna(low) else (low, high)
