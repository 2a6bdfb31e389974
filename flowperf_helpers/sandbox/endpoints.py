"""One function per endpoint, and the table that says where each lives and what it needs (contract, section A)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from werkzeug.wrappers import Request

from flowperf_helpers.sandbox.arrivals import Ledger
from flowperf_helpers.sandbox.definitions import actions_of, find_action, find_message, sent_by
from flowperf_helpers.sandbox.lists import (
    check_parameters,
    filter_flows,
    filter_metrics,
    included,
    page_of,
    page_size,
    sort_flows,
)
from flowperf_helpers.sandbox.model import Flow, Metric, World
from flowperf_helpers.sandbox.problems import Problem, invalid, invalid_parameter, not_found
from flowperf_helpers.sandbox.reports import make_report
from flowperf_helpers.sandbox.resources import (
    account_resource,
    action_resource,
    flow_resource,
    mapped_resource,
    message_resource,
    metric_resource,
    sparse,
    tag_resource,
)
from flowperf_helpers.sandbox.rules import read_report

__all__ = ["ENDPOINTS", "Call", "Endpoint"]

METRICS_PER_PAGE = 200
FLOWS_PER_PAGE = 50
_MAPPED = {"revenue": "RplOrd", "added_to_cart": "RplCrt", "started_checkout": "RplChk", "viewed_product": "RplVwd",
           "ordered_product": "RplOpr", "refunded_sales": "RplRef", "cancelled_sales": "RplCnc"}  # fmt: skip

Answer = dict[str, Any]


class Account(Protocol):
    """What an endpoint needs to know of the app."""

    denominator: str
    week_starts: str
    page_rows: int

    def now(self) -> datetime:
        """Return the account's time."""

    def ledger(self) -> Ledger:
        """Return the counts as known now."""


@dataclass(frozen=True)
class Call:
    """One request on its way: who is asked, what, at which revision, and under which address."""

    account: Account
    world: World
    request: Request
    revision: str
    host: str
    url: str

    def metric(self, metric_id: str) -> Metric:
        """The metric of an id, or a 404."""
        metric = self.world.metric(metric_id)
        if metric is None:
            raise not_found("metric", metric_id)
        return metric

    def flow(self, flow_id: str) -> Flow:
        """The flow of an id, or a 404."""
        flow = self.world.flow(flow_id)
        if flow is None:
            raise not_found("flow", flow_id)
        return flow

    def triggered_by(self, metric_id: str) -> list[Flow]:
        """Flows that a metric triggers, whatever their status."""
        return [f for f in self.world.flows if f.listed and f.trigger_type == "Metric" and f.metric_id == metric_id]


@dataclass(frozen=True)
class Endpoint:
    """Where an answer comes from.

    Attributes
    ----------
    answer : callable
        Takes the call and the ids in the path.
    tier : str
        Of `limits.TIERS`.
    since : str
        First revision that has it.
    """

    answer: Callable[..., Answer]
    tier: str
    needed: tuple[str, ...]
    methods: tuple[str, ...] = ("GET",)
    since: str = "2024-02-15"

    def scopes(self, call: Call) -> tuple[str, ...]:
        """Scopes that the call needs; including flows needs theirs too."""
        return (*self.needed, "flows:read") if "include" in call.request.args else self.needed


def metrics(call: Call) -> Answer:
    """GET /api/metrics."""
    args = call.request.args
    if "page[size]" in args:
        raise invalid_parameter("'page[size]' is not a valid query parameter: the page size is fixed.", "page[size]")
    check_parameters(args, ("filter", "fields[metric]", "fields[flow]", "include", "page[cursor]"))
    with_flows = "flow-triggers" in included(args, ("flow-triggers",))
    fields, flow_fields = sparse("metric", args.get("fields[metric]")), sparse("flow", args.get("fields[flow]"))
    found = filter_metrics(call.world.metrics, args.get("filter"))
    page, links = page_of(found, METRICS_PER_PAGE, args, call.url)
    data = [metric_resource(m, call.host, fields, call.triggered_by(m.id) if with_flows else None) for m in page]
    answer: Answer = {"data": data, "links": links}
    if with_flows:
        flows = [f for m in page for f in call.triggered_by(m.id)]
        answer["included"] = [flow_resource(f, call.host, flow_fields) for f in flows]
    return answer


def metric(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[metric]", "fields[flow]", "include"))
    with_flows = "flow-triggers" in included(args, ("flow-triggers",))
    fields, flow_fields = sparse("metric", args.get("fields[metric]")), sparse("flow", args.get("fields[flow]"))
    found = call.metric(metric_id)
    flows = call.triggered_by(metric_id) if with_flows else None
    answer: Answer = {"data": metric_resource(found, call.host, fields, flows), "links": {"self": call.url}}
    if flows is not None:
        answer["included"] = [flow_resource(f, call.host, flow_fields) for f in flows]
    return answer


def flow_triggers(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}/flow-triggers."""
    args = call.request.args
    check_parameters(args, ("fields[flow]",))
    fields = sparse("flow", args.get("fields[flow]"))
    flows = call.triggered_by(call.metric(metric_id).id)
    return {"data": [flow_resource(f, call.host, fields) for f in flows], "links": {"self": call.url}}


def flow_trigger_ids(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}/relationships/flow-triggers."""
    check_parameters(call.request.args, ())
    flows = call.triggered_by(call.metric(metric_id).id)
    return {"data": [{"type": "flow", "id": f.id} for f in flows], "links": {"self": call.url}}


def flows(call: Call) -> Answer:
    """GET /api/flows."""
    args = call.request.args
    check_parameters(
        args,
        (
            "filter",
            "fields[flow]",
            "fields[flow-action]",
            "fields[tag]",
            "include",
            "sort",
            "page[cursor]",
            "page[size]",
        ),
    )
    size = page_size(args, FLOWS_PER_PAGE, FLOWS_PER_PAGE)
    also = included(args, ("flow-actions", "tags"))
    found = sort_flows(filter_flows(call.world.flows, args.get("filter")), args.get("sort"))
    page, links = page_of(found, size, args, call.url)
    fields = sparse("flow", args.get("fields[flow]"))
    data = [_shown(call, f, fields, also) for f in page]
    return _with_included(call, {"data": data, "links": links}, page, also)


def flow(call: Call, flow_id: str) -> Answer:
    """GET /api/flows/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[flow]", "fields[flow-action]", "fields[tag]", "include", "additional-fields[flow]"))
    also = included(args, ("flow-actions", "tags"))
    more = args.get("additional-fields[flow]")
    if more not in (None, "definition") or (more and call.revision < "2025-01-15"):
        raise invalid_parameter("'additional-fields[flow]' takes 'definition'.", "additional-fields[flow]")
    fields = sparse("flow", args.get("fields[flow]"))
    found = call.flow(flow_id)
    data = _shown(call, found, fields, also, with_definition=more is not None)
    return _with_included(call, {"data": data, "links": {"self": call.url}}, [found], also)


def _shown(
    call: Call, flow: Flow, fields: tuple[str, ...] | None, also: tuple[str, ...], *, with_definition: bool = False
) -> Answer:
    return flow_resource(
        flow, call.host, fields, with_actions="flow-actions" in also, with_tags="tags" in also,
        with_definition=with_definition,
    )  # fmt: skip


def _with_included(call: Call, answer: Answer, flows: list[Flow], also: tuple[str, ...]) -> Answer:
    args = call.request.args
    action_fields, tag_fields = (
        sparse("flow-action", args.get("fields[flow-action]")),
        sparse("tag", args.get("fields[tag]")),
    )
    extra: list[Answer] = []
    if "flow-actions" in also:
        extra += [action_resource(a, call.host, action_fields, call.revision) for f in flows for a in actions_of(f)]
    if "tags" in also:
        tags = dict.fromkeys(tag for f in flows for tag in f.tags)
        extra += [tag_resource(tag, call.host, tag_fields) for tag in tags]
    return {**answer, "included": extra} if also else answer


def flow_actions(call: Call, flow_id: str) -> Answer:
    """GET /api/flows/{id}/flow-actions."""
    args = call.request.args
    check_parameters(args, ("fields[flow-action]", "page[cursor]", "page[size]", "sort", "filter"))
    size = page_size(args, 50, 50)
    fields = sparse("flow-action", args.get("fields[flow-action]"))
    for name in ("filter", "sort"):
        if name in args:
            raise invalid_parameter(f"The sandbox has no {name} on actions.", name)
    page, links = page_of(actions_of(call.flow(flow_id)), size, args, call.url)
    return {"data": [action_resource(a, call.host, fields, call.revision) for a in page], "links": links}


def action_messages(call: Call, action_id: str) -> Answer:
    """GET /api/flow-actions/{id}/flow-messages."""
    args = call.request.args
    check_parameters(args, ("fields[flow-message]", "page[cursor]", "page[size]"))
    largest = 50 if call.revision >= "2025-01-15" else 100
    size = page_size(args, largest, largest)
    fields = sparse("flow-message", args.get("fields[flow-message]"))
    if not action_id.isdigit():
        raise Problem(400, "invalid", "Invalid input.", "Invalid flow action id.", pointer="/data/")
    action = find_action(call.world, action_id)
    if action is None:
        raise not_found("flow-action", action_id)
    page, links = page_of(sent_by(action), size, args, call.url)
    return {"data": [message_resource(s, call.host, fields, call.revision) for s in page], "links": links}


def flow_message(call: Call, message_id: str) -> Answer:
    """GET /api/flow-messages/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[flow-message]",))
    fields = sparse("flow-message", args.get("fields[flow-message]"))
    sent = find_message(call.world, message_id)
    if sent is None:
        raise not_found("flow-message", message_id)
    return {"data": message_resource(sent, call.host, fields, call.revision), "links": {"self": call.url}}


def flow_tags(call: Call, flow_id: str) -> Answer:
    """GET /api/flows/{id}/tags."""
    args = call.request.args
    check_parameters(args, ("fields[tag]",))
    fields = sparse("tag", args.get("fields[tag]"))
    return {"data": [tag_resource(tag, call.host, fields) for tag in call.flow(flow_id).tags],
            "links": {"self": call.url}}  # fmt: skip


def accounts(call: Call) -> Answer:
    """GET /api/accounts."""
    args = call.request.args
    check_parameters(args, ("fields[account]",))
    fields = sparse("account", args.get("fields[account]"))
    return {"data": [account_resource(call.host, fields)], "links": {"self": call.url, "next": None, "prev": None}}


def mapped_metrics(call: Call) -> Answer:
    """GET /api/mapped-metrics."""
    args = call.request.args
    check_parameters(args, ("fields[mapped-metric]",))
    fields = sparse("mapped-metric", args.get("fields[mapped-metric]"))
    data = [mapped_resource(name, call.world.metric(id_), call.host, fields) for name, id_ in _MAPPED.items()]
    return {"data": data, "links": {"self": call.url, "next": None, "prev": None}}


def mapped_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[mapped-metric]",))
    fields = sparse("mapped-metric", args.get("fields[mapped-metric]"))
    if name not in _MAPPED:
        raise not_found("mapped-metric", name)
    found = call.world.metric(_MAPPED[name])
    return {"data": mapped_resource(name, found, call.host, fields), "links": {"self": call.url}}


def values_report(call: Call) -> Answer:
    """POST /api/flow-values-reports."""
    return _report(call, "flow-values-report")


def series_report(call: Call) -> Answer:
    """POST /api/flow-series-reports."""
    return _report(call, "flow-series-report")


def _report(call: Call, kind: str) -> Answer:
    args, account = call.request.args, call.account
    allowed = ("page_cursor", f"fields[{kind}]") if call.revision >= "2026-04-15" else ("page_cursor",)
    check_parameters(args, allowed)
    body = _decoded(call.request)
    wall = account.now().replace(tzinfo=None)
    asked = read_report(
        body, kind=kind, revision=call.revision, world=call.world, now=wall, week_starts=account.week_starts
    )
    results, date_times = make_report(
        asked, account.ledger(), denominator=account.denominator, week_starts=account.week_starts
    )
    page, links = page_of(results, account.page_rows, args, call.url, parameter="page_cursor")
    attributes: Answer = {"results": page}
    if asked.interval is not None:
        attributes["date_times"] = date_times
    if f"fields[{kind}]" in args:
        attributes = _picked(attributes, args[f"fields[{kind}]"], kind)
    data: Answer = {
        "type": kind,
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}{body!a}")),
        "attributes": attributes,
    }
    if page:
        data["relationships"] = {
            name: {"data": [{"type": name[:-1], "id": id_} for id_ in dict.fromkeys(r["groupings"][key] for r in page)]}
            for name, key in (("flows", "flow_id"), ("flow-messages", "flow_message_id"))
        }
    answer: Answer = {"data": data, "links": links}
    return {**answer, "meta": {"agent_hints": {"next_steps": []}}} if call.revision >= "2026-07-15" else answer


def _picked(attributes: Answer, asked: str, kind: str) -> Answer:
    names = asked.split(",")
    known = {"id", "results"} | ({"date_times"} if kind == "flow-series-report" else set())
    if not set(names) <= known:
        raise invalid_parameter(f"'{asked[:100]}' holds a field that '{kind}' does not have.", f"fields[{kind}]")
    return {name: value for name, value in attributes.items() if name in names}


def _decoded(request: Request) -> Any:
    if "json" not in request.mimetype:
        raise Problem(415, "unsupported_media_type", "Unsupported media type.",
                      "Send the body as application/vnd.api+json.", pointer="/data/")  # fmt: skip
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON.") from None


_METRICS, _FLOWS, _POST = ("metrics:read",), ("flows:read",), ("POST",)

ENDPOINTS: dict[str, Endpoint] = {
    "api/metrics": Endpoint(metrics, "M", _METRICS),
    "api/metrics/<id>": Endpoint(metric, "M", _METRICS),
    "api/metrics/<id>/flow-triggers": Endpoint(flow_triggers, "M", _METRICS + _FLOWS, since="2024-10-15"),
    "api/metrics/<id>/relationships/flow-triggers": Endpoint(
        flow_trigger_ids, "M", _METRICS + _FLOWS, since="2024-10-15"
    ),
    "api/flows": Endpoint(flows, "S", _FLOWS),
    "api/flows/<id>": Endpoint(flow, "S", _FLOWS),
    "api/flows/<id>/flow-actions": Endpoint(flow_actions, "S", _FLOWS),
    "api/flows/<id>/tags": Endpoint(flow_tags, "S", (*_FLOWS, "tags:read")),
    "api/flow-actions/<id>/flow-messages": Endpoint(action_messages, "S", _FLOWS),
    "api/flow-messages/<id>": Endpoint(flow_message, "S", _FLOWS),
    "api/accounts": Endpoint(accounts, "XS", ("accounts:read",)),
    "api/mapped-metrics": Endpoint(mapped_metrics, "S", _METRICS, since="2025-07-15"),
    "api/mapped-metrics/<id>": Endpoint(mapped_metric, "S", _METRICS, since="2025-07-15"),
    "api/flow-values-reports": Endpoint(values_report, "report", _FLOWS, _POST),
    "api/flow-series-reports": Endpoint(series_report, "report", _FLOWS, _POST),
}
"""Path without the leading slash → endpoint."""
