"""Nordlys Outfitters: its name, keys and clock, its metrics, flows, planted stories and variants."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flowperf_helpers.sandbox.model import ZONE, Flow, Message, Metric, Moves, Variation, World

__all__ = [
    "ACCOUNT",
    "FLOWS",
    "HOLIDAY",
    "HOLIDAY_STARTS",
    "METRICS",
    "SANDBOX_KEY",
    "SANDBOX_NOW",
    "SANDBOX_TOKEN",
    "SHOP",
    "STORIES",
    "TEST_STARTS",
    "VARIANTS",
    "Story",
    "build_world",
]


# What others need to know of the account before they ask it.

SHOP = "Nordlys Outfitters"

SANDBOX_NOW = datetime(2026, 11, 23, 6, 0, tzinfo=ZoneInfo(ZONE))
"""The frozen moment of ``connect("sandbox")``: a Monday at six, the week 2026-W47 just over."""

SANDBOX_KEY = "sandbox-key"
SANDBOX_TOKEN = "sandbox-token"  # noqa: S105
"""What the invented account lets in; no secret."""

ACCOUNT = {
    "id": "NrdLys",
    "name": f"{SHOP} (sandbox)",
    "timezone": ZONE,
    "currency": "EUR",
    "locale": "en-DK",
}


# Its metrics, tags and flows, as `shop.toml` tells them.

_TOLD = tomllib.loads(Path(__file__).with_name("shop.toml").read_text(encoding="utf-8"))

TEST_STARTS = date(2026, 10, 26)
"""Monday on which the running A/B tests began: four whole weeks before the sandbox's frozen now."""


def _metric(integration: str | None = None, **told: Any) -> Metric:
    shown = _TOLD["integrations"].get(integration)
    if shown and "object" in shown:
        shown = dict.fromkeys(("object", "id", "key", "name", "category")) | shown
    return Metric(**told, integration=shown)


def _message(variations: Mapping[str, str] | None = None, **told: Any) -> Message:
    arms = tuple(Variation(id_, name, 0.5, TEST_STARTS) for id_, name in (variations or {}).items())
    return Message(**_TOLD["channels"][told["channel"]] | told, variations=arms)


def _flow(
    messages: Sequence[Mapping[str, Any]] = (), tags: Sequence[str] = (), created: date = date(2023, 12, 11),
    updated: date = date(2026, 10, 26), **told: Any,
) -> Flow:  # fmt: skip
    return Flow(
        **told,
        created=f"{created}T09:12:44+00:00",
        updated=f"{updated}T07:31:05+00:00",
        messages=tuple(_message(**m) for m in messages),
        tags=tuple((_TOLD["tags"][name], name) for name in tags),
    )


METRICS = tuple(_metric(**told) for told in _TOLD["metrics"])
"""All metrics, in the order Klaviyo lists them."""

FLOWS = tuple(_flow(**told) for told in _TOLD["flows"])
"""All flows; the last one was deleted and only reports still know it."""

FEW_RECIPIENTS = tuple(
    _flow(
        id=f"Fw{number:04d}", name=name, metric_id="RaActv",
        messages=[{"id": f"Wu{number}aEm", "name": f"{name}: Email", "channel": "email", "per_day": per_day,
                   "opens": 0.44, "clicks": 0.06, "converts": 0.014}],
    )
    for number, (name, per_day) in enumerate(_TOLD["few_recipients"].items())
)  # fmt: skip
"""Flows of 4 to 150 recipients a week that only the variants with moving rates have."""


# What is planted in the numbers: one table, read by the generator and by whoever wants to know the truth.


@dataclass(frozen=True)
class Story:
    """One planted change.

    Attributes
    ----------
    story : str
        Its name.
    flow_id, flow_message_id : str
        Where it happens.
    statistic : str
        The statistic that shows it.
    first_day, last_day : date
        Account days on which it holds; ``last_day`` None where it goes on.
    direction : {"lower", "higher", "stopped"}
        Which way.
    size : float
        Factor on the true value of the days (0 for a stop).
    variation : str or None
        The only variation it touches.
    """

    story: str
    flow_id: str
    flow_message_id: str
    statistic: str
    first_day: date
    last_day: date | None
    direction: str
    size: float
    variation: str | None = None


STORIES: tuple[Story, ...] = (
    Story("click rate fell", "XbChk1", "Wc1aEm", "click_rate", date(2026, 11, 16), None, "lower", 0.60),
    Story("variation wins", "VwBrw2", "Wb1aEm", "click_rate", TEST_STARTS, None, "higher", 1.45, variation="VbrEmB"),
    Story(
        "spam spike", "RwWin5", "Ww1aEm", "spam_complaint_rate", date(2026, 11, 17), date(2026, 11, 22), "higher", 20.0
    ),
    Story("flow stopped", "UbBis6", "Wk1aEm", "recipients", date(2026, 11, 17), None, "stopped", 0.0),
)
"""The truth about the default variant and those with moving rates; the quiet ones have none of it."""


# How the rates of the variants move by themselves. Nobody knows which of them a real account is like.

HOLIDAY_STARTS = date(2026, 11, 16)
"""Monday of the holiday week, which is the week that the sandbox reports."""

HOLIDAY = {"opens_unique": -0.08, "clicks_unique": -0.15, "conversion_uniques": 0.30}
"""What the holiday adds to the logarithm of the rates of all messages."""

_WANDERING = Moves(own_week=0.08, common_week=0.03, own_day=0.10, common_day=0.04, persistence=0.3, weekday=0.10,
                   trend=-0.05)  # fmt: skip
_STORMY = Moves(own_week=0.15, common_week=0.06, own_day=0.20, common_day=0.06, persistence=0.5, weekday=0.15,
                trend=-0.08)  # fmt: skip
_MOVES = {"wandering": _WANDERING, "stormy": _STORMY, "holiday": replace(_WANDERING, holiday=True)}


# The variants of the account: the same shop with other troubles.

VARIANTS = (
    "default", "calm", "quiet", *_MOVES, *(f"quiet-{name}" for name in _MOVES), "no_flows", "one_flow", "many_flows",
    "drafts_only", "no_integration", "no_scope", "empty_window", "quota_spent",
)  # fmt: skip
"""Names that `sandbox_app` takes as ``variant``; ``calm`` is another name of ``default``."""

MANY = 500


@lru_cache(maxsize=len(VARIANTS))
def build_world(variant: str) -> World:
    """Build one variant of the account.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`.

    Raises
    ------
    ValueError
        No such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"The sandbox has no variant {variant[:40]!r}: take one of {', '.join(VARIANTS)}.")
    metrics, flows = METRICS, FLOWS
    if variant == "no_flows":
        flows = ()
    elif variant == "one_flow":
        flows = tuple(f for f in FLOWS if f.id == "XbChk1")
    elif variant == "many_flows":
        flows = FLOWS + tuple(_copy(number) for number in range(MANY - sum(f.listed for f in FLOWS)))
        metrics = METRICS + tuple(_event(number) for number in range(MANY - len(METRICS)))
    elif variant == "drafts_only":
        flows = tuple(_as_draft(f) for f in FLOWS if f.listed and not f.archived)
    elif variant == "no_integration":
        metrics = tuple(m for m in METRICS if m.integration_name in ("Klaviyo", "API"))
        kept = {m.id for m in metrics}
        flows = tuple(f for f in FLOWS if f.metric_id is None or f.metric_id in kept)
    elif variant == "empty_window":
        flows = tuple(replace(f, messages=tuple(replace(m, per_day=0.0) for m in f.messages)) for f in FLOWS)
    moves = _MOVES.get(variant.removeprefix("quiet-"))
    if moves is not None:
        flows = FLOWS + FEW_RECIPIENTS
    has_stories = variant != "many_flows" and not variant.startswith("quiet")
    return World(variant, metrics, flows, tells_stories=has_stories, moves=moves)


def _event(number: int) -> Metric:
    """One of the several hundred metrics of a large account: three pages of them."""
    return _metric("API", id=f"Rz{number:04d}", name=f"Custom Event {number + 1:03d}", factor=0.02)


def _as_draft(flow: Flow) -> Flow:
    messages = tuple(replace(m, per_day=0.0, status="draft", variations=()) for m in flow.messages)
    return replace(flow, status="draft", messages=messages)


_WORDS = ("Tents", "Boots", "Jackets", "Stoves", "Packs", "Lamps", "Maps", "Ropes", "Skis", "Socks")
_TRIGGERS = ("RplOrd", "RplChk", "RplCrt", "RplVwd", "RplFul", "RjReqs", "RaActv")


def _copy(number: int) -> Flow:
    """One of the several hundred flows of a large account."""
    model = FLOWS[number % 6]
    name = f"{model.name}: {_WORDS[number % 10]} {number // 10 + 1:02d}"
    messages: list[Message] = [
        replace(m, id=f"M{number:03d}{index}x", name=f"{name}, {m.channel} {index + 1}", variations=(),
                per_day=m.per_day / (8 + number % 23))
        for index, m in enumerate(model.messages[:2])
    ]  # fmt: skip
    return replace(model, id=f"Fl{number:04d}", name=name, metric_id=_TRIGGERS[number % 7], messages=tuple(messages),
                   tags=())  # fmt: skip
