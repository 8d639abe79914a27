"""The verbs that write runs: begin one, log to it, end it, put it aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from msgspec.structs import replace
from sqlalchemy.engine import Connection

from bucle.ground.core import decode, make_ref, to_micros
from bucle.ground.project import Project
from bucle.ground.store import retried
from bucle.line.tracking import store, writes
from bucle.line.tracking.chunk import Points
from bucle.line.tracking.digest import Ahead, read_ahead, up_to_date
from bucle.line.tracking.fold import fold_runs
from bucle.line.tracking.point import Point
from bucle.line.tracking.run import Circumstances, Run, Status, run_by_id
from bucle.line.tracking.run_input import Dataset, ModelUse
from bucle.line.tracking.seal import enter_seals, seal_one

__all__ = [
    "create_run",
    "delete_run",
    "delete_tag",
    "end_run",
    "log",
    "log_inputs",
    "log_outputs",
    "restore_run",
    "update_run",
]


def create_run(
    project: Project,
    experiment_id: str,
    *,
    id: str = "",  # noqa: A002  the noun says whose id
    name: str = "",
    actor: str = "",
    started_at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    circumstances: Circumstances | None = None,
) -> Run:
    """Begin a run.

    Args:
        id: its own, or 32 hexadecimal digits by chance.
        name: for people; the beginning of the id unless given.
        actor: who runs it; the project's unless given.
        started_at: now unless given.
        tags, params: as text.
        circumstances: inputs, code, environment.
    Raises:
        NoSuchExperiment, ExperimentDeleted: there is none to begin it in.
        RunExists: another run has this id. Beginning the very same run again is beginning it once.
        BadText: a key or a value cannot be kept.
    """
    return project.database.grouped(
        writes.create_work(
            project,
            experiment_id,
            id=id,
            name=name,
            actor=actor,
            started_at=started_at,
            tags=tags,
            params=params,
            circumstances=circumstances,
        )
    )


def log(
    project: Project,
    run_id: str,
    *,
    points: Sequence[Point] = (),
    columns: Mapping[str, Points] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log to a run, all of it or nothing. The same again changes nothing.

    Args:
        points: values of metrics; the very same point twice is one point.
        columns: whole curves, metric -> points.
        params: as text; each can be set once, to the same value as often as one likes.
        tags: as text; the last value counts.
    Raises:
        NoSuchRun, RunDeleted: it cannot be logged to.
        AlreadySet: a parameter has another value.
        BadMetric, BadText: something cannot be kept.
    """
    project.database.grouped(writes.log_work(project, run_id, points=points, columns=columns, params=params, tags=tags))


def update_run(
    project: Project,
    run_id: str,
    *,
    status: Status | None = None,
    ended_at: datetime | None = None,
    name: str | None = None,
) -> Run:
    """Change a run's status, end or name; what is not given stays.

    Args:
        status: one that ends it needs no `ended_at`: it is now. One that does not takes the end away.
    Returns:
        The run without its params, tags, metrics and the like.
    Raises:
        NoSuchRun, RunDeleted: it cannot be changed.
    """
    project.database.grouped(writes.update_work(project, run_id, status=status, ended_at=ended_at, name=name))
    return run_by_id(project, run_id, columns=())


def end_run(
    project: Project,
    run_id: str,
    *,
    status: Literal["finished", "failed", "killed"],
    ended_at: datetime | None = None,
    error: str = "",
) -> None:
    """Close a run and seal it, with an event of its own; a no-op when it ended so before and did not change since.

    Args:
        ended_at: now unless given; when it has ended so before, whenever that was.
        error: why it failed, one sentence.
    Raises:
        NoSuchRun, RunDeleted: it cannot be ended.
    """
    ahead = _look_ahead(project, run_id)
    with suppress(_EndedSo):
        retried(lambda: _end(project, run_id, status, ended_at, error, ahead))


class _EndedSo(Exception):
    """The run has ended so, and is sealed."""


def _look_ahead(project: Project, run_id: str) -> Ahead:
    with project.database.reading() as connection:
        runs = store.run_numbers(connection, [run_id])
    return read_ahead(project, runs)


def _end(  # noqa: PLR0917
    project: Project,
    run_id: str,
    status: Literal["finished", "failed", "killed"],
    ended_at: datetime | None,
    error: str,
    ahead: Ahead,
) -> None:
    found = run_by_id(project, run_id, columns=())
    curves: dict[tuple[int, int], list[Any]] = {}
    runs: list[int] = []

    def close(connection: Connection) -> None:
        run = writes.open_run(connection, run_id)
        (row,) = store.run_rows(connection, [run.seq])
        is_then = ended_at is None or row.ended_at == to_micros(ended_at)
        if row.sealed is not None and row.status == status and is_then:
            raise _EndedSo
        about = replace(decode(row.circumstances, Circumstances, what="run"), error=error)
        end = ended_at or project.clock.now()
        writes.update_work(project, run_id, status=status, ended_at=end, circumstances=about)(connection)
        runs.append(run.seq)
        curves.update(up_to_date(connection, runs, ahead))
        fold_runs(connection, runs, ended=True)

    kind, subject = f"tracking.run_{status}", make_ref("run", run_id)
    with project.ledger.transaction(kind, subject=subject, actor=found.actor, first=close) as tx:
        enter_seals(project, tx, runs, curves)
        tx.data.update({"experiment": found.experiment, "status": status, "attempt": found.attempt})
        tx.data["metrics"] = store.last_values(tx.connection, runs[0])
        if error:
            tx.data["error"] = error


def delete_run(project: Project, run_id: str) -> None:
    """Put a run aside; it can be restored. A no-op when it is.

    Raises:
        NoSuchRun: there is none.
    """
    project.database.grouped(writes.lifecycle_work(project, run_id, deleted=True))
    seal_one(project, run_id, "tracking.run_deleted")


def restore_run(project: Project, run_id: str) -> None:
    """Bring a run back. A no-op when it is not put aside.

    Raises:
        NoSuchRun: there is none.
    """
    project.database.grouped(writes.lifecycle_work(project, run_id, deleted=False))


def delete_tag(project: Project, run_id: str, key: str) -> None:
    """Take a tag off a run.

    Raises:
        NoSuchTag: it has none of this key.
        NoSuchRun, RunDeleted: it cannot be changed.
    """
    project.database.grouped(writes.delete_tag_work(project, run_id, key))


def log_inputs(
    project: Project, run_id: str, datasets: Sequence[Dataset] = (), models: Sequence[ModelUse] = ()
) -> None:
    """Note what a run read; the same again changes nothing.

    Raises:
        NoSuchRun, RunDeleted: it cannot be logged to.
    """
    if datasets:
        project.database.grouped(writes.datasets_work(project, run_id, datasets))
    if models or not datasets:
        inputs = [ModelUse(model=one.model, direction="input", step=one.step) for one in models]
        project.database.grouped(writes.models_work(project, run_id, inputs))


def log_outputs(project: Project, run_id: str, models: Sequence[ModelUse]) -> None:
    """Note the logged models a run made; the same again changes nothing.

    Raises:
        NoSuchRun, RunDeleted: it cannot be logged to.
    """
    outputs = [ModelUse(model=one.model, direction="output", step=one.step) for one in models]
    project.database.grouped(writes.models_work(project, run_id, outputs))
