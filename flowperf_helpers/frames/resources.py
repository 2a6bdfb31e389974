"""Answers about metrics, flows and messages → tidy frames. Pure: bytes in, frames out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from flowperf_helpers.errors import PayloadError
from flowperf_helpers.frames.payloads import decode, text_of, whole_texts

__all__ = [
    "FLOW_COLUMNS",
    "MESSAGE_COLUMNS",
    "METRIC_COLUMNS",
    "Resource",
    "TriggerMap",
    "account_facts",
    "actions_by_flow",
    "channel_of",
    "flow_triggers_frame",
    "flows_frame",
    "included",
    "message_rows",
    "messages_frame",
    "metrics_frame",
    "primary",
    "related_ids",
    "trigger_map",
]


# Answers about metrics, flows and messages → tidy frames. Pure: bytes in, frames out.
#
# Klaviyo promises no attribute of these resources: whatever is null or left out
# stays NA, a resource without an id is refused, and nothing is filtered that was not asked to be. ::
#
#       metric_id           metric_name integration_id integration_name integration_category
#     0    REcTBe  YourIntegration: Sent SMS  0rG4eQ  YourIntegration                   <NA>
#
#       metric_id flow_id  flow_name flow_status  archived trigger_type                   created  updated
#     0    REcTBe  T7K2j8  Thank you        live     False       Metric 2025-03-01 09:00:00+00:00      NaT
#
# All columns are strings but ``archived`` (``boolean``) and ``created``, ``updated`` (``datetime64[us, UTC]``).

METRIC_COLUMNS = ("metric_id", "metric_name", "integration_id", "integration_name", "integration_category")
FLOW_COLUMNS = ("flow_id", "flow_name", "flow_status", "archived", "trigger_type", "created", "updated")


@dataclass(frozen=True)
class Resource:
    """One resource object of JSON:API.

    Attributes
    ----------
    id : str
        Opaque.
    attributes, relationships : Mapping
        Empty where Klaviyo sent none.
    """

    id: str
    kind: str
    attributes: Mapping[str, Any]
    relationships: Mapping[str, Any]


@dataclass(frozen=True)
class TriggerMap:
    """Which flows each metric triggers, as far as an answer says.

    Attributes
    ----------
    flow_ids : dict of str to tuple of str or None
        Per metric id, in Klaviyo's order; None where the answer holds no relationship data for it.
    flows : DataFrame
        The flows that came with it, columns `FLOW_COLUMNS`.
    """

    flow_ids: dict[str, tuple[str, ...] | None]
    flows: pd.DataFrame


def primary(pages: Iterable[bytes]) -> list[Resource]:
    """Return the resources an answer is about, in order.

    Raises
    ------
    PayloadError
        Not JSON, ``data`` that is neither a resource nor a list of them, or a resource without an id.
    """
    found = []
    for page in pages:
        data = _decoded(page).get("data")
        if data is None:
            raise PayloadError("Klaviyo's answer has no data: it cannot be used; ask again.", place="/data")
        items = [data] if isinstance(data, Mapping) else data
        found += _resources(items, "/data")
    return found


def included(pages: Iterable[bytes], kind: str) -> list[Resource]:
    """Return the resources of one type that came along, each once."""
    found: dict[str, Resource] = {}
    for page in pages:
        for resource in _resources(_decoded(page).get("included") or [], "/included"):
            if resource.kind == kind:
                found.setdefault(resource.id, resource)
    return list(found.values())


def related_ids(resource: Resource, name: str) -> tuple[str, ...] | None:
    """Return the ids of a relationship, None where the answer has only links or nothing."""
    relationship = resource.relationships.get(name)
    data = relationship.get("data") if isinstance(relationship, Mapping) else None
    if isinstance(data, Mapping):
        data = [data]
    if not isinstance(data, list):
        return None
    ids = [item["id"] for item in data if isinstance(item, Mapping) and item.get("id")]
    wrong = next((i for i in ids if not _is_id(i)), None)
    if wrong is not None:
        raise PayloadError(
            f"Klaviyo's answer relates {resource.kind[:40]} {resource.id[:40]} to something whose id is a "
            f"{type(wrong).__name__}: it cannot be used.",
            place=f"/relationships/{name}/data",
        )
    return tuple(dict.fromkeys(map(str, ids)))


def metrics_frame(pages: Sequence[bytes]) -> pd.DataFrame:
    """Shape an answer of ``GET /api/metrics``: one row per metric, columns `METRIC_COLUMNS`, all strings."""
    rows = []
    for metric in primary(pages):
        integration = metric.attributes.get("integration")
        integration = integration if isinstance(integration, Mapping) else {}
        rows.append(
            (metric.id, metric.attributes.get("name"), *(integration.get(key) for key in ("id", "name", "category")))
        )
    return _texts(rows, METRIC_COLUMNS).drop_duplicates(ignore_index=True)


def flows_frame(resources: Iterable[Resource]) -> pd.DataFrame:
    """Shape flow resources: one row per flow, each id once, columns `FLOW_COLUMNS`.

    A resource that is only ``type`` and ``id`` (as Klaviyo answers where attributes are left out) gives a row of NA.
    """
    flows = list({flow.id: flow for flow in resources}.values())
    names = {"flow_name": "name", "flow_status": "status", "trigger_type": "trigger_type"}
    columns: dict[str, Any] = {"flow_id": pd.array([flow.id for flow in flows], dtype="str")}
    for column, key in names.items():
        columns[column] = _text_array([flow.attributes.get(key) for flow in flows], column)
    archived = [flow.attributes.get("archived") for flow in flows]
    columns["archived"] = pd.array([a if isinstance(a, bool) else None for a in archived], dtype="boolean")
    for key in ("created", "updated"):
        columns[key] = _times([flow.attributes.get(key) for flow in flows])
    return pd.DataFrame(columns)[list(FLOW_COLUMNS)]


def trigger_map(pages: Sequence[bytes]) -> TriggerMap:
    """Read ``GET /api/metrics?include=flow-triggers``: the whole account's map of metric to flows."""
    ids = {metric.id: related_ids(metric, "flow-triggers") for metric in primary(pages)}
    return TriggerMap(ids, flows_frame(included(pages, "flow")))


def flow_triggers_frame(flow_ids: Mapping[str, Sequence[str]], flows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per metric × flow.

    Parameters
    ----------
    flow_ids : mapping of metric id to flow ids
        In the order wanted.
    flows : DataFrame
        Of `flows_frame`; a flow it lacks keeps its row, the rest NA.

    Returns
    -------
    DataFrame
        ``metric_id`` and `FLOW_COLUMNS`.
    """
    pairs = [(metric, flow) for metric, ids in flow_ids.items() for flow in ids]
    frame = _texts(pairs, ("metric_id", "flow_id"))
    return frame.merge(flows, on="flow_id", how="left", validate="many_to_one")


def account_facts(pages: Sequence[bytes]) -> dict[str, str | None]:
    """Read ``GET /api/accounts``: the account's ``timezone`` and ``currency``, None where it has none.

    Raises
    ------
    PayloadError
        An answer without an account, or one of the two not text.
    """
    found = primary(pages)
    if not found:
        raise PayloadError("Klaviyo's answer names no account: set timezone in accounts.toml.", place="/data/0")
    facts = {"timezone": "timezone", "currency": "preferred_currency"}
    for key in facts.values():
        if not isinstance(found[0].attributes.get(key), str | None):
            place = f"/data/0/attributes/{key}"
            raise PayloadError(f"Klaviyo's answer about the account holds no text at {place}: ask again.", place=place)
    return {name: found[0].attributes.get(key) for name, key in facts.items()}


def _decoded(page: bytes) -> Mapping[str, Any]:
    body = whole_texts(decode(page))
    if not isinstance(body, Mapping):
        raise PayloadError("Klaviyo's answer is not a JSON:API document: look at what was asked.", place="/")
    return body


def _resources(items: Any, place: str) -> list[Resource]:
    if not isinstance(items, list):
        raise PayloadError(f"Klaviyo's answer holds no list at {place}: it cannot be used.", place=place)
    found = []
    for i, item in enumerate(items):
        if not isinstance(item, Mapping) or not _is_id(item.get("id")):
            raise PayloadError(f"Klaviyo's answer holds a resource without an id at {place}/{i}.", place=f"{place}/{i}")
        parts = [item.get(key) for key in ("attributes", "relationships")]
        attributes, relationships = (part if isinstance(part, Mapping) else {} for part in parts)
        found.append(Resource(str(item["id"]), str(item.get("type", "")), attributes, relationships))
    return found


def _is_id(value: Any) -> bool:
    return value != "" and isinstance(value, (str, int)) and not isinstance(value, bool)


def _text_array(values: Iterable[Any], name: str) -> pd.api.extensions.ExtensionArray:
    return pd.array([text_of(value, f"{name} of resource {i}") for i, value in enumerate(values)], dtype="str")


def _texts(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    listed = list(rows)
    return pd.DataFrame({name: _text_array((row[i] for row in listed), name) for i, name in enumerate(columns)})


_DATED = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)  # pandas reads "now" as a time, too


def _times(values: Sequence[Any]) -> pd.Series:
    texts = [value if isinstance(value, str) and _DATED.match(value) else None for value in values]
    times = pd.to_datetime(pd.Series(texts, dtype="object"), utc=True, errors="coerce", format="ISO8601")
    return times.where(times.dt.year.between(1970, 2199)).astype("datetime64[us, UTC]")


# Flow actions → the messages they send, variations of a test included. Pure.
#
# From revision 2025-10-15 on an action's ``definition`` holds its message; an A/B test (``ab-test`` or ``content-
# experiment``) holds a main action and one whole send action per variation, so the walk
# goes into both.

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
