"""The solutions under “make it yours” run behind their notebook, and say something."""

from __future__ import annotations

import pytest
from notebook_cells import FOLDER, run_cells, solutions

from flowperf_helpers.widgets.lenient_account import Explanation

NAMES = sorted(path.stem for path in FOLDER.glob("0[1-46]_*.ipynb"))

pytestmark = pytest.mark.notebook


def test_there_are_exercises() -> None:
    """An empty glob must not pass."""
    assert 5 == len(NAMES)
    assert 10 <= sum(len(solutions(name)) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_solutions_run(name: str) -> None:
    """Each solution runs after its notebook and ends with something to see."""
    codes = solutions(name)
    plain = run_cells(name, {})
    solved = run_cells(name, {}, extra=tuple(codes))
    answers = solved.shown[len(plain.shown) :]
    assert len(codes) == len(answers)
    for answer in answers:
        assert not getattr(answer, "empty", False)
        assert not isinstance(answer, Explanation), answer.text
        assert "Not possible" not in repr(answer)
