"""Dated snapshots: what is served again, to whom, and for how long."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from raw_server import REPORT, Clock

from flowperf_helpers import connect
from flowperf_helpers.account.snapshot_files import DamagedError, Header, pack, read_rows, unpack, write_rows
from flowperf_helpers.account.store import Store
from flowperf_helpers.errors import ArgumentError, StorageError
from flowperf_helpers.klaviyo.client import ReportResponse
from flowperf_helpers.klaviyo.storage import StorageWarning

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
REVISION = "2026-10-15"
BODY = {"data": {"type": "flow-values-report", "attributes": {"statistics": ["clicks"], "filter": "x"}}}
OLD, YOUNG = NOW - timedelta(days=6), NOW - timedelta(days=2)


def store_of(home: Path, clock: Clock | None = None, *, key: str = "a.klaviyo.com-1", **options: Any) -> Store:
    return Store(home, account_key=key, clock=clock or Clock(NOW.timestamp()), **options)


def answer(*pages: bytes, at: datetime = NOW) -> ReportResponse:
    return ReportResponse(pages or (b'{"data": 1}',), REVISION, at, requests=1)


def rows(clicks: list[int | None], **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame({"flow_id": [f"F{i}" for i in range(len(clicks))], "clicks": pd.array(clicks, dtype="Int64")})
    return frame.assign(**columns)


def test_an_answer_comes_back_whole(tmp_path: Path) -> None:
    """Pages, revision and time of asking are what was kept; nothing was sent."""
    store = store_of(tmp_path)
    pages = (b'{"a": "\xc3\xa5\\n"}', b"", b'{"b": 2}')
    store.keep(REPORT, REVISION, BODY, ReportResponse(pages, "2026-07-15", NOW, requests=3), window_end=OLD)
    got = store.find(REPORT, REVISION, BODY, window_end=OLD)
    assert ReportResponse(pages, "2026-07-15", NOW, requests=0, from_store=True) == got
    assert 1 == store.count()


def test_equal_bodies_are_one_question(tmp_path: Path) -> None:
    """The order of keys is no matter; any other difference in path, revision or body is."""
    store = store_of(tmp_path)
    store.keep(REPORT, REVISION, {"a": 1, "b": [1, 2]}, answer(), window_end=OLD)
    assert store.find(REPORT, REVISION, {"b": [1, 2], "a": 1}, window_end=OLD)
    assert store.find(REPORT, REVISION, {"b": [2, 1], "a": 1}, window_end=OLD) is None
    assert store.find(REPORT, "2026-07-15", {"a": 1, "b": [1, 2]}, window_end=OLD) is None
    assert store.find("/api/flow-series-reports", REVISION, {"a": 1, "b": [1, 2]}, window_end=OLD) is None


def test_one_accounts_answer_never_reaches_another(tmp_path: Path) -> None:
    """Another key or host finds nothing, not even where the files of the first were copied into its folder."""
    mine = store_of(tmp_path)
    path = mine.keep(REPORT, REVISION, BODY, answer(), window_end=OLD, rows=rows([1]))
    for key in ("a.klaviyo.com-2", "127.0.0.1:8765-1", "a.klaviyo.com_1", "A.klaviyo.com-1"):
        other = store_of(tmp_path, key=key)
        assert other.find(REPORT, REVISION, BODY, window_end=OLD) is None
        assert (0, 0) == (other.count(), len(other.history()))
    other = store_of(tmp_path, key="a.klaviyo.com-2")
    theirs = other.keep(REPORT, REVISION, BODY, answer(at=OLD), window_end=None)
    theirs.with_name("99991231T000000.000000Z-0-0.snap").write_bytes(path.read_bytes())
    assert other.find(REPORT, REVISION, BODY, window_end=OLD) is None


def test_a_settled_window_is_served_for_ever(tmp_path: Path) -> None:
    """Asked six days after its end, an answer is final."""
    clock = Clock(NOW.timestamp())
    store = store_of(tmp_path, clock)
    store.keep(REPORT, REVISION, BODY, answer(), window_end=OLD)
    clock.now += 400 * 86400
    assert store.find(REPORT, REVISION, BODY, window_end=OLD)


def test_an_answer_from_before_the_window_settled_is_not(tmp_path: Path) -> None:
    """What was asked two days after the end is served for six hours, and not again once the window has settled."""
    clock = Clock(NOW.timestamp())
    store = store_of(tmp_path, clock)
    store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG)
    clock.now += 6 * 3600
    assert store.find(REPORT, REVISION, BODY, window_end=YOUNG)
    clock.now += 1
    assert store.find(REPORT, REVISION, BODY, window_end=YOUNG) is None
    clock.now += 30 * 86400
    assert store.find(REPORT, REVISION, BODY, window_end=YOUNG) is None


def test_a_preset_is_served_for_a_while_only(tmp_path: Path) -> None:
    """Nobody knows a preset's bounds, so its answer is never settled."""
    clock = Clock(NOW.timestamp())
    store = store_of(tmp_path, clock, max_age=timedelta(minutes=10))
    store.keep(REPORT, REVISION, BODY, answer(), window_end=None)
    assert store.find(REPORT, REVISION, BODY, window_end=pd.NaT)  # type: ignore[arg-type]
    clock.now += 601
    assert store.find(REPORT, REVISION, BODY, window_end=None) is None


def test_the_attribution_window_is_a_setting(tmp_path: Path) -> None:
    """An account with 90 days of attribution settles after 90 days; bounds are held."""
    clock = Clock(NOW.timestamp())
    store = store_of(tmp_path, clock, attribution_days=90)
    store.keep(REPORT, REVISION, BODY, answer(), window_end=OLD)
    clock.now += 86400
    assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    for days in (0, 91):
        with pytest.raises(ArgumentError, match="attribution_days"):
            store_of(tmp_path, attribution_days=days)
    with pytest.raises(ArgumentError, match="max_age"):
        store_of(tmp_path, max_age=timedelta(seconds=-1))
    with pytest.raises(ArgumentError, match="time zone"):
        store.find(REPORT, REVISION, BODY, window_end=datetime(2026, 11, 1))


def test_refresh_asks_again(tmp_path: Path) -> None:
    """What comes when it is asked again is kept beside the old, and served from then on."""
    store = store_of(tmp_path)
    store.keep(REPORT, REVISION, BODY, answer(b"1", at=NOW - timedelta(hours=1)), window_end=OLD)
    store.keep(REPORT, REVISION, BODY, answer(b"2"), window_end=OLD)
    got = store.find(REPORT, REVISION, BODY, window_end=OLD)
    assert got is not None
    assert (b"2",) == got.pages
    assert 2 == store.count() == store.count(REPORT)


def test_a_snapshot_from_the_future_is_not_served(tmp_path: Path) -> None:
    """A clock that ran ahead when it was kept says nothing about settled windows; older answers still count."""
    store = store_of(tmp_path)
    store.keep(REPORT, REVISION, BODY, answer(b"then"), window_end=YOUNG)
    store.keep(REPORT, REVISION, BODY, answer(b"ahead", at=NOW + timedelta(days=30)), window_end=YOUNG)
    got = store.find(REPORT, REVISION, BODY, window_end=YOUNG)
    assert got is not None
    assert (b"then",) == got.pages


def test_files_are_the_owners(tmp_path: Path) -> None:
    """Snapshots 0600, folders 0700, and no temporary file stays."""
    store_of(tmp_path / "home").keep(REPORT, REVISION, BODY, answer(), window_end=OLD, rows=rows([1]))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").rglob("*")}
    assert {0o700 if path.is_dir() else 0o600 for path in modes} == set(modes.values())
    assert [".parquet", ".snap"] == sorted(path.suffix for path in modes if path.is_file())


@pytest.mark.parametrize("damage", [b"", b"garbage", b"half"])
def test_a_damaged_snapshot_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    """It warns, keeps the bytes under another name with its rows, and is asked again."""
    store = store_of(tmp_path)
    path = store.keep(REPORT, REVISION, BODY, answer(b"x" * 5000), window_end=OLD, rows=rows([1]))
    path.write_bytes(path.read_bytes()[:-20] if damage == b"half" else damage)
    with pytest.warns(StorageWarning, match="set aside"):
        assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    assert (0, 0) == (store.count(), len(store.history()))
    assert 2 == len(list(path.parent.glob("*.damaged")))


def test_pages_of_half_a_byte_are_damage() -> None:
    """A header whose lengths add up and are no lengths is one of a damaged snapshot."""
    halves: list[Any] = [0.5, 1.5]
    header = Header("k", "/api/e", REVISION, "{}", REVISION, NOW.isoformat(), None, False, halves)
    with pytest.raises(DamagedError):
        unpack(pack(header, (b"ab",)))


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """Whatever single byte of a snapshot changes, the answer is whole or not served."""
    store = store_of(tmp_path)
    pages = (json.dumps(list(range(50))).encode(),)
    path = store.keep(REPORT, REVISION, BODY, answer(*pages), window_end=OLD)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got = store.find(REPORT, REVISION, BODY, window_end=OLD)
        assert got is None or got.pages == pages
        assert (got is None) == bool(caught)


def test_history_is_one_row_per_asking_and_group(tmp_path: Path) -> None:
    """Rows of all snapshots, oldest asking first, with dtypes kept and columns that came later NA before."""
    store = store_of(tmp_path)
    start = pd.Timestamp("2026-11-16", tz="Europe/Copenhagen")
    first = rows([5, None], interval_start=start.as_unit("us"), open_rate=[0.5, np.nan])
    second = rows([6, 2], interval_start=start.as_unit("us"), open_rate=[0.6, 0.1], is_partial=pd.array([True, None]))
    second["flow_id"] = second["flow_id"].astype("category")
    store.keep(REPORT, REVISION, BODY, answer(at=NOW), window_end=YOUNG, rows=second)
    store.keep(REPORT, REVISION, BODY, answer(at=NOW - timedelta(days=1)), window_end=YOUNG, rows=first)
    store.keep("/api/flow-series-reports", REVISION, BODY, answer(), window_end=YOUNG, rows=rows([9]))
    store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG)
    got = store.history(REPORT)
    assert [5, None, 6, 2] == [None if pd.isna(value) else value for value in got["clicks"]]
    assert [NOW - timedelta(days=1)] * 2 + [NOW] * 2 == got["fetched_at"].to_list()
    assert 1 == got["query"].nunique()
    expected = {
        "fetched_at": "datetime64[us, UTC]", "flow_id": "str", "clicks": "Int64",
        "interval_start": "datetime64[us, Europe/Copenhagen]", "open_rate": "float64", "is_partial": "boolean",
    }  # fmt: skip
    assert expected == {name: str(got[name].dtype) for name in expected}
    assert [True, True, False, True] == got["is_partial"].isna().to_list()
    assert 5 == len(store.history())


def test_history_is_filtered_by_the_engine(tmp_path: Path) -> None:
    """Values, lists of values, the time of asking and columns select; an unknown column fits no row."""
    store = store_of(tmp_path)
    for day in range(4):
        at = NOW - timedelta(days=day)
        store.keep(REPORT, REVISION, BODY, answer(at=at), window_end=YOUNG, rows=rows([day, day]))
    assert [3, 2, 1, 0] == store.history(where={"flow_id": "F1"})["clicks"].to_list()
    assert 8 == len(store.history(where={"flow_id": ["F0", "F1", "F9"]}))
    assert [1, 1, 0, 0] == store.history(since=NOW - timedelta(days=1))["clicks"].to_list()
    nothing = store.history(where={"colour": "red"})
    assert (0, "Int64") == (len(nothing), str(nothing["clicks"].dtype))


def test_history_of_nothing(tmp_path: Path) -> None:
    """An empty store has an empty history with the columns every history has."""
    got = store_of(tmp_path).history()
    assert (0, ["fetched_at", "query"]) == (len(got), list(got))


def test_empty_rows_are_kept_too(tmp_path: Path) -> None:
    """An answer without a row leaves the other rows readable."""
    store = store_of(tmp_path)
    store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG, rows=rows([]))
    store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG, rows=rows([7]))
    assert [7] == store.history()["clicks"].to_list()


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight writers of the same question at the same moment leave eight whole snapshots."""
    store = store_of(tmp_path)

    def work(number: int) -> None:
        for _ in range(5):
            store.keep(REPORT, REVISION, BODY, answer(str(number).encode()), window_end=OLD, rows=rows([number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = [unpack(file.read_bytes()) for file in store.folder.rglob("*.snap")]
    assert 40 == store.count() == len(whole) == len(store.history())


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where a folder should be is an error of storage that names FLOWPERF_HOME, and leaves nothing."""
    (tmp_path / "home").write_text("")
    store = store_of(tmp_path / "home")
    assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    with pytest.raises(StorageError, match="FLOWPERF_HOME"):
        store.keep(REPORT, REVISION, BODY, answer(), window_end=OLD)


FULL = """
import os, resource, sys
from datetime import datetime, timezone
from pathlib import Path
from flowperf_helpers.klaviyo.client import ReportResponse
from flowperf_helpers.errors import StorageError
from flowperf_helpers.account.store import Store
store = Store(Path(sys.argv[1]), account_key="a-1")
answer = ReportResponse((os.urandom(50_000),), "2026-10-15", datetime.now(timezone.utc))
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
try:
    store.keep("/api/flow-values-reports", "2026-10-15", {}, answer, window_end=None)
except StorageError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where the disk takes no more bytes: an error of storage, and no half a file."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "could not be written" in done.stdout
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_column_that_changes_its_kind_stays_readable(tmp_path: Path) -> None:
    """Numbers in one snapshot and texts in another come as texts."""
    store = store_of(tmp_path)
    store.keep(REPORT, REVISION, BODY, answer(at=OLD), window_end=YOUNG, rows=rows([1], variation=["A"]))
    store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG, rows=rows([2], variation=[7]))
    assert ["A", "7"] == store.history()["variation"].to_list()


def test_history_holds_a_long_name_once(tmp_path: Path) -> None:
    """A name of 100,000 characters comes back whole, and rows that repeat it share it."""
    name = "å" * 100_000
    rows = pd.DataFrame({"flow_id": ["f"] * 3, "flow_name": [name, None, name], "clicks": [1, 2, 3]})
    path = tmp_path / "a.parquet"
    write_rows(path, rows, fetched_at=datetime(2026, 11, 23, tzinfo=UTC), query="q")
    read = read_rows([path], where={"flow_id": "f"}, since=None)
    assert [name, True, name] == [read["flow_name"][0], pd.isna(read["flow_name"][1]), read["flow_name"][2]]
    assert read["flow_name"].to_numpy()[0] is read["flow_name"].to_numpy()[2]
    assert "str" == str(read["flow_name"].dtype)
    assert 2 == len(read_rows([path], where={"flow_name": name}, since=None))


DAMAGED_ROWS = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"PAR1" + bytes(40) + b"PAR1"),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "another file": lambda path: pd.DataFrame({"x": [1]}).to_parquet(path),
    "a link": lambda path: path.rename(path.with_name("elsewhere")) and path.symlink_to(path.with_name("elsewhere")),
    "a broken link": lambda path: path.unlink() or path.symlink_to("nowhere"),
    "a pipe": lambda path: path.unlink() or os.mkfifo(path),
    "a folder": lambda path: path.unlink() or path.mkdir(),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DAMAGED_ROWS)
def test_damaged_rows_are_made_anew(tmp_path: Path, damage: str) -> None:
    """Whatever stands where an answer's rows were: it is set aside with a warning, and the history is whole again."""
    account = connect("sandbox", home=tmp_path)
    for day in ("2026-11-16", "2026-11-17"):
        account.flow_series("RplOrd", timeframe=(day, day), statistics=["conversions"], interval="daily")
    whole = account.history()
    path = sorted(tmp_path.rglob("*.parquet"))[0]
    DAMAGED_ROWS[damage](path)
    with pytest.warns(StorageWarning, match="made anew"):
        found = account.history()
    keys = ["interval_start", "flow_message_id"]
    pd.testing.assert_frame_equal(*(f.sort_values(keys, ignore_index=True) for f in (whole, found)))
    assert os.path.lexists(f"{path}.damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(whole) == len(account.history())


def test_a_flipped_bit_in_rows_is_no_other_number(tmp_path: Path) -> None:
    """Whatever single byte of a page of rows changes, the history is as it was."""
    account = connect("sandbox", home=tmp_path)
    account.flow_series("RplOrd", timeframe=("2026-11-16", "2026-11-16"), statistics=["conversions"], interval="daily")
    whole = account.history()
    path = next(tmp_path.rglob("*.parquet"))
    data = path.read_bytes()
    pages = len(data) - 8 - int.from_bytes(data[-8:-4], "little")  # a footer follows, of that length
    for place in range(4, pages, pages // 40):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pd.testing.assert_frame_equal(whole, account.history())


def test_rows_of_a_damaged_snapshot_are_left_out(tmp_path: Path) -> None:
    """Where neither can be read both are set aside, and the other answers stay."""
    store = store_of(tmp_path)
    path = store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG, rows=rows([1]))
    store.keep(REPORT, REVISION, BODY, answer(), window_end=YOUNG, rows=rows([2]))
    path.write_bytes(b"")
    path.with_suffix(".parquet").write_bytes(b"")
    with pytest.warns(StorageWarning, match="set aside"):
        assert [2] == store.history()["clicks"].to_list()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a link", "a broken link", "a pipe", "a folder"])
def test_only_regular_files_are_snapshots(tmp_path: Path, kind: str) -> None:
    """A link, a pipe or a folder in a snapshot's place is set aside, never followed or waited for."""
    store = store_of(tmp_path)
    path = store.keep(REPORT, REVISION, BODY, answer(), window_end=OLD, rows=rows([1]))
    DAMAGED_ROWS[kind](path)
    with pytest.warns(StorageWarning, match="set aside"):
        assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    assert 0 == len(store.history())


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to very much is set aside without the memory it asks for."""
    monkeypatch.setattr("flowperf_helpers.account.snapshot_files.LARGEST", 2**20)
    store = store_of(tmp_path)
    path = store.keep(REPORT, REVISION, BODY, answer(), window_end=OLD)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    path.write_bytes(b"".join([squeeze.compress(bytes(2**20)) for _ in range(200)]) + squeeze.flush())
    tracemalloc.start()
    with pytest.warns(StorageWarning, match="unpacks to more than 1 MB"):
        assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


def test_an_answer_too_large_to_read_again_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is warned about, and nothing is written that would be refused later."""
    monkeypatch.setattr("flowperf_helpers.account.store.LARGEST", 1000)
    store = store_of(tmp_path)
    with pytest.warns(StorageWarning, match="not kept"):
        store.keep(REPORT, REVISION, BODY, answer(bytes(600), bytes(600)), window_end=OLD, rows=rows([1]))
    assert (0, 0) == (store.count(), len(store.history()))


@pytest.mark.parametrize("lengths", ['["a"]', "[-1, 12]", "null", "{}"])
def test_impossible_headers_are_damage(tmp_path: Path, lengths: str) -> None:
    """A header with lengths that are not counts is damage, not a crash."""
    store = store_of(tmp_path)
    path = store.keep(REPORT, REVISION, BODY, answer(), window_end=OLD)
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(re.sub(rb'"lengths": \[\d+\]', b'"lengths": ' + lengths.encode(), whole)))
    with pytest.warns(StorageWarning, match="set aside"):
        assert store.find(REPORT, REVISION, BODY, window_end=OLD) is None


def test_a_kept_answer_of_no_use_is_asked_again(tmp_path: Path) -> None:
    """A whole snapshot whose pages are not a report is set aside, and the question is sent again at once."""
    asked: dict[str, Any] = {"timeframe": ("2026-11-02", "2026-11-08"), "statistics": ["conversions"]}
    account = connect("sandbox", home=tmp_path)
    first = account.flow_values("RplOrd", **asked)
    path = next(tmp_path.rglob("*.snap"))
    header, _ = unpack(path.read_bytes())
    page = b'{"data": {"attributes": {"results": 7}}}'
    path.write_bytes(pack(replace(header, lengths=[len(page)]), (page,)))
    with pytest.warns(StorageWarning, match="set aside"):
        again = account.flow_values("RplOrd", **asked)
    assert 1 == again.attrs["requests"]
    pd.testing.assert_frame_equal(first, again)
    assert 0 == account.flow_values("RplOrd", **asked).attrs["requests"]
