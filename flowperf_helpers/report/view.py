"""What the first screen of the page shows, read out of a week's numbers; nothing is computed that they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from flowperf_helpers.frames.formats import count_text, money_text, short_name
from flowperf_helpers.report.evidence import days_of
from flowperf_helpers.report.numbers import WeekNumbers
from flowperf_helpers.report.verdicts import Verdict, about, verdicts

__all__ = ["MONEY", "PER_RECIPIENT", "SHOWN_FLOWS", "WeekView", "anchor_of"]

SHOWN_FLOWS = 12
"""Rows of the picture and of the table until a reader asks for more."""
MONEY, PER_RECIPIENT = "conversion_value", "revenue_per_recipient"


def anchor_of(flow_id: str, number: int) -> str:
    """Where a flow stands on the page: its id where that may be written into an address."""
    return f"e-{flow_id}" if flow_id.isascii() and flow_id.isalnum() else f"e-{number}"


@dataclass(frozen=True)
class WeekView:
    """The numbers of a week, read for the page.

    Attributes
    ----------
    numbers : WeekNumbers
    """

    numbers: WeekNumbers
    detailed: int = field(default=40)

    # -- what is read -------------------------------------------------------------------------------------------------

    @property
    def claims(self) -> pd.DataFrame:
        """One row per comparison."""
        return self.numbers.claims

    @cached_property
    def starts(self) -> list[pd.Timestamp]:
        """First moments of the weeks in the pictures, oldest first."""
        weeks = self.numbers.weeks
        known = weeks[weeks["value"].notna() & weeks["flow_id"].eq("")]["interval_start"]
        starts = sorted(weeks["interval_start"].unique())
        return [start for start in starts if start >= known.min()] or starts[-1:]

    @cached_property
    def _wide(self) -> dict[str, dict[tuple[str, str], Any]]:
        keys, parts = ["flow_id", "statistic", "interval_start"], ["value", "low", "high"]
        wide: Any = self.numbers.weeks.set_index(keys)[parts].astype(float).unstack()  # noqa: PD010 - one value each
        return {name: dict(zip(wide.index, wide[name].to_numpy(), strict=True)) for name in parts}

    def weeks(self, flow_id: str, statistic: str, part: str = "value") -> Any:
        """Numbers of the weeks, NaN where nothing is known; ``part``: value, low or high of the usual range."""
        count = len(self.starts)
        return self._wide[part].get((flow_id, statistic), np.full(count, np.nan))[-count:]

    def usual(self, flow_id: str, statistic: str) -> tuple[float, float]:
        """The usual range of the reported week."""
        return (float(self.weeks(flow_id, statistic, "low")[-1]), float(self.weeks(flow_id, statistic, "high")[-1]))

    @property
    def currency(self) -> str | None:
        """Of the account."""
        return self.numbers.answers.account["currency"]

    @property
    def is_open(self) -> bool:
        """Whether orders of the week are still to come."""
        return self.numbers.settling.open_days > 0 or self.numbers.answers.partial

    @property
    def is_comparable(self) -> bool:
        """Whether money may be set against the week before: both of one age, or both final."""
        return self.numbers.before is not None and (self.numbers.equal_age or not self.is_open)

    @property
    def is_first(self) -> bool:
        """Whether nothing is there to compare with."""
        return self.numbers.before is None and self.numbers.answers.previous is None

    @cached_property
    def tiles(self) -> dict[str, Any]:
        """Headline numbers by statistic."""
        return {tile.statistic: tile for tile in self.numbers.tiles}

    @cached_property
    def final(self) -> dict[str, float]:
        """Flow id to the money that its week will end with, by how earlier weeks filled up; ``""``: of all flows."""
        numbers, curve = self.numbers, self.numbers.settling.curve
        days = days_of(numbers.answers)
        if numbers.settling.final is None or not len(curve) or MONEY not in days or not self.is_open:
            return {}
        asked = pd.Timestamp(numbers.answers.account["asked_at"])
        age = ((asked - days["interval_end"]).dt.total_seconds() // 86_400).clip(0, curve["age_days"].max())
        share = age.map(curve.set_index("age_days")["share"]).fillna(1.0).clip(lower=0.05)
        ahead = (days[MONEY].astype(float).fillna(0) / share).groupby(days["flow_id"]).sum()
        return {"": float(ahead.sum()), **{str(flow_id): float(money) for flow_id, money in ahead.items()}}

    @cached_property
    def expected(self) -> tuple[float, float, float] | None:
        """Money of the week in the end, with its interval: as wide as that of its orders."""
        found = self.numbers.settling
        if "" not in self.final or not found.final or found.low is None or found.high is None:
            return None
        final = self.final[""]
        so_far = self.tiles[MONEY].value or 0.0
        return final, max(so_far, final * found.low / found.final), final * found.high / found.final

    def ends(self, flow_id: str, statistic: str = MONEY) -> Any:
        """The weeks with the last one as it will end."""
        values = np.array(self.weeks(flow_id, statistic), dtype=float)
        if statistic == MONEY and flow_id in self.final and len(values):
            values[-1] = self.final[flow_id]
        if statistic == PER_RECIPIENT and "" in self.final and not flow_id and values[-1] > 0:
            values[-1] *= self.final[""] / self.weeks("", MONEY)[-1]
        return values

    # -- flows --------------------------------------------------------------------------------------------------------

    @cached_property
    def money(self) -> pd.DataFrame:
        """Flows by money: ``now``, ``before`` (at the same age where that is known), ``moved``."""
        table = self.numbers.flows
        now = table.get(MONEY, pd.Series(np.nan, index=table.index)).astype(float)
        before = table.get(f"{MONEY}_before", pd.Series(np.nan, index=table.index)).astype(float)
        frame = pd.DataFrame({"flow_id": table["flow_id"].astype(str), "now": now, "before": before})
        frame["moved"] = frame["now"].fillna(0) - frame["before"] if self.is_comparable else np.nan
        return frame.sort_values("now", ascending=False, kind="stable", na_position="last").set_index("flow_id")

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every finding, those that hurt first."""
        money = {}
        for flow_id in self.claims.loc[self.claims["kind"].eq("silence"), "flow_id"].astype(str):
            values = self.weeks(flow_id, MONEY)[-9:-1]
            if np.isfinite(values).any() and flow_id in self.money.index:
                usual = about(float(np.nanmean(values)), self.currency or "", digits=2)
                this = money_text(self.money.loc[flow_id, "now"], self.currency, whole=True)
                money[flow_id] = f"about {usual} a week; this week {this}"
        named = self.numbers.message_names | self._variations
        week = self.numbers.answers.window.first
        return verdicts(
            self.claims, names=self.numbers.names, messages=named, money=money, week=week, currency=self.currency
        )

    @cached_property
    def _variations(self) -> dict[str, str]:
        weekly = self.numbers.answers.weekly
        if "variation_name" not in weekly:
            return {}
        known = weekly[["variation", "variation_name"]].dropna().drop_duplicates("variation", keep="last")
        return dict(zip(known["variation"].astype(str), known["variation_name"].astype(str), strict=True))

    @cached_property
    def signals(self) -> dict[str, list[Verdict]]:
        """Flow id to its findings."""
        found: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            found.setdefault(verdict.flow_id, []).append(verdict)
        return found

    @cached_property
    def order(self) -> list[str]:
        """Flows in the order of the table: those with a finding first, then by money."""
        return list(dict.fromkeys([*self.signals, *self.money.index]))

    @cached_property
    def anchors(self) -> dict[str, str]:
        """Flow id to its place on the page."""
        return {flow_id: anchor_of(flow_id, number) for number, flow_id in enumerate(self.order)}

    @cached_property
    def moved(self) -> dict[str, tuple[float, float]]:
        """Flow id to its money of the week, and by how much it moved; NaN where nothing is known."""
        pairs = self.money[["now", "moved"]].astype(float).itertuples(index=False, name=None)
        return dict(zip(self.money.index, pairs, strict=True))

    def name(self, flow_id: str, width: int = 48) -> str:
        """A flow's name, cut."""
        return short_name(self.numbers.names.get(flow_id, flow_id), width)

    # -- words --------------------------------------------------------------------------------------------------------

    @cached_property
    def money_place(self) -> str:
        """Where the week's money lies: ``an ordinary week``, ``the low end of usual``, ``below usual``.

        Where all of the expected range lies outside and the test does not call it changed, that is said too.
        """
        low, high = self.usual("", MONEY)
        row = self.claim("money", "", PER_RECIPIENT)
        end, least, most = self.expected or (self.tiles[MONEY].value,) * 3
        if row is not None and row["verdict"] == "changed":
            return "above usual" if row["direction"] == "up" else "below usual"
        if end is None or not (np.isfinite(low) and np.isfinite(high)) or (self.is_open and not self.expected):
            return ""
        if most < low or least > high:
            return f"{'low' if most < low else 'high'}, which may be chance"
        if end < low + 0.15 * (high - low) or least < low:
            return "the low end of usual"
        return "the high end of usual" if end > high - 0.15 * (high - low) else "an ordinary week"

    def claim(self, kind: str, flow_id: str, statistic: str) -> dict[str, Any] | None:
        """One comparison, None where it was not made."""
        return self._claims_by.get((kind, flow_id, statistic))

    @cached_property
    def _claims_by(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        found: list[Any] = self.claims[self.claims["flow_message_id"].eq("")].to_dict("records")
        return {(row["kind"], row["flow_id"], row["statistic"]): row for row in found}

    @cached_property
    def title(self) -> str:
        """The finding of the week, with the amount in it."""
        value, orders = self.tiles[MONEY], self.tiles["conversions"]
        if value.value is None:
            now = f"{orders.value_text} orders" if orders.value is not None else "No orders that Klaviyo tells"
            return now + (" so far" if self.is_open else "")
        text = money_text(value.value, self.currency, whole=True) + (" so far" if self.is_open else "")
        if self.is_first:
            text += " in the first week" if self.is_open else ": the first week"
        if self.expected:
            text += f", heading for about {about(self.expected[0], self.currency or '')}"
        return f"{text}: {self.money_place}" if self.money_place and not self.is_first else text

    @cached_property
    def deck(self) -> Markup:
        """Compared with the week before, the largest part of it, and what is still to come."""
        parts: list[Markup] = []
        value = self.tiles[MONEY]
        open_days = self.numbers.settling.open_days
        if self.is_first:
            parts.append(Markup("There is <b>no earlier week to compare with</b>, so this page says what is there."))
        elif self.numbers.before is None:
            parts.append(
                Markup("This week is <b>still running</b>: a part of a week is not compared with a whole one.")
            )
        elif value.difference is not None and not self.is_comparable:
            now = money_text(value.previous, self.currency, whole=True)
            parts.append(Markup("Last week stands at <b>{}</b> today, with more time to settle: "
                                "the sums are not compared yet.").format(now))  # fmt: skip
        elif value.difference is not None:
            more = "more" if value.difference > 0 else "less"
            amount = about(abs(value.difference), self.currency or "", digits=2)
            age = f"had by the same {self.asked:%A}" if open_days else "had"
            text = Markup("<b>{} {}</b> than last week {}").format(amount, more, age)
            moved = self.money["moved"].dropna()
            largest = str((moved if value.difference > 0 else -moved).idxmax()) if len(moved) else ""
            part = float(moved.get(largest, 0.0))
            if part * value.difference > 0 and abs(part) >= 0.25 * abs(value.difference):
                silent = any(v.kind == "silence" for v in self.signals.get(largest, []))
                text += Markup("; the largest part, {}, is <b><bdi>{}</bdi></b>{}").format(
                    money_text(abs(part), self.currency, whole=True), self.name(largest), ", which fell silent" * silent
                )
            parts.append(text + ".")
        if open_days:
            days = "1 day is" if open_days == 1 else f"{open_days} days are"
            parts.append(Markup("Orders for {} still coming in.").format(days))
        if self.numbers.answers.partial:
            parts.append(Markup("This week is still running: its numbers are a part of it."))
        return Markup(" ").join(parts)

    @property
    def asked(self) -> pd.Timestamp:
        """When Klaviyo was asked, in the account's zone."""
        account = self.numbers.answers.account
        if not account["asked_at"]:
            return self.numbers.answers.now
        return pd.Timestamp(account["asked_at"]).tz_convert(account["timezone"])

    @property
    def compared(self) -> str:
        """How many comparisons were made and how many changed."""
        made = sum(self.numbers.family.comparisons.values())
        real = len([v for v in self.verdicts if v.kind != "split test"])
        return f"{real} real change{'' if real == 1 else 's'} among {count_text(made)} comparisons"

    @cached_property
    def blamed(self) -> str:
        """The flow that stands at the bottom in orange: a finding blames it, and it lost money."""
        for verdict in self.verdicts:
            if verdict.kind == "silence" and verdict.flow_id in self.money.index:
                weeks = self.weeks(verdict.flow_id, MONEY)[-9:]
                if np.isfinite(weeks).sum() > 1 and weeks[-1] < np.nanmean(weeks[:-1]):
                    return verdict.flow_id
        return ""

    def money_verdict(self, flow_id: str) -> tuple[str, str]:
        """Where a flow's money lies, and the tone of it."""
        row = self.claim("money", flow_id, PER_RECIPIENT)
        if row is not None and row["verdict"] == "changed":
            up = row["direction"] == "up"
            return f"a recipient {'above' if up else 'below'} usual", "good" if up else "bad"
        low, high = self.usual(flow_id, MONEY)
        if row is not None and row["verdict"] == "too few":
            return "too few orders to say", ""
        if not np.isfinite(low):
            return "short history", ""
        if self.is_open and flow_id not in self.final:
            return "not final yet" if row is None else "within its usual range", ""
        end = float(self.ends(flow_id)[-1])
        if not np.isfinite(end) or low <= end <= high:
            return "within its usual range", ""
        if any(v.kind == "silence" for v in self.signals.get(flow_id, [])) and end < low:
            return "below its usual range", "bad"
        return ("high" if end > high else "low") + ", may be chance", ""

    def flows_title(self) -> str:
        """How many flows bring most of the money, and which lost most."""
        money = self.money["now"].fillna(0).sort_values(ascending=False)
        if not money.sum() > 0:
            return "Which flows carry it"
        share = (money.cumsum() / money.sum()).to_numpy()
        count = max(1, int(np.searchsorted(share, 0.7, side="left")) + (0 if share[0] >= 0.7 else 1))
        count = min(count, 9, len(money))
        number = ["Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"][count - 2]
        words = "One flow brings" if count == 1 else f"{number} flows bring"
        text = f"{words} {100 * share[count - 1]:.0f} % of the money"
        if share[count - 1] < 0.6:
            text = f"The {count} largest flows bring {100 * share[count - 1]:.0f} % of the money"
        moved = self.money["moved"].dropna()
        if len(moved) and moved.min() < 0:
            text += f"; the largest loss is {self.name(str(moved.idxmin()))}"
        return text
