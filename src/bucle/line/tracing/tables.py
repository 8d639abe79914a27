"""Tables of traces and of what is said about them."""

from __future__ import annotations

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json, Plain, Serial

__all__ = [
    "ASSESSMENTS",
    "COSTS",
    "SESSION",
    "SOURCE_RUN",
    "SPANS",
    "TOKENS",
    "TRACES",
    "TRACE_METADATA",
    "TRACE_PROMPTS",
    "TRACE_RUNS",
    "TRACE_TAGS",
]

SESSION = "mlflow.trace.session"
"""Metadata that names the conversation a trace is a part of; at an assessment, the one it judges as a whole."""

SOURCE_RUN = "mlflow.sourceRun"
"""Metadata that names the run a trace was made in; clients search by it as by `run_id`."""

TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
"""Columns of a trace: whole numbers of tokens, all spans together."""

COSTS = ("input_cost", "output_cost", "total_cost")
"""Columns of a trace and of a span: US dollars."""

TRACES = sa.Table(
    "traces",
    METADATA,
    sa.Column("seq", Serial, primary_key=True),
    sa.Column("id", Plain, nullable=False, unique=True),
    sa.Column("experiment", sa.BigInteger, nullable=False),
    sa.Column("name", Plain),
    sa.Column("state", Plain, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("duration_ms", sa.BigInteger),
    sa.Column("session", Plain),
    sa.Column("client_request_id", Plain),
    sa.Column("is_final", sa.Boolean, nullable=False),
    sa.Column("has_spans", sa.Boolean, nullable=False),
    *(sa.Column(name, sa.BigInteger) for name in TOKENS),
    *(sa.Column(name, sa.Float) for name in COSTS),
    sa.Column("request", sa.Text),
    sa.Column("response", sa.Text),
    sa.Index("ix_traces_experiment", "experiment", "started_at", "id"),
    sa.Index("ix_traces_state", "experiment", "state", "started_at", "id"),
    sa.Index("ix_traces_name", "experiment", "name", "started_at", "id"),
    sa.Index("ix_traces_session", "session"),
    sa.Index("ix_traces_client_request_id", "client_request_id"),
    info={"volatile": True},
)
"""`is_final` once the client has told the whole trace itself: what its spans would say no longer counts.
`request` and `response` are the beginnings of what went in and came out."""


def _labels(name: str) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", Plain, primary_key=True),
        sa.Column("value", Plain, nullable=False),
        sa.Column("rest", Plain),
        sa.Index(f"ix_{name}_value", "key", "value", "trace"),
        sqlite_with_rowid=False,
        info={"volatile": True},
    )


TRACE_TAGS = _labels("trace_tags")
TRACE_METADATA = _labels("trace_metadata")
"""`value` holds the first `HEAD` characters of a text, `rest` what is left of it, or None."""

TRACE_RUNS = sa.Table(
    "trace_runs",
    METADATA,
    sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Index("ix_trace_runs_run", "run", "trace"),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""The runs a trace belongs to: the one it was made in and those it was linked to later."""

TRACE_PROMPTS = sa.Table(
    "trace_prompts",
    METADATA,
    sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("prompt", sa.Text, primary_key=True),
    sa.Index("ix_trace_prompts_prompt", "prompt", "trace"),
    sqlite_with_rowid=False,
    info={"volatile": True},
)
"""The prompt versions a trace used, `name/version`."""

SPANS = sa.Table(
    "spans",
    METADATA,
    sa.Column("trace", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", Plain, primary_key=True),
    sa.Column("parent", Plain, nullable=False),
    sa.Column("name", Plain, nullable=False),
    sa.Column("type", Plain, nullable=False),
    sa.Column("status", Plain, nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),
    sa.Column("model", sa.Text),
    sa.Column("provider", sa.Text),
    *(sa.Column(name, sa.Float) for name in COSTS),
    sa.Column("usage", Json, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("rest", Json, nullable=False),
    sa.Column("attributes", Json, nullable=False),
    sa.Index("ix_spans_name", "name", "trace"),
    sa.Index("ix_spans_type", "type", "trace"),
    sa.Index("ix_spans_status", "status", "trace"),
    info={"volatile": True},
)
"""`parent` is empty for a root. `usage` is what adds up over the trace, `rest` what nobody searches by: status message,
events, links; `size` is the length of `rest` and `attributes`. `attributes` stands last: it may be megabytes, and a
database reads only as far into a row as it must."""

ASSESSMENTS = sa.Table(
    "assessments",
    METADATA,
    sa.Column("id", Plain, primary_key=True),
    sa.Column("trace", Plain, nullable=False),
    sa.Column("name", Plain, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("value", Json, nullable=False),
    sa.Column("head", Plain, nullable=False),
    sa.Column("number", sa.Float),
    sa.Column("error", Json, nullable=False),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("source_id", sa.Text, nullable=False),
    sa.Column("span", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("overrides", sa.Text, nullable=False),
    sa.Column("is_valid", sa.Boolean, nullable=False),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_assessments_trace", "trace"),
    sa.Index("ix_assessments_name", "kind", "name", "head"),
)
"""Who said what about which answer. `head` is the beginning of the value, as far as an index takes it; `number` is the
value as a number, None when it is none."""
