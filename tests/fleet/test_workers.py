"""Where reports are computed: processes that may die, clusters that may not be there, one result for all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from distributed import LocalCluster
from fleet.conftest import WEEK, Ran, earlier_week

from flowperf_helpers import connect
from flowperf_helpers.errors import ArgumentError, FlowperfError
from flowperf_helpers.fleet import results, workers
from flowperf_helpers.report import WeekData, WeeklyReport, fetch_week
from flowperf_helpers.report.run.weekly import run_weekly

pytestmark = pytest.mark.xdist_group("fleet")
NAME = "shop-0001"


@pytest.fixture(scope="module")
def environ(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The fleet's environment with a store of its own: other tests count the calls of the shared one."""
    home = shutil.copytree(ran.environ["FLOWPERF_HOME"], tmp_path_factory.mktemp("own") / "home")
    return {**ran.environ, "FLOWPERF_HOME": str(home)}


@pytest.fixture(scope="module")
def task(environ: dict[str, str]) -> workers.Task:
    """What a worker gets of one account; its answers are in the store."""
    account = connect(NAME, environ=environ)
    fetch_week(account, week=WEEK)
    return workers.Task(fetch_week(account, week=WEEK), results.week_facts(account))


def test_a_task_carries_no_secret(task: workers.Task, ran: Ran) -> None:
    """Neither the key nor its variable nor the account's address leaves the process that asks."""
    content = pickle.dumps(task)
    shop = ran.shops[0]
    for secret in (shop.key, shop.variable, "127.0.0.1", ran.environ["FLOWPERF_HOME"]):
        assert secret.encode() not in content


def test_a_killed_worker_loses_nothing(task: workers.Task) -> None:
    """A killed worker is replaced and the report comes out the same; what always kills its worker is a sentence."""
    expected = workers.render(task)
    with workers.open_workers(1) as pool:
        executor = pool._executor
        assert isinstance(executor, ProcessPoolExecutor)
        executor.submit(os.getpid).result()
        for pid in list(executor._processes):
            os.kill(pid, signal.SIGKILL)
        assert _same(expected, pool.render(task))
        with pytest.raises(FlowperfError, match="ended 3 times"):
            pool.render(replace(task, answers=_Deadly()))  # type: ignore[arg-type]


class _Deadly(WeekData):
    """Answers that end whatever process unpacks them."""

    def __init__(self) -> None:
        pass

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)


def _same(one: workers.Rendered, other: workers.Rendered) -> bool:
    """Whether two renderings hold the same; a spreadsheet is stamped with the moment it was made."""
    files = [{kind: content for kind, content in r.files.items() if kind != "xlsx"} for r in (one, other)]
    return files[0] == files[1] and one.rows == other.rows and one.summary == other.summary


def test_another_version_is_refused(task: workers.Task) -> None:
    """A worker that has another version than the run says both and computes nothing."""
    with pytest.raises(ArgumentError, match=r"was started by 0\.0\.1: install the same version"):
        workers.render(replace(task, version="0.0.1"))


def test_a_cluster_computes_the_same(task: workers.Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Dask worker returns what a process returns; one of another version is refused before it gets anything."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        with workers.open_workers(1, address) as pool:
            assert 1 == pool.count
            assert _same(workers.render(task), pool.render(task))
        monkeypatch.setattr(workers, "_version", _other_version)
        with pytest.raises(ArgumentError, match=r"has flowperf 9\.9"), workers.open_workers(1, address):
            pass
        monkeypatch.setattr(workers, "_version", _no_package)
        with pytest.raises(ArgumentError, match="cannot use flowperf"), workers.open_workers(1, address):
            pass
        cluster.scale(0)
        cluster.sync(cluster._correct_state)
        monkeypatch.undo()
        with pytest.raises(ArgumentError, match="has no workers"), workers.open_workers(1, address):
            pass


def _other_version() -> str:
    return "9.9"


def _no_package() -> str:
    raise ModuleNotFoundError("No module named 'flowperf_helpers'")


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody answers, and one that is none, are sentences."""
    monkeypatch.setattr(workers, "SECONDS_TO_ANSWER", 0.5)
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with pytest.raises(ArgumentError, match="No Dask scheduler answers"), workers.open_workers(1, address):
            pass


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Dask is not installed, --scheduler names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ArgumentError, match=r"flowperf\[fleet\]"), workers.open_workers(1, "tcp://127.0.0.1:9"):
        pass


@pytest.mark.notebook
def test_the_notebook_gives_the_same_page_and_numbers(
    task: workers.Task, environ: dict[str, str], tmp_path: Path
) -> None:
    """The page without a kernel is the notebook's page but for its links to others, and all numbers are the same."""
    before = earlier_week(WeeklyReport(task.answers).headline(), "2026-W46")
    (tmp_path / f"weekly-{NAME}-2026-W46.json").write_text(json.dumps(before), encoding="utf-8")
    made = workers.render(replace(task, earlier=[before]))
    os.environ.update({k: v for k, v in environ.items() if k.endswith("_KLAVIYO_KEY") or k.startswith("FLOWPERF")})
    try:
        manifest = run_weekly(NAME, out=tmp_path, week=WEEK, environ=environ)
    finally:
        for name in environ:
            if name.endswith("_KLAVIYO_KEY") or name.startswith("FLOWPERF"):
                os.environ.pop(name, None)
    files = {file.kind: Path(file.path).read_bytes() for file in manifest.files}
    assert json.loads(files["json"]) == json.loads(made.files["json"])
    assert files["parquet"] == made.files["parquet"]
    assert b"Not found any more:" in made.files["html"]
    assert _words(files["html"]) == _words(made.files["html"])
    report = WeeklyReport(task.answers)
    assert made.rows == results.to_parquet(results.flow_rows(report, task.facts))


def _words(page: bytes) -> list[str]:
    """Everything of a page but how it is written: a notebook's attributes are ordered and its entities spelled out."""
    soup = BeautifulSoup(page, "html.parser")
    (links,) = soup.find_all("nav", attrs={"aria-label": "Other weeks"})
    assert f"weekly-{NAME}-2026-W46.html" == links.a["href"]
    links.decompose()
    return soup.prettify().split()
