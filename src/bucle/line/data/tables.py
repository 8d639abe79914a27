"""The data station's tables."""

import sqlalchemy as sa

from bucle.ground.store import METADATA, Instant, Json

__all__ = ["BRANCHES", "COMMITS", "EXPIRED", "FILE_NOTES", "PROTECTIONS", "REVIEWS", "TABLE_PARTS", "TAGS"]

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
`generation` is one more than the greatest of its parents, so that no ancestor has a greater one. `tables` is the list
of its parts in `table_parts`; older versions wrote the whole map."""

TABLE_PARTS = sa.Table(
    "table_parts",
    METADATA,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("states", Json, nullable=False),
)
"""Some tables' pointers, by name; named by their content, so commits share them."""

BRANCHES = sa.Table(
    "branches",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("head", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)
"""A name for a commit that moves on; `head` is '' until the first commit."""

TAGS = sa.Table(
    "tags",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("commit", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)
"""A name for a commit that stays."""

PROTECTIONS = sa.Table(
    "protections",
    METADATA,
    sa.Column("branch", sa.Text, primary_key=True),
    sa.Column("rules", Json, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)
"""What it takes to move a branch."""

REVIEWS = sa.Table(
    "reviews",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("merged", sa.Text, nullable=False),
)
"""What somebody asks to be merged; `merged` is the commit it became, '' before."""

EXPIRED = sa.Table(
    "expired_commits",
    METADATA,
    sa.Column("commit", sa.Text, primary_key=True),
    sa.Column("expired_at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)
"""Commits whose data was given up; their rows in `commits` stay."""

FILE_NOTES = sa.Table(
    "file_notes",
    METADATA,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("told", sa.Text, nullable=False),
    info={"volatile": True},
)
"""When a path was last given a content by a client, and what the client said of it, as JSON. What a tree holds does not
depend on it, so it is no part of the ledger."""
