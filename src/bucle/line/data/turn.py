"""Turn: one writer of a branch after another on this machine, so that none builds in vain."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bucle.ground.core import digest_of, short
from bucle.ground.project import Project

__all__ = ["turn"]

_held = threading.local()


@contextmanager
def turn(project: Project, branch: str) -> Iterator[None]:
    """Wait for one's turn to move a branch; the system wakes the next one, and ends the turn of a process that dies.

    It only saves work: writers on other machines are told apart by compare and swap, as these are.
    """
    place = (str(project.state), branch)
    if place in _mine():
        yield
        return
    folder = project.state / "turns"
    folder.mkdir(exist_ok=True)
    handle = os.open(folder / short(digest_of(branch.encode())), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _mine().add(place)
        yield
    finally:
        _mine().discard(place)
        os.close(handle)


def _mine() -> set[tuple[str, str]]:
    """The turns of this thread: who has one and commits within it does not wait for itself."""
    if not hasattr(_held, "turns"):
        _held.turns = set()
    turns: set[tuple[str, str]] = _held.turns
    return turns
