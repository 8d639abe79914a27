"""Access keys, and what S3's clients say of objects."""

import sqlalchemy as sa
from alembic import op

from bucle.ground.store import Instant

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_table(
        "file_notes",
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
    )
