"""Names made from content: the same bytes have the same name, everywhere and for ever."""

from __future__ import annotations

from pathlib import Path
from typing import NewType

from blake3 import blake3

from bucle.ground.core.codec import encode

__all__ = ["Digest", "digest_of", "digest_of_file", "digest_of_value", "short"]

Digest = NewType("Digest", str)
"""BLAKE3-256 of some bytes, 64 hexadecimal digits."""

_LONG = 1 << 20
"""A file so long, in bytes, is mapped."""


def digest_of(data: bytes | memoryview) -> Digest:
    """The digest of bytes.

    Source: BLAKE3, https://github.com/BLAKE3-team/BLAKE3-specs, 256-bit output.
    """
    return Digest(blake3(data).hexdigest())


def digest_of_file(path: Path) -> Digest:
    """The digest of a file's content; a long file is read by memory map, with every core.

    Raises:
        OSError: the file cannot be read.
    Cost: one read of the file.
    """
    if path.stat().st_size < _LONG:
        return digest_of(path.read_bytes())
    return Digest(blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest())


def digest_of_value(value: object) -> Digest:
    """The digest of a record's canonical JSON."""
    return digest_of(encode(value))


def short(digest: str) -> str:
    """The first 12 digits: enough for people, unique in any one project."""
    return digest[:12]
