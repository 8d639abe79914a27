"""Governance's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant

__all__ = ["APPROVALS"]

APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
