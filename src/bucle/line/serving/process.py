"""Process: the endpoint as a program of its own, started, found and stopped by id."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from bucle.ground.core import Record, decode, encode
from bucle.ground.store import write_atomically
from bucle.line.serving.errors import EndpointFailed, EndpointRunning, NotRunning
from bucle.line.serving.route import endpoint_folder

__all__ = ["Process", "ask", "find_process", "own_endpoint", "start_process", "stop_process"]

_FILE = "process.json"
_START_S = 60.0


class Process(Record, frozen=True):
    """A running endpoint.

    Attributes:
        pid: the process.
        host: the address it listens on.
        port: the TCP port.
        started_at: when it was started, by the machine's clock.
        born: when the system says the process was made; tells it from another one with the same id.
    """

    pid: int
    host: str
    port: int
    started_at: datetime
    born: float

    @property
    def url(self) -> str:
        """Where it answers."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def find_process(state: Path, endpoint: str) -> Process | None:
    """The process that serves an endpoint, or None."""
    file = endpoint_folder(state, endpoint) / _FILE
    try:
        process = decode(file.read_bytes(), Process, what=_FILE)
    except FileNotFoundError:
        return None
    return process if _is_alive(process) else None


def start_process(
    root: Path,
    endpoint: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    command: Sequence[str] = (),
    stay: bool = True,
    timeout_s: float = _START_S,
) -> Process:
    """Start an endpoint's process and wait until it answers; one that runs already is left alone.

    Args:
        root: the project's folder.
        endpoint: its name.
        port: 0 lets the system choose.
        command: what to run instead of `python -m bucle.line.serving`; it is given the same arguments.
        stay: whether it goes on when the caller ends.
        timeout_s: how long to wait.
    Returns:
        The process. It is ready once something was deployed.
    Raises:
        EndpointFailed: it ended or did not answer; its log says why.
    """
    state = root / ".bucle"
    running = find_process(state, endpoint)
    if running is not None:
        return running
    folder = endpoint_folder(state, endpoint)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [*(command or (sys.executable, "-m", "bucle.line.serving")), str(root), endpoint]
    arguments += ["--host", host, "--port", str(port), *([] if stay else ["--with-parent"])]
    log = folder / "server.log"
    since = log.stat().st_size if log.exists() else 0
    pid = _spawn(arguments, log)
    return _wait_for(lambda: find_process(state, endpoint), pid, log, since=since, timeout_s=timeout_s)


def stop_process(state: Path, endpoint: str, *, timeout_s: float = 15.0) -> bool:
    """Stop an endpoint's process: requests under way are answered, its log is closed.

    Returns:
        Whether there was one.
    """
    process = find_process(state, endpoint)
    if process is None:
        return False
    os.kill(process.pid, signal.SIGTERM)
    until = time.monotonic() + timeout_s
    while _is_alive(process):
        if time.monotonic() > until:
            os.kill(process.pid, signal.SIGKILL)
            until = float("inf")
        time.sleep(0.02)
    return True


def ask(process: Process, path: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
    """Ask a running endpoint for something: `/bucle/reload` or `/bucle/rotate`.

    Raises:
        NotRunning: it does not answer.
        EndpointFailed: it refused.
    """
    try:
        answer = httpx.post(f"{process.url}{path}", timeout=timeout_s, trust_env=False)
    except httpx.HTTPError as error:
        raise NotRunning(
            f"The endpoint at {process.url} does not answer: {error}.",
            why="Its process may have ended.",
            fix="bucle serve",
        ) from error
    if answer.status_code != 200:
        raise EndpointFailed(
            f"The endpoint at {process.url} refused {path}: {answer.text[:500]}",
            why="What it served before it goes on serving.",
            fix="See what it says, mend that, and apply again.",
        )
    told: dict[str, Any] = answer.json()
    return told


def own_endpoint(folder: Path) -> int:
    """Take an endpoint for this process until it ends.

    Returns:
        The handle that holds it.
    Raises:
        EndpointRunning: another process serves it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "serve.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise EndpointRunning(
            f"Endpoint {folder.name!r} is served by another process.",
            why="Two would answer from different routes.",
            fix=f"Stop it first: bucle serve {folder.name} --stop",
        ) from error
    return handle


def announce(folder: Path, host: str, port: int) -> None:
    """Say where this process answers."""
    pid = os.getpid()
    process = Process(
        pid=pid, host=host, port=port, started_at=datetime.now(UTC), born=psutil.Process(pid).create_time()
    )
    write_atomically(folder / _FILE, encode(process))


def retract(folder: Path) -> None:
    """Take the announcement back."""
    (folder / _FILE).unlink(missing_ok=True)


def _spawn(arguments: Sequence[str], log: Path) -> int:
    """Start a program in a session of its own, so that a Ctrl-C here does not reach it."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(arguments[0], list(arguments), os.environ, file_actions=actions, setsid=True)


def _wait_for(find: Callable[[], Process | None], pid: int, log: Path, *, since: int, timeout_s: float) -> Process:
    until = time.monotonic() + timeout_s
    ended = False
    while not ended and time.monotonic() < until:
        process = find()
        if process is not None:
            return process
        time.sleep(0.02)
        ended = _reap(pid)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    said = log.read_bytes()[since:].decode(errors="replace").strip()
    raise EndpointFailed(
        f"The endpoint's process {'ended at once' if ended else 'did not answer in time'}.",
        why=said[-600:] or "It said nothing.",
        fix=f"See {log}.",
    )


def _reap(pid: int) -> bool:
    """Whether a child has ended, and was buried; a process of somebody else's is left alone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _is_alive(process: Process) -> bool:
    _reap(process.pid)
    try:
        found = psutil.Process(process.pid)
        return found.status() != psutil.STATUS_ZOMBIE and bool(abs(found.create_time() - process.born) < 1.0)
    except psutil.NoSuchProcess:
        return False
