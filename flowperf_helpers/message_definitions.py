"""Flow actions → the messages they send, variations of a test included. Pure.

From revision 2025-10-15 on an action's ``definition`` holds its message; an A/B test (``ab-test`` or
``content-experiment``) holds a main action and one whole send action per variation (contract, section A.4), so the
walk goes into both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from flowperf_helpers.payloads import text_of
from flowperf_helpers.resources import Resource, related_ids

__all__ = ["MESSAGE_COLUMNS", "actions_by_flow", "channel_of", "message_rows", "messages_frame"]

MESSAGE_COLUMNS = ("flow_id", "flow_message_id", "flow_message_name", "send_channel", "action_status", "is_variation")

_CHANNELS = {
    "email": "email",
    "sms": "sms",
    "text-message": "sms",
    "push-notification": "push-notification",
    "mobile-push": "push-notification",
    "push": "push-notification",
    "whatsapp": "whatsapp",
}


def channel_of(text: object) -> str | None:
    """Return Klaviyo's report word for a channel written in another of its ways.

    >>> channel_of("SEND_MOBILE_PUSH"), channel_of("Email"), channel_of("time-delay")
    ('push-notification', 'email', None)
    """
    if not isinstance(text, str):
        return None
    return _CHANNELS.get(text.strip().lower().replace("_", "-").replace(" ", "-").removeprefix("send-"))


def message_rows(flow_id: str, definition: object) -> Iterator[dict[str, Any]]:
    """Walk one action's definition and yield a row per message, in `MESSAGE_COLUMNS`.

    Actions that send nothing to people (delays, splits, webhooks, internal alerts) yield nothing.
    """
    yield from _walk(flow_id, definition, status=None, is_variation=False)


def messages_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per flow and message, each once; a message seen as a variation counts as one.

    Returns
    -------
    DataFrame
        `MESSAGE_COLUMNS`; strings, ``is_variation`` bool.
    """
    listed = sorted(rows, key=lambda row: not row["is_variation"])
    columns: dict[str, Any] = {
        name: pd.array([text_of(row.get(name), f"{name} of message {i}") for i, row in enumerate(listed)], dtype="str")
        for name in MESSAGE_COLUMNS[:-1]
    }
    columns["is_variation"] = pd.array([bool(row["is_variation"]) for row in listed], dtype="bool")
    frame = pd.DataFrame(columns).drop_duplicates(["flow_id", "flow_message_id"])
    return frame.sort_values(["flow_id", "flow_message_id"], kind="stable", ignore_index=True)


def actions_by_flow(flows: Iterable[Resource], actions: Iterable[Resource]) -> dict[str, list[Resource]]:
    """Return each flow's actions, whichever side of the relationship Klaviyo filled in."""
    by_id = {action.id: action for action in actions}
    owner = {a: flow.id for flow in flows for a in related_ids(flow, "flow-actions") or ()}
    for action in by_id.values():
        owner.setdefault(action.id, next(iter(related_ids(action, "flow") or ("",))))
    grouped: dict[str, list[Resource]] = {}
    for action_id, flow_id in owner.items():
        if action_id in by_id and flow_id:
            grouped.setdefault(flow_id, []).append(by_id[action_id])
    return grouped


def _walk(flow_id: str, definition: object, *, status: object, is_variation: bool) -> Iterator[dict[str, Any]]:
    if not isinstance(definition, Mapping) or not isinstance(data := definition.get("data"), Mapping):
        return
    status = data.get("status") or status
    channel = channel_of(definition.get("type"))
    message = data.get("message")
    if channel is not None and isinstance(message, Mapping) and message.get("id"):
        yield {
            "flow_id": flow_id,
            "flow_message_id": message["id"],
            "flow_message_name": message.get("name"),
            "send_channel": channel,
            "action_status": status,
            "is_variation": is_variation,
        }
    yield from _walk(flow_id, data.get("main_action"), status=status, is_variation=is_variation)
    experiment = data.get("current_experiment")
    variations = experiment.get("variations") if isinstance(experiment, Mapping) else None
    for variation in variations if isinstance(variations, list) else ():
        yield from _walk(flow_id, variation, status=status, is_variation=True)
