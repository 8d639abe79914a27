"""Parallel coordinates: runs as lines across axes, one axis a parameter or metric; and two of them as a scatter.

Numbers to coordinates, pure; the template writes the elements.
Source: Inselberg (1985), "The plane with parallel coordinates".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from bucle.doors.ui.draw import axis, scale

__all__ = ["Dot", "Parallel", "Rail", "Scatter", "Thread", "heat_of", "parallel", "scatter"]

Value = str | float | None

SHADES = 7
"""The lines have so many colours, from the least to the greatest value of the last axis."""

FARTHEST = 1e300
"""Numbers beyond stand at the end of their axis: the way between two of them must be a number, too."""

MOST_POWERS = 8
"""Powers of ten an axis bears at most."""

MOST_WORDS = 14
"""An axis of words shows so many; others are at its end together."""


class Mark(NamedTuple):
    """A place on an axis and what stands there."""

    at: float
    text: str


class Rail(NamedTuple):
    """One axis.

    Attributes:
        name: what it measures.
        x: where it stands.
        marks: from bottom to top.
        is_log: whether its numbers are spaced by their logarithm.
    """

    name: str
    x: float
    marks: tuple[Mark, ...]
    is_log: bool


class Thread(NamedTuple):
    """One run.

    Attributes:
        place: its place among the runs.
        path: the `d` of its line.
        shade: 0 to 6 by its value on the last axis; -1 without one.
    """

    place: int
    path: str
    shade: int


class Parallel(NamedTuple):
    """The whole drawing."""

    width: float
    height: float
    rails: tuple[Rail, ...]
    threads: tuple[Thread, ...]


class Dot(NamedTuple):
    """One run of a scatter."""

    place: int
    x: float
    y: float


class Scatter(NamedTuple):
    """Runs by two numbers, each on its axis."""

    width: float
    height: float
    x: tuple[Mark, ...]
    y: tuple[Mark, ...]
    dots: tuple[Dot, ...]


class _Scale(NamedTuple):
    """Values of one axis to pixels."""

    places: tuple[float | None, ...]
    marks: tuple[Mark, ...]
    is_log: bool


def parallel(
    names: Sequence[str], rows: Sequence[Sequence[Value]], *, width: float = 1380, height: float = 320
) -> Parallel:
    """Runs across axes, coloured by the last one.

    Args:
        names: of the axes, left to right; at least two.
        rows: one run each, a value per axis.
    """
    top, bottom, left, right = 34.0, height - 14, 70.0, width - 90
    xs = [round(scale(place, (0, max(len(names) - 1, 1)), (left, right)), 1) for place in range(len(names))]
    scales = [_scale([row[place] for row in rows], bottom, top) for place in range(len(names))]
    rails = [Rail(name, x, one.marks, one.is_log) for name, x, one in zip(names, xs, scales, strict=True)]
    shades = heat_of([row[-1] for row in rows])
    threads = [
        Thread(place, _path([(x, one.places[place]) for x, one in zip(xs, scales, strict=True)]), shades[place])
        for place in range(len(rows))
    ]
    return Parallel(width, height, tuple(rails), tuple(one for one in threads if one.path))


def scatter(xs: Sequence[Value], ys: Sequence[Value], *, width: float = 680, height: float = 280) -> Scatter | None:
    """Runs by two numbers; None when fewer than two have both."""
    pairs = [(place, _number(x), _number(y)) for place, (x, y) in enumerate(zip(xs, ys, strict=True))]
    known = [(place, x, y) for place, x, y in pairs if x is not None and y is not None]
    if len(known) < 2:
        return None
    across = _of_numbers([x for _, x, _ in known], 62, width - 22)
    up = _of_numbers([y for _, _, y in known], height - 28, 10)
    places = zip(known, across.places, up.places, strict=True)
    dots = tuple(Dot(place, x, y) for (place, _, _), x, y in places if x is not None and y is not None)
    return Scatter(width, height, across.marks, up.marks, dots)


def heat_of(values: Sequence[Value]) -> list[int]:
    """How far along each value is, in seven shades; -1 where there is none."""
    known = [_number(value) for value in values]
    numbers = [value for value in known if value is not None]
    if not numbers:
        words = sorted({str(value) for value in values if value is not None})
        return [-1 if value is None else words.index(str(value)) % SHADES for value in values]
    ends = (min(numbers), max(numbers))
    return [-1 if value is None else min(SHADES - 1, int(scale(value, ends, (0, SHADES)))) for value in known]


def _scale(values: Sequence[Value], bottom: float, top: float) -> _Scale:
    numbers = [_number(value) for value in values]
    if all(number is not None or value is None for number, value in zip(numbers, values, strict=True)):
        return _of_numbers(numbers, bottom, top)
    return _of_words(values, bottom, top)


def _of_numbers(numbers: Sequence[float | None], bottom: float, top: float) -> _Scale:
    known = [number for number in numbers if number is not None]
    is_log = bool(known) and min(known) > 0 and max(known) / min(known) >= 100
    if is_log:
        ends = (math.log10(min(known)), math.log10(max(known)))
        powers = range(math.ceil(ends[0] - 1e-9), math.floor(ends[1] + 1e-9) + 1)
        powers = powers[:: max(1, -(-len(powers) // MOST_POWERS))]
        marks = [Mark(round(scale(power, ends, (bottom, top)), 1), f"{10.0**power:g}") for power in powers]
        places = [None if one is None else round(scale(math.log10(one), ends, (bottom, top)), 1) for one in numbers]
        return _Scale(tuple(places), tuple(marks), is_log=True)
    found = axis(known, bottom, top)
    return _Scale(
        tuple(None if one is None else found.at(one) for one in numbers),
        tuple(Mark(tick.at, f"{tick.value:g}") for tick in found.ticks),
        is_log=False,
    )


def _of_words(values: Sequence[Value], bottom: float, top: float) -> _Scale:
    words = sorted({str(value) for value in values if value is not None})
    shown = words if len(words) <= MOST_WORDS else [*words[: MOST_WORDS - 1], "…"]
    at = {word: round(scale(place, (0, max(len(shown) - 1, 1)), (bottom, top)), 1) for place, word in enumerate(shown)}
    places = tuple(None if value is None else at.get(str(value), at.get("…")) for value in values)
    return _Scale(places, tuple(Mark(place, word) for word, place in at.items()), is_log=False)


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    """A line through the points there are; a missing one is passed over."""
    known = [f"{x:g},{y:g}" for x, y in points if y is not None]
    return f"M{' L'.join(known)}" if len(known) > 1 else ""


def _number(value: Value) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return min(max(number, -FARTHEST), FARTHEST) if math.isfinite(number) else None
