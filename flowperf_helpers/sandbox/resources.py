"""JSON:API resources of the invented account, its flow actions and messages among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowperf_helpers.sandbox.model import Flow, Message, Metric, Variation, World
from flowperf_helpers.sandbox.problems import invalid_parameter
from flowperf_helpers.sandbox.requests import fields_of
from flowperf_helpers.sandbox.shop import ACCOUNT, SHOP

__all__ = [
    "Action",
    "Fields",
    "Resource",
    "account_resource",
    "action_resource",
    "actions_of",
    "find_action",
    "find_message",
    "flow_resource",
    "mapped_resource",
    "message_resource",
    "metric_resource",
    "sparse",
    "tag_resource",
]


# Actions and messages of the flows as Klaviyo defines them: delays, sends, and tests that hold sends.

_SENDS = {"email": "send-email", "sms": "send-sms", "push-notification": "send-mobile-push"}
_FILTER_NAMES = {"send-email": "SEND_EMAIL", "send-sms": "SEND_SMS", "send-mobile-push": "SEND_PUSH_NOTIFICATION",
                 "time-delay": "TIME_DELAY", "ab-test": "AB_TEST"}  # fmt: skip
_CHANNELS = {"email": "Email", "sms": "SMS", "push-notification": "Push Notification"}


@dataclass(frozen=True)
class Action:
    """One step of a flow; ``message`` is None for a delay."""

    id: str
    flow: Flow
    message: Message | None

    @property
    def type(self) -> str:
        """Klaviyo's kebab-case type."""
        if self.message is None:
            return "time-delay"
        return "ab-test" if self.message.variations else _SENDS[self.message.channel]

    @property
    def old_type(self) -> str:
        """The name before definitions existed."""
        return _FILTER_NAMES[self.type]

    @property
    def status(self) -> str:
        """Status of the send; a delay is live."""
        if self.message is None:
            return "live"
        return self.message.status if self.flow.status == "live" else self.flow.status

    def definition(self, following: str | None) -> dict[str, Any]:
        """Return the whole definition; ``following`` is the next action."""
        if self.message is None:
            data: dict[str, Any] = {"unit": "days", "value": 1, "timezone": "profile", "delay_until_weekdays": None}
            return {"id": self.id, "type": self.type, "links": {"next": following}, "data": data}
        if not self.message.variations:
            return {**_send(self.id, self.message, self.message.id, self.message.name, self.status),
                    "links": {"next": following}}  # fmt: skip
        arms = [_send(_number(arm.id), self.message, arm.id, arm.name, self.status) for arm in self.message.variations]
        test = {
            "id": f"exp-{self.id}",
            "name": f"Test of {self.message.name}",
            "variations": arms,
            "allocations": {arm.id: arm.share for arm in self.message.variations},
            "started": f"{self.message.variations[0].starts}T00:00:00+00:00",
            "winner_metric": "click-rate",
        }
        main = _send(_number(self.message.id + "/main"), self.message, self.message.id, self.message.name, self.status)
        data = {"experiment_status": "live", "main_action": main, "current_experiment": test, "status": self.status}
        return {"id": self.id, "type": self.type, "links": {"next": following}, "data": data}


@dataclass(frozen=True)
class Sent:
    """A message, or one arm of its test, as the messages endpoint shows it."""

    id: str
    name: str
    message: Message
    flow: Flow

    def attributes(self, revision: str) -> dict[str, Any]:
        """Attributes, whose shape changed at 2025-10-15 and at 2026-01-15."""
        times = {"created": self.flow.created, "updated": self.flow.updated}
        channel = _CHANNELS[self.message.channel]
        if revision < "2025-10-15":
            content = {"subject": self.name, "preview_text": ""} if channel == "Email" else {"body": self.name}
            return {"name": self.name, "channel": channel, "content": content, **times}
        shown: dict[str, Any] = {"definition": _content(self.id, self.name, self.message), **times}
        return {**shown, "channel": channel} if revision >= "2026-01-15" else shown


def actions_of(flow: Flow) -> list[Action]:
    """Return a flow's steps in order, a day's delay between two messages."""
    found: list[Action] = []
    for index, message in enumerate(flow.messages):
        if index:
            found.append(Action(_number(f"{flow.id}/delay/{index}"), flow, None))
        found.append(Action(_number(f"{flow.id}/{message.id}"), flow, message))
    return found


def sent_by(action: Action) -> list[Sent]:
    """Return the messages of an action: its own and those of its test."""
    if action.message is None:
        return []
    arms: tuple[Variation, ...] = action.message.variations
    own = Sent(action.message.id, action.message.name, action.message, action.flow)
    return [own, *(Sent(arm.id, arm.name, action.message, action.flow) for arm in arms)]


def find_action(world: World, action_id: str) -> Action | None:
    """Return the action of an id, or None."""
    return next((action for action in _all_actions(world) if action.id == action_id), None)


def find_message(world: World, message_id: str) -> Sent | None:
    """Return the message of an id, or None."""
    return next((sent for action in _all_actions(world) for sent in sent_by(action) if sent.id == message_id), None)


def _all_actions(world: World) -> Iterator[Action]:
    for flow in world.flows:
        if flow.listed:
            yield from actions_of(flow)


def _send(action_id: str, message: Message, message_id: str, name: str, status: str) -> dict[str, Any]:
    data = {"message": _content(message_id, name, message), "status": status}
    return {"id": action_id, "type": _SENDS[message.channel], "links": {"next": None}, "data": data}


def _content(message_id: str, name: str, message: Message) -> dict[str, Any]:
    always = {"smart_sending_enabled": True, "transactional": False, "add_tracking_params": False,
              "custom_tracking_params": None, "additional_filters": None}  # fmt: skip
    if message.channel != "email":
        return {"id": message_id, "name": name, "body": name, **always}
    return {
        "id": message_id, "name": name, "from_email": "hello@nordlys.example", "from_label": SHOP,
        "reply_to_email": None, "cc_email": None, "bcc_email": None, "subject_line": name, "preview_text": "",
        "template_id": None, **always,
    }  # fmt: skip


def _number(name: str) -> str:
    """Ids of actions are numeric strings."""
    return str(10_000_000 + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") % 89_999_999)


# JSON:API resources of the invented account: what a GET answer is made of.

Resource = dict[str, Any]
Fields = tuple[str, ...] | None

_CREATED = "2023-12-11T08:02:11+00:00"


def sparse(kind: str, args: Mapping[str, str], revision: str, *more: str) -> Fields:
    """Read ``fields[kind]``; None where everything is wanted. ``more`` are fields of this endpoint alone.

    Raises
    ------
    Problem
        400 for a name that is not a field at this revision.
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
            "default_sender_name": SHOP,
            "default_sender_email": "hello@nordlys.example",
            "website_url": "https://nordlys.example",
            "organization_name": ACCOUNT["name"],
            "street_address": {"address1": None, "address2": None, "city": "Aarhus", "region": None,
                               "country": "Denmark", "zip": None},
        },
        "industry": None,
        "timezone": ACCOUNT["timezone"],
        "preferred_currency": ACCOUNT["currency"],
        "public_api_key": ACCOUNT["id"],
        "locale": ACCOUNT["locale"],
    }  # fmt: skip
    return _resource("account", ACCOUNT["id"], attributes, host, fields)
