"""Metrics against scikit-learn, and against what must hold of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bucle.line.gates import accuracy, auc, brier, debiased_ece, ece, log_loss, measure, reliability
from bucle.line.gates.metric import midranks

SCORES = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        arrays.arrays(np.bool_, n),
        # A coarse grid, so that ties are common.
        arrays.arrays(np.float64, n, elements=st.integers(0, 20).map(lambda k: k / 20)),
    )
)


@given(SCORES)
def test_metrics_agree_with_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = rows
    assert brier(labels, scores) == pytest.approx(reference.brier_score_loss(labels, scores, pos_label=True))
    assert accuracy(labels, scores) == pytest.approx(reference.accuracy_score(labels, scores >= 0.5))
    assert log_loss(labels, scores) == pytest.approx(reference.log_loss(labels, scores, labels=[False, True]))
    if labels.any() and not labels.all():
        assert auc(labels, scores) == pytest.approx(reference.roc_auc_score(labels, scores))


@given(SCORES)
def test_auc_sees_only_the_order(rows: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = rows
    assume(labels.any() and not labels.all())
    assert auc(labels, np.sqrt(scores)) == pytest.approx(auc(labels, scores))
    assert auc(labels, 1 - scores) == pytest.approx(1 - auc(labels, scores))
    assert auc(~labels, scores) == pytest.approx(1 - auc(labels, scores))


@given(SCORES)
def test_midranks_are_those_of_scipy(rows: tuple[np.ndarray, np.ndarray]) -> None:
    from scipy.stats import rankdata

    assert midranks(rows[1]).tolist() == rankdata(rows[1]).tolist()


def test_auc_without_both_classes_is_not_a_number() -> None:
    assert math.isnan(auc(np.zeros(3, bool), np.ones(3)))
    assert math.isnan(measure("auc", np.ones(3, bool), np.ones(3)))


@given(SCORES, st.integers(1, 30))
def test_a_calibration_curve_holds_every_row_once(rows: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    labels, scores = rows
    curve = reliability(labels, scores, bins)
    assert sum(bin_.rows for bin_ in curve) == scores.size
    assert 1 <= len(curve) <= bins
    assert sum(bin_.rows * bin_.predicted for bin_ in curve) == pytest.approx(scores.sum())
    assert sum(bin_.rows * bin_.observed for bin_ in curve) == pytest.approx(labels.sum())
    assert 0 <= ece(labels, scores, bins) <= 1
    # One bin can hide errors, more bins only show more.
    assert ece(labels, scores, 1) <= ece(labels, scores, bins) + 1e-12


def test_ece_of_a_known_table() -> None:
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1], bool)
    scores = np.array([0.1, 0.1, 0.1, 0.1, 0.8, 0.8, 0.8, 0.8])
    # Bins {0.1: 1 of 4 true} and {0.8: 3 of 4 true}: (0.15 + 0.05) / 2.
    assert ece(labels, scores, 2) == pytest.approx(0.10)


def test_chance_is_taken_off_the_calibration_error() -> None:
    generator = np.random.default_rng(1)
    plain, debiased = [], []
    for _ in range(40):
        scores = generator.uniform(0.05, 0.95, 600)
        labels = generator.random(600) < scores
        plain.append(ece(labels, scores))
        debiased.append(debiased_ece(labels, scores))
    assert np.mean(plain) > 0.045
    assert np.mean(debiased) < 0.02


def test_a_model_that_is_too_sure_is_still_found() -> None:
    generator = np.random.default_rng(2)
    truth = generator.uniform(0.1, 0.9, 5000)
    said = np.clip(truth + 0.1, 0, 1)
    assert debiased_ece(generator.random(5000) < truth, said) == pytest.approx(0.1, abs=0.015)


def test_empty_arrays_are_not_a_number() -> None:
    empty = np.array([], bool), np.array([], float)
    assert math.isnan(ece(*empty))
    assert math.isnan(debiased_ece(*empty))
    assert math.isnan(brier(*empty))
