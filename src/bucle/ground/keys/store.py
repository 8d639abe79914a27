"""The queries over tables' keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.keys.table_key import TableKey
from bucle.ground.keys.tables import TABLE_KEYS

__all__ = ["all_keys", "live_key", "the_key", "to_record"]


def the_key(connection: Connection, key: str) -> Row[Any] | None:
    """One key's row, wrapped key included."""
    return connection.execute(sa.select(TABLE_KEYS).where(TABLE_KEYS.c.key == key)).one_or_none()


def live_key(connection: Connection, table: str) -> str | None:
    """The name of the key with which a new table of this name is encrypted."""
    found = sa.select(TABLE_KEYS.c.key).where(TABLE_KEYS.c.table == table, TABLE_KEYS.c.destroyed_at.is_(None))
    return connection.execute(found.order_by(TABLE_KEYS.c.made_at.desc(), TABLE_KEYS.c.key).limit(1)).scalar()


def all_keys(connection: Connection) -> list[Row[Any]]:
    """Every key's row, by table and age."""
    order = (TABLE_KEYS.c.table, TABLE_KEYS.c.made_at, TABLE_KEYS.c.key)
    return list(connection.execute(sa.select(TABLE_KEYS).order_by(*order)))


def to_record(row: Row[Any]) -> TableKey:
    """What people see of a row."""
    return TableKey(
        key=row.key,
        table=row.table,
        master=row.master,
        made_at=row.made_at,
        rotated_at=row.rotated_at,
        destroyed_at=row.destroyed_at,
    )
