"""How far each source has landed."""

import sqlalchemy as sa
from alembic import op

from bucle.ground.store import Instant, Json

revision = "0018"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "source_cursors",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("cursor", Json, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("at", Instant, nullable=False),
    )
