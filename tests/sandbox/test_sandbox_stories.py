"""The planted stories are in the numbers of the default account, and nowhere in those of its quiet twin."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sandbox_asking import EVERYTHING, days, frozen, report
from scipy import stats

from flowperf_helpers.sandbox import STORIES

RATES = {
    "open_rate": ("opens_unique", "delivered"),
    "click_rate": ("clicks_unique", "delivered"),
    "unsubscribe_rate": ("unsubscribe_uniques", "delivered"),
    "spam_complaint_rate": ("spam_complaints", "delivered"),
    "bounced_or_failed_rate": ("bounced_or_failed", "recipients"),
}
COUNTS = sorted({name for pair in RATES.values() for name in pair})
TWO_WEEKS = days("2026-11-09", "2026-11-22")

Key = tuple[str, str | None]


def weeks(variant: str) -> dict[Key, dict[str, list[float]]]:
    """Counts of W46 and W47 per message and variation."""
    got = report(
        frozen(variant=variant), "series", interval="weekly", statistics=COUNTS, timeframe=TWO_WEEKS,
        group_by=[*EVERYTHING, "variation"],
    )  # fmt: skip
    return {
        (row["groupings"]["flow_message_id"], row["groupings"]["variation"]): row["statistics"]
        for row in got["results"]
    }


def p_value(a: float, n: float, b: float, m: float) -> float:
    """Fisher's exact test where few, else two proportions by normal approximation."""
    if not n or not m or a + b == 0:
        return 1.0
    if min(a, b) < 10:
        return float(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue)
    p = (a + b) / (n + m)
    return float(2 * stats.norm.sf(abs(a / n - b / m) / np.sqrt(p * (1 - p) * (1 / n + 1 / m))))


def found(variant: str) -> set[tuple[str, str]]:
    """Messages and rates that changed from W46 to W47 beyond chance, over all of them together."""
    messages: dict[str, dict[str, np.ndarray]] = {}
    for (message, _), counts in weeks(variant).items():
        kept = messages.setdefault(message, {name: np.zeros(2) for name in COUNTS})
        for name in COUNTS:
            kept[name] = kept[name] + np.array([value or 0 for value in counts[name]], dtype=float)
    keys, p = [], []
    for message, counts in messages.items():
        for rate, (top, bottom) in RATES.items():
            keys.append((message, rate))
            p.append(p_value(counts[top][0], counts[bottom][0], counts[top][1], counts[bottom][1]))
    q = stats.false_discovery_control(p)
    return {key for key, value in zip(keys, q, strict=True) if value < 0.05}


def test_rates_that_changed_are_the_planted_ones():
    """A proper test with correction finds the fallen click rate and the spam spike in W47, and nothing else."""
    planted = {(s.flow_message_id, s.statistic) for s in STORIES if s.story in ("click rate fell", "spam spike")}
    assert planted == found("default")


def test_quiet_twin_is_quiet():
    """The same test on the quiet twin finds nothing."""
    assert set() == found("quiet")


@pytest.mark.parametrize("variant", ["default", "quiet"])
def test_variation_wins_only_where_planted(variant):
    """The better arm stands out in W47 alone in the default account; no arm does in the quiet one."""
    got = weeks(variant)
    winner = next(s for s in STORIES if s.variation)
    for message in {m for m, arm in got if arm}:
        (_, a), (arm, b) = sorted((arm, counts) for (m, arm), counts in got.items() if m == message and arm)
        p = p_value(a["clicks_unique"][1], a["delivered"][1], b["clicks_unique"][1], b["delivered"][1])
        is_story = variant == "default" and message == winner.flow_message_id
        assert is_story == (p < 0.01)
        if is_story:
            assert winner.variation == arm
            assert b["clicks_unique"][1] > a["clicks_unique"][1]


def test_flow_stops_on_its_day():
    """The stopped flow sent dozens every day before and nothing from its day on; its twin goes on."""
    story = next(s for s in STORIES if s.direction == "stopped")
    for variant in ("default", "quiet"):
        (row,) = report(
            frozen(variant=variant), "series", timeframe=TWO_WEEKS, filter=f'equals(flow_id,"{story.flow_id}")'
        )["results"]
        sent = row["statistics"]["recipients"]
        until = (story.first_day - story.first_day.replace(day=9)).days
        assert min(sent[:until]) > 60
        assert (max(sent[until:]) == 0) == (variant == "default")


def test_twin_differs_only_in_the_stories():
    """Everything that no story touches is the same in both, number by number."""
    touched = {s.flow_message_id for s in STORIES}
    default, quiet = weeks("default"), weeks("quiet")
    assert {key: v for key, v in default.items() if key[0] not in touched} == {
        key: v for key, v in quiet.items() if key[0] not in touched
    }
    assert default[("Ww1aEm", None)]["clicks_unique"] == quiet[("Ww1aEm", None)]["clicks_unique"]


def test_before_its_first_day_a_story_is_silent():
    """The day before each story both twins answer alike."""
    for story in STORIES:
        day = str(story.first_day - timedelta(days=1))
        rows = [
            report(frozen(variant=v), "values", statistics=COUNTS, timeframe=days(day, day),
                   filter=f'equals(flow_message_id,"{story.flow_message_id}")')["results"]
            for v in ("default", "quiet")
        ]  # fmt: skip
        assert rows[0] == rows[1]


def test_rates_of_untouched_messages_hardly_wobble():
    """Weekly rates vary about as much as chance alone: a binomial test rejects in about one case of twenty."""
    asked = days("2026-03-02", "2026-10-25")
    got = report(frozen(), "series", interval="weekly", statistics=COUNTS, timeframe=asked)
    p = []
    for row in got["results"]:
        counts = {name: np.array([v or 0 for v in values], dtype=float) for name, values in row["statistics"].items()}
        for top, bottom in RATES.values():
            for week in range(1, len(got["date_times"])):
                before, after = (counts[top][i] for i in (week - 1, week))
                if before + after >= 20:
                    p.append(p_value(before, counts[bottom][week - 1], after, counts[bottom][week]))
    share = np.mean(np.array(p) < 0.05)
    assert len(p) > 2000
    assert 0.025 < share < 0.07
