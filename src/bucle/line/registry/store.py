"""The queries over the registry's tables."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.line.registry.tables import ALIASES, VERSIONS

__all__ = [
    "alias_target",
    "aliases_of",
    "model_names",
    "next_version",
    "row_of_digest",
    "rows_of_model",
    "stage_of",
    "version_row",
]


def next_version(connection: Connection, model: str) -> int:
    """The number the next version of a model gets; call it inside a write transaction."""
    query = sa.select(sa.func.max(VERSIONS.c.version)).where(VERSIONS.c.model == model)
    return int(connection.execute(query).scalar() or 0) + 1


def row_of_digest(connection: Connection, model: str, digest: str) -> dict[str, Any] | None:
    """The version of a model that has this package."""
    query = sa.select(VERSIONS).where(VERSIONS.c.model == model, VERSIONS.c.digest == digest)
    return _one(connection, query)


def version_row(connection: Connection, model: str, version: int) -> dict[str, Any] | None:
    """One version."""
    query = sa.select(VERSIONS).where(VERSIONS.c.model == model, VERSIONS.c.version == version)
    return _one(connection, query)


def rows_of_model(connection: Connection, model: str | None) -> list[dict[str, Any]]:
    """Every version of a model, or of all models, oldest first."""
    query = sa.select(VERSIONS).order_by(VERSIONS.c.model, VERSIONS.c.version)
    if model is not None:
        query = query.where(VERSIONS.c.model == model)
    return [dict(row._mapping) for row in connection.execute(query)]


def stage_of(connection: Connection, model: str, version: int) -> str | None:
    """A version's stage; None when there is no such version."""
    query = sa.select(VERSIONS.c.stage).where(VERSIONS.c.model == model, VERSIONS.c.version == version)
    return connection.execute(query).scalar()


def model_names(connection: Connection) -> list[str]:
    """Every model that has a version."""
    return list(connection.execute(sa.select(VERSIONS.c.model).distinct().order_by(VERSIONS.c.model)).scalars())


def alias_target(connection: Connection, model: str, alias: str) -> int | None:
    """The version an alias names."""
    query = sa.select(ALIASES.c.version).where(ALIASES.c.model == model, ALIASES.c.alias == alias)
    return connection.execute(query).scalar()


def aliases_of(connection: Connection, model: str | None) -> dict[tuple[str, int], tuple[str, ...]]:
    """The aliases of each version of a model, or of all models, sorted."""
    query = sa.select(ALIASES).order_by(ALIASES.c.model, ALIASES.c.alias)
    if model is not None:
        query = query.where(ALIASES.c.model == model)
    found = defaultdict[tuple[str, int], tuple[str, ...]](tuple)
    for row in connection.execute(query):
        found[row.model, row.version] += (row.alias,)
    return dict(found)


def _one(connection: Connection, query: sa.Select[Any]) -> dict[str, Any] | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else dict(row._mapping)
