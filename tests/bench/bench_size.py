"""How time and memory of a week's numbers, page and files grow with the flows: 10, 100 and 1,000, in fresh processes.

Run by ``make bench``; prints a row per number of flows and draws them into ``size.png`` (``BENCH_OUT``, else the
temporary folder). Answers are in hand: nothing is asked, the seconds are those of this process and its libraries are
imported before.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from sized_week import sized_week

from flowperf_helpers import connect
from flowperf_helpers.report.data import fetch_week
from flowperf_helpers.report.document import WeeklyReport
from flowperf_helpers.report.export import files

SIZES = (10, 27, 100, 494, 1_000)
GOALS = {27: (0.4, None), 494: (3.0, 500)}
ROUNDS = 3


def peak() -> float:
    """Highest memory of this process so far, in megabytes; ``getrusage`` alone counts what forked it, on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**10
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def measured(path: Path) -> dict[str, Any]:
    """Wall and processor seconds of a week's numbers, page and files (best of three), and memory."""
    import jinja2  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.stats  # noqa: F401
    import xlsxwriter  # noqa: F401

    with path.open("rb") as file:
        answers = pickle.load(file)
    loaded, rounds, highest = peak(), [], 0.0
    for _ in range(ROUNDS):
        started, worked = time.perf_counter(), time.process_time()
        report = WeeklyReport(answers)
        numbers = time.perf_counter() - started
        report.parts()
        files(report)
        rounds.append((time.perf_counter() - started, time.process_time() - worked, numbers))
        highest = highest or peak()
    frames = [frame for frame in vars(answers).values() if hasattr(frame, "memory_usage")]
    seconds, processor, numbers = min(rounds)
    return {
        "rows": sum(map(len, frames)),
        "numbers": numbers,
        "seconds": seconds,
        "processor": processor,
        "loaded": loaded,
        "peak": highest,
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds and memory over the rows of the answers, both axes in powers of ten."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (name, label) in zip(
        figure.subplots(1, 2),
        (("seconds", "seconds, numbers + page + files"), ("peak", "peak memory, MB")),
        strict=True,
    ):
        axes.loglog([r["rows"] for r in rows], [r[name] for r in rows], "o-")
        for row in rows:
            axes.annotate(f"{row['flows']:,}", (row["rows"], row[name]), (4, -10), textcoords="offset points")
        axes.set(xlabel="rows of the answers (label: flows)", title=label)
        axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table and draw it."""
    out = Path(os.environ.get("BENCH_OUT") or tempfile.gettempdir())
    found = []
    with tempfile.TemporaryDirectory() as home:
        week = fetch_week(connect("sandbox", home=home))
        for flows in SIZES:
            path = Path(home) / "answers"
            path.write_bytes(pickle.dumps(sized_week(week, flows)))
            done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
            found.append({"flows": flows, **json.loads(done.stdout)})
    print(f"\n{'flows':>6}{'rows':>10}{'numbers s':>11}{'all s':>8}{'cpu s':>8}{'answers MB':>12}{'peak MB':>9}   goal")
    for row in found:
        seconds, memory = GOALS.get(row["flows"], (None, None))
        goal = ", ".join(f"≤ {g} {unit}" for g, unit in ((seconds, "s"), (memory, "MB")) if g)
        print(
            f"{row['flows']:>6,}{row['rows']:>10,}{row['numbers']:>11.2f}{row['seconds']:>8.2f}{row['processor']:>8.2f}"
            f"{row['loaded']:>12.0f}{row['peak']:>9.0f}   {goal}"
        )
    small, large = (next(row for row in found if row["flows"] == flows) for flows in (100, 1_000))
    rows = large["rows"] / small["rows"]
    for name in ("seconds", "peak"):
        grown = large[name] / small[name]
        print(
            f"{name}: 1,000 flows / 100 flows: {grown:.1f} × for {rows:.1f} × the rows (asked: no more than the rows)"
        )
    draw(found, out / "size.png")
    print(f"drawn: {out / 'size.png'}")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measured(Path(sys.argv[1]))))
    else:
        main()
