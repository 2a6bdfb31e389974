"""The rules of the house for notebooks, as programs: all that lie in ``notebooks/``, found by glob."""

from __future__ import annotations

import ast
import itertools
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flowperf_helpers.report.run.checks import notebook_parameters

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TYPES = {"str", "int", "float", "bool", "list", "dict"}
CODE_CELLS, CODE_LINES = 12, 10

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def notebook(path: Path) -> dict[str, Any]:
    """Read a notebook once."""
    return json.loads(path.read_text(encoding="utf-8"))


def code(path: Path) -> list[dict[str, Any]]:
    """Its code cells."""
    return [cell for cell in notebook(path)["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    """Text of a cell."""
    return "".join(cell["source"])


def prose(path: Path) -> str:
    """All markdown of a notebook."""
    return "\n\n".join(source(cell) for cell in notebook(path)["cells"] if cell["cell_type"] == "markdown")


def is_tutorial(path: Path) -> bool:
    """Notebooks 01 to 04 and 06 teach; the others work without a spectator."""
    return path.stem[:2] in {"01", "02", "03", "04", "06"}


def test_there_are_notebooks() -> None:
    """An empty folder must not pass for a clean one."""
    assert {"01_discover_metrics", "02_select_flows", "03_compare_values", "04_compare_series"} <= {
        path.stem for path in NOTEBOOKS
    }


@each_notebook
def test_notebook_is_clean(path: Path) -> None:
    """No output, no count, no widget state and no metadata of a machine or an editor is kept."""
    found = notebook(path)
    assert (4, 5) == (found["nbformat"], found["nbformat_minor"])
    assert {"kernelspec", "language_info"} >= set(found["metadata"])
    assert {"display_name": "Python 3", "language": "python", "name": "python3"} == found["metadata"]["kernelspec"]
    assert {"name": "python"} == found["metadata"].get("language_info", {"name": "python"})
    ids = [cell["id"] for cell in found["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in found["cells"]:
        assert {"tags"} >= set(cell["metadata"])
        assert "attachments" not in cell
        if cell["cell_type"] == "code":
            assert [] == cell["outputs"]
            assert cell["execution_count"] is None


@each_notebook
def test_parameters_cell_is_the_signature(path: Path) -> None:
    """Exactly one tagged cell: typed names with JSON types, a literal default and a help text each, nothing else."""
    tagged = [cell for cell in code(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert 1 == len(tagged)
    for statement in ast.parse(source(tagged[0])).body:
        assert isinstance(statement, ast.AnnAssign), ast.unparse(statement)
        assert statement.value is not None
        json.dumps(ast.literal_eval(statement.value))
    declared = notebook_parameters(notebook(path), source=path.name)
    # many accounts are read from what their run left, and from the sandbox's fleet where nothing is named
    name, default = ("results", "") if path.stem.startswith("06") else ("account", "sandbox")
    assert default == declared[name].default
    for parameter in declared.values():
        assert parameter.type.partition("[")[0].partition("|")[0].strip() in TYPES
        assert len(parameter.help) > 8, f"{parameter.name} has no help"


@each_notebook
def test_code_stays_thin(path: Path) -> None:
    """At most a dozen code cells of ten lines; no functions, classes, loops with logic, requests or environment."""
    cells = code(path)
    assert len(cells) <= CODE_CELLS
    for cell in cells:
        lines = [line for line in source(cell).splitlines() if line.strip()]
        assert len(lines) <= CODE_LINES, source(cell)
        assert max((len(line) for line in lines), default=0) <= 120
        tree = ast.parse(source(cell))
        for node in ast.walk(tree):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.While | ast.Try)
            assert not isinstance(node, ast.For), f"a loop belongs into the package: {ast.unparse(node)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.partition(".")[0] for alias in node.names}
                assert not {"requests", "os", "urllib", "subprocess"} & {*names, (getattr(node, "module", "") or "")}
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"environ", "getenv"}


@each_notebook
def test_imports_stand_in_one_place(path: Path) -> None:
    """Imports follow the parameters, in one cell."""
    cells = code(path)
    importing = [
        i for i, c in enumerate(cells) if any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(tree_of(c)))
    ]
    assert [1] == importing
    assert "parameters" in cells[0]["metadata"].get("tags", [])


def tree_of(cell: dict[str, Any]) -> ast.Module:
    """Parse a cell."""
    return ast.parse(source(cell))


@each_notebook
def test_nothing_is_named_and_left_unused(path: Path) -> None:
    """Every imported name and every parameter is used in a later cell."""
    cells = code(path)
    used = {n.id for c in cells[1:] for n in ast.walk(tree_of(c)) if isinstance(n, ast.Name)}
    imported = {a.asname or a.name for n in ast.walk(tree_of(cells[1])) for a in getattr(n, "names", [])}
    assert set() == imported - used
    assert set() == set(notebook_parameters(notebook(path))) - used


@each_notebook
def test_every_link_leads_somewhere(path: Path) -> None:
    """Each notebook that is linked to lies beside this one."""
    for link in re.findall(r"\]\(([^)#:]+)\)", prose(path)):
        assert (FOLDER / link).is_file(), link


tutorials = pytest.mark.parametrize("path", [p for p in NOTEBOOKS if is_tutorial(p)], ids=lambda path: path.stem)

ORDER = (
    "Question",
    "Parameters",
    "Imports",
    "Fetch",
    "Look at the frame",
    "Draw once",
    "Controls",
    "Make it yours",
    "Versions",
)


@tutorials
def test_sections_follow_the_order_of_the_house(path: Path) -> None:
    """Question, parameters, imports, fetch, look, draw, controls, make it yours, versions: each once, in this order."""
    heads = re.findall(r"^## (.+)$", prose(path), re.MULTILINE)
    found = [next((name for name in ORDER if head.startswith(name)), head) for head in heads]
    assert list(ORDER) == found


@tutorials
def test_prose_weighs_as_much_as_code(path: Path) -> None:
    """A tutorial: at least as many characters of prose as of code, and a text before each code cell."""
    cells = notebook(path)["cells"]
    assert sum(len(source(c)) for c in code(path)) <= len(prose(path))
    for before, cell in itertools.pairwise(cells):
        assert "markdown" in (before["cell_type"], cell["cell_type"]), source(cell)
    assert "markdown" == cells[0]["cell_type"]
    assert "For whom" in source(cells[0])


@tutorials
def test_tutorial_links_to_the_next_one(path: Path) -> None:
    """The last words lead on to the next notebook, those of the last one back to the report."""
    links = re.findall(r"\]\((\d\d_\w+\.ipynb)\)", prose(path))
    assert links
    following = "05" if path == NOTEBOOKS[-1] else f"{int(path.stem[:2]) + 1:02}"
    assert any(link.startswith(following) for link in links)


@tutorials
def test_drawing_comes_before_wiring(path: Path) -> None:
    """No interact, no Output: errors inside them would hide; the package's own boards are used instead."""
    text = "\n".join(source(cell) for cell in code(path))
    for hidden in ("interact", "interactive_output", "Output("):
        assert hidden not in text
    assert "Board(" in text


@tutorials
def test_exercises_come_with_solutions(path: Path) -> None:
    """At least two exercises, each with a solution that can be opened."""
    text = prose(path)
    assert len(re.findall(r"<details>", text)) == len(re.findall(r"```python", text)) >= 2
    assert len(re.findall(r"<summary>Solution", text)) == len(re.findall(r"<details>", text))
