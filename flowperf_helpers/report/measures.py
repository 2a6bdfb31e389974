"""The numbers of a weekly report: frames in, frames out. No text is made here and nothing is drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from flowperf_helpers.report.answers import WeekAnswers

__all__ = [
    "NOT_COMPARABLE",
    "RATES",
    "STRIP_WEEKS",
    "before_at_equal_age",
    "changes",
    "conversions_with_value",
    "effects",
    "flow_names",
    "rate_counts",
    "strips",
    "totals",
    "week_table",
]

RATES = ("open_rate", "click_rate", "conversion_rate", "unsubscribe_rate", "spam_complaint_rate")
"""Rates that are compared with the week before, in the order of the page."""

NOT_COMPARABLE = "not comparable yet"
"""Verdict on a rate that still moves, beside a week that has had longer to settle."""

STRIP_WEEKS = 12
CHANGE_COLUMNS = [
    "flow_id", "flow_message_id", "statistic", "numerator_before", "denominator_before", "rate_before",
    "numerator_after", "denominator_after", "rate_after", "difference", "low", "high", "p_value", "q_value", "verdict",
]  # fmt: skip


def before_at_equal_age(answers: WeekAnswers) -> tuple[pd.DataFrame | None, bool]:
    """The week before as it stood when it was as old as this week is now.

    Opens, clicks and conversions keep coming; a fresh week beside an old one looks poor. Where the store holds answers
    about the week before that were given at that age, those are taken (`at_equal_age`: within two hours of it, else
    interpolated), if they tell of every message that the week before has.

    Returns
    -------
    frame : DataFrame or None
        Rows like those of ``answers.previous``, variations summed.
    equal : bool
        Whether it is of equal age. False: the week before as it stands today.
    """
    from flowperf_helpers.settling import at_equal_age

    history, previous = answers.history, answers.previous
    if previous is None or not len(history) or "interval_start" not in history:
        return previous, False
    zone = answers.account["timezone"]
    starts, ends = answers.window.previous().bounds(zone)
    week = history[(history["interval_start"] == starts) & (history["interval_end"] == ends)]
    asked = pd.Timestamp(answers.account["asked_at"])
    then = at_equal_age(week, (asked - answers.window.bounds(zone)[1]).total_seconds() / 86_400)
    keys = [c for c in ("conversion_metric_id", "flow_id", "flow_message_id", "send_channel") if c in previous]
    keys = [c for c in keys if c in then]
    then = then[then["recipients"].fillna(0) > 0]
    sent = previous[previous["recipients"].fillna(0) > 0]
    if not pd.MultiIndex.from_frame(sent[keys]).isin(pd.MultiIndex.from_frame(then[keys])).all():
        return previous, False
    frame = then.reindex(columns=[c for c in previous.columns if c in then.columns]).reset_index(drop=True)
    frame.attrs = dict(previous.attrs)
    return frame, True


def totals(frame: pd.DataFrame | None, by: Sequence[str] = ()) -> pd.DataFrame | None:
    """Counts summed and rates rebuilt, over everything or per group."""
    from flowperf_helpers.rollups import roll_up

    if frame is None:
        return None
    if by:
        return roll_up(frame, by=list(by))
    return roll_up(frame.assign(everything="all"), by=["everything"])


def rate_counts(frame: pd.DataFrame, rates: Sequence[str] = RATES) -> dict[str, tuple[float, float]]:
    """Successes and trials of each rate over all rows that carry it; rates without their counts are left out."""
    from flowperf_helpers.denominators import find_denominators
    from flowperf_helpers.trials import sum_trials

    parts = find_denominators(frame)
    everything = frame.assign(everything="all")
    found = {}
    for rate in rates:
        if rate in parts and len(frame):
            counts = sum_trials(everything, rate, parts[rate], ["everything"], provisional="mark", what=rate).counts
            found[rate] = (float(counts["numerator"].iloc[0]), float(counts["denominator"].iloc[0]))
    return found


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


def changes(
    before: pd.DataFrame | None,
    after: pd.DataFrame,
    *,
    by: Sequence[str] = ("flow_id",),
    rates: Sequence[str] = RATES,
    withheld: Collection[str] = (),
) -> pd.DataFrame:
    """Every rate of every group beside the week before, with one false-discovery correction over all of them.

    Parameters
    ----------
    withheld : collection of str
        Rates that may not be judged, as the weeks are of unequal age: `NOT_COMPARABLE`, without interval and p-value.

    Returns
    -------
    DataFrame
        One row per group and rate: the columns of `compare_rates` and ``statistic``; empty without a week before.
    """
    from flowperf_helpers.compare import compare_rates

    if before is None or not len(before) or not len(after):
        return pd.DataFrame(columns=[c for c in CHANGE_COLUMNS if c != "flow_message_id" or c in by])
    parts = [compare_rates(before, after, rate=rate, by=tuple(by)).assign(statistic=rate) for rate in rates]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    young = table["statistic"].isin(list(withheld))
    table.loc[young, ["low", "high", "p_value", "q_value"]] = float("nan")
    table.loc[young, "verdict"] = NOT_COMPARABLE
    return _corrected(table)


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """One Benjamini-Hochberg correction over all comparisons of the page; verdicts follow it."""
    from flowperf_helpers.rates import q_values

    known = table["p_value"].notna()
    q = pd.Series(q_values(table["p_value"].to_numpy(dtype=float)), index=table.index)
    verdict = table["verdict"].astype("str").copy()
    chance = known & (q > 0.05) & verdict.isin(["higher", "lower"])
    verdict[chance] = "no evidence of a change"
    return table.assign(q_value=q, verdict=verdict)


def week_table(after: pd.DataFrame, before: pd.DataFrame | None, *, by: Sequence[str]) -> pd.DataFrame:
    """Numbers of the week per group, and the counts and money of the week before beside them (``…_before``)."""
    now = totals(after, by)
    assert now is not None
    then = totals(before, by)
    kept = ["recipients", "delivered", "conversions", "conversion_value", *RATES]
    if then is None:
        then = now.iloc[:0]
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
    assert table is not None
    return table.merge(flags, left_on="interval_start", right_index=True, how="left")


def effects(before: pd.DataFrame | None, after: pd.DataFrame, flow_ids: Sequence[str], *, rate: str) -> pd.DataFrame:
    """Where the change of each flow's rate came from, message by message.

    Returns
    -------
    DataFrame
        ``flow_id, statistic`` and the columns of `decompose`.
    """
    from flowperf_helpers.effects import decompose

    parts = []
    for flow_id in flow_ids:
        then = before[before["flow_id"] == flow_id] if before is not None else after.iloc[:0]
        now = after[after["flow_id"] == flow_id]
        if len(then) and len(now) and len({*then["flow_message_id"], *now["flow_message_id"]}) > 1:
            split = decompose(then, now, rate=rate, by="flow_message_id")
            parts.append(split.assign(flow_id=flow_id, statistic=rate))
    if not parts:
        return pd.DataFrame(
            columns=[
                "flow_id",
                "statistic",
                "flow_message_id",
                "mix_effect",
                "within_effect",
                "total_effect",
                "is_new",
                "is_gone",
            ]
        )
    return pd.concat(parts, ignore_index=True)


def flow_names(answers: WeekAnswers) -> dict[str, str]:
    """Flow id to name: as Klaviyo's report names it, else discovery, else the id."""
    names: dict[str, str] = {}
    for frame in (answers.weekly, answers.current, answers.flows):
        if "flow_name" in frame:
            known = frame.dropna(subset=["flow_id", "flow_name"])
            names |= dict(zip(known["flow_id"], known["flow_name"], strict=True))
    return names
