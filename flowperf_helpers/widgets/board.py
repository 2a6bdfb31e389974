"""What stands around the pickers: a board that draws again when one changes, and the one button that asks Klaviyo.

A board calls a function that also works alone: ``view(frame, statistic="click_rate")`` in a cell draws the same picture
as ``Board(view, frame, statistic=statistic_picker(frame.columns))``. Pictures are images with a text alternative, not
`Output` widgets: those hide errors in their state and redraw in steps that can be seen.
"""

from __future__ import annotations

import functools
import html
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as w
import pandas as pd
import traitlets

from flowperf_helpers.account.planner import Plan
from flowperf_helpers.errors import FlowperfError
from flowperf_helpers.plots.figure import as_html
from flowperf_helpers.plots.tables import Table, frame_table
from flowperf_helpers.widgets.lenient_account import Explanation
from flowperf_helpers.widgets.pickers import INDENT

__all__ = ["Board", "RequestButton", "StaticView", "as_html", "error_text", "show"]


def error_text(error: BaseException) -> str:
    """One or two sentences about an error, for people; ours are written that way already."""
    if isinstance(error, FlowperfError):
        return str(error)
    return f"This could not be drawn ({type(error).__name__}: {error}). The controls still work: choose something else."


def _alert(sentence: str) -> str:
    return f'<div class="flowperf-error">{Explanation(sentence)._repr_html_()}</div>'


def _status(sentence: str) -> str:
    return f'<div role="status" aria-live="polite" style="line-height:1.4">{html.escape(sentence)}</div>'


class StaticView:
    """A static picture or table with its words, for a cell's last line.

    Attributes
    ----------
    html, text : str
    """

    def __init__(self, markup: str) -> None:
        self.html = markup
        self.text = " ".join(html.unescape(part) for part in re.findall(r'alt="([^"]*)"', markup))

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def show(*drawn: Any) -> StaticView:
    """Show what a view returned as a cell's result: static, needs no widgets, has a text alternative.

    Parameters
    ----------
    *drawn
        Each as `as_html`; also a DataFrame, which is printed with its own column names, dates without midnight and its
        zone, and numbers to four digits.
    """
    return StaticView("".join(as_html(_as_table(each) if isinstance(each, pd.DataFrame) else each) for each in drawn))


def _as_table(frame: pd.DataFrame) -> Table:
    mark = "SANDBOX · invented numbers" if frame.attrs.get("sandbox") else ""
    return frame_table(frame.reset_index(drop=True), plain=True, title=mark)


class Board(w.VBox):
    """Pickers, and beside them what a function makes of their values; drawn again at each change.

    Parameters
    ----------
    view : callable
        Called as ``view(*data, **values)``, the pickers' values under the names given here; see `as_html` for what it
        may return.
    *data
        Whatever the view takes first, usually frames that were fetched before.
    offers : callable, optional
        Called with the pickers' values; returns, by the name of a `Dropdown`, the values that go with the others. Only
        those are offered; a value that is not among them gives way to the first that is.
    **pickers : widget
        Anything with a ``value``; Tab visits them in this order. What is not a widget is passed on as it is.

    Attributes
    ----------
    values : dict
        The pickers' values now.
    error : BaseException or None
        What stopped the last drawing; its words stand under the pickers, and the last good picture stays.
    picture : HTML
        The result.

    Notes
    -----
    A `FlowperfError` is shown in words. Any other error is shown in words and also raised: at the start in the cell,
    later in the kernel's log.
    """

    def __init__(
        self,
        view: Callable[..., Any],
        *data: Any,
        offers: Callable[..., Mapping[str, Sequence[Any]]] | None = None,
        **pickers: Any,
    ) -> None:
        self.pickers = {name: picker for name, picker in pickers.items() if isinstance(picker, w.Widget)}
        fixed = {name: value for name, value in pickers.items() if name not in self.pickers}
        self._view = functools.partial(view, **fixed)
        self._data = data
        self._busy = False
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.picture = w.HTML(layout={"display": "block"})  # as wide as its place: in a flexbox nothing shrinks to it
        self.message = w.HTML()
        self._offers = offers
        self._every = {name: list(p.options) for name, p in self.pickers.items() if isinstance(p, w.Dropdown)}
        left = w.VBox([*self.pickers.values()], layout={"flex": "0 0 342px"})
        right = w.VBox([self.message, self.picture], layout={"flex": "1 1 420px", "min_width": "0"})
        row = w.HBox([left, right], layout={"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "16px"})
        super().__init__([row])
        self.add_class("flowperf-board")
        self._changed(None)
        for picker in self.pickers.values():
            picker.observe(self._changed, "value")

    @property
    def values(self) -> dict[str, Any]:
        """Values of the pickers by name."""
        return {name: picker.value for name, picker in self.pickers.items()}

    def show(self, *data: Any) -> None:
        """Draw other data with the same pickers."""
        self._data = data
        self.redraw()

    def redraw(self) -> None:
        """Call the view and show what it returns, or the reason why it did not."""
        began = time.perf_counter()
        try:
            self.picture.value = as_html(self._view(*self._data, **self.values))
        except Exception as error:
            self.error = error
            self.message.value = _alert(error_text(error))
            if not isinstance(error, FlowperfError):
                raise
        else:
            self.error, self.message.value = None, ""
        finally:
            self.seconds = time.perf_counter() - began

    def _changed(self, change: Any) -> None:
        """Draw once, however many pickers move along with the one that was changed."""
        if self._busy:
            return
        self._busy = True
        try:
            for name, fitting in (self._offers(**self.values) if self._offers else {}).items():
                picker, kept = self.pickers[name], self.pickers[name].value
                offered = [option for option in self._every[name] if option[1] in fitting] or self._every[name]
                there = [value for _, value in offered]
                if there != [value for _, value in picker.options]:
                    picker.options = offered
                picker.value = kept if kept in there else next(value for value in [*fitting, *there] if value in there)
        finally:
            self._busy = False
        self.redraw()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add the static picture, for readers in which no widgets live."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            data = bundle[0] if isinstance(bundle, tuple) else bundle
            data["text/html"] = self.message.value + self.picture.value
        return bundle


class RequestButton(w.VBox):
    """The one control that may spend a call. It says the cost before it is pressed, and how far it is while it runs.

    Parameters
    ----------
    wishes : callable
        Called with the pickers' values; returns what is wanted, a list of queries.
    plan : callable
        Queries → plan with its cost; sends nothing (``account.plan``).
    run : callable
        One query in a list → one frame in a list (``account.run``).
    then : callable
        Called with all frames, in the order wanted (``board.show``).
    **pickers : widget
        Anything with a ``value``; a change updates the cost and asks nothing.

    Attributes
    ----------
    frames : list of DataFrame
        What came last.
    error : BaseException or None
        What stopped the last attempt; the button can be pressed again, and what had arrived is kept in the store.
    button, cost, progress, message
        The parts.
    """

    asked = traitlets.Int(0, help="how often Klaviyo was asked, with success")

    def __init__(
        self,
        wishes: Callable[..., Sequence[Any]],
        *,
        plan: Callable[[Sequence[Any]], Plan],
        run: Callable[[Sequence[Any]], Sequence[Any]],
        then: Callable[..., object],
        **pickers: w.Widget,
    ) -> None:
        self._wishes, self._plan, self._run, self._then = wishes, plan, run, then
        self.pickers = pickers
        self.error: BaseException | None = None
        self.frames: list[Any] = []
        self.button = w.Button(
            description="Ask Klaviyo", icon="paper-plane", button_style="primary", layout={"width": "auto"},
            tooltip="Sends the requests that the line beside it counts",
        )  # fmt: skip
        self.cost = w.HTML()
        self.progress = w.IntProgress(description="Answers", min=0, style={"description_width": "110px"})
        self.progress.layout.visibility = "hidden"
        self.message = w.HTML()
        row = w.HBox([self.button, self.cost])
        row.layout.margin = self.message.layout.margin = INDENT
        row.layout.align_items = "center"
        super().__init__([*pickers.values(), row, self.progress, self.message])
        self.button.on_click(lambda button: self.ask())
        for picker in pickers.values():
            picker.observe(lambda change: self.estimate(), "value")
        self.estimate()

    def _wanted(self) -> Sequence[Any]:
        return self._wishes(**{name: p.value for name, p in self.pickers.items()})

    def estimate(self) -> None:
        """Say what pressing the button would cost now; sends no report request."""
        try:
            plan = self._plan(self._wanted())
        except FlowperfError as error:
            self.cost.value, self.message.value = "", _alert(error_text(error))
            self.button.disabled = True
            return
        self.button.disabled = False
        self.message.value = ""
        self.button.description = "Show what is here" if plan.requests == 0 else f"Ask Klaviyo ({plan.requests})"
        self.cost.value = _status(plan.summary)

    def ask(self) -> None:
        """Send what is wanted, one query after the other, and hand the frames on."""
        self.button.disabled = True
        self.error, self.message.value = None, ""
        try:
            wanted = self._wanted()
            self.progress.max, self.progress.value = len(wanted), 0
            self.progress.layout.visibility = "visible"
            frames: list[Any] = []
            for number, wish in enumerate(wanted, start=1):
                self.message.value = _status(f"Asking: answer {number} of {len(wanted)} is on its way.")
                frames += self._run([wish])
                self.progress.value = number
            self.frames = frames
            self._then(*frames)
        except Exception as error:
            self.error = error
            self.estimate()
            self.message.value = _alert(f"{error_text(error)} The button works on: press it to try again.")
            if not isinstance(error, FlowperfError):
                raise
        else:
            self.estimate()
            self.message.value = _status(f"{len(frames)} answers are here; the picture shows them.")
            self.asked += 1
        finally:
            self.progress.layout.visibility = "hidden"
            self.button.disabled = False
