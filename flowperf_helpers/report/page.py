"""What each template of the page is filled with, beside the numbers themselves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from flowperf_helpers.frames.formats import count_text, money_text, percent_text
from flowperf_helpers.report import export, pictures
from flowperf_helpers.report.findings import account_changes, common_sentence
from flowperf_helpers.report.rows import flow_rows, total_row
from flowperf_helpers.report.verdicts import Verdict
from flowperf_helpers.report.view import MONEY, WeekView

__all__ = ["first_screen", "flow_sections", "notes"]

SHOWN_VERDICTS = 3


def _symbol(view: WeekView) -> str:
    return money_text(1, view.currency, compact=True).removesuffix("1")


def first_screen(view: WeekView) -> dict[str, Any]:
    """The first screen: picture, what changed, four numbers."""
    window = view.numbers.answers.window
    same = window.first.month == window.last.month
    days = f"{window.first:%-d}" + ("" if same else f" {window.first:%B}") + f"–{window.last:%-d %B %Y}"
    zone = str(view.numbers.answers.account["timezone"]).rpartition("/")[2].replace("_", " ")
    news = [v for v in view.verdicts if v.kind != "split test"]
    shown, heading, aside = news[:SHOWN_VERDICTS], "What changed", view.compared
    also: list[tuple[str, str, str]] = []
    common = common_sentence(view.numbers.family)
    if common and not shown and not view.is_first:
        text = f"{common[0].upper()}{common[1:]}. Single flows are judged without what they share."
        title, action = "The account moved as a whole", "was there a holiday or a sale?"
        shown = [Verdict("", "account", "", "●", "", "", title, text, action)]
    elif together := account_changes(view.numbers.family)[0]:
        also.append(("All flows together:", f"{', '.join(together)}; judged apart from it.", ""))
    if not shown:
        shown, heading, aside = (_first_week(view), "What can be said already", "first report") if view.is_first else (
            _quiet(view), heading, aside)  # fmt: skip
    for test in [v for v in view.verdicts if v.kind == "split test"][:1]:
        also.append(("Ready to decide:", test.text, view.anchors.get(test.flow_id, "")))
    if len(news) > SHOWN_VERDICTS:
        also.append((f"{len(news) - SHOWN_VERDICTS} more", "in the table of flows, under “only with a signal”.", ""))
    if view.is_first:
        also += [(f"{when}:", what, "") for when, what in _what_comes(view)]
    elif not view.verdicts and not common:
        also.append(("Nothing to do this week.", "", ""))
    return {
        "view": view, "days": days, "zone": zone, "symbol": _symbol(view), "shown": shown, "heading": heading,
        "aside": aside, "also": also, "tiles": pictures.tile_views(view), "strip": pictures.strip(view),
        "stack": pictures.stack(view),
    }  # fmt: skip


def _quiet(view: WeekView) -> list[Verdict]:
    sizes = {name: view.claim("account", "", name) for name in ("click_rate", "open_rate")}
    shown = [
        f"of the {label} by {100 * float(row['visible']):.0f} %"
        for name, label in (("click_rate", "click rate"), ("open_rate", "open rate"))
        if (row := sizes[name]) is not None and pd.notna(row["visible"])
    ]
    text = f"A change {' or '.join(shown)} would have shown. " if shown else ""
    silence = view.claims[view.claims["kind"].eq("silence") & view.claims["flow_message_id"].eq("")]
    watched = silence["flow_id"].nunique()
    inside = all(tile.place != "No real change" for tile in pictures.tile_views(view))
    return [
        Verdict("", "quiet", "", "○", "", "", "Nothing left its usual range" if inside else "No real change this week",
                text + "In single flows only larger ones: each row of the table says how large."),
        Verdict("", "quiet", "", "○", "", "", f"None of {watched} flows has fallen silent",
                "None paused for longer than its history explains."),
    ]  # fmt: skip


def _first_week(view: WeekView) -> list[Verdict]:
    money = view.money["now"].dropna()
    found = []
    if money.sum() > 0:
        top = str(money.index[0])
        text = f"{money_text(money.iloc[0], view.currency, whole=True)}{' so far' * view.is_open}."
        if len(money) > 1:
            next_one = money_text(money.iloc[1], view.currency, whole=True)
            text += f" The next is {view.name(str(money.index[1]))} with {next_one}."
        title = f"{view.name(top)} earns {100 * money.iloc[0] / money.sum():.0f} % of the money"
        found.append(Verdict(top, "first", "", "●", "", "", title, text))
    complaints = view.tiles["spam_complaint_rate"]
    if complaints.value is not None:
        text = "Gmail asks senders to stay under 0.3 %."
        found.append(Verdict("", "first", "", "●", "", "", f"Complaints are {percent_text(complaints.value)}", text))
    return found


def _what_comes(view: WeekView) -> list[tuple[str, str]]:
    day = view.numbers.answers.window.last + pd.Timedelta(days=1)
    return [
        (f"{day + pd.Timedelta(weeks=1):%-d %B}", "this week beside the next one, both at the same age"),
        (
            f"{day + pd.Timedelta(weeks=2):%-d %B}",
            "the first verdicts, against a cautious guess of how much weeks vary",
        ),
        (f"{day + pd.Timedelta(weeks=8):%-d %B}", "usual ranges from your own eight weeks"),
    ]


def flow_sections(view: WeekView) -> dict[str, Any]:
    """The ranked picture and the table."""
    bars, rest = pictures.bars(view)
    rows = flow_rows(view)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    return {
        "view": view, "symbol": _symbol(view), "bars": bars, "rest": rest, "rows": rows,
        "months": pictures.months(view.starts, 7), "statuses": list(counts.items()), "total": total_row(view),
    }  # fmt: skip


def notes(view: WeekView) -> dict[str, Any]:
    """Notes at the foot: one line each until opened."""
    numbers = view.numbers
    answers, found, currency = numbers.answers, numbers.settling, view.currency
    if not found.open_days:
        settling = "Every day of the week is older than the attribution window: the numbers are final."
    else:
        settling = f"Orders for the last {found.open_days} days are still coming in"
        if found.final is None or found.low is None or found.high is None:
            settling += "; by how much is not known yet."
        else:
            settling += (f": {count_text(found.so_far)} now, about {count_text(found.final)} in the end "
                         f"({count_text(found.low)} to {count_text(found.high)}).")  # fmt: skip
    flows = numbers.coverage["flow_id"].nunique() if len(numbers.coverage) else 0
    live = numbers.coverage[numbers.coverage["flow_status"].eq("live")]["flow_id"].nunique() if flows else 0
    without = "None: every known message was sent this week."
    if flows:
        without = (
            f"{flows} flows or some of their messages, {live} of them live; the rest are drafts, archived, deleted."
        )
    weeks = numbers.restated_weeks
    money = weeks[weeks["statistic"] == MONEY] if len(weeks) else weeks
    if len(money):
        row = money.iloc[0]
        changed = (f"The week of {row['interval_start']:%-d %B} filled up, {money_text(row['before'], currency)} to "
                   f"{money_text(row['after'], currency)}.")  # fmt: skip
        if len(weeks["interval_start"].unique()) > 1:
            changed += f" {weeks['interval_start'].nunique() - 1} more changed."
    elif len(weeks):
        changed = f"{weeks['interval_start'].nunique()} weeks changed by half a percent or more."
    else:
        changed = "Nothing that was reported before has changed by half a percent or more."
        if not len(answers.history):
            changed = "This is the first report of this account on this machine: there is nothing to compare with yet."
    asked = f"{answers.requests} requests, {answers.now:%A %-d %B %Y, %H:%M}"
    metrics = ", ".join(str(name) for name in answers.metrics["metric_name"].head(3))
    return {
        "view": view, "stack": pictures.stack(view), "settling": settling, "curve": _curve(view), "without": without,
        "changed": changed, "source": f"Klaviyo’s reporting API, {asked}; {metrics}.",
        "unsent": export.unsent_table(numbers.coverage, numbers.names),
        "restated": export.restated_table(weeks, currency),
        "disagreements": export.disagreement_table(numbers.reconciled, numbers.names, currency),
        "definitions": export.definitions(), "divisors": export.divisor_sentences(numbers.denominators),
        "facts": export.provenance(numbers),
    }  # fmt: skip


def _curve(view: WeekView) -> list[tuple[str, str, float, bool]]:
    """Share of each day's orders that is in: day, share, height in rem, whether more is to come."""
    curve, window = view.numbers.settling.curve, view.numbers.answers.window
    shares: Any = curve.set_index("age_days")["share"].dropna() if len(curve) else curve
    if not len(shares):
        return []
    found = []
    for number in range(7):
        day = window.first + pd.Timedelta(days=number)
        age = (view.asked.date() - day).days - 1
        share = float(shares.get(min(age, int(shares.index.max())), 1.0)) if age >= 0 else 0.0
        found.append((f"{day:%a %-d}", f"{100 * share:.0f} %", 3.6 * share, share < 0.995))
    return found
