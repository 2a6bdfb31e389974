"""The table of endpoints: where each lives and what it needs (contract, section A)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowperf_helpers.sandbox.call import Answer, Call, Endpoint
from flowperf_helpers.sandbox.flow_calls import (
    action_flow,
    action_messages,
    flow,
    flow_action,
    flow_actions,
    flow_message,
    flow_tags,
    flows,
    message_action,
    tag,
)
from flowperf_helpers.sandbox.lists import check_parameters
from flowperf_helpers.sandbox.metric_calls import (
    account,
    accounts,
    flow_triggers,
    mapped_metric,
    mapped_metrics,
    meant_metric,
    metric,
    metrics,
)
from flowperf_helpers.sandbox.report_calls import series_report, values_report

__all__ = ["ENDPOINTS"]

_METRICS, _FLOWS, _POST = ("metrics:read",), ("flows:read",), ("POST",)
_ACCOUNTS, _TAGS = ("accounts:read",), ("tags:read",)


def _ids(related: Callable[[Call, str], Answer]) -> Callable[[Call, str], Answer]:
    """Make the page of a relationship itself: types and ids of what its related page shows."""

    def answer(call: Call, id_: str) -> Answer:
        check_parameters(call.request.args, ("page[cursor]", "page[size]"))
        got = related(call, id_)
        return {"data": _named(got["data"]), "links": got["links"]}

    return answer


def _named(data: Any) -> Any:
    return [_named(item) for item in data] if isinstance(data, list) else {"type": data["type"], "id": data["id"]}


ENDPOINTS: dict[str, Endpoint] = {
    "api/metrics": Endpoint(metrics, "M", _METRICS),
    "api/metrics/<id>": Endpoint(metric, "M", _METRICS),
    "api/metrics/<id>/flow-triggers": Endpoint(flow_triggers, "M", _METRICS + _FLOWS, since="2024-10-15"),
    "api/metrics/<id>/relationships/flow-triggers": Endpoint(
        _ids(flow_triggers), "M", _METRICS + _FLOWS, since="2024-10-15"
    ),
    "api/flows": Endpoint(flows, "S", _FLOWS),
    "api/flows/<id>": Endpoint(flow, "S", _FLOWS),
    "api/flows/<id>/flow-actions": Endpoint(flow_actions, "S", _FLOWS),
    "api/flows/<id>/relationships/flow-actions": Endpoint(_ids(flow_actions), "S", _FLOWS),
    "api/flows/<id>/tags": Endpoint(flow_tags, "S", _FLOWS + _TAGS),
    "api/flows/<id>/relationships/tags": Endpoint(_ids(flow_tags), "S", _FLOWS + _TAGS),
    "api/flow-actions/<id>": Endpoint(flow_action, "S", _FLOWS),
    "api/flow-actions/<id>/flow": Endpoint(action_flow, "S", _FLOWS),
    "api/flow-actions/<id>/relationships/flow": Endpoint(_ids(action_flow), "S", _FLOWS),
    "api/flow-actions/<id>/flow-messages": Endpoint(action_messages, "S", _FLOWS),
    "api/flow-actions/<id>/relationships/flow-messages": Endpoint(_ids(action_messages), "S", _FLOWS),
    "api/flow-messages/<id>": Endpoint(flow_message, "S", _FLOWS),
    "api/flow-messages/<id>/flow-action": Endpoint(message_action, "S", _FLOWS),
    "api/flow-messages/<id>/relationships/flow-action": Endpoint(_ids(message_action), "S", _FLOWS),
    "api/tags/<id>": Endpoint(tag, "S", _TAGS),
    "api/accounts": Endpoint(accounts, "XS", _ACCOUNTS),
    "api/accounts/<id>": Endpoint(account, "XS", _ACCOUNTS),
    "api/mapped-metrics": Endpoint(mapped_metrics, "S", _METRICS, since="2025-07-15"),
    "api/mapped-metrics/<id>": Endpoint(mapped_metric, "S", _METRICS, since="2025-07-15"),
    "api/mapped-metrics/<id>/metric": Endpoint(meant_metric, "S", _METRICS, since="2025-07-15"),
    "api/mapped-metrics/<id>/relationships/metric": Endpoint(_ids(meant_metric), "S", _METRICS, since="2025-07-15"),
    "api/flow-values-reports": Endpoint(values_report, "report", _FLOWS, _POST),
    "api/flow-series-reports": Endpoint(series_report, "report", _FLOWS, _POST),
}
"""Path without the leading slash → endpoint."""
