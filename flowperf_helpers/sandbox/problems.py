"""Everything the sandbox refuses, as JSON:API error objects in the forms that were recorded."""

from __future__ import annotations

from typing import Any

__all__ = ["Problem", "invalid", "invalid_parameter", "not_found"]


class Problem(Exception):
    """An answer that is an error.

    Attributes
    ----------
    status : int
        HTTP status, 400 to 499.
    headers : dict
        Headers beside the usual ones (``Retry-After``).
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        headers: dict[str, str] | None = None,
        links: dict[str, str] | None = None,
        meta: Any = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.pointer = pointer
        self.parameter = parameter
        self.headers = headers or {}
        self.links = links or {}
        self.meta = {} if meta is None else meta

    def body(self, error_id: str) -> dict[str, Any]:
        """Return the whole body."""
        source = {"pointer": self.pointer} if self.parameter is None else {"parameter": self.parameter}
        error = {
            "id": error_id,
            "status": self.status,
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "source": {key: value for key, value in source.items() if value is not None},
            "links": self.links,
            "meta": self.meta,
        }
        return {"errors": [error]}


def invalid(detail: str, pointer: str = "/data") -> Problem:
    """Return a 400 about a place in the body."""
    return Problem(400, "invalid", "Invalid input.", detail, pointer=pointer)


def invalid_parameter(detail: str, parameter: str) -> Problem:
    """Return a 400 about a query parameter."""
    return Problem(400, "invalid", "Invalid input.", detail, parameter=parameter)


def not_found(kind: str, resource_id: str) -> Problem:
    """Return a 404 that names what is not there."""
    detail = f"A {kind} with id {resource_id[:200]} does not exist."
    return Problem(404, "not_found", "Not found.", detail, pointer="/data/")
