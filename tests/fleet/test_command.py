"""`flowperf fleet` and `flowperf accounts` as they are typed."""

from __future__ import annotations

import json
import os
import re
import resource
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import fsspec
import pytest
from click.testing import CliRunner, Result
from fleet.conftest import WEEK, Ran, here
from fsspec.implementations.memory import MemoryFileSystem

from flowperf_helpers import cli
from flowperf_helpers.errors import AuthenticationError
from flowperf_helpers.fleet import results
from flowperf_helpers.fleet.run import Fleet

pytestmark = pytest.mark.xdist_group("fleet")
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SHOPS = '[accounts.a]\napi_key_env = "K"\ntags = ["eu"]\n[accounts.b]\napi_key_env = "K"\ntags = ["us"]\n'


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Run a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWPERF_ACCOUNTS", "accounts.toml")  # the command sets it, the test takes it back

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.main, arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((), "Where shall the reports go"),
     (("--out", "x", "--sandbox", "2", "--tag", "eu"), "--sandbox brings its own accounts"),
     (("--out", "x", "--workers", "2", "--scheduler", "tcp://x:1"), "--workers or --scheduler"),
     (("nowhere.toml", "--out", "x"), "nowhere.toml cannot be read"),
     (("empty.toml", "--out", "x"), "it has nothing"),
     (("shops.toml", "--out", "x", "--accounts", "a,bb"), "has no account 'bb'"),
     (("shops.toml", "--out", "x", "--tag", "asia"), "has the tag 'asia'"),
     (("shops.toml", "--out", "x", "--week", "2026-W60"), "2026-W60"),
     (("shops.toml", "--out", "nothing://x"), "nothing:// addresses")],
)  # fmt: skip
def test_what_cannot_be_run_is_a_sentence(typed: object, arguments: tuple[str, ...], says: str) -> None:
    """Wrong options and files end with code 2, before anything is asked."""
    Path("empty.toml").touch()
    Path("shops.toml").write_text(SHOPS)
    done = typed("fleet", *arguments)  # type: ignore[operator]
    assert (2, True) == (done.exit_code, says in done.output), done.output
    assert "Traceback" not in done.output


def test_two_sections_with_one_key_are_a_warning(typed: object, monkeypatch: pytest.MonkeyPatch, ran: Ran) -> None:
    """Sections that share a key share a quota: said before anything is asked, and no error."""
    monkeypatch.setenv("FLOWPERF_SANDBOX_NOW", ran.environ["FLOWPERF_SANDBOX_NOW"])
    monkeypatch.setenv("K", ran.shops[0].key)
    address = re.search(r'base_url = "(.*)"', Path(ran.environ["FLOWPERF_ACCOUNTS"]).read_text())[1]  # type: ignore[index]
    Path("shops.toml").write_text(
        f'[defaults]\nbase_url = "{address}"\nconversion_metric = "Placed Order"\n{SHOPS}[accounts.c]\nnonsense = 1\n'
    )
    monkeypatch.setenv("FLOWPERF_PACING", "off")
    done = typed("fleet", "shops.toml", "--plan", "--week", WEEK)  # type: ignore[operator]
    assert 6 == done.exit_code, done.output
    assert "a and b use one key: they are one account of Klaviyo's and share its quota" in done.output
    assert "8 report requests to 2 accounts" in done.output
    assert "c: shops.toml, line 11, [accounts.c] has unknown nonsense: valid are" in done.output
    assert "0.9%" in done.output
    tagged = typed("fleet", "shops.toml", "--plan", "--week", WEEK, "--tag", "us", "--quiet")  # type: ignore[operator]
    assert (0, 1) == (tagged.exit_code, tagged.output.count("4 report requests to 1 accounts")), tagged.output


def test_accounts_are_checked_without_a_report_request(
    typed: object, monkeypatch: pytest.MonkeyPatch, ran: Ran
) -> None:
    """Every section is a row: zone, currency, calls left, or what is wrong with it; no report is asked for."""
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOWPERF_PACING", "off")
    before = len(ran.app.reports)  # type: ignore[attr-defined]
    done = typed("accounts", "--format", "json")  # type: ignore[operator]
    rows = {row["account"]: row for row in json.loads(done.stdout)}
    assert 6 == done.exit_code
    assert [not shop.fault for shop in ran.shops] == [rows[shop.name]["usable"] for shop in ran.shops]
    first = ran.shops[0]
    assert (first.timezone, first.currency) == (rows[first.name]["zone"], rows[first.name]["currency"])
    assert 223 == rows[first.name]["calls_left"]  # of 225; the report took two of each endpoint
    assert "has to reconnect" in next(rows[s.name]["problem"] for s in ran.shops if s.fault == "expired")
    assert before == len(ran.app.reports)  # type: ignore[attr-defined]


def test_the_sandbox_serves_a_fleet_for_trying(tmp_path: Path) -> None:
    """`flowperf fleet --sandbox 2` from an empty folder leaves two reports, marked as invented."""
    command = [str(BIN / "flowperf"), "fleet", "--sandbox", "2", "--workers", "1"]
    done = subprocess.run([*command, "--out", "out"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert ["out/fleet.json", "out/fleet.xlsx", "out/index.html"] == done.stdout.splitlines()
    assert "SANDBOX (invented accounts), 2 accounts, week 2026-W47" in done.stderr
    assert "8 report requests to 2 accounts" in done.stderr
    assert 2 == len(list(tmp_path.glob("out/reports/*/weekly-*.html")))
    assert "Traceback" not in done.stderr


def test_a_full_disk_half_way_is_a_row_and_the_next_run_finishes(ran: Ran, tmp_path: Path) -> None:
    """A page that no longer fits fails its account in a sentence; what is done stays, and nothing is asked again."""
    asked, out = len(ran.app.reports), tmp_path / "out"  # type: ignore[attr-defined]
    shutil.copytree(ran.out / "manifests", out / "manifests", ignore=shutil.ignore_patterns("*shop-0007*"))
    shutil.copytree(ran.out / "reports" / "shop-0001", out / "reports" / "shop-0001")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    names = "shop-0001,shop-0007"
    done = subprocess.run(
        [str(BIN / "flowperf"), "fleet", "--week", WEEK, "--out", "out", "--workers", "1", "--accounts", names],
        cwd=tmp_path, env={**ran.environ, "FLOWPERF_PACING": "off"}, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000)),
    )  # fmt: skip
    assert 6 == done.returncode, done.stderr
    said = (
        r"shop-0007: reports/shop-0007/weekly\S+html could not be written into out \(File too large\): free some space"
    )
    assert re.search(said, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.part"))
    assert ["account=shop-0001.json"] == [path.name for path in out.glob("manifests/*/*")]
    again = ran.fleet(out, *names.split(","))
    plan = again.plan()
    states = [(one.account, one.status, one.requests) for one in again.run(plan, here())]
    assert [("shop-0001", "kept", 0), ("shop-0007", "done", 0)] == states
    assert before == {path: path.read_bytes() for path in before}
    assert asked == len(ran.app.reports)  # type: ignore[attr-defined]


def test_files_of_the_fleet_that_cannot_be_written_are_a_sentence(
    typed: object, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only the index cannot take its place, the run ends with 7 and says so, after who failed."""
    shutil.copytree(ran.out / "manifests", "out/manifests")
    Path("out/index.html").mkdir()
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOWPERF_PACING", "off")
    done = typed("fleet", "--out", "out", "--week", WEEK, "--accounts", "shop-0001,shop-0002")  # type: ignore[operator]
    assert 7 == done.exit_code, done.output
    assert "index.html could not be written into out (Is a directory)" in done.output
    assert "shop-0002: This customer has to reconnect" in done.output


def test_accounts_keep_the_order_of_the_file_when_nobody_is_left_to_ask(
    typed: object, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed account stands between the kept ones as in accounts.toml, also where no account has to be asked."""
    shutil.copytree(ran.out / "manifests", "out/manifests")
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOWPERF_PACING", "off")
    names = ["shop-0001", "shop-0002", "shop-0007"]
    done = typed("fleet", "--out", "out", "--week", WEEK, "--accounts", ",".join(names), "--quiet")  # type: ignore[operator]
    assert 6 == done.exit_code, done.output
    assert names == [row["account"] for row in json.loads(Path("out/fleet.json").read_text())["accounts"]]


class _Denied(MemoryFileSystem):
    """A bucket that may be read and not written."""

    protocol = "denied"

    def pipe_file(self, *_: object, **__: object) -> None:
        raise PermissionError("Access Denied")


def test_an_address_without_permission_is_refused_before_anything_is_asked(
    typed: object, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output address that may not be written is code 7 and a sentence, before any account is asked."""
    fsspec.register_implementation("denied", _Denied, clobber=True)
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:
        patch.setattr(Fleet, "plan", lambda self: pytest.fail("it was asked"))
        done = typed("fleet", "--out", "denied://bucket/fleet")  # type: ignore[operator]
    assert 7 == done.exit_code, done.output
    assert "Nothing can be written into denied://bucket/fleet (PermissionError): check its permissions" in done.output


def test_the_recipe_queries_the_dataset(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """README's DuckDB query runs on what a fleet left, and its rates are those of the dataset."""
    monkeypatch.chdir(ran.out.parent)
    query = re.search(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]  # type: ignore[index]
    found = duckdb.sql(query.replace("'out/", f"'{ran.out}/")).df()
    rows = results.read(str(ran.out))
    rows = rows[rows["template_version"] != ""].set_index("account")
    assert sorted(rows.index) == sorted(found["account"])
    expected = (rows["conversion_uniques"] / rows["delivered"]).astype("float64")
    assert found.set_index("account")["conversion_rate"].sub(expected).abs().max() < 1e-12


class _Operator:
    """As much of Airflow's operators as the DAG uses; tasks run when told to."""

    made: ClassVar[list[_Operator]] = []

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.after: list[_Operator] = []
        _Operator.made.append(self)

    @classmethod
    def partial(cls, **settings: Any) -> _Operator:
        """Settings that all mapped tasks share."""
        return cls(**settings)

    def expand(self, **mapped: Any) -> _Operator:
        """One task for each of these."""
        self.settings |= mapped
        return self

    def __rshift__(self, other: _Operator) -> _Operator:
        other.after.append(self)
        return other


class _DAG(_Operator):
    def __enter__(self) -> _DAG:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def test_the_airflow_recipe_makes_one_task_per_account(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DAG's file has at most 30 lines, maps over the sections, and its tasks leave what a fleet leaves."""
    modules = {
        "airflow": {"DAG": _DAG},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.bash": {"BashOperator": _Operator},
        "airflow.providers.standard.operators.python": {"PythonOperator": _Operator},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOWPERF_REPORTS", str(tmp_path))
    monkeypatch.setenv("FLOWPERF_PACING", "off")
    file = ROOT / ".github" / "schedules" / "airflow_fleet.py"
    assert 30 >= len(file.read_text(encoding="utf-8").splitlines())
    _Operator.made.clear()
    runpy.run_path(str(file))
    _, accounts, together = _Operator.made
    assert [accounts] == together.after
    given = accounts.settings["op_kwargs"]
    assert [shop.name for shop in ran.shops] == [one["name"] for one in given]
    manifest = accounts.settings["python_callable"](**given[0])
    assert ("shop-0001", WEEK) == (manifest["account"], manifest["week"])
    assert manifest == accounts.settings["python_callable"](**given[0])  # a retry finds it done
    with pytest.raises(AuthenticationError):
        accounts.settings["python_callable"](**given[1])
    command = ["bash", "-c", together.settings["bash_command"].replace("flowperf ", f"{BIN}/flowperf ", 1)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    states = {row["account"]: row["status"] for row in json.loads((tmp_path / "fleet.json").read_text())["accounts"]}
    assert ("kept", "failed") == (states["shop-0001"], states["shop-0002"])


def test_the_dagster_recipe_makes_one_step_per_account(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's file has at most 30 lines, maps over the sections, and an account that fails does not stop the rest."""
    dagster = types.ModuleType("dagster")
    vars(dagster).update(
        Definitions=_Operator, DynamicOut=object, DynamicOutput=lambda value, key: (key, value), RetryRequested=_Again,
        ScheduleDefinition=_Operator, job=lambda **_: lambda make: make, op=_op,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "dagster", dagster)
    for name, value in ran.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOWPERF_REPORTS", str(tmp_path))
    monkeypatch.setenv("FLOWPERF_PACING", "off")
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    file = ROOT / ".github" / "schedules" / "dagster_fleet.py"
    assert 30 >= len(file.read_text(encoding="utf-8").splitlines())
    recipe = runpy.run_path(str(file))
    (schedule,) = recipe["definitions"].settings["schedules"]
    assert ("17 6 * * 1", recipe["fleet"]) == (schedule.settings["cron_schedule"], schedule.settings["job"])
    given = recipe["names"]().made
    assert [(str(place), shop.name) for place, shop in enumerate(ran.shops)] == given
    said: list[str] = []
    context = types.SimpleNamespace(retry_number=0, log=types.SimpleNamespace(error=said.append))
    with pytest.raises(_Again):
        recipe["account"](context, given[1][1])
    context.retry_number = 2
    recipe["account"](context, given[0][1])
    recipe["account"](context, given[1][1])
    assert [True] == ["has to reconnect" in line or "does not accept" in line for line in said], said
    with pytest.raises(subprocess.CalledProcessError, match="exit status 6"):
        recipe["together"](None)
    states = {row["account"]: row["status"] for row in json.loads((tmp_path / "fleet.json").read_text())["accounts"]}
    assert ("kept", "failed") == (states["shop-0001"], states["shop-0002"])
    recipe["fleet"]()


class _Again(Exception):
    """Dagster's request for another try."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(str(settings))


class _Steps(list[Any]):
    """What an op gives inside of a job."""

    @property
    def made(self) -> list[Any]:
        return list(self)

    def map(self, step: Any) -> _Steps:
        assert callable(step)
        return self

    def collect(self) -> _Steps:
        return self


def _op(function: Any = None, **_: Any) -> Any:
    """As much of Dagster's op as the recipe uses: with or without settings, around a function."""
    if function is None:
        return _op
    return lambda *given: _Steps(function() if not given else [])
