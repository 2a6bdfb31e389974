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
    Fields,
    Resource,
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
    "account", "accounts", "action_flow", "action_messages", "flow", "flow_action", "flow_actions", "flow_message",
    "flow_tags", "flow_triggers", "flows", "mapped_metric", "mapped_metrics", "meant_metric", "message_action",
    "metric", "metrics", "series_report", "tag", "values_report",
]  # fmt: skip


def _fields(call: Call, kind: str, *also: str) -> Fields:
    """Refuse all parameters but ``fields[kind]`` and ``also``; return the fields that are wanted."""
    check_parameters(call.request.args, (f"fields[{kind}]", *also))
    return sparse(kind, call.request.args, call.revision)


def _alone(call: Call, data: Resource | list[Resource]) -> Answer:
    """Make an answer that has no other pages."""
    return {"data": data, "links": {"self": call.url}}


# Metrics, the flows they trigger, and what the account says about itself.

METRICS_PER_PAGE = 200
_MAPPED = {"revenue": "RplOrd", "added_to_cart": "RplCrt", "started_checkout": "RplChk", "viewed_product": "RplVwd",
           "ordered_product": "RplOpr", "refunded_sales": "RplRef", "cancelled_sales": "RplCnc"}  # fmt: skip


def metrics(call: Call) -> Answer:
    """GET /api/metrics."""
    args = call.request.args
    if "page[size]" in args:
        raise invalid_parameter("'page[size]' is not a valid query parameter: the page size is fixed.", "page[size]")
    fields = _fields(call, "metric", "filter", "fields[flow]", "include", "page[cursor]")
    found = filter_metrics(call.world.metrics, args.get("filter"))
    page, links = page_of(found, METRICS_PER_PAGE, args, call.url)
    return _with_flows(call, page, fields, links)


def metric(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}."""
    fields = _fields(call, "metric", "fields[flow]", "include")
    answer = _with_flows(call, [call.metric(metric_id)], fields, {"self": call.url})
    return {**answer, "data": answer["data"][0]}


def _with_flows(call: Call, page: list[Metric], fields: Fields, links: dict[str, str | None]) -> Answer:
    """Make the answer about some metrics, with the flows they trigger where they are included."""
    wanted = "flow-triggers" in included(call.request.args, ("flow-triggers",))
    flow_fields = sparse("flow", call.request.args, call.revision)
    triggered = [call.triggered_by(m.id) if wanted else None for m in page]
    data = [metric_resource(m, call.host, fields, t, call.revision) for m, t in zip(page, triggered, strict=True)]
    answer: Answer = {"data": data, "links": links}
    if wanted:
        answer["included"] = [flow_resource(f, call.host, flow_fields) for flows in triggered for f in flows or ()]
    return answer


def flow_triggers(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}/flow-triggers."""
    fields = _fields(call, "flow")
    return _alone(call, [flow_resource(f, call.host, fields) for f in call.triggered_by(call.metric(metric_id).id)])


def accounts(call: Call) -> Answer:
    """GET /api/accounts."""
    fields = _fields(call, "account")
    return {"data": [account_resource(call.host, fields)], "links": {"self": call.url, "next": None, "prev": None}}


def account(call: Call, account_id: str) -> Answer:
    """GET /api/accounts/{id}."""
    if account_id != ACCOUNT["id"]:
        raise not_found("account", account_id)
    return _alone(call, accounts(call)["data"][0])


def mapped_metrics(call: Call) -> Answer:
    """GET /api/mapped-metrics."""
    fields = _fields(call, "mapped-metric")
    data = [mapped_resource(name, call.world.metric(id_), call.host, fields) for name, id_ in _MAPPED.items()]
    return {"data": data, "links": {"self": call.url, "next": None, "prev": None}}


def mapped_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}."""
    fields = _fields(call, "mapped-metric")
    return _alone(call, mapped_resource(name, _meant(call, name), call.host, fields))


def meant_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}/metric."""
    fields = _fields(call, "metric")
    found = _meant(call, name)
    if found is None:
        raise not_found("metric", name)
    return _alone(call, metric_resource(found, call.host, fields, None, call.revision))


def _meant(call: Call, name: str) -> Metric | None:
    """The metric that a word stands for, None where the account has none, or a 404."""
    if name not in _MAPPED:
        raise not_found("mapped-metric", name)
    return call.world.metric(_MAPPED[name])


# Flows, their actions, messages and tags.

FLOWS_PER_PAGE = 50
_WITH_FLOWS = ("fields[flow-action]", "fields[tag]", "include")


def flows(call: Call) -> Answer:
    """GET /api/flows."""
    args = call.request.args
    fields = _fields(call, "flow", *_WITH_FLOWS, "filter", "sort", "page[cursor]", "page[size]")
    size = page_size(args, FLOWS_PER_PAGE, FLOWS_PER_PAGE)
    found = sort_flows(filter_flows(call.world.flows, args.get("filter")), args.get("sort"))
    page, links = page_of(found, size, args, call.url)
    also = included(args, ("flow-actions", "tags"))
    return _with_included(call, {"data": [_shown(call, f, fields, also) for f in page], "links": links}, page, also)


def flow(call: Call, flow_id: str) -> Answer:
    """GET /api/flows/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[flow]", *_WITH_FLOWS, "additional-fields[flow]"))
    also = included(args, ("flow-actions", "tags"))
    more = args.get("additional-fields[flow]")
    if more not in (None, "definition") or (more and call.revision < "2025-01-15"):
        raise invalid_parameter("'additional-fields[flow]' takes 'definition'.", "additional-fields[flow]")
    definition = ("definition",) if call.revision >= "2025-01-15" else ()
    fields = sparse("flow", args, call.revision, *definition)
    found = call.flow(flow_id)
    data = _shown(call, found, fields, also, with_definition=more is not None)
    return _with_included(call, _alone(call, data), [found], also)


def _shown(call: Call, flow: Flow, fields: Fields, also: tuple[str, ...], *, with_definition: bool = False) -> Resource:
    return flow_resource(
        flow, call.host, fields, with_actions="flow-actions" in also, with_tags="tags" in also,
        with_definition=with_definition,
    )  # fmt: skip


def _with_included(call: Call, answer: Answer, flows: list[Flow], also: tuple[str, ...]) -> Answer:
    args = call.request.args
    action_fields, tag_fields = (sparse(kind, args, call.revision) for kind in ("flow-action", "tag"))
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
    fields = _fields(call, "flow-action", "page[cursor]", "page[size]", "sort", "filter")
    size = page_size(args, 50, 50)
    for name in ("filter", "sort"):
        if name in args:
            raise invalid_parameter(f"The sandbox has no {name} on actions.", name)
    page, links = page_of(actions_of(call.flow(flow_id)), size, args, call.url)
    return {"data": [action_resource(a, call.host, fields, call.revision) for a in page], "links": links}


def flow_action(call: Call, action_id: str) -> Answer:
    """GET /api/flow-actions/{id}."""
    fields = _fields(call, "flow-action")
    return _alone(call, action_resource(_action(call, action_id), call.host, fields, call.revision))


def action_flow(call: Call, action_id: str) -> Answer:
    """GET /api/flow-actions/{id}/flow."""
    fields = _fields(call, "flow")
    return _alone(call, flow_resource(_action(call, action_id).flow, call.host, fields))


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
    fields = _fields(call, "flow-message", "page[cursor]", "page[size]")
    largest = 50 if call.revision >= "2025-01-15" else 100
    size = page_size(call.request.args, largest, largest)
    page, links = page_of(sent_by(_action(call, action_id)), size, call.request.args, call.url)
    return {"data": [message_resource(s, call.host, fields, call.revision) for s in page], "links": links}


def flow_message(call: Call, message_id: str) -> Answer:
    """GET /api/flow-messages/{id}."""
    fields = _fields(call, "flow-message")
    return _alone(call, message_resource(_message(call, message_id), call.host, fields, call.revision))


def message_action(call: Call, message_id: str) -> Answer:
    """GET /api/flow-messages/{id}/flow-action."""
    fields = _fields(call, "flow-action")
    sent = _message(call, message_id)
    action = next(action for action in actions_of(sent.flow) if action.message == sent.message)
    return _alone(call, action_resource(action, call.host, fields, call.revision))


def _message(call: Call, message_id: str) -> Sent:
    """The message of an id, or a 404."""
    sent = find_message(call.world, message_id)
    if sent is None:
        raise not_found("flow-message", message_id)
    return sent


def flow_tags(call: Call, flow_id: str) -> Answer:
    """GET /api/flows/{id}/tags."""
    fields = _fields(call, "tag")
    return _alone(call, [tag_resource(tag, call.host, fields) for tag in call.flow(flow_id).tags])


def tag(call: Call, tag_id: str) -> Answer:
    """GET /api/tags/{id}."""
    fields = _fields(call, "tag")
    found = next((t for flow in call.world.flows for t in flow.tags if t[0] == tag_id), None)
    if found is None:
        raise not_found("tag", tag_id)
    return _alone(call, tag_resource(found, call.host, fields))


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
