"""The registry's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["ALIASES", "VERSIONS"]

VERSIONS = sa.Table(
    "model_versions",
    METADATA,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("execution", sa.Text, nullable=False),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("metrics", Json, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "digest", name="uq_model_versions_digest"),
)

ALIASES = sa.Table(
    "model_aliases",
    METADATA,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)
