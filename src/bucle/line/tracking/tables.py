"""Tracking's tables.

Experiments stand on the ledger row by row. What a run logs does not: it comes too fast. Those tables are volatile for
the ledger, and the run as a whole is *sealed*: when it has ended, one event carries the digest of all it holds (see
`seal`).
"""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json, Plain, Serial

__all__ = [
    "ARTIFACTS",
    "EXPERIMENTS",
    "EXPERIMENT_TAGS",
    "METRIC_CHUNKS",
    "METRIC_TAIL",
    "NAMES",
    "RUNS",
    "RUN_DATASETS",
    "RUN_METRICS",
    "RUN_MODELS",
    "RUN_PARAMS",
    "RUN_TAGS",
]

EXPERIMENTS = sa.Table(
    "experiments",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("lifecycle", sa.Text, nullable=False),
    sa.Column("artifact_location", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
)

EXPERIMENT_TAGS = sa.Table(
    "experiment_tags",
    METADATA,
    sa.Column("experiment", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

NAMES = sa.Table(
    "tracking_names",
    METADATA,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("name", Plain, nullable=False, unique=True),
    info={"volatile": True},
)
"""Keys of params, tags and metrics, each written once: a row of theirs holds a small number instead."""

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("seq", Serial, primary_key=True),
    sa.Column("id", Plain, nullable=False, unique=True),
    sa.Column("experiment", sa.BigInteger, nullable=False),
    sa.Column("name", Plain, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("lifecycle", sa.Text, nullable=False),
    sa.Column("actor", Plain, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("deleted_at", Instant),
    sa.Column("sealed", sa.BigInteger),
    sa.Column("circumstances", Json, nullable=False),
    sa.Index("ix_runs_experiment", "experiment", "started_at"),
    sa.Index("ix_runs_started", "started_at"),
    sa.Index(
        "ix_runs_deleted",
        "experiment",
        sqlite_where=sa.text("lifecycle = 'deleted'"),
        postgresql_where=sa.text("lifecycle = 'deleted'"),
    ),
    sa.Index(
        "ix_runs_unsealed", "seq", sqlite_where=sa.text("sealed IS NULL"), postgresql_where=sa.text("sealed IS NULL")
    ),
    info={"volatile": True},
)
"""`sealed` is the event that holds the digest of all of it; None while it runs or after it was changed once more.
`circumstances` holds what nobody searches by: inputs, seed, code, environment, attempt, error."""


def _texts(name: str) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", Plain, nullable=False),
        sa.Column("rest", Plain),
        sa.Index(f"ix_{name}_value", "key", "value", "run"),
        sqlite_with_rowid=False,
        info={"volatile": True},
    )


RUN_PARAMS = _texts("run_params")
RUN_TAGS = _texts("run_tags")
"""`value` holds the first `HEAD` characters of a text, `rest` what is left of it, or None."""

RUN_METRICS = sa.Table(
    "run_metrics",
    METADATA,
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
    sa.Index("ix_run_metrics_value", "experiment", "key", "value", "run"),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""What there is to know of a run's metric without its curve. `value` is the last by (step, at, value); None is
not-a-number, in both databases. `at` is milliseconds since 1970, as the client gave it. `least` and `greatest` are None
when all there is, is one point."""

METRIC_TAIL = sa.Table(
    "metric_tail",
    METADATA,
    sa.Column("seq", Serial, primary_key=True),
    sa.Column("run", sa.BigInteger, nullable=False),
    sa.Column("points", sa.LargeBinary, nullable=False),
    sa.Index("ix_metric_tail_run", "run", "seq"),
    info={"volatile": True},
)
"""Points as they were acknowledged, one row a batch, until they are folded into chunks."""

METRIC_CHUNKS = sa.Table(
    "metric_chunks",
    METADATA,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("first_step", sa.BigInteger, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_step", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("points", sa.LargeBinary, nullable=False),
    info={"volatile": True},
)
"""The curve of one metric of one run in columns: steps, instants, values. Chunks follow each other by (step, instant,
value) and do not overlap. A metric of one single point has none: its summary says all of it."""

ARTIFACTS = sa.Table(
    "artifacts",
    METADATA,
    sa.Column("owner", Plain, primary_key=True),
    sa.Column("path", Plain, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""Files under the thing they belong to: `run/4f1c…`, `logged-model/m-…`, `trace/tr-…`; the bytes are blobs."""

RUN_DATASETS = sa.Table(
    "run_datasets",
    METADATA,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", Plain, primary_key=True),
    sa.Column("digest", Plain, primary_key=True),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema", sa.Text, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Index("ix_run_datasets_name", "name", "digest"),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""The datasets a run read, as its client described them; `context` is e.g. `training`."""

RUN_MODELS = sa.Table(
    "run_models",
    METADATA,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("direction", Plain, primary_key=True),
    sa.Column("model", Plain, primary_key=True),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Index("ix_run_models_model", "model"),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""The logged models a run read (`input`) or made (`output`)."""
