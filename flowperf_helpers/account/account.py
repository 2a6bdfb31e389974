"""`connect()` and the object a notebook holds: one account, asked in Klaviyo's words, answered in tidy frames."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from flowperf_helpers.account.connection import Connection, open_account
from flowperf_helpers.account.directory import Directory, Names, ids_of
from flowperf_helpers.account.discovery import REVENUE, AccountInfo
from flowperf_helpers.account.executor import Executor
from flowperf_helpers.account.planner import Plan
from flowperf_helpers.account.queries import SERIES, VALUES, Wish
from flowperf_helpers.account.reports import Queries, Reports
from flowperf_helpers.account.timeframes import Timeframe
from flowperf_helpers.errors import ArgumentError, CredentialsError
from flowperf_helpers.stats.data_quality import merge_answers

__all__ = ["Account", "connect"]

When = str | Timeframe | Sequence[object]
_TRAVELS = (
    "FLOWPERF_HOME",
    "FLOWPERF_MAX_ANSWER_MB",
    "FLOWPERF_MAX_WAIT",
    "FLOWPERF_PACING",
    "FLOWPERF_SANDBOX_VARIANT",
    "KLAVIYO_REVISION",
)
"""What of an environment the sandbox's copy in another process needs; none of it is a secret."""


def connect(name: str = "sandbox", *, refresh: bool = False, **options: Any) -> Account:
    """Return an account. Asks nothing yet.

    Parameters
    ----------
    name : str
        ``"sandbox"`` (the embedded account: no key, no network, a clock that stands still), ``"live"`` (the variables
        of the environment) or a section of ``accounts.toml``. Nothing ever falls back to the sandbox.
    refresh : bool
        Ask again what the store holds, in every method.
    **options
        ``timezone`` (str; instead of asking), ``attribution_days`` (int, 1 to 90), ``max_age`` (timedelta: how long an
        answer about an unsettled window is served from the store), ``home`` (folder instead of ``FLOWPERF_HOME``),
        ``accounts_file``, ``environ``, ``pacing`` (bool or RateLimiter; instead of ``FLOWPERF_PACING``), ``seconds``
        (float: after so many nothing is asked any more); for the sandbox ``variant``, ``now`` (a moment or a function)
        and ``sandbox`` (other arguments of ``sandbox_app``, as a dict); to replace the machinery
        ``adapter``, ``clock`` (seconds since 1970) and ``sleep``.

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


def _connect_again(name: str, options: dict[str, Any]) -> Account:
    return connect(name, **options)


class Account(Directory):
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
        self.settings = opened.settings
        self.name = opened.settings.name
        self.is_sandbox = opened.settings.is_sandbox
        self.attribution_days = opened.settings.attribution_days
        origin = {"account": self.name, "sandbox": self.is_sandbox}
        super().__init__(
            opened.client,
            opened.settings.revision,
            origin,
            integration=opened.settings.integration,
            revenue=opened.settings.conversion_metric,
        )
        self._store = opened.store
        self._pacer = opened.client.limiter
        self._facts = AccountInfo(opened.settings, opened.client, opened.clock)
        self._refresh = refresh
        # behind a function: the options may hold an environment, and with it a key that no look inside should show
        self._rebuild = lambda: rebuild
        collector = Executor(
            opened.client,
            opened.store,
            zone=lambda: self.timezone,
            attribution_days=self.attribution_days,
            flow_names=lambda: self.once("flows", self.flows),
            message_names=lambda: self.once("messages", self.messages),
            clock=opened.clock,
        )
        self._reports = Reports(collector, self._facts, opened.client.limiter, unlimited=opened.unlimited)

    def __reduce__(self) -> tuple[Callable[..., Account], tuple[str, dict[str, Any]]]:
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
            options = {**options, "environ": {key: environ[key] for key in _TRAVELS if key in environ}}
        return _connect_again, (name, options)

    def again(self, **options: Any) -> Account:
        """Return the same account opened anew, some options changed: ``account.again(now=...)`` in the sandbox."""
        name, given = self._rebuild() or (self.name, {})
        return connect(name, **{**given, **options})

    @property
    def timezone(self) -> ZoneInfo:
        """The account's zone; see `flowperf_helpers.account.discovery.AccountInfo.timezone`."""
        return self._facts.timezone

    @property
    def currency(self) -> str | None:
        """ISO code of the account's money, None where the key may not ask for it."""
        return self._facts.currency

    def now(self) -> pd.Timestamp:
        """Return the moment, on the account's clock; the sandbox has its own."""
        return self._facts.now()

    # --- reports ------------------------------------------------------------------------------------------------

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
            Left out: flow and message with their names, and channel. What an older revision does not tell is NA.
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
        wishes = self.wanted(
            conversion_metric_id,
            timeframe=timeframe,
            statistics=statistics,
            flow_ids=flow_ids,
            send_channels=send_channels,
            group_by=group_by,
        )
        return self._reports.one_frame(wishes, refresh=refresh or self._refresh)

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
        wishes = self.wanted(
            conversion_metric_id,
            timeframe=timeframe,
            statistics=statistics,
            interval=interval,
            flow_ids=flow_ids,
            send_channels=send_channels,
            group_by=group_by,
        )
        return self._reports.one_frame(wishes, refresh=refresh or self._refresh)

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
    ) -> list[Wish]:
        """Return what `flow_values` (or `flow_series`, with an interval) would ask for, to be given to `plan`."""
        ids = None if flow_ids is None else tuple(ids_of(flow_ids, "flow_id"))
        options: dict[str, Any] = {"interval": interval, "send_channels": send_channels}
        if group_by is not None:
            options["group_by"] = tuple([group_by] if isinstance(group_by, str) else group_by)
        metric = conversion_metric_id or self.settings.conversion_metric
        subjects: dict[str, tuple[str, ...] | None]
        if metric is not None:
            subjects = {self.conversion_metric(metric): ids}
            options["notes"] = (self.revenue_note,) if metric == REVENUE and self.revenue_note else ()
        else:
            Wish("checked", timeframe, statistics, flow_ids=ids, **options)  # type: ignore[arg-type]
            own, options["notes"] = self.own_triggers(ids)
            subjects = dict(own)
        return [
            Wish(metric_id, timeframe, statistics, flow_ids=flows, **options)  # type: ignore[arg-type]
            for metric_id, flows in subjects.items()
        ]

    def plan(self, queries: Queries, *, refresh: bool = False) -> Plan:
        """Return the least list of report requests for some queries, with its cost; sends none of them."""
        return self._reports.plan(queries, refresh=refresh or self._refresh)

    def run(self, queries: Plan | Queries, *, refresh: bool = False) -> list[pd.DataFrame]:
        """Run a plan, or plan and run queries; one frame for each query, in order.

        Raises
        ------
        QuotaError
            Klaviyo takes no more calls for now; ``kept`` answers are in the store, the next run sends the rest.
        """
        return self._reports.run(queries, refresh=refresh or self._refresh)

    # --- what was used and kept ---------------------------------------------------------------------------------

    def status(self) -> pd.DataFrame:
        """Return calls used and left, and answers kept, per endpoint; ``attrs["snapshots"]`` counts all answers kept.

        Returns
        -------
        DataFrame
            ``endpoint, used_today, left_today, next_free`` (datetime64[us, UTC]), ``snapshots`` (int64; only reports
            are kept).
        """
        status = self._pacer.status()
        status["snapshots"] = pd.array([self._store.count(str(e)) for e in status["endpoint"]], dtype="int64")
        status.attrs = {"account": self.name, "sandbox": self.is_sandbox, "snapshots": self._store.count()}
        return status

    def history(self, kind: str = "series", *, since: datetime | None = None, **filters: object) -> pd.DataFrame:
        """Return the rows of all answers kept, one per moment of asking, whatever groupings and statistics were asked.

        Parameters
        ----------
        kind : {"series", "values"}
        since : datetime, optional
            Aware; only answers asked from then on.
        **filters
            Column to value, or list of values (``flow_id="T7K2j8"``).

        Returns
        -------
        DataFrame
            One row per moment of asking, message, channel and interval, see `reconciliation.merge_answers`:
            variations are summed: ``fetched_at``, ``query``, then the columns of the frame.
        """
        endpoints = {"series": SERIES, "values": VALUES}
        if kind not in endpoints:
            raise ArgumentError(f"kind is series or values, not {kind!r}.")
        rebuild = self._reports.collector.rows_of
        kept = self._store.history(endpoints[kind], where=filters, since=since, rebuild=rebuild)
        return merge_answers(kept, by=filters)

    def __repr__(self) -> str:
        kind = "SANDBOX (invented numbers), " if self.is_sandbox else ""
        return f"<Account {self.name}: {kind}{self.settings.base_url}, revision {self.revision}>"

    def _repr_html_(self) -> str:
        mark = "<b>SANDBOX: invented numbers</b>, " if self.is_sandbox else ""
        return f"<p>Account <b>{html.escape(self.name)}</b>: {mark}revision {html.escape(self.revision)}</p>"
