"""A rate whose law never changes, and what two tests say of its weeks."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.plots.figure import below, canvas, few_ticks, headline, plural, put_alt, tick_format
from flowperf_helpers.plots.style import COLORS, MUTED, styled

__all__ = ["plot_same_law"]


@styled
def plot_same_law(simulated: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the weeks with their intervals; rings are claims of a coin-toss test, squares those of flowperf.

    Parameters
    ----------
    simulated : DataFrame
        Of `flowperf_helpers.stats.same_law.same_law_weeks`.
    ax : Axes, optional
        To draw on.
    """
    require_columns(simulated, ["week", "rate", "low", "high", "is_claim_by_coins", "is_claim"], "plot_same_law")
    ax = canvas(ax, height=3.6, grid="y")
    week, attrs = simulated["week"], {**simulated.attrs, "sandbox": True}
    ax.vlines(week, simulated["low"], simulated["high"], color=COLORS["blue"], alpha=0.35, linewidth=4)
    ax.plot(week, simulated["rate"], "-o", color=COLORS["blue"], markersize=4.5, linewidth=1, label="rate of the week")
    looks = (
        ("is_claim_by_coins", "o", "against the week before, coin tosses only: “changed”"),
        ("is_claim", "s", "flowperf, against eight weeks: “changed”"),
    )
    for name, marker, words in looks:
        claimed = simulated[simulated[name]]
        color = COLORS["vermillion"] if marker == "o" else COLORS["black"]
        ax.plot(claimed["week"], claimed["rate"], marker, markersize=11 if marker == "o" else 15, label=words,
                markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.6)  # fmt: skip
    ax.axhline(float(simulated.attrs.get("rate", simulated["rate"].mean())), color=MUTED, linewidth=0.8, linestyle="--")
    few_ticks(ax, whole=True)
    ax.yaxis.set_major_formatter(tick_format("click_rate", None))
    ax.set_xlabel("Week", color=MUTED)
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0), ncols=3, bbox_transform=below(ax, 38), borderaxespad=0,
              labelcolor=MUTED, handletextpad=0.3, columnspacing=1.0, fontsize=8.5)  # fmt: skip
    coins, ours = int(simulated["is_claim_by_coins"].sum()), int(simulated["is_claim"].sum())
    weeks = plural(len(simulated), "week")
    finding = f"Nothing changed in {weeks}: coin tosses claim {coins} changes, flowperf {ours}"
    moves = f"{100 * float(simulated.attrs.get('week_sd', 0)):.0f} %"
    headline(
        ax, finding, f"simulated: one law, moving by {moves} from week to week · bar: 95 % by counting alone", attrs
    )
    put_alt(
        ax,
        f"A simulated rate over {weeks} whose law never changes: a test against the week before that knows coin tosses "
        f"only claims {coins} changes, flowperf's test against eight weeks {ours}.",
        attrs,
    )
    return ax
