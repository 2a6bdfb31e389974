"""The account: one object from name to tidy frame, with provenance, the store in between and the least requests."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripted_app import ScriptedApp, problem

import flowperf_helpers
from flowperf_helpers.account import connection
from flowperf_helpers.account.account import Account, connect
from flowperf_helpers.account.executor import MetricsWithoutValues, added_up
from flowperf_helpers.account.queries import SERIES, VALUES, ReportQuery
from flowperf_helpers.errors import (
    ArgumentError,
    CredentialsError,
    PayloadError,
    QuotaError,
    ScopeError,
    UnknownNameError,
)
from flowperf_helpers.frames.catalog import STATISTICS
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter
from flowperf_helpers.klaviyo.rate_limits import DAY, Ledger, Limit
from flowperf_helpers.klaviyo.transport import WSGIAdapter
from flowperf_helpers.report.data import fetch_week
from flowperf_helpers.widgets.notebook import PER_VARIATION

WEEK = "2026-W47"
SEED = Path(__file__).parents[1] / "seed"
KEY = {"KLAVIYO_API_KEY": "pk_test", "FLOWPERF_PACING": "off"}
STORED = {"timezone": "Europe/Copenhagen", "sleep": lambda seconds: None}


def sandbox(home: Path, **options: Any) -> Account:
    """The embedded account."""
    return connect("sandbox", home=home, **options)


def scripted(script: Any, home: Path, **options: Any) -> tuple[Account, ScriptedApp]:
    """An account whose wire says what the script says."""
    app = ScriptedApp(script)
    return connect("live", adapter=WSGIAdapter(app), environ=KEY, home=home, **(STORED | options)), app


def report(*rows: tuple[str, int], dates: list[str] | None = None, statistic: str = "clicks") -> dict[str, Any]:
    """A report of one statistic per flow."""
    results = [
        {
            "groupings": {"flow_id": flow, "flow_message_id": f"{flow}m", "send_channel": "email"},
            "statistics": {statistic: value if dates is None else [value] * len(dates)},
        }
        for flow, value in rows
    ]
    attributes = {"results": results} | ({} if dates is None else {"date_times": dates})
    return {"data": {"type": "report", "attributes": attributes}, "links": {"next": None}}


def no_currency(path: str) -> tuple[int, Any] | None:
    """Answer the account question with a missing scope."""
    return problem(403, "missing scope accounts:read", "permission_denied") if path == "/api/accounts" else None


# --- what it is -----------------------------------------------------------------------------------------------------


def test_connecting_asks_nothing(tmp_path: Path) -> None:
    """A connection costs no call until something is wanted."""
    account, app = scripted(lambda *asked: problem(500, "no"), tmp_path)
    assert "live" == account.name
    assert [] == app.heard


def test_the_sandbox_says_so(tmp_path: Path) -> None:
    """Whatever shows the sandbox names it."""
    account = sandbox(tmp_path)
    assert account.is_sandbox
    assert "SANDBOX" in repr(account)
    assert "SANDBOX" in account._repr_html_()


def test_nothing_falls_back_to_the_sandbox() -> None:
    """live without a key names both variables; an unknown account is an error too."""
    with pytest.raises(CredentialsError, match=r"KLAVIYO_API_KEY.*KLAVIYO_ACCESS_TOKEN"):
        connect("live")
    with pytest.raises(ArgumentError):
        connect("acme")


def test_the_sandboxs_clock_stands_still(tmp_path: Path) -> None:
    """It is Monday six o'clock in Copenhagen, today and in a year."""
    account = sandbox(tmp_path)
    assert pd.Timestamp("2026-11-23 06:00", tz="Europe/Copenhagen") == account.now()
    assert "Europe/Copenhagen" == str(account.timezone)
    assert "EUR" == account.currency


def test_a_sandbox_at_another_moment(tmp_path: Path) -> None:
    """now moves the clock."""
    account = sandbox(tmp_path, now=datetime(2026, 12, 1, 8, 30))
    assert "2026-12-01T08:30:00+01:00" == account.now().isoformat()


def test_zone_and_currency_are_asked_once(tmp_path: Path) -> None:
    """One question, without contact data."""
    facts = {
        "data": [{"type": "account", "id": "a", "attributes": {"timezone": "US/Eastern", "preferred_currency": "USD"}}]
    }
    account, app = scripted(lambda *asked: (200, facts), tmp_path, timezone=None)
    assert ("US/Eastern", "USD", "US/Eastern") == (str(account.timezone), account.currency, str(account.now().tz))
    assert [("/api/accounts", {"fields[account]": "timezone,preferred_currency"}, None)] == app.heard


def test_a_key_that_may_not_read_the_account(tmp_path: Path) -> None:
    """The error says where to set the zone; with the zone given, only the currency is unknown."""
    account, app = scripted(lambda path, *rest: no_currency(path), tmp_path, timezone=None)
    for _ in range(2):
        with pytest.raises(ScopeError, match=r"set timezone .* in accounts.toml"):
            account.now()
    assert 1 == len(app.heard)
    given, _ = scripted(lambda path, *rest: no_currency(path), tmp_path, timezone="Asia/Tokyo")
    assert ("Asia/Tokyo", None) == (str(given.timezone), given.currency)


def test_a_zone_nobody_knows(tmp_path: Path) -> None:
    """Nonsense as a zone is named."""
    account, _ = scripted(lambda *asked: problem(500, "no"), tmp_path, timezone="Mars/Olympus")
    with pytest.raises(ArgumentError, match="Mars/Olympus"):
        account.now()


@pytest.mark.parametrize(
    "options",
    [
        {"varaint": "quiet"},
        {"variant": "nothing_like_it"},
        {"sandbox": {"sead": 1}},
        {"attribution_days": 400},
        {"now": "2026-11-16"},
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any]) -> None:
    """A misspelt or impossible option is refused, never ignored."""
    with pytest.raises(ArgumentError):
        sandbox(tmp_path, **options)


def test_sandbox_options_do_not_fit_a_real_account(tmp_path: Path) -> None:
    """A variant of live is refused."""
    with pytest.raises(ArgumentError, match="embedded account"):
        connect("live", environ=KEY, home=tmp_path, variant="quiet")


def test_it_pickles_without_a_secret(tmp_path: Path) -> None:
    """A worker builds its own connection from name and options."""
    account = sandbox(tmp_path, variant="quiet")
    data = pickle.dumps(account)
    assert b"sandbox-key" not in data
    again = pickle.loads(data)
    asked = {"timeframe": WEEK, "statistics": ["recipients"]}
    pd.testing.assert_frame_equal(account.flow_values("RplOrd", **asked), again.flow_values("RplOrd", **asked))


def test_what_an_editor_leaves_makes_no_other_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the sandbox's code: Jupyter's folder of checkpoints, and a file that is open. What is kept is served."""
    code = Path(connection.__file__).parents[1] / "sandbox"
    shutil.copytree(code, tmp_path / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(connection, "__file__", str(tmp_path / "account" / "connection.py"))
    asked = {"timeframe": WEEK, "statistics": ["recipients"]}
    assert not sandbox(tmp_path / "home").flow_values("RplOrd", **asked).attrs["from_store"]
    (tmp_path / "sandbox" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "sandbox" / ".shop.toml.swp").write_bytes(b"half of it")
    assert sandbox(tmp_path / "home").flow_values("RplOrd", **asked).attrs["from_store"]
    (tmp_path / "sandbox" / "shop.toml").write_text("# other numbers\n")
    assert not sandbox(tmp_path / "home").flow_values("RplOrd", **asked).attrs["from_store"]


# --- frames ---------------------------------------------------------------------------------------------------------


def test_a_values_frame(tmp_path: Path) -> None:
    """Groupings, window, conversion metric, statistics in the order asked; attrs say where it comes from."""
    frame = sandbox(tmp_path).flow_values("RplOrd", timeframe=WEEK, statistics=["open_rate", "recipients"])
    expected = [
        "flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel", "window_start", "window_end",
        "conversion_metric_id", "open_rate", "recipients",
    ]  # fmt: skip
    assert expected == list(frame.columns)
    assert ["float64", "Int64"] == [str(frame[c].dtype) for c in ("open_rate", "recipients")]
    assert {pd.Timestamp("2026-11-23", tz="Europe/Copenhagen")} == set(frame["window_end"])
    told = {
        "account": "sandbox", "sandbox": True, "revision": "2026-10-15", "fetched_at": "2026-11-23T05:00:00+00:00",
        "timeframe": "2026-11-16 to 2026-11-22", "timezone": "Europe/Copenhagen", "currency": "EUR", "interval": None,
        "conversion_metric_id": "RplOrd", "requests": 1, "from_store": False, "notes": [], "schema_version": 1,
        "statistics": ["open_rate", "recipients"], "attribution_days": 5,
    }  # fmt: skip
    assert told == frame.attrs
    assert told == json.loads(json.dumps(frame.attrs))


def test_a_series_frame(tmp_path: Path) -> None:
    """Rows are groups times intervals, in the account's zone, recent ones provisional."""
    frame = sandbox(tmp_path).flow_series(
        "RplOrd", timeframe=("2026-11-01", "2026-11-23"), statistics=["clicks"], interval="daily"
    )
    groups = frame[["flow_id", "flow_message_id", "send_channel"]].drop_duplicates()
    assert len(groups) * 23 == len(frame)
    columns = ["interval_start", "interval_end", "is_partial", "is_provisional", "conversion_metric_id", "clicks"]
    assert columns == list(frame.columns[-6:])
    assert {"2026-11-23"} == set(frame.loc[frame["is_partial"], "interval_start"].dt.strftime("%Y-%m-%d"))
    assert "2026-11-18" == frame.loc[frame["is_provisional"], "interval_start"].min().strftime("%Y-%m-%d")


def test_a_preset_has_no_known_bounds(tmp_path: Path) -> None:
    """Klaviyo alone knows when last_30_days begins."""
    frame = sandbox(tmp_path).flow_values("RplOrd", timeframe="last_30_days", statistics=["clicks"])
    assert len(frame)
    assert frame["window_start"].isna().all()


def test_an_empty_answer_keeps_columns_and_dtypes(tmp_path: Path) -> None:
    """Nothing sent is an empty frame that looks like a full one."""
    asked = {"timeframe": WEEK, "statistics": ["clicks", "open_rate"], "interval": "daily"}
    full = sandbox(tmp_path).flow_series("RplOrd", **asked)
    empty = sandbox(tmp_path, variant="empty_window").flow_series("RplOrd", **asked)
    assert 0 == len(empty)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()


def test_the_guides_request_to_the_byte(tmp_path: Path) -> None:
    """On the guide's revision, a pair of datetimes and one flow make exactly the guide's body."""

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if path == VALUES:
            return 200, (SEED / "values_response.json").read_bytes()
        return no_currency(path) or (200, {"data": [{"type": "metric", "id": "REcTBe"}] if "metric" in path else []})

    app = ScriptedApp(script)
    environ = KEY | {"KLAVIYO_REVISION": "2024-10-15"}
    account = connect("live", adapter=WSGIAdapter(app), environ=environ, home=tmp_path, **STORED)
    frame = account.flow_values(
        "REcTBe",
        timeframe=(datetime(2024, 5, 8), datetime(2024, 6, 20)),
        statistics=["clicks", "clicks_unique", "conversion_uniques"],
        flow_ids="T7K2j8",
    )
    (body,) = [body for path, _, body in app.heard if path == VALUES]
    assert json.loads((SEED / "values_request.json").read_bytes()) == body
    assert [123, 342] == list(frame["clicks"])
    assert frame["flow_name"].isna().all()


def test_names_on_an_old_revision(tmp_path: Path) -> None:
    """Without group_by flow names come from the flows endpoint."""
    frame = sandbox(tmp_path, environ={"KLAVIYO_REVISION": "2024-10-15"}).flow_values(
        "RplOrd", timeframe=WEEK, statistics=["clicks"]
    )
    assert ["flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel"] == list(frame.columns[:5])
    assert frame["flow_name"].notna().all()
    assert frame["flow_message_name"].isna().all()
    assert "str" == str(frame["flow_name"].dtype)


def test_several_pages_are_one_frame(tmp_path: Path) -> None:
    """A report in pages of seven rows equals the one in a single page."""
    asked = {"timeframe": WEEK, "statistics": ["clicks", "recipients"]}
    whole = sandbox(tmp_path).flow_values("RplOrd", **asked)
    paged = sandbox(tmp_path, sandbox={"page_rows": 7}).flow_values("RplOrd", **asked)
    pd.testing.assert_frame_equal(whole, paged)
    assert -(-len(whole) // 7) == paged.attrs["requests"]


def test_a_split_series_equals_its_parts(tmp_path: Path) -> None:
    """Over the cap: more requests, no interval twice, none lost; over the change of clocks too."""
    frame = sandbox(tmp_path).flow_series(
        "RplOrd", timeframe=("2026-08-01", "2026-11-22"), statistics=["clicks"], interval="daily"
    )
    assert 2 == frame.attrs["requests"]
    one = frame[frame["flow_message_id"] == "Wc1aEm"].sort_values("interval_start")
    assert 114 == len(one)
    assert not one["interval_start"].duplicated().any()
    assert (one["interval_start"].array[1:] == one["interval_end"].array[:-1]).all()


def test_a_border_that_cuts_a_week_is_told(tmp_path: Path) -> None:
    """Where Klaviyo's weeks start on another day than our split, both halves are marked partial, with a note."""

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if path != SERIES:
            return 200, {"data": [{"type": "metric", "id": "RplOrd", "attributes": {}}]}
        first = body["data"]["attributes"]["timeframe"]["start"][:10]
        label = "2026-11-15" if first > "2026-11-01" else "2025-11-23"
        dates = [f"{day}T00:00:00+00:00" for day in dict.fromkeys([label, "2026-11-15"])]
        return 200, report(("A", 1), dates=dates)

    account, _ = scripted(script, tmp_path)
    frame = account.flow_series("RplOrd", timeframe=("2025-11-24", "2026-11-23"), statistics=["clicks"])
    cut = frame[frame["interval_start"] == pd.Timestamp("2026-11-15", tz="Europe/Copenhagen")]
    assert [True, True] == list(cut["is_partial"])
    assert any("cut by the border" in note for note in frame.attrs["notes"])


def test_channels_and_flows_are_selected(tmp_path: Path) -> None:
    """Only what was asked for comes back, from a frame of flows as well."""
    account = sandbox(tmp_path)
    flows = account.flows_triggered_by("REcTBe")
    frame = account.flow_values(
        "RplOrd", timeframe=WEEK, statistics=["clicks"], flow_ids=flows, send_channels=["email"]
    )
    assert {"T7K2j8"} == set(frame["flow_id"])
    assert {"email"} == set(frame["send_channel"])


def test_a_hundred_and_thirty_flows_cost_one_request(tmp_path: Path) -> None:
    """Klaviyo's filter takes a hundred; more are selected here."""
    account = sandbox(tmp_path, variant="many_flows")
    ids = list(account.flows()["flow_id"])[:130]
    frame = account.flow_values("RplOrd", timeframe=WEEK, statistics=["clicks"], flow_ids=ids)
    assert 1 == frame.attrs["requests"]
    assert set(frame["flow_id"]) <= set(ids)
    assert frame["flow_id"].nunique() > 100


# --- conversion metrics ---------------------------------------------------------------------------------------------


def test_a_metric_without_values_is_asked_again(tmp_path: Path) -> None:
    """The refusal costs one request more, once; the columns stay, empty, and the frame says so."""
    account = sandbox(tmp_path)
    asked = {"timeframe": WEEK, "statistics": ["conversion_value", "recipients", "revenue_per_recipient"]}
    frame = account.flow_values("REcTBe", **asked)
    assert asked["statistics"] == list(frame.columns[-3:])
    assert frame[["conversion_value", "revenue_per_recipient"]].isna().all(axis=None)
    assert frame["recipients"].sum() > 0
    assert 2 == frame.attrs["requests"]
    assert "REcTBe carries no values" in frame.attrs["notes"][0]
    assert 1 == account.flow_values("REcTBe", timeframe="2026-W46", statistics=asked["statistics"]).attrs["requests"]
    again = sandbox(tmp_path).flow_values("REcTBe", **asked)
    assert (0, frame.attrs["notes"]) == (again.attrs["requests"], again.attrs["notes"])


def test_only_value_statistics_of_a_metric_without_values(tmp_path: Path) -> None:
    """Where nothing else was asked the rows still come, with nothing known."""
    frame = sandbox(tmp_path).flow_values("REcTBe", timeframe=WEEK, statistics=["conversion_value"])
    assert len(frame) > 0
    assert ["conversion_value"] == frame.attrs["statistics"]
    assert "conversion_value" == frame.columns[-1]
    assert frame["conversion_value"].isna().all()


def test_another_refusal_is_an_error(tmp_path: Path) -> None:
    """Only the one text means values; any other 400 is raised, after one request."""
    account, app = scripted(
        lambda path, *rest: problem(400, "Invalid input.") if path == VALUES else (200, {"data": [{"id": "RplOrd"}]}),
        tmp_path,
    )
    with pytest.raises(Exception, match="Invalid input"):
        account.flow_values("RplOrd", timeframe=WEEK, statistics=["conversion_value", "clicks"])
    assert 1 == app.paths().count(VALUES)


def test_each_flows_own_trigger_metric(tmp_path: Path) -> None:
    """Without a conversion metric each flow is asked with the metric that triggers it, in one frame."""
    facts = {"KLAVIYO_API_KEY": "sandbox-key", "FLOWPERF_PACING": "off"}
    from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app

    app = sandbox_app(now=SANDBOX_NOW)
    account = connect(
        "live", environ=facts, home=tmp_path, adapter=WSGIAdapter(app), clock=lambda: SANDBOX_NOW.timestamp()
    )
    frame = account.flow_values(timeframe=WEEK, statistics=["conversions"], flow_ids=["T7K2j8", "SpPst4"])
    pairs = frame.groupby("flow_id")["conversion_metric_id"].unique().map(list).to_dict()
    assert {"T7K2j8": ["REcTBe"], "SpPst4": ["RplOrd"]} == pairs
    assert {"REcTBe", "RplOrd"} == set(frame.attrs["conversion_metric_id"])
    assert 2 == frame.attrs["requests"]
    with pytest.raises(ArgumentError, match="No metric triggers the flow Nope00"):
        account.flow_values(timeframe=WEEK, statistics=["conversions"], flow_ids=["T7K2j8", "Nope00"])


def test_arguments_are_checked_before_anything_is_sent(tmp_path: Path) -> None:
    """Statistics, timeframe, interval, grouping: refused without a report request."""
    account = sandbox(tmp_path)
    fine: dict[str, Any] = {"timeframe": WEEK, "statistics": ["clicks"]}
    for wrong in (
        {"statistics": ["clickz"]},
        {"timeframe": "last_monday"},
        {"timeframe": (datetime(2024, 1, 1), datetime(2026, 1, 1))},
        {"interval": "yearly"},
        {"group_by": ["colour"]},
        {"flow_ids": []},
        {"flow_ids": [7]},
    ):
        with pytest.raises(ArgumentError):
            account.flow_series("RplOrd", **(fine | wrong))
    assert 0 == account.status().attrs["snapshots"]


def test_an_unknown_metric_costs_no_report_request(tmp_path: Path) -> None:
    """A wrong name ends before a call is spent."""
    with pytest.raises(UnknownNameError):
        sandbox(tmp_path).flow_values("Placed Odrer", timeframe=WEEK, statistics=["clicks"])


# --- store, plan, run -----------------------------------------------------------------------------------------------


def test_the_second_time_costs_nothing(tmp_path: Path) -> None:
    """The store answers, also a new process; refresh asks again."""
    asked = {"timeframe": WEEK, "statistics": ["clicks"]}
    first = sandbox(tmp_path).flow_values("RplOrd", **asked)
    second = sandbox(tmp_path).flow_values("RplOrd", **asked)
    pd.testing.assert_frame_equal(first, second)
    assert (0, True) == (second.attrs["requests"], second.attrs["from_store"])
    assert 1 == sandbox(tmp_path).flow_values("RplOrd", refresh=True, **asked).attrs["requests"]
    assert 1 == sandbox(tmp_path, refresh=True).flow_values("RplOrd", **asked).attrs["requests"]


def test_one_sandbox_never_serves_another(tmp_path: Path) -> None:
    """Variants and seeds are different accounts to the store."""
    asked = {"timeframe": WEEK, "statistics": ["clicks"]}
    sandbox(tmp_path).flow_values("RplOrd", **asked)
    assert not sandbox(tmp_path, variant="quiet").flow_values("RplOrd", **asked).attrs["from_store"]
    assert not sandbox(tmp_path, sandbox={"seed": 7}).flow_values("RplOrd", **asked).attrs["from_store"]


def test_a_plan_sends_nothing_and_run_sends_the_plan(tmp_path: Path) -> None:
    """What the plan says is what the run costs, and then the plan is empty."""
    account = sandbox(tmp_path)
    queries = [
        *account.wanted(timeframe=WEEK, statistics=["clicks"]),
        *account.wanted(timeframe=WEEK, statistics=["opens"], flow_ids="T7K2j8"),
        *account.wanted(timeframe=("2026-10-01", "2026-11-22"), statistics=["clicks"], interval="daily"),
    ]
    plan = account.plan(queries)
    before = account._client.transport.requests
    assert 2 == plan.requests
    assert before == account._client.transport.requests
    clicks, opens, series = account.run(plan)
    assert 2 + before == account._client.transport.requests
    assert "clicks" in clicks.columns
    assert "opens" not in clicks.columns
    assert ({"T7K2j8"}, "opens") == (set(opens["flow_id"]), opens.columns[-1])
    assert "clicks" not in opens.columns
    assert "interval_start" in series.columns
    assert 0 == account.plan(queries).requests


def test_a_query_can_be_run_as_it_is(tmp_path: Path) -> None:
    """ReportQuery and ReportQuery are both welcome, alone or in a list."""
    account = sandbox(tmp_path)
    query = ReportQuery("RplOrd", WEEK, ["clicks"])
    (one,) = account.run(query)
    (two,) = account.run([ReportQuery("RplOrd", WEEK, ["clicks"])])
    pd.testing.assert_frame_equal(one, two)


def test_a_broken_answer_is_not_kept(tmp_path: Path) -> None:
    """What cannot be shaped is asked again next time."""
    answers = iter([report(("A", 1), ("A", 2)), report(("A", 1))])

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        return (200, next(answers)) if path == VALUES else (200, {"data": [{"type": "metric", "id": "RplOrd"}]})

    account, _ = scripted(script, tmp_path)
    with pytest.raises(PayloadError, match="one group twice"):
        account.flow_values("RplOrd", timeframe=WEEK, statistics=["clicks"])
    assert [1] == list(account.flow_values("RplOrd", timeframe=WEEK, statistics=["clicks"])["clicks"])


def limited(home: Path, calls: int) -> tuple[Account, ScriptedApp]:
    """An account whose endpoints take so many calls a day."""
    dates = ["2026-11-16T00:00:00+00:00"]

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if path in (VALUES, SERIES):
            return 200, report(("A", 1), dates=dates if path == SERIES else None)
        return 200, {"data": [{"type": "metric", "id": "RplOrd"}]}

    limits = {VALUES: (Limit(calls, DAY),), SERIES: (Limit(100, DAY),)}
    limiter = RateLimiter(
        Ledger(home / "ledger.sqlite3"), host="h", fingerprint="f", limits=lambda e: limits.get(e, ())
    )
    return scripted(script, home, pacing=limiter)


def test_stop_and_resume(tmp_path: Path) -> None:
    """A spent day keeps what arrived, on both endpoints; the next run sends only what is missing."""
    account, app = limited(tmp_path, 2)
    days = [(f"2026-11-{day}", f"2026-11-{day}") for day in (10, 11, 12, 13)]
    queries = [
        *(ReportQuery("RplOrd", day, ["clicks"]) for day in days),
        *(ReportQuery("RplOrd", day, ["clicks"], interval="daily") for day in days),
    ]
    with pytest.raises(QuotaError, match="6 of 8 answers of this plan are in the store") as caught:
        account.run(queries)
    assert (VALUES, 6) == (caught.value.endpoint, caught.value.kept)
    assert (2, 4) == (app.paths().count(VALUES), app.paths().count(SERIES))
    assert 2 == account.plan(queries).requests
    again, app = limited(tmp_path, 4)
    assert 8 == len(again.run(queries))
    assert (2, 0) == (app.paths().count(VALUES), app.paths().count(SERIES))


def test_an_interruption_keeps_what_arrived(tmp_path: Path) -> None:
    """Ctrl-C in the second request leaves the first answer in the store."""

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if path == VALUES and "2026-11-11" in json.dumps(body):
            raise KeyboardInterrupt
        return 200, report(("A", 1))

    account, _ = scripted(script, tmp_path)
    queries = [ReportQuery("RplOrd", (day, day), ["clicks"]) for day in ("2026-11-10", "2026-11-11")]
    with pytest.raises(KeyboardInterrupt):
        account.run(queries)
    assert 1 == account.plan(queries).requests


def test_the_spent_quota_is_told_at_once(tmp_path: Path) -> None:
    """A Retry-After of 17 hours is not waited for."""
    with pytest.raises(QuotaError, match="run again after") as caught:
        sandbox(tmp_path, variant="quota_spent").flow_values("RplOrd", timeframe=WEEK, statistics=["clicks"])
    assert caught.value.retry_at is not None


def test_status_counts_calls_and_snapshots(tmp_path: Path) -> None:
    """Used and left per report endpoint, and how many answers are kept."""
    account, _ = limited(tmp_path, 5)
    account.run(ReportQuery("RplOrd", WEEK, ["clicks"]))
    status = account.status().set_index("endpoint")
    assert (1, 4) == tuple(status.loc[VALUES, ["used_today", "left_today"]])
    assert 1 == account.status().attrs["snapshots"]


def test_history_has_a_row_for_each_asking(tmp_path: Path) -> None:
    """The same days asked on two days are two rows each, told apart by fetched_at."""
    asked = {"timeframe": ("2026-11-16", "2026-11-17"), "statistics": ["conversions"], "interval": "daily"}
    first = datetime(2026, 11, 19, 6)
    for days in (0, 3):
        sandbox(tmp_path, now=first + timedelta(days=days)).flow_series("RplOrd", flow_ids="XbChk1", **asked)
    history = sandbox(tmp_path).history("series", flow_id="XbChk1", send_channel=["email"])
    assert 2 == history["fetched_at"].nunique()
    totals = history.groupby("fetched_at")["conversions"].sum()
    assert totals.is_monotonic_increasing
    assert totals.iloc[-1] > totals.iloc[0]
    assert 0 == len(sandbox(tmp_path).history("values"))
    with pytest.raises(ArgumentError, match="series or values"):
        sandbox(tmp_path).history("rows")


def test_over_a_real_socket(sandbox_url: str, tmp_path: Path) -> None:
    """A served sandbox gives the same numbers as the embedded one."""
    environ = {"KLAVIYO_API_KEY": "sandbox-key", "KLAVIYO_BASE_URL": sandbox_url}
    asked = {"timeframe": WEEK, "statistics": ["recipients", "clicks"]}
    served = connect("live", environ=environ, home=tmp_path, pacing=False)
    pd.testing.assert_frame_equal(
        sandbox(tmp_path).flow_values("RplOrd", **asked), served.flow_values("RplOrd", **asked)
    )
    assert served.is_sandbox


def test_the_served_sandbox_says_sandbox(sandbox_url: str) -> None:
    """An account that is the sandbox behind an address is a sandbox, in its frames and on its face."""
    environ = {
        "KLAVIYO_API_KEY": "sandbox-key",
        "KLAVIYO_BASE_URL": sandbox_url,
        "FLOWPERF_HOME": os.environ["FLOWPERF_HOME"],
    }
    served = connect("live", environ=environ, pacing=False)
    assert served.is_sandbox
    assert "SANDBOX" in repr(served)
    assert served.flow_values("RplOrd", timeframe=("2026-11-16", "2026-11-22"), statistics=["clicks"]).attrs["sandbox"]


def test_history_takes_a_number_once(tmp_path: Path) -> None:
    """A day asked whole, by variation, by tag, without its channel and for other statistics stands there once."""
    asked: dict[str, Any] = {"timeframe": ("2026-11-09", "2026-11-22"), "interval": "daily"}
    account = sandbox(tmp_path)
    alone = account.flow_series("RplOrd", statistics=["recipients", "conversions"], **asked)
    message = ["flow_id", "flow_message_id", "send_channel"]
    for group_by in ([*message, "variation", "variation_name"], [*message, "tag_id"], message[:2]):
        account.flow_series("RplOrd", statistics=["conversions", "clicks_unique"], group_by=group_by, **asked)
    account.flow_series("RplOrd", statistics=["click_rate", "delivered", "conversions"], refresh=True, **asked)
    history = account.history("series")
    assert not history.duplicated([*message, "interval_start", "interval_end", "fetched_at"]).any()
    assert (
        alone.groupby("interval_start")["conversions"]
        .sum()
        .equals(history.groupby("interval_start")["conversions"].sum())
    )
    assert history[["recipients", "conversions", "clicks_unique", "delivered"]].notna().all(axis=None)
    assert {"Int64"} == {
        str(history[name].dtype) for name in ("recipients", "conversions", "clicks_unique", "delivered")
    }


def test_history_keeps_the_grouping_that_it_is_filtered_by(tmp_path: Path) -> None:
    """Rows of one variation, and only those, where the history is asked for that variation."""
    account = sandbox(tmp_path)
    split = ["flow_id", "flow_message_id", "send_channel", "variation", "variation_name"]
    frame = account.flow_series("RplOrd", timeframe=WEEK, statistics=["recipients"], group_by=split)
    variation = frame["variation"].dropna().iloc[0]
    history = account.history("series", variation=variation)
    assert {variation} == set(history["variation"])
    assert frame.loc[frame["variation"] == variation, "recipients"].sum() == history["recipients"].sum()


# --- a metric without values, between runs ----------------------------------------------------------------------------


class RefusesValues:
    """The embedded account, whose app metrics refuse every statistic that needs a value, return on spend included."""

    def __init__(self) -> None:
        from flowperf_helpers.sandbox import SANDBOX_NOW, sandbox_app

        self.app = sandbox_app(now=SANDBOX_NOW)
        self.asked: list[list[str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] in (VALUES, SERIES):
            sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(sent)
            attributes = json.loads(sent)["data"]["attributes"]
            self.asked.append(attributes["statistics"])
            valued = [name for name in attributes["statistics"] if STATISTICS[name].needs_value]
            if valued and attributes["conversion_metric_id"] == "REcTBe":
                status, errors = problem(400, "Passed in conversion metric does not support querying for values data")
                start_response(f"{status} Bad", [("Content-Type", "application/vnd.api+json")])
                return [json.dumps(errors).encode()]
        return self.app(environ, start_response)

    def account(self, home: Path) -> Account:
        """Open it anew, as a new process would."""
        from flowperf_helpers.sandbox import SANDBOX_NOW

        return connect(
            "live",
            environ={"KLAVIYO_API_KEY": "sandbox-key", "FLOWPERF_PACING": "off"},
            adapter=WSGIAdapter(self),
            home=home,
            clock=SANDBOX_NOW.timestamp,
        )


def test_a_refusal_of_values_is_remembered_and_planned(tmp_path: Path) -> None:
    """The second run sends what its plan promises, and no statistic that needs a value, also not return on spend."""
    server = RefusesValues()

    def wished(week: str) -> list[ReportQuery]:
        return [ReportQuery("REcTBe", week, tuple(STATISTICS)), ReportQuery("REcTBe", week, tuple(STATISTICS), "daily")]

    (frame, _) = server.account(tmp_path).run(wished("2026-W46"))
    valued = [name for name in STATISTICS if STATISTICS[name].needs_value]
    assert "text_message_roi" in valued
    assert frame[valued].isna().all(axis=None)
    assert list(STATISTICS) == frame.attrs["statistics"]
    assert "text_message_roi" in frame.attrs["notes"][0]
    assert 3 == len(server.asked)

    server.asked.clear()
    again = server.account(tmp_path)
    plan = again.plan(wished("2026-W47"))
    assert all("carries none" in step.why for step in plan.steps)
    frames = again.run(plan)
    assert plan.requests == len(server.asked) == sum(frame.attrs["requests"] for frame in frames) == 2
    assert all(set(valued).isdisjoint(statistics) for statistics in server.asked)


def test_a_refusal_is_that_of_one_metric_and_forgotten_after_a_month(tmp_path: Path) -> None:
    """Another metric is asked for values; what cannot be read counts as not remembered."""
    now = [1e9]
    remembered = MetricsWithoutValues(tmp_path, lambda: now[0])
    remembered.add("REcTBe")
    assert "REcTBe" in MetricsWithoutValues(tmp_path, lambda: now[0])
    assert "RplOrd" not in remembered
    now[0] += 31 * DAY
    assert "REcTBe" not in remembered
    (tmp_path / "metrics_without_values.json").write_bytes(b"[1")
    assert "REcTBe" not in remembered
    remembered.add("REcTBe")
    assert "REcTBe" in remembered


# --- windows that one request cannot hold, and flows that are not there -----------------------------------------------


def test_a_key_over_the_cap_equals_its_days(tmp_path: Path) -> None:
    """`last_90_days` by day is what the same days as dates are, and a note says how it was asked."""
    account = sandbox(tmp_path)
    asked = {"statistics": ["clicks"], "interval": "daily"}
    by_key = account.flow_series("RplOrd", timeframe="last_90_days", **asked)
    by_dates = account.flow_series("RplOrd", timeframe=("2026-08-25", "2026-11-23"), **asked)
    pd.testing.assert_frame_equal(by_dates, by_key)
    assert "last_90_days" == by_key.attrs["timeframe"]
    assert any("2026-08-25 to 2026-11-23 was asked in 2 pieces" in note for note in by_key.attrs["notes"])


def test_values_of_more_than_a_year_are_the_sum_of_their_days(tmp_path: Path) -> None:
    """Counts and money of eighteen months are those of the series, per message, in one window."""
    account = sandbox(tmp_path)
    asked = {"timeframe": ("2025-05-26", "2026-11-22"), "statistics": ["recipients", "conversion_value"]}
    total = account.flow_values("RplOrd", **asked)
    weeks = account.flow_series("RplOrd", interval="weekly", **asked)
    assert 2 == total.attrs["requests"]
    assert not total["flow_message_id"].duplicated().any()
    expected = weeks.groupby("flow_message_id")[asked["statistics"]].sum()
    found = total.set_index("flow_message_id").loc[expected.index, asked["statistics"]]
    assert (expected["recipients"] == found["recipients"]).all()
    assert expected["conversion_value"].to_numpy() == pytest.approx(found["conversion_value"].to_numpy())
    bounds = pd.Timestamp("2025-05-26", tz="Europe/Copenhagen"), pd.Timestamp("2026-11-23", tz="Europe/Copenhagen")
    assert {bounds} == set(zip(total["window_start"], total["window_end"], strict=True))
    one = account.flow_values("RplOrd", timeframe=WEEK, statistics=asked["statistics"])
    pd.testing.assert_series_equal(one.dtypes, total.dtypes)
    assert any("2 pieces" in note for note in total.attrs["notes"])


def test_what_one_piece_does_not_know_the_sum_does_not_know() -> None:
    """Null is not zero: a group that is absent from a piece adds nothing, one that is null there is unknown."""
    rows = {"flow_id": ["A", "B"], "flow_name": ["a", "b"], "conversion_metric_id": "m"}
    stamp = pd.Series(pd.NaT, index=[0, 1], dtype="datetime64[us, UTC]")
    first = pd.DataFrame(rows | {"window_start": stamp, "window_end": stamp, "clicks": pd.array([1, None], "Int64")})
    second = first.assign(clicks=pd.array([2, 5], "Int64")).iloc[:2]
    third = first.assign(clicks=pd.array([4, 7], "Int64")).iloc[:1]
    found = added_up([first, second, third], ["clicks"], (pd.NaT, pd.NaT))  # type: ignore[arg-type]
    assert [7, pd.NA] == list(found["clicks"])
    assert list(first.columns) == list(found.columns)


def test_an_unknown_flow_is_named(tmp_path: Path) -> None:
    """Klaviyo answers for a flow that is not there as for a silent one; the frame tells the two apart."""
    account = sandbox(tmp_path)
    asked = {"timeframe": WEEK, "statistics": ["clicks"]}
    frame = account.flow_values("RplOrd", flow_ids=["T7K2j8", "T7K2j9"], **asked)
    (note,) = frame.attrs["notes"]
    assert "no flow with the id 'T7K2j9'" in note
    assert "T7K2j8" in note
    silent = account.flow_values(
        "RplOrd", timeframe=("2023-01-02", "2023-01-08"), statistics=["clicks"], flow_ids="T7K2j8"
    )
    assert (0, []) == (len(silent), silent.attrs["notes"])


# --- older revisions --------------------------------------------------------------------------------------------------

OLD = ["2024-10-15", "2025-01-15", "2025-07-15", "2025-10-15"]


@pytest.mark.parametrize("revision", OLD)
def test_every_revision_gives_the_same_columns(tmp_path: Path, revision: str) -> None:
    """What a revision does not tell is NA and named in a note; every number it tells is that of the newest."""
    asked = {"timeframe": WEEK, "statistics": ["recipients", "text_message_spend", "text_message_roi", "clicks"]}
    newest = sandbox(tmp_path).flow_values("revenue", group_by=PER_VARIATION, **asked)
    account = sandbox(tmp_path, environ={"KLAVIYO_REVISION": revision})
    old = account.flow_values("revenue", group_by=PER_VARIATION, **asked)
    assert (newest.columns == old.columns).all()
    pd.testing.assert_series_equal(newest.dtypes, old.dtypes)
    assert old["variation"].isna().all()
    assert any(f"{revision} does not return" in note and "variation" in note for note in old.attrs["notes"])
    per_message = newest.groupby(["flow_message_id", "send_channel"])[["recipients", "clicks"]].sum()
    pd.testing.assert_frame_equal(
        per_message, old.set_index(["flow_message_id", "send_channel"])[["recipients", "clicks"]].sort_index()
    )
    assert old["text_message_spend"].isna().all() == (revision < "2025-10-15")
    assert old["flow_message_name"].notna().any() == (revision >= "2025-10-15")
    assert asked["statistics"] == old.attrs["statistics"]


def test_what_an_old_revision_cannot_tell_apart_is_one_request(tmp_path: Path) -> None:
    """A question per variation and one per message are the same request there; one by tag is refused."""
    account = sandbox(tmp_path, environ={"KLAVIYO_REVISION": "2024-10-15"})
    queries = [
        ReportQuery("RplOrd", WEEK, ("clicks",)),
        ReportQuery("RplOrd", WEEK, ("text_message_spend",), group_by=PER_VARIATION),
    ]
    assert 1 == account.plan(queries).requests
    clicks, spend = account.run(queries)
    assert ["clicks"] == clicks.attrs["statistics"]
    assert "text_message_spend" == spend.columns[-1]
    assert len(clicks) == len(spend) > 0
    assert "recipients" not in spend.columns
    with pytest.raises(ArgumentError, match="cannot group by tag_name"):
        account.flow_values("RplOrd", timeframe=WEEK, statistics=["clicks"], group_by=["tag_name"])


def test_revenue_on_a_revision_that_does_not_map_it(tmp_path: Path) -> None:
    """The account's setting stands in and the frame says so; without a setting the error says what to give."""
    account = sandbox(tmp_path, environ={"KLAVIYO_REVISION": "2024-10-15"})
    frame = account.flow_values("revenue", timeframe=WEEK, statistics=["clicks"])
    assert {"RplOrd"} == set(frame["conversion_metric_id"])
    assert any("setting RplOrd stands in" in note for note in frame.attrs["notes"])


# --- what a question costs before its bytes leave, and what lists cost ------------------------------------------------


def counted(home: Path, script: Any = None, **options: Any) -> tuple[Account, ScriptedApp]:
    """An account with two metrics and a flow, whose app counts what it hears."""

    def answers(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if path in (VALUES, SERIES):
            return 200, report(("F1", 1))
        if path == "/api/metrics":
            return 200, {"data": [{"type": "metric", "id": "M1", "attributes": {"name": "Placed"}}]}
        return no_currency(path) or (200, {"data": [{"type": "flow", "id": "F1", "attributes": {"name": "f"}}]})

    return scripted(script or answers, home, **options)


def test_one_question_is_one_query_and_one_look_up(tmp_path: Path) -> None:
    """On a warm account a question is made once, looked up once and sent once, through eight modules to the client."""
    account, app = counted(tmp_path)
    asked = {"statistics": ["clicks"], "flow_ids": "F1"}
    account.flow_values("M1", timeframe="2026-W40", **asked)
    made, looked, rooms, sent = [], [], [], len(app.heard)
    root = str(Path(flowperf_helpers.__file__).parent)

    def entered(frame: Any, event: str, arg: object) -> None:
        name = frame.f_code.co_qualname
        if event == "call" and frame.f_code.co_filename.startswith(root) and "Client.post" not in rooms:
            rooms.append("Client.post" if name == "Client.post" else frame.f_code.co_filename)
            made.extend(["q"] * (name == "ReportQuery.__post_init__"))
            looked.extend(["s"] * (name == "Store.find"))

    sys.setprofile(entered)
    try:
        account.flow_values("M1", timeframe="2026-W41", **asked)
    finally:
        sys.setprofile(None)
    assert (1, 1, 1) == (len(made), len(looked), len(app.heard) - sent)
    assert len(set(rooms) - {"Client.post"}) <= 8, sorted(set(rooms))


def test_lists_are_kept_for_an_hour(tmp_path: Path) -> None:
    """A second account object asks nothing; an hour later, or told to refresh, it asks anew."""
    now = [1.8e9]
    options = {"clock": lambda: now[0]}
    first, app = counted(tmp_path, **options)
    whole = first.metrics(), first.flows()
    assert ["/api/metrics", "/api/flows", "/api/flows"] == app.paths()
    second, app = counted(tmp_path, **options)
    pd.testing.assert_frame_equal(whole[0], second.metrics())
    pd.testing.assert_frame_equal(whole[1], second.flows())
    assert [] == app.heard
    anew, app = counted(tmp_path, refresh=True, **options)
    assert 1 == len(anew.metrics()) == len(anew.metrics())
    assert ["/api/metrics"] == app.paths()
    now[0] += 3601
    third, app = counted(tmp_path, **options)
    third.metrics()
    assert ["/api/metrics"] == app.paths()


def test_a_name_that_a_kept_list_lacks_is_asked_for_once_more(tmp_path: Path) -> None:
    """A metric or flow made within the hour is found; one that is not there is refused after one more request."""
    metrics = [{"type": "metric", "id": "M1", "attributes": {"name": "Placed"}}]
    flows = [{"type": "flow", "id": "F1", "attributes": {"name": "f"}}]

    def script(path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        return 200, {"data": metrics if path == "/api/metrics" else flows}

    account, app = counted(tmp_path, script)
    assert "M1" == account.conversion_metric("Placed")
    metrics.append({"type": "metric", "id": "M2", "attributes": {"name": "Paid"}})
    assert "M2" == account.conversion_metric("Paid")
    assert 2 == app.paths().count("/api/metrics")
    with pytest.raises(UnknownNameError, match="Refunded"):
        account.conversion_metric("Refunded")
    assert 3 == app.paths().count("/api/metrics")
    account.flows("F1")
    flows.append({"type": "flow", "id": "F2", "attributes": {"name": "g"}})
    assert ["F2"] == list(account.flows("F2")["flow_id"])


@pytest.mark.parametrize("asked", [{}, {"integration": "Shopify"}, {"week": "2026-W40"}])
def test_a_second_run_of_a_week_sends_nothing(
    tmp_path: Path, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A week's first run asks for the metrics once, its second run asks for nothing at all."""
    heard: list[str] = []
    send = WSGIAdapter.send

    def listening(self: WSGIAdapter, request: Any, **options: Any) -> Any:
        heard.append(request.path_url.split("?")[0])
        return send(self, request, **options)

    monkeypatch.setattr(WSGIAdapter, "send", listening)
    first = fetch_week(sandbox(tmp_path), **asked)
    assert 1 == heard.count("/api/metrics") == heard.count("/api/accounts")
    heard.clear()
    second = fetch_week(sandbox(tmp_path), **asked)
    assert [] == heard
    pd.testing.assert_frame_equal(first.current, second.current)
