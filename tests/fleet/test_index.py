"""The index page over a fleet's accounts."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from fleets import Law, draw

from flowperf_helpers.fleet import index_page

EVIL = '<script>alert(1)</script>" onmouseover="x'


def total(law: Law, seed: int = 1) -> pd.DataFrame:
    """Results with totals only."""
    return draw(law, seed).results.assign(flow_id="", flow_name="", template_version="")


@pytest.fixture(scope="module")
def page() -> str:
    rows = total(Law(accounts=40))
    names = sorted(rows["account"].unique())
    fell = (rows["account"] == names[7]) & (rows["week"] == rows["week"].max())
    rows.loc[fell, "conversion_value"] = 0.2 * rows.loc[fell, "conversion_value"]
    runs = pd.DataFrame({"account": [*names, "closed", EVIL], "status": ["done"] * 39 + ["kept", "failed", "failed"]})
    runs["reason"] = [""] * 40 + ["Klaviyo answered 503 to every attempt.", EVIL]
    runs["reconnect"] = [False] * 41 + [True]
    runs["sentence"] = [f"Sentence {i}" for i in range(40)] + ["", ""]
    runs["report"] = [f"reports/{n}/weekly.html" for n in names] + ["javascript:alert(1)", "https://elsewhere.example/"]
    return index_page(rows, runs)


def rows_of(page: str) -> list[str]:
    """Rows of the table, in order."""
    return re.findall(r"<tr data-k=.*?</tr>", page, flags=re.DOTALL)


def test_the_worst_stand_first_and_failed_accounts_are_rows(page: str) -> None:
    """Failed ones with their reasons, then the account whose revenue fell, then the others; the title says it."""
    rows = rows_of(page)
    assert 42 == len(rows)
    assert ["failed", "failed", "below"] == [re.search(r'data-k="(\w+)"', row)[1] for row in rows[:3]]  # type: ignore[index]
    assert "■ failed" in "".join(rows[:2])
    assert "■ reconnect" in "".join(rows[:2])
    assert "Klaviyo answered 503" in "".join(rows[:2])
    assert "▼ below usual" in rows[2]
    assert "shop-0008" in rows[2]
    assert re.search("<h1>2 of 42 accounts failed; shop-0008 (is|and 1 more are) below usual in revenue</h1>", page)


def test_each_account_has_its_sentence_its_picture_and_its_report(page: str) -> None:
    """Sentence, revenue in its own currency, sparkline with words, link to its report."""
    row = next(row for row in rows_of(page) if "shop-0011" in row)
    assert "Sentence 10" in row
    assert "€" in row
    assert 'aria-label="Revenue of 26 weeks: from' in row
    assert 'href="reports/shop-0011/weekly.html"' in row


def test_names_are_inert_and_nothing_is_asked_of_anybody(page: str) -> None:
    """No name becomes markup, no link leaves the folder, no file or request beside the page itself."""
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "javascript:" not in page
    assert "elsewhere.example" not in page
    assert not re.search(r"(src|href)=\"(https?:)?//|@import|url\(", page)
    assert 1 == len(re.findall(r"<script", page))
    assert "default-src 'none'" in page


def test_sandbox_stands_first_in_the_title_and_on_the_page(page: str) -> None:
    """Invented numbers say so; a fleet of real ones does not."""
    assert "<title>SANDBOX: " in page
    assert "<strong>SANDBOX</strong>" in page
    assert "SANDBOX" not in index_page(total(Law(accounts=6)).assign(sandbox=False))


def test_a_quiet_fleet_and_an_empty_one_have_a_page() -> None:
    """Nothing out of the ordinary is said; a week in which all failed is a page of failed rows."""
    assert "nothing out of the ordinary" in index_page(total(Law(accounts=3)))
    nothing = total(Law(accounts=2)).head(0)
    runs = pd.DataFrame({"account": ["a"], "status": ["failed"], "reason": ["No key."], "sandbox": [None]})
    page = index_page(nothing, runs, week="2026-W47")
    assert "1 of 1 accounts failed" in page
    assert "No key." in page
    assert "SANDBOX" not in page


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_sorting_searching_and_filters_in_a_browser(page: str, tmp_path: object) -> None:
    """Sort and search by script, filters without it, and no sideways scrolling on a phone."""
    from playwright.sync_api import sync_playwright

    file = f"{tmp_path}/index.html"
    with open(file, "w", encoding="utf-8") as out:
        out.write(page)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update"]  # fmt: skip
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        desk = browser.new_page(viewport={"width": 1280, "height": 800})
        said: list[str] = []
        desk.on("console", lambda message: said.append(message.text))
        desk.goto(f"file://{file}")
        visible = "#b tr:visible"
        assert 20 == desk.locator(visible).count()
        desk.locator("#a").check()
        assert 42 == desk.locator(visible).count()
        desk.get_by_role("button", name="Revenue").click()
        assert "descending" == desk.locator("thead th").nth(2).get_attribute("aria-sort")
        values = desk.locator("#b td.m").evaluate_all("cells => cells.map(c => Number(c.dataset.v))")
        assert values == sorted(values, reverse=True)
        desk.locator("#q").fill("shop-0011")
        assert 1 == desk.locator(visible).count()
        phone = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False).new_page()
        phone.goto(f"file://{file}")
        phone.locator("#k1").check()
        assert 2 == phone.locator(visible).count()
        browser.close()
        assert [] == said


def test_the_first_week_of_a_fleet_has_a_page_too() -> None:
    """With one week there is no change and no sparkline, and the click rates of that week are compared."""
    rows = draw(Law(outliers=(4.0,)), 4).results
    week = rows[rows["week"] == rows["week"].max()]
    page = index_page(pd.concat([week, week.assign(flow_id="", flow_name="", template_version="")]))
    assert "Click rate of the template" in page
    assert "the click rate of this week lies" in page
    assert "▲ above the fleet" in page
    assert "<path" not in page
    assert "The first week of this fleet" in page
    assert "is out of the fleet in click rate" in page
