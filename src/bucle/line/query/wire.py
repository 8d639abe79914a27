"""Wire: what the server and its processes for questions say to each other: each message its length, then its bytes."""

from __future__ import annotations

import socket
import struct
from typing import Literal

import msgspec

from bucle.line.query.answer import Limits

__all__ = ["Asked", "Failed", "Form", "Ready", "Setting", "Told", "receive", "send"]

Form = Literal["arrow", "json"]
"""How the rows are written: an Arrow IPC stream, or a JSON array of objects."""

_LENGTH = struct.Struct("!Q")


class Setting(msgspec.Struct, frozen=True, tag="setting"):
    """What a process is told first; on the wire, since a database's address may hold a password.

    Attributes:
        root: the project's folder.
        database: its address.
        actor: who opened it.
    """

    root: str
    database: str
    actor: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process has opened the project; and again: it has the question."""


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """A question.

    Attributes:
        text: one statement that reads.
        at: where tables are read that name no branch or commit themselves.
        principal: who asks.
        limits: what it may take.
        form: how the rows are to be written.
    """

    text: str
    at: str
    principal: str
    limits: Limits
    form: Form


class Told(msgspec.Struct, frozen=True, tag="told"):
    """Its answer; the rows are the next message.

    Attributes:
        columns: name -> Arrow type.
        commits: table as it was named -> the commit it was read at.
        masked: table as it was named -> its columns that were masked.
        is_cut: whether there are more rows.
        is_spent: whether the process holds on to so much memory that another should take its place.
    """

    columns: dict[str, str]
    commits: dict[str, str]
    masked: dict[str, tuple[str, ...]]
    is_cut: bool
    is_spent: bool = False


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """There is no answer; see `BucleError`."""

    code: str
    what: str
    why: str
    fix: str
    at: str


def send(channel: socket.socket, data: bytes) -> None:
    """Send one message whole."""
    channel.sendall(_LENGTH.pack(len(data)))
    channel.sendall(data)


def receive(channel: socket.socket, most: int) -> bytes | None:
    """The next message; None when the other side is gone, or says what is longer than `most` bytes."""
    header = _exactly(channel, _LENGTH.size)
    if header is None or _LENGTH.unpack(header)[0] > most:
        return None
    return _exactly(channel, _LENGTH.unpack(header)[0])


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        try:
            part = channel.recv(min(count - len(data), 1 << 20))
        except OSError:
            return None
        if not part:
            return None
        data += part
    return bytes(data)
