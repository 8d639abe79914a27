"""The swap of a champion: whoever looks, at whatever moment, sees one champion."""

from __future__ import annotations

import multiprocessing

from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference
from line.registry.looking import look

SWAPS = 40


def test_no_reader_in_another_process_sees_no_champion_or_two(any_project: Project) -> None:
    for _ in range(2):
        registry.register_reference(any_project, "m", Reference(provider="x", id="y"))
    registry.set_alias(any_project, "m", "champion", 1, actor="ana", reason="")
    context = multiprocessing.get_context("spawn")
    over, seen = context.Event(), context.Queue()
    started = [context.Event() for _ in range(2)]
    url = "" if any_project.database.is_sqlite else any_project.database.url
    readers = [
        context.Process(target=look, args=(any_project.root, url, one, over, seen), daemon=True) for one in started
    ]
    for reader in readers:
        reader.start()
    assert all(one.wait(60) for one in started)
    for turn in range(SWAPS):
        registry.set_alias(any_project, "m", "champion", 2 - turn % 2, actor="ana", reason="swap")
    over.set()
    found = [seen.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join(60)
    assert all(looks > 0 for looks, _ in found)
    assert [wrong for _, wrong in found] == [0, 0]
    swaps = any_project.ledger.events(kinds=["registry.alias_set"])[1:]
    assert len(swaps) == SWAPS
    assert all(event.data["previous"] == 3 - event.data["version"] for event in swaps)
