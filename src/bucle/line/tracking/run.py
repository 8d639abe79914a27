"""Run: one training, with all that went into it and all that came out."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, decode, suggest
from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.errors import NoSuchRun

__all__ = ["Experiment", "Metric", "Point", "Run", "Status", "experiments", "metrics", "run", "runs"]

Status = Literal["running", "finished", "failed"]

Point = tuple[str, int, datetime, float | None]
"""A metric as it is stored: key, step, instant, value; None is not-a-number."""


class Run(Record, frozen=True):
    """A training and its circumstances.

    Attributes:
        id: 16 hexadecimal digits; made from the experiment and the key when a key was given.
        experiment: what it belongs to.
        name: for people.
        status: `running`, `finished` or `failed`; a run whose process was killed stays `running` until it is resumed.
        started_at, ended_at: instants; `ended_at` is None while it runs.
        params: as text.
        metrics: the last value of each.
        tags: as text.
        inputs: refs of what it read, e.g. `commit/9a0b…`.
        artifacts: name -> blob digest.
        code_commit: git commit of the project; empty without git.
        code_diff: blob of what was not committed; empty when clean.
        environment: blob of Python and every package.
        lock: blob of the packages as a requirements file.
        seed: what the random numbers began with, or None.
        actor: who ran it.
        attempt: 1, and one more each time it was resumed.
        error: why it failed, or empty.
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


class Experiment(Record, frozen=True):
    """A name that runs have in common.

    Attributes:
        name: that name.
        runs: how many there are.
        last_at: when the last one started.
    """

    name: str
    runs: int
    last_at: datetime


def run(project: Project, id: str) -> Run:  # noqa: A002  the noun says whose id
    """One run, by its id or the beginning of it.

    Raises:
        NoSuchRun: no run, or more than one, begins so.
    """
    with project.database.reading() as connection:
        return run_of(_row(connection, id))


def runs(
    project: Project, experiment: str | None = None, *, status: Status | None = None, limit: int | None = 100
) -> list[Run]:
    """Runs, newest first.

    Args:
        experiment, status: only these.
        limit: at most so many; None for all.
    """
    with project.database.reading() as connection:
        return [run_of(row) for row in store.run_rows(connection, experiment, status, limit)]


def metrics(project: Project, run_id: str, key: str | None = None) -> list[Metric]:
    """The curve of a metric, or of all, by key and step; what was logged again at a step counts once, the last.

    Raises:
        NoSuchRun: there is no such run.
    """
    with project.database.reading() as connection:
        batches = store.batches_of(connection, _row(connection, run_id)["id"])
    found: dict[tuple[str, int], Metric] = {}
    for batch in batches:
        for name, step, at, value in decode(batch, list[Point], what="batch of metrics"):
            if key in (None, name):
                known = math.nan if value is None else value
                found[name, step] = Metric(key=name, value=known, step=step, at=at)
    return [found[place] for place in sorted(found)]


def experiments(project: Project) -> list[Experiment]:
    """Every experiment, by name."""
    with project.database.reading() as connection:
        return [Experiment(**row) for row in store.experiment_rows(connection)]


def run_of(row: dict[str, Any]) -> Run:
    """The run a row holds."""
    values = decode(row["metrics"], dict[str, float | None], what="run")
    texts = {name: decode(row[name], dict[str, str], what="run") for name in ("params", "tags", "artifacts")}
    return Run(
        **{
            **row,
            **texts,
            "metrics": {name: math.nan if value is None else value for name, value in values.items()},
            "inputs": decode(row["inputs"], tuple[str, ...], what="run"),
        }
    )


def _row(connection: Connection, id_: str) -> dict[str, Any]:
    found = store.run_row(connection, id_)
    if found is not None:
        return found
    near = store.ids_like(connection, id_) if len(id_) >= 4 else []
    if len(near) == 1:
        return store.run_row(connection, near[0]) or {}
    recent = [row["id"] for row in store.run_rows(connection, None, None, 200)]
    raise NoSuchRun(
        f"There is no run {id_!r}." if not near else f"More than one run begins with {id_!r}.",
        fix=suggest(id_, near or recent) or "See: bucle runs list",
        at=id_,
    )
