"""What the command line prints of frames: names of strangers steer neither a terminal nor a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from flowperf_helpers.cli import echo_frame

STEERING = ["\x1b]0;owned\x07", "\x1b[2J", "a\x9b31m", "\x7f", "left\u202eright", "\u2066x", "line\nline"]
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _printed(names: list[str], shape: str, capsys: pytest.CaptureFixture[str]) -> str:
    echo_frame(pd.DataFrame({"flow_name": pd.Series(names, dtype="object")}), shape)
    return capsys.readouterr().out


@pytest.mark.parametrize("shape", ["table", "csv", "json"])
def test_no_output_steers_a_terminal(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No shape carries a raw escape sequence, a C1 control or a mark that reorders the line."""
    assert [] == CONTROLS.findall(_printed(STEERING, shape, capsys))


def test_json_keeps_the_very_names(capsys: pytest.CaptureFixture[str]) -> None:
    """What is spelled in ASCII reads back as it was."""
    assert STEERING == [row["flow_name"] for row in json.loads(_printed(STEERING, "json", capsys))]


@pytest.mark.parametrize(
    "name",
    ["=1", "+1", "-1", "@x", "＝cmd", "＋1", "－1", "＠x", "\n=1", " =1", "\u200b=1", "\ufeff=1", "\t1", "\x1b=1"],
)
def test_formula_starts_are_inert_in_csv(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a spreadsheet would read as the start of a formula stands behind an apostrophe."""
    row = next(csv.DictReader(io.StringIO(_printed([name], "csv", capsys))))
    assert row["flow_name"].startswith("'")


def test_plain_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Names in any script, with quotes, commas and signs inside, are not changed."""
    names = ["Welcome, again", 'a "b"', "1 = 1", "欢迎", "مرحبا", "👩‍👩‍👧", "ne\u0301e"]
    rows = csv.DictReader(io.StringIO(_printed(names, "csv", capsys)))
    assert names == [row["flow_name"] for row in rows]


def test_a_table_for_the_terminal_draws_no_pictures() -> None:
    """Printing a frame loads neither matplotlib nor a template engine, which cost more than the table."""
    code = (
        "import sys, pandas as pd\nfrom flowperf_helpers.cli import echo_frame\n"
        "echo_frame(pd.DataFrame({'a': [1]}), 'table')\nprint({'matplotlib', 'jinja2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ["a", "-", "1", "set()"] == done.stdout.split("\n")[:4]
