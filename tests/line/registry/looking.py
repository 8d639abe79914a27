"""A reader in a process of its own, for `test_swap`."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

from bucle.ground.project import Project
from bucle.line import registry


def look(root: Path, database: str, started: Event, over: Event, seen: multiprocessing.Queue[tuple[int, int]]) -> None:
    """Read until it is over, each way there is; tell how often, and how often there was not exactly one champion."""
    project = Project.open(root, database=database, actor="reader")
    looks = wrong = 0
    while not over.is_set() or looks == 0:
        by_alias = registry.version(project, "m", "champion").version
        holders = [one.version for one in registry.versions(project, "m") if "champion" in one.aliases]
        named = registry.model(project, "m").aliases
        looks += 1
        wrong += len(holders) != 1 or list(named) != ["champion"] or by_alias not in (1, 2)
        started.set()
    project.close()
    seen.put((looks, wrong))
