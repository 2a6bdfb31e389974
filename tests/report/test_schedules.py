"""The schedules run as they are written, as far as a machine without internet can tell."""

from __future__ import annotations

import configparser
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from headlines import headline

from flowperf_helpers.errors import OverdueError
from flowperf_helpers.report.run.archive import check_last

ROOT = Path(__file__).parents[2]
SCHEDULES = ROOT / ".github" / "schedules"
WORKFLOW = ROOT / ".github" / "workflows" / "weekly-report.yml"
BIN = Path(sys.executable).parent
LATE = "43 10 * * 1"
"""When the workflow only looks whether its report is there."""


def _fields(expression: str) -> list[str]:
    fields = expression.split()
    assert 5 == len(fields)
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields)
    return fields


def _flowperf(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / "flowperf"), *words], cwd=cwd, capture_output=True, text=True, timeout=120)


# --- a run that did not happen -------------------------------------------------------------------------------------


def _put(folder: Path, *weeks: str, partial: bool = False) -> Path:
    for week in weeks:
        told = {**headline(week), "is_partial": partial}
        (folder / f"weekly-acme-{week}.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("weeks", "moment", "there"),
    [
        (("2026-W46", "2026-W47"), "2026-11-23T12:47", True),
        (("2026-W46", "2026-W47"), "2026-11-29T23:59", True),
        (("2026-W46", "2026-W47"), "2026-11-30T00:01", False),  # the next week has ended, its report is due
        (("2026-W46",), "2026-11-23T12:47", False),
        (("2026-W52",), "2026-12-28T07:00", True),
        (("2026-W52",), "2027-01-04T07:00", False),  # a year with a week 53
        (("2026-W53",), "2027-01-04T07:00", True),
    ],
)
def test_a_run_that_did_not_happen_is_noticed(tmp_path: Path, weeks: tuple[str, ...], moment: str, there: bool) -> None:
    """The report of the last complete week is there, or an error says which one is missing."""
    now = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Europe/Copenhagen"))
    _put(tmp_path, *weeks)
    if there:
        assert weeks[-1] in check_last("acme", tmp_path, now=now)
    else:
        with pytest.raises(OverdueError, match=weeks[-1]) as found:
            check_last("acme", tmp_path, now=now)
        assert 5 == found.value.exit_code


def test_a_week_that_still_ran_and_another_account_do_not_count(tmp_path: Path) -> None:
    """Half a week's report is not the week's, and each account has its own."""
    now = datetime(2026, 11, 23, 12, 47, tzinfo=ZoneInfo("Europe/Copenhagen"))
    _put(tmp_path, "2026-W47", partial=True)
    for account in ("acme", "other"):
        with pytest.raises(OverdueError, match="No report"):
            check_last(account, tmp_path, now=now)


def test_the_command_that_looks_ends_with_a_sentence(tmp_path: Path) -> None:
    """--check-last asks nobody, makes nothing and ends with 5 where the report is missing."""
    done = _flowperf(["weekly", "--account", "sandbox", "--out", "reports", "--check-last"], tmp_path)
    assert (5, "") == (done.returncode, done.stdout)
    assert "2026-W47 is due" in done.stderr
    assert not (tmp_path / "reports").exists()


# --- cron ----------------------------------------------------------------------------------------------------------


@pytest.mark.notebook
def test_cron_lines_run(tmp_path: Path) -> None:
    """The lines of cron.txt, given to sh as cron does, leave the report, find it, and keep a log."""
    text = (SCHEDULES / "cron.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines[:-2])
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    (tmp_path / "secrets.env").write_text("export ACME_KLAVIYO_KEY=not-used\n")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "FLOWPERF_HOME": str(tmp_path / "home"), **settings}
    environment["FLOWPERF_FOLDER"] = str(tmp_path)
    for line, hour in zip(lines[-2:], ("6", "12"), strict=True):
        parts = line.split(maxsplit=5)
        minute, at, _, _, weekday = _fields(" ".join(parts[:5]))
        assert (hour, "1") == (at, weekday)
        assert minute != "0"
        command = parts[5].replace("--account acme", "--account sandbox")
        done = subprocess.run(
            [settings["SHELL"], "-c", command], env=environment, cwd="/", capture_output=True, text=True, check=False
        )
        log = (tmp_path / "weekly.log").read_text(encoding="utf-8")
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr), log
    assert (tmp_path / "reports" / "weekly-sandbox-2026-W47.html").is_file()
    assert "2026-W47 is there" in log
    assert "not-used" not in log


# --- GitHub --------------------------------------------------------------------------------------------------------


def _workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def _steps() -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in _workflow()["jobs"]["report"]["steps"] if "name" in step}


def test_workflow_keeps_the_key_in_the_scheduler_s_store() -> None:
    """Secrets come from the repository's secrets into the environment of one step, and into no command."""
    found, steps = _workflow(), _steps()
    assert not [step for step in steps.values() if "secrets." in str(step.get("run", ""))]
    assert "${{ secrets.ACME_KLAVIYO_KEY }}" == steps["Report"]["env"]["ACME_KLAVIYO_KEY"]
    assert ["Report"] == [name for name, step in steps.items() if "secrets." in str(step)]
    assert {"contents": "write"} == found["permissions"]
    # nothing a stranger typed is pasted into a shell
    assert not [step for step in steps.values() if "${{" in str(step.get("run", ""))]


def test_workflow_runs_at_odd_minutes_and_looks_later() -> None:
    """Both schedules avoid the full hour; at the later one nothing is made, only looked at."""
    found, steps = _workflow(), _steps()
    on = found.get("on", found.get(True))  # YAML 1.1 reads the bare word as a truth
    crons = [entry["cron"] for entry in on["schedule"]]
    assert LATE == crons[-1]
    assert all(fields[0] not in ("0", "30") and fields[4] == "1" for fields in map(_fields, crons))
    assert {"Report", "Keep", "Upload"} == {name for name, step in steps.items() if LATE in str(step.get("if", ""))}
    assert "cache" not in json.dumps(list(steps.values()))


@pytest.mark.notebook
def test_workflow_s_steps_keep_the_report_on_a_branch(tmp_path: Path) -> None:
    """The steps' own scripts, run by bash as the runner does: the next run finds store and reports, and no token."""
    steps, settings = _steps(), _workflow()["env"]
    plain = {name: value for name, value in settings.items() if "${{" not in value}
    environment = {**os.environ, "WEEK": "", "PATH": f"{BIN}:/usr/bin:/bin", **plain, "FLOWPERF_ACCOUNT": "sandbox"}

    def git(*words: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(["git", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def run(name: str, cwd: Path) -> None:
        script = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", steps[name]["run"]]
        done = subprocess.run(script, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr

    git("init", "--quiet", "--bare", "origin.git")
    git("clone", "--quiet", "origin.git", "first")
    git("commit", "--quiet", "--allow-empty", "--message", "code", cwd=tmp_path / "first")
    git("push", "--quiet", "origin", "HEAD", cwd=tmp_path / "first")
    git("clone", "--quiet", "origin.git", "second")
    first, second = tmp_path / "first", tmp_path / "second"
    run("Bring back", first)
    (first / "data" / "store" / "tokens").mkdir(parents=True)
    (first / "data" / "store" / "tokens" / "acme.json").write_text("a secret")
    for name in ("Report", "Check", "Keep"):
        run(name, first)
    run("Bring back", second)
    run("Check", second)
    kept = git("ls-files", cwd=second / "data").split()
    assert {"reports/weekly-sandbox-2026-W47.html", "reports/index.html"} <= set(kept)
    assert [name for name in kept if name.startswith("store/")]
    assert not [name for name in kept if "token" in name]


# --- Airflow -------------------------------------------------------------------------------------------------------


@pytest.mark.notebook
def test_airflow_dag_runs_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The DAG's file is short and loads, runs on Mondays in the account's zone, and its task leaves the report."""
    settings: dict[str, Any] = {}
    tasks: list[Callable[[], Any]] = []

    def dag(**given: Any) -> Any:
        settings.update(given)
        return lambda function: function

    def task(function: Callable[[], Any]) -> Callable[[], None]:
        return lambda: tasks.append(function)

    sdk = types.ModuleType("airflow.sdk")
    vars(sdk).update(dag=dag, task=task)
    monkeypatch.setitem(sys.modules, "airflow", types.ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    monkeypatch.setenv("FLOWPERF_REPORTS", str(tmp_path / "reports"))
    path = SCHEDULES / "airflow_dag.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30
    runpy.run_path(str(path))
    minute, hour, *_, weekday = _fields(settings["schedule"])
    assert ("6", "1") == (hour, weekday)
    assert minute != "0"
    assert settings["start_date"].tzinfo is not None
    (weekly_report,) = tasks
    assert all(Path(made).is_file() for made in weekly_report())
    assert "SANDBOX" in (tmp_path / "reports" / "weekly-sandbox-2026-W47.html").read_text(encoding="utf-8")


# --- Docker and systemd --------------------------------------------------------------------------------------------


def _instructions() -> list[tuple[str, str]]:
    text = (SCHEDULES / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_container_runs_as_a_user_without_rights_and_its_command_is_ours(tmp_path: Path) -> None:
    """What the container runs is a command line that flowperf takes; what it installs is here."""
    found = dict(_instructions())
    words = json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"])
    assert "flowperf" == words[0] == found["USER"]
    assert all(word.startswith(f"{found['VOLUME']}/") for word in re.findall(r"/\S+", found["ENV"]))
    assert (ROOT / "constraints.txt").is_file()
    done = _flowperf([word.replace("/data", str(tmp_path)) for word in words[1:]] + ["--plan"], tmp_path)
    assert 0 == done.returncode, done.stderr
    order = [name for name, _ in _instructions()]
    assert order.index("RUN") < order.index("USER") < order.index("ENTRYPOINT")


def _unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((SCHEDULES / name).read_text(encoding="utf-8"))
    return parser


def test_systemd_units_are_valid_and_their_command_is_ours(tmp_path: Path) -> None:
    """The timer makes up for a run that was missed, and the service's line is one that flowperf takes."""
    service, timer = _unit("flowperf-weekly.service"), _unit("flowperf-weekly.timer")
    assert "true" == timer["Timer"]["Persistent"]
    assert re.fullmatch(r"Mon \*-\*-\* \d\d:(?!00)\d\d Europe/Copenhagen", timer["Timer"]["OnCalendar"])
    program, *words = shlex.split(service["Service"]["ExecStart"])
    assert program.endswith("/.venv/bin/flowperf")
    done = _flowperf([word.replace("acme", "sandbox") for word in words] + ["--plan"], tmp_path)
    assert 0 == done.returncode, done.stderr
    for name in ("flowperf-weekly.service", "flowperf-weekly.timer"):
        text = (SCHEDULES / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/srv/flowperf/.venv/bin", str(BIN)), encoding="utf-8")
    if analyze := shutil.which("systemd-analyze"):
        units = [str(tmp_path / name) for name in ("flowperf-weekly.service", "flowperf-weekly.timer")]
        checked = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
        assert "flowperf" not in checked.stderr, checked.stderr
