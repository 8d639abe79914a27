"""Fields of a message whose schema is only partly known: a value of another kind than expected is taken as it is."""

from __future__ import annotations

from bucle.ground.core import protobuf

__all__ = ["Value", "double_of", "signed", "text_of"]

Value = int | bytes
"""A varint or a fixed number as an int, anything else as its bytes."""


def text_of(value: Value) -> str:
    """A field as text."""
    return protobuf.text(value) if isinstance(value, bytes) else str(value)


def signed(value: Value) -> int:
    """A varint as int64."""
    return protobuf.signed(value) if isinstance(value, int) else 0


def double_of(value: Value) -> float:
    """A fixed 64-bit field as a number."""
    return protobuf.double(value) if isinstance(value, int) else 0.0
