"""A name that was not found → the names that look like it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["near_misses", "or_near"]


def near_misses(name: str, known: Iterable[object], *, count: int = 3) -> list[str]:
    """Return known names that resemble ``name``: other case or spaces first, then similar spelling.

    Examples
    --------
    >>> near_misses("your integration", ["Shopify", "YourIntegration", "API"])
    ['YourIntegration']
    """
    names = list(dict.fromkeys(k for k in known if isinstance(k, str) and k))
    wanted = _plain(name)
    same = [k for k in names if _plain(k) == wanted]
    inside = [k for k in names if wanted and (wanted in _plain(k) or (len(_plain(k)) > 3 and _plain(k) in wanted))]
    plain = {_plain(k): k for k in reversed(names)}
    similar = [plain[p] for p in difflib.get_close_matches(wanted, plain, n=count, cutoff=0.6)]
    return list(dict.fromkeys([*same, *similar, *inside]))[:count]


def or_near(near: Iterable[str], known: Iterable[object], *, count: int = 12) -> str:
    """Return the end of a sentence: what was probably meant, or else what there is."""
    close = [repr(n) for n in near]
    if close:
        return f"did you mean {' or '.join(close)}?"
    names = sorted({k for k in known if isinstance(k, str) and k})
    if not names:
        return "the account has none."
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"there are {', '.join(map(repr, names[:count]))}{more}."


def _plain(name: str) -> str:
    return "".join(ch for ch in name.casefold() if ch.isalnum())
