"""A widget to choose several of many: a search field, a list, two buttons, and a line that counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ipywidgets as w
import traitlets

from flowperf_helpers.errors import ArgumentError

__all__ = ["FIELD_STYLE", "FIELD_WIDTH", "SearchPicker"]

FIELD_STYLE = {"description_width": "110px"}
FIELD_WIDTH = "460px"

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
        self.quick_button = w.Button(description=quick_label, tooltip=f"Choose {quick_label.lower()} {noun}")
        self.clear_button = w.Button(description="Choose none", tooltip=f"Clear the choice of {noun}")
        self.count = w.HTML()
        buttons = w.HBox([self.quick_button, self.clear_button, self.count])
        buttons.layout.margin = "0 0 0 118px"
        super().__init__([self.search, self.listing, buttons])
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
