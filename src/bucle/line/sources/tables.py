"""The sources' table."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["SOURCE_CURSORS"]

SOURCE_CURSORS = sa.Table(
    "source_cursors",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("cursor", Json, nullable=False),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("at", Instant, nullable=False),
)
"""How far each source has landed: moved on in the transaction that makes its rows visible. `commit` is '' while nothing
has landed, `rows` how many have in all."""
