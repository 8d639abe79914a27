"""Run: one training, with all that went into it and all that came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import Record, decode, from_micros, make_ref, suggest
from bucle.ground.project import Project
from bucle.ground.store import joined
from bucle.line.tracking import store
from bucle.line.tracking.errors import NoSuchRun
from bucle.line.tracking.name import Names, names_of
from bucle.line.tracking.run_input import Dataset, ModelUse, dataset_of
from bucle.line.tracking.tables import EXPERIMENTS, RUN_PARAMS, RUN_TAGS, RUNS

__all__ = [
    "ENDED",
    "Circumstances",
    "Columns",
    "Run",
    "Status",
    "read_rows",
    "read_runs",
    "run",
    "run_by_id",
    "run_of",
    "runs",
    "runs_by_ids",
    "seek",
]

Status = Literal["running", "scheduled", "finished", "failed", "killed"]

ENDED = ("finished", "failed", "killed")
"""Where a run does not go on from."""

Columns = Sequence[str]
"""What to read of a run besides its row: `params`, `tags`, `metrics`, `datasets`, `models`, `artifacts` for all of
them, or `params.KEY`, `tags.KEY`, `metrics.KEY` for one."""

EVERYTHING = ("params", "tags", "metrics", "datasets", "models", "artifacts")


class Circumstances(Record, frozen=True, omit_defaults=True):
    """What nobody searches runs by; attributes as in `Run`."""

    inputs: tuple[str, ...] = ()
    code_commit: str = ""
    code_diff: str = ""
    environment: str = ""
    lock: str = ""
    seed: int | None = None
    attempt: int = 1
    error: str = ""
    within: str = ""


NONE = Circumstances()
"""Of a run whose client told none."""


class Run(Record, frozen=True):
    """A training and its circumstances.

    Attributes:
        id: 16 or 32 hexadecimal digits; made from the experiment and the key when a key was given.
        experiment: the name of what it belongs to.
        name: for people.
        status: `running`, `scheduled`, `finished`, `failed` or `killed`; a run whose process was killed stays `running`
            until it is resumed.
        started_at, ended_at: instants; `ended_at` is None while it runs.
        params: as text.
        metrics: the last value of each, by step, instant and value.
        tags: as text.
        inputs: refs of what it read, e.g. `commit/9a0b…`.
        artifacts: path -> blob digest.
        code_commit: git commit of the project; empty without git.
        code_diff: blob of what was not committed; empty when clean.
        environment: blob of Python and every package.
        lock: blob of the packages as a requirements file.
        seed: what the random numbers began with, or None.
        actor: who ran it.
        attempt: 1, and one more each time it was resumed.
        error: why it failed, or empty.
        experiment_id: the id of what it belongs to.
        lifecycle: `active`, or `deleted` when it was put aside, by itself or with its experiment.
        deleted_at: when it was put aside by itself.
        sealed: whether the ledger holds the digest of all of it, as it is now.
        datasets: as its client described what it read.
        models: the logged models it read or made.
        within: the ref of the step or execution it was begun in; empty outside of pipelines.
    """

    id: str
    experiment: str
    name: str
    status: Status
    started_at: datetime
    ended_at: datetime | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    inputs: tuple[str, ...]
    artifacts: dict[str, str]
    code_commit: str
    code_diff: str
    environment: str
    lock: str
    seed: int | None
    actor: str
    attempt: int = 1
    error: str = ""
    experiment_id: str = ""
    lifecycle: Literal["active", "deleted"] = "active"
    deleted_at: datetime | None = None
    sealed: bool = False
    datasets: tuple[Dataset, ...] = ()
    models: tuple[ModelUse, ...] = ()
    within: str = ""


def run(project: Project, id: str) -> Run:  # noqa: A002  the noun says whose id
    """One run, by its id or the beginning of it.

    Raises:
        NoSuchRun: no run, or more than one, begins so.
    """
    with project.database.reading() as connection:
        return read_rows(project, connection, [seek(connection, id)])[0]


def run_by_id(project: Project, id: str, *, columns: Columns | None = None) -> Run:  # noqa: A002
    """One run, by its whole id.

    Args:
        columns: what to read of it; None for everything.
    Raises:
        NoSuchRun: there is none.
    """
    found = runs_by_ids(project, [id], columns=columns)
    if not found:
        raise NoSuchRun(f"There is no run {id[:40]!r}.", fix="See: bucle runs list", at=id[:40])
    return found[0]


def runs_by_ids(project: Project, ids: Sequence[str], *, columns: Columns | None = None) -> list[Run]:
    """The runs with these ids, in the order of the ids; those that do not exist are left out.

    Args:
        columns: what to read of them; None for everything.
    """
    with project.database.reading() as connection:
        found = {run.id: run for run in read_rows(project, connection, store.run_rows_by_id(connection, ids), columns)}
    return [found[id_] for id_ in ids if id_ in found]


def runs(
    project: Project, experiment: str | None = None, *, status: Status | None = None, limit: int | None = 100
) -> list[Run]:
    """Runs that are not deleted, newest first.

    Args:
        experiment: only of the experiment of this name.
        status: only these.
        limit: at most so many; None for all.
    """
    where: list[sa.ColumnElement[bool]] = [RUNS.c.lifecycle == "active", EXPERIMENTS.c.lifecycle == "active"]
    if experiment is not None:
        where.append(EXPERIMENTS.c.name == experiment)
    if status is not None:
        where.append(RUNS.c.status == status)
    query = sa.select(RUNS.c.seq).join(EXPERIMENTS, EXPERIMENTS.c.id == RUNS.c.experiment).where(*where)
    with project.database.reading() as connection:
        order = query.order_by(RUNS.c.started_at.desc(), RUNS.c.id).limit(limit)
        return read_runs(project, connection, list(connection.execute(order).scalars()))


def read_runs(
    project: Project, connection: Connection, numbers: Sequence[int], columns: Columns | None = None
) -> list[Run]:
    """The runs with these numbers, in their order. Cost: one query a kind of column, however many runs.

    Args:
        numbers: `runs.seq`.
        columns: what to read of them; None for everything.
    """
    rows = {row.seq: row for row in store.run_rows(connection, numbers)}
    return read_rows(project, connection, [rows[number] for number in numbers if number in rows], columns)


def seek(connection: Connection, id_: str) -> store.RunRow:
    """The row of a run, by its id or the beginning of it.

    Raises:
        NoSuchRun: no run, or more than one, begins so.
    """
    found = store.run_rows_by_id(connection, [id_])
    near = store.ids_like(connection, id_) if len(id_) >= 4 and not found else []
    if len(near) == 1:
        found = store.run_rows_by_id(connection, near)
    if found:
        return found[0]
    raise NoSuchRun(
        f"There is no run {id_[:40]!r}." if not near else f"More than one run begins with {id_[:40]!r}.",
        fix=suggest(id_, near or store.recent_ids(connection, 200)) or "See: bucle runs list",
        at=id_[:40],
    )


def read_rows(
    project: Project, connection: Connection, rows: Sequence[store.RunRow], columns: Columns | None = None
) -> list[Run]:
    """The runs whose rows these are, in their order; arguments as in `read_runs`."""
    wanted = _Wanted(names_of(project), EVERYTHING if columns is None else columns)
    held = {row.seq: _Held() for row in rows}
    if held:
        wanted.fill(connection, held, {make_ref("run", row.id): row.seq for row in rows})
    return [run_of(row, held[row.seq]) for row in rows]


class _Held:
    """What belongs to a run besides its row."""

    __slots__ = ("artifacts", "datasets", "metrics", "models", "params", "tags")

    def __init__(self) -> None:
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.metrics: dict[str, float] = {}
        self.artifacts: dict[str, str] = {}
        self.datasets: list[Dataset] = []
        self.models: list[ModelUse] = []


class _Wanted:
    """What to read of runs."""

    def __init__(self, names: Names, columns: Columns) -> None:
        self._names = names
        self._whole = {column for column in columns if "." not in column}
        keys: dict[str, list[str]] = {}
        for scope, dot, key in (column.partition(".") for column in columns):
            if dot:
                keys.setdefault(scope, []).append(key)
        self._keys = {scope: list(names.numbers(found).values()) for scope, found in keys.items()}

    def fill(self, connection: Connection, held: dict[int, _Held], owners: dict[str, int]) -> None:
        """Read it, a query each."""
        runs_ = list(held)
        for scope, table in (("params", RUN_PARAMS), ("tags", RUN_TAGS)):
            if self._has(scope):
                texts = store.texts_of(connection, table, runs_, self._only(scope))
                names = self._names.names(connection, {row[1] for row in texts})
                for number, key, value, rest in texts:
                    getattr(held[number], scope)[names[key]] = joined(value, rest)
        if self._has("metrics"):
            lasts = store.lasts_of(connection, runs_, self._only("metrics"))
            names = self._names.names(connection, {row[1] for row in lasts})
            for number, key, last, _, _ in lasts:
                held[number].metrics[names[key]] = math.nan if last is None else last
        self._fill_rest(connection, held, owners)

    def _fill_rest(self, connection: Connection, held: dict[int, _Held], owners: dict[str, int]) -> None:
        if self._has("datasets"):
            for row in store.dataset_rows(connection, list(held)):
                held[row.run].datasets.append(dataset_of(row))
        if self._has("models"):
            for use in store.model_rows(connection, list(held)):
                direction: Literal["input", "output"] = "input" if use.direction == "input" else "output"
                held[use.run].models.append(ModelUse(model=use.model, direction=direction, step=use.step))
        if self._has("artifacts"):
            for file in store.artifact_rows(connection, list(owners)):
                held[owners[file.owner]].artifacts[file.path] = file.digest

    def _has(self, scope: str) -> bool:
        return scope in self._whole or bool(self._keys.get(scope))

    def _only(self, scope: str) -> list[int] | None:
        return None if scope in self._whole else self._keys[scope]


def run_of(row: store.RunRow, held: _Held) -> Run:
    """The run a row and what belongs to it make."""
    about = NONE if row.circumstances == "{}" else decode(row.circumstances, Circumstances, what="run")
    return Run(
        id=row.id,
        experiment=row.experiment_name,
        name=row.name,
        status=cast(Status, row.status),
        started_at=from_micros(row.started_at),
        ended_at=None if row.ended_at is None else from_micros(row.ended_at),
        params=_sorted(held.params),
        metrics=_sorted(held.metrics),
        tags=_sorted(held.tags),
        inputs=about.inputs,
        within=about.within,
        artifacts=held.artifacts,
        code_commit=about.code_commit,
        code_diff=about.code_diff,
        environment=about.environment,
        lock=about.lock,
        seed=about.seed,
        actor=row.actor,
        attempt=about.attempt,
        error=about.error,
        experiment_id=str(row.experiment),
        lifecycle="active" if row.lifecycle == row.experiment_lifecycle == "active" else "deleted",
        deleted_at=None if row.deleted_at is None else from_micros(row.deleted_at),
        sealed=row.sealed is not None,
        datasets=tuple(held.datasets),
        models=tuple(held.models),
    )


def _sorted(found: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(found.items()))
