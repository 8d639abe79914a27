"""Group commit: small writes of many threads, kept together in few transactions.

Who comes to SQLite while nobody else writes needs no other thread: two changes of threads cost more than the write.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from bucle.ground.store.translate import translated

__all__ = ["Group", "Work"]

T = TypeVar("T")

Work = Callable[[Connection], T]
"""A write: a function of the connection that may be run again after it was rolled back."""

Job = tuple[Work[Any], Future[Any]]

LONGEST_S = 0.02
"""No more works join a transaction that has run for so long: other processes wait for the same lock."""

IDLE_S = 30.0
"""A thread with nothing to write for so long gives its connection back and ends; the next work starts another."""

TRIES = 5
"""How often a work is tried that lost a deadlock against another process."""

TIDY = 500
"""So many works are written at once; then the thread writes one and brings the write-ahead log into the database, which
syncs the disk: nobody who wrote at once waits for that."""

LARGEST_LOG = 8000
"""Pages of 4 KiB in the write-ahead log after which even who writes at once tidies up: the works were large ones."""


class Group:
    """One thread that runs every work that waits in one transaction, and tells each caller when it is kept.

    If a work raises, the transaction is rolled back and each work is run again in one of its own, so that one caller's
    error is nobody else's. In SQLite a caller who finds the thread idle and the database free does its work itself.
    There, commits do not sync the disk: what is kept survives `kill -9`, and a power cut from the next commit of the
    ledger on.

    Args:
        engine: of the database.
        url: what errors name.
    """

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._waiting = SimpleQueue[Job | None]()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._left = 0  # works that wait for the thread, or that it does
        self._at_once = _AtOnce(engine, url) if engine.dialect.name == "sqlite" else None

    def submit(self, work: Work[T]) -> Future[T]:
        """Have a work done; the future is set when it is kept, or holds the error it raised. It cannot be cancelled."""
        future = Future[T]()
        future.set_running_or_notify_cancel()  # who no longer waits must not leave a future that cannot be set
        if self._left or self._at_once is None or not self._at_once.run(work, future):
            self._hand_over(work, future)
        return future

    def _hand_over(self, work: Work[T], future: Future[T]) -> None:
        with self._lock:
            self._left += 1
            future.add_done_callback(self._one_less)
            if self._thread is None:
                self._thread = Thread(target=self._serve, args=(self._waiting,), name="bucle-group-commit", daemon=True)
                self._thread.start()
            self._waiting.put((work, future))

    def _one_less(self, _: Future[Any]) -> None:
        with self._lock:
            self._left -= 1

    def close(self) -> None:
        """Do what waits, then end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
                self._waiting = SimpleQueue()  # what comes later is the next thread's
        if thread is not None and thread is not current_thread():
            thread.join()
        if self._at_once is not None:
            self._at_once.close()

    def _serve(self, waiting: SimpleQueue[Job | None]) -> None:
        connection: Connection | None = None
        try:
            while (job := self._next(waiting)) is not None:
                try:
                    connection = connection or _connect(self._engine, self._url)
                except Exception as error:  # the caller's error, whatever it is
                    job[1].set_exception(error)
                    continue
                self._run(connection, job, waiting)
                if connection.invalidated or connection.closed:
                    connection = None
        finally:
            if connection is not None:
                connection.close()

    def _next(self, waiting: SimpleQueue[Job | None]) -> Job | None:
        try:
            return waiting.get(timeout=IDLE_S)
        except Empty:
            with self._lock:
                if not waiting.empty():
                    return waiting.get()
                self._thread = None
                return None

    def _run(self, connection: Connection, first: Job, waiting: SimpleQueue[Job | None]) -> None:
        jobs, results = list[Job](), list[Any]()
        try:
            with translated(self._url), _transaction(connection):
                for job in _joining(first, waiting):
                    jobs.append(job)
                    results.append(job[0](connection))
        except Exception as error:  # told to the caller below
            if len(jobs) > 1 or is_passing(error):
                self._run_apart(connection, jobs or [first])
            else:
                first[1].set_exception(error)
            return
        for (_, future), result in zip(jobs, results, strict=True):
            future.set_result(result)

    def _run_apart(self, connection: Connection, jobs: Sequence[Job]) -> None:
        for work, future in jobs:
            try:
                future.set_result(self._run_alone(connection, work))
            except Exception as error:  # the caller's
                future.set_exception(error)

    def _run_alone(self, connection: Connection, work: Work[T]) -> T:
        for left in reversed(range(TRIES)):
            try:
                with translated(self._url), _transaction(connection):
                    return work(connection)
            except Exception as error:
                if not (left and is_passing(error)):
                    raise
        raise AssertionError  # pragma: no cover  the last try returns or raises


def _joining(first: Job, waiting: SimpleQueue[Job | None]) -> Iterator[Job]:
    """The first job and all that wait, until the transaction has lasted long enough."""
    yield first
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        try:
            job = waiting.get_nowait()
        except Empty:
            return
        if job is None:
            waiting.put(None)
            return
        yield job


class _AtOnce:
    """Writes by the thread that asks, on one connection, as long as nobody is in the way.

    Args:
        engine: of an SQLite database.
        url: what errors name.
    """

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._lock = Lock()
        self._connection: Connection | None = None
        self._count = 0

    def run(self, work: Work[T], future: Future[T]) -> bool:
        """Do a work and set its future; False when somebody else writes now, and nothing was done."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._count += 1
            if self._count % TIDY == 0:
                return False
            return self._write(work, future)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write(self, work: Work[T], future: Future[T]) -> bool:
        try:
            if self._connection is None:
                pragmas = ("busy_timeout=0", f"wal_autocheckpoint={LARGEST_LOG}")
                self._connection = _connect(self._engine, self._url, *pragmas)
            with translated(self._url), _transaction(self._connection):
                result = work(self._connection)
        except Exception as error:  # the caller's, unless another connection writes
            if _is_busy(error.__cause__):
                return False
            future.set_exception(error)
        else:
            future.set_result(result)
        return True


def _connect(engine: Engine, url: str, *pragmas: str) -> Connection:
    with translated(url):
        connection = engine.connect()
        if engine.dialect.name == "sqlite":
            connection.detach()  # another way of syncing than the pool's connections
            for pragma in ("synchronous=NORMAL", *pragmas):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
            connection.rollback()
        return connection


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """As `connection.begin()`; in SQLite the write lock is taken first, by the driver itself: a third of the cost."""
    if connection.dialect.name != "sqlite":
        with connection.begin():
            yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
        driver.commit()
    except BaseException:
        connection.rollback()
        driver.rollback()
        raise


def is_passing(error: BaseException) -> bool:
    """Whether PostgreSQL gave up this transaction for another's sake; the next try may well succeed."""
    cause = error.__cause__ if error.__cause__ is not None else error
    original = cause.orig if isinstance(cause, sa.exc.DBAPIError) else cause
    return getattr(original, "sqlstate", None) in ("40001", "40P01")


def _is_busy(error: BaseException | None) -> bool:
    """Whether SQLite would have had to wait for another writer."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY
