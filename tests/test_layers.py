"""The house has floors: a room may import from lower floors, and from rooms named before it on its own floor."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowperf_helpers

PACKAGE = Path(__file__).parents[1] / "flowperf_helpers"
PUBLIC: dict[str, str] = flowperf_helpers._ROOMS  # a public name stands for its room

# Top to bottom, left to right: whoever comes later may import whoever came before. A folder is one room.
FLOORS: dict[int, str] = {
    0: """errors catalog payloads columns names near formats files style choice selection versions censoring timeframes
          endpoints home keys accounts_file paging refusals answers snapshot_files row_files wsgi""",
    1: """queries wishes frames provenance resources message_definitions oauth credentials ledger pacing wire
          sandbox""",
    2: "client store",
    3: """planner collector discovery directory facts reports opening
          rates denominators rollups trials effects reconciliation honesty duels footing compare control_charts silence
          signals settling""",
    4: "account sparklines cells plots sheets tables explain",
    5: "search_picker window_picker controls panels views_choosing views_values views_series",
    6: "parameters runner preflight delivery page report weekly rehearsal fleet",
    7: "questions listing app cli",
}
ORDER = {room: (floor, place) for floor, rooms in FLOORS.items() for place, room in enumerate(rooms.split())}
OUTSIDE = {"__init__", "__main__"}
SANDBOX_MAY = {"catalog", "timeframes"}
DRAWERS = {"utils", "helpers", "misc", "common", "tools", "util", "helper"}


def rooms() -> dict[str, list[Path]]:
    """Return each room with its files; a folder's files belong to it."""
    found: dict[str, list[Path]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        found.setdefault(file.relative_to(PACKAGE).parts[0].removesuffix(".py"), []).append(file)
    return found


def imported(file: Path) -> Iterator[str]:
    """Yield the rooms a file imports, wherever the import stands in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively in line {node.lineno}: write the whole name"
            parts = (node.module or "").split(".")
            if parts[0] == PACKAGE.name:
                names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
                yield from (PUBLIC.get(name, name) for name in names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == PACKAGE.name and len(parts) > 1:
                    yield parts[1]


ROOMS = {room: files for room, files in rooms().items() if room not in OUTSIDE}


def test_the_house_is_not_empty() -> None:
    """The glob finds the rooms."""
    assert len(ROOMS) > 20


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_go_downward(room: str) -> None:
    """No room knows one above it."""
    assert room in ORDER, f"{room} has no floor yet: add it to FLOORS in {Path(__file__).name}, as low as it can stand"
    for file in ROOMS[room]:
        for other in imported(file):
            if other in (room, *OUTSIDE) or other not in ROOMS:
                continue
            assert other in ORDER, f"{other} has no floor yet: add it to FLOORS in {Path(__file__).name}"
            assert ORDER[other] < ORDER[room], f"{file.relative_to(PACKAGE)} imports {other}, which stands above it"


def test_the_sandbox_knows_nothing_of_the_house() -> None:
    """The embedded account stands on the catalogue and the timeframes alone, so it cannot share our mistakes."""
    known = {other for file in ROOMS["sandbox"] for other in imported(file)} - {"sandbox"}
    assert known <= SANDBOX_MAY


def test_only_the_wire_speaks_http() -> None:
    """requests is imported by the wire, by what serves it a connection, and by nobody else."""
    speakers = set()
    for room, files in ROOMS.items():
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.split(".")[0] in ("requests", "urllib3", "httpx") for name in named):
                    speakers.add(room)
    assert speakers <= {"wire", "client", "wsgi", "opening", "oauth"}


def test_no_drawer_for_odds_and_ends() -> None:
    """A function without a room means a room is missing."""
    assert not DRAWERS & {file.stem for files in ROOMS.values() for file in files}


@pytest.mark.parametrize(
    "file", [f for files in ROOMS.values() for f in files], ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_rooms_are_small(file: Path) -> None:
    """A module over about 300 lines is two rooms."""
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 350
