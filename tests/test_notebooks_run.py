"""Every tutorial runs by papermill with its defaults, alone; its frames are the package's own answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import pytest
from notebook_cells import FOLDER, run_cells

from flowperf_helpers import connect
from flowperf_helpers.fleet import read_failed, read_results
from flowperf_helpers.report import WeeklyReport, fetch_week
from flowperf_helpers.sandbox import VARIANTS
from flowperf_helpers.stats.ab_tests import watch_variations
from flowperf_helpers.widgets.board import as_html
from flowperf_helpers.widgets.notebook import COMPARED_STATISTICS, PER_VARIATION, same_basis
from flowperf_helpers.widgets.views import view_values

NAMES = sorted(path.stem for path in FOLDER.glob("0[1-4]_*.ipynb"))

pytestmark = [pytest.mark.notebook, pytest.mark.xdist_group("notebooks")]

_KEEP = """
from pathlib import Path as _Path
for _name, _value in list(globals().items()):
    if type(_value).__name__ == "DataFrame" and not _name.startswith("_"):
        _value.to_pickle(_Path({folder!r}) / f"{{_name}}.pkl")
"""


def papermilled(name: str, folder: Path, **parameters: Any) -> tuple[Any, dict[str, pd.DataFrame]]:
    """Run a notebook by papermill; what it became, and the frames in its kernel."""
    source = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    source.cells.append(nbformat.v4.new_code_cell(_KEEP.format(folder=str(folder))))
    nbformat.write(source, folder / "in.ipynb")
    executed = papermill.execute_notebook(
        str(folder / "in.ipynb"), str(folder / "out.ipynb"), parameters=parameters, kernel_name="python3",
        progress_bar=False, cwd=str(folder), execution_timeout=120, start_timeout=120,
        extra_arguments=["--log-level=40", "--HistoryManager.enabled=False"],
    )  # fmt: skip
    return executed, {path.stem: pd.read_pickle(path) for path in folder.glob("*.pkl")}


def outputs(executed: Any) -> list[Any]:
    """All outputs of all cells."""
    return [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]


def own_answer(name: str) -> dict[str, pd.DataFrame]:
    """What the package says when it is asked without a notebook."""
    account = connect("sandbox")
    if name.startswith("06"):
        return {"rows": read_results(), "failed": read_failed()}
    if name.startswith("01"):
        metrics = account.metrics()
        return {"metrics": metrics, "triggers": account.flows_triggered_by(metrics)}
    if name.startswith("02"):
        series = account.flow_series("revenue", timeframe=("2026-09-28", "2026-11-22"), statistics=["recipients"])
        return {"flows": account.flows(), "messages": account.messages(), "series": series}
    if name.startswith("03"):
        wanted: dict[str, Any] = {"statistics": COMPARED_STATISTICS, "group_by": PER_VARIATION}
        after, before = (account.flow_values("revenue", timeframe=week, **wanted) for week in ("2026-W47", "2026-W46"))
        return {"after": after, "before": same_basis(account, after, before)}
    series = {"statistics": COMPARED_STATISTICS}
    return {
        "weekly": account.flow_series("revenue", timeframe=("2026-05-25", "2026-11-22"), **series),
        "daily": account.flow_series("revenue", timeframe=("2026-09-28", "2026-11-22"), interval="daily", **series),
    }


def test_there_are_four_tutorials() -> None:
    """An empty glob must not pass."""
    assert ["01_discover_metrics", "02_select_flows", "03_compare_values", "04_compare_series"] == NAMES


@pytest.mark.parametrize("name", [*NAMES, "06_many_accounts"])
def test_tutorial_runs_with_its_defaults(name: str, tmp_path: Path) -> None:
    """Runs alone; frames equal the package's answer; pictures have words; no error hides in widget state."""
    executed, frames = papermilled(name, tmp_path)
    for frame_name, expected in own_answer(name).items():
        pd.testing.assert_frame_equal(expected, frames[frame_name])
    everything = outputs(executed)
    assert not [output for output in everything if output.output_type == "error"]
    assert not [output for output in everything if output.get("name") == "stderr"]
    pages = ["".join(output["data"].get("text/html", "")) for output in everything if "data" in output]
    pictures = [page for page in pages if "<img" in page]
    assert len(pictures) >= (0 if name.startswith("01") else 2)
    for page in pictures:
        texts = re.findall(r'<img[^>]* alt="([^"]*)"', page)
        assert page.count("<img") == len(texts)
        assert all("invented numbers of the sandbox" in text for text in texts)
        assert 'alt="A picture without numbers."' not in page
    state = json.dumps(executed.metadata["widgets"])
    for sign in ("flowperf-error", "Traceback", '\\"ename\\"', "could not be drawn"):
        assert sign not in state
    boards = [output for output in everything if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    shown = ["".join(board["data"].get("text/html", "")) for board in boards]
    assert any("<img" in board or "SANDBOX · invented numbers" in board for board in shown)


def test_a_choice_becomes_the_next_notebooks_parameter(tmp_path: Path) -> None:
    """02 writes its choice; 03 takes it and speaks of these flows only."""
    chosen = run_cells("02_select_flows", {"choice_file": str(tmp_path / "choice.json"), "weeks": 4})
    kept = json.loads((tmp_path / "choice.json").read_text())
    assert kept == chosen.names["choice"].parameters
    assert len(kept["flow_ids"]) > 10
    few = kept["flow_ids"][:3]
    compared = run_cells("03_compare_values", {"flow_ids": few})
    assert set(few) == set(compared.names["after"]["flow_id"])


EXPECTED = {
    "no_integration": {"01": "No metric belongs to the integration", "02": "", "03": "", "04": ""},
    "no_flows": {"01": "triggers a flow", "02": "has no flow", "03": "No row is there", "04": "no weekly row"},
    "one_flow": {"01": "1 flow", "02": "1 of 1 flow", "03": "Abandoned Checkout", "04": "Abandoned Checkout"},
    "many_flows": {"01": "494 flows", "02": "smaller flows are not drawn", "03": "494 flows", "04": "flows"},
    "drafts_only": {"01": "flows", "02": "Nothing was sent", "03": "No row is there", "04": "no weekly row"},
    "empty_window": {"01": "flows", "02": "Nothing was sent", "03": "No row is there", "04": "no weekly row"},
    "no_scope": dict.fromkeys(["01", "02", "03", "04"], "scope flows:read"),
    "quota_spent": {"01": "flows", **dict.fromkeys(["02", "03", "04"], "takes no more calls")},
}


@pytest.mark.parametrize("variant", EXPECTED)
@pytest.mark.parametrize("name", NAMES)
def test_bad_cases_explain_themselves(variant: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the account lacks: a sentence in place of a picture, and every cell below still runs."""
    assert variant in VARIANTS
    monkeypatch.setenv("FLOWPERF_SANDBOX_VARIANT", variant)
    parameters = {}
    if variant == "no_integration":
        parameters = {"integration": "YourIntegration"} if name.startswith("01") else {"conversion_metric": "RaStor"}
    ran = run_cells(name, parameters)
    assert "Klaviyo API revision" in repr(ran.shown[-1])
    assert EXPECTED[variant][name[:2]] in ran.words
    assert "could not be drawn" not in ran.words


def test_notebook_and_report_judge_from_one_basis() -> None:
    """03 and the weekly report show the week before at the same age, and judge each test since it began."""
    ran = run_cells("03_compare_values", {})
    after, before, recent = (ran.names[name] for name in ("after", "before", "recent"))
    report = WeeklyReport(fetch_week(connect("sandbox")))
    assert report.equal_age
    assert "as it stood at the same age, as in the weekly report" in ran.words
    pd.testing.assert_series_equal(
        before.groupby("flow_id")["conversions"].sum(), report.before.groupby("flow_id")["conversions"].sum()
    )
    keys = ["flow_id", "flow_message_id", "variation"]
    ours, theirs = (d.set_index(keys).sort_index() for d in (watch_variations(recent), report.family.tests))
    assert len(ours)
    numbers = ["numerator", "denominator", "rate", "change", "probability_best", "verdict"]
    pd.testing.assert_frame_equal(ours[numbers], theirs[numbers])
    page = as_html(view_values(after, before, recent, picture="variations"))
    assert "Tests are judged by all weeks since they began" in page


def test_without_earlier_answers_the_notebook_says_its_basis() -> None:
    """Where no answer of the same age is kept the week before stands as it stands today, and a sentence says so."""
    account = connect("sandbox")
    wanted: dict[str, Any] = {"statistics": COMPARED_STATISTICS, "group_by": PER_VARIATION}
    after = account.flow_values("revenue", timeframe=("2026-11-09", "2026-11-19"), **wanted)
    before = account.flow_values("revenue", timeframe=("2026-10-29", "2026-11-08"), **wanted)
    found = same_basis(account, after, before)
    pd.testing.assert_frame_equal(before, found)
    assert "as it stands today, with a head start in age" in found.attrs["basis"]
    assert found.attrs["basis"] in as_html(view_values(after, found, picture="before"))


@pytest.mark.parametrize("revision", ["2024-10-15", "2025-07-15", "2025-10-15"])
def test_values_are_compared_on_older_revisions(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a revision does not tell is left out of the pictures; no sentence stands in place of a number."""
    monkeypatch.setenv("KLAVIYO_REVISION", revision)
    ran = run_cells("03_compare_values", {})
    assert len(ran.names["after"]) > 10
    assert ran.names["after"]["variation"].isna().all()
    assert "Not possible" not in ran.words
    assert "could not be drawn" not in ran.words
    assert f"{revision} does not return" in " ".join(ran.names["after"].attrs["notes"])
