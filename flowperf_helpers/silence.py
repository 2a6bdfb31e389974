"""Flows that sent steadily and now send nothing: the signal that no rate shows, as it has no rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from flowperf_helpers.columns import NAMES, keep_names, numbers, require_columns

__all__ = ["CHANCE", "LEAST_SENDING", "stopped_flows"]

LEAST_SENDING = 8
"""Intervals with sends that a history needs to be called one."""

CHANCE = 1e-4
"""How improbable a silence must be in an account of some sixty messages watched every week."""


def stopped_flows(series: pd.DataFrame, *, by: Sequence[str] | str = ("flow_id",)) -> pd.DataFrame:
    """Find groups whose silence up to the last interval is longer than their history explains.

    A group's history runs from its first to its last interval with sends. Its silence counts as a stop if it is longer
    than every gap in the history, and if a group that sends in this share of its intervals stays silent that long with
    a chance of less than `CHANCE`. Rows with 0, rows with NA and missing rows are all silence: what counts is that the
    answer, which covers all intervals of the frame, tells of no send. Partial intervals are left out; provisional ones
    are not, since what was sent does not change with age.

    Parameters
    ----------
    series : DataFrame
        A series with ``recipients``.
    by : sequence of str
        Groups; names are added.

    Returns
    -------
    DataFrame
        ``by`` with names, ``last_sent, silent_since`` (interval starts), ``silent_intervals, needed_intervals,
        longest_gap_before`` (int64), ``usual`` (float64, mean recipients of an interval with sends), ``chance``
        (float64), ``sentence`` (str); longest silence first. Empty where all send as they did.

    Raises
    ------
    ArgumentError
        Missing columns.
    """
    by = [by] if isinstance(by, str) else list(by)
    keys = [c for c in by if NAMES.get(c) not in by]
    require_columns(series, [*by, "interval_start", "recipients"], "stopped_flows")
    if "is_partial" in series.columns:
        series = series[~series["is_partial"].to_numpy(dtype=bool)]
    labels = pd.DatetimeIndex(series["interval_start"].drop_duplicates().sort_values())
    sent = series[[*keys]].assign(place=labels.get_indexer(pd.DatetimeIndex(series["interval_start"])))
    sent["recipients"] = np.nan_to_num(numbers(series, "recipients"))
    sent = (
        sent[sent["recipients"] > 0]
        .groupby([*keys, "place"], dropna=False, sort=True)["recipients"]
        .sum()
        .reset_index()
    )
    sent["gap"] = sent.groupby(keys, dropna=False)["place"].diff().sub(1)
    found = sent.groupby(keys, dropna=False, sort=False).agg(
        first=("place", "min"), last=("place", "max"), sending=("place", "size"), gap=("gap", "max"),
        usual=("recipients", "mean"),
    )  # fmt: skip
    found = found.reset_index()
    found["gap"] = found["gap"].fillna(0).astype("int64")
    silent = len(labels) - 1 - found["last"]
    active = found["sending"] / (found["last"] - found["first"] + 2)
    needed = np.maximum(found["gap"] + 1, np.ceil(np.log(CHANCE) / np.log1p(-active))).astype("int64")
    stopped = (found["sending"] >= LEAST_SENDING) & (silent >= needed)
    found, silent, active, needed = (part[stopped].reset_index(drop=True) for part in (found, silent, active, needed))
    names = keep_names(series, keys)
    last_known = series[[*keys, *names]].drop_duplicates(keys, keep="last")
    result = found[keys].merge(last_known, on=keys, how="left")
    result["last_sent"] = labels[found["last"]]
    result["silent_since"] = labels[found["last"] + 1]
    result["silent_intervals"] = silent.astype("int64")
    result["needed_intervals"] = needed
    result["longest_gap_before"] = found["gap"]
    result["usual"] = found["usual"].astype("float64")
    result["chance"] = ((1 - active) ** silent).astype("float64")
    result["sentence"] = _sentences(result, keys, labels)
    result.attrs = dict(series.attrs)
    return result.sort_values("silent_intervals", ascending=False, kind="stable", ignore_index=True)


def _unit(labels: pd.DatetimeIndex) -> str:
    """Return what an interval is called: a day, a week, else an interval."""
    steps = pd.Series(labels.tz_localize(None)).diff().dropna()
    return (
        {1: "day", 7: "week"}.get(round(steps.median() / pd.Timedelta(days=1)), "interval")
        if len(steps)
        else "interval"
    )


def _sentences(result: pd.DataFrame, keys: list[str], labels: pd.DatetimeIndex) -> pd.Series:
    name = "flow_message_name" if "flow_message_id" in keys else "flow_name"
    label = result[name] if name in result.columns else result[keys[-1]]
    label = label.fillna(result[keys[-1]]).astype("str")
    unit = _unit(labels)
    since = ("the week of " if unit == "week" else "") + result["silent_since"].dt.strftime("%Y-%m-%d").astype("str")
    usual = result["usual"].map("{:,.0f}".format).astype("str")
    gaps = result["longest_gap_before"]
    units = gaps.astype("str") + gaps.eq(1).map({True: f" {unit}.", False: f" {unit}s."}).astype("str")
    before = ("its longest silence before was " + units).mask(gaps.eq(0), f"it had sent in every {unit} before.")
    text = (
        "“"
        + label
        + "” has sent nothing since "
        + since
        + ", after about "
        + usual
        + f" recipients in each {unit} with sends; "
        + before
    )
    return text.astype("str")
