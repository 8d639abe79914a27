"""The queries over the tables of evaluation datasets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import NUMBER_OPERATORS, TEXT_OPERATORS, Clause, Field, Grammar, parse_filter, parse_order
from bucle.ground.store import Prepared, comparison
from bucle.line.evaluation.tables import EVALUATION_DATASETS, EVALUATION_EXPERIMENTS, EVALUATION_RECORDS
from bucle.line.tracking import Key, beyond, experiment_numbers, ordering

__all__ = [
    "conditions_of",
    "dataset_experiments",
    "dataset_row",
    "delete_records",
    "every_dataset",
    "every_record",
    "keys_of",
    "newest_record",
    "page",
    "put_records",
    "record_digests",
    "record_rows",
    "records_by_inputs",
]

Row = dict[str, Any]

_CREATED = Field(name="created_at", kind="instant", operators=NUMBER_OPERATORS)
_UPDATED = Field(name="updated_at", kind="instant", operators=NUMBER_OPERATORS)
_GRAMMAR = Grammar(
    scopes={name: Field(name="tags", kind="text", operators=("=", "!=", "LIKE", "ILIKE")) for name in ("tag", "tags")},
    attributes={
        "name": Field(name="name", kind="text", operators=TEXT_OPERATORS),
        "created_by": Field(name="created_by", kind="text", operators=TEXT_OPERATORS),
        "last_updated_by": Field(name="updated_by", kind="text", operators=TEXT_OPERATORS),
        "created_time": _CREATED,
        "last_update_time": _UPDATED,
    },
)
_ORDERS = Grammar(
    scopes={},
    attributes={name: _GRAMMAR.attributes[name] for name in ("name", "created_time", "last_update_time")},
)
_CREATED_AT = sa.type_coerce(EVALUATION_DATASETS.c.created_at, sa.BigInteger)
_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": EVALUATION_DATASETS.c.name,
    "created_by": EVALUATION_DATASETS.c.created_by,
    "updated_by": EVALUATION_DATASETS.c.updated_by,
    "created_at": _CREATED_AT,
    "updated_at": sa.type_coerce(EVALUATION_DATASETS.c.updated_at, sa.BigInteger),
}


def _put_record(insert: Any) -> Any:
    statement = insert(EVALUATION_RECORDS).values(
        {column.name: sa.bindparam(column.name) for column in EVALUATION_RECORDS.c}
    )
    return statement.on_conflict_do_update(
        index_elements=["dataset", "inputs_digest"],
        set_={name: statement.excluded[name] for name in ("id", "digest", "created_at", "body")},
    )


_PUT_RECORD = Prepared(_put_record)


def dataset_row(connection: Connection, id: str) -> Row | None:  # noqa: A002
    """One dataset."""
    row = connection.execute(sa.select(EVALUATION_DATASETS).where(EVALUATION_DATASETS.c.id == id)).one_or_none()
    return None if row is None else dict(row._mapping)


def every_dataset(connection: Connection) -> list[Row]:
    """All datasets."""
    return _rows(connection, sa.select(EVALUATION_DATASETS).order_by(EVALUATION_DATASETS.c.id))


def dataset_experiments(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The experiments each of these datasets belongs to."""
    found = defaultdict[str, tuple[int, ...]](tuple)
    table = EVALUATION_EXPERIMENTS
    for row in connection.execute(sa.select(table).where(table.c.dataset.in_(ids)).order_by(table.c.experiment)):
        found[row.dataset] += (row.experiment,)
    return found


def keys_of(order_by: Sequence[str]) -> list[Key]:
    """What datasets are ordered by: the newest first when nothing is said, then by id."""
    orders = parse_order(order_by, _ORDERS)
    keys = [Key(_COLUMNS[order.key], order.ascending) for order in orders] or [Key(_CREATED_AT, ascending=False)]
    return [*keys, Key(EVALUATION_DATASETS.c.id)]


def conditions_of(
    connection: Connection,
    filter: str,  # noqa: A002
    experiment_ids: Sequence[str],
) -> list[sa.ColumnElement[bool]]:
    """What a row of `evaluation_datasets` must fulfil."""
    is_sqlite = connection.dialect.name == "sqlite"
    where = [
        comparison(
            _tag(clause, is_sqlite=is_sqlite) if clause.scope else _COLUMNS[clause.key], clause, is_sqlite=is_sqlite
        )
        for clause in parse_filter(filter, _GRAMMAR)
    ]
    if experiment_ids:
        table = EVALUATION_EXPERIMENTS
        linked = sa.select(table.c.dataset).where(table.c.experiment.in_(experiment_numbers(experiment_ids)))
        where.append(EVALUATION_DATASETS.c.id.in_(linked))
    return where


def page(
    connection: Connection,
    where: Sequence[sa.ColumnElement[bool]],
    keys: Sequence[Key],
    *,
    after: Sequence[Any] = (),
    limit: int,
) -> list[tuple[Row, list[Any]]]:
    """Datasets in order, each with its place in that order.

    Args:
        after: the place of the last one given out before.
    """
    if after:
        where = [*where, beyond(keys, after)]
    places = [key.expression.label(f"place_{number}") for number, key in enumerate(keys)]
    query = sa.select(EVALUATION_DATASETS, *places).where(*where).order_by(*ordering(keys)).limit(limit)
    return [(row, [row[place.name] for place in places]) for row in _rows(connection, query)]


def records_by_inputs(connection: Connection, dataset: str, digests: Sequence[str]) -> Iterator[Row]:
    """The records of a dataset whose inputs have one of these digests."""
    table = EVALUATION_RECORDS
    for start in range(0, len(digests), 1000):
        wanted = table.c.inputs_digest.in_(digests[start : start + 1000])
        yield from _rows(connection, sa.select(table).where(table.c.dataset == dataset, wanted))


def put_records(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert records (instants in microseconds), or replace those of the same inputs."""
    if rows:
        _PUT_RECORD.run_many(connection, rows)


def record_digests(connection: Connection, dataset: str) -> list[tuple[str, str]]:
    """Id and digest of every record of a dataset, by id."""
    table = EVALUATION_RECORDS
    query = sa.select(table.c.id, table.c.digest).where(table.c.dataset == dataset)
    return sorted((row.id, row.digest) for row in connection.execute(query))


def newest_record(connection: Connection, dataset: str) -> datetime | None:
    """When the last record of a dataset was made."""
    table = EVALUATION_RECORDS
    return connection.execute(sa.select(sa.func.max(table.c.created_at)).where(table.c.dataset == dataset)).scalar()


def record_rows(connection: Connection, dataset: str, *, after: Sequence[Any] = (), limit: int) -> list[Row]:
    """Records of a dataset, oldest first.

    Args:
        after: instant (microseconds) and id of the last one given out before.
    """
    table = EVALUATION_RECORDS
    keys = [Key(sa.type_coerce(table.c.created_at, sa.BigInteger)), Key(table.c.id)]
    query = sa.select(table).where(table.c.dataset == dataset)
    if after:
        query = query.where(beyond(keys, after))
    return _rows(connection, query.order_by(*ordering(keys)).limit(limit))


def every_record(connection: Connection, dataset: str) -> list[Row]:
    """All records of a dataset, by id as `record_digests` gives them."""
    table = EVALUATION_RECORDS
    return sorted(_rows(connection, sa.select(table).where(table.c.dataset == dataset)), key=lambda row: str(row["id"]))


def delete_records(connection: Connection, dataset: str, ids: Sequence[str] | None) -> int:
    """Remove these records of a dataset, or all; how many there were."""
    statement = sa.delete(EVALUATION_RECORDS).where(EVALUATION_RECORDS.c.dataset == dataset)
    if ids is not None:
        statement = statement.where(EVALUATION_RECORDS.c.id.in_(ids))
    return int(connection.execute(statement).rowcount)


def _tag(clause: Clause, *, is_sqlite: bool) -> sa.ColumnElement[Any]:
    """The value of a tag; tags are one JSON text, so the key is looked up in it."""
    tags = EVALUATION_DATASETS.c.tags
    if is_sqlite:  # which would take a dot in a bare key for a step into the value
        return tags.op("->>")(sa.literal(f'$."{clause.key}"', sa.Text))
    return sa.cast(tags, sa.JSON).op("->>")(sa.literal(clause.key, sa.Text))


def _rows(connection: Connection, query: sa.Select[Any]) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(query)]
