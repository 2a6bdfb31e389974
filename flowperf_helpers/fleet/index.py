"""The index page over a fleet's accounts: one HTML file that asks nobody for anything, worst first."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.account.timeframes import iso_week
from flowperf_helpers.fleet.compare import (
    VERDICTS,
    compare_accounts,
    is_sandbox,
    revenue_by_currency,
    unusual_weeks,
)
from flowperf_helpers.frames.columns import require_columns
from flowperf_helpers.frames.formats import (
    MINUS,
    MISSING,
    SPACE,
    clean_name,
    count_text,
    money_text,
    percent_text,
    short_name,
)
from flowperf_helpers.stats.multiple_testing import correct

if TYPE_CHECKING:
    import jinja2

__all__ = ["index_page"]

SHOWN = 20
"""Rows that stand open; those that need somebody are never hidden."""

COMPARED_WEEKS = 8
"""Weeks whose click rates are compared, as far as the results hold them."""

_WEEKS = 26
_RATE = "click_rate"
_UNUSUAL_SHARE = 0.03  # of false claims: earlier weeks are not quite as normal as Student's law has them
_FAILED, _BELOW, _OUTSIDE, _ABOVE, _USUAL = "failed", "below", "outside", "above", "usual"
_LOOKS = {VERDICTS[0]: ("▲ above the fleet", "good"), VERDICTS[1]: ("▼ below the fleet", "bad")}


@dataclass(frozen=True)
class Row:
    """One account, ready to print.

    Attributes
    ----------
    name, title : str
        As in ``accounts.toml``, and as Klaviyo calls it.
    kind : str
        ``"failed"``, ``"below"`` or ``"above"`` (revenue beside its own usual range), ``"outside"`` (of the fleet's
        spread) or ``"usual"``.
    sentence, report, currency : str
    money, change, rate : str
        As people read them.
    numbers : dict
        What a reader sorts by: ``money, change, rate``; absent where not known.
    distance : float
        Of the week's revenue from its usual one, in standard deviations.
    verdict, look : str
        Beside the fleet, and whether that is ``"good"`` or ``"bad"``; of a failed one what it needs.
    path, dot, spoken : str
        The sparkline's line, the height of its last point in per cent, and its words.
    """

    name: str
    title: str
    kind: str
    sentence: str
    report: str
    currency: str
    money: str
    change: str
    rate: str
    numbers: dict[str, float]
    distance: float
    verdict: str
    look: str
    path: str
    dot: str
    spoken: str


def index_page(results: pd.DataFrame, runs: pd.DataFrame | None = None, *, week: str = "") -> str:
    """Make the page over all accounts of a week.

    Failed accounts stand first, then those whose revenue fell below its own usual range, then those outside the fleet's
    spread of click rates (of the template's flows where there are any), then the others by how far their revenue lies
    from its usual one. Sorting and searching take a script of the page's own; everything else works without.

    Parameters
    ----------
    results : DataFrame
        Of `flowperf_helpers.fleet.read_results`: the week, and as many weeks before as there are.
    runs : DataFrame, optional
        One row per account that was asked: ``account, status`` (``"failed"``, or anything else), and where known
        ``reason, reconnect`` (the customer has to give a new key), ``sentence, report`` (place of its page beside this
        one), ``title, currency, sandbox``. Left out: the accounts of the results, all done.
    week : str
        ISO week; empty: the last of the results.

    Returns
    -------
    str
        HTML.
    """
    require_columns(results, ["account", "week", "flow_id", "currency", "conversion_value"], "index_page")
    week = week or str(results["week"].astype("str").max() if len(results) else "")
    results = results[results["week"].astype("str") <= week]
    if runs is None:
        accounts = sorted(results.loc[results["week"] == week, "account"].astype("str").unique())
        runs = pd.DataFrame({"account": accounts, "status": "done"})
    # the rows whose click rates are compared: of the template's flows where there are any
    versions = results["template_version"].fillna("") != "" if "template_version" in results else pd.Series(dtype=bool)
    compared = results[versions] if versions.any() else results
    money = revenue_by_currency(results, week=week)
    rows = _rows(results, compared, money, runs)
    script, style = (_template_text(f"index.{end}") for end in ("js", "css"))
    counted = {kind: sum(row.kind == kind for row in rows) for kind in (_FAILED, _BELOW, _OUTSIDE, _ABOVE)}
    return _template().render(
        rows=rows,
        shown=max(SHOWN, sum(counted.values())),
        counted=counted,
        heading=_heading(rows, counted),
        is_template=bool(versions.any()),
        compared_weeks=min(compared["week"].nunique(), COMPARED_WEEKS),
        currencies=_currencies(money),
        week=_week_words(week),
        weeks=min(results["week"].nunique(), _WEEKS),
        sandbox=is_sandbox(results) or is_sandbox(runs),
        is_final=bool(results.loc[results["week"] == week, "is_final"].all()) if "is_final" in results else True,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


# -- rows ------------------------------------------------------------------------------------------------------------


def _rows(
    results: pd.DataFrame, compared: pd.DataFrame, money: dict[str, pd.DataFrame], runs: pd.DataFrame
) -> list[Row]:
    parts = [part.set_index("account") for part in money.values()]
    revenue = pd.concat(parts).to_dict("index") if parts else {}
    ranked = (
        compare_accounts(compared, [_RATE], weeks=COMPARED_WEEKS) if len(compared) else pd.DataFrame({"account": []})
    )
    rates = ranked.set_index("account").to_dict("index")
    totals = results[results["flow_id"].fillna("") == ""]
    currency = totals.drop_duplicates("account", keep="last").set_index("account")["currency"].fillna("").to_dict()
    wide = totals.pivot_table(index="account", columns="week", values="conversion_value", aggfunc="sum", min_count=1)
    values = wide.iloc[:, -_WEEKS:].to_numpy(np.float64)
    distance, p_values = unusual_weeks(values)
    claimed = correct(p_values, false_share=_UNUSUAL_SHARE).is_claim
    weeks = {
        str(account): (values[i], float(np.nan_to_num(distance[i])), bool(claimed[i]))
        for i, account in enumerate(wide.index)
    }
    rows = []
    for run in runs.to_dict("records"):
        account = str(run["account"])
        code = str(currency.get(account, "")) or _text(run, "currency")
        found = revenue.get(account, {}), rates.get(account, {}), weeks.get(account)
        rows.append(_row(run, code, *(({}, {}, None) if run["status"] == "failed" else found)))
    order = {kind: place for place, kind in enumerate((_FAILED, _BELOW, _OUTSIDE, _ABOVE, _USUAL))}
    return sorted(rows, key=lambda r: (order[r.kind], r.distance, r.name))


def _row(
    run: dict[Any, Any], currency: str, money: dict[Any, Any], rate: dict[Any, Any],
    weeks: tuple[npt.NDArray[np.float64], float, bool] | None,
) -> Row:  # fmt: skip
    numbers = {"money": money.get("conversion_value"), "change": money.get("change"), "rate": rate.get("raw")}
    known = {key: float(value) for key, value in numbers.items() if value is not None and np.isfinite(value)}
    series, distance, is_unusual = weeks or (np.zeros(0), 0.0, False)
    verdict = str(rate.get("verdict", ""))
    kind = _OUTSIDE if verdict in VERDICTS[:2] else _USUAL
    if is_unusual and (distance < 0 or kind == _USUAL):
        kind = _BELOW if distance < 0 else _ABOVE
    sentence = _text(run, "sentence") or _own_sentence(kind, rate)
    verdict, look = _LOOKS.get(verdict, (verdict, ""))
    if run["status"] == "failed":
        kind, verdict = _FAILED, "reconnect" if run.get("reconnect") is True else "failed"
        sentence = _text(run, "reason") or "The run says no reason: run this account alone to see it."
    return Row(
        clean_name(run["account"]), _text(run, "title"), kind, sentence, _relative(_text(run, "report")), currency,
        money_text(known.get("money"), currency or None), _change_text(known.get("change")),
        percent_text(known.get("rate")), known, distance, verdict, look, *_sparkline(series, currency),
    )  # fmt: skip


def _own_sentence(kind: str, rate: dict[Any, Any]) -> str:
    if kind in (_BELOW, _ABOVE):
        return f"Revenue is {kind} its usual range of the last eight weeks"
    if kind == _OUTSIDE:
        way = "more" if rate["verdict"] == VERDICTS[0] else "less"
        return f"Click rate {percent_text(rate['raw'])}, {way} than the spread of the fleet explains"
    return "Nothing out of the ordinary" if rate else "Nothing to compare it by yet"


def _text(run: dict[Any, Any], key: str) -> str:
    value = run.get(key)
    return "" if value is None or pd.isna(value) or not str(value).strip() else clean_name(value)


def _relative(link: str) -> str:
    """A link within the output folder; any other address is left out, as a page may come from a stranger's name."""
    return "" if re.match(r"^\s*([a-zA-Z][a-zA-Z0-9+.-]*:|//|\\)", link) else link


def _change_text(change: float | None) -> str:
    if change is None:
        return MISSING
    if change > 9.99:
        return f"× {change + 1:,.0f}"
    sign = "" if abs(change) < 0.0005 else MINUS if change < 0 else "+"
    return f"{sign}{abs(100 * change):.{0 if abs(change) >= 0.1 else 1}f}{SPACE}%"


def _sparkline(values: npt.NDArray[np.float64], currency: str) -> tuple[str, str, str]:
    """Path in a box of 100 × 100, height of the last point, and what it shows in words."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return "", "", ""
    top = float(np.nanmax(values)) or 1.0
    x, y = 100 * known / max(len(values) - 1, 1), 100 - 96 * np.maximum(values[known], 0) / top
    starts = np.concatenate([[True], np.diff(known) > 1])
    path = "".join(f"{'M' if s else 'L'}{a:.1f} {b:.1f}" for s, a, b in zip(starts, x, y, strict=True))
    ends = [money_text(v, currency or None, compact=True) for v in (np.nanmin(values), top, values[known[-1]])]
    spoken = f"Revenue of {len(known)} weeks: from {ends[0]} to {ends[1]}, now {ends[2]}"
    return path, f"{y[-1]:.1f}" if known[-1] == len(values) - 1 else "", spoken


# -- words -----------------------------------------------------------------------------------------------------------


def _heading(rows: list[Row], counted: dict[str, int]) -> str:
    """The finding: who needs somebody."""
    if not rows:
        return "No account was asked"
    parts = []
    if counted[_FAILED]:
        parts.append(f"{count_text(counted[_FAILED])} of {count_text(len(rows))} accounts failed")
    for kind, words in ((_BELOW, "below usual in revenue"), (_OUTSIDE, "out of the fleet in click rate")):
        named = [short_name(row.name, 30) for row in rows if row.kind == kind]
        if named:
            more = f" and {len(named) - 1} more are" if len(named) > 1 else " is"
            parts.append(f"{named[0]}{more} {words}")
    if parts:
        return "; ".join(parts)
    return f"{count_text(len(rows))} account{'s' * (len(rows) != 1)} done, nothing out of the ordinary"


def _currencies(money: dict[str, pd.DataFrame]) -> list[dict[str, str]]:
    """One line per currency: nothing is summed over them."""
    lines = []
    for code, table in money.items():
        both = table[table["change"].notna()]
        before = both["previous"].sum()
        change = both["conversion_value"].sum() / before - 1 if before > 0 else None
        lines.append(
            {"code": code, "sum": money_text(table["conversion_value"].sum(min_count=1), None if code == "?" else code),
             "accounts": str(len(table)), "change": _change_text(change)}
        )  # fmt: skip
    return lines


def _week_words(week: str) -> str:
    if not re.fullmatch(r"\d{4}-W\d{2}", week):
        return week
    found = iso_week(week)
    start = f"{found.first.day}" if found.first.month == found.last.month else f"{found.first:%-d %B}"
    return f"Week {int(week[-2:])}, {start}–{found.last:%-d %B %Y}"


# -- templates -------------------------------------------------------------------------------------------------------


def _template_text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    rules = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return rules.from_string(_template_text("index.html.j2"))
