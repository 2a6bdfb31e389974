"""The pictures of the page: the revenue of the weeks, the four numbers, the ranked flows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from flowperf_helpers.account.timeframes import last_year_weeks
from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import count_text, money_text, percent_text, points_text, short_name
from flowperf_helpers.plots.svg import Layer, axis_ticks, heat_strip, layered, marks, sparkline, stacked_weeks
from flowperf_helpers.report.verdicts import about
from flowperf_helpers.report.view import MONEY, PER_RECIPIENT, SHOWN_FLOWS, WeekView

__all__ = ["Bar", "Stack", "TileView", "bars", "months", "stack", "strip", "tile_views"]

LAYERS = 7
LABELS = {MONEY: "Revenue", PER_RECIPIENT: "Revenue per recipient", "conversions": "Orders"}
NAMED_DAYS = {(1, 1): "New Year", (2, 14): "Valentine’s Day", (11, 11): "Singles’ Day", (12, 25): "Christmas"}


@dataclass(frozen=True)
class TileView:
    """One of the four numbers: as text, its weeks as a picture, the change and where it lies."""

    label: str
    value: str
    small: str
    picture: Markup
    data: str
    change: str
    place: str
    rest: str
    tone: str = ""
    glyph: str = ""


@dataclass(frozen=True)
class Stack:
    """The revenue of the weeks as one picture, with the words around it."""

    picture: Markup
    data: str
    layers: str
    words: str
    ticks: list[tuple[str, float]]
    labels: list[dict[str, Any]]
    months: list[tuple[str, float]]
    events: str
    table: list[list[str]]
    heads: list[str]
    has_band: bool
    has_last_year: bool
    is_open: bool
    step: int = 7


@dataclass(frozen=True)
class Bar:
    """A flow in the ranked picture; widths are per cent of the common scale."""

    name: str
    anchor: str
    money: str
    change: str
    tone: str
    so_far: float
    coming: float
    low: float
    high: float
    heat: Markup
    data: str
    words: str


def events(view: WeekView) -> list[tuple[float, str, date]]:
    """Days to mark: those of ``accounts.toml``, first sends, starts of tests, and a few days of the calendar."""
    answers = view.numbers.answers
    first = view.starts[0].date()
    last = answers.window.last
    found = [(date.fromisoformat(str(e["date"])), str(e["text"])) for e in answers.account.get("events", [])]
    found += _holidays(answers.account.get("holidays"), first, last)
    told = {day for day, _ in found}
    for year in range(first.year, last.year + 1):
        named = {date(year, month, day): words for (month, day), words in NAMED_DAYS.items()}
        found += [(day, words) for day, words in named.items() if day not in told]
        thursdays = [day for day in (date(year, 11, 1) + timedelta(n) for n in range(30)) if day.weekday() == 3]
        found.append((thursdays[3] + timedelta(1), "Black Friday"))
    weekly = answers.weekly[answers.weekly["recipients"].fillna(0) > 0]
    begun = weekly.groupby("flow_id")["interval_start"].min()
    if len(weekly) and len(begun) <= 200:
        earliest = answers.weekly["interval_start"].min()
        found += [(s.date(), f"{view.name(str(f), 24)} starts") for f, s in begun.items() if s > earliest]
    if "variation" in weekly and weekly["variation"].notna().any():
        tests = weekly[weekly["variation"].notna()].groupby("flow_id")["interval_start"].min()
        for start, begun in tests.groupby(tests):
            one = f"test in {view.name(str(begun.index[0]), 24)} starts"
            found.append((start.date(), one if len(begun) == 1 else f"{len(begun)} tests start"))
    return [
        ((day - first).days / 7, short_name(words, 36), day) for day, words in sorted(found) if first <= day <= last
    ]


def _holidays(place: str | None, first: date, last: date) -> list[tuple[date, str]]:
    """Public holidays of a country, or of a part of one, between two days; in English where it is known."""
    if not place:
        return []
    import holidays

    country, _, part = place.partition("-")
    years = range(first.year, last.year + 1)
    named = holidays.country_holidays(country, part or None, years=years, observed=False, language="en_US")
    return [(day, named[day]) for day in sorted(named) if first <= day <= last]


def stack(view: WeekView) -> Stack | None:
    """The revenue of the weeks by flow; by day in a first week; None where nothing carries money."""
    if view.tiles[MONEY].value is None:
        return None
    starts, step = view.starts, 7
    values = {flow_id: view.weeks(flow_id, MONEY) for flow_id in view.money.index}
    if view.is_first and len(starts) < 3:
        starts, values, step = _days(view, values)
    sized = sorted((f for f in values if f != view.blamed), key=lambda f: -float(np.nansum(values[f][-8:])))
    shown = ([view.blamed] if view.blamed else []) + sized[: LAYERS - bool(view.blamed)]
    rest = [flow_id for flow_id in values if flow_id not in shown]
    layers = [Layer(view.name(f), values[f], "bad" if f == view.blamed else f"s{i + (not view.blamed)}",
                    "bad" if f == view.blamed else "") for i, f in enumerate(shown)]  # fmt: skip
    if rest:
        other = np.nansum([values[f] for f in rest], axis=0)
        layers.append(Layer(f"{len(rest)} other flow{'s' * (len(rest) > 1)}", other, "s7"))
    total = np.nansum(np.array([layer.heights for layer in layers], dtype=float), axis=0)
    low, high = view.weeks("", MONEY, "low"), view.weeks("", MONEY, "high")
    band = (low, high) if step == 7 and np.isfinite(low).any() else None
    last_year = _last_year(view, len(starts)) if step == 7 else np.full(len(starts), np.nan)
    targets = [float(t) for t in _targets(view.numbers.answers.account)]
    marked = events(view) if step == 7 else []
    expected = view.expected if step == 7 else None
    picture, top = stacked_weeks(layers, usual=band, last_year=last_year, expected=expected, targets=targets,
                                 events=[(place, words) for place, words, _ in marked])  # fmt: skip
    ends = view.ends("") if step == 7 else total
    parts: dict[str, Any] = {layer.name: layer.heights for layer in layers[::-1]}
    if np.isfinite(last_year).any():
        parts = {"a year ago": last_year} | parts
    usual_words = f"; usual is {formats.interval_text(low[-1], high[-1], MONEY, view.currency)}" if band else ""
    words = (
        f"Stacked columns of {'weekly' if step == 7 else 'daily'} revenue by flow, {len(starts)} "
        f"{'weeks' if step == 7 else 'days'} to {view.numbers.answers.window.last:%-d %B %Y}. The last stands at "
        f"{money_text(total[-1], view.currency, whole=True)}"
        + (f", expected to end near {about(expected[0], view.currency or '')}" if expected else "") + usual_words + "."
    )  # fmt: skip
    ticks = [
        (money_text(t, view.currency, compact=True), 100 - 100 * t / top)
        for t in axis_ticks(top / (1.2 if marked else 1))
    ]
    return Stack(
        picture, marks("m", ends, [*low, *high] if band else [], total[-1] if view.is_open else None), layered(parts),
        words, ticks,
        _labels(view, layers, top, expected, band, last_year, targets), months(starts, step),
        "; ".join(f"{text} ({day:%-d %b})" for _, text, day in marked),
        *_numbers(view, starts, layers, band, last_year, total),
        band is not None, bool(np.isfinite(last_year).any()), expected is not None, step,
    )  # fmt: skip


def _last_year(view: WeekView, count: int) -> Any:
    """Revenue of the weeks a year before, in the order of the picture; NaN where nobody was mailed or nobody knows."""
    answers = view.numbers.answers
    line = np.full(count, np.nan)
    if answers.last_year is not None:
        money = answers.last_year.groupby("interval_start")[MONEY].sum(min_count=1)
        starts = [week.bounds(answers.account["timezone"])[0] for week in last_year_weeks(answers.window, count)]
        line = money.reindex(starts).to_numpy(dtype=float, na_value=np.nan, copy=True)
    if view.tiles[MONEY].year_ago is not None:
        line[-1] = view.tiles[MONEY].year_ago
    return line


def _days(view: WeekView, values: Mapping[str, Any]) -> tuple[list[pd.Timestamp], dict[str, Any], int]:
    answers = view.numbers.answers
    starts, ends = answers.window.bounds(answers.account["timezone"])
    days = answers.daily[(answers.daily["interval_start"] >= starts) & (answers.daily["interval_start"] < ends)]
    table = days.pivot_table(index="flow_id", columns="interval_start", values=MONEY, aggfunc="sum").astype(float)
    return (
        [pd.Timestamp(day) for day in table.columns],
        {str(f): row for f, row in zip(table.index, table.to_numpy(), strict=True)},
        1,
    )


def _numbers(
    view: WeekView, starts: Sequence[Any], layers: Sequence[Layer], band: Any, last_year: Any, total: Any
) -> tuple[list[list[str]], list[str]]:
    columns = [("Total", total), *([("Usual, low", band[0]), ("Usual, high", band[1])] if band else [])]
    columns += [("A year ago", last_year)] if np.isfinite(last_year).any() else []
    columns += [(layer.name, layer.heights) for layer in layers]
    rows = []
    for i in range(len(starts) - 1, -1, -1):
        mark = "*" if i == len(starts) - 1 and view.is_open else ""
        rows.append([f"{starts[i]:%-d %b}{mark}", *[count_text(values[i]) for _, values in columns]])
    return rows, [name for name, _ in columns]


def _labels(
    view: WeekView,
    layers: Sequence[Layer],
    top: float,
    expected: Any,
    band: Any,
    last_year: Any,
    targets: Sequence[float],
) -> list[dict[str, Any]]:
    """Words right of the last column at the height of what they name, pushed apart."""
    found: list[dict[str, Any]] = []
    below = 0.0
    for number, layer in enumerate(layers):
        value = float(np.nan_to_num(layer.heights[-1]))
        found.append({"at": below + value / 2, "name": layer.name, "kind": layer.tone, "layer": f"l{number}",
                      "look": layer.look, "value": _thousands(value, view.currency)})  # fmt: skip
        below += value
    if expected:
        found.append({"at": expected[0], "name": "expected", "kind": "em", "look": "kh",
                      "value": money_text(float(f"{expected[0]:.3g}"), view.currency, compact=True)})  # fmt: skip
    if band and np.isfinite(band[0][-1]):
        low, high = (money_text(float(f"{v[-1]:.3g}"), view.currency, compact=True) for v in band)
        found.append({"at": float(band[1][-1]), "name": "usual range", "kind": "x", "look": "kb",
                      "value": _span(low, high)})  # fmt: skip
    if np.isfinite(last_year[-1]):
        found.append({"at": float(last_year[-1]), "name": "a year ago", "kind": "x", "look": "kl",
                      "value": money_text(float(f"{last_year[-1]:.3g}"), view.currency, compact=True)})  # fmt: skip
    found += [{"at": t, "name": "target", "kind": "x", "look": "kt",
               "value": money_text(t, view.currency, compact=True)} for t in targets]  # fmt: skip
    found.sort(key=lambda label: label["at"])
    places = _apart([100 - 100 * label["at"] / top for label in found], 4.75)
    return [label | {"top": place} for label, place in zip(found, places, strict=True)][::-1]


def _span(low: str, high: str) -> str:
    """Two amounts of one currency as one text, what they share written once.

    >>> _span("€64k", "€99.7k"), _span("DKK 950k", "DKK 1.1m")
    ('€64–99.7k', 'DKK 950k–1.1m')
    """
    bare = re.sub(r"^\D+", "", high)
    return f"{low.removesuffix(bare.lstrip('0123456789.,'))}–{bare}"


def tile_views(view: WeekView) -> list[TileView]:
    """Revenue, revenue per recipient, delivered and click rate; what carries no money leaves its place to others."""
    wanted = [MONEY, PER_RECIPIENT, "delivered", "click_rate"]
    if view.tiles[MONEY].value is None:
        wanted = ["conversions", "delivered", "open_rate", "click_rate"]
    return [_tile(view, name) for name in wanted]


def _now_and_before(view: WeekView, name: str) -> tuple[float | None, float | None]:
    if name != PER_RECIPIENT:
        return view.tiles[name].value, view.tiles[name].previous
    sides = []
    for frame, money in ((view.numbers.answers.current, "value"), (view.numbers.before, "previous")):
        value = getattr(view.tiles[MONEY], money)
        people = 0.0 if frame is None else float(frame["recipients"].astype(float).sum())
        sides.append(value / people if value is not None and people else None)
    return sides[0], sides[1]


def _tile(view: WeekView, name: str) -> TileView:
    now, before = _now_and_before(view, name)
    open_still = view.is_open and name in (MONEY, PER_RECIPIENT, "conversions")
    low, high = view.usual("", name)
    ends = view.ends("", name)
    row = view.claim("account", "", name) or view.claim("money", "", name)
    changed = row is not None and row["verdict"] == "changed"
    tone = ("good" if row["is_good"] else "bad") if changed and row is not None else ""
    change = ""
    if now is not None and before is not None and (view.is_comparable or not open_still):
        age = " at the same age" if view.numbers.equal_age and open_still else ""
        change = f"{_signed(now - before, name, view.currency)} on last week{age}"
    usual = f"{_rounded(low, name, view.currency)} to {_rounded(high, name, view.currency)}"
    if not np.isfinite(low):
        place, rest = "", f"Usual range: {'from the ninth week on' if view.is_first else 'not known yet'}"
    elif changed and row is not None:
        place = "Above usual" if row["direction"] in ("higher", "up") else "Below usual"
        rest = f": {usual}"
    else:
        inside = low <= float(ends[-1]) <= high
        place = "Within usual" if inside else "No real change"
        rest = f": {usual}" if inside else f", just outside {usual}"
        if open_still and not view.expected:
            place, rest = "Not final yet", f"; usual {usual}"
        if open_still and view.expected and name != "conversions":
            rest = f": about {_rounded(float(ends[-1]), name, view.currency, 3)} in the end"
    unit = {"money": "m", "fraction": "%"}.get(formats.unit_of(name), "")
    unit = "e" if name == PER_RECIPIENT else unit
    scale, so_far = 100 if unit == "%" else 1, now if open_still else None
    return TileView(
        LABELS.get(name, formats.statistic_label(name)),
        _exact(now, name, view.currency), "so far" if open_still else "",
        sparkline(ends if len(ends) > 1 else [], usual=(low, high), is_open=open_still, tone=tone),
        marks(unit, ends * scale, [low * scale, high * scale] if np.isfinite(low) else [], so_far),
        change, place, rest, tone, ("▲" if row["direction"] in ("higher", "up") else "▼") if changed and row else "",
    )  # fmt: skip


def strip(view: WeekView) -> list[tuple[str, str, str, str]]:
    """The small numbers under the tiles: label, number, addition, tone."""
    orders, value, found = view.tiles["conversions"], view.tiles[MONEY], view.numbers.settling
    so_far = " so far" if view.is_open else ""
    of = ""
    if found.final and found.low is not None and found.high is not None and view.is_open:
        of = f"of about {count_text(found.final)} ({count_text(found.low)}–{count_text(found.high)})"
    rows = [(f"Orders{so_far}", orders.value_text, value.note or of, "")]
    if value.value and orders.value:
        rows.append(("Average order", money_text(value.value / orders.value, view.currency, whole=True), "", ""))
    for name, label in (("conversion_rate", f"Conversion rate{so_far}"), ("open_rate", "Open rate"),
                        ("unsubscribe_rate", "Unsubscribes"), ("spam_complaint_rate", "Complaints")):  # fmt: skip
        row = view.claim("account", "", name)
        tone = ("good" if row["is_good"] else "bad") if row is not None and row["verdict"] == "changed" else ""
        glyph = "" if not tone or row is None else "▲ " if row["direction"] in ("higher", "up") else "▼ "
        rows.append((label, glyph + percent_text(view.tiles[name].value), "", tone))
    return rows


def bars(view: WeekView) -> tuple[list[Bar], tuple[str, str, str, float] | None]:
    """The largest flows by money, and the rest as one."""
    money = view.money[view.money["now"].fillna(0) > 0]
    shown = money.head(SHOWN_FLOWS)
    reach = [*shown["now"], *(view.final.get(f, 0.0) for f in shown.index)]
    reach += [view.usual(f, MONEY)[1] for f in shown.index]
    scale = 98 / (np.nanmax([*reach, 0.0]) or 1.0)
    found = [_bar(view, flow_id, row, scale) for flow_id, row in zip(shown.index, shown.itertuples(), strict=True)]
    rest = money.iloc[SHOWN_FLOWS:]
    if not len(rest):
        return found, None
    moved = _signed(rest["moved"].sum(), MONEY, view.currency) if rest["moved"].notna().any() else ""
    words = f"{len(rest)} smaller flow{'s' * (len(rest) > 1)}"
    return found, (words, money_text(rest["now"].sum(), view.currency, whole=True), moved,
                   min(100.0, rest["now"].sum() * scale))  # fmt: skip


def _bar(view: WeekView, flow_id: str, row: Any, scale: float) -> Bar:
    ends = view.ends(flow_id)
    low, high = view.usual(flow_id, MONEY)
    known = np.isfinite(low) and np.isfinite(high)
    place = view.money_verdict(flow_id)[0]
    tone = view.money_verdict(flow_id)[1] or ("bad" if flow_id == view.blamed else "")
    money = money_text(row.now, view.currency, whole=True)
    change = _signed(row.moved, MONEY, view.currency) if pd.notna(row.moved) else ""
    mean = np.nanmean(ends) if np.isfinite(ends).any() else np.nan
    words = f"{view.name(flow_id)}: {money}{' so far' * view.is_open}"
    words += f", {change} on last week" if change else ""
    words += f", {place}; this week {100 * (ends[-1] / mean - 1):+.0f} % against its own mean" if mean else ""
    return Bar(
        view.name(flow_id), view.anchors.get(flow_id, ""), money, change, tone, row.now * scale,
        max(0.0, view.final.get(flow_id, 0.0) - row.now) * scale if view.is_open else 0.0,
        low * scale if known else 0.0, (high - low) * scale if known else 0.0,
        heat_strip(ends, is_open=view.is_open), marks("m", ends, (), row.now if view.is_open else None), words,
    )  # fmt: skip


def _targets(account: Mapping[str, Any]) -> list[float]:
    targets = account.get("targets") or {}
    return [targets["weekly_revenue"]] if "weekly_revenue" in targets else []


def _thousands(value: float, currency: str | None) -> str:
    """€2.1k: one decimal for all, so that a column of them is read at a glance."""
    if value < 1000:
        return money_text(round(value), currency, compact=True)
    return money_text(1.0, currency, compact=True).replace(
        "1", f"{value / 1000:.1f}k" if value < 1e6 else f"{value / 1e6:.1f}M"
    )


def months(starts: Sequence[pd.Timestamp], step: int) -> list[tuple[str, float]]:
    """Words under a picture of weeks: months, or days, with their places in per cent."""
    if step == 1:
        return [(f"{day:%a %-d}", 100 * (i + 0.15) / len(starts)) for i, day in enumerate(starts)]
    first = starts[0]
    months = pd.date_range(first, starts[-1] + pd.Timedelta(days=6), freq="MS", normalize=True)
    every = 1 if len(months) <= 7 else 2
    return [
        (f"{m:%b}", 100 * ((m - first) / pd.Timedelta(days=7)) / len(starts)) for m in months[::every] if m >= first
    ]


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Places (falling) pushed apart to a least distance, kept inside the picture."""
    found = list(places)
    for i in range(1, len(found)):
        found[i] = min(found[i], found[i - 1] - gap)
    if found and found[-1] < 2:
        found[-1] = 2.0
        for i in range(len(found) - 2, -1, -1):
            found[i] = max(found[i], found[i + 1] + gap)
    return found


def _exact(value: float | None, name: str, currency: str | None) -> str:
    if name == PER_RECIPIENT:
        return money_text(value, currency)
    if value is not None and name == MONEY:
        return money_text(value, currency, whole=True)
    return formats.statistic_text(value, name, currency)


def _signed(value: float, name: str, currency: str | None) -> str:
    if formats.unit_of(name) == "fraction":
        return points_text(value)
    if name == MONEY:
        return money_text(value, currency, plus=True, whole=True)
    if name == PER_RECIPIENT:
        return money_text(value, currency, plus=True)
    return count_text(value, plus=True)


def _rounded(value: float, name: str, currency: str | None, digits: int = 3) -> str:
    if formats.unit_of(name) == "fraction":
        return percent_text(float(f"{value:.2g}"))
    return about(value, currency or "", digits=digits) if name in (MONEY, PER_RECIPIENT) else about(value)
