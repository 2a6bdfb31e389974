"""A small WSGI app for tests of answers that no sandbox gives: it says what it is told and remembers what it hears."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Script = Callable[[str, Mapping[str, str], Any], tuple[int, Any]]


@dataclass
class ScriptedApp:
    """Answers by calling ``script(path, query, body) -> (status, JSON or bytes)``."""

    script: Script
    heard: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = json.loads(sent) if sent else None
        self.heard.append((path, query, body))
        status, answer = self.script(path, query, body)
        start_response(
            f"{status} Status",
            [
                ("Content-Type", "application/vnd.api+json"),
                ("X-Klaviyo-API-Revision", environ.get("HTTP_REVISION", "2026-10-15")),
            ],
        )
        return [answer if isinstance(answer, bytes) else json.dumps(answer).encode()]

    def paths(self) -> list[str]:
        """Return the paths asked, in order."""
        return [path for path, _, _ in self.heard]


def problem(status: int, detail: str, code: str = "invalid") -> tuple[int, Any]:
    """Return an error answer."""
    return status, {"errors": [{"id": "1", "status": status, "code": code, "title": code, "detail": detail}]}
