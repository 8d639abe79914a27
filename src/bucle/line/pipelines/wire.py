"""The talk between the engine and the zygote: length, then one JSON message."""

from __future__ import annotations

import socket
import struct

import msgspec

from bucle.line.pipelines.task import Task

__all__ = ["Exited", "Kill", "Order", "Report", "Start", "Started", "receive", "send"]

_LENGTH = struct.Struct(">I")


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Start a process for a task."""

    task: Task


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Kill a task's processes."""

    id: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """A task's process exists."""

    id: str
    pid: int


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """A task's processes are gone.

    Attributes:
        id: the task.
        status: the exit status; negative for the signal that killed it.
        cpu_s: processor seconds of the process and the children it waited for.
        memory_mb: its peak resident memory.
        refused: why no process was started; empty when one was.
    """

    id: str
    status: int
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    refused: str = ""


Order = Start | Kill
Report = Started | Exited


def send(channel: socket.socket, message: Order | Report) -> None:
    """Send one message whole."""
    data = msgspec.json.encode(message)
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive(channel: socket.socket) -> bytes | None:
    """The next message's bytes; None when the other side is gone."""
    header = _exactly(channel, _LENGTH.size)
    return None if header is None else _exactly(channel, _LENGTH.unpack(header)[0])


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        try:
            chunk = channel.recv(min(count - len(data), 1 << 20))
        except (ConnectionError, OSError):
            return None
        if not chunk:
            return None
        data += chunk
    return bytes(data)
