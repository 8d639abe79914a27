"""Define: a view made of a query here, with the columns that the query gives."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from bucle.ground.core import to_micros
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.query.errors import BadQuery
from bucle.line.query.parse import parsed
from bucle.line.query.run import stream

__all__ = ["define_view"]


def define_view(
    project: Project, name: str, text: str, *, branch: str = data.MAIN, message: str = "", key: str | None = None
) -> data.View:
    """Give a query a name, or a view another query; Iceberg's clients find it as well.

    Args:
        name: no table may have it.
        text: one SELECT in DuckDB's words. Names without a namespace are looked for in `default`, whoever asks.
        branch: where; the tables it names must be there.
        message: why, for people.
        key: an idempotency key.
    Raises:
        BadName: the name cannot be used.
        BadQuery, QueryNotAllowed: the text is no query that reads.
        NoSuchTable: it names a table that is not there.
        TypeNotKept, BadQuery: Iceberg has no type such as a column's; cast it.
        TableExists: a table has this name.
        BadMetadata: a view that is there has a query for another engine, which would be lost.
    """
    with duckdb.connect() as parser:
        parsed(parser, text)
    bare = text.strip().rstrip(";").rstrip()
    shape = f"SELECT * FROM (\n{bare}\n) AS v LIMIT 0"  # noqa: S608  whoever asks may ask anything that reads
    with stream(project, shape, at=branch) as opened:
        schema = data.view_schema(_empty(opened.schema))
    version = {
        "version-id": 1,
        "schema-id": -1,
        "timestamp-ms": to_micros(project.clock.now()) // 1000,
        "summary": {"engine-name": "bucle"},
        "representations": [{"type": "sql", "sql": bare, "dialect": "duckdb"}],
        "default-namespace": [data.DEFAULT],
    }
    told = message or f"view {name} defined"
    if name not in data.views(project, at=branch):
        request = {"schema": schema, "view-version": version}
        return data.create_view(project, name, request, branch=branch, message=told, key=key)
    updates: list[dict[str, Any]] = [
        {"action": "add-schema", "schema": schema},
        {"action": "add-view-version", "view-version": version},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]
    return data.replace_view(project, name, updates, branch=branch, message=told, key=key)


def _empty(schema: pa.Schema) -> pl.DataFrame:
    """A frame without rows.

    Raises:
        BadQuery: a column is an interval, which Polars would die of, or bears the name of another.
    """
    names = schema.names
    for field in schema:
        if "interval" in str(field.type) or names.count(field.name) > 1:
            raise BadQuery(
                f"The column {field.name!r} cannot be a view's: {field.type}, {names.count(field.name)} of that name.",
                why="Iceberg has no intervals, and a name stands for one column.",
                fix=f"Cast it, or call it otherwise: … AS {field.name}_2",
                at=field.name,
            )
    made = pl.from_arrow(schema.empty_table())
    return made if isinstance(made, pl.DataFrame) else made.to_frame()
