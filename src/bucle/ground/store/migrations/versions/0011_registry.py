"""Registered models as things of their own, numbers that outlive them, tags, webhooks."""

import sqlalchemy as sa
from alembic import op

from bucle.ground.core import StateError

revision = "0011"
down_revision = "0010"

PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for table in ("model_versions", "model_aliases"):
        if op.get_bind().execute(sa.text(f"SELECT 1 FROM {table} LIMIT 1")).first():  # noqa: S608  a name of ours
            raise StateError(
                "This project holds model versions of a pre-release of Bucle, which kept them in another form.",
                why="No release ever wrote that form, so there is no way over.",
                fix="Make the project anew: keep bucle.toml and your code, move .bucle/ aside, run it again.",
            )
    op.drop_table("model_versions")
    op.drop_table("model_aliases")
    _models()
    _versions()
    _tags()
    _webhooks()


def _models() -> None:
    op.create_table(
        "registered_models",
        sa.Column("name", PLAIN, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("successor", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_registered_models_updated", "registered_models", ["updated_at", "name"])
    op.create_table(
        "model_numbers",
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
    )


def _versions() -> None:
    op.create_table(
        "model_versions",
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("digest", PLAIN, nullable=False),
        sa.Column("stage", PLAIN, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("status_message", sa.Text, nullable=False),
        sa.Column("run", PLAIN, nullable=False),
        sa.Column("execution", sa.Text, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("run_link", sa.Text, nullable=False),
        sa.Column("model_id", PLAIN, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("successor", sa.Text, nullable=False),
    )
    op.create_index("ix_model_versions_digest", "model_versions", ["digest", "model"])
    op.create_index("ix_model_versions_stage", "model_versions", ["model", "stage", "version"])
    op.create_index("ix_model_versions_updated", "model_versions", ["updated_at", "model", "version"])
    op.create_index("ix_model_versions_of_model", "model_versions", ["model", "updated_at", "version"])
    op.create_index("ix_model_versions_run", "model_versions", ["run"])
    op.create_index("ix_model_versions_model_id", "model_versions", ["model_id"])


def _tags() -> None:
    op.create_table(
        "model_aliases",
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("alias", PLAIN, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("ix_model_aliases_version", "model_aliases", ["model", "version"])
    op.create_table(
        "model_tags",
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("key", PLAIN, primary_key=True),
        sa.Column("value", PLAIN, nullable=False),
        sa.Column("rest", sa.Text),
    )
    op.create_index("ix_model_tags_value", "model_tags", ["key", "value", "model"])
    op.create_table(
        "model_version_tags",
        sa.Column("model", PLAIN, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", PLAIN, primary_key=True),
        sa.Column("value", PLAIN, nullable=False),
        sa.Column("rest", sa.Text),
    )
    op.create_index("ix_model_version_tags_value", "model_version_tags", ["key", "value", "model", "version"])


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", PLAIN, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_webhooks_created", "webhooks", ["created_at", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("delivered", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
    )
