"""The database: SQLite for one person, PostgreSQL for a team, the same statements for both."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.types import TypeDecorator

from bucle.ground.core import UserError, from_micros, to_micros
from bucle.ground.store.errors import DatabaseFailed, DatabaseTooNew

__all__ = ["METADATA", "SCHEMA_VERSION", "Database", "Instant", "Json"]

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every room's tables; a room declares its own in its `tables.py`."""

SCHEMA_VERSION = "0008"
"""The newest migration this Bucle knows."""


class Instant(TypeDecorator[datetime]):
    """An instant in UTC, kept as microseconds since 1970 so that both databases order and compare alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """To the database."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """From the database."""
        return None if value is None else from_micros(value)


Json = sa.Text
"""A column that holds canonical JSON as text, so that its digest is the same in both databases."""


class Database:
    """A pool of connections to one database.

    Args:
        url: an SQLAlchemy URL: `sqlite:////path/to/file.db` or `postgresql://user@host/name`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading: one consistent view, never blocked by a writer.

        Raises:
            DatabaseFailed: the database does not answer.
        """
        with _translated(self.url), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it is kept when the block ends well, nothing otherwise.

        Only `ledger` and volatile tables (leases, heartbeats) are written through here directly.

        Raises:
            DatabaseFailed: the database does not answer or refused a statement.
        """
        with _translated(self.url), self.engine.connect() as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def migrate(self) -> None:
        """Bring the schema to `SCHEMA_VERSION`; a no-op when it is there.

        Raises:
            DatabaseTooNew: a newer Bucle made it.
        """
        version = self.schema_version()
        if version == SCHEMA_VERSION:
            return
        if version is not None and version > SCHEMA_VERSION:
            raise DatabaseTooNew(
                f"This database has schema {version}; this Bucle knows {SCHEMA_VERSION} at most.",
                why="A newer Bucle made it; an older one could damage what it does not understand.",
                fix="Install the newer version: pip install -U bucle.",
            )
        from bucle.ground.store.migrate import upgrade  # noqa: PLC0415  Alembic is slow to load and rarely needed

        with self.writing() as connection:
            upgrade(connection)

    def schema_version(self) -> str | None:
        """The migration the database is at, None for an empty one."""
        with self.reading() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DBAPIError as error:
        raise DatabaseFailed(
            f"The database {sa.make_url(url).render_as_string(hide_password=True)} failed: {error.orig}.",
            why="The change was not made.",
            fix="Check that it runs, has room on its disk and lets you write; then repeat.",
        ) from error


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise UserError(
            f"{url.rsplit('@', maxsplit=1)[-1]!r} is no database address.",
            fix="Write sqlite:////path/file.db or postgresql://user@host/name.",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed)
    raise UserError(
        f"Bucle does not keep its ledger in {parsed.get_backend_name()}.", fix="Use sqlite:/// or postgresql://."
    )


def _sqlite(url: sa.URL) -> Engine:
    if url.database:
        _make_folder(Path(url.database).parent)
    engine = sa.create_engine(url, connect_args={"timeout": 60, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: `writing` takes the write lock first (BEGIN IMMEDIATE), so
        # two writers queue instead of failing half-way with "database is locked".
        connection.isolation_level = None
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=60000"):
                connection.execute(f"PRAGMA {pragma}")
        except UnicodeDecodeError as error:
            # The driver cannot decode SQLite's own message when it quotes the damage.
            raise sqlite3.DatabaseError("malformed database schema") from error

    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseFailed(
            f"The folder {folder} for the database cannot be made: {error.strerror}.",
            why="SQLite keeps the ledger in a file there.",
            fix="Make the folder, or give the database another place: [store] database in bucle.toml.",
        ) from error


def _postgresql(url: sa.URL) -> Engine:
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError as error:
        raise UserError(
            "PostgreSQL needs the driver psycopg, which is not installed.", fix="pip install 'bucle[postgres]'"
        ) from error
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
