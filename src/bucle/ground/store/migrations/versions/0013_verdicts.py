"""The content each verdict is about."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "verdict_digests",
        sa.Column("verdict", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
    )
