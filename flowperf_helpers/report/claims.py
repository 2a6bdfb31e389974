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
from flowperf_helpers.stats.claims import LASTING_WEEKS, Judged, judge_week
from flowperf_helpers.stats.level_test import MARGIN

__all__ = ["CHANGED", "COLUMNS", "EVENTS", "NO_CHANGE", "TOO_FEW", "UNSURE", "Claims", "make_claims"]

CHANGED, NO_CHANGE, UNSURE, TOO_FEW = "changed", "no change larger than", "cannot tell yet", "too few"

COLUMNS = [
    "kind", "flow_id", "flow_message_id", "send_channel", "variation", "statistic", "now", "usual", "change", "low",
    "high", "p_value", "q_value", "verdict", "direction", "is_good", "excluded", "visible", "weeks_needed",
    "trials_needed", "cause_message_id", "cause_channel", "cause_share", "cause_text", "text",
]  # fmt: skip

EVENTS = {
    "open_rate": "opens", "click_rate": "clicks", "conversion_rate": "conversions", "unsubscribe_rate": "unsubscribes",
    "spam_complaint_rate": "complaints", "revenue_per_recipient": "revenue per recipient", "recipients": "sends",
}  # fmt: skip
"""What the statistics of claims count, in a word."""

_BAD = ("unsubscribe_rate", "spam_complaint_rate")
_TEXTS = ["kind", "flow_id", "flow_message_id", "send_channel", "variation", "statistic", "verdict", "direction",
          "cause_message_id", "cause_channel", "cause_text", "text"]  # fmt: skip

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
        ``text`` (one short line). float64: ``now`` (rate, money per recipient or, of a silence, recipients a day),
        ``usual`` (that of the last eight weeks, the common move of all flows applied), ``change, low, high`` (fractions
        of usual; the interval decides: it excludes 0 if and only if the verdict is *changed*), ``p_value, q_value``
        (NaN where nothing can be compared), ``excluded`` (the smallest change that the interval excludes either way:
        0.12 is "no change larger than 12 %"), ``visible`` (the smallest change that would have shown with 80 %
        power), ``weeks_needed`` (until one of 20 % would show; infinite beyond a year), ``trials_needed`` (recipients
        that it takes in a week), ``cause_share`` (of the change, that ``cause_message_id`` or ``cause_channel``
        carries). boolean: ``is_good``, NA where nothing changed.
    common : DataFrame
        The common move of all flows: ``statistic, change, low, high, p_value, flows``, one row per rate, NaN where
        fewer than five flows have enough events.
    tests : DataFrame
        One row per variation that is tested: ``flow_id, flow_message_id, variation, variation_name`` and the columns of
        `watched_test`, ``complaints, unsubscribes`` (verdicts of the guardrails) and ``weeks``.
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
    silence = np.concatenate([stops["q_value"].to_numpy(dtype=np.float64), np.ones(len(evidence.flows))])
    judged = judge_week(
        evidence.flow, evidence.rates, money=evidence.money, tests=evidence.split_tests(), silence=silence
    )
    parts = [
        _levels(judged, evidence, names),
        _money(judged, evidence),
        _tests(judged, evidence, names),
        _silence(judged, evidence, stops),
    ]
    frame = pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    frame = frame.reindex(columns=COLUMNS)
    for name in COLUMNS:
        if name in _TEXTS:
            frame[name] = text_column(name, frame[name].astype(object).where(frame[name].notna(), "").tolist())
        else:
            frame[name] = frame[name].astype("boolean" if name == "is_good" else "float64")
    common = pd.DataFrame([{"statistic": rate, **move} for rate, move in judged.common.items()])
    return Claims(
        frame, common, _variations(judged, evidence), judged.kinds, _sentence(judged), evidence.basis.sentence
    )


# --- kinds of rows ---------------------------------------------------------------------------------------------------


def _levels(judged: Judged, evidence: Evidence, names: Mapping[str, str]) -> pd.DataFrame:
    table = judged.levels
    if not len(table):
        return table
    found, kind, row = table["verdict"].to_numpy(dtype=object), table["kind"].to_numpy(), table["row"].to_numpy()
    messages = evidence.messages
    of_message, of_flow = kind == "message", np.isin(kind, ["flow", "lasting"])
    flow = np.where(of_message, evidence.flow[np.where(of_message, row, 0)], np.where(of_flow, row, 0))
    ids = np.array([*evidence.flows, ""], dtype=object)[np.where(kind == "account", len(evidence.flows), flow)]

    def of(column: str) -> Any:
        return np.where(of_message, messages[column].to_numpy(dtype=object)[np.where(of_message, row, 0)], "")

    changed = np.isin(found, ["higher", "lower"])
    rows = pd.DataFrame(
        {
            "kind": kind, "flow_id": ids, "flow_message_id": of("flow_message_id"), "send_channel": of("send_channel"),
            "variation": "", "statistic": table["statistic"].to_numpy(), "now": table["rate_after"],
            "usual": table["expected"], "change": table["change"], "low": table["low"], "high": table["high"],
            "p_value": table["p_value"], "q_value": table["q_value"], "verdict": np.where(changed, CHANGED, found),
            "excluded": np.maximum(-table["low"], table["high"]),
            "visible": _visible(table["visible_fall"].to_numpy(), table["visible_rise"].to_numpy()),
            "weeks_needed": table["weeks_until_margin"], "trials_needed": table["trials_until_margin"],
        }
    )  # fmt: skip
    rows = _finished(rows, np.select([found == "higher", found == "lower"], ["up", "down"], ""))
    at = [int(i) for i in np.flatnonzero(changed & of_flow)]
    told = zip(kind[at], rows["statistic"].iloc[at], row[at], strict=True)
    causes = [_cause(evidence, str(k), str(rate), int(r), names) for k, rate, r in told]
    for name in ("cause_message_id", "cause_channel", "cause_share", "cause_text"):
        rows[name] = pd.Series([cause[name] for cause in causes], index=at, dtype=object)
    return rows


def _visible(fall: Floats, rise: Floats) -> Floats:
    """The larger of both; the other one where a fall (a rise, of nearly all) could not be told at all."""
    return np.where(
        np.isfinite(rise), np.where(fall < 1, np.maximum(fall, rise), rise), np.where(fall < 1, fall, np.inf)
    )


def _money(judged: Judged, evidence: Evidence) -> pd.DataFrame:
    table = judged.money
    if not len(table):
        return table
    row = table["row"].to_numpy()
    found = table["verdict"].to_numpy(dtype=object)
    up, down, few = (found == f"{word}" for word in ("above its usual range", "below its usual range", "too few"))
    largest = np.maximum(-table["low"], table["high"])
    verdict = np.select([up | down, few, largest <= MARGIN], [CHANGED, TOO_FEW, NO_CHANGE], UNSURE)
    rows = pd.DataFrame(
        {
            "kind": "money", "flow_id": np.array([*evidence.flows, ""], dtype=object)[row],
            "statistic": "revenue_per_recipient", "now": table["per_recipient"], "usual": table["per_recipient_before"],
            "change": table["change"], "low": table["low"], "high": table["high"], "p_value": table["p_value"],
            "q_value": table["q_value"], "verdict": verdict, "excluded": largest, "visible": table["visible"],
            "trials_needed": np.where(few, table["size"], np.nan),
        }
    )  # fmt: skip
    rows = _finished(rows, np.select([up, down], ["up", "down"], ""))
    words = np.select([up, down, few], ["above its usual range", "below its usual range", ""], "within its usual range")
    span = [_span(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)]
    needed = [f"a change of 20 % takes about {formats.count_text(size)} conversions" for size in table["size"]]
    rows["text"] = [
        f"revenue per recipient: too few conversions; {need}" if not word else f"revenue per recipient {word} ({s})"
        for word, s, need in zip(words, span, needed, strict=True)
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
            "change": table["change"], "low": table["low"], "high": table["high"], "p_value": table["p_value"],
            "q_value": table["q_value"],
            "verdict": np.select([better | worse, same, found == TOO_FEW], [CHANGED, NO_CHANGE, TOO_FEW], UNSURE),
            "excluded": np.maximum(-table["low"], table["high"]), "visible": (table["high"] - table["low"]) / 2,
            "weeks_needed": table["weeks_until_margin"], "trials_needed": np.nan, "against": first,
        }
    )  # fmt: skip
    rows = _finished(rows, np.select([better, worse], ["up", "down"], ""))
    other = [f" than “{formats.short_name(names.get(str(a), str(a)), 40)}”" for a in first]
    rows["text"] = np.where(better | worse, rows["text"] + pd.Series(other), rows["text"])
    return rows[(tests["variation"] != first).to_numpy()]


def _silence(judged: Judged, evidence: Evidence, stops: pd.DataFrame) -> pd.DataFrame:
    """Flows and messages that sent nothing for longer than their history explains, and the flows that were watched."""
    claimed = judged.is_silent[: len(stops)]
    q = judged.corrected.q_value[len(judged.corrected.q_value) - len(judged.is_silent) :]
    alone = stops["flow_message_id"].where(stops["reason"].astype("str").str.startswith("this message"), "")
    silent = pd.DataFrame(
        {
            "kind": "silence", "flow_id": stops["flow_id"], "flow_message_id": alone, "statistic": "recipients",
            "now": 0.0, "change": -1.0, "low": -1.0, "high": -1.0, "p_value": stops["q_value"],
            "q_value": q[: len(stops)], "verdict": np.where(claimed, CHANGED, UNSURE), "excluded": 1.0, "visible": 1.0,
            "direction": np.where(claimed, "down", ""), "is_good": pd.arrays.BooleanArray(claimed & False, ~claimed),
            "text": stops["sentence"],
        }
    )  # fmt: skip
    sent = evidence.counts["recipients"][:, -1] if "recipients" in evidence.counts else np.ones(len(evidence.flows))
    known = set(silent.loc[silent["flow_message_id"].fillna("") == "", "flow_id"])
    rest = pd.DataFrame({"flow_id": evidence.flows, "now": sent, "q_value": q[len(stops) :]})
    rest = rest[~rest["flow_id"].isin(known)]
    sends = rest["now"] > 0
    rest = rest.assign(
        kind="silence", statistic="recipients", p_value=1.0, verdict=np.where(sends, NO_CHANGE, UNSURE), excluded=1.0,
        visible=1.0, direction="", is_good=pd.array([None] * len(rest), "boolean"), now=np.where(sends, np.nan, 0.0),
        text=np.where(sends, "it sends", "it sent nothing, which its history explains"),
    )  # fmt: skip
    return pd.concat([silent, rest], ignore_index=True) if len(silent) else rest


def _finished(rows: pd.DataFrame, direction: Any) -> pd.DataFrame:
    """Add direction, whether it is good, and the line."""
    good = (direction == "up") ^ rows["statistic"].isin(_BAD).to_numpy()
    rows["direction"] = direction
    rows["is_good"] = pd.array(good, "boolean")
    rows.loc[direction == "", "is_good"] = pd.NA
    rows["text"] = [
        _line(*told)
        for told in zip(
            rows["statistic"], rows["verdict"], direction, rows["change"], rows["low"], rows["high"], rows["excluded"],
            rows["visible"], rows["weeks_needed"] if "weeks_needed" in rows else [np.nan] * len(rows),
            rows["trials_needed"], strict=True,
        )
    ]  # fmt: skip
    return rows


# --- words ----------------------------------------------------------------------------------------------------------


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


def size_text(size: float, *, up: bool = False) -> str:
    """A relative change without its sign: ``23 %``, ``× 4.2`` from a trebling on; ``up`` rounds a bound upward."""
    if not np.isfinite(size):
        return "any factor"
    if size >= 2:
        return f"a factor of {1 + size:,.1f}"
    return f"{np.ceil(100 * abs(size)) if up else 100 * abs(size):.0f} %"


def _span(low: float, high: float) -> str:
    def signed(value: float) -> str:
        if not np.isfinite(value):
            return "any rise"
        return f"× {1 + value:,.1f}" if value >= 2 else f"{'−' if value < 0 else '+'}{abs(100 * value):.0f} %"

    return f"{signed(low)} to {signed(high)}"


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
    found: dict[str, Any] = {"cause_message_id": "", "cause_channel": "", "cause_share": np.nan, "cause_text": ""}
    if abs(mix.sum()) > abs(total) / 2:
        return found | {
            "cause_share": float(mix.sum() / total), "cause_text": "other shares of its messages in what was sent",
        }  # fmt: skip
    if share[top] < 0.5 and len(channels) > 1 and channels.max() >= 0.5:
        return found | {
            "cause_channel": str(channels.idxmax()), "cause_share": float(channels.max()),
            "cause_text": f"its {channels.idxmax()} messages, {_percent(channels.max())} of the change",
        }  # fmt: skip
    message, channel = messages["flow_message_id"].iloc[top], str(messages["send_channel"].iloc[top])
    label = formats.short_name(names.get(str(message), str(message)), 60)
    word = {"email": "the email", "sms": "the text message"}.get(channel, "the message")
    text = f"{word} “{label}” ({rates})"
    variation = _variation(evidence, kind, rate, str(message), names)
    text += f", there its variation “{variation}”" if variation else ""
    part = "the whole change" if len(rows) == 1 else f"{_percent(share[top])} of the change"
    return found | {
        "cause_message_id": message, "cause_channel": channel, "cause_share": float(share[top]),
        "cause_text": f"{text}, {part}" if len(rows) > 1 else text,
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

    if not judged.tests:
        return evidence.tests.assign(verdict=pd.Series(dtype="str"), is_leader=pd.Series(dtype=bool))
    table = pd.concat([evidence.tests, pd.concat(judged.tests, ignore_index=True)], axis=1)
    table["weeks"] = evidence.tests["test"].map({i: t.trials.shape[1] for i, t in enumerate(evidence.split_tests())})
    for name, rate in (("complaints", "spam_complaint_rate"), ("unsubscribes", "unsubscribe_rate")):
        found: list[str | None] = []
        for test in evidence.split_tests(rate):
            arms = [(x, n) for x, n in zip(test.successes, test.trials, strict=True)]
            told = [guardrail(*arms[0], *arm, alpha=0.05 / max(len(arms) - 1, 1))["verdict"] for arm in arms[1:]]
            found += [None, *told]
        table[name] = pd.array(found or [None] * len(table), dtype="str")
    return table
