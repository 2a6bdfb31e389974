"""Stand-in for the frames of claims and weeks until they are in WeekNumbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from flowperf_helpers.report import measures

COLUMNS = [
    "kind", "flow_id", "flow_message_id", "send_channel", "variation", "statistic", "now", "usual", "change", "low",
    "high", "p_value", "q_value", "verdict", "direction", "is_good", "excluded", "visible", "weeks_needed",
    "cause_message_id", "cause_channel", "cause_share", "cause_text", "text",
]  # fmt: skip
BAD_UP = ("unsubscribe_rate", "spam_complaint_rate")


def weeks(numbers: Any) -> pd.DataFrame:
    weekly = numbers.answers.weekly
    starts = sorted(weekly["interval_start"].unique())[-26:]
    recent = weekly[weekly["interval_start"].isin(starts)]
    stats = ["conversion_value", "delivered", "recipients", "conversions", "revenue_per_recipient", "click_rate",
             "open_rate", "unsubscribe_rate", "spam_complaint_rate", "conversion_rate"]  # fmt: skip
    table = pd.concat([measures.totals(recent, ["flow_id", "interval_start"]),
                       measures.totals(recent, ["interval_start"]).assign(flow_id="")])
    long = table.melt(["flow_id", "interval_start"], [s for s in stats if s in table], "statistic", "value")
    long["value"] = pd.to_numeric(long["value"]).astype(float)
    long = long.sort_values(["flow_id", "statistic", "interval_start"])
    g = np.log(long["value"].where(long["value"] > 0)).groupby([long["flow_id"], long["statistic"]])
    level = g.transform(lambda s: s.shift().rolling(8, min_periods=4).mean())
    sd = g.transform(lambda s: (s.shift().rolling(26, min_periods=4).std()))
    flags = recent.groupby("interval_start")["is_provisional"].any()
    return long.assign(low=np.exp(level - 2 * sd), high=np.exp(level + 2 * sd),
                       is_final=~long["interval_start"].map(flags).astype(bool))


def claims(numbers: Any) -> pd.DataFrame:
    rows = []
    for r in numbers.changes.to_dict("records"):
        base = r["rate_before"] or float("nan")
        low, high = r["low"] / base, r["high"] / base
        most = max(abs(low), abs(high))
        verdict = {"higher": "changed", "lower": "changed", "no evidence of a change": "no change larger than",
                   "too few to say": "too few"}.get(r["verdict"], "cannot tell yet")
        if verdict == "no change larger than" and not most < 0.2:
            verdict = "cannot tell yet"
        up = r["difference"] > 0
        row = {"kind": "flow", "flow_id": r["flow_id"], "statistic": r["statistic"], "now": r["rate_after"],
               "usual": r["rate_before"], "change": r["difference"] / base, "low": low, "high": high,
               "p_value": r["p_value"], "q_value": r["q_value"], "verdict": verdict,
               "direction": "higher" if up else "lower", "is_good": up != (r["statistic"] in BAD_UP),
               "excluded": most, "visible": most, "weeks_needed": 3}
        if verdict == "changed":
            split = measures.effects(numbers.before, numbers.answers.current, [r["flow_id"]], rate=r["statistic"])
            if len(split):
                top = split.loc[split["total_effect"].abs().idxmax()]
                row |= {"cause_message_id": top["flow_message_id"], "cause_share": top["total_effect"] / r["difference"]}
        rows.append(row)
    for s in numbers.signals:
        if s.kind == "stopped":
            rows.append({"kind": "silence", "flow_id": s.flow_id, "statistic": "recipients", "now": 0,
                         "verdict": "changed", "direction": "lower", "is_good": False, "text": f"has sent nothing since {s.since}, after about 144 recipients in each day"})
        if s.kind == "winner":
            d = numbers.duels[(numbers.duels["flow_id"] == s.flow_id) & numbers.duels["is_best"]].iloc[0]
            rows.append({"kind": "split test", "flow_id": s.flow_id, "flow_message_id": s.flow_message_id,
                         "variation": d["variation"], "statistic": "click_rate", "now": d["rate"], "verdict": "changed",
                         "direction": "higher", "is_good": True, "text": s.sentence})
    for t in numbers.tiles:
        if t.unit == "fraction" and t.difference is not None:
            rows.append({"kind": "account", "flow_id": "", "statistic": t.statistic, "now": t.value, "usual": t.previous,
                         "change": t.difference / t.previous,
                         "verdict": "changed" if t.verdict in ("higher", "lower") else "no change larger than",
                         "excluded": .05, "direction": "higher" if t.difference > 0 else "lower",
                         "is_good": (t.difference > 0) != (t.statistic in BAD_UP)})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
