"""Two windows of live answers: what changed is told apart: who asks, how they fare, who answers, what moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucle import loop
from bucle.ground.core import SimulatedClock
from bucle.loop import StretchDifference
from loop.answered import FIRST, SECOND, Answers


def compare(answers: Answers, *columns: str) -> StretchDifference:
    policy = loop.policy_of(answers.project, "m")
    found = loop.compare_stretches(answers.project, policy, FIRST, SECOND, columns=columns)
    for parts in found.slices.values():
        assert math.fsum(part.change for part in parts) == pytest.approx(found.change, abs=1e-12)
    return found


@pytest.fixture
def answers(root: Path, clock: SimulatedClock) -> Iterator[Answers]:
    made = Answers(root, clock)
    yield made
    made.project.close()


def test_more_of_a_bad_slice_is_told_as_its_share(answers: Answers) -> None:
    answers.give(FIRST, north=0.1)
    answers.give(SECOND, north=0.9)
    found = compare(answers, "region")
    assert found.change > 0
    assert found.mix["region"] == pytest.approx(found.change, rel=0.15)


def test_a_slice_that_fares_otherwise_is_named(answers: Answers) -> None:
    answers.give(FIRST)
    answers.give(SECOND, broken="south")
    found = compare(answers)
    first = found.causes[0]
    assert (first.rank, first.kind, first.what) == (1, "data", "region=south fares otherwise than before")
    assert "1. data: region=south fares otherwise" in found.attribution
    assert abs(found.mix["region"]) < 0.1 * found.change
    assert not any(one.drifted for one in found.shifts)


def test_a_feature_that_moved_is_named(answers: Answers) -> None:
    answers.give(FIRST, north=1.0)
    answers.give(SECOND, north=1.0, shift=1.5)
    found = compare(answers)
    assert [(one.feature, one.drifted) for one in found.shifts] == [("x", True)]
    assert found.shifts[0].after > 0.2 > found.shifts[0].before
    assert ("feature", "x moved") in [(one.kind, one.what) for one in found.causes]


def test_another_version_that_answers_comes_first(answers: Answers) -> None:
    answers.give(FIRST)
    answers.give(SECOND, version=2, broken="south")
    found = compare(answers)
    assert found.versions == {"1": (2000, 0), "2": (0, 2000)}
    assert found.causes[0].kind == "version"
    assert found.causes[0].evidence[-1] == "see why: bucle model compare m@1 m@2"


def test_labels_that_are_true_more_often_are_told_with_what_the_answers_said(answers: Answers) -> None:
    answers.give(FIRST)
    answers.give(SECOND, luck=0.3)
    found = compare(answers)
    (cause,) = [one for one in found.causes if one.kind == "world"]
    assert "of the labels are true" in cause.what
    assert "the answers said" in cause.evidence[0]


def test_noise_has_no_cause(answers: Answers) -> None:
    answers.give(FIRST)
    answers.give(SECOND)
    found = compare(answers)
    assert found.causes == ()
    assert "which chance alone may explain" in found.attribution


def test_without_labels_nothing_is_compared(answers: Answers) -> None:
    answers.give(FIRST)
    with pytest.raises(loop.TooFewLabels, match="2013-01-02"):
        compare(answers)
