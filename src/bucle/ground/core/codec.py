"""Records to bytes and back: one canonical form, so that equal values have equal digests."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from bucle.ground.core.errors import UserError

__all__ = ["CorruptRecord", "Record", "decode", "encode", "to_builtins"]

T = TypeVar("T")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False, omit_defaults=False):
    """The parent of every noun: frozen, typed, the same in Python, JSON and on pages."""


class CorruptRecord(UserError):
    """Bytes do not hold the record they should."""

    code = "BU0108"


_ENCODER = msgspec.json.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """Canonical JSON of a record or of plain values: dict keys sorted, fields in their order, no white space, UTF-8.

    Not-a-number and infinities become `null`; instants ISO 8601 in UTC.
    """
    return _ENCODER.encode(value)


def decode(data: bytes | str, kind: type[T], *, what: str = "record") -> T:
    """The record that `encode` wrote.

    Raises:
        CorruptRecord: the bytes are no JSON or not of this kind.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise CorruptRecord(
            f"A {what} cannot be read: {error}.",
            why="It was cut short, edited by hand, or written by a newer version.",
            fix="Run `bucle audit verify` to see what else is damaged.",
        ) from error


def to_builtins(value: object) -> Any:
    """A record as dicts, lists and plain values, as JSON would show it."""
    return msgspec.to_builtins(value)
