"""JSON:API resources of the invented account, its flow actions and messages among them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowperf_helpers.sandbox.call import REVISIONS, Call, Problem
from flowperf_helpers.sandbox.shop import ACCOUNT, SHOP, Flow, Message, Metric, Variation, World

__all__ = ["DEFINITION", "KINDS", "MAPPED", "Action", "Kind", "Mapped", "Named", "Related", "Resource", "Sent"]

Resource = dict[str, Any]


# Actions and messages of the flows as Klaviyo defines them: delays, sends, and tests that hold sends.

_SENDS = {"email": "send-email", "sms": "send-sms", "push-notification": "send-mobile-push"}
_OLD_TYPES = {"send-email": "SEND_EMAIL", "send-sms": "SEND_SMS", "send-mobile-push": "SEND_PUSH_NOTIFICATION",
              "time-delay": "TIME_DELAY", "ab-test": "AB_TEST"}  # fmt: skip
"""Names of types before definitions existed."""
_CHANNELS = {"email": "Email", "sms": "SMS", "push-notification": "Push Notification"}


class Sent(NamedTuple):
    """A message, or one arm of its test, and the action that sends it."""

    id: str
    name: str
    message: Message
    action: Action

    def content(self) -> Resource:
        """Return what is sent."""
        always = {"smart_sending_enabled": True, "transactional": False, "add_tracking_params": False,
                  "custom_tracking_params": None, "additional_filters": None}  # fmt: skip
        if self.message.channel != "email":
            return {"id": self.id, "name": self.name, "body": self.name, **always}
        return {
            "id": self.id, "name": self.name, "from_email": "hello@nordlys.example", "from_label": SHOP,
            "reply_to_email": None, "cc_email": None, "bcc_email": None, "subject_line": self.name,
            "preview_text": "", "template_id": None, **always,
        }  # fmt: skip

    def definition(self, action_id: str, following: str | None = None) -> Resource:
        """Return the definition of an action that sends this alone."""
        data = {"message": self.content(), "status": self.action.status}
        return {"id": action_id, "type": _SENDS[self.message.channel], "links": {"next": following}, "data": data}


@dataclass(frozen=True)
class Action:
    """One step of a flow, and the id of the next one; ``message`` is None for a delay."""

    id: str
    flow: Flow
    message: Message | None
    following: str | None

    @property
    def type(self) -> str:
        """Klaviyo's kebab-case type."""
        if self.message is None:
            return "time-delay"
        return "ab-test" if self.message.variations else _SENDS[self.message.channel]

    @property
    def status(self) -> str:
        """Status of the send; a delay is live."""
        if self.message is None:
            return "live"
        return self.message.status if self.flow.status == "live" else self.flow.status

    def sent(self) -> list[Sent]:
        """Return the messages: its own and those of its test."""
        if self.message is None:
            return []
        named: tuple[Message | Variation, ...] = (self.message, *self.message.variations)
        return [Sent(one.id, one.name, self.message, self) for one in named]

    def definition(self) -> Resource:
        """Return the whole definition."""
        if self.message is None:
            data: Resource = {"unit": "days", "value": 1, "timezone": "profile", "delay_until_weekdays": None}
            return {"id": self.id, "type": self.type, "links": {"next": self.following}, "data": data}
        own, *arms = self.sent()
        if not arms:
            return own.definition(self.id, self.following)
        test = {
            "id": f"exp-{self.id}",
            "name": f"Test of {self.message.name}",
            "variations": [arm.definition(_number(arm.id)) for arm in arms],
            "allocations": {arm.id: arm.share for arm in self.message.variations},
            "started": f"{self.message.variations[0].starts}T00:00:00+00:00",
            "winner_metric": "click-rate",
        }
        main = own.definition(_number(own.id + "/main"))
        data = {"experiment_status": "live", "main_action": main, "current_experiment": test, "status": self.status}
        return {"id": self.id, "type": self.type, "links": {"next": self.following}, "data": data}


def _actions_of(flow: Flow) -> list[Action]:
    """A flow's steps in order, a day's delay between two messages."""
    steps: list[tuple[str, Message | None]] = []
    for index, message in enumerate(flow.messages):
        if index:
            steps.append((_number(f"{flow.id}/delay/{index}"), None))
        steps.append((_number(f"{flow.id}/{message.id}"), message))
    following = [*(id_ for id_, _ in steps[1:]), None]
    return [Action(id_, flow, message, after) for (id_, message), after in zip(steps, following, strict=False)]


def _number(name: str) -> str:
    """Ids of actions are numeric strings."""
    return str(10_000_000 + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") % 89_999_999)


# What is shown of each kind of resource.

_CREATED = "2023-12-11T08:02:11+00:00"
DEFINITION = "additional-fields[flow]"


class Named(NamedTuple):
    """A tag, or the account."""

    id: str
    name: str


class Mapped(NamedTuple):
    """What the account means by a word such as ``revenue``: a metric, None where it has none."""

    id: str
    metric: Metric | None


def _metric(metric: Metric, call: Call) -> Resource:
    made = None if metric.integration is None else _CREATED
    return {"name": metric.name, "created": made, "updated": made, "integration": metric.integration}


def _flow(flow: Flow, call: Call) -> Resource:
    names = ("name", "status", "archived", "created", "updated", "trigger_type")
    shown: Resource = {name: getattr(flow, name) for name in names}
    if DEFINITION in call.args:
        actions = _actions_of(flow)
        shown["definition"] = {
            "triggers": [{"type": "metric", "id": flow.metric_id}] if flow.metric_id else [],
            "profile_filter": None,
            "actions": [action.definition() for action in actions],
            "entry_action_id": actions[0].id if actions else None,
        }
    return shown


def _action(action: Action, call: Call) -> Resource:
    times = {"created": action.flow.created, "updated": action.flow.updated}
    if call.revision >= "2025-10-15":
        return {"definition": action.definition(), **times}
    return {"action_type": _OLD_TYPES[action.type], "status": action.status, **times, "settings": {},
            "tracking_options": None, "send_options": None, "render_options": None}  # fmt: skip


def _message(sent: Sent, call: Call) -> Resource:
    times = {"created": sent.action.flow.created, "updated": sent.action.flow.updated}
    channel = _CHANNELS[sent.message.channel]
    if call.revision < "2025-10-15":
        content = {"subject": sent.name, "preview_text": ""} if channel == "Email" else {"body": sent.name}
        return {"name": sent.name, "channel": channel, "content": content, **times}
    shown: Resource = {"definition": sent.content(), **times}
    return {**shown, "channel": channel} if call.revision >= "2026-01-15" else shown


def _account(account: Named, call: Call) -> Resource:
    return {
        "test_account": True,
        "contact_information": {
            "default_sender_name": SHOP,
            "default_sender_email": "hello@nordlys.example",
            "website_url": "https://nordlys.example",
            "organization_name": account.name,
            "street_address": {"address1": None, "address2": None, "city": "Aarhus", "region": None,
                               "country": "Denmark", "zip": None},
        },
        "industry": None,
        "timezone": ACCOUNT["timezone"],
        "preferred_currency": ACCOUNT["currency"],
        "public_api_key": account.id,
        "locale": ACCOUNT["locale"],
    }  # fmt: skip


# Where an id is found.

MAPPED = {"revenue": "RplOrd", "added_to_cart": "RplCrt", "started_checkout": "RplChk", "viewed_product": "RplVwd",
           "ordered_product": "RplOpr", "refunded_sales": "RplRef", "cancelled_sales": "RplCnc"}  # fmt: skip


def _actions_in(world: World) -> Iterable[Action]:
    return (action for flow in world.flows if flow.listed for action in _actions_of(flow))


def _find_action(world: World, action_id: str) -> Action | None:
    if not action_id.isdigit():
        raise Problem(400, "invalid", "Invalid input.", "Invalid flow action id.")
    return next((action for action in _actions_in(world) if action.id == action_id), None)


def _find_message(world: World, message_id: str) -> Sent | None:
    return next((sent for action in _actions_in(world) for sent in action.sent() if sent.id == message_id), None)


def _find_tag(world: World, tag_id: str) -> Named | None:
    return next((Named(*tag) for flow in world.flows for tag in flow.tags if tag[0] == tag_id), None)


def _find_account(world: World, account_id: str) -> Named | None:
    return Named(account_id, ACCOUNT["name"]) if account_id == ACCOUNT["id"] else None


def _find_mapped(world: World, name: str) -> Mapped | None:
    return Mapped(name, world.metric(MAPPED[name])) if name in MAPPED else None


# The table of resources.


@dataclass(frozen=True)
class Related:
    """What stands under the name of a relationship.

    Attributes
    ----------
    kind : str
        Of `KINDS`.
    of : callable
        Takes a resource and the world, returns a list, or the only one or None.
    is_paged : bool
        Whether it comes in pages of 50.
    since : str
        First revision that has it.
    """

    kind: str
    of: Callable[[Any, World], Any]
    is_paged: bool = False
    since: str = REVISIONS[0]


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    Attributes
    ----------
    find : callable
        Takes the world and an id; None where nobody has it.
    attributes : callable
        Takes a resource and the call.
    tier, scope, since : str
        Of its endpoints.
    related : dict of str to Related
        By the relationship's name.
    also : tuple of str
        Query parameters of what an answer may include of them.
    """

    find: Callable[[World, str], Any]
    attributes: Callable[[Any, Call], Resource]
    tier: str
    scope: str
    related: Mapping[str, Related] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    since: str = REVISIONS[0]


KINDS = {
    "metric": Kind(
        World.metric, _metric, "M", "metrics:read",
        {"flow-triggers": Related("flow", lambda metric, world: world.triggered_by(metric.id), since="2024-10-15")},
        ("include", "fields[flow]"),
    ),
    "flow": Kind(
        World.flow, _flow, "S", "flows:read",
        {"flow-actions": Related("flow-action", lambda flow, _: _actions_of(flow), is_paged=True),
         "tags": Related("tag", lambda flow, _: [Named(*tag) for tag in flow.tags])},
        ("include", "fields[flow-action]", "fields[tag]"),
    ),
    "flow-action": Kind(
        _find_action, _action, "S", "flows:read",
        {"flow": Related("flow", lambda action, _: action.flow),
         "flow-messages": Related("flow-message", lambda action, _: action.sent(), is_paged=True)},
    ),
    "flow-message": Kind(
        _find_message, _message, "S", "flows:read",
        {"flow-action": Related("flow-action", lambda sent, _: sent.action)},
    ),
    "tag": Kind(_find_tag, lambda tag, _: {"name": tag.name}, "S", "tags:read"),
    "account": Kind(_find_account, _account, "XS", "accounts:read"),
    "mapped-metric": Kind(
        _find_mapped, lambda *_: {"updated": _CREATED}, "S", "metrics:read",
        {"metric": Related("metric", lambda mapped, _: mapped.metric)}, since="2025-07-15",
    ),
}  # fmt: skip
"""Kind → how it is found, shown and related."""
