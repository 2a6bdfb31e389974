"""One request on its way to an answer, and what an endpoint is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from werkzeug.wrappers import Request

from flowperf_helpers.sandbox.arrivals import Counts
from flowperf_helpers.sandbox.model import Flow, Metric, World
from flowperf_helpers.sandbox.problems import not_found

__all__ = ["Account", "Answer", "Call", "Endpoint"]

Answer = dict[str, Any]


class Account(Protocol):
    """What an endpoint needs to know of the app."""

    denominator: str
    week_starts: str
    page_rows: int

    def now(self) -> datetime:
        """Return the account's time."""

    def counts(self) -> Counts:
        """Return the counts as known now."""


@dataclass(frozen=True)
class Call:
    """One request on its way: who is asked, what, at which revision, and under which address."""

    account: Account
    world: World
    request: Request
    revision: str
    host: str
    url: str

    def metric(self, metric_id: str) -> Metric:
        """The metric of an id, or a 404."""
        metric = self.world.metric(metric_id)
        if metric is None:
            raise not_found("metric", metric_id)
        return metric

    def flow(self, flow_id: str) -> Flow:
        """The flow of an id, or a 404."""
        flow = self.world.flow(flow_id)
        if flow is None:
            raise not_found("flow", flow_id)
        return flow

    def triggered_by(self, metric_id: str) -> list[Flow]:
        """Flows that a metric triggers, whatever their status."""
        return [f for f in self.world.flows if f.listed and f.trigger_type == "Metric" and f.metric_id == metric_id]


@dataclass(frozen=True)
class Endpoint:
    """Where an answer comes from.

    Attributes
    ----------
    answer : callable
        Takes the call and the ids in the path.
    tier : str
        Of `app.TIERS`.
    needed : tuple of str
        Scopes.
    since : str
        First revision that has it.
    """

    answer: Callable[..., Answer]
    tier: str
    needed: tuple[str, ...]
    methods: tuple[str, ...] = ("GET",)
    since: str = "2024-02-15"

    def scopes(self, call: Call) -> tuple[str, ...]:
        """Scopes that the call needs; including flows needs theirs too."""
        return (*self.needed, "flows:read") if "include" in call.request.args else self.needed
