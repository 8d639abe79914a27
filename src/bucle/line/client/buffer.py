"""Buffer: what was logged and waits to be written. Adding a point costs a microsecond, whoever writes takes columns.

Numbers go straight into one array a column, so that what is taken out needs no work a point.
"""

from __future__ import annotations

import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, SupportsFloat

import numpy as np

from bucle.line.client.message import Entry, Stretch
from bucle.line.tracking import BadMetric, check_key

__all__ = ["Buffer"]

MOST = 1 << 22
"""Points that may wait, 100 MB; who logs faster than can be written waits then."""

PATIENCE_S = 10.0
"""Seconds one waits for that at most."""

FIRST_STEP, LAST_STEP = -(2**63), 2**63 - 1

PORTION = 1 << 17
"""Points an entry holds at most."""

LITTLE = sys.byteorder == "little"


class _Curve:
    """The points of one key that wait."""

    __slots__ = ("at", "highest", "last_at", "next", "steps", "values")

    def __init__(self) -> None:
        self.next, self.highest, self.last_at = 0, FIRST_STEP - 1, 0
        self.clear()

    def clear(self) -> None:
        self.steps, self.at, self.values = array("q"), array("q"), array("d")

    def instant(self, place: int, at: int) -> int:
        """When a point was logged; at a step that was there before, later than that one, so that it counts instead."""
        if place > self.highest:
            self.highest = place
        elif at <= self.last_at:
            at = self.last_at + 1
        self.last_at = at
        return at


class Buffer:
    """Points, params and tags on their way; safe to use from several threads.

    Args:
        now_ms: the clock: milliseconds since 1970.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._curves: dict[str, _Curve] = {}
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._count = 0

    def add(self, values: Mapping[str, SupportsFloat], step: Any = None) -> None:
        """Take one value, or an array of values, a key.

        Args:
            values: key -> a number, or an array of shape (n,).
            step: the place in the curve, or an array of shape (n,); one more than the last of each key unless given.
        Raises:
            BadMetric: something is no number, or an array has another length; nothing of the call is kept.
            BadText: a key cannot be one; likewise.
        """
        plain, curves = [], self._curves
        for key, value in values.items():
            # Most values are floats already; a call to look closer costs more than all the rest.
            if type(value) is not float:
                if getattr(value, "ndim", 0) or isinstance(value, list | tuple):
                    self._add_arrays(values, step)
                    return
                plain.append((key, _number(key, value)))
            else:
                plain.append((key, value))
            if key not in curves:
                _check_key(key)
        if step is not None:
            step = _step(step)
        at = self._now_ms()
        with self._lock:
            for key, value in plain:
                curve = curves.get(key)
                if curve is None:
                    curve = curves[key] = _Curve()
                place = curve.next if step is None else step
                curve.steps.append(place)
                curve.next = place + 1 if place < LAST_STEP else place
                curve.at.append(curve.instant(place, at))
                curve.values.append(value)
            self._count += len(plain)
            if self._count > MOST:
                self._wait_for_room()

    def note(self, *, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}) -> None:
        """Take params and tags; the last value of each counts."""
        with self._lock:
            self._params.update(params)
            self._tags.update(tags)

    def take(self) -> Entry | None:
        """What waits, all of it unless that is very much; None when nothing does. It is nobody else's from now on."""
        with self._lock:
            if not (self._count or self._params or self._tags):
                return None
            entry = Entry(stretches=tuple(self._portion()), params=self._params, tags=self._tags)
            self._params, self._tags = {}, {}
            self._count -= entry.points
            self._room.notify_all()
        return entry

    def _add_arrays(self, values: Mapping[str, Any], step: Any) -> None:
        columns = {_check_key(key): _column(key, value) for key, value in values.items()}
        at = self._now_ms()
        with self._lock:
            curves = {key: self._curves.setdefault(key, _Curve()) for key in columns}
            placed = {key: _steps(key, step, curves[key].next, len(column)) for key, column in columns.items()}
            for key, column in columns.items():
                curve, steps = curves[key], placed[key]
                curve.steps.frombytes(steps.tobytes())
                first = curve.instant(int(steps.min()), at) if len(steps) else at
                curve.at.frombytes(np.full(len(column), first, dtype=np.int64).tobytes())
                curve.highest = max(curve.highest, int(steps.max())) if len(steps) else curve.highest
                curve.values.frombytes(column.tobytes())
                curve.next = min(int(steps[-1]) + 1, LAST_STEP) if len(steps) else curve.next
                self._count += len(column)
            if self._count > MOST:
                self._wait_for_room()

    def _wait_for_room(self) -> None:
        # Not for ever: memory that grows is better than a training that stands still.
        self._room.wait_for(lambda: self._count <= MOST, timeout=PATIENCE_S)

    def _portion(self) -> Iterator[Stretch]:
        left = PORTION
        for key, curve in self._curves.items():
            count = min(left, len(curve.values))
            if not count:
                continue
            parts = [_bytes(column[:count] if count < len(column) else column) for column in _parts(curve)]
            yield Stretch(key, *parts)
            if count < len(curve.values):
                curve.steps, curve.at, curve.values = (column[count:] for column in _parts(curve))
                return
            curve.clear()
            left -= count


def _parts(curve: _Curve) -> tuple[Any, Any, Any]:
    return curve.steps, curve.at, curve.values


def _bytes(column: Any) -> bytes:
    if not LITTLE:
        column = column[:]
        column.byteswap()
    return bytes(column.tobytes())


def _number(key: str, value: Any) -> float:
    try:
        if not isinstance(value, str | bytes):
            return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise BadMetric(
        f"The metric {key!r} is {str(value)[:80]!r}, which is no number.",
        why="A metric is a point of a curve.",
        fix="Log texts with log_params or set_tags, pictures and tables with log.",
        at=str(key),
    )


def _column(key: str, value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64[n] of an array, or of one number."""
    try:
        column = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if column.dtype.kind not in "biufO":
            raise TypeError(f"its values are {column.dtype}")
        column = np.atleast_1d(column).astype("<f8")
    except (TypeError, ValueError) as error:
        raise BadMetric(f"The metric {key!r} is no array of numbers: {error}.", fix="Give numbers.", at=key) from error
    if column.ndim != 1:
        raise BadMetric(
            f"The metric {key!r} is an array of shape {column.shape}.",
            why="A curve has one value a step.",
            fix="Log one row or column at a time, or a picture of it: run.log({...: bucle.Image(x)}).",
            at=key,
        )
    return column


def _steps(key: str, step: Any, following: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if step is None or np.ndim(step) == 0:
        first = following if step is None else _step(step)
        if first + max(count - 1, 0) > LAST_STEP:
            raise _bad_step(first + count - 1)
        return np.arange(first, first + count, dtype="<i8")
    steps = np.asarray(step)
    if steps.shape != (count,) or steps.dtype.kind not in "iu":
        raise BadMetric(
            f"The metric {key!r} has {count} values, and steps of shape {steps.shape} and type {steps.dtype}.",
            why="Each value has its step, a whole number.",
            fix=f"E.g. step=np.arange({count})",
            at=key,
        )
    return steps.astype("<i8")


def _step(step: Any) -> int:
    if type(step) is int and FIRST_STEP <= step <= LAST_STEP:
        return step
    try:
        found = int(step.__index__())
    except (AttributeError, TypeError):
        raise _bad_step(step) from None
    if not FIRST_STEP <= found <= LAST_STEP:
        raise _bad_step(step)
    return found


def _bad_step(step: Any) -> BadMetric:
    return BadMetric(
        f"The step {step!r} is no whole number of 64 bits.",
        why="It is the place of a value in its curve.",
        fix="Count steps or epochs from 0, or leave it out.",
        at="step",
    )


def _check_key(key: str) -> str:
    if not isinstance(key, str):
        raise BadMetric(
            f"{key!r} cannot be the name of a metric.", why="A name is a text.", fix="Use str(...).", at="key"
        )
    return check_key(key)
