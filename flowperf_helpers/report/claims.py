"""What a page claims of its week, as one frame: a row per comparison of the one family that is corrected together.

===========  =======================  ================  ==========================================================
kind         whose                    statistic         what is compared
===========  =======================  ================  ==========================================================
flow         ``flow_id``              a rate            the week with its last eight, the flows' common move taken out
lasting      ``flow_id``              a rate            the last four (settled) weeks together with the eight before
message      ``flow_message_id``      a rate            as ``flow``; messages of flows with several
account      ids empty                a rate            the week with its last eight, all flows together
money        ``flow_id`` or empty     revenue per       the week with its last eight
                                      recipient
split test   ``variation``            click rate and    with the test's first variation, since the test began
                                      two guardrails
silence      ``flow_id``, message     recipients        days (weeks) without a send with the history's gaps
===========  =======================  ================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.columns import text_column
from flowperf_helpers.report.evidence import Evidence
from flowperf_helpers.stats.ab_tests import variation_table
from flowperf_helpers.stats.claims import LASTING_WEEKS, Judged, judge_week
from flowperf_helpers.stats.level_test import MARGIN

__all__ = ["CHANGED", "COLUMNS", "EVENTS", "NO_CHANGE", "PARTS", "TOO_FEW", "Claims", "make_claims", "size_text"]

CHANGED, NO_CHANGE, UNSURE, TOO_FEW = "changed", "no change larger than", "cannot tell yet", "too few"

COLUMNS = [
    "kind", "flow_id", "flow_message_id", "send_channel", "variation", "statistic", "now", "usual", "change", "low",
    "high", "p_value", "q_value", "verdict", "direction", "is_good", "excluded", "visible", "weeks_needed",
    "trials_needed", "cause_message_id", "cause_channel", "cause_share", "cause_text", "text",
    "silent_since", "silent_unit", "sent_before", "cause_short", "cause_rates",
]  # fmt: skip
PARTS = COLUMNS[-5:]
"""Parts of the texts, for whoever words them otherwise; the spreadsheet has the texts."""

EVENTS = {
    "open_rate": "opens", "click_rate": "clicks", "conversion_rate": "conversions", "unsubscribe_rate": "unsubscribes",
    "spam_complaint_rate": "complaints", "revenue_per_recipient": "revenue per recipient", "recipients": "sends",
}  # fmt: skip
"""What the statistics of claims count, in a word."""

_JUDGED = ["change", "low", "high", "p_value", "q_value"]
_BAD = ("unsubscribe_rate", "spam_complaint_rate")
_NUMBERS = ["now", "usual", "change", "low", "high", "p_value", "q_value", "excluded", "visible", "weeks_needed",
            "trials_needed", "cause_share", "sent_before"]  # fmt: skip
_STOPPED = (
    r"” has sent nothing since (?:the week of )?(?P<silent_since>[\d-]+), after about (?P<sent_before>[\d,]+) "
    r"recipients in each (?P<silent_unit>\w+) with sends; [^”]*$"
)
# the end of a stop's sentence, behind the name, which may hold anything

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Claims:
    """The page's family of comparisons.

    Its frame::

        kind     flow_id  statistic   now     usual   change  low    high   q_value  verdict                excluded  …
        flow     XbChk1   click_rate  0.0597  0.0774  -0.229  -0.34  -0.10  8e-05    changed                0.34
        account           open_rate   0.4186  0.4243  -0.013  -0.03   0.01  0.9      no change larger than  0.03

    Attributes
    ----------
    frame : DataFrame
        One row per comparison. Text: ``kind, flow_id, flow_message_id, send_channel, variation`` (empty where none),
        ``statistic, verdict`` (``changed``, ``no change larger than``, ``cannot tell yet``, ``too few``),
        ``direction`` (``up``, ``down`` or empty), ``cause_message_id, cause_channel, cause_text`` (changed flows) and
        ``text`` (one short line); and as parts of these ``silent_since`` (a date), ``silent_unit`` (``day``, ``week``,
        ``interval``), ``cause_short`` (without its numbers), ``cause_rates`` (``7.74 % → 5.97 %``). float64: ``now``
        (rate, money per recipient, recipients of a silence; of a week that settles: of what is compared), ``usual``
        (that of the last eight weeks, the common move of all flows applied), ``change, low, high`` (fractions of
        usual; the interval decides: it excludes 0 if and only if the verdict is *changed*), ``p_value, q_value`` (NaN
        where nothing can be compared), ``excluded`` (the smallest change that the interval excludes either way: 0.12
        is "no change larger than 12 %"), ``visible`` (the smallest change that would have shown with 80 % power),
        ``weeks_needed`` (until one of 20 % would show; infinite beyond a year), ``trials_needed`` (recipients, for
        money conversions, that it takes in a week), ``cause_share`` (of the change, that ``cause_message_id`` or
        ``cause_channel`` carries), ``sent_before`` (recipients in a unit before the silence). boolean: ``is_good``, NA
        where nothing changed.
    common : DataFrame
        The common move of all flows: ``statistic, change, low, high, p_value, flows``, one row per rate, NaN where
        fewer than five flows have enough events.
    tests : DataFrame
        One row per variation that is tested, of `variation_table`, at the page's level, and ``complaints,
        unsubscribes`` (verdicts of the guardrails) and ``weeks`` (since the test began).
    comparisons : dict of str to int
        Kind to how many there were.
    sentence : str
        What was corrected together, for the page.
    basis : str
        How a week that settles was compared; empty for a final one.
    scatter : float
        How much order values scatter, as `compare_revenue` found it.
    """

    frame: pd.DataFrame
    common: pd.DataFrame
    tests: pd.DataFrame
    comparisons: dict[str, int] = field(default_factory=dict)
    sentence: str = ""
    basis: str = ""
    scatter: float = 1.0

    @property
    def changed(self) -> pd.DataFrame:
        """The claims: rows whose verdict is *changed*."""
        return self.frame[self.frame["verdict"] == CHANGED]


def make_claims(evidence: Evidence, stops: pd.DataFrame, names: Mapping[str, str]) -> Claims:
    """Judge a week's evidence and say in a frame what it came to.

    Parameters
    ----------
    evidence : Evidence
    stops : DataFrame
        Silent flows and messages, of `find_signals`.
    names : mapping of str to str
        Message id (and variation id) to name.
    """
    watched = _watched(evidence, stops)
    silence = np.concatenate([stops["q_value"].to_numpy(dtype=np.float64), np.ones(len(watched))])
    judged = judge_week(
        evidence.flow, evidence.rates, money=evidence.money, tests=evidence.split_tests(), silence=silence
    )
    parts = [_levels(judged, evidence, names), _money(judged, evidence), _tests(judged, evidence, names)]
    parts = [part for part in [*parts, _silence(judged, stops, watched)] if len(part)]
    frame = pd.concat(parts or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    frame = frame.reindex(columns=COLUMNS).astype({"is_good": "boolean"} | dict.fromkeys(_NUMBERS, "float64"))
    for name in set(COLUMNS) - {"is_good", *_NUMBERS}:
        frame[name] = text_column(name, frame[name].astype(object).where(frame[name].notna(), "").tolist())
    common = pd.DataFrame([{"statistic": rate, **move} for rate, move in judged.common.items()])
    tests = _variations(judged, evidence)
    return Claims(
        frame, common, tests, judged.kinds, _sentence(judged), evidence.basis.sentence, scatter=judged.scatter
    )


# --- kinds of rows ---------------------------------------------------------------------------------------------------


def _levels(judged: Judged, evidence: Evidence, names: Mapping[str, str]) -> pd.DataFrame:
    table = judged.levels
    if not len(table):
        return table
    found, kind, row = table["verdict"].to_numpy(dtype=object), table["kind"].to_numpy(), table["row"].to_numpy()
    messages = evidence.messages
    of_message, of_flow = kind == "message", np.isin(kind, ["flow", "lasting"])
    flow = np.select([of_message, of_flow], [evidence.flow[np.where(of_message, row, 0)], row], len(evidence.flows))
    ids = np.array([*evidence.flows, ""], dtype=object)[flow]

    def of(column: str) -> Any:
        return np.where(of_message, messages[column].to_numpy(dtype=object)[np.where(of_message, row, 0)], "")

    changed = np.isin(found, ["higher", "lower"])
    rows = pd.DataFrame(
        {
            "kind": kind, "flow_id": ids, "flow_message_id": of("flow_message_id"), "send_channel": of("send_channel"),
            "variation": "", "statistic": table["statistic"].to_numpy(), "now": table["rate_after"],
            "usual": table["expected"], **table[_JUDGED], "verdict": np.where(changed, CHANGED, found),
            "visible": _visible(table["visible_fall"].to_numpy(), table["visible_rise"].to_numpy()),
            "weeks_needed": table["weeks_until_margin"], "trials_needed": table["trials_until_margin"],
        }
    )  # fmt: skip
    rows = _finished(rows, found == "higher", found == "lower")
    rows["text"] = _lines(rows)
    none = rows["now"].isna() | rows["usual"].isna()
    rows["text"] = rows["text"].mask(none, rows["statistic"].map(EVENTS) + ": nothing to compare")
    at = [int(i) for i in np.flatnonzero(changed & of_flow)]
    changes = zip(kind[at], rows["statistic"].iloc[at], row[at], strict=True)
    causes = [_cause(evidence, str(k), str(rate), int(r), names) for k, rate, r in changes]
    for name in ("cause_message_id", "cause_channel", "cause_share", "cause_text", "cause_short", "cause_rates"):
        rows[name] = pd.Series([cause[name] for cause in causes], index=at, dtype=object)
    return rows


def _visible(fall: Floats, rise: Floats) -> Floats:
    """The larger of both; the other one where a fall (a rise, of nearly all) could not be seen at all."""
    larger = np.fmax(np.where(fall < 1, fall, np.nan), np.where(np.isfinite(rise), rise, np.nan))
    return np.where(np.isnan(larger), np.inf, larger)


def _money(judged: Judged, evidence: Evidence) -> pd.DataFrame:
    table = judged.money
    if not len(table):
        return table
    row = table["row"].to_numpy()
    found = table["verdict"].to_numpy(dtype=object)
    up, down, few = (found == word for word in ("above its usual range", "below its usual range", "too few"))
    largest = np.maximum(-table["low"], table["high"])
    verdict = np.select([up | down, few, largest <= MARGIN], [CHANGED, TOO_FEW, NO_CHANGE], UNSURE)
    rows = pd.DataFrame(
        {
            "kind": "money", "flow_id": np.array([*evidence.flows, ""], dtype=object)[row],
            "statistic": "revenue_per_recipient", "now": table["per_recipient"], "usual": table["per_recipient_before"],
            **table[_JUDGED], "verdict": verdict, "visible": table["visible"],
            "trials_needed": np.where(few, table["size"], np.nan),
        }
    )  # fmt: skip
    rows = _finished(rows, up, down)
    words = np.select([up, down, few], ["above its usual range", "below its usual range", ""], "within its usual range")
    rows["text"] = [
        f"revenue per recipient {word} ({_span(low, high)})"
        if word
        else "revenue per recipient: too few conversions; "
        f"a change of 20 % takes about {formats.count_text(size)} conversions"
        for word, low, high, size in zip(words, rows["low"], rows["high"], table["size"], strict=True)
    ]
    return rows


def _tests(judged: Judged, evidence: Evidence, names: Mapping[str, str]) -> pd.DataFrame:
    if not judged.tests:
        return pd.DataFrame()
    table = pd.concat(judged.tests, ignore_index=True)
    tests = evidence.tests
    first = tests.groupby("test")["variation"].transform("first")
    usual = table["rate"].groupby(tests["test"]).transform("first")
    found = table["verdict"].to_numpy(dtype=object)
    better, worse, same = (found == word for word in ("better", "worse", "no difference larger than"))
    rows = pd.DataFrame(
        {
            "kind": "split test", "flow_id": tests["flow_id"], "flow_message_id": tests["flow_message_id"],
            "variation": tests["variation"], "statistic": "click_rate", "now": table["rate"], "usual": usual,
            **table[_JUDGED],
            "verdict": np.select([better | worse, same, found == TOO_FEW], [CHANGED, NO_CHANGE, TOO_FEW], UNSURE),
            "visible": (table["high"] - table["low"]) / 2, "weeks_needed": table["weeks_until_margin"],
            "trials_needed": np.nan,
        }
    )  # fmt: skip
    rows = _finished(rows, better, worse)
    other = [f" than “{formats.short_name(names.get(str(a), str(a)), 40)}”" for a in first]
    rows["text"] = pd.Series(_lines(rows)) + pd.Series(other).where(better | worse, "")
    return rows[(tests["variation"] != first).to_numpy()]


def _watched(evidence: Evidence, stops: pd.DataFrame) -> pd.DataFrame:
    """Flows that are not silent for longer than their history explains, and whether they sent this week."""
    sent = evidence.counts["recipients"][:, -1] if "recipients" in evidence.counts else np.ones(len(evidence.flows))
    whole = ~stops["reason"].astype("str").str.startswith("this message")
    flows = pd.DataFrame({"flow_id": pd.Series(evidence.flows, dtype="str"), "sends": sent > 0})
    return flows[~flows["flow_id"].isin(stops.loc[whole, "flow_id"])].reset_index(drop=True)


def _silence(judged: Judged, stops: pd.DataFrame, watched: pd.DataFrame) -> pd.DataFrame:
    """Flows and messages that sent nothing for longer than their history explains, and the flows that were watched."""
    claimed = judged.is_silent[: len(stops)]
    q = judged.corrected.q_value[(judged.places["kind"] == "silence").to_numpy()]
    alone = stops["flow_message_id"].where(stops["reason"].astype("str").str.startswith("this message"), "")
    silent = pd.DataFrame(
        {
            "kind": "silence", "flow_id": stops["flow_id"], "flow_message_id": alone, "statistic": "recipients",
            "now": 0.0, "change": -1.0, "low": -1.0, "high": -1.0, "p_value": stops["q_value"],
            "q_value": q[: len(stops)], "verdict": np.where(claimed, CHANGED, UNSURE), "excluded": 1.0, "visible": 1.0,
            "direction": np.where(claimed, "down", ""), "is_good": pd.arrays.BooleanArray(claimed & False, ~claimed),
            "text": stops["sentence"], **stops["sentence"].str.extract(_STOPPED),
        }
    )  # fmt: skip
    silent["sent_before"] = silent["sent_before"].str.replace(",", "").astype("float64")
    sends = watched["sends"].to_numpy()
    rest = watched[["flow_id"]].assign(
        kind="silence", statistic="recipients", p_value=1.0, q_value=q[len(stops) :], excluded=1.0, visible=1.0,
        verdict=np.where(sends, NO_CHANGE, UNSURE), direction="", is_good=pd.array([None] * len(sends), "boolean"),
        now=np.where(sends, np.nan, 0.0),
        text=np.where(sends, "it sends", "it sent nothing, which its history explains"),
    )  # fmt: skip
    return pd.concat([silent, rest], ignore_index=True) if len(silent) else rest


def _finished(rows: pd.DataFrame, up: Any, down: Any) -> pd.DataFrame:
    """Add direction, whether it is good, and the smallest change that the interval excludes."""
    rows["direction"] = np.select([up, down], ["up", "down"], "")
    rows["is_good"] = pd.arrays.BooleanArray(up ^ rows["statistic"].isin(_BAD).to_numpy(), ~(up | down))
    rows["excluded"] = np.maximum(-rows["low"], rows["high"])
    return rows


# --- words ----------------------------------------------------------------------------------------------------------


def _lines(rows: pd.DataFrame) -> list[str]:
    told = ["statistic", "verdict", "direction", "change", "low", "high", "excluded", "visible", "weeks_needed"]
    return [_line(*row) for row in rows[[*told, "trials_needed"]].itertuples(index=False)]


def _line(
    statistic: str, verdict: str, direction: str, change: float, low: float, high: float, excluded: float,
    visible: float, weeks: float, trials: float,
) -> str:  # fmt: skip
    what = EVENTS[statistic]
    if verdict == CHANGED:
        return f"{what} {'higher' if direction == 'up' else 'lower'} by {size_text(change)} ({_span(low, high)})"
    if verdict == NO_CHANGE:
        return f"{what}: no change larger than {size_text(excluded, up=True)}"
    if verdict == UNSURE:
        when = f"; 20 % would show in {weeks:.0f} week{'s' if weeks > 1 else ''}" if np.isfinite(weeks) else ""
        return f"{what}: cannot tell below ±{size_text(visible, up=True)}{when}"
    return f"{what}: too few; a change of 20 % takes about {formats.count_text(_rounded(trials))} recipients a week"


def size_text(size: float, *, up: bool = False, signed: bool = False) -> str:
    """A relative change: ``23 %``, ``a factor of 4.2`` from a trebling on.

    ``up`` rounds a bound upward; ``signed`` writes ``−23 %`` and ``× 4.2``.
    """
    if not np.isfinite(size):
        return "any rise" if signed else "any factor"
    if size >= 2:
        return f"{'×' if signed else 'a factor of'} {1 + size:,.1f}"
    number = f"{np.ceil(100 * abs(size)) if up else 100 * abs(size):.0f}{formats.SPACE}%"
    return f"{'−' if size < 0 else '+'}{number}" if signed else number


def _span(low: float, high: float) -> str:
    return f"{size_text(low, signed=True)} to {size_text(high, signed=True)}"


def _rounded(value: float) -> float:
    """Two digits: nobody plans by the third."""
    if not np.isfinite(value) or value <= 0:
        return value
    scale = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / scale) * scale)


def _sentence(judged: Judged) -> str:
    """What was corrected together."""
    words = {
        "flow": "rates of flows this week", "lasting": f"rates of flows over {LASTING_WEEKS} weeks",
        "message": "rates of messages", "account": "rates of the account", "money": "revenues per recipient",
        "split test": "comparisons of split tests", "silence": "flows and messages watched for silence",
    }  # fmt: skip
    listed = [f"{count:,} {words[kind]}" for kind, count in judged.kinds.items() if count]
    if not listed:
        return "Nothing could be compared."
    return (
        f"{judged.corrected.comparisons:,} comparisons were corrected together ({', '.join(listed)}): of the changes "
        "that are claimed, at most one in twenty is expected to be false."
    )


# --- causes -----------------------------------------------------------------------------------------------------------


def _cause(evidence: Evidence, kind: str, rate: str, flow: int, names: Mapping[str, str]) -> dict[str, Any]:
    """Which message, variation or channel carries a flow's change, and its share of it."""
    weeks = evidence.rates[rate]
    rows = np.flatnonzero(evidence.flow == flow)
    now, before = _sides(weeks.successes, weeks.trials, kind, weeks.unsettled, rows)
    if kind == "flow" and weeks.alike is not None:
        now, before = _sides(*weeks.alike, kind, 0, rows)
    within, mix, total = _effects(now, before)
    share = (within + mix) / total if total else np.zeros(len(rows))
    messages = evidence.messages.iloc[rows].reset_index(drop=True)
    top = int(np.argmax(share))
    rates = f"{formats.percent_text(_rate(before, top))} → {formats.percent_text(_rate(now, top))}"
    channels = pd.Series(share).groupby(messages["send_channel"]).sum()
    if abs(mix.sum()) > abs(total) / 2:
        return _told("", "", mix.sum() / total, "other shares of its messages in what was sent")
    if share[top] < 0.5 and len(channels) > 1 and channels.max() >= 0.5:
        channel = str(channels.idxmax())
        text = f"its {channel} messages, {_percent(channels.max())} of the change"
        return _told("", channel, channels.max(), text)
    message, channel = messages["flow_message_id"].iloc[top], str(messages["send_channel"].iloc[top])
    label = formats.short_name(names.get(str(message), str(message)), 60)
    word = {"email": "the email", "sms": "the text message"}.get(channel, "the message")
    short = f"{word} “{label}”"
    variation = _variation(evidence, kind, rate, str(message), names)
    text = f"{short} ({rates})" + (f", there its variation “{variation}”" if variation else "")
    text += f", {_percent(share[top])} of the change" if len(rows) > 1 else ""
    return _told(message, channel, share[top], text, short, rates)


def _told(message: str, channel: str, share: float, text: str, short: str = "", rates: str = "") -> dict[str, Any]:
    return {
        "cause_message_id": message, "cause_channel": channel, "cause_share": float(share), "cause_text": text,
        "cause_short": short or text, "cause_rates": rates,
    }  # fmt: skip


def _variation(evidence: Evidence, kind: str, rate: str, message: str, names: Mapping[str, str]) -> str:
    """The variation that carries four fifths of its message's change, if one does."""
    rows = np.flatnonzero((evidence.tests["flow_message_id"] == message).to_numpy())
    if rate not in evidence.arms or len(rows) < 2:
        return ""
    within, mix, total = _effects(*_sides(*evidence.arms[rate], kind, evidence.rates[rate].unsettled, rows))
    share = (within + mix) / total if total else np.zeros(len(rows))
    variation = str(evidence.tests["variation"].iloc[rows[int(np.argmax(share))]])
    return formats.short_name(names.get(variation, variation), 60) if share.max() >= 0.8 else ""


def _sides(x: Floats, n: Floats, kind: str, unsettled: int, rows: Any) -> tuple[Any, Any]:
    """Successes and trials [2, row] of what is compared and of the eight weeks before."""
    recent = LASTING_WEEKS if kind == "lasting" else 1
    end = x.shape[1] - (unsettled if kind == "lasting" else 0)
    both = np.nan_to_num(np.stack([x[rows], n[rows]]))
    return both[..., end - recent : end].sum(axis=2), both[..., max(end - recent - 8, 0) : end - recent].sum(axis=2)


def _effects(now: Floats, before: Floats) -> tuple[Floats, Floats, float]:
    """Within and mix effect of each row on the rate of all, and the change (Kitagawa 1955, as `decompose`)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [side[1] / side[1].sum() for side in (before, now)]
        rates = [side[0] / side[1] for side in (before, now)]
        whole = [side[0].sum() / side[1].sum() for side in (before, now)]
    both = np.isfinite(rates[0]) & np.isfinite(rates[1])
    rates = [np.where(np.isfinite(r), r, np.nan_to_num(other)) for r, other in zip(rates, rates[::-1], strict=True)]
    within = np.where(both, (shares[0] + shares[1]) / 2 * (rates[1] - rates[0]), 0.0)
    mix = ((rates[0] + rates[1]) / 2 - (whole[0] + whole[1]) / 2) * (shares[1] - shares[0])
    return within, mix, float(whole[1] - whole[0])


def _rate(side: Floats, row: int) -> float:
    return float(side[0, row] / side[1, row]) if side[1, row] else float("nan")


def _percent(share: float) -> str:
    return "all" if round(100 * share) >= 100 else f"{100 * share:.0f} %"


def _variations(judged: Judged, evidence: Evidence) -> pd.DataFrame:
    """The variations as the page and the spreadsheet list them."""
    from flowperf_helpers.stats.split_tests import guardrail

    table = variation_table(evidence.tests, judged.tests)
    if not judged.tests:
        return table
    table["weeks"] = evidence.tests["test"].map({i: t.trials.shape[1] for i, t in enumerate(evidence.split_tests())})
    for name, rate in (("complaints", "spam_complaint_rate"), ("unsubscribes", "unsubscribe_rate")):
        found: list[str | None] = []
        for test in evidence.split_tests(rate):
            arms = list(zip(test.successes, test.trials, strict=True))
            verdicts = [guardrail(*arms[0], *arm, alpha=0.05 / max(len(arms) - 1, 1))["verdict"] for arm in arms[1:]]
            found += [None, *verdicts]
        table[name] = pd.array(found or [None] * len(table), dtype="str")
    return table
