"""A rival who writes first: what an act does when the world changes between its look and its turn to write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from bucle.ground.ledger import Transaction
from bucle.ground.project import Project


def overtaken(project: Project, act: Callable[[], object], rival: Callable[[Transaction], object]) -> object:
    """Let `act` come to where it must wait for its turn to write, and have the rival's write kept before its own.

    Returns:
        What `act` gave.
    Raises:
        Exception: what `act` raised.
    """
    waits, me = threading.Event(), list[int]()

    def mark(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        is_lock = statement.startswith("BEGIN IMMEDIATE") or "FOR UPDATE" in statement
        if is_lock and threading.get_ident() in me:
            waits.set()

    def run() -> object:
        me.append(threading.get_ident())
        try:
            return act()
        finally:
            waits.set()

    engine = project.database.engine
    sa.event.listen(engine, "before_cursor_execute", mark)
    try:
        with ThreadPoolExecutor(1) as pool:
            with project.ledger.transaction("test.rival", subject="test/rival", actor="rival") as tx:
                rival(tx)
                turn = pool.submit(run)
                assert waits.wait(60)
            return turn.result(60)
    finally:
        sa.event.remove(engine, "before_cursor_execute", mark)
