"""The two report endpoints (contract, sections A.5 and A.6)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from werkzeug.wrappers import Request

from flowperf_helpers.sandbox.call import Answer, Call
from flowperf_helpers.sandbox.lists import check_parameters, page_of
from flowperf_helpers.sandbox.problems import Problem, invalid, invalid_parameter
from flowperf_helpers.sandbox.reports import make_report
from flowperf_helpers.sandbox.rules import read_report

__all__ = ["series_report", "values_report"]


def values_report(call: Call) -> Answer:
    """POST /api/flow-values-reports."""
    return _report(call, "flow-values-report")


def series_report(call: Call) -> Answer:
    """POST /api/flow-series-reports."""
    return _report(call, "flow-series-report")


def _report(call: Call, kind: str) -> Answer:
    args, account = call.request.args, call.account
    allowed = ("page_cursor", f"fields[{kind}]") if call.revision >= "2026-04-15" else ("page_cursor",)
    check_parameters(args, allowed)
    body = _decoded(call.request)
    wall = account.now().replace(tzinfo=None)
    asked = read_report(
        body, kind=kind, revision=call.revision, world=call.world, now=wall, week_starts=account.week_starts
    )
    results, date_times = make_report(
        asked, account.ledger(), denominator=account.denominator, week_starts=account.week_starts
    )
    page, links = page_of(results, account.page_rows, args, call.url, parameter="page_cursor")
    attributes: Answer = {"results": page}
    if asked.interval is not None:
        attributes["date_times"] = date_times
    if f"fields[{kind}]" in args:
        attributes = _picked(attributes, args[f"fields[{kind}]"], kind)
    data: Answer = {
        "type": kind,
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}{body!a}")),
        "attributes": attributes,
    }
    if page:
        data["relationships"] = {
            name: {"data": [{"type": name[:-1], "id": id_} for id_ in dict.fromkeys(r["groupings"][key] for r in page)]}
            for name, key in (("flows", "flow_id"), ("flow-messages", "flow_message_id"))
        }
    answer: Answer = {"data": data, "links": links}
    return {**answer, "meta": {"agent_hints": {"next_steps": []}}} if call.revision >= "2026-07-15" else answer


def _picked(attributes: Answer, asked: str, kind: str) -> Answer:
    names = asked.split(",")
    known = {"id", "results"} | ({"date_times"} if kind == "flow-series-report" else set())
    if not set(names) <= known:
        raise invalid_parameter(f"'{asked[:100]}' holds a field that '{kind}' does not have.", f"fields[{kind}]")
    return {name: value for name, value in attributes.items() if name in names}


def _decoded(request: Request) -> Any:
    if "json" not in request.mimetype:
        raise Problem(415, "unsupported_media_type", "Unsupported media type.",
                      "Send the body as application/vnd.api+json.", pointer="/data/")  # fmt: skip
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON.") from None
