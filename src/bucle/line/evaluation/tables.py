"""Tables of evaluation datasets and scorers."""

from __future__ import annotations

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json, Plain

__all__ = ["EVALUATION_DATASETS", "EVALUATION_EXPERIMENTS", "EVALUATION_RECORDS", "SCORERS"]

EVALUATION_DATASETS = sa.Table(
    "evaluation_datasets",
    METADATA,
    sa.Column("id", Plain, primary_key=True),
    sa.Column("name", Plain, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("records_digest", sa.Text, nullable=False),
    sa.Column("fields", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_by", sa.Text, nullable=False),
    sa.Index("ix_evaluation_datasets_created", "created_at", "id"),
    sa.Index("ix_evaluation_datasets_name", "name"),
)
"""`records_digest` covers every record, so the ledger knows the content without an entry for each."""

EVALUATION_RECORDS = sa.Table(
    "evaluation_records",
    METADATA,
    sa.Column("dataset", Plain, primary_key=True),
    sa.Column("inputs_digest", sa.Text, primary_key=True),
    sa.Column("id", Plain, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("body", Json, nullable=False),
    sa.Index("ix_evaluation_records_created", "dataset", "created_at", "id"),
    info={"volatile": True},
)
"""One example each; `digest` is that of `body`."""

EVALUATION_EXPERIMENTS = sa.Table(
    "evaluation_experiments",
    METADATA,
    sa.Column("dataset", Plain, primary_key=True),
    sa.Column("experiment", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_evaluation_experiments_experiment", "experiment", "dataset"),
)

SCORERS = sa.Table(
    "scorers",
    METADATA,
    sa.Column("experiment", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)
"""What computes a feedback, as its client wrote it down; `id` is the same for all versions of a name."""
