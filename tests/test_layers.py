"""The folders are the floors: imports go downward, and inside a folder they never run in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import flowperf_helpers

PACKAGE = Path(__file__).parents[1] / "flowperf_helpers"

# Bottom to top. Folders on one floor do not know each other; `__init__` and the command line stand above all of them.
FLOORS = ["errors", "klaviyo frames", "stats sandbox", "account plots", "report", "widgets fleet", "cli"]
FLOOR = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders.split()}
# What `account` may open and nobody else: the embedded account, so that it cannot share our mistakes.
SANDBOX_MAY = {"frames.catalog"}
# Whoever else needs its name, keys or clock asks `account.connection`; the command line serves it.
SANDBOX_OPENERS = {"account.connection", "cli", "fleet.simulate"}
DRAWERS = {"utils", "helpers", "misc", "common", "tools", "util", "helper"}
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    """Return the dotted name of a module, without the package's own."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {name_of(file): file for file in FILES}


def imported(file: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, wherever the import stands in it, also for a type checker only."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively in line {node.lineno}: write the whole name"
            module = node.module or ""
            if module.split(".")[0] != PACKAGE.name:
                continue
            within = module.partition(".")[2]
            for alias in node.names:
                whole = f"{within}.{alias.name}".lstrip(".")
                if within == "" and alias.name in flowperf_helpers._HOMES:
                    yield flowperf_helpers._HOMES[alias.name]
                else:
                    yield whole if whole in MODULES else within
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(f"{PACKAGE.name}."):
                    yield alias.name.partition(".")[2]


IMPORTS = {name: set(imported(file)) - {name, ""} for name, file in MODULES.items()}


def folder_of(module: str) -> str:
    """Return the folder a module stands in, or the module that stands alone."""
    return module.split(".")[0]


def test_every_folder_has_a_floor_and_every_floor_exists() -> None:
    """The table above names what is there: nothing more, nothing less."""
    assert set(FLOOR) == {folder_of(name) for name in MODULES if name}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name))
def test_imports_go_downward(module: str) -> None:
    """A module knows its own folder and the floors below it."""
    here = folder_of(module)
    wrong = {other for other in IMPORTS[module] if folder_of(other) != here and FLOOR[folder_of(other)] >= FLOOR[here]}
    assert not wrong, f"{module} imports {sorted(wrong)}, which stand beside it or above it"


@pytest.mark.parametrize("folder", sorted(FLOOR))
def test_no_circle_inside_a_folder(folder: str) -> None:
    """Whoever reads a folder can start somewhere and only go on; a folder's face imports its rooms, they not it."""
    inside = {
        name: {other for other in IMPORTS[name] if folder_of(other) == folder}
        for name in MODULES
        if folder_of(name) == folder
    }
    try:
        TopologicalSorter(inside).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_sandbox_knows_nothing_of_the_house() -> None:
    """The embedded account stands on the catalogue alone; the way to an account and invented fleets open it."""
    known = {other for name in MODULES if folder_of(name) == "sandbox" for other in IMPORTS[name]}
    assert {other for other in known if folder_of(other) != "sandbox"} <= SANDBOX_MAY
    openers = {name for name in IMPORTS if "sandbox" in map(folder_of, IMPORTS[name]) and folder_of(name) != "sandbox"}
    assert openers == SANDBOX_OPENERS


def test_only_the_transport_speaks_http() -> None:
    """requests is imported by what sends, what serves it a connection, and by nobody else."""
    speakers = set()
    for name, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(part.split(".")[0] in ("requests", "urllib3", "httpx") for part in named):
                speakers.add(name)
    assert speakers <= {f"klaviyo.{name}" for name in ("transport", "client", "credentials")} | {"account.connection"}


def test_no_drawer_for_odds_and_ends() -> None:
    """A function without a room means a room is missing."""
    assert not DRAWERS & {file.stem for file in FILES}


def test_the_house_is_small() -> None:
    """Three modules and nine folders at the top, some 85 modules in all, and none that is two."""
    assert len(list(PACKAGE.glob("*.py"))) <= 3
    assert len([folder for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()]) <= 9
    assert {
        name: n for name, f in MODULES.items() if (n := len(f.read_text(encoding="utf-8").splitlines())) > 450
    } == {}
