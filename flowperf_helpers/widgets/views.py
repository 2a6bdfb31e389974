"""The notebooks' pictures: select, compute, draw. Each draws alone and on a board.

Each takes fetched frames first and the pickers' values by name, sends no request, and returns what
`flowperf_helpers.plots.figure.as_html` can show. Where the numbers do not allow a picture (no rows, too few weeks), it
returns axes with the sentence that says why, so that the cells below still run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from flowperf_helpers import plots
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.plots.figure import plural
from flowperf_helpers.plots.tables import Column, comparison_table, make_table
from flowperf_helpers.plots.values import flow_states, plot_volume
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.stats.ab_tests import compare_variations, watch_variations
from flowperf_helpers.stats.compare import compare_rates
from flowperf_helpers.stats.conversion_lag import completeness_curve, forecast
from flowperf_helpers.stats.decomposition import decompose
from flowperf_helpers.stats.ranking import rank_rates
from flowperf_helpers.stats.rollup import roll_up
from flowperf_helpers.stats.signals import control_limits
from flowperf_helpers.widgets.lenient_account import explanation_picture, or_explanation
from flowperf_helpers.widgets.notebook import level_changes
from flowperf_helpers.widgets.selection import FlowChoice, chosen_flows, select_rows

__all__ = [
    "SERIES_VIEWS",
    "VALUES_VIEWS",
    "series_offers",
    "values_offers",
    "view_choice",
    "view_series",
    "view_triggers",
    "view_values",
]


# Pictures for choosing metrics and flows.


@or_explanation
def view_triggers(
    triggers: pd.DataFrame, metrics: pd.DataFrame, *, integration: str = "", metric_ids: Sequence[str] | None = None
) -> Any:
    """Show which flows the metrics of an integration trigger.

    Parameters
    ----------
    triggers, metrics : DataFrame
        Of the account, all that there are.
    integration : str
        ``""`` for all.
    metric_ids : sequence of str, optional
        None for all.
    """
    known = metrics if not integration else metrics[metrics["integration_name"].eq(integration).fillna(False)]
    if metric_ids is not None:
        known = known[known["metric_id"].isin(list(metric_ids))]
    if known.empty:
        sentence = "No metric is chosen, or none is there: choose another integration or metric."
        return explanation_picture(sentence, metrics.attrs)
    rows = triggers[triggers["metric_id"].isin(known["metric_id"])].assign(flows=1)
    if rows.empty:
        return explanation_picture(f"None of {plural(len(known), 'metric')} triggers a flow.", metrics.attrs)
    rows["state"] = flow_states(rows)
    listed = rows.pivot_table(index="metric_id", columns="state", values="flows", aggfunc="sum", fill_value=0)
    listed.insert(0, "flows", listed.sum(axis=1))
    listed["names"] = rows.sort_values("flow_name").groupby("metric_id")["flow_name"].agg(", ".join)
    listed = known.drop_duplicates("metric_id").merge(listed, on="metric_id")
    listed = listed.sort_values(["flows", "metric_name"], ascending=[False, True])
    count = f"{len(listed)} of {plural(len(known), 'metric')} trigger {plural(rows['flow_id'].nunique(), 'flow')}"
    mark = " · SANDBOX · invented numbers" if metrics.attrs.get("sandbox") else ""
    states = [Column(state.capitalize(), state, "plain number") for state in _STATES if state in listed]
    columns = [
        Column("Metric", ("metric_name", "metric_id"), "name"), Column("Integration", "integration_name"),
        Column("Flows", "flows", "plain number"), *states, Column("Their names", "names"),
    ]  # fmt: skip
    return make_table(listed, columns, limit=40, title=count + mark)


_STATES = ("live", "manual", "draft", "archived", "unknown")


@or_explanation
def view_choice(
    overview: pd.DataFrame,
    *,
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
    at_least: int = 0,
    account: str = "sandbox",
) -> Any:
    """Show flows by volume and the choice as text to copy.

    Parameters
    ----------
    overview : DataFrame
        Of `flowperf_helpers.widgets.selection.flow_overview`.
    flow_ids : iterable of str, optional
        None for all.
    channel : str
        Only flows with a message on it; ``""`` for all.
    at_least : int
        Only flows with as many recipients.
    """
    if overview.empty:
        return [explanation_picture("This account has no flow.", overview.attrs)]
    fitting = set(chosen_flows(overview, channel=channel, at_least=at_least))
    kept = overview[overview["flow_id"].isin(fitting)]
    kept.attrs = dict(overview.attrs)
    if kept.empty:
        return [explanation_picture("No flow fits: lower the volume, or take all channels.", overview.attrs)]
    ids = chosen_flows(kept, flow_ids=flow_ids)
    return [plot_volume(kept, chosen=ids), FlowChoice(ids, account=account)]


# Pictures of series.

SERIES_VIEWS = {
    "one line per flow": "lines",
    "all together, with control limits": "limits",
    "several statistics": "multiples",
    "flows × time": "heat",
    "forecast of the last intervals": "forecast",
}
"""Pictures of `view_series`: words for people, and the value of ``picture``."""


@or_explanation
def view_series(
    weekly: pd.DataFrame,
    daily: pd.DataFrame,
    history: pd.DataFrame | None = None,
    *,
    interval: str = "weekly",
    statistic: str = "click_rate",
    statistics: Sequence[str] = (),
    picture: str = "lines",
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
    window: Sequence[str] | None = None,
) -> Any:
    """Show statistics over time.

    Parameters
    ----------
    weekly, daily : DataFrame
        Series per message, fetched before.
    history : DataFrame, optional
        Of `flowperf_helpers.account.history.earlier_answers`; the forecast learns from it how late conversions come.
    interval : {"weekly", "daily"}
    statistic : str
        For all pictures but the small multiples, which draw ``statistics`` (or it, where none is given).
    picture : str
        One of the values of `SERIES_VIEWS`.
    window : pair of ISO dates, optional
        Intervals that lie inside.
    """
    frame = daily if interval == "daily" else weekly
    frame = select_rows(frame, flow_ids=flow_ids, channel=channel, window=window)
    if frame.empty:
        sentence = f"There is no {interval} row for this choice of flows, channel and days."
        return explanation_picture(sentence, frame.attrs)
    if picture == "multiples":
        return plots.plot_small_multiples(frame, statistics=[*statistics] or [statistic])
    if picture == "heat":
        return plots.plot_heatmap(frame, statistic=statistic, top=15)
    if picture == "limits":
        return _with_limits(frame, statistic)
    if picture == "forecast":
        return _forecast(frame, statistic, history)
    return plots.plot_series(frame, statistic=statistic)


def series_offers(*, picture: str, statistic: str, **others: Any) -> dict[str, list[str]]:
    """Return the statistics and intervals that go with a picture of `view_series`; what does not is not offered.

    Control limits need a rate or a count; a forecast learns from days, and only for counts that still grow.
    """
    if picture == "forecast":
        growing = ["conversions", "conversion_uniques", "clicks_unique", "opens_unique"]
        return {"statistic": growing, "interval": ["daily"]}
    kinds = ("rate", "count", "unique") if picture == "limits" else ("rate", "count", "unique", "money", "ratio")
    return {
        "statistic": [name for name, known in STATISTICS.items() if known.kind in kinds],
        "interval": ["weekly", "daily"],
    }


def values_offers(*, picture: str, **others: Any) -> dict[str, list[str]]:
    """Return the statistics that go with a picture of `view_values`: what is tested or split has to be a rate."""
    is_tested = picture in ("before", "effects", "variations", "table", "ranking")
    return {"statistic": [name for name, known in STATISTICS.items() if not is_tested or known.kind == "rate"]}


_TIME = ["interval_start", "interval_end", "is_partial", "is_provisional"]


def _all_in_one(frame: pd.DataFrame) -> pd.DataFrame:
    """Roll all flows up into one line per interval."""
    total = roll_up(frame, _TIME)
    number = frame["flow_id"].nunique()
    name = str(frame["flow_name"].iloc[0]) if number == 1 else f"All {number} flows together"
    total.insert(0, "flow_name", name)
    total.attrs = {**frame.attrs, **total.attrs}
    return total


def _with_limits(frame: pd.DataFrame, statistic: str) -> Any:
    total = _all_in_one(frame)
    is_rate = STATISTICS[statistic].kind == "rate"
    # of the rows, not of their sums: those count channels on which the rate means nothing
    rows = frame.assign(flow_name=total["flow_name"].iloc[0])
    limits = control_limits(rows, by=["flow_name"], **{"rate" if is_rate else "count": statistic})
    return plots.plot_series(total, statistic=statistic, limits=limits)


def _forecast(frame: pd.DataFrame, statistic: str, history: pd.DataFrame | None) -> Any:
    if history is None or history.empty:
        raise ArgumentError(
            "A forecast learns from earlier answers about the same days, and the store holds none yet: run this "
            "notebook, or the weekly report, on several days."
        )
    curve = completeness_curve(history, statistic=statistic, attribution_days=frame.attrs.get("attribution_days", 5))
    expected = forecast(_all_in_one(frame).tail(14), curve, statistic=statistic)
    return plots.plot_forecast(expected, statistic=statistic)


# Pictures of values.

VALUES_VIEWS = {
    "beside each other": "levels",
    "ranked over twelve weeks": "ranking",
    "against the window before": "before",
    "from recipient to conversion": "funnel",
    "where the change came from": "effects",
    "variations of a test": "variations",
    "table with verdicts": "table",
}
"""Pictures of `view_values`: words for people, and the value of ``picture``."""

_TESTS = (
    "Tests are judged by all weeks since they began, as in the weekly report: what is said of them holds however often "
    "one looks."
)

_BY_ONE_WINDOW = (
    "Judged by the window before alone, as if a rate never moved by itself: the weekly report, which knows how much "
    "each rate moves from week to week, would claim less."
)
_RANKING = (
    "Hollow dots are rates as counted, and the best of many small ones is mostly the luckiest. Filled dots are drawn "
    "towards the mean of all as far as their own twelve weeks say little: rank by these."
)


@or_explanation
def view_values(
    after: pd.DataFrame,
    before: pd.DataFrame,
    recent: pd.DataFrame | None = None,
    answers: WeekData | None = None,
    *,
    statistic: str = "click_rate",
    picture: str = "levels",
    by: str = "flow_name",
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
) -> Any:
    """Show a window's numbers beside each other, or against the window before.

    Parameters
    ----------
    after, before : DataFrame
        Values of a window and of the one before it, per message and variation; ``before.attrs["basis"]``, where it is
        there, is said under each comparison.
    recent : DataFrame, optional
        A weekly series, for the ranking and the tests: they are judged since they began. Left out: by the window alone.
    answers : WeekData, optional
        Of `flowperf_helpers.widgets.report_answers`: changes are judged as in the weekly report. Left out, or where the
        report judges no such change: by the window before alone, and a sentence says so.
    statistic : str
        For all pictures but the funnel; the comparisons need a rate.
    picture : str
        One of the values of `VALUES_VIEWS`.
    by : str
        ``"flow_name"`` or ``"flow_message_name"``.
    flow_ids : iterable of str, optional
        None for all.
    channel : str
        ``""`` for all.
    """
    after, before = (select_rows(f, flow_ids=flow_ids, channel=channel) for f in (after, before))
    if after.empty and before.empty:
        sentence = "No row is there for this choice: nothing was sent, or no flow is chosen."
        return explanation_picture(sentence, after.attrs)
    key = by.replace("_name", "_id")
    weeks = None if recent is None else select_rows(recent, flow_ids=flow_ids, channel=channel)
    if picture == "levels":
        return plots.plot_values(after, statistic=statistic, by=by)
    if picture == "funnel":
        return plots.plot_funnel(after, by=by)
    if picture == "ranking":
        if weeks is None:
            return explanation_picture("A ranking needs a weekly series: it looks at twelve weeks.", after.attrs)
        return [plots.plot_ranking(rank_rates(weeks, rate=statistic, by=key), by=by), _RANKING]
    if picture == "variations":
        tests = compare_variations(after, rate=statistic) if weeks is None else watch_variations(weeks, rate=statistic)
        drawn = plots.plot_variations(_with_source(tests, after), rate=statistic)
        return drawn if weeks is None else [drawn, _TESTS]
    basis = [str(before.attrs["basis"])] if "basis" in before.attrs else []
    if picture == "effects":
        split = _with_source(decompose(before, after, rate=statistic, by=key), after)
        return [plots.plot_effects(split, rate=statistic), *basis]
    compared = level_changes(answers, rate=statistic, by=by, channel=channel)
    if compared is None:
        keys = dict.fromkeys(["flow_id", "flow_name", key, by])
        compared = _with_source(compare_rates(before, after, rate=statistic, by=list(keys)), after)
        basis.append(_BY_ONE_WINDOW)
    else:  # judged together with all flows, as the report does; shown are the chosen ones
        compared, basis = select_rows(compared, flow_ids=flow_ids), [compared.attrs["basis"]]
    if picture == "table":
        return [comparison_table(compared, rate=statistic), *basis]
    return [plots.plot_comparison(compared, rate=statistic, by=by), *basis]


def _with_source(computed: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Carry over where the numbers come from, the sandbox above all."""
    computed.attrs = {**source.attrs, **computed.attrs}
    return computed
