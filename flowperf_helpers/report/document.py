"""One object that holds everything a weekly report says, and shows or saves it part by part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.frames.catalog import how_to_read
from flowperf_helpers.frames.formats import short_name
from flowperf_helpers.report import export, measures, tables
from flowperf_helpers.report.data import WeekAnswers
from flowperf_helpers.report.findings import (
    Sentence,
    Signal,
    change_signals,
    duel_signals,
    five_sentences,
    limit_signals,
    not_compared,
    rank,
    to_frame,
)
from flowperf_helpers.report.html import Section, render
from flowperf_helpers.report.tables import FlowView, flow_list, flow_views, own_section
from flowperf_helpers.report.tiles import AFTERWARDS, HEADLINE, Tile, make_tiles

__all__ = ["WeeklyReport"]

DETAILED_FLOWS = 60
"""Flows that get a block of their own on the page, in the order of what changed; all are in the table and the files."""


@dataclass(frozen=True)
class WeeklyReport:
    """The report of one week, computed when it is first looked at.

    Examples
    --------
    >>> report = WeeklyReport(fetch_week(connect("sandbox")))          # doctest: +SKIP
    >>> report.first_screen()                                           # doctest: +SKIP
    """

    answers: WeekAnswers

    # -- frames ---------------------------------------------------------------------------------------------------

    @cached_property
    def _before(self) -> tuple[pd.DataFrame | None, bool]:
        before, equal = measures.before_at_equal_age(self.answers)
        if self.answers.partial and not equal:  # a part of a week beside a whole one
            return None, False
        return before, equal

    @property
    def before(self) -> pd.DataFrame | None:
        """The week before, at equal age where an earlier answer is in the store."""
        return self._before[0]

    @property
    def equal_age(self) -> bool:
        """Whether the week before is of equal age."""
        return self._before[1]

    @cached_property
    def _withheld(self) -> tuple[str, ...]:
        """Rates that are not judged: those that still move, while the week before has had longer to settle."""
        return () if self.equal_age or not self.settling.open_days else AFTERWARDS

    @cached_property
    def changes(self) -> pd.DataFrame:
        """Rates of every flow beside the week before, corrected together."""
        return measures.changes(self.before, self.answers.current, withheld=self._withheld)

    @cached_property
    def account_changes(self) -> pd.DataFrame:
        """Rates of the account beside the week before."""
        before = None if self.before is None else self.before.assign(everything="all")
        return measures.changes(
            before, self.answers.current.assign(everything="all"), by=("everything",), withheld=self._withheld
        )

    @cached_property
    def duels(self) -> pd.DataFrame:
        """Variations of the last four weeks against each other."""
        from flowperf_helpers.stats.ab_tests import compare_recent_variations

        weekly = self.answers.weekly
        if "variation" not in weekly or not weekly["variation"].notna().any():
            return pd.DataFrame(columns=["flow_id", "flow_message_id", "variation", "is_best", "verdict"])
        return compare_recent_variations(weekly, last=self._last_week)

    @cached_property
    def signals(self) -> list[Signal]:
        """Everything that asks for a look, urgent first."""
        from flowperf_helpers.stats.signals import find_signals

        found = find_signals(self.answers.daily, self.answers.weekly, last_days=7)
        signals = [
            *change_signals(self.changes, self.names),
            *duel_signals(self.duels, self.names, period="the last four weeks"),
            *limit_signals(found, self.names),
        ]
        return rank(signals, self._worth)

    @cached_property
    def flows(self) -> pd.DataFrame:
        """Flows ranked by what changed: those with a signal first, then by the money that moved."""
        table = measures.week_table(self.answers.current, self.before, by=["flow_id"])
        order = {signal.flow_id: i for i, signal in reversed(list(enumerate(self.signals)))}
        missing = [f for f in order if f not in set(table["flow_id"])]
        if missing:
            table = pd.concat([table, pd.DataFrame({"flow_id": pd.Series(missing, dtype="str")})], ignore_index=True)
        position = table["flow_id"].map(order).fillna(len(order))
        worth = -table["flow_id"].map(self._worth).fillna(0).abs()
        sent = -table["delivered"].astype("float64").fillna(0)
        keys = pd.DataFrame({"position": position, "worth": worth, "sent": sent, "flow_id": table["flow_id"]})
        table = table.loc[keys.sort_values(list(keys.columns)).index].reset_index(drop=True)
        table.insert(1, "flow_name", table["flow_id"].map(self.names).astype("str"))
        return table

    @cached_property
    def messages(self) -> pd.DataFrame:
        """Messages of the week beside the week before."""
        return measures.week_table(self.answers.current, self.before, by=["flow_id", "flow_message_id", "send_channel"])

    @cached_property
    def effects(self) -> pd.DataFrame:
        """Where each flow's change of click rate came from."""
        return measures.effects(
            self.before, self.answers.current, list(self.flows["flow_id"])[:DETAILED_FLOWS], rate="click_rate"
        )

    @cached_property
    def strips(self) -> pd.DataFrame:
        """12 weeks per flow."""
        return measures.strips(self.answers.weekly, last=self._last_week)

    @cached_property
    def honest(self) -> pd.DataFrame:
        """Flows and messages without a number, each with the reason."""
        return measures.unsent(self.answers)

    @cached_property
    def restated(self) -> pd.DataFrame:
        """Weeks whose numbers changed since they were last asked for."""
        return measures.restated(self.answers)

    @cached_property
    def settling(self) -> measures.Settling:
        """How complete the week is, and where it will end."""
        return measures.settling(self.answers)

    @cached_property
    def reconciled(self) -> pd.DataFrame:
        """Where the week's values and its bucket in the weekly series disagree."""
        return measures.disagreements(self.answers)

    # -- words ----------------------------------------------------------------------------------------------------

    @cached_property
    def tiles(self) -> list[Tile]:
        """Headline numbers."""
        now = measures.totals(self.answers.current)
        assert now is not None
        return make_tiles(
            now,
            measures.totals(self.before),
            measures.totals(self.answers.year_ago),
            self.account_changes,
            currency=self.currency,
            provisional=self.settling.open_days > 0,
            unknown=self.answers.unknown | not_compared(self.before, self.answers.previous)[0],
            counts=measures.rate_counts(self.answers.current),
            valued=measures.conversions_with_value(self.answers.current),
        )

    @cached_property
    def sentences(self) -> list[Sentence]:
        """The week in five sentences."""
        return five_sentences(
            self.signals,
            self.tiles,
            names=self.names,
            comparisons=int(self.changes["verdict"].ne(measures.NOT_COMPARABLE).sum()),
            equal_age=self.equal_age,
            open_days=self.settling.open_days,
            forecast=self.settling.sentence,
            alone=not_compared(self.before, self.answers.previous)[1],
            metrics=len(self.answers.metrics),
            valued=measures.conversions_with_value(self.answers.current),
            year_ago=self.answers.year_ago_words,
        )

    @cached_property
    def names(self) -> dict[str, str]:
        """Flow id to name."""
        return measures.flow_names(self.answers)

    @property
    def currency(self) -> str | None:
        """Of the account."""
        return self.answers.account["currency"]

    @property
    def _last_week(self) -> pd.Timestamp:
        return self.answers.window.bounds(self.answers.account["timezone"])[0]

    @cached_property
    def _worth(self) -> dict[str, float]:
        table = measures.week_table(self.answers.current, self.before, by=["flow_id"])
        if "conversion_value" not in table:
            return {}
        then = table.get("conversion_value_before", pd.Series(0.0, index=table.index))
        moved = table["conversion_value"].fillna(0) - then.fillna(0)
        return dict(zip(table["flow_id"], moved, strict=True))

    # -- the page -------------------------------------------------------------------------------------------------

    def first_screen(self) -> Section:
        """Account, week, five sentences and headline tiles."""
        return render("first_screen", report=self, anchors=self.anchors, style=True)

    def flow_sections(self) -> Section:
        """The ranked table, and a block per flow."""
        shown = self.views[:DETAILED_FLOWS]
        listing = flow_list(self.views, len(shown))
        return render("flows", report=self, listing=listing, shown=shown, rest=len(self.views) - len(shown))

    def signal_section(self) -> Section:
        """Signals in full."""
        return render("signals", report=self)

    def honest_section(self) -> Section:
        """What has no number and why; what changed since last time; what still settles; where answers disagree."""
        return render(
            "honest",
            report=self,
            unsent=tables.unsent_table(self.honest, self.names),
            restated=tables.restated_table(measures.restated_weeks(self.answers), self.currency),
            curve=tables.settling_table(self.settling.curve),
            disagreements=tables.disagreement_table(self.reconciled, self.names, self.currency),
        )

    def closing_section(self) -> Section:
        """How each number is defined; account, zone, currency, revision, requests spent, when asked, versions."""
        return render(
            "closing", report=self, definitions=self.definitions, facts=export.provenance(self), divisors=self.divisors
        )

    def show(self, drawn: Any) -> Section:
        """A frame or a picture of your own in the style of the page, for a cell's last line.

        Parameters
        ----------
        drawn : DataFrame, Series, or what a ``plot_*`` function returns
            Frames are printed to 200 rows, with names in place of ids and each number in its unit.
        """
        return own_section(drawn, currency=self.currency)

    @property
    def definitions(self) -> pd.DataFrame:
        """Definitions of the statistics on the page."""
        return how_to_read([*HEADLINE, "recipients", "opens_unique", "clicks_unique", "conversion_uniques"])

    @cached_property
    def divisors(self) -> list[str]:
        """What each rate of this answer is divided by, as far as its rows tell."""
        now = measures.totals(self.answers.current)
        return export.divisor_sentences({} if now is None else now.attrs.get("denominators", {}))

    @cached_property
    def anchors(self) -> dict[str, str]:
        """Flow id to its place on the page."""
        return {view.flow_id: view.anchor for view in self.views[:DETAILED_FLOWS]}

    @cached_property
    def views(self) -> list[FlowView]:
        """Every flow, ready to print."""
        statuses = self.answers.flows.assign(
            status=self.answers.flows["flow_status"].where(
                ~self.answers.flows["archived"].fillna(False).astype(bool), "archived"
            )
        )
        return flow_views(
            self.flows,
            strips=self.strips,
            changes=self.changes,
            messages=self.messages,
            duels=self.duels,
            effects=self.effects,
            signals=self.signals,
            names=self.names,
            message_names=self.message_names,
            statuses=dict(zip(statuses["flow_id"], statuses["status"].astype("str"), strict=True)),
            currency=self.currency,
        )

    @cached_property
    def message_names(self) -> dict[str, str]:
        """Message id to name."""
        names: dict[str, str] = {}
        for frame in (self.answers.messages, self.answers.weekly, self.answers.current):
            if "flow_message_name" in frame:
                known = frame.dropna(subset=["flow_message_id", "flow_message_name"])
                names |= dict(zip(known["flow_message_id"], known["flow_message_name"], strict=True))
        return names

    # -- the files ------------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, pd.DataFrame]:
        """Sheets of the spreadsheet, by name."""
        return {
            "flows": self.flows,
            "messages": export.named(self.messages, self.names, self.message_names),
            "changes": export.named(self.changes, self.names),
            "variations": self.duels,
            "effects": export.named(self.effects, self.names, self.message_names),
            "signals": export.named(to_frame(self.signals), self.names),
            "weeks": export.named(self.strips, self.names),
            "without numbers": self.honest,
            "changed since": self.restated,
            "settling": self.settling.curve,
            "answers that disagree": self.reconciled,
            "definitions": self.definitions,
            "provenance": pd.DataFrame(export.provenance(self), columns=["fact", "value"], dtype="str"),
        }

    def tidy(self) -> pd.DataFrame:
        """Every answer behind the report as one frame; ``frame`` names the answer a row comes from."""
        return export.tidy(self.answers)

    def headline(self) -> dict[str, Any]:
        """Headline numbers as JSON values; see ``flowperf_helpers/report/templates/headline.schema.json``."""
        return export.headline(self)

    def save(self, folder: str | Path) -> list[str]:
        """Write ``data.parquet``, ``data.xlsx`` and ``headline.json`` into a folder; an empty name writes nothing."""
        if not folder:
            return []
        from flowperf_helpers.report.export import write_headline, write_parquet, write_sheets

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_parquet(self.tidy(), place / "data.parquet")
        write_sheets(self.tables(), place / "data.xlsx", title=self.title, currency=self.currency)
        write_headline(self.headline(), place / "headline.json")
        return sorted(path.name for path in place.iterdir())

    @property
    def versions(self) -> dict[str, str]:
        """What the report was made with."""
        return export.versions()

    @property
    def title(self) -> str:
        """Account and week."""
        return f"{short_name(self.answers.account['title'], 80)}, week {self.answers.week}"

    def __repr__(self) -> str:
        return f"WeeklyReport({self.title}: {len(self.flows)} flows, {len(self.signals)} signals)"
