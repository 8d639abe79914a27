from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from bucle.line import monitoring
from bucle.line.monitoring.bins import score_bin, score_centres

SCORED = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0, 1, allow_nan=False), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda labels: 0 < sum(labels) < len(labels)),
    )
)


def delong(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC and its variance by the definition: every positive beside every negative."""
    pairs = scores[labels][:, None] - scores[~labels][None, :]
    wins = (pairs > 0) + 0.5 * (pairs == 0)
    by_positive, by_negative = wins.mean(axis=1), wins.mean(axis=0)
    spread = by_positive.var(ddof=1) / by_positive.size + by_negative.var(ddof=1) / by_negative.size
    return float(wins.mean()), float(spread)


@given(SCORED)
def test_auc_is_that_of_the_binned_scores_to_the_last_bit(scored: tuple[list[float], list[bool]]) -> None:
    scores, labels = np.array(scored[0]), np.array(scored[1])
    expected = roc_auc_score(labels, score_bin(scores))
    assert monitoring.quality_of(scores, labels).auc == pytest.approx(expected, abs=1e-12)


@given(SCORED)
def test_the_interval_holds_the_auc(scored: tuple[list[float], list[bool]]) -> None:
    found = monitoring.quality_of(np.array(scored[0]), np.array(scored[1]))
    assert found.auc is not None
    assert found.auc_low is not None
    assert found.auc_high is not None
    assert 0 <= found.auc_low <= found.auc + 1e-12
    assert found.auc - 1e-12 <= found.auc_high <= 1


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_delongs_on_the_logit_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = score_bin(rng.beta(2, 4, 400)).astype(float) / 1000 + 0.0005
    labels = rng.random(400) < scores
    auc, variance = delong(scores, labels)
    logit, reach = np.log(auc / (1 - auc)), stats.norm.ppf(0.975) * np.sqrt(variance) / (auc * (1 - auc))
    found = monitoring.quality_of(scores, labels)
    assert found.auc == pytest.approx(auc, abs=1e-12)
    assert found.auc_low == pytest.approx(1 / (1 + np.exp(-(logit - reach))), abs=1e-12)
    assert found.auc_high == pytest.approx(1 / (1 + np.exp(-(logit + reach))), abs=1e-12)


def test_the_interval_covers_the_true_auc_as_often_as_it_says() -> None:
    rng, covered, times = np.random.default_rng(3), 0, 1500
    truth = stats.norm.cdf(1 / np.sqrt(2))  # two unit normals one apart
    for _ in range(times):
        values = np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 140)])
        found = monitoring.quality_of(stats.norm.cdf(values - 0.5), np.arange(200) < 60)
        covered += bool(found.auc_low <= truth <= found.auc_high)  # type: ignore[operator]
    assert 0.93 <= covered / times <= 0.97


@given(SCORED)
def test_log_loss_and_brier_agree_with_scikit_learn(scored: tuple[list[float], list[bool]]) -> None:
    scores, labels = np.array(scored[0]), np.array(scored[1])
    found = monitoring.quality_of(scores, labels)
    assert found.log_loss == pytest.approx(log_loss(labels, scores), abs=2e-9)
    assert found.brier == pytest.approx(brier_score_loss(labels, scores), abs=2e-9)


def test_ece_is_the_one_of_the_definition_to_a_bins_width() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(20_000)
    labels = rng.random(20_000) < scores**1.5
    group = np.minimum((scores * 15).astype(int), 14)
    expected = sum(abs(scores[group == g].mean() - labels[group == g].mean()) * (group == g).mean() for g in range(15))
    assert monitoring.quality_of(scores, labels).ece == pytest.approx(expected, abs=0.001)


def test_binning_costs_the_auc_less_than_a_thousandth() -> None:
    rng = np.random.default_rng(2)
    scores = rng.beta(2, 8, 50_000)
    labels = rng.random(50_000) < scores
    assert monitoring.quality_of(scores, labels).auc == pytest.approx(roc_auc_score(labels, scores), abs=0.0005)


def test_a_perfect_score_still_has_a_lower_bound() -> None:
    found = monitoring.quality_of(np.array([0.1] * 20 + [0.9] * 20), np.arange(40) >= 20)
    assert (found.auc, found.auc_high) == (1.0, 1.0)
    assert found.auc_low == pytest.approx(stats.binomtest(20, 20).proportion_ci(0.95).low)


def test_without_both_classes_there_is_no_auc() -> None:
    found = monitoring.quality_of(np.array([0.2, 0.4]), np.array([False, False]))
    assert (found.auc, found.auc_low, found.auc_high, found.base_rate) == (None, None, None, 0.0)
    assert found.log_loss is not None


def test_the_centres_lie_within_their_bins() -> None:
    assert (score_bin(score_centres()) == np.arange(monitoring.SCORE_BINS)).all()
