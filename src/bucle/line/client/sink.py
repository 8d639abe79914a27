"""Sink: where a run in progress puts what it logs: a project on this machine, or a queue for a server."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bucle.ground.project import Project
from bucle.line.client.intake import take_end, take_entry, take_file, take_start
from bucle.line.client.message import End, Entry, Start
from bucle.line.client.queue import Queue
from bucle.line.client.remote import Courier, Server
from bucle.line.tracking import FULL, LONG_TAIL, fold

__all__ = ["ProjectSink", "QueueSink", "Sink"]


class Sink(Protocol):
    """Takes one run; what a call has returned from survives kill -9. Called by one thread at a time."""

    def begin(self, start: Start) -> None:
        """The run begins. Raises: StoreError, UserError: it does not."""
        ...

    def log(self, entry: Entry) -> None:
        """Points, params, tags. Raises: StoreError: nothing of it was kept; try again. UserError: it never will be."""
        ...

    def put(self, path: str, content: bytes | Path) -> None:
        """A file. Raises as `log`."""
        ...

    def sync(self) -> None:
        """Wait until what was taken survives a power cut as well, as far as this place can tell."""
        ...

    def end(self, end: End, timeout_s: float) -> str:
        """The run is over. Returns why not all has arrived where it should; empty when it has."""
        ...


class ProjectSink:
    """A project on this machine.

    Args:
        project: open.
        owned: whether to close it with the run.
    """

    def __init__(self, project: Project, *, owned: bool) -> None:
        self._project = project
        self._owned = owned
        self._run = ""
        self._entries = self._points = 0

    def begin(self, start: Start) -> None:
        """Write the run's row."""
        take_start(self._project, start)
        self._run = start.run

    def log(self, entry: Entry) -> None:
        """Write what was logged; it waits until the database has it."""
        take_entry(self._project, self._run, entry)
        self._entries, self._points = self._entries + 1, self._points + entry.points
        if self._entries >= LONG_TAIL or self._points >= FULL:
            fold(self._project, [self._run])
            self._entries = self._points = 0

    def put(self, path: str, content: bytes | Path) -> None:
        """Keep a file as a blob, and its name under the run."""
        take_file(self._project, self._run, path, content)

    def sync(self) -> None:
        """Nothing: the database has acknowledged it."""

    def end(self, end: End, timeout_s: float) -> str:
        """Write the end and seal the run."""
        take_end(self._project, self._run, end)
        if self._owned:
            self._project.close()
        return ""


class QueueSink:
    """A queue on this machine's disk, and a courier that brings it to a server.

    Args:
        root: where queues stand, see `queue_root`.
        server: the address.
    """

    def __init__(self, root: Path, server: str) -> None:
        self._root = root
        self._server = Server(server)
        self._queue: Queue | None = None
        self._courier: Courier | None = None

    def begin(self, start: Start) -> None:
        """Begin a queue and its courier."""
        self._queue = Queue.begin(self._root, self._server.address, start)
        self._courier = Courier(self._queue, self._server)
        self._courier.wake()

    def log(self, entry: Entry) -> None:
        """Add to the queue."""
        assert self._queue is not None
        assert self._courier is not None
        self._queue.append(entry)
        self._courier.wake()

    def put(self, path: str, content: bytes | Path) -> None:
        """Copy the file beside the queue."""
        assert self._queue is not None
        assert self._courier is not None
        self._queue.put_file(path, content)
        self._courier.wake()

    def sync(self) -> None:
        """Wait for the disk."""
        assert self._queue is not None
        self._queue.sync()

    def end(self, end: End, timeout_s: float) -> str:
        """Add the end, and wait for the courier while the server answers."""
        assert self._queue is not None
        assert self._courier is not None
        self._queue.append(end)
        self._queue.sync()
        arrived = self._courier.finish(timeout_s)
        self._queue.close()
        if not arrived:
            reason = self._courier.error.what if self._courier.error else "It takes long."
            return f"{reason} What is left waits in {self._queue.folder}; deliver it: bucle runs sync"
        refused = self._courier.refused
        return f"{self._server.address} refused {len(refused)} messages: {refused[0]}" if refused else ""
