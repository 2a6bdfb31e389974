"""What the invented account is made of: metrics, flows, messages, variations.

Only shapes; what is invented, and what happens to it, stands in `shop`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

__all__ = ["EPOCH", "FIRST_DAY", "ZONE", "Cell", "Flow", "Message", "Metric", "Moves", "Variation", "World"]

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
                if first_test is None or first_test > m.starts:
                    found.append(Cell(flow, m, None, 1.0, m.starts, _earlier(m.ends, first_test)))
                found.extend(Cell(flow, m, v, v.share, v.starts, m.ends) for v in m.variations)
        return tuple(found)


def _earlier(a: date | None, b: date | None) -> date | None:
    return min((d for d in (a, b) if d is not None), default=None)
