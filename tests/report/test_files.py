"""Files of a report: whole or not at all, real types, and texts that stay texts."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from pathlib import Path

import fsspec
import openpyxl
import pandas as pd
import pytest

from flowperf_helpers import connect
from flowperf_helpers.errors import ArgumentError, StorageError
from flowperf_helpers.report import WeeklyReport, fetch_week
from flowperf_helpers.report.export import json_bytes
from flowperf_helpers.report.run.delivery import check_target, deliver, workplace
from flowperf_helpers.report.sheets import workbook

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "https://example.com",
    "<script>alert(1)</script>",
    "'quoted",
    "\x00\x1b",
]


def _table() -> pd.DataFrame:
    starts = pd.to_datetime(["2026-11-16", "2026-11-17"]).tz_localize("Europe/Copenhagen").as_unit("us")
    return pd.DataFrame(
        {
            "flow_name": pd.Series(["Welcome", None], dtype="str"),
            "interval_start": starts,
            "delivered": pd.array([1200, pd.NA], dtype="Int64"),
            "click_rate": [0.0421, float("nan")],
            "conversion_value": [12.5, 0.0],
            "is_partial": [False, True],
        }
    )


def _sheet(path: Path, frame: pd.DataFrame, name: str = "flows") -> openpyxl.worksheet.worksheet.Worksheet:
    path.write_bytes(workbook({name: frame}, "t", "EUR"))
    return openpyxl.load_workbook(path)[name[:31]]


def test_sheet_holds_real_numbers_and_dates(tmp_path: Path) -> None:
    """A count is a number, a rate a fraction shown in percent, a day a date in the account's wall time, a gap empty."""
    sheet = _sheet(tmp_path / "a.xlsx", _table())
    assert ["flow_name", "interval_start", "delivered", "click_rate", "conversion_value", "is_partial"] == [
        c.value for c in sheet[1]
    ]
    name, day, delivered, rate, money, partial = sheet[2]
    assert ("Welcome", 1200, 0.0421, 12.5, False) == (
        name.value,
        delivered.value,
        rate.value,
        money.value,
        partial.value,
    )
    assert pd.Timestamp("2026-11-16") == pd.Timestamp(day.value)
    assert ("yyyy-mm-dd", "#,##0", "0.00%") == (day.number_format, delivered.number_format, rate.number_format)
    assert "EUR" in money.number_format
    assert (None, None, None) == tuple(sheet.cell(3, column).value for column in (1, 3, 4))


def test_sheet_keeps_its_head_in_sight(tmp_path: Path) -> None:
    """The head row is frozen and can be filtered by."""
    sheet = _sheet(tmp_path / "a.xlsx", _table())
    assert "A2" == sheet.freeze_panes
    assert "A1:F3" == sheet.auto_filter.ref


def test_texts_never_become_formulas_or_links(tmp_path: Path) -> None:
    """Whatever a name starts with, its cell is a string: no formula, no link, no number."""
    path = tmp_path / "a.xlsx"
    sheet = _sheet(path, pd.DataFrame({"flow_name": pd.Series([*HOSTILE, "x" * 40_000], dtype="str")}))
    for row in sheet.iter_rows(min_row=2):
        assert ("s", str) == (row[0].data_type, type(row[0].value))
        assert row[0].hyperlink is None
    with zipfile.ZipFile(path) as book:
        text = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in text
    assert "hyperlink" not in text


def test_sheet_names_are_made_acceptable(tmp_path: Path) -> None:
    """A table's name longer than a spreadsheet allows, or with its forbidden letters, is still a sheet."""
    (tmp_path / "a.xlsx").write_bytes(workbook({"a/b:c" + "x" * 60: _table(), "empty": pd.DataFrame()}, "t"))
    assert 2 == len(openpyxl.load_workbook(tmp_path / "a.xlsx").sheetnames)


def test_parquet_keeps_dtypes(report: WeeklyReport, tmp_path: Path) -> None:
    """What is read back has the dtypes of the report's own rows."""
    report.save(tmp_path)
    rows, back = report.tidy(), pd.read_parquet(tmp_path / "data.parquet")
    pd.testing.assert_frame_equal(rows, back, check_dtype=False)
    assert list(map(str, rows.dtypes)) == list(map(str, back.dtypes))


def test_headline_is_json_for_everybody() -> None:
    """NaN and infinity become null: other languages refuse them."""
    made = json_bytes({"a": float("nan"), "b": [float("inf"), 1.5], "c": "ø"})
    assert {"a": None, "b": [None, 1.5], "c": "ø"} == json.loads(made)


@pytest.mark.parametrize("name", ["data.parquet", "data.xlsx", "headline.json"])
def test_full_disk_is_one_sentence(report: WeeklyReport, name: str, tmp_path: Path) -> None:
    """A full disk ends in our error, which says so."""
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(StorageError, match=f"{name} could not be written"):
        report.save(tmp_path)


def test_delivery_replaces_whole_files(tmp_path: Path) -> None:
    """An old file is replaced by the new one, and nothing else is left in the folder."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("old")
    new = tmp_path / "new"
    new.write_text("new")
    done = deliver({"html": new}, out, names={"html": "report.html", "pdf": "report.pdf"})
    assert [("html", str(out / "report.html"), 3)] == [(d.kind, d.path, d.size) for d in done]
    assert ["report.html"] == [p.name for p in out.iterdir()]
    assert "new" == (out / "report.html").read_text()


def test_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While a report is delivered again and again, whoever reads it finds one whole version."""
    big = tmp_path / "big"
    versions = [letter * 2_000_000 for letter in "ab"]
    big.write_text(versions[0])
    deliver({"html": big}, tmp_path / "out", names={"html": "r.html"})
    done = threading.Event()
    broken: list[int] = []

    def read() -> None:
        while not done.is_set():
            text = (tmp_path / "out" / "r.html").read_text()
            if text not in versions:
                broken.append(len(text))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        big.write_text(versions[turn % 2])
        deliver({"html": big}, tmp_path / "out", names={"html": "r.html"})
    done.set()
    reader.join()
    assert [] == broken


def test_failed_delivery_leaves_the_old_files(tmp_path: Path) -> None:
    """If one of the new files cannot be copied, every old one stays and no part of a new one does."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.html").write_text("old")
    good = tmp_path / "good"
    good.write_text("new")
    with pytest.raises(StorageError, match="untouched"):
        deliver({"html": good, "json": tmp_path / "missing"}, out, names={"html": "a.html", "json": "a.json"})
    assert ["a.html"] == [p.name for p in out.iterdir()]
    assert "old" == (out / "a.html").read_text()


def test_folder_in_the_way_of_one_file_replaces_none(tmp_path: Path) -> None:
    """Where the last of the places is a folder, the first file is still the old one: no set is mixed."""
    out, new = tmp_path / "out", tmp_path / "new"
    (out / "b.json").mkdir(parents=True)
    (out / "a.html").write_text("old")
    new.write_text("new")
    with pytest.raises(StorageError, match=r"b\.json is a folder.*untouched"):
        deliver({"html": new, "json": new}, out, names={"html": "a.html", "json": "b.json"})
    assert "old" == (out / "a.html").read_text()
    assert ["a.html", "b.json"] == sorted(p.name for p in out.iterdir())


def test_delivery_says_what_it_replaced(tmp_path: Path) -> None:
    """Where a file cannot take its place after another one has, the sentence names the one that is new."""
    out, new = tmp_path / "out", tmp_path / "new"
    out.mkdir()
    new.write_text("new")
    nowhere = "missing/b.json"  # can be copied into the folder, and cannot get its name
    with pytest.raises(StorageError, match=r"a\.html had been replaced, the others are untouched"):
        deliver({"html": new, "json": new}, out, names={"html": "a.html", "json": nowhere})
    assert ["a.html"] == [p.name for p in out.iterdir()]


def test_delivery_follows_no_link(tmp_path: Path) -> None:
    """Links planted under every name that could be guessed, the files' own among them, lead nowhere."""
    out, new, victim = tmp_path / "out", tmp_path / "new", tmp_path / "victim"
    out.mkdir()
    new.write_text("new")
    new.chmod(0o640)
    victim.write_text("mine")
    planted = ("a.html", f".a.html.{os.getpid()}.part", ".a.html.part")
    for name in planted:
        (out / name).symlink_to(victim)
    deliver({"html": new}, out, names={"html": "a.html"})
    assert "mine" == victim.read_text()
    assert ("new", False) == ((out / "a.html").read_text(), (out / "a.html").is_symlink())
    assert 0o640 == (out / "a.html").stat().st_mode & 0o777
    assert set(planted) == {p.name for p in out.iterdir()}


def test_delivery_to_an_address(tmp_path: Path) -> None:
    """An fsspec address gets the same files under the same names."""
    file = tmp_path / "f"
    file.write_text("page")
    done = deliver({"html": file}, "memory://reports/acme", names={"html": "a.html"})
    assert "memory://reports/acme/a.html" == done[0].path
    with fsspec.open("memory://reports/acme/a.html") as stored:
        assert b"page" == stored.read()


def test_unknown_address_is_refused_before_anything_runs() -> None:
    """An address that nothing here can write to names the library it needs."""
    with pytest.raises(ArgumentError, match="nosuch"):
        check_target("nosuch://bucket/reports")


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is said before anything runs."""
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="another folder"):
        check_target(tmp_path / "out")


def test_workplace_is_private_and_goes() -> None:
    """Only the owner can look into the temporary folder, and it does not stay."""
    with workplace() as folder:
        assert 0o700 == folder.stat().st_mode & 0o777
        (folder / "x").write_text("x")
    assert not folder.exists()


def test_booleans_stay_booleans(tmp_path: Path) -> None:
    """Of every dtype that holds them: true and false in the spreadsheet, not 1 and 0."""
    values = [True, False]
    frame = pd.DataFrame(
        {"a": values, "b": pd.array([True, None], dtype="boolean"), "c": pd.Series(values, dtype="object")}
    )
    sheet = _sheet(tmp_path / "a.xlsx", frame)
    assert ["b", "b", "b"] == [cell.data_type for cell in sheet[2]]
    assert [True, True, True] == [cell.value for cell in sheet[2]]
    assert [False, None, False] == [cell.value for cell in sheet[3]]


@pytest.mark.parametrize("currency", ["\x01", "EUR\x01", '"', 'E"; @', "\ud83d", "€" * 300])
def test_any_currency_and_title_makes_a_readable_file(currency: str, tmp_path: Path) -> None:
    """Control characters, quotes and half characters in a currency, title, sheet or column break no file."""
    frame = _table().rename(columns={"flow_name": "flow\x01"})
    (tmp_path / "a.xlsx").write_bytes(workbook({f"s{currency}": frame}, f"t{currency}", currency))
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").worksheets[0]
    assert 12.5 == sheet["E2"].value
    assert sheet["E2"].number_format.startswith("#,##0.00")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> WeeklyReport:
    """Make the report of the sandbox's week."""
    return WeeklyReport(fetch_week(connect("sandbox", home=tmp_path_factory.mktemp("home"))))


@pytest.fixture(scope="module")
def book(report: WeeklyReport, tmp_path_factory: pytest.TempPathFactory) -> openpyxl.Workbook:
    """Make the spreadsheet of the sandbox's week."""
    folder = tmp_path_factory.mktemp("book")
    report.save(folder)
    return openpyxl.load_workbook(folder / "data.xlsx")


def test_the_first_sheet_reads_like_the_page(book: openpyxl.Workbook) -> None:
    """Title, what changed with what to do, the numbers with their usual range, and native charts."""
    front = book.worksheets[0]
    words = [str(row[0]) for row in front.iter_rows(values_only=True)]
    assert "so far, heading for about" in words[1]
    assert "Back in Stock is silent since Tuesday" in words
    assert any("Do first: was it paused on purpose" in line for line in words)
    revenue = next(row for row in front.iter_rows(values_only=True) if row[0] == "Revenue so far")
    assert all(isinstance(value, float) for value in revenue[1:5])
    assert 2 == len(front._charts)


def test_every_sheet_says_sandbox_and_keeps_its_heads_in_sight(book: openpyxl.Workbook) -> None:
    """The mark stands in the first line of each; below it heads are frozen and filters on; names stay in sight."""
    for sheet in book.worksheets:
        assert str(sheet["A1"].value).startswith("SANDBOX: invented shop, invented numbers")
    for sheet in book.worksheets[1:]:
        assert sheet.freeze_panes in ("A3", "B3", "C3")
        assert sheet.auto_filter.ref.startswith("A2:") or not sheet.max_row > 2
    assert "B3" == book["All flows"].freeze_panes
    assert "C3" == book["flows"].freeze_panes
    assert ["flow_id", "flow_name"] == [cell.value for cell in book["flows"][2]][:2]
    heads = [cell.value for cell in book["All flows"][2]]
    assert ["Flow", "Revenue so far", "On last week, same age"] == heads[:3]
    assert not [head for head in heads if "_" in head]
