"""The tables of the belt."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["EXECUTIONS", "STEP_RUNS"]

EXECUTIONS = sa.Table(
    "executions",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("params", Json, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("result", Json, nullable=False),
    sa.Column("error", Json, nullable=False),
    sa.Column("key", sa.Text, unique=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Index("ix_executions_started_at", "started_at"),
    sa.Index("ix_executions_status", "status"),
)

STEP_RUNS = sa.Table(
    "step_runs",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("execution", sa.Text, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("inputs", Json, nullable=False),
    sa.Column("params", Json, nullable=False),
    sa.Column("outputs", Json, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("error", Json, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Index("ix_step_runs_execution", "execution", "position"),
    sa.Index("ix_step_runs_key", "key", "status"),
    sa.Index("ix_step_runs_step", "step", "started_at"),
)
