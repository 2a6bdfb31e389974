"""What a weekly report asks and what Klaviyo answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from flowperf_helpers.account.connection import title_of
from flowperf_helpers.account.discovery import REVENUE
from flowperf_helpers.account.history import DAYS, WEEKS, Subject, answers_before, ending
from flowperf_helpers.account.queries import GROUP_BY_SINCE, ReportQuery
from flowperf_helpers.account.timeframes import Window, a_year_before, iso_week, last_complete_week, last_year_weeks
from flowperf_helpers.errors import ArgumentError, FlowperfError, NoRowsError, UnknownNameError
from flowperf_helpers.frames.catalog import DEFAULT_GROUP_BY, REQUIRED_GROUP_BY, STATISTICS

__all__ = [
    "GROUP_BY",
    "REPORT_STATISTICS",
    "WeekData",
    "fetch_week",
    "plan_week",
    "report_week",
]


# What Klaviyo answered for one report, and which week a report is about.


@dataclass(frozen=True)
class WeekData:
    """Everything that was answered for one report, as tidy frames.

    Attributes
    ----------
    account : dict
        JSON-able facts: ``name, title, timezone, currency, revision, sandbox, attribution_days, events,
        holidays, targets``.
    window : Window
        The week.
    now : Timestamp
        The account's clock when the report was made, in its zone.
    partial : bool
        Whether the week still runs.
    metrics : DataFrame
        Conversion metrics of the numbers: ``metric_id, metric_name, integration_name``.
    current, previous, year_ago : DataFrame or None
        One row per flow message, channel and variation; None where nobody knows.
    weekly, daily : DataFrame
        Series of the same groups.
    flows, messages : DataFrame
        Of discovery.
    history : DataFrame
        Earlier answers out of the store, with ``fetched_at``; empty on a first run.
    unknown : dict
        Why a frame is None: ``{"year_ago": "…"}``.
    notes : list of str
        Sentences for the page.
    log : list of str
        What was asked and what came from the store.
    requests : int
        Report requests that were sent.
    last_year : DataFrame or None
        Series by week, recipients and revenue per message, of the weeks that `last_year_weeks` names.
    """

    account: dict[str, Any]
    window: Window
    now: pd.Timestamp
    partial: bool
    metrics: pd.DataFrame
    current: pd.DataFrame
    previous: pd.DataFrame | None
    year_ago: pd.DataFrame | None
    weekly: pd.DataFrame
    daily: pd.DataFrame
    flows: pd.DataFrame
    messages: pd.DataFrame
    history: pd.DataFrame
    unknown: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    requests: int = 0
    last_year: pd.DataFrame | None = None

    @property
    def week(self) -> str:
        """ISO label."""
        return str(self.window.week)

    @property
    def year_ago_week(self) -> str:
        """ISO label of the week that stands for a year ago."""
        return str(a_year_before(self.window).week)

    @property
    def year_ago_words(self) -> str:
        """What that week is: the same one, or which one is taken where last year has no week of that number."""
        label = self.year_ago_week
        if label[-3:] == self.week[-3:]:
            return f"the same week a year ago, {label}"
        return f"the week 52 weeks ago, {label}, as the year before has no week {self.week[-2:]}"


def report_week(now: pd.Timestamp, week: str = "", *, allow_partial: bool = False) -> Window:
    """The week to report at ``now`` (the account's clock): the one asked for, or the last complete one.

    Raises
    ------
    ArgumentError
        No ISO week, one that has not begun, or one that still runs and may not.
    """
    if not week:
        return last_complete_week(now.to_pydatetime())
    window = iso_week(week)
    starts, ends = window.bounds(now.tzinfo)  # type: ignore[arg-type]
    if starts > now:
        raise ArgumentError(f"The week {week} lies in the future: it starts on {window.first}, today is {now.date()}.")
    if ends > now and not allow_partial:
        raise ArgumentError(
            f"The week {week} is still running (it ends on {window.last}): wait for it, or give --allow-partial."
        )
    return window


# What a weekly report asks: four report requests for a conversion metric, whatever the number of flows.
#
# 1. values of the week; 2. series by week, 51 weeks that end with it: the strips, and the previous week where
# Klaviyo's weeks are ISO weeks; 3. series by day, 59 days that end with it: signals and settling; 4. values of the
# same ISO week a year ago where (2) held the previous week, else values of the previous week.
#
# The line of the year before is asked by half-years, W01 to W26 and W27 to W52: the question is the same in each week
# that needs it and its answer long settled, so that it is sent once and then comes from the store. That is two requests
# with the first report and one in half a year, where 26 weeks that move with the report would be one with each report,
# and a third series request within a minute is one that Klaviyo's limit makes wait.

GROUP_BY = (*DEFAULT_GROUP_BY, "variation", "variation_name")
REPORT_STATISTICS = tuple(STATISTICS)


def _first_queries(window: Window, metric: str, flow_ids: tuple[str, ...] | None) -> list[ReportQuery]:
    def ask(timeframe: Window, interval: str | None = None) -> ReportQuery:
        return ReportQuery(metric, timeframe, REPORT_STATISTICS, interval, flow_ids, group_by=GROUP_BY)

    return [ask(window), ask(ending(window, WEEKS * 7), "weekly"), ask(ending(window, DAYS), "daily")]


def _values_of(window: Window, metric: str, flow_ids: tuple[str, ...] | None) -> Any:
    return ReportQuery(metric, window, REPORT_STATISTICS, None, flow_ids, group_by=GROUP_BY)


def _last_year_queries(account: Any, window: Window, subjects: Sequence[Subject]) -> list[ReportQuery]:
    """The half-years that hold the weeks of the year before, of a metric that may carry money.

    Nothing where each flow has its own conversion metric: two requests for each of these would be a third of the day's.
    """
    if len(subjects) > 1:
        return []
    halves = {}
    for week in last_year_weeks(window):
        year, number, _ = week.first.isocalendar()
        first = iso_week(f"{year}-W{1 if number <= 26 else 27:02d}")
        halves[first] = Window(first.first, first.shift(25 * 7).last)
    return [
        ReportQuery(metric, half, ("recipients", "conversion_value"), "weekly", flow_ids, group_by=REQUIRED_GROUP_BY)
        for metric, flow_ids in subjects
        if not account.refuses_values(metric)
        for half in halves.values()
    ]


def plan_week(
    account: Any,
    *,
    week: str = "",
    integration: str = "",
    conversion_metric: str = "",
    allow_partial: bool = False,
    last_year: bool = True,
) -> Any:
    """The report requests of `fetch_week`, not sent: a plan that prints as a table."""
    window = report_week(account.now(), week, allow_partial=allow_partial)
    wanted = []
    subjects = _subjects(account, integration, conversion_metric).pairs
    for metric, flow_ids in subjects:
        wanted += [*_first_queries(window, metric, flow_ids), _values_of(a_year_before(window), metric, flow_ids)]
    if last_year:
        wanted += _last_year_queries(account, window, subjects)
    return account.plan(wanted)


def fetch_week(
    account: Any,
    *,
    week: str = "",
    integration: str = "",
    conversion_metric: str = "",
    allow_partial: bool = False,
    refresh: bool = False,
    last_year: bool = True,
) -> WeekData:
    """Ask for everything a weekly report shows.

    Parameters
    ----------
    account : Account
        Of `flowperf_helpers.connect`.
    week : str, optional
        ISO label; empty for the last complete week.
    integration : str, optional
        Only flows that this integration's metrics trigger; empty for the account's setting, else all flows.
    conversion_metric : str, optional
        Id, name or ``"revenue"``; empty for the account's setting, else each flow's own trigger metric.
    refresh : bool, optional
        Ask again also what is in the store.
    last_year : bool, optional
        Also ask for the weeks of the year before, which the picture of the weeks shows as a line: two requests for the
        first report of one conversion metric, one in half a year; none where there are several metrics. Where they
        cannot be had, a note says why and the report goes on.

    Raises
    ------
    NoRowsError
        Live flows are there and not one row came in a year: rows were due.
    """
    window = report_week(account.now(), week, allow_partial=allow_partial)
    subjects, flows, metrics, notes = _subjects(
        account.again(refresh=True) if refresh else account, integration, conversion_metric
    )
    collected: dict[str, list[pd.DataFrame]] = {
        name: [] for name in ("values", "weekly", "daily", "previous", "year_ago")
    }
    log: list[str] = []
    unknown: dict[str, str] = {}
    for metric, flow_ids in subjects:
        values, weekly, daily = account.run(_first_queries(window, metric, flow_ids), refresh=refresh)
        before = _bucket(weekly, window.previous(), account.timezone)
        if before is None:
            unknown["year_ago"] = (
                "Klaviyo's weeks start on another day here, so the fourth request went to the week before"
            )
            (before,) = account.run([_values_of(window.previous(), metric, flow_ids)], refresh=refresh)
            fourth = ("previous", before)
        else:
            (year_ago,) = account.run([_values_of(a_year_before(window), metric, flow_ids)], refresh=refresh)
            fourth = ("year_ago", year_ago)
            collected["previous"].append(before)
        answers = {"values": values, "weekly": weekly, "daily": daily, fourth[0]: fourth[1]}
        for name, frame in answers.items():
            collected[name].append(frame)
            log.append(_logged(name, frame, metric))
    frames = {name: _joined(parts) for name, parts in collected.items()}
    values = frames["values"]
    if values is None or frames["weekly"] is None or frames["daily"] is None:
        raise NoRowsError("No flow of this account can be asked about: none is triggered by the metrics chosen.")
    _refuse_empty(values, frames["weekly"], flows, window)
    if frames["year_ago"] is not None and frames["year_ago"].empty:
        frames["year_ago"] = None
        unknown["year_ago"] = "nothing was sent in that week, or Klaviyo's data do not reach back to it"
    if frames["previous"] is not None and frames["previous"].empty:
        frames["previous"] = None
        unknown["previous"] = "nothing was sent in the week before"
    line, line_notes = _last_year(account, window, subjects, refresh) if last_year else ([], [])
    sent = sum(int(frame.attrs.get("requests") or 0) for parts in (*collected.values(), line) for frame in parts)
    return WeekData(
        account=_facts(account, values),
        window=window,
        now=account.now(),
        partial=window.bounds(account.timezone)[1] > account.now(),
        metrics=metrics,
        current=values,
        previous=frames["previous"],
        year_ago=frames["year_ago"],
        weekly=frames["weekly"],
        daily=frames["daily"],
        flows=flows,
        messages=_messages(account, flows, values),
        history=answers_before(account, subjects, [*collected["weekly"], *collected["daily"]], window.previous()),
        unknown=unknown,
        notes=list(
            dict.fromkeys(
                [
                    *notes,
                    *(note for parts in collected.values() for f in parts for note in f.attrs.get("notes", [])),
                    *line_notes,
                ]
            )
        ),
        log=[*log, *(_logged("last_year", frame, frame.attrs["conversion_metric_id"]) for frame in line)],
        requests=sent,
        last_year=_of_weeks(line, last_year_weeks(window), account.timezone),
    )


def _last_year(
    account: Any, window: Window, subjects: Sequence[Subject], refresh: bool
) -> tuple[list[pd.DataFrame], list[str]]:
    """The half-years of `_last_year_queries`; without them there is a report all the same, and a note."""
    try:
        return account.run(_last_year_queries(account, window, subjects), refresh=refresh), []
    except FlowperfError as error:
        return [], [f"The weeks of the year before are not drawn: {error}"]


def _of_weeks(parts: Sequence[pd.DataFrame], weeks: Sequence[Window], zone: Any) -> pd.DataFrame | None:
    """The rows of some weeks in which something was sent, each as its week from Monday on; None where there are none.

    Klaviyo's weeks may begin on another day: they count for the ISO week that holds most of their days.
    """
    frame = _joined([part for part in parts if len(part)])
    if frame is None:
        return None
    days = (frame["interval_start"].dt.tz_localize(None) + pd.Timedelta(days=3)).dt.normalize()
    monday = days - pd.to_timedelta(days.dt.day_of_week, unit="D")
    bounds = {pd.Timestamp(week.first): week.bounds(zone) for week in weeks}
    frame = frame.assign(
        interval_start=monday.map({first: start for first, (start, _) in bounds.items()}),
        interval_end=monday.map({first: end for first, (_, end) in bounds.items()}),
    )
    frame = frame[frame["interval_start"].notna() & (frame["recipients"].fillna(0) > 0)].reset_index(drop=True)
    return frame if len(frame) else None


class _Subjects(NamedTuple):
    """What is asked, the flows at stake, the metrics' names, and notes."""

    pairs: list[Subject]
    flows: pd.DataFrame
    metrics: pd.DataFrame
    notes: tuple[str, ...] = ()


def _subjects(account: Any, integration: str, conversion_metric: str) -> _Subjects:
    integration = integration or account.settings.integration or ""
    conversion_metric = conversion_metric or account.settings.conversion_metric or ""
    metrics = account.metrics()
    flows = account.flows()
    flow_ids: tuple[str, ...] | None = None
    if integration:
        chosen = account.metrics(integration=integration)
        flow_ids = tuple(dict.fromkeys(account.flows_triggered_by(list(chosen["metric_id"]))["flow_id"]))
        if not flow_ids:
            raise UnknownNameError(
                f"No flow is triggered by a metric of the integration {integration}: "
                "leave --integration out to report all flows."
            )
        flows = flows[flows["flow_id"].isin(flow_ids)].reset_index(drop=True)
    subjects: list[Subject]
    notes: tuple[str, ...] = ()
    if conversion_metric:
        metric = account.conversion_metric(conversion_metric, integration=integration or None)
        subjects = [(str(metric), flow_ids)]
        notes = (account.revenue_note,) if conversion_metric == REVENUE and account.revenue_note else ()
    else:
        own, notes = account.own_triggers(flow_ids, integration=integration or None)
        subjects = list(own.items())
    named = metrics[metrics["metric_id"].isin([metric for metric, _ in subjects])]
    names = named[["metric_id", "metric_name", "integration_name"]].reset_index(drop=True)
    return _Subjects(subjects, flows, names, notes)


def _bucket(weekly: pd.DataFrame, window: Window, zone: Any) -> pd.DataFrame | None:
    """The rows of one week out of a weekly series, if its labels are ISO Mondays; rows without a send are left out."""
    starts = weekly["interval_start"]
    if not len(weekly) or (starts.dt.day_of_week != 0).any():
        return None
    rows = weekly[starts == window.bounds(zone)[0]]
    rows = rows[rows["recipients"].fillna(0) > 0]
    frame = rows.drop(columns=["is_partial", "is_provisional"]).rename(
        columns={"interval_start": "window_start", "interval_end": "window_end"}
    )
    frame = frame.reset_index(drop=True)
    frame.attrs = {k: v for k, v in weekly.attrs.items() if k not in ("requests", "interval")}
    return frame


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    attrs = dict(parts[0].attrs)
    frame = pd.concat([part.copy(deep=False) for part in parts], ignore_index=True)
    frame.attrs = attrs
    return frame


def _refuse_empty(values: pd.DataFrame, weekly: pd.DataFrame, flows: pd.DataFrame, window: Window) -> None:
    """Nothing at all is an answer to distrust; a silent week after busy ones is news."""
    live = flows[flows["flow_status"].eq("live") & ~flows["archived"].fillna(False).astype(bool)]
    if len(values) or (len(weekly) and weekly["recipients"].fillna(0).sum() > 0):
        return
    reason = (
        f"{len(live)} live flows are there"
        if len(live)
        else f"{len(flows)} flows are there, none of them live"
        if len(flows)
        else "it has no flows"
    )
    raise NoRowsError(
        f"Klaviyo sent no row for {window.week} nor for the 51 weeks up to it, though {reason}: check the integration, "
        "the conversion metric and the key's account."
        if len(flows)
        else f"There is nothing to report for {window.week}: the account answers that it has no flows."
    )


def _facts(account: Any, values: pd.DataFrame) -> dict[str, Any]:
    return {
        "name": account.name,
        "title": title_of(account.settings),
        "timezone": str(account.timezone),
        "currency": account.currency,
        "revision": values.attrs.get("revision") or account.revision,
        "sandbox": bool(account.is_sandbox),
        "attribution_days": int(account.attribution_days),
        "asked_at": values.attrs.get("fetched_at"),
        "events": [dict(event) for event in account.settings.events],
        "holidays": account.settings.holidays,
        "targets": dict(account.settings.targets),
    }


def _messages(account: Any, flows: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Messages of discovery; the report needs them only for rows that the answer does not hold."""
    live = flows.loc[flows["flow_status"].isin(["live", "manual"]), "flow_id"]
    frame: pd.DataFrame = account.messages(list(live))
    if account.revision < GROUP_BY_SINCE:
        # the answer counts a variation under its message, so that it has no row of its own is not news
        counted = ~frame["is_variation"] | frame["flow_message_id"].isin(values["flow_message_id"])
        frame = frame[counted].reset_index(drop=True)
    return frame


def _logged(name: str, frame: pd.DataFrame, metric: str) -> str:
    facts = frame.attrs
    asked = facts.get("timeframe")
    source = "from the store" if facts.get("from_store") else f"asked, {facts.get('requests', 1)} requests"
    return f"{name}: {asked}, conversion metric {metric}: {len(frame)} rows {source}"
