"""What an account has, as methods: metrics, the flows they trigger, all flows, messages, the conversion metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from flowperf_helpers.account import discovery
from flowperf_helpers.errors import ArgumentError, UnknownNameError, suggest, suggestion

__all__ = ["Directory", "Names", "OwnTriggers", "ids_of"]

Names = str | Iterable[str] | pd.DataFrame | pd.Series


class OwnTriggers(NamedTuple):
    """Trigger metric to its flows, each flow once; ``notes`` name the flows that have several."""

    subjects: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


class Directory:
    """The part of an account that lists what there is.

    Parameters
    ----------
    getter : Getter
        A client of the account.
    revision : str
        The revision asked for.
    origin : mapping
        ``attrs`` of every frame: ``account`` and ``sandbox``.
    integration : str, optional
        The account's setting: decides where several metrics have one name.
    revenue : str, optional
        Id or name that stands for ``"revenue"`` where the revision does not tell what the account maps to it.
    """

    def __init__(
        self,
        getter: discovery.Getter,
        revision: str,
        origin: Mapping[str, Any] | None = None,
        *,
        integration: str | None = None,
        revenue: str | None = None,
    ) -> None:
        self.revision = revision
        self._integration = integration
        self._revenue = revenue
        self.revenue_note = ""
        self._origin = dict(origin or {})
        self._client = getter
        self._kept: dict[str, pd.DataFrame] = {}

    def metrics(self, *, integration: str | None = None, category: str | None = None) -> pd.DataFrame:
        """Return the account's metrics.

        Parameters
        ----------
        integration, category : str, optional
            Only of the integration, or category, of exactly this name.

        Returns
        -------
        DataFrame
            One row per metric: ``metric_id, metric_name, integration_id, integration_name, integration_category``
            (str, NA where Klaviyo has none).

        Raises
        ------
        UnknownNameError
            Nothing found; ``near`` holds what looks alike.
        """
        return self._marked(discovery.fetch_metrics(self._client, integration=integration, category=category))

    def flows_triggered_by(self, metric_ids: Names) -> pd.DataFrame:
        """Return the flows that metrics trigger.

        Parameters
        ----------
        metric_ids : str, sequence of str, or a frame with ``metric_id``

        Returns
        -------
        DataFrame
            One row per metric × flow: ``metric_id, flow_id, flow_name, flow_status, archived, trigger_type, created,
            updated``.

        Raises
        ------
        UnknownNameError
            No metric of such an id.
        """
        return self._marked(discovery.fetch_flow_triggers(self._client, ids_of(metric_ids, "metric_id")))

    def flows(self, flow_ids: Names | None = None) -> pd.DataFrame:
        """Return flows, archived ones too, whatever triggers them.

        Returns
        -------
        DataFrame
            One row per flow: ``flow_id, flow_name, flow_status, archived, trigger_type, created, updated``; in the
            order of ``flow_ids`` where given.

        Raises
        ------
        UnknownNameError
            No flow of such an id.
        """
        flows = discovery.fetch_flows(self._client)
        if flow_ids is None:
            return self._marked(flows)
        wanted = ids_of(flow_ids, "flow_id")
        for flow_id in wanted:
            if flow_id not in set(flows["flow_id"]):
                near = suggest(flow_id, flows["flow_id"])
                raise UnknownNameError(
                    f"The account has no flow with the id {flow_id!r}: {suggestion(near, flows['flow_id'])}", near=near
                )
        return self._marked(flows.set_index("flow_id").loc[wanted].reset_index())

    def messages(self, flow_ids: Names | None = None) -> pd.DataFrame:
        """Return the messages of flows, variations of tests included.

        Returns
        -------
        DataFrame
            One row per message: ``flow_id, flow_message_id, flow_message_name, send_channel, action_status,
            is_variation``. Messages outlive flows, so a report may name others.
        """
        wanted = discovery.fetch_flows(self._client)["flow_id"] if flow_ids is None else ids_of(flow_ids, "flow_id")
        return self._marked(discovery.fetch_messages(self._client, wanted))

    def conversion_metric(self, metric: str, *, integration: str | None = None) -> str:
        """Return the id of a metric given as id, as name, or as ``"revenue"`` (what the account maps to it).

        Parameters
        ----------
        metric : str
        integration : str, optional
            Decides where several metrics have that name; left out, the account's setting does.

        Raises
        ------
        AmbiguousNameError
            Several metrics of that name; ``candidates`` has id and integration of each.
        UnknownNameError
            No such metric, or nothing mapped to revenue.
        """
        if metric == discovery.REVENUE:
            try:
                return discovery.fetch_mapped_metric(self._client)
            except UnknownNameError:
                if self.revision >= discovery.MAPPED_SINCE or self._revenue in (None, discovery.REVENUE):
                    raise
                metric = str(self._revenue)
                self.revenue_note = (
                    f"Revision {self.revision} does not tell which metric the account calls revenue: its setting "
                    f"{metric} stands in."
                )
        metrics = self.once("metrics", self.metrics)
        return discovery.metric_named(metrics, metric, integration=integration or self._integration)

    def own_triggers(self, flow_ids: tuple[str, ...] | None, *, integration: str | None = None) -> OwnTriggers:
        """Return the trigger metrics of flows, with the flows of each; each flow stands under one metric.

        Parameters
        ----------
        flow_ids : tuple of str, optional
            None for all.
        integration : str, optional
            Of a flow under several metrics, that of this integration is taken, else the first; left out, the account's
            setting.

        Raises
        ------
        ArgumentError
            A flow that no metric triggers.
        """
        metrics = self.metrics()
        triggers = self.flows_triggered_by(metrics)
        if flow_ids is not None:
            without = [flow for flow in flow_ids if flow not in set(triggers["flow_id"])]
            if without:
                raise ArgumentError(
                    f"No metric triggers the flow {', '.join(without)}, so it has no conversion metric of its own: "
                    "give conversion_metric_id."
                )
            triggers = triggers[triggers["flow_id"].isin(flow_ids)]
        if triggers.empty:
            raise ArgumentError("No flow of this account is triggered by a metric: give conversion_metric_id.")
        own = metrics.loc[metrics["integration_name"] == (integration or self._integration), "metric_id"]
        order = (~triggers["metric_id"].isin(own)).sort_values(kind="stable").index
        chosen = triggers.loc[order].drop_duplicates("flow_id").sort_index()
        left_out = triggers.drop(chosen.index)
        by_flow = chosen.set_index("flow_id")["metric_id"]
        notes = tuple(
            f"Flow {flow} is triggered by several metrics and counted by {by_flow[flow]}, not by "
            f"{', '.join(others)}: give conversion_metric_id to choose."
            for flow, others in left_out.groupby("flow_id", sort=False)["metric_id"]
        )
        subjects = {str(metric): tuple(rows["flow_id"]) for metric, rows in chosen.groupby("metric_id", sort=False)}
        return OwnTriggers(subjects, notes)

    def _marked(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame.attrs |= self._origin
        return frame

    def once(self, name: str, fetch: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return a list that is asked for once in the life of this object."""
        if name not in self._kept:
            self._kept[name] = fetch()
        return self._kept[name]


def ids_of(names: Names, column: str) -> list[str]:
    """Return ids from a string, a list, a column or a frame, each once."""
    if isinstance(names, str):
        return [names]
    if isinstance(names, pd.DataFrame):
        if column not in names.columns:
            raise ArgumentError(f"The frame has no column {column}: it has {', '.join(map(str, names.columns))}.")
        names = names[column]
    values = list(dict.fromkeys(names.dropna() if isinstance(names, pd.Series) else names))
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        raise ArgumentError(
            f"{column} takes strings, not {wrong[0]!r}: ids are opaque text, also where they are digits."
        )
    return values
