"""Commits whose data was given up."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "expired_commits",
        sa.Column("commit", sa.Text, primary_key=True),
        sa.Column("expired_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
    )
