"""Names as people read them: cut where they are shown, whatever their length."""

from __future__ import annotations

import pytest

from flowperf_helpers.frames import formats
from flowperf_helpers.frames.formats import short_name, unique_names


@pytest.mark.parametrize("piece", ["x", "å b", "e\u0301", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "日本"])
@pytest.mark.parametrize("keep_end", [False, True])
def test_a_long_name_is_looked_at_no_further_than_it_is_shown(
    piece: str, keep_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost of a label follows from its width, not from the length of the name."""
    looked_at = []
    continues = formats._continues
    monkeypatch.setattr(formats, "_continues", lambda *pair: looked_at.append(pair) or continues(*pair))
    shown = short_name(piece * 50_000, 36, keep_end=keep_end)
    assert "…" in shown
    assert len(looked_at) < 40 * 36
    looked_at.clear()
    assert shown == short_name(piece * 1_000, 36, keep_end=keep_end)


def test_a_name_that_fits_is_not_cut() -> None:
    """Up to the width, to the column: wide characters count two."""
    assert "x" * 36 == short_name("x" * 36)
    assert "日" * 18 == short_name("日" * 18)
    assert "日" * 17 + "…" == short_name("日" * 19)
    assert ["a · 1", "a · 2"] == unique_names(["a", "a"])
