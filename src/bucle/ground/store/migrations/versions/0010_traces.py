"""Traces, evaluation datasets and scorers."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
COSTS = ("input_cost", "output_cost", "total_cost")


def upgrade() -> None:
    _traces()
    _spans()
    _assessments()
    _evaluation()
    op.create_table(
        "scorers",
        sa.Column("experiment", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )


def _traces() -> None:
    op.create_table(
        "traces",
        sa.Column("seq", SERIAL, primary_key=True),
        sa.Column("id", PLAIN, nullable=False, unique=True),
        sa.Column("experiment", sa.BigInteger, nullable=False),
        sa.Column("name", PLAIN),
        sa.Column("state", PLAIN, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("session", PLAIN),
        sa.Column("client_request_id", PLAIN),
        sa.Column("is_final", sa.Boolean, nullable=False),
        sa.Column("has_spans", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in TOKENS),
        *(sa.Column(name, sa.Float) for name in COSTS),
        sa.Column("request", sa.Text),
        sa.Column("response", sa.Text),
    )
    op.create_index("ix_traces_experiment", "traces", ["experiment", "started_at", "id"])
    op.create_index("ix_traces_state", "traces", ["experiment", "state", "started_at", "id"])
    op.create_index("ix_traces_name", "traces", ["experiment", "name", "started_at", "id"])
    op.create_index("ix_traces_session", "traces", ["session"])
    op.create_index("ix_traces_client_request_id", "traces", ["client_request_id"])
    for name in ("trace_tags", "trace_metadata"):
        op.create_table(
            name,
            sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("key", PLAIN, primary_key=True),
            sa.Column("value", PLAIN, nullable=False),
            sa.Column("rest", PLAIN),
            sqlite_with_rowid=False,
        )
        op.create_index(f"ix_{name}_value", name, ["key", "value", "trace"])
    for name, column in (("trace_runs", "run"), ("trace_prompts", "prompt")):
        op.create_table(
            name,
            sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column(column, sa.Text, primary_key=True),
            sqlite_with_rowid=False,
        )
        op.create_index(f"ix_{name}_{column}", name, [column, "trace"])


def _spans() -> None:
    op.create_table(
        "spans",
        sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", PLAIN, primary_key=True),
        sa.Column("parent", PLAIN, nullable=False),
        sa.Column("name", PLAIN, nullable=False),
        sa.Column("type", PLAIN, nullable=False),
        sa.Column("status", PLAIN, nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("model", sa.Text),
        sa.Column("provider", sa.Text),
        *(sa.Column(name, sa.Float) for name in COSTS),
        sa.Column("usage", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("rest", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
    )
    op.create_index("ix_spans_name", "spans", ["name", "trace"])
    op.create_index("ix_spans_type", "spans", ["type", "trace"])
    op.create_index("ix_spans_status", "spans", ["status", "trace"])


def _assessments() -> None:
    op.create_table(
        "assessments",
        sa.Column("id", PLAIN, primary_key=True),
        sa.Column("trace", PLAIN, nullable=False),
        sa.Column("name", PLAIN, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("head", PLAIN, nullable=False),
        sa.Column("number", sa.Float),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("rationale", sa.Text, nullable=False),
        sa.Column("source_type", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("span", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("overrides", sa.Text, nullable=False),
        sa.Column("is_valid", sa.Boolean, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_assessments_trace", "assessments", ["trace"])
    op.create_index("ix_assessments_name", "assessments", ["kind", "name", "head"])


def _evaluation() -> None:
    op.create_table(
        "evaluation_datasets",
        sa.Column("id", PLAIN, primary_key=True),
        sa.Column("name", PLAIN, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("records_digest", sa.Text, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False),
    )
    op.create_index("ix_evaluation_datasets_created", "evaluation_datasets", ["created_at", "id"])
    op.create_index("ix_evaluation_datasets_name", "evaluation_datasets", ["name"])
    op.create_table(
        "evaluation_records",
        sa.Column("dataset", PLAIN, primary_key=True),
        sa.Column("inputs_digest", sa.Text, primary_key=True),
        sa.Column("id", PLAIN, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_evaluation_records_created", "evaluation_records", ["dataset", "created_at", "id"])
    op.create_table(
        "evaluation_experiments",
        sa.Column("dataset", PLAIN, primary_key=True),
        sa.Column("experiment", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    op.create_index("ix_evaluation_experiments_experiment", "evaluation_experiments", ["experiment", "dataset"])
