"""Serving's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant

__all__ = ["SEGMENTS"]

SEGMENTS = sa.Table(
    "segments",
    METADATA,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("collected_at", Instant, nullable=False),
)
