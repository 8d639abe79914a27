"""The database: SQLite for one person, PostgreSQL for a team, the same statements for both."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.types import TypeDecorator

from bucle.ground.core import UserError, from_micros, to_micros
from bucle.ground.store.errors import DatabaseFailed, DatabaseTooNew
from bucle.ground.store.group import Group, Work
from bucle.ground.store.translate import translated

T = TypeVar("T")

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

SCHEMA_VERSION = "0019"
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
        self._groups: dict[int, Group] = {}
        if self.is_sqlite:
            _let_go_before_forks(weakref.ref(self))

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
        with translated(self.url), self.engine.connect() as connection:
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
        with translated(self.url), self.engine.connect() as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def grouped(self, work: Work[T]) -> T:
        """Have a small write done together with what others write at the same time; give what it gives.

        For volatile tables only, and for works that come often: they share one commit. See `Group`.

        Args:
            work: a function of the connection; it may be run twice, the first time rolled back.
        Raises:
            DatabaseFailed: the database does not answer or refused a statement; nothing was kept.
            Exception: whatever the work raises; nothing it did was kept.
        """
        return self.submit(work).result()

    def submit(self, work: Work[T]) -> Future[T]:
        """As `grouped`, without waiting for others: the future is set once the write is kept.

        In SQLite the work is done here and now when nobody else writes; so it should be a small one.
        """
        # A forked process has none of its parent's threads, so each process has a group of its own.
        process = os.getpid()
        group = self._groups.get(process) or self._groups.setdefault(process, Group(self.engine, self.url))
        return group.submit(work)

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
        """Write what waits and give back every connection; what is asked for afterwards opens others."""
        group = self._groups.pop(os.getpid(), None)
        if group is not None:
            group.close()
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise UserError(
            f"{url.rsplit('@', maxsplit=1)[-1]!r} is no database address.",
            fix="Write sqlite:////path/file.db or postgresql://user@host/name.",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return _fork_safe(_sqlite(parsed))
    if parsed.get_backend_name() == "postgresql":
        return _fork_safe(_postgresql(parsed))
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
            # Mapped pages are read without a system call: look-ups all over a large database cost half.
            for pragma in (
                *("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=60000"),
                f"mmap_size={1 << 30}",
            ):
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


def _let_go_before_forks(database: weakref.ref[Database]) -> None:
    """Close the connections before the process forks; both open others when they need them.

    SQLite keeps in memory which locks this process holds. A child inherits that but none of the locks: its writes could
    be lost when the parent, believing itself alone, removes the write-ahead log.

    Source: "How To Corrupt An SQLite Database File", 2.6, https://www.sqlite.org/howtocorrupt.html
    """

    def let_go() -> None:
        opened = database()
        if opened is not None:
            opened.close()

    os.register_at_fork(before=let_go)


def _fork_safe(engine: Engine) -> Engine:
    """A forked process opens connections of its own: those it inherited are its parent's."""

    @sa.event.listens_for(engine, "connect")
    def _note(_connection: Any, record: Any) -> None:
        record.info["process"] = os.getpid()

    @sa.event.listens_for(engine, "checkout")
    def _check(_connection: Any, record: Any, proxy: Any) -> None:
        if record.info["process"] != os.getpid():
            record.dbapi_connection = proxy.dbapi_connection = None
            raise sa.exc.DisconnectionError("This connection belongs to the parent process.")

    return engine
