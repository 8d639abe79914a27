"""Zygote: a process with one thread that has loaded the heavy modules and forks a fresh process for each task.

The engine's own process is never forked: its threads (database pools, Polars, a web server) would leave locks held for
ever in the child. The zygote computes nothing, so the libraries it has loaded have not started their thread pools yet.

Nothing outlives the engine: the zygote sees its end by its socket and its pid, kills every task's process group
and ends. A task's process is killed by the kernel when the zygote ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import warnings
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

import msgspec

from bucle.ground.core import digest_of
from bucle.line.pipelines import worker
from bucle.line.pipelines.task import Task
from bucle.line.pipelines.wire import Exited, Kill, Order, Start, Started, receive, send

__all__ = ["serve"]

_DIE_WITH_PARENT = 1
_ADOPT_ORPHANS = 36


def serve(handle: int, engine: int) -> None:
    """Fork processes for an engine until it is gone.

    Args:
        handle: the file descriptor of the socket to the engine.
        engine: the engine's process id.
    """
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=r".*fork\(\).*")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # What is loaded by now lives as long as this process. Frozen, the children's garbage collector does not touch it,
    # and so does not copy its pages: 5 ms of processor instead of 66 for a collection.
    gc.collect()
    gc.freeze()
    zygote = _Zygote(socket.socket(fileno=handle), engine)
    try:
        zygote.run()
    finally:
        zygote.kill_all()


class _Zygote:
    def __init__(self, channel: socket.socket, engine: int) -> None:
        self._channel = channel
        self._tasks: dict[int, str] = {}
        self._codes: dict[tuple[str, str], CodeType] = {}
        self._tried: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)
        self._bell, ring = socket.socketpair()
        for end in (self._bell, ring):
            end.setblocking(False)
        self._ring = ring
        signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._engine = _watch(engine)
        if self._engine is not None:
            self._selector.register(self._engine, selectors.EVENT_READ)
        self._libc = ctypes.CDLL(None, use_errno=True)
        _prctl(self._libc, _ADOPT_ORPHANS, 1)
        self._own_pid = os.getpid()

    def run(self) -> None:
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._engine in ready:
                return
            if self._bell in ready:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(4096)
            self._reap()
            if self._channel in ready:
                data = receive(self._channel)
                if data is None:
                    return
                self._obey(msgspec.json.decode(data, type=Order))

    def kill_all(self) -> None:
        """Kill every task's processes, and what they cut loose: that becomes our child when its own parent is dead."""
        with contextlib.suppress(ChildProcessError):
            while True:
                for pid in (*self._tasks, *_children()):
                    _kill_group(pid)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self._tasks.pop(os.waitpid(-1, 0)[0], None)

    def _obey(self, order: Order) -> None:
        if isinstance(order, Kill):
            for pid, task in self._tasks.items():
                if task == order.id:
                    _kill_group(pid)
            return
        try:
            self._prepare(order.task)
            pid = self._fork(order)
        except (OSError, SyntaxError, ValueError) as error:
            self._tell(Exited(order.task.id, 1, refused=str(error)))
            return
        self._tasks[pid] = order.task.id
        self._tell(Started(order.task.id, pid))

    def _prepare(self, task: Task) -> None:
        """Load what tasks share: installed modules, and the project's code, compiled from the very bytes asked for."""
        if sys.path != list(task.sys_path):
            sys.path[:] = task.sys_path
        fresh = [name for name in task.imports if name not in self._tried]
        for name in fresh:
            self._tried.add(name)
            # A module that cannot be imported fails again in the task, where the error belongs.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if fresh:
            gc.collect()
            gc.freeze()
        for file, digest in task.sources.items():
            if (file, digest) in self._codes:
                continue
            data = Path(file).read_bytes()
            if digest_of(data) != digest:
                raise ValueError(f"{file} was changed while the execution ran")
            self._codes[file, digest] = compile(data, file, "exec", dont_inherit=True)

    def _fork(self, order: Start) -> int:
        codes = {file: self._codes[file, digest] for file, digest in order.task.sources.items()}
        pid = os.fork()
        if pid == 0:
            self._become(order, codes)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid

    def _become(self, order: Start, codes: dict[str, CodeType]) -> NoReturn:
        """The child's life."""
        try:
            _prctl(self._libc, _DIE_WITH_PARENT, signal.SIGKILL)
            if os.getppid() != self._own_pid:
                os._exit(1)
            with contextlib.suppress(OSError):
                os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for end in (self._channel, self._bell, self._ring):
                end.close()
            if self._engine is not None:
                os.close(self._engine)
            worker.perform(order.task, codes)
            os._exit(0)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        """Tell of every task that has ended, after what it left running is killed too."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self._tasks:
                _kill_group(ended.si_pid)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            task = self._tasks.pop(pid, None)
            self._kill_strays()
            if task is not None:
                cpu = usage.ru_utime + usage.ru_stime
                self._tell(Exited(task, os.waitstatus_to_exitcode(status), cpu, usage.ru_maxrss / 1024))

    def _kill_strays(self) -> None:
        """When no task runs, whatever is still a child of ours was cut loose by one that has ended."""
        if not self._tasks:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _tell(self, report: Started | Exited) -> None:
        # The engine may be gone; then its socket says so in `run`.
        with contextlib.suppress(OSError):
            send(self._channel, report)


def _watch(pid: int) -> int | None:
    """A descriptor that is ready when the process ends; None where the system has none."""
    opener: Any = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if sys.platform == "linux":
        libc.prctl(option, value, 0, 0, 0)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _children() -> list[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(pid) for pid in text.split()]
