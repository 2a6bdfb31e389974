"""Names that strangers typed, made safe to print: long ones cut, marks that reorder text removed, twins told apart."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

__all__ = ["NO_NAME", "clean_name", "graphemes", "short_name", "unique_names"]

NO_NAME = "(no name)"

_JOINER = "\u200d"
_LONGEST = 2_000  # characters looked at; nobody prints more, and a name may have 100,000 of them
_LONGEST_CLUSTER = 32


def clean_name(text: object) -> str:
    """One line of printable text: no control characters, no marks that reorder what follows, single spaces.

    Direction follows from the letters themselves, so a name in Hebrew or Arabic still reads from the right.
    """
    if text is None or text is pd.NA or text is pd.NaT or (isinstance(text, float) and text != text):
        return NO_NAME
    shown = str(text)[:_LONGEST]
    if not shown.isprintable():
        shown = "".join(c if c == _JOINER or unicodedata.category(c) not in _UNPRINTABLE else " " for c in shown)
    return " ".join(shown.split()).strip(_JOINER) or NO_NAME


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def graphemes(text: str) -> Iterator[str]:
    r"""What a reader takes for one character: letters with their accents, joined emoji, flags.

    A practical subset of Unicode's text segmentation (UAX 29).

    >>> list(graphemes("ne\u0301e"))
    ['n', 'e\u0301', 'e']
    """
    cluster = ""
    for character in text:
        if cluster and not _continues(cluster, character):
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def _continues(cluster: str, character: str) -> bool:
    if character == _JOINER or cluster.endswith(_JOINER) or unicodedata.category(character) in {"Mn", "Me", "Mc"}:
        return len(cluster) < _LONGEST_CLUSTER  # piled-up accents are cut as well
    if 0x1F3FB <= ord(character) <= 0x1F3FF:  # skin tones
        return True
    return _is_flag_half(character) and len(cluster) == 1 and _is_flag_half(cluster)


def _is_flag_half(character: str) -> bool:
    return 0x1F1E6 <= ord(character) <= 0x1F1FF


def _columns(cluster: str) -> int:
    return 2 if unicodedata.east_asian_width(cluster[0]) in "WF" or _is_flag_half(cluster[0]) else 1


def short_name(text: object, width: int = 36, *, keep_end: bool = False) -> str:
    """Cut a name to a width, never inside an emoji or an accented letter.

    Parameters
    ----------
    text : object
        The name; missing gives `NO_NAME`.
    width : int
        Columns as a terminal counts them: wide characters take two.
    keep_end : bool
        Cut out the middle, for names that differ in their end only.

    >>> short_name("Abandoned cart, third reminder", 16)
    'Abandoned cart,…'
    """
    clean = clean_name(text)
    if clean.isascii() and len(clean) <= width:
        return clean
    clusters = _fitting(graphemes(clean), width)
    if sum(map(len, clusters)) == len(clean):
        return clean
    end = list(graphemes(clean[-_LONGEST_CLUSTER * width :])) if keep_end else []
    tail = _fitting(end[::-1], (width - 1) // 2)[::-1]
    head = _fitting(clusters, width - 1 - sum(map(_columns, tail)))
    return "".join(head).rstrip() + "…" + "".join(tail).lstrip()


def _fitting(clusters: Iterable[str], width: int) -> list[str]:
    taken: list[str] = []
    for cluster in clusters:
        width -= _columns(cluster)
        if width < 0:
            break
        taken.append(cluster)
    return taken


def unique_names(names: Sequence[object], ids: Sequence[object] | None = None, width: int = 36) -> list[str]:
    """Short labels, no two alike: twins show their ends, then their ids.

    Parameters
    ----------
    names, ids : sequences of equal length
        Names as Klaviyo sent them; ids to tell equal names apart (their position where none are given).
    width : int
        Columns for the name; an id comes on top.
    """
    labels = [short_name(name, width) for name in names]
    labels = [
        short_name(name, width, keep_end=True) if label in twins else label
        for twins in [_twins(labels)]
        for name, label in zip(names, labels, strict=True)
    ]
    twins = _twins(labels)
    marks = range(1, len(labels) + 1) if ids is None else ids
    return [
        f"{label} · {short_name(mark, 14, keep_end=True)}" if label in twins else label
        for label, mark in zip(labels, marks, strict=True)
    ]


def _twins(labels: Sequence[str]) -> set[str]:
    return {label for label, times in Counter(labels).items() if times > 1}
