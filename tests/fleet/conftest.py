"""A small simulated fleet, served and run once for all that looks at what it left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flowperf_helpers.fleet import simulate
from flowperf_helpers.fleet.accounts import Member, Outcome, members
from flowperf_helpers.fleet.command import write_summary
from flowperf_helpers.fleet.run import Fleet, FleetPlan
from flowperf_helpers.fleet.workers import Workers
from flowperf_helpers.klaviyo.rate_limits import scaled_limits

WEEK = "2026-W47"
SCALE = 600.0


@dataclass(frozen=True)
class Ran:
    """A served fleet, the environment that leads to it, and its first run."""

    shops: list[simulate.Shop]
    app: object
    environ: dict[str, str]
    out: Path
    plan: FleetPlan
    outcomes: list[Outcome]

    def members(self, *names: str) -> list[Member]:
        """Sections of the fleet's file."""
        return members(only=names, environ=self.environ)

    def fleet(self, out: Path | str, *names: str, **options: object) -> Fleet:
        """Another run over the same accounts."""
        return Fleet(
            self.members(*names), out=str(out), week=WEEK, environ=self.environ, limits=scaled_limits(SCALE), **options
        )  # type: ignore[arg-type]


class Counted:
    """The served app, counting the report requests that it answered, account by account."""

    def __init__(self, app: object) -> None:
        self.app = app
        self.reports: list[str] = []

    def __call__(self, environ: dict[str, object], start_response: object) -> object:
        if environ["REQUEST_METHOD"] == "POST":
            self.reports.append(str(environ["HTTP_AUTHORIZATION"]))
        return self.app(environ, start_response)  # type: ignore[operator]


def here() -> Workers:
    """Workers of this process, which are there at once."""
    return Workers(lambda: ThreadPoolExecutor(1), 1)


def earlier_week(headline: Mapping[str, Any], week: str) -> dict[str, Any]:
    """A week that found what a later one finds, and one thing more, which the later one no longer has."""
    gone = {"kind": "change", "flow_id": "gone", "statistic": "click_rate", "text": f"Gone since {week}."}
    return {**headline, "week": week, "signals": [*headline["signals"], gone]}


def small_fleet() -> list[simulate.Shop]:
    """Seven accounts of five flows; one of each kind of trouble."""
    shops = simulate.accounts(7, broken=0, outliers=1, flows=5, latency=0.0)
    faults = ["", *simulate.FAULTS, ""]
    return [replace(shop, fault=fault) for shop, fault in zip(shops, faults, strict=True)]


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The small fleet's first run: two accounts done, five broken ones named."""
    folder = tmp_path_factory.mktemp("fleet")
    shops = small_fleet()
    app = Counted(simulate.FleetApp(shops, time_scale=SCALE))
    with simulate.serving(app) as address:
        file = folder / "accounts.toml"
        file.write_text(simulate.accounts_toml(shops, address), encoding="utf-8")
        environ = {
            **os.environ, **simulate.environment(shops),
            "FLOWPERF_ACCOUNTS": str(file), "FLOWPERF_HOME": str(folder / "home"),
        }  # fmt: skip
        fleet = Fleet(
            members(environ=environ), out=str(folder / "out"), week=WEEK, environ=environ, limits=scaled_limits(SCALE)
        )
        plan = fleet.plan()
        outcomes = fleet.run(plan, here())
        write_summary(outcomes, WEEK, str(folder / "out"))
        yield Ran(shops, app, environ, folder / "out", plan, outcomes)
