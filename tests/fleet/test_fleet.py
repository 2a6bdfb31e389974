"""Many accounts in one run: what is done, what is named, what is asked, and what is never asked twice."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from fleet.conftest import WEEK, Ran, earlier_week, here

from flowperf_helpers.errors import StorageError
from flowperf_helpers.fleet import results, simulate
from flowperf_helpers.fleet.accounts import Outcome, exit_code
from flowperf_helpers.fleet.run import Progress, fleet_week
from flowperf_helpers.fleet.simulate import TEMPLATE

pytestmark = pytest.mark.xdist_group("fleet")
GOOD = ("shop-0001", "shop-0007")


def _by_name(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.account: outcome for outcome in outcomes}


def test_good_accounts_are_done_and_broken_ones_are_named(ran: Ran) -> None:
    """Two accounts have every file; five have a sentence, and the exit code says that some failed."""
    assert [shop.name for shop in ran.shops] == [outcome.account for outcome in ran.outcomes]
    assert GOOD == tuple(o.account for o in ran.outcomes if o.status == "done")
    for name in GOOD:
        kinds = {path.suffix for path in (ran.out / "reports" / name).iterdir()}
        assert {".html", ".parquet", ".xlsx", ".json"} == kinds
        assert (ran.out / results.part_path(WEEK, name)).is_file()
    assert 6 == exit_code(ran.outcomes)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [("expired", 3, r"This customer has to reconnect: .*SHOP_0002_KLAVIYO_KEY"), ("unavailable", 5, "503"),
     ("scope", 3, "flows:read"), ("metric missing", 2, "No metric has the id or name 'Placed Order': did you mean"),
     ("metric ambiguous", 2, r"2 metrics are called 'Placed Order': give the id")],
)  # fmt: skip
def test_each_trouble_has_its_sentence(ran: Ran, fault: str, code: int, says: str) -> None:
    """An expired token, 5xx only, a missing scope, a metric that is missing or ambiguous: one sentence and its code."""
    name = next(shop.name for shop in ran.shops if shop.fault == fault)
    outcome = _by_name(ran.outcomes)[name]
    assert (code, fault == "expired") == (outcome.code, outcome.reconnect)
    assert re.search(says, outcome.reason)
    assert not (ran.out / "reports" / name).exists()


def test_the_plan_is_what_the_run_sends(ran: Ran) -> None:
    """The plan counts every report request before one is sent, and the run sends exactly those."""
    planned = ran.plan.table.set_index("account")["requests"]
    sent = {outcome.account: outcome.requests for outcome in ran.outcomes}
    assert dict.fromkeys(GOOD, 4) == {name: sent[name] for name in GOOD} == dict(planned[list(GOOD)])
    assert ran.plan.summary.startswith("8 report requests to 2 accounts")
    assert "5 cannot be asked" in ran.plan.summary


def test_a_second_run_asks_nothing(ran: Ran) -> None:
    """What is done is kept: no report request, the same manifests."""
    before = len(ran.app.reports)  # type: ignore[attr-defined]
    fleet = ran.fleet(ran.out, *GOOD)
    plan = fleet.plan()
    again = fleet.run(plan, here())
    assert ("0 report requests to 0 accounts", 2) == (plan.summary[:31], len(plan.kept))
    assert [("kept", 0)] * 2 == [(outcome.status, outcome.requests) for outcome in again]
    assert [_by_name(ran.outcomes)[name].manifest for name in GOOD] == [outcome.manifest for outcome in again]
    assert before == len(ran.app.reports)  # type: ignore[attr-defined]


def test_what_was_answered_is_not_asked_for_another_folder(ran: Ran, tmp_path: Path) -> None:
    """Without a manifest the report is made again, from the store: the same rows, no request."""
    before = len(ran.app.reports)  # type: ignore[attr-defined]
    fleet = ran.fleet(tmp_path / "other", GOOD[0])
    (outcome,) = fleet.run(fleet.plan(), here())
    assert ("done", 0) == (outcome.status, outcome.requests)
    assert before == len(ran.app.reports)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(results.read(str(ran.out), accounts=[GOOD[0]]), results.read(str(tmp_path / "other")))


def test_pages_remember_the_weeks_before(ran: Ran, tmp_path: Path) -> None:
    """The page says what the account's week before had found; weeks after it and other accounts do not count."""
    folder = tmp_path / "out" / "reports" / GOOD[0]
    folder.mkdir(parents=True)
    headline = json.loads((ran.out / "reports" / GOOD[0] / f"weekly-{GOOD[0]}-{WEEK}.json").read_bytes())
    for week in ("2026-W46", "2026-W48"):
        (folder / f"weekly-{GOOD[0]}-{week}.json").write_text(json.dumps(earlier_week(headline, week)))
    fleet = ran.fleet(tmp_path / "out", GOOD[0])
    assert ["2026-W46"] == [week["week"] for week in fleet._earlier(GOOD[0])]
    fleet.run(fleet.plan(), here())
    page = (folder / f"weekly-{GOOD[0]}-{WEEK}.html").read_text(encoding="utf-8")
    assert ("Gone since 2026-W46." in page, "Gone since 2026-W48." in page) == (True, False)
    assert page.count("Still so, second week:") == len(headline["signals"])
    links = '<a href="weekly-{0}-2026-W46.html">Week 46</a><a href="../../index.html">All accounts</a>'
    assert links.format(GOOD[0]) in page
    assert (ran.out / "reports" / GOOD[0] / "../../index.html").is_file()
    assert "Since the last report" not in (ran.out / "reports" / GOOD[0] / f"weekly-{GOOD[0]}-{WEEK}.html").read_text()


def test_the_dataset_holds_what_klaviyo_counted(ran: Ran) -> None:
    """Rows are those of the account's own numbers: one per flow that sent, the total, the template's version."""
    rows = results.read(str(ran.out))
    shops = [shop for shop in ran.shops if not shop.fault]
    expected = simulate.results(shops, [WEEK])
    keys = ["account", "flow_id"]
    counts = [
        "flow_name",
        "flow_type",
        "template_version",
        "currency",
        "timezone",
        "recipients",
        "delivered",
        "bounced",
    ]
    pd.testing.assert_frame_equal(
        expected.set_index(keys)[counts].sort_index(), rows.set_index(keys)[counts].sort_index()
    )
    assert not rows["is_final"].any()  # conversions of this week still arrive
    assert rows["sandbox"].all()
    versions = rows.loc[rows["flow_name"] == TEMPLATE, "template_version"]
    assert {shop.version(simulate.FLEET_NOW.date()) for shop in shops} == set(versions)


def test_the_files_of_the_fleet_agree(ran: Ran) -> None:
    """fleet.json, the spreadsheet and the index name every account, its state, and that the numbers are invented."""
    values = json.loads((ran.out / "fleet.json").read_text(encoding="utf-8"))
    assert {"done": 2, "kept": 0, "failed": 5} == values["counts"]
    assert values["sandbox"]
    states = {row["account"]: row["status"] for row in values["accounts"]}
    assert {outcome.account: outcome.status for outcome in ran.outcomes} == states
    book = openpyxl.load_workbook(ran.out / "fleet.xlsx", read_only=True)
    assert ["accounts", "totals", "flows"] == book.sheetnames[:3]
    assert 1 + len(ran.outcomes) == len(list(book["accounts"].iter_rows()))
    page = (ran.out / "index.html").read_text(encoding="utf-8")
    assert "SANDBOX" in page
    for outcome in ran.outcomes:
        assert outcome.account in page
    rows = results.read(str(ran.out), accounts=[GOOD[0]])
    total = rows.set_index("flow_id").loc["", ["delivered", "conversion_value"]].to_dict()
    shown = next(row["totals"] for row in values["accounts"] if row["account"] == GOOD[0])
    assert (int(total["delivered"]), float(total["conversion_value"])) == (
        shown["delivered"],
        shown["conversion_value"],
    )


def test_no_secret_is_in_any_file(ran: Ran) -> None:
    """Neither a key nor where the run's machine keeps things is written anywhere."""
    for path in ran.out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"sandbox-key" not in content, path
            assert ran.environ["FLOWPERF_HOME"].encode() not in content, path


def test_two_fleets_do_not_write_into_one_folder(ran: Ran, tmp_path: Path) -> None:
    """The second one is refused with a sentence while the first holds the folder, and works after it."""
    first, second = ran.fleet(tmp_path / "out", GOOD[0]), ran.fleet(tmp_path / "out", GOOD[0])
    with first.locked(), pytest.raises(StorageError, match="Another fleet writes into"), second.locked():
        pass
    with second.locked():
        pass


def test_a_place_without_permission_is_a_sentence(ran: Ran, tmp_path: Path) -> None:
    """An output that cannot be written to is refused before anything is asked."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Nothing can be written into"), ran.fleet(tmp_path / "file" / "x").locked():
        pass


def test_two_fleets_do_not_write_to_one_address(ran: Ran) -> None:
    """On one machine an address is held like a folder."""
    first, second = ran.fleet("memory://held", GOOD[0]), ran.fleet("memory://held", GOOD[0])
    with first.locked(), pytest.raises(StorageError, match="Another fleet writes into memory://held"), second.locked():
        pass
    with second.locked():
        pass


def test_a_full_disk_asks_nobody_else(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the disk is full, accounts that were not begun are not asked, each with the reason; all codes are 7."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("flowperf_helpers.fleet.run.ASKED_AT_ONCE", 1)
    fleet = ran.fleet(tmp_path / "out", *GOOD)
    plan = fleet.plan()
    with monkeypatch.context() as patch:
        patch.setattr("flowperf_helpers.fleet.results._replace", full)
        outcomes = fleet.run(plan, here())
    assert 7 == exit_code(outcomes)
    assert "could not be written" in outcomes[0].reason
    assert "No space left on device" in outcomes[0].reason
    assert outcomes[1].reason.startswith("Not asked, as the disk is full: reports/shop-0001/")
    again = ran.fleet(tmp_path / "out", *GOOD)
    assert [("done", 0)] * 2 == [(one.status, one.requests) for one in again.run(again.plan(), here())]


def test_an_address_holds_the_same_files(ran: Ran) -> None:
    """On an fsspec address the run leaves the same places as in a folder, and keeps what is done there too."""
    fleet = ran.fleet("memory://a-fleet", GOOD[0])
    (outcome,) = fleet.run(fleet.plan(), here())
    assert "done" == outcome.status
    assert [f"manifests/week={WEEK}/account={GOOD[0]}.json"] == fleet.target.find("manifests/*/*.json")
    pd.testing.assert_frame_equal(results.read(str(ran.out), accounts=[GOOD[0]]), results.read("memory://a-fleet"))
    assert "kept" == ran.fleet("memory://a-fleet", GOOD[0]).plan().kept[0].status


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0], 0), ([0, 3], 6), ([3, 3], 3), ([4], 4), ([3, 5], 6), ([0, 0, 1], 6)]
)
def test_exit_codes(codes: list[int], expected: int) -> None:
    """0 all done, 6 some failed, and where all failed in one way what one account would give."""
    assert expected == exit_code([Outcome(str(i), "failed" if c else "done", code=c) for i, c in enumerate(codes)])


def test_one_week_for_all_accounts() -> None:
    """Without a label every account gets the week that is complete in UTC."""
    assert "2026-W47" == fleet_week(None, {"FLOWPERF_SANDBOX_NOW": "2026-11-23T12:00:00+01:00"})
    assert "2026-W46" == fleet_week(None, {"FLOWPERF_SANDBOX_NOW": "2026-11-23T00:30:00+01:00"})
    assert "2026-W40" == fleet_week("2026-W40")


def test_a_wait_ends_with_the_run() -> None:
    """Who waits for a limit wakes up when the run is stopped, and waits no more after it."""
    progress, ended = Progress(quiet=True), threading.Event()

    def wait() -> None:
        try:
            progress.sleeper("acme")(3600.0)
        except KeyboardInterrupt:
            ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    progress.stop()
    thread.join(timeout=30)
    assert ended.is_set()
    with pytest.raises(KeyboardInterrupt):
        progress.sleeper("acme")(0.0)
    assert progress.waited >= 3600.0
