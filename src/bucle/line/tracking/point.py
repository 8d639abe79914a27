"""Point: a value a metric had; and batches of them on their way to the database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bucle.ground.core import CorruptRecord
from bucle.line.tracking.chunk import Points, decode_points, encode_one, encode_points
from bucle.line.tracking.errors import BadMetric

__all__ = ["LEAST", "Batch", "Point", "batch_of", "columns_of", "pack", "pack_singles", "unpack"]

LEAST, GREATEST = -(1 << 63), (1 << 63) - 1
"""What a step or an instant may be."""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A value a metric had.

    Attributes:
        key: the metric.
        value: a number, infinite or none.
        at: milliseconds since 1970, int64.
        step: its place in the curve, int64.
    """

    key: str
    value: float
    at: int
    step: int = 0


class Batch(NamedTuple):
    """Points of several metrics, ready to be written.

    Attributes:
        keys: the metrics.
        counts: how many points each has.
        body: all their points as bytes, metric after metric, each in order of step, instant and value.
        summaries: what there is to know of each without its curve, as columns of `run_metrics`.
    """

    keys: Sequence[str]
    counts: Sequence[int]
    body: bytes
    summaries: Sequence[Mapping[str, Any]]


def batch_of(points: Sequence[Point]) -> Batch:
    """Points as a batch.

    Raises:
        BadMetric: a value is no number, or a step or an instant does not fit into 64 bits.
    """
    if len(points) == 1:
        return _single(points[0])
    codes: dict[str, int] = {}
    places = [codes.setdefault(point.key, len(codes)) for point in points]
    try:
        steps = np.array([point.step for point in points], dtype=np.int64)
        at = np.array([point.at for point in points], dtype=np.int64)
        values = np.array([point.value for point in points], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise _first_bad(points) from error
    return _batched(list(codes), np.array(places, dtype=np.int64), Points(steps, at, values))


def columns_of(columns: Mapping[str, Points]) -> Batch:
    """Whole curves as a batch."""
    keys = list(columns)
    places = np.repeat(np.arange(len(keys)), [columns[key].count for key in keys])
    parts = list(columns.values())
    steps, at, values = (np.concatenate([part[which] for part in parts]) for which in range(3))
    return _batched(keys, places, Points(steps.astype(np.int64), at.astype(np.int64), values.astype(np.float64)))


def pack(batch: Batch, numbers: Mapping[str, int]) -> bytes:
    """The batch as a row of the tail: the numbers of its metrics, how many points each has, the points."""
    return _packed([numbers[key] for key in batch.keys], batch.counts, batch.body)


def pack_singles(points: Mapping[int, tuple[int, int, float]]) -> bytes:
    """One point each of some metrics as a row of the tail.

    Args:
        points: number of the metric -> step, instant, value.
    """
    steps, at, values = zip(*points.values(), strict=True)
    columns = Points(np.array(steps, np.int64), np.array(at, np.int64), np.array(values, np.float64))
    return _packed(list(points), [1] * len(points), encode_points(columns))


def _packed(numbers: Sequence[int], counts: Sequence[int], body: bytes) -> bytes:
    head = msgspec.msgpack.encode((numbers, counts))
    return len(head).to_bytes(4, "little") + head + body


def unpack(row: bytes) -> Iterator[tuple[int, Points]]:
    """The metrics of a row of the tail by their numbers, each with its points.

    Raises:
        CorruptRecord: the bytes hold no such row.
    """
    size = int.from_bytes(row[:4], "little")
    try:
        numbers, counts = msgspec.msgpack.decode(row[4 : 4 + size], type=tuple[list[int], list[int]])
    except msgspec.MsgspecError as error:
        raise CorruptRecord(f"A batch of points cannot be read: {error}.", fix="Run: bucle audit verify") from error
    points, start = decode_points(memoryview(row)[4 + size :]), 0
    for number, count in zip(numbers, counts, strict=True):
        yield number, points.part(start, start + count)
        start += count


def _single(point: Point) -> Batch:
    if not _is_sound(point):
        raise _first_bad([point])
    value = float(point.value) + 0.0
    value = math.nan if math.isnan(value) else value
    summary = _summary(point.step, point.at, value)
    return Batch((point.key,), (1,), encode_one(point.step, point.at, value), (summary,))


def _batched(keys: list[str], places: np.ndarray[Any, np.dtype[Any]], points: Points) -> Batch:
    """Sort points by metric, then step, instant and value, and sum them up."""
    steps, at, values = points
    values = values + 0.0  # there is one zero; -0.0 would be another point
    values[np.isnan(values)] = math.nan  # and one not-a-number
    order = np.lexsort((values, at, steps, places))
    places, steps, at, values = places[order], steps[order], at[order], values[order]
    counts = np.bincount(places, minlength=len(keys))
    body = encode_points(Points(steps, at, values))
    return Batch(keys, counts.tolist(), body, _summaries(counts, Points(steps, at, values)))


def _summaries(counts: np.ndarray[Any, np.dtype[Any]], points: Points) -> list[dict[str, Any]]:
    ends = np.cumsum(counts)
    starts, last = ends - counts, ends - 1
    least, least_at = _extreme(points.values, starts, counts, np.fmin)
    greatest, greatest_at = _extreme(points.values, starts, counts, np.fmax)
    rows = zip(
        counts.tolist(),
        points.steps[last].tolist(),
        points.at[last].tolist(),
        points.values[last].tolist(),
        least.tolist(),
        points.steps[least_at].tolist(),
        greatest.tolist(),
        points.steps[greatest_at].tolist(),
        strict=True,
    )
    return [
        _summary(step, at, value) if count == 1 else _summary(step, at, value, (low, low_step), (high, high_step))
        for count, step, at, value, low, low_step, high, high_step in rows
    ]


def _extreme(values: Any, starts: Any, counts: Any, which: np.ufunc) -> tuple[Any, Any]:
    """The extreme of each group and the place of its first occurrence; not-a-number where a group has no number."""
    found = which.reduceat(values, starts)
    hits = np.flatnonzero((values == np.repeat(found, counts)) | np.repeat(np.isnan(found), counts))
    return found, hits[np.searchsorted(hits, starts)]


def _summary(
    step: int, at: int, value: float, least: tuple[float, int] | None = None, greatest: tuple[float, int] | None = None
) -> dict[str, Any]:
    return {
        "value": _known(value),
        "step": step,
        "at": at,
        "least": _known(least[0]) if least else None,
        "least_step": least[1] if least else None,
        "greatest": _known(greatest[0]) if greatest else None,
        "greatest_step": greatest[1] if greatest else None,
    }


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  the quickest way to ask for not-a-number


def _first_bad(points: Iterable[Point]) -> BadMetric:
    bad = next(point for point in points if not _is_sound(point))
    return BadMetric(
        f"The metric {bad.key!r} has value {bad.value!r} at step {bad.step!r} and instant {bad.at!r}.",
        why="A value is a number; a step and an instant are whole numbers of 64 bits.",
        fix="Log texts with log_params or set_tags.",
        at=bad.key,
    )


def _is_sound(point: Point) -> bool:
    try:
        float(point.value)
    except (TypeError, ValueError, OverflowError):
        return False
    return all(isinstance(one, int) and LEAST <= one <= GREATEST for one in (point.step, point.at))
