"""Seconds of each tutorial by papermill, with its defaults, from an empty home. The goal is 15 s."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GOAL = 15.0


def main() -> None:
    """Print a row per notebook."""
    print(f"\nTutorials by papermill (goal: {GOAL:.0f} s each)")
    for notebook in sorted(NOTEBOOKS.glob("0[1-4]_*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "papermill", str(notebook), "out.ipynb", "-k", "python3", "--no-progress-bar"],
                cwd=folder,
                env={**os.environ, "FLOWPERF_HOME": f"{folder}/home"},
                check=True,
                capture_output=True,
            )
            print(f"{notebook.stem:<24}{time.perf_counter() - began:>8.1f} s")


if __name__ == "__main__":
    main()
