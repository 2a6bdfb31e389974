"""Queries → plan → frames that say where they come from: one account's way to the reporting API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from flowperf_helpers.account.discovery import AccountInfo
from flowperf_helpers.account.executor import Collected, Executor, added_up, collect_frames, joined
from flowperf_helpers.account.planner import Plan, PlannedRequest, plan_requests
from flowperf_helpers.account.queries import SERIES, VALUES, ReportQuery, Wish, as_wish
from flowperf_helpers.account.timeframes import Preset
from flowperf_helpers.errors import suggest, suggestion
from flowperf_helpers.frames.catalog import GROUPINGS
from flowperf_helpers.frames.reports import SCHEMA_VERSION, statistic_column
from flowperf_helpers.klaviyo.rate_limiter import RateLimiter

__all__ = ["Queries", "Reports"]

Queries = ReportQuery | Wish | Sequence[ReportQuery | Wish]


class Reports:
    """Plans and runs the report requests of one account.

    Parameters
    ----------
    collector, facts, limiter
        Of the account.
    unlimited : bool
        Whether nobody ever waits (the in-process sandbox).
    """

    def __init__(self, collector: Executor, facts: AccountInfo, limiter: RateLimiter, *, unlimited: bool) -> None:
        self.collector = collector
        self.facts = facts
        self.limiter = limiter
        self.unlimited = unlimited

    def plan(self, queries: Queries, *, refresh: bool = False) -> Plan:
        """Return the least list of requests, with its cost; sends none of them."""
        listed = [queries] if isinstance(queries, (ReportQuery, Wish)) else list(queries)
        status = self.limiter.status().set_index("endpoint")
        moment = pd.Timestamp(self.limiter.clock(), unit="s", tz="UTC")
        ahead = (status["next_free"] - moment).dt.total_seconds().clip(lower=0.0)
        left = {str(endpoint): int(calls) for endpoint, calls in status["left_today"].dropna().items()}
        plan = plan_requests(
            [as_wish(query) for query in listed],
            revision=self.collector.revision,
            in_store=lambda query: self.collector.find(query, refresh=refresh) is not None,
            waits={e: float(ahead[e]) for e in (VALUES, SERIES)},
            left={} if self.unlimited else left,
            account=self.facts.settings.name,
            unlimited=self.unlimited,
            today=lambda: self.facts.now().date(),
        )
        return replace(plan, steps=tuple(self._told(step) for step in plan.steps))

    def _told(self, step: PlannedRequest) -> PlannedRequest:
        """Say of a request that it will be sent without the value statistics."""
        if step.in_store or not self.collector.drops_values(step.query):
            return step
        return replace(step, why="; ".join(filter(None, [step.why, "without values: the metric carries none"])))

    def run(self, queries: Plan | Queries, *, refresh: bool = False) -> list[pd.DataFrame]:
        """Return one frame for each query, in order."""
        plan = queries if isinstance(queries, Plan) else self.plan(queries, refresh=refresh)
        return [
            self._described(wish, collected)
            for wish, collected in collect_frames(self.collector, plan, refresh=refresh)
        ]

    def one_frame(self, wishes: Sequence[Wish], *, refresh: bool = False) -> pd.DataFrame:
        """Return the frames of several wishes, which differ in conversion metric and flows, as one."""
        frames = self.run(wishes, refresh=refresh)
        frame, notes = joined(frames)
        if len(frames) > 1:
            first: list[Any] = [f.attrs for f in frames]
            frame.attrs = {
                **first[0],
                "conversion_metric_id": [a["conversion_metric_id"] for a in first],
                "fetched_at": min(a["fetched_at"] for a in first),
                "requests": sum(a["requests"] for a in first),
                "from_store": all(a["from_store"] for a in first),
                "notes": list(dict.fromkeys([*(note for a in first for note in a["notes"]), *notes])),
            }
        return frame

    def _described(self, wish: Wish, collected: Sequence[Collected]) -> pd.DataFrame:
        sent = wish.for_revision(self.collector.revision)
        pieces = [piece.frame for piece in collected]
        if wish.interval is None and len(pieces) > 1:
            frame = added_up(pieces, sent.statistics, wish.timeframe.bounds(self.facts.timezone))
            notes = [f"{wish.timeframe} was asked in {len(pieces)} pieces of a year at most, which are added up."]
        else:
            frame, notes = joined(pieces)
        if isinstance(wish.timeframe, Preset) and len(pieces) > 1:
            days = wish.timeframe.window(self.facts.now().date())
            notes.append(
                f"{wish.timeframe} is longer than one {wish.interval} series may be, so {days} was asked in "
                f"{len(pieces)} pieces."
            )
        told = list(collected[0].frame.attrs["statistics"])
        frame, untold = _as_wished(frame, wish, sent, told)
        if untold:
            notes.append(f"Revision {self.collector.revision} does not tell {', '.join(untold)}: unknown here.")
        notes = [note for piece in collected for note in piece.frame.attrs.get("notes", ())] + notes
        notes += [*wish.notes, *self._unknown_flows(wish, frame)]
        refused = [s for s in sent.statistics if any(s in piece.refused for piece in collected)]
        if refused:
            notes.append(
                f"The conversion metric {wish.conversion_metric_id} carries no values, so these are unknown: "
                f"{', '.join(refused)}."
            )
        answers = [piece.answer for piece in collected]
        settings = self.facts.settings
        attrs: dict[str, Any] = {
            "account": settings.name,
            "sandbox": settings.is_sandbox,
            "revision": answers[-1].revision,
            "fetched_at": min(answer.fetched_at for answer in answers).isoformat(),
            "timeframe": str(wish.timeframe),
            "timezone": str(self.facts.timezone),
            "currency": self.facts.currency,
            "interval": wish.interval,
            "conversion_metric_id": wish.conversion_metric_id,
            "attribution_days": settings.attribution_days,
            "requests": sum(answer.requests for answer in answers),
            "from_store": all(answer.from_store for answer in answers),
            "notes": notes,
            "schema_version": SCHEMA_VERSION,
            "statistics": [*wish.statistics, *(s for s in told if s in frame.columns and s not in wish.statistics)],
        }
        frame = frame.copy()
        frame.attrs = attrs  # type: ignore[assignment]
        return frame

    def _unknown_flows(self, wish: Wish, frame: pd.DataFrame) -> list[str]:
        """Say which flows without a row are none of the account's: Klaviyo answers for those as for silent ones."""
        silent = set(wish.flow_ids or ()) - set(frame["flow_id"])
        known = self.collector.flow_names()["flow_id"] if silent else ()
        return [
            f"The account has no flow with the id {flow!r}, hence no rows: {suggestion(suggest(flow, known), known)}"
            for flow in wish.flow_ids or ()
            if flow in silent and flow not in set(known)
        ]


def _as_wished(frame: pd.DataFrame, wish: Wish, sent: Wish, told: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame with all columns that were wished, NA where the revision does not tell them, and those names."""
    groupings = [g for g in wish.group_by or () if g not in frame.columns]
    statistics = [s for s in wish.statistics if s not in sent.statistics]
    blank = [None] * len(frame)
    columns = {name: frame[name] for name in frame.columns if name not in told}
    columns |= {name: pd.Series(blank, index=frame.index, dtype="str") for name in groupings}
    groups = [g for g in GROUPINGS if g in columns]
    kept = [s for s in told if s in frame.columns and s not in wish.statistics and s not in sent.statistics]
    ordered = {name: columns[name] for name in [*groups, *(c for c in columns if c not in groups)]}
    for name in [*wish.statistics, *kept]:
        unknown = pd.Series(statistic_column(name, blank), index=frame.index)
        ordered[name] = unknown if name in statistics else frame[name]
    return pd.DataFrame(ordered, index=frame.index), [*groupings, *statistics]
