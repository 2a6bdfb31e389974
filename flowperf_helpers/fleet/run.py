"""Many accounts, one answer: planned, asked side by side, computed by workers, kept account by account.

Asking is waiting, so threads of this process do it, each account with its own limits; computing is work, so processes
do it, and they get frames only. An account is done when its manifest is written, which happens last: whatever ends a
run, the next one keeps what is done, finds what was answered in the store, and asks the rest.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers import __version__
from flowperf_helpers.account.account import Account, connect
from flowperf_helpers.account.store import MAX_AGE
from flowperf_helpers.account.timeframes import iso_week, last_complete_week
from flowperf_helpers.errors import ArgumentError, AuthenticationError, FlowperfError, ScopeError, StorageError
from flowperf_helpers.fleet import results
from flowperf_helpers.fleet.accounts import Member, reason_of
from flowperf_helpers.fleet.files import Target
from flowperf_helpers.fleet.progress import Progress
from flowperf_helpers.fleet.render import Rendered, Task
from flowperf_helpers.fleet.workers import Workers
from flowperf_helpers.frames.columns import text_column
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import Limit, limits_of
from flowperf_helpers.klaviyo.storage import flowperf_home, private_folder
from flowperf_helpers.report.data import fetch_week, plan_week
from flowperf_helpers.report.run.archive import read_headlines, series_of
from flowperf_helpers.report.run.weekly import file_names

__all__ = ["ASKED_AT_ONCE", "Fleet", "FleetPlan", "Outcome", "exit_code", "fleet_week", "week_facts"]

ASKED_AT_ONCE = 32
"""Accounts that are asked at the same time; each of them mostly waits."""
SOME_FAILED = 6
_LOCK = ".fleet.lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_PLANNED = {
    "account": "str", "requests": "Int64", "minutes": "float64", "share_of_day": "float64", "problem": "str",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one account.

    Attributes
    ----------
    account : str
    status : {"done", "kept", "failed"}
        ``kept`` was done by an earlier run.
    reason : str
        Why it failed; empty otherwise.
    code : int
        The exit code that its error has for one account; 0 where there is none.
    reconnect : bool
        Whether the customer has to give a new key.
    requests : int
        Report requests that were sent now.
    manifest : dict
        Of the account and week; empty where it failed.
    """

    account: str
    status: str
    reason: str = ""
    code: int = 0
    reconnect: bool = False
    requests: int = 0
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class FleetPlan:
    """What a run will ask.

    Attributes
    ----------
    table : DataFrame
        One row per account: ``account, requests`` (Int64), ``minutes`` (at its limits), ``share_of_day`` (of its
        quota), ``problem`` (empty, or why it cannot be asked).
    settled : list of Outcome
        Accounts that will not be asked, in the order of the file: those that an earlier run did, and failed ones.
    """

    table: pd.DataFrame
    settled: list[Outcome]

    @property
    def kept(self) -> list[Outcome]:
        """Accounts that an earlier run did."""
        return [outcome for outcome in self.settled if outcome.status == "kept"]

    @property
    def failed(self) -> list[Outcome]:
        """Accounts that cannot be asked."""
        return [outcome for outcome in self.settled if outcome.status == "failed"]

    @property
    def to_ask(self) -> list[str]:
        """Accounts that will be asked."""
        return list(self.table.loc[self.table["problem"] == "", "account"])

    @property
    def summary(self) -> str:
        """The cost in one sentence; accounts wait side by side, so the longest wait counts."""
        asked = self.table[self.table["problem"] == ""]
        minutes, share = (float(asked[c].max()) if len(asked) else 0.0 for c in ("minutes", "share_of_day"))
        return (
            f"{int(asked['requests'].sum()):,} report requests to {len(asked):,} accounts, {minutes:.1f} minutes at "
            f"Klaviyo's limits, at most {share:.1%} of an account's quota of the day; {len(self.kept):,} accounts done "
            f"already, {len(self.failed):,} cannot be asked."
        )


def fleet_week(week: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the one week of all accounts: the label given, or the last that is complete by now in UTC.

    Raises
    ------
    ArgumentError
        Not an ISO week.
    """
    if week:
        return str(iso_week(week).week)
    frozen = environ.get("FLOWPERF_SANDBOX_NOW", "").strip()
    now = datetime.fromisoformat(frozen).astimezone(UTC) if frozen else datetime.now(UTC)
    return str(last_complete_week(now).week)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return 0 where all are done, 6 where some failed; where all failed in one way, what one account would give."""
    codes = {outcome.code for outcome in outcomes}
    if codes <= {0}:
        return 0
    return next(iter(codes)) if len(codes) == 1 else SOME_FAILED


class Fleet:
    """One run over many accounts.

    Parameters
    ----------
    members : sequence of Member
        Of `flowperf_helpers.fleet.accounts.members`.
    out : str
        Folder or fsspec address.
    week : str
        Of `fleet_week`.
    environ : mapping, optional
        Where keys and settings come from.
    notebooks : bool
        Run the weekly notebook of every account, in a kernel, instead of making its page here.
    refresh : bool
        Ask again what is in the store, and make again what is done.
    limits : callable, optional
        Endpoint to limits; a sandbox on a scaled clock has shorter ones.
    progress : Progress, optional
        Where to show how far it is.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        out: str,
        week: str,
        environ: Mapping[str, str] = os.environ,
        notebooks: bool = False,
        refresh: bool = False,
        limits: Callable[[str], Sequence[Limit]] = limits_of,
        progress: Progress | None = None,
    ) -> None:
        self.members = {member.name: member for member in members}
        self.target = Target(out)
        self.out = out.rstrip("/")
        self.week = week
        self.progress = progress or Progress(quiet=True)
        self._environ = environ
        self._notebooks = notebooks
        self._refresh = refresh
        self._limits = limits
        self._home = flowperf_home(environ)
        self._full = ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the output for this run: a folder against everyone, an address against other runs with this home.

        Raises
        ------
        StorageError
            Another fleet is at work there, or nothing can be written there.
        """
        import filelock

        place = Path(self.target.root) / _LOCK
        if not self.target.is_local:
            try:
                self.target.put(_LOCK, b"")  # before anything is asked
            except StorageError as error:
                reason = type(error.__cause__).__name__
                raise StorageError(
                    f"Nothing can be written into {self.out} ({reason}): check its permissions, or give another --out.",
                    path=self.out,
                ) from error
            mark = hashlib.blake2b(self.out.encode(), digest_size=8).hexdigest()
            place = private_folder(self._home / "locks") / f"fleet-{mark}.lock"
        lock = filelock.FileLock(place, timeout=0)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout as error:
            raise StorageError(
                f"Another fleet writes into {self.out}: wait for its end, or give another --out.", path=self.out
            ) from error
        except OSError as error:
            raise StorageError(
                f"Nothing can be written into {self.out} ({error.strerror}): give another folder with --out.",
                path=self.out,
            ) from error
        try:
            yield
        finally:
            lock.release()

    def plan(self) -> FleetPlan:
        """Ask every account what it holds, no report, and return what its report will cost."""
        with self._asking("planning") as ask:
            found: dict[str, Any] = ask(self._planned, list(self.members))
        rows, settled = [], []
        for name in self.members:
            if isinstance(found[name], Outcome):
                settled.append(found[name])
            if isinstance(found[name], dict):
                rows.append(found[name])
            elif found[name].status == "failed":
                rows.append({"account": name, "problem": found[name].reason})
        return FleetPlan(pd.DataFrame(rows, columns=list(_PLANNED)).astype(_PLANNED), settled)

    def run(self, plan: FleetPlan, workers: Workers) -> list[Outcome]:
        """Ask and compute what the plan says, and return what became of every account, in the order of the file."""
        with self._asking("accounts", started=plan.settled) as ask:
            done = [*plan.settled, *ask(lambda name: self._made(name, workers), plan.to_ask).values()]
        order = {name: place for place, name in enumerate(self.members)}
        return sorted(done, key=lambda outcome: order[outcome.account])

    def alone(self, name: str, workers: Workers) -> Outcome:
        """Do one account, or keep what is done; its error is raised."""
        manifest = self._kept(name)
        return self._made(name, workers) if manifest is None else Outcome(name, "kept", manifest=manifest)

    @contextmanager
    def _asking(self, what: str, *, started: Sequence[Outcome] = ()) -> Iterator[Callable[..., dict[str, Any]]]:
        """Give a function that calls another for each name, side by side, and survives whatever one of them raises."""
        threads = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="flowperf-account")

        def ask(work: Callable[[str], Any], names: Sequence[str]) -> dict[str, Any]:
            futures = {threads.submit(self._surely, work, name): name for name in names}
            with self.progress.over(len(names) + len(started), what, Counter(o.status for o in started)):
                made = {}
                for future in as_completed(futures):
                    made[futures[future]] = outcome = future.result()
                    self.progress.add(getattr(outcome, "status", "done"))
            return made

        try:
            yield ask
        finally:
            self.progress.stop()  # wakes those that wait for a limit; after an interruption nothing more is asked
            threads.shutdown(cancel_futures=True)
            self.progress.reset()

    def _surely(self, work: Callable[[str], Any], name: str) -> Any:
        if self._full:  # an answer that cannot be kept would only cost the account's quota
            return Outcome(name, "failed", f"Not asked, as the disk is full: {self._full}", StorageError.exit_code)
        try:
            return work(name)
        except Exception as error:  # one account's trouble, of whatever kind, is its own
            if isinstance(error, StorageError) and getattr(error.__cause__, "errno", None) in _FULL:
                self._full = str(error)
            code = error.exit_code if isinstance(error, FlowperfError) else 1
            return Outcome(name, "failed", reason_of(error), code, isinstance(error, AuthenticationError))

    def _account(self, name: str) -> Account:
        member = self.members[name]
        if member.settings is None:
            raise member.error or ArgumentError(f"Account {name} cannot be used.")
        limiter = RateLimiter.from_environment(
            self._home,
            host=member.settings.host,
            fingerprint=member.settings.credentials.fingerprint,
            environ=self._environ,
            limits=self._limits,
            quiet=True,
            sleep=self.progress.sleeper(name),
        )
        return connect(name, environ=self._environ, pacing=limiter, sleep=self.progress.sleeper(name))

    def _planned(self, name: str) -> dict[str, Any] | Outcome:
        manifest = self._kept(name)
        if manifest is not None:
            return Outcome(name, "kept", manifest=manifest)
        plan = plan_week(self._account(name), week=self.week)
        return {
            "account": name,
            "requests": plan.requests,
            "minutes": plan.minutes,
            "share_of_day": plan.share_of_day,
            "problem": "",
        }

    def _kept(self, name: str) -> dict[str, Any] | None:
        """The manifest of an earlier run, while it stands: the same question, and final or young."""
        content = None if self._refresh else self.target.get(self._manifest_place(name))
        try:
            manifest = dict(json.loads(content or b""))
            made_at = datetime.fromisoformat(manifest["written_at"])
            same = (manifest["version"], manifest["question"]) == (__version__, self._question(name))
            stands = manifest["summary"]["is_final"] or datetime.now(UTC) - made_at < MAX_AGE
            return manifest if same and stands else None
        except (ValueError, KeyError, TypeError):
            return None

    def _manifest_place(self, name: str) -> str:
        return f"manifests/week={self.week}/account={name}.json"

    def _question(self, name: str) -> str:
        """A mark of everything that decides an account's numbers."""
        settings = self.members[name].settings
        if settings is None:
            return ""
        facts = (
            settings.account_key, settings.revision, settings.integration, settings.conversion_metric,
            settings.timezone, settings.attribution_days, self._notebooks,
        )  # fmt: skip
        return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()

    def _made(self, name: str, workers: Workers) -> Outcome:
        """Ask one account, have its report computed, and write it, the manifest last."""
        started = time.monotonic()
        account = self._account(name)
        answers = fetch_week(account, week=self.week, refresh=self._refresh)
        earlier = [] if self._notebooks else self._earlier(name)
        task = Task(answers, week_facts(account), with_page=not self._notebooks, earlier=earlier)
        asked = time.monotonic()
        rendered = workers.render(task)
        files = self._written(name, rendered)
        if self._notebooks:
            files += self._notebook(name)
        self.target.put(results.part_path(self.week, name), rendered.rows)
        manifest = {
            "schema": "flowperf-fleet-account",
            "account": name,
            "week": self.week,
            "version": __version__,
            "question": self._question(name),
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "requests": answers.requests,
            "asking_seconds": round(asked - started, 2),
            "cpu_seconds": round(rendered.cpu_seconds, 2),
            "files": files,
            "summary": rendered.summary,
        }
        content = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
        self.target.put(self._manifest_place(name), content.encode())
        return Outcome(name, "done", requests=answers.requests, manifest=manifest)

    def _earlier(self, name: str) -> list[dict[str, Any]]:
        """What the account's weeks before this one found, from their own files."""
        weeks = series_of(read_headlines(f"{self.out}/reports/{name}"), f"weekly-{name}")
        wanted = ("week", "account", "signals")
        return [{k: week[k] for k in wanted if k in week} for week in weeks if week["week"] < self.week]

    def _written(self, name: str, rendered: Rendered) -> list[dict[str, Any]]:
        names = file_names(name, self.week)
        files = []
        for kind in (kind for kind in names if kind in rendered.files):
            place = f"reports/{name}/{names[kind]}"
            size = self.target.put(place, rendered.files[kind])
            files.append({"kind": kind, "path": place, "size": size})
        return files

    def _notebook(self, name: str) -> list[dict[str, Any]]:
        """Run the weekly notebook of an account; its answers are in the store, so it asks nothing."""
        from flowperf_helpers.report.run.weekly import run_weekly

        with self._kernels:
            manifest = run_weekly(name, out=f"{self.out}/reports/{name}", week=self.week, environ=self._environ)
        return [
            {**asdict(file), "path": f"reports/{name}/{Path(file.path).name}"}
            for file in manifest.files
            if file.kind in ("html", "ipynb")
        ]

    _kernels = threading.BoundedSemaphore(os.cpu_count() or 1)


def week_facts(account: Account) -> pd.DataFrame:
    """Return what the dataset says of every flow besides its numbers.

    Returns
    -------
    DataFrame
        One row per flow: ``flow_id, flow_type`` (name of the first metric that triggers it) and ``template_version``
        (its tag that begins with ``template-``), empty where there is none or the key may not know.
    """
    metrics = account.metrics()
    triggers = account.flows_triggered_by(list(metrics["metric_id"])).drop_duplicates("flow_id")
    names = metrics.set_index("metric_id")["metric_name"]
    types = pd.Series(triggers["metric_id"].map(names).to_numpy(), index=triggers["flow_id"].to_numpy())
    try:
        tags = account.flow_tags()
    except ScopeError:
        tags = pd.DataFrame({"flow_id": text_column("flow_id", []), "tag_name": text_column("tag_name", [])})
    tags = tags[tags["tag_name"].str.startswith(results.TEMPLATE_TAG)].sort_values("tag_name")
    versions = tags.drop_duplicates("flow_id", keep="last").set_index("flow_id")["tag_name"]
    flow_ids = account.flows()["flow_id"]
    return pd.DataFrame(
        {
            "flow_id": flow_ids,
            "flow_type": flow_ids.map(types).fillna("").astype("str"),
            "template_version": flow_ids.map(versions).fillna("").astype("str"),
        }
    )
