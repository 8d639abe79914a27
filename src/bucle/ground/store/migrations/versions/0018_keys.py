"""The keys of encrypted tables, wrapped."""

import sqlalchemy as sa
from alembic import op

from bucle.ground.store import Instant

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "table_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("table", sa.Text, nullable=False),
        sa.Column("master", sa.Text, nullable=False),
        sa.Column("wrapped", sa.Text, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("rotated_at", Instant, nullable=False),
        sa.Column("destroyed_at", Instant, nullable=True),
    )
    op.create_index("ix_table_keys_table", "table_keys", ["table"])
