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
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers import __version__
from flowperf_helpers.account.account import Account, connect
from flowperf_helpers.account.store import MAX_AGE
from flowperf_helpers.account.timeframes import iso_week, last_complete_week
from flowperf_helpers.errors import StorageError
from flowperf_helpers.fleet import results
from flowperf_helpers.fleet.accounts import Member, Outcome
from flowperf_helpers.fleet.workers import Task, Workers
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import Limit, limits_of
from flowperf_helpers.klaviyo.storage import flowperf_home, private_folder
from flowperf_helpers.report.data import fetch_week, plan_week
from flowperf_helpers.report.run.archive import read_headlines, series_of
from flowperf_helpers.report.run.weekly import file_names

__all__ = ["ASKED_AT_ONCE", "Fleet", "FleetPlan", "Progress", "fleet_week"]

ASKED_AT_ONCE = 32
"""Accounts that are asked at the same time; each of them mostly waits."""
SHOWN_FROM = 2.0
"""Seconds from which a wait is worth a word."""
_LOCK = ".fleet.lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_PLANNED = {
    "account": "str", "requests": "Int64", "minutes": "float64", "share_of_day": "float64", "problem": "str",
}  # fmt: skip


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


class Progress:
    """The bar, and the sleep of all who wait, which can be ended for all of them.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.waited = 0.0
        self._bar: Any = None
        self._counts: Counter[str] = Counter()
        self._waiting: dict[str, float] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def sleeper(self, name: str) -> Callable[[float], None]:
        """Return the sleep of one account: it is seen while it waits, and ends when the run does."""

        def sleep(seconds: float) -> None:
            if self._stopped.is_set():
                raise KeyboardInterrupt
            with self._lock:
                self.waited += seconds
                if seconds >= SHOWN_FROM:
                    self._waiting[name] = time.time() + seconds
            self._show()
            stopped = self._stopped.wait(seconds)
            with self._lock:
                self._waiting.pop(name, None)
            if stopped:
                raise KeyboardInterrupt

        return sleep

    @contextmanager
    def over(self, total: int, what: str, counts: Mapping[str, int]) -> Iterator[None]:
        """Show a bar over so many accounts while the block runs."""
        from tqdm import tqdm

        self._counts = Counter(counts)
        slow = not sys.stderr.isatty()
        with tqdm(
            total=total,
            initial=sum(counts.values()),
            desc=what,
            unit="account",
            disable=self.quiet,
            mininterval=10.0 if slow else 0.2,  # a log file wants few lines
        ) as self._bar:
            try:
                self._show()
                yield
            finally:
                self._bar = None

    def add(self, status: str) -> None:
        """Count an account."""
        with self._lock:
            self._counts[status] += 1
            if self._bar is not None:
                self._bar.update()
        self._show()

    def stop(self) -> None:
        """End every wait; who waits stops there."""
        self._stopped.set()

    def reset(self) -> None:
        """Let accounts wait again."""
        self._stopped.clear()

    def _show(self) -> None:
        with self._lock:
            if self._bar is None:
                return
            words = [f"{self._counts[status]} {status}" for status in ("kept", "failed") if self._counts[status]]
            if self._waiting:
                until = datetime.fromtimestamp(max(self._waiting.values())).astimezone()
                words.append(f"{len(self._waiting)} wait for a limit until {until:%H:%M:%S}")
            self._bar.set_postfix_str(", ".join(words), refresh=False)


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
        self.target = results.Target(out)
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
        found = self._ask("planning", self._planned, list(self.members))
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
        made = self._ask("accounts", lambda name: self._made(name, workers), plan.to_ask, plan.settled)
        made |= {outcome.account: outcome for outcome in plan.settled}
        return [made[name] for name in self.members]

    def alone(self, name: str, workers: Workers) -> Outcome:
        """Do one account, or keep what is done; its error is raised."""
        return self._kept(name) or self._made(name, workers)

    def _ask(
        self, what: str, work: Callable[[str], Any], names: Sequence[str], started: Sequence[Outcome] = ()
    ) -> dict[str, Any]:
        """Call a function for each name, side by side; whatever one of them raises is its own outcome."""
        threads = ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="flowperf-account")
        made: dict[str, Any] = {}
        try:
            futures = {threads.submit(self._surely, work, name): name for name in names}
            with self.progress.over(len(names) + len(started), what, Counter(o.status for o in started)):
                for future in as_completed(futures):
                    made[futures[future]] = outcome = future.result()
                    self.progress.add(getattr(outcome, "status", "done"))
            return made
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
            return Outcome.failure(name, error)

    def _account(self, name: str) -> Account:
        settings = self.members[name].usable_settings()
        limiter = RateLimiter.from_environment(
            self._home,
            host=settings.host,
            fingerprint=settings.credentials.fingerprint,
            environ=self._environ,
            limits=self._limits,
            quiet=True,
            sleep=self.progress.sleeper(name),
        )
        return connect(name, environ=self._environ, pacing=limiter, sleep=self.progress.sleeper(name))

    def _planned(self, name: str) -> dict[str, Any] | Outcome:
        if kept := self._kept(name):
            return kept
        plan = plan_week(self._account(name), week=self.week, last_year=self._notebooks)
        return {
            "account": name,
            "requests": plan.requests,
            "minutes": plan.minutes,
            "share_of_day": plan.share_of_day,
            "problem": "",
        }

    def _kept(self, name: str) -> Outcome | None:
        """What an earlier run did, while its manifest stands: the same question, and final or young."""
        content = None if self._refresh else self.target.get(self._manifest_place(name))
        try:
            manifest = dict(json.loads(content or b""))
            made_at = datetime.fromisoformat(manifest["written_at"])
            same = (manifest["version"], manifest["question"]) == (__version__, self._question(name))
            stands = manifest["summary"]["is_final"] or datetime.now(UTC) - made_at < MAX_AGE
            return Outcome(name, "kept", manifest=manifest) if same and stands else None
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
        answers = fetch_week(account, week=self.week, refresh=self._refresh, last_year=self._notebooks)
        earlier = [] if self._notebooks else self._earlier(name)
        task = Task(answers, results.week_facts(account), with_page=not self._notebooks, earlier=earlier)
        asked = time.monotonic()
        rendered = workers.render(task)
        files = []
        for kind, file in file_names(name, self.week).items():
            if kind in rendered.files:
                place = f"reports/{name}/{file}"
                files.append({"kind": kind, "path": place, "size": self.target.put(place, rendered.files[kind])})
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
