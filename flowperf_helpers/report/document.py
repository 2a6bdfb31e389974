"""One object that holds everything a weekly report says, and shows or saves it part by part."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from flowperf_helpers.report import export, tables
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.html import Section, render
from flowperf_helpers.report.numbers import DETAILED_FLOWS, WeekNumbers, compute
from flowperf_helpers.report.tables import FlowView, flow_list, flow_views, own_section

__all__ = ["WeeklyReport"]


class WeeklyReport(WeekNumbers):
    """The numbers of one week (`WeekNumbers`), with the parts of their page and their files.

    Parameters
    ----------
    answers : WeekData
        Of `fetch_week`.

    Examples
    --------
    >>> report = WeeklyReport(fetch_week(connect("sandbox")))          # doctest: +SKIP
    >>> report.first_screen()                                           # doctest: +SKIP
    """

    def __init__(self, answers: WeekData) -> None:
        super().__init__(**vars(compute(answers)))

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
        currency = self.answers.account["currency"]
        return render(
            "honest",
            report=self,
            unsent=tables.unsent_table(self.honest, self.names),
            restated=tables.restated_table(self.restated_weeks, currency),
            curve=tables.settling_table(self.settling.curve),
            disagreements=tables.disagreement_table(self.reconciled, self.names, currency),
        )

    def closing_section(self) -> Section:
        """How each number is defined; account, zone, currency, revision, requests spent, when asked, versions."""
        return render(
            "closing",
            report=self,
            definitions=export.definitions(),
            facts=export.provenance(self),
            divisors=export.divisor_sentences(self.denominators),
        )

    def parts(self) -> list[Section]:
        """Every part of the page, in its order."""
        return [
            self.first_screen(),
            self.flow_sections(),
            self.signal_section(),
            self.honest_section(),
            self.closing_section(),
        ]

    def show(self, drawn: Any) -> Section:
        """A frame or a picture of your own in the style of the page, for a cell's last line.

        Parameters
        ----------
        drawn : DataFrame, Series, or what a ``plot_*`` function returns
            Frames are printed to 200 rows, with names in place of ids and each number in its unit.
        """
        return own_section(drawn, currency=self.answers.account["currency"])

    @cached_property
    def anchors(self) -> dict[str, str]:
        """Flow id to its place on the page."""
        return {view.flow_id: view.anchor for view in self.views[:DETAILED_FLOWS]}

    @cached_property
    def views(self) -> list[FlowView]:
        """Every flow, ready to print; the tables of those that have a block of their own."""
        flows = self.answers.flows
        status = flows["flow_status"].where(~flows["archived"].fillna(False).astype(bool), "archived")
        detailed = self.flows["flow_id"].head(DETAILED_FLOWS)
        return flow_views(
            self.flows,
            strips=self.strips,
            changes=self.claims[self.claims["flow_id"].isin(detailed) & self.claims["kind"].isin(["flow", "money"])],
            messages=self.messages[self.messages["flow_id"].isin(detailed)],
            variations=self.family.tests[self.family.tests["flow_id"].isin(detailed)],
            effects=self.effects,
            signals=self.signals,
            names=self.names,
            message_names=self.message_names,
            statuses=dict(zip(flows["flow_id"], status.astype("str"), strict=True)),
            currency=self.answers.account["currency"],
        )

    # -- the files ------------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, pd.DataFrame]:
        """Sheets of the spreadsheet, by name."""
        return export.tables(self)

    def tidy(self) -> pd.DataFrame:
        """Every answer behind the report as one frame; ``frame`` names the answer a row comes from."""
        return export.tidy(self.answers)

    def headline(self) -> dict[str, Any]:
        """Headline numbers as JSON values; see ``flowperf_helpers/report/templates/headline.schema.json``."""
        return export.headline(self)

    def save(self, folder: str | Path) -> list[str]:
        """Write ``data.parquet``, ``data.xlsx`` and ``headline.json`` into a folder; an empty name writes nothing."""
        return export.save(self, Path(folder)) if folder else []

    @property
    def versions(self) -> dict[str, str]:
        """What the report was made with."""
        return export.versions()

    @property
    def title(self) -> str:
        """Account and week."""
        return export.title(self.answers)

    def __repr__(self) -> str:
        return f"WeeklyReport({self.title}: {len(self.flows)} flows, {len(self.signals)} signals)"
