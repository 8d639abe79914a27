"""The queries over tracking's tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.line.tracking.tables import METRIC_BATCHES, RUNS

__all__ = ["batches_of", "experiment_rows", "ids_like", "run_row", "run_rows"]


def run_row(connection: Connection, id_: str) -> dict[str, Any] | None:
    """One run."""
    row = connection.execute(sa.select(RUNS).where(RUNS.c.id == id_)).one_or_none()
    return None if row is None else dict(row._mapping)


def ids_like(connection: Connection, prefix: str, limit: int = 2) -> list[str]:
    """The ids that begin so."""
    query = sa.select(RUNS.c.id).where(RUNS.c.id.startswith(prefix, autoescape=True)).order_by(RUNS.c.id)
    return list(connection.execute(query.limit(limit)).scalars())


def run_rows(
    connection: Connection, experiment: str | None, status: str | None, limit: int | None
) -> list[dict[str, Any]]:
    """Runs, newest first."""
    query = sa.select(RUNS).order_by(RUNS.c.started_at.desc(), RUNS.c.id).limit(limit)
    if experiment is not None:
        query = query.where(RUNS.c.experiment == experiment)
    if status is not None:
        query = query.where(RUNS.c.status == status)
    return [dict(row._mapping) for row in connection.execute(query)]


def experiment_rows(connection: Connection) -> list[dict[str, Any]]:
    """Every experiment with the number of its runs and the start of its last one."""
    query = sa.select(
        RUNS.c.experiment.label("name"),
        sa.func.count().label("runs"),
        sa.func.max(RUNS.c.started_at, type_=RUNS.c.started_at.type).label("last_at"),
    )
    rows = connection.execute(query.group_by(RUNS.c.experiment).order_by(RUNS.c.experiment))
    return [dict(row._mapping) for row in rows]


def batches_of(connection: Connection, run: str) -> list[str]:
    """The points of a run as they were flushed, oldest first."""
    query = sa.select(METRIC_BATCHES.c.points).where(METRIC_BATCHES.c.run == run)
    return list(connection.execute(query.order_by(METRIC_BATCHES.c.attempt, METRIC_BATCHES.c.seq)).scalars())
