"""The two widgets behind the pickers: several of many by a search, and a window of days that Klaviyo would accept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import ipywidgets as w
import traitlets

from flowperf_helpers.account.timeframes import YEAR_DAYS, Window, last_complete_week, parse_timeframe
from flowperf_helpers.errors import ArgumentError

__all__ = ["FIELD_STYLE", "FIELD_WIDTH", "SearchPicker", "WindowPicker", "window_presets"]

FIELD_STYLE = {"description_width": "90px"}
FIELD_WIDTH = "330px"

Choice = tuple[str, str]


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
        choices: Sequence[Choice],
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
            description=f"Search {noun}", placeholder="part of a name or id", style=FIELD_STYLE,
            layout={"width": FIELD_WIDTH}, tooltip=f"Shows only the {noun} whose name or id holds these words",
        )  # fmt: skip
        self.listing = w.SelectMultiple(
            description=noun.capitalize(), rows=min(8, max(3, len(choices))), style=FIELD_STYLE,
            layout={"width": FIELD_WIDTH}, tooltip="Arrows move, Shift adds the next, Ctrl (or ⌘) and click one more",
        )  # fmt: skip
        self.quick_button = w.Button(
            description=quick_label, tooltip=f"Choose {quick_label.lower()} {noun}", layout={"width": "auto"}
        )
        self.clear_button = w.Button(
            description="Choose none", tooltip=f"Clear the choice of {noun}", layout={"width": "auto"}
        )
        self.count = w.HTML()
        buttons = w.HBox([self.quick_button, self.clear_button])
        buttons.layout.margin = self.count.layout.margin = "0 0 0 98px"
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

    @traitlets.observe("value")
    def _changed(self, change: Any) -> None:
        self._mirror()

    def _show(self) -> None:
        words = self.search.value.casefold().split()
        matches = [(label, key) for label, key in self._choices if all(word in label.casefold() for word in words)]
        self._busy = True
        try:
            self.listing.options = matches
        finally:
            self._busy = False
        self._mirror()

    def _picked(self, change: Any) -> None:
        if self._busy:
            return
        visible = {key for _, key in self.listing.options}
        self.value = (*(key for key in self.value if key not in visible), *change["new"])

    def _mirror(self) -> None:
        if not hasattr(self, "count"):
            return
        visible = {key for _, key in self.listing.options}
        self._busy = True
        try:
            self.listing.value = tuple(key for key in self.value if key in visible)
        finally:
            self._busy = False
        hidden = sum(key not in visible for key in self.value)
        aside = f", {hidden} of them hidden by the search" if hidden else ""
        shown = "" if len(visible) == len(self._choices) else f"; the search shows {len(visible)}"
        text = f"{len(self.value)} of {len(self._choices)} {self._noun} chosen{aside}{shown}"
        self.count.value = f'<span role="status" aria-live="polite">{text}</span>'


_OWN = "dates of your own"


def window_presets(earliest: date, latest: date) -> dict[str, Window]:
    """Windows by name that lie between two days, both included; weeks are whole ISO weeks, Monday to Sunday.

    >>> [str(window) for window in window_presets(date(2026, 11, 9), date(2026, 11, 22)).values()][:2]
    ['2026-11-16 to 2026-11-22', '2026-11-09 to 2026-11-15']
    """
    week = last_complete_week(_noon_after(latest))
    found = {f"last complete week ({week.week})": week, f"the week before ({week.previous().week})": week.previous()}
    for weeks in (4, 8, 12, 26, 51):
        found[f"last {weeks} complete weeks"] = Window(week.last - timedelta(days=7 * weeks - 1), week.last)
    for days in (7, 30, 59, 90, 365):
        found[f"last {days} days"] = Window(latest - timedelta(days=days - 1), latest)
    return {name: one for name, one in found.items() if earliest <= one.first and one.last <= latest}


def _noon_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(12))


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
            options=[*self._presets, _OWN], description="Window", style=FIELD_STYLE, layout={"width": FIELD_WIDTH},
            tooltip="Windows that lie inside what can be chosen; the two dates below can be set freely",
        )  # fmt: skip
        dates = {"min": earliest, "max": latest, "style": FIELD_STYLE, "layout": {"width": "250px"}}
        self.first = w.DatePicker(description="First day", tooltip="Included", **dates)
        self.last = w.DatePicker(description="Last day", tooltip="Included", **dates)
        self.note = w.HTML()
        self.note.layout.margin = "0 0 0 98px"
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

    @traitlets.observe("value")
    def _changed(self, change: Any) -> None:
        self._mirror("")

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
        moved = ""
        if which == "first" and last < first:
            last, moved = first, "The last day moved along: it cannot lie before the first."
        elif last < first:
            first, moved = last, "The first day moved along: it cannot lie after the last."
        elif which == "first" and (last - first).days >= YEAR_DAYS:
            last, moved = first + timedelta(days=YEAR_DAYS - 1), "The last day moved along: Klaviyo answers for a year."
        elif (last - first).days >= YEAR_DAYS:
            first, moved = (
                last - timedelta(days=YEAR_DAYS - 1),
                "The first day moved along: Klaviyo answers for a year.",
            )
        self.value = (first, last)
        self._mirror(moved)

    def _mirror(self, moved: str) -> None:
        window = self.window
        self._busy = True
        try:
            self.first.value, self.last.value = window.first, window.last
            names = [name for name, preset in self._presets.items() if preset == window]
            self.preset.value = self.preset.value if self.preset.value in names else (names or [_OWN])[0]
        finally:
            self._busy = False
        days = "1 day" if window.days == 1 else f"{window.days} days"
        text = f"{window}, both days included: {days}. {moved}".strip()
        self.note.value = f'<span role="status" aria-live="polite">{text}</span>'
