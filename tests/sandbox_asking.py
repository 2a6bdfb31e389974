"""Asks the embedded account in this process, as tests need it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.test import Client, TestResponse

from flowperf_helpers.sandbox import SANDBOX_KEY, SANDBOX_NOW, SandboxApp, sandbox_app
from flowperf_helpers.sandbox.app import bound_server

NEWEST = "2026-10-15"
WEEK = {"start": "2026-11-16T00:00:00+00:00", "end": "2026-11-22T23:59:59+00:00"}
EVERYTHING = ["flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel"]


def frozen(**options: Any) -> SandboxApp:
    """Make an app whose clock stands at the sandbox's now, unless `now` is given."""
    return sandbox_app(**{"now": SANDBOX_NOW, **options})


@contextmanager
def served(app: SandboxApp) -> Iterator[str]:
    """Serve an app on loopback while the block runs, and give its address."""
    server = bound_server(0, app)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def headers(revision: str = NEWEST, **more: str) -> dict[str, str]:
    """Return what every request carries."""
    return {"Authorization": f"Klaviyo-API-Key {SANDBOX_KEY}", "revision": revision, **more}


def get(app: SandboxApp, path: str, revision: str = NEWEST, **query: str) -> TestResponse:
    """GET with query parameters; ``__`` in a name stands for a bracket: ``page__size`` is ``page[size]``."""
    asked = {_bracketed(name): value for name, value in query.items()}
    return Client(app).get(path, query_string=asked, headers=headers(revision))


def _bracketed(name: str) -> str:
    head, _, tail = name.partition("__")
    return f"{head}[{tail.replace('_', '-')}]" if tail else head


def body(kind: str = "values", **attributes: Any) -> dict[str, Any]:
    """Return a report's body; an attribute that is `...` is left out."""
    given = {"statistics": ["recipients"], "timeframe": WEEK, "conversion_metric_id": "RplOrd", **attributes}
    if kind == "series":
        given.setdefault("interval", "daily")
    kept = {name: value for name, value in given.items() if value is not ...}
    return {"data": {"type": f"flow-{kind}-report", "attributes": kept}}


def post(app: SandboxApp, kind: str, revision: str = NEWEST, query: str = "", **attributes: Any) -> TestResponse:
    """POST a report."""
    return Client(app).post(
        f"/api/flow-{kind}-reports{query}",
        data=json.dumps(body(kind, **attributes)),
        content_type="application/vnd.api+json",
        headers=headers(revision),
    )


def report(app: SandboxApp, kind: str, **attributes: Any) -> dict[str, Any]:
    """POST a report that must succeed; its attributes."""
    answer = post(app, kind, **attributes)
    assert 200 == answer.status_code, answer.text
    return answer.json["data"]["attributes"]


def by_message(attributes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Statistics by message id."""
    return {row["groupings"]["flow_message_id"]: row["statistics"] for row in attributes["results"]}


def error(answer: TestResponse) -> tuple[int, str | None]:
    """Status, and pointer or parameter, of a JSON:API error."""
    assert "application/vnd.api+json" == answer.content_type
    (only,) = answer.json["errors"]
    assert {"id", "code", "title", "detail", "source"} <= set(only)
    return answer.status_code, only["source"].get("pointer") or only["source"].get("parameter")


def days(first: str, last: str) -> dict[str, str]:
    """Return a timeframe of whole days."""
    return {"start": f"{first}T00:00:00+00:00", "end": f"{last}T23:59:59+00:00"}
