"""Bind: the tables a statement names become views over their planned files."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import polars as pl
from duckdb.func import FunctionNullHandling, PythonUDFType

from bucle.ground.core import make_ref, suggest
from bucle.ground.governance import check
from bucle.ground.project import Project
from bucle.line import data, sources
from bucle.line.query.errors import BadQuery
from bucle.line.query.parse import TableName, named
from bucle.line.query.sandbox import CATALOG, HOME, literal, quoted
from bucle.line.query.statement import Statement

__all__ = ["Bound", "bind"]

_GLOB = re.compile(r"[*?\[]")
"""What DuckDB takes for a pattern in the path of a project."""

_TYPES = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "binary": "BLOB",
}


@dataclass
class Bound:
    """What an engine was given.

    Attributes:
        files: the planned files.
        commits: table as it was named -> the commit it is read at.
        masked: table as it was named -> its masked columns.
    """

    files: list[str] = field(default_factory=list)
    commits: dict[str, str] = field(default_factory=dict)
    masked: dict[str, tuple[str, ...]] = field(default_factory=dict)


def bind(engine: duckdb.DuckDBPyConnection, project: Project, statement: Statement, at: str, principal: str) -> Bound:
    """Give an engine every table that a statement names.

    Args:
        at: where tables are read that name no branch or commit themselves.
        principal: who asks.
    Raises:
        NoSuchTable, NoSuchCommit: a table or commit is not there.
        Denied: the principal may not read a table.
        BadQuery: two tables would be one to SQL, which does not tell `A` from `a`.
    """
    bound, heads, outside = Bound(), _Heads(project, at), set(sources.connections_of(project))
    places = _places(statement.tables)
    seen = dict[tuple[str, ...], tuple[str, str]]()
    for name in statement.tables:
        is_outside = bool(name.levels) and name.levels[0] in outside
        found = heads.find(name, is_own=is_outside or (not name.levels and name.name.lower() in statement.own))
        if found is None and is_outside:
            check(project, principal, "read", make_ref("connection", name.levels[0]))
            _make_namespace(engine, places[name])
            _bring(engine, project, name, places[name], statement.columns)
            continue
        key = tuple(part.lower() for part in (*name.levels, name.name))
        if found is None or seen.get(key) == found:
            continue
        if key in seen:
            raise BadQuery(
                f"The tables {seen[key][0]!r} and {found[0]!r} differ in capitals only.",
                why="SQL takes their names for one.",
                fix="Ask for one of them in each query.",
            )
        seen[key] = found
        tags = data.masks_for(project, found[0], at=found[1], principal=principal)
        _make_namespace(engine, places[name])
        masked = _make_view(engine, project, f"{places[name]}.{quoted(name.name)}", found, (bound, tags))
        bound.commits[".".join((*name.levels, name.name))] = found[1]
        if masked:
            bound.masked[".".join((*name.levels, name.name))] = masked
    return bound


class _Heads:
    """Which commit each name means, looked up once."""

    def __init__(self, project: Project, at: str) -> None:
        self._project, self._at = project, at
        self._known = dict[str, data.Commit]()

    def find(self, name: TableName, *, is_own: bool) -> tuple[str, str] | None:
        """Table and commit id; None for a name that only the statement itself knows."""
        inner, at, _ = named(name, self._at)
        commit = self._head(at)
        full = data.join_name(name.levels, inner) if name.levels else inner
        tables = commit.tables if commit is not None else {}
        near = [table for table in tables if table.lower() == (full or "").lower()]
        if full in tables or len(near) == 1:
            return (near[0] if full not in tables else str(full)), commit.id if commit else ""
        if is_own:
            return None
        raise _no_table(".".join((*name.levels, inner)), at, tables)

    def _head(self, at: str) -> data.Commit | None:
        if at not in self._known:
            self._known[at] = data.resolve(self._project, at)
        return self._known[at]


def _places(names: Iterable[TableName]) -> dict[TableName, str]:
    """Where each view is made. Of `a.b.c` the first is a catalog to SQL, and so must be that of `a.b` beside it."""
    listed = list(names)
    catalogs = {name.levels[0].lower() for name in listed if len(name.levels) == 2}
    places = dict[TableName, str]()
    for name in listed:
        if not name.levels:
            places[name] = HOME
        elif len(name.levels) == 2:
            places[name] = f"{quoted(name.levels[0])}.{quoted(name.levels[1])}"
        elif name.levels[0].lower() in catalogs:
            places[name] = f"{quoted(name.levels[0])}.main"
        else:
            places[name] = f"{quoted(CATALOG)}.{quoted(name.levels[0])}"
    return places


def _make_namespace(engine: duckdb.DuckDBPyConnection, place: str) -> None:
    if place == HOME:
        return
    catalog, _, _ = place.rpartition('."') if not place.endswith(".main") else place.rpartition(".")
    if catalog != quoted(CATALOG):
        engine.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {catalog}")
    engine.execute(f"CREATE SCHEMA IF NOT EXISTS {place}")


def _bring(
    engine: duckdb.DuckDBPyConnection, project: Project, name: TableName, place: str, columns: frozenset[str] | None
) -> None:
    """Bring a declared connection's table, those of its columns that are asked for, into the engine's memory."""
    target = f"{place}.{quoted(name.name)}"
    parts = sources.read_outside(project, name.levels[0], (*name.levels[1:], name.name), columns)
    for number, part in enumerate(parts):
        engine.register("part", part.to_arrow())
        begin = f"CREATE TABLE {target} AS" if number == 0 else f"INSERT INTO {target}"
        engine.execute(f"{begin} SELECT * FROM part")  # noqa: S608  quoted
        engine.unregister("part")


def _make_view(
    engine: duckdb.DuckDBPyConnection,
    project: Project,
    view: str,
    found: tuple[str, str],
    given: tuple[Bound, Mapping[str, data.ColumnTag]],
) -> tuple[str, ...]:
    """Make a view of a table; its columns that were masked."""
    (table, commit), (bound, tags) = found, given
    planned = data.plan(project, table, at=commit)
    # DuckDB reads encrypted files, but fails on them once rows are filtered ("Computed AES tag differs", 1.5.5).
    if planned.is_plain and not planned.is_encrypted and not _GLOB.search("".join(planned.files[:1])):
        source = _scan(planned)
        bound.files.extend(planned.files)
    else:
        rows = f"rows of {view}".replace('"', "")
        engine.register(rows, data.scan(project, table, at=commit).to_arrow())
        source = f"SELECT * FROM {quoted(rows)}"  # noqa: S608  a quoted name of our own making
    masked = tuple(column.name for column in planned.columns if column.name in tags)
    if masked:
        source = f"SELECT {_masks(engine, project, planned, tags)} FROM ({source})"  # noqa: S608  all of it quoted
    engine.execute(f"CREATE VIEW {view} AS {source}")
    return masked


def _masks(
    engine: duckdb.DuckDBPyConnection, project: Project, planned: data.Plan, tags: Mapping[str, data.ColumnTag]
) -> str:
    """The columns of a table, tagged ones by way of functions whose names nobody can guess: who could call them would
    try out values until a pseudonym fits.
    """
    key, listed = data.project_key(project), list[str]()
    for column in planned.columns:
        name = quoted(column.name)
        tag = tags.get(column.name)
        if tag is None:
            listed.append(name)
        elif column.dtype.is_nested():
            listed.append(f"CAST(NULL AS {_type(column.type)}) AS {name}")
        else:
            function = f"mask_{secrets.token_hex(8)}"
            after = "VARCHAR" if data.mask_type(column.dtype, tag) == pl.String else _type(column.type)
            engine.create_function(
                function,
                _mask(tag, key, column.dtype),
                [duckdb.type(_type(column.type))],
                duckdb.type(after),
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,
            )
            listed.append(f"{function}({name}) AS {name}")
    return ", ".join(listed)


def _mask(tag: data.ColumnTag, key: bytes, dtype: pl.DataType) -> Callable[[Any], Any]:
    def masked(values: Any) -> Any:
        made = data.mask_series(pl.Series(values).cast(dtype), tag, key)
        return made.to_arrow(compat_level=pl.CompatLevel.oldest())

    return masked


def _scan(planned: data.Plan) -> str:
    """Rows of the files by column name; the types are said, so that no file is opened to find them out."""
    types = [(column.name, _type(column.type)) for column in planned.columns]
    if not planned.files:
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in types)
        return f"SELECT {nothing} WHERE false"
    schema = ", ".join(
        f"{literal(name)}: {{name: {literal(name)}, type: {literal(kind)}, default_value: NULL}}"
        for name, kind in types
    )
    files = ", ".join(literal(path) for path in planned.files)
    return f"SELECT * FROM read_parquet([{files}], schema = MAP {{{schema}}})"  # noqa: S608  all of it quoted


def _type(kind: Any) -> str:
    if isinstance(kind, str):
        return _TYPES.get(kind, kind.upper())
    if kind["type"] == "list":
        return f"{_type(kind['element'])}[]"
    inner = ", ".join(f"{quoted(one['name'])} {_type(one['type'])}" for one in kind["fields"])
    return f"STRUCT({inner})"


def _no_table(name: str, at: str, tables: Iterable[str]) -> data.NoSuchTable:
    known = sorted(tables)
    return data.NoSuchTable(
        f"There is no table {name!r} at {at!r}.",
        why=f"There are: {', '.join(known[:20]) or 'none'}.",
        fix=suggest(name, known) or "See what there is: bucle data list",
        at=name,
    )
