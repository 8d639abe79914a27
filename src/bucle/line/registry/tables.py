"""The registry's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["ALIASES", "DELIVERIES", "HEAD", "MODELS", "MODEL_TAGS", "NUMBERS", "VERSIONS", "VERSION_TAGS", "WEBHOOKS"]

Plain = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""A text that both databases order by its characters' numbers."""

HEAD = 128
"""So many characters of a tag's value have an index; a whole long text does not fit into one of PostgreSQL."""

MODELS = sa.Table(
    "registered_models",
    METADATA,
    sa.Column("name", Plain, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("successor", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_registered_models_updated", "updated_at", "name"),
)

NUMBERS = sa.Table(
    "model_numbers",
    METADATA,
    sa.Column("model", Plain, primary_key=True),
    sa.Column("last", sa.Integer, nullable=False),
)
"""The greatest number ever given under a name. It outlives the versions and the model: verdicts and lineage on the
ledger speak of `model/flights@3`, so nothing else may ever be called so."""

VERSIONS = sa.Table(
    "model_versions",
    METADATA,
    sa.Column("model", Plain, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("digest", Plain, nullable=False),
    sa.Column("stage", Plain, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_message", sa.Text, nullable=False),
    sa.Column("run", Plain, nullable=False),
    sa.Column("execution", sa.Text, nullable=False),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("run_link", sa.Text, nullable=False),
    sa.Column("model_id", Plain, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("metrics", Json, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("successor", sa.Text, nullable=False),
    sa.Index("ix_model_versions_digest", "digest", "model"),
    sa.Index("ix_model_versions_stage", "model", "stage", "version"),
    sa.Index("ix_model_versions_updated", "updated_at", "model", "version"),
    sa.Index("ix_model_versions_of_model", "model", "updated_at", "version"),
    sa.Index("ix_model_versions_run", "run"),
    sa.Index("ix_model_versions_model_id", "model_id"),
)

ALIASES = sa.Table(
    "model_aliases",
    METADATA,
    sa.Column("model", Plain, primary_key=True),
    sa.Column("alias", Plain, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Index("ix_model_aliases_version", "model", "version"),
)

MODEL_TAGS = sa.Table(
    "model_tags",
    METADATA,
    sa.Column("model", Plain, primary_key=True),
    sa.Column("key", Plain, primary_key=True),
    sa.Column("value", Plain, nullable=False),
    sa.Column("rest", sa.Text),
    sa.Index("ix_model_tags_value", "key", "value", "model"),
)
"""`value` is the beginning of the value, `rest` what follows; None when nothing does."""

VERSION_TAGS = sa.Table(
    "model_version_tags",
    METADATA,
    sa.Column("model", Plain, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", Plain, primary_key=True),
    sa.Column("value", Plain, nullable=False),
    sa.Column("rest", sa.Text),
    sa.Index("ix_model_version_tags_value", "key", "value", "model", "version"),
)

WEBHOOKS = sa.Table(
    "webhooks",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", Plain, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", Json, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Index("ix_webhooks_created", "created_at", "id"),
)
"""`secret` is sealed with the project's key, see `secret.py`."""

DELIVERIES = sa.Table(
    "webhook_deliveries",
    METADATA,
    sa.Column("webhook", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("delivered", sa.BigInteger, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("told", sa.Integer, nullable=False, server_default="0"),
    info={"volatile": True},
)
"""How far each webhook has come: every event up to `seq` is delivered or given up, and of the one after it so many
messages as `told` says; `attempts` were made at the next."""
