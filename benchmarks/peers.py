"""The servers the tracking benchmarks compare, each a real process on a port of its own, and one client for all."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

PATIENCE_S = 180
API = "/api/2.0/mlflow"


class Peer(NamedTuple):
    """A server that runs."""

    name: str
    port: int
    pid: int
    folder: Path


class Client:
    """One connection that is kept open; nothing but what HTTP/1.1 needs, so that the server is what is measured."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting = b""

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The answer's body; anything but 200 is an error."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        while (end := self._waiting.find(b"\r\n\r\n")) < 0:
            self._receive()
        head_bytes, self._waiting = self._waiting[:end].lower(), self._waiting[end + 4 :]
        answer = self._chunked() if b"chunked" in head_bytes else self._exactly(_length(head_bytes))
        if not head_bytes.startswith(b"http/1.1 200"):
            raise RuntimeError(f"{method} {path}: {head_bytes[:40]!r} {answer[:300]!r}")
        return answer

    def post(self, path: str, body: Any) -> Any:
        """The answer to a JSON body, decoded."""
        return json.loads(self.call("POST", API + path, json.dumps(body).encode()) or b"{}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the server hung up")
        self._waiting += data

    def _exactly(self, count: int) -> bytes:
        parts, have = [self._waiting], len(self._waiting)
        while have < count:
            parts.append(self._socket.recv(1 << 20))
            have += len(parts[-1])
        whole = b"".join(parts)
        self._waiting = whole[count:]
        return whole[:count]

    def _chunked(self) -> bytes:
        body = b""
        while True:
            while (end := self._waiting.find(b"\r\n")) < 0:
                self._receive()
            size, self._waiting = int(self._waiting[:end], 16), self._waiting[end + 2 :]
            body += self._exactly(size)
            self._exactly(2)
            if not size:
                return body


def _length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n")[0]) if found else 0


@contextlib.contextmanager
def mlflow_server(folder: Path, *options: str, name: str, jobs: bool = False) -> Iterator[Peer]:
    """`mlflow server` on SQLite."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"), "--port", str(port), *options,
    ]  # fmt: skip
    surroundings = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true" if jobs else "false"}
    with _running(command, folder, surroundings) as process:
        yield Peer(name, _when_ready(port, process), process.pid, folder)


@contextlib.contextmanager
def bucle_server(folder: Path, name: str = "bucle") -> Iterator[Peer]:
    """`bucle up` on SQLite, as anybody starts it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "bucle.toml").exists():
        (folder / "bucle.toml").write_text('[project]\nname = "bench"\n')
    port = free_port()
    command = [sys.executable, "-m", "bucle", "up", "--port", str(port)]
    with _running(command, folder, dict(os.environ)) as process:
        yield Peer(name, _when_ready(port, process), process.pid, folder)


@contextlib.contextmanager
def noop_server(folder: Path) -> Iterator[Peer]:
    """Uvicorn with an application that reads the body and says the same to everybody: the limit of Python and HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "noop.py").write_text(NOOP)
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "noop:app", "--port", str(port), "--log-level", "warning",
        "--http", "httptools", "--loop", "uvloop", "--no-access-log", "--lifespan", "off",
    ]  # fmt: skip
    with _running(command, folder, dict(os.environ)) as process:
        yield Peer("no-op", _when_ready(port, process), process.pid, folder)


NOOP = """
import msgspec
async def app(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if body:
        msgspec.json.decode(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
"""


@contextlib.contextmanager
def _running(command: list[str], folder: Path, surroundings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=surroundings, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _when_ready(port: int, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, RuntimeError):
            client = Client(port)
            client.call("GET", "/health")
            client.close()
            return port
        time.sleep(0.1)
    raise RuntimeError(f"no server came up on port {port}; see server.log")


def free_port() -> int:
    """A port nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def memory(pid: int) -> tuple[int, float, float]:
    """Processes of a tree, their resident memory and their proportional share of it, in MB."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    parts = [process.memory_full_info() for process in tree]
    return len(tree), sum(part.rss for part in parts) / 1e6, sum(part.pss for part in parts) / 1e6


def rate(port: int, clients: int, seconds: float, make: Callable[[Client, int], Callable[[int], None]]) -> list[float]:
    """Seconds each call took, by so many connections at once.

    Args:
        make: given a connection and its number, prepares it and returns what is called again and again.
    """
    took: list[float] = []
    begin = threading.Barrier(clients)

    def work(number: int) -> None:
        client = Client(port)
        call = make(client, number)
        call(0)
        begin.wait()
        until, count = time.perf_counter() + seconds, 0
        while (started := time.perf_counter()) < until:
            count += 1
            call(count)
            took.append(time.perf_counter() - started)
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def p50_ms(call: Callable[[], object], times: int = 15) -> float:
    """The middle of so many calls, after one that warms up."""
    call()
    took = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        took.append((time.perf_counter() - started) * 1e3)
    return sorted(took)[len(took) // 2]


def raw_sqlite_rows(folder: Path, seconds: float = 2.0) -> float:
    """Rows a second that SQLite itself takes: points in transactions of a thousand, WAL, as bare as Python can."""
    path = folder / "raw.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE points (run TEXT, key TEXT, step INTEGER, at INTEGER, value REAL)")
    rows = [("4f1c" * 8, "loss", step, 1700000000000 + step, 0.5) for step in range(1000)]
    count, until = 0, time.perf_counter() + seconds
    started = time.perf_counter()
    while time.perf_counter() < until:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        count += len(rows)
    took = time.perf_counter() - started
    connection.close()
    path.unlink()
    return count / took


def bytes_on_disk(folder: Path, *names: str) -> int:
    """What a database takes, its log included."""
    return sum(file.stat().st_size for name in names for file in folder.glob(f"{name}*"))


def machine() -> str:
    """What all was measured on."""
    import mlflow

    return (
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{psutil.virtual_memory().total >> 30} GB; Python {platform.python_version()}, mlflow {mlflow.__version__}, "
        f"SQLite {sqlite3.sqlite_version}; disk {shutil.disk_usage('.').free >> 30} GB free"
    )
