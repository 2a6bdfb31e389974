"""The DAGs of `.github/schedules`, loaded by Airflow itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = ROOT / ".venv" / "airflow" / "bin" / "python"
ACCOUNTS = """
[accounts.acme]
api_key_env = "ACME_KLAVIYO_KEY"
[accounts.beta]
api_key_env = "BETA_KLAVIYO_KEY"
"""
LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1])
print("LOADED" + json.dumps({"errors": bag.import_errors, "dags": {name: {
    "schedule": str(dag.schedule), "zone": str(dag.timezone), "catchup": dag.catchup,
    "tasks": {task.task_id: [sorted(task.downstream_task_ids), task.trigger_rule.value] for task in dag.tasks},
    "accounts": [given["name"] for task in dag.tasks if task.task_id == "account"
                 for given in task.expand_input.value["op_kwargs"]],
} for name, dag in bag.dags.items()}}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow read out of the folder, with nothing of the reader's environment."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "accounts.toml").write_text(ACCOUNTS, encoding="utf-8")
    ran = subprocess.run(
        [AIRFLOW, "-c", LOAD, ROOT / ".github" / "schedules"],
        cwd=home, capture_output=True, text=True, timeout=300, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "AIRFLOW_HOME": str(home / "airflow"),
             "FLOWPERF_HOME": str(home / "home"), "FLOWPERF_ACCOUNTS": str(home / "accounts.toml")},
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stderr[-2_000:]
    found: dict[str, Any] = json.loads(ran.stdout.split("LOADED")[1])
    return found


pytestmark = pytest.mark.skipif(
    not AIRFLOW.with_name("airflow").exists(), reason="Airflow is not installed: `make airflow` does it"
)


def test_airflow_loads_every_dag_without_an_error(loaded: dict[str, Any]) -> None:
    """Both files load in the real Airflow, and no other."""
    assert {} == loaded["errors"]
    assert {"flowperf_weekly_report", "flowperf_fleet"} == set(loaded["dags"])


def test_airflow_runs_the_report_on_mondays_in_the_accounts_zone(loaded: dict[str, Any]) -> None:
    """One task, on Mondays at an odd minute, in Copenhagen's time; missed weeks are not made up for."""
    dag = loaded["dags"]["flowperf_weekly_report"]
    assert "17 6 * * 1" == dag["schedule"]
    assert "Copenhagen" in dag["zone"]
    assert dag["catchup"] is False
    assert {"weekly_report": [[], "all_success"]} == dag["tasks"]


def test_airflow_asks_each_account_and_sums_up_whatever_failed(loaded: dict[str, Any]) -> None:
    """One mapped task per section of accounts.toml; the last one runs also when some of them failed."""
    dag = loaded["dags"]["flowperf_fleet"]
    assert ["acme", "beta"] == dag["accounts"]
    assert {"account": [["together"], "all_success"], "together": [[], "all_done"]} == dag["tasks"]
