"""Kinds of columns both databases hold alike; a text in two of them: its beginning, indexed, and the rest."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["HEAD", "Plain", "Serial", "joined", "joined_text", "split"]

Plain = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""A text that both databases order by its characters' numbers, so that an index finds what begins with something."""

HEAD = 128
"""Characters of a value that stand in its index. A longer text would not fit into one of PostgreSQL."""

Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""A number the database counts up by itself; in SQLite only INTEGER is the row's own place."""


def split(text: str) -> tuple[str, str | None]:
    """A value as its two columns hold it: the beginning, which has an index, and the rest."""
    return (text, None) if len(text) <= HEAD else (text[:HEAD], text[HEAD:])


def joined_text(table: sa.FromClause) -> sa.ColumnElement[str]:
    """The value two columns of a table hold, as an expression."""
    return table.c.value + sa.func.coalesce(table.c.rest, "")


def joined(value: str, rest: str | None) -> str:
    """The value two columns hold."""
    return value if rest is None else value + rest
