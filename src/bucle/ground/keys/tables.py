"""Keys' tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant

__all__ = ["TABLE_KEYS"]

TABLE_KEYS = sa.Table(
    "table_keys",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("table", sa.Text, nullable=False),
    sa.Column("master", sa.Text, nullable=False),
    sa.Column("wrapped", sa.Text, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("rotated_at", Instant, nullable=False),
    sa.Column("destroyed_at", Instant, nullable=True),
    sa.Index("ix_table_keys_table", "table"),
)
