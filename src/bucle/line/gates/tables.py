"""The gates' tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["DIGESTS", "VERDICTS"]

VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("against", sa.Text, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("checks", Json, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Index("ix_verdicts_subject", "subject", "at"),
)

DIGESTS = sa.Table(
    "verdict_digests",
    METADATA,
    sa.Column("verdict", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
)
"""The content a verdict is about. A table of its own: the ledger holds the digest of every older verdict's row, which a
new column would change. A verdict from before has no row here."""
