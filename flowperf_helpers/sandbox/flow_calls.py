"""Flows, their actions, messages and tags (contract, sections A.3 and A.4)."""

from __future__ import annotations

from flowperf_helpers.sandbox.call import Answer, Call
from flowperf_helpers.sandbox.definitions import Action, Sent, actions_of, find_action, find_message, sent_by
from flowperf_helpers.sandbox.lists import check_parameters, filter_flows, included, page_of, page_size, sort_flows
from flowperf_helpers.sandbox.model import Flow
from flowperf_helpers.sandbox.problems import Problem, invalid_parameter, not_found
from flowperf_helpers.sandbox.resources import action_resource, flow_resource, message_resource, sparse, tag_resource

__all__ = [
    "action_flow",
    "action_messages",
    "flow",
    "flow_action",
    "flow_actions",
    "flow_message",
    "flow_tags",
    "flows",
    "message_action",
    "tag",
]

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
