"""Apart: questions answered in processes of their own, a few at once, so that none can take the server with it.

The processes are spawned, never forked: a server's threads would leave locks held in the child. Each starts at the
first question that finds none idle, and answers one question after another. It is killed when its time is over, and one
that died, or ran out of memory, is replaced.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import msgspec

from bucle.ground.core import BucleError, catalogue
from bucle.ground.project import Project
from bucle.line.query.answer import Limits
from bucle.line.query.errors import QueryBusy, QueryTimeout, QueryTooLarge
from bucle.line.query.inside import ANSWER_BYTES
from bucle.line.query.sandbox import late
from bucle.line.query.wire import Asked, Failed, Form, Setting, Told, receive, send

__all__ = ["Apart", "Reply", "ask_apart"]

AT_ONCE = 2
"""So many questions are answered at once."""

WAITING = 8
"""So many more wait for their turn."""

PATIENCE_S = 30.0
"""So long they wait."""

GRACE_S = 2.0
"""An engine is told to stop when the time is over, and its process is killed so long after."""

START_S = 60.0

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from bucle.line.query.inside import serve; serve(int(sys.argv[2]))"
)
"""The processes' program: the server's own `__main__` is not imported."""


class Reply(NamedTuple):
    """An answer.

    Attributes:
        told: of which commits it is, what was masked.
        rows: in the form that was asked for.
    """

    told: Told
    rows: bytes


def ask_apart(project: Project, text: str, *, at: str, limits: Limits, principal: str, form: Form = "arrow") -> Reply:
    """Ask a question as `sql`, in another process that the project keeps.

    Args:
        form: how the rows come back.
    Raises:
        QueryTooLarge, QueryTimeout: its process was killed, or stopped by itself; the next one is another.
        QueryBusy: too many are asked at once.
        And what `sql` raises.
    Cost: the first questions wait for their process to start, a second or two.
    """
    kept = project.keep(Apart, lambda: Apart(project))
    return kept.ask(Asked(text, at, principal, limits, form))


class Apart:
    """The processes of a project.

    Args:
        project: open; the processes open it as well.
        at_once: so many questions are answered at once.
        waiting: so many more wait.
        patience_s: for so long.
    """

    def __init__(
        self, project: Project, *, at_once: int = AT_ONCE, waiting: int = WAITING, patience_s: float = PATIENCE_S
    ) -> None:
        self._setting = Setting(str(project.root), project.database.url, project.actor)
        self._patience_s = patience_s
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._turns = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._every: set[_Worker] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Of the processes there are."""
        with self._lock:
            return sorted(worker.pid for worker in self._every)

    def ask(self, asked: Asked) -> Reply:
        """Ask; see `ask_apart`."""
        with self._turn():
            try:
                return self._ask(asked)
            except _Gone:
                # Killed while it was idle: another one has not seen the question either.
                with suppress(_Gone):
                    return self._ask(asked)
                raise _busy("Processes are killed as soon as they start.") from None

    def _ask(self, asked: Asked) -> Reply:
        worker, is_good = self._take(), False
        try:
            reply = worker.ask(asked)
            is_good = not reply.told.is_spent
        except BucleError as error:
            is_good = not isinstance(error, QueryTimeout | QueryTooLarge)
            raise
        finally:
            self._give_back(worker) if is_good else self._drop(worker)
        return reply

    def close(self) -> None:
        """Kill them all."""
        with self._lock:
            self._closed = True
            every, self._every, self._idle = list(self._every), set(), []
        for worker in every:
            worker.kill()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise _busy("Too many questions wait already.")
        try:
            if not self._turns.acquire(timeout=self._patience_s):
                raise _busy(f"No process was free within {self._patience_s:g} s.")
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise _busy("The server is stopping.")
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._every.discard(worker)
                worker.kill()
            worker = _Worker()
            self._every.add(worker)
        try:
            worker.open(self._setting)
        except BaseException:
            self._drop(worker)
            raise
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if worker in self._every:
                self._idle.append(worker)

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._every.discard(worker)
        worker.kill()


class _Gone(Exception):
    """The process had died before it had the question."""


class _Worker:
    """One process, and the line to it; used by one thread at a time, but may be killed by any."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def open(self, setting: Setting) -> None:
        with self._killed_after(START_S), suppress(OSError):
            send(self._channel, msgspec.json.encode(setting))
            if receive(self._channel, ANSWER_BYTES) is not None:
                return
        raise _busy("The process that would answer did not start; the server's log may say why.")

    def ask(self, asked: Asked) -> Reply:
        has_it = False
        with self._killed_after(asked.limits.timeout_s + GRACE_S) as is_late, suppress(OSError):
            send(self._channel, msgspec.json.encode(asked))
            has_it = receive(self._channel, ANSWER_BYTES) is not None
            head = receive(self._channel, ANSWER_BYTES)
            found = None if head is None else msgspec.json.decode(head, type=Told | Failed)
            if isinstance(found, Failed):
                raise _error(found)
            rows = None if found is None else receive(self._channel, ANSWER_BYTES)
            if found is not None and rows is not None:
                return Reply(found, rows)
        if is_late.is_set():
            raise late(asked.limits)
        raise self._died(asked.limits) if has_it else _Gone

    def kill(self) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[threading.Event]:
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            self._process.kill()

        clock = threading.Timer(seconds, stop)
        clock.daemon = True
        clock.start()
        try:
            yield is_late
        finally:
            clock.cancel()

    def _died(self, limits: Limits) -> QueryTooLarge:
        self._process.kill()
        status = self._process.wait()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return QueryTooLarge(
            f"The query's process {how}.",
            why=f"It most likely asked for more than the {limits.memory_mb} MB a question may take here.",
            fix="Ask for fewer rows or columns, group earlier, or ask where more is allowed: "
            "bucle data query --memory-mb N",
        )


def _environment() -> dict[str, str]:
    """Memory is taken as it is needed, so that the bound counts what is held: Arrow's own allocator takes a gigabyte
    with its first array, and glibc an arena for each thread.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS", "PYTHONSTARTUP")}
    return {**kept, "MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}


def _error(failed: Failed) -> BucleError:
    kind = catalogue().get(failed.code, BucleError)
    return kind(failed.what, why=failed.why, fix=failed.fix, at=failed.at)


def _busy(what: str) -> QueryBusy:
    return QueryBusy(
        what, why="Only a few questions are answered at once, so that each has its memory.", fix="Ask again soon."
    )
