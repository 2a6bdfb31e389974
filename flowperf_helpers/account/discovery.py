"""What an account has: metrics, the flows they trigger, messages, its zone and currency."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from flowperf_helpers.account.queries import texts_of
from flowperf_helpers.errors import AmbiguousNameError, ApiError, ArgumentError, ScopeError, UnknownNameError, suggest
from flowperf_helpers.frames.resources import (
    Resource,
    TriggerMap,
    account_facts,
    actions_by_flow,
    channel_of,
    flow_triggers_frame,
    flows_frame,
    included,
    message_rows,
    messages_frame,
    metrics_frame,
    primary,
    related_ids,
    trigger_map,
)
from flowperf_helpers.klaviyo.settings import AccountSettings

__all__ = [
    "MAPPED_SINCE", "REVENUE", "AccountInfo", "Getter", "Names", "OwnTriggers", "fetch_flow_tags",
    "fetch_flow_triggers", "fetch_flows", "fetch_mapped_metric", "fetch_messages", "fetch_metrics",
    "fetch_own_triggers", "ids_of", "metric_named",
]  # fmt: skip


MAPPED_SINCE = "2025-07-15"
"""First revision that says which metric an account calls revenue."""
REVENUE = "revenue"

_FLOW_FIELDS = "name,status,archived,created,updated,trigger_type"
_TRIGGERS = {"include": "flow-triggers", "fields[flow]": _FLOW_FIELDS}
"""No sparse fields for metrics here: they drop the relationships that are wanted."""
Names = str | Iterable[str] | pd.DataFrame | pd.Series


class Getter(Protocol):
    """What discovery needs of a client."""

    def get(self, path: str, params: dict[str, str] | None = None) -> list[bytes]:
        """Return the bodies of all pages."""


def fetch_metrics(getter: Getter, *, integration: str | None = None, category: str | None = None) -> pd.DataFrame:
    """Ask for metrics, all pages, and pick an integration and/or category.

    Both are picked here: Klaviyo's own filter by category was seen to return nothing, and the whole list serves every
    other question about metrics too.

    Raises
    ------
    UnknownNameError
        Nothing of that integration or category; names what looks alike. Case and spaces count.
    """
    try:
        pages = getter.get("/api/metrics", _TRIGGERS)
    except (ApiError, ScopeError) as error:  # refused with the flows that they trigger
        if error.status not in (400, 403, 404):
            raise
        pages = getter.get("/api/metrics", {"fields[metric]": "name,integration"})
    found = metrics_frame(pages)
    for what, column, name in (
        ("integration", "integration_name", integration),
        ("category", "integration_category", category),
    ):
        if name is not None:
            known = found[column].dropna()
            found = found[found[column] == name].reset_index(drop=True)
            if found.empty:
                start = f"No metric belongs to the {what} {name!r} (case and spaces count)"
                raise UnknownNameError.among(start, name, known)
    return found


def metric_named(metrics: pd.DataFrame, name: str, *, integration: str | None = None) -> str:
    """Return the id of the metric of that id or name.

    Parameters
    ----------
    metrics : DataFrame
        Of `fetch_metrics`.
    integration : str, optional
        Decides where several metrics have that name.

    Raises
    ------
    AmbiguousNameError
        Several metrics of that name; lists id and integration of each.
    UnknownNameError
        None; names what looks alike.
    """
    if (metrics["metric_id"] == name).any():
        return name
    named = metrics[metrics["metric_name"] == name].fillna("").astype("object")
    candidates: list[dict[str, str]] = [
        {"id": str(row["metric_id"]), "name": name, "integration": str(row["integration_name"])}
        for row in named.to_dict("records")
    ]
    decided = [c for c in candidates if integration and c["integration"] == integration]
    if len(candidates) == 1 or len(decided) == 1:
        return (decided or candidates)[0]["id"]
    if candidates:
        options = ", ".join(f"{c['id']} ({c['integration'] or 'no integration'})" for c in candidates)
        raise AmbiguousNameError(
            f"{len(candidates)} metrics are called {name!r}: give the id, {options}.", candidates=candidates
        )
    raise UnknownNameError.among(f"No metric has the id or name {name!r}", name, metrics["metric_name"].dropna())


def fetch_mapped_metric(getter: Getter) -> str:
    """Ask which metric the account calls revenue (``/api/mapped-metrics``, revision 2025-07-15 and later).

    Raises
    ------
    UnknownNameError
        The account maps none, or the revision has no such endpoint.
    """
    try:
        found = primary(getter.get(f"/api/mapped-metrics/{REVENUE}", {}))
    except ApiError as error:
        if error.status != 404:
            raise
        raise UnknownNameError(
            f"Klaviyo does not say which metric is {REVENUE!r} here: give the conversion metric's id or name."
        ) from error
    ids = [i for resource in found for name in ("metric", "custom-metric") for i in related_ids(resource, name) or ()]
    if not ids:
        raise UnknownNameError(f"The account maps no metric to {REVENUE!r}: give the conversion metric's id or name.")
    return ids[0]


def fetch_flow_triggers(getter: Getter, metric_ids: Sequence[str]) -> pd.DataFrame:
    """Ask which flows some metrics trigger: the whole map, one request per 200 metrics.

    Where the map lacks a metric's relationship, its own endpoint is asked; where it lacks a flow's facts, the flows
    endpoint. Lists, segments and dates trigger flows too, and those never appear here.

    Returns
    -------
    DataFrame
        One row per metric × flow: ``metric_id, flow_id, flow_name, flow_status, archived, trigger_type, created,
        updated``, metrics in the order given.

    Raises
    ------
    UnknownNameError
        No metric of such an id.
    """
    try:
        known = trigger_map(getter.get("/api/metrics", _TRIGGERS))
    except ApiError as error:
        if error.status not in (400, 404):
            raise
        known = TriggerMap({}, flows_frame([]))  # a revision that cannot include them
    flow_ids = {}
    for metric_id in dict.fromkeys(metric_ids):
        ids = known.flow_ids.get(metric_id)
        flow_ids[metric_id] = _fetch_triggered(getter, metric_id, known) if ids is None else ids
    wanted = {flow for ids in flow_ids.values() for flow in ids}
    described = known.flows[known.flows["flow_status"].notna() | known.flows["flow_name"].notna()]
    if wanted - set(described["flow_id"]):
        rest = fetch_flows(getter)
        described = pd.concat([described, rest[~rest["flow_id"].isin(described["flow_id"])]], ignore_index=True)
    return flow_triggers_frame(flow_ids, described)


def _fetch_triggered(getter: Getter, metric_id: str, known: TriggerMap) -> tuple[str, ...]:
    try:
        return tuple(
            flow.id for flow in primary(getter.get(f"/api/metrics/{metric_id}/relationships/flow-triggers", {}))
        )
    except ApiError as error:
        if error.status != 404:
            raise
        near = suggest(metric_id, known.flow_ids)
        hint = f": did you mean {' or '.join(near)}?" if near else "; account.metrics() lists all."
        raise UnknownNameError(f"The account has no metric with the id {metric_id!r}{hint}", near=near) from error


def fetch_flows(getter: Getter, flow_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Ask for flows, archived ones too: whether they come unasked is not known.

    Returns
    -------
    DataFrame
        One row per flow: ``flow_id, flow_name, flow_status, archived, trigger_type, created, updated``; in the order of
        ``flow_ids`` where given.

    Raises
    ------
    UnknownNameError
        No flow of such an id.
    """
    answers = _flow_pages(getter, {"fields[flow]": _FLOW_FIELDS})
    flows = flows_frame(flow for pages in answers for flow in primary(pages))
    if flow_ids is None:
        return flows
    known = set(flows["flow_id"])
    for flow_id in flow_ids:
        if flow_id not in known:
            start = f"The account has no flow with the id {flow_id!r}"
            raise UnknownNameError.among(start, flow_id, flows["flow_id"])
    return flows.set_index("flow_id").loc[list(flow_ids)].reset_index()


def fetch_messages(getter: Getter, flow_ids: Iterable[str]) -> pd.DataFrame:
    """Ask which messages some flows hold.

    From revision 2025-10-15 on, 50 flows a request; before, where actions do not carry their messages, one more request
    per sending action. Which of the two an answer is shows in the answer: Klaviyo serves a newer revision than the one
    asked for once that is retired.

    Returns
    -------
    DataFrame
        One row per message: ``flow_id, flow_message_id, flow_message_name, send_channel, action_status,
        is_variation`` (bool; False where an old revision does not say).
    """
    wanted = set(flow_ids)
    rows: list[dict[str, object]] = []
    for pages in _flow_pages(getter, {"include": "flow-actions"}):
        for flow_id, actions in actions_by_flow(primary(pages), included(pages, "flow-action")).items():
            if flow_id not in wanted:
                continue
            for action in actions:
                definition, kind = action.attributes.get("definition"), action.attributes.get("action_type")
                if definition is not None:
                    rows += message_rows(flow_id, definition)
                elif kind is None or channel_of(kind):
                    rows += _own_messages(getter, flow_id, action)
    return messages_frame(rows)


def _own_messages(getter: Getter, flow_id: str, action: Resource) -> Iterator[dict[str, object]]:
    """Ask for the messages of one action, whose name moved into a definition of their own at 2025-10-15."""
    for message in primary(getter.get(f"/api/flow-actions/{action.id}/flow-messages", {})):
        definition = message.attributes.get("definition")
        named = definition.get("name") if isinstance(definition, Mapping) else None
        yield {
            "flow_id": flow_id,
            "flow_message_id": message.id,
            "flow_message_name": message.attributes.get("name") or named,
            "send_channel": channel_of(message.attributes.get("channel") or action.attributes.get("action_type")),
            "action_status": action.attributes.get("status"),
            "is_variation": False,
        }


def fetch_flow_tags(getter: Getter) -> pd.DataFrame:
    """Ask for the tags of all flows, archived ones too: how an app marks the version of its template.

    Returns
    -------
    DataFrame
        One row per flow × tag: ``flow_id, tag_name`` (str).

    Raises
    ------
    ScopeError
        The key may not read tags (``tags:read``).
    """
    rows = []
    for pages in _flow_pages(getter, {"include": "tags"}):
        names = {tag.id: str(tag.attributes.get("name") or "") for tag in included(pages, "tag")}
        rows += [(flow.id, names.get(tag, "")) for flow in primary(pages) for tag in related_ids(flow, "tags") or ()]
    return pd.DataFrame(rows, columns=["flow_id", "tag_name"], dtype="str")


def _flow_pages(getter: Getter, params: dict[str, str]) -> Iterator[list[bytes]]:
    for archived in ("false", "true"):
        yield getter.get("/api/flows", params | {"filter": f"equals(archived,{archived})", "page[size]": "50"})


class OwnTriggers(NamedTuple):
    """Trigger metric to its flows, each flow once; ``notes`` name the flows that have several."""

    subjects: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


def fetch_own_triggers(getter: Getter, flow_ids: Sequence[str] | None, integration: str | None) -> OwnTriggers:
    """Ask for the trigger metrics of flows: of several, that of the integration is taken, else the first."""
    metrics = fetch_metrics(getter)
    triggers = fetch_flow_triggers(getter, list(metrics["metric_id"]))
    if flow_ids is not None:
        triggered = set(triggers["flow_id"])
        without = [flow for flow in flow_ids if flow not in triggered]
        if without:
            raise ArgumentError(
                f"No metric triggers the flow {', '.join(without)}, so it has no conversion metric of its own: "
                "give conversion_metric_id."
            )
        triggers = triggers[triggers["flow_id"].isin(flow_ids)]
    if triggers.empty:
        raise ArgumentError("No flow of this account is triggered by a metric: give conversion_metric_id.")
    own = metrics.loc[metrics["integration_name"] == integration, "metric_id"]
    order = (~triggers["metric_id"].isin(own)).sort_values(kind="stable").index
    chosen = triggers.loc[order].drop_duplicates("flow_id").sort_index()
    left_out = triggers.drop(chosen.index)
    by_flow = chosen.set_index("flow_id")["metric_id"]
    notes = tuple(
        f"Flow {flow} is triggered by several metrics and counted by {by_flow[flow]}, not by "
        f"{', '.join(others)}: give conversion_metric_id to choose."
        for flow, others in left_out.groupby("flow_id", sort=False)["metric_id"]
    )
    subjects = {str(metric): tuple(rows["flow_id"]) for metric, rows in chosen.groupby("metric_id", sort=False)}
    return OwnTriggers(subjects, notes)


def ids_of(names: Names, column: str) -> list[str]:
    """Return ids from a string, a list, a column or a frame, each once."""
    if isinstance(names, pd.DataFrame):
        if column not in names.columns:
            raise ArgumentError(f"The frame has no column {column}: it has {', '.join(map(str, names.columns))}.")
        names = names[column]
    return list(texts_of(column, names.dropna() if isinstance(names, pd.Series) else names))


# The account's zone, currency and clock: settings first, else one question, asked when it is needed.


@dataclass(eq=False)
class AccountInfo:
    """What an account says of itself, asked at most once.

    Parameters
    ----------
    settings : AccountSettings
        Its ``timezone`` comes before Klaviyo's.
    lists : Getter
        To ask with.
    clock : callable
        Seconds since 1970.
    """

    settings: AccountSettings
    lists: Getter
    clock: Callable[[], float]
    known: dict[str, str | None] | ScopeError | None = field(default=None, init=False)

    @property
    def timezone(self) -> ZoneInfo:
        """The account's zone.

        Raises
        ------
        ScopeError
            No setting, and the key may not read the account (``accounts:read``).
        ArgumentError
            A zone that this machine does not know.
        """
        name = self.settings.timezone or self._facts()["timezone"]
        try:
            return ZoneInfo(str(name))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ArgumentError(
                f"Account {self.settings.name} has the time zone {name!r}, which is not known here: set timezone for "
                'it in accounts.toml, as "Europe/Copenhagen".'
            ) from error

    @property
    def currency(self) -> str | None:
        """ISO code of the account's money, None where the key may not ask for it."""
        try:
            return self._facts()["currency"]
        except ScopeError:
            return None

    def now(self) -> pd.Timestamp:
        """Return the moment on the account's clock."""
        return pd.Timestamp(self.clock(), unit="s", tz="UTC").as_unit("us").tz_convert(self.timezone)

    def _facts(self) -> dict[str, str | None]:
        if self.known is None:
            try:
                question = {"fields[account]": "timezone,preferred_currency"}
                self.known = account_facts(self.lists.get("/api/accounts", question))
            except ScopeError as refusal:
                self.known = refusal
        known = self.known
        if isinstance(known, ScopeError):
            raise ScopeError(
                f"The key of account {self.settings.name} may not read the account's time zone (scope accounts:read): "
                "set timezone for it in accounts.toml, or give connect(..., timezone=...).",
                scope=known.scope or "accounts:read",
                **known.facts,
            ) from known
        return known
