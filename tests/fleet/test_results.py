"""The result dataset: one part per account and week, written again without a trace."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import pytest
from fleets import write_results

from flowperf_helpers.errors import PayloadError, StorageError
from flowperf_helpers.fleet import results, simulate

WEEKS = ["2026-W45", "2026-W46"]
KEYS = ["week", "account", "flow_id"]


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(KEYS).reset_index(drop=True)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return simulate.results(simulate.accounts(4, broken=0), WEEKS)


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_what_is_written_is_read_again(rows: pd.DataFrame, kind: str, tmp_path: Path) -> None:
    """Every row comes back with its dtypes, unknown counts as NA, from a folder and from an fsspec address."""
    out = str(tmp_path / "out") if kind == "folder" else f"memory://{tmp_path.name}-dataset"
    write_results(rows, out)
    pd.testing.assert_frame_equal(_in_order(rows), _in_order(results.read(out)))
    assert rows["opens_unique"].isna().any()
    assert set(results.read(out, weeks=WEEKS[1:])["week"]) == {WEEKS[1]}
    assert set(results.read(out, accounts=["shop-0003"])["account"]) == {"shop-0003"}


def test_totals_alone_can_be_read(rows: pd.DataFrame, tmp_path: Path) -> None:
    """Of some weeks only the accounts' totals are read, with the same dtypes."""
    write_results(rows, str(tmp_path))
    found = results.read(str(tmp_path), only_totals=WEEKS[:1])
    expected = rows[(rows["flow_id"] == "") | (rows["week"] == WEEKS[1])]
    pd.testing.assert_frame_equal(_in_order(expected), _in_order(found))


def test_a_part_written_twice_stands_once(rows: pd.DataFrame, tmp_path: Path) -> None:
    """A repeated run replaces its parts: the same files, the same rows, nothing left beside them."""
    first = write_results(rows, str(tmp_path))
    assert first == write_results(rows, str(tmp_path))
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert sorted(first) == files
    assert f"dataset/week={WEEKS[0]}/account=shop-0001/part.parquet" in files
    assert len(rows) == len(results.read(str(tmp_path)))


def test_an_empty_place_has_no_rows(tmp_path: Path) -> None:
    """Where nothing was written there is an empty frame with every column."""
    found = results.read(str(tmp_path))
    assert (0, list(results.COLUMNS)) == (len(found), list(found.columns))


def test_a_foreign_part_is_named(rows: pd.DataFrame, tmp_path: Path) -> None:
    """A part that something else wrote is an error that says which one."""
    place = write_results(rows, str(tmp_path))[0]
    (tmp_path / place).write_bytes(b"not Parquet")
    with pytest.raises(PayloadError, match="account=shop-0001"):
        results.read(str(tmp_path))


def test_no_permission_is_a_sentence(rows: pd.DataFrame, tmp_path: Path) -> None:
    """A place that cannot be written to says which file could not be written, and where."""
    (tmp_path / "dataset").write_text("a file in the way")
    with pytest.raises(StorageError, match=r"part\.parquet could not be written into"):
        write_results(rows, str(tmp_path))


def test_memory_addresses_hold_the_same_layout(rows: pd.DataFrame) -> None:
    """On an address the parts lie at the same places as in a folder."""
    written = write_results(rows, "memory://layout")
    assert sorted(written) == sorted(
        path.removeprefix("/layout/") for path in fsspec.filesystem("memory").find("/layout")
    )
