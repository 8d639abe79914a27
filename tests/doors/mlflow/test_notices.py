"""Notices: an alias that goes along with something greater is told like any other."""

from __future__ import annotations

from bucle.doors.protocols.mlflow.notices import KINDS, notices_of
from bucle.ground.project import Project
from bucle.line import registry


def told(project: Project, after: int) -> list[tuple[str, dict[str, object]]]:
    events = project.ledger.events(kinds=KINDS, after=after)
    return [(one.hook, one.data) for event in events for one in notices_of(project, event)]


def test_aliases_that_a_retirement_hands_on_and_a_deletion_takes_along_are_told(any_project: Project) -> None:
    for _ in range(2):
        registry.register_reference(any_project, "m", registry.Reference(provider="x", id="y"))
    registry.set_alias(any_project, "m", "best", 1, actor="ana", reason="")
    before = any_project.ledger.size() - 1
    registry.retire(any_project, "m", 1, successor="m@2")
    registry.delete_version(any_project, "m", 2)
    assert told(any_project, before) == [
        ("model_version_alias.created", {"name": "m", "alias": "best", "version": "2"}),
        ("model_version_alias.deleted", {"name": "m", "alias": "best"}),
    ]


def test_the_aliases_of_a_prompt_that_is_deleted_are_told_as_a_prompts(any_project: Project) -> None:
    registry.register_prompt(any_project, "p", "Hello")
    registry.set_alias(any_project, "p", "best", 1, actor="ana", reason="")
    before = any_project.ledger.size() - 1
    registry.delete_model(any_project, "p")
    assert told(any_project, before) == [("prompt_alias.deleted", {"name": "p", "alias": "best"})]


def test_a_crowning_is_told_as_the_alias_it_moves(any_project: Project) -> None:
    registry.register_reference(any_project, "m", registry.Reference(provider="x", id="y"))
    registry.transition(any_project, "m", 1, "validated", actor="ana", reason="")
    before = any_project.ledger.size() - 1
    registry.crown(any_project, "m", 1, actor="ana", reason="")
    assert told(any_project, before) == [
        ("model_version_alias.created", {"name": "m", "alias": "champion", "version": "1"})
    ]
