"""Accounts that explain themselves, choices that travel, and the pictures for choosing."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from flowperf_helpers import connect
from flowperf_helpers.account.history import earlier_answers
from flowperf_helpers.account.timeframes import Window
from flowperf_helpers.errors import ArgumentError, StorageError
from flowperf_helpers.plots import alt_text, plot_forecast
from flowperf_helpers.stats.conversion_lag import completeness_curve, forecast
from flowperf_helpers.widgets.board import as_html
from flowperf_helpers.widgets.lenient_account import Explanation, attempt, lenient, or_explanation
from flowperf_helpers.widgets.notebook import COMPARED_STATISTICS, comparison_queries, week_window
from flowperf_helpers.widgets.selection import (
    FlowChoice,
    chosen_flows,
    flow_overview,
    flows_in,
    select_rows,
)
from flowperf_helpers.widgets.views import (
    SERIES_VIEWS,
    VALUES_VIEWS,
    series_offers,
    view_choice,
    view_series,
    view_triggers,
    view_values,
)


def test_explained_returns_the_result_or_a_sentence() -> None:
    """An error of ours becomes a sentence that is false and empty; any other error is raised."""

    def refuse() -> None:
        raise ArgumentError("No <such> thing.")

    assert 3 == attempt(len, [1, 2, 3])
    sentence = attempt(refuse)
    assert isinstance(sentence, Explanation)
    assert not sentence
    assert [] == list(sentence)
    assert "No &lt;such&gt; thing." in sentence._repr_html_()
    with pytest.raises(TypeError):
        attempt(len, 3)


def test_what_could_not_be_asked_has_the_columns_of_what_could() -> None:
    """An empty frame of the lenient account fits where a full one was expected: same columns, same dtypes."""
    whole = connect("sandbox")
    torn = lenient(connect("sandbox", variant="quota_spent"))
    bare = lenient(connect("sandbox", variant="no_scope"))
    window = {"timeframe": ("2026-11-16", "2026-11-22"), "statistics": ["clicks", "click_rate"]}
    pairs = [
        (whole.flow_values("RplOrd", **window), torn.flow_values("RplOrd", **window)),
        (whole.flow_series("RplOrd", **window), torn.flow_series("RplOrd", **window)),
        (whole.flows(), bare.flows()),
        (whole.flows_triggered_by(["RplOrd"]), bare.flows_triggered_by(["RplOrd"])),
        (whole.metrics(), lenient(whole).metrics(integration="No Such Thing")),
        (whole.messages(["XbChk1"]), lenient(whole).messages([])),
    ]
    for full, empty in pairs:
        assert list(full.columns) == list(empty.columns)
        assert 0 == len(empty)
        zoned = [name for name in full if isinstance(full[name].dtype, pd.DatetimeTZDtype)]
        pd.testing.assert_series_equal(full.drop(columns=zoned).dtypes, empty.drop(columns=zoned).dtypes)
        assert all(isinstance(empty[name].dtype, pd.DatetimeTZDtype) for name in zoned)
    assert len(torn.sentences) == len(set(torn.sentences))


def test_a_view_says_why_it_was_not_answered() -> None:
    """Where Klaviyo did not answer, the picture's place says that and not “nothing was sent”."""
    torn = lenient(connect("sandbox", variant="quota_spent"))
    series = torn.flow_series("RplOrd", timeframe=("2026-11-16", "2026-11-22"), statistics=["recipients"])
    overview = flow_overview(torn.flows(), torn.messages(), series)
    assert "takes no more calls" in alt_text(view_choice(overview))


def test_a_view_puts_our_errors_in_its_place_and_raises_others() -> None:
    """Only errors of ours become pictures of a sentence."""
    frame = pd.DataFrame({"a": [1]})

    @or_explanation
    def broken(frame: pd.DataFrame, *, how: str) -> None:
        raise ArgumentError("Ours alone.") if how == "ours" else ValueError("another's")

    assert "Ours alone." == alt_text(broken(frame, how="ours"))
    with pytest.raises(ValueError, match="another's"):
        broken(frame, how="theirs")


def test_a_choice_travels_by_text_and_by_file(tmp_path: Path) -> None:
    """The choice can be pasted, is kept as JSON, and comes back; nothing is written where no file is named."""
    choice = FlowChoice(["XbChk1", "VwBrw2", "XbChk1"], account="sandbox")
    names: dict[str, object] = {}
    exec(choice.text, names)
    assert ["XbChk1", "VwBrw2"] == names["flow_ids"]
    assert choice.save("") is None
    kept = choice.save(tmp_path / "choice.json")
    assert kept is not None
    assert choice.parameters == json.loads(kept.read_text())
    with pytest.raises(StorageError):
        choice.save(tmp_path / "no" / "folder.json")


def test_rows_are_selected_by_flow_channel_and_days() -> None:
    """A window keeps whole intervals inside it; an empty choice keeps nothing; attrs stay."""
    account = connect("sandbox")
    series = account.flow_series(
        "RplOrd", timeframe=("2026-11-02", "2026-11-22"), statistics=["recipients"], interval="weekly"
    )
    kept = select_rows(series, flow_ids=["XbChk1"], channel="email", window=("2026-11-09", "2026-11-21"))
    assert {"XbChk1"} == set(kept["flow_id"])
    assert {"email"} == set(kept["send_channel"])
    assert ["2026-11-09"] == sorted(kept["interval_start"].dt.strftime("%Y-%m-%d").unique())
    assert series.attrs == kept.attrs
    assert 0 == len(select_rows(series, flow_ids=[]))


def test_overview_knows_deleted_flows_and_flows_that_sent_nothing() -> None:
    """One row per flow: NA where no row came, a row without status for a flow that only the report knows."""
    account = connect("sandbox")
    series = account.flow_series("RplOrd", timeframe=("2026-08-31", "2026-11-22"), statistics=["recipients"])
    overview = flow_overview(account.flows(), account.messages(), series).set_index("flow_id")
    assert overview.index.is_unique
    assert pd.isna(overview.loc["DrChk3", "recipients"])
    assert pd.isna(overview.loc["DeLtd9", "flow_status"])
    assert series.loc[series["flow_id"] == "XbChk1", "recipients"].sum() == overview.loc["XbChk1", "recipients"]
    assert pd.isna(flows_in(series, account.flows()).set_index("flow_id").loc["DeLtd9", "flow_status"])
    texts = chosen_flows(overview.reset_index(), channel="sms", at_least=1000)
    assert "XbChk1" in texts
    assert "UbBis6" not in texts


def test_before_and_after_are_neighbours() -> None:
    """The two windows of a comparison have equal length and touch."""
    account = connect("sandbox")
    after, before, recent = comparison_queries(
        account, "revenue", window=("2026-11-09", "2026-11-22"), statistics=["clicks"]
    )
    assert ("2026-03-23 to 2026-11-22", "weekly") == (str(recent.timeframe), recent.interval)
    assert "2026-11-09 to 2026-11-22" == str(after.timeframe)
    assert "2026-10-26 to 2026-11-08" == str(before.timeframe)
    assert "2026-11-16 to 2026-11-22" == str(week_window(account))
    for wrong in ("last_7_days", "2026-W60"):
        with pytest.raises(ArgumentError):
            week_window(account, wrong)


DRAWS_RATES_ONLY = ("before", "effects", "variations", "table", "ranking")


@pytest.mark.parametrize("picture", VALUES_VIEWS.values())
@pytest.mark.parametrize("statistic", ["click_rate", "recipients", "conversion_value"])
def test_every_picture_of_values_draws_or_says_why_not(picture: str, statistic: str) -> None:
    """Each pairing of picture and statistic is that picture, its table, or the sentence that names what it needs."""
    account = connect("sandbox")
    wishes = comparison_queries(
        account, "revenue", window="2026-W47", statistics=["recipients", "delivered", "opens_unique", "clicks_unique",
        "click_rate", "conversion_uniques", "conversion_value"], group_by=["flow_name", "flow_message_name",
        "send_channel", "variation", "variation_name"],
    )  # fmt: skip
    after, before, recent = account.run(wishes)
    page = as_html(view_values(after, before, recent, picture=picture, statistic=statistic))
    if picture in DRAWS_RATES_ONLY and statistic != "click_rate":
        assert re.search(rf'alt="&#x27;{statistic}&#x27; is not a rate.*invented numbers of the sandbox', page)
    elif picture == "table":
        assert "<table" in page
        assert "SANDBOX" in page
    else:
        name = statistic.replace("_", " ") if picture != "funnel" else "recipients"
        assert re.search(rf'alt="[^"&]*{name}.*invented numbers of the sandbox', page)
    plt.close("all")


@pytest.mark.parametrize("picture", SERIES_VIEWS.values())
@pytest.mark.parametrize("statistic", ["click_rate", "recipients"])
def test_every_picture_of_series_draws_or_says_why_not(picture: str, statistic: str) -> None:
    """The same for series, with and without rows."""
    account = connect("sandbox")
    wanted = {"statistics": ["recipients", "delivered", "clicks_unique", "click_rate"]}
    weekly = account.flow_series("RplOrd", timeframe=("2026-09-28", "2026-11-22"), **wanted)
    drawn = {None: statistic.replace("_", " "), "XbChk1": "1 flow|Abandoned Checkout", "": "There is no weekly row"}
    if picture == "forecast":
        drawn |= dict.fromkeys((None, "XbChk1"), "A forecast learns from earlier answers")
    for flow_ids, words in drawn.items():
        chosen = flow_ids if flow_ids is None else [flow_ids] * bool(flow_ids)
        page = as_html(view_series(weekly, weekly, picture=picture, statistic=statistic, flow_ids=chosen))
        assert re.search(rf'alt="[^"]*({words}).*invented numbers of the sandbox', page)
    plt.close("all")


def test_triggers_are_listed_with_words() -> None:
    """The table of an integration's metrics tells their number and status, and says so where none is chosen."""
    account = lenient(connect("sandbox"))
    metrics = account.metrics()
    triggers = account.flows_triggered_by(metrics)
    table = view_triggers(triggers, metrics, integration="YourIntegration")
    assert table.title.startswith("3 of 5 metrics trigger 3 flows · SANDBOX")
    assert [["1", "1", "YourIntegration: Complaint Apology"]] == [
        [cell.text for cell in row[2:]] for row in table.rows if "Complaint Apology" in row[-1].text
    ]
    assert "No metric is chosen" in alt_text(view_triggers(triggers, metrics, metric_ids=[]))
    plt.close("all")


@pytest.mark.parametrize("picture", SERIES_VIEWS.values())
def test_what_is_offered_for_a_picture_can_be_drawn(picture: str) -> None:
    """Each statistic and interval that the board of 04 offers for a picture gives that picture, not an explanation."""
    account = lenient(connect("sandbox"))
    days = Window(date(2026, 11, 2), date(2026, 11, 22))
    asked = {"timeframe": days, "statistics": COMPARED_STATISTICS}
    frames = [account.flow_series("RplOrd", interval=interval, **asked) for interval in ("weekly", "daily")]
    history = earlier_answers(account, "RplOrd", days)
    offers = series_offers(picture=picture, statistic="click_rate", interval="weekly")
    assert offers["interval"] == (["daily"] if picture == "forecast" else ["weekly", "daily"])
    for statistic in [name for name in offers["statistic"] if name in COMPARED_STATISTICS]:
        seen = view_series(*frames, history, interval=offers["interval"][-1], statistic=statistic, picture=picture)
        assert np.ravel(seen)[0].axison, (statistic, alt_text(seen))
    plt.close("all")


def test_the_accounts_attribution_window_holds_in_pictures(tmp_path: Path) -> None:
    """The forecast of an account with 12 days of attribution is made with 12 days, and every frame tells them."""
    account = lenient(connect("sandbox", home=tmp_path, attribution_days=12))
    days = Window(date(2026, 11, 2), date(2026, 11, 22))
    daily = account.flow_series("RplOrd", timeframe=days, statistics=["conversions"], interval="daily")
    history = earlier_answers(account, "RplOrd", days)
    seen = view_series(daily, daily, history, interval="daily", statistic="conversions", picture="forecast")
    curve = completeness_curve(history, attribution_days=12)
    total = daily.groupby(["interval_start", "interval_end"], as_index=False)[["conversions"]].sum().tail(14)
    total.attrs = daily.attrs
    assert alt_text(plot_forecast(forecast(total, curve))) == alt_text(seen)
    assert alt_text(plot_forecast(forecast(total, completeness_curve(history)))) != alt_text(seen)
    refused = account.flow_series("no such metric", timeframe=days, statistics=["conversions"], interval="daily")
    assert [12, 12] == [frame.attrs["attribution_days"] for frame in (daily, refused)]
    plt.close("all")
