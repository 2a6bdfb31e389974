"""Split tests that may be looked at every week: error rates that hold however often one looks and whenever one stops.

**Difference.** Each week the variations share the week's mood, so within a week the counts are compared given their sum
(Cochran, Biometrics 10, 1954; Mantel & Haenszel, JNCI 22, 1959), and the weeks' scores are added up since the test
began. The sum is a martingale if nothing differs; its boundary is the normal mixture of Robbins (Ann. Math. Stat. 41,
1970; Howard, Ramdas, McAuliffe & Sekhon, Ann. Statist. 49, 2021), tightest about `TARGET_WEEKS` weeks after the
beginning. The chance that equal variations are ever called different is at most ``alpha``; the interval is the same
boundary turned round.

**Sample ratio.** Whether the sends are divided as planned is watched by the multinomial test of Lindon & Malek (NeurIPS
35, 2022), which may be looked at as often.

**Guardrails.** Complaints and unsubscribes are *worse* where their interval excludes "equal", *not worse by more than
the margin* where it excludes the margin, and otherwise not known: no evidence of harm is not evidence of none.

**May I stop?** The expected loss of keeping the leading variation (Stucchio, 2015): what is given up on average if it
is not the best. It is not a claim about which is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betainc, gammaln, lambertw, ndtri

__all__ = [
    "KLAVIYO_PROBABILITY", "KLAVIYO_RECIPIENTS", "LOSS", "SPLIT_VERDICTS", "TARGET_WEEKS", "Sequence", "expected_loss",
    "guardrail", "sample_ratio", "watch", "watched_test",
]  # fmt: skip

SPLIT_VERDICTS = ("better", "worse", "no difference larger than", "cannot tell yet", "too few")
TARGET_WEEKS = 8
"""Weeks after which the boundary is tightest."""

LOSS = 0.01
"""Expected loss, as a share of the leader's rate, below which a test may be stopped."""

KLAVIYO_PROBABILITY = 0.90
KLAVIYO_RECIPIENTS = 500
MARGIN = 0.20
GUARDRAIL_MARGIN = 0.25
RATIO_ALPHA = 0.001
_LEAST = 20.0  # successes of both variations before the first look
_POINTS = 2000
_CONCENTRATION = 100.0
_MOST_WEEKS = 260

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sequence:
    """A difference of two rates as it stood after each week; arrays [test, week].

    Attributes
    ----------
    score, variance : array of float64
        Sum of successes beyond the second variation's share, and its variance if nothing differs.
    mass : array of float64
        Difference of the rates times this is the score.
    rate : array of float64
        Of the first variation, weighted as the difference is.
    tuning : array of float64 [test]
        Variance that the boundary is mixed with; infinite before the first look.
    """

    score: Floats
    variance: Floats
    mass: Floats
    rate: Floats
    tuning: Floats

    @property
    def difference(self) -> Floats:
        """Second rate less first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.score / self.mass)

    def boundary(self, alpha: Any = 0.05) -> Floats:
        """Half of the interval of the difference; holds at all weeks together with a chance of ``1 - alpha``."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(_boundary(self.variance, self.tuning[:, None], alpha) / self.mass)

    def p_values(self) -> Floats:
        """Smallest level at which each week's interval tells the variations apart; valid at all weeks together."""
        tuning = self.tuning[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(tuning / (self.variance + tuning)) / 2 + self.score**2 / (2 * (self.variance + tuning))
        log = np.where(np.isfinite(log), log, 0.0)
        return np.asarray(np.exp(-np.maximum(log, 0.0)))


def watch(
    first: Any, first_trials: Any, second: Any, second_trials: Any, *, target_weeks: float = TARGET_WEEKS
) -> Sequence:
    """Add up two variations' weeks since their test began.

    Parameters
    ----------
    first, first_trials, second, second_trials : array-like [test, week]
        Successes and trials; weeks in which one of the two sent nothing add nothing.
    target_weeks : float
        Weeks after which the interval is to be tightest.
    """
    a, m, b, n = (np.nan_to_num(np.asarray(v, dtype=np.float64)) for v in (first, first_trials, second, second_trials))
    both = (m > 0) & (n > 0)
    total = np.where(both, m + n, 2.0)
    pooled = np.where(both, (a + b) / total, 0.0)
    mass = np.where(both, m * n / total, 0.0)
    score = np.where(both, b - n * pooled, 0.0).cumsum(axis=1)
    variance = (mass * pooled * (1 - pooled) * total / (total - 1)).cumsum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (mass * np.where(both, a / m, 0.0)).cumsum(axis=1) / mass.cumsum(axis=1)
    # the boundary is fixed by volume and level up to the first look, never by how they are divided
    enough = np.where(both, a + b, 0.0).cumsum(axis=1) >= _LEAST
    begun = np.where(enough.any(axis=1), enough.argmax(axis=1), 0)
    rows = np.arange(len(a))
    looks = both.cumsum(axis=1)[rows, begun]
    weekly = variance[rows, begun] / np.maximum(looks, 1)
    best = -1 - float(lambertw(-(0.05**2) / np.e, -1).real)
    tuning = np.where(enough.any(axis=1), target_weeks * weekly / best, np.inf)
    ready = np.arange(a.shape[1]) >= np.where(enough.any(axis=1), begun, a.shape[1])[:, None]
    return Sequence(np.where(ready, score, 0.0), variance, mass.cumsum(axis=1), rate, tuning)


def sample_ratio(recipients: Any, share: Any = None) -> Floats:
    """Always-valid p-value of "sends are divided as planned" after each week.

    Parameters
    ----------
    recipients : array-like [arm, week]
    share : array-like [arm], optional
        Planned shares; left out: equal.
    """
    sent = np.nan_to_num(np.asarray(recipients, dtype=np.float64)).cumsum(axis=1)
    plan = np.full(len(sent), 1.0) if share is None else np.asarray(share, dtype=np.float64)
    plan = plan / plan.sum()
    prior = (_CONCENTRATION * plan)[:, None]
    log = gammaln(prior + sent).sum(axis=0) - gammaln(_CONCENTRATION + sent.sum(axis=0))
    log -= gammaln(prior).sum() - gammaln(_CONCENTRATION)
    log -= (sent * np.log(plan)[:, None]).sum(axis=0)
    return np.asarray(np.exp(-np.maximum(np.maximum.accumulate(log), 0.0)))


def expected_loss(successes: Any, trials: Any) -> tuple[Floats, Floats]:
    """Loss of keeping each variation, in units of the rate, and the chance that it is the best.

    Beta posteriors with Jeffreys' prior, integrated on a grid: the same on every run.

    Parameters
    ----------
    successes, trials : array-like [..., arm]
    """
    x, n = (np.asarray(v, dtype=np.float64) for v in (successes, trials))
    a, b = x + 0.5, n - x + 0.5
    mean = a / (a + b)
    sd = np.sqrt(mean * (1 - mean) / (a + b + 1))
    low = np.clip((mean - 9 * sd).min(axis=-1, keepdims=True), 0.0, 1.0)
    high = np.clip((mean + 9 * sd).max(axis=-1, keepdims=True), 0.0, 1.0)
    at = low + (high - low) * np.linspace(0, 1, _POINTS)  # [..., point]
    below = betainc(a[..., :, None], b[..., :, None], at[..., None, :])
    step = ((high - low) / (_POINTS - 1))[..., 0]
    largest = below.prod(axis=-2)
    expected = at[..., 0] + step * ((1 - largest).sum(axis=-1) - (1 - largest[..., 0]) / 2 - (1 - largest[..., -1]) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        others = np.where(below > 0, largest[..., None, :] / below, 0.0)
    mass = np.diff(below, axis=-1)
    best = (mass * (others[..., 1:] + others[..., :-1]) / 2).sum(axis=-1)
    return np.maximum(expected[..., None] - mean, 0.0), best / best.sum(axis=-1, keepdims=True)


def guardrail(
    first: Any, first_trials: Any, second: Any, second_trials: Any, *, margin: float = GUARDRAIL_MARGIN,
    alpha: float = 0.05,
) -> dict[str, Any]:  # fmt: skip
    """Whether the second variation's complaints (or unsubscribes) are worse, or not worse by more than a margin.

    Returns
    -------
    dict
        ``change, low, high`` (fractions of the first variation's rate, always valid), ``verdict`` (``worse``, ``not
        worse by more than the margin``, ``cannot tell yet``, ``too few``) and ``size``: the least harm where it is
        worse, else the largest that is not excluded; where it is too few, the events that the margin takes at least.
    """
    found = watch(*(np.atleast_2d(v) for v in (first, first_trials, second, second_trials)))
    rate, half = found.rate[0, -1], found.boundary(alpha)[0, -1]
    needed = 2 * ((float(ndtri(1 - alpha / 2)) + float(ndtri(0.8))) / margin) ** 2
    if not np.isfinite(half) or not rate > 0:
        nan = float("nan")
        return {"change": nan, "low": nan, "high": nan, "verdict": "too few", "size": needed}
    change = found.difference[0, -1] / rate
    low, high = change - half / rate, change + half / rate
    verdict = "worse" if low > 0 else "not worse by more than the margin" if high <= margin else "cannot tell yet"
    return {"change": change, "low": low, "high": high, "verdict": verdict, "size": low if low > 0 else high}


def watched_test(
    successes: Any, trials: Any, *, share: Any = None, alpha: Any = 0.05, margin: float = MARGIN,
    target_weeks: float = TARGET_WEEKS,
) -> pd.DataFrame:  # fmt: skip
    """Say of each variation how it stands against the first, and whether the test may be stopped.

    Parameters
    ----------
    successes, trials : array-like [arm, week]
        Since the test began; the first row is what the others are held against.
    share : array-like [arm], optional
        Planned shares of the sends; left out: equal.
    alpha : float or array-like [arm - 1]
        Level of each comparison; that of `multiple_testing.correct` for a page. Divided by the comparisons if a number.
    margin : float
        Difference, as a fraction of the first variation's rate, that is worth knowing.

    Returns
    -------
    DataFrame
        One row per variation: ``successes, trials`` (float64, sums), ``rate``; ``loss`` (expected, as a fraction of the
        leader's rate), ``probability_best``, ``is_leader``, ``may_stop`` (bool: the leader's loss is under `LOSS`, and
        no variation is *too few*),
        ``klaviyo_rule`` (``winner``, ``not the winner``, or what is missing); against the first variation (NaN in its
        own row) ``change, low, high`` (fractions of its rate; always valid), ``p_value`` (always valid), ``verdict``
        (one of `SPLIT_VERDICTS`), ``size`` (the change; the largest that is not excluded; the smallest that would be
        found by now; for *too few* the successes that take part before the first look), ``weeks_until_margin``
        (infinite beyond five years); ``sample_ratio_p`` and ``is_ratio_off`` (p under `RATIO_ALPHA`).
    """
    x, n = (np.nan_to_num(np.asarray(v, dtype=np.float64)) for v in (successes, trials))
    arms = len(x)
    level = np.broadcast_to(np.asarray(alpha, dtype=np.float64) / (max(arms - 1, 1) if np.ndim(alpha) == 0 else 1),
                            (arms - 1,))  # fmt: skip
    total, sent = x.sum(axis=1), n.sum(axis=1)
    loss, best = expected_loss(total, sent)
    leader = np.arange(arms) == best.argmax()
    against = watch(x[[0] * (arms - 1)], n[[0] * (arms - 1)], x[1:], n[1:], target_weeks=target_weeks)
    rate = against.rate[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        own = total / sent
        change, half = against.difference[:, -1] / rate, against.boundary(level[:, None])[:, -1] / rate
        low, high = change - half, change + half
    few = ~np.isfinite(half)
    largest = np.maximum(-low, high)
    names = np.select([few, low > 0, high < 0, largest <= margin], [SPLIT_VERDICTS[i] for i in (4, 0, 1, 2)],
                      SPLIT_VERDICTS[3])  # fmt: skip
    size = np.select([few, (low > 0) | (high < 0), largest <= margin], [_LEAST, change, largest], half)
    ratio = sample_ratio(n, share)[-1]

    def beside(values: Any) -> Floats:
        return np.concatenate([[np.nan], values])

    return pd.DataFrame(
        {
            "successes": total, "trials": sent, "rate": own,
            "loss": loss / own[leader][0] if own[leader][0] > 0 else np.full(arms, np.nan),
            "probability_best": best, "is_leader": leader,
            "may_stop": np.full(arms, bool(not few.any() and loss[leader][0] < LOSS * own[leader][0])),
            "klaviyo_rule": pd.array(_klaviyo(best, sent).astype(object), dtype="str"),
            "change": beside(change), "low": beside(low), "high": beside(high),
            "p_value": beside(np.where(few, np.nan, against.p_values()[:, -1])),
            "verdict": pd.array([None, *names.tolist()], dtype="str"), "size": beside(size),
            "weeks_until_margin": beside(_weeks_until(against, level, margin)),
            "sample_ratio_p": np.full(arms, ratio), "is_ratio_off": np.full(arms, ratio < RATIO_ALPHA),
        }
    )  # fmt: skip


# --- steps ----------------------------------------------------------------------------------------------------------


def _boundary(variance: Floats, tuning: Floats, alpha: Any) -> Floats:
    wide = variance + tuning
    return np.asarray(np.sqrt(wide * (np.log(wide / tuning) - 2 * np.log(alpha))))


def _klaviyo(best: Floats, sent: Floats) -> npt.NDArray[np.str_]:
    """Klaviyo's rule: 90 % and 500 recipients each."""
    if sent.min() < KLAVIYO_RECIPIENTS:
        return np.full(len(best), "under 500 recipients")
    if best.max() < KLAVIYO_PROBABILITY:
        return np.full(len(best), "under 90 %")
    return np.where(best == best.max(), "winner", "not the winner")


def _weeks_until(found: Sequence, alpha: Floats, margin: float) -> Floats:
    """Weeks from now until a difference by ``margin`` is found with a chance of 80 %, at the volume so far."""
    weeks = found.variance.shape[1]
    ahead = np.arange(_MOST_WEEKS + 1)
    grown = (weeks + ahead) / weeks
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        variance, mass = found.variance[:, [-1]] * grown, found.mass[:, [-1]] * grown
        expected = margin * found.rate[:, [-1]] * mass - float(ndtri(0.8)) * np.sqrt(variance)
        shown = expected >= _boundary(variance, found.tuning[:, None], alpha[:, None])
    return np.where(shown.any(axis=1), shown.argmax(axis=1).astype(np.float64), np.inf)
