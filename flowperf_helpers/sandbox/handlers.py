"""What each endpoint answers."""

from __future__ import annotations

import json
import uuid
from typing import Any

from werkzeug.wrappers import Request

from flowperf_helpers.sandbox.call import Answer, Call
from flowperf_helpers.sandbox.filters import (
    check_parameters,
    filter_flows,
    filter_metrics,
    included,
    page_of,
    page_size,
    sort_flows,
)
from flowperf_helpers.sandbox.model import Flow, Metric
from flowperf_helpers.sandbox.problems import Problem, invalid, invalid_parameter, not_found
from flowperf_helpers.sandbox.reports import make_report
from flowperf_helpers.sandbox.requests import read_report
from flowperf_helpers.sandbox.resources import (
    Action,
    Sent,
    account_resource,
    action_resource,
    actions_of,
    find_action,
    find_message,
    flow_resource,
    mapped_resource,
    message_resource,
    metric_resource,
    sent_by,
    sparse,
    tag_resource,
)
from flowperf_helpers.sandbox.shop import ACCOUNT

__all__ = [
    "account",
    "accounts",
    "action_flow",
    "action_messages",
    "flow",
    "flow_action",
    "flow_actions",
    "flow_message",
    "flow_tags",
    "flow_triggers",
    "flows",
    "mapped_metric",
    "mapped_metrics",
    "meant_metric",
    "message_action",
    "metric",
    "metrics",
    "series_report",
    "tag",
    "values_report",
]


# Metrics, the flows they trigger, and what the account says about itself.

METRICS_PER_PAGE = 200
_MAPPED = {"revenue": "RplOrd", "added_to_cart": "RplCrt", "started_checkout": "RplChk", "viewed_product": "RplVwd",
           "ordered_product": "RplOpr", "refunded_sales": "RplRef", "cancelled_sales": "RplCnc"}  # fmt: skip


def metrics(call: Call) -> Answer:
    """GET /api/metrics."""
    args = call.request.args
    if "page[size]" in args:
        raise invalid_parameter("'page[size]' is not a valid query parameter: the page size is fixed.", "page[size]")
    check_parameters(args, ("filter", "fields[metric]", "fields[flow]", "include", "page[cursor]"))
    with_flows = "flow-triggers" in included(args, ("flow-triggers",))
    fields, flow_fields = sparse("metric", args, call.revision), sparse("flow", args, call.revision)
    found = filter_metrics(call.world.metrics, args.get("filter"))
    page, links = page_of(found, METRICS_PER_PAGE, args, call.url)
    data = [
        metric_resource(m, call.host, fields, call.triggered_by(m.id) if with_flows else None, call.revision)
        for m in page
    ]
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
    fields, flow_fields = sparse("metric", args, call.revision), sparse("flow", args, call.revision)
    found = call.metric(metric_id)
    flows = call.triggered_by(metric_id) if with_flows else None
    answer: Answer = {
        "data": metric_resource(found, call.host, fields, flows, call.revision),
        "links": {"self": call.url},
    }
    if flows is not None:
        answer["included"] = [flow_resource(f, call.host, flow_fields) for f in flows]
    return answer


def flow_triggers(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}/flow-triggers."""
    args = call.request.args
    check_parameters(args, ("fields[flow]",))
    fields = sparse("flow", args, call.revision)
    flows = call.triggered_by(call.metric(metric_id).id)
    return {"data": [flow_resource(f, call.host, fields) for f in flows], "links": {"self": call.url}}


def accounts(call: Call) -> Answer:
    """GET /api/accounts."""
    args = call.request.args
    check_parameters(args, ("fields[account]",))
    fields = sparse("account", args, call.revision)
    return {"data": [account_resource(call.host, fields)], "links": {"self": call.url, "next": None, "prev": None}}


def account(call: Call, account_id: str) -> Answer:
    """GET /api/accounts/{id}."""
    if account_id != ACCOUNT["id"]:
        raise not_found("account", account_id)
    answer = accounts(call)
    return {"data": answer["data"][0], "links": {"self": call.url}}


def mapped_metrics(call: Call) -> Answer:
    """GET /api/mapped-metrics."""
    args = call.request.args
    check_parameters(args, ("fields[mapped-metric]",))
    fields = sparse("mapped-metric", args, call.revision)
    data = [mapped_resource(name, call.world.metric(id_), call.host, fields) for name, id_ in _MAPPED.items()]
    return {"data": data, "links": {"self": call.url, "next": None, "prev": None}}


def mapped_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[mapped-metric]",))
    fields = sparse("mapped-metric", args, call.revision)
    found = _meant(call, name)
    return {"data": mapped_resource(name, found, call.host, fields), "links": {"self": call.url}}


def meant_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}/metric."""
    args = call.request.args
    check_parameters(args, ("fields[metric]",))
    fields = sparse("metric", args, call.revision)
    found = _meant(call, name)
    if found is None:
        raise not_found("metric", name)
    return {"data": metric_resource(found, call.host, fields, None, call.revision), "links": {"self": call.url}}


def _meant(call: Call, name: str) -> Metric | None:
    """The metric that a word stands for, None where the account has none, or a 404."""
    if name not in _MAPPED:
        raise not_found("mapped-metric", name)
    return call.world.metric(_MAPPED[name])


# Flows, their actions, messages and tags.

FLOWS_PER_PAGE = 50


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
    fields = sparse("flow", args, call.revision)
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
    definition = ("definition",) if call.revision >= "2025-01-15" else ()
    fields = sparse("flow", args, call.revision, *definition)
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
        sparse("flow-action", args, call.revision),
        sparse("tag", args, call.revision),
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
    fields = sparse("flow-action", args, call.revision)
    for name in ("filter", "sort"):
        if name in args:
            raise invalid_parameter(f"The sandbox has no {name} on actions.", name)
    page, links = page_of(actions_of(call.flow(flow_id)), size, args, call.url)
    return {"data": [action_resource(a, call.host, fields, call.revision) for a in page], "links": links}


def flow_action(call: Call, action_id: str) -> Answer:
    """GET /api/flow-actions/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[flow-action]",))
    fields = sparse("flow-action", args, call.revision)
    found = _action(call, action_id)
    return {"data": action_resource(found, call.host, fields, call.revision), "links": {"self": call.url}}


def action_flow(call: Call, action_id: str) -> Answer:
    """GET /api/flow-actions/{id}/flow."""
    args = call.request.args
    check_parameters(args, ("fields[flow]",))
    fields = sparse("flow", args, call.revision)
    return {
        "data": flow_resource(_action(call, action_id).flow, call.host, fields),
        "links": {"self": call.url},
    }


def _action(call: Call, action_id: str) -> Action:
    """The action of an id, a 404, or a 400 for an id that none can have."""
    if not action_id.isdigit():
        raise Problem(400, "invalid", "Invalid input.", "Invalid flow action id.", pointer="/data/")
    action = find_action(call.world, action_id)
    if action is None:
        raise not_found("flow-action", action_id)
    return action


def action_messages(call: Call, action_id: str) -> Answer:
    """GET /api/flow-actions/{id}/flow-messages."""
    args = call.request.args
    check_parameters(args, ("fields[flow-message]", "page[cursor]", "page[size]"))
    largest = 50 if call.revision >= "2025-01-15" else 100
    size = page_size(args, largest, largest)
    fields = sparse("flow-message", args, call.revision)
    page, links = page_of(sent_by(_action(call, action_id)), size, args, call.url)
    return {"data": [message_resource(s, call.host, fields, call.revision) for s in page], "links": links}


def flow_message(call: Call, message_id: str) -> Answer:
    """GET /api/flow-messages/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[flow-message]",))
    fields = sparse("flow-message", args, call.revision)
    return {
        "data": message_resource(_message(call, message_id), call.host, fields, call.revision),
        "links": {"self": call.url},
    }


def message_action(call: Call, message_id: str) -> Answer:
    """GET /api/flow-messages/{id}/flow-action."""
    args = call.request.args
    check_parameters(args, ("fields[flow-action]",))
    fields = sparse("flow-action", args, call.revision)
    sent = _message(call, message_id)
    action = next(action for action in actions_of(sent.flow) if action.message == sent.message)
    return {"data": action_resource(action, call.host, fields, call.revision), "links": {"self": call.url}}


def _message(call: Call, message_id: str) -> Sent:
    """The message of an id, or a 404."""
    sent = find_message(call.world, message_id)
    if sent is None:
        raise not_found("flow-message", message_id)
    return sent


def flow_tags(call: Call, flow_id: str) -> Answer:
    """GET /api/flows/{id}/tags."""
    args = call.request.args
    check_parameters(args, ("fields[tag]",))
    fields = sparse("tag", args, call.revision)
    return {"data": [tag_resource(tag, call.host, fields) for tag in call.flow(flow_id).tags],
            "links": {"self": call.url}}  # fmt: skip


def tag(call: Call, tag_id: str) -> Answer:
    """GET /api/tags/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[tag]",))
    fields = sparse("tag", args, call.revision)
    found = next((t for flow in call.world.flows for t in flow.tags if t[0] == tag_id), None)
    if found is None:
        raise not_found("tag", tag_id)
    return {"data": tag_resource(found, call.host, fields), "links": {"self": call.url}}


# The two report endpoints.


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
        asked, account.counts(), denominator=account.denominator, week_starts=account.week_starts
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
