"""The queries over the registry's tables; those that filters and orders make stand in `search.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.line.registry.stage import STAGES
from bucle.line.registry.tables import (
    ALIASES,
    DELIVERIES,
    HEAD,
    MODEL_TAGS,
    MODELS,
    NUMBERS,
    VERSION_TAGS,
    VERSIONS,
    WEBHOOKS,
)
from bucle.line.tracking.tables import ARTIFACTS

__all__ = [
    "alias_names",
    "alias_target",
    "aliases_of",
    "aliases_of_models",
    "aliases_of_version",
    "aliases_of_versions",
    "artifact_files",
    "delivery_rows",
    "drop_delivery",
    "greatest_version",
    "greatest_versions",
    "kind_of_digest",
    "last_number",
    "latest_of_stages",
    "model_names",
    "model_row",
    "model_rows",
    "model_tags",
    "next_version",
    "put_delivery",
    "row_of_digest",
    "rows_of_model",
    "stage_counts",
    "stage_of",
    "tag_row",
    "tags_of_models",
    "tags_of_versions",
    "version_row",
    "version_tags",
    "versions_in_stage",
    "webhook_row",
    "webhook_rows",
]

Row = dict[str, Any]

PIECE = 120
"""So many conditions of so many numbers each stay below what SQLite takes in one statement: 32,766 parameters."""


def model_row(connection: Connection, name: str) -> Row | None:
    """One model."""
    return _one(connection, sa.select(MODELS).where(MODELS.c.name == name))


def model_rows(connection: Connection, kind: str | None) -> list[Row]:
    """Every model of a kind, or of all, by name."""
    query = sa.select(MODELS).order_by(MODELS.c.name)
    return _all(connection, query if kind is None else query.where(MODELS.c.kind == kind))


def model_names(connection: Connection) -> list[str]:
    """Every model's name, in order."""
    return list(connection.execute(sa.select(MODELS.c.name).order_by(MODELS.c.name)).scalars())


def last_number(connection: Connection, model: str) -> int:
    """The greatest number ever given under a name; 0 when there was none."""
    return int(connection.execute(sa.select(NUMBERS.c.last).where(NUMBERS.c.model == model)).scalar() or 0)


def next_version(connection: Connection, model: str) -> int:
    """The number the next version of a model gets; call it inside a write transaction."""
    return last_number(connection, model) + 1


def greatest_version(connection: Connection, model: str) -> int | None:
    """The greatest number among the versions there are."""
    return connection.execute(sa.select(sa.func.max(VERSIONS.c.version)).where(VERSIONS.c.model == model)).scalar()


def greatest_versions(connection: Connection, models: Sequence[str]) -> dict[str, int]:
    """The greatest number among the versions there are, of each of some models."""
    query = sa.select(MODELS.c.name, _greatest()).where(MODELS.c.name.in_(models))
    return {model: int(number or 0) for model, number in connection.execute(query)}


def row_of_digest(connection: Connection, model: str, kind: str, digest: str) -> Row | None:
    """The first version of a model that has this content."""
    query = (
        sa.select(VERSIONS)
        .where(VERSIONS.c.model == model, VERSIONS.c.digest == digest, VERSIONS.c.kind == kind)
        .order_by(VERSIONS.c.version)
        .limit(1)
    )
    return _one(connection, query)


def kind_of_digest(connection: Connection, digest: str) -> str | None:
    """What the versions are that have this content; None when none has."""
    return connection.execute(sa.select(VERSIONS.c.kind).where(VERSIONS.c.digest == digest).limit(1)).scalar()


def version_row(connection: Connection, model: str, version: int) -> Row | None:
    """One version."""
    return _one(connection, sa.select(VERSIONS).where(VERSIONS.c.model == model, VERSIONS.c.version == version))


def rows_of_model(connection: Connection, model: str | None) -> list[Row]:
    """Every version of a model, or of all models, oldest first."""
    query = sa.select(VERSIONS).order_by(VERSIONS.c.model, VERSIONS.c.version)
    if model is not None:
        query = query.where(VERSIONS.c.model == model)
    return _all(connection, query)


def latest_of_stages(connection: Connection, models: Sequence[str]) -> list[Row]:
    """The newest version of each stage of these models."""
    found = list[tuple[str, int]]()
    for stage in STAGES:
        query = sa.select(MODELS.c.name, _greatest(VERSIONS.c.stage == stage)).where(MODELS.c.name.in_(models))
        found += [(model, number) for model, number in connection.execute(query) if number is not None]
    rows = [row for these in _these(VERSIONS, found) for row in _all(connection, sa.select(VERSIONS).where(these))]
    return sorted(rows, key=lambda row: (row["model"], row["version"]))


def _greatest(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """The greatest number of each model: one look into an index a model, however many versions it has."""
    query = sa.select(sa.func.max(VERSIONS.c.version)).where(VERSIONS.c.model == MODELS.c.name, *conditions)
    return query.correlate(MODELS).scalar_subquery()


def versions_in_stage(connection: Connection, model: str, stage: str) -> list[int]:
    """The numbers of a model's versions in a stage, in order."""
    query = sa.select(VERSIONS.c.version).where(VERSIONS.c.model == model, VERSIONS.c.stage == stage)
    return list(connection.execute(query.order_by(VERSIONS.c.version)).scalars())


def stage_counts(connection: Connection, models: Sequence[str] | None) -> dict[str, dict[str, int]]:
    """How many versions each model has in each stage."""
    query = sa.select(VERSIONS.c.model, VERSIONS.c.stage, sa.func.count()).group_by(VERSIONS.c.model, VERSIONS.c.stage)
    if models is not None:
        query = query.where(VERSIONS.c.model.in_(models))
    found = defaultdict[str, dict[str, int]](dict)
    for model, stage, count in connection.execute(query):
        found[model][stage] = int(count)
    return dict(found)


def stage_of(connection: Connection, model: str, version: int) -> str | None:
    """A version's stage; None when there is no such version."""
    query = sa.select(VERSIONS.c.stage).where(VERSIONS.c.model == model, VERSIONS.c.version == version)
    return connection.execute(query).scalar()


def alias_target(connection: Connection, model: str, alias: str) -> int | None:
    """The version an alias names."""
    query = sa.select(ALIASES.c.version).where(ALIASES.c.model == model, ALIASES.c.alias == alias)
    return connection.execute(query).scalar()


def alias_names(connection: Connection, model: str) -> list[str]:
    """The aliases of a model, in order."""
    query = sa.select(ALIASES.c.alias).where(ALIASES.c.model == model).order_by(ALIASES.c.alias)
    return list(connection.execute(query).scalars())


def aliases_of_version(connection: Connection, model: str, version: int) -> tuple[str, ...]:
    """The aliases that name one version, in order."""
    query = sa.select(ALIASES.c.alias).where(ALIASES.c.model == model, ALIASES.c.version == version)
    return tuple(connection.execute(query.order_by(ALIASES.c.alias)).scalars())


def aliases_of(connection: Connection, model: str | None) -> dict[tuple[str, int], tuple[str, ...]]:
    """The aliases of each version of a model, or of all models, in order."""
    found = defaultdict[tuple[str, int], tuple[str, ...]](tuple)
    query = sa.select(ALIASES).order_by(ALIASES.c.model, ALIASES.c.alias)
    for row in connection.execute(_of(query, ALIASES, None if model is None else (model,))):
        found[row.model, row.version] += (row.alias,)
    return dict(found)


def aliases_of_models(connection: Connection, models: Iterable[str] | None) -> dict[str, dict[str, int]]:
    """Alias -> version of some models, or of all."""
    found = defaultdict[str, dict[str, int]](dict)
    for row in connection.execute(_of(sa.select(ALIASES).order_by(ALIASES.c.model, ALIASES.c.alias), ALIASES, models)):
        found[row.model][row.alias] = row.version
    return dict(found)


def model_tags(connection: Connection, model: str) -> dict[str, str]:
    """The tags of one model."""
    return tags_of_models(connection, (model,)).get(model, {})


def tag_row(key: str, value: str) -> Row:
    """A tag as its columns hold it."""
    return {"key": key, "value": value[:HEAD], "rest": value[HEAD:] or None}


def tags_of_models(connection: Connection, models: Iterable[str] | None) -> dict[str, dict[str, str]]:
    """The tags of some models, or of all, by key."""
    found = defaultdict[str, dict[str, str]](dict)
    query = sa.select(MODEL_TAGS).order_by(MODEL_TAGS.c.model, MODEL_TAGS.c.key)
    for row in connection.execute(_of(query, MODEL_TAGS, models)):
        found[row.model][row.key] = row.value + (row.rest or "")
    return dict(found)


def version_tags(connection: Connection, model: str, version: int) -> dict[str, str]:
    """The tags of one version, by key."""
    return tags_of_versions(connection, [(model, version)]).get((model, version), {})


def tags_of_versions(
    connection: Connection, versions: Iterable[tuple[str, int]] | None
) -> dict[tuple[str, int], dict[str, str]]:
    """The tags of each of some versions, or of all, by key."""
    found = defaultdict[tuple[str, int], dict[str, str]](dict)
    query = sa.select(VERSION_TAGS).order_by(VERSION_TAGS.c.model, VERSION_TAGS.c.version, VERSION_TAGS.c.key)
    for part in [query] if versions is None else [query.where(these) for these in _these(VERSION_TAGS, versions)]:
        for row in connection.execute(part):
            found[row.model, row.version][row.key] = row.value + (row.rest or "")
    return dict(found)


def aliases_of_versions(
    connection: Connection, versions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], tuple[str, ...]]:
    """The aliases that name each of some versions, in order."""
    found = defaultdict[tuple[str, int], tuple[str, ...]](tuple)
    query = sa.select(ALIASES).order_by(ALIASES.c.model, ALIASES.c.alias)
    for these in _these(ALIASES, versions):
        for row in connection.execute(query.where(these)):
            found[row.model, row.version] += (row.alias,)
    return dict(found)


def _these(table: sa.Table, versions: Iterable[tuple[str, int]]) -> Iterator[sa.ColumnElement[bool]]:
    """The rows of some versions, in conditions no database finds too long."""
    numbers = defaultdict[str, list[int]](list)
    for model, version in versions:
        numbers[model].append(version)
    pieces = [
        sa.and_(table.c.model == model, table.c.version.in_(held[start : start + PIECE]))
        for model, held in numbers.items()
        for start in range(0, len(held), PIECE)
    ]
    for start in range(0, len(pieces), PIECE):
        yield sa.or_(*pieces[start : start + PIECE])


def artifact_files(connection: Connection, owner: str, path: str) -> dict[str, tuple[int, str]]:
    """The files below a folder of a run or logged model, or the one file: path from there -> size in bytes, digest."""
    query = sa.select(ARTIFACTS).where(ARTIFACTS.c.owner == owner)
    if path:
        inside = sa.and_(ARTIFACTS.c.path >= f"{path}/", ARTIFACTS.c.path < f"{path}0")
        query = query.where(sa.or_(inside, ARTIFACTS.c.path == path))
    cut = len(path) + 1 if path else 0
    rows = connection.execute(query).all()
    return {row.path[cut:] or row.path.rpartition("/")[2]: (row.size, row.digest) for row in rows}


def webhook_row(connection: Connection, webhook: str) -> Row | None:
    """One webhook."""
    return _one(connection, sa.select(WEBHOOKS).where(WEBHOOKS.c.id == webhook))


def webhook_rows(connection: Connection, *, before: tuple[datetime, str] | None, limit: int | None) -> list[Row]:
    """Webhooks, newest first, from before one of them on."""
    order = (WEBHOOKS.c.created_at.desc(), WEBHOOKS.c.id.desc())
    query = sa.select(WEBHOOKS).order_by(*order).limit(limit)
    if before is not None:
        at, webhook = before
        earlier = sa.and_(WEBHOOKS.c.created_at == at, WEBHOOKS.c.id < webhook)
        query = query.where(sa.or_(WEBHOOKS.c.created_at < at, earlier))
    return _all(connection, query)


def delivery_rows(connection: Connection) -> dict[str, Row]:
    """How far each webhook has come."""
    return {row["webhook"]: row for row in _all(connection, sa.select(DELIVERIES))}


def put_delivery(connection: Connection, row: Row) -> None:
    """Note how far a webhook has come."""
    mine = DELIVERIES.c.webhook == row["webhook"]
    if connection.execute(sa.update(DELIVERIES).where(mine).values(**row)).rowcount == 0:
        connection.execute(sa.insert(DELIVERIES).values(**row))


def drop_delivery(connection: Connection, webhook: str) -> None:
    """Forget how far a webhook had come."""
    connection.execute(sa.delete(DELIVERIES).where(DELIVERIES.c.webhook == webhook))


def _of(query: sa.Select[Any], table: sa.Table, models: Iterable[str] | None) -> sa.Select[Any]:
    return query if models is None else query.where(table.c.model.in_(list(models)))


def _one(connection: Connection, query: sa.Select[Any]) -> Row | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else dict(row._mapping)


def _all(connection: Connection, query: sa.Select[Any]) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(query)]
