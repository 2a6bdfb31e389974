"""The page's claims from answers made by hand: what is compared while a week settles, what carries a change, words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from simulated_week import NO_STOPS, ZONE, simulated_week

from flowperf_helpers.report.claims import Claims, make_claims, size_text
from flowperf_helpers.report.data import WeekData
from flowperf_helpers.report.evidence import at_this_age, gather, week_ranges
from flowperf_helpers.report.findings import claim_signals
from flowperf_helpers.report.verdicts import verdicts


def _claims(answers: WeekData) -> Claims:
    return make_claims(gather(answers, at_this_age(answers)), NO_STOPS, {})


@pytest.mark.parametrize("seed", range(4))
def test_a_first_monday_claims_no_fall_where_nothing_fell(seed: int) -> None:
    """A week whose last five days lack half of their opens and clicks is compared on two days, not on seven."""
    answers = simulated_week(seed, young=0.5)
    found = _claims(answers)
    assert not len(found.changed)
    assert "on the 2 days that are final in both weeks" in found.basis
    assert "7 weeks before" in found.basis
    opens = found.frame.query("kind == 'account' and statistic == 'open_rate'")
    assert abs(opens["change"].iloc[0]) < 0.1


def test_on_a_first_monday_a_real_fall_is_found_on_the_final_days() -> None:
    """Clicks of a large message that fall to a third are claimed from two days, with the message as the cause."""
    found = _claims(simulated_week(5, world="coin tosses", young=0.5, shift=np.log(1 / 3)))
    changed = found.changed.query("statistic == 'click_rate'")
    assert {"down"} == set(changed["direction"])
    assert "M00" in set(changed["cause_message_id"]) | set(changed["flow_message_id"])


def test_a_settled_week_is_compared_whole_and_each_verdict_has_its_line() -> None:
    """Nothing is said of days where all are final; the message that fell carries its flow's change; lines say sizes."""
    found = _claims(simulated_week(6, world="coin tosses", shift=np.log(0.5)))
    assert not found.basis
    flow = found.changed.query("kind == 'flow' and statistic == 'click_rate'")
    assert ["M00"] == list(flow["cause_message_id"])
    assert flow["cause_share"].iloc[0] > 0.8
    assert not flow["is_good"].iloc[0]
    lines = found.frame[found.frame["kind"].isin(["flow", "account", "message"])].groupby("verdict")["text"].first()
    assert "no change larger than" in lines["no change larger than"]
    assert "cannot tell below ±" in lines["cannot tell yet"]
    assert "recipients a week" in lines["too few"]
    money = found.frame.query("kind == 'money' and flow_id == ''")["text"].iloc[0]
    assert "its usual range" in money


def test_a_name_is_not_read_for_what_a_silence_tells() -> None:
    """A flow's name may hold a semicolon, a date and a number of recipients: since when it is silent is told right."""
    name = "Sale since 2025-01-01; about 7 recipients (a → b)"
    told = "has sent nothing since the week of 2026-11-09, after about 1,234 recipients in each week with sends"
    stops = pd.DataFrame({
        "flow_id": ["F00"], "flow_message_id": ["M00"], "q_value": [1e-9], "reason": ["sends nothing"],
        "sentence": [f"“{name}” {told}; its longest silence before was 1 week."],
    })  # fmt: skip
    answers = simulated_week(1)
    claims = make_claims(gather(answers, at_this_age(answers)), stops, {})
    signal = next(s for s in claim_signals(claims, {"F00": name}, {}) if s.kind == "stopped")
    assert "2026-11-09" == signal.since
    assert "since the week of Monday 9 November, after about 1,234 recipients a week." in signal.sentence
    shown = next(v for v in verdicts(claims.frame, names={}, messages={}, money={}, week=date(2026, 11, 16))
                 if v.kind == "silence")  # fmt: skip
    assert "F00 is silent since 9 November" == shown.title
    assert "Usually 1,230 people a day." == shown.text


def test_usual_ranges_hold_most_quiet_weeks() -> None:
    """In a world without changes 93 to 98 of a hundred weeks lie in their range, flows and account, small and large."""
    inside = []
    for seed in range(3):
        answers = simulated_week(seed, world="realistic")
        weeks = week_ranges(gather(answers, at_this_age(answers)), 1.0)
        known = weeks[weeks["value"].notna() & weeks["low"].notna() & (weeks["statistic"] != "conversion_value")]
        inside.append((known["value"] >= known["low"]) & (known["value"] <= known["high"]))
    assert 0.93 < pd.concat(inside).mean() < 0.98


def test_without_any_final_day_nothing_is_compared() -> None:
    """A month-long attribution window leaves no final day: what still grows is not judged, and it is said."""
    answers = simulated_week(1, young=0.5)
    daily = answers.daily.assign(is_provisional=answers.daily["interval_start"] >= pd.Timestamp("2026-11-16", tz=ZONE))
    found = _claims(replace(answers, daily=daily))
    growing = found.frame.query("kind in ['flow', 'message', 'account'] and statistic in ['open_rate', 'click_rate']")
    assert growing["p_value"].isna().all()
    assert "No day of the week is final yet" in found.basis


@pytest.mark.parametrize(
    ("size", "plain", "signed"),
    [(-0.231, "23 %", "−23 %"), (0.004, "0 %", "+0 %"), (3.2, "a factor of 4.2", "× 4.2"),
     (np.inf, "any factor", "any rise")],
)  # fmt: skip
def test_sizes_are_said_as_people_say_them(size: float, plain: str, signed: str) -> None:
    """Percent up to a trebling, factors beyond it, and words where there is no bound."""
    assert plain == size_text(size).replace("\N{NO-BREAK SPACE}", " ")
    assert signed == size_text(size, signed=True).replace("\N{NO-BREAK SPACE}", " ")
