"""From bytes to frame: beside parsing the same bytes, and beside the usual way with pandas. In one run, as ratios.

Time is the best of several rounds, in which all take turns; memory is what the process held at most beyond what it held
before, from the system, in a process of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from flowperf_helpers import series_frame, values_frame
from flowperf_helpers.frames.catalog import STATISTICS

ZONE = "Europe/Copenhagen"
LARGE = (1_000, 31, 60)


def answer(messages: int, statistics: int, intervals: int, *, nulls: bool = False) -> bytes:
    """A series as Klaviyo writes it; with nulls, every tenth array holds one."""
    random = np.random.default_rng(2026)
    names = list(STATISTICS)[:statistics]
    days = pd.date_range("2026-09-01", periods=intervals)
    results = []
    for i in range(messages):
        numbers: dict[str, list[Any]] = {}
        for name in names:
            if STATISTICS[name].is_count:
                numbers[name] = random.integers(0, 5_000, intervals).tolist()
            else:
                scale, digits = (1, 5) if STATISTICS[name].kind == "rate" else (500, 2)
                numbers[name] = np.round(random.random(intervals) * scale, digits).tolist()
            if nulls and random.random() < 0.1:
                numbers[name][int(random.integers(intervals))] = None
        groupings = {"flow_id": f"F{i // 5:05d}", "flow_message_id": f"01GMRWDSA0ARTAKE1SFX{i:06d}"}
        results.append({"groupings": groupings | {"send_channel": "email"}, "statistics": numbers})
    labels = [f"{day:%Y-%m-%d}T00:00:00+00:00" for day in days]
    return json.dumps(
        {"data": {"attributes": {"results": results, "date_times": labels}}}, separators=(",", ":")
    ).encode()


def totals(groups: int) -> bytes:
    """A values answer of ten statistics."""
    attributes = json.loads(answer(groups, 10, 1))["data"]["attributes"]
    for result in attributes["results"]:
        result["statistics"] = {name: numbers[0] for name, numbers in result["statistics"].items()}
    return json.dumps({"data": {"attributes": {"results": attributes["results"]}}}).encode()


def usual(body: bytes) -> pd.DataFrame:
    """The same frame by json_normalize, melt, explode and pivot."""
    attributes = json.loads(body)["data"]["attributes"]
    wide = pd.json_normalize(attributes["results"])
    keys = [name for name in wide.columns if name.startswith("groupings.")]
    long = wide.melt(id_vars=keys, var_name="statistic", value_name="number")
    long["label"] = [attributes["date_times"]] * len(long)
    long = long.explode(["number", "label"])
    frame = long.pivot(index=[*keys, "label"], columns="statistic", values="number").reset_index()  # noqa: PD010
    frame["label"] = pd.to_datetime(frame["label"]).dt.tz_localize(None).dt.tz_localize(ZONE)
    return frame.infer_objects()


def best(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of each call, best of some rounds."""
    taken = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            taken[name] = min(taken[name], 1_000 * (time.perf_counter() - started))
    return taken


def held(way: str) -> tuple[float, float]:
    """Megabytes held at most beyond the bytes, and those of the frame; in a fresh process."""
    body = answer(*LARGE)
    make: Callable[[bytes], Any] = {"ours": series_frame, "usual": usual, "orjson": orjson.loads}[way]
    make(answer(3, 31, 60))
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    made = make(body)
    frame = made.memory_usage(deep=True).sum() / 1e6 if isinstance(made, pd.DataFrame) else float("nan")
    return _status("VmHWM") - before, frame


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def main() -> None:
    """Print the table."""
    body, gaps = answer(*LARGE), answer(*LARGE, nulls=True)
    series_frame(body)
    taken = best(
        {
            "ours": lambda: series_frame(body, ZONE),
            "orjson": lambda: orjson.loads(body),
            "json": lambda: json.loads(body),
            "ours, nulls": lambda: series_frame(gaps, ZONE),
            "orjson, nulls": lambda: orjson.loads(gaps),
        },
        7,
    )
    taken |= best({"usual": lambda: usual(body)}, 2)
    print(
        f"\nFrom bytes to frame: {len(body) / 1e6:.1f} MB, {LARGE[0]:,} messages × {LARGE[1]} statistics × "
        f"{LARGE[2]} days"
    )
    for name, milliseconds in taken.items():
        print(f"  {name:<16}{milliseconds:>8.0f} ms")
    print(f"  ours / orjson.loads of the same bytes  {taken['ours'] / taken['orjson']:>6.2f}   (asked: ≤ 0.6)")
    print(f"  the same with nulls in a tenth         {taken['ours, nulls'] / taken['orjson, nulls']:>6.2f}")
    print(f"  usual / ours                           {taken['usual'] / taken['ours']:>6.1f}   (asked: ≥ 15)")
    small, values = answer(100, 10, 12), totals(10)
    few = best({"100 × 10 × 12": lambda: series_frame(small, ZONE), "10 groups": lambda: values_frame(values)}, 30)
    for name, asked in (("100 × 10 × 12", 3), ("10 groups", 2)):
        print(f"  {name:<16}{few[name]:>8.2f} ms   (asked: ≤ {asked})")
    if sys.platform == "linux":
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            for way, (most, frame) in zip(
                ("ours", "orjson", "usual"), pool.map(held, ("ours", "orjson", "usual")), strict=True
            ):
                beside = f", beside a frame of {frame:.0f} MB: {(most - frame) / frame:.1f} ×" if frame == frame else ""
                print(
                    f"  memory, {way:<8}{most:>8.0f} MB at most{beside}" + ("   (asked: ≤ 2)" if way == "ours" else "")
                )


if __name__ == "__main__":
    main()
