"""Verbs that are overtaken: an alias that moved on meanwhile stays where it went."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bucle.ground.ledger import Transaction, verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference
from bucle.line.registry.tables import ALIASES
from line.registry.rival import overtaken


@pytest.fixture
def fleet(any_project: Project) -> Project:
    """m@1 to m@3, n@1; m@1 is `best`, m@2 `next`."""
    for model in ("m", "m", "m", "n"):
        registry.register_reference(any_project, model, Reference(provider="x", id="y"))
    registry.set_alias(any_project, "m", "best", 1, actor="ana", reason="")
    registry.set_alias(any_project, "m", "next", 2, actor="ana", reason="")
    return any_project


def move(alias: str, version: int) -> Callable[[Transaction], None]:
    def rival(tx: Transaction) -> None:
        tx.put(ALIASES, {"model": "m", "alias": alias, "version": version})

    return rival


def test_an_alias_that_moved_meanwhile_outlives_the_deletion_of_its_old_version(fleet: Project) -> None:
    overtaken(fleet, lambda: registry.delete_version(fleet, "m", 1), move("best", 2))
    assert registry.version(fleet, "m", "best").version == 2
    assert fleet.ledger.events(kinds=["registry.version_deleted"])[0].data["aliases"] == {}
    assert not verify_log(fleet.database, fleet.anchor).faults


def test_an_alias_that_came_meanwhile_goes_with_the_version(fleet: Project) -> None:
    overtaken(fleet, lambda: registry.delete_version(fleet, "m", 1), move("next", 1))
    assert registry.model(fleet, "m").aliases == {}
    (gone,) = fleet.ledger.events(kinds=["registry.version_deleted"])
    assert gone.data["aliases"] == {"best": {"from": 1, "to": None}, "next": {"from": 1, "to": None}}


def test_an_alias_that_moved_meanwhile_is_not_handed_to_a_successor(fleet: Project) -> None:
    overtaken(fleet, lambda: registry.retire(fleet, "m", 1, successor="m@3"), move("best", 2))
    assert registry.version(fleet, "m", "best").version == 2
    assert registry.version(fleet, "m", 1).successor == "m@3"


def test_a_successor_named_by_an_alias_is_the_one_it_names_at_that_moment(fleet: Project) -> None:
    overtaken(fleet, lambda: registry.retire(fleet, "m", 1, successor="m@next"), move("next", 3))
    assert registry.version(fleet, "m", "best").version == 3
    assert registry.version(fleet, "m", 1).successor == "m@3"


def test_deletion_and_retirement_are_one_event_each(fleet: Project) -> None:
    before = fleet.ledger.size()
    registry.retire(fleet, "m", 1, successor="m@2", reason="old")
    registry.delete_version(fleet, "m", 2, reason="wrong")
    registry.delete_model(fleet, "m", reason="all")
    assert fleet.ledger.size() == before + 3
    moves = [registry.alias_moves(event) for event in fleet.ledger.events(after=before - 1)]
    assert moves == [{"best": 2}, {"best": None, "next": None}, {}]
    told = [(one.what, one.before, one.after) for one in registry.changes(fleet, "m") if one.what.startswith("alias")]
    assert told[2:] == [("alias best", "1", "2"), ("alias best", "2", ""), ("alias next", "2", "")]
    assert not verify_log(fleet.database, fleet.anchor).faults
