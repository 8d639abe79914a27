"""The queries over cursors."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import Record, decode, encode
from bucle.ground.ledger import Transaction
from bucle.line.sources.tables import SOURCE_CURSORS

__all__ = ["Cursor", "every_cursor", "put_cursor", "the_cursor"]


class Cursor(Record, frozen=True):
    """How far a source has landed.

    Attributes:
        source: its name.
        cursor: what it knows of what it has read: files with their sizes, a last value, a place in a file, an etag.
        commit: the last commit of its rows; '' while there is none.
        rows: how many have landed in all.
        at: when it was moved.
    """

    source: str
    cursor: dict[str, Any]
    commit: str
    rows: int
    at: datetime


def the_cursor(connection: Connection, source: str) -> Cursor | None:
    """A source's cursor; None before its first run."""
    row = connection.execute(sa.select(SOURCE_CURSORS).where(SOURCE_CURSORS.c.source == source)).one_or_none()
    return None if row is None else _cursor(row._mapping)


def every_cursor(connection: Connection) -> list[Cursor]:
    """All of them by name."""
    rows = connection.execute(sa.select(SOURCE_CURSORS).order_by(SOURCE_CURSORS.c.source))
    return [_cursor(row._mapping) for row in rows]


def put_cursor(transaction: Transaction, cursor: Cursor) -> None:
    """Move a cursor on."""
    text = encode(cursor.cursor).decode()
    transaction.put(
        SOURCE_CURSORS,
        {"source": cursor.source, "cursor": text, "commit": cursor.commit, "rows": cursor.rows, "at": cursor.at},
    )


def _cursor(row: Any) -> Cursor:
    return Cursor(
        source=row["source"],
        cursor=decode(row["cursor"], dict[str, Any], what="cursor"),
        commit=row["commit"],
        rows=row["rows"],
        at=row["at"],
    )
