"""Body: what a client sends, handed from the event loop to the thread that keeps it, with a bound on what waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition

from starlette.types import Receive

from bucle.doors.protocols.s3.checks import SHA256, Checks
from bucle.doors.protocols.s3.chunked import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, Chunked, Plain
from bucle.doors.protocols.s3.errors import S3Error, invalid
from bucle.doors.protocols.s3.signature import UNSIGNED, Signed

__all__ = ["SMALL", "Body", "Pipe", "body_of"]

SMALL = 1 << 20
"""A body of this length or less is taken in whole before a thread is asked for."""

IDLE_S = 60.0
"""A client that sends nothing for so long is not waited for: its request keeps sweeps and others waiting."""

_WAITING = 4 << 20
"""So many bytes of a long body wait for the thread at most."""


class Body:
    """The content of a request's body, read and compared by the thread that keeps it.

    Args:
        raw: gives the next bytes as they came; b'' at the end.
        form: takes them out of their chunks.
        checks: what is compared.
        length: how long the content is said to be; None when nothing was said.
        most: bytes it may have.
    """

    def __init__(
        self, raw: Callable[[], bytes], form: Plain | Chunked, checks: Checks, length: int | None, most: int
    ) -> None:
        self._raw = raw
        self._form = form
        self._checks = checks
        self._length = length
        self._most = most
        self._ready = deque[bytes | memoryview]()
        self._count = 0
        self._is_over = False
        if length is not None and length > most:
            raise _too_large(most)

    @property
    def checksum(self) -> dict[str, str]:
        """See `Checks.checksum`."""
        return self._checks.checksum

    @property
    def is_short(self) -> bool:
        """Whether it is said to be so short that it may be whole in memory."""
        return self._length is not None and self._length <= SMALL

    def readinto(self, view: memoryview) -> int:
        """Fill a buffer, as files do; 0 only at the end, when all of it was compared.

        Raises:
            S3Error: the body is not what the client says, or the client went away.
        """
        while not self._ready:
            if self._is_over:
                return 0
            self._read()
        piece = self._ready.popleft()
        count = min(len(piece), len(view))
        view[:count] = piece[:count]
        if count < len(piece):
            self._ready.appendleft(memoryview(piece)[count:])
        return count

    def whole(self, most: int = SMALL) -> bytes:
        """All of a short one. Raises S3Error: as for `readinto`; or it is longer."""
        while not self._is_over:
            self._read()
            if self._count > most:
                raise _too_large(most)
        made = b"".join(self._ready)
        self._ready.clear()
        return made

    def _read(self) -> None:
        data = self._raw()
        if not data:
            self._end()
            return
        for piece in self._form.feed(data):
            self._count += len(piece)
            if self._count > self._most:
                raise _too_large(self._most)
            self._checks.update(piece)
            self._ready.append(piece)

    def _end(self) -> None:
        self._form.end()
        if self._length is not None and self._count != self._length:
            raise invalid(f"The body has {self._count} bytes, and was said to have {self._length}.", "IncompleteBody")
        self._checks.compare(self._form.trailers)
        self._is_over = True


def body_of(raw: Callable[[], bytes], headers: Mapping[str, str], signed: Signed | None, most: int) -> Body:
    """The body of a request, as its headers say it comes.

    Raises:
        S3Error: they say what cannot be.
    """
    payload = signed.payload if signed else headers.get("x-amz-content-sha256", UNSIGNED)
    if not payload.startswith("STREAMING-"):
        if payload != UNSIGNED and not SHA256.fullmatch(payload):
            raise invalid("x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a SHA-256 in hexadecimal.")
        return Body(raw, Plain(), Checks(headers, payload), _number(headers, "content-length"), most)
    if payload not in (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER) or (signed is None and payload != UNSIGNED_TRAILER):
        raise invalid(f"A body cannot be signed as {payload[:60]!r}.", "InvalidRequest")
    form = Chunked(None if payload == UNSIGNED_TRAILER else signed, has_trailer=payload != SIGNED)
    return Body(raw, form, Checks(headers, ""), _number(headers, "x-amz-decoded-content-length"), most)


class Pipe:
    """Bytes on their way from the event loop to a thread.

    Args:
        receive: gives the body's messages.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._there = Condition()
        self._pieces = deque[bytes]()
        self._size = 0
        self._is_over = False
        self._problem: S3Error | None = None

    async def pump(self) -> None:
        """Hand over all that comes, no more than a few megabytes ahead of the thread."""
        try:
            more = True
            while more:
                while self._size > _WAITING:
                    self._room.clear()
                    if self._size > _WAITING:
                        await self._room.wait()
                try:
                    message = await asyncio.wait_for(self._receive(), IDLE_S)
                except TimeoutError:
                    said = f"Nothing of the body came for {IDLE_S:g} seconds."
                    self._problem = S3Error(400, "RequestTimeout", said)
                    return
                if message["type"] == "http.disconnect":
                    self._problem = invalid("The client went away before its request was whole.", "IncompleteBody")
                    return
                more = message.get("more_body", False)
                self._put(message.get("body", b""))
        finally:
            with self._there:
                self._is_over = True
                self._there.notify()

    def get(self) -> bytes:
        """The next bytes, waited for by the thread; b'' at the end. Raises S3Error: the client went away."""
        with self._there:
            while not self._pieces and not self._is_over:
                self._there.wait()
            if not self._pieces:
                if self._problem is not None:
                    raise self._problem
                return b""
            piece = self._pieces.popleft()
            self._size -= len(piece)
        if self._size <= _WAITING // 2:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece

    def _put(self, piece: bytes) -> None:
        if piece:
            with self._there:
                self._pieces.append(piece)
                self._size += len(piece)
                self._there.notify()


def _number(headers: Mapping[str, str], name: str) -> int | None:
    given = headers.get(name)
    if given is None:
        return None
    if not (given.isdecimal() and given.isascii() and len(given) < 16):
        raise invalid(f"The header {name} is no number of bytes.")
    return int(given)


def _too_large(most: int) -> S3Error:
    return invalid(f"The body has more than {most} bytes.", "EntityTooLarge")
