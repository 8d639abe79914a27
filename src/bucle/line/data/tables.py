"""The data station's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["BRANCHES", "COMMITS"]

COMMITS = sa.Table(
    "commits",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("parent", sa.Text, nullable=False),
    sa.Column("merged", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("tables", Json, nullable=False),
    sa.Column("files", sa.Text, nullable=False),
)
"""Every state of the lake: `parent` is where it came from, `merged` the second parent of a merge, both '' if none;
`generation` is one more than the greatest of its parents, so that no ancestor has a greater one."""

BRANCHES = sa.Table(
    "branches",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("head", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)
"""A name for a commit that moves on; `head` is '' until the first commit."""
