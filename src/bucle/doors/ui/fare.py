"""Fare: how a table fared, as charts whose places are its last changes or batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from bucle.doors.ui.draw import Chart, Point, chart
from bucle.line.data import HealthPoint, Verdict

__all__ = ["filled", "freshness", "quality", "rows", "size"]

_SIZE = (620.0, 170.0)

_FORMS = ((timedelta(hours=1), "%H:%M:%S"), (timedelta(days=2), "%m-%d %H:%M"), (timedelta(days=300), "%m-%d"))
"""How an instant is told, by what all of them span."""


def rows(points: Sequence[HealthPoint], name: str) -> Chart:
    """How many rows there were."""
    return _line(points, name, lambda one: one.rows)


def size(points: Sequence[HealthPoint], name: str) -> Chart:
    """How long the files were, in MB."""
    return _line(points, name, lambda one: one.size_bytes / 1e6)


def freshness(points: Sequence[HealthPoint], name: str) -> Chart | None:
    """How old the newest row was when it came, in hours; None when no column says when rows happened."""
    if all(one.newest is None for one in points):
        return None
    return _line(points, name, lambda one: (one.at - one.newest).total_seconds() / 3600 if one.newest else None)


def filled(points: Sequence[HealthPoint], name: str) -> Chart:
    """Which share of all values was there."""
    return _line(points, name, lambda one: one.filled)


def quality(batches: Sequence[Verdict], kept: str, in_place: str) -> Chart:
    """Of each batch the share of the rules it kept, and the share of its rows that were not set aside or kept out."""
    labels = _labels([one.at for one in batches])
    rules: list[Point] = [(label, one.score, None, None) for label, one in zip(labels, batches, strict=True)]
    landed: list[Point] = [(label, _landed(one), None, None) for label, one in zip(labels, batches, strict=True)]
    return chart([(kept, "c", rules), (in_place, "b", landed)], *_SIZE)


def _landed(batch: Verdict) -> float | None:
    if not batch.passed:
        return 0.0
    return 1 - batch.rows_set_aside / batch.rows if batch.rows else None


def _line(points: Sequence[HealthPoint], name: str, value: Callable[[HealthPoint], float | None]) -> Chart:
    labels = _labels([one.at for one in points])
    told: list[Point] = [(label, value(one), None, None) for label, one in zip(labels, points, strict=True)]
    return chart([(name, "a", told)], *_SIZE)


def _labels(instants: Sequence[datetime]) -> list[str]:
    """As much of each as tells them apart; those that are alike are numbered: a chart has one place for a label."""
    span = max(instants) - min(instants) if instants else timedelta()
    form = next((form for most, form in _FORMS if span < most), "%Y-%m-%d")
    seen, found = Counter[str](), list[str]()
    for at in instants:
        told = at.strftime(form)
        seen[told] += 1
        found.append(told if seen[told] == 1 else f"{told} ({seen[told]})")
    return found
