"""All weeks of an output folder on one page: each with its sentences, what was new, and a small picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from flowperf_helpers.frames.formats import statistic_text
from flowperf_helpers.report.digest import contents
from flowperf_helpers.report.html import fill
from flowperf_helpers.report.memory import remember

__all__ = ["OURS", "archive_page", "entry"]

OURS = '<meta name="generator" content="flowperf weekly">'
"""How a list of weeks is known as one of ours."""
_WIDTH, _HEIGHT = 156, 36


def archive_page(headlines: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page over all weeks, the newest first; the same files give the same page.

    Parameters
    ----------
    headlines : mapping
        Headlines by the names of their files, without ``.json``; their pages lie beside them.
    """
    series: dict[str, list[Mapping[str, Any]]] = {}
    for stem, headline in sorted(headlines.items(), reverse=True):
        series.setdefault(stem[: -len(headline["week"]) - 1], []).append(headline)
    groups = [
        {
            "title": weeks[0]["account"]["title"],
            "name": name,
            "sandbox": any(week["sandbox"] for week in weeks),
            "weeks": [entry(name, week, weeks) for week in weeks],
        }
        for name, weeks in sorted(series.items())
    ]
    return fill("archive", groups=groups, ours=OURS)


def entry(name: str, headline: Mapping[str, Any], weeks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the page says of one week of a series, beside the other weeks of it."""
    said = contents(headline, remember(headline, weeks), link=f"{quote(name)}-{headline['week']}.html")
    return {**said, "spark": _spark(headline)}


def _spark(headline: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weeks before and the last one as two paths, with what they say; empty where nothing is known."""
    weeks = headline.get("weeks") or []
    statistic = next((s for s in ("conversion_value", "delivered") if any(week[s] for week in weeks)), "")
    if not statistic:
        return {}
    values = [float(week[statistic] or 0.0) for week in weeks]
    step, top = _WIDTH / len(values), max(values) or 1.0
    heights = [value / top * _HEIGHT for value in values]
    bars = [
        f"M{place * step:.1f} {_HEIGHT}v{-height:.1f}h{step - 1.5:.1f}v{height:.1f}z"
        for place, height in enumerate(heights)
    ]
    last = statistic_text(weeks[-1][statistic], statistic, headline["account"]["currency"])
    words = f"{len(weeks)} weeks: {last} in the last one, {min(values) / top:.0%} to 100 % of the highest over all"
    return {"before": "".join(bars[:-1]), "last": bars[-1], "words": words, "width": _WIDTH, "height": _HEIGHT}
