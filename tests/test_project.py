"""The project's own files agree with each other."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"matplotlib-base": "matplotlib", "python-tzdata": "tzdata"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_and_pyproject_name_the_same_packages_and_floors() -> None:
    """The analysts' environment is the base, JupyterLab and the app, with pyproject's floors."""
    listed = [
        line for line in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"] if isinstance(line, str)
    ]
    conda = {
        CONDA_NAMES.get(name, name): floor
        for name, floor in (re.fullmatch(r"([\w-]+)(.*)", line).groups() for line in listed)
    }  # type: ignore[union-attr]
    extras = project()["optional-dependencies"]
    wanted = [*project()["dependencies"], *extras["lab"], *extras["app"]]
    expected = dict(re.fullmatch(r"([\w-]+)(.*)", line).groups() for line in wanted)  # type: ignore[union-attr,misc]
    expected |= {"python": project()["requires-python"], "pip": ""}
    assert expected == conda


def imported_distributions() -> set[str]:
    """Return the packages that the code imports, wherever the import stands, by the name an installer knows."""
    names = set()
    for path in (ROOT / "flowperf_helpers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
    ours = {"flowperf_helpers", "_typeshed"}  # the second exists for type checkers only
    homes = importlib.metadata.packages_distributions()
    return {homes[name][0].lower().replace("_", "-") for name in names - ours - sys.stdlib_module_names}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    """An install brings what the code imports, and nothing that it does not use."""
    extras = project()["optional-dependencies"]
    runtime = [*project()["dependencies"], *extras["keyring"], *extras["app"], *extras["fleet"]]
    declared = {re.match(r"[\w-]+", line)[0].lower() for line in runtime}  # type: ignore[index]
    # started or read by others: the kernel by papermill, the time zones by zoneinfo
    unseen = {"ipykernel", "tzdata"}
    assert imported_distributions() == declared - unseen


def test_every_push_is_checked_on_the_oldest_and_newest_python() -> None:
    """The workflow runs the same two verbs as a developer, on both ends of the Pythons we allow."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())
    assert {"push", "pull_request"} == set(workflow[True])  # YAML 1.1 reads the key `on` as a boolean
    job = workflow["jobs"]["checks"]
    versions = [line.rpartition(" ")[2] for line in project()["classifiers"] if "Python :: 3." in line]
    assert f">={versions[0]}" == project()["requires-python"]
    assert [versions[0], versions[-1]] == job["strategy"]["matrix"]["python"]
    runs = [step.get("run", "") for step in job["steps"]]
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for verb in ("check", "test"):
        assert verb in targets
        assert any(re.match(rf"make {verb}\b", run) for run in runs)


def test_constraints_pin_every_dependency_and_name_no_address() -> None:
    """Every dependency has one exact version in constraints.txt, which holds no URL."""
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    pinned = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
    extras = project()["optional-dependencies"]
    wanted = [*project()["dependencies"], *(d for group in extras.values() for d in group)]
    names = {re.match(r"[\w-]+", line)[0].lower() for line in wanted} - {"flowperf"}  # type: ignore[index]
    assert set() == names - pinned


def test_top_level_holds_only_what_was_agreed() -> None:
    """Five rooms for people, and the few files that tools demand."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    top = {path.split("/")[0] for path in tracked if path}
    agreed = {"flowperf_helpers", "notebooks", "tests", "environment.yml", "README.md"}
    tools = {"pyproject.toml", "constraints.txt", "Makefile", ".ci", ".github", ".gitignore", ".pre-commit-config.yaml"}
    assert set() == top - agreed - tools


def test_the_guides_answers_are_in_no_module() -> None:
    """No module holds a figure of the guide: results are obtained, not written down."""
    modules = "\n".join(path.read_text() for path in (ROOT / "flowperf_helpers").rglob("*.py"))
    assert "0.8253" not in modules.replace("0    123     0.8253", "").replace("123     0.8253", "")


@pytest.mark.timeout(600)
def test_a_wheel_in_an_empty_folder_makes_the_weekly_report(tmp_path: Path) -> None:
    """The wheel carries the notebooks; installed elsewhere, `flowperf weekly` works in an empty folder."""
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    notebooks = {f"flowperf_helpers/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks
    assert set() == notebooks - carried
    site = tmp_path / "site"
    install = ["-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    run = subprocess.run(
        [str(site / "bin" / "flowperf"), "weekly", "--account", "sandbox", "--out", "report"],
        cwd=empty,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(site),
            "FLOWPERF_HOME": str(tmp_path / "home"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert 0 == run.returncode, run.stderr[-2000:]
    assert list((empty / "report").glob("weekly-sandbox-*.html"))
