"""The variants of the account: the same shop with other troubles."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from flowperf_helpers.sandbox.model import Flow, Message, Metric, World
from flowperf_helpers.sandbox.shop_flows import FLOWS
from flowperf_helpers.sandbox.shop_metrics import METRICS

__all__ = ["ACCOUNT", "VARIANTS", "build_world"]

ACCOUNT = {
    "id": "NrdLys",
    "name": "Nordlys Outfitters (sandbox)",
    "timezone": "Europe/Copenhagen",
    "currency": "EUR",
    "locale": "en-DK",
}

VARIANTS = (
    "default", "quiet", "no_flows", "one_flow", "many_flows", "drafts_only", "no_integration", "no_scope",
    "empty_window", "quota_spent",
)  # fmt: skip
"""Names that `sandbox_app` takes as ``variant``."""

MANY = 500
_API = next(m.integration for m in METRICS if m.id == "RaActv")


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
        raise ValueError(f"The sandbox has no variant {variant!r}: take one of {', '.join(VARIANTS)}.")
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
    return World(variant, metrics, flows, tells_stories=variant not in ("quiet", "many_flows"))


def _event(number: int) -> Metric:
    """One of the several hundred metrics of a large account: three pages of them."""
    return Metric(f"Rz{number:04d}", f"Custom Event {number + 1:03d}", _API, 0.02)


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
