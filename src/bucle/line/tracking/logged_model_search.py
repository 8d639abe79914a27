"""Searching logged models: by what they are, what they were made with, and what was measured on which data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from bucle.ground.core import (
    NUMBER_OPERATORS,
    TEXT_OPERATORS,
    BadFilter,
    Clause,
    Field,
    Grammar,
    Record,
    parse_filter,
    suggest,
)
from bucle.ground.project import Project
from bucle.ground.store import comparison
from bucle.line.tracking.experiment import number_of
from bucle.line.tracking.logged_model import LoggedModel, read_models
from bucle.line.tracking.logged_model_tables import (
    LOGGED_MODEL_METRICS,
    LOGGED_MODEL_PARAMS,
    LOGGED_MODEL_TAGS,
    LOGGED_MODELS,
)
from bucle.line.tracking.page import Key, Page, beyond, check_limit, make_token, ordering, read_token

__all__ = ["ModelOrder", "search_logged_models"]

MOST_AT_ONCE = 1000

_CREATED = Field(name="created_at", kind="instant", operators=NUMBER_OPERATORS)
_UPDATED = Field(name="updated_at", kind="instant", operators=NUMBER_OPERATORS)


def _text(name: str) -> Field:
    return Field(name=name, kind="text", operators=TEXT_OPERATORS)


_GRAMMAR = Grammar(
    scopes={
        "params": _text("params"),
        "tags": _text("tags"),
        "metrics": Field(name="metrics", kind="number", operators=NUMBER_OPERATORS),
    },
    attributes={
        "name": _text("name"),
        "model_id": _text("id"),
        "model_type": _text("kind"),
        "status": _text("status"),
        "source_run_id": _text("run"),
        "creation_time": _CREATED,
        "creation_timestamp": _CREATED,
        "creation_timestamp_ms": _CREATED,
        "last_updated_timestamp": _UPDATED,
        "last_updated_timestamp_ms": _UPDATED,
    },
)

Scope = tuple[str, str]
"""A dataset's name and digest; an empty digest means any."""


class ModelOrder(Record, frozen=True):
    """One thing to order models by.

    Attributes:
        field: an attribute, e.g. `creation_timestamp`, or `metrics.KEY`: its newest measurement.
        ascending: smallest first.
        dataset_name: only measurements on this dataset; empty for any.
        dataset_digest: only with this content.
    """

    field: str
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


def search_logged_models(
    project: Project,
    experiment_ids: Sequence[str],
    *,
    filter: str = "",  # noqa: A002  what every client calls it
    datasets: Sequence[Scope] = (),
    order_by: Sequence[ModelOrder] = (),
    limit: int = 100,
    token: str = "",
) -> Page[LoggedModel]:
    """Models of experiments that fit a filter, newest first unless told otherwise; deleted ones are not among them.

    Args:
        filter: comparisons of attributes, `params.KEY`, `tags.KEY`, `metrics.KEY`.
        datasets: only measurements on one of these count for `metrics.KEY`; without such a comparison, models that were
            measured on one of them.
    Raises:
        BadFilter: filter or order cannot be read.
        BadToken: the token is not from this search.
    """
    check_limit(limit, MOST_AT_ONCE)
    clauses = parse_filter(filter, _GRAMMAR)
    keys, sqlite = _keys(order_by), project.database.is_sqlite
    where = [
        LOGGED_MODELS.c.lifecycle == "active",
        LOGGED_MODELS.c.experiment.in_([number_of(id_) for id_ in experiment_ids]),
        *(_condition(clause, datasets, sqlite) for clause in clauses),
    ]
    if datasets and not any(clause.scope == "metrics" for clause in clauses):
        where.append(_measured(_on(datasets)))
    question = ["logged models", list(experiment_ids), filter, list(datasets), list(order_by)]
    if token:
        where.append(beyond(keys, read_token(token, question, len(keys))))
    places = [key.expression.label(f"k{place}") for place, key in enumerate(keys)]
    query = sa.select(LOGGED_MODELS.c.id, *places).where(*where).order_by(*ordering(keys)).limit(limit + 1)
    with project.database.reading() as connection:
        rows = list(connection.execute(query))
        models = read_models(connection, [row.id for row in rows[:limit]])
    following = "" if len(rows) <= limit else make_token(question, list(rows[limit - 1])[1:])
    return Page(items=tuple(models), token=following)


def _keys(orders: Sequence[ModelOrder]) -> list[Key]:
    keys, named = list[Key](), set[str]()
    for order in orders:
        if order.field.startswith("metrics."):
            keys.append(Key(_newest(order), order.ascending, nullable=True))
            continue
        name = _column_of(order.field)
        named.add(name)
        keys.append(Key(_column(name), order.ascending))
    keys += [] if "created_at" in named else [Key(_column("created_at"), ascending=False)]
    keys += [] if "id" in named else [Key(LOGGED_MODELS.c.id)]
    return keys


def _column_of(field: str) -> str:
    name = field.removeprefix("attributes.").strip("`")
    if name not in _GRAMMAR.attributes:
        known = [*_GRAMMAR.attributes, "metrics."]
        raise BadFilter(
            f"Models cannot be ordered by {field[:80]!r}.",
            why=f"One can order by: {', '.join(known)}KEY.",
            fix=suggest(name, known) or "E.g. metrics.auc",
            at="order_by",
        )
    return _GRAMMAR.attributes[name].name


def _column(name: str) -> sa.ColumnElement[Any]:
    column = LOGGED_MODELS.c[name]
    return sa.type_coerce(column, sa.BigInteger) if name.endswith("_at") else column


def _newest(order: ModelOrder) -> sa.ColumnElement[Any]:
    """The newest measurement of a metric: the last by instant, then by step."""
    table = LOGGED_MODEL_METRICS
    query = sa.select(table.c.value).where(
        table.c.model == LOGGED_MODELS.c.id, table.c.key == order.field[8:].strip("`")
    )
    if order.dataset_name:
        query = query.where(_on([(order.dataset_name, order.dataset_digest)]))
    return query.order_by(table.c.at.desc(), table.c.step.desc(), table.c.run).limit(1).scalar_subquery()


def _condition(clause: Clause, datasets: Sequence[Scope], sqlite: bool) -> sa.ColumnElement[bool]:
    if clause.scope == "metrics":
        fits = comparison(LOGGED_MODEL_METRICS.c.value, clause, is_sqlite=sqlite)
        return _measured(LOGGED_MODEL_METRICS.c.key == clause.key, fits, *([_on(datasets)] if datasets else []))
    if clause.scope:
        table = LOGGED_MODEL_PARAMS if clause.scope == "params" else LOGGED_MODEL_TAGS
        found = sa.select(table.c.key).where(table.c.model == LOGGED_MODELS.c.id, table.c.key == clause.key)
        return found.where(comparison(table.c.value, clause, is_sqlite=sqlite)).exists()
    if clause.key == "status":
        return comparison(LOGGED_MODELS.c.status, _lowered(clause), is_sqlite=sqlite)
    return comparison(_column(clause.key), clause, is_sqlite=sqlite)


def _lowered(clause: Clause) -> Clause:
    """Clients write a status in capitals."""
    value = clause.value
    lower = tuple(one.lower() for one in value) if isinstance(value, tuple) else str(value).lower()
    return Clause(scope=clause.scope, key=clause.key, op=clause.op, value=lower, at=clause.at)


def _measured(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    table = LOGGED_MODEL_METRICS
    return sa.select(table.c.key).where(table.c.model == LOGGED_MODELS.c.id, *conditions).exists()


def _on(datasets: Sequence[Scope]) -> sa.ColumnElement[bool]:
    """That a measurement was made on one of these datasets."""
    table = LOGGED_MODEL_METRICS
    return sa.or_(
        *(
            sa.and_(table.c.dataset_name == name, table.c.dataset_digest == digest)
            if digest
            else table.c.dataset_name == name
            for name, digest in datasets
        )
    )
