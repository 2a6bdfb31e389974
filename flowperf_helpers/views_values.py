"""Pictures of values: select, compute, draw. The same function draws alone and on a board.

Each takes fetched frames first and the pickers' values by name, asks nobody anything, and returns what
`flowperf_helpers.panels.as_html` can show. Where the numbers do not allow a picture (no rows, too few weeks), it
returns axes with the sentence that says why, so that the cells below still run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from flowperf_helpers import plots
from flowperf_helpers.compare import compare_rates, variation_duel
from flowperf_helpers.duels import recent_duel
from flowperf_helpers.effects import decompose
from flowperf_helpers.explain import or_sentence, sentence_picture
from flowperf_helpers.selection import select_rows
from flowperf_helpers.tables import comparison_table

__all__ = ["VALUES_VIEWS", "view_values"]

VALUES_VIEWS = {
    "beside each other": "levels",
    "against the window before": "before",
    "from recipient to conversion": "funnel",
    "where the change came from": "effects",
    "variations of a test": "duel",
    "table with verdicts": "table",
}
"""Pictures of `view_values`: words for people, and the value of ``picture``."""

_TESTS = "Tests are judged by their last four weeks, as in the weekly report."


@or_sentence
def view_values(
    after: pd.DataFrame,
    before: pd.DataFrame,
    recent: pd.DataFrame | None = None,
    *,
    statistic: str = "click_rate",
    picture: str = "levels",
    by: str = "flow_name",
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
) -> Any:
    """Show a window's numbers beside each other, or against the window before.

    Parameters
    ----------
    after, before : DataFrame
        Values of a window and of the one before it, per message and variation; ``before.attrs["basis"]``, where it is
        there, is said under each comparison.
    recent : DataFrame, optional
        A weekly series, for the tests: they are judged by its last four weeks. Left out: by the window alone.
    statistic : str
        For all pictures but the funnel; the comparisons need a rate.
    picture : str
        One of the values of `VALUES_VIEWS`.
    by : str
        ``"flow_name"`` or ``"flow_message_name"``.
    flow_ids : iterable of str, optional
        None for all.
    channel : str
        ``""`` for all.
    """
    after, before = (select_rows(f, flow_ids=flow_ids, channel=channel) for f in (after, before))
    if after.empty and before.empty:
        return sentence_picture("No row is there for this choice: nothing was sent, or no flow is chosen.", after.attrs)
    keys = [by.replace("_name", "_id"), by]
    keys = ["flow_id", "flow_name", *(k for k in keys if k not in ("flow_id", "flow_name"))]
    if picture == "levels":
        return plots.plot_values(after, statistic=statistic, by=by)
    if picture == "funnel":
        return plots.plot_funnel(after, by=by)
    if picture == "duel":
        if recent is None:
            return plots.plot_duel(_told(variation_duel(after, rate=statistic), after), rate=statistic)
        rows = select_rows(recent, flow_ids=flow_ids, channel=channel)
        return [plots.plot_duel(_told(recent_duel(rows, rate=statistic), after), rate=statistic), _TESTS]
    basis = [str(before.attrs["basis"])] if "basis" in before.attrs else []
    if picture == "effects":
        split = _told(decompose(before, after, rate=statistic, by=keys[-2]), after)
        return [plots.plot_effects(split, rate=statistic), *basis]
    compared = _told(compare_rates(before, after, rate=statistic, by=keys), after)
    if picture == "table":
        return [comparison_table(compared, rate=statistic), *basis]
    return [plots.plot_comparison(compared, rate=statistic, by=by), *basis]


def _told(computed: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Carry over where the numbers come from, the sandbox above all."""
    computed.attrs = {**source.attrs, **computed.attrs}
    return computed
