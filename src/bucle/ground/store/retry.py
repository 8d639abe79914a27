"""Retrying: a transaction that PostgreSQL gave up for another's sake is made again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bucle.ground.store.group import TRIES, is_passing

__all__ = ["retried"]

T = TypeVar("T")


def retried(act: Callable[[], T]) -> T:
    """What an act gives; it is made again, five times in all, when it lost a deadlock or could not be serialized.

    Args:
        act: one transaction, from its beginning to its end: nothing of it was kept when it is made again.
    Raises:
        Exception: whatever the act raises.
    """
    for _ in range(TRIES - 1):
        try:
            return act()
        except Exception as error:
            if not is_passing(error):
                raise
    return act()
