"""MLflow's tables, in SQLite or PostgreSQL, as they are found: nothing of MLflow's is imported, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.doors.migrate.errors import BadSource, UnknownSchema

__all__ = ["Beside", "Rows", "Tables", "begin_reading", "open_database", "unreadable"]

AT_ONCE = 20_000
"""Rows fetched at a time."""

_NEEDED = {
    "experiments": {"experiment_id", "name"},
    "runs": {"run_uuid", "experiment_id", "status", "start_time"},
    "params": {"run_uuid", "key", "value"},
    "tags": {"run_uuid", "key", "value"},
    "metrics": {"run_uuid", "key", "value", "timestamp"},
}
Rows = Iterator[tuple[Any, ...]]


class Tables:
    """The tables of a database by what columns they have: every generation of MLflow's schema has fewer or more.

    Raises:
        UnknownSchema: it is not MLflow's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        inspector = sa.inspect(connection)
        self._columns = {
            name: {column["name"] for column in inspector.get_columns(name)} for name in inspector.get_table_names()
        }
        for name, wanted in _NEEDED.items():
            if missing := wanted - self._columns.get(name, set()):
                raise _not_mlflow(connection, name, missing, name in self._columns)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def has(self, name: str, column: str) -> bool:
        """Whether a table is there with this column."""
        return column in self._columns.get(name, ())

    def table(self, name: str) -> sa.TableClause:
        """A table with the columns it has."""
        return sa.table(name, *(sa.column(column) for column in sorted(self._columns[name])))

    def select(self, name: str, columns: Sequence[str], order: str = "") -> sa.Select[Any]:
        """These columns; NULL for those an older schema does not have."""
        table = self.table(name)
        query = sa.select(*(table.c[one] if self.has(name, one) else sa.null().label(one) for one in columns))
        return query.order_by(table.c[order]) if order else query

    def by_bytes(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The order Python has, whatever language the database sorts by."""
        return sa.collate(column, "C") if self._connection.dialect.name == "postgresql" else column

    def count(self, name: str) -> int:
        """How many rows a table has."""
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(self.table(name))).scalar_one())

    def stream(self, query: sa.Select[Any]) -> Rows:
        """Rows as they are wanted; the database keeps the rest."""
        streaming = self._connection.execution_options(stream_results=True)
        for part in streaming.execute(query).partitions(AT_ONCE):
            for row in part:
                yield tuple(row)


class Beside:
    """Rows that begin with a run's id, in the order of the ids, asked for run by run in that order."""

    def __init__(self, rows: Rows) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._here: tuple[str, list[tuple[Any, ...]]] | None = None
        self._move()

    def of(self, run: str) -> list[tuple[Any, ...]]:
        """The rows of a run; those of runs that are not there are passed over."""
        while self._here is not None and self._here[0] < run:
            self._move()
        return self._here[1] if self._here is not None and self._here[0] == run else []

    def _move(self) -> None:
        found = next(self._groups, None)
        self._here = None if found is None else (found[0], list(found[1]))


def open_database(url: str) -> tuple[sa.Engine, str, Path]:
    """The engine, the address to show, and the folder relative artifact addresses start from.

    Raises:
        BadSource: there is no such database.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError) as error:
        raise BadSource(
            "This is no address of a database.", why=f"{error}.", fix="Write sqlite:///mlflow.db or postgresql://…"
        ) from error
    shown = parsed.render_as_string(hide_password=True)
    if backend == "sqlite":
        file = Path(parsed.database or "")
        _check_sqlite(file)
        # Opened for reading only: a source is never changed, not even by a crash.
        source = f"sqlite:///file:{file.resolve().as_posix().replace('?', '%3f').replace('#', '%23')}?mode=ro&uri=true"
        return sa.create_engine(source, connect_args={"check_same_thread": False}), shown, file.resolve().parent
    if backend == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg")), shown, Path.cwd()
    raise BadSource(
        f"MLflow's database in {backend} cannot be read.",
        why="Bucle reads SQLite and PostgreSQL.",
        fix="Copy it to SQLite with a tool of that database, e.g. sqlite3 or pgloader, or export it as files.",
        at=shown,
    )


def _check_sqlite(file: Path) -> None:
    if not file.is_file():
        near = sorted(one.name for one in file.parent.glob("*.db"))[:3] if file.parent.is_dir() else []
        raise BadSource(
            f"There is no file {file}.",
            why="sqlite:///x.db is a file here, sqlite:////x.db one at the root.",
            fix=f"Did you mean {file.parent / near[0]}?" if near else "Name the file MLflow's server was started with.",
            at=str(file),
        )
    with file.open("rb") as opened:
        if opened.read(16) != b"SQLite format 3\x00":
            raise BadSource(
                f"{file} is no SQLite database.",
                why="It does not begin as one.",
                fix="Name MLflow's database, usually mlflow.db, or a folder mlruns.",
                at=str(file),
            )


def begin_reading(connection: Connection) -> None:
    """One view of everything, however long it takes and whoever writes meanwhile."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    else:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def unreadable(address: str, error: sa.exc.DBAPIError) -> BadSource:
    """The error for a database that does not answer."""
    return BadSource(
        f"{address} cannot be read: {str(error.orig).strip()}.",
        why="Nothing was taken over.",
        fix="Check the address, and that you may read there.",
        at=address,
    )


def _not_mlflow(connection: Connection, table: str, missing: set[str], is_there: bool) -> UnknownSchema:
    tables = set(sa.inspect(connection).get_table_names())
    if "runs" in tables and "tracking_names" in tables:
        return UnknownSchema(
            "This is a database of Bucle, not of MLflow.",
            why="It has Bucle's tables.",
            fix="Use its project: bucle --project DIR. To copy models: bucle model copy --help",
        )
    told = f"its table {table} has no {', '.join(sorted(missing))}" if is_there else f"it has no table {table}"
    return UnknownSchema(
        f"This is no database of MLflow: {told}.",
        why=f"It has: {', '.join(sorted(tables)[:12]) or 'no table at all'}.",
        fix="Name the database of MLflow's tracking server; `mlflow db upgrade` brings up one older than MLflow 1.0.",
    )
