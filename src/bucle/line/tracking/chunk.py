"""Chunk: points of a curve as bytes, in columns: steps, instants, values.

A column of whole numbers is its first number and the differences, in as few bytes as the widest of them needs; a
column that is constant, or rises by the same amount each time, costs the same however long it is. Values are kept bit
for bit: in four bytes where they came from 32-bit numbers, else in eight.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bucle.ground.core import CorruptRecord

__all__ = [
    "Floats",
    "Ints",
    "Points",
    "chained",
    "decode_points",
    "encode_one",
    "encode_points",
    "merged",
]

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


class Points(NamedTuple):
    """A curve in columns of equal length.

    Attributes:
        steps: int64[n].
        at: int64[n], milliseconds since 1970.
        values: float64[n].
    """

    steps: Ints
    at: Ints
    values: Floats

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many there are."""
        return len(self.steps)

    def part(self, start: int, end: int) -> Points:
        """Those from `start` up to and without `end`."""
        return Points(self.steps[start:end], self.at[start:end], self.values[start:end])


MOST = 1 << 24
"""Points; nobody writes so many at once, and what says it has more was changed."""

SAME, RISING = 0, 1
WIDTHS: dict[int, np.dtype[Any]] = {2: np.dtype("u1"), 3: np.dtype("<u2"), 4: np.dtype("<u4"), 5: np.dtype("<u8")}
SINGLE, DOUBLE = 1, 2

FEW = 16
"""Numbers that are encoded faster one by one than as an array."""

_COUNT = struct.Struct("<I")
_SAME = struct.Struct("<Bq")
_RISING = struct.Struct("<Bqq")
_CONSTANT = struct.Struct("<Bd")
_ONE = struct.Struct("<IBqBqBd")


def encode_points(points: Points) -> bytes:
    """The bytes of a curve; `decode_points` gives it back bit for bit."""
    return b"".join(
        (_COUNT.pack(points.count), _encode_ints(points.steps), _encode_ints(points.at), _encode_floats(points.values))
    )


def encode_one(step: int, at: int, value: float) -> bytes:
    """The bytes of a curve of one point: what `encode_points` gives, without arrays."""
    return _ONE.pack(1, SAME, step, SAME, at, SAME, value)


def decode_points(data: bytes | memoryview) -> Points:
    """The curve that bytes hold.

    Raises:
        CorruptRecord: they hold none.
    """
    try:
        (count,) = _COUNT.unpack_from(data, 0)
        if count > MOST:
            raise ValueError(f"it says it has {count} points")
        steps, place = _decode_ints(data, _COUNT.size, count)
        at, place = _decode_ints(data, place, count)
        values, place = _decode_floats(data, place, count)
        if place != len(data):
            raise ValueError(f"{len(data) - place} bytes are left over")
    except (struct.error, ValueError, LookupError) as error:
        raise CorruptRecord(
            f"A piece of a metric's curve cannot be read: {error}.",
            why="Its bytes were changed since they were written.",
            fix="Run `bucle audit verify` to see what else is damaged.",
        ) from error
    return Points(steps, at, values)


def chained(pieces: Sequence[Points]) -> Points:
    """As `merged`, for pieces that are in order each for itself: mostly each begins where the one before has ended."""
    if len(pieces) == 1:
        return pieces[0]
    if all(_end(before) < _start(after) for before, after in pairwise(pieces)):
        return Points(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
    return merged(pieces)


def _start(points: Points) -> tuple[int, int]:
    return int(points.steps[0]), int(points.at[0])


def _end(points: Points) -> tuple[int, int]:
    return int(points.steps[-1]), int(points.at[-1])


def merged(pieces: Sequence[Points]) -> Points:
    """All points of some curves by step, instant and value, each once; not-a-number is the greatest value."""
    if len(pieces) == 1:
        steps, at, values = pieces[0]
    else:
        steps, at, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if len(steps) < 2:
        return Points(steps, at, values)
    if not _is_strictly_sorted(steps, at):
        order = np.lexsort((values, at, steps))
        steps, at, values = steps[order], at[order], values[order]
        keep = np.ones(len(steps), dtype=bool)
        same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
        keep[1:] = (steps[1:] != steps[:-1]) | (at[1:] != at[:-1]) | ~same
        if not keep.all():
            steps, at, values = steps[keep], at[keep], values[keep]
    return Points(steps, at, values)


def _is_strictly_sorted(steps: Ints, at: Ints) -> bool:
    later, same = steps[1:] > steps[:-1], steps[1:] == steps[:-1]
    return bool(np.all(later | (same & (at[1:] > at[:-1]))))


def _encode_ints(column: Ints) -> bytes:
    if len(column) <= FEW:
        return _encode_few_ints(column.tolist())
    # Modulo 2**64, so that the way from the least to the greatest number is a difference like any other.
    steps = np.diff(column.view(np.uint64)).view(np.int64)
    least, greatest = int(steps.min()), int(steps.max())
    if least == greatest:
        return _SAME.pack(SAME, int(column[0])) if least == 0 else _RISING.pack(RISING, int(column[0]), least)
    spread = greatest - least
    kind = 2 if spread < 1 << 8 else 3 if spread < 1 << 16 else 4 if spread < 1 << 32 else 5
    offsets = steps.view(np.uint64) - np.uint64(least % (1 << 64))
    return _RISING.pack(kind, int(column[0]), least) + offsets.astype(WIDTHS[kind]).tobytes()


def _encode_few_ints(numbers: list[int]) -> bytes:
    """As `_encode_ints`, without arrays: for so few numbers they cost more than the numbers do."""
    if len(numbers) < 2:
        return _SAME.pack(SAME, numbers[0] if numbers else 0)
    steps = [(after - before + (1 << 63)) % (1 << 64) - (1 << 63) for before, after in pairwise(numbers)]
    least = min(steps)
    spread = max(steps) - least
    if spread == 0:
        return _SAME.pack(SAME, numbers[0]) if least == 0 else _RISING.pack(RISING, numbers[0], least)
    kind = 2 if spread < 1 << 8 else 3 if spread < 1 << 16 else 4 if spread < 1 << 32 else 5
    offsets = struct.pack(f"<{len(steps)}{'BHIQ'[kind - 2]}", *(step - least for step in steps))
    return _RISING.pack(kind, numbers[0], least) + offsets


def _decode_ints(data: bytes | memoryview, place: int, count: int) -> tuple[Ints, int]:
    kind = data[place]
    if kind == SAME:
        _, first = _SAME.unpack_from(data, place)
        return np.full(count, first, dtype=np.int64), place + _SAME.size
    _, first, least = _RISING.unpack_from(data, place)
    place += _RISING.size
    start, stride = np.uint64(first % (1 << 64)), np.uint64(least % (1 << 64))
    if kind == RISING:
        return (np.arange(count, dtype=np.uint64) * stride + start).view(np.int64), place
    width = WIDTHS[kind]
    column = np.empty(count, dtype=np.uint64)
    column[0] = start
    np.add(np.frombuffer(data, dtype=width, count=count - 1, offset=place), stride, out=column[1:], dtype=np.uint64)
    np.cumsum(column, out=column)
    return column.view(np.int64), place + (count - 1) * width.itemsize


def _encode_floats(column: Floats) -> bytes:
    if len(column) <= FEW:
        return _encode_few_floats(column)
    bits = column.view(np.int64)
    if len(column) and bool(np.all(bits == bits[0])):
        return _CONSTANT.pack(SAME, float(column[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        short = column.astype("<f4")
    if bool(np.array_equal(short.astype(np.float64).view(np.int64), bits)):
        return bytes([SINGLE]) + short.tobytes()
    return bytes([DOUBLE]) + column.astype("<f8").tobytes()


def _encode_few_floats(column: Floats) -> bytes:
    numbers, exact = column.tolist(), column.astype("<f8").tobytes()
    if numbers and exact == exact[:8] * len(numbers):
        return _CONSTANT.pack(SAME, numbers[0])
    try:
        short = struct.pack(f"<{len(numbers)}f", *numbers)
    except OverflowError:  # one is too large for 32 bits
        return bytes([DOUBLE]) + exact
    widened = struct.pack(f"<{len(numbers)}d", *struct.unpack(f"<{len(numbers)}f", short))
    return bytes([SINGLE]) + short if widened == exact else bytes([DOUBLE]) + exact


def _decode_floats(data: bytes | memoryview, place: int, count: int) -> tuple[Floats, int]:
    kind = data[place]
    if kind == SAME:
        _, value = _CONSTANT.unpack_from(data, place)
        return np.full(count, value, dtype=np.float64), place + _CONSTANT.size
    if kind not in (SINGLE, DOUBLE):
        raise ValueError(f"there is no column of kind {kind}")
    width: np.dtype[Any] = np.dtype("<f4" if kind == SINGLE else "<f8")
    column = np.frombuffer(data, dtype=width, count=count, offset=place + 1)
    return column.astype(np.float64, copy=False), place + 1 + count * width.itemsize
