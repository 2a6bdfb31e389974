"""Dated snapshots on disk, asked before the network is.

::

    FLOWPERF_HOME/snapshots/<host-fingerprint>/<endpoint>/<query>/<time of request>.snap     the answer, packed
                                                                  <time of request>.parquet   its tidy rows

Every answer is kept and none is overwritten. An answer is served again for ever if its window had settled *when it was
asked*: it ended longer ago than the attribution window, so that conversions no longer arrive.
A younger one, and a preset whose bounds Klaviyo does not say, is served for `max_age`.

Lists (metrics, flows, messages, the account's zone) have no past worth keeping: of each question the newest answer
stands in ``FLOWPERF_HOME/lists`` and is served for `LISTS_MAX_AGE`.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.account.snapshot_files import (
    LARGEST,
    DamagedError,
    Header,
    canonical,
    damaged_rows,
    pack,
    query_hash,
    read_regular,
    read_rows,
    unpack,
    write_rows,
)
from flowperf_helpers.errors import ArgumentError, FlowperfError
from flowperf_helpers.klaviyo.client import ReportResponse
from flowperf_helpers.klaviyo.storage import StorageWarning, private_folder, storage_error, write_private

__all__ = ["LISTS_MAX_AGE", "MAX_AGE", "Store"]

MAX_AGE = timedelta(hours=6)
LISTS_MAX_AGE = timedelta(hours=1)
"""How long a kept list is served, or `MAX_AGE` where an account sets that to less."""
LONGEST_ATTRIBUTION = 90
AHEAD = timedelta(minutes=5)
"""A snapshot further in the future than this was kept under a wrong clock, and is not served."""


class Store:
    """The snapshots of one account.

    Parameters
    ----------
    home : Path
        `flowperf_helpers.klaviyo.storage.flowperf_home`.
    account_key : str
        Host and credential fingerprint (`AccountSettings.account_key`): another account's answers are out of reach.
    clock : callable
        Seconds since 1970.
    max_age : timedelta
        How long an answer about an unsettled window is served.
    attribution_days : int
        Days after its end at which a window counts as settled, 1 to 90.

    Raises
    ------
    ArgumentError
        ``attribution_days`` out of bounds or a negative ``max_age``.
    StorageError
        From the methods: full disk, no permission. Nothing half-written is left.
    """

    def __init__(
        self,
        home: Path,
        *,
        account_key: str,
        clock: Callable[[], float] = time.time,
        max_age: timedelta = MAX_AGE,
        attribution_days: int = 5,
    ) -> None:
        if not 1 <= attribution_days <= LONGEST_ATTRIBUTION:
            raise ArgumentError(f"attribution_days is 1 to {LONGEST_ATTRIBUTION}, not {attribution_days}.")
        if max_age < timedelta(0):
            raise ArgumentError("max_age is a length of time, not a negative one.")
        self.account_key = account_key
        self.max_age = max_age
        self.attribution = timedelta(days=attribution_days)
        self._clock = clock
        self.folder = Path(home) / "snapshots" / _folder_name(account_key)
        self._lists = Path(home) / "lists" / _folder_name(account_key)

    def find(
        self, endpoint: str, revision: str, body: Mapping[str, Any], *, window_end: datetime | None
    ) -> ReportResponse | None:
        """Return a kept answer that may be served now.

        Parameters
        ----------
        endpoint, revision, body
            The question: path, revision asked, JSON body.
        window_end : datetime, NaT or None
            Exclusive end of the window, aware; None or NaT for a preset.

        Returns
        -------
        ReportResponse or None
            The newest that may be served, ``from_store`` True and ``requests`` 0. A damaged snapshot is set aside with
            a `StorageWarning` and does not count.
        """
        question = self._question(endpoint, revision, body)
        now, end = self._now(), _moment(window_end)
        for file in sorted(self._place(question).glob("*.snap"), reverse=True):
            header, pages = self._read(file) or (None, ())
            if header is None or header.question != question or header.asked_at > now + AHEAD:
                continue
            if self._settled(end, header.asked_at) or now - header.asked_at <= self.max_age:
                return ReportResponse(pages, header.served, header.asked_at, from_store=True)
        return None

    def keep(
        self,
        endpoint: str,
        revision: str,
        body: Mapping[str, Any],
        answer: ReportResponse,
        *,
        window_end: datetime | None,
        rows: pd.DataFrame | None = None,
    ) -> Path:
        """Keep an answer, and its tidy rows for `history`.

        Parameters
        ----------
        endpoint, revision, body, window_end
            As in `find`.
        answer : ReportResponse
            From the client.
        rows : DataFrame, optional
            One row per group (and interval), as the frames room made it.

        Returns
        -------
        Path
            The snapshot's file. An answer of more than 256 MB is not written, and warned about.
        """
        question = self._question(endpoint, revision, body)
        asked_at, end = answer.fetched_at.astimezone(UTC), _moment(window_end)
        header = Header(
            *question,
            served=answer.revision,
            fetched_at=asked_at.isoformat(),
            window_end=end.isoformat() if end else None,
            settled=self._settled(end, asked_at),
            lengths=[len(page) for page in answer.pages],
        )
        folder = private_folder(self._place(question))
        name = f"{asked_at:%Y%m%dT%H%M%S.%fZ}-{os.getpid():x}-{time.monotonic_ns():x}"
        path = folder / f"{name}.snap"
        if sum(header.lengths) > LARGEST:
            size, most = f"{sum(header.lengths) >> 20} MB", f"{LARGEST >> 20} MB"
            message = f"An answer of {size} was not kept, as it has more than {most}: ask for shorter windows."
            warnings.warn(message, StorageWarning, stacklevel=2)
            return path
        if rows is not None:
            write_rows(folder / f"{name}.parquet", rows, fetched_at=answer.fetched_at, query=folder.name)
        write_private(path, pack(header, answer.pages))
        return path

    def find_list(self, path: str, revision: str, params: Mapping[str, str]) -> list[bytes] | None:
        """Return the kept pages of a list, None where there are none or they are too old."""
        question = self._question(path, revision, params)
        file = self._lists / f"{query_hash(question)}.gz"
        header, pages = (self._read(file) if file.exists() else None) or (None, ())
        if header is None or header.question != question:
            return None
        age = self._now() - header.asked_at
        return list(pages) if -AHEAD <= age <= min(LISTS_MAX_AGE, self.max_age) else None

    def keep_list(self, path: str, revision: str, params: Mapping[str, str], pages: Sequence[bytes]) -> None:
        """Keep the pages of a list in place of what was kept of it."""
        question, lengths = self._question(path, revision, params), [len(page) for page in pages]
        header = Header(*question, revision, self._now().isoformat(), window_end=None, settled=False, lengths=lengths)
        if sum(lengths) <= LARGEST:
            write_private(self._lists / f"{query_hash(question)}.gz", pack(header, tuple(pages)))

    def history(
        self,
        endpoint: str | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        since: datetime | None = None,
        rebuild: Callable[[Header, tuple[bytes, ...]], pd.DataFrame] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of all snapshots, oldest request first.

        Rows that cannot be read are set aside with a `StorageWarning` and made anew from their snapshot.

        Parameters
        ----------
        endpoint : str, optional
            Only answers of this path.
        where : mapping, optional
            Column to the value, or the list of values, that rows must have. A column no snapshot has fits no row.
        since : datetime, optional
            Aware; only answers asked from then on.
        rebuild : callable, optional
            Makes the rows of a snapshot; left out, damaged rows are set aside only.

        Returns
        -------
        DataFrame
            One row per request, group and interval: ``fetched_at`` (datetime64[us, UTC]), ``query`` (str; equal for
            equal questions), then the columns of the rows kept. Empty where nothing was kept.
        """
        place = self._answers(endpoint)
        wanted: dict[str, Any] = {"where": where or {}, "since": since}
        try:
            return read_rows(_row_files(place), **wanted)
        except DamagedError:
            for file, damage in damaged_rows(_row_files(place)).items():
                self._rebuild(file, damage, rebuild)
        try:
            return read_rows(_row_files(place), **wanted)
        except DamagedError as error:
            raise storage_error(place, error, "read as Parquet") from error

    def count(self, endpoint: str | None = None) -> int:
        """Return the number of snapshots kept."""
        return sum(1 for _ in self._answers(endpoint).rglob("*.snap"))

    def set_aside(
        self, endpoint: str, revision: str, body: Mapping[str, Any], answer: ReportResponse, damage: Exception
    ) -> None:
        """Set a kept answer aside that nothing can be made of, so that `find` returns it no more.

        Parameters
        ----------
        endpoint, revision, body
            As in `find`.
        answer : ReportResponse
            As `find` returned it.
        damage : Exception
            Why.
        """
        question = self._question(endpoint, revision, body)
        for file in self._place(question).glob("*.snap"):
            read = self._read(file)
            if read is not None and read[0].question == question and read[0].asked_at == answer.fetched_at:
                self._set_aside(file, DamagedError(str(damage)))

    def _rebuild(
        self, file: Path, damage: DamagedError, rebuild: Callable[[Header, tuple[bytes, ...]], pd.DataFrame] | None
    ) -> None:
        """Make the rows of one snapshot anew."""
        read = self._read(file.with_suffix(".snap"))
        if read is None:  # set aside with its rows
            return
        if not _renamed([file], file, damage):
            return
        made = "left out of the history"
        if rebuild is not None:
            try:
                rows = rebuild(*read)
                write_rows(file, rows, fetched_at=read[0].asked_at, query=file.parent.name)
                made = "made anew from the snapshot"
            except FlowperfError as error:
                made += f", because they cannot be made anew ({error})"
        message = f"The rows {file} were damaged ({damage}), are set aside as {file.name}.damaged and {made}."
        warnings.warn(message, StorageWarning, stacklevel=4)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _question(self, endpoint: str, revision: str, body: Mapping[str, Any]) -> tuple[str, str, str, str]:
        return self.account_key, endpoint, revision, canonical(body)

    def _answers(self, endpoint: str | None) -> Path:
        return self.folder if endpoint is None else self.folder / _folder_name(endpoint.strip("/"))

    def _settled(self, end: datetime | None, asked_at: datetime) -> bool:
        return end is not None and asked_at - end > self.attribution

    def _place(self, question: tuple[str, str, str, str]) -> Path:
        return self._answers(question[1]) / query_hash(question)

    def _read(self, file: Path) -> tuple[Header, tuple[bytes, ...]] | None:
        try:
            return unpack(read_regular(file))
        except FileNotFoundError:  # another process has just set it aside
            return None
        except DamagedError as damage:
            self._set_aside(file, damage)
            return None
        except OSError as error:
            raise storage_error(file, error, "read") from error

    def _set_aside(self, file: Path, damage: DamagedError) -> None:
        both = (file, file.with_suffix(".parquet"))
        if not _renamed((part for part in both if part.exists() or part.is_symlink()), file, damage):
            return
        warnings.warn(
            f"The snapshot {file} was damaged ({damage}) and is set aside as {file.name}.damaged: its "
            "answer is asked again.",
            StorageWarning,
            stacklevel=4,
        )


def _renamed(files: Iterable[Path], damaged: Path, damage: DamagedError) -> bool:
    """Set files aside, and tell whether this process did it and no other one."""
    try:
        for file in files:
            os.replace(file, file.with_name(file.name + ".damaged"))
    except FileNotFoundError:  # another process has just done so
        return False
    except OSError as error:
        raise storage_error(damaged, error, f"set aside, and it is damaged ({damage})") from error
    return True


def _row_files(place: Path) -> list[Path]:
    return sorted(file for file in place.rglob("*.parquet") if file.with_suffix(".snap").exists())


def _moment(value: datetime | None) -> datetime | None:
    if value is None or pd.isna(value):
        return None
    if value.tzinfo is None:
        raise ArgumentError("window_end needs a time zone: take it from Timeframe.bounds(zone).")
    moment = value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
    return moment.astimezone(UTC)


def _folder_name(text: str) -> str:
    """Return a name any file system takes, different for different texts."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip(".")[:100]
    return plain if plain == text else f"{plain}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
