"""JSON:API resources of the invented account: what a GET answer is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowperf_helpers.sandbox.definitions import Action, Sent, actions_of
from flowperf_helpers.sandbox.model import Flow, Metric
from flowperf_helpers.sandbox.problems import invalid_parameter
from flowperf_helpers.sandbox.revisions import fields_of
from flowperf_helpers.sandbox.world import ACCOUNT

__all__ = [
    "account_resource",
    "action_resource",
    "flow_resource",
    "mapped_resource",
    "message_resource",
    "metric_resource",
    "sparse",
    "tag_resource",
]

Resource = dict[str, Any]
Fields = tuple[str, ...] | None

_CREATED = "2023-12-11T08:02:11+00:00"


def sparse(kind: str, args: Mapping[str, str], revision: str, *more: str) -> Fields:
    """Read ``fields[kind]``; None where everything is wanted. ``more`` are fields of this endpoint alone.

    Raises
    ------
    Problem
        400 for a name that is no field at this revision.
    """
    asked = args.get(f"fields[{kind}]")
    if asked is None:
        return None
    names = tuple(name.strip() for name in asked.split(","))
    known = (*fields_of(kind, revision), *more)
    for name in names:
        if name.split(".")[0] not in known or ("." in name and not name.startswith("integration.")):
            raise invalid_parameter(f"'{name[:100]}' is not a field of '{kind}'.", f"fields[{kind}]")
    return names


def _resource(
    kind: str, id_: str, attributes: Resource, host: str, fields: Fields, relations: Resource | None = None
) -> Resource:
    out: Resource = {"type": kind, "id": id_, "attributes": _picked(attributes, fields)}
    if relations and fields is None:  # sparse fieldsets drop relationships too
        out["relationships"] = relations
    out["links"] = {"self": f"{host}api/{kind}s/{id_}/"}
    return out


def _picked(attributes: Resource, fields: Fields) -> Resource:
    if fields is None:
        return attributes
    out: Resource = {}
    for name in fields:
        parent, _, child = name.partition(".")
        if parent not in attributes:
            continue
        if not child:
            out[name] = attributes[name]
        elif isinstance(attributes[parent], dict):
            nested = out.setdefault(parent, {})
            if child in attributes[parent]:
                nested[child] = attributes[parent][child]
        else:
            out[parent] = None
    return out


def _related(kind: str, id_: str, name: str, host: str, data: Iterable[Resource] | None = None) -> Resource:
    links = {
        "self": f"{host}api/{kind}s/{id_}/relationships/{name}/",
        "related": f"{host}api/{kind}s/{id_}/{name}/",
    }
    return {"links": links} if data is None else {"data": list(data), "links": links}


def metric_resource(metric: Metric, host: str, fields: Fields, triggered: list[Flow] | None, revision: str) -> Resource:
    """Return a metric; ``triggered`` only where flow-triggers are included."""
    attributes = {
        "name": metric.name,
        "created": None if metric.integration is None else _CREATED,
        "updated": None if metric.integration is None else _CREATED,
        "integration": metric.integration,
    }
    data = None if triggered is None else [{"type": "flow", "id": f.id} for f in triggered]
    relations = {"flow-triggers": _related("metric", metric.id, "flow-triggers", host, data)}
    if revision < "2024-10-15":  # the pages that the links lead to are as old
        relations = {}
    return _resource("metric", metric.id, attributes, host, fields, relations)


def flow_resource(
    flow: Flow, host: str, fields: Fields, *, with_actions: bool = False, with_tags: bool = False,
    with_definition: bool = False,
) -> Resource:  # fmt: skip
    """Return a flow, with its definition where it is asked for."""
    attributes: Resource = {
        "name": flow.name,
        "status": flow.status,
        "archived": flow.archived,
        "created": flow.created,
        "updated": flow.updated,
        "trigger_type": flow.trigger_type,
    }
    actions = actions_of(flow)
    if with_definition:
        attributes["definition"] = {
            "triggers": [{"type": "metric", "id": flow.metric_id}] if flow.metric_id else [],
            "profile_filter": None,
            "actions": definitions(actions),
            "entry_action_id": actions[0].id if actions else None,
        }
    action_data = [{"type": "flow-action", "id": a.id} for a in actions] if with_actions else None
    tag_data = [{"type": "tag", "id": id_} for id_, _ in flow.tags] if with_tags else None
    relations = {
        "flow-actions": _related("flow", flow.id, "flow-actions", host, action_data),
        "tags": _related("flow", flow.id, "tags", host, tag_data),
    }
    return _resource("flow", flow.id, attributes, host, fields, relations)


def definitions(actions: list[Action]) -> list[Resource]:
    """Return definitions of a flow's actions, each linked to the next."""
    following = [*(action.id for action in actions[1:]), None]
    return [action.definition(next_id) for action, next_id in zip(actions, following, strict=True)]


def action_resource(action: Action, host: str, fields: Fields, revision: str) -> Resource:
    """Return a flow action, whose shape changed at 2025-10-15."""
    times = {"created": action.flow.created, "updated": action.flow.updated}
    if revision < "2025-10-15":
        attributes: Resource = {"action_type": action.old_type, "status": action.status, **times, "settings": {},
                                "tracking_options": None, "send_options": None, "render_options": None}  # fmt: skip
    else:
        siblings = actions_of(action.flow)
        at = siblings.index(action)
        following = siblings[at + 1].id if at + 1 < len(siblings) else None
        attributes = {"definition": action.definition(following), **times}
    relations = {
        "flow": _related("flow-action", action.id, "flow", host),
        "flow-messages": _related("flow-action", action.id, "flow-messages", host),
    }
    return _resource("flow-action", action.id, attributes, host, fields, relations)


def message_resource(sent: Sent, host: str, fields: Fields, revision: str) -> Resource:
    """Return a flow message, whose shape changed at 2025-10-15 and at 2026-01-15."""
    relations = {"flow-action": _related("flow-message", sent.id, "flow-action", host)}
    return _resource("flow-message", sent.id, sent.attributes(revision), host, fields, relations)


def tag_resource(tag: tuple[str, str], host: str, fields: Fields) -> Resource:
    """Return a tag."""
    return _resource("tag", tag[0], {"name": tag[1]}, host, fields)


def mapped_resource(name: str, metric: Metric | None, host: str, fields: Fields) -> Resource:
    """Return what the account means by a word such as ``revenue``."""
    relations: Resource = {"metric": {"data": None}, "custom-metric": {"data": None}}
    if metric is not None:  # a link leads somewhere, or is not there
        links = _related("mapped-metric", name, "metric", host)
        relations["metric"] = {**links, "data": {"type": "metric", "id": metric.id}}
    return _resource("mapped-metric", name, {"updated": _CREATED}, host, fields, relations)


def account_resource(host: str, fields: Fields) -> Resource:
    """Return the account."""
    attributes = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": "Nordlys Outfitters",
            "default_sender_email": "hello@nordlys.example",
            "website_url": "https://nordlys.example",
            "organization_name": ACCOUNT["name"],
            "street_address": {
                "address1": None,
                "address2": None,
                "city": "Aarhus",
                "region": None,
                "country": "Denmark",
                "zip": None,
            },
        },
        "industry": None,
        "timezone": ACCOUNT["timezone"],
        "preferred_currency": ACCOUNT["currency"],
        "public_api_key": ACCOUNT["id"],
        "locale": ACCOUNT["locale"],
    }
    return _resource("account", ACCOUNT["id"], attributes, host, fields)
