"""The queries over the tables of logged models."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from bucle.line.tracking.logged_model_tables import LOGGED_MODEL_METRICS, LOGGED_MODELS

__all__ = ["add_points", "known_models", "model_rows", "points_of", "texts_of"]


def model_rows(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of these models."""
    found = connection.execute(sa.select(LOGGED_MODELS).where(LOGGED_MODELS.c.id.in_(ids)))
    return [dict(row._mapping) for row in found]


def known_models(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these ids are models that were not deleted."""
    query = sa.select(LOGGED_MODELS.c.id).where(LOGGED_MODELS.c.id.in_(ids), LOGGED_MODELS.c.lifecycle == "active")
    return set(connection.execute(query).scalars())


def texts_of(connection: Connection, table: sa.Table, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Params or tags of these models, by model and key."""
    found = defaultdict[str, dict[str, str]](dict)
    query = sa.select(table).where(table.c.model.in_(ids)).order_by(table.c.model, table.c.key)
    for row in connection.execute(query):
        found[row.model][row.key] = row.value
    return found


def points_of(connection: Connection, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Every measurement of these models, by metric, instant and step."""
    table = LOGGED_MODEL_METRICS
    found = defaultdict[str, list[dict[str, Any]]](list)
    query = (
        sa.select(table)
        .where(table.c.model.in_(ids))
        .order_by(table.c.model, table.c.key, table.c.at, table.c.step, table.c.run)
    )
    for row in connection.execute(query):
        found[row.model].append(
            {
                "key": row.key,
                "value": math.nan if row.value is None else row.value,
                "at": row.at,
                "step": row.step,
                "run_id": row.run,
                "dataset_name": row.dataset_name,
                "dataset_digest": row.dataset_digest,
            }
        )
    return found


def add_points(connection: Connection, points: Mapping[str, Sequence[Any]]) -> None:
    """Write measurements (`ModelPoint`s by model); one with the same place as another is left as it was."""
    rows = [
        {
            "model": model,
            "key": point.key,
            "at": point.at,
            "step": point.step,
            "run": point.run_id,
            "value": None if math.isnan(point.value) else point.value,
            "dataset_name": point.dataset_name,
            "dataset_digest": point.dataset_digest,
        }
        for model, measured in points.items()
        for point in measured
    ]
    if rows:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(insert(LOGGED_MODEL_METRICS).on_conflict_do_nothing(), rows)
