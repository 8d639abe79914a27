"""Retirement: a version steps down and says who follows; nothing in use steps down."""

from __future__ import annotations

import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference
from line.registry.guards import Busy


@pytest.fixture
def fleet(any_project: Project) -> Project:
    """m@1 and m@2, n@1; m@1 is champion and in production."""
    for model in ("m", "m", "n"):
        registry.register_reference(any_project, model, Reference(provider="x", id="y"))
    registry.set_alias(any_project, "m", "champion", 1, actor="ana", reason="")
    registry.move(any_project, "m", 1, "production", actor="ana", reason="")
    return any_project


def test_a_retired_version_is_archived_and_its_aliases_go_on(fleet: Project) -> None:
    (gone,) = registry.retire(fleet, "m", 1, successor="m@2", actor="eva", reason="too old")
    assert (gone.stage, gone.successor, gone.aliases) == ("archived", "m@2", ())
    assert registry.version(fleet, "m", "champion").version == 2
    told = [(one.what, one.before, one.after) for one in registry.changes(fleet, "m")][-3:]
    assert told == [("alias champion", "1", "2"), ("stage", "production", "archived"), ("successor", "", "m@2")]
    assert not verify_log(fleet.database, fleet.anchor).faults


def test_a_successor_of_another_model_takes_no_alias_along(fleet: Project) -> None:
    registry.retire(fleet, "m", 1, successor="n@1")
    assert registry.model(fleet, "m").aliases == {}


def test_a_whole_model_is_retired_for_another(fleet: Project) -> None:
    registry.transition(fleet, "m", 2, "rejected", actor="ana", reason="")
    gone = registry.retire(fleet, "m", successor="n", reason="one model for all")
    assert [(one.version, one.stage) for one in gone] == [(1, "archived"), (2, "archived")]
    assert registry.model(fleet, "m").successor == "n"
    with pytest.raises(registry.IllegalTransition, match="retired itself"):
        registry.retire(fleet, "n", successor="m")


@pytest.mark.parametrize("successor", ["m@1", "m", "m@9", "z@1", "z"])
def test_nobody_follows_who_is_not_there_or_leaves_too(fleet: Project, successor: str) -> None:
    with pytest.raises((registry.IllegalTransition, registry.NoSuchVersion, registry.NoSuchModel)):
        registry.retire(fleet, "m", None if successor == "m" else 1, successor=successor)
    assert registry.version(fleet, "m", 1).stage == "production"


def test_what_answers_traffic_is_not_retired(fleet: Project) -> None:
    with pytest.raises(registry.ModelInUse, match="answers"):
        registry.retire(fleet, "m", 1, successor="m@2", guard=Busy())
    assert registry.version(fleet, "m", "champion").version == 1
