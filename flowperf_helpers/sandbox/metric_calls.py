"""Metrics, the flows they trigger, and what the account says about itself (contract, sections A.1, A.2, A.7, A.8)."""

from __future__ import annotations

from flowperf_helpers.sandbox.call import Answer, Call
from flowperf_helpers.sandbox.lists import check_parameters, filter_metrics, included, page_of
from flowperf_helpers.sandbox.model import Metric
from flowperf_helpers.sandbox.problems import invalid_parameter, not_found
from flowperf_helpers.sandbox.resources import account_resource, flow_resource, mapped_resource, metric_resource, sparse
from flowperf_helpers.sandbox.world import ACCOUNT

__all__ = [
    "account",
    "accounts",
    "flow_triggers",
    "mapped_metric",
    "mapped_metrics",
    "meant_metric",
    "metric",
    "metrics",
]

METRICS_PER_PAGE = 200
_MAPPED = {"revenue": "RplOrd", "added_to_cart": "RplCrt", "started_checkout": "RplChk", "viewed_product": "RplVwd",
           "ordered_product": "RplOpr", "refunded_sales": "RplRef", "cancelled_sales": "RplCnc"}  # fmt: skip


def metrics(call: Call) -> Answer:
    """GET /api/metrics."""
    args = call.request.args
    if "page[size]" in args:
        raise invalid_parameter("'page[size]' is not a valid query parameter: the page size is fixed.", "page[size]")
    check_parameters(args, ("filter", "fields[metric]", "fields[flow]", "include", "page[cursor]"))
    with_flows = "flow-triggers" in included(args, ("flow-triggers",))
    fields, flow_fields = sparse("metric", args, call.revision), sparse("flow", args, call.revision)
    found = filter_metrics(call.world.metrics, args.get("filter"))
    page, links = page_of(found, METRICS_PER_PAGE, args, call.url)
    data = [
        metric_resource(m, call.host, fields, call.triggered_by(m.id) if with_flows else None, call.revision)
        for m in page
    ]
    answer: Answer = {"data": data, "links": links}
    if with_flows:
        flows = [f for m in page for f in call.triggered_by(m.id)]
        answer["included"] = [flow_resource(f, call.host, flow_fields) for f in flows]
    return answer


def metric(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[metric]", "fields[flow]", "include"))
    with_flows = "flow-triggers" in included(args, ("flow-triggers",))
    fields, flow_fields = sparse("metric", args, call.revision), sparse("flow", args, call.revision)
    found = call.metric(metric_id)
    flows = call.triggered_by(metric_id) if with_flows else None
    answer: Answer = {
        "data": metric_resource(found, call.host, fields, flows, call.revision),
        "links": {"self": call.url},
    }
    if flows is not None:
        answer["included"] = [flow_resource(f, call.host, flow_fields) for f in flows]
    return answer


def flow_triggers(call: Call, metric_id: str) -> Answer:
    """GET /api/metrics/{id}/flow-triggers."""
    args = call.request.args
    check_parameters(args, ("fields[flow]",))
    fields = sparse("flow", args, call.revision)
    flows = call.triggered_by(call.metric(metric_id).id)
    return {"data": [flow_resource(f, call.host, fields) for f in flows], "links": {"self": call.url}}


def accounts(call: Call) -> Answer:
    """GET /api/accounts."""
    args = call.request.args
    check_parameters(args, ("fields[account]",))
    fields = sparse("account", args, call.revision)
    return {"data": [account_resource(call.host, fields)], "links": {"self": call.url, "next": None, "prev": None}}


def account(call: Call, account_id: str) -> Answer:
    """GET /api/accounts/{id}."""
    if account_id != ACCOUNT["id"]:
        raise not_found("account", account_id)
    answer = accounts(call)
    return {"data": answer["data"][0], "links": {"self": call.url}}


def mapped_metrics(call: Call) -> Answer:
    """GET /api/mapped-metrics."""
    args = call.request.args
    check_parameters(args, ("fields[mapped-metric]",))
    fields = sparse("mapped-metric", args, call.revision)
    data = [mapped_resource(name, call.world.metric(id_), call.host, fields) for name, id_ in _MAPPED.items()]
    return {"data": data, "links": {"self": call.url, "next": None, "prev": None}}


def mapped_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}."""
    args = call.request.args
    check_parameters(args, ("fields[mapped-metric]",))
    fields = sparse("mapped-metric", args, call.revision)
    found = _meant(call, name)
    return {"data": mapped_resource(name, found, call.host, fields), "links": {"self": call.url}}


def meant_metric(call: Call, name: str) -> Answer:
    """GET /api/mapped-metrics/{id}/metric."""
    args = call.request.args
    check_parameters(args, ("fields[metric]",))
    fields = sparse("metric", args, call.revision)
    found = _meant(call, name)
    if found is None:
        raise not_found("metric", name)
    return {"data": metric_resource(found, call.host, fields, None, call.revision), "links": {"self": call.url}}


def _meant(call: Call, name: str) -> Metric | None:
    """The metric that a word stands for, None where the account has none, or a 404."""
    if name not in _MAPPED:
        raise not_found("mapped-metric", name)
    return call.world.metric(_MAPPED[name])
