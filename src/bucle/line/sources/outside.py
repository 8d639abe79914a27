"""Outside: a table of a declared connection, read as it is now; for queries that join it with tables of the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from bucle.ground.project import Project
from bucle.line.sources.s3 import read_objects
from bucle.line.sources.source import Connection, load_connection
from bucle.line.sources.sql import ask, quoted

__all__ = ["read_outside"]


def read_outside(
    project: Project, name: str, levels: Sequence[str], columns: frozenset[str] | None = None
) -> Iterator[pl.DataFrame]:
    """The rows of a connection's table, batch by batch; at least one, so that the columns are known.

    Args:
        name: of the connection.
        levels: the parts of the table's name there.
        columns: those asked for, in small letters; None for all of them. When there are none such, the first is given.
    Raises:
        NoSuchConnection, SourceInvalid: the connection is not there, or cannot be understood.
        SourceFailed: there is no such table, or it cannot be read.
        SecretMissing: a variable of the environment is not set.
    """
    connection = load_connection(project, name)
    if connection.kind == "s3":
        return read_objects(project, connection, levels, columns)
    return _of_database(connection, levels, columns)


def _of_database(
    connection: Connection, levels: Sequence[str], columns: frozenset[str] | None
) -> Iterator[pl.DataFrame]:
    table = ".".join(quoted(part) for part in levels)
    known = next(ask(connection, f"SELECT * FROM {table} LIMIT 0", ())).columns  # noqa: S608  quoted
    wanted = [column for column in known if columns is None or column.lower() in columns] or known[:1]
    return ask(connection, f"SELECT {', '.join(quoted(column) for column in wanted)} FROM {table}", ())  # noqa: S608
