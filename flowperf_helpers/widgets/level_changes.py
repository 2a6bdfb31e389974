"""Changes of rates in notebook 03, judged as in the weekly report: against eight weeks, by how much each rate moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from flowperf_helpers.frames.columns import NAMES
from flowperf_helpers.report.claims import CHANGED, NO_CHANGE, TOO_FEW, make_claims, size_text
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import RATES, at_this_age, gather
from flowperf_helpers.report.measures import before_at_equal_age
from flowperf_helpers.stats.rate_parts import parts_of, sum_rate_parts
from flowperf_helpers.widgets.selection import select_rows

__all__ = ["level_changes"]

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
    chosen = {n: select_rows(getattr(answers, n), channel=channel) for n in ("current", "weekly", "daily", "history")}
    answers = replace(answers, **chosen)
    if answers.current.empty:
        return None
    then = at_this_age(answers)
    _, is_equal = before_at_equal_age(answers, then)
    claims = make_claims(gather(answers, then if is_equal else then.iloc[:0]), _NO_STOPS, {})
    judged = claims.frame[claims.frame["statistic"] == rate]
    identifier = NAMES[by]
    flows = judged[judged["kind"] == "flow"]
    if identifier != "flow_id":  # the report judges the only message of a flow as its flow
        messages = judged[judged["kind"] == "message"]
        pairs = pd.concat([answers.current, answers.weekly])[["flow_id", "flow_message_id"]].drop_duplicates()
        alone = flows.drop(columns="flow_message_id").merge(pairs, on="flow_id")
        flows = pd.concat([messages, alone[~alone["flow_message_id"].isin(messages["flow_message_id"])]])
    sums = sum_rate_parts(
        answers.current, rate, parts_of(answers.current, rate, "The comparison"),
        list(dict.fromkeys(["flow_id", identifier])), what="level_changes",
    )  # fmt: skip
    columns = list(dict.fromkeys(["flow_id", "flow_name", identifier, by]))
    sent = sums.counts[[identifier, "denominator"]].rename(columns={"denominator": "denominator_after"})
    table = flows.merge(sent, on=identifier).merge(
        sums.names[columns], on=list(dict.fromkeys(["flow_id", identifier]))
    )  # fmt: skip
    verdict = np.select(
        [table["verdict"] == CHANGED, table["verdict"] == NO_CHANGE],
        [table["direction"].map({"up": "higher", "down": "lower"}),
         [f"no change larger than {size_text(size, up=True)}" for size in table["excluded"]]],
        table["verdict"],
    )  # fmt: skip
    usual = table["usual"]
    found = table[columns].assign(
        rate_before=usual, rate_after=table["now"], difference=table["now"] - usual, low=table["low"] * usual,
        high=table["high"] * usual, q_value=table["q_value"], verdict=verdict, text=table["text"],
        denominator_after=table["denominator_after"],
    )  # fmt: skip
    known = table["verdict"].ne(TOO_FEW) | np.isfinite(table["high"])
    found.loc[~known, ["low", "high"]] = np.nan
    basis = (
        "Judged as in the weekly report: the week against its last eight, with how much each rate moves from week to "
        "week anyway, all comparisons corrected together. " + claims.basis
    )
    found.attrs = answers.current.attrs | {
        "rate": rate, "basis": basis.strip(), "notes": [], "before": "eight weeks before", "after": "this week",
    }  # fmt: skip
    return found
