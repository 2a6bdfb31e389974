"""Nordlys Outfitters, as `shop.toml` tells it: its name, keys and clock, metrics, flows, stories and variants."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

__all__ = [
    "ACCOUNT",
    "EPOCH",
    "FIRST_DAY",
    "FLOWS",
    "HOLIDAY",
    "HOLIDAY_STARTS",
    "METRICS",
    "SANDBOX_KEY",
    "SANDBOX_NOW",
    "SANDBOX_TOKEN",
    "SHOP",
    "STORIES",
    "VARIANTS",
    "ZONE",
    "Cell",
    "Flow",
    "Message",
    "Metric",
    "Moves",
    "Story",
    "Variation",
    "World",
    "build_world",
]


# What an account is made of: metrics, flows, messages, variations.

FIRST_DAY = date(2024, 1, 1)
"""First day on which the account sent anything, a Monday."""

EPOCH = date(2025, 5, 19)
"""Day 0 of the numbers, a Monday; days before it have negative numbers."""

ZONE = "Europe/Copenhagen"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric as Klaviyo shows it, and how often the account's messages lead to it.

    Attributes
    ----------
    factor : float
        Conversions per conversion to the main metric (``RplOrd`` has 1).
    order_value : float or None
        Median value of one event in EUR; None for a metric that carries no values.
    """

    id: str
    name: str | None = None
    integration: dict[str, str | None] | None = field(default=None, hash=False)
    factor: float
    order_value: float | None = None

    @property
    def integration_name(self) -> str | None:
        """Name of the integration, where it has one."""
        return None if self.integration is None else self.integration.get("name")


@dataclass(frozen=True)
class Variation:
    """One arm of a test; ``share`` of the message's recipients get it from ``starts`` on."""

    id: str
    name: str
    share: float
    starts: date


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message with its true rates, each a probability per delivered message.

    Attributes
    ----------
    per_day : float
        Mean recipients a day in spring 2025.
    lost : float
        Share that bounces (e-mail) or fails (text, push).
    segments : int
        Segments per text; 0 elsewhere.
    """

    id: str
    name: str
    channel: str
    per_day: float
    opens: float
    clicks: float
    converts: float
    lost: float
    unsubscribes: float
    complains: float
    segments: int = 0
    starts: date = FIRST_DAY
    ends: date | None = None
    variations: tuple[Variation, ...] = ()
    status: str = "live"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A flow; ``listed`` is false for one that was deleted and only lives on in reports."""

    id: str
    name: str | None = None
    status: str = "live"
    archived: bool = False
    trigger_type: str = "Metric"
    metric_id: str | None = None
    created: str
    updated: str
    messages: tuple[Message, ...]
    tags: tuple[tuple[str, str], ...] = ()
    listed: bool = True


@dataclass(frozen=True)
class Cell:
    """What is counted separately: a message, or one variation of it while a test runs."""

    flow: Flow
    message: Message
    variation: Variation | None
    share: float
    starts: date
    ends: date | None

    @property
    def key(self) -> str:
        """Name that the random numbers are drawn from."""
        return self.message.id if self.variation is None else f"{self.message.id}/{self.variation.id}"


@dataclass(frozen=True)
class Moves:
    """How the true rates of messages move without a cause: standard deviations of their logarithm.

    Attributes
    ----------
    own_week, common_week : float
        From week to week, of each message alone and of all together: AR(1) processes.
    persistence : float
        Correlation of neighbouring weeks.
    own_day, common_day : float
        From day to day.
    weekday : float
        Between the weekdays, a pattern of each message that sums to 0 over a week.
    trend : float
        Change of the logarithm in 13 weeks; the rates of `shop.FLOWS` hold in the week that the sandbox reports.
    volume : float
        Weekly recipients of a message.
    holiday : bool
        Whether the rates of all messages move at once in that week.
    """

    own_week: float
    common_week: float
    own_day: float
    common_day: float
    persistence: float
    weekday: float
    trend: float
    volume: float = 0.08
    holiday: bool = False


@dataclass(frozen=True)
class World:
    """One variant of the account; without ``moves`` its rates stay nearly the same outside the stories."""

    variant: str
    metrics: tuple[Metric, ...]
    flows: tuple[Flow, ...]
    tells_stories: bool
    moves: Moves | None = None

    def metric(self, metric_id: str) -> Metric | None:
        """The metric of an id, or None."""
        return next((m for m in self.metrics if m.id == metric_id), None)

    def flow(self, flow_id: str) -> Flow | None:
        """The listed flow of an id, or None."""
        return next((f for f in self.flows if f.id == flow_id and f.listed), None)

    def triggered_by(self, metric_id: str) -> list[Flow]:
        """Listed flows that a metric triggers, whatever their status."""
        return [f for f in self.flows if f.listed and f.trigger_type == "Metric" and f.metric_id == metric_id]

    def cells(self) -> tuple[Cell, ...]:
        """Everything that is counted separately, in the account's order."""
        found: list[Cell] = []
        for flow in self.flows:
            for m in flow.messages:
                first_test = min((v.starts for v in m.variations), default=None)
                ends = min(filter(None, (m.ends, first_test)), default=None)
                if first_test is None or first_test > m.starts:
                    found.append(Cell(flow, m, None, 1.0, m.starts, ends))
                found.extend(Cell(flow, m, v, v.share, v.starts, m.ends) for v in m.variations)
        return tuple(found)


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


# What is planted in the numbers, and how the rates of the variants move by themselves.


@dataclass(frozen=True, kw_only=True)
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
    last_day: date | None = None
    direction: str
    size: float
    variation: str | None = None


STORIES = tuple(Story(**told) for told in _TOLD["stories"])
"""The truth about the default variant and those with moving rates; the quiet ones have none of it."""

HOLIDAY_STARTS = date(2026, 11, 16)
"""Monday of the holiday week, which is the week that the sandbox reports."""

HOLIDAY = {"opens_unique": -0.08, "clicks_unique": -0.15, "conversion_uniques": 0.30}
"""What the holiday adds to the logarithm of the rates of all messages."""

_MOVES = {name: Moves(**told) for name, told in _TOLD["moves"].items()}


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
