"""Answers of a weekly report about a simulated account, day by day, without Klaviyo."""

from __future__ import annotations

import numpy as np
import pandas as pd
from worlds import Whole, account

from flowperf_helpers.account.timeframes import iso_week
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import RATES

ZONE = "Europe/Copenhagen"
WEEKS = 35
NO_STOPS = pd.DataFrame(
    {c: pd.Series(dtype="str") for c in ("flow_id", "flow_message_id", "reason", "sentence")}
).assign(q_value=pd.Series(dtype="float64"))


def simulated_week(seed: int, *, world: str = "mild", young: float = 1.0, shift: float = 0.0) -> WeekData:
    """Answers about a simulated account, day by day; ``young``: share that is in yet of the last five days' clicks."""
    random = np.random.default_rng([4711, seed])
    shifts = {(0, WEEKS - 1): shift} if shift else None
    drawn = account(world, WEEKS, random, fixed={0: 9000.0}, shifts=shifts)
    window = iso_week("2026-W47")
    starts = pd.DatetimeIndex([window.shift(-7 * k).bounds(ZONE)[0] for k in range(WEEKS - 1, -1, -1)])
    message, week, day = (v.ravel() for v in np.indices((*drawn.trials.shape, 7)))
    by_day = random.multinomial(drawn.trials, np.full(7, 1 / 7))
    sent = by_day.ravel()
    frame = pd.DataFrame(
        {
            "flow_id": pd.array([f"F{drawn.flow[m]:02d}" for m in message], dtype="str"),
            "flow_message_id": pd.array([f"M{m:02d}" for m in message], dtype="str"),
            "send_channel": pd.array(["email"] * len(message), dtype="str"),
            "interval_start": starts[week] + pd.to_timedelta(day, unit="D"),
            "recipients": sent, "delivered": sent,
        }
    )  # fmt: skip
    late = (week == WEEKS - 1) & (day >= 2)
    for rate in RATES:
        column = STATISTICS[rate].numerators[0]
        happened = _spread_over_days(drawn.successes[rate], by_day, random).ravel()
        growing = rate in ("open_rate", "click_rate", "conversion_rate")
        frame[column] = random.binomial(happened, np.where(late & growing, young, 1.0))
    frame["conversions"] = frame["conversion_uniques"]
    frame["conversion_value"] = frame["conversions"] * 60.0
    frame["interval_end"] = frame["interval_start"] + pd.Timedelta(days=1)
    frame["is_partial"] = False
    frame["is_provisional"] = late & (young < 1)
    counts = [c for c in frame if c in STATISTICS]
    by_week = frame.assign(interval_start=starts[week], interval_end=starts[week] + pd.Timedelta(days=7))
    keys = ["flow_id", "flow_message_id", "send_channel", "interval_start", "interval_end"]
    weekly = by_week.groupby(keys, as_index=False).agg(
        dict.fromkeys(counts, "sum") | {"is_partial": "any", "is_provisional": "any"}
    )
    current = weekly[weekly["interval_start"] == starts[-1]].drop(columns=["is_partial", "is_provisional"])
    none = frame.iloc[:0]
    return WeekData(
        account={"timezone": ZONE, "currency": "EUR", "attribution_days": 5, "asked_at": "2026-11-23T05:00:00+00:00"},
        window=window, now=pd.Timestamp("2026-11-23 06:00", tz=ZONE), partial=False, metrics=none,
        current=current.reset_index(drop=True), previous=None, year_ago=None, weekly=weekly,
        daily=frame[frame["interval_start"] >= starts[-1] - pd.Timedelta(days=52)].reset_index(drop=True),
        flows=none, messages=none, history=none,
    )  # fmt: skip


def _spread_over_days(successes: Whole, by_day: Whole, random: np.random.Generator) -> Whole:
    """Say of which day's sends a week's successes are, each send as likely as any other."""
    found = np.zeros_like(by_day)
    left, sends = successes.copy(), by_day.sum(axis=2)
    for day in range(7):
        found[..., day] = random.hypergeometric(left, sends - left, by_day[..., day])
        left, sends = left - found[..., day], sends - by_day[..., day]
    return found
