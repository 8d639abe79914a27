"""Intervals: do they cover what they promise?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.line.gates import compare, delong, estimate, holm


def _slow_delong(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The definition of 1988, pair by pair."""

    def placements(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wins = scores[labels][:, None] - scores[~labels][None, :]
        psi = (wins > 0) + 0.5 * (wins == 0)
        return psi.mean(axis=1), psi.mean(axis=0)

    (a10, a01), (b10, b01) = placements(a), placements(b)
    s10, s01 = np.cov(a10, b10), np.cov(a01, b01)
    s = s10 / labels.sum() + s01 / (~labels).sum()
    return a10.mean() - b10.mean(), math.sqrt(max(0.0, s[0, 0] + s[1, 1] - 2 * s[0, 1]))


@given(st.integers(0, 10_000), st.integers(4, 80), st.sampled_from([5, 1000]))
def test_fast_delong_is_delong(seed: int, rows: int, grid: int) -> None:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % 2 == 0
    a, b = generator.integers(0, grid, (2, rows)) / grid
    difference, error = delong(labels, a, b).difference()
    slow_difference, slow_error = _slow_delong(labels, a, b)
    assert difference == pytest.approx(slow_difference, abs=1e-12)
    assert error == pytest.approx(slow_error, abs=1e-7)


def _draw(generator: np.random.Generator, rows: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, a good score and one with more noise."""
    truth = generator.normal(size=rows)
    labels = truth + generator.normal(size=rows) > 0.8
    squash = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    return labels, squash(truth), squash(truth + noise * generator.normal(size=rows))


@pytest.mark.parametrize("metric", ["auc", "brier", "log_loss", "accuracy"])
def test_the_interval_of_a_gain_covers_the_truth(metric: str) -> None:
    generator = np.random.default_rng(5)
    truth = compare(metric, *_draw(generator, 200_000, 0.7)).gain  # type: ignore[arg-type]
    rounds = 300 if metric == "auc" else 80
    found = [compare(metric, *_draw(generator, 500, 0.7), 0.9) for _ in range(rounds)]  # type: ignore[arg-type]
    share = np.mean([item.low <= truth <= item.high for item in found])
    # Four standard errors of a share around 0.9.
    assert abs(share - 0.9) < 4 * math.sqrt(0.09 / rounds)


def test_a_gain_is_positive_whichever_way_the_metric_runs() -> None:
    labels, good, bad = _draw(np.random.default_rng(3), 3000, 2.0)
    for metric in ("auc", "brier", "log_loss", "accuracy"):
        forward, back = compare(metric, labels, good, bad), compare(metric, labels, bad, good)
        assert forward.low > 0 > back.high
        assert forward.gain == pytest.approx(-back.gain)


def test_equal_models_differ_by_nothing() -> None:
    labels, good, _ = _draw(np.random.default_rng(3), 300, 2.0)
    for metric in ("auc", "brier", "log_loss", "accuracy"):
        found = compare(metric, labels, good, good)
        assert (found.gain, found.low, found.high) == (0, 0, 0)


def test_equal_rows_give_equal_intervals() -> None:
    rows = _draw(np.random.default_rng(3), 300, 2.0)
    assert compare("brier", *rows) == compare("brier", *rows)


def test_the_normal_interval_of_many_rows_is_the_bootstrap_s(monkeypatch: pytest.MonkeyPatch) -> None:
    from bucle.line.gates import comparison

    rows = _draw(np.random.default_rng(3), comparison.LARGE + 1, 2.0)
    quick = compare("log_loss", *rows)
    monkeypatch.setattr(comparison, "LARGE", 10**9)
    slow = compare("log_loss", *rows)
    assert quick.low == pytest.approx(slow.low, abs=0.1 * quick.error)
    assert quick.high == pytest.approx(slow.high, abs=0.1 * quick.error)


def test_an_estimate_agrees_with_its_metric() -> None:
    labels, good, _ = _draw(np.random.default_rng(3), 1000, 2.0)
    for metric in ("auc", "brier", "log_loss", "accuracy"):
        found = estimate(metric, labels, good)
        assert found.low < found.value < found.high
        assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.15)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 0.5))
def test_holm_is_the_textbook_procedure(p_values: list[float], alpha: float) -> None:
    levels = holm(p_values, alpha)
    rejected = {index for index, p in enumerate(p_values) if p <= levels[index]}
    expected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > alpha / (len(p_values) - step):
            break
        expected.add(index)
    assert rejected == expected
    assert all(alpha / len(p_values) <= level <= alpha for level in levels)


def test_one_class_has_no_interval() -> None:
    found = compare("auc", np.ones(5, bool), np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    assert math.isnan(found.gain)
    assert math.isnan(found.low)
