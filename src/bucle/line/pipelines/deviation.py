"""Deviation: how far an output that was computed again is from what is recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from bucle.ground.core import Record

__all__ = ["Deviation", "Tolerance", "deviation_of"]


class Tolerance(Record, frozen=True):
    """How far two numbers may lie apart and still count as close: `|then - now| <= absolute + relative * |then|`.

    Attributes:
        relative: >= 0.
        absolute: >= 0.
    """

    relative: float = 1e-6
    absolute: float = 1e-9


class Deviation(Record, frozen=True):
    """One output that is not bit for bit what is recorded.

    Attributes:
        output: its name.
        why: what differs, in words; for numbers how many, and the farthest apart.
        largest: the greatest absolute distance of two numbers; infinite where something else differs.
        is_close: whether all of it is within the tolerance.
    """

    output: str
    why: str
    largest: float
    is_close: bool


def deviation_of(output: str, then: Any, now: Any, tolerance: Tolerance) -> Deviation:
    """How far a value is from what it was.

    Args:
        output: its name.
        then, now: frames, arrays, or plain values; of bytes and files it is only told that they differ.
    Cost: a look at every number.
    """
    apart, differing, count = 0.0, 0, 0
    for old, new in _pairs(then, now):
        wrong = _unlike(old, new)
        if wrong:
            return Deviation(output=output, why=wrong, largest=math.inf, is_close=False)
        far = np.abs(new - old)
        # Equal infinities, and not-a-number in both, are no distance.
        far[(old == new) | (np.isnan(old) & np.isnan(new))] = 0.0
        far = np.where(np.isnan(far), np.inf, far)
        count += far.size
        differing += int((far > 0).sum())
        allowed = tolerance.absolute + tolerance.relative * np.where(np.isfinite(old), np.abs(old), 0.0)
        apart = max(apart, float(far.max(initial=0.0)))
        if (far > allowed).any():
            why = f"{differing} of {count} numbers differ, one by {apart:.3g}"
            return Deviation(output=output, why=why, largest=apart, is_close=False)
    why = (
        f"{differing} of {count} numbers differ, by {apart:.3g} at most"
        if differing
        else "the same values, other bytes"
    )
    return Deviation(output=output, why=why, largest=apart, is_close=True)


def _unlike(old: Any, new: Any) -> str:
    """What differs besides numbers; empty for two arrays of numbers of one length."""
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return "" if old.shape == new.shape else f"its shape was {old.shape}, and is {new.shape}"
    return f"{_short(old)} became {_short(new)}"


def _pairs(then: Any, now: Any) -> Iterator[tuple[Any, Any]]:
    """Arrays of float64 to compare, and whatever else differs; what is equal and no number is left out."""
    if isinstance(then, pl.DataFrame) and isinstance(now, pl.DataFrame):
        yield from _of_frames(then, now)
    elif isinstance(then, np.ndarray) and isinstance(now, np.ndarray):
        yield from _of_arrays(then, now)
    elif isinstance(then, dict) and isinstance(now, dict) and then.keys() == now.keys():
        for name in then:
            yield from _pairs(then[name], now[name])
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for old, new in zip(then, now, strict=True):
            yield from _pairs(old, new)
    elif _is_number(then) and _is_number(now):
        yield np.array([float(then)]), np.array([float(now)])
    elif isinstance(then, bytes | memoryview):
        yield f"{len(then)} bytes", f"other {len(now)} bytes"
    elif type(then) is not type(now) or then != now:
        yield then, now


def _of_frames(then: pl.DataFrame, now: pl.DataFrame) -> Iterator[tuple[Any, Any]]:
    if then.schema != now.schema or then.height != now.height:
        yield _frame_form(then), _frame_form(now)
        return
    for name, kind in then.schema.items():
        if kind.is_numeric():
            if not then[name].is_null().equals(now[name].is_null()):
                yield f"the nulls of {name}", "others"
            yield tuple(one[name].cast(pl.Float64).fill_null(0.0).to_numpy() for one in (then, now))  # type: ignore[misc]
        elif not then[name].equals(now[name]):
            yield f"column {name}", "another"


def _of_arrays(then: np.ndarray, now: np.ndarray) -> Iterator[tuple[Any, Any]]:
    if then.dtype != now.dtype or then.shape != now.shape:
        yield f"{then.dtype}{then.shape}", f"{now.dtype}{now.shape}"
    elif then.dtype.kind in "iuf":
        yield then.astype(np.float64).ravel(), now.astype(np.float64).ravel()
    elif not np.array_equal(then, now):
        yield f"an array of {then.dtype}", "another"


def _frame_form(frame: pl.DataFrame) -> str:
    return f"{frame.height} rows of {', '.join(f'{name} {kind}' for name, kind in frame.schema.items())}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
