"""Local processes: each task in a fresh process of this machine, forked from a warm zygote."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong
from pathlib import Path
from typing import IO

import msgspec

from bucle.ground.core import Environment, Interpreter, environment
from bucle.ground.store import open_blobs
from bucle.line.pipelines.execution import Failure
from bucle.line.pipelines.task import Outcome, Task
from bucle.line.pipelines.wire import Exited, Kill, Order, Report, Start, Started, receive, send
from bucle.line.pipelines.worker import LOG, RESULT, WORK

__all__ = ["LocalProcesses"]

_LOG_LIMIT = 4 << 20

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from bucle.line.pipelines.zygote import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)
"""The zygote's program: it does not import the engine's `__main__`, so it starts alike under `-m`, pytest, a console
script or a program read from standard input."""


class LocalProcesses:
    """An executor on this machine. The zygote starts with the first task and goes with `close` or with this process.

    Args:
        interpreter: the Python that tasks run in; this one unless given.
    """

    def __init__(self, interpreter: Interpreter | None = None) -> None:
        self._interpreter = interpreter
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._owner = os.getpid()

    @property
    def environment(self) -> Environment:
        """What tasks run in."""
        return environment() if self._interpreter is None else self._interpreter.environment

    def run(self, task: Task, *, timeout_s: float | None) -> Outcome:
        """Carry out a task and wait for it; see `Executor.run`."""
        if self._interpreter is not None:
            task = _for(self._interpreter, task)
        scratch = Path(task.scratch)
        (scratch / WORK).mkdir(parents=True)
        try:
            return self._run(task, scratch, timeout_s)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def cancel(self, prefix: str) -> None:
        """Kill the tasks whose ids begin so; see `Executor.cancel`."""
        line = self._line
        if line is not None:
            line.cancel(prefix)

    def close(self) -> None:
        """End the zygote and with it every task."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None and self._owner == os.getpid():
            line.close()

    def _run(self, task: Task, scratch: Path, timeout_s: float | None) -> Outcome:
        line = self._open(task.sys_path)
        timed_out = False
        try:
            started, exited = line.start(task)
            started.result()
            try:
                end = exited.result(timeout_s)
            except WaitedTooLong:
                timed_out = True
                line.order(Kill(task.id))
                end = exited.result()
        except _ZygoteLost as error:
            return Outcome(failure=Failure(kind="Died", message=str(error)), log=_keep_log(task, scratch))
        except BaseException:
            # The engine is being stopped (Ctrl-C): leave nothing behind.
            line.order(Kill(task.id))
            raise
        outcome = _read_outcome(scratch)
        if timed_out:
            outcome = Outcome(failure=Failure(kind="TimedOut", message=f"It ran longer than {timeout_s:g} s."))
        elif outcome is None:
            outcome = Outcome(failure=_death(end))
        return msgspec.structs.replace(outcome, log=_keep_log(task, scratch), cpu_s=end.cpu_s, memory_mb=end.memory_mb)

    def _open(self, sys_path: tuple[str, ...]) -> _Line:
        """The line to a living zygote; after a fork of this process, to a new one."""
        with self._lock:
            if self._owner != os.getpid():
                self._line, self._owner = None, os.getpid()
            if self._line is None or not self._line.is_open():
                if self._line is not None:
                    self._line.close()
                python = sys.executable if self._interpreter is None else self._interpreter.python
                self._line = _Line(python, sys_path)
            return self._line


class _ZygoteLost(Exception):
    """The zygote has ended."""


class _Line:
    """The line to one zygote: orders go out under a lock, a thread takes the reports in."""

    def __init__(self, python: str, sys_path: tuple[str, ...]) -> None:
        self._channel, theirs = socket.socketpair()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the zygote
        boot = msgspec.json.encode(sys_path).decode()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [python, "-c", _BOOT, boot, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                env=_zygote_environment(),
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Future[Started], Future[Exited]]] = {}
        self._groups: dict[str, int] = {}
        self._gone = False
        self._reader = threading.Thread(target=self._read, name="bucle-zygote-line", daemon=True)
        self._reader.start()

    def is_open(self) -> bool:
        return not self._gone

    def start(self, task: Task) -> tuple[Future[Started], Future[Exited]]:
        futures = Future[Started](), Future[Exited]()
        with self._lock:
            if self._gone:
                raise _ZygoteLost(self._last_words())
            self._waiting[task.id] = futures
        self.order(Start(task))
        return futures

    def order(self, order: Order) -> None:
        # When the zygote is gone, the reader tells those who wait.
        with contextlib.suppress(OSError), self._lock:
            send(self._channel, order)

    def cancel(self, prefix: str) -> None:
        with self._lock:
            wanted = [task for task in self._waiting if task.startswith(prefix)]
        for task in wanted:
            self.order(Kill(task))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._channel.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _read(self) -> None:
        while (data := receive(self._channel)) is not None:
            report: Report = msgspec.json.decode(data, type=Report)
            with self._lock:
                futures = self._waiting.get(report.id)
                if isinstance(report, Exited):
                    self._waiting.pop(report.id, None)
                    self._groups.pop(report.id, None)
                else:
                    self._groups[report.id] = report.pid
            if futures is None:
                continue
            if isinstance(report, Started):
                futures[0].set_result(report)
                continue
            if not futures[0].done():
                futures[0].set_result(Started(report.id, 0))
            futures[1].set_result(report)
        with self._lock:
            self._gone = True
            left = list(self._waiting.values())
            self._waiting.clear()
            groups = list(self._groups.values())
        # The kernel kills the tasks with the zygote, but not what they had started.
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        lost = _ZygoteLost(self._last_words())
        for future in (future for pair in left for future in pair if not future.done()):
            future.set_exception(lost)

    def _last_words(self) -> str:
        try:
            self._errors.seek(0)
            words = self._errors.read()[-2000:].decode(errors="replace").strip()
        except ValueError:
            words = ""
        return f"The process that starts steps has ended. {words}".strip()


def _zygote_environment() -> dict[str, str]:
    """What steps find in their environment.

    String hashes are fixed, so that the order of a set is the same in every run of one key. OpenMP threads sleep
    while they wait instead of spinning: beside one busy process on two cores, LightGBM on two threads took 3 s that way
    and 18 s the other.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS", "PYTHONSTARTUP")}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, "PYTHONHASHSEED": "0"}


def _for(interpreter: Interpreter, task: Task) -> Task:
    """A task as another Python carries it out: the project's modules, then its own, and its programs before others."""
    programs = str(Path(interpreter.python).parent)
    kept = {name: value for name, value in task.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environ = {
        **kept,
        "PATH": os.pathsep.join((programs, kept.get("PATH", os.defpath))),
        "VIRTUAL_ENV": str(Path(programs).parent),
    }
    return msgspec.structs.replace(task, sys_path=tuple(dict.fromkeys((task.root, *interpreter.path))), environ=environ)


def _read_outcome(scratch: Path) -> Outcome | None:
    try:
        return msgspec.json.decode((scratch / RESULT).read_bytes(), type=Outcome)
    except FileNotFoundError:
        return None


def _death(end: Exited) -> Failure:
    if end.refused:
        return Failure(kind="Refused", message=end.refused)
    if end.status >= 0:
        return Failure(kind="Died", message=f"Its process ended with status {end.status} and no result.")
    name = signal.Signals(-end.status).name
    hint = " Was the machine out of memory?" if name == "SIGKILL" else ""
    return Failure(kind="Died", message=f"Its process was killed by {name}.{hint}")


def _keep_log(task: Task, scratch: Path) -> str:
    """The digest of what the task printed, the middle left out when it is very long; empty when it was silent."""
    try:
        with (scratch / LOG).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            data = file.read(_LOG_LIMIT)
            if size > _LOG_LIMIT:
                file.seek(max(size - _LOG_LIMIT, _LOG_LIMIT))
                data += b"\n[... %d bytes left out ...]\n" % max(0, size - 2 * _LOG_LIMIT) + file.read()
    except FileNotFoundError:
        return ""
    return str(open_blobs(task.blobs).put(data)) if data else ""
