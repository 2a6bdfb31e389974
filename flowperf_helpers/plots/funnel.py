"""From recipients to customers, step by step, for one group or a few."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from flowperf_helpers.catalog import STATISTICS
from flowperf_helpers.columns import require_columns
from flowperf_helpers.formats import MISSING, count_text, percent_text
from flowperf_helpers.plots.canvas import below, canvas, headline, label_rows, nothing_to_draw, plural, put_alt
from flowperf_helpers.plots.rows import full_name, label_column, labels_of, noun_of, one_row_each
from flowperf_helpers.style import INK, MUTED, SERIES, styled

__all__ = ["STAGES", "plot_funnel"]

STAGES = (
    ("Recipients", "recipients"),
    ("Delivered", "delivered"),
    ("Opened", "opens_unique"),
    ("Clicked", "clicks_unique"),
    ("Converted", "conversion_uniques"),
)
"""Steps and their columns; people are counted once per message."""

_HATCHES = ("", "////", "....", "xxxx")


@styled
def plot_funnel(frame: pd.DataFrame, *, by: str = "flow_name", top: int = 4, ax: Axes | None = None) -> Axes:
    """Bars as shares of recipients, with the counts; several groups stand beside each other in each step.

    Parameters
    ----------
    frame : DataFrame
        Values frame with ``recipients`` and any of ``delivered, opens_unique, clicks_unique, conversion_uniques``.
    by : str
        Column that names the groups; rows that share it are rolled up.
    top : int
        Groups shown, those with most recipients; at most four.
    ax : Axes, optional
        To draw on.
    """
    by = label_column(frame, by, "plot_funnel")
    require_columns(frame, ["recipients"], "plot_funnel")
    attrs, noun = dict(frame.attrs), noun_of(by)
    rows = one_row_each(frame, by)
    rows = rows[rows["recipients"].fillna(0) > 0].sort_values("recipients", ascending=False, kind="stable")
    stages = [(label, column) for label, column in STAGES if column in rows.columns]
    if not len(rows):
        return nothing_to_draw(
            canvas(ax, height=2.2), f"No {noun} has recipients in this window: there is no funnel.", attrs
        )
    shown = rows.head(min(top, len(_HATCHES)))
    labels = labels_of(shown, by)
    few = len(shown)
    ax = canvas(ax, height=1.6 + len(stages) * (0.26 * few + 0.24))
    thick = 0.82 / few
    for group, row in enumerate(shown.to_dict("records")):
        for stage, (_, column) in enumerate(stages):
            value, whole = row[column], float(row["recipients"])
            place = stage + (group - (few - 1) / 2) * thick
            share = None if pd.isna(value) else float(value) / whole
            text = f"{MISSING} not known" if share is None else f"{count_text(value)}  ({percent_text(share)})"
            bar = ax.barh(place, share or 0.0, height=thick * 0.86, color=SERIES[group], hatch=_HATCHES[group],
                          edgecolor="white", linewidth=0, label=labels[group] if not stage else "_")  # fmt: skip
            bar[0].set_gid(column)
            ax.annotate(text, (share or 0.0, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9,
                        color=INK if share is not None else MUTED)  # fmt: skip
    hang = label_rows(ax, [label for label, _ in stages])
    ax.set_xlim(0, 1.22)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol="\N{NO-BREAK SPACE}%"))
    ax.set_xlabel("Share of recipients (%)", color=MUTED)
    if few > 1:
        ax.legend(
            loc="upper left",
            bbox_to_anchor=(0, 0),
            bbox_transform=below(ax, 38, hang=hang),
            ncols=min(few, 2),
            borderaxespad=0,
        )
    first = shown.iloc[0]
    name = full_name(first, by)
    steps = [(label, first[column]) for label, column in stages if not pd.isna(first[column])]
    label, reached = steps[-1]
    of = percent_text(float(reached) / float(first["recipients"]))
    finding = f"{name}: {count_text(reached)} of {count_text(first['recipients'])} recipients {label.lower()} ({of})"
    if label == "Recipients":
        finding = f"{name}: {count_text(reached)} recipients"
    left = len(rows) - few
    uniques = [STATISTICS[column].label.lower() for _, column in stages if STATISTICS[column].kind == "unique"]
    notes = [
        "people are counted once per message" if uniques else "",
        f"{plural(left, f'other {noun}')} not shown" if left else "",
    ]
    headline(ax, finding, " · ".join(n for n in notes if n), attrs, hang=hang)
    path = ", ".join(f"{count_text(value)} {step.lower()}" for step, value in steps)
    also = f" (and {plural(few - 1, f'other {noun}')})" if few > 1 else ""
    put_alt(ax, f"Funnel of {name}{also}: {path}.", attrs)
    return ax
