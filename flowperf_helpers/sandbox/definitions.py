"""Actions and messages of the flows as Klaviyo defines them: delays, sends, and tests that hold sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flowperf_helpers.sandbox.model import Flow, Message, Variation, World

__all__ = ["Action", "actions_of", "find_action", "find_message"]

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
        """Attributes, whose shape changed twice (contract, section A.4)."""
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
    if message.channel == "email":
        return {
            "id": message_id,
            "name": name,
            "from_email": "hello@nordlys.example",
            "from_label": "Nordlys Outfitters",
            "reply_to_email": None,
            "cc_email": None,
            "bcc_email": None,
            "subject_line": name,
            "preview_text": "",
            "template_id": None,
            "smart_sending_enabled": True,
            "transactional": False,
            "add_tracking_params": False,
            "custom_tracking_params": None,
            "additional_filters": None,
        }
    return {
        "id": message_id,
        "name": name,
        "body": name,
        "smart_sending_enabled": True,
        "transactional": False,
        "add_tracking_params": False,
        "custom_tracking_params": None,
        "additional_filters": None,
    }


def _number(name: str) -> str:
    """Ids of actions are numeric strings."""
    return str(10_000_000 + int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") % 89_999_999)
