"""Logged models."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "logged_models",
        sa.Column("id", PLAIN, primary_key=True),
        sa.Column("experiment", sa.BigInteger, nullable=False),
        sa.Column("name", PLAIN, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("status_message", sa.Text, nullable=False),
        sa.Column("lifecycle", sa.Text, nullable=False),
        sa.Column("run", PLAIN, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_logged_models_experiment", "logged_models", ["experiment", "created_at", "id"])
    op.create_index("ix_logged_models_run", "logged_models", ["run"])
    for name in ("logged_model_params", "logged_model_tags"):
        op.create_table(
            name,
            sa.Column("model", PLAIN, primary_key=True),
            sa.Column("key", PLAIN, primary_key=True),
            sa.Column("value", PLAIN, nullable=False),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "logged_model_metrics",
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("key", PLAIN, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("run", PLAIN, primary_key=True),
        sa.Column("value", sa.Float),
        sa.Column("dataset_name", sa.Text, nullable=False),
        sa.Column("dataset_digest", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_logged_model_metrics_value", "logged_model_metrics", ["key", "value", "model"])
