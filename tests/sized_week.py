"""The sandbox's week for any number of flows: the same answers again, under other ids."""

from __future__ import annotations

from dataclasses import fields, replace

import pandas as pd

from flowperf_helpers.report.data import WeekData

IDS = ("flow_id", "flow_message_id", "variation")


def sized_week(answers: WeekData, flows: int) -> WeekData:
    """Answers about so many flows: those that there are, then copies of them in the same order."""
    ids = answers.flows["flow_id"].tolist()
    marks = [f"-{n}" if n else "" for n in range(-(-flows // len(ids)))]
    kept = [f"{name}{mark}" for mark in marks for name in ids][:flows]
    frames = {
        field.name: _sized(frame, marks, kept)
        for field in fields(answers)
        if isinstance(frame := getattr(answers, field.name), pd.DataFrame) and "flow_id" in frame
    }
    return replace(answers, **frames)


def _sized(frame: pd.DataFrame, marks: list[str], kept: list[str]) -> pd.DataFrame:
    bare = frame.copy(deep=False)
    bare.attrs = {}
    named = [name for name in IDS if name in frame]
    copies = (bare.assign(**{name: frame[name] + mark for name in named}) if mark else bare for mark in marks)
    made = pd.concat([copy[copy["flow_id"].isin(kept)] for copy in copies], ignore_index=True)
    made.attrs = dict(frame.attrs)
    return made
