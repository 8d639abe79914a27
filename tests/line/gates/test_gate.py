"""Each gate: what passes, what does not, and how often chance decides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.line import gates
from bucle.line.gates import Calibration, ChampionChallenger, Evidence, MinimumMetric, Slices, Support


def _rows(seed: int, rows: int, challenger_noise: float, champion_noise: float = 0.5, **slices: Any) -> Evidence:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=rows)
    labels = truth + generator.normal(size=rows) > 0.8

    def score(noise: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(truth + noise * generator.normal(size=rows))))

    return Evidence(labels, score(challenger_noise), score(champion_noise), slices)


def _passes(gate: gates.Gate, evidence: Evidence) -> bool:
    return all(check.passed for check in gate.judge(evidence))


def test_a_minimum_and_a_maximum_are_bounds() -> None:
    evidence = Evidence(np.array([0, 1], bool), np.array([0.2, 0.8]))
    assert _passes(MinimumMetric(metric="auc", minimum=1.0), evidence)
    assert not _passes(MinimumMetric(metric="auc", minimum=1.01), evidence)
    assert _passes(MinimumMetric(metric="brier", maximum=0.05), evidence)
    assert not _passes(MinimumMetric(metric="brier", maximum=0.03), evidence)


def test_what_cannot_be_measured_does_not_pass() -> None:
    one_class = Evidence(np.ones(50, bool), np.full(50, 0.5), np.full(50, 0.4), {"a": np.array(["x"] * 50)})
    assert not _passes(MinimumMetric(metric="auc", minimum=0.0), one_class)
    assert not _passes(ChampionChallenger(margin=1.0), one_class)
    assert not _passes(Slices(columns=("b",)), one_class)
    assert not _passes(Support(min_rows=10, min_class=1), one_class)


@pytest.mark.parametrize("metric", ["auc", "brier", "log_loss", "accuracy"])
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 300),
    margin=st.floats(0, 0.3),
    confidence=st.floats(0.5, 0.999),
    require_better=st.booleans(),
)
def test_a_worse_challenger_is_never_promoted(metric: gates.Metric, seed: int, rows: int, **settings_: Any) -> None:
    evidence = _rows(seed, rows, challenger_noise=1.5)
    gate = ChampionChallenger(metric=metric, **settings_)
    challenger = gates.measure(metric, evidence.labels, evidence.challenger)
    assert evidence.champion is not None
    champion = gates.measure(metric, evidence.labels, evidence.champion)
    gain = challenger - champion if gates.HIGHER_IS_BETTER[metric] else champion - challenger
    is_worse = gain <= -(0.0 if gate.require_better else gate.margin)
    if math.isnan(gain) or (is_worse and gain < 0):
        assert not _passes(gate, evidence)


def test_a_challenger_worse_by_the_margin_slips_through_as_rarely_as_promised() -> None:
    large = _rows(1, 400_000, 1.0)
    assert large.champion is not None
    true_loss = -gates.compare("auc", large.labels, large.challenger, large.champion).gain
    gate = ChampionChallenger(margin=true_loss, confidence=0.9)
    passed = sum(_passes(gate, _rows(seed, 800, 1.0)) for seed in range(100, 500))
    # 5 % of 400 are 20; 4 standard deviations of a binomial are 17.
    assert passed <= 37


def test_a_better_challenger_passes_and_an_equal_one_within_a_margin() -> None:
    assert _passes(ChampionChallenger(require_better=True), _rows(1, 5000, 0.1, 1.0))
    assert _passes(ChampionChallenger(margin=0.02), _rows(1, 20_000, 0.5, 0.5))
    assert not _passes(ChampionChallenger(require_better=True), _rows(1, 20_000, 0.5, 0.5))


def test_few_rows_do_not_pass_for_want_of_proof() -> None:
    assert not _passes(ChampionChallenger(margin=0.01), _rows(1, 40, 0.5, 0.5))


def test_shuffled_labels_are_refused() -> None:
    evidence = _rows(1, 5000, 0.3)
    shuffled = np.random.default_rng(0).permutation(evidence.challenger)
    refused = Evidence(evidence.labels, shuffled, evidence.champion)
    (check,) = ChampionChallenger(margin=0.05).judge(refused)
    assert not check.passed
    assert check.high is not None
    assert check.high < -0.05


def test_the_first_version_needs_no_champion() -> None:
    evidence = Evidence(np.array([0, 1], bool), np.array([0.2, 0.8]))
    assert _passes(ChampionChallenger(), evidence)
    assert _passes(Slices(columns=("a",)), _without_champion())


def _without_champion() -> Evidence:
    return Evidence(np.array([0, 1], bool), np.array([0.2, 0.8]), None, {"a": np.array(["x", "y"])})


def _by_carrier(seed: int, rows: int, spoilt: str = "") -> Evidence:
    """Sixteen carriers of uneven size; the challenger knows nothing of `spoilt`."""
    generator = np.random.default_rng(seed)
    carriers = generator.choice([f"C{k:02}" for k in range(16)], rows, p=np.arange(1, 17) / 136)
    evidence = _rows(seed, rows, 0.5, 0.5, carrier=carriers)
    worse = np.where(carriers == spoilt, generator.random(rows), evidence.challenger)
    return Evidence(evidence.labels, worse, evidence.champion, {"carrier": carriers})


def test_a_spoilt_slice_is_named() -> None:
    checks = Slices(columns=("carrier",), max_drop=0.02).judge(_by_carrier(3, 8000, "C12"))
    assert [check.slice for check in checks if not check.passed] == ["carrier=C12"]


@pytest.mark.parametrize("metric", ["auc", "brier"])
def test_noise_in_many_slices_refuses_as_rarely_as_promised(metric: gates.Metric) -> None:
    rounds = 120 if metric == "auc" else 12
    gate = Slices(columns=("carrier",), metric=metric, max_drop=0.0, confidence=0.9)
    refused = sum(not _passes(gate, _by_carrier(seed, 3000)) for seed in range(rounds))
    # 10 %, and 4 standard deviations of a binomial.
    assert refused <= 0.1 * rounds + 4 * math.sqrt(0.09 * rounds)


def test_a_small_slice_is_not_judged_and_that_is_said() -> None:
    checks = Slices(columns=("carrier",), min_support=300).judge(_by_carrier(3, 4000, "C00"))
    assert "carrier=C00" not in {check.slice for check in checks}
    assert "slices were judged" in checks[-1].detail
    assert all(check.rows >= 300 for check in checks)


def test_calibration_asks_for_honest_probabilities() -> None:
    generator = np.random.default_rng(4)
    truth = generator.uniform(0.1, 0.9, 4000)
    labels = generator.random(4000) < truth
    assert _passes(Calibration(max_ece=0.02), Evidence(labels, truth))
    assert not _passes(Calibration(max_ece=0.05), Evidence(labels, np.clip(truth * 1.3, 0, 1)))


def test_every_check_says_what_it_found() -> None:
    evidence = _by_carrier(1, 2000)
    policy = {
        "minimum": {"minimum": 0.5},
        "champion": {},
        "slices": {"columns": ["carrier"]},
        "calibration": {},
        "support": {},
    }
    checks = [check for gate in gates.gates_of(policy) for check in gate.judge(evidence)]
    assert all(check.detail.endswith(".") for check in checks)
    assert {check.gate for check in checks} == set(policy)
