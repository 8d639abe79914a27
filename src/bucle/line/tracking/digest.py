"""Digest: what stands for all that a run holds, however its curves are kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from bucle.ground.core import digest_of, digest_of_value, make_ref
from bucle.ground.project import Project
from bucle.ground.store import joined
from bucle.line.tracking import seal_store, store
from bucle.line.tracking.chunk import Points
from bucle.line.tracking.fold import gathered
from bucle.line.tracking.metric import curves_of
from bucle.line.tracking.tables import RUN_PARAMS, RUN_TAGS, RUNS

__all__ = ["Ahead", "CurveDigests", "curve_digests", "digests", "read_ahead", "up_to_date"]

MOST_POINTS = 1 << 22
"""Points that are decoded at once, 100 MB; a single curve that has more is."""

LEAST_BYTES = 8
"""Bytes a point in a batch takes at least, about."""

CurveDigests = Mapping[tuple[int, int], list[Any]]
"""By the numbers of run and metric: how many points a curve has, and their digest; of a single point, that point."""


class Ahead(NamedTuple):
    """Curves that were read before the log was locked.

    Attributes:
        pieces: run -> what its curves consisted of.
        curves: their digests.
    """

    pieces: Mapping[int, frozenset[seal_store.Piece]]
    curves: CurveDigests


def read_ahead(project: Project, runs: Sequence[int]) -> Ahead:
    """Read the curves of runs, so that nobody need wait while that lasts.

    Cost: every point; in memory `MOST_POINTS` at once.
    """
    with project.database.reading() as connection:
        return Ahead(_pieces(connection, runs), curve_digests(connection, runs))


def up_to_date(connection: Connection, runs: Sequence[int], ahead: Ahead) -> CurveDigests:
    """The digests of curves as they are now; only those are read that changed since they were read ahead."""
    now = _pieces(connection, runs)
    changed = [run for run in runs if now[run] != ahead.pieces.get(run)]
    kept = {place: told for place, told in ahead.curves.items() if place[0] not in set(changed)}
    return {**kept, **curve_digests(connection, changed)}


def curve_digests(connection: Connection, runs: Sequence[int]) -> CurveDigests:
    """The digests of all curves of runs. Cost: every point; in memory `MOST_POINTS` at once."""
    found: dict[tuple[int, int], list[Any]] = {}
    weights = Counter[int]()
    for piece in seal_store.pieces(connection, runs):
        weights[piece.run] += _points_in(piece)
    for part in _portions(runs, weights):
        if weights[part[0]] > MOST_POINTS:
            found.update(_one_by_one(connection, part[0]))
        else:
            found.update(_told(curves_of(connection, part)))
    return found


def digests(connection: Connection, rows: Sequence[store.RunRow], curves: CurveDigests) -> dict[int, str]:
    """The digest of all that each run holds.

    Args:
        curves: of these runs, maybe of others.
    """
    runs = [row.seq for row in rows]
    held: dict[int, dict[str, list[list[Any]]]] = {
        run: {"params": [], "tags": [], "metrics": [], "datasets": [], "models": [], "artifacts": []} for run in runs
    }
    texts = {
        name: store.texts_of(connection, table, runs) for name, table in (("params", RUN_PARAMS), ("tags", RUN_TAGS))
    }
    summaries = store.summaries_of(connection, runs)
    left = {place: told for place, told in curves.items() if place[0] in held}
    keys = {key for found in texts.values() for _, key, _, _ in found} | {row.key for row in summaries}
    names = store.names_by_number(connection, keys | {key for _, key in left})
    for name, found in texts.items():
        for run, key, value, rest in found:
            held[run][name].append([names.get(key), joined(value, rest)])
    for row in summaries:
        held[row.run]["metrics"].append([names.get(row.key), *_summary(row), *left.pop((row.run, row.key), [])])
    for (run, key), told in left.items():  # curves without a summary: somebody took it away
        held[run]["metrics"].append([names.get(key), *told])
    for dataset in store.dataset_rows(connection, runs):
        held[dataset.run]["datasets"].append(list(dataset[1:]))
    for model in store.model_rows(connection, runs):
        held[model.run]["models"].append(list(model[1:]))
    owners: dict[str, int] = {make_ref("run", row.id): row.seq for row in rows}
    for file in store.artifact_rows(connection, list(owners)):
        held[owners[file.owner]]["artifacts"].append([file.path, file.digest, file.size])
    return {row.seq: digest_of_value([_row(row), _in_order(held[row.seq])]) for row in rows}


def _pieces(connection: Connection, runs: Sequence[int]) -> dict[int, frozenset[seal_store.Piece]]:
    found: dict[int, list[seal_store.Piece]] = {run: [] for run in runs}
    for piece in seal_store.pieces(connection, runs):
        found[piece.run].append(piece)
    return {run: frozenset(listed) for run, listed in found.items()}


def _points_in(piece: seal_store.Piece) -> int:
    """At most so many, about."""
    return piece.size // LEAST_BYTES if piece.key is None else piece.size


def _portions(items: Iterable[int], weights: Mapping[int, int]) -> Iterator[list[int]]:
    """The items, as many at once as weigh no more than `MOST_POINTS`; a heavier one by itself."""
    portion, weight = list[int](), 0
    for item in items:
        if portion and weight + weights[item] > MOST_POINTS:
            yield portion
            portion, weight = [], 0
        portion.append(item)
        weight += weights[item]
    if portion:
        yield portion


def _one_by_one(connection: Connection, run: int) -> CurveDigests:
    """The curves of a run that has more of them than fit into memory at once."""
    weights = Counter[int]()
    for piece in seal_store.pieces(connection, [run]):
        if piece.key is not None:
            weights[piece.key] += piece.size
    keys = {*weights, *(row.key for row in store.summaries_of(connection, [run]))}
    keys |= {key for _, key in gathered(store.tail_rows(connection, [run]))}
    found: dict[tuple[int, int], list[Any]] = {}
    for part in _portions(sorted(keys), weights):
        found.update(_told(curves_of(connection, [run], part)))
    return found


def _told(curves: Mapping[tuple[int, int], Points]) -> CurveDigests:
    return {place: _points(points) for place, points in curves.items()}


def _row(row: store.RunRow) -> list[Any]:
    return [getattr(row, column.name) for column in RUNS.c if column.name not in ("seq", "sealed")]


def _in_order(held: Mapping[str, list[list[Any]]]) -> dict[str, list[list[Any]]]:
    return {name: sorted(rows, key=lambda one: [str(cell) for cell in one[:2]]) for name, rows in held.items()}


def _summary(row: store.SummaryRow) -> list[Any]:
    """A metric's summary; a least value that is not told is the last one."""
    least, greatest = (row.value if one is None else one for one in (row.least, row.greatest))
    least_step, greatest_step = (row.step if one is None else one for one in (row.least_step, row.greatest_step))
    numbers = [_exact(one) for one in (row.value, least, greatest)]
    return [row.experiment, row.step, row.at, least_step, greatest_step, *numbers]


def _points(points: Points) -> list[Any]:
    if points.count == 1:
        return [1, int(points.steps[0]), int(points.at[0]), _exact(float(points.values[0]))]
    body = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in points)
    return [points.count, digest_of(body)]


def _exact(value: float | None) -> str:
    """A number bit for bit; JSON has no infinity and nothing that is not a number."""
    return "nan" if value is None or math.isnan(value) else float(value).hex()
