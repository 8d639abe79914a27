"""The queries over the tables of traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import from_micros
from bucle.ground.store import Prepared, joined, split
from bucle.line.tracing.tables import ASSESSMENTS, SPANS, TRACE_METADATA, TRACE_PROMPTS, TRACE_RUNS, TRACE_TAGS, TRACES
from bucle.line.tracking.tables import ARTIFACTS

__all__ = [
    "add_trace",
    "assessment_row",
    "assessment_rows",
    "delete_label",
    "delete_traces",
    "known_assessments",
    "labels_of",
    "link_prompts",
    "link_runs",
    "locked_trace",
    "put_labels",
    "put_spans",
    "runs_of",
    "span_count",
    "span_order",
    "span_rows",
    "span_usage",
    "trace_exists",
    "trace_rows",
    "traces_to_delete",
    "update_trace",
]

Row = dict[str, Any]


def _values(table: sa.Table, *without: str) -> dict[str, sa.BindParameter[Any]]:
    return {column.name: sa.bindparam(column.name) for column in table.c if column.name not in without}


def _upsert(insert: Any, table: sa.Table) -> Any:
    statement = insert(table).values(_values(table))
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    if not others:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


_ADD_TRACE = Prepared(
    lambda insert: insert(TRACES).values(_values(TRACES, "seq")).on_conflict_do_nothing(index_elements=["id"])
)
_LOCK_TRACE = Prepared(lambda _: sa.select(TRACES).where(TRACES.c.id == sa.bindparam("id")).with_for_update())
_PUT_SPAN = Prepared(lambda insert: _upsert(insert, SPANS))
_PUT_TAG = Prepared(lambda insert: _upsert(insert, TRACE_TAGS))
_PUT_METADATA = Prepared(lambda insert: _upsert(insert, TRACE_METADATA))
_LINK_RUN = Prepared(lambda insert: _upsert(insert, TRACE_RUNS))
_LINK_PROMPT = Prepared(lambda insert: _upsert(insert, TRACE_PROMPTS))


def add_trace(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Insert a trace (instants in microseconds); False when its id is there already."""
    return _ADD_TRACE.run(connection, row) > 0


def locked_trace(connection: Connection, trace_id: str) -> Row | None:
    """A trace's row, which nobody else changes before this transaction ends."""
    values = _LOCK_TRACE.first(connection, {"id": trace_id})
    if values is None:
        return None
    row = dict(zip(TRACES.c.keys(), values, strict=True))
    return {**row, "started_at": from_micros(row["started_at"])}


def update_trace(connection: Connection, seq: int, changes: Mapping[str, Any]) -> None:
    """Change a trace's row."""
    if changes:
        connection.execute(sa.update(TRACES).where(TRACES.c.seq == seq).values(**changes))


def trace_exists(connection: Connection, trace_id: str) -> bool:
    """Whether there is a trace of this id."""
    return connection.execute(sa.select(TRACES.c.seq).where(TRACES.c.id == trace_id)).first() is not None


def trace_rows(connection: Connection, ids: Sequence[str]) -> list[Row]:
    """The traces of these ids."""
    return _rows(connection, sa.select(TRACES).where(TRACES.c.id.in_(ids)))


def put_spans(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert spans, or replace those of the same id."""
    _PUT_SPAN.run_many(connection, rows)


def span_usage(connection: Connection, seq: int) -> list[tuple[str, str, str]]:
    """Id, parent and usage (JSON) of every span of a trace."""
    query = sa.select(SPANS.c.id, SPANS.c.parent, SPANS.c.usage).where(SPANS.c.trace == seq)
    return [(row.id, row.parent, row.usage) for row in connection.execute(query)]


def span_count(connection: Connection, seq: int) -> int:
    """How many spans of a trace have arrived."""
    query = sa.select(sa.func.count()).select_from(SPANS).where(SPANS.c.trace == seq)
    return int(connection.execute(query).scalar_one())


def span_order(connection: Connection, seq: int) -> list[tuple[str, int]]:
    """Id and size of each of a trace's spans: roots first, then as they began."""
    is_part = sa.case((SPANS.c.parent == "", 0), else_=1)
    query = sa.select(SPANS.c.id, SPANS.c.size).where(SPANS.c.trace == seq)
    return [(row.id, row.size) for row in connection.execute(query.order_by(is_part, SPANS.c.started_ns, SPANS.c.id))]


def span_rows(connection: Connection, seq: int, ids: Sequence[str]) -> list[Any]:
    """These spans of a trace, in the order asked for."""
    query = sa.select(SPANS).where(SPANS.c.trace == seq, SPANS.c.id.in_(ids))
    found = {row.id: row for row in connection.execute(query)}
    return [found[id_] for id_ in ids if id_ in found]


def put_labels(
    connection: Connection,
    seq: int,
    *,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Set tags and metadata of a trace; others stay."""
    for statement, labels in ((_PUT_TAG, tags), (_PUT_METADATA, metadata)):
        if labels:
            halves = {key: split(value) for key, value in labels.items()}
            rows = [{"trace": seq, "key": k, "value": v, "rest": rest} for k, (v, rest) in sorted(halves.items())]
            statement.run_many(connection, rows)


def delete_label(connection: Connection, seq: int, key: str) -> bool:
    """Remove a tag of a trace; whether there was one."""
    statement = sa.delete(TRACE_TAGS).where(TRACE_TAGS.c.trace == seq, TRACE_TAGS.c.key == key)
    return connection.execute(statement).rowcount > 0


def labels_of(connection: Connection, table: sa.Table, seqs: Sequence[int]) -> dict[int, dict[str, str]]:
    """Tags, or metadata, of each of these traces."""
    found = defaultdict[int, dict[str, str]](dict)
    for row in connection.execute(sa.select(table).where(table.c.trace.in_(seqs)).order_by(table.c.key)):
        found[row.trace][row.key] = joined(row.value, row.rest)
    return found


def link_runs(connection: Connection, seqs: Sequence[int], run: str) -> None:
    """Note that these traces belong to a run."""
    if seqs:
        _LINK_RUN.run_many(connection, [{"trace": seq, "run": run} for seq in sorted(seqs)])


def runs_of(connection: Connection, seqs: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The runs each of these traces belongs to."""
    found = defaultdict[int, tuple[str, ...]](tuple)
    query = sa.select(TRACE_RUNS).where(TRACE_RUNS.c.trace.in_(seqs)).order_by(TRACE_RUNS.c.run)
    for row in connection.execute(query):
        found[row.trace] += (row.run,)
    return found


def link_prompts(connection: Connection, seq: int, prompts: Sequence[str]) -> None:
    """Note the prompt versions a trace used."""
    if prompts:
        _LINK_PROMPT.run_many(connection, [{"trace": seq, "prompt": prompt} for prompt in sorted(prompts)])


def traces_to_delete(
    connection: Connection, experiment: int, *, ids: Sequence[str], until: Any, limit: int
) -> list[tuple[int, str]]:
    """Place and id of the oldest traces that are meant, at most `limit`."""
    query = sa.select(TRACES.c.seq, TRACES.c.id).where(TRACES.c.experiment == experiment)
    if ids:
        query = query.where(TRACES.c.id.in_(ids))
    if until is not None:
        query = query.where(TRACES.c.started_at <= until)
    query = query.order_by(TRACES.c.started_at, TRACES.c.id).limit(limit)
    return [(row.seq, row.id) for row in connection.execute(query)]


def delete_traces(connection: Connection, traces: Sequence[tuple[int, str]]) -> None:
    """Remove traces (place and id) with their spans, tags, metadata, links and files."""
    seqs = [seq for seq, _ in traces]
    owners = [f"trace/{id_}" for _, id_ in traces]
    connection.execute(sa.delete(ARTIFACTS).where(ARTIFACTS.c.owner.in_(owners)))
    for table in (SPANS, TRACE_TAGS, TRACE_METADATA, TRACE_RUNS, TRACE_PROMPTS):
        connection.execute(sa.delete(table).where(table.c.trace.in_(seqs)))
    connection.execute(sa.delete(TRACES).where(TRACES.c.seq.in_(seqs)))


def assessment_row(connection: Connection, trace_id: str, id: str) -> Row | None:  # noqa: A002
    """One assessment of a trace."""
    return _one(connection, sa.select(ASSESSMENTS).where(ASSESSMENTS.c.id == id, ASSESSMENTS.c.trace == trace_id))


def assessment_rows(connection: Connection, trace_ids: Sequence[str]) -> list[Row]:
    """The assessments of these traces, oldest first."""
    query = sa.select(ASSESSMENTS).where(ASSESSMENTS.c.trace.in_(trace_ids))
    return _rows(connection, query.order_by(ASSESSMENTS.c.created_at, ASSESSMENTS.c.id))


def known_assessments(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these ids are there."""
    return set(connection.execute(sa.select(ASSESSMENTS.c.id).where(ASSESSMENTS.c.id.in_(ids))).scalars())


def _rows(connection: Connection, query: sa.Select[Any]) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(query)]


def _one(connection: Connection, query: sa.Select[Any]) -> Row | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else dict(row._mapping)
