"""Curves: what charts and sparklines load by themselves, in few points however long a curve is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from bucle.doors.ui import draw, store
from bucle.doors.ui.columns import names_of
from bucle.doors.ui.parameters import Id
from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["Curve", "Curves", "Ids", "Names", "Sparks", "curve_of", "curves", "drawing", "ids_of", "sparks"]

Ids = Annotated[str, msgspec.Meta(max_length=7000, pattern=r"^[0-9A-Za-z_.,\-]*$")]
"""Ids of runs with commas between."""

Names = Annotated[str, msgspec.Meta(max_length=7000, pattern=r"^[^\x00]*$")]
"""Names with commas between; a comma within one is written %2C."""

Buckets = Annotated[int, msgspec.Meta(ge=2, le=2000)]

MOST_RUNS = 200
"""Curves of so many runs at most are told at once."""

MOST_KEYS = 64

DRAWN, TONES = 240, 12
"""Points of a curve in a picture, and curves."""

SPARK = 48
"""Points of a sparkline."""


class Curve(Record, frozen=True):
    """One metric of one run, in buckets of steps.

    Attributes:
        run, key: whose, and of what.
        count: points there are.
        mark: changes when the curve has grown.
        steps: the last step of each bucket.
        at: when it was logged, milliseconds since 1970.
        least, greatest, last: of each bucket; None where it was no number.
    """

    run: str
    key: str
    count: int
    mark: str
    steps: tuple[int, ...]
    at: tuple[int, ...]
    least: tuple[float | None, ...]
    greatest: tuple[float | None, ...]
    last: tuple[float | None, ...]


class Curves(Record, frozen=True):
    """Curves that were asked for.

    Attributes:
        curves: those that have grown, or all.
        statuses: run -> whether more is to come.
    """

    curves: tuple[Curve, ...]
    statuses: dict[str, str]


class Sparks(Record, frozen=True):
    """The sparklines of a table's rows.

    Attributes:
        key: the metric.
        paths: run -> the `d` of its line, 96 by 20; empty when there is none.
    """

    key: str
    paths: dict[str, str]


def curves(project: Project, *, runs: Ids, keys: Names, buckets: Buckets = 360, known: Names = "") -> Curves:
    """Curves of some metrics of some runs.

    Args:
        runs: ids.
        keys: metrics.
        buckets: so many stretches of steps at most.
        known: for each key the marks of the runs' curves the asker has, with `|` between; those are left out.
    Cost: an index look-up for what has not grown; else one read of the curve.
    """
    asked, wanted = ids_of(runs)[:MOST_RUNS], names_of(keys)[:MOST_KEYS]
    held = dict(zip(wanted, known.split(","), strict=False)) if known else {}
    seen = {(run, key): mark for key, marks in held.items() for run, mark in zip(asked, marks.split("|"), strict=False)}
    with store.cells(project, asked) as cells:
        marks = cells.marks(wanted)
    moved = [place for place, mark in marks.items() if seen.get(place) != mark]
    found = (curve_of(project, run, key, buckets, marks[run, key]) for run, key in moved)
    return Curves(curves=tuple(found), statuses=store.statuses(project, asked))


def sparks(project: Project, *, runs: Ids, key: Id) -> Sparks:
    """The sparklines of one metric for the rows of a table.

    Args:
        runs: ids.
        key: the metric.
    """
    found = {run: curve_of(project, run, key, SPARK) for run in _having(project, ids_of(runs)[:MOST_RUNS], key)}
    return Sparks(key=key, paths={run: draw.spark(one.last) for run, one in found.items()})


def drawing(project: Project, *, runs: Ids, key: Id) -> str:
    """A metric's curve as an SVG file, for pages without scripts and for documents.

    Args:
        runs: ids.
        key: the metric.
    """
    found = [curve_of(project, run, key, DRAWN) for run in _having(project, ids_of(runs)[:TONES], key)]
    return draw.picture(key, [list(zip(one.steps, one.last, strict=True)) for one in found])


def curve_of(project: Project, run: str, key: str, buckets: int, mark: str = "") -> Curve:
    """One curve in at most so many points."""
    found = tracking.curve(project, run, key, buckets=buckets)
    return Curve(
        run=run,
        key=key,
        count=found.count,
        mark=mark,
        steps=tuple(found.steps.tolist()),
        at=tuple(found.at.tolist()),
        least=_known(found.least),
        greatest=_known(found.greatest),
        last=_known(found.last),
    )


def ids_of(text: str) -> list[str]:
    """Ids out of an address, each once."""
    return list(dict.fromkeys(one for one in text.split(",") if one))


def _having(project: Project, runs: Sequence[str], key: str) -> list[str]:
    """The runs that have a metric."""
    with store.cells(project, runs) as cells:
        return [run for run, _ in cells.marks([key])]


def _known(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values.tolist())
