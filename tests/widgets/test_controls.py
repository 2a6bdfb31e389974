"""Pickers, boards and the asking button as objects: what they can hold, what they call, and how they fail."""

from __future__ import annotations

import base64
import re
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowperf_helpers.errors import ArgumentError, QuotaError
from flowperf_helpers.widgets.board import Board, RequestButton, as_html
from flowperf_helpers.widgets.pickers import (
    channel_picker,
    flow_picker,
    integration_picker,
    interval_picker,
    metric_picker,
    statistic_picker,
    window_picker,
    window_presets,
)

EARLIEST, LATEST = date(2025, 5, 19), date(2026, 11, 22)


def flows(count: int = 6) -> pd.DataFrame:
    """Flows F000, F001, …; every third is a draft."""
    return pd.DataFrame(
        {
            "flow_id": [f"F{i:03}" for i in range(count)],
            "flow_name": [f"Flow number {i}" if i else None for i in range(count)],
            "flow_status": ["draft" if i % 3 == 2 else "live" for i in range(count)],
        }
    )


def test_flow_picker_starts_with_all_live_flows_and_the_button_brings_them_back() -> None:
    """All live flows are chosen at the start, and one button chooses them again."""
    picker = flow_picker(flows())
    assert {"F000", "F001", "F003", "F004"} == set(picker.value)
    picker.clear_button.click()
    assert () == picker.value
    assert "0 of 6 flows chosen" in picker.count.value
    picker.quick_button.click()
    assert {"F000", "F001", "F003", "F004"} == set(picker.value)


def test_searching_narrows_the_list_but_keeps_the_choice() -> None:
    """A search shows only what matches all its words; what was chosen before stays chosen."""
    picker = flow_picker(flows(500), value=["F001", "F444"])
    picker.search.value = "444 NUMBER"
    assert ["F444"] == [key for _, key in picker.listing.options]
    assert ("F444",) == picker.listing.value
    assert {"F001", "F444"} == set(picker.value)
    assert "1 of them hidden by the search" in picker.count.value
    picker.listing.value = ()
    assert ("F001",) == picker.value
    picker.search.value = ""
    assert 500 == len(picker.listing.options)
    assert ("F001",) == picker.listing.value


def test_search_that_finds_nothing_empties_the_list_and_not_the_choice() -> None:
    """No match: an empty list, the choice as before, and a line that says so."""
    picker = flow_picker(flows())
    before = picker.value
    picker.search.value = "no such flow"
    assert () == picker.listing.options
    assert before == picker.value
    assert "the search shows 0" in picker.count.value


def test_flow_picker_without_a_live_flow_or_without_any() -> None:
    """With only drafts all of them are chosen; with no flow at all the picker is empty and works."""
    drafts = flows().assign(flow_status="draft")
    assert 6 == len(flow_picker(drafts).value)
    empty = flow_picker(flows().iloc[:0])
    assert () == empty.value
    empty.quick_button.click()
    assert () == empty.value


def test_an_unknown_id_cannot_be_chosen() -> None:
    """A picker refuses what it does not offer, in words."""
    with pytest.raises(ArgumentError, match="no F999 among the flows"):
        flow_picker(flows(), value=["F999"])


def test_one_flow_of_several_metrics_is_offered_once() -> None:
    """Rows of a metric × flow frame that repeat a flow count once."""
    picker = flow_picker(pd.concat([flows(2), flows(2)]))
    assert ["F000", "F001"] == sorted(picker.ids)


def test_metric_picker_tells_metrics_of_one_name_apart() -> None:
    """Two metrics of one name differ in their labels by integration and id."""
    metrics = pd.DataFrame(
        {
            "metric_id": ["RplOrd", "XplOrd"],
            "metric_name": ["Placed Order", "Placed Order"],
            "integration_name": ["Shopify", None],
        }
    )
    labels = [label for label, _ in metric_picker(metrics).listing.options]
    assert ["Placed Order · no integration · XplOrd", "Placed Order · Shopify · RplOrd"] == labels


def test_single_pickers_hold_only_what_is_on_offer() -> None:
    """Integration, channel, statistic and interval: labels for people, Klaviyo's words as values."""
    integration = integration_picker(["Shopify", None, "API", "Shopify"])
    assert ["all integrations", "API", "Shopify"] == [label for label, _ in integration.options]
    assert "" == integration.value
    assert "all integrations" == integration.label
    assert "sms" == channel_picker(pd.Series(["email", "sms", None, "sms"]), value="sms").value
    statistic = statistic_picker(["flow_id", "interval_start", "click_rate", "opens"], value="opens")
    assert (("Click rate", "click_rate"), ("Opens", "opens")) == tuple(statistic.options)
    assert "Every open, repeats and privacy prefetches included." == statistic.tooltip
    statistic.value = "click_rate"
    assert statistic.tooltip.startswith("Unique clicks divided by delivered")
    assert ["daily", "weekly"] == [name for name, _ in interval_picker(["weekly", "daily"]).options]
    for wrong in (
        lambda: integration_picker(["API"], value="Shopify"),
        lambda: statistic_picker(["flow_id"]),
        lambda: interval_picker(["yearly"]),
    ):
        with pytest.raises(ArgumentError):
            wrong()


def test_every_control_has_a_label_and_a_tooltip() -> None:
    """Each field a person can reach says what it is, so that a screen reader has words for it."""
    search = flow_picker(flows())
    window = window_picker(earliest=EARLIEST, latest=LATEST)
    parts = [search.search, search.listing, search.quick_button, search.clear_button, window.preset, window.first]
    parts += [window.last, integration_picker([]), statistic_picker(["opens"]), channel_picker(["email"])]
    for part in parts:
        assert part.description
        assert part.tooltip


def test_window_picker_starts_with_the_last_complete_week() -> None:
    """The default window is the last whole ISO week, told in words."""
    picker = window_picker(earliest=EARLIEST, latest=LATEST)
    assert ("2026-11-16", "2026-11-22") == picker.value
    assert "last complete week (2026-W47)" == picker.preset.value
    assert "7 days" in picker.note.value


def test_presets_fill_the_dates_and_dates_leave_the_preset() -> None:
    """A preset sets both dates; changing a date says that the dates are one's own."""
    picker = window_picker(earliest=EARLIEST, latest=LATEST)
    picker.preset.value = "last 4 complete weeks"
    assert (date(2026, 10, 26), date(2026, 11, 22)) == (picker.first.value, picker.last.value)
    picker.first.value = date(2026, 11, 1)
    assert "dates of your own" == picker.preset.value
    assert ("2026-11-01", "2026-11-22") == picker.value


def test_a_cleared_date_comes_back() -> None:
    """An emptied date field is no window: the last good date returns."""
    picker = window_picker(earliest=EARLIEST, latest=LATEST)
    picker.first.value = None
    assert date(2026, 11, 16) == picker.first.value
    assert ("2026-11-16", "2026-11-22") == picker.value


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["first", "last"]), st.dates(date(2024, 1, 1), date(2027, 12, 31)) | st.none()),
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_sequence_of_dates_makes_an_impossible_window(moves: list[tuple[str, date | None]]) -> None:
    """Whatever dates are entered, the window lies inside the limits, is in order and has at most 365 days."""
    picker = window_picker(earliest=EARLIEST, latest=LATEST)
    for which, day in moves:
        getattr(picker, which).value = day
        first, last = (date.fromisoformat(text) for text in picker.value)
        assert EARLIEST <= first <= last <= LATEST
        assert (last - first).days < 365
        assert (first, last) == (picker.first.value, picker.last.value)


@given(start=st.dates(date(2020, 1, 1), date(2030, 1, 1)), days=st.integers(0, 800))
@settings(max_examples=60, deadline=None)
def test_presets_lie_inside_their_limits(start: date, days: int) -> None:
    """Every preset on offer is a window that may be chosen, and weeks start on Mondays."""
    latest = start + timedelta(days=days)
    for name, window in window_presets(start, latest).items():
        assert start <= window.first <= window.last <= latest
        assert "week" not in name or 0 == window.first.weekday()


def test_window_picker_refuses_limits_and_values_that_cannot_be() -> None:
    """Limits the wrong way round and a value outside them are errors in words."""
    with pytest.raises(ArgumentError, match="swap the limits"):
        window_picker(earliest=LATEST, latest=EARLIEST)
    with pytest.raises(ArgumentError, match="does not lie between"):
        window_picker(earliest=EARLIEST, latest=LATEST, value=("2026-11-20", "2026-11-25"))


def bars(frame: pd.DataFrame, *, statistic: str) -> Any:
    """Draw one bar per row."""
    _, ax = plt.subplots()
    ax.barh(range(len(frame)), frame[statistic])
    ax.set_label(f"{statistic} of {len(frame)} rows.")
    return ax


FRAME = pd.DataFrame({"opens": [1, 2, 3], "clicks": [3, 2, 1]})


def test_board_draws_at_once_and_again_at_each_change() -> None:
    """The picture is there before anything listens; another statistic makes another picture with its own words."""
    picker = statistic_picker(FRAME.columns)
    board = Board(bars, FRAME, statistic=picker)
    first = board.picture.value
    assert 'alt="opens of 3 rows."' in first
    picker.value = "clicks"
    assert 'alt="clicks of 3 rows."' in board.picture.value
    assert first != board.picture.value
    png = re.search(r"base64,([^\"]+)", board.picture.value)
    assert png is not None
    assert base64.b64decode(png[1]).startswith(b"\x89PNG")


def test_board_leaves_no_figure_open() -> None:
    """A redrawn picture is not shown a second time by the notebook, and memory does not grow."""
    picker = statistic_picker(FRAME.columns)
    Board(bars, FRAME, statistic=picker)
    before = plt.get_fignums()
    for name in ("clicks", "opens", "clicks"):
        picker.value = name
    assert before == plt.get_fignums()


def test_board_shows_the_same_picture_as_the_plain_call() -> None:
    """A board adds nothing to what the view draws."""
    board = Board(bars, FRAME, statistic=statistic_picker(FRAME.columns))
    assert as_html(bars(FRAME, statistic="opens")) == board.picture.value


def test_an_error_of_ours_is_shown_in_words_and_the_next_change_works() -> None:
    """The sentence of the error stands on the board; the last picture stays, and a good choice clears the sentence."""

    def view(frame: pd.DataFrame, *, statistic: str) -> Any:
        if statistic == "clicks":
            raise ArgumentError("No clicks <here>.")
        return bars(frame, statistic=statistic)

    picker = statistic_picker(FRAME.columns)
    board = Board(view, FRAME, statistic=picker)
    good = board.picture.value
    picker.value = "clicks"
    assert "No clicks &lt;here&gt;." in board.message.value
    assert 'role="alert"' in board.message.value
    assert good == board.picture.value
    picker.value = "opens"
    assert "" == board.message.value
    assert board.error is None


def test_an_unexpected_error_is_not_swallowed() -> None:
    """A mistake in a view stops the cell at the start, and later stands in words and is raised."""

    def broken(frame: pd.DataFrame, *, statistic: str) -> Any:
        return 1 / (0 if statistic == "clicks" else len(frame)) and "fine"

    with pytest.raises(ZeroDivisionError):
        Board(broken, FRAME, statistic=statistic_picker(FRAME.columns, value="clicks"))
    picker = statistic_picker(FRAME.columns)
    board = Board(broken, FRAME, statistic=picker)
    with pytest.raises(ZeroDivisionError):
        picker.value = "clicks"
    assert "ZeroDivisionError" in board.message.value


def test_board_keeps_a_static_picture_for_readers_without_widgets() -> None:
    """The saved cell holds the picture as HTML beside the widget."""
    board = Board(bars, FRAME, statistic=statistic_picker(FRAME.columns))
    bundle = board._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "<img" in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_as_html_takes_tables_sentences_and_several() -> None:
    """A view may return a frame, a sentence or a list; other things are refused in words."""
    assert "<table" in as_html(FRAME)
    assert "a &lt; b" in as_html("a < b")
    both = as_html([bars(FRAME, statistic="opens"), FRAME])
    assert "<img" in both
    assert "<table" in both
    _, axes = plt.subplots(2, 2)
    assert 1 == as_html(axes).count("<img")
    with pytest.raises(ArgumentError, match="not int"):
        as_html(3)


class Wire:
    """Stands for an account: counts what it was asked, and fails when told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.fails = False

    def plan(self, wishes: Any) -> SimpleNamespace:
        """Say the cost."""
        return SimpleNamespace(requests=len(wishes), summary=f"{len(wishes)} report requests to send.")

    def run(self, wishes: Any) -> list[pd.DataFrame]:
        """Answer each wish with a frame."""
        if self.fails and len(self.asked) % 2:
            self.fails = False
            raise QuotaError(
                "The day's calls are spent: run again at 23:00.", endpoint="/api/flow-values-reports", retry_at=None
            )
        self.asked += wishes
        return [FRAME] * len(wishes)


def wishes(*, window: tuple[str, str]) -> list[str]:
    """Want the window twice."""
    return [f"{window} values", f"{window} series"]


def test_asking_says_its_cost_first_and_asks_only_when_pressed() -> None:
    """The cost stands beside the button and follows the pickers; no change of a picker asks."""
    wire, shown = Wire(), []
    window = window_picker(earliest=EARLIEST, latest=LATEST)
    ask = RequestButton(wishes, plan=wire.plan, run=wire.run, then=lambda *frames: shown.append(frames), window=window)
    assert "Ask Klaviyo (2)" == ask.button.description
    assert "2 report requests to send." in ask.cost.value
    window.preset.value = "last 30 days"
    assert [] == wire.asked
    ask.button.click()
    assert ["('2026-10-24', '2026-11-22') values", "('2026-10-24', '2026-11-22') series"] == wire.asked
    assert 1 == len(shown)
    assert 1 == ask.asked
    assert "2 answers are here" in ask.message.value
    assert ask.button.disabled is False


def test_progress_is_seen_while_it_runs() -> None:
    """The button rests while Klaviyo answers, and the bar counts answers."""
    wire, seen = Wire(), []
    window = window_picker(earliest=EARLIEST, latest=LATEST)
    ask = RequestButton(wishes, plan=wire.plan, run=wire.run, then=lambda *frames: None, window=window)
    ask.progress.observe(lambda change: seen.append((change["new"], ask.button.disabled)), "value")
    ask.button.click()
    assert [(1, True), (2, True)] == seen


def test_an_error_while_asking_is_said_in_words_and_the_button_works_on() -> None:
    """The quota runs out half-way: its sentence is shown, the button can be pressed again and then succeeds."""
    wire, shown = Wire(), []
    window = window_picker(earliest=EARLIEST, latest=LATEST)
    ask = RequestButton(wishes, plan=wire.plan, run=wire.run, then=lambda *frames: shown.append(frames), window=window)
    wire.fails = True
    ask.button.click()
    assert "run again at 23:00" in ask.message.value
    assert isinstance(ask.error, QuotaError)
    assert ask.button.disabled is False
    assert [] == shown
    ask.button.click()
    assert ask.error is None
    assert 1 == len(shown)


def test_a_board_takes_the_answer_of_a_button() -> None:
    """What was asked for is drawn by the board that the button was given."""
    wire = Wire()
    board = Board(bars, FRAME.iloc[:1], statistic=statistic_picker(FRAME.columns))
    window = window_picker(earliest=EARLIEST, latest=LATEST)
    ask = RequestButton(lambda window: ["one"], plan=wire.plan, run=wire.run, then=board.show, window=window)
    assert "opens of 1 rows." in board.picture.value
    ask.button.click()
    assert "opens of 3 rows." in board.picture.value
