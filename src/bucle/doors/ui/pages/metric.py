"""`/runs/{run}/metric`: one curve, large, and as a table for whoever cannot see it or wants its points."""

from __future__ import annotations

from bucle.doors.ui import store
from bucle.doors.ui.columns import leading, smaller_is_better
from bucle.doors.ui.pages.curves import Curve, curve_of
from bucle.doors.ui.parameters import Id, Text
from bucle.ground.core import NotFound, Record
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Run

__all__ = ["MetricPage", "NoSuchMetric", "metric"]

ROWS = 100
"""Rows of the table; a longer curve is told in so many stretches."""


class NoSuchMetric(NotFound):
    """A run never logged the metric asked for."""

    code = "BU1608"


class MetricPage(Record, frozen=True):
    """One metric of one run.

    Attributes:
        run: the run.
        key: the metric.
        curve: in a hundred stretches at most, each with its least, greatest and last value.
        extent: its last, least and greatest value.
        smaller: whether less of it is better.
    """

    run: Run
    key: str
    curve: Curve
    extent: store.Extent
    smaller: bool


def metric(project: Project, *, run: Id, key: Text = "") -> MetricPage:
    """One metric of one run.

    Args:
        run: the run's id or the beginning of it.
        key: the metric; the first one unless given.
    Raises:
        NoSuchRun: there is no such run.
        NoSuchMetric: the run never logged it.
    """
    found = tracking.run(project, run)
    with store.cells(project, [found.id]) as cells:
        asked = key or min(found.metrics, key=leading, default="")
        extent = cells.extents([asked])[found.id].get(asked)
    if extent is None:
        raise NoSuchMetric(
            f"The run {found.id[:12]} has no metric {asked!r}.",
            why="It never logged one under that name.",
            fix=f"See what it has: /runs/{found.id}?tab=charts",
            at="key",
        )
    return MetricPage(
        run=found,
        key=asked,
        curve=curve_of(project, found.id, asked, ROWS),
        extent=extent,
        smaller=smaller_is_better(asked),
    )
