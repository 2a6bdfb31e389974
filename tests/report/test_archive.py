"""A report that remembers: what is news, what still holds, what is gone, and one page over all weeks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from headlines import CLICKS_DOWN, CLICKS_UP, COMPLAINTS, STOPPED, WINNER, headline
from lab_driver import chromium

from flowperf_helpers.errors import StorageError
from flowperf_helpers.report.archive import archive_page
from flowperf_helpers.report.memory import linked_weeks, marked_since, remember
from flowperf_helpers.report.run.archive import read_headlines, series_of, update_archive

W44 = headline("2026-W44", STOPPED, CLICKS_UP)
W45 = headline("2026-W45", STOPPED, WINNER)
W46 = headline("2026-W46", STOPPED, WINNER, CLICKS_UP)
W47 = headline("2026-W47", STOPPED, CLICKS_DOWN)


def _put(folder: str | Path, *headlines: dict[str, Any], prefix: str = "weekly") -> None:
    filesystem, path = fsspec.core.url_to_fs(str(folder))
    filesystem.makedirs(path, exist_ok=True)
    for told in headlines:
        name = f"{prefix}-{told['account']['name']}-{told['week']}.json"
        filesystem.pipe_file(f"{path}/{name}", json.dumps(told).encode())


def _read(out: str | Path) -> str:
    filesystem, path = fsspec.core.url_to_fs(str(out))
    return str(filesystem.cat_file(f"{path}/index.html").decode())


def _said(told: dict[str, Any], earlier: Iterable[dict[str, Any]]) -> tuple[list[str], list[str], list[str]]:
    memory = remember(told, earlier)
    return (
        [signal["flow_id"] for signal in memory.new],
        [f"{signal['flow_id']} {words}" for signal, words in memory.still],
        [f"{signal['flow_id']} {signal['direction'] or signal['kind']}" for signal in memory.ended],
    )


def test_a_finding_is_news_once_then_still_so_then_gone_once() -> None:
    """What holds is counted in weeks, what went the other way is news, what ended is said in one week only."""
    weeks = [W44, W45, W46, W47]
    assert (["UbBis6", "XbChk1"], [], []) == _said(W44, weeks)
    assert (["VwBrw2"], ["UbBis6 second week"], ["XbChk1 higher"]) == _said(W45, weeks)
    assert (["XbChk1"], ["UbBis6 third week", "VwBrw2 second week"], []) == _said(W46, weeks)
    assert (["XbChk1"], ["UbBis6 fourth week"], ["VwBrw2 winner", "XbChk1 higher"]) == _said(W47, weeks)


def test_a_finding_that_still_holds_says_so_beside_its_title() -> None:
    """How long is said at each title of the first screen that held before, and nowhere else."""
    titles = "".join(f"<h3>{s['flow_name']}<!--since {s['flow_id']} {s['statistic']}--></h3>" for s in W46["signals"])
    marked = marked_since(titles, remember(W46, [W44, W45]))
    said = [f"{s['flow_name']} <span" in marked for s in W46["signals"]]
    assert [True, True, False] == said
    assert 1 == marked.count("still so, third week") == marked.count("still so, second week")
    assert titles == marked_since(titles, remember(W46, []))


def test_links_to_other_weeks_are_addresses_and_words() -> None:
    """A name steers neither the address nor the page, and without a link nothing is added."""
    page = "<div><!--weeks--></div><p><!--weeks--></p>"
    linked = linked_weeks(page, {'a"><b>.html': "<i>Week 46"})
    assert '<a href="a%22%3E%3Cb%3E.html">&lt;i&gt;Week 46</a>' in linked
    assert 1 == linked.count("<nav")
    assert page == linked_weeks(page, {})


def test_neither_order_nor_later_weeks_nor_other_accounts_change_what_is_said() -> None:
    """Only the weeks before count, whatever else is there and in whichever order it came."""
    later = headline("2026-W48", COMPLAINTS)
    other = headline("2026-W45", COMPLAINTS, CLICKS_UP, account="other")
    expected = _said(W46, [W44, W45])
    for order in itertools.permutations([W44, W45, W46, W47, later, other], 6):
        assert expected == _said(W46, order)


def test_a_gap_ends_the_memory() -> None:
    """A week without a report proves nothing: what follows it is news."""
    assert (["UbBis6", "VwBrw2", "XbChk1"], [], []) == _said(W46, [W44])
    first = headline("2027-W01", STOPPED)
    assert ([], ["UbBis6 second week"], []) == _said(first, [headline("2026-W53", STOPPED)])


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_the_list_of_weeks_is_the_same_whatever_the_order(tmp_path: Path, kind: str) -> None:
    """index.html links every week's page, newest first, and depends on the files alone."""
    pages = set()
    for number, order in enumerate([(W44, W45, W46, W47), (W47, W45, W44, W46), (W46, W47, W47, W44, W45)]):
        out = tmp_path / str(number) if kind == "folder" else f"memory://archive-{tmp_path.name}-{number}"
        for told in order:
            _put(out, told)
            done = update_archive(out, tmp_path)
            assert done is not None
            assert done.path.endswith("index.html")
        pages.add(_read(out))
    (page,) = pages
    places = [page.index(f'href="weekly-acme-2026-W{week}.html"') for week in (47, 46, 45, 44)]
    assert sorted(places) == places
    assert 4 == page.count("<svg")
    assert "Still so, fourth week:" in page
    assert "The flows brought money." in page
    assert "http://" not in page
    assert "https://" not in page


def test_files_that_are_not_ours_are_left_out(tmp_path: Path) -> None:
    """Damaged, foreign, huge and misnamed files cost a week at most, never the page."""
    _put(tmp_path, W46)
    broken = {**W47, "signals": [{"kind": "stopped"}]}
    contents: dict[str, Any] = {
        "weekly-acme-2026-W40.json": "{",
        "weekly-acme-2026-W41.json": "[" * 100_000,
        "weekly-acme-2026-W42.json": json.dumps({"schema": "another"}),
        "weekly-acme-2026-W43.json": json.dumps(W47),  # another week's content
        "weekly-acme-2026-W45.json": json.dumps({**broken, "week": "2026-W45"}),
        "weekly-acme-2026-W48.json": json.dumps({**W47, "week": "2026-W48", "numbers": [{}]}),
        "weekly-acme-2026-W49.json": json.dumps({**W47, "week": "2026-W49", "weeks": [3]}),
        "notes.json": "{}",
        "weekly-acme-2026-W50.json": " " * 2_000_001,
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "weekly-acme-2026-W39.json").mkdir()
    assert ["weekly-acme-2026-W46"] == list(read_headlines(tmp_path))
    assert update_archive(tmp_path, tmp_path.parent) is not None


def test_reports_of_other_notebooks_and_accounts_stand_apart(tmp_path: Path) -> None:
    """A changed copy's weeks are a series of their own, as are another account's."""
    other = headline("2026-W46", COMPLAINTS, account="acme-2", title="<b>Other</b>", sandbox=True)
    _put(tmp_path, W46, other)
    _put(tmp_path, W47, prefix="mine")
    headlines = read_headlines(tmp_path)
    assert [W46] == series_of(headlines, "weekly-acme")
    assert [W47] == series_of(headlines, "mine-acme")
    page = archive_page(headlines)
    assert 3 == page.count("<section>")
    assert "<b>Other</b>" not in page
    assert 1 == page.count("SANDBOX: an invented shop")


def test_somebody_else_s_index_is_left_alone(tmp_path: Path) -> None:
    """A page that lies there under that name and is not ours is not replaced."""
    _put(tmp_path, W46)
    (tmp_path / "index.html").write_text("<h1>My site</h1>", encoding="utf-8")
    assert update_archive(tmp_path, tmp_path.parent) is None
    assert "<h1>My site</h1>" == (tmp_path / "index.html").read_text(encoding="utf-8")


def test_an_index_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    """A folder in the way is told, and nothing is left behind."""
    _put(tmp_path, W46)
    (tmp_path / "index.html").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(StorageError, match=r"index\.html"):
        update_archive(tmp_path, work)
    assert [] == list(tmp_path.glob(".flowperf*"))


def test_weeks_that_may_not_be_listed_are_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that takes files and shows none says so; nothing is taken for a first week."""

    def refuse(self: Any, path: str, **more: Any) -> None:
        raise PermissionError(path)

    _put(tmp_path, W46)
    monkeypatch.setattr(type(fsspec.filesystem("file")), "ls", refuse)
    with pytest.raises(StorageError, match="could not be read"):
        read_headlines(tmp_path)


@pytest.mark.browser
def test_the_list_of_weeks_fits_a_phone(tmp_path: Path) -> None:
    """At 390 pixels nothing is cut, and a week's sentences open."""
    _put(tmp_path, W45, W46, W47)
    update_archive(tmp_path, tmp_path.parent)
    with chromium(width=390, height=800) as view:
        view.goto((tmp_path / "index.html").as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= 390
        assert 1 == view.get_by_text("5 days still grow.").filter(visible=True).count()
        view.locator("summary").nth(1).click()
        assert 2 == view.get_by_text("5 days still grow.").filter(visible=True).count()
