"""The page over all accounts of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from flowperf_helpers.fleet.summary import FleetWeek

__all__ = ["index_page"]


def index_page(fleet: FleetWeek) -> str:
    """A page that lists every account with its state, its first sentence and a link to its report."""
    rows = Markup("").join(
        Markup("<tr><td>{}</td><td>{}</td><td>{}</td></tr>").format(
            Markup('<a href="{}">{}</a>').format(row.report, row.account) if row.report else row.account,
            row.status,
            row.reason or row.sentence,
        )
        for row in fleet.accounts.itertuples()
    )
    mark = "SANDBOX: invented numbers. " if fleet.sandbox else ""
    page = Markup(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{mark}Fleet, week {week}</title></head>'
        "<body><h1>{mark}{count} accounts, week {week}</h1>"
        "<table><tr><th>account</th><th>state</th><th>what it says</th></tr>{rows}</table></body></html>\n"
    )
    return str(page.format(mark=mark, week=fleet.week, count=len(fleet.accounts), rows=rows))
