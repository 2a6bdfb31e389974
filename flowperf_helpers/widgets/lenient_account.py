"""Errors as sentences: an account that explains itself in a notebook instead of stopping it.

A tutorial that stops at its third cell teaches nothing. `lenient` wraps an account: where a question cannot be
answered (no such integration, a scope that is missing, a quota that is spent), the sentence of the error is shown, an
empty frame of the right columns comes back, and the cells below still run. Scheduled runs use the account as it is:
there an error has to stop the run.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from typing import Any, ParamSpec

import pandas as pd

from flowperf_helpers.account.account import Account
from flowperf_helpers.errors import FlowperfError
from flowperf_helpers.frames.catalog import DEFAULT_GROUP_BY, GROUPINGS, REQUIRED_GROUP_BY
from flowperf_helpers.frames.columns import text_column
from flowperf_helpers.frames.provenance import finish_series, finish_values
from flowperf_helpers.frames.reports import series_frame, values_frame
from flowperf_helpers.frames.resources import (
    FLOW_COLUMNS,
    METRIC_COLUMNS,
    flow_triggers_frame,
    flows_frame,
    metrics_frame,
)
from flowperf_helpers.plots.figure import nothing_to_draw

__all__ = ["UNANSWERED", "Explanation", "LenientAccount", "attempt", "explanation_picture", "lenient", "or_explanation"]

P = ParamSpec("P")

UNANSWERED = "unanswered"
"""Key of ``attrs`` for the sentence that stands in place of an answer."""

_MESSAGE_COLUMNS = ("flow_id", "flow_message_id", "flow_message_name", "send_channel", "action_status")


class Explanation:
    """A sentence in place of a result; false, and empty when looped over.

    Attributes
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Any:
        return iter(())

    def __repr__(self) -> str:
        return f"Not possible: {self.text}"

    def _repr_html_(self) -> str:
        style = "border-left:4px solid #B3261E;padding:4px 10px;max-width:720px;line-height:1.4"
        return f'<div role="alert" style="{style}"><b>Not possible:</b> {html.escape(self.text)}</div>'


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call something; where a `FlowperfError` stops it, return its sentence instead of raising.

    Returns
    -------
    object
        What the call returns, or a `Explanation`, which shows itself when it is a cell's last line.
    """
    try:
        return call(*args, **kwargs)
    except FlowperfError as error:
        return Explanation(str(error))


def or_explanation(view: Callable[P, Any]) -> Callable[P, Any]:
    """Decorate a view: where a `FlowperfError` stops it, its sentence stands in place of the picture.

    A frame that an `LenientAccount` could not fetch carries the reason in ``attrs["unanswered"]``: it is said
    instead of "nothing was sent", which is not known then.
    """

    @functools.wraps(view)
    def seen(*args: P.args, **kwargs: P.kwargs) -> Any:
        frames = [part for part in args if isinstance(part, pd.DataFrame)]
        attrs = frames[0].attrs if frames else {}
        unanswered = next((frame.attrs[UNANSWERED] for frame in frames if frame.attrs.get(UNANSWERED)), None)
        if unanswered:
            return explanation_picture(unanswered, attrs)
        try:
            return view(*args, **kwargs)
        except FlowperfError as error:
            return explanation_picture(str(error), attrs)

    return seen


def explanation_picture(text: str, attrs: dict[Any, Any]) -> Any:
    """Return axes that hold a sentence and nothing else."""
    return nothing_to_draw(None, text, attrs, height=1.6)


def lenient(account: Account) -> LenientAccount:
    """Wrap an account for a notebook that should go on after an error."""
    return LenientAccount(account)


class LenientAccount:
    """An account whose questions show a sentence and return an empty frame where they cannot be answered.

    Everything that is not listed here, such as `plan`, `run` and `wanted`, is the account's own and raises.

    Attributes
    ----------
    account : Account
        As given.
    sentences : list of str
        What was explained so far.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.sentences: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.account, name)

    def __repr__(self) -> str:
        return repr(self.account)

    def _repr_html_(self) -> str:
        """Which account it is, whose days and which money: what stands on top of a notebook."""
        try:
            days = f"days of {self.account.timezone}, money in {self.account.currency or 'an unknown currency'}"
            return f"{self.account._repr_html_()}<p>It has {html.escape(days)}.</p>"
        except FlowperfError as error:
            return Explanation(str(error))._repr_html_()

    def metrics(self, *, integration: str | None = None, category: str | None = None) -> pd.DataFrame:
        """`Account.metrics`; an empty name means all."""
        wanted = {"integration": integration or None, "category": category or None}
        return self._ask(lambda: _empty(metrics_frame([_NOTHING]), METRIC_COLUMNS), self.account.metrics, **wanted)

    def flows_triggered_by(self, metric_ids: Any) -> pd.DataFrame:
        """`Account.flows_triggered_by`; no metric triggers nothing."""
        nothing = _empty(flow_triggers_frame({}, flows_frame([])), ("metric_id", *FLOW_COLUMNS))
        if not len(metric_ids):
            return nothing
        return self._ask(lambda: nothing, self.account.flows_triggered_by, metric_ids)

    def flows(self, flow_ids: Any = None) -> pd.DataFrame:
        """`Account.flows`; an empty list means all."""
        return self._ask(lambda: flows_frame([]), self.account.flows, _some(flow_ids))

    def messages(self, flow_ids: Any = None) -> pd.DataFrame:
        """`Account.messages`; no flow has no message."""
        texts = {name: pd.Series(dtype="str") for name in _MESSAGE_COLUMNS}
        nothing = pd.DataFrame(texts | {"is_variation": pd.Series(dtype="bool")})
        if flow_ids is not None and not len(flow_ids):
            return nothing
        return self._ask(lambda: nothing, self.account.messages, flow_ids)

    def flow_values(self, conversion_metric_id: str | None = None, **wanted: Any) -> pd.DataFrame:
        """`Account.flow_values`; an empty list of flows means all."""

        def nothing() -> pd.DataFrame:
            frame = _grouped(values_frame(_EMPTY), wanted.get("group_by"))
            return finish_values(
                frame, statistics=wanted["statistics"], conversion_metric_id="", bounds=_UNKNOWN, zone=UTC
            )

        wanted["flow_ids"] = _some(wanted.get("flow_ids"))
        return self._ask(nothing, self.account.flow_values, conversion_metric_id, **wanted)

    def flow_series(self, conversion_metric_id: str | None = None, **wanted: Any) -> pd.DataFrame:
        """`Account.flow_series`; an empty list of flows means all."""

        def nothing() -> pd.DataFrame:
            return finish_series(
                _grouped(series_frame(_EMPTY_SERIES), wanted.get("group_by")), statistics=wanted["statistics"],
                conversion_metric_id="", interval=wanted.get("interval", "weekly"), bounds=_UNKNOWN,
                asked_at=pd.Timestamp(0, tz="UTC"), attribution_days=self.account.attribution_days,
            )  # fmt: skip

        wanted["flow_ids"] = _some(wanted.get("flow_ids"))
        return self._ask(nothing, self.account.flow_series, conversion_metric_id, **wanted)

    def _ask(
        self, nothing: Callable[[], pd.DataFrame], call: Callable[..., pd.DataFrame], *args: Any, **kwargs: Any
    ) -> pd.DataFrame:
        """Ask; where that is not possible, show the sentence (once) and return the empty frame, which carries it."""
        found = attempt(call, *args, **kwargs)
        source = {"account": self.account.name, "sandbox": self.account.is_sandbox}
        if not isinstance(found, Explanation):
            found.attrs = source | found.attrs
            return found
        if found.text not in self.sentences:
            from IPython.display import display

            self.sentences.append(found.text)
            display(found)
        frame, days = nothing(), self.account.attribution_days
        frame.attrs |= source | {"notes": [found.text], "attribution_days": days, UNANSWERED: found.text}
        return frame


_NOTHING = b'{"data": []}'
_EMPTY: dict[str, Any] = {"data": {"attributes": {"results": []}}}
_EMPTY_SERIES: dict[str, Any] = {"data": {"attributes": {"results": [], "date_times": []}}}
_UNKNOWN: Any = (pd.NaT, pd.NaT)


def _some(flow_ids: Any) -> Any:
    """The flows asked for; None, which means all, for an empty list."""
    return None if flow_ids is None or not len(flow_ids) else flow_ids


def _grouped(frame: pd.DataFrame, group_by: Iterable[str] | None) -> pd.DataFrame:
    wanted = {*(group_by or DEFAULT_GROUP_BY), *REQUIRED_GROUP_BY}
    groups = {name: pd.Series(text_column(name, [])) for name in GROUPINGS if name in wanted}
    rest = {name: frame[name] for name in frame.columns if name not in GROUPINGS}
    grouped = pd.DataFrame(groups | rest)
    grouped.attrs = dict(frame.attrs)
    return grouped


def _empty(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    return frame.iloc[:0][list(columns)]
