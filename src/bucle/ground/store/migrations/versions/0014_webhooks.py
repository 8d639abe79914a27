"""How many messages of an event a webhook has been told."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("webhook_deliveries", sa.Column("told", sa.Integer, nullable=False, server_default="0"))
