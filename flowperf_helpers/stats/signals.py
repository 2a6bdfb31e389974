"""What changed lately and which flows stopped: looked for everywhere, corrected for having looked everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.frames.columns import NAMES, keep_names, numbers, require_columns, statistics_of
from flowperf_helpers.stats.control_charts import LEAST_INTERVALS, control_limits, intervals, overdispersion, usable
from flowperf_helpers.stats.rate_parts import (
    Codes,
    Columns,
    Floats,
    bare,
    group_rows,
    without_names,
)
from flowperf_helpers.stats.rates import p_values, q_values

__all__ = [
    "CHANCE",
    "FALSE_SHARE",
    "FLOW_STOPPED",
    "LEAST_SENDING",
    "MESSAGE_STOPPED",
    "WATCHED",
    "control_limits",
    "find_signals",
    "stopped_flows",
]


# Flows that sent steadily and now send nothing: the signal that no rate shows, as it has no rows.

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
    keys = without_names(by)
    require_columns(series, [*by, "interval_start", "recipients"], "stopped_flows")
    names, attrs = keep_names(series, keys), dict(series.attrs)
    wanted = {*keys, *names, "interval_start", "recipients", "is_partial"}
    series = bare(series)[[c for c in series.columns if c in wanted]]
    if "is_partial" in series.columns:
        series = series[~series["is_partial"].to_numpy(dtype=bool)]
    labels = pd.DatetimeIndex(series["interval_start"].drop_duplicates().sort_values())
    place = labels.get_indexer(pd.DatetimeIndex(series["interval_start"]))
    recipients = np.nan_to_num(numbers(series, "recipients"))
    sends = recipients > 0
    code, groups = group_rows(series[keys].iloc[sends], keys, sort=True)
    # one entry per group and interval with sends, sorted
    entries, entry = np.unique(code * len(labels) + place[sends], return_inverse=True)
    sent = np.bincount(entry, recipients[sends], len(entries))
    group, at = np.divmod(entries, max(1, len(labels)))
    sending = np.bincount(group, minlength=len(groups))
    ends = np.cumsum(sending)
    first, last = at[ends - sending], at[ends - 1]
    gap = np.zeros(len(groups), dtype=np.int64)
    same = np.diff(group) == 0
    np.maximum.at(gap, group[1:][same], np.diff(at)[same] - 1)
    found = groups.assign(last=last, gap=gap, usual=np.bincount(group, sent, len(groups)) / sending)
    silent = len(labels) - 1 - last
    active = sending / (last - first + 2)
    needed = np.maximum(gap + 1, np.ceil(np.log(CHANCE) / np.log1p(-active))).astype("int64")
    stopped = (sending >= LEAST_SENDING) & (silent >= needed)
    found = found[stopped].reset_index(drop=True)
    silent, active, needed = silent[stopped], active[stopped], needed[stopped]
    named = series.loc[series[keys[-1]].isin(found[keys[-1]]), [*keys, *names]]
    last_known = named.drop_duplicates(keys, keep="last")
    result = found[keys].merge(last_known, on=keys, how="left")
    result["last_sent"] = labels[found["last"]]
    result["silent_since"] = labels[found["last"] + 1]
    result["silent_intervals"] = silent.astype("int64")
    result["needed_intervals"] = needed
    result["longest_gap_before"] = found["gap"]
    result["usual"] = found["usual"].astype("float64")
    result["chance"] = ((1 - active) ** silent).astype("float64")
    result["sentence"] = _sentences(result, keys, labels)
    result = result.sort_values("silent_intervals", ascending=False, kind="stable", ignore_index=True)
    result.attrs = attrs
    return result


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
    unit = _unit(labels)
    of = "the week of " if unit == "week" else ""
    columns = (label.fillna(result[keys[-1]]), *(result[c] for c in ("silent_since", "usual", "longest_gap_before")))
    sentences = []
    for who, since, usual, gap in zip(*columns, strict=True):
        longest = f"its longest silence before was {gap} {unit}{'' if gap == 1 else 's'}."
        before = longest if gap else f"it had sent in every {unit} before."
        sentences.append(
            f"“{who}” has sent nothing since {of}{since:%Y-%m-%d}, after about {usual:,.0f} recipients in each {unit} "
            f"with sends; {before}"
        )
    return pd.Series(sentences, index=result.index, dtype="str")


# What changed lately, found by looking everywhere and corrected for having looked everywhere.
#
# A chart with limits per message and statistic would cry wolf: sixty messages, six rates and dozens of days hold a
# point "out of limits" every week. `find_signals` tests, per message and rate, every stretch of the last days (one
# interval, or from one interval to the end) against all that came before it; divides by the series' overdispersion
# (Laney's sigma-z); corrects for the stretches within a series (Bonferroni) and over all series (Benjamini &
# Hochberg). What is left is named with the date on which it began. Partial and provisional intervals take no part,
# except that a flow that sends nothing is silent today: what was sent does not change with age.

WATCHED = ("open_rate", "click_rate", "conversion_rate", "unsubscribe_rate", "spam_complaint_rate",
           "bounce_rate", "failed_rate")  # fmt: skip
"""Rates that are tested where the frame has their counts."""

FALSE_SHARE = 0.01
"""Share of false alarms among the signals that is accepted."""

FLOW_STOPPED = "sends nothing for longer than its history explains"
MESSAGE_STOPPED = "this message sends nothing for longer than its history explains"
"""Reasons of a stop: of a flow as a whole, and of one message among others."""

_WHO = ("flow_id", "flow_message_id")
_COLUMNS = ("flow_id", "flow_name", "flow_message_id", "flow_message_name", "statistic", "interval_start", "direction",
            "size", "reason", "sentence")  # fmt: skip
_BEFORE = 14
_LEVEL = 14
_NEWS = 2.0
_WEEKS_OF_NEWS = 3


def find_signals(
    daily: pd.DataFrame, weekly: pd.DataFrame | None = None, *, last_days: int = 14, rates: Sequence[str] = WATCHED
) -> pd.DataFrame:
    """List what changed within the last days, one row per message and statistic.

    Parameters
    ----------
    daily : DataFrame
        A daily series; the more days, the more is seen (59 fit one request).
    weekly : DataFrame, optional
        A weekly series, for messages too small to be judged by days, and for flows that send too seldom for days to
        tell of their silence.
    last_days : int
        How far back from the last interval a change may have begun (for weeks: one week more, as the last week is
        provisional while it is news). A silence of weeks stays news for three weeks longer.
    rates : sequence of str
        Rates to test; those that the frame has no counts for are passed over.

    Returns
    -------
    DataFrame
        ``flow_id, flow_name, flow_message_id, flow_message_name, statistic`` (str), ``interval_start`` (when it began),
        ``direction`` (``higher``, ``lower``, ``stopped``), ``size`` (float64, factor on what it was; 0 for a stop),
        ``reason, sentence`` (str), and ``q_value``; stops first, then by q-value. Empty where nothing happened.

    Raises
    ------
    ArgumentError
        Missing columns.
    """
    require_columns(daily, [*_WHO, "interval_start"], "find_signals")
    attrs, daily = dict(daily.attrs), bare(daily)
    parts = [_changes(daily, rates, last_days, "day")]
    if weekly is not None and len(weekly):
        require_columns(weekly, [*_WHO, "interval_start"], "find_signals (weekly)")
        weekly = bare(weekly)
        parts.append(_changes(weekly, rates, last_days + 7, "week"))
    filled = [p for p in parts if len(p)]
    tested = pd.concat(filled, ignore_index=True) if filled else parts[0]
    tested["q_value"] = q_values(tested["p_value"])
    found = tested[tested["q_value"] <= FALSE_SHARE]
    found = found.drop_duplicates([*_WHO, "statistic"], keep="first")  # days come before weeks
    found = _told(found.sort_values("q_value", kind="stable"))
    if "recipients" in statistics_of(daily):
        stops = _stops(daily, weekly, last_days)
        found = pd.concat([f for f in (stops, found) if len(f)], ignore_index=True) if len(stops) else found
    found = _finished(found, daily, weekly)
    found.attrs = attrs
    return found


# --- rates --------------------------------------------------------------------------------------------------------


def _changes(series: pd.DataFrame, rates: Sequence[str], last_days: int, unit: str) -> pd.DataFrame:
    """The likeliest change per message and rate, with its p-value corrected for the stretches that were tried.

    The series of all rates are laid one after the other, each message of each rate a group of its own.
    """
    read = Columns(series)
    parts = read.denominators(rates)
    table, message, rows = intervals(series, _WHO)
    messages = int(message.max(initial=-1)) + 1
    both = [read.sums(rate, parts[rate], rows, len(table)) for rate in parts]
    x, n = (np.array([pair[side] for pair in both]).reshape(len(parts), len(table)) for side in (0, 1))
    use = usable(table, x, n) & (x <= n)
    which, place = np.nonzero(use)
    first = pd.DatetimeIndex(series["interval_start"]).max() - pd.Timedelta(days=last_days - 1, hours=2)
    recent = (table["interval_start"] >= first).to_numpy()[place]
    start, stop, (x0, n0, x1, n1), p = _scan(
        x[use], n[use], which * messages + message[place], recent, len(parts) * messages,
        _BEFORE if unit == "day" else LEAST_INTERVALS,
    )  # fmt: skip
    begun, ended = place[start], place[stop - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = (x1 / n1) / (x0 / n0)
    return table.iloc[begun][[*_WHO, "interval_start"]].assign(
        statistic=pd.array(np.array([*parts], dtype=object)[which[start]], dtype="str"),
        direction=pd.array(np.where(x1 * n0 > x0 * n1, "higher", "lower").astype(object), dtype="str"),
        size=size, p_value=p, last=table["interval_start"].array[ended], unit=unit, lasting=ended > begun,
        x0=x0, n0=n0, x1=x1, n1=n1,
    )  # fmt: skip


def _scan(
    x: Floats, n: Floats, code: Codes, recent: npt.NDArray[np.bool_], groups: int, least: int
) -> tuple[Codes, Codes, tuple[Floats, Floats, Floats, Floats], Floats]:
    """The likeliest stretch of each group that has one: first and past-the-last row, counts before and in it, p-value.

    Rows are sorted by group and time; ``least`` of them have to come before a stretch.
    """
    spread = np.maximum(1.0, _overdispersion(x, n, code, ~recent, groups))
    # running sums, so that any stretch is a difference of two of them
    sums = [np.concatenate([[0.0], np.cumsum(v)]) for v in (x, n)]
    begin = np.searchsorted(code, np.arange(groups))
    end = np.append(begin[1:], len(code))
    starts = np.flatnonzero(recent)
    stop = np.concatenate([end[code[starts]], starts + 1])
    starts = np.concatenate([starts, starts])
    once = (stop - starts > 1) | (np.arange(len(starts)) >= len(starts) // 2)
    old = starts - begin[code[starts]] >= least
    starts, stop = starts[once & old], stop[once & old]
    group = code[starts]
    x0, n0 = (s[starts] - s[begin[group]] for s in sums)
    x1, n1 = (s[stop] - s[starts] for s in sums)
    tried = np.bincount(group, minlength=groups)[group]
    p: Floats = np.minimum(1.0, tried * _two_sided(_scores(x0, n0, x1, n1) / spread[group]))
    # an old change is in the level of the weeks before already: news differs from those too
    odd = np.flatnonzero(p < 1)
    xs, ns = (s[starts[odd]] - s[np.maximum(begin[group[odd]], starts[odd] - _LEVEL)] for s in sums)
    news = _scores(xs, ns, x1[odd], n1[odd]) / spread[group[odd]] >= _NEWS
    news &= np.sign(x1[odd] * ns - xs * n1[odd]) == np.sign(x1 * n0 - x0 * n1)[odd]
    p[odd[~news]] = 1.0
    order = np.lexsort((starts - stop, p, group))
    at = order[np.unique(group[order], return_index=True)[1]]
    return starts[at], stop[at], (x0[at], n0[at], x1[at], n1[at]), p[at]


def _overdispersion(x: Floats, n: Floats, code: Codes, used: npt.NDArray[np.bool_], groups: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (np.bincount(code[used], x[used], groups) / np.bincount(code[used], n[used], groups))[code]
        z = (x - n * p) / np.sqrt(n * p * (1 - p))
    return overdispersion(z, code, used & np.isfinite(z), groups)


def _scores(x0: Floats, n0: Floats, x1: Floats, n1: Floats) -> Floats:
    """How many standard deviations the two rates are apart, right for small counts too."""
    from scipy.special import ndtri

    return np.asarray(-ndtri(np.clip(p_values(x0, n0, x1, n1), 1e-300, 1.0) / 2), dtype=np.float64)


def _two_sided(score: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(2 * ndtr(-np.abs(score)), dtype=np.float64)


def _told(found: pd.DataFrame) -> pd.DataFrame:
    """Put reason and sentence to what was found."""
    days, last = (found[c].dt.strftime("%Y-%m-%d") for c in ("interval_start", "last"))
    weekly = found["unit"] == "week"
    of = np.where(weekly, "the week of ", "")
    when = np.where(found["lasting"], "since ", np.where(weekly, "in ", "on ")) + of + days
    spans = np.where(found["lasting"], days + " to " + last, days)
    counts = (found[c] for c in ("x1", "n1", "x0", "n0"))
    reasons = [f"{s} beyond the limits of the intervals before" for s in spans]
    sentences = [
        f"{STATISTICS[rate].label} is {direction} {w}: {100 * a / b:.2f} % ({a:,.0f} of {b:,.0f}) against "
        f"{100 * c / d:.2f} % before."
        for rate, direction, w, a, b, c, d in zip(found["statistic"], found["direction"], when, *counts, strict=True)
    ]
    return found.assign(reason=pd.array(reasons, dtype="str"), sentence=pd.array(sentences, dtype="str"))


# --- silence and finish -------------------------------------------------------------------------------------------


def _stops(daily: pd.DataFrame, weekly: pd.DataFrame | None, last_days: int) -> pd.DataFrame:
    """Flows that fell silent lately, and messages of flows that did not.

    Days tell soonest; weeks tell of those who send too seldom to have a history in the days at hand. What the days
    report, now or earlier, the weeks do not repeat.
    """
    flows, silent = _lately(daily, weekly, ["flow_id"], last_days)
    messages, _ = _lately(daily, weekly, list(_WHO), last_days)
    messages = messages[~messages["flow_id"].isin(silent)]
    only = daily[list(_WHO)].drop_duplicates().groupby("flow_id")["flow_message_id"].agg(["first", "size"])
    alone = only.loc[only["size"] == 1, "first"]
    flows = flows.assign(flow_message_id=flows["flow_id"].map(alone).astype("str"), reason=FLOW_STOPPED)
    both = pd.concat([flows, messages.assign(reason=MESSAGE_STOPPED)], ignore_index=True)
    return pd.DataFrame(
        {
            **{c: both[c] for c in _WHO},
            "statistic": pd.array(["recipients"] * len(both), dtype="str"),
            "interval_start": both["silent_since"],
            "direction": pd.array(["stopped"] * len(both), dtype="str"),
            "size": np.zeros(len(both)),
            "reason": both["reason"].astype("str"),
            "sentence": both["sentence"],
            "q_value": both["chance"],
        }
    )


def _lately(
    daily: pd.DataFrame, weekly: pd.DataFrame | None, by: list[str], last_days: int
) -> tuple[pd.DataFrame, set[str]]:
    """Groups whose silence became too long lately, and the flows of all whose silence is too long."""
    days = stopped_flows(daily, by=by)
    news = [days[days["silent_intervals"] - days["needed_intervals"] < last_days]]
    silent = set(days["flow_id"])
    if weekly is not None and len(weekly) and "recipients" in statistics_of(weekly):
        weeks = stopped_flows(weekly, by=by)
        silent |= set(weeks["flow_id"])
        by_days = pd.MultiIndex.from_frame(weeks[by]).isin(pd.MultiIndex.from_frame(days[by]))
        late = weeks["silent_intervals"] - weeks["needed_intervals"]
        news.append(weeks[~by_days & (late < -(-last_days // 7) + _WEEKS_OF_NEWS)])
    filled = [part for part in news if len(part)]
    return (pd.concat(filled, ignore_index=True) if filled else news[0]), silent


def _finished(found: pd.DataFrame, daily: pd.DataFrame, weekly: pd.DataFrame | None) -> pd.DataFrame:
    found = found.reset_index(drop=True)
    for name in keep_names(daily, _WHO):
        key = NAMES[name]
        rows = [frame[[key, name]] for frame in (weekly, daily) if frame is not None and name in frame.columns]
        known = pd.concat(rows, ignore_index=True).dropna().drop_duplicates(key, keep="last").set_index(key)[name]
        found[name] = found[key].map(known).astype("str")
    for column in _COLUMNS:
        if column not in found.columns:
            found[column] = pd.Series(pd.NA, index=found.index, dtype="str")
    kinds = {c: "str" for c in _COLUMNS if c not in ("interval_start", "size")}
    found = found[[*_COLUMNS, "q_value"]].astype(kinds | {"size": "float64", "q_value": "float64"})
    found["interval_start"] = found["interval_start"].astype(daily["interval_start"].dtype)
    return found
