"""Pictures are tested on what they draw: positions, words, ticks, hatches, and what they leave alone."""

from __future__ import annotations

import doctest
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames import formats
from flowperf_helpers.plots import (
    alt_text,
    plot_comparison,
    plot_effects,
    plot_forecast,
    plot_funnel,
    plot_heatmap,
    plot_same_law,
    plot_series,
    plot_small_multiples,
    plot_values,
    plot_variations,
    style,
)
from flowperf_helpers.plots.figure import SANDBOX_MARK
from flowperf_helpers.plots.fleet import plot_accounts, plot_template_effect
from flowperf_helpers.plots.tables import comparison_table
from flowperf_helpers.stats import same_law_weeks

NB = "\N{NO-BREAK SPACE}"
NASTY = [
    "<script>alert(1)</script>", "Price $5 to $9 \\frac{", "ברוכים הבאים", "🎉👨‍👩‍👧🎁",
    "\u202eevil\u202c", "x" * 10_000, "=cmd|' /C calc'!A0", "a\nb\tc", "你好",
]  # fmt: skip

COUNTS = ["recipients", "delivered", "opens_unique", "clicks_unique", "conversion_uniques"]


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    plt.close("all")  # what tests of other files left open in this process
    yield
    plt.close("all")


def values(flow_names: list[Any] | None = None, **attrs: Any) -> pd.DataFrame:
    flow_names = flow_names or ["Welcome", "Cart", "Winback"]
    count = len(flow_names)
    delivered = np.array([1000 * (i + 1) for i in range(count)])
    clicks = np.array([20 + 50 * i for i in range(count)])
    frame = pd.DataFrame(
        {
            "flow_id": [f"Fl{i}" for i in range(count)], "flow_name": flow_names, "recipients": delivered + 10,
            "delivered": delivered, "opens_unique": delivered // 3, "clicks_unique": clicks,
            "conversion_uniques": clicks // 4, "click_rate": clicks / delivered, "conversion_value": clicks * 12.5,
        }
    ).astype(dict.fromkeys(COUNTS, "Int64"))  # fmt: skip
    frame.attrs = {"currency": "EUR", "sandbox": False, **attrs}
    return frame


def series(groups: int = 2, weeks: int = 6, **attrs: Any) -> pd.DataFrame:
    starts = pd.date_range("2026-10-12", periods=weeks, freq="W-MON", tz="Europe/Copenhagen")
    rows = [
        (f"Fl{g}", f"Flow {g}", start, False, w == weeks - 1, 1000 * (groups - g), 0.02 + 0.01 * g + 0.001 * w)
        for g in range(groups)
        for w, start in enumerate(starts)
    ]
    columns = ["flow_id", "flow_name", "interval_start", "is_partial", "is_provisional", "recipients", "click_rate"]
    frame = pd.DataFrame(rows, columns=columns).astype({"recipients": "Int64"})
    frame.attrs = {"sandbox": False, "currency": "EUR", **attrs}
    return frame


def limits(one: pd.DataFrame, signal: int = 2) -> pd.DataFrame:
    frame = one[["flow_id", "interval_start"]].assign(value=one["click_rate"], centre=0.0225, lower=0.019, upper=0.026)
    frame["is_signal"] = [i == signal for i in range(len(frame))]
    return frame


def compared(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "flow_id": ["a", "b", "c", "d"], "flow_name": ["Steady", "Fallen", "Risen", "Tiny"],
            "denominator_after": [9000, 5000, 4000, 4], "rate_before": [0.03, 0.05, 0.02, 0.5],
            "rate_after": [0.031, 0.03, 0.03, 0.25], "difference": [0.001, -0.02, 0.01, -0.25],
            "low": [-0.002, -0.028, 0.004, -0.7], "high": [0.004, -0.012, 0.016, 0.4],
            "verdict": ["no evidence of a change", "lower", "higher", "too few to say"],
        }
    )  # fmt: skip
    frame.attrs = {"rate": "click_rate", "denominator": "delivered", **attrs}
    return frame


def decomposed(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "flow_message_id": ["m1", "m2", "m3"], "flow_message_name": ["One", "Two", "Three"],
            "mix_effect": [0.001, -0.002, 0.0005], "within_effect": [0.004, 0.001, 0.0],
            "is_new": [False, False, True], "is_gone": [False, False, False],
        }
    )  # fmt: skip
    frame["total_effect"] = frame["mix_effect"] + frame["within_effect"]
    frame.attrs = {"rate": "click_rate", "total_before": 0.03, "total_after": 0.0345, **attrs}
    return frame


def variations(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "flow_message_id": ["m", "m"], "flow_message_name": ["Mail"] * 2, "variation": ["A", "B"],
            "variation_name": ["Photo", "Text"], "rate": [0.03, 0.05], "low": [0.025, 0.044], "high": [0.036, 0.057],
            "probability_best": [0.0, 1.0], "klaviyo_rule": ["not the winner", "winner"],
        }
    )  # fmt: skip
    frame.attrs = {"rate": "click_rate", **attrs}
    return frame


def forecast(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"interval_start": pd.date_range("2026-11-20", periods=3, freq="D", tz="Europe/Copenhagen")})
    frame = frame.assign(
        so_far=[100, 80, 40], final=[100.0, 90.0, 95.0], low=[100.0, 85.0, 70.0], high=[100.0, 96.0, 130.0]
    )
    frame.attrs = {"statistic": "conversions", **attrs}
    return frame


def accounts(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "account": ["large", "small", "odd"], "statistic": "click_rate", "trials": [90_000.0, 40.0, 8000.0],
            "raw": [0.05, 0.2, 0.01], "raw_low": [0.048, 0.1, 0.008], "raw_high": [0.052, 0.33, 0.013],
            "pooled": [0.05, 0.06, 0.012], "low": [0.048, 0.04, 0.009], "high": [0.052, 0.09, 0.015],
            "ratio": [1.0, 4.0, 0.2], "verdict": ["within the fleet", "too few to say", "below the fleet"],
        }
    )  # fmt: skip
    fleet = {"click_rate": {"middle": 0.05, "low": 0.03, "high": 0.08}}
    frame.attrs = {"weeks": ["2026-W40", "2026-W47"], "is_final": True, "fleet": fleet, **attrs}
    return frame


def switched(**attrs: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "account": ["one", "two", "new"], "ratio": [1.3, 1.1, np.nan], "low": [1.1, 0.9, np.nan],
            "high": [1.5, 1.35, np.nan], "pooled": [1.22, 1.18, np.nan], "pooled_low": [1.1, 1.05, np.nan],
            "pooled_high": [1.35, 1.3, np.nan], "verdict": ["better", "cannot tell", "not comparable"],
        }
    )  # fmt: skip
    effect = {"ratio": 1.2, "low": 1.12, "high": 1.28, "between_low": 1.05, "between_high": 1.36, "p_value": 0.0}
    frame.attrs = {"statistic": "click_rate", "version": "template-v2", "effect": effect, **attrs}
    return frame


CASES: dict[str, tuple[Callable[..., pd.DataFrame], Callable[[pd.DataFrame, Axes | None], Axes]]] = {
    "values": (values, lambda f, ax: plot_values(f, statistic="click_rate", ax=ax)),
    "funnel": (values, lambda f, ax: plot_funnel(f, ax=ax)),
    "series": (series, lambda f, ax: plot_series(f, statistic="click_rate", ax=ax)),
    "heatmap": (series, lambda f, ax: plot_heatmap(f, statistic="click_rate", ax=ax)),
    "comparison": (compared, lambda f, ax: plot_comparison(f, ax=ax)),
    "effects": (decomposed, lambda f, ax: plot_effects(f, ax=ax)),
    "variations": (variations, lambda f, ax: plot_variations(f, ax=ax)),
    "forecast": (forecast, lambda f, ax: plot_forecast(f, ax=ax)),
    "accounts": (accounts, lambda f, ax: plot_accounts(f, ax=ax)),
    "template effect": (switched, lambda f, ax: plot_template_effect(f, ax=ax)),
}
case = pytest.mark.parametrize("kind", CASES)


def rendered(ax: Axes) -> None:
    """Draw for real, any warning being an error: a missing glyph is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.canvas.draw()


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def labels(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


# --- what all of them promise -------------------------------------------------------------------------------------


@case
def test_given_axes_are_used_and_returned(kind: str) -> None:
    """A picture is drawn on the axes that are given, and no other figure is made."""
    make, draw = CASES[kind]
    _, ax = plt.subplots(figsize=(9, 5))
    assert draw(make(), ax) is ax
    assert 1 == len(plt.get_fignums())


@case
def test_settings_are_left_as_they_were(kind: str) -> None:
    """matplotlib's settings are the same before and after."""
    make, draw = CASES[kind]
    before = dict(mpl.rcParams)
    draw(make(), None)
    assert before == dict(mpl.rcParams)


@case
def test_title_and_text_alternative_say_something(kind: str) -> None:
    """Every picture has a finding as its title and one sentence with numbers as its alternative."""
    make, draw = CASES[kind]
    ax = draw(make(), None)
    rendered(ax)
    assert len(ax.get_title(loc="left")) > 15
    sentence = alt_text(ax)
    assert sentence.endswith(".")
    assert any(c.isdigit() for c in sentence)
    assert sentence == alt_text(ax.get_figure(root=True))  # type: ignore[arg-type]
    assert "sandbox" not in sentence


@case
def test_sandbox_is_said_in_plain_sight(kind: str) -> None:
    """Invented numbers are marked on the picture and in its alternative; real ones are not."""
    make, draw = CASES[kind]
    assert SANDBOX_MARK in words(draw(make(sandbox=True), None))
    assert SANDBOX_MARK not in words(draw(make(), None))
    assert "invented numbers of the sandbox" in alt_text(draw(make(sandbox=True), None))


@case
def test_an_empty_frame_gives_a_sentence(kind: str) -> None:
    """Without rows there is a sentence in place of a picture, which is its alternative as well."""
    make, draw = CASES[kind]
    empty = make().head(0)
    empty.attrs = {"sandbox": True}
    ax = draw(empty, None)
    rendered(ax)
    assert not ax.axison
    assert alt_text(ax).startswith(" ".join(words(ax)[0].split()))
    assert SANDBOX_MARK in words(ax)


@case
def test_missing_columns_are_named(kind: str) -> None:
    """A frame without what is needed is refused in words that name a column."""
    _, draw = CASES[kind]
    with pytest.raises(ArgumentError, match="column"):
        draw(pd.DataFrame({"flow_id": ["a"], "something": [1]}), None)


@case
def test_nothing_is_cut_at_the_edges(kind: str) -> None:
    """All words lie inside the figure."""
    make, draw = CASES[kind]
    ax = draw(make(sandbox=True), None)
    rendered(ax)
    figure = ax.get_figure(root=True)
    box = figure.bbox  # type: ignore[union-attr]
    low, high = ax.get_xlim()
    ticks = [text for text in ax.get_xticklabels() if low <= text.get_position()[0] <= high]
    artists = [*ax.texts, ax._left_title, *ax.get_yticklabels(), *ticks, ax.xaxis.label]  # type: ignore[attr-defined]
    for artist in artists:
        if artist.get_text() and artist.get_visible():
            extent = artist.get_window_extent()
            assert box.x0 - 1 <= extent.x0, artist
            assert extent.x1 <= box.x1 + 1, artist
            assert box.y0 - 1 <= extent.y0, artist
            assert extent.y1 <= box.y1 + 1, artist


@pytest.mark.parametrize("name", NASTY)
def test_names_of_strangers_are_drawn_without_a_warning(name: str) -> None:
    """Emoji, right-to-left, formulas and 10,000 characters neither warn nor stop a picture."""
    frame = values([name, name, "Welcome"])
    for ax in (plot_values(frame, statistic="click_rate"), plot_funnel(frame)):
        rendered(ax)
        assert all(len(label) < 70 for label in labels(ax))
        assert "\u202e" not in alt_text(ax) + "".join(labels(ax))
    both = labels(plot_values(frame, statistic="click_rate"))
    assert 3 == len(set(both))


def test_text_alternative_of_foreign_axes_is_empty() -> None:
    """Axes that this package did not draw have no alternative."""
    _, ax = plt.subplots()
    assert "" == alt_text(ax)


# --- values -------------------------------------------------------------------------------------------------------


def test_values_are_dots_at_their_values_largest_first() -> None:
    """Dots stand at the values, from top to bottom, the labels beside them."""
    ax = plot_values(values(), statistic="click_rate")
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(sorted([0.02, 0.035, 0.04], reverse=True), dots.get_xdata())
    assert [0, 1, 2] == list(dots.get_ydata())
    assert ["Winback", "Cart", "Welcome"] == labels(ax)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert f"Winback has the highest click rate: 4.00{NB}%" == ax.get_title(loc="left")


def test_rates_have_intervals_from_their_counts() -> None:
    """A rate's line runs from the low to the high end of its interval."""
    from flowperf_helpers.stats.rates import rate_interval

    expected = rate_interval([120], [3000])
    ax = plot_values(values(), statistic="click_rate")
    first = next(line for line in ax.lines if line.get_marker() == "None")
    np.testing.assert_allclose([expected["low"][0], expected["high"][0]], first.get_xdata())
    assert "95 % interval" in alt_text(ax)


def test_given_intervals_are_drawn_as_they_are() -> None:
    """Columns low and high come before any computing."""
    ax = plot_values(values(["Only"]).assign(low=0.01, high=0.09), statistic="click_rate")
    assert [0.01, 0.09] == list(ax.lines[0].get_xdata())


def test_counts_and_money_have_no_interval() -> None:
    """Money and counts are dots alone: their spread is not known."""
    ax = plot_values(values(), statistic="conversion_value")
    assert 1 == len(ax.lines)
    assert "interval" not in alt_text(ax)


@pytest.mark.parametrize(
    ("statistic", "value", "tick", "title"),
    [
        ("click_rate", 0.025, f"2.5{NB}%", "Click rate (% of delivered)"),
        ("conversion_value", 1500, "€1.5k", "Conversion value (EUR)"),
        ("recipients", 12000, "12,000", "Recipients (count)"),
        ("clicks_unique", 40, "40", "Unique clicks (people per message)"),
    ],
)
def test_axes_say_their_units(statistic: str, value: float, tick: str, title: str) -> None:
    """Rates as percent, money with its currency, counts with thousands set apart."""
    ax = plot_values(values(), statistic=statistic)
    assert tick == ax.xaxis.get_major_formatter()(value)
    assert title == ax.get_xlabel()


def test_the_rest_is_one_hatched_row() -> None:
    """Beyond the top there is one row with the range of all others."""
    ax = plot_values(values([f"Flow {i}" for i in range(300)]), statistic="conversion_value", top=10)
    assert 11 == len(labels(ax))
    assert "290 other flows" == labels(ax)[-1]
    (box,) = ax.patches
    assert box.get_hatch() == style.HATCH
    assert (250.0, 250.0 + 625 * 289) == (box.get_x(), pytest.approx(box.get_x() + box.get_width()))


def test_rows_without_a_value_are_counted_not_zero() -> None:
    """NA is not drawn at zero, and the subtitle says that it is there."""
    frame = values()
    frame.loc[0, "click_rate"] = np.nan
    ax = plot_values(frame, statistic="click_rate")
    assert ["Winback", "Cart"] == labels(ax)
    assert any("1 flow without a value" in text for text in words(ax))


def test_messages_of_a_flow_are_rolled_up() -> None:
    """Rows that share a flow become one, by the catalogue's rules: rates from sums, not their mean."""
    frame = values(["Welcome", "Welcome"]).assign(flow_id="F", flow_message_id=["m1", "m2"], send_channel="email")
    frame.attrs = {"currency": "EUR"}
    ax = plot_values(frame, statistic="click_rate")
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose([90 / 3000], dots.get_xdata())


def test_two_flows_of_one_name_keep_apart() -> None:
    """Names are not unique: twins are told apart by their ids, not merged."""
    assert ["Sale · Fl1", "Sale · Fl0"] == labels(plot_values(values(["Sale", "Sale"]), statistic="click_rate"))


# --- funnel -------------------------------------------------------------------------------------------------------


def test_funnel_bars_are_shares_of_recipients() -> None:
    """Each step is as long as its share of the recipients and says its count."""
    ax = plot_funnel(values(["Welcome"]))
    assert ["Recipients", "Delivered", "Opened", "Clicked", "Converted"] == labels(ax)
    widths = {bar.get_gid(): bar.get_width() for bar in ax.patches}
    assert 1.0 == widths["recipients"]
    assert pytest.approx(333 / 1010) == widths["opens_unique"]
    assert any(text.startswith("333  (") for text in words(ax))
    assert "1,010 recipients, 1,000 delivered, 333 opened, 20 clicked, 5 converted" in alt_text(ax)


def test_funnel_groups_differ_in_hatch_as_well() -> None:
    """Groups are told apart without colour, and at most four are shown."""
    ax = plot_funnel(values(list("abcdef")))
    assert 4 == len({bar.get_hatch() or "" for bar in ax.patches})
    assert any("2 other flows not shown" in text for text in words(ax))


def test_a_step_that_is_not_known_is_no_zero() -> None:
    """A text has no opens: the step says so."""
    frame = values(["SMS"])
    frame["opens_unique"] = pd.array([pd.NA], dtype="Int64")
    assert "– not known" in words(plot_funnel(frame))


# --- comparison ---------------------------------------------------------------------------------------------------


def test_comparison_puts_real_changes_first_then_large_samples() -> None:
    """What moved beyond chance stands on top, by size; three recipients stand below."""
    assert ["Fallen", "Risen", "Steady", "Tiny"] == labels(plot_comparison(compared()))


def test_comparison_draws_before_after_interval_and_verdict() -> None:
    """A hollow dot before, a mark of the verdict after, the interval of the change from where it was."""
    ax = plot_comparison(compared().iloc[[1]])
    interval, _joint, before, after = ax.lines
    np.testing.assert_allclose([0.05 - 0.028, 0.05 - 0.012], interval.get_xdata())
    assert ([0.05], "white") == (list(before.get_xdata()), before.get_markerfacecolor())
    assert ([0.03], "v") == (list(after.get_xdata()), after.get_marker())
    assert f"▼ −2.00{NB}points" in words(ax)
    legend = ax.get_legend()
    assert legend is not None
    assert ["before", "lower"] == [text.get_text() for text in legend.get_texts()]


def test_labels_name_periods_too() -> None:
    """Sides that are times have the names of their labels, and the words of a change; others those of a difference."""
    sides = ["eight weeks before", "this week"]
    ax = plot_comparison(compared(labels=sides, are_periods=True))
    assert any("eight weeks before → this week; bar: 95 % interval of the change" in text for text in words(ax))
    assert "Fallen: click rate fell beyond chance" in " ".join(ax.get_title(loc="left").split("\n"))
    assert alt_text(ax).startswith("Before and after of click rate")
    table = comparison_table(compared(labels=sides, are_periods=True))
    assert ["Eight weeks before", "Now", "Change"] == table.heads[1:4]
    other = plot_comparison(compared(labels=["email", "SMS"]))
    assert "click rate of SMS is lower than of email" in " ".join(other.get_title(loc="left").split("\n"))
    assert ["email", "SMS", "Difference"] == comparison_table(compared(labels=["email", "SMS"])).heads[1:4]


def test_comparison_title_follows_the_verdict() -> None:
    """Nothing is claimed where the verdict claims nothing."""
    quiet = compared().iloc[[0, 3]]
    quiet.attrs = compared().attrs
    assert "No flow’s click rate moved beyond chance" == plot_comparison(quiet).get_title(loc="left")
    finding = " ".join(plot_comparison(compared()).get_title(loc="left").split("\n"))
    assert f"Fallen: click rate fell beyond chance, 5.00{NB}% → 3.00{NB}% (+1 more)" == finding


# --- effects and variations ---------------------------------------------------------------------------------------


def test_waterfall_ends_where_the_rate_ended() -> None:
    """The steps add up: diamonds stand at the rate before and after."""
    ax = plot_effects(decomposed())
    ends = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    np.testing.assert_allclose([0.03, 0.0345], ends)
    assert ["Before", "One", "Two", "Three (new)", "After"] == labels(ax)
    assert f"+0.50{NB}points" in words(ax)


def test_mix_is_hatched_and_within_is_solid() -> None:
    """The two effects differ in more than colour."""
    ax = plot_effects(decomposed())
    assert [None, style.HATCH] * 3 == [bar.get_hatch() for bar in ax.patches]
    left, right = ax.get_xlim()
    assert all(left < bar.get_x() < right and left < bar.get_x() + bar.get_width() < right for bar in ax.patches)


def test_waterfall_sums_the_rest() -> None:
    """Small effects share a row, and the end does not move."""
    ax = plot_effects(decomposed(), top=1)
    assert ["Before", "One", "2 other messages", "After"] == labels(ax)
    ends = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(0.0345, ends[-1])


def test_duel_names_the_leader_and_is_never_certain() -> None:
    """The likely best one comes first with a filled mark; its probability is never 100 %."""
    ax = plot_variations(variations())
    assert ["Mail", "Text", "Photo"] == labels(ax)
    assert f"over 99.9{NB}% · winner" in words(ax)
    marks = {line.get_xdata()[0]: line.get_marker() for line in ax.lines if line.get_marker() in ("D", "o")}
    assert {0.05: "D", 0.03: "o"} == marks


# --- series -------------------------------------------------------------------------------------------------------


def named_line(ax: Axes, label: str) -> Any:
    return next(line for line in ax.lines if line.get_label() == label)


def test_lines_stand_at_the_wall_time_of_the_account() -> None:
    """A week that starts on Monday in Copenhagen is drawn on that Monday, not on Sunday in UTC."""
    ax = plot_series(series(1), statistic="click_rate")
    first = mdates.num2date(named_line(ax, "Flow 0").get_xdata()[0])
    assert (2026, 10, 12, 0) == (first.year, first.month, first.day, first.hour)


@pytest.mark.parametrize("how", ["value", "row"])
def test_a_gap_stays_a_gap(how: str) -> None:
    """A missing value and a missing row both interrupt the line."""
    frame = series(1)
    frame = frame.drop(index=2) if how == "row" else frame.assign(click_rate=frame["click_rate"].mask(frame.index == 2))
    values_drawn = named_line(plot_series(frame, statistic="click_rate"), "Flow 0").get_ydata()
    assert [False, False, True, False, False, False] == list(np.isnan(values_drawn))


def test_a_week_missing_for_all_groups_is_a_gap_too() -> None:
    """A line does not run across a week that no group has."""
    frame = series(2)
    frame = frame[frame["interval_start"] != frame["interval_start"].iloc[3]]
    assert 6 == len(named_line(plot_series(frame, statistic="click_rate"), "Flow 0").get_xdata())


def test_what_is_not_final_is_hatched_and_hollow() -> None:
    """Provisional intervals lie in a hatched area, their dots are hollow, and the subtitle says it."""
    ax = plot_series(series(1), statistic="click_rate")
    (area,) = [patch for patch in ax.patches if patch.get_gid() == "not-final"]
    assert style.HATCH == area.get_hatch()
    last = named_line(ax, "Flow 0").get_xdata()[-1]
    assert area.get_x() < last < area.get_x() + area.get_width()
    hollow = [line for line in ax.lines if line.get_label() == "_dots" and line.get_markerfacecolor() == "white"]
    assert [last] == list(hollow[0].get_xdata())
    assert any("hatched: not final yet" in text for text in words(ax))
    assert "the last interval is not final" in alt_text(ax)


def test_the_largest_groups_have_colours_and_the_others_are_pale() -> None:
    """Five lines are named at their ends; the rest stays in the background and is counted."""
    ax = plot_series(series(9), statistic="click_rate")
    coloured = [line for line in ax.lines if line.get_label().startswith("Flow")]
    assert ["Flow 0", "Flow 1", "Flow 2", "Flow 3", "Flow 4"] == [line.get_label() for line in coloured]
    assert 5 == len({str(line.get_linestyle()) + str(line.get_color()) for line in coloured})
    others = named_line(ax, "_others")
    assert (4 * 7, style.PALE) == (len(others.get_xdata()), others.get_color())
    assert any("pale: 4 other flows" in text for text in words(ax))


def test_names_at_the_ends_do_not_cover_each_other() -> None:
    """Lines that end together have their names set apart."""
    frame = series(5).assign(click_rate=0.03)
    ax = plot_series(frame, statistic="click_rate")
    rendered(ax)
    boxes = sorted((t.get_window_extent() for t in ax.texts if t.get_text().startswith("Flow")), key=lambda b: b.y0)
    assert 5 == len(boxes)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_a_tiny_group_does_not_flatten_the_others() -> None:
    """The scale follows the coloured lines; a pale one that leaves it is mentioned."""
    frame = series(3)
    frame.loc[frame["flow_id"] == "Fl2", "click_rate"] = 1.0
    ax = plot_series(frame, statistic="click_rate", top=2)
    assert ax.get_ylim()[1] < 0.1
    assert any("cut at the top" in text for text in words(ax))


def test_limits_are_a_band_with_ringed_signals() -> None:
    """The band spans the limits, a signal has a ring and its week, the title tells it."""
    one = series(1)
    ax = plot_series(one, statistic="click_rate", limits=limits(one))
    (band,) = [c for c in ax.collections if c.get_gid() == "limits"]
    heights = band.get_paths()[0].vertices[:, 1]
    assert (0.019, 0.026) == (heights.min(), heights.max())
    (ring,) = [line for line in ax.lines if line.get_label() == "_signals"]
    assert [0.022] == list(ring.get_ydata())
    assert "W44" in words(ax)
    assert f"2.20{NB}% in W44 lies below the usual 2.25{NB}%" in " ".join(ax.get_title(loc="left").split("\n"))
    assert "W44" in alt_text(ax)


def test_limits_of_the_drawn_group_are_picked() -> None:
    """Limits of many groups are narrowed to the one that is drawn; several drawn groups are refused."""
    two = series(2)
    both = limits(two, signal=-1)
    ax = plot_series(two[two["flow_id"] == "Fl1"], statistic="click_rate", limits=both)
    assert "nothing outside the control limits" in alt_text(ax)
    with pytest.raises(ArgumentError, match="one group at a time"):
        plot_series(two, statistic="click_rate", limits=both)


def test_dates_on_the_axis_are_starts_of_intervals() -> None:
    """Ticks stand on intervals that exist, at most seven, the year told once."""
    ax = plot_series(series(1, weeks=20), statistic="click_rate")
    drawn = set(named_line(ax, "Flow 0").get_xdata())
    assert set(ax.get_xticks()) <= drawn
    assert 7 >= len(ax.get_xticks())
    assert ["\n2026" in t.get_text() or "\n2027" in t.get_text() for t in ax.get_xticklabels()].count(True) == 2


def test_small_multiples_share_colours_and_figure() -> None:
    """One panel per statistic on one figure; a group has the same colour in each."""
    panels = plot_small_multiples(series(3, sandbox=True), statistics=["recipients", "click_rate"])
    assert ["Recipients (count)", "Click rate (% of delivered)"] == [ax.get_title(loc="left") for ax in panels]
    assert 1 == len({id(ax.get_figure()) for ax in panels})
    first, second = (named_line(ax, "Flow 1").get_color() for ax in panels)
    assert first == second
    figure = panels[0].get_figure()
    assert SANDBOX_MARK in [text.get_text() for text in figure.texts]
    assert 1 == alt_text(panels).count("invented numbers")


def test_lines_without_a_final_interval_have_a_title_all_the_same() -> None:
    """Where every interval still settles, the title tells the last value as it stands, and on which day."""
    frame = series(2, 3).assign(is_provisional=True)
    panels = plot_small_multiples(frame, statistics=["recipients", "click_rate"])
    heading = panels[0].get_figure()._suptitle.get_text()
    assert "in W44, farthest from its median" in heading
    ax = plot_series(frame, statistic="click_rate")
    assert "in W44, farthest from its median" in ax.get_title(loc="left").replace("\n", " ")
    days = frame.assign(interval_start=pd.date_range("2026-11-20", periods=3, tz="Europe/Copenhagen").repeat(2))
    ax = plot_series(days.assign(flow_id=["a", "b"] * 3, flow_name=["A", "B"] * 3), statistic="click_rate")
    assert "on 22 Nov, farthest" in ax.get_title(loc="left").replace("\n", " ")


def test_small_multiples_say_what_is_not_known() -> None:
    """A panel without numbers holds a sentence; the others are drawn."""
    frame = series(2).assign(open_rate=np.nan)
    panels = plot_small_multiples(frame, statistics=["click_rate", "open_rate", "recipients"])
    assert not panels[1].axison
    assert "Open rate is not known" in alt_text(panels[1])
    with pytest.raises(ArgumentError, match="at least one"):
        plot_small_multiples(frame, statistics=[])


def test_heatmap_cells_are_the_values() -> None:
    """Rows are groups, columns are weeks, cells hold the values and say them."""
    ax = plot_heatmap(series(2), statistic="click_rate")
    mesh = ax.collections[0].get_array()
    assert (2, 6) == mesh.shape
    assert pytest.approx(0.031) == mesh[1, 1]
    assert ["W42", "W43", "W44", "W45", "W46", "W47"] == [t.get_text() for t in ax.get_xticklabels()]
    assert "3.10" in words(ax)
    assert "Flow 1, W47" in ax.get_title(loc="left")


def test_heatmap_marks_what_is_missing_and_what_is_not_final() -> None:
    """An empty cell is crossed, a provisional column hatched; neither looks like zero."""
    frame = series(2).drop(index=2)
    ax = plot_heatmap(frame, statistic="click_rate")
    assert [(2, 0)] == [box.get_xy() for box in ax.patches if box.get_gid() == "no-value"]
    (soft,) = [box for box in ax.patches if box.get_gid() == "not-final"]
    assert ((5, 0), style.HATCH) == (soft.get_xy(), soft.get_hatch())
    assert "1 cell without a value" in alt_text(ax)


def test_heatmap_scale_ignores_cells_of_a_few_recipients() -> None:
    """Three recipients neither set the scale nor the headline."""
    frame = series(2)
    frame.loc[8, ["recipients", "click_rate"]] = [3, 1.0]
    ax = plot_heatmap(frame, statistic="click_rate")
    assert ax.collections[0].get_clim()[1] < 0.1
    assert "100" not in ax.get_title(loc="left")


# --- forecast -----------------------------------------------------------------------------------------------------


def test_too_few_snapshots_forecast_nothing() -> None:
    """A forecast without numbers gives the reason that came with it, or says that there is none."""
    nothing = forecast().assign(final=np.nan)
    nothing.attrs = {}
    assert "not forecast" in alt_text(plot_forecast(nothing))
    nothing.attrs = {"note": "Only one snapshot so far."}
    assert "Only one snapshot so far." == alt_text(plot_forecast(nothing))


def test_forecast_stacks_what_is_still_to_come() -> None:
    """Solid is in, hatched is expected; together they end at the forecast."""
    ax = plot_forecast(forecast())
    solid, hatched = ax.containers[0], ax.containers[1]
    assert [100, 80, 40] == [bar.get_height() for bar in solid]
    assert [0, 10, 55] == [bar.get_height() for bar in hatched]
    assert {style.HATCH} == {bar.get_hatch() for bar in hatched}
    assert "22 Nov will end at about 95 conversions, 40 so far" == ax.get_title(loc="left")


# --- words and lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [formats, style])
def test_examples_in_the_docstrings_hold(module: Any) -> None:
    """What the docstrings show is what comes out."""
    assert 0 == doctest.testmod(module).failed


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("Welcome", 10, "Welcome"),
        ("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", 5, "👨‍👩‍👧👨‍👩‍👧…"),
        ("🇩🇰🇸🇪🇳🇴", 5, "🇩🇰🇸🇪…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("a\u202eb", 9, "a b"),
        ("  ", 9, "(no name)"),
        (None, 9, "(no name)"),
        (float("nan"), 9, "(no name)"),
        (pd.NA, 9, "(no name)"),
    ],
)
def test_short_names_are_never_cut_inside_a_character(text: Any, width: int, short: str) -> None:
    """Joined emoji, flags and accents stay whole; what reorders text is gone."""
    assert short == formats.short_name(text, width)


def test_names_that_differ_at_their_ends_stay_different() -> None:
    """Cutting does not make two names one."""
    shown = formats.unique_names([f"{'Nordlys ' * 9}{end}" for end in ("Denmark", "Norway")], width=24)
    assert ["Denmark", "Norway"] == [label.split("…")[1][-7:].strip().removeprefix("s ") for label in shown]


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.nan, "–"), (None, "–"), (pd.NA, "–"), (0, f"0{NB}%"), (1, f"100{NB}%"), (0.0004, f"0.040{NB}%")],
)
def test_percent_never_invents_a_zero(value: Any, text: str) -> None:
    """Missing is a dash, zero is zero, small rates keep their digits."""
    assert text == formats.percent_text(value)


# --- accounts beside each other -------------------------------------------------------------------------------------


def test_accounts_show_raw_and_pooled_and_the_one_that_stands_out() -> None:
    """Both marks per account, the highest pooled rate on top; the finding is the account out of the band."""
    ax = plot_accounts(accounts())
    assert ["small", "large", "odd"] == labels(ax)
    dots = sorted(float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1)  # type: ignore[index,arg-type]
    assert pytest.approx([0.01, 0.012, 0.05, 0.05, 0.06, 0.2]) == dots
    assert "odd lies below" in ax.get_title(loc="left").replace("\n", " ")
    assert "1 account out of that spread: odd" in alt_text(ax)
    quiet = accounts().assign(verdict="within the fleet")
    quiet.attrs = accounts().attrs
    assert "No account’s click rate" in plot_accounts(quiet).get_title(loc="left").replace("\n", " ")


def test_the_forest_ends_with_all_accounts_and_says_what_is_shown() -> None:
    """The fleet's row is the last; the title claims a change only where one is shown, and counts who is left out."""
    ax = plot_template_effect(switched())
    assert ["one", "two", "All accounts"] == labels(ax)
    assert "rose by 20" in ax.get_title(loc="left")
    assert any("1 account not comparable" in text.replace("\n", " ") for text in words(ax))
    none = switched(effect={**switched().attrs["effect"], "p_value": 0.4, "low": 0.97})
    assert "no change of click rate can be shown" in plot_template_effect(none).get_title(loc="left").replace("\n", " ")


def test_the_legend_of_the_same_law_fits_its_picture() -> None:
    """No words are cut, and the weeks have the width that the picture has."""
    ax = plot_same_law(same_law_weeks())
    figure = ax.figure
    figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert 0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
    assert ax.get_window_extent().width > 0.85 * figure.bbox.width
