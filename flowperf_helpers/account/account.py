"""`connect()` and the object a notebook holds: one account, asked in Klaviyo's words, answered in tidy frames."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from flowperf_helpers.account import discovery
from flowperf_helpers.account.connection import TRAVELS, Connection, KeptLists, is_sandbox, open_account
from flowperf_helpers.account.discovery import REVENUE, AccountInfo, Names, OwnTriggers, ids_of
from flowperf_helpers.account.executor import Executor
from flowperf_helpers.account.planner import Plan
from flowperf_helpers.account.queries import SERIES, VALUES, ReportQuery
from flowperf_helpers.account.timeframes import Timeframe
from flowperf_helpers.errors import ArgumentError, CredentialsError, UnknownNameError
from flowperf_helpers.stats.data_quality import merge_answers

__all__ = ["Account", "connect"]

Queries = ReportQuery | Sequence[ReportQuery]
When = str | Timeframe | Sequence[object]


def connect(name: str = "sandbox", *, refresh: bool = False, **options: Any) -> Account:
    """Return an account. Asks nothing yet.

    Parameters
    ----------
    name : str
        ``"sandbox"`` (the embedded account: no key, no network, a clock that stands still), ``"live"`` (the variables
        of the environment) or a section of ``accounts.toml``. Nothing ever falls back to the sandbox.
    refresh : bool
        Ask again what the store holds, in every method; lists (metrics, flows, messages) once.
    **options
        ``timezone`` (str; instead of asking), ``attribution_days`` (int, 1 to 90), ``max_age`` (timedelta: how long an
        answer about an unsettled window is served from the store), ``home`` (folder instead of ``FLOWPERF_HOME``),
        ``accounts_file``, ``environ``, ``pacing`` (bool or RateLimiter; instead of ``FLOWPERF_PACING``), ``seconds``
        (float: after so many nothing is asked any more); for the sandbox ``variant``, ``now`` (a moment or a function)
        and ``sandbox`` (a dict for ``sandbox_app``); to replace the machinery ``adapter``, ``clock`` and ``sleep``.

    Raises
    ------
    CredentialsError
        No key, or two.
    UnknownNameError
        No such account.
    ArgumentError
        An option that is none of these, or does not fit the account.

    Examples
    --------
    >>> connect("sandbox").is_sandbox
    True
    """
    known = list(open_account.__kwdefaults__ or ())
    wrong = [option for option in options if option not in known]
    if wrong:
        raise ArgumentError(f"connect knows no option {wrong[0]!r}: valid are {', '.join(known)}.")
    return Account(open_account(name, **options), refresh=refresh, rebuild=(name, {**options, "refresh": refresh}))


def _listed(queries: Queries) -> list[ReportQuery]:
    return [queries] if isinstance(queries, ReportQuery) else list(queries)


class Account:
    """One account of Klaviyo's. Made by `connect`.

    It pickles as its name and options, so that a worker builds its own; no connection and no secret travels. One that
    was opened with ``environ`` holds its key there and does not travel.

    Attributes
    ----------
    name : str
        As given to `connect`.
    is_sandbox : bool
        Whether the numbers are invented.
    revision : str
        The revision asked for.
    settings : AccountSettings
        Defaults of the account; shows no secret.
    attribution_days : int
        Days after which an interval counts as settled.
    """

    def __init__(
        self, opened: Connection, *, refresh: bool = False, rebuild: tuple[str, dict[str, Any]] | None = None
    ) -> None:
        self.settings = opened.client.settings
        self.name = self.settings.name
        self.is_sandbox = is_sandbox(self.settings)
        self.attribution_days = self.settings.attribution_days
        self.revision = self.settings.revision
        self.revenue_note = ""
        self._metric_ids: dict[tuple[str, str | None], str] = {}
        self._client = opened.client
        self._store = opened.store
        self._refresh = refresh
        # behind a function: the options may hold an environment, and with it a key that no look inside should show
        self._rebuild = lambda: rebuild
        self._lists = KeptLists(opened.client, opened.store, refresh=refresh)
        self._info = AccountInfo(self.settings, self._lists, opened.clock)
        self._executor = Executor(opened, self._info)

    def __reduce__(self) -> tuple[Callable[[], Account], tuple[()]]:
        rebuild = self._rebuild()
        if rebuild is None:
            raise TypeError("This account was not made by connect(), so it cannot be pickled.")
        name, options = rebuild
        environ = options.get("environ")
        if environ is not None and not self.settings.is_embedded:
            raise CredentialsError(
                f"Account {name} was opened with environ=…, and its key does not leave this process: set the variables "
                "where the copy is to work, and connect there by name."
            )
        if environ is not None:
            options = {**options, "environ": {key: environ[key] for key in TRAVELS if key in environ}}
        return partial(connect, name, **options), ()

    def again(self, **options: Any) -> Account:
        """Return the same account opened anew, some options changed: ``account.again(now=...)`` in the sandbox."""
        name, given = self._rebuild() or (self.name, {})
        account = connect(name, **{**given, **options})
        if set(options) == {"now"}:  # another moment of the same account: what it has and says of itself stays
            account._lists = account._info.lists = self._lists
            account._info.known = self._info.known
        return account

    @property
    def timezone(self) -> ZoneInfo:
        """The account's zone; see `flowperf_helpers.account.discovery.AccountInfo.timezone`."""
        return self._info.timezone

    @property
    def currency(self) -> str | None:
        """ISO code of the account's money, None where the key may not ask for it."""
        return self._info.currency

    def now(self) -> pd.Timestamp:
        """Return the moment, on the account's clock; the sandbox has its own."""
        return self._info.now()

    def metrics(self, *, integration: str | None = None, category: str | None = None) -> pd.DataFrame:
        """Return the account's metrics.

        Parameters
        ----------
        integration, category : str, optional
            Only of the integration, or category, of exactly this name; else an `UnknownNameError`, whose ``near`` holds
            what looks alike.

        Returns
        -------
        DataFrame
            One row per metric: ``metric_id, metric_name, integration_id, integration_name, integration_category``
            (str, NA where Klaviyo has none).
        """
        return self._marked(
            self._lists.look_up(partial(discovery.fetch_metrics, integration=integration, category=category))
        )

    def flows_triggered_by(self, metric_ids: Names) -> pd.DataFrame:
        """Return the flows that metrics trigger.

        Parameters
        ----------
        metric_ids : str, sequence of str, or a frame with ``metric_id``

        Returns
        -------
        DataFrame
            One row per metric × flow: ``metric_id, flow_id, flow_name, flow_status, archived, trigger_type, created,
            updated``.

        Raises
        ------
        UnknownNameError
            No metric of such an id.
        """
        wanted = ids_of(metric_ids, "metric_id")
        return self._marked(self._lists.look_up(lambda getter: discovery.fetch_flow_triggers(getter, wanted)))

    def flows(self, flow_ids: Names | None = None) -> pd.DataFrame:
        """Return flows, archived ones too, whatever triggers them.

        Returns
        -------
        DataFrame
            One row per flow: ``flow_id, flow_name, flow_status, archived, trigger_type, created, updated``; in the
            order of ``flow_ids`` where given.

        Raises
        ------
        UnknownNameError
            No flow of such an id.
        """
        wanted = None if flow_ids is None else ids_of(flow_ids, "flow_id")
        return self._marked(self._lists.look_up(lambda getter: discovery.fetch_flows(getter, wanted)))

    def messages(self, flow_ids: Names | None = None) -> pd.DataFrame:
        """Return the messages of flows, variations of tests included.

        Returns
        -------
        DataFrame
            One row per message: ``flow_id, flow_message_id, flow_message_name, send_channel, action_status,
            is_variation``. Messages outlive flows, so a report may name others.
        """
        wanted = discovery.fetch_flows(self._lists)["flow_id"] if flow_ids is None else ids_of(flow_ids, "flow_id")
        return self._marked(discovery.fetch_messages(self._lists, wanted))

    def flow_tags(self) -> pd.DataFrame:
        """Return one row per flow × tag: ``flow_id, tag_name`` (scope ``tags:read``)."""
        return self._marked(discovery.fetch_flow_tags(self._lists))

    def conversion_metric(self, metric: str, *, integration: str | None = None) -> str:
        """Return the id of a metric given as id, as name, or as ``"revenue"`` (what the account maps to it).

        Parameters
        ----------
        metric : str
        integration : str, optional
            Decides where several metrics have that name; left out, the account's setting does.

        Raises
        ------
        AmbiguousNameError, UnknownNameError
            Several metrics of that name (``candidates`` has id and integration of each), or none; nothing mapped.
        """
        asked = metric, integration or self.settings.integration
        if asked not in self._metric_ids:
            self._metric_ids[asked] = self._resolved(*asked)
        return self._metric_ids[asked]

    def _resolved(self, metric: str, integration: str | None) -> str:
        """Return the id of a metric: its mapping, or what lists say."""
        if metric == REVENUE:
            try:
                return discovery.fetch_mapped_metric(self._lists)
            except UnknownNameError:
                if self.revision >= discovery.MAPPED_SINCE or self.settings.conversion_metric in (None, REVENUE):
                    raise
                metric = str(self.settings.conversion_metric)
                self.revenue_note = (
                    f"Revision {self.revision} does not say which metric the account calls revenue: its setting "
                    f"{metric} stands in."
                )
        return self._lists.look_up(
            lambda getter: discovery.metric_named(discovery.fetch_metrics(getter), metric, integration=integration)
        )

    def own_triggers(self, flow_ids: tuple[str, ...] | None, *, integration: str | None = None) -> OwnTriggers:
        """Return the trigger metrics of flows (None: all), each flow under one: the integration's, else the first."""
        own = integration or self.settings.integration
        return self._lists.look_up(lambda getter: discovery.fetch_own_triggers(getter, flow_ids, own))

    def _marked(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame.attrs |= {"account": self.name, "sandbox": self.is_sandbox}
        return frame

    def flow_values(
        self,
        conversion_metric_id: str | None = None,
        *,
        timeframe: When,
        statistics: Sequence[str],
        flow_ids: Names | None = None,
        send_channels: Sequence[str] | None = None,
        group_by: Sequence[str] | None = None,
        refresh: bool = False,
    ) -> pd.DataFrame:
        """Return totals over a timeframe.

        Parameters
        ----------
        conversion_metric_id : str, optional
            Id, name or ``"revenue"``; left out, the account's setting, else each flow's own trigger metric (one request
            for each such metric).
        timeframe : str or pair
            A key of Klaviyo's (``"last_30_days"``), an ISO week (``"2026-W47"``), or first and last day, both included.
            More than a year is asked in pieces and added up, which counts and money allow; people and rates do not.
        statistics : sequence of str
            Klaviyo's names.
        flow_ids : str, sequence of str, or a frame with ``flow_id``, optional
            Any number; left out, all flows. One that the account does not have is named in ``attrs["notes"]``.
        send_channels : sequence of str, optional
        group_by : sequence of str, optional
            Left out: flow and message with their names, and channel. What an older revision does not return is NA.
        refresh : bool
            Ask again what the store holds.

        Returns
        -------
        DataFrame
            One row per group: groupings, ``window_start, window_end, conversion_metric_id``, statistics.
            ``attrs["notes"]`` says what is special about it.

        Raises
        ------
        ArgumentError
            Before anything is sent; the message lists what is valid.
        QuotaError
            Klaviyo takes no more calls for now.
        """
        queries = self.wanted(
            conversion_metric_id,
            timeframe=timeframe,
            statistics=statistics,
            flow_ids=flow_ids,
            send_channels=send_channels,
            group_by=group_by,
        )
        return self._executor.one_frame(queries, refresh=refresh or self._refresh)

    def flow_series(
        self,
        conversion_metric_id: str | None = None,
        *,
        timeframe: When,
        statistics: Sequence[str],
        interval: str = "weekly",
        flow_ids: Names | None = None,
        send_channels: Sequence[str] | None = None,
        group_by: Sequence[str] | None = None,
        refresh: bool = False,
    ) -> pd.DataFrame:
        """Return totals per interval; a window or key longer than one request holds is asked in pieces of whole days.

        Parameters
        ----------
        interval : {"hourly", "daily", "weekly", "monthly"}
            The others are those of `flow_values`.

        Returns
        -------
        DataFrame
            One row per group × interval: groupings, ``interval_start, interval_end, is_partial, is_provisional,
            conversion_metric_id``, statistics.
        """
        queries = self.wanted(
            conversion_metric_id,
            timeframe=timeframe,
            statistics=statistics,
            interval=interval,
            flow_ids=flow_ids,
            send_channels=send_channels,
            group_by=group_by,
        )
        return self._executor.one_frame(queries, refresh=refresh or self._refresh)

    def wanted(
        self,
        conversion_metric_id: str | None = None,
        *,
        timeframe: When,
        statistics: Sequence[str],
        interval: str | None = None,
        flow_ids: Names | None = None,
        send_channels: Sequence[str] | None = None,
        group_by: Sequence[str] | None = None,
    ) -> list[ReportQuery]:
        """Return what `flow_values` (or `flow_series`, with an interval) would ask for, to be given to `plan`."""
        ids = None if flow_ids is None else tuple(ids_of(flow_ids, "flow_id"))
        options: dict[str, Any] = {"interval": interval, "send_channels": send_channels}
        if group_by is not None:
            options["group_by"] = tuple([group_by] if isinstance(group_by, str) else group_by)
        metric = conversion_metric_id or self.settings.conversion_metric
        if metric is not None:
            metric_id = self.conversion_metric(metric)
            notes: tuple[str, ...] = (self.revenue_note,) if metric == REVENUE and self.revenue_note else ()
            return [ReportQuery(metric_id, timeframe, statistics, flow_ids=ids, notes=notes, **options)]  # type: ignore[arg-type]
        checked = ReportQuery("any", timeframe, statistics, flow_ids=ids, **options)  # type: ignore[arg-type]
        own, notes = self.own_triggers(checked.flow_ids)
        return [
            replace(checked, conversion_metric_id=metric_id, flow_ids=flows, notes=notes)
            for metric_id, flows in own.items()
        ]

    def plan(self, queries: Queries, *, refresh: bool = False) -> Plan:
        """Return the least list of report requests for some queries, with its cost; sends none of them."""
        plan = self._executor.plan(_listed(queries), refresh=refresh or self._refresh)
        return plan.with_costs(self._client.limiter, self.name)

    def run(self, queries: Plan | Queries, *, refresh: bool = False) -> list[pd.DataFrame]:
        """Run a plan, or plan and run queries; one frame for each query, in order.

        The store is looked up when it runs: answers may have come, or grown old, since a plan was made.

        Raises
        ------
        QuotaError
            Klaviyo takes no more calls for now; ``kept`` answers are in the store, the next run sends the rest.
        """
        asked = queries.queries if isinstance(queries, Plan) else _listed(queries)
        return self._executor.run(asked, refresh=refresh or self._refresh)

    def status(self) -> pd.DataFrame:
        """Return calls used and left, and answers kept, per endpoint; ``attrs["snapshots"]`` counts all answers kept.

        Returns
        -------
        DataFrame
            ``endpoint, used_today, left_today, next_free`` (datetime64[us, UTC]), ``snapshots`` (int64; of
            reports, lists are not counted).
        """
        status = self._client.limiter.status()
        status["snapshots"] = status["endpoint"].map(self._store.count).astype("int64")
        status.attrs = {"snapshots": self._store.count()}
        return self._marked(status)

    def history(self, kind: str = "series", *, since: datetime | None = None, **filters: object) -> pd.DataFrame:
        """Return the rows of all answers kept, one per request, whatever its groupings and statistics.

        Parameters
        ----------
        kind : {"series", "values"}
        since : datetime, optional; aware: only answers asked from then on.
        **filters
            Column to value, or list of values (``flow_id="T7K2j8"``).

        Returns
        -------
        DataFrame
            One row per moment of the request, message, channel and interval (`merge_answers`): ``fetched_at, query``, …
        """
        endpoints = {"series": SERIES, "values": VALUES}
        if kind not in endpoints:
            raise ArgumentError(f"kind is series or values, not {kind!r}.")
        rebuild = self._executor.rows_of
        kept = self._store.history(endpoints[kind], where=filters, since=since, rebuild=rebuild)
        return merge_answers(kept, by=filters)

    def refuses_values(self, metric_id: str) -> bool:
        """Whether Klaviyo has said, within the last 30 days, that this conversion metric carries no values."""
        return metric_id in self._executor.without_values

    def __repr__(self) -> str:
        kind = "SANDBOX (invented numbers), " if self.is_sandbox else ""
        return f"<Account {self.name}: {kind}{self.settings.base_url}, revision {self.revision}>"

    def _repr_html_(self) -> str:
        mark = "<b>SANDBOX: invented numbers</b>, " if self.is_sandbox else ""
        return f"<p>Account <b>{html.escape(self.name)}</b>: {mark}revision {html.escape(self.revision)}</p>"
