"""Checks: what a client says of a body, compared with what came."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from bucle.doors.protocols.s3.crc import CRC32C, CRC64NVME, Crc
from bucle.doors.protocols.s3.errors import invalid

__all__ = ["NO_SUM", "PREFIX", "SHA256", "Checks"]

PREFIX = "x-amz-checksum-"
SHA256 = re.compile(r"[0-9a-f]{64}")
NO_SUM = {"x-amz-checksum-mode", "x-amz-checksum-algorithm", "x-amz-checksum-type"}


class _Sum(Protocol):
    def update(self, data: bytes | memoryview, /) -> object: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: bytes | memoryview) -> None:
        self._sum = zlib.crc32(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")


def _sum_of(algorithm: str) -> _Sum:
    if algorithm == "crc32":
        return _Crc32()
    if algorithm == "crc32c":
        return Crc(CRC32C, 32)
    if algorithm == "crc64nvme":
        return Crc(CRC64NVME, 64)
    if algorithm in ("sha1", "sha256"):
        return hashlib.new(algorithm, usedforsecurity=False)
    raise invalid(f"The checksum {algorithm[:40]!r} is not known.", "InvalidRequest")


class Checks:
    """Everything a request's headers, and the trailers they announce, say of its body.

    Args:
        headers: names in lower case.
        payload: as it was signed: a SHA-256 is compared, anything else is no digest.
    Raises:
        S3Error: a digest is none.
    Attributes:
        checksum: name and value of the S3 checksum that was compared, for the answer; empty before `compare`.
    """

    def __init__(self, headers: Mapping[str, str], payload: str) -> None:
        self.checksum = dict[str, str]()
        self._sums = dict[str, tuple[_Sum, bytes]]()
        self._late = dict[str, _Sum]()
        if "content-md5" in headers:
            self._sums["content-md5"] = hashlib.md5(usedforsecurity=False), _bytes_of(headers["content-md5"], 16)
        if SHA256.fullmatch(payload):
            self._sums["x-amz-content-sha256"] = hashlib.sha256(), bytes.fromhex(payload)
        for name, value in headers.items():
            if name.startswith(PREFIX) and name not in NO_SUM:
                made = _sum_of(name.removeprefix(PREFIX))
                self._sums[name] = made, _bytes_of(value, len(made.digest()))
        for name in headers.get("x-amz-trailer", "").lower().split(","):
            if name.strip().startswith(PREFIX):
                self._late[name.strip()] = _sum_of(name.strip().removeprefix(PREFIX))

    def update(self, data: bytes | memoryview) -> None:
        """More of the body."""
        for made, _ in self._sums.values():
            made.update(data)
        for late in self._late.values():
            late.update(data)

    def passing(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """The same pieces, looked at as they pass."""
        for piece in pieces:
            self.update(piece)
            yield piece

    def compare(self, trailers: Mapping[str, str]) -> None:
        """Refuse a body that is not what the client says it sent. Raises S3Error."""
        for name, late in self._late.items():
            if name not in trailers:
                raise invalid(f"The trailer {name} was announced and did not come.", "MalformedTrailerError")
            self._sums[name] = late, _bytes_of(trailers[name], len(late.digest()))
        for name, (made, told) in self._sums.items():
            if made.digest() != told:
                code = "XAmzContentSHA256Mismatch" if name == "x-amz-content-sha256" else "BadDigest"
                raise invalid(f"The body is not what {name} says: it was changed or cut on its way.", code)
            if name.startswith(PREFIX):
                self.checksum[name] = base64.b64encode(told).decode()


def _bytes_of(text: str, length: int) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != length:
        raise invalid(f"{text[:100]!r} is no digest of {length} bytes in base64.", "InvalidDigest")
    return found
