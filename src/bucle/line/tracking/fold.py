"""Folding: batches of points, as they were acknowledged, become the chunks of a curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.chunk import Points, decode_points, encode_points, merged
from bucle.line.tracking.point import pack_singles, unpack

__all__ = ["FULL", "LONG_TAIL", "chunk_row", "cut", "fold", "fold_runs", "gathered", "keep_singles"]

FULL = 1 << 16
"""Points of a chunk."""

LONG_TAIL = 256
"""Batches of one run that wait before they are worth folding."""


def fold(project: Project, run_ids: Sequence[str] | None = None) -> int:
    """Fold what waits into the curves.

    Args:
        run_ids: of these runs; None for all whose tail is long.
    Returns:
        How many batches were folded.
    """
    with project.database.reading() as connection:
        runs = store.long_tails(connection, LONG_TAIL) if run_ids is None else store.run_numbers(connection, run_ids)
    return sum(project.database.grouped(partial(fold_runs, runs=[run])) for run in runs)


def fold_runs(connection: Connection, runs: Sequence[int], *, ended: bool = False) -> int:
    """Fold the tails of some runs, within a write; how many batches there were.

    Args:
        ended: nothing more is to come: a metric of one single point needs no chunk, since its summary says all of it.
    """
    store.lock_runs(connection, runs)
    tails = store.tail_rows(connection, runs)
    for (run, key), points in gathered(tails).items():
        _fold(connection, run, key, points, ended=ended)
    if tails:
        # One by one, not a range: in PostgreSQL a batch with a smaller number may be kept later.
        store.DROP_TAIL.run(connection, {"seqs": [row.seq for row in tails]})
    return len(tails)


def keep_singles(connection: Connection, run: int, keys: Sequence[int] | None = None) -> None:
    """Write down single points that only their summaries tell, before more points come to an ended run.

    Args:
        keys: of these metrics; None for all.
    """
    curves = store.curve_keys(connection, run)
    rows = [row for row in store.summaries_of(connection, [run], keys) if row.key not in curves]
    if rows:
        found = {row.key: (row.step, row.at, math.nan if row.value is None else row.value) for row in rows}
        store.ADD_TAIL.run(connection, {"run": run, "points": pack_singles(found)})


def gathered(tails: Iterable[store.TailRow]) -> dict[tuple[int, int], Points]:
    """The points of batches by run and metric, in order, each once."""
    pieces: dict[tuple[int, int], list[Points]] = {}
    for row in tails:
        for key, points in unpack(row.points):
            pieces.setdefault((row.run, key), []).append(points)
    return {place: merged(found) for place, found in pieces.items()}


def _fold(connection: Connection, run: int, key: int, points: Points, *, ended: bool) -> None:
    spans = store.chunk_spans(connection, run, key)
    if ended and not spans and points.count == 1:
        return
    touched = _touched(spans, points)
    old = [decode_points(data) for data in store.chunk_points(connection, run, key, [span.seq for span in touched])]
    whole = merged([*old, points])
    following = max((span.seq for span in spans), default=-1) + 1
    store.drop_chunks(connection, run, key, [span.seq for span in touched])
    rows = [chunk_row(run, key, following + number, part) for number, part in enumerate(cut(whole))]
    store.ADD_CHUNK.run_many(connection, rows)


def _touched(spans: Sequence[store.Span], points: Points) -> list[store.Span]:
    """The chunks that new points lie within, and the last one while it has room."""
    first = (int(points.steps[0]), int(points.at[0]))
    last = (int(points.steps[-1]), int(points.at[-1]))
    found = [
        span for span in spans if (span.last_step, span.last_at) >= first and (span.first_step, span.first_at) <= last
    ]
    if not found and spans and spans[-1].length < FULL:
        found = [spans[-1]]
    return found


def cut(points: Points) -> list[Points]:
    """A curve in pieces of the size of a chunk."""
    return [points.part(start, start + FULL) for start in range(0, points.count, FULL)]


def chunk_row(run: int, key: int, seq: int, points: Points) -> dict[str, Any]:
    """A piece of a curve as a row of `metric_chunks`."""
    return {
        "run": run,
        "key": key,
        "seq": seq,
        "count": points.count,
        "first_step": int(points.steps[0]),
        "first_at": int(points.at[0]),
        "last_step": int(points.steps[-1]),
        "last_at": int(points.at[-1]),
        "points": encode_points(points),
    }
