"""Assessments: who said what about which answer, on the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import tracing
from line.tracing.trace_samples import trace, trace_id


def said(project: Project, value: Any = True, **more: Any) -> tracing.Assessment:
    now = project.clock.now()
    given = {
        "trace_id": trace_id(1),
        "name": "correct",
        "kind": "feedback",
        "source_type": "HUMAN",
        "source_id": "bob",
        "created_at": now,
        "updated_at": now,
    }
    return tracing.Assessment(**{**given, "value": value, **more})


def test_what_was_said_comes_back_and_stands_on_the_ledger(project: Project) -> None:
    tracing.log_trace(project, trace(1))
    given = said(project, {"score": [0.5, None]}, rationale="ü", span_id="1" * 16, metadata={"k": "v"})
    kept = tracing.log_assessment(project, given)
    assert kept.id.startswith("a-")
    assert tracing.assessment(project, trace_id(1), kept.id) == kept
    assert tracing.trace(project, trace_id(1)).assessments == (kept,)
    assert verify_log(project.database, project.anchor).faults == ()
    (event,) = project.ledger.events(kinds=["tracking.assessment_logged"])
    assert event.subject == f"trace/{trace_id(1)}"
    assert event.data["assessments"][0]["source"] == "HUMAN bob"


def test_saying_the_same_thing_under_the_same_id_says_it_once(project: Project) -> None:
    tracing.log_trace(project, trace(1))
    for _ in range(2):
        tracing.log_assessments(project, trace_id(1), [said(project, id="a-1"), said(project, id="a-2")])
    assert len(tracing.trace(project, trace_id(1)).assessments) == 2
    assert len(project.ledger.events(kinds=["tracking.assessment_logged"])) == 1


def test_an_override_takes_the_place_of_what_was_said_until_it_is_taken_back(any_project: Project) -> None:
    tracing.log_trace(any_project, trace(1))
    first = tracing.log_assessment(any_project, said(any_project, False))
    second = tracing.log_assessment(any_project, said(any_project, True, overrides=first.id))
    assert not tracing.assessment(any_project, trace_id(1), first.id).is_valid
    tracing.delete_assessment(any_project, trace_id(1), second.id)
    tracing.delete_assessment(any_project, trace_id(1), second.id)
    assert tracing.assessment(any_project, trace_id(1), first.id).is_valid
    assert verify_log(any_project.database, any_project.anchor).faults == ()
    with pytest.raises(tracing.NoSuchAssessment):
        tracing.assessment(any_project, trace_id(1), second.id)


def test_a_change_leaves_who_said_it_and_adds_to_the_metadata(project: Project) -> None:
    tracing.log_trace(project, trace(1))
    first = tracing.log_assessment(project, said(project, True, metadata={"a": "1"}))
    error = tracing.AssessmentError(code="X")
    changed = tracing.update_assessment(
        project, trace_id(1), first.id, kind="feedback", value=None, error=error, rationale="why", metadata={"b": "2"}
    )
    assert (changed.value, changed.error, changed.rationale) == (None, error, "why")
    assert changed.metadata == {"a": "1", "b": "2"}
    assert (changed.source_id, changed.name) == ("bob", "correct")
    assert tracing.assessment(project, trace_id(1), first.id) == changed
    with pytest.raises(tracing.BadAssessment, match="another kind"):
        tracing.update_assessment(project, trace_id(1), first.id, kind="expectation", value=1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": " "}, "cannot be the name"),
        ({"name": "x" * 251}, "cannot be the name"),
        ({"source_type": "HUMEN"}, "HUMAN"),
        ({"value": "x" * (2 << 20)}, "at most"),
        ({"value": "\ud800"}, "no Unicode"),
        ({"overrides": "a-none"}, "a-none"),
    ],
)
def test_what_cannot_be_said_is_refused(bare: Project, fields: dict[str, Any], words: str) -> None:
    tracing.log_trace(bare, trace(1))
    with pytest.raises((tracing.BadAssessment, tracing.NoSuchAssessment), match=words):
        tracing.log_assessment(bare, said(bare, **fields))
    assert tracing.trace(bare, trace_id(1)).assessments == ()


def test_nothing_is_said_of_a_trace_that_is_not_there(project: Project) -> None:
    for ask in (
        lambda: tracing.log_assessment(project, said(project)),
        lambda: tracing.assessment(project, trace_id(1), "a-1"),
        lambda: tracing.update_assessment(project, trace_id(1), "a-1", rationale="x"),
        lambda: tracing.delete_assessment(project, trace_id(1), "a-1"),
    ):
        with pytest.raises(tracing.NoSuchTrace):
            ask()
