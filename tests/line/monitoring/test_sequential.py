from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from bucle.line.monitoring.sequential import log_e_value, lower_bound, upper_bound

TRIALS = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(("hits", "trials", "share"), [(3, 40, 0.05), (0, 10, 0.1), (10, 10, 0.5), (7, 90, 0.2)])
def test_the_e_value_is_the_integral_of_the_definition(hits: int, trials: int, share: float) -> None:
    ratio = integrate.quad(
        lambda p: (p / share) ** hits * ((1 - p) / (1 - share)) ** (trials - hits) / (1 - share), share, 1
    )[0]
    assert log_e_value(hits, trials, share) == pytest.approx(math.log(ratio), rel=1e-8)


@given(TRIALS, st.floats(0.001, 0.999))
def test_one_more_trial_leaves_the_expected_e_value_where_it_was(trials: tuple[int, int], share: float) -> None:
    hits, n = trials
    after = share * math.exp(log_e_value(hits + 1, n + 1, share) - log_e_value(hits, n, share)) if n < 300 else 1.0
    if n < 300 and math.isfinite(log_e_value(hits, n, share)):
        after += (1 - share) * math.exp(log_e_value(hits, n + 1, share) - log_e_value(hits, n, share))
        assert after == pytest.approx(1.0, rel=1e-4)


def test_looking_after_every_trial_keeps_the_false_alarms_within_alpha() -> None:
    rng, alpha, share, runs, length = np.random.default_rng(0), 0.05, 0.1, 400, 1500
    evidence = cache(log_e_value)
    alarms = 0
    for _ in range(runs):
        hits = np.cumsum(rng.random(length) < share).tolist()
        # Only where more hit than expected can there be evidence.
        suspect = (n for n in range(1, length + 1) if hits[n - 1] > 1.2 * n * share)
        alarms += any(evidence(hits[n - 1], n, share) >= -math.log(alpha) for n in suspect)
    assert alarms <= runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))


@given(TRIALS, st.sampled_from([0.05, 0.001]))
def test_the_bounds_enclose_the_observed_share(trials: tuple[int, int], alpha: float) -> None:
    hits, n = trials
    low, high = lower_bound(hits, n, alpha), upper_bound(hits, n, alpha)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= hits / n + 1e-9
        assert high >= hits / n - 1e-9


@given(TRIALS)
def test_more_hits_move_the_bounds_up(trials: tuple[int, int]) -> None:
    hits, n = trials
    if hits < n:
        assert lower_bound(hits, n, 0.05) <= lower_bound(hits + 1, n, 0.05) + 1e-12
        assert upper_bound(hits, n, 0.05) <= upper_bound(hits + 1, n, 0.05) + 1e-12


def test_the_bounds_hold_at_all_looks_together() -> None:
    rng, missed, runs = np.random.default_rng(1), 0, 150
    for _ in range(runs):
        hits = np.cumsum(rng.random(2000) < 0.03)
        looks = range(40, 2001, 40)
        missed += any(upper_bound(int(hits[n - 1]), n, 0.05) < 0.03 for n in looks)
    assert missed <= runs * 0.05 + 3 * math.sqrt(runs * 0.05 * 0.95)


def test_edge_cases_have_their_meaning() -> None:
    assert log_e_value(0, 0, 0.5) == 0.0
    assert log_e_value(5, 5, 1.0) == 0.0
    assert log_e_value(1, 5, 0.0) == math.inf
    assert lower_bound(0, 100, 0.05) == 0.0
    assert upper_bound(0, 0, 0.05) == 1.0
    assert log_e_value(0, 1_000_000, 0.5) < -1000
