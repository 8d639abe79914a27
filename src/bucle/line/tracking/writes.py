"""Writes: each change of a run as a function of the connection, so that many of them can share a transaction.

`project.database.grouped(log_work(project, …))` waits until it is kept; `submit` gives a future. What can be checked
and computed beforehand is, by the caller's thread: the one thread that writes does little besides the statements.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy.engine import Connection

from bucle.ground.core import encode, from_micros, make_ref, to_micros
from bucle.ground.project import Project
from bucle.ground.store import Work, joined, split
from bucle.line.tracking import store
from bucle.line.tracking.chunk import Points
from bucle.line.tracking.errors import (
    AlreadySet,
    ExperimentDeleted,
    NoSuchExperiment,
    NoSuchRun,
    NoSuchTag,
    RunDeleted,
    RunExists,
)
from bucle.line.tracking.experiment import DEFAULT, ensure_default, number_of
from bucle.line.tracking.fold import keep_singles
from bucle.line.tracking.name import enter, names_of
from bucle.line.tracking.point import Batch, Point, batch_of, columns_of, pack
from bucle.line.tracking.run import ENDED, Circumstances, Run, Status
from bucle.line.tracking.run_input import Dataset, ModelUse
from bucle.line.tracking.text import LONGEST_PARAM, LONGEST_TAG, check_text, check_texts

__all__ = [
    "UNSEALED",
    "create_work",
    "datasets_work",
    "delete_tag_work",
    "lifecycle_work",
    "log_work",
    "models_work",
    "update_work",
]

LONGEST_ID = 128
LONGEST_NAME = 500

UNSEALED = "tracking.run_unsealed"
"""The event of the first change after a seal."""


class Target(NamedTuple):
    """A run that is about to be written to; columns of `runs`."""

    id: str
    seq: int
    experiment: int
    status: str
    lifecycle: str
    sealed: int | None


def create_work(
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
    status: Status = "running",
) -> Work[Run]:
    """Begin a run; arguments and errors as in `create_run`."""
    number = number_of(experiment_id)
    if experiment_id == DEFAULT:
        ensure_default(project)
    id_ = id or uuid.uuid4().hex
    given_tags = check_texts(tags or {}, "tag", LONGEST_TAG)
    given_params = check_texts(params or {}, "parameter", LONGEST_PARAM)
    known = names_of(project).numbers([*given_tags, *given_params])
    about = circumstances or Circumstances()
    row = {
        "id": check_text(id_, "run's id", LONGEST_ID),
        "experiment": number,
        "name": check_text(name or id_[:6], "run's name", LONGEST_NAME),
        "status": status,
        "lifecycle": "active",
        "actor": check_text(actor or project.actor, "user", LONGEST_NAME),
        "started_at": to_micros(started_at or project.clock.now()),
        "ended_at": None,
        "deleted_at": None,
        "sealed": None,
        "circumstances": encode(about).decode(),
    }

    def work(connection: Connection) -> Run:
        experiment = _open_experiment(connection, number)
        added = store.ADD_RUN.first(connection, row)
        if added is None:
            _refuse_other(connection, row)
        else:
            numbers = enter(connection, (*given_tags, *given_params), known)
            _put_texts(connection, store.PUT_TAG, added[0], given_tags, numbers)
            _put_texts(connection, store.PUT_PARAM, added[0], given_params, numbers)
        return _created(row, experiment, about, params=dict(given_params), tags=dict(given_tags))

    return work


def log_work(
    project: Project,
    run_id: str,
    *,
    points: Sequence[Point] = (),
    columns: Mapping[str, Points] | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    replace_params: bool = False,
) -> Work[None]:
    """Log to a run; arguments and errors as in `log`.

    Args:
        columns: whole curves, beside `points`.
        replace_params: a parameter may get another value: for a run that is resumed and says it all again.
    """
    given_tags = check_texts(tags or {}, "tag", LONGEST_TAG)
    given_params = check_texts(params or {}, "parameter", LONGEST_PARAM)
    batches = [batch_of(points)] if points else []
    batches += [columns_of(columns)] if columns else []
    every = {*given_tags, *given_params, *(key for batch in batches for key in batch.keys)}
    known = names_of(project).numbers(every)

    def work(connection: Connection) -> None:
        run = open_run(connection, run_id)
        numbers = enter(connection, every, known)
        if given_params and replace_params:
            _put_texts(connection, store.PUT_PARAM, run.seq, given_params, numbers)
        elif given_params:
            _add_params(connection, run, run_id, given_params, numbers)
        _put_texts(connection, store.PUT_TAG, run.seq, given_tags, numbers)
        for batch in batches:
            if run.status in ENDED:
                keep_singles(connection, run.seq, [numbers[key] for key in batch.keys])
            _add_points(connection, run, batch, numbers)
        unseal(project, connection, run, "Something was logged to it.")

    return work


def update_work(
    project: Project,
    run_id: str,
    *,
    status: Status | None = None,
    ended_at: datetime | None = None,
    name: str | None = None,
    circumstances: Circumstances | None = None,
) -> Work[None]:
    """Change a run's status, end or name; arguments and errors as in `update_run`."""
    ends = ended_at or (project.clock.now() if status in ENDED else None)
    changes = {
        "new_status": status,
        "new_name": None if name is None else check_text(name, "run's name", LONGEST_NAME),
        "keep_end": 1 if status is None and ended_at is None else 0,
        "new_end": None if ends is None else to_micros(ends),
    }

    def work(connection: Connection) -> None:
        run = open_run(connection, run_id)
        if run.status in ENDED and status not in (None, *ENDED):
            keep_singles(connection, run.seq)
        unseal(project, connection, run, "Its name, status or end was set.")
        store.SET_RUN.run(connection, {**changes, "the_run": run.seq})
        if circumstances is not None:
            given = {"new_circumstances": encode(circumstances).decode(), "the_run": run.seq}
            store.SET_CIRCUMSTANCES.run(connection, given)

    return work


def lifecycle_work(project: Project, run_id: str, *, deleted: bool) -> Work[None]:
    """Put a run aside, or bring it back; errors as in `delete_run` and `restore_run`."""
    now = to_micros(project.clock.now())

    def work(connection: Connection) -> None:
        run = seek_run(connection, run_id)
        if (run.lifecycle == "deleted") == deleted:
            return
        lifecycle = {"new_lifecycle": "deleted" if deleted else "active", "new_deleted": now if deleted else None}
        unseal(project, connection, run, "It was put aside." if deleted else "It was brought back.")
        store.SET_LIFECYCLE.run(connection, {**lifecycle, "the_run": run.seq})

    return work


def delete_tag_work(project: Project, run_id: str, key: str) -> Work[None]:
    """Take a tag off a run; errors as in `delete_tag`."""
    known = names_of(project).numbers([key])

    def work(connection: Connection) -> None:
        run = open_run(connection, run_id)
        if key not in known or not store.DROP_TAG.run(connection, {"run": run.seq, "key": known[key]}):
            raise NoSuchTag(f"The run {run_id} has no tag {key!r}.", fix=f"See: bucle runs show {run_id}", at=key)
        unseal(project, connection, run, f"The tag {key!r} was taken off.")

    return work


def datasets_work(project: Project, run_id: str, datasets: Sequence[Dataset]) -> Work[None]:
    """Note the datasets a run read; errors as in `log_inputs`."""
    rows = [
        {
            "name": check_text(one.name, "dataset's name", LONGEST_NAME),
            "digest": check_text(one.digest, "dataset's digest", LONGEST_NAME),
            "context": one.context,
            "source_type": one.source_type,
            "source": one.source,
            "schema": one.schema,
            "profile": one.profile,
            "tags": encode(one.tags).decode(),
        }
        for one in datasets
    ]

    def work(connection: Connection) -> None:
        run = open_run(connection, run_id)
        if rows:
            store.PUT_DATASET.run_many(connection, [{**row, "run": run.seq} for row in rows])
            unseal(project, connection, run, "What it read was noted.")

    return work


def models_work(project: Project, run_id: str, models: Sequence[ModelUse]) -> Work[None]:
    """Note the logged models a run read or made; errors as in `log_inputs`."""
    rows = [
        {"direction": one.direction, "model": check_text(one.model, "model's id", LONGEST_ID), "step": one.step}
        for one in models
    ]

    def work(connection: Connection) -> None:
        run = open_run(connection, run_id)
        if rows:
            store.PUT_MODEL.run_many(connection, [{**row, "run": run.seq} for row in rows])
            unseal(project, connection, run, "The models it read or made were noted.")

    return work


def seek_run(connection: Connection, run_id: str) -> Target:
    """The run that is to be written to, deleted or not, by its whole id.

    Raises:
        NoSuchRun: there is none.
    """
    found = store.SEEK_RUN.first(connection, {"the_id": run_id})
    if found is None:
        raise NoSuchRun(f"There is no run {run_id[:40]!r}.", fix="See: bucle runs list", at=run_id[:40])
    seq, experiment, status, lifecycle, sealed, around = found
    return Target(run_id, seq, experiment, status, "deleted" if "deleted" in (lifecycle, around) else "active", sealed)


def open_run(connection: Connection, run_id: str) -> Target:
    """The run that is to be written to.

    Raises:
        NoSuchRun: there is none.
        RunDeleted: it is put aside.
    """
    run = seek_run(connection, run_id)
    if run.lifecycle != "active":
        raise RunDeleted(
            f"The run {run_id} is deleted.",
            why="Nothing is written to a run that is put aside, by itself or with its experiment.",
            fix="Restore it first.",
            at=run_id,
        )
    return run


def unseal(project: Project, connection: Connection, run: Target, why: str) -> None:
    """What the ledger knows of the run is not all of it any more, and the ledger says so. Nothing if it was not sealed.

    Args:
        why: what changed, one sentence.
    """
    if run.sealed is None:
        return
    store.UNSEAL.run(connection, {"the_run": run.seq})
    project.ledger.append(
        connection,
        UNSEALED,
        subject=make_ref("run", run.id),
        actor=project.actor,
        reason=why,
        data={"sealed": run.sealed},
    )


def _open_experiment(connection: Connection, number: int) -> str:
    found = store.SEEK_EXPERIMENT.first(connection, {"the_id": number})
    if found is None:
        raise NoSuchExperiment(f"There is no experiment {number}.", fix="See: bucle runs experiments", at=str(number))
    name, lifecycle = found
    if lifecycle != "active":
        raise ExperimentDeleted(
            f"The experiment {name!r} is deleted.", why="No run can begin in it.", fix="Restore it first.", at=name
        )
    return cast(str, name)


def _refuse_other(connection: Connection, row: Mapping[str, Any]) -> None:
    """The id is taken: by this very run, when its client asks again because it got no answer; or by another."""
    known = store.KNOWN_RUN.first(connection, {"the_id": row["id"]})
    if known != (row["experiment"], row["name"], row["started_at"]):
        raise RunExists(
            f"There is a run {row['id']} already.",
            why="An id stands for one run.",
            fix="Leave the id out, or choose another.",
            at=row["id"],
        )


def _put_texts(
    connection: Connection, put: Any, run: int, texts: Mapping[str, str], numbers: Mapping[str, int]
) -> None:
    if texts:
        put.run_many(connection, _text_rows(run, texts, numbers))


def _text_rows(run: int, texts: Mapping[str, str], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    parts = ((numbers[key], *split(value)) for key, value in texts.items())
    return [{"run": run, "key": number, "value": value, "rest": rest} for number, value, rest in parts]


def _add_params(
    connection: Connection, run: Target, run_id: str, params: Mapping[str, str], numbers: Mapping[str, int]
) -> None:
    """Add parameters; those that are there must say the same."""
    if store.ADD_PARAM.run_many(connection, _text_rows(run.seq, params, numbers)) == len(params):
        return
    for key, value in params.items():
        found = store.PARAM.first(connection, {"run": run.seq, "key": numbers[key]})
        if found is not None and joined(*found) != value:
            raise AlreadySet(
                f"The parameter {key!r} of run {run_id} is {joined(*found)[:100]!r} and cannot become {value[:100]!r}.",
                why="A parameter is what a run began with.",
                fix="Begin another run, or log what changes as a metric or a tag.",
                at=key,
            )


def _add_points(connection: Connection, run: Target, batch: Batch, numbers: Mapping[str, int]) -> None:
    store.ADD_TAIL.run(connection, {"run": run.seq, "points": pack(batch, numbers)})
    rows = [
        {**summary, "run": run.seq, "experiment": run.experiment, "key": numbers[key]}
        for key, summary in zip(batch.keys, batch.summaries, strict=True)
    ]
    if len(rows) == 1:
        store.PUT_SUMMARY.run(connection, rows[0])
    else:
        store.PUT_SUMMARY.run_many(connection, rows)


def _created(
    row: Mapping[str, Any], experiment: str, about: Circumstances, *, params: dict[str, str], tags: dict[str, str]
) -> Run:
    return Run(
        id=row["id"],
        experiment=experiment,
        experiment_id=str(row["experiment"]),
        name=row["name"],
        status=row["status"],
        started_at=from_micros(row["started_at"]),
        ended_at=None,
        params=params,
        metrics={},
        tags=tags,
        artifacts={},
        actor=row["actor"],
        inputs=about.inputs,
        within=about.within,
        code_commit=about.code_commit,
        code_diff=about.code_diff,
        environment=about.environment,
        lock=about.lock,
        seed=about.seed,
        attempt=about.attempt,
        error=about.error,
    )
