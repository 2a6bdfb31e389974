"""One object that holds everything a weekly report says, and shows or saves it part by part."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.plots.tables import frame_table
from flowperf_helpers.report import export, page
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.html import Section, render
from flowperf_helpers.report.numbers import WeekNumbers, compute
from flowperf_helpers.report.view import WeekView

__all__ = ["WeeklyReport", "own_section"]


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

    @cached_property
    def view(self) -> WeekView:
        """The numbers, read for the page."""
        return WeekView(self)

    def first_screen(self) -> Section:
        """Account, week, the finding as title, the picture of the weeks, what changed and what to do, the numbers."""
        return render("first_screen", style=True, **page.first_screen(self.view))

    def flow_sections(self) -> Section:
        """The ranked picture, and the table whose rows open in place."""
        return render("flows", **page.flow_sections(self.view))

    def notes(self) -> Section:
        """What is not final, has no number, changed afterwards; how to read it; where it comes from."""
        return render("notes", **page.notes(self.view))

    def parts(self) -> list[Section]:
        """Every part of the page, in its order."""
        return [self.first_screen(), self.flow_sections(), self.notes()]

    def section(self, drawn: Any, title: str = "", text: str = "") -> Section:
        """A frame or a picture of your own in the style of the page, for a cell's last line.

        Parameters
        ----------
        drawn : DataFrame, Series, or what a ``plot_*`` function returns
            Frames are printed to 200 rows, with names in place of ids and each number in its unit.
        title, text : str, optional
            Over it; a picture brings its own alternative text.
        """
        return own_section(drawn, title, text, currency=self.answers.account["currency"])

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


def own_section(
    drawn: Any, title: str = "", text: str = "", *, currency: str | None = None, limit: int = 200
) -> Section:
    """A frame of the reader's as a table of the page; a picture, or what else `as_html` takes, as a figure."""
    if isinstance(drawn, pd.Series):
        drawn = drawn.to_frame()
    if not isinstance(drawn, pd.DataFrame):
        figure = Markup(as_html(drawn))  # noqa: S704  as_html escapes what it is given
        return render("own", title=title, text=text, table=None, figure=figure)
    frame = drawn if isinstance(drawn.index, pd.RangeIndex) else drawn.reset_index(allow_duplicates=True)
    things = [column.removesuffix("_name") for column in map(str, frame.columns) if column.endswith("_name")]
    ids = {*things, *(f"{thing}_id" for thing in things)}
    frame = frame.loc[:, [str(column) not in ids for column in frame.columns]]
    table = frame_table(frame, currency=currency, limit=limit, title=title)
    return render("own", title=title, text=text, table=table, figure=None)
