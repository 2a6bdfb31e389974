"""Invented accounts, as many as wanted: the sandbox's shop in other sizes, currencies and troubles, also served.

One flow, `TEMPLATE`, stands for the template that an app put into every account. Its rates differ from account to
account as real ones do; some accounts are planted outliers, and from a date of its own each account sends the second
version, tagged ``template-v2``, whose clicks and conversions are ``effect`` times the first one's.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from werkzeug.wrappers import Request, Response

from flowperf_helpers.account.timeframes import iso_week
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.fleet.results import COLUMNS, COUNTS, tidied
from flowperf_helpers.sandbox import SANDBOX_KEY, SandboxApp
from flowperf_helpers.sandbox.app import bound_server
from flowperf_helpers.sandbox.arrivals import Counts
from flowperf_helpers.sandbox.numbers import Floats, Ints, Numbers, day_number
from flowperf_helpers.sandbox.reports import counted_once
from flowperf_helpers.sandbox.shop import FLOWS, METRICS, Flow, Message, Metric, World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "FAULTS", "FLEET_NOW", "METRIC", "TEMPLATE", "FleetApp", "Shop", "accounts", "accounts_toml", "environment",
    "numbers_of", "results", "serving",
]  # fmt: skip

FLEET_NOW = datetime.fromisoformat("2026-11-23T12:00:00+01:00")
"""The frozen moment of a simulated fleet: Monday noon in Europe, so that Sunday is over in every one of its zones."""
TEMPLATE = "Abandoned Checkout"
FAULTS = ("expired", "unavailable", "scope", "metric missing", "metric ambiguous")
"""What a broken account has: a token that Klaviyo no longer takes, 5xx only, a scope that lacks, and two of names."""
OUTLIER_FACTORS = (0.45, 1.9)
METRIC = "Placed Order"
_PLACES = (
    ("Europe/Copenhagen", "DKK", 7.46), ("Europe/Berlin", "EUR", 1.0), ("Europe/London", "GBP", 0.87),
    ("America/New_York", "USD", 1.09), ("Europe/Paris", "EUR", 1.0),
)  # fmt: skip
_VERSIONS = ("template-v1", "template-v2")
_FIRST_SWITCH, _SWITCH_WEEKS = date(2026, 6, 1), 20
_LIVE_FLOWS = tuple(f for f in FLOWS if f.name != TEMPLATE and f.listed and not f.archived)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Shop:
    """One simulated account.

    Attributes
    ----------
    name : str
        Its section, such as ``"shop-0007"``.
    seed : int
        Of its numbers.
    size : float
        Of its audience; 1 is the sandbox's shop.
    rate : float
        Factor on the click and conversion probabilities of the template's flow, an outlier's factor included.
    flows : int
        How many it has.
    timezone, currency : str
    exchange : float
        Units of the currency per euro.
    tags : tuple of str
        To be selected by.
    new_version : date or None
        First day, a Monday, of the template's second version; None where it never came.
    effect : float
        Factor of the second version on clicks and conversions.
    is_outlier : bool
    fault : str
        Of `FAULTS`, or empty.
    latency : float
        Seconds that each answer takes.
    """

    name: str
    seed: int
    size: float = 1.0
    rate: float = 1.0
    flows: int = len(_LIVE_FLOWS) + 1
    timezone: str = "Europe/Copenhagen"
    currency: str = "EUR"
    exchange: float = 1.0
    tags: tuple[str, ...] = ()
    new_version: date | None = None
    effect: float = 1.0
    is_outlier: bool = False
    fault: str = ""
    latency: float = 0.0

    @property
    def key(self) -> str:
        """The private key that its account lets in; no secret."""
        return f"{SANDBOX_KEY}-{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that `environment` keeps the key in."""
        return f"{self.name.upper().replace('-', '_')}_KLAVIYO_KEY"

    def id_of(self, id_: str) -> str:
        """The account's own id for a flow, message or metric of the sandbox's shop, of the same length."""
        digest = hashlib.blake2b(f"{self.name}/{id_}".encode(), digest_size=32).digest()
        return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[: len(id_)])

    @cached_property
    def world(self) -> World:
        """What the account holds, with the tag of the version that it had at `FLEET_NOW`."""
        template = next(f for f in FLOWS if f.name == TEMPLATE)
        order = np.random.default_rng(self.seed).permutation(len(_LIVE_FLOWS))[: self.flows - 1]
        metrics = [m for m in METRICS if m.name != METRIC or m.id == "RplOrd" or self.fault == "metric ambiguous"]
        kept = [template, *(_LIVE_FLOWS[i] for i in sorted(order))]
        return World("quiet", tuple(map(self._metric, metrics)), tuple(map(self._flow, kept)), tells_stories=False)

    def _metric(self, metric: Metric) -> Metric:
        worth = None if metric.order_value is None else metric.order_value * self.exchange
        name = "Order Placed" if self.fault == "metric missing" and metric.name == METRIC else metric.name
        return replace(metric, id=self.id_of(metric.id), name=name, order_value=worth)

    def _flow(self, flow: Flow) -> Flow:
        tags = flow.tags
        if flow.name == TEMPLATE:
            version = self.version(FLEET_NOW.date())
            tags = (*tags, (self.id_of(version), version))
        return replace(
            flow,
            id=self.id_of(flow.id),
            metric_id=flow.metric_id and self.id_of(flow.metric_id),
            messages=tuple(self._message(m, self.rate if flow.name == TEMPLATE else 1.0) for m in flow.messages),
            tags=tags,
        )

    def _message(self, message: Message, rate: float) -> Message:
        return replace(
            message,
            id=self.id_of(message.id),
            per_day=message.per_day * self.size,
            clicks=message.clicks * rate,
            converts=message.converts * rate,
            variations=tuple(replace(v, id=self.id_of(v.id)) for v in message.variations),
        )

    def version(self, day: date) -> str:
        """The template's version on a day, as the tag says it."""
        return _VERSIONS[self.new_version is not None and day >= self.new_version]


class _ShopNumbers(Numbers):
    """Final counts of a simulated account: from a day on, the template's second version."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        super().__init__(shop.world, shop.seed)

    def _factors(self, name: str, days: Ints) -> Floats:
        factors = super()._factors(name, days)
        if name in ("clicks_unique", "conversion_uniques") and self._shop.new_version is not None:
            rows = np.array([c.flow.name == TEMPLATE for c in self.cells], dtype=bool)
            factors[np.ix_(rows, days >= day_number(self._shop.new_version))] *= self._shop.effect
        return factors


@lru_cache(maxsize=64)
def numbers_of(shop: Shop) -> Numbers:
    """Final counts of an account, kept for the accounts asked last."""
    return _ShopNumbers(shop)


def accounts(
    n: int,
    seed: int = 2026,
    *,
    effect: float = 1.2,
    outliers: int = 3,
    broken: float = 0.05,
    flows: int | None = None,
    latency: float = 0.2,
) -> list[Shop]:
    """Invent a fleet.

    Parameters
    ----------
    n : int
        Accounts, 1 to 10,000.
    seed : int
        Another seed, another fleet.
    effect : float
        Of the template's second version; 1 and ``outliers=0`` make the quiet twin, the same accounts with nothing
        planted.
    outliers : int
        Accounts whose template does far worse or far better than the fleet's spread explains; never a broken one.
    broken : float
        Share of accounts with one of `FAULTS`.
    flows : int, optional
        Of every account; left out, 5 to 24.
    latency : float
        Median seconds of an answer.

    Raises
    ------
    ArgumentError
        A number out of bounds.
    """
    if not 1 <= n <= 10_000 or not 0 <= broken <= 1 or outliers < 0:
        raise ArgumentError("A simulated fleet has 1 to 10,000 accounts, and a share of 0 to 1 of them is broken.")
    draw = np.random.default_rng(seed)
    sizes = np.clip(0.08 * np.exp(1.1 * draw.standard_normal(n)), 0.01, 1.5)
    rates = np.exp(0.12 * draw.standard_normal(n))
    counts = draw.integers(5, len(_LIVE_FLOWS) + 2, n) if flows is None else np.full(n, flows)
    places = draw.integers(0, len(_PLACES), n)
    switches = draw.integers(0, _SWITCH_WEEKS, n)
    never = draw.random(n) < 0.15
    slow = latency * np.exp(0.5 * draw.standard_normal(n))
    order = draw.permutation(n)
    faulty = {int(i): FAULTS[k % len(FAULTS)] for k, i in enumerate(order[: round(broken * n)])}
    planted = {int(i): OUTLIER_FACTORS[k % 2] for k, i in enumerate(order[::-1][: min(outliers, n - len(faulty))])}
    made = []
    for i in range(n):
        zone, currency, exchange = _PLACES[places[i]]
        day = None if never[i] else _FIRST_SWITCH + timedelta(weeks=int(switches[i]))
        shop = Shop(
            name=f"shop-{i + 1:04d}",
            seed=seed * 10_000 + i,
            size=float(max(sizes[i], 0.08) if i in planted else sizes[i]),
            rate=float(rates[i] * planted.get(i, 1.0)),
            flows=int(counts[i]),
            timezone=zone,
            currency=currency,
            exchange=exchange,
            new_version=day,
            effect=effect,
            is_outlier=i in planted,
            fault=faulty.get(i, ""),
            latency=float(slow[i]),
        )
        area = "us" if zone.startswith("America") else "eu"
        made.append(replace(shop, tags=(area, shop.version(FLEET_NOW.date()))))
    return made


def results(shops: Sequence[Shop], weeks: Sequence[str]) -> pd.DataFrame:
    """The result dataset of some weeks, straight from the accounts' numbers: what runs would have left, in seconds.

    Broken accounts have no rows. Every conversion has arrived, so every week is final.

    Parameters
    ----------
    shops : sequence of Shop
    weeks : sequence of str
        ISO labels, such as ``"2026-W47"``.

    Returns
    -------
    DataFrame
        As `flowperf_helpers.fleet.results.read` returns it.
    """
    mondays = np.array([day_number(iso_week(week).first) for week in weeks], dtype=np.int64)
    parts = [_rows(shop, weeks, mondays) for shop in shops if not shop.fault] if len(mondays) else []
    return tidied(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS)))


def _rows(shop: Shop, weeks: Sequence[str], mondays: Ints) -> pd.DataFrame:
    """One account's weeks: a row per flow that sent, and the total."""
    first, last = int(mondays.min()), int(mondays.max()) + 7
    numbers = numbers_of(shop)
    metric = next(m for m in shop.world.metrics if m.id == shop.id_of("RplOrd"))
    daily = numbers.engagement(first, last) | numbers.conversions(metric, first, last)
    days = mondays[:, None] - first + np.arange(7)
    sums = {name: values[:, days].sum(axis=2) for name, values in daily.items()}  # [cell, week]
    for name in ("opens_unique", "clicks_unique", "conversion_uniques"):
        sums[name] = counted_once(daily[name][:, days].max(axis=2), sums[name])
    sums["bounced"] = sums["recipients"] - sums["delivered"]
    channel = np.array([c.message.channel for c in numbers.cells])
    known = {"opens_unique": channel != "sms", "spam_complaints": channel == "email", "bounced": channel == "email"}
    flows = list(dict.fromkeys(c.flow for c in numbers.cells))
    of_flow = [[c.flow is flow for c in numbers.cells] for flow in flows] + [[True] * channel.size]
    add_up = np.array(of_flow, dtype=np.int64)
    table: dict[str, Any] = {}
    for name in (*COUNTS, "cents"):
        carries = known.get(name, np.ones(channel.size, dtype=bool))[:, None] & (sums["recipients"] > 0)
        values = add_up @ np.where(carries, sums[name], 0)
        table[name] = pd.arrays.IntegerArray(values.ravel(), (add_up @ carries == 0).ravel())
    by_id = {m.id: m.name or "" for m in shop.world.metrics}
    version = [shop.version(iso_week(week).first) for week in weeks]
    is_template = np.array([f.name == TEMPLATE for f in flows] + [False])
    facts = [(f.id, f.name, by_id.get(f.metric_id or "", "")) for f in flows] + [("", "", "")]
    each = pd.DataFrame(facts, columns=["flow_id", "flow_name", "flow_type"])
    frame = each.loc[each.index.repeat(len(weeks))].assign(
        **table,
        account=shop.name,
        week=np.tile(weeks, len(facts)),
        template_version=np.where(is_template[:, None], version, "").ravel(),
        conversion_value=table["cents"].astype("float64") / 100,
        currency=shop.currency,
        timezone=shop.timezone,
        is_final=True,
        sandbox=True,
        made_at=pd.Timestamp(FLEET_NOW),
    )
    return frame[frame["recipients"].fillna(0) > 0]


# -- the fleet behind HTTP on loopback -------------------------------------------------------------------------------


class _ShopApp(SandboxApp):
    """One account of the fleet: its own world, numbers and windows."""

    def __init__(self, shop: Shop, time_scale: float) -> None:
        super().__init__(
            variant="no_scope" if shop.fault == "scope" else "quiet", seed=shop.seed, now=lambda: FLEET_NOW,
            enforce_limits=True, time_scale=time_scale, denominator="delivered", week_starts="monday",
            page_rows=5000,
        )  # fmt: skip
        self.world = shop.world
        self.shop = shop

    def counts(self) -> Counts:
        return _counts(self.shop)


@lru_cache(maxsize=64)
def _counts(shop: Shop) -> Counts:
    return Counts(numbers_of(shop), FLEET_NOW.replace(tzinfo=None))


class FleetApp:
    """A fleet as a WSGI app: the private key says which account is asked, and each has Klaviyo's windows of its own.

    Parameters
    ----------
    shops : sequence of Shop
        Of `accounts`.
    time_scale : float
        Windows and latencies are that many times shorter: at 60 a minute is a second.
    """

    def __init__(self, shops: Sequence[Shop], *, time_scale: float = 60.0) -> None:
        self._scale = time_scale
        self._apps = {f"Klaviyo-API-Key {shop.key}": _ShopApp(shop, time_scale) for shop in shops}
        self._nobody = next(iter(self._apps.values()))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer as the account whose key it is."""
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
