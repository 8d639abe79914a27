"""Verdicts: kept with all they were made from."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import SimulatedClock
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import gates
from bucle.line.gates import ChampionChallenger, Evidence, MinimumMetric, Slices

POLICY = (MinimumMetric(minimum=0.6), ChampionChallenger(margin=0.02), Slices(columns=("carrier",), min_support=50))


def _evidence(seed: int = 0, rows: int = 2000) -> Evidence:
    generator = np.random.default_rng(seed)
    labels = generator.random(rows) < 0.4
    good = np.clip(0.3 + 0.3 * labels + 0.2 * generator.normal(size=rows), 0, 1)
    worse = np.clip(good + 0.1 * generator.normal(size=rows), 0, 1)
    return Evidence(labels, good, worse, {"carrier": generator.choice(["AA", "UA", "ñ"], rows)})


def _shuffled(evidence: Evidence) -> Evidence:
    scores = np.random.default_rng(9).permutation(evidence.challenger)
    return Evidence(evidence.labels, scores, evidence.champion, evidence.slices)


def test_a_verdict_is_kept_and_read_back_equal(any_project: Project) -> None:
    made = gates.judge(any_project, "model/flights@2", POLICY, _evidence(), against="model/flights@1")
    assert made.passed
    assert gates.verdict(any_project, made.id) == made
    assert gates.verdicts(any_project, "model/flights@2") == [made]
    assert gates.verdicts(any_project, "model/flights@1") == []
    (event,) = any_project.ledger.events(kinds=["gates.judged"])
    assert (event.subject, event.data["verdict"], event.data["passed"]) == ("model/flights@2", made.id, True)
    edges = {(edge.source, edge.kind) for edge in any_project.ledger.lineage(f"verdict/{made.id}", depth=1)}
    assert edges == {
        ("model/flights@2", "judged"),
        ("model/flights@1", "compared"),
        (f"blob/{made.evidence}", "evidence"),
        (f"blob/{made.policy}", "policy"),
    }
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_a_refusal_is_an_answer_that_can_be_demanded_away(project: Project) -> None:
    made = gates.judge(project, "model/flights@3", POLICY, _shuffled(_evidence()), against="model/flights@1")
    assert not made.passed
    assert {check.gate for check in made.refusals} >= {"minimum", "champion", "slices"}
    assert project.ledger.events(kinds=["gates.judged"])[0].data["refused"][0] == "minimum auc"
    with pytest.raises(gates.GateRefused, match="did not pass"):
        gates.demand(made)


def test_judging_the_same_again_gives_the_same_verdict(project: Project, clock: SimulatedClock) -> None:
    first = gates.judge(project, "model/flights@2", POLICY, _evidence())
    clock.advance(timedelta(days=1))
    again = gates.judge(project, "model/flights@2", POLICY, _evidence())
    keyed = gates.judge(project, "model/flights@2", POLICY, _evidence(), key="cycle/7")
    assert again == first
    assert keyed.id != first.id
    assert project.ledger.size() == 2


def test_a_verdict_holds_the_digest_of_what_was_judged(any_project: Project) -> None:
    made = [gates.judge(any_project, "model/flights@2", POLICY, _evidence(), digest=one) for one in ("", "a1", "b2")]
    assert len({one.id for one in made}) == 3
    assert [gates.verdict(any_project, one.id).digest for one in made] == ["", "a1", "b2"]
    assert sorted(one.digest for one in gates.verdicts(any_project, "model/flights@2")) == ["", "a1", "b2"]
    assert gates.judge(any_project, "model/flights@2", POLICY, _evidence(), digest="a1") == made[1]
    assert [event.data["digest"] for event in any_project.ledger.events(kinds=["gates.judged"])] == ["", "a1", "b2"]
    assert not verify_log(any_project.database, any_project.anchor).faults


def test_what_was_judged_can_be_judged_again_from_what_was_kept(project: Project) -> None:
    for evidence in (_evidence(), _shuffled(_evidence()), Evidence(np.ones(9, bool), np.full(9, 0.5))):
        made = gates.judge(project, "model/flights@2", POLICY, evidence)
        assert gates.judge_again(project, made.id) == made.checks


def test_without_a_gate_nothing_passes(project: Project) -> None:
    with pytest.raises(gates.NoGates):
        gates.judge(project, "model/flights@2", (), _evidence())
    assert project.ledger.size() == 0


def test_an_unknown_verdict_is_not_found(project: Project) -> None:
    made = gates.judge(project, "model/flights@2", POLICY, _evidence())
    with pytest.raises(gates.NoSuchVerdict, match="Did you mean"):
        gates.verdict(project, made.id[:-1])


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"challenger": np.array([0.1])}, "challenger"),
        ({"champion": np.array([0.1, 1.5])}, "champion"),
        ({"challenger": np.array([0.1, math.nan])}, "challenger"),
        ({"slices": {"a": np.array(["x"])}}, "a"),
        ({"labels": np.array([0, 2])}, ""),
        ({"labels": np.array([]), "challenger": np.array([])}, ""),
    ],
)
def test_evidence_that_does_not_fit_is_refused(changes: dict[str, np.ndarray], at: str) -> None:
    good = {"labels": np.array([0, 1]), "challenger": np.array([0.1, 0.9])}
    with pytest.raises(gates.BadEvidence) as caught:
        Evidence(**{**good, **changes})
    assert caught.value.at == at


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), rows=st.integers(1, 60))
def test_evidence_survives_its_bytes(seed: int, rows: int) -> None:
    evidence = _evidence(seed, rows)
    again = gates.read_evidence(evidence.content)
    assert again.digest == evidence.digest
    assert again.labels.tolist() == evidence.labels.tolist()
    assert again.slices["carrier"].tolist() == evidence.slices["carrier"].tolist()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), noise=st.floats(0.4, 2.0))
def test_no_verdict_passes_for_a_challenger_that_is_worse_beyond_the_margin(
    project: Project, seed: int, noise: float
) -> None:
    generator = np.random.default_rng(seed)
    base = _evidence(seed)
    worse = np.clip(base.challenger + noise * generator.normal(size=base.rows), 0, 1)
    made = gates.judge(project, "model/m@2", POLICY, Evidence(base.labels, worse, base.challenger, base.slices))
    gain = gates.auc(base.labels, worse) - gates.auc(base.labels, base.challenger)
    assert not (made.passed and gain <= -0.02)
