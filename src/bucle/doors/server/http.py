"""HTTP as uvicorn speaks it, with two things mended: it takes in headers without end, and sends head and body apart."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_BYTES", "Http"]

HEAD_BYTES = 256 << 10
"""Of the request line and all headers; run ids are listed in addresses by the hundred."""


class Http(HttpToolsProtocol):
    """A connection. A head longer than `HEAD_BYTES` closes it with 400; a short answer goes out in one piece."""

    _is_in_head = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        super().data_received(data)
        if self._is_in_head:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self.send_400_response(f"The head of the request has more than {HEAD_BYTES} bytes.")


class _Gathering:
    """A transport that sends the first thing written together with the second: the head of an answer with its body.

    Two system calls, two packets and two times that the client is woken cost more than a short answer takes to make.
    What nothing follows at once is sent by itself in the loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._first: bytes | None = None
        self._alone: asyncio.Handle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this, with what waits."""
        if self._first is None:
            self._first, self._alone = data, self._loop.call_soon(self._send_alone)
            return
        first, self._first = self._first, None
        if self._alone is not None:
            self._alone.cancel()
        self._transport.writelines((first, data))

    def close(self) -> None:
        """Send what waits, then close."""
        self._send_alone()
        self._transport.close()

    def _send_alone(self) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            self._transport.write(first)
