"""Upkeep: what a lake needs to have done from time to time, whoever looks: rows that are too old go."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from bucle.ground.project import Project
from bucle.ground.store import acquire, release, this_process
from bucle.line import data

__all__ = ["keep_up", "upkeep"]

EVERY = timedelta(days=1)
LEASE_S = 3600.0
_LOOK_S = 60.0

_log = logging.getLogger("bucle.loop")


def upkeep(project: Project) -> data.Retention | None:
    """Remove rows that are too old, once a day by the project's clock; None when it is not time yet, or nothing to do.

    One process at a time does so.

    Raises:
        BucleError: it could not be done; it is tried again with the next call.
    Cost: while it is not time, a look at the ledger; otherwise as `data.retain`.
    """
    if not _is_due(project):
        return None
    lease = acquire(project.database, "data/retention", this_process(), LEASE_S)
    if lease is None:
        return None
    try:
        return data.retain(project) if _is_due(project) else None
    finally:
        release(project.database, lease)


def keep_up(project: Project, stop: threading.Event) -> None:
    """Do the upkeep until told to stop; what goes wrong is said once and tried again.

    What is wrong with one table only is said as well, and looked at again the next day.
    """
    said = ""
    while not stop.is_set():
        try:
            done = upkeep(project)
            said = ""
            for told in _problems(done):
                _log.warning("%s", told)
        except Exception as error:  # a worker's loop: whatever it is, the next look may go better
            if str(error) != said:
                _log.warning("rows that are too old could not be removed: %s", error)
            said = str(error)
        stop.wait(_LOOK_S)


def _problems(done: data.Retention | None) -> list[str]:
    """What could not be done, although the rest was."""
    if done is None:
        return []
    found = [f"rows of {one.table} that are too old: {one.problem}" for one in done.tables if one.problem]
    return [*found, *([f"files that no commit needs: {done.problem}"] if done.problem else [])]


def _is_due(project: Project) -> bool:
    last = data.retained_at(project)
    if last is not None and project.clock.now() - last < EVERY:
        return False
    return bool(data.kept_for_a_time(project))
