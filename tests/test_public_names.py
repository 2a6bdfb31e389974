"""The public names are a promise: they are pinned, they exist, and importing the package costs little."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowperf_helpers

NAMES = [
    "Account",
    "FlowperfError",
    "Plan",
    "ReportQuery",
    "__version__",
    "connect",
    "how_to_read",
    "rate_difference",
    "recent_weeks",
    "refuse_unknown_parameters",
    "roll_up",
    "series_frame",
    "to_long",
    "values_frame",
]


# What a folder's face shows: everything that a notebook imports stands here or above.
FACES = {
    folder: names.split()
    for folder, names in {
        "account": """
            Account Plan ReportQuery Window connect earlier_answers last_complete_week parse_timeframe
            recent_weeks
        """,
        "fleet": """
            FLEET_VIEWS benchmark_rates compare_accounts index_page not_comparable read_failed read_results
            revenue_by_currency template_effect template_rows view_fleet
        """,
        "plots": """
            alt_text plot_accounts plot_comparison plot_effects plot_forecast plot_funnel plot_heatmap plot_ranking
            plot_series plot_small_multiples plot_template_effect plot_values plot_variations plot_volume
        """,
        "report": """
            Section WeekData WeekNumbers WeeklyReport compute fetch_week plan_week refuse_unknown_parameters report_week
        """,
        "stats": """
            compare_rates compare_variations completeness_curve control_limits coverage_table
            decompose find_signals forecast q_values rate_difference rate_interval reconcile restatements roll_up
            stopped_flows watch_variations
        """,
        "widgets": """
            Board COMPARED_STATISTICS FlowChoice PER_VARIATION RequestButton SERIES_VIEWS SearchPicker VALUES_VIEWS
            WindowPicker attempt channel_picker chosen_flows comparison_queries flow_overview flow_picker flows_in
            integration_picker interval_picker lenient metric_picker picture_picker report_answers row_pickers
            same_basis select_rows series_offers show statistic_picker values_offers versions_frame view_choice view_series
            view_triggers view_values volume_picker week_window weeks_of_tests window_picker
        """,
    }.items()
}
ROOT = Path(__file__).parent.parent


def test_the_public_names() -> None:
    """Adding or removing a public name is a decision, made here."""
    assert sorted(flowperf_helpers.__all__) == NAMES
    assert set(NAMES) <= set(dir(flowperf_helpers))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_documented(name: str) -> None:
    """Every public name can be imported and says what it is."""
    thing = getattr(flowperf_helpers, name)
    assert name == "__version__" or inspect.getdoc(thing)


@pytest.mark.parametrize("folder", FACES)
def test_a_folder_shows_its_public_names(folder: str) -> None:
    """Each name of a folder's face can be imported, is documented where it can be, and hides none of its modules."""
    face = importlib.import_module(f"flowperf_helpers.{folder}")
    assert sorted(face.__all__) == FACES[folder]
    assert set(FACES[folder]) <= set(dir(face))
    assert not set(FACES[folder]) & {path.stem for path in Path(face.__file__ or "").parent.iterdir()}
    for name in FACES[folder]:
        assert inspect.getdoc(getattr(face, name))
    with pytest.raises(AttributeError, match="no attribute 'plot_it'"):
        _ = face.plot_it


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_import_public_names_only(path: Path) -> None:
    """People copy notebooks: what they import is public, and takes at most three lines."""
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells))
    ours = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("flowperf")]
    assert 1 <= len(ours) <= 3
    public = {"flowperf_helpers": [*NAMES, *FACES]} | {f"flowperf_helpers.{f}": names for f, names in FACES.items()}
    for statement in ours:
        assert {alias.name for alias in statement.names} <= set(public[statement.module or ""])
    through = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "widgets"}
    assert through <= set(FACES["widgets"])


def test_the_readme_lists_the_public_names() -> None:
    """One table of README names all of them, and nothing else."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `flowperf_helpers(?:\.(\w+))?` \| (.+) \|$", readme, flags=re.M)
    listed = {folder: sorted(re.findall(r"`(\w+)`", names)) for folder, names in rows}
    assert listed == {"": sorted(NAMES)} | FACES


def test_a_name_that_is_not_public() -> None:
    """A misspelt name is an AttributeError, as everywhere."""
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = flowperf_helpers.conect


def test_the_fixed_signatures() -> None:
    """Other programs call these: names, order and defaults stay."""

    def signature(function: object) -> str:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        return ", ".join(
            str(p.replace(annotation=inspect.Parameter.empty))
            if p.kind is not inspect.Parameter.KEYWORD_ONLY
            else f"*{p.replace(annotation=inspect.Parameter.empty)}"
            for p in parameters
        )

    account = flowperf_helpers.Account
    assert "self, *integration=None, *category=None" == signature(account.metrics)
    assert "self, metric_ids" == signature(account.flows_triggered_by)
    shared = "*flow_ids=None, *send_channels=None, *group_by=None, *refresh=False"
    values = f"self, conversion_metric_id=None, *timeframe, *statistics, {shared}"
    series = f"self, conversion_metric_id=None, *timeframe, *statistics, *interval='weekly', {shared}"
    assert values == signature(account.flow_values)
    assert series == signature(account.flow_series)
    assert "payload, timezone='UTC'" == signature(flowperf_helpers.values_frame)
    assert "payload, timezone='UTC'" == signature(flowperf_helpers.series_frame)
    assert "frame" == signature(flowperf_helpers.to_long)
    expected = "successes_a, trials_a, successes_b, trials_b, *confidence=0.95"
    assert expected == signature(flowperf_helpers.rate_difference)
    assert signature(flowperf_helpers.roll_up).startswith(("frame, by", "frame, *by"))


def test_importing_the_package_is_light() -> None:
    """Neither pandas nor the network is imported before something is used; no statistics library by connect."""
    code = (
        "import sys, flowperf_helpers; heavy = {'pandas', 'requests', 'scipy', 'matplotlib', 'pyarrow', 'IPython'};"
        "print(heavy & set(sys.modules));"
        "flowperf_helpers.connect;"
        "late = {'scipy', 'statsmodels', 'matplotlib', 'flowperf_helpers.sandbox'};"
        "print(late & set(sys.modules))"
    )
    assert "set()\nset()\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


@pytest.mark.parametrize("folder", FACES)
def test_importing_a_face_is_light(folder: str) -> None:
    """A folder's face imports a module only when one of its names is used."""
    code = (
        f"import sys, flowperf_helpers.{folder} as face; print(len(face.__all__) > 0);"
        "print({'pandas', 'numpy', 'requests', 'scipy', 'matplotlib', 'ipywidgets', 'IPython'} & set(sys.modules))"
    )
    assert "True\nset()\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
