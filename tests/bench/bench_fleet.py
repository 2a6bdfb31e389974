"""Many accounts: reports per minute, memory, the share of time that Klaviyo's limits impose, and what a kill costs.

Run it with ``.venv/bin/python tests/bench/bench_fleet.py [ACCOUNTS ...]``: 100 without a number, which is what
``make bench`` does; 1,000 take about an hour on two cores (one worker, two, and two of Dask). The accounts are
simulated by a server process of its own, with limits enforced, 5 % of them broken; each run is a process of its own
too, so that it can be measured and killed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

WEEK = "2026-W47"
PYTHON = sys.executable


# The server: a process of its own that counts report requests and keeps its answers.


class _Kept:
    """Answers each question once and from memory afterwards: the benchmark measures flowperf, not the simulator."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.kept: dict[tuple[str, str, str, bytes], tuple[str, list[Any], bytes]] = {}
        self.reports: Counter[tuple[str, bytes]] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/counted":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([sum(self.reports.values()), len(self.reports)]).encode()]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        who = environ.get("HTTP_AUTHORIZATION", "")
        question = (who, environ["PATH_INFO"], environ.get("QUERY_STRING", ""), body)
        answer = self.kept.get(question)
        if answer is None:
            import io

            told: list[Any] = []
            environ["wsgi.input"] = io.BytesIO(body)
            content = b"".join(self.app(environ, lambda status, headers, exc=None: told.append((status, headers))))
            answer = (*told[0], content)
            if answer[0].startswith("200"):
                self.kept[question] = answer
        if environ["REQUEST_METHOD"] == "POST" and answer[0].startswith("200"):
            self.reports[(who, body)] += 1
        start_response(answer[0], answer[1])
        return [answer[2]]


def shops_of(count: int, flows: int | None) -> list[Any]:
    """The accounts of a benchmark."""
    from flowperf_helpers.fleet import simulate

    return simulate.accounts(count, flows=flows, broken=0.05)


def serve(count: int, flows: int | None, scale: float, folder: Path) -> None:
    """Serve until killed; what a run needs lies in the folder."""
    from flowperf_helpers.fleet import simulate

    shops = shops_of(count, flows)
    with simulate.serving(_Kept(simulate.FleetApp(shops, time_scale=scale))) as address:
        (folder / "accounts.toml").write_text(simulate.accounts_toml(shops, address))
        (folder / "environment.json").write_text(json.dumps(simulate.environment(shops)))
        (folder / "address").write_text(address)
        signal.pause()


@contextlib.contextmanager
def served(count: int, flows: int | None, scale: float, folder: Path) -> Iterator[dict[str, str]]:
    """A server's environment, while the block runs."""
    command = [PYTHON, __file__, "--serve", str(count), "--flows", str(flows or 0), "--scale", str(scale)]
    with subprocess.Popen([*command, "--folder", str(folder)]) as server:
        try:
            while not (folder / "address").exists():
                if server.poll() is not None:
                    raise SystemExit("the server did not start")
                time.sleep(0.1)
            yield {**os.environ, **json.loads((folder / "environment.json").read_text()),
                   "FLOWPERF_ACCOUNTS": str(folder / "accounts.toml")}  # fmt: skip
        finally:
            server.kill()


def counted(folder: Path) -> tuple[int, int]:
    """Report requests that the server answered, and how many different ones."""
    import urllib.request

    with urllib.request.urlopen(f"{(folder / 'address').read_text()}/counted") as answer:
        asked, different = json.load(answer)
    return asked, different


# A run: a process of its own that prints what it took.


def _computed_by_nobody() -> Any:
    """Workers that give every account the same small report at once: what is left is what the coordinator costs."""
    from concurrent.futures import Executor, Future

    from flowperf_helpers.fleet import results, simulate
    from flowperf_helpers.fleet.workers import Rendered, Workers

    rows = simulate.results(simulate.accounts(1, flows=1, broken=0), [WEEK])

    class Nobody(Executor):
        def submit(self, work: Any, /, *given: Any, **more: Any) -> Any:
            name = given[0].answers.account["name"]
            summary = {"title": name, "currency": "EUR", "timezone": "UTC", "sandbox": True, "is_final": False}
            made: Future[Rendered] = Future()
            part = results.to_parquet(results.tidied(rows.assign(account=name)))
            made.set_result(Rendered({"html": bytes(250_000)}, part, summary | {"sentence": ""}, 0.0))
            return made

    return contextlib.nullcontext(Workers(Nobody, 2))


def drive(out: str, workers: int, scheduler: str | None, scale: float) -> None:
    """Run the fleet of the environment, print what it took as JSON, and end with its exit code."""
    from flowperf_helpers.fleet.accounts import exit_code, members
    from flowperf_helpers.fleet.command import write_summary
    from flowperf_helpers.fleet.run import Fleet, Progress
    from flowperf_helpers.fleet.workers import open_workers
    from flowperf_helpers.klaviyo.rate_limits import scaled_limits

    started = time.perf_counter()
    progress = Progress(quiet=True)
    fleet = Fleet(members(), out=out, week=WEEK, limits=scaled_limits(scale), progress=progress)
    with fleet.locked():
        plan = fleet.plan()
        planned = time.perf_counter()
        outcomes = plan.settled
        if plan.to_ask:
            with open_workers(workers, scheduler) if workers else _computed_by_nobody() as pool:
                outcomes = fleet.run(plan, pool)
        ran = time.perf_counter()
        write_summary(outcomes, WEEK, out)
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    made = [outcome.manifest for outcome in outcomes if outcome.manifest]
    reasons = Counter(outcome.reason[:90] for outcome in outcomes if outcome.reason)
    print("\n".join(f"{number:>6} x {reason}" for reason, number in reasons.items()), file=sys.stderr)
    print(json.dumps({
        "done": len(made), "failed": len(outcomes) - len(made), "code": exit_code(outcomes),
        "plan_s": planned - started, "run_s": ran - planned, "all_s": time.perf_counter() - started,
        "requests": sum(outcome.requests for outcome in outcomes),
        "peak_mb": own.ru_maxrss / 1024, "cpu_s": own.ru_utime + own.ru_stime,
        "workers_cpu_s": children.ru_utime + children.ru_stime,
        "report_cpu_s": sorted(m["cpu_seconds"] for m in made)[len(made) // 2] if made else 0.0,
        "asking_s": sum(m["asking_seconds"] for m in made), "waited_s": progress.waited,
    }))  # fmt: skip
    sys.exit(exit_code(outcomes))


def run(environment: dict[str, str], home: Path, out: Path, workers: int, scale: float, *more: str) -> dict[str, Any]:
    """One run to its end."""
    command = [PYTHON, __file__, "--drive", str(out), "--workers", str(workers), "--scale", str(scale), *more]
    done = subprocess.run(
        command, env={**environment, "FLOWPERF_HOME": str(home)}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, 6):
        raise SystemExit(f"the run ended with {done.returncode}")
    return dict(json.loads(done.stdout))


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A local Dask cluster of processes; its scheduler's address."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50) as made:
        yield made.scheduler_address


def throughput(counts: list[int], flows: int | None, scale: float) -> None:
    """Print accounts per minute for each number of accounts and kind of workers."""
    print(f"{'accounts':>9}{'workers':>12}{'done':>6}{'failed':>7}{'exit':>5}{'per min':>8}{'plan s':>8}{'run s':>8}"
          f"{'peak MB':>9}{'own cpu s':>10}{'report cpu':>11}{'limits':>8}")  # fmt: skip
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with served(count, flows, scale, folder) as environment:
                kinds = (
                    [("1", 1, False), ("2", 2, False), ("2 of Dask", 2, True)] if count <= 100 else [("2", 2, False)]
                )
                for label, workers, dask in kinds:
                    with cluster(workers) if dask else contextlib.nullcontext() as address:
                        more = ["--scheduler", address] if address else []
                        home = Path(tempfile.mkdtemp(dir=folder))
                        got = run(environment, home, home / "out", workers, scale, *more)
                    size = sum(f.stat().st_size for f in (home / "out").rglob("*") if f.is_file())
                    store = sum(f.stat().st_size for f in home.rglob("*") if f.is_file()) - size
                    print(f"{count:>9,}{label:>12}{got['done']:>6}{got['failed']:>7}{got['code']:>5}"
                          f"{60 * got['done'] / got['run_s']:>8.1f}{got['plan_s']:>8.1f}{got['run_s']:>8.1f}"
                          f"{got['peak_mb']:>9.0f}{got['cpu_s']:>10.1f}{got['report_cpu_s']:>11.2f}"
                          f"{got['waited_s'] / max(got['asking_s'], 1e-9):>8.0%}", flush=True)  # fmt: skip
                    print(f"{'':9}out {size / 1e6 / max(got['done'], 1):.2f} MB, store "
                          f"{store / 1e6 / max(got['done'], 1):.2f} MB per account", flush=True)  # fmt: skip
                    shutil.rmtree(home)


def memory(counts: list[int], flows: int | None) -> None:
    """Print what the coordinator alone costs: it plans, asks, keeps and sums up, and nobody computes."""
    for count in counts:
        with tempfile.TemporaryDirectory() as name, served(count, flows, 600.0, Path(name)) as environment:
            got = run(environment, Path(name) / "home", Path(name) / "out", 0, 600.0)
            print(f"coordinator alone, {count:,} accounts: {got['done']} done, {got['failed']} failed, exit "
                  f"{got['code']}, peak {got['peak_mb']:.0f} MB, {got['cpu_s'] / count:.2f} s of processor an account, "
                  f"{got['all_s']:.0f} s", flush=True)  # fmt: skip


def rendering(flows: int, reports: int = 16) -> None:
    """Print reports per minute of the workers alone: answers are there, nobody asks, reads or writes."""
    from flowperf_helpers import connect
    from flowperf_helpers.fleet.results import week_facts
    from flowperf_helpers.fleet.workers import Task, open_workers
    from flowperf_helpers.report.data import fetch_week

    with tempfile.TemporaryDirectory() as name, served(1, flows, 600.0, Path(name)) as environment:
        account = connect("shop-0001", environ={**environment, "FLOWPERF_HOME": name}, pacing=False)
        task = Task(fetch_week(account, week=WEEK), week_facts(account))
    speeds: dict[str, list[float]] = {}
    for _ in range(2):
        for label, workers, dask in (("1", 1, False), ("2", 2, False), ("2 of Dask", 2, True)):
            with (
                cluster(workers) if dask else contextlib.nullcontext() as address,
                open_workers(workers, address) as pool,
                ThreadPoolExecutor(2 * workers) as threads,
            ):
                list(threads.map(pool.render, [task] * 2 * workers))  # warm
                start = time.perf_counter()
                made = list(threads.map(pool.render, [task] * reports))
                speeds.setdefault(label, []).append(60 * reports / (time.perf_counter() - start))
                cpu = sorted(rendered.cpu_seconds for rendered in made)[reports // 2]
    best = {label: max(found) for label, found in speeds.items()}
    print(f"{flows} flows, workers alone: " + ", ".join(f"{v:.0f} reports a minute on {k}" for k, v in best.items()))
    print(f"two workers do {best['2'] / best['1']:.2f} times one, Dask's {best['2 of Dask'] / best['2']:.2f} times "
          f"processes; {cpu:.2f} s of processor per report")  # fmt: skip


def at_rest(folder: Path) -> int:
    """Report requests that the server answered, once it has nothing left to answer."""
    before, now = -1, counted(folder)[0]
    while before != now:
        time.sleep(0.5)
        before, now = now, counted(folder)[0]
    return now


def kept(home: Path) -> Counter[Path]:
    """Answers in the store, counted by question."""
    return Counter(file.parent for file in home.rglob("*.snap"))


def killed(count: int = 16, kills: int = 10, seed: int = 7) -> None:
    """Kill the coordinator and a worker at random moments, resume, and compare with an undisturbed run.

    An answer that the server gave and that is not in the store after a kill was under way in that moment. Such requests
    have to be sent again; a question that the store holds twice was asked although its answer had arrived.
    """
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(count, 6, 60.0, folder) as environment:
            calm = run(environment, folder / "calm", folder / "calm-out", 2, 60.0)
            undisturbed = counted(folder)[0]
            command = [PYTHON, __file__, "--drive", str(folder / "out"), "--workers", "2", "--scale", "60"]
            lost, under_way = 0, [0]
            for number in range(kills):
                child = subprocess.Popen(
                    command, env={**environment, "FLOWPERF_HOME": str(folder / "home")},
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=draw.uniform(2.0, max(2.5, calm["all_s"] / 3)))
                if number % 2 and child.poll() is None:
                    workers = subprocess.run(
                        ["pgrep", "-P", str(child.pid)], stdout=subprocess.PIPE, text=True, check=False
                    ).stdout.split()  # fmt: skip
                    for worker in workers[-1:]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(worker), signal.SIGKILL)
                            lost += 1
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(timeout=1.0)
                child.kill()
                child.wait()
                under_way.append(at_rest(folder) - undisturbed - kept(folder / "home").total())
            resumed = run(environment, folder / "home", folder / "out", 2, 60.0)
            asked, _ = counted(folder)
            from flowperf_helpers.fleet import results

            keys = ["account", "flow_id"]
            frames = [
                results.read(str(folder / place)).drop(columns="made_at").sort_values(keys).reset_index(drop=True)
                for place in ("calm-out", "out")
            ]
            print(f"{count} accounts, killed {kills} times ({lost} workers first): {resumed['done']} done, "
                  f"{resumed['failed']} failed, as undisturbed: {(calm['done'], calm['failed'])}; "
                  f"same dataset: {frames[0].equals(frames[1])}; report requests answered: {undisturbed} undisturbed, "
                  f"{asked - undisturbed} with kills, of which {under_way[-1]} were under way at a kill "
                  f"(by kill: {[b - a for a, b in itertools.pairwise(under_way)]}) and "
                  f"{sum(n - 1 for n in kept(folder / 'home').values())} asked twice")  # fmt: skip


def main() -> None:
    """Parse what to do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("accounts", nargs="*", type=int, default=[100])
    parser.add_argument("--only", choices=["throughput", "rendering", "killed", "memory"])
    parser.add_argument("--serve", type=int)
    parser.add_argument("--drive")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler")
    parser.add_argument("--flows", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.flows or None, given.scale, given.folder)
    elif given.drive:
        drive(given.drive, given.workers, given.scheduler, given.scale)
    else:
        if given.only in (None, "rendering"):
            rendering(27)
        if given.only in (None, "memory"):
            memory(given.accounts, given.flows or None)
        if given.only in (None, "killed"):
            killed()
        if given.only in (None, "throughput"):
            throughput(given.accounts, given.flows or None, given.scale)


if __name__ == "__main__":
    main()
