"""What an account has, as methods: metrics, the flows they trigger, all flows, messages, the conversion metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from flowperf_helpers import discovery
from flowperf_helpers.errors import ArgumentError, UnknownNameError
from flowperf_helpers.near import near_misses, or_near

__all__ = ["Directory", "Names", "ids_of"]

Names = str | Iterable[str] | pd.DataFrame | pd.Series


class Directory:
    """The part of an account that lists what there is.

    Parameters
    ----------
    wire : Wire
        A client of the account.
    revision : str
        The revision asked for.
    origin : mapping
        ``attrs`` of every frame: ``account`` and ``sandbox``.
    """

    def __init__(self, wire: discovery.Wire, revision: str, origin: Mapping[str, Any] | None = None) -> None:
        self.revision = revision
        self._origin = dict(origin or {})
        self._client = wire
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
                near = near_misses(flow_id, flows["flow_id"])
                raise UnknownNameError(
                    f"The account has no flow with the id {flow_id!r}: {or_near(near, flows['flow_id'])}", near=near
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
        return self._marked(discovery.fetch_messages(self._client, wanted, revision=self.revision))

    def conversion_metric(self, metric: str) -> str:
        """Return the id of a metric given as id, as name, or as ``"revenue"`` (what the account maps to it).

        Raises
        ------
        AmbiguousNameError
            Several metrics of that name; ``candidates`` has id and integration of each.
        UnknownNameError
            No such metric, or nothing mapped to revenue.
        """
        if metric == discovery.REVENUE:
            return discovery.fetch_mapped_metric(self._client)
        return discovery.metric_named(self.once("metrics", self.metrics), metric)

    def own_triggers(self, flow_ids: tuple[str, ...] | None) -> dict[str, tuple[str, ...] | None]:
        """Return the trigger metrics of flows, with the flows of each."""
        triggers = self.flows_triggered_by(self.metrics())
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
        return {str(metric): tuple(rows["flow_id"]) for metric, rows in triggers.groupby("metric_id", sort=False)}

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
