"""Protocol Buffers' wire format, as far as one must read it to take in others' messages, without any library.

Source: Protocol Buffers Documentation, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["BadProtobuf", "Field", "double", "fields", "signed", "text", "varint"]

Field = tuple[int, int | bytes]
"""A field's number with its value: whole numbers for varints and fixed widths, bytes for all else."""

_FIXED64 = struct.Struct("<Q")
_FIXED32 = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


class BadProtobuf(ValueError):
    """These bytes are no message."""


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in the order they stand there.

    Raises:
        BadProtobuf: it is cut short or holds what no message holds.
    Cost: one copy of the message at each level of nesting.
    """
    place, end = 0, len(data)
    while place < end:
        tag = data[place]
        place += 1
        if tag > 0x7F:
            tag, place = _varint(data, place - 1)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise BadProtobuf("a field has the number 0")
        if kind == _LENGTH:
            size = data[place] if place < end else 0
            place += 1
            if size > 0x7F:
                size, place = _varint(data, place - 1)
            if place + size > end:
                raise BadProtobuf("a field reaches beyond its message")
            yield number, data[place : place + size]
            place += size
        elif kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
        elif kind in (_EIGHT, _FOUR):
            form = _FIXED64 if kind == _EIGHT else _FIXED32
            if place + form.size > end:
                raise BadProtobuf("a number is cut short")
            yield number, form.unpack_from(data, place)[0]
            place += form.size
        else:
            raise BadProtobuf(f"a field is of the kind {kind}, which nobody writes")


def varint(value: int) -> bytes:
    """A number as a varint."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def signed(value: int) -> int:
    """A 64-bit number that was written as if it had no sign."""
    return value - (1 << 64) if value >> 63 else value


def double(bits: int) -> float:
    """A number from the bits of its fixed width."""
    found: float = _DOUBLE.unpack(_FIXED64.pack(bits))[0]
    return found


def text(value: int | bytes) -> str:
    """A text; bytes that are no UTF-8 become replacement characters.

    Raises:
        BadProtobuf: the field holds a number.
    """
    if isinstance(value, int):
        raise BadProtobuf("a number stands where a text should")
    return value.decode("utf-8", "replace")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(place, min(place + 10, len(data))):  # noqa: B020, PLR1704  the place goes on
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return value & 0xFFFFFFFFFFFFFFFF, place + 1
        shift += 7
    raise BadProtobuf("a number never ends")
