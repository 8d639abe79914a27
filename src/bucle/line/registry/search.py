"""Searching: filters and orders of MLflow's grammar over models and versions, page by page."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import BadFilter, Clause, Field, Grammar, Order, parse_filter, parse_order, to_micros
from bucle.ground.project import Project
from bucle.ground.store import Instant, like
from bucle.line.registry.model import Model, read_models
from bucle.line.registry.tables import HEAD, MODEL_TAGS, MODELS, VERSION_TAGS, VERSIONS
from bucle.line.registry.tag import IS_PROMPT
from bucle.line.registry.version import ModelVersion, read_versions
from bucle.line.tracking import Key, Page, beyond, check_limit, make_token, ordering, read_token

__all__ = ["MOST_MODELS", "MOST_VERSIONS", "search_models", "search_versions"]

T = TypeVar("T")

MOST_MODELS = 1000
MOST_VERSIONS = 200_000
"""So many at once; more come page by page."""

_TEXT = ("=", "!=", "LIKE", "ILIKE")
_LISTED = (*_TEXT, "IN", "NOT IN")
_NUMBER = ("=", "!=", ">", ">=", "<", "<=")


def _text(name: str, operators: tuple[str, ...] = _TEXT) -> Field:
    return Field(name=name, kind="text", operators=operators)


_TAGS = {alias: _text("tags") for alias in ("tags", "tag")}

_MODEL_FILTERS = Grammar(scopes=_TAGS, attributes={"name": _text("name", _LISTED)})
_VERSION_FILTERS = Grammar(
    scopes=_TAGS,
    attributes={
        "name": _text("name", _LISTED),
        "run_id": _text("run_id", _LISTED),
        "source_path": _text("source_path"),
        "version_number": Field(name="version_number", kind="number", operators=_NUMBER),
    },
)

_INSTANTS = {
    "creation_timestamp": "creation_timestamp",
    "last_updated_timestamp": "last_updated_timestamp",
    "timestamp": "last_updated_timestamp",
}
_ORDERED = {name: Field(name=kept, kind="instant", operators=()) for name, kept in _INSTANTS.items()}
_MODEL_ORDERS = Grammar(scopes={}, attributes={"name": _text("name", ()), **_ORDERED})
_VERSION_ORDERS = Grammar(
    scopes={},
    attributes={
        "name": _text("name", ()),
        "version_number": Field(name="version_number", kind="number", operators=()),
        **_ORDERED,
    },
)

_MODEL_COLUMNS = {
    "name": MODELS.c.name,
    "creation_timestamp": MODELS.c.created_at,
    "last_updated_timestamp": MODELS.c.updated_at,
}
_VERSION_COLUMNS = {
    "name": VERSIONS.c.model,
    "version_number": VERSIONS.c.version,
    "run_id": VERSIONS.c.run,
    "source_path": VERSIONS.c.source,
    "creation_timestamp": VERSIONS.c.created_at,
    "last_updated_timestamp": VERSIONS.c.updated_at,
}
_NEWEST = (
    Order(scope="", key="last_updated_timestamp", ascending=False),
    Order(scope="", key="name", ascending=True),
    Order(scope="", key="version_number", ascending=False),
)


def search_models(
    project: Project,
    *,
    filter: str = "",  # noqa: A002  MLflow calls it so
    order_by: Sequence[str] = (),
    limit: int = 100,
    token: str = "",
) -> Page[Model]:
    """Models by name, unless ordered otherwise. Prompts only when the filter asks for `mlflow.prompt.is_prompt`.

    Args:
        filter: by `name` and `tags.KEY`.
        order_by: `name`, `creation_timestamp`, `last_updated_timestamp`.
        limit: 1 to 1000.
        token: of the page before.
    Raises:
        BadFilter: the filter or an order cannot be read.
        BadToken: the token belongs to another search, or the limit is out of range.
    """
    clauses = parse_filter(filter, _MODEL_FILTERS)
    orders = _completed(parse_order(order_by, _MODEL_ORDERS), [("name", True)])
    conditions = [_meets(project, clause, _MODEL_COLUMNS, _MODEL_TAGS) for clause in clauses if not _is_prompt(clause)]
    query = sa.select(MODELS).where(*conditions, _shown(clauses, MODELS.c.kind))
    keys = [_Key(_MODEL_COLUMNS[order.key], order.ascending) for order in orders]
    question = ["models", filter, list(order_by)]
    check_limit(limit, MOST_MODELS)
    return _page(project, query, keys, read_models, question=question, limit=limit, token=token)


def search_versions(
    project: Project,
    *,
    filter: str = "",  # noqa: A002  MLflow calls it so
    order_by: Sequence[str] = (),
    limit: int = 1000,
    token: str = "",
) -> Page[ModelVersion]:
    """Versions of all models, those that changed last first, unless ordered otherwise; prompts as in `search_models`.

    Args:
        filter: by `name`, `version_number`, `run_id`, `source_path` and `tags.KEY`.
        order_by: `name`, `version_number`, `creation_timestamp`, `last_updated_timestamp`.
        limit: 1 to 200,000.
        token: of the page before.
    Raises:
        BadFilter: the filter or an order cannot be read.
        BadToken: the token belongs to another search, or the limit is out of range.
    """
    clauses = parse_filter(filter, _VERSION_FILTERS)
    given = parse_order(order_by, _VERSION_ORDERS)
    orders = _completed(given, [("name", True), ("version_number", False)]) if given else _NEWEST
    conditions = [
        _meets(project, clause, _VERSION_COLUMNS, _VERSION_TAGS) for clause in clauses if not _is_prompt(clause)
    ]
    query = sa.select(VERSIONS).where(*conditions, _shown(clauses, VERSIONS.c.kind))
    keys = [_Key(_VERSION_COLUMNS[order.key], order.ascending) for order in orders]
    question = ["versions", filter, list(order_by)]
    check_limit(limit, MOST_VERSIONS)
    return _page(project, query, keys, read_versions, question=question, limit=limit, token=token)


class _Key(NamedTuple):
    column: sa.Column[Any]
    ascending: bool


class _Tags(NamedTuple):
    """Where the tags stand, and how their rows name the thing they belong to."""

    table: sa.Table
    own: tuple[sa.Column[Any], ...]
    theirs: tuple[sa.Column[Any], ...]


_MODEL_TAGS = _Tags(MODEL_TAGS, (MODELS.c.name,), (MODEL_TAGS.c.model,))
_VERSION_TAGS = _Tags(
    VERSION_TAGS, (VERSIONS.c.model, VERSIONS.c.version), (VERSION_TAGS.c.model, VERSION_TAGS.c.version)
)


def _page(
    project: Project,
    query: sa.Select[Any],
    order: Sequence[_Key],
    read: Callable[[Connection, list[dict[str, Any]]], list[T]],
    *,
    question: object,
    limit: int,
    token: str,
) -> Page[T]:
    keys = [Key(_plain(key.column), key.ascending) for key in order]
    if token:
        query = query.where(beyond(keys, read_token(token, question, len(keys))))
    with project.database.reading() as connection:
        found = connection.execute(query.order_by(*ordering(keys)).limit(limit + 1))
        rows = [dict(row._mapping) for row in found]
        items = read(connection, rows[:limit])
    if len(rows) <= limit:
        return Page(items=tuple(items))
    last = rows[limit - 1]
    return Page(items=tuple(items), token=make_token(question, [_place(last[key.column.name]) for key in order]))


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column as a token can hold its values."""
    return sa.type_coerce(column, sa.BigInteger) if isinstance(column.type, Instant) else column


def _place(value: Any) -> Any:
    return to_micros(value) if isinstance(value, datetime) else value


def _completed(orders: Sequence[Order], last: Sequence[tuple[str, bool]]) -> list[Order]:
    """The orders, and what else is needed so that no two rows have the same place."""
    given = {order.key for order in orders}
    return [*orders, *(Order(scope="", key=key, ascending=up) for key, up in last if key not in given)]


def _is_prompt(clause: Clause) -> bool:
    return clause.scope == "tags" and clause.key == IS_PROMPT


def _shown(clauses: Iterable[Clause], kind: sa.Column[str]) -> sa.ColumnElement[bool]:
    """Prompts, when the filter asks for them; everything else otherwise."""
    asked = next((clause for clause in clauses if _is_prompt(clause)), None)
    wanted = asked is not None and (asked.op, str(asked.value).lower()) in (("=", "true"), ("!=", "false"))
    return kind == "prompt" if wanted else kind != "prompt"


def _meets(
    project: Project, clause: Clause, columns: Mapping[str, sa.Column[Any]], tags: _Tags
) -> sa.ColumnElement[bool]:
    if not clause.scope:
        return _compared(project, columns[clause.key], clause)
    value = _tag_value(project, tags.table, clause)
    having = sa.select(*tags.theirs).where(tags.table.c.key == clause.key, value)
    return (tags.own[0] if len(tags.own) == 1 else sa.tuple_(*tags.own)).in_(having)


def _tag_value(project: Project, table: sa.Table, clause: Clause) -> sa.ColumnElement[bool]:
    """What a tag's two columns must hold."""
    rest = sa.func.coalesce(table.c.rest, "")
    if clause.op not in ("=", "!="):
        return _compared(project, table.c.value + rest, clause)
    head, tail = str(clause.value)[:HEAD], str(clause.value)[HEAD:]
    if clause.op == "=":
        return sa.and_(table.c.value == head, rest == tail)
    return sa.or_(table.c.value != head, rest != tail)


def _compared(project: Project, column: sa.ColumnElement[Any], clause: Clause) -> sa.ColumnElement[bool]:
    value = clause.value
    if clause.op in ("IN", "NOT IN"):
        listed = list(value) if isinstance(value, tuple) else [value]
        return column.in_(listed) if clause.op == "IN" else column.not_in(listed)
    if clause.op in ("LIKE", "ILIKE"):
        return like(column, str(value), is_sqlite=project.database.is_sqlite, any_case=clause.op == "ILIKE")
    if isinstance(value, int):
        bounded = max(min(value, _GREATEST), -_GREATEST)
        return _OPERATORS[clause.op](column, sa.literal(bounded, sa.BigInteger))
    if isinstance(value, float):
        raise BadFilter(
            f"{clause.key} is compared with {value}.",
            why="It is a whole number.",
            fix="Write one, e.g. 3.",
            at="filter",
        )
    return _OPERATORS[clause.op](column, value)


_GREATEST = 2**63 - 1
_OPERATORS: Mapping[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
