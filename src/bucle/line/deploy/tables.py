"""Deploy's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["ROLLOUTS", "ROUTES"]

ROUTES = sa.Table(
    "routes",
    METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("routes", Json, nullable=False),
)

ROLLOUTS = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("champion", sa.BigInteger),
    sa.Column("candidate", sa.BigInteger, nullable=False),
    sa.Column("steps", Json, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Index("ix_rollouts_endpoint", "endpoint", "generation"),
)
