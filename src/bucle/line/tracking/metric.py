"""Metric: what a run measured: its last value and extremes, its curve, and the curve at a glance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
from sqlalchemy.engine import Connection

from bucle.ground.core import Record, from_micros
from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.chunk import Floats, Ints, Points, chained, decode_points
from bucle.line.tracking.fold import gathered
from bucle.line.tracking.name import names_of
from bucle.line.tracking.page import Page, make_token, read_token
from bucle.line.tracking.point import Point
from bucle.line.tracking.run import seek

__all__ = ["Curve", "Metric", "Summary", "curve", "history", "last_points", "metrics", "points", "sampled", "summaries"]

NOTHING = Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


class Metric(Record, frozen=True):
    """A measured value.

    Attributes:
        key: what was measured.
        value: a number, NaN where it was none.
        step: its place in the curve; counted from 0 when none was given.
        at: when it was logged.
    """

    key: str
    value: float
    step: int
    at: datetime


class Summary(Record, frozen=True):
    """A metric of a run without its curve.

    Attributes:
        key: what was measured.
        last: the last value by step, instant and value; NaN where that was no number.
        step, at: where that stands; `at` in milliseconds since 1970.
        least, greatest: the extremes of its numbers; NaN where it never was one.
        least_step, greatest_step: where each was reached first.
    """

    key: str
    last: float
    step: int
    at: int
    least: float
    least_step: int
    greatest: float
    greatest_step: int


class Curve(msgspec.Struct, frozen=True):
    """A curve at a glance: all its points in few buckets of equally many.

    Attributes:
        count: how many points the curve has.
        steps: int64[b], the last step of each bucket.
        at: int64[b], the instant of its last point, milliseconds since 1970.
        least, greatest: float64[b], the extremes within each; NaN where it holds no number.
        last: float64[b], the last value of each; the last of all is exact.
    """

    count: int
    steps: Ints
    at: Ints
    least: Floats
    greatest: Floats
    last: Floats


def metrics(project: Project, run_id: str, key: str | None = None) -> list[Metric]:
    """The curve of a metric, or of all, by key and step; what was logged again at a step counts once, the last.

    Raises:
        NoSuchRun: there is no such run.
    """
    with project.database.reading() as connection:
        number = seek(connection, run_id).seq
        found = _curves(project, connection, number, None if key is None else [key])
    return [metric for name in sorted(found) for metric in _last_of_steps(name, found[name])]


def points(project: Project, run_id: str, key: str) -> Points:
    """Every point of a metric in columns, by step, instant and value; none when the run has no such metric.

    Raises:
        NoSuchRun: there is no such run.
    Cost: 1 million points some 20 ms.
    """
    with project.database.reading() as connection:
        return _curves(project, connection, seek(connection, run_id).seq, [key]).get(key, NOTHING)


def history(project: Project, run_id: str, key: str, *, limit: int | None = None, token: str = "") -> Page[Point]:
    """Every point of a metric, by step, instant and value, page by page.

    Args:
        limit: points a page; None for all.
    Raises:
        NoSuchRun: there is no such run.
        BadToken: the token is not from this run and metric.
    """
    question = ["history", run_id, key]
    place = read_token(token, question, 3) if token else None
    from_step = None if place is None else int(place[0] or 0)
    with project.database.reading() as connection:
        number = seek(connection, run_id).seq
        whole = _curves(project, connection, number, [key], from_step=from_step).get(key, NOTHING)
    start = 0 if place is None else _behind(whole, *place)  # type: ignore[arg-type]
    end = whole.count if limit is None else min(start + limit, whole.count)
    page = whole.part(start, end)
    items = tuple(
        Point(key, value, at, step)
        for step, at, value in zip(page.steps.tolist(), page.at.tolist(), page.values.tolist(), strict=True)
    )
    if end == whole.count:
        return Page(items=items)
    return Page(items=items, token=make_token(question, (items[-1].step, items[-1].at, items[-1].value)))


def curve(project: Project, run_id: str, key: str, *, buckets: int = 1000) -> Curve:
    """A metric's curve at a glance.

    Args:
        buckets: at most so many, >= 1; a curve of fewer points has one a point.
    Raises:
        NoSuchRun: there is no such run.
    Cost: 1 million points some 20 ms.
    """
    whole = points(project, run_id, key)
    if whole.count == 0:
        return Curve(0, whole.steps, whole.at, whole.values, whole.values, whole.values)
    edges = np.unique(np.linspace(0, whole.count, min(buckets, whole.count) + 1).astype(np.int64))
    starts, last = edges[:-1], edges[1:] - 1
    least, greatest = (which.reduceat(whole.values, starts) for which in (np.fmin, np.fmax))
    return Curve(whole.count, whole.steps[last], whole.at[last], least, greatest, whole.values[last])


def sampled(
    project: Project,
    run_ids: Sequence[str],
    key: str,
    *,
    start_step: int | None = None,
    end_step: int | None = None,
    limit: int = 320,
) -> dict[str, Points]:
    """A metric of several runs, each thinned out evenly; the first and the last point of each stay.

    Args:
        run_ids: whole ids; those that do not exist are left out.
        start_step, end_step: only what lies between, both ends included.
        limit: points a run, >= 1; the last one alone when it is 1.
    """
    found: dict[str, Points] = {}
    with project.database.reading() as connection:
        numbers = {id_: number for number, id_ in store.ids_by_number(connection, run_ids).items()}
        for id_ in run_ids:
            if id_ in numbers:
                whole = _curves(project, connection, numbers[id_], [key], from_step=start_step).get(key, NOTHING)
                found[id_] = _thinned(_between(whole, start_step, end_step), limit)
    return found


def summaries(project: Project, run_id: str) -> list[Summary]:
    """What there is to know of each metric of a run without its curve, by key.

    Raises:
        NoSuchRun: there is no such run.
    """
    with project.database.reading() as connection:
        rows = store.summaries_of(connection, [seek(connection, run_id).seq])
        names = names_of(project).names(connection, (row.key for row in rows))
    return sorted((_summary(names[row.key], row) for row in rows), key=lambda one: one.key)


def last_points(project: Project, run_ids: Sequence[str], keys: Sequence[str] | None = None) -> dict[str, list[Point]]:
    """The last point of each metric of some runs, by key; a run that does not exist has none. Cost: two queries.

    Args:
        run_ids: whole ids.
        keys: only these metrics; None for all.
    """
    with project.database.reading() as connection:
        ids = store.ids_by_number(connection, run_ids)
        found = last_points_of(project, connection, list(ids), keys)
    return {**{id_: [] for id_ in run_ids}, **{ids[number]: points for number, points in found.items()}}


def last_points_of(
    project: Project, connection: Connection, runs: Sequence[int], keys: Sequence[str] | None = None
) -> dict[int, list[Point]]:
    """As `last_points`, of the runs with these numbers."""
    names = names_of(project)
    numbers = None if keys is None else list(names.numbers(keys).values())
    rows = store.lasts_of(connection, runs, numbers)
    known = names.names(connection, {row[1] for row in rows})
    found: dict[int, list[Point]] = {number: [] for number in runs}
    for run, key, value, step, at in rows:
        found[run].append(Point(known[key], math.nan if value is None else value, at, step))
    for one in found.values():
        one.sort(key=lambda point: point.key)
    return found


def curves_of(
    connection: Connection,
    runs: Sequence[int],
    keys: Sequence[int] | None = None,
    *,
    from_step: int | None = None,
) -> dict[tuple[int, int], Points]:
    """The curves of runs by the numbers of run and metric: chunks, batches not folded yet, and single points.

    Args:
        keys: only these metrics.
        from_step: what lies before may be left out.
    """
    pieces: dict[tuple[int, int], list[Points]] = {}
    for row in store.chunk_rows(connection, runs, keys, from_step=from_step):
        pieces.setdefault((row.run, row.key), []).append(decode_points(row.points))
    for place, found in gathered(store.tail_rows(connection, runs)).items():
        if keys is None or place[1] in keys:
            pieces.setdefault(place, []).append(found)
    for run, key, value, step, at in store.lasts_of(connection, runs, keys):
        if (run, key) not in pieces:
            last = math.nan if value is None else value
            pieces[run, key] = [Points(np.array([step]), np.array([at]), np.array([last]))]
    return {place: chained(found) for place, found in pieces.items()}


def _curves(
    project: Project, connection: Connection, run: int, keys: Sequence[str] | None, *, from_step: int | None = None
) -> Mapping[str, Points]:
    names = names_of(project)
    numbers = None if keys is None else list(names.numbers(keys).values())
    found = curves_of(connection, [run], numbers, from_step=from_step)
    known = names.names(connection, (key for _, key in found))
    return {known[key]: whole for (_, key), whole in found.items()}


def _last_of_steps(key: str, whole: Points) -> list[Metric]:
    last = np.append(whole.steps[1:] != whole.steps[:-1], True)
    columns = (column[last].tolist() for column in whole)
    return [
        Metric(key=key, value=value, step=step, at=from_micros(at * 1000))
        for step, at, value in zip(*columns, strict=True)
    ]


def _behind(whole: Points, step: int, at: int, value: float) -> int:
    """How many points lie up to and at a place."""
    start, end = np.searchsorted(whole.steps, step, "left"), np.searchsorted(whole.steps, step, "right")
    within = whole.at[start:end]
    start, end = start + np.searchsorted(within, at, "left"), start + np.searchsorted(within, at, "right")
    return int(start + np.searchsorted(whole.values[start:end], value, "right"))


def _between(whole: Points, start: int | None, end: int | None) -> Points:
    first = 0 if start is None else int(np.searchsorted(whole.steps, start, "left"))
    last = whole.count if end is None else int(np.searchsorted(whole.steps, end, "right"))
    return whole.part(first, last)


def _thinned(whole: Points, limit: int) -> Points:
    if whole.count <= limit:
        return whole
    places = np.linspace(0, whole.count - 1, limit).round().astype(np.int64) if limit > 1 else np.array([-1])
    return Points(*(column[places] for column in whole))


def _summary(key: str, row: store.SummaryRow) -> Summary:
    last = math.nan if row.value is None else row.value
    return Summary(
        key=key,
        last=last,
        step=row.step,
        at=row.at,
        least=last if row.least is None else row.least,
        least_step=row.step if row.least_step is None else row.least_step,
        greatest=last if row.greatest is None else row.greatest,
        greatest_step=row.step if row.greatest_step is None else row.greatest_step,
    )
