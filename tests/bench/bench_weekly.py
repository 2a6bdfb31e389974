"""How long a warm weekly report takes beside an empty notebook through papermill and nbconvert, in one environment.

Run it with ``.venv/bin/python tests/bench/bench_weekly.py [ROUNDS]``. Rounds alternate, so that a busy machine is as
busy for one as for the other; processor seconds (children included) are printed beside the wall clock.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
EMPTY = {
    "cells": [
        {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": ["1 + 1"]}
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def timed(commands: Sequence[Sequence[str]], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of some commands, one after the other."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int = 5) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FLOWPERF_HOME": f"{folder}/home"}
        empty = Path(folder) / "empty.ipynb"
        empty.write_text(json.dumps(EMPTY))
        done = f"{folder}/done.ipynb"
        bare = [
            [f"{BIN}/papermill", "--no-progress-bar", "--log-level", "ERROR", str(empty), done],
            [f"{BIN}/jupyter", "nbconvert", "--to", "html", "--log-level", "ERROR", done],
        ]
        ours = [[f"{BIN}/flowperf", "weekly", "--account", "sandbox", "--out", f"{folder}/out", "--quiet"]]
        cold = timed(ours, environment)
        timed(bare, environment)
        measured = [(timed(bare, environment), timed(ours, environment)) for _ in range(rounds)]
    walls = [statistics.median(pair[side][0] for pair in measured) for side in (0, 1)]
    works = [statistics.median(pair[side][1] for pair in measured) for side in (0, 1)]
    ratio = statistics.median(pair[1][0] / pair[0][0] for pair in measured)
    print(f"{'':44}{'wall s':>8}{'cpu s':>8}")
    print(f"{'empty notebook, papermill + nbconvert':44}{walls[0]:8.2f}{works[0]:8.2f}")
    print(f"{'flowperf weekly, sandbox, warm':44}{walls[1]:8.2f}{works[1]:8.2f}")
    print(f"{'flowperf weekly, sandbox, first time':44}{cold[0]:8.2f}{cold[1]:8.2f}")
    print(f"warm / empty, median of {rounds} pairs: {ratio:.2f} (promised: 1.50 at most)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
