"""Protocol Buffers, as much of them as reading a message without its schema takes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["BadMessage", "Value", "double_of", "fields", "signed", "text_of"]

Value = int | bytes
"""A varint or a fixed number as an int, anything else as its bytes."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class BadMessage(ValueError):
    """The bytes are no message."""


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message in order: number and value.

    Raises:
        BadMessage: the bytes end within a field, or hold a kind of field that nobody writes.
    Source: https://protobuf.dev/programming-guides/encoding/
    """
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BadMessage(f"a field without a number at byte {place}")
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise BadMessage(f"a field of kind {kind} at byte {place}")
        if size > end - place:
            raise BadMessage(f"a field that ends beyond its message at byte {place}")
        data = message[place : place + size]
        place += size
        yield number, data if kind == BYTES else int.from_bytes(data, "little")


def text_of(value: Value) -> str:
    """A field as text."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def signed(value: Value) -> int:
    """A varint as int64."""
    number = value if isinstance(value, int) else 0
    return number - (1 << 64) if number >= 1 << 63 else number


def double_of(value: Value) -> float:
    """A fixed 64-bit field as a number."""
    found: float = struct.unpack("<d", value.to_bytes(8, "little"))[0] if isinstance(value, int) else 0.0
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    for byte in message[place : place + _LONGEST_VARINT]:
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value & ((1 << 64) - 1), place
        shift += 7
    raise BadMessage(f"a number without an end at byte {place}")
