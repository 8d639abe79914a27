"""Tracking's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["METRIC_BATCHES", "RUNS"]

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("params", Json, nullable=False),
    sa.Column("metrics", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("inputs", Json, nullable=False),
    sa.Column("artifacts", Json, nullable=False),
    sa.Column("code_commit", sa.Text, nullable=False),
    sa.Column("code_diff", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("lock", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Index("ix_runs_experiment", "experiment", "started_at"),
)

METRIC_BATCHES = sa.Table(
    "metric_batches",
    METADATA,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("points", Json, nullable=False),
)
"""Metric points as they were flushed: one row holds many, since every row of state is one digest on the ledger."""
