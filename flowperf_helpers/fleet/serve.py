"""A simulated fleet behind HTTP on loopback: the private key says which account is asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from flowperf_helpers.fleet.simulate import FLEET_NOW, METRIC, Shop, numbers_of
from flowperf_helpers.sandbox import SANDBOX_KEY, SandboxApp
from flowperf_helpers.sandbox.app import bound_server
from flowperf_helpers.sandbox.arrivals import Counts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["accounts_toml", "environment", "fleet_app", "serving"]


class _ShopApp(SandboxApp):
    """One account of the fleet: its own world, numbers and windows."""

    def __init__(self, shop: Shop, *, enforce_limits: bool, time_scale: float) -> None:
        super().__init__(
            variant="no_scope" if shop.fault == "scope" else "quiet", seed=shop.seed, now=lambda: FLEET_NOW,
            enforce_limits=enforce_limits, time_scale=time_scale, denominator="delivered", week_starts="monday",
            page_rows=5000,
        )  # fmt: skip
        self.world = shop.world
        self.shop = shop

    def counts(self) -> Counts:
        return _counts(self.shop)


@lru_cache(maxsize=64)
def _counts(shop: Shop) -> Counts:
    return Counts(numbers_of(shop), FLEET_NOW.replace(tzinfo=None))


class _FleetApp:
    def __init__(self, shops: Sequence[Shop], *, enforce_limits: bool, time_scale: float) -> None:
        self._scale = time_scale
        options: dict[str, Any] = {"enforce_limits": enforce_limits, "time_scale": time_scale}
        self._apps = {f"Klaviyo-API-Key {shop.key}": _ShopApp(shop, **options) for shop in shops}
        self._nobody = next(iter(self._apps.values()))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        app = self._apps.get(environ.get("HTTP_AUTHORIZATION", ""))
        if app is None:
            return self._nobody(environ, start_response)  # refuses the key in Klaviyo's words
        time.sleep(app.shop.latency / self._scale)
        if app.shop.fault == "unavailable":
            body = {"errors": [{"status": 503, "code": "service_unavailable", "title": "Unavailable", "detail": ""}]}
            return Response(json.dumps(body), 503, content_type="application/vnd.api+json")(environ, start_response)
        if app.shop.fault != "expired":
            environ["HTTP_AUTHORIZATION"] = f"Klaviyo-API-Key {SANDBOX_KEY}"
        if Request(environ).path.rstrip("/") == "/api/accounts":
            return _told(app, environ)(environ, start_response)
        return app(environ, start_response)


def _told(app: _ShopApp, environ: WSGIEnvironment) -> Response:
    """The sandbox's answer about the account, with this one's zone and currency."""
    response = Response.from_app(app, environ, buffered=True)
    if response.status_code == 200:
        body = json.loads(response.get_data())
        facts = body["data"][0]["attributes"]
        given = {"timezone": app.shop.timezone, "preferred_currency": app.shop.currency}
        facts |= {name: value for name, value in given.items() if name in facts}
        response.set_data(json.dumps(body))
    return response


def fleet_app(shops: Sequence[Shop], *, enforce_limits: bool = True, time_scale: float = 60.0) -> Any:
    """The fleet as a WSGI app; the private key says which account is asked.

    Parameters
    ----------
    shops : sequence of Shop
        Of `accounts`.
    enforce_limits : bool
        Whether Klaviyo's windows hold, for each account its own.
    time_scale : float
        Windows and latencies are that many times shorter: at 60 a minute is a second.
    """
    return _FleetApp(shops, enforce_limits=enforce_limits, time_scale=time_scale)


@contextmanager
def serving(app: WSGIApplication, *, port: int = 0) -> Iterator[str]:
    """Serve an app on loopback while the block runs, and give its address; a taken port is left for a free one."""
    try:
        server = bound_server(port, app)
    except OSError:
        server = bound_server(0, app)
    thread = threading.Thread(target=server.serve_forever, name="simulated-fleet", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def accounts_toml(shops: Sequence[Shop], address: str) -> str:
    """The ``accounts.toml`` of a served fleet."""
    head = f'[defaults]\nconversion_metric = "{METRIC}"\nbase_url = "{address}"\n'
    sections = (
        f'\n[accounts.{s.name}]\napi_key_env = "{s.variable}"\ntags = {json.dumps(list(s.tags))}\n' for s in shops
    )
    return head + "".join(sections)


def environment(shops: Sequence[Shop]) -> dict[str, str]:
    """The keys of a served fleet by their variables, and its clock."""
    return {s.variable: s.key for s in shops} | {"FLOWPERF_SANDBOX_NOW": FLEET_NOW.isoformat()}
