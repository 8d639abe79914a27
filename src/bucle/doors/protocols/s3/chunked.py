"""Chunked: a body that comes in chunks which bear their length and, if they are signed, a signature each.

    400;chunk-signature=…  CR LF  1,024 bytes  CR LF  …  0;chunk-signature=…  CR LF  trailers  CR LF

Each signature goes on from the one before, so no chunk can be changed, moved or left out.

Source: Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
Chunks", and "…: Including Trailing Headers".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from bucle.doors.protocols.s3.errors import S3Error, denied, invalid
from bucle.doors.protocols.s3.signature import ALGORITHM, Signed

__all__ = ["SIGNED", "SIGNED_TRAILER", "UNSIGNED_TRAILER", "Chunked", "Plain"]

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

_HEAD = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?")
_LONGEST_LINE = 4096
_MOST_TRAILERS = 20
_EMPTY = hashlib.sha256(b"").hexdigest()
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class Plain:
    """A body as it is.

    Attributes:
        trailers: none.
    """

    def __init__(self) -> None:
        self.trailers = dict[str, str]()

    def feed(self, data: bytes) -> Iterator[bytes | memoryview]:
        """What of the content is in the bytes that came."""
        yield data

    def end(self) -> None:
        """Nothing more comes."""


class Chunked:
    """A body in chunks.

    Args:
        signed: what the signatures go on from; None when the chunks bear none.
        has_trailer: whether headers follow the last chunk.
    Attributes:
        trailers: those headers, with names in lower case; whole after `end`.
    """

    def __init__(self, signed: Signed | None, *, has_trailer: bool) -> None:
        self.trailers = dict[str, str]()
        self._signed = signed
        self._has_trailer = has_trailer
        self._before = signed.signature if signed else ""
        self._claimed = ""
        self._sum = hashlib.sha256()
        self._line = b""
        self._left = 0
        self._state = "head"

    def feed(self, data: bytes) -> Iterator[bytes | memoryview]:
        """What of the content is in the bytes that came.

        Raises:
            S3Error: they are no chunks, or a signature is wrong; what came from here before is not to be used.
        """
        view = memoryview(data)
        while view:
            if self._state == "data":
                piece = view[: self._left]
                view = view[len(piece) :]
                self._left -= len(piece)
                if self._signed is not None:
                    self._sum.update(piece)
                if not self._left:
                    self._check_chunk()
                    self._state = "gap"
                yield piece
            else:
                view = self._take_line(view)

    def end(self) -> None:
        """Nothing more comes. Raises S3Error: the body was not whole, or its trailers' signature is wrong."""
        if self._state not in ("trailers", "done"):
            raise invalid("The body ends before its last chunk.", "IncompleteBody")
        if self._signed is not None and self._has_trailer:
            told = "".join(f"{name}:{value}\n" for name, value in self.trailers.items() if name != _TRAILER_SIGNATURE)
            digest = hashlib.sha256(told.encode()).hexdigest()
            self._check(self.trailers.get(_TRAILER_SIGNATURE, ""), f"{ALGORITHM}-TRAILER", digest)

    def _take_line(self, view: memoryview) -> memoryview:
        """Read on until the line in hand is whole, and do what it says."""
        data = bytes(view[: _LONGEST_LINE + 2])
        end = (self._line[-1:] + data).find(b"\r\n")
        if end < 0:
            self._line += data
            if len(self._line) > _LONGEST_LINE:
                raise _bad("a line has no end")
            return view[len(data) :]
        taken = end + 2 - len(self._line[-1:])
        line, self._line = (self._line + data[:taken])[:-2], b""
        self._do(line)
        return view[taken:]

    def _do(self, line: bytes) -> None:
        if self._state == "head":
            self._begin_chunk(line)
        elif self._state == "gap":
            if line:
                raise _bad("a chunk is longer than it says")
            self._state = "head"
        elif self._state == "trailers":
            self._take_trailer(line)
        else:
            raise _bad("it goes on after its end")

    def _begin_chunk(self, line: bytes) -> None:
        found = _HEAD.fullmatch(line)
        if found is None:
            raise _bad("a chunk does not say how long it is")
        self._left, self._claimed = int(found[1], 16), (found[2] or b"").decode()
        self._sum = hashlib.sha256()
        if self._left:
            self._state = "data"
            return
        self._check_chunk()
        self._state = "trailers"

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._state = "done"
            return
        name, _, value = line.decode("latin-1").partition(":")
        if len(self.trailers) >= _MOST_TRAILERS:
            raise _bad("it has too many trailers")
        self.trailers[name.strip().lower()] = value.strip()

    def _check_chunk(self) -> None:
        if self._signed is not None:
            self._check(self._claimed, f"{ALGORITHM}-PAYLOAD", _EMPTY, self._sum.hexdigest())

    def _check(self, claimed: str, *told: str) -> None:
        assert self._signed is not None
        text = "\n".join((told[0], self._signed.time, self._signed.scope, self._before, *told[1:]))
        made = hmac.new(self._signed.key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(made, claimed):
            raise denied(
                "The signature of a chunk does not match: it was changed, or signed by another.",
                "SignatureDoesNotMatch",
            )
        self._before = made


def _bad(why: str) -> S3Error:
    return invalid(f"The body is not chunked as it says: {why}.", "InvalidRequest")
