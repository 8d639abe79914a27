"""HTTP as uvicorn reads it, with a bound on what stands before a body: by itself it takes in headers without end."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_BYTES", "BoundedHttp"]

HEAD_BYTES = 256 << 10
"""Of the request line and all headers; run ids are listed in addresses by the hundred."""


class BoundedHttp(HttpToolsProtocol):
    """A connection that is closed with 400 once a request's head is longer than `HEAD_BYTES`."""

    _is_in_head = False
    _head = 0

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
