"""The command line: what it prints where, and what it exits with."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parent.parent
FLOWPERF = str(Path(sys.executable).parent / "flowperf")


def flowperf(*arguments: str, cwd: Path, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in an own process, without a terminal."""
    return subprocess.run(
        [FLOWPERF, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


def _refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One sentence on stderr, nothing on stdout, no traceback."""
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_help_names_each_command_at_once(tmp_path: Path) -> None:
    """Help lists the commands, costs no heavy import, and names nothing that is not there."""
    done = flowperf("--help", cwd=tmp_path)
    assert 0 == done.returncode
    for command in ("discover", "weekly", "sandbox", "status", "app"):
        assert f"  {command} " in done.stdout
    code = "import sys, flowperf_helpers.cli; print({'pandas', 'numpy', 'requests', 'papermill'} & set(sys.modules))"
    assert (
        "set()"
        == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )


def test_version_is_the_project_s(tmp_path: Path) -> None:
    """--version prints the version of pyproject."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"flowperf, version {project['version']}\n" == flowperf("--version", cwd=tmp_path).stdout


def test_discover_lists_metrics_with_their_flows(tmp_path: Path) -> None:
    """As a table for people, as CSV and JSON for programs, with the same rows."""
    table = flowperf("discover", "--integration", "YourIntegration", cwd=tmp_path)
    assert 0 == table.returncode, table.stderr
    assert "metric_id" in table.stdout.splitlines()[0]
    rows = list(
        csv.DictReader(
            io.StringIO(
                flowperf("discover", "--integration", "YourIntegration", "--format", "csv", cwd=tmp_path).stdout
            )
        )
    )
    records = json.loads(
        flowperf("discover", "--integration", "YourIntegration", "--format", "json", cwd=tmp_path).stdout
    )
    assert len(rows) == len(records) == len(table.stdout.splitlines()) - 2
    assert "T7K2j8" in {row["flow_id"] for row in rows}


def test_discover_of_an_unknown_integration_names_what_is_near(tmp_path: Path) -> None:
    """A misspelling is exit 2 with the right spelling."""
    _refused(flowperf("discover", "--integration", "your integration", cwd=tmp_path), 2, "YourIntegration")


def test_status_shows_quota_and_snapshots(tmp_path: Path) -> None:
    """Both report endpoints are listed."""
    done = flowperf("status", "--format", "json", cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    rows = {row["endpoint"]: row for row in json.loads(done.stdout)}
    assert [0, 0] == [rows[f"/api/flow-{kind}-reports"]["snapshots"] for kind in ("values", "series")]
    assert "snapshots" in flowperf("status", cwd=tmp_path).stdout.splitlines()[0]


def test_plan_shows_the_cost_and_sends_nothing(tmp_path: Path) -> None:
    """--plan prints a first report's six requests and leaves no answer behind; it needs no --out."""
    done = flowperf("weekly", "--plan", cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    assert "6 report requests" in done.stdout
    again = flowperf("weekly", "--plan", cwd=tmp_path)
    assert "0 already in store" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["weekly"], 2, ["--out"]),
        (["weekly", "--out", "o", "--week", "2026-W99"], 2, ["2026-W47"]),
        (["weekly", "--plan", "--week", "2026-W48"], 2, ["running", "--allow-partial"]),
        (["weekly", "--plan", "--week", "2027-W01"], 2, ["future"]),
        (["weekly", "--plan", "--week", "0001-W01"], 2, ["2026-W47"]),
        (["weekly", "--plan", "--week", "9999-W52"], 2, ["2026-W47"]),
        (["weekly", "--out", "o", "-p", "account", "live"], 2, ["account", "--account"]),
        (["weekly", "--plan", "--conversion-metric", "Placed Order"], 2, ["RplOrd", "Shopify"]),
        (["weekly", "--plan", "--conversion-metric", "No Such Metric"], 2, ["No Such Metric"]),
        (["weekly", "--plan", "--integration", "Shopfy"], 2, ["Shopify"]),
        (["weekly", "--out", "o", "-p", "wek", "2026-W47"], 2, ["wek", "week"]),
        (["weekly", "--out", "o", "-p", "week", "pk_0123456789abcdef"], 3, ["secret"]),
        (["weekly", "--out", "o", "--account", "live"], 3, ["KLAVIYO_API_KEY", "KLAVIYO_ACCESS_TOKEN"]),
        (["weekly", "--out", "o", "--account", "nobody"], 2, ["nobody"]),
        (["weekly", "--out", "nosuch://x"], 2, ["nosuch"]),
        (["discover", "--account", "live"], 3, ["KLAVIYO_API_KEY"]),
        (["sandbox", "--now", "yesterday"], 2, ["2026-11-23T06:00:00+01:00"]),
        (["nosuchcommand"], 2, ["nosuchcommand"]),
        (["weekly", "--nosuchoption"], 2, ["--nosuchoption"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].islower() else "",
)
def test_bad_input_is_one_sentence_and_its_exit_code(
    arguments: list[str], code: int, words: list[str], tmp_path: Path
) -> None:
    """Wrong arguments are 2, credentials 3: a sentence, no traceback, nothing half-written."""
    done = flowperf(*arguments, cwd=tmp_path)
    _refused(done, code, *words)
    assert "pk_0123456789abcdef" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_both_credentials_are_an_error(tmp_path: Path) -> None:
    """A key and a token together are refused, and neither is printed."""
    done = flowperf(
        "discover",
        "--account",
        "live",
        cwd=tmp_path,
        KLAVIYO_API_KEY="pk_aaaaaaaa",
        KLAVIYO_ACCESS_TOKEN="tok-bbbbbbbb",
    )
    _refused(done, 3, "both")
    assert "pk_aaaaaaaa" not in done.stderr
    assert "tok-bbbbbbbb" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """Only --debug does."""
    done = flowperf("weekly", "--plan", "--week", "2026-W99", "--debug", cwd=tmp_path)
    assert 2 == done.returncode
    assert "Traceback" in done.stderr


def test_refused_key_is_exit_three(tmp_path: Path, sandbox_url: str) -> None:
    """A key that the server does not know is 3, without the key."""
    done = flowperf(
        "discover", "--account", "live", cwd=tmp_path, KLAVIYO_BASE_URL=sandbox_url, KLAVIYO_API_KEY="wrong-key-canary"
    )
    _refused(done, 3)
    assert "wrong-key-canary" not in done.stderr


@pytest.mark.notebook
@pytest.mark.parametrize(("variant", "code"), [("quota_spent", 4), ("no_scope", 3), ("drafts_only", 5)])
def test_failure_in_the_kernel_keeps_its_exit_code(variant: str, code: int, tmp_path: Path) -> None:
    """Quota, permission and missing rows come out of the notebook as on the command line, and the notebook is named."""
    done = flowperf("weekly", "--out", "o", "--quiet", cwd=tmp_path, FLOWPERF_SANDBOX_VARIANT=variant)
    _refused(done, code, "-FAILED.ipynb")
    assert ["weekly-sandbox-latest-FAILED.ipynb"] == [p.name for p in (tmp_path / "o").iterdir()]


@pytest.mark.notebook
def test_weekly_prints_a_line_per_file(tmp_path: Path) -> None:
    """stdout is the files and nothing else; progress goes to stderr."""
    done = flowperf("weekly", "--out", "reports", cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    kinds = ("html", "ipynb", "parquet", "xlsx", "json")
    assert [f"reports/weekly-sandbox-2026-W47.{kind}" for kind in kinds] == done.stdout.splitlines()
    assert all((tmp_path / line).is_file() for line in done.stdout.splitlines())
    assert "running 05_weekly_report.ipynb" in done.stderr
    assert "6 report requests" in done.stderr


@pytest.mark.notebook
def test_weekly_as_json_and_quiet(tmp_path: Path) -> None:
    """--json prints one object, --quiet leaves stderr empty."""
    done = flowperf("weekly", "--out", "reports", "--json", "--quiet", "--timeout", "200", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    found = json.loads(done.stdout)
    assert ("sandbox", "2026-W47", 5) == (found["account"], found["week"], len(found["files"]))
    assert 5 == len(found["headline"]["sentences"])


def test_sandbox_says_where_it_is_and_its_line_works(tmp_path: Path) -> None:
    """Address, key, how to stop, and a line of curl whose answer is that of the variant asked for."""
    with subprocess.Popen(
        [FLOWPERF, "sandbox", "--port", "0", "--variant", "no_flows"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None
            greeting = [process.stdout.readline() for _ in range(3)]
            address = next(word for word in greeting[0].split() if word.startswith("http://127.0.0.1:"))
            assert "sandbox-key" in greeting[0]
            assert "Ctrl-C" in greeting[2]
            line = shlex.split(greeting[1].removeprefix("try: "))
            assert ["curl", "-s", f"{address}/api/metrics"] == line[:3]
            headers = dict(text.split(": ", 1) for text in line[4::2])
            assert requests.get(line[2], headers=headers, timeout=20).json()["data"]
            assert [] == requests.get(f"{address}/api/flows", headers=headers, timeout=20).json()["data"]
        finally:
            process.send_signal(signal.SIGINT)
        assert 0 == process.wait(timeout=20)


def test_taken_port_and_unknown_variant_are_said(tmp_path: Path) -> None:
    """A port that another program has, and a variant that does not exist, are exit 2 with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        _refused(flowperf("sandbox", "--port", port, cwd=tmp_path), 2, port, "in use", "--port")
        _refused(flowperf("app", "--port", port, cwd=tmp_path), 2, port, "in use", "--port")
    _refused(flowperf("sandbox", "--variant", "noisy", cwd=tmp_path), 2, "noisy", "quiet")


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e300", "0"])
def test_deadline_that_is_none_is_refused(seconds: str, tmp_path: Path) -> None:
    """A deadline is a number of seconds: neither nothing nor for ever nor "not a number"."""
    _refused(flowperf("weekly", "--out", "o", "--timeout", seconds, cwd=tmp_path), 2)
    assert not (tmp_path / "o").exists()


def test_deleted_working_folder_is_said(tmp_path: Path) -> None:
    """A run that starts in a folder which is gone by then ends with exit 2, wherever the report should go."""
    for out in ("o", str(tmp_path / "o")):
        (tmp_path / "gone").mkdir()
        done = subprocess.run(
            ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", FLOWPERF, "weekly", "--out", out],
            cwd=tmp_path / "gone", capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        _refused(done, 2, "working folder was deleted")


@pytest.mark.parametrize(
    ("environment", "code", "words"),
    [
        ({"KLAVIYO_BASE_URL": "https://a..b"}, 2, ["KLAVIYO_BASE_URL"]),
        ({"KLAVIYO_BASE_URL": f"https://{'a' * 64}.com"}, 2, ["KLAVIYO_BASE_URL"]),
        ({"REQUESTS_CA_BUNDLE": "/nowhere/bundle.pem"}, 5, ["REQUESTS_CA_BUNDLE"]),
    ],
    ids=["empty label", "long label", "no bundle"],
)
def test_unusable_address_or_bundle_is_said(
    environment: dict[str, str], code: int, words: list[str], tmp_path: Path
) -> None:
    """An address that is none, and certificates that are not there, are sentences that name the variable."""
    done = flowperf("discover", "--account", "live", cwd=tmp_path, KLAVIYO_API_KEY="canary-key", **environment)
    _refused(done, code, *words)
    assert "canary-key" not in done.stderr


def test_address_that_needs_more_is_refused(tmp_path: Path) -> None:
    """An address whose library wants more than an address is exit 2 before a kernel starts."""
    _refused(flowperf("weekly", "--out", "github://a/b", cwd=tmp_path), 2, "github://")


def test_week_labels_are_read_alike(tmp_path: Path) -> None:
    """A small w names the same week for each command."""
    plans = [flowperf("weekly", "--plan", "--week", week, cwd=tmp_path) for week in ("2026-w46", "2026-W46")]
    assert [0, 0] == [done.returncode for done in plans]
    assert plans[0].stdout == plans[1].stdout
