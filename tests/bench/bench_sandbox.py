"""What the sandbox costs: processor seconds of its answers to a whole weekly report, by size of the account."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from typing import Any

from flowperf_helpers.account.account import connect
from flowperf_helpers.report.data import fetch_week
from flowperf_helpers.sandbox import SandboxApp


def main() -> None:
    """Print one row per account."""
    spent = {"answers": 0, "megabytes": 0.0, "seconds": 0.0}
    answer = SandboxApp.__call__

    def timed(app: SandboxApp, environ: Any, start_response: Any) -> Iterable[bytes]:
        start = time.process_time()
        body = b"".join(answer(app, environ, start_response))
        spent["seconds"] += time.process_time() - start
        spent["answers"] += 1
        spent["megabytes"] += len(body) / 1e6
        return [body]

    SandboxApp.__call__ = timed  # type: ignore[method-assign]
    print("\nThe sandbox's answers to a weekly report with its past (494 flows: asked ≤ 5 s)")
    print(f"{'account':<26}{'answers':>8}{'MB':>8}{'processor s':>13}")
    for name, variant in (
        ("27 flows", "default"),
        ("32 flows, rates that move", "wandering"),
        ("494 flows", "many_flows"),
    ):
        spent.update(answers=0, megabytes=0.0, seconds=0.0)
        with tempfile.TemporaryDirectory() as home:
            fetch_week(connect("sandbox", variant=variant, home=home))
        print(f"{name:<26}{spent['answers']:>8}{spent['megabytes']:>8.1f}{spent['seconds']:>13.2f}")


if __name__ == "__main__":
    for variable in [name for name in os.environ if name.startswith(("KLAVIYO_", "FLOWPERF_"))]:
        del os.environ[variable]
    main()
