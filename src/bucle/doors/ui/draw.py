"""Drawing: numbers to the coordinates of an SVG. Templates write the elements, so that all text is escaped there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import escape

__all__ = ["Axis", "Chart", "Line", "Tick", "axis", "chart", "heat", "picture", "scale", "spark"]


class Tick(NamedTuple):
    """A mark on an axis: where, and which value."""

    at: float
    value: float


class Axis(NamedTuple):
    """A stretch of values along a stretch of pixels."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[Tick, ...]

    @property
    def digits(self) -> int:
        """How many decimals tell the ticks apart."""
        return max(len(f"{tick.value:.6g}".partition("e")[0].partition(".")[2]) for tick in self.ticks)

    def at(self, value: float) -> float:
        """The pixel of a value, kept within the axis."""
        return round(scale(min(max(value, self.low), self.high), (self.low, self.high), (self.start, self.end)), 1)


class Line(NamedTuple):
    """One series of a chart.

    Attributes:
        name: what the legend says.
        tone: its colour: `a` to `f`.
        paths: the `d` of its unbroken stretches.
        dots: x, y, value and label of each point.
        band: the `d` of its confidence band; empty without one.
    """

    name: str
    tone: str
    paths: tuple[str, ...]
    dots: tuple[tuple[float, float, float, str], ...]
    band: str


class Chart(NamedTuple):
    """Lines over common axes; `left` is where they begin, beside the words of the y axis."""

    width: float
    height: float
    left: float
    x: tuple[tuple[float, str], ...]
    y: Axis
    lines: tuple[Line, ...]


_LETTER = 7.5
"""So wide is a figure, in a chart's own pixels."""

_NOTHING = 1e-300
"""Numbers this small are drawn as 0: steps between them cannot be told apart any more."""

Point = tuple[str, float | None, float | None, float | None]
"""Label, value, low, high."""


def scale(value: float, values: tuple[float, float], pixels: tuple[float, float]) -> float:
    """A value on one stretch as a place on another."""
    low, high = values
    share = 0.5 if high == low else (value - low) / (high - low)
    return pixels[0] + share * (pixels[1] - pixels[0])


def axis(values: Sequence[float], start: float, end: float, *, ticks: int = 4, include: Sequence[float] = ()) -> Axis:
    """An axis that holds all values, with ticks at round numbers."""
    known = [0.0 if abs(value) < _NOTHING else value for value in (*values, *include) if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low <= _NOTHING:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    step = _round_step((high - low) / ticks)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    count = round((high - low) / step)
    marks = (low + index * step for index in range(count + 1))
    found = tuple(Tick(round(scale(mark, (low, high), (start, end)), 1), round(mark, 10)) for mark in marks)
    return Axis(low, high, start, end, found)


def spark(values: Sequence[float | None], width: float = 96, height: float = 20) -> str:
    """The `d` of a sparkline; missing values break it."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return ""
    bounds, step = (min(known), max(known)), (width - 4) / max(len(values) - 1, 1)
    places = [
        None if value is None else (2 + index * step, scale(value, bounds, (height - 3, 3)))
        for index, value in enumerate(values)
    ]
    return " ".join(_paths(places))


def chart(
    series: Sequence[tuple[str, str, Sequence[Point]]], width: float = 900, height: float = 220, ticks: int = 4
) -> Chart:
    """Lines whose points share their labels as common places on the x axis.

    Args:
        series: name, tone and points of each line.
    """
    labels = list(dict.fromkeys(point[0] for _, _, points in series for point in points))
    every = [value for _, _, points in series for point in points for value in point[1:] if value is not None]
    y = axis(every, height - 22, 8, ticks=ticks)
    left = max(46.0, 10 + _LETTER * max(len(f"{tick.value:,.6g}") for tick in y.ticks))
    ends = (left + 22, width - 44)
    places = {label: round(scale(index, (0, max(len(labels) - 1, 1)), ends), 1) for index, label in enumerate(labels)}
    fitting = max(1, int((ends[1] - ends[0]) / (_LETTER * max(map(len, labels), default=0) + 12)))
    skip = max(1, math.ceil(len(labels) / fitting))
    shown = tuple((places[label], label) for index, label in enumerate(labels) if index % skip == 0)
    lines = tuple(_line(name, tone, points, places, y) for name, tone, points in series)
    return Chart(width, height, left, shown, y, lines)


INKS = ("#3b8ec4", "#e07b39", "#2a9d78", "#b0679a", "#b8860b", "#7f8794")
"""Readable on white and on black: a picture does not know what it stands on."""


def picture(
    title: str, curves: Sequence[Sequence[tuple[float, float | None]]], width: int = 420, height: int = 190
) -> str:
    """Curves as an SVG file that stands by itself.

    Args:
        title: what is drawn.
        curves: of each, place and value; None breaks it.
    """
    xs = [x for curve in curves for x, _ in curve]
    across = (min(xs, default=0.0), max(xs, default=1.0))
    up = axis([y for curve in curves for _, y in curve if y is not None], height - 18, 10)
    paths = [
        (
            INKS[index % len(INKS)],
            _paths([None if y is None else (scale(x, across, (52, width - 8)), up.at(y)) for x, y in curve]),
        )
        for index, curve in enumerate(curves)
    ]
    grid = "".join(
        f'<path d="M52,{tick.at:g} H{width - 8}" stroke="#8886" fill="none"/>'
        f'<text x="46" y="{tick.at + 4:g}" text-anchor="end">{tick.value:g}</text>'
        for tick in up.ticks
    )
    lines = "".join(f'<path d="{d}" stroke="{ink}" fill="none" stroke-width="1.75"/>' for ink, ds in paths for d in ds)
    ends = "".join(
        f'<text x="{x}" y="{height - 3}" text-anchor="{anchor}">{value:g}</text>'
        for x, anchor, value in ((52, "start", across[0]), (width - 8, "end", across[1]))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11" fill="#7f8794"><title>{escape(title)}</title>'
        f"{grid}{lines}{ends}</svg>"
    )


def heat(value: float, threshold: float) -> int:
    """How hot a cell is, 0 to 6; from 4 on it is over its threshold."""
    if threshold <= 0 or not math.isfinite(value):
        return 0
    ratio = value / threshold
    edges = (0.15, 0.35, 0.65, 1.0, 2.0, 4.0)
    return sum(ratio >= edge for edge in edges)


def _line(name: str, tone: str, points: Sequence[Point], places: dict[str, float], y: Axis) -> Line:
    drawn = [None if value is None else (places[label], y.at(value)) for label, value, _, _ in points]
    dots = tuple((places[label], y.at(value), value, label) for label, value, _, _ in points if value is not None)
    known = [(label, low, high) for label, _, low, high in points if low is not None and high is not None]
    ends = [(places[label], y.at(low), y.at(high)) for label, low, high in known]
    upper = " L".join(f"{x:g},{high:g}" for x, _, high in ends)
    lower = " L".join(f"{x:g},{low:g}" for x, low, _ in reversed(ends))
    band = f"M{upper} L{lower} Z" if len(ends) > 1 else ""
    return Line(name, tone, tuple(_paths(drawn)), dots, band)


def _paths(places: Sequence[tuple[float, float] | None]) -> list[str]:
    paths, current = [], list[str]()
    for place in (*places, None):
        if place is not None:
            current.append(f"{place[0]:.1f},{place[1]:.1f}")
        elif current:
            paths.append("M" + " L".join(current))
            current = []
    return paths


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(nice * power for nice in (1, 2, 2.5, 5, 10) if step <= nice * power * 1.0001)


def by_version(versions: Mapping[str, Mapping[str, float]], metric: str) -> list[Point]:
    """One point a version, by its number."""
    return [(number, metrics.get(metric), None, None) for number, metrics in versions.items()]


class Interval(NamedTuple):
    """A check's numbers on a common scale."""

    value: float | None
    low: float | None
    high: float | None
    threshold: float | None


def bounds(checks: Sequence[Any]) -> dict[tuple[str, str], tuple[float, float]]:
    """Gate and metric -> the stretch that holds all their numbers, with some room."""
    found: dict[tuple[str, str], list[float]] = {}
    for one in checks:
        numbers = [value for value in (one.value, one.low, one.high, one.threshold) if value is not None]
        found.setdefault((one.gate, one.metric), []).extend(numbers)
    return {key: _with_room(numbers) for key, numbers in found.items() if numbers}


def interval(check: Any, ends: tuple[float, float], width: float) -> Interval:
    """Where a check's numbers stand on a scale of `width` pixels."""

    def at(value: float | None) -> float | None:
        return None if value is None else round(scale(value, ends, (6, width - 6)), 1)

    return Interval(at(check.value), at(check.low), at(check.high), at(check.threshold))


def margin(check: Any) -> float | None:
    """How far a value lies on the good side of its threshold; below zero it does not."""
    if check.value is None or check.threshold is None:
        return None
    apart = float(check.value - check.threshold)
    upper_limit = check.gate in ("minimum", "calibration") and check.passed == (apart <= 0)
    return -apart if upper_limit else apart


def _with_room(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = min(numbers), max(numbers)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def quality(lines: Sequence[Any], labels: Sequence[str], served: str, shadow: str) -> Chart:
    """Live AUC by window: what clients got with its band, and each version that answered in the shadow."""
    series = []
    for index, line in enumerate(lines):
        points = [
            (label, *((point.auc, point.low, point.high) if index == 0 else (point.auc, None, None)))
            for label, point in zip(labels, line.points, strict=True)
            if point is not None
        ]
        name = served if index == 0 else f"{line.name} ({shadow})"
        series.append((name, "abcde"[index % 5], points))
    return chart(series, 1360, 240)
