"""How fast a control redraws in a real browser: 100 flows × 12 weeks, from the event to the painted picture.

Run by ``make bench``; prints one line per control and picture, and fails where the median passes half a second.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from lab_driver import CHROMIUM, chromium, jupyterlab, open_and_run, seconds_to_change

GOAL = 0.5
FLOWS, WEEKS, TIMES = 100, 12, 5
SOURCE = Path(__file__).parent.parent.parent / "notebooks" / "04_compare_series.ipynb"


def prepared(folder: Path) -> None:
    """Write the notebook with its parameters set, as papermill would."""
    notebook = json.loads(SOURCE.read_text(encoding="utf-8"))
    ids = [f"Fl{number:04d}" for number in range(FLOWS)]
    at = next(i for i, c in enumerate(notebook["cells"]) if "parameters" in c["metadata"].get("tags", []))
    injected = {
        "cell_type": "code", "execution_count": None, "id": "injected", "metadata": {}, "outputs": [],
        "source": f"flow_ids = {ids}\nweeks = {WEEKS}",
    }  # fmt: skip
    notebook["cells"].insert(at + 1, injected)
    (folder / "bench.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def turn(board: Any, label: str, choices: tuple[str, str]) -> Callable[[int], Callable[[], object]]:
    """Return what chooses one of two options in turn."""
    return lambda number: lambda: board.get_by_label(label, exact=True).select_option(choices[number % 2])


def main() -> None:
    """Measure, and print whether the goal is met."""
    if not Path(CHROMIUM).exists():
        print(f"browser: {CHROMIUM} is not there, nothing measured")
        return
    slow = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        prepared(folder / "notebooks")
        with (
            jupyterlab(folder / "notebooks", folder, FLOWPERF_SANDBOX_VARIANT="many_flows") as url,
            chromium() as page,
        ):
            open_and_run(page, url, "bench.ipynb")
            board = page.locator(".flowperf-board").first
            board.locator("img").first.wait_for(state="visible")
            board.scroll_into_view_if_needed()
            print(f"{'redraw in the browser':<44}{'median':>9}{'slowest':>9}   ({FLOWS} flows x {WEEKS} weeks)")
            for picture in (
                "one line per flow",
                "all together, with control limits",
                "flows × time",
                "several statistics",
            ):
                board.get_by_label("Picture").select_option(picture)
                page.wait_for_timeout(2500)
                for label, choices in (
                    ("Statistic", ("Open rate", "Click rate")),
                    ("Window", ("last 8 complete weeks", "last 12 complete weeks")),
                ):
                    act = turn(board, label, choices)
                    seconds = [seconds_to_change(page, board, act(number)) for number in range(TIMES + 1)][1:]
                    median = statistics.median(seconds)
                    slow += median > GOAL
                    print(f"{picture + ', ' + label:<44}{median:>8.2f}s{max(seconds):>8.2f}s")
    print(f"goal: {GOAL} s; {'met' if not slow else f'{slow} medians are slower'}")


if __name__ == "__main__":
    main()
