"""Klaviyo's endpoints as flowperf calls them: scopes and limits of each, and the ledger of the calls made.

Limits and scopes stand on each endpoint's page of https://developers.klaviyo.com/en/reference. They are per endpoint
and account, in fixed windows whose start is not documented. Calls that fit *rolling* windows of the same length fit
every fixed one, so the arithmetic here is that of rolling windows.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qs

import filelock

from flowperf_helpers.errors import StorageError
from flowperf_helpers.klaviyo.storage import StorageWarning, private_folder, storage_error

__all__ = [
    "DAY", "REPORTS", "Ledger", "Limit", "endpoint_of", "limits_of", "next_free", "scaled_limits", "scopes_of",
]  # fmt: skip

DAY = 86400.0
GRAIN = 0.001
"""Seconds added to each window: no clock on the way is to be trusted finer."""
REPORTS = ("/api/flow-values-reports", "/api/flow-series-reports")


class Limit(NamedTuple):
    """At most ``calls`` in any ``seconds``."""

    calls: int
    seconds: float


_XS = (Limit(1, 1.0), Limit(15, 60.0))
_S = (Limit(3, 1.0), Limit(60, 60.0))
_M = (Limit(10, 1.0), Limit(150, 60.0))
_REPORT = (Limit(1, 1.0), Limit(2, 60.0), Limit(225, DAY))

_METRICS = ("metrics:read",)
_FLOWS = ("flows:read",)
_TABLE: dict[str, tuple[tuple[Limit, ...], tuple[str, ...]]] = {
    "/api/metrics": (_M, _METRICS),
    "/api/metrics/{id}": (_M, _METRICS),
    "/api/metrics/{id}/flow-triggers": (_M, ("flows:read", "metrics:read")),
    "/api/metrics/{id}/relationships/flow-triggers": (_M, ("flows:read", "metrics:read")),
    "/api/flows": (_S, _FLOWS),
    "/api/flows/{id}": (_S, _FLOWS),
    "/api/flows/{id}/flow-actions": (_S, _FLOWS),
    "/api/flows/{id}/tags": (_S, ("flows:read", "tags:read")),
    "/api/flow-actions/{id}/flow-messages": (_S, _FLOWS),
    "/api/flow-messages/{id}": (_S, _FLOWS),
    "/api/accounts": (_XS, ("accounts:read",)),
    "/api/mapped-metrics": (_S, _METRICS),
    "/api/mapped-metrics/{id}": (_S, _METRICS),
    REPORTS[0]: (_REPORT, _FLOWS),
    REPORTS[1]: (_REPORT, _FLOWS),
}


def endpoint_of(path: str) -> str:
    """Return the endpoint a path belongs to, which is what Klaviyo counts by.

    >>> endpoint_of("/api/metrics/RplOrd/flow-triggers/")
    '/api/metrics/{id}/flow-triggers'
    """
    parts = path.split("?")[0].strip("/").split("/")
    if len(parts) > 2:
        parts[2] = "{id}"
    return "/" + "/".join(parts)


def limits_of(endpoint: str) -> tuple[Limit, ...]:
    """Return the limits of an endpoint; one that is not in the table gets the strictest tier."""
    return _TABLE.get(endpoint, (_XS, ()))[0]


def scopes_of(endpoint: str, query: str = "") -> tuple[str, ...]:
    """Return the scopes a key needs for an endpoint; empty where it is not known.

    What a query includes needs its own scope.

    >>> scopes_of("/api/metrics", "include=flow-triggers")
    ('flows:read', 'metrics:read')
    """
    scopes = _TABLE.get(endpoint, (_XS, ()))[1]
    included = ",".join(parse_qs(query).get("include", [])).split(",")
    return tuple(sorted({*scopes, *_FLOWS})) if "flow-triggers" in included else scopes


def scaled_limits(scale: float) -> Callable[[str], tuple[Limit, ...]]:
    """Return `limits_of` with windows that many times shorter, for a sandbox on a scaled clock (tests, benchmarks)."""
    return lambda endpoint: tuple(Limit(calls, seconds / scale) for calls, seconds in limits_of(endpoint))


def next_free(times: Sequence[float], limits: Sequence[Limit], now: float) -> float:
    """Return the first moment, from ``now`` on, at which one more call breaks no limit.

    Parameters
    ----------
    times : sequence of float
        Earlier calls, ascending, in seconds.
    limits : sequence of Limit
        Each is kept as a rolling window.
    now : float
        In seconds.

    Examples
    --------
    >>> next_free([0.0, 10.0], [Limit(1, 1.0), Limit(2, 60.0)], now=20.0)
    60.001
    """
    free = now
    for calls, seconds in limits:
        if len(times) >= calls:
            free = max(free, times[-calls] + seconds + GRAIN)
    return free


# The calls of the last day, in one SQLite file that all processes of a user share.
#
# One row per send: when it was let go and, once the answer is there, when it was done. Between the two nobody knows
# when Klaviyo counted it, so an unfinished call counts as made a little later than it was let go. A second table
# holds what Klaviyo itself said in a 429: nothing before that moment.
#
# The clock may be wrong for a while. A row that lies ahead of it keeps its own time, for when the clock is right again,
# and beside it the moment at which it was found ahead, from which it ages meanwhile. No row is forgotten because the
# clock alone says that it is old.

IN_FLIGHT = 2.0
"""Seconds a call whose end is not known may take to reach Klaviyo."""
SKEW = 5.0
"""Seconds by which a row may lie in the future before the clock counts as set back."""

KEPT = 500
"""Newest calls of an endpoint that are kept whatever the clock says; twice what any of Klaviyo's windows takes."""

VERSION = 2
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, "
    "fingerprint TEXT NOT NULL, endpoint TEXT NOT NULL, let_go REAL NOT NULL, done REAL, pid INTEGER NOT NULL, "
    "found_ahead REAL)",
    "CREATE INDEX IF NOT EXISTS calls_by_endpoint ON calls (host, fingerprint, endpoint, let_go)",
    "CREATE TABLE IF NOT EXISTS blocks (host TEXT NOT NULL, fingerprint TEXT NOT NULL, endpoint TEXT NOT NULL, "
    "seen REAL NOT NULL, until REAL NOT NULL, found_ahead REAL, PRIMARY KEY (host, fingerprint, endpoint))",
)

T = TypeVar("T")
Key = tuple[str, str, str]
"""Host, credential fingerprint, endpoint."""

_turns: dict[str, threading.Lock] = {}
"""Threads of one process take turns: SQLite lets whoever asks at the right moment in, and many would wait in vain."""


class Ledger:
    """The file, opened anew for each question so that it is right across processes, forks and restarts.

    Parameters
    ----------
    path : Path
        The SQLite file; made with its folder, for the owner only.
    lock_timeout : float
        Seconds to wait for another process.

    Raises
    ------
    StorageError
        From every method: locked for longer than that, no permission, full disk. A *damaged* file is moved aside
        with a `StorageWarning` and a new one begun.
    """

    def __init__(self, path: Path, *, lock_timeout: float = 10.0) -> None:
        self.path = Path(path)
        self.lock_timeout = lock_timeout

    def take(self, key: Key, limits: Sequence[Limit], now: float) -> tuple[float, int | None]:
        """Record a call if one is free.

        Returns
        -------
        tuple
            The moment the call is free (``now`` or earlier means it was recorded) and the row's id, None where the
            caller has to wait.
        """

        def work(db: sqlite3.Connection) -> tuple[float, int | None]:
            free = self._free(db, key, limits, now)
            if free > now:
                return free, None
            row = db.execute(
                "INSERT INTO calls (host, fingerprint, endpoint, let_go, pid) VALUES (?, ?, ?, ?, ?)",
                (*key, now, os.getpid()),
            )
            # beyond the newest ones, by order and not by clock
            db.execute(
                "DELETE FROM calls WHERE host = ? AND fingerprint = ? AND endpoint = ? AND let_go < ? AND id <= "
                "(SELECT id FROM calls WHERE host = ? AND fingerprint = ? AND endpoint = ? "
                "ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (*key, now - 2 * DAY, *key, KEPT),
            )
            return now, row.lastrowid

        return self._transact(work)

    def done(self, row: int, now: float) -> None:
        """Record that a call has been answered, or has failed."""
        self._transact(lambda db: db.execute("UPDATE calls SET done = max(?, let_go) WHERE id = ?", (now, row)))

    def block(self, key: Key, now: float, until: float) -> None:
        """Record that Klaviyo wants no call before ``until``."""
        self._transact(
            lambda db: db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, NULL)", (*key, now, until))
        )

    def free_at(self, key: Key, limits: Sequence[Limit], now: float) -> float:
        """Return when the next call is free, without recording one."""
        return self._transact(lambda db: self._free(db, key, limits, now))

    def used(self, host: str, fingerprint: str, now: float) -> dict[str, int]:
        """Return the calls of the last 24 hours per endpoint."""
        question = (
            "SELECT endpoint, count(*) FROM calls WHERE host = ? AND fingerprint = ? "
            "AND iif(let_go <= ?, let_go, ifnull(found_ahead, ?)) > ? GROUP BY endpoint"
        )
        given = (host, fingerprint, now + SKEW, now, now - DAY)
        return dict(self._transact(lambda db: db.execute(question, given).fetchall()))

    def _free(self, db: sqlite3.Connection, key: Key, limits: Sequence[Limit], now: float) -> float:
        # what lies ahead of the clock counts as just made, and ages from now on
        ahead = now + SKEW
        db.execute(
            "UPDATE calls SET found_ahead = ? WHERE host = ? AND fingerprint = ? "
            "AND max(let_go, ifnull(done, 0)) > ? AND ifnull(found_ahead, ?) >= ?",
            (now, *key[:2], ahead, ahead, ahead),
        )
        db.execute(
            "UPDATE blocks SET found_ahead = ? WHERE host = ? AND fingerprint = ? "
            "AND seen > ? AND ifnull(found_ahead, ?) >= ?",
            (now, *key[:2], ahead, ahead, ahead),
        )
        longest = max((limit.seconds for limit in limits), default=0.0)
        rows = db.execute(
            "SELECT iif(max(let_go, ifnull(done, 0)) <= ?, ifnull(done, let_go + ?), found_ahead) AS counted "
            "FROM calls WHERE host = ? AND fingerprint = ? AND endpoint = ? AND counted > ? ORDER BY counted",
            (ahead, IN_FLIGHT, *key, now - longest),
        ).fetchall()
        block = db.execute(
            "SELECT iif(seen <= ?, until, found_ahead + until - seen) FROM blocks "
            "WHERE host = ? AND fingerprint = ? AND endpoint = ?",
            (ahead, *key),
        ).fetchone()
        free = next_free([row[0] for row in rows], limits, now)
        return max(free, block[0]) if block else free

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._once(work)
        except sqlite3.OperationalError as error:
            raise self._refusal(error) from error
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
        try:
            return self._once(work)
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    def _once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._make()
        with (
            _turns.setdefault(str(self.path), threading.Lock()),
            contextlib.closing(sqlite3.connect(self.path, timeout=self.lock_timeout, isolation_level=None)) as db,
        ):
            db.execute("BEGIN IMMEDIATE")
            try:
                if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    for statement in _SCHEMA:
                        db.execute(statement)
                    for table in ("calls", "blocks"):  # as version 1 made them
                        if "found_ahead" not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
                            db.execute(f"ALTER TABLE {table} ADD COLUMN found_ahead REAL")
                    db.execute(f"PRAGMA user_version = {VERSION:d}")
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            return result

    def _make(self) -> None:
        if self.path.exists():
            return
        private_folder(self.path.parent)
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise storage_error(self.path, error, "made") from error

    def _refusal(self, error: sqlite3.Error) -> StorageError:
        if "locked" in str(error):
            return StorageError(
                f"The ledger of calls {self.path} has been locked by another program for {self.lock_timeout:g} s: end "
                "that program, or point FLOWPERF_HOME at another folder.",
                path=self.path,
            )
        return storage_error(self.path, error, "used as the ledger of calls")

    def _is_whole(self) -> bool:
        try:
            return self._once(lambda db: db.execute("PRAGMA quick_check").fetchone()[0]) == "ok"
        except sqlite3.OperationalError as error:
            raise self._refusal(error) from error
        except sqlite3.DatabaseError:
            return False

    def _set_aside(self, damage: sqlite3.DatabaseError) -> None:
        try:
            with filelock.FileLock(self.path.with_suffix(".lock"), timeout=self.lock_timeout, mode=0o600):
                if self._is_whole():  # another process has repaired it meanwhile
                    return
                aside = self.path.with_name(f"{self.path.stem}-damaged-{time.time_ns()}{self.path.suffix}")
                os.replace(self.path, aside)
                for tail in ("-journal", "-wal", "-shm"):
                    self.path.with_name(self.path.name + tail).unlink(missing_ok=True)
        except (OSError, filelock.Timeout) as error:
            raise storage_error(self.path, error, f"set aside, and it is damaged ({damage})") from error
        warnings.warn(
            f"The ledger of calls {self.path} was damaged ({damage}) and is now {aside.name}: a new one is begun, and "
            "the calls already made today are not counted.",
            StorageWarning,
            stacklevel=2,
        )
