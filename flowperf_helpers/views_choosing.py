"""Pictures for choosing metrics and flows: one function per picture, which draws alone and on a board.

Each takes fetched frames first and the pickers' values by name, asks nobody anything, and returns what
`flowperf_helpers.panels.as_html` can show. Where the numbers do not allow a picture (no rows, too few weeks), it
returns axes with the sentence that says why, so that the cells below still run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from flowperf_helpers.choice import FlowChoice
from flowperf_helpers.explain import or_sentence, sentence_picture
from flowperf_helpers.plots.choosing import plot_triggers, plot_volume
from flowperf_helpers.selection import chosen_flows

__all__ = ["view_choice", "view_triggers"]


@or_sentence
def view_triggers(
    triggers: pd.DataFrame, metrics: pd.DataFrame, *, integration: str = "", metric_ids: Sequence[str] | None = None
) -> Any:
    """Show which flows the metrics of an integration trigger.

    Parameters
    ----------
    triggers, metrics : DataFrame
        Of the account, all that there are.
    integration : str
        ``""`` for all.
    metric_ids : sequence of str, optional
        None for all.
    """
    known = metrics if not integration else metrics[metrics["integration_name"].eq(integration).fillna(False)]
    if metric_ids is not None:
        known = known[known["metric_id"].isin(list(metric_ids))]
    if known.empty:
        return sentence_picture(
            "No metric is chosen, or none is there: choose another integration or metric.", metrics.attrs
        )
    rows = triggers[triggers["metric_id"].isin(known["metric_id"])]
    rows.attrs = dict(metrics.attrs)
    return plot_triggers(rows, known)


@or_sentence
def view_choice(
    overview: pd.DataFrame,
    *,
    flow_ids: Iterable[str] | None = None,
    channel: str = "",
    at_least: int = 0,
    account: str = "sandbox",
) -> Any:
    """Show flows by volume and the choice as text to copy.

    Parameters
    ----------
    overview : DataFrame
        Of `flowperf_helpers.selection.flow_overview`.
    flow_ids : iterable of str, optional
        None for all.
    channel : str
        Only flows with a message on it; ``""`` for all.
    at_least : int
        Only flows with as many recipients.
    """
    if overview.empty:
        return [sentence_picture("This account has no flow.", overview.attrs)]
    fitting = set(chosen_flows(overview, channel=channel, at_least=at_least))
    kept = overview[overview["flow_id"].isin(fitting)]
    kept.attrs = dict(overview.attrs)
    if kept.empty:
        return [sentence_picture("No flow fits: lower the volume, or take all channels.", overview.attrs)]
    ids = chosen_flows(kept, flow_ids=flow_ids)
    return [plot_volume(kept, chosen=ids), FlowChoice(ids, account=account)]
