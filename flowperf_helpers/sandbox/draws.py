"""Random numbers that hang on what they are for: a function of the key, the day and the purpose, and of nothing else.

So a day has the same numbers whoever asks, whenever, and however many days or messages there are beside it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "Keys", "binomial", "key_of", "normal", "uniform", "wobble"]

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key_of(seed: int, name: str) -> int:
    """Return 64 bits out of a seed and a name."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finish of the splitmix64 generator."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(keys: NDArray[np.uint64], *parts: NDArray[np.int64] | int) -> Floats:
    """Return numbers strictly between 0 and 1, one per broadcast element of keys and parts."""
    x = np.atleast_1d(np.asarray(keys, dtype=np.uint64))
    with np.errstate(over="ignore"):
        for part in parts:
            x = _mix(x + (np.atleast_1d(np.asarray(part, dtype=np.int64)).astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return ((x >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52


def wobble(u: Floats) -> Floats:
    """Return noise with mean 0 and standard deviation 1, evenly spread: cheaper than `normal`, and never far out."""
    return (u - 0.5) * 12.0**0.5


_A = (-3.969683028665376e01, 2.209460984245205e02, -2.759285104469687e02, 1.383577518672690e02, -3.066479806614716e01,
      2.506628277459239e00)  # fmt: skip
_B = (
    -5.447609879822406e01,
    1.615858368580409e02,
    -1.556989798598866e02,
    6.680131188771972e01,
    -1.328068155288572e01,
    1.0,
)
_C = (-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e00, -2.549732539343734e00,
      4.374664141464968e00, 2.938163982698783e00)  # fmt: skip
_D = (7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e00, 3.754408661907416e00, 1.0)


def normal(u: Floats) -> Floats:
    """Return the standard normal quantile of ``u``, by Acklam's rational approximation (error below 1e-8)."""
    q = np.minimum(u, 1 - u)
    centred = q - 0.5
    r = centred * centred
    lower = np.polyval(_A, r) * centred / np.polyval(_B, r)
    far = np.flatnonzero(q < 0.02425)
    tail = np.sqrt(-2 * np.log(q.ravel()[far]))
    np.put(lower, far, np.polyval(_C, tail) / np.polyval(_D, tail))
    return np.where(u <= 0.5, lower, -lower)


_NORMAL_FROM = 40.0


def binomial(n: Ints | Floats, p: Floats, u: Floats) -> Ints:
    """Return the quantile ``u`` of Binomial(n, p): exact where few are expected, else by Cornish and Fisher.

    Parameters
    ----------
    n, p, u : arrays that broadcast against each other
        Trials, probability of one, quantile.

    Returns
    -------
    array of int64
        Between 0 and ``n``.
    """
    shape = np.broadcast_shapes(n.shape, p.shape, u.shape)
    trials = np.broadcast_to(n, shape).astype(np.float64)
    p = np.broadcast_to(p, shape)
    flipped = p > 0.5
    p = np.where(flipped, 1 - p, p)
    u = np.where(flipped, 1 - u, u)
    u = np.broadcast_to(u, shape)
    mean = trials * p
    k = np.zeros(shape)
    many = mean >= _NORMAL_FROM
    z = normal(u[many])
    k[many] = np.floor(mean[many] + z * np.sqrt(mean[many] * (1 - p[many])) + (1 - 2 * p[many]) * (z * z - 1) / 6 + 0.5)
    few = (mean > 0) & ~many
    k[few] = _walk(trials[few], p[few], u[few])
    k = np.clip(k, 0, trials)
    return np.where(flipped, trials - k, k).astype(np.int64)


def _walk(n: Floats, p: Floats, u: Floats) -> Floats:
    """Smallest k whose cumulated probability reaches u, element by element."""
    found = np.zeros(n.shape)
    left = np.arange(n.size)
    mass = np.exp(n * np.log1p(-p))
    odds = p / (1 - p)
    total = mass.copy()
    k = 0
    while left.size:
        going = (total < u) & (k < n)
        if not going.all():
            found[left[~going]] = k
            left, n, u = left[going], n[going], u[going]
            mass, odds, total = mass[going], odds[going], total[going]
        mass = mass * odds * (n - k) / (k + 1)
        total = total + mass
        k += 1
        if k > 400:  # nothing but rounding is left
            found[left] = k
            break
    return found
