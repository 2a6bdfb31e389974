"""Pickers: widgets that hold one value each and know no numbers. Each has a label, a tooltip and a ``value``.

===================== ======================================= ==========================================
picker                ``value``                               cannot hold
===================== ======================================= ==========================================
`integration_picker`  str, ``""`` for all                     a name that was not offered
`metric_picker`       tuple of metric ids                     an id that was not offered
`flow_picker`         tuple of flow ids                       an id that was not offered
`statistic_picker`    name of a statistic                     one that the frame lacks
`interval_picker`     name of an interval                     one that was not fetched
`channel_picker`      str, ``""`` for all                     a channel without rows
`volume_picker`       least number of recipients              a number below 0
`picture_picker`      name of a picture                       a picture that is not offered
`window_picker`       pair of ISO dates, both included        a day outside the limits, more than a year
===================== ======================================= ==========================================

All are ipywidgets; the labels are real ``<label>`` elements, so that a screen reader says them, and Tab visits the
parts in reading order. Nothing here asks Klaviyo: `flowperf_helpers.widgets.board` has the one button that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import ipywidgets as w
import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import INTERVALS, STATISTICS
from flowperf_helpers.widgets.picker_widgets import FIELD_STYLE, FIELD_WIDTH, SearchPicker, WindowPicker

__all__ = [
    "SearchPicker",
    "WindowPicker",
    "channel_picker",
    "flow_picker",
    "integration_picker",
    "interval_picker",
    "metric_picker",
    "picture_picker",
    "row_pickers",
    "statistic_picker",
    "volume_picker",
    "window_picker",
]


def flow_picker(flows: pd.DataFrame, *, value: Iterable[str] | None = None) -> SearchPicker:
    """Choose flows; at the start all that are live (all there are, where none is live).

    Parameters
    ----------
    flows : DataFrame
        Columns ``flow_id``, ``flow_name``, ``flow_status``; several rows of one flow count once.
    value : iterable of str, optional
        Flow ids chosen at the start.
    """
    each = flows.drop_duplicates("flow_id")
    names = each["flow_name"].astype("object").where(each["flow_name"].notna(), "(no name)")
    states = each["flow_status"].astype("object").where(each["flow_status"].notna(), "status unknown")
    rows = sorted(zip(names, states, each["flow_id"], strict=True), key=lambda row: (row[1] != "live", row[0].lower()))
    live = [key for _, state, key in rows if state == "live"]
    choices = [(f"{name} · {state} · {key}", key) for name, state, key in rows]
    chosen = (live or [key for _, key in choices]) if value is None else value
    return SearchPicker(choices, noun="flows", value=chosen, quick=live, quick_label="All live")


def metric_picker(metrics: pd.DataFrame, *, value: Iterable[str] | None = None) -> SearchPicker:
    """Choose metrics; at the start all of them.

    Parameters
    ----------
    metrics : DataFrame
        Columns ``metric_id``, ``metric_name``, ``integration_name``.
    """
    each = metrics.drop_duplicates("metric_id")
    names = each["metric_name"].astype("object").where(each["metric_name"].notna(), "(no name)")
    owners = each["integration_name"].astype("object").where(each["integration_name"].notna(), "no integration")
    rows = sorted(zip(names, owners, each["metric_id"], strict=True), key=lambda row: (row[1].lower(), row[0].lower()))
    choices = [(f"{name} · {owner} · {key}", key) for name, owner, key in rows]
    return SearchPicker(choices, noun="metrics", value=value, quick=[key for _, key in choices], quick_label="All")


def integration_picker(names: Iterable[str | None], *, value: str = "") -> w.Dropdown:
    """Choose one integration, or ``""`` for all.

    Parameters
    ----------
    names : iterable of str
        As Klaviyo spells them; missing ones and repeats are dropped.
    """
    known = sorted({str(name) for name in names if pd.notna(name)}, key=str.lower)
    options = [("all integrations", ""), *((name, name) for name in known)]
    return _dropdown("Integration", options, value, "Shows the metrics of one integration")


def statistic_picker(statistics: Iterable[str], *, value: str | None = None, label: str = "Statistic") -> w.Dropdown:
    """Choose one statistic of those that a frame carries; the tooltip says what it means.

    Parameters
    ----------
    statistics : iterable of str
        Column names; other columns (groupings, times) are left out, so ``frame.columns`` may be given as it is.
    """
    known = [name for name in dict.fromkeys(statistics) if name in STATISTICS]
    if not known:
        raise ArgumentError("No statistic to choose from: give the columns of a values or series frame.")
    picker = _dropdown(label, [(STATISTICS[n].label, n) for n in known], value or known[0], "")
    _explain(picker)
    picker.observe(lambda change: _explain(picker), "value")
    return picker


def _explain(picker: w.Dropdown) -> None:
    picker.tooltip = STATISTICS[picker.value].sentence


def interval_picker(intervals: Iterable[str], *, value: str | None = None) -> w.Dropdown:
    """Choose one interval of those that were fetched; at the start the longest.

    Parameters
    ----------
    intervals : iterable of str
        Of ``hourly, daily, weekly, monthly``.
    """
    offered = set(intervals)
    known = [name for name in INTERVALS if name in offered]
    if not known:
        raise ArgumentError(f"No interval to choose from: give some of {', '.join(INTERVALS)}.")
    return _dropdown(
        "Interval", [(name, name) for name in known], value or known[-1], "How long one point of a series is"
    )


def channel_picker(channels: Iterable[str | None], *, value: str = "") -> w.Dropdown:
    """Choose one channel, or ``""`` for all of them.

    Parameters
    ----------
    channels : iterable of str
        As Klaviyo sent them; a frame's ``send_channel`` column may be given as it is.
    """
    known = sorted({str(name) for name in channels if pd.notna(name)})
    return _dropdown("Channel", [("all channels", ""), *((c, c) for c in known)], value, "Keeps one channel's rows")


def volume_picker(*, value: int = 0) -> w.Dropdown:
    """Choose the least number of recipients, in steps of ten."""
    options = [("any volume", 0), *((f"{n:,} recipients or more", n) for n in (1, 100, 1_000, 10_000, 100_000))]
    return _dropdown("Volume", options, value, "Keeps flows with at least as many recipients")


def picture_picker(pictures: Mapping[str, str], *, value: str | None = None, label: str = "Picture") -> w.Dropdown:
    """Choose what is drawn: words for people and the value they stand for."""
    return _dropdown(label, list(pictures.items()), value or next(iter(pictures.values())), "What is drawn")


def _dropdown(label: str, options: list[tuple[str, Any]], value: Any, tooltip: str) -> w.Dropdown:
    if value not in [key for _, key in options]:
        names = ", ".join(text for text, _ in options)
        raise ArgumentError(f"{label} offers no {value!r}: choose one of {names}.")
    return w.Dropdown(
        options=options,
        value=value,
        description=label,
        style=FIELD_STYLE,
        layout={"width": FIELD_WIDTH},
        tooltip=tooltip,
    )


def row_pickers(frame: pd.DataFrame, flows: pd.DataFrame) -> dict[str, w.Widget]:
    """Make the two pickers that choose among a frame's rows, under the names that views take.

    Parameters
    ----------
    frame : DataFrame
        Values or series; its channels are on offer.
    flows : DataFrame
        Of ``account.flows``; all of them are chosen at the start.

    Returns
    -------
    dict
        ``channel`` and ``flow_ids``.
    """
    return {"channel": channel_picker(frame["send_channel"]), "flow_ids": flow_picker(flows, value=flows["flow_id"])}


def window_picker(
    *,
    earliest: date | None = None,
    latest: date | None = None,
    now: datetime | None = None,
    value: Sequence[date | str] | None = None,
) -> WindowPicker:
    """Choose first and last day out of those between two limits, both included; see `WindowPicker`.

    Parameters
    ----------
    earliest : date, optional
        Default two years before ``latest``.
    latest : date, optional
        Default the day before ``now``: the running day is not over.
    now : datetime, optional
        The account's clock; needed where ``latest`` is left out.
    value : pair of dates, optional
        Default the last complete ISO week.
    """
    if latest is None:
        if now is None:
            raise ArgumentError("A window needs its latest day, or the account's now: give one of them.")
        latest = now.date() - timedelta(days=1)
    return WindowPicker(earliest=earliest or latest - timedelta(days=730), latest=latest, value=value)
