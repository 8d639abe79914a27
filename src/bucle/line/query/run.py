"""Run: a text of SQL over tables as they stood at commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from bucle.ground.project import Project
from bucle.line.data import MAIN
from bucle.line.query.answer import Answer, Limits
from bucle.line.query.bind import Bound, bind
from bucle.line.query.sandbox import close_doors, open_engine, run, too_large, watched
from bucle.line.query.statement import read_statement
from bucle.line.query.views import lookup

__all__ = ["Stream", "sql", "stream"]


@dataclass(frozen=True)
class Stream:
    """The rows of a query as they come.

    Attributes:
        schema: of the rows.
        batches: of rows; to be taken while the query is open.
        bound: of which commits they are, and what was masked.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    bound: Bound


def sql(project: Project, text: str, *, at: str = MAIN, limits: Limits | None = None, principal: str = "") -> Answer:
    """Ask a question in SQL, DuckDB's dialect; it only reads.

    Args:
        text: one SELECT, WITH, DESCRIBE, SUMMARIZE or EXPLAIN. Namespaces are schemas: `sales.orders`. A table may say
            where it is read itself: `"orders@dev"`, `orders AT (VERSION => 'dev')`,
            `orders AT (TIMESTAMP => '2013-03-01')`.
        at: where the other tables are read: a branch, a commit, or a branch at an instant.
        limits: of rows, memory and time.
        principal: who asks, and is shown what it may see; whoever opened the project unless given.
    Raises:
        BadQuery: the text cannot be understood or fails.
        QueryNotAllowed: it does more than read tables.
        QueryTooLarge, QueryTimeout: it needs more than `limits`.
        NoSuchTable, NoSuchCommit: a table or commit is not there.
        Denied: the principal may not read a table.
    Cost: the columns and row groups that the query needs, read once.
    """
    allowed = limits or Limits()
    kept, rows, size, is_cut = list[pa.RecordBatch](), 0, 0, False
    with stream(project, text, at=at, limits=allowed, principal=principal) as opened:
        for batch in opened.batches:
            room = batch.num_rows if allowed.rows is None else allowed.rows - rows
            is_cut = batch.num_rows > room
            kept.append(batch.slice(0, room))
            rows, size = rows + min(batch.num_rows, room), size + batch.nbytes
            if size > allowed.memory_mb << 20:
                raise too_large(allowed)
            if is_cut:
                break
        table = pa.Table.from_batches(kept, schema=opened.schema)
    return Answer(table=table, commits=opened.bound.commits, masked=opened.bound.masked, is_cut=is_cut)


@contextmanager
def stream(
    project: Project, text: str, *, at: str = MAIN, limits: Limits | None = None, principal: str = ""
) -> Iterator[Stream]:
    """The same, batch by batch: an answer larger than memory can be written to a file. `limits.rows` is not looked at.

    Arguments and errors as for `sql`; those of the rows come while they are taken.
    """
    allowed = limits or Limits()
    with open_engine(allowed) as engine, watched(engine, allowed):
        who = principal or project.actor
        statement = read_statement(engine, text, lookup(project, at, who))
        bound = bind(engine, project, statement, at, who)
        close_doors(engine, bound.files)
        schema, batches = run(engine, statement.text)
        yield Stream(schema=schema, batches=batches, bound=bound)
