"""Klaviyo's endpoints as flowperf calls them: which scope each needs and how often it may be asked.

Limits and scopes stand on each endpoint's page of https://developers.klaviyo.com/en/reference. They are per endpoint
and account, in fixed windows whose start is not documented. Calls that fit *rolling* windows of the same length fit
every fixed one, so the arithmetic here is that of rolling windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs

__all__ = ["DAY", "REPORTS", "Limit", "endpoint_of", "limits_of", "next_free", "scaled_limits", "scopes_of"]

DAY = 86400.0
GRAIN = 0.001
"""Seconds added to each window: no clock on the way is to be trusted finer."""
REPORTS = ("/api/flow-values-reports", "/api/flow-series-reports")


class Limit(NamedTuple):
    """At most ``calls`` in any ``seconds``."""

    calls: int
    seconds: float


_XS = (Limit(1, 1.0), Limit(15, 60.0))
_S = (Limit(3, 1.0), Limit(60, 60.0))
_M = (Limit(10, 1.0), Limit(150, 60.0))
_REPORT = (Limit(1, 1.0), Limit(2, 60.0), Limit(225, DAY))

_METRICS = ("metrics:read",)
_FLOWS = ("flows:read",)
_TABLE: dict[str, tuple[tuple[Limit, ...], tuple[str, ...]]] = {
    "/api/metrics": (_M, _METRICS),
    "/api/metrics/{id}": (_M, _METRICS),
    "/api/metrics/{id}/flow-triggers": (_M, ("flows:read", "metrics:read")),
    "/api/metrics/{id}/relationships/flow-triggers": (_M, ("flows:read", "metrics:read")),
    "/api/flows": (_S, _FLOWS),
    "/api/flows/{id}": (_S, _FLOWS),
    "/api/flows/{id}/flow-actions": (_S, _FLOWS),
    "/api/flows/{id}/tags": (_S, ("flows:read", "tags:read")),
    "/api/flow-actions/{id}/flow-messages": (_S, _FLOWS),
    "/api/flow-messages/{id}": (_S, _FLOWS),
    "/api/accounts": (_XS, ("accounts:read",)),
    "/api/mapped-metrics": (_S, _METRICS),
    "/api/mapped-metrics/{id}": (_S, _METRICS),
    REPORTS[0]: (_REPORT, _FLOWS),
    REPORTS[1]: (_REPORT, _FLOWS),
}


def endpoint_of(path: str) -> str:
    """Return the endpoint a path belongs to, which is what Klaviyo counts by.

    >>> endpoint_of("/api/metrics/RplOrd/flow-triggers/")
    '/api/metrics/{id}/flow-triggers'
    """
    parts = path.split("?")[0].strip("/").split("/")
    if len(parts) > 2:
        parts[2] = "{id}"
    return "/" + "/".join(parts)


def limits_of(endpoint: str) -> tuple[Limit, ...]:
    """Return the limits of an endpoint; one that is not in the table gets the strictest tier."""
    return _TABLE.get(endpoint, (_XS, ()))[0]


def scopes_of(endpoint: str, query: str = "") -> tuple[str, ...]:
    """Return the scopes a key needs for an endpoint; empty where it is not known.

    What a query includes needs its own scope.

    >>> scopes_of("/api/metrics", "include=flow-triggers")
    ('flows:read', 'metrics:read')
    """
    scopes = _TABLE.get(endpoint, (_XS, ()))[1]
    included = ",".join(parse_qs(query).get("include", [])).split(",")
    return tuple(sorted({*scopes, *_FLOWS})) if "flow-triggers" in included else scopes


def scaled_limits(scale: float) -> Callable[[str], tuple[Limit, ...]]:
    """Return `limits_of` with windows that many times shorter, for a sandbox on a scaled clock (tests, benchmarks)."""

    def limits(endpoint: str) -> tuple[Limit, ...]:
        return tuple(Limit(limit.calls, limit.seconds / scale) for limit in limits_of(endpoint))

    return limits


def next_free(times: Sequence[float], limits: Sequence[Limit], now: float) -> float:
    """Return the first moment, from ``now`` on, at which one more call breaks no limit.

    Parameters
    ----------
    times : sequence of float
        Earlier calls, ascending, in seconds.
    limits : sequence of Limit
        Each is kept as a rolling window.
    now : float
        In seconds.

    Examples
    --------
    >>> next_free([0.0, 10.0], [Limit(1, 1.0), Limit(2, 60.0)], now=20.0)
    60.001
    """
    free = now
    for calls, seconds in limits:
        if len(times) >= calls:
            free = max(free, times[-calls] + seconds + GRAIN)
    return free
