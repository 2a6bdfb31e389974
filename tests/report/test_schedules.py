"""The schedules run as they are written, as far as a machine without internet can tell."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import types
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import papermill
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CRON = ROOT / ".github" / "schedules" / "cron.txt"
DAG = ROOT / ".github" / "schedules" / "airflow_dag.py"
WORKFLOW = ROOT / ".github" / "workflows" / "weekly-report.yml"
BIN = Path(sys.executable).parent


def _fields(expression: str) -> list[str]:
    fields = expression.split()
    assert 5 == len(fields)
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields)
    return fields


@pytest.mark.notebook
def test_cron_line_runs(tmp_path: Path) -> None:
    """The line of cron.txt, given to sh as cron does, leaves the report and a log."""
    lines = [line for line in CRON.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines[:-1])
    parts = lines[-1].split(maxsplit=5)
    minute, hour, _, _, weekday = _fields(" ".join(parts[:5]))
    assert ("0", "6", "1") == (minute, hour, weekday)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    (tmp_path / "secrets.env").write_text("export ACME_KLAVIYO_KEY=not-used\n")
    command = parts[5].replace("--account acme", "--account sandbox")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "FLOWPERF_HOME": str(tmp_path / "home"), **settings}
    environment["FLOWPERF_FOLDER"] = str(tmp_path)
    done = subprocess.run(
        [settings["SHELL"], "-c", command], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    log = (tmp_path / "weekly.log").read_text(encoding="utf-8")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr), log
    assert (tmp_path / "reports" / "weekly-sandbox-2026-W47.html").is_file()
    assert "not-used" not in log


def _workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def test_workflow_keeps_the_key_in_the_scheduler_s_store() -> None:
    """Secrets come from the repository's secrets into the environment, and into no command."""
    found = _workflow()
    steps = found["jobs"]["report"]["steps"]
    assert not [step for step in steps if "secrets." in str(step.get("run", ""))]
    assert (
        "${{ secrets.ACME_KLAVIYO_KEY }}"
        == next(s for s in steps if s.get("name") == "Report")["env"]["ACME_KLAVIYO_KEY"]
    )
    assert {"contents": "read"} == found["permissions"]
    on = found.get("on", found.get(True))  # YAML 1.1 reads the bare word as a truth
    assert "1" == _fields(on["schedule"][0]["cron"])[4]
    # nothing a stranger typed is pasted into a shell
    assert not [step for step in steps if "${{" in str(step.get("run", ""))]


@pytest.mark.notebook
def test_workflow_s_report_step_runs(tmp_path: Path) -> None:
    """The step's own script, run by bash as the runner does, leaves the report where the next step uploads it."""
    steps = _workflow()["jobs"]["report"]["steps"]
    step = next(s for s in steps if s.get("name") == "Report")
    upload = next(s for s in steps if "upload-artifact" in s.get("uses", ""))
    environment = {
        **os.environ,
        **dict.fromkeys(step["env"], ""),
        "FLOWPERF_HOME": ".flowperf",
        "PATH": f"{BIN}:/usr/bin:/bin",
    }
    script = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    done = subprocess.run(script, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert 6 == len(list((tmp_path / upload["with"]["path"]).iterdir()))
    assert (tmp_path / ".flowperf").is_dir()


class _Airflow:
    """As much of Airflow's shape as the DAG uses; operators run when told to."""

    tasks: ClassVar[list[Any]] = []

    class DAG:
        """Keeps its settings."""

        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        def __enter__(self) -> _Airflow.DAG:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    class Operator:
        """Renders ``{{ ds }}`` in what it was given."""

        def __init__(self, **settings: Any) -> None:
            self.settings = settings
            self.after: list[Any] = []
            _Airflow.tasks.append(self)

        def __rshift__(self, other: Any) -> Any:
            other.after.append(self)
            return other

        def rendered(self, name: str) -> Any:
            return _rendered(self.settings[name])

    class PapermillOperator(Operator):
        """Does what the provider's operator does: papermill.execute_notebook."""

        def execute(self) -> None:
            papermill.execute_notebook(
                self.rendered("input_nb"),
                self.rendered("output_nb"),
                parameters=self.rendered("parameters"),
                kernel_name=self.settings["kernel_name"],
                progress_bar=False,
            )

    class PythonOperator(Operator):
        """Calls its function."""

        def execute(self) -> None:
            self.settings["python_callable"](**self.rendered("op_kwargs"))


def _rendered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rendered(part) for key, part in value.items()}
    return value.replace("{{ ds }}", "2026-11-23") if isinstance(value, str) else value


@pytest.mark.notebook
def test_airflow_dag_runs_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The DAG's file loads, runs on Mondays at six, and its tasks leave notebook, data and page."""
    _Airflow.tasks.clear()
    modules = {
        "airflow": {"DAG": _Airflow.DAG},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.python": {"PythonOperator": _Airflow.PythonOperator},
        "airflow.providers.papermill": {},
        "airflow.providers.papermill.operators": {},
        "airflow.providers.papermill.operators.papermill": {"PapermillOperator": _Airflow.PapermillOperator},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("FLOWPERF_REPORTS", str(tmp_path))
    dag = runpy.run_path(str(DAG))["dag"]
    assert ("0", "6", "*", "*", "1") == tuple(_fields(dag.settings["schedule"]))
    assert isinstance(dag.settings["start_date"], datetime)
    report, page = _Airflow.tasks
    assert [report] == page.after
    assert "key" not in " ".join(report.settings["parameters"])
    for task in _Airflow.tasks:
        task.execute()
    name = "weekly-sandbox-2026-11-23"
    assert (tmp_path / f"{name}.ipynb").is_file()
    assert ["data.parquet", "data.xlsx", "headline.json"] == sorted(p.name for p in (tmp_path / name).iterdir())
    assert "SANDBOX" in (tmp_path / f"{name}.html").read_text(encoding="utf-8")
