"""Tables of logged models."""

from __future__ import annotations

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Plain

__all__ = ["LOGGED_MODELS", "LOGGED_MODEL_METRICS", "LOGGED_MODEL_PARAMS", "LOGGED_MODEL_TAGS"]

LOGGED_MODELS = sa.Table(
    "logged_models",
    METADATA,
    sa.Column("id", Plain, primary_key=True),
    sa.Column("experiment", sa.BigInteger, nullable=False),
    sa.Column("name", Plain, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_message", sa.Text, nullable=False),
    sa.Column("lifecycle", sa.Text, nullable=False),
    sa.Column("run", Plain, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_logged_models_experiment", "experiment", "created_at", "id"),
    sa.Index("ix_logged_models_run", "run"),
)


def _texts(name: str) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column("model", Plain, primary_key=True),
        sa.Column("key", Plain, primary_key=True),
        sa.Column("value", Plain, nullable=False),
        sqlite_with_rowid=False,
    )


LOGGED_MODEL_PARAMS = _texts("logged_model_params")
LOGGED_MODEL_TAGS = _texts("logged_model_tags")

LOGGED_MODEL_METRICS = sa.Table(
    "logged_model_metrics",
    METADATA,
    sa.Column("model", Plain, primary_key=True),
    sa.Column("key", Plain, primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", Plain, primary_key=True),
    sa.Column("value", sa.Float),
    sa.Column("dataset_name", sa.Text, nullable=False),
    sa.Column("dataset_digest", sa.Text, nullable=False),
    sa.Index("ix_logged_model_metrics_value", "key", "value", "model"),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""Points come as fast as a run's: volatile like them. `at` is milliseconds since 1970; a value of None is not-a-number;
the dataset is empty when the client named none."""
