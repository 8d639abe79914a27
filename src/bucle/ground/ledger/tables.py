"""The ledger's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["EDGES", "EVENTS", "HEAD"]

EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("key", sa.Text, unique=True),
    sa.Column("data", Json, nullable=False),
    sa.Column("state", Json, nullable=False),
    sa.Column("leaf", sa.Text, nullable=False),
    sa.Column("root", sa.Text, nullable=False),
    sa.Index("ix_events_kind", "kind", "seq"),
    sa.Index("ix_events_subject", "subject", "seq"),
    info={"ledger": True},
)

EDGES = sa.Table(
    "edges",
    METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Index("ix_edges_source", "source"),
    sa.Index("ix_edges_target", "target"),
    info={"ledger": True},
)

HEAD = sa.Table(
    "ledger_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("peaks", Json, nullable=False),
    info={"ledger": True},
)
