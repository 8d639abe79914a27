"""Crowning: alias and stage in one moment, one champion for whoever looks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference

CROWNINGS = 15


@pytest.fixture
def heirs(any_project: Project) -> Project:
    """m@1 to m@3, all validated."""
    for number in (1, 2, 3):
        registry.register_reference(any_project, "m", Reference(provider="x", id="y"))
        registry.transition(any_project, "m", number, "validated", actor="ana", reason="")
    return any_project


def crown(project: Project, number: int, before: int | None = None) -> registry.ModelVersion:
    return registry.crown(project, "m", number, before=before, actor="ana", reason="better")


def stages(project: Project) -> list[str]:
    return [one.stage for one in registry.versions(project, "m")]


def test_alias_and_stages_change_in_one_event(heirs: Project) -> None:
    crown(heirs, 1)
    size = heirs.ledger.size()
    made = crown(heirs, 2)
    assert (made.stage, made.aliases) == ("production", ("champion",))
    assert stages(heirs) == ["validated", "production", "validated"]
    assert heirs.ledger.size() == size + 1
    told = [(one.what, one.version, one.before, one.after) for one in registry.changes(heirs, "m")][-3:]
    assert told == [
        ("alias champion", 2, "1", "2"),
        ("stage", 1, "production", "validated"),
        ("stage", 2, "validated", "production"),
    ]
    assert not verify_log(heirs.database, heirs.anchor).faults


def test_the_champion_crowned_again_is_no_event(heirs: Project) -> None:
    crown(heirs, 1)
    size = heirs.ledger.size()
    crown(heirs, 1, before=1)
    assert heirs.ledger.size() == size


def test_who_answered_so_far_steps_down_also_when_the_alias_went_elsewhere(heirs: Project) -> None:
    crown(heirs, 1)
    registry.set_alias(heirs, "m", "champion", 3, actor="eva", reason="by hand")
    crown(heirs, 2, before=1)
    assert stages(heirs) == ["validated", "production", "validated"]
    assert registry.version(heirs, "m", "champion").version == 2


@pytest.mark.parametrize("stage", ["archived", "rejected", "registered"])
def test_a_version_out_of_the_way_is_not_crowned(heirs: Project, stage: str) -> None:
    crown(heirs, 1)
    registry.transition(heirs, "m", 2, stage, actor="ana", reason="")
    with pytest.raises(registry.IllegalTransition):
        crown(heirs, 2)
    with pytest.raises(registry.NoSuchVersion):
        crown(heirs, 9)
    assert registry.version(heirs, "m", "champion").version == 1


def test_while_two_crown_at_once_every_look_finds_exactly_one_champion(heirs: Project) -> None:
    crown(heirs, 1)
    over, start = threading.Event(), threading.Barrier(4)

    def swap(number: int) -> None:
        start.wait(60)
        for _ in range(CROWNINGS):
            crown(heirs, number)

    def look() -> set[tuple[int, int]]:
        start.wait(60)
        seen = set[tuple[int, int]]()
        while not over.is_set() or not seen:
            found = registry.versions(heirs, "m")
            champions = [one.version for one in found if "champion" in one.aliases]
            live = [one.version for one in found if one.stage == "production"]
            assert len(champions) == 1
            assert champions == live
            seen.add((champions[0], live[0]))
        return seen

    with ThreadPoolExecutor(4) as pool:
        lookers = [pool.submit(look) for _ in range(2)]
        swappers = [pool.submit(swap, number) for number in (2, 3)]
        try:
            for one in swappers:
                one.result(120)
        finally:
            over.set()
        assert all(one.result(60) for one in lookers)
    swaps = [event.data for event in heirs.ledger.events(kinds=["registry.alias_set"])]
    assert [one["previous"] for one in swaps[1:]] == [one["version"] for one in swaps[:-1]]
    assert not verify_log(heirs.database, heirs.anchor).faults
