"""What README says is true: its commands run, its names exist, and nothing is left out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("make ")]


def test_the_readme_has_commands_to_run() -> None:
    """The commands of README are found, so that the test below is not empty."""
    assert {"flowperf", "papermill"} == {line.split()[0] for line in commands()}


@pytest.mark.notebook
@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_runs(line: str, tmp_path: Path) -> None:
    """Each command of README ends well as it is written, in a folder that holds the notebooks."""
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    words = shlex.split(line)
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    run = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
    assert 0 == run.returncode, run.stderr[-2000:]


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """README's Python runs as one script, top to bottom, and gives rows."""
    script = "\n".join(blocks("python")) + "\nassert len(metrics) and len(flows) and len(values) and len(weeks)\n"
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert 0 == run.returncode, run.stderr[-2000:]


def test_the_readme_names_every_command() -> None:
    """A command that the command line has stands in README, and no other."""
    from flowperf_helpers.cli import main

    assert set(main.commands) == set(re.findall(r"^\| `flowperf (\w+)` \|", README, flags=re.M))  # type: ignore[attr-defined]


def test_the_readme_names_every_notebook() -> None:
    """The notebooks on disk are the notebooks of README's table."""
    found = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert found
    assert found == set(re.findall(r"^\| `(notebooks/\w+\.ipynb)` \|", README, flags=re.M))


def test_the_readme_names_every_variable() -> None:
    """An environment variable that the package reads stands in README."""
    code = "\n".join(path.read_text() for path in (ROOT / "flowperf_helpers").rglob("*.py"))
    read = set(re.findall(r"[\"']((?:KLAVIYO|FLOWPERF)_[A-Z_]+)[\"']", code))
    read -= set(re.findall(r"^((?:KLAVIYO|FLOWPERF)_[A-Z_]+)\s*[:=]", code, flags=re.M))  # constants, not variables
    assert read
    assert set() == {name for name in read if name not in README}


def test_the_papermill_command_uses_parameters_that_exist() -> None:
    """The -p of README's papermill command are parameters of that notebook."""
    (line,) = [line for line in commands() if line.startswith("papermill")]
    words = shlex.split(line)
    notebook = nbformat.read(ROOT / words[1], as_version=4)
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    given = {words[i + 1] for i, word in enumerate(words) if word == "-p"}
    assert given <= set(re.findall(r"^(\w+)\s*:", cell.source, flags=re.M))


@pytest.mark.parametrize(
    "path",
    re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    + re.findall(r'<img src="([^"]+)"', README)
    + re.findall(r"`(\.github/[\w/.]+)`", README),
)
def test_files_that_the_readme_shows_exist(path: str) -> None:
    """Pictures and documents that README points to are in the repository."""
    assert (ROOT / path).exists()
