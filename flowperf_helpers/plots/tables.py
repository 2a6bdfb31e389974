"""Tables for people: units, right-aligned numbers, the verdict in words, one look."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.frames.catalog import STATISTICS, has_meaning, how_to_read
from flowperf_helpers.frames.columns import NAMES, require_columns
from flowperf_helpers.frames.formats import MISSING, axis_title, difference_text, statistic_label, unit_of
from flowperf_helpers.plots import cells
from flowperf_helpers.plots.svg import sparkline_svg

if TYPE_CHECKING:
    from great_tables import GT

__all__ = [
    "Sheet",
    "add_dates",
    "add_names",
    "add_text",
    "comparison_table",
    "first_rows",
    "flows_table",
    "honest_table",
    "how_to_read_table",
    "metrics_table",
    "signals_table",
    "values_table",
]


# Finished cells as a printable table: one look, notes under it, SANDBOX over it where the numbers are invented.

SANDBOX_NOTE = "SANDBOX · invented numbers"


@dataclass
class Sheet:
    """Columns of finished HTML, collected before great_tables sees them."""

    title: str
    attrs: dict[Any, Any]
    labels: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    align: dict[str, Literal["left", "right"]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, label: str, made: Iterable[str], *, right: bool = False) -> None:
        """Put a column at the right; ``made`` is HTML of `flowperf_helpers.plots.cells`."""
        self.labels[name], self.columns[name], self.align[name] = label, list(made), "right" if right else "left"

    def draw(self, empty: str) -> GT:
        """Make the table; one without rows says ``empty`` in their place."""
        from great_tables import GT
        from great_tables import html as as_html

        columns, labels = self.columns, self.labels
        if not next(iter(columns.values()), []):
            columns, labels = {"nothing": [html.escape(empty)]}, {"nothing": ""}
        content = hashlib.sha256(repr((self.title, columns)).encode("utf-8", "replace")).hexdigest()[:10]
        table = GT(pd.DataFrame(columns, dtype="object"), id=f"fp-{content}").fmt(str, columns=list(columns))
        table = table.cols_label(cases=dict(labels))
        for side in ("left", "right"):
            chosen = [name for name in columns if self.align.get(name, "left") == side]
            if chosen:
                table = table.cols_align(align=side, columns=chosen)
        mark = SANDBOX_NOTE if self.attrs.get("sandbox") else None
        flag = '<mark style="background:#F0E442;color:#000;font-weight:600;padding:1px 5px">{}</mark>'
        table = table.tab_header(
            title=as_html(f"<b>{html.escape(self.title)}</b>"), subtitle=as_html(flag.format(mark)) if mark else None
        )
        for note in self.notes:
            table = table.tab_source_note(note)
        return table.opt_align_table_header("left").tab_options(
            table_font_size="14px", heading_title_font_size="16px",
            column_labels_font_weight="bold", data_row_padding="5px", container_overflow_x="auto",
            table_margin_left="0px",
        )  # fmt: skip


def first_rows(frame: pd.DataFrame, top: int, sheet: Sheet, noun: str = "row") -> pd.DataFrame:
    """Return the first rows, and note on the sheet how many are left."""
    left = len(frame) - top
    if left > 0:
        sheet.notes.append(f"{left:,} more {noun}{'' if left == 1 else 's'} of {len(frame):,} not shown.")
    return frame.head(top)


def add_names(sheet: Sheet, frame: pd.DataFrame) -> None:
    """Add a column per thing that the rows are about: names where there are any, their ids folded away."""
    labels = {
        "flow_name": "Flow", "flow_message_name": "Message", "variation_name": "Variation", "tag_name": "Tag",
    }  # fmt: skip
    for name, label in labels.items():
        identifier = NAMES[name]
        if name in frame.columns:
            ids = frame[identifier] if identifier in frame.columns else [None] * len(frame)
            sheet.add(name, label, (cells.name_cell(n, i) for n, i in zip(frame[name], ids, strict=True)))
        elif identifier in frame.columns:
            sheet.add(identifier, label, (cells.text_cell(i) for i in frame[identifier]))
    if "send_channel" in frame.columns:
        sheet.add("send_channel", "Channel", (cells.text_cell(c, 20) for c in frame["send_channel"]))


def add_text(sheet: Sheet, frame: pd.DataFrame, columns: dict[str, str], width: int = 60) -> None:
    """Add those columns of words that the frame has."""
    for name, label in columns.items():
        if name in frame.columns:
            sheet.add(name, label, (cells.text_cell(value, width) for value in frame[name]))


def add_dates(sheet: Sheet, frame: pd.DataFrame, columns: dict[str, str]) -> None:
    """Add those columns of moments that the frame has, as days of the account's clock."""
    for name, label in columns.items():
        if name in frame.columns:
            sheet.add(
                name,
                label,
                (
                    cells.missing_cell() if pd.isna(d) else f'<span style="white-space:nowrap">{d:%Y-%m-%d}</span>'
                    for d in frame[name]
                ),
            )


# Tables for people: units, right-aligned numbers, the verdict in words, ids folded away, nothing that can run.
#
# Each function takes a frame and returns a `great_tables.GT`, which shows itself as a notebook cell's last line.
# Rows keep the frame's order; what does not fit is counted in a note, never dropped in silence. A comparison puts
# real changes first, so that none is among those left out.


def values_table(
    frame: pd.DataFrame, *, statistics: Sequence[str] | None = None, trend: pd.DataFrame | None = None, top: int = 50
) -> GT:
    """Statistics per row, each with a bar against the column's largest value.

    Parameters
    ----------
    frame : DataFrame
        Values frame; ``attrs["why_na"]`` (of `roll_up`) is told under the table.
    statistics : sequence of str, optional
        Columns in this order; left out: all that the frame has.
    trend : DataFrame, optional
        Series frame; adds a line of the first statistic per flow (or message, where both frames have them).
    top : int
        Rows shown.
    """
    chosen = list(statistics) if statistics is not None else [c for c in frame.columns if c in STATISTICS]
    require_columns(frame, chosen, "values_table")
    sheet = Sheet("Values", dict(frame.attrs))
    shown, currency = first_rows(frame, top, sheet), frame.attrs.get("currency")
    add_names(sheet, shown)
    if not sheet.columns and not chosen:
        raise ArgumentError("values_table finds neither names nor statistics: give a frame of flow values.")
    channels = shown["send_channel"] if "send_channel" in shown.columns else pd.Series([None] * len(shown))
    why = frame.attrs.get("why_na") or {}
    for name in chosen:
        most = float(frame[name].max()) if frame[name].notna().any() else 0.0
        reasons = [_reason(name, channel, why) for channel in channels]
        made = [cells.bar_cell(v, most, name, currency, reason=r) for v, r in zip(shown[name], reasons, strict=True)]
        sheet.add(name, axis_title(name, currency), made, right=True)
        if name in why and frame[name].isna().any():
            sheet.notes.append(f"{MISSING} {statistic_label(name)}: {why[name]}")
    if trend is not None and chosen:
        _add_trend(sheet, shown, trend, chosen[0], currency)
    return sheet.draw("Nothing was sent in this window, or nothing fits the filter.")


def _reason(statistic: str, channel: Any, why: dict[str, str]) -> str:
    if channel is not None and not pd.isna(channel) and not has_meaning(statistic, str(channel)):
        return f"no meaning on {channel}"
    return str(why.get(statistic, "not known"))


def _add_trend(sheet: Sheet, shown: pd.DataFrame, trend: pd.DataFrame, statistic: str, currency: str | None) -> None:
    require_columns(trend, ["interval_start", statistic], "The trend of values_table")
    keys = [k for k in ("flow_id", "flow_message_id", "send_channel", "variation") if k in shown and k in trend]
    if not keys:
        raise ArgumentError("The trend has no identifier in common with the frame: give one with flow_id.")
    times = sorted(trend["interval_start"].unique())
    groups = {
        k: g.drop_duplicates("interval_start").set_index("interval_start") for k, g in trend.groupby(keys, dropna=False)
    }
    made = []
    for row in shown[keys].itertuples(index=False):
        group = groups.get(tuple(row))
        if group is None:
            made.append(cells.missing_cell("nothing sent in these intervals"))
            continue
        group = group.reindex(times)
        soft = group["is_provisional"].eq(True).tolist() if "is_provisional" in group else None
        made.append(sparkline_svg(group[statistic], label=statistic_label(statistic), statistic=statistic,
                                  currency=currency, provisional=soft))  # fmt: skip
    sheet.add("trend", f"{statistic_label(statistic)} over time", made)


def comparison_table(compared: pd.DataFrame, *, rate: str | None = None, top: int = 100) -> GT:
    """Before, after, the change with its interval as number and picture, and the verdict in words; real changes first.

    Parameters
    ----------
    compared : DataFrame
        Of `compare_rates`.
    rate : str, optional
        The statistic; left out: ``attrs["rate"]``.
    top : int
        Rows shown.
    """
    require_columns(compared, ["rate_before", "rate_after", "difference", "low", "high", "verdict"], "comparison_table")
    rate = rate or str(compared.attrs.get("rate", "click_rate"))
    sheet = Sheet(f"{statistic_label(rate)}, before and after", dict(compared.attrs))
    real_first = compared["verdict"].isin(("higher", "lower")).sort_values(ascending=False, kind="stable").index
    shown = first_rows(compared.loc[real_first], top, sheet)
    add_names(sheet, shown)
    blank = pd.Series([None] * len(shown), index=shown.index)
    for when in ("before", "after"):
        parts = (shown.get(f"{part}_{when}", blank) for part in ("rate", "numerator", "denominator"))
        made = [cells.rate_cell(r, n, d, rate) for r, n, d in zip(*parts, strict=True)]
        sheet.add(f"rate_{when}", when.capitalize(), made, right=True)
    ends = list(zip(shown["difference"], shown["low"], shown["high"], strict=True))
    said = [
        f"{difference_text(d, rate)}, 95 % interval {difference_text(a, rate)} to {difference_text(b, rate)}"
        for d, a, b in ends
    ]
    unit = " (points)" if unit_of(rate) == "fraction" else ""
    numbers = [html.escape(difference_text(d, rate).replace("\N{NO-BREAK SPACE}points", "")) for d, _, _ in ends]
    sheet.add("difference", f"Change{unit}", numbers, right=True)
    reach = float(shown[["low", "high"]].abs().max().max()) if len(shown) else 0.0
    pictures = [cells.interval_cell(d, a, b, reach, s) for (d, a, b), s in zip(ends, said, strict=True)]
    sheet.add("interval", "95 % interval, line: no change", pictures)
    sheet.add("verdict", "Verdict", (cells.verdict_cell(v) for v in shown["verdict"]))
    if "denominator_before" not in shown.columns:
        add_text(sheet, shown, {"sample": "Rests on"}, 80)
    sheet.notes += [str(note) for note in compared.attrs.get("notes") or []]
    return sheet.draw("There is nothing to compare: no group is in both periods.")


def flows_table(flows: pd.DataFrame, *, top: int = 500) -> GT:
    """Flows with status, trigger and dates; archived ones say so."""
    require_columns(flows, ["flow_id"], "flows_table")
    sheet = Sheet("Flows", dict(flows.attrs))
    shown = first_rows(flows, top, sheet, "flow")
    add_names(sheet, shown)
    if "archived" in shown.columns and "flow_status" in shown.columns:
        gone = shown["archived"].fillna(False).astype(bool)
        states = shown["flow_status"].astype("object")
        shown = shown.assign(flow_status=states.mask(gone, states.fillna("status unknown").astype(str) + " · archived"))
    add_text(sheet, shown, {"flow_status": "Status", "trigger_type": "Trigger", "metric_name": "Metric"})
    add_dates(sheet, shown, {"created": "Created", "updated": "Updated"})
    return sheet.draw("The account has no flows that fit.")


def metrics_table(metrics: pd.DataFrame, *, top: int = 500) -> GT:
    """Metrics with the integration that owns them."""
    require_columns(metrics, ["metric_id"], "metrics_table")
    sheet = Sheet("Metrics", dict(metrics.attrs))
    shown = first_rows(metrics, top, sheet, "metric")
    names = shown["metric_name"] if "metric_name" in shown.columns else [None] * len(shown)
    made = (cells.name_cell(n, i) for n, i in zip(names, shown["metric_id"], strict=True))
    sheet.add("metric_name", "Metric", made)
    add_text(sheet, shown, {"integration_name": "Integration", "integration_category": "Category"})
    return sheet.draw("The account has no metrics that fit.")


def honest_table(rows: pd.DataFrame, *, top: int = 200) -> GT:
    """Everything that was discovered, with the reason why it has numbers or none.

    Parameters
    ----------
    rows : DataFrame
        Of `coverage_table`.
    top : int
        Rows shown.
    """
    require_columns(rows, ["reason"], "honest_table")
    sheet = Sheet("Every flow and message, and why it has numbers or none", dict(rows.attrs))
    shown = first_rows(rows, top, sheet)
    add_names(sheet, shown)
    add_text(sheet, shown, {"flow_status": "Flow status", "action_status": "Message status", "reason": "Reason"})
    if "recipients" in shown.columns:
        made = (
            cells.number_cell(v, "recipients", reason=str(r))
            for v, r in zip(shown["recipients"], shown["reason"], strict=True)
        )
        sheet.add("recipients", "Recipients", made, right=True)
    return sheet.draw("Nothing was discovered: the account has no flows that fit.")


def signals_table(signals: pd.DataFrame, *, top: int = 100) -> GT:
    """What is out of the ordinary: when, where, and a sentence.

    Parameters
    ----------
    signals : DataFrame
        Of `find_signals`.
    top : int
        Rows shown.
    """
    require_columns(signals, ["interval_start", "sentence"], "signals_table")
    sheet = Sheet("Signals", dict(signals.attrs))
    shown = first_rows(signals, top, sheet, "signal")
    add_dates(sheet, shown, {"interval_start": "Since"})
    add_names(sheet, shown)
    if "statistic" in shown.columns:
        sheet.add("statistic", "Statistic", (cells.text_cell(statistic_label(str(s))) for s in shown["statistic"]))
    if "direction" in shown.columns:
        sheet.add("direction", "What", (cells.verdict_cell(d) for d in shown["direction"]))
    add_text(sheet, shown, {"sentence": "In words"}, 240)
    return sheet.draw("No signals: everything moved as it usually does.")


def how_to_read_table(statistics: Sequence[str] | None = None) -> GT:
    """Definitions of the statistics; all of them where none are named."""
    told = how_to_read(None if statistics is None else list(statistics))
    sheet = Sheet("How to read the numbers", {})
    sheet.add(
        "label", "Statistic", (cells.name_cell(n, i) for n, i in zip(told["label"], told["statistic"], strict=True))
    )
    heads = {"definition": "What it says", "unit": "Unit", "may_be_summed": "May be summed", "channels": "Channels"}
    add_text(sheet, told, heads, 200)
    return sheet.draw("No statistic was named.")
