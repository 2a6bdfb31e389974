"""What the same question costs: our plan, one request per flow, and PyPI's klaviyo-api in the way of its example.

The question: values and a weekly series of the last four weeks, for six flows. All three ask the sandbox served over
HTTP with Klaviyo's limits enforced on a clock that runs `SCALE` times faster; the seconds printed are Klaviyo's.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from werkzeug.serving import WSGIRequestHandler, make_server

from flowperf_helpers.account.account import connect
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import Ledger, scaled_limits
from flowperf_helpers.klaviyo.settings import account_settings
from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app

SCALE = 10.0
FLOWS = 6
WINDOW = ("2026-10-26", "2026-11-22")
STATISTICS = ["recipients", "delivered", "clicks_unique", "click_rate", "conversions"]
KEY = "sandbox-key"


class Counting:
    """The sandbox, counting report requests and refusals."""

    def __init__(self) -> None:
        self.app = sandbox_app(now=SANDBOX_NOW, enforce_limits=True, time_scale=SCALE)
        self.reports = self.refused = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def start(status: str, headers: Any, *rest: Any) -> Any:
            if "-reports" in environ["PATH_INFO"]:
                self.reports += 1
                self.refused += status.startswith("429")
            return start_response(status, headers, *rest)

        return self.app(environ, start)


class Handler(WSGIRequestHandler):
    """Whole answers in one packet, no log."""

    wbufsize = -1
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def account(url: str, home: Path) -> Any:
    """Return the served sandbox as a real account, paced on the fast clock."""
    environ = {"KLAVIYO_API_KEY": KEY, "KLAVIYO_BASE_URL": url, "FLOWPERF_HOME": str(home)}
    settings = account_settings("live", environ=environ)

    limiter = RateLimiter(
        Ledger(home / "ledger.sqlite3"),
        host=settings.host,
        fingerprint=settings.credentials.fingerprint if settings.credentials else "",
        limits=scaled_limits(SCALE),
        quiet=True,
    )
    return connect("live", environ=environ, home=home, pacing=limiter, timezone="Europe/Copenhagen")


def our_plan(url: str, flows: list[str], home: Path) -> str:
    """All flows of a question in one request."""
    ours = account(url, home)
    asked = {"timeframe": WINDOW, "statistics": STATISTICS, "flow_ids": flows}
    wishes = [*ours.wanted("RplOrd", **asked), *ours.wanted("RplOrd", interval="weekly", **asked)]
    values, series = ours.run(wishes)
    return f"{values['flow_id'].nunique()} flows, {len(values)} + {len(series)} rows"


def one_per_flow(url: str, flows: list[str], home: Path) -> str:
    """Values and series of each flow by itself, with our client and pacing."""
    ours = account(url, home)
    frames = []
    for flow in flows:
        asked = {"timeframe": WINDOW, "statistics": STATISTICS, "flow_ids": [flow]}
        frames.append(ours.flow_values("RplOrd", **asked))
        frames.append(ours.flow_series("RplOrd", interval="weekly", **asked))
    return f"{pd.concat(frames[::2])['flow_id'].nunique()} flows"


def official_example(url: str, flows: list[str], home: Path) -> str:
    """Klaviyo's SDK with its default retries, a request per flow and report."""
    from klaviyo_api import KlaviyoAPI

    sdk = KlaviyoAPI(KEY, test_host=url)
    given = 0
    lost = 0
    timeframe = {"start": f"{WINDOW[0]}T00:00:00+00:00", "end": f"{WINDOW[1]}T23:59:59+00:00"}
    for flow in flows:
        for kind in ("values", "series"):
            attributes: dict[str, Any] = {
                "statistics": STATISTICS,
                "timeframe": timeframe,
                "conversion_metric_id": "RplOrd",
                "filter": f'equals(flow_id,"{flow}")',
            }
            if kind == "series":
                attributes["interval"] = "weekly"
            body = {"data": {"type": f"flow-{kind}-report", "attributes": attributes}}
            try:
                getattr(sdk.Reporting, f"query_flow_{kind}")(body)
                given += 1
            except Exception:  # the SDK gives up after its retries: that is a finding, not a failure of the benchmark
                lost += 1
    return f"{given} answers, {lost} given up"


def main() -> None:
    """Print one row per way of asking."""
    # our rows come first: the table is read from the top
    flows = connect("sandbox", home=tempfile.mkdtemp()).flows()
    chosen = flows.loc[flows["flow_status"].eq("live") & flows["trigger_type"].eq("Metric"), "flow_id"].tolist()[:FLOWS]
    rows = []
    for name, ask in (
        ("our plan", our_plan),
        ("one request per flow", one_per_flow),
        ("klaviyo-api", official_example),
    ):
        app = Counting()
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory() as home:
            started = time.perf_counter()
            got = ask(f"http://127.0.0.1:{server.server_port}", chosen, Path(home))
            seconds = (time.perf_counter() - started) * SCALE
        server.shutdown()
        rows.append([name, app.reports, app.refused, f"{seconds:,.0f}", got])
    columns = ["way of asking", "report requests", "refused (429)", "seconds at Klaviyo's clock", "got"]
    print(f"\nThe same question for {FLOWS} flows, limits enforced, clock × {SCALE:.0f}")
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))


if __name__ == "__main__":
    for variable in [name for name in os.environ if name.startswith(("KLAVIYO_", "FLOWPERF_"))]:
        del os.environ[variable]
    main()
