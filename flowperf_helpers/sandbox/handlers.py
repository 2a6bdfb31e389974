"""What each endpoint answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from werkzeug.wrappers import Request

from flowperf_helpers.sandbox.call import Answer, Call, Endpoint, Fields, Problem, invalid, invalid_parameter, not_found
from flowperf_helpers.sandbox.filters import filter_flows, filter_metrics, sort_flows
from flowperf_helpers.sandbox.reports import make_report
from flowperf_helpers.sandbox.requests import read_report
from flowperf_helpers.sandbox.resources import DEFINITION, KINDS, MAPPED, Mapped, Resource
from flowperf_helpers.sandbox.shop import ACCOUNT

__all__ = ["ENDPOINTS"]

Links = Mapping[str, str | None]


# How resources are shown, and what is related to them.


def _identified(kind: str, found: Any) -> Any:
    """Type and id alone, of each one in a list."""
    if isinstance(found, list):
        return [_identified(kind, one) for one in found]
    return None if found is None else {"type": kind, "id": found.id}


def _shown(call: Call, kind: str, thing: Any, fields: Fields, included: Mapping[str, Any]) -> Resource:
    """One resource; ``included`` is what the answer includes of what is related to it."""
    address = f"{call.host}api/{kind}s/{thing.id}/"
    out: Resource = {"type": kind, "id": thing.id, "attributes": KINDS[kind].attributes(thing, call)}
    if fields is not None:
        out["attributes"] = _picked(out["attributes"], fields)
    elif relations := _relations(call, kind, thing, address, included):  # sparse fieldsets drop relationships too
        out["relationships"] = relations
    return {**out, "links": {"self": address}}


def _relations(call: Call, kind: str, thing: Any, address: str, included: Mapping[str, Any]) -> Resource:
    relations: Resource = {}
    for name, related in KINDS[kind].related.items():
        if call.revision >= related.since:  # the pages that the links lead to are as old
            links = {"self": f"{address}relationships/{name}/", "related": f"{address}{name}/"}
            data = {"data": _identified(related.kind, included[name])} if name in included else {}
            relations[name] = {**data, "links": links}
    if isinstance(thing, Mapped):
        relations["custom-metric"] = {"data": None}
        relations["metric"]["data"] = _identified("metric", thing.metric)
        if thing.metric is None:  # a link leads somewhere, or is not there
            del relations["metric"]["links"]
    return relations


def _picked(attributes: Resource, fields: tuple[str, ...]) -> Resource:
    """Attributes that ``fields`` names, as ``name`` or ``parent.name``."""
    out: Resource = {}
    for name in fields:
        parent, _, child = name.partition(".")
        if parent not in attributes:
            continue
        if not child:
            out[name] = attributes[name]
        elif isinstance(attributes[parent], dict):
            nested = out.setdefault(parent, {})
            if child in attributes[parent]:
                nested[child] = attributes[parent][child]
        else:
            out[parent] = None
    return out


def _document(call: Call, kind: str, fields: Fields, things: Sequence[Any], links: Links) -> Answer:
    """Some resources, and what is related to them where that is included."""
    related = KINDS[kind].related
    wanted = call.included(related)
    fields_of = {name: call.fields(r.kind) for name, r in related.items()}
    found = [{name: r.of(thing, call.world) for name, r in related.items() if name in wanted} for thing in things]
    data = [_shown(call, kind, thing, fields, included) for thing, included in zip(things, found, strict=True)]
    answer: Answer = {"data": data, "links": links}
    if wanted:
        answer["included"] = [
            _shown(call, r.kind, one, fields_of[name], {})
            for name, r in related.items()
            if name in wanted
            for one in {one.id: one for included in found for one in included[name]}.values()
        ]
    return answer


def _alone(call: Call, kind: str, fields: Fields, thing: Any) -> Answer:
    """One resource, not a list of one."""
    answer = _document(call, kind, fields, [thing], {"self": call.url})
    return {**answer, "data": answer["data"][0]}


# Endpoints of resources: of a list, of one resource, and of what is related to one.

METRICS_PER_PAGE = 200
ROWS_PER_PAGE = 50


def _found(call: Call, kind: str, id_: str) -> Any:
    """The resource of an id, or a 404."""
    found = KINDS[kind].find(call.world, id_)
    if found is None:
        raise not_found(kind, id_)
    return found


def _asked(call: Call, kind: str, *also: str) -> Fields:
    """Refuse all parameters but ``fields[kind]`` and ``also``; return the fields that are wanted."""
    call.allow((f"fields[{kind}]", *also))
    return call.fields(kind)


def _metrics(call: Call) -> Answer:
    if "page[size]" in call.args:
        raise invalid_parameter("'page[size]' is not a valid query parameter: the page size is fixed.", "page[size]")
    fields = _asked(call, "metric", *KINDS["metric"].also, "filter", "page[cursor]")
    found = filter_metrics(call.world.metrics, call.args.get("filter"))
    return _document(call, "metric", fields, *call.page(found, METRICS_PER_PAGE))


def _flows(call: Call) -> Answer:
    fields = _asked(call, "flow", *KINDS["flow"].also, "filter", "sort", "page[cursor]", "page[size]")
    size = call.page_size(ROWS_PER_PAGE)
    found = sort_flows(filter_flows(call.world.flows, call.args.get("filter")), call.args.get("sort"))
    return _document(call, "flow", fields, *call.page(found, size))


def _all(kind: str, ids: Iterable[str], call: Call) -> Answer:
    """All resources of a kind that has few."""
    fields = _asked(call, kind)
    things = [_found(call, kind, id_) for id_ in ids]
    return _document(call, kind, fields, things, {"self": call.url, "next": None, "prev": None})


def _one(kind: str, call: Call, id_: str) -> Answer:
    fields = _asked(call, kind, *KINDS[kind].also)
    return _alone(call, kind, fields, _found(call, kind, id_))


def _one_flow(call: Call, flow_id: str) -> Answer:
    """A flow, which alone can show its definition."""
    call.allow(("fields[flow]", *KINDS["flow"].also, DEFINITION))
    has_definition = call.revision >= "2025-01-15"
    if DEFINITION in call.args and not (has_definition and call.args[DEFINITION] == "definition"):
        raise invalid_parameter(f"'{DEFINITION}' takes 'definition'.", DEFINITION)
    fields = call.fields("flow", *(("definition",) if has_definition else ()))
    return _alone(call, "flow", fields, _found(call, "flow", flow_id))


def _related(kind: str, name: str, call: Call, id_: str) -> Answer:
    """What is related to one resource."""
    related = KINDS[kind].related[name]
    also = ("page[cursor]", "page[size]") if related.is_paged else ()
    if name == "flow-actions":
        also = (*also, "filter", "sort")
    fields = _asked(call, related.kind, *also)
    size = call.page_size(100 if name == "flow-messages" and call.revision < "2025-01-15" else ROWS_PER_PAGE)
    for lacking in ("filter", "sort"):
        if lacking in call.args:
            raise invalid_parameter(f"The sandbox has no {lacking} on actions.", lacking)
    found = related.of(_found(call, kind, id_), call.world)
    if found is None:
        raise not_found(related.kind, id_)
    if not isinstance(found, list):
        return _alone(call, related.kind, fields, found)
    rows, links = call.page(found, size) if related.is_paged else (found, {"self": call.url})
    return _document(call, related.kind, fields, rows, links)


def _relationship(kind: str, name: str, call: Call, id_: str) -> Answer:
    """Types and ids alone of what is related to one resource."""
    call.allow(("page[cursor]", "page[size]"))
    answer = _related(kind, name, call, id_)
    data = answer["data"]
    return {"data": [_named(d) for d in data] if isinstance(data, list) else _named(data), "links": answer["links"]}


def _named(data: Resource) -> Resource:
    return {"type": data["type"], "id": data["id"]}


# Endpoints of reports.


def _report(kind: str, call: Call) -> Answer:
    account, fields = call.account, f"fields[{kind}]"
    call.allow(("page_cursor", fields) if call.revision >= "2026-04-15" else ("page_cursor",))
    body = _decoded(call.request)
    asked = read_report(call, kind, body)
    results, date_times = make_report(asked, account)
    page, links = call.page(results, account.page_rows, "page_cursor")
    attributes: Answer = {"results": page}
    if asked.interval is not None:
        attributes["date_times"] = date_times
    if fields in call.args:
        names = call.args[fields].split(",")
        if not set(names) <= {"id", *attributes}:
            raise invalid_parameter(f"'{call.args[fields][:100]}' holds a field that '{kind}' does not have.", fields)
        attributes = {name: value for name, value in attributes.items() if name in names}
    data = {"type": kind, "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}{body!a}")), "attributes": attributes}
    if page:
        data["relationships"] = {
            name: {"data": [{"type": name[:-1], "id": id_} for id_ in dict.fromkeys(r["groupings"][key] for r in page)]}
            for name, key in (("flows", "flow_id"), ("flow-messages", "flow_message_id"))
        }
    answer: Answer = {"data": data, "links": links}
    return {**answer, "meta": {"agent_hints": {"next_steps": []}}} if call.revision >= "2026-07-15" else answer


def _decoded(request: Request) -> Any:
    if "json" not in request.mimetype:
        text = "Send the body as application/vnd.api+json."
        raise Problem(415, "unsupported_media_type", "Unsupported media type.", text)
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise invalid("The request body is not valid JSON.") from None


# The table of endpoints: what each needs.

_LISTS: dict[str, Callable[[Call], Answer]] = {
    "metric": _metrics,
    "flow": _flows,
    "account": partial(_all, "account", (ACCOUNT["id"],)),
    "mapped-metric": partial(_all, "mapped-metric", MAPPED),
}


def _endpoints() -> dict[str, Endpoint]:
    made: dict[str, Endpoint] = {}
    for kind, what in KINDS.items():
        path = f"api/{kind}s"
        if kind in _LISTS:
            made[path] = Endpoint(_LISTS[kind], what.tier, (what.scope,), since=what.since)
        one = _one_flow if kind == "flow" else partial(_one, kind)
        made[f"{path}/<id>"] = Endpoint(one, what.tier, (what.scope,), since=what.since)
        for name, related in what.related.items():
            scopes, since = (what.scope, KINDS[related.kind].scope), max(what.since, related.since)
            for page, answer in ((name, _related), (f"relationships/{name}", _relationship)):
                made[f"{path}/<id>/{page}"] = Endpoint(partial(answer, kind, name), what.tier, scopes, since=since)
    for kind in ("flow-values-report", "flow-series-report"):
        made[f"api/{kind}s"] = Endpoint(partial(_report, kind), "report", ("flows:read",), "POST")
    return made


ENDPOINTS = _endpoints()
"""Path without the leading slash → endpoint."""
