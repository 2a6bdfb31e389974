"""The table of flows: a row each, and what it opens to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import MISSING, count_text, money_text, percent_text, points_text
from flowperf_helpers.plots.svg import axis_ticks, marks, sparkline
from flowperf_helpers.plots.values import flow_states
from flowperf_helpers.report import measures, pictures
from flowperf_helpers.report.export import variations_table
from flowperf_helpers.report.verdicts import EVENTS, Verdict, channel_word, message_name, quiet_line
from flowperf_helpers.report.view import MONEY, PER_RECIPIENT, SHOWN_FLOWS, WeekView
from flowperf_helpers.stats.rate_parts import bare

__all__ = ["flow_rows", "total_row"]

KLAVIYO = "https://www.klaviyo.com/flow/{}/edit"
RATES = ("click_rate", "spam_complaint_rate", "open_rate", "unsubscribe_rate")

Split = Mapping[str, npt.NDArray[Any]]


def _key(value: Any) -> str:
    return "" if value is None or pd.isna(value) else f"{float(value):.5g}"


def flow_rows(view: WeekView) -> list[SimpleNamespace]:
    """Every flow in the order of the table.

    Returns
    -------
    list of SimpleNamespace
        What the template shows of a row, as texts; ``keys`` (what the script sorts and sums by), and for the first
        ``view.detailed`` flows ``evidence``: what the row opens to.
    """
    numbers = view.numbers
    flows = numbers.answers.flows
    statuses = dict(zip(flows["flow_id"].astype(str), flow_states(flows).astype(str), strict=True))
    channels = _channels(numbers.answers.current)
    evidence = _Evidence(view)
    shown = max(SHOWN_FLOWS, len(view.signals))
    rows = []
    for number, flow_id in enumerate(view.order):
        row = _row(view, flow_id, evidence.records.get(flow_id, {}), len(view.order) - number)
        row.status, row.channels = statuses.get(flow_id, "deleted since it last sent"), channels.get(flow_id, "")
        row.is_hidden = number >= shown
        row.evidence = evidence.of(flow_id) if number < view.detailed else None
        rows.append(row)
    return rows


def _channels(current: pd.DataFrame) -> dict[str, str]:
    """Flow id to ``2 emails, SMS``."""
    sent = current[["flow_id", "flow_message_id", "send_channel"]].drop_duplicates()
    counts = sent.groupby(["flow_id", "send_channel"]).size().reset_index(name="count")
    found: dict[str, list[str]] = {}
    for flow_id, channel, count in counts.itertuples(index=False):
        word = channel_word(channel)
        found.setdefault(str(flow_id), []).append(
            word if count == 1 else f"{count} {word}{'s' if word == 'email' else ''}"
        )
    return {flow_id: ", ".join(words) for flow_id, words in found.items()}


def _row(view: WeekView, flow_id: str, record: Mapping[str, Any], rank: int) -> SimpleNamespace:
    found = view.signals.get(flow_id, [])
    now, moved = view.moved.get(flow_id, (np.nan, np.nan))
    place, place_tone = view.money_verdict(flow_id)
    top = found[0] if found else None
    quiet = quiet_line(view.claim("flow", flow_id, "click_rate"))
    ends, (low, high) = view.ends(flow_id), view.usual(flow_id, MONEY)
    band = (low, high) if np.isfinite(low) else ()
    rates = {}
    for name in RATES:
        mark = next((v for v in found if v.statistic == name), None)
        value = record.get(name)
        text = MISSING if value is None or pd.isna(value) else f"{100 * value:.2f}\N{NO-BREAK SPACE}%"
        rates[name] = (f"{mark.glyph} {text}" if mark else text, mark.tone if mark else "")
    sorted_by = {"dl": "delivered", "k": "click_rate", "m": "spam_complaint_rate"}
    is_moved = place_tone and pd.notna(moved) and (moved > 0) == (place_tone == "good")
    return SimpleNamespace(
        flow_id=flow_id, anchor=view.anchors[flow_id], name=view.name(flow_id), is_signal=bool(found),
        keys={"r": _key(now), "c": _key(moved), "p": _key(record.get(PER_RECIPIENT)), "v": str(rank)}
        | {key: _key(record.get(name)) for key, name in sorted_by.items()},
        spark=sparkline(ends, usual=band or None, is_open=view.is_open,
                        tone=top.tone if top and place_tone == "bad" else ""),
        data=marks("m", ends, band, now if view.is_open else None),
        money=money_text(now, view.currency, whole=True), change=_change(moved, view.currency),
        change_tone=place_tone if is_moved else "",
        glyph=top.glyph if top else "", tone=top.tone if top else place_tone, line=top.line if top else place,
        second=f"revenue {place}" if top else quiet, second_tone=place_tone if top else "",
        delivered=count_text(record.get("delivered")),
        per_recipient=money_text(record.get(PER_RECIPIENT), view.currency), rates=rates,
        sentence=f"Revenue {place}; {quiet}." if quiet else f"Revenue {place}.",
    )  # fmt: skip


def _change(value: Any, currency: str | None) -> str:
    return "" if pd.isna(value) else money_text(float(value), currency, plus=True, whole=True)


def total_row(view: WeekView) -> dict[str, Any]:
    """The sums over all flows."""
    money = view.tiles[MONEY]
    shown = {tile.label: tile for tile in pictures.tile_views(view)}
    per, click = shown.get("Revenue per recipient"), shown["Click rate"]
    marked = {label: (text, tone) for label, text, _, tone in pictures.strip(view)}
    return {
        "money": money_text(money.value, view.currency, whole=True), "change": _change(money.difference, view.currency),
        "place": view.money_place, "delivered": count_text(view.tiles["delivered"].value),
        "per": per.value if per else MISSING,
        "click": (f"{click.glyph} {click.value}".strip(), click.tone),
        "complaints": marked["Complaints"],
    }  # fmt: skip


class _Evidence:
    """Opened rows; what all of them need is computed once."""

    def __init__(self, view: WeekView) -> None:
        self.view, numbers = view, view.numbers
        weekly = numbers.answers.weekly
        usual_rows = weekly[weekly["interval_start"].isin(view.starts[-9:-1])]
        self.shown_rates = {flow_id: self._rate(flow_id) for flow_id in view.order[: view.detailed]}
        rates = {flow_id: rate.statistic if rate else "click_rate" for flow_id, rate in self.shown_rates.items()}
        split = measures.effects(usual_rows, numbers.answers.current, rates)
        parts = {str(name): split[name].to_numpy() for name in split if name != "statistic"}
        self.split: dict[str, Split] = {
            str(flow_id): {name: values[places] for name, values in parts.items()}
            for flow_id, places in split.groupby("flow_id").indices.items()
        }
        shown = numbers.messages[numbers.messages["flow_id"].isin(rates)]
        wanted = {"flow_id", "flow_message_id", "send_channel", "delivered", MONEY, *rates.values()}
        self.now: dict[str, list[dict[str, Any]]] = {}
        for message in bare(shown[[c for c in shown if c in wanted]]).to_dict("records"):
            self.now.setdefault(message["flow_id"], []).append({str(name): value for name, value in message.items()})
        of_messages = view.claims[view.claims["kind"].eq("message")]
        keys = zip(of_messages["flow_message_id"], of_messages["statistic"], strict=True)
        self.usual = dict(zip(keys, of_messages["usual"], strict=True))
        table = numbers.flows.assign(flow_id=numbers.flows["flow_id"].astype(str)).set_index("flow_id")
        self.records: dict[str, Any] = {str(flow_id): row for flow_id, row in table.to_dict("index").items()}
        tests = numbers.family.tests
        self.tests = dict(list(tests.groupby("flow_id", sort=False))) if len(tests) else {}

    def of(self, flow_id: str) -> SimpleNamespace:
        """The finding, its statistic, its messages, where the change came from, its test."""
        view = self.view
        found = view.signals.get(flow_id, [])
        rate = self.shown_rates[flow_id]
        statistic = rate.statistic if rate else "click_rate"
        split = self.split.get(flow_id, {})
        messages = self._messages(flow_id, statistic, split, rate)
        lines = {name: quiet_line(view.claim("flow", flow_id, name)) for name in EVENTS}
        told = {verdict.statistic for verdict in found}
        return SimpleNamespace(
            says=[(v.title, " ".join(p[0].upper() + p[1:] for p in (v.text, v.action) if p)) for v in found],
            quiet=[line for name, line in lines.items() if line and name not in told],
            chart=self._chart(flow_id, statistic, found), statistic=formats.statistic_label(statistic),
            tone=rate.tone if rate else "", messages=messages[:12], more_messages=max(0, len(messages) - 12),
            mix=self._mix(split, rate), link=KLAVIYO.format(quote(flow_id, safe="")), facts=self._facts(flow_id),
            test=variations_table(self.tests[flow_id], f"of {view.name(flow_id)}") if flow_id in self.tests else None,
        )  # fmt: skip

    def _rate(self, flow_id: str) -> Verdict | None:
        """The finding about a rate that the opened row explains."""
        found = self.view.signals.get(flow_id, [])
        return next((v for v in found if v.statistic.endswith("rate") and v.kind != "split test"), None)

    def _messages(self, flow_id: str, statistic: str, split: Split, rate: Verdict | None) -> list[SimpleNamespace]:
        """The one that carries the change comes first."""
        view, table = self.view, self.now.get(flow_id, [])
        total = float(np.nansum(split.get("total_effect", 0.0)))
        effect, earlier = (
            dict(zip(split["flow_message_id"], split[name], strict=True)) if split else {}
            for name in ("total_effect", "rate_before")
        )
        whole = view.claim("flow", flow_id, statistic) if len(table) == 1 else None
        names = view.numbers.message_names
        flow = view.numbers.names.get(flow_id, flow_id)
        rows = []
        for row in table:
            message = str(row["flow_message_id"])
            share = effect.get(row["flow_message_id"], np.nan) / total if total else np.nan
            usual = self.usual.get((message, statistic), earlier.get(row["flow_message_id"], whole and whole["usual"]))
            is_cause = bool(rate and (message == rate.message_id if rate.message_id else share >= 0.5))
            sent = row["delivered"] if pd.notna(row["delivered"]) else 0
            rows.append((
                (not is_cause, -np.nan_to_num(share), -float(np.nan_to_num(float(sent)))),
                SimpleNamespace(
                    name=message_name(names.get(message, message), flow), channel=channel_word(row["send_channel"]),
                    delivered=count_text(row["delivered"]), usual=percent_text(usual),
                    now=percent_text(row.get(statistic)), share=_part(share) if rate else "",
                    money=money_text(row.get(MONEY), view.currency, whole=True), is_cause=is_cause,
                ),
            ))  # fmt: skip
        return [row for _, row in sorted(rows, key=lambda pair: pair[0])]

    def _mix(self, split: Split, rate: Verdict | None) -> list[tuple[str, float, float, str, str]]:
        if rate is None or not split:
            return []
        parts = [("Audience mix", float(np.nansum(split["mix_effect"]))),
                 ("Messages’ own rate", float(np.nansum(split["within_effect"]))),
                 ("Total", float(np.nansum(split["total_effect"])))]  # fmt: skip
        reach = max(abs(value) for _, value in parts) or 1.0
        complaint = rate.statistic in ("spam_complaint_rate", "unsubscribe_rate")
        return [
            (label, 50 - 48 * max(-value, 0) / reach, 48 * abs(value) / reach, points_text(value),
             "" if abs(value) < 0.05 * reach else "bad" if (value > 0) == complaint else "good")
            for label, value in parts
        ]  # fmt: skip

    def _chart(self, flow_id: str, statistic: str, found: list[Verdict]) -> SimpleNamespace | None:
        """One statistic over weeks or days, with an axis."""
        view = self.view
        name = view.name(flow_id)
        if any(v.kind == "silence" for v in found):
            return self._days(flow_id, name)
        values = view.weeks(flow_id, statistic)
        if np.isfinite(values).sum() < 2:
            return None
        low, high = view.usual(flow_id, statistic)
        known = bool(np.isfinite(low))
        top = float(np.nanmax([*values, high if known else 0.0])) * 1.08 or 1.0  # a rate of nothing but zeros
        label = formats.statistic_label(statistic)
        tone = next((v.tone for v in found if v.statistic == statistic), "")
        usual = f"Band: usual range, {formats.interval_text(low, high, statistic)}." if known else "No usual range yet."
        return SimpleNamespace(
            title=f"{label} of {name}, {len(values)} weeks", note=usual, start="", step=7,
            picture=sparkline(values, usual=(low, high) if known else None, tone=tone, from_zero=True, top=top),
            data=marks("%", values * 100, (low * 100, high * 100) if known else ()),
            ticks=[(percent_text(t), 100 - 100 * t / top) for t in axis_ticks(top, 3)],
            words=f"{label} of {name} over {len(values)} weeks; {percent_text(values[-1])} this week. {usual}",
        )  # fmt: skip

    @cached_property
    def _sends(self) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
        """Recipients by flow, and the last 42 days up to the week's end."""
        answers = self.view.numbers.answers
        sends = bare(answers.daily)[["flow_id", "interval_start", "recipients"]]
        days = sorted(sends["interval_start"].unique())
        end = answers.window.bounds(sends["interval_start"].dt.tz)[1]
        days = [day for day in days if day <= end][-42:]
        return sends[sends["interval_start"].isin(days)], days

    def _days(self, flow_id: str, name: str) -> SimpleNamespace | None:
        sends, days = self._sends
        rows = sends[sends["flow_id"] == flow_id].groupby("interval_start")["recipients"].sum()
        values = rows.reindex(days).astype(float).fillna(0.0).to_numpy()
        if not len(values):
            return None
        sent = values[values > 0]
        band = tuple(np.quantile(sent, [0.05, 0.95])) if len(sent) > 8 else None
        top = float(values.max()) * 1.08 or 1.0
        return SimpleNamespace(
            title=f"Recipients a day of {name}", note="Band: nine days in ten with sends." if band else "",
            start=f"{days[0]:%Y-%m-%d}", step=1,
            picture=sparkline(values, usual=band, tone="bad", from_zero=True, top=top),
            data=marks("", values, band or ()),
            ticks=[(count_text(t), 100 - 100 * t / top) for t in axis_ticks(top, 3)],
            words=f"Recipients a day of {name} since {days[0]:%-d %B}; {count_text(values[-1])} on the last day",
        )  # fmt: skip

    def _facts(self, flow_id: str) -> list[tuple[str, str]]:
        """The numbers that a phone's row leaves out."""
        got = self.records.get(flow_id)
        if got is None:
            return []
        low, high = self.view.usual(flow_id, MONEY)
        ends = (money_text(v, self.view.currency, whole=True) for v in (low, high))
        usual = " to ".join(ends) if np.isfinite(low) else MISSING
        return [
            ("Delivered", count_text(got.get("delivered"))),
            ("Revenue per recipient", money_text(got.get(PER_RECIPIENT), self.view.currency)),
            ("Open rate", percent_text(got.get("open_rate"))), ("Click rate", percent_text(got.get("click_rate"))),
            ("Complaint rate", percent_text(got.get("spam_complaint_rate"))), ("Usual revenue a week", usual),
        ]  # fmt: skip


def _part(share: float) -> str:
    if share != share:
        return MISSING
    return "all" if share >= 0.95 else f"{100 * share:.0f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")
