"""Intervals, p-values and q-values of rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

from flowperf_helpers.errors import ArgumentError
from flowperf_helpers.stats.rates import VERDICTS, q_values, rate_difference, rate_interval, verdicts

pair = st.integers(1, 30_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def exact_coverage(n1: int, p1: float, n2: int, p2: float) -> float:
    """Sum the chances of all outcomes whose interval holds the truth."""
    axes = [
        np.arange(stats.binom.ppf(1e-9, n, p), stats.binom.ppf(1 - 1e-9, n, p) + 1) for n, p in ((n1, p1), (n2, p2))
    ]
    a, b = (g.ravel() for g in np.meshgrid(*axes, indexing="ij"))
    weight = stats.binom.pmf(a, n1, p1) * stats.binom.pmf(b, n2, p2)
    found = rate_difference(a, np.full(a.shape, n1), b, np.full(b.shape, n2))
    return float(weight[(found["low"] <= p2 - p1) & (p2 - p1 <= found["high"])].sum())


@pytest.mark.parametrize(
    ("n1", "p1", "n2", "p2"),
    [(50, 0.3, 50, 0.3), (2_000, 0.02, 2_000, 0.03), (20_000, 0.001, 20_000, 0.001), (20, 0.5, 2_000, 0.3),
     (100, 0.1, 5_000, 0.01), (500, 0.02, 1_000, 0.01), (1_500, 0.01, 500, 0.02), (6_000, 0.3, 300, 0.05)],
)  # fmt: skip
def test_coverage_where_ten_are_expected(n1: int, p1: float, n2: int, p2: float) -> None:
    """Where both groups expect ten successes, the 95 % interval holds the truth in 94 to 96 % of all outcomes."""
    assert 0.94 <= exact_coverage(n1, p1, n2, p2) <= 0.96


@pytest.mark.parametrize(
    ("n1", "p1", "n2", "p2"),
    [(10, 0.1, 10, 0.1), (50, 0.01, 5_000, 0.01), (5, 0.03, 20_000, 0.0006), (21, 0.24, 6_779, 0.007),
     (30, 0.2, 40, 0.25),
     (200, 0.99, 300, 0.995), (7, 0.0237, 9_723, 0.0237), (14, 0.318, 2_298, 0.0058)],
)  # fmt: skip
def test_coverage_of_few(n1: int, p1: float, n2: int, p2: float) -> None:
    """Below ten expected the interval may be too wide but never holds the truth in under 94 %."""
    assert exact_coverage(n1, p1, n2, p2) >= 0.94


def test_worked_example() -> None:
    """40 of 2,000 against 60 of 2,000: one point more, interval just off zero, p as the z-test's."""
    row = rate_difference([40], [2_000], [60], [2_000]).iloc[0]
    assert ["difference", "low", "high", "p_value"] == list(row.index)
    assert row["difference"] == pytest.approx(0.01)
    assert 0 < row["low"] < 0.01 < row["high"] < 0.021
    assert row["p_value"] == pytest.approx(proportions_ztest([60, 40], [2_000, 2_000])[1])


def test_small_tables_are_exact() -> None:
    """With few expected the p-value is Fisher's mid-p, whichever group and outcome is the smaller."""
    for x1, n1, x2, n2 in [
        (3, 20, 9, 15),
        (0, 10, 5, 12),
        (19, 20, 150, 200),
        (1, 2_000, 9, 20_000),
        (40, 20_000, 2, 30),
    ]:
        table = stats.hypergeom(n1 + n2, x1 + x2, n1)
        expected = min(1.0, 2 * min(table.cdf(x1), table.sf(x1 - 1)) - table.pmf(x1))
        assert rate_difference([x1], [n1], [x2], [n2])["p_value"][0] == pytest.approx(expected, rel=1e-8)


def test_nothing_known_gives_nan() -> None:
    """Zero trials and NA give a row of NaN and leave the other rows alone."""
    found = rate_difference([0, None, 5], [0, 10, 50], [1, 1, 7], pd.array([10, 10, 50], dtype="Int64"))
    assert found.iloc[:2].isna().all(axis=None)
    assert found.iloc[2].notna().all()


def test_empty() -> None:
    """No rows in, no rows out, same columns and dtypes."""
    found = rate_difference([], [], [], [])
    assert (0, 4) == found.shape
    assert {"float64"} == {str(t) for t in found.dtypes}


@pytest.mark.parametrize(
    ("given_counts", "place"),
    [(([1, -1], [5, 5], [1, 1], [5, 5]), r"successes_a\[1\] = -1"), (([1], [5], [6], [5]), r"successes_b\[0\] = 6"),
     (([1.5], [5], [1], [5]), r"successes_a\[0\] = 1.5"), (([1], [5], [1], [float("inf")]), r"trials_b\[0\]"),
     (([1, 2], [5], [1], [5]), "equal length"), ((["x"], [5], [1], [5]), "successes_a")],
)  # fmt: skip
def test_impossible_counts_name_the_place(given_counts: tuple[list[float], ...], place: str) -> None:
    """Counts that cannot be are refused with the first place where they stand."""
    with pytest.raises(ArgumentError, match=place):
        rate_difference(*given_counts)


def test_confidence_is_checked() -> None:
    """A confidence of 95 is a slip and is refused."""
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        rate_difference([1], [2], [1], [2], confidence=95)


@given(pair, pair)
def test_swapping_mirrors(first: tuple[int, int], second: tuple[int, int]) -> None:
    """Swapping the groups turns the sign and nothing else; the interval holds the difference."""
    ab, ba = (rate_difference([a[0]], [a[1]], [b[0]], [b[1]]).iloc[0] for a, b in ((first, second), (second, first)))
    assert ab["difference"] == pytest.approx(-ba["difference"])
    assert ab["low"] == pytest.approx(-ba["high"])
    assert ab["p_value"] == pytest.approx(ba["p_value"])
    assert -1 <= ab["low"] <= ab["difference"] <= ab["high"] <= 1
    assert 0 <= ab["p_value"] <= 1


@given(st.lists(st.tuples(pair, pair), min_size=1, max_size=20))
def test_rows_are_independent(rows: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """A row's numbers do not depend on the rows around it."""
    columns = np.array([(*a, *b) for a, b in rows]).T
    together = rate_difference(*columns)
    alone = pd.concat([rate_difference(*columns[:, [i]]) for i in range(len(rows))], ignore_index=True)
    pd.testing.assert_frame_equal(alone, together, rtol=1e-9, atol=1e-12)


@given(pair, pair)
def test_interval_and_p_value_agree_roughly(first: tuple[int, int], second: tuple[int, int]) -> None:
    """An interval clear of zero never goes with a large p-value, nor one around zero with a tiny one."""
    row = rate_difference([first[0]], [first[1]], [second[0]], [second[1]]).iloc[0]
    apart = row["low"] > 0 or row["high"] < 0
    assert row["p_value"] < 0.2 if apart else row["p_value"] > 0.002


def test_single_rate_is_wilsons() -> None:
    """rate_interval gives Wilson's limits, NaN without trials."""
    found = rate_interval([0, 3, 10, 0], [10, 17, 10, 0])
    low, high = proportion_confint([0, 3, 10], [10, 17, 10], method="wilson")
    np.testing.assert_allclose(found["low"][:3], low, atol=1e-12)
    np.testing.assert_allclose(found["high"][:3], high, atol=1e-12)
    assert found.iloc[3].isna().all()


def test_q_values_count_known_rows_only() -> None:
    """q-values follow Benjamini and Hochberg over the rows that have a p-value."""
    q = q_values([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(q, [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(q_values([np.nan, np.nan])).all()
    assert 0 == len(q_values([]))


def test_verdict_words() -> None:
    """Each of the four verdicts has its case; a wide interval says too few, also where nothing happened."""
    found = verdicts([0.01, -0.01, 0.001, 0.1, np.nan, 0.0, 0.0], [0, -0.02, -0.004, -0.2, np.nan, -0.002, -0.0002],
                     [0.02, 0, 0.004, 0.4, np.nan, 0.002, 0.0002], [0.04, 0.01, 0.6, 0.6, np.nan, 1, 1],
                     [0.02, 0.02, 0.02, 0.1, np.nan, 0, 0])  # fmt: skip
    assert [*VERDICTS[:3], VERDICTS[3], VERDICTS[3], VERDICTS[3], VERDICTS[2]] == list(found)
