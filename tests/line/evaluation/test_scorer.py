"""Scorers, version by version."""

from __future__ import annotations

import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import evaluation, tracking


def test_a_name_has_versions_that_share_an_id(any_project: Project) -> None:
    first = evaluation.register_scorer(any_project, "0", "exact match", '{"a": 1}')
    second = evaluation.register_scorer(any_project, "0", "exact match", '{"a": 2}')
    other = evaluation.register_scorer(any_project, "0", "zz", "{}")
    assert (first.version, second.version, first.id) == (1, 2, second.id)
    assert evaluation.scorers(any_project, ["0"]) == [second, other]
    assert evaluation.scorers(any_project) == [second, other]
    assert evaluation.scorer_versions(any_project, "0", "exact match") == [first, second]
    assert evaluation.scorer(any_project, "0", "exact match") == second
    assert evaluation.scorer(any_project, "0", "exact match", 1) == first

    assert verify_log(any_project.database, any_project.anchor).faults == ()
    evaluation.delete_scorer(any_project, "0", "exact match", 2)
    assert evaluation.scorer(any_project, "0", "exact match") == first
    evaluation.delete_scorer(any_project, "0", "exact match")
    with pytest.raises(evaluation.NoSuchScorer, match="exact match"):
        evaluation.scorer(any_project, "0", "exact match")


def test_what_is_not_there_is_named_with_the_near_miss(project: Project) -> None:
    evaluation.register_scorer(project, "0", "politeness", "{}")
    with pytest.raises(evaluation.NoSuchScorer) as caught:
        evaluation.scorer(project, "0", "politness")
    assert "Did you mean 'politeness'?" in str(caught.value)
    with pytest.raises(evaluation.NoSuchScorer, match="version 9"):
        evaluation.delete_scorer(project, "0", "politeness", 9)
    with pytest.raises(tracking.NoSuchExperiment):
        evaluation.scorer_versions(project, "4711", "politeness")


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("", "{}"),
        (" ", "{}"),
        ("x" * 251, "{}"),
        ("a\x00", "{}"),
        ("a", "no json"),
        ("a", "[]"),
        ("a", '"' + "x" * (2 << 20) + '"'),
    ],
)
def test_what_cannot_be_a_scorer_is_refused(bare: Project, name: str, definition: str) -> None:
    with pytest.raises(evaluation.BadScorer):
        evaluation.register_scorer(bare, "0", name, definition)
