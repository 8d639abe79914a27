"""The queries over executions and step runs, and records to rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.core import decode, encode
from bucle.ground.store import Database
from bucle.line.pipelines.execution import Execution, Failure
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.tables import EXECUTIONS, STEP_RUNS

__all__ = [
    "computed_mark",
    "execution_row",
    "find_computed",
    "find_execution",
    "find_executions",
    "find_last_codes",
    "find_previous",
    "find_running_elsewhere",
    "find_step_run",
    "find_step_runs",
    "step_run_row",
]


def execution_row(execution: Execution) -> dict[str, Any]:
    """An execution as a row."""
    return {
        "id": execution.id,
        "pipeline": execution.pipeline,
        "params": _text(execution.params),
        "status": execution.status,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
        "result": _text(execution.result),
        "error": _text(execution.error),
        "key": execution.key,
        "actor": execution.actor,
        "source": execution.source,
    }


def step_run_row(run: StepRun) -> dict[str, Any]:
    """A step run as a row."""
    plain = {name: getattr(run, name) for name in run.__struct_fields__}
    return {**plain, **{name: _text(plain[name]) for name in ("inputs", "params", "outputs", "error")}}


def find_execution(database: Database, id_: str) -> Execution | None:
    """One execution, as it was written: a dead one still says running."""
    with database.reading() as connection:
        row = connection.execute(sa.select(EXECUTIONS).where(EXECUTIONS.c.id == id_)).one_or_none()
    return None if row is None else _execution(row)


def find_executions(
    database: Database, *, pipeline: str | None = None, status: str | None = None, limit: int | None = None
) -> list[Execution]:
    """The newest executions."""
    query = sa.select(EXECUTIONS).order_by(EXECUTIONS.c.started_at.desc(), EXECUTIONS.c.id)
    if pipeline is not None:
        query = query.where(EXECUTIONS.c.pipeline == pipeline)
    if status is not None:
        query = query.where(EXECUTIONS.c.status == status)
    with database.reading() as connection:
        return [_execution(row) for row in connection.execute(query.limit(limit))]


def find_step_run(database: Database, id_: str) -> StepRun | None:
    """One step run."""
    with database.reading() as connection:
        row = connection.execute(sa.select(STEP_RUNS).where(STEP_RUNS.c.id == id_)).one_or_none()
    return None if row is None else _step_run(row)


def find_step_runs(database: Database, execution: str) -> list[StepRun]:
    """The steps of an execution in the order of its body."""
    query = sa.select(STEP_RUNS).where(STEP_RUNS.c.execution == execution).order_by(STEP_RUNS.c.position)
    with database.reading() as connection:
        return [_step_run(row) for row in connection.execute(query)]


def find_computed(database: Database, key: str) -> tuple[list[StepRun], int]:
    """The newest step runs that really computed a key, where a cache hit comes from, and the mark of this look."""
    mine = sa.and_(STEP_RUNS.c.key == key, STEP_RUNS.c.status == "succeeded")
    query = sa.select(STEP_RUNS).where(mine).order_by(STEP_RUNS.c.ended_at.desc(), STEP_RUNS.c.id).limit(5)
    with database.reading() as connection:
        return [_step_run(row) for row in connection.execute(query)], computed_mark(connection, key)


def computed_mark(connection: Connection, key: str) -> int:
    """A number that grows whenever a key has been computed once more."""
    mine = sa.and_(STEP_RUNS.c.key == key, STEP_RUNS.c.status == "succeeded")
    mark = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(STEP_RUNS.c.attempt), 0)).where(mine)).scalar_one()
    return int(mark)


def find_previous(database: Database, run: StepRun) -> StepRun | None:
    """The run of the same step that came last before this one: what `why` compares with."""
    before = sa.and_(
        STEP_RUNS.c.step == run.step,
        STEP_RUNS.c.source == run.source,
        STEP_RUNS.c.id != run.id,
        sa.or_(
            STEP_RUNS.c.started_at < run.started_at,
            sa.and_(STEP_RUNS.c.execution == run.execution, STEP_RUNS.c.position < run.position),
            sa.and_(STEP_RUNS.c.started_at == run.started_at, STEP_RUNS.c.execution != run.execution),
        ),
    )
    query = sa.select(STEP_RUNS).where(before)
    query = query.order_by(STEP_RUNS.c.started_at.desc(), STEP_RUNS.c.position.desc(), STEP_RUNS.c.id).limit(1)
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _step_run(row)


def find_last_codes(database: Database) -> dict[str, str]:
    """Source of a step -> digest of the code that the last run of it had."""
    newest = sa.func.max(STEP_RUNS.c.started_at).label("newest")
    query = sa.select(STEP_RUNS.c.source, STEP_RUNS.c.code, newest).group_by(STEP_RUNS.c.source, STEP_RUNS.c.code)
    with database.reading() as connection:
        return {row.source: row.code for row in connection.execute(query.order_by(newest, STEP_RUNS.c.code))}


def find_running_elsewhere(connection: Connection, key: str, own: str, dead: Sequence[str]) -> str | None:
    """The execution that is computing a key at this moment, other than this step run and those known to be dead."""
    query = sa.select(STEP_RUNS.c.execution).where(
        STEP_RUNS.c.key == key,
        STEP_RUNS.c.status == "running",
        STEP_RUNS.c.id != own,
        STEP_RUNS.c.execution.not_in(dead),
    )
    return connection.execute(query.limit(1)).scalar()


def _execution(row: Row[Any]) -> Execution:
    fields = dict(row._mapping)
    fields["params"] = decode(fields["params"], dict[str, Any], what="execution's parameters")
    fields["result"] = decode(fields["result"], object, what="execution's result")
    fields["error"] = _failure(fields["error"])
    return Execution(**fields)


def _step_run(row: Row[Any]) -> StepRun:
    fields = dict(row._mapping)
    fields["inputs"] = decode(fields["inputs"], dict[str, str], what="step's inputs")
    fields["params"] = decode(fields["params"], dict[str, Any], what="step's parameters")
    fields["outputs"] = decode(fields["outputs"], dict[str, str], what="step's outputs")
    fields["error"] = _failure(fields["error"])
    return StepRun(**fields)


def _failure(text: str) -> Failure | None:
    return None if text == "null" else decode(text, Failure, what="failure")


def _text(value: object) -> str:
    return encode(value).decode()
