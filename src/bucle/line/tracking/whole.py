"""WholeRun: a run with all it holds, as it goes from one tracker to another; many at once, ids and instants kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import numpy as np
from blake3 import blake3
from sqlalchemy.engine import Connection

from bucle.ground.core import Digest, encode, to_micros
from bucle.ground.project import Project
from bucle.ground.store import Work, split
from bucle.line.tracking import store
from bucle.line.tracking.chunk import Points
from bucle.line.tracking.fold import chunk_row, cut
from bucle.line.tracking.metric import curves_of
from bucle.line.tracking.name import enter, names_of
from bucle.line.tracking.point import columns_of
from bucle.line.tracking.run import ENDED, Circumstances, Run, Status, read_runs
from bucle.line.tracking.run_input import Dataset, ModelUse
from bucle.line.tracking.text import check_text

__all__ = ["WholeRun", "adopt_runs", "gather_curves", "whole_runs"]

LONGEST = 100_000
"""Characters of a value that is taken over: what another tracker kept is not cut, however long it is."""

_COLUMNS = ("params", "tags", "datasets", "models")

_SHARED = (
    "id", "experiment_id", "name", "status", "started_at", "ended_at", "deleted_at", "actor",
    "params", "tags", "datasets", "models",
)  # fmt: skip


class WholeRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all it holds but its files.

    Attributes:
        id, experiment_id, name, status, lifecycle, actor, started_at, ended_at, deleted_at: as of `Run`.
        params, tags: as text.
        curves: metric -> every point, as `gather_curves` gives them.
        datasets, models: as of `Run`.
        circumstances: what nobody searches by.
    """

    id: str
    experiment_id: str
    name: str
    status: Status
    started_at: datetime
    ended_at: datetime | None = None
    deleted_at: datetime | None = None
    lifecycle: Literal["active", "deleted"] = "active"
    actor: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    curves: dict[str, Points] = {}
    datasets: tuple[Dataset, ...] = ()
    models: tuple[ModelUse, ...] = ()
    circumstances: Circumstances = Circumstances()

    @property
    def points(self) -> int:
        """How many points its curves have."""
        return sum(curve.count for curve in self.curves.values())

    def digest(self) -> Digest:
        """Of all it holds: equal for the same run in two places."""
        held = (
            self.id,
            self.experiment_id,
            self.name,
            self.status,
            self.lifecycle,
            self.actor,
            *(None if at is None else to_micros(at) for at in (self.started_at, self.ended_at, self.deleted_at)),
            self.params,
            self.tags,
            {key: curve.count for key, curve in self.curves.items()},
            sorted(encode(one).decode() for one in self.datasets),
            sorted((one.direction, one.model, one.step) for one in self.models),
            self.circumstances,
        )
        hashed = blake3(encode(held))
        for key in sorted(self.curves):
            for column in self.curves[key]:
                hashed.update(column.tobytes())
        return Digest(hashed.hexdigest())


def gather_curves(
    keys: Sequence[str], steps: Sequence[int], at: Sequence[int], values: Sequence[float]
) -> dict[str, Points]:
    """The curves that loose points make: each in order of step, instant and value, each point once.

    Args:
        keys, steps, at, values: n each; a point's metric, step, milliseconds since 1970, value.
    Cost: O(n log n), one sort for all of them.
    """
    if not keys:
        return {}
    codes: dict[str, int] = {}
    places = np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)
    columns = Points(np.array(steps, dtype=np.int64), np.array(at, dtype=np.int64), np.array(values, dtype=np.float64))
    values_ = columns.values + 0.0  # one zero, and below one not-a-number: that is how they are kept
    values_[np.isnan(values_)] = math.nan
    order = np.lexsort((values_, columns.at, columns.steps, places))
    places, sorted_ = places[order], Points(columns.steps[order], columns.at[order], values_[order])
    keep = np.append(True, (np.diff(places) != 0) | _differs(sorted_))
    if not keep.all():
        places, sorted_ = places[keep], Points(*(column[keep] for column in sorted_))
    ends = np.cumsum(np.bincount(places)).tolist()
    return {key: sorted_.part(start, end) for key, start, end in zip(codes, [0, *ends], ends, strict=False)}


def _differs(points: Points) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each point is another than the one before it; not-a-number is itself."""
    steps, at, values = points
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    found: np.ndarray[Any, np.dtype[np.bool_]] = (np.diff(steps) != 0) | (np.diff(at) != 0) | ~same
    return found


def whole_runs(project: Project, ids: Sequence[str]) -> list[WholeRun]:
    """Runs with all they hold, in the order of the ids; those that do not exist are left out.

    Cost: a few queries, and every point of every curve.
    """
    with project.database.reading() as connection:
        rows = store.run_rows_by_id(connection, ids)
        numbers = {row.id: row.seq for row in rows}
        own = {row.seq: row.lifecycle for row in rows}
        found = read_runs(project, connection, [numbers[id_] for id_ in ids if id_ in numbers], _COLUMNS)
        curves = curves_of(connection, list(own))
        names = store.names_by_number(connection, {key for _, key in curves})
        held: dict[int, dict[str, Points]] = {number: {} for number in own}
        for (number, key), points in curves.items():
            held[number][names[key]] = points
    return [_whole(run, own[numbers[run.id]], held[numbers[run.id]]) for run in found]


def _whole(run: Run, lifecycle: Any, curves: dict[str, Points]) -> WholeRun:
    return WholeRun(
        **{name: getattr(run, name) for name in _SHARED},
        lifecycle=lifecycle,
        curves=curves,
        circumstances=Circumstances(**{name: getattr(run, name) for name in Circumstances.__struct_fields__}),
    )


def adopt_runs(project: Project, runs: Sequence[WholeRun]) -> int:
    """Take over runs from elsewhere, all of them or none.

    Their experiments are there. Runs whose id is there already are left as they are.

    Returns:
        How many were new.
    Raises:
        BadText: a text holds what no database keeps; the error's `at` names it.
    Cost: a few statements a run; one transaction in all.
    """
    return project.database.grouped(adopt_work(project, runs)) if runs else 0


def adopt_work(project: Project, runs: Sequence[WholeRun]) -> Work[int]:
    """As `adopt_runs`, to be done together with other writes."""
    every = {key for run in runs for texts in (run.params, run.tags, run.curves) for key in texts}
    known = names_of(project).numbers(every)
    prepared = list(zip(map(_row, runs), map(_Parts, runs), _summaries(runs), strict=True))

    def work(connection: Connection) -> int:
        numbers = enter(connection, every, known)
        added = store.add_runs(connection, [row for row, _, _ in prepared])
        new, rows = len(added), _Rows()
        for row, parts, summaries in prepared:
            seq = added.pop(row["id"], None)
            if seq is not None:
                rows.take(seq, parts, numbers)
                rows.summaries += [
                    {**summary, "run": seq, "experiment": row["experiment"], "key": numbers[key]}
                    for key, summary in summaries
                ]
        rows.write(connection)
        return new

    return work


def _row(run: WholeRun) -> dict[str, Any]:
    return {
        "id": check_text(run.id, "run's id", LONGEST),
        "experiment": int(run.experiment_id),
        "name": check_text(run.name, "run's name", LONGEST),
        "status": run.status,
        "lifecycle": run.lifecycle,
        "actor": check_text(run.actor, "user", LONGEST),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "deleted_at": run.deleted_at,
        "sealed": None,
        "circumstances": encode(run.circumstances).decode(),
    }


class _Parts:
    """What belongs to a run, computed by the caller's thread."""

    def __init__(self, run: WholeRun) -> None:
        self.params = _texts(run.params, "parameter")
        self.tags = _texts(run.tags, "tag")
        # While a run goes on a single point needs its chunk: more may come.
        least = 2 if run.status in ENDED else 1
        self.chunks = [
            (key, number, part)
            for key, curve in run.curves.items()
            if curve.count >= least
            for number, part in enumerate(cut(curve))
        ]
        self.datasets = [_dataset_row(one) for one in run.datasets]
        self.models = [{"direction": one.direction, "model": one.model, "step": one.step} for one in run.models]


def _summaries(runs: Sequence[WholeRun]) -> list[list[tuple[str, Mapping[str, Any]]]]:
    """Of each run, what there is to know of its metrics without their curves: one computation for all of them."""
    curves = {f"{place} {key}": curve for place, run in enumerate(runs) for key, curve in run.curves.items()}
    found: list[list[tuple[str, Mapping[str, Any]]]] = [[] for _ in runs]
    if curves:
        batch = columns_of(curves)
        for name, summary in zip(batch.keys, batch.summaries, strict=True):
            place, _, key = name.partition(" ")
            found[int(place)].append((key, summary))
    return found


def _texts(texts: Mapping[str, str], what: str) -> list[tuple[str, str, str | None]]:
    return [(key, *split(check_text(value, what, LONGEST))) for key, value in texts.items()]


def _dataset_row(one: Dataset) -> dict[str, Any]:
    return {
        "name": check_text(one.name, "dataset's name", LONGEST),
        "digest": check_text(one.digest, "dataset's digest", LONGEST),
        "context": one.context,
        "source_type": one.source_type,
        "source": one.source,
        "schema": one.schema,
        "profile": one.profile,
        "tags": encode(one.tags).decode(),
    }


class _Rows:
    """Rows of many runs, to be written with one statement a table."""

    def __init__(self) -> None:
        self.params = list[dict[str, Any]]()
        self.tags = list[dict[str, Any]]()
        self.summaries = list[dict[str, Any]]()
        self.chunks = list[dict[str, Any]]()
        self.datasets = list[dict[str, Any]]()
        self.models = list[dict[str, Any]]()

    def take(self, run: int, parts: _Parts, numbers: Mapping[str, int]) -> None:
        for rows, texts in ((self.params, parts.params), (self.tags, parts.tags)):
            rows += [{"run": run, "key": numbers[key], "value": value, "rest": rest} for key, value, rest in texts]
        self.chunks += [chunk_row(run, numbers[key], number, part) for key, number, part in parts.chunks]
        self.datasets += [{**row, "run": run} for row in parts.datasets]
        self.models += [{**row, "run": run} for row in parts.models]

    def write(self, connection: Connection) -> None:
        for statement, rows in (
            (store.PUT_PARAM, self.params),
            (store.PUT_TAG, self.tags),
            (store.ADD_SUMMARY, self.summaries),
            (store.ADD_CHUNK, self.chunks),
            (store.PUT_DATASET, self.datasets),
            (store.PUT_MODEL, self.models),
        ):
            if rows:
                statement.run_many(connection, rows)
