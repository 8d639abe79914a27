"""TableKey: what is known of the key of a table; never the key itself."""

from __future__ import annotations

from datetime import datetime

from bucle.ground.core import Record

__all__ = ["TableKey"]


class TableKey(Record, frozen=True):
    """The key of a table, as people see it.

    Attributes:
        key: its name, 32 hexadecimal digits.
        table: the table it was made for.
        master: the name of the key that wraps it, outside of the project.
        made_at: when it was made.
        rotated_at: when it was last wrapped.
        destroyed_at: when it was destroyed; None while it is there.
    """

    key: str
    table: str
    master: str
    made_at: datetime
    rotated_at: datetime
    destroyed_at: datetime | None
