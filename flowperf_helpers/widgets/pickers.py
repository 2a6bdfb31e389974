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

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import ipywidgets as w
import pandas as pd
import traitlets

from flowperf_helpers.account.timeframes import YEAR_DAYS, Window, last_complete_week, parse_timeframe
from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import INTERVALS, STATISTICS

__all__ = [
    "INDENT", "SearchPicker", "WindowPicker", "channel_picker", "flow_picker", "integration_picker", "interval_picker",
    "metric_picker", "picture_picker", "row_pickers", "statistic_picker", "volume_picker", "window_picker",
    "window_presets",
]  # fmt: skip

INDENT = "0 0 0 98px"
"""Margin of what stands under a field, so that it begins where the field does."""

_FIELD: dict[str, Any] = {"style": {"description_width": "90px"}, "layout": {"width": "330px"}}


@contextlib.contextmanager
def _telling(picker: Any) -> Iterator[None]:
    """Move a picker's parts without their answering."""
    picker._busy = True
    try:
        yield
    finally:
        picker._busy = False


def _status(text: str) -> str:
    return f'<span role="status" aria-live="polite">{text}</span>'


class SearchPicker(w.VBox):
    """Choose several of many: a search field, a list, two buttons and a line that says how many are chosen.

    Searching only narrows the list that is shown: what was chosen before stays chosen. Words may stand in any order.

    Parameters
    ----------
    choices : sequence of (label, id)
        In the order shown.
    noun : str
        Plural of what is chosen, such as ``"flows"``.
    value : iterable of str, optional
        Ids chosen at the start; default all of ``quick``.
    quick : sequence of str
        Ids that the first button chooses.
    quick_label : str
        Words on that button.

    Attributes
    ----------
    value : tuple of str
        Chosen ids in the order shown; may be empty.
    search, listing, quick_button, clear_button, count
        The parts.
    """

    value = traitlets.Tuple(help="chosen ids, in the order shown")

    def __init__(
        self,
        choices: Sequence[tuple[str, str]],
        *,
        noun: str,
        value: Iterable[str] | None = None,
        quick: Sequence[str] = (),
        quick_label: str = "All",
    ) -> None:
        self._choices = list(choices)
        self._noun = noun
        self._busy = False
        self.search = w.Text(
            description=f"Search {noun}", placeholder="part of a name or id",
            tooltip=f"Shows only the {noun} whose name or id holds these words", **_FIELD,
        )  # fmt: skip
        self.listing = w.SelectMultiple(
            description=noun.capitalize(), rows=min(8, max(3, len(choices))),
            tooltip="Arrows move, Shift adds the next, Ctrl (or ⌘) and click one more", **_FIELD,
        )  # fmt: skip
        self.quick_button = w.Button(
            description=quick_label, tooltip=f"Choose {quick_label.lower()} {noun}", layout={"width": "auto"}
        )
        self.clear_button = w.Button(
            description="Choose none", tooltip=f"Clear the choice of {noun}", layout={"width": "auto"}
        )
        self.count = w.HTML()
        buttons = w.HBox([self.quick_button, self.clear_button])
        buttons.layout.margin = self.count.layout.margin = INDENT
        super().__init__([self.search, self.listing, buttons, self.count])
        self._show()
        self.search.observe(lambda change: self._show(), "value")
        self.listing.observe(self._picked, "value")
        self.quick_button.on_click(lambda button: setattr(self, "value", tuple(quick)))
        self.clear_button.on_click(lambda button: setattr(self, "value", ()))
        self.value = tuple(quick if value is None else value)
        self._mirror()

    @property
    def ids(self) -> list[str]:
        """Ids on offer, in the order shown."""
        return [key for _, key in self._choices]

    @traitlets.validate("value")
    def _known(self, proposal: Any) -> tuple[str, ...]:
        asked = {str(key) for key in proposal["value"]}
        unknown = sorted(asked - set(self.ids))
        if unknown:
            raise ArgumentError(f"There is no {', '.join(unknown[:5])} among the {self._noun} on offer.")
        return tuple(key for key in self.ids if key in asked)

    def _show(self) -> None:
        words = self.search.value.casefold().split()
        matches = [(label, key) for label, key in self._choices if all(word in label.casefold() for word in words)]
        with _telling(self):
            self.listing.options = matches
        self._mirror()

    def _picked(self, change: Any) -> None:
        if self._busy:
            return
        visible = {key for _, key in self.listing.options}
        self.value = (*(key for key in self.value if key not in visible), *change["new"])

    @traitlets.observe("value")
    def _mirror(self, change: Any = None) -> None:
        visible = {key for _, key in self.listing.options}
        with _telling(self):
            self.listing.value = tuple(key for key in self.value if key in visible)
        hidden = sum(key not in visible for key in self.value)
        aside = f", {hidden} of them hidden by the search" if hidden else ""
        shown = "" if len(visible) == len(self._choices) else f"; the search shows {len(visible)}"
        text = f"{len(self.value)} of {len(self._choices)} {self._noun} chosen{aside}{shown}"
        self.count.value = _status(text)


_OWN = "dates of your own"


def window_presets(earliest: date, latest: date) -> dict[str, Window]:
    """Windows by name that lie between two days, both included; weeks are whole ISO weeks, Monday to Sunday.

    >>> [str(window) for window in window_presets(date(2026, 11, 9), date(2026, 11, 22)).values()][:2]
    ['2026-11-16 to 2026-11-22', '2026-11-09 to 2026-11-15']
    """
    week = last_complete_week(datetime.combine(latest + timedelta(days=1), time(12)))
    found = {f"last complete week ({week.week})": week, f"the week before ({week.previous().week})": week.previous()}
    for weeks in (4, 8, 12, 26, 51):
        found[f"last {weeks} complete weeks"] = Window(week.last - timedelta(days=7 * weeks - 1), week.last)
    for days in (7, 30, 59, 90, 365):
        found[f"last {days} days"] = Window(latest - timedelta(days=days - 1), latest)
    return {name: one for name, one in found.items() if earliest <= one.first and one.last <= latest}


class WindowPicker(w.VBox):
    """Choose first and last day; a window that Klaviyo would refuse cannot be entered.

    A date outside the limits is moved to the nearest one inside; where the dates would cross, or lie more than a year
    apart, the other one moves along. The line below says what was chosen, and what was moved.

    Parameters
    ----------
    earliest, latest : date
        Limits, both included.
    value : pair of dates, optional
        Default the last complete ISO week where it fits, else all there is (a year at most).

    Attributes
    ----------
    value : tuple of str
        First and last day as ISO dates, both included: fit for ``timeframe=``.
    preset, first, last, note
        The parts.

    Raises
    ------
    ArgumentError
        Limits the wrong way round, or a value outside them.
    """

    value = traitlets.Tuple(help="first and last day as ISO dates, both included")

    def __init__(self, *, earliest: date, latest: date, value: Sequence[date | str] | None = None) -> None:
        if latest < earliest:
            raise ArgumentError(f"There is no day from {earliest} to {latest}: swap the limits.")
        self._earliest, self._latest = earliest, latest
        self._presets = window_presets(earliest, latest)
        self._busy = False
        self.preset = w.Dropdown(
            options=[*self._presets, _OWN], description="Window", **_FIELD,
            tooltip="Windows that lie inside what can be chosen; the two dates below can be set freely",
        )  # fmt: skip
        dates = {**_FIELD, "min": earliest, "max": latest, "layout": {"width": "250px"}}
        self.first = w.DatePicker(description="First day", tooltip="Included", **dates)
        self.last = w.DatePicker(description="Last day", tooltip="Included", **dates)
        self.note = w.HTML()
        self.note.layout.margin = INDENT
        super().__init__([self.preset, self.first, self.last, self.note])
        self.value = self._start(value)
        self.preset.observe(self._preset_chosen, "value")
        self.first.observe(lambda change: self._date_chosen("first"), "value")
        self.last.observe(lambda change: self._date_chosen("last"), "value")

    @property
    def window(self) -> Window:
        """The choice as a `Window`."""
        return Window(*(date.fromisoformat(day) for day in self.value))

    def _start(self, value: Sequence[date | str] | None) -> tuple[date | str, ...]:
        if value is not None:
            return tuple(value)
        whole = Window(max(self._earliest, self._latest - timedelta(days=YEAR_DAYS - 1)), self._latest)
        first = next(iter(self._presets.values()), whole)
        return first.first, first.last

    @traitlets.validate("value")
    def _possible(self, proposal: Any) -> tuple[str, str]:
        window = parse_timeframe(tuple(proposal["value"]))
        if not isinstance(window, Window) or window.first < self._earliest or window.last > self._latest:
            raise ArgumentError(f"The window {window} does not lie between {self._earliest} and {self._latest}.")
        return window.first.isoformat(), window.last.isoformat()

    def _preset_chosen(self, change: Any) -> None:
        if not self._busy and change["new"] in self._presets:
            window = self._presets[change["new"]]
            self.value = (window.first, window.last)

    def _date_chosen(self, which: str) -> None:
        if self._busy:
            return
        old = self.window
        first, last = self.first.value or old.first, self.last.value or old.last
        first, last = (min(max(day, self._earliest), self._latest) for day in (first, last))
        is_first, longest = which == "first", timedelta(days=YEAR_DAYS - 1)
        moved = f"The {'last' if is_first else 'first'} day moved along: "
        if last < first:
            moved += f"it cannot lie {'before the first' if is_first else 'after the last'}."
        elif last - first > longest:
            moved += "Klaviyo answers for a year."
        else:
            moved = ""
        if is_first:
            last = min(max(last, first), first + longest)
        else:
            first = max(min(first, last), last - longest)
        self.value = (first, last)
        self._mirror(moved=moved)

    @traitlets.observe("value")
    def _mirror(self, change: Any = None, moved: str = "") -> None:
        window = self.window
        with _telling(self):
            self.first.value, self.last.value = window.first, window.last
            names = [name for name, preset in self._presets.items() if preset == window]
            self.preset.value = self.preset.value if self.preset.value in names else (names or [_OWN])[0]
        days = "1 day" if window.days == 1 else f"{window.days} days"
        self.note.value = _status(f"{window}, both days included: {days}. {moved}".strip())


def flow_picker(flows: pd.DataFrame, *, value: Iterable[str] | None = None) -> SearchPicker:
    """Choose flows; at the start all that are live (all there are, where none is live).

    Parameters
    ----------
    flows : DataFrame
        Columns ``flow_id``, ``flow_name``, ``flow_status``; several rows of one flow count once.
    value : iterable of str, optional
        Flow ids chosen at the start.
    """
    rows = _rows(flows, "flow_id", "flow_name", "flow_status", "status unknown")
    rows = sorted(rows, key=lambda row: (row[1] != "live", row[0].lower()))
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
    rows = _rows(metrics, "metric_id", "metric_name", "integration_name", "no integration")
    rows = sorted(rows, key=lambda row: (row[1].lower(), row[0].lower()))
    choices = [(f"{name} · {owner} · {key}", key) for name, owner, key in rows]
    return SearchPicker(choices, noun="metrics", value=value, quick=[key for _, key in choices], quick_label="All")


def _rows(frame: pd.DataFrame, key: str, name: str, aside: str, unknown: str) -> list[tuple[str, str, str]]:
    """Name, what else is said of it, and id; each id once."""
    each = frame.drop_duplicates(key)
    texts = [
        each[column].astype("object").where(each[column].notna(), missing)
        for column, missing in ((name, "(no name)"), (aside, unknown))
    ]
    return list(zip(*texts, each[key], strict=True))


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
    traitlets.dlink((picker, "value"), (picker, "tooltip"), lambda name: STATISTICS[name].sentence)
    return picker


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
    options = [(name, name) for name in known]
    return _dropdown("Interval", options, value or known[-1], "How long one point of a series is")


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
    return w.Dropdown(options=options, value=value, description=label, tooltip=tooltip, **_FIELD)


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
