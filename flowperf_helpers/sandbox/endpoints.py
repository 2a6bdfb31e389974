"""The table of endpoints: where each lives and what it needs (contract, section A)."""

from __future__ import annotations

from flowperf_helpers.sandbox.call import Endpoint
from flowperf_helpers.sandbox.flow_calls import action_messages, flow, flow_actions, flow_message, flow_tags, flows
from flowperf_helpers.sandbox.metric_calls import (
    accounts,
    flow_trigger_ids,
    flow_triggers,
    mapped_metric,
    mapped_metrics,
    metric,
    metrics,
)
from flowperf_helpers.sandbox.report_calls import series_report, values_report

__all__ = ["ENDPOINTS"]

_METRICS, _FLOWS, _POST = ("metrics:read",), ("flows:read",), ("POST",)

ENDPOINTS: dict[str, Endpoint] = {
    "api/metrics": Endpoint(metrics, "M", _METRICS),
    "api/metrics/<id>": Endpoint(metric, "M", _METRICS),
    "api/metrics/<id>/flow-triggers": Endpoint(flow_triggers, "M", _METRICS + _FLOWS, since="2024-10-15"),
    "api/metrics/<id>/relationships/flow-triggers": Endpoint(
        flow_trigger_ids, "M", _METRICS + _FLOWS, since="2024-10-15"
    ),
    "api/flows": Endpoint(flows, "S", _FLOWS),
    "api/flows/<id>": Endpoint(flow, "S", _FLOWS),
    "api/flows/<id>/flow-actions": Endpoint(flow_actions, "S", _FLOWS),
    "api/flows/<id>/tags": Endpoint(flow_tags, "S", (*_FLOWS, "tags:read")),
    "api/flow-actions/<id>/flow-messages": Endpoint(action_messages, "S", _FLOWS),
    "api/flow-messages/<id>": Endpoint(flow_message, "S", _FLOWS),
    "api/accounts": Endpoint(accounts, "XS", ("accounts:read",)),
    "api/mapped-metrics": Endpoint(mapped_metrics, "S", _METRICS, since="2025-07-15"),
    "api/mapped-metrics/<id>": Endpoint(mapped_metric, "S", _METRICS, since="2025-07-15"),
    "api/flow-values-reports": Endpoint(values_report, "report", _FLOWS, _POST),
    "api/flow-series-reports": Endpoint(series_report, "report", _FLOWS, _POST),
}
"""Path without the leading slash → endpoint."""
