"""One correction for all claims of a page, and the level at which each claim's own test decides as the page does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FALSE_SHARE", "SHARES", "Corrected", "correct"]

FALSE_SHARE = 0.05
"""Share of false claims among the claims of a page that is accepted."""

SHARES = {"account": 0.1, "flow": 0.4, "lasting": 0.1, "message": 0.15, "split test": 0.1, "money": 0.1,
          "silence": 0.05}  # fmt: skip
"""How the error that is allowed is divided over the kinds of claim, before any number is seen.

``lasting``: flows over their last four weeks together, which finds what a single week is too small for.
"""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Corrected:
    """What one correction over all claims of a page makes of their p-values; arrays [claim].

    Attributes
    ----------
    q_value : array of float64
    is_claim : array of bool
    alpha : array of float64
        Level at which a claim's own test decides as the page does.
    comparisons : int
        How many took part.
    """

    q_value: Floats
    is_claim: Bools
    alpha: Floats
    comparisons: int


def correct(
    p_values: Any, kind: Any = None, shares: Mapping[str, float] | None = None, *, false_share: float = FALSE_SHARE
) -> Corrected:
    """Correct all claims of a page together.

    The error that is allowed is divided over the kinds of claim before any number is seen, and within each kind goes by
    Benjamini & Hochberg (JRSS B 57, 1995). So at most `false_share` of all claims are expected to be false, and in a
    week without any change the chance of one claim is at most that; two hundred messages do not drown three split
    tests, and a holiday, which every tile of the account shows, does not loosen the test of the flows (Finner & Roters,
    Biometrical Journal 43, 2001). Intervals at level ``1 - alpha`` exclude "no change" for the claims and for no other
    row (Benjamini & Yekutieli, JASA 100, 2005).

    Parameters
    ----------
    p_values : array-like [claim]
        NaN takes no part.
    kind : array-like of str [claim], optional
        Left out: all of one kind.
    shares : mapping, optional
        Of the kinds, in any unit; those that the page has none of give theirs to the others. Left out: `SHARES`, and
        for kinds that are not in it, 1 each.
    false_share : float
        Expected share of false claims among the claims.
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p_values, dtype=np.float64)
    kinds = np.full(p.shape, "") if kind is None else np.asarray(kind).astype(str)
    known = np.isfinite(p)
    shares = SHARES if shares is None else shares
    present = [str(k) for k in np.unique(kinds[known])]
    total = sum(shares.get(k, 1.0) for k in present)
    q, alpha = np.full(p.shape, np.nan), np.full(p.shape, false_share)
    for name in present:
        rows = np.flatnonzero(known & (kinds == name))
        part = shares.get(name, 1.0) / total
        q[rows] = np.minimum(false_discovery_control(p[rows]) / part, 1.0)
        found = max(int((q[rows] <= false_share).sum()), 1)
        alpha[rows] = false_share * part * found / len(rows)
    with np.errstate(invalid="ignore"):
        claim = q <= false_share
    return Corrected(q, claim, alpha, int(known.sum()))
