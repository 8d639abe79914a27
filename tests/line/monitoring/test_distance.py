from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from bucle.line import monitoring
from bucle.line.monitoring.distance import pool_rare

COUNTS = st.integers(2, 12).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 500), min_size=k, max_size=k).filter(sum)] * 2)
)


def test_psi_agrees_with_a_table_worked_by_hand() -> None:
    # Siddiqi (2006) shows shares of 10 % each against these; each term is (q - p) ln(q / p).
    shares = [8, 9, 11, 12, 10, 10, 10, 10, 12, 8]
    by_hand = sum((q - 10) / 100 * np.log(q / 10) for q in shares)
    assert monitoring.psi([10] * 10, shares) == pytest.approx(by_hand, rel=1e-12)
    assert monitoring.psi([50, 50], [50, 50]) == 0.0
    assert monitoring.psi([1, 0], [0, 1]) == pytest.approx(2 * (1 / 1.5 - 0.5 / 1.5) * np.log(2))


@given(COUNTS)
def test_psi_is_symmetric_and_zero_for_equal_counts(pair: tuple[list[int], list[int]]) -> None:
    left, right = pair
    assert monitoring.psi(left, right) == pytest.approx(monitoring.psi(right, left), abs=1e-12)
    assert monitoring.psi(left, right) >= 0
    assert monitoring.psi(left, left) == 0.0


@given(COUNTS)
def test_a_bin_empty_on_both_sides_changes_no_distance(pair: tuple[list[int], list[int]]) -> None:
    left, right = pair
    padded = [0, *left], [0, *right]
    for distance in (monitoring.psi, monitoring.jensen_shannon):
        assert distance(*padded) == pytest.approx(distance(left, right), abs=1e-12)
    assert monitoring.chi_square(*padded) == pytest.approx(monitoring.chi_square(left, right))


@given(COUNTS)
def test_jensen_shannon_agrees_with_scipy_and_stays_within_one(pair: tuple[list[int], list[int]]) -> None:
    got = monitoring.jensen_shannon(*pair)
    # scipy subtracts nearly equal numbers for near equal shares and may give NaN or a little noise there.
    assert got**2 == pytest.approx(np.nan_to_num(jensenshannon(*pair, base=2)) ** 2, abs=1e-12)
    assert 0 <= got <= 1


@given(COUNTS, st.data())
def test_jensen_shannon_keeps_the_triangle_inequality(pair: tuple[list[int], list[int]], data: st.DataObject) -> None:
    left, right = pair
    third = data.draw(st.lists(st.integers(0, 500), min_size=len(left), max_size=len(left)).filter(sum))
    detour = monitoring.jensen_shannon(left, third) + monitoring.jensen_shannon(third, right)
    assert monitoring.jensen_shannon(left, right) <= detour + 1e-9


@given(COUNTS)
def test_chi_square_agrees_with_scipy(pair: tuple[list[int], list[int]]) -> None:
    table = np.array(pair)
    table = table[:, table.sum(axis=0) > 0]
    got = monitoring.chi_square(*pair)
    if table.shape[1] < 2:
        assert got == (0.0, 1.0)
        return
    expected = stats.chi2_contingency(table, correction=False)
    assert got.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert got.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


@given(COUNTS)
def test_kolmogorov_smirnov_of_binned_numbers_agrees_with_scipy(pair: tuple[list[int], list[int]]) -> None:
    left, right = (np.repeat(np.arange(len(counts)), counts) for counts in pair)
    expected = stats.ks_2samp(left, right, method="asymp")
    got = monitoring.kolmogorov_smirnov(*pair)
    assert got.statistic == pytest.approx(expected.statistic, abs=1e-12)
    n, m = left.size, right.size
    assert got.p_value == pytest.approx(stats.kstwobign.sf(np.sqrt(n * m / (n + m)) * expected.statistic), abs=1e-9)


@given(COUNTS)
def test_pooling_rare_bins_keeps_every_row(pair: tuple[list[int], list[int]]) -> None:
    left, right = pool_rare(*pair)
    assert (left.sum(), right.sum()) == (sum(pair[0]), sum(pair[1]))
    assert left.size == right.size


@pytest.mark.parametrize("pair", [([1, 2], [1, 2, 3]), ([0, 0], [1, 2]), ([1, 2], [0, 0])])
@pytest.mark.parametrize(
    "distance", [monitoring.psi, monitoring.jensen_shannon, monitoring.kolmogorov_smirnov, monitoring.chi_square]
)
def test_histograms_that_cannot_be_compared_are_an_error(distance: object, pair: tuple[list[int], list[int]]) -> None:
    with pytest.raises(monitoring.BadHistogram):
        distance(*pair)  # type: ignore[operator]


def test_p_values_are_uniform_when_nothing_changed() -> None:
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.full(20, 5.0))
    p_values = [
        monitoring.chi_square(rng.multinomial(20_000, shares), rng.multinomial(2_000, shares)).p_value
        for _ in range(2000)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
