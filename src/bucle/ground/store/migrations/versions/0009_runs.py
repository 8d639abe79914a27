"""Runs that scale: experiments as things of their own, keys written once, metrics in columns."""

import sqlalchemy as sa
from alembic import op

from bucle.ground.core import StateError

revision = "0009"
down_revision = "0008"

PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    for table in ("runs", "metric_batches"):
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first():  # noqa: S608  a name of ours
            raise StateError(
                "This project holds runs of a pre-release of Bucle, which kept them in another form.",
                why="No release ever wrote that form, so there is no way over.",
                fix="Make the project anew: keep bucle.toml and your code, move .bucle/ aside, run it again.",
            )
    op.drop_table("metric_batches")
    op.drop_table("runs")
    op.create_table(
        "experiments",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("lifecycle", sa.Text, nullable=False),
        sa.Column("artifact_location", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "experiment_tags",
        sa.Column("experiment", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "tracking_names",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("name", PLAIN, nullable=False, unique=True),
    )
    op.create_table(
        "runs",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("id", PLAIN, nullable=False, unique=True),
        sa.Column("experiment", sa.BigInteger, nullable=False),
        sa.Column("name", PLAIN, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("lifecycle", sa.Text, nullable=False),
        sa.Column("actor", PLAIN, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("sealed", sa.BigInteger),
        sa.Column("circumstances", sa.Text, nullable=False),
    )
    op.create_index("ix_runs_experiment", "runs", ["experiment", "started_at"])
    op.create_index("ix_runs_started", "runs", ["started_at"])
    deleted = sa.text("lifecycle = 'deleted'")
    op.create_index("ix_runs_deleted", "runs", ["experiment"], sqlite_where=deleted, postgresql_where=deleted)
    unsealed = sa.text("sealed IS NULL")
    op.create_index("ix_runs_unsealed", "runs", ["seq"], sqlite_where=unsealed, postgresql_where=unsealed)
    for name in ("run_params", "run_tags"):
        op.create_table(
            name,
            sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("value", PLAIN, nullable=False),
            sa.Column("rest", PLAIN),
            sqlite_with_rowid=False,
        )
        op.create_index(f"ix_{name}_value", name, ["key", "value", "run"])
    op.create_table(
        "run_metrics",
        sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("experiment", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("least", sa.Float),
        sa.Column("least_step", sa.BigInteger),
        sa.Column("greatest", sa.Float),
        sa.Column("greatest_step", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_metrics_value", "run_metrics", ["experiment", "key", "value", "run"])
    op.create_table(
        "metric_tail",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("run", sa.BigInteger, nullable=False),
        sa.Column("points", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_metric_tail_run", "metric_tail", ["run", "seq"])
    op.create_table(
        "metric_chunks",
        sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("first_step", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("points", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "artifacts",
        sa.Column("owner", PLAIN, primary_key=True),
        sa.Column("path", PLAIN, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_datasets",
        sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", PLAIN, primary_key=True),
        sa.Column("digest", PLAIN, primary_key=True),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("source_type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_datasets_name", "run_datasets", ["name", "digest"])
    op.create_table(
        "run_models",
        sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("direction", PLAIN, primary_key=True),
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("step", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_models_model", "run_models", ["model"])
