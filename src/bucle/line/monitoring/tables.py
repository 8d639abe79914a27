"""Monitoring's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["SIGNALS", "WINDOWS"]

WINDOWS = sa.Table(
    "windows",
    METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("arm", sa.Text, primary_key=True),
    sa.Column("since", Instant, primary_key=True, autoincrement=False),
    sa.Column("until", Instant, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("labelled", sa.BigInteger, nullable=False),
    sa.Column("body", Json, nullable=False),
    sa.Index("ix_windows_until", "endpoint", "until"),
)
"""One row a version, arm and stretch of time; watching the stretch again, with later labels, replaces it."""

SIGNALS = sa.Table(
    "signals",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("arm", sa.Text, nullable=False),
    sa.Column("feature", sa.Text, nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("threshold", sa.Float, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("ix_signals_endpoint", "endpoint", "until"),
)
"""Every signal ever raised, once each."""
