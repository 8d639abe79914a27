"""Group commit: small writes of many threads, kept together in few transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
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


class Group:
    """One thread that runs every work that waits in one transaction, and tells each caller when it is kept.

    If a work raises, the transaction is rolled back and each work is run again in one of its own, so that one caller's
    error is nobody else's. In SQLite the thread's connection does not sync at every commit: what is kept survives
    `kill -9`, and a power cut from the next commit of the ledger on.

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

    def submit(self, work: Work[T]) -> Future[T]:
        """Have a work done; the future is set when it is kept, or holds the error it raised. It cannot be cancelled."""
        future = Future[T]()
        future.set_running_or_notify_cancel()  # who no longer waits must not leave a future that cannot be set
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._serve, args=(self._waiting,), name="bucle-group-commit", daemon=True)
                self._thread.start()
            self._waiting.put((work, future))
        return future

    def close(self) -> None:
        """Do what waits, then end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
                self._waiting = SimpleQueue()  # what comes later is the next thread's
        if thread is not None and thread is not current_thread():
            thread.join()

    def _serve(self, waiting: SimpleQueue[Job | None]) -> None:
        connection: Connection | None = None
        try:
            while (job := self._next(waiting)) is not None:
                try:
                    connection = connection or self._connect()
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

    def _connect(self) -> Connection:
        with translated(self._url):
            connection = self._engine.connect()
            if self._engine.dialect.name == "sqlite":
                connection.detach()  # another way of syncing than the pool's connections
                connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
                connection.rollback()
            return connection

    def _run(self, connection: Connection, first: Job, waiting: SimpleQueue[Job | None]) -> None:
        jobs, results = list[Job](), list[Any]()
        try:
            with translated(self._url), connection.begin():
                _begin(connection)
                for job in _joining(first, waiting):
                    jobs.append(job)
                    results.append(job[0](connection))
        except Exception as error:  # told to the caller below
            if len(jobs) > 1 or _is_passing(error):
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
                with translated(self._url), connection.begin():
                    _begin(connection)
                    return work(connection)
            except Exception as error:
                if not (left and _is_passing(error)):
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


def _begin(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_passing(error: BaseException) -> bool:
    """Whether PostgreSQL gave up this transaction for another's sake; the next try may well succeed."""
    cause = error.__cause__ if error.__cause__ is not None else error
    original = cause.orig if isinstance(cause, sa.exc.DBAPIError) else cause
    return getattr(original, "sqlstate", None) in ("40001", "40P01")
