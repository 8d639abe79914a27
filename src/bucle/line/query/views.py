"""Views: a name in a statement that is a view is replaced by the view's own query, before anything runs.

What a view may read is what who asks may read: its tables are looked up, checked and masked as if they were named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.query.errors import BadQuery
from bucle.line.query.parse import (
    Node,
    TableName,
    name_instants,
    named,
    nodes_of,
    own_names,
    parsed,
    rename,
    table_name,
)

__all__ = ["Definition", "Lookup", "grow", "lookup"]

DEEPEST = 16
"""So many views may stand in each other."""

DIALECTS = ("duckdb", "sql")
"""The words of a view that are understood here, the better before the other."""


class Definition(Record, frozen=True):
    """What a view stands for.

    Attributes:
        name: of the view.
        sql: its query.
        namespace: where names without a namespace are looked for.
        mark: what a name bears that says when it is read, e.g. `@dev`; '' as everything else.
    """

    name: str
    sql: str
    namespace: tuple[str, ...]
    mark: str


Lookup = Callable[[TableName], Definition | None]


def lookup(project: Project, at: str, principal: str) -> Lookup:
    """Finds views of a project by the names that stand in statements.

    Args:
        at: where names are read that name no branch or commit themselves.
        principal: who asks.
    """
    commits, views = dict[str, data.Commit](), dict[str, list[str]]()

    def find(name: TableName) -> Definition | None:
        inner, where, mark = named(name, at)
        full = data.join_name(name.levels, inner) if name.levels else inner
        if where not in commits:
            commits[where] = data.resolve(project, where)
        commit = commits[where]
        if full is None or full in commit.tables:
            return None
        if commit.id not in views:
            views[commit.id] = data.views(project, at=commit.id)
        listed = views[commit.id]
        near = [full] if full in listed else [one for one in listed if one.lower() == full.lower()]
        if len(near) != 1 or (full not in listed and full.lower() in {table.lower() for table in commit.tables}):
            return None
        return _definition(project, near[0], commit.id, mark, principal)

    return find


def _definition(project: Project, name: str, commit: str, mark: str, principal: str) -> Definition:
    data.check_access(project, principal, "read", name, at=commit)
    view = data.view(project, name, at=commit)
    text = view.sql(*DIALECTS)
    if text is None:
        raise BadQuery(
            f"The view {name!r} has no query in DuckDB's words.",
            why="It was made for another engine.",
            fix="Add one to it, of the dialect duckdb.",
            at=name,
        )
    return Definition(name=name, sql=text, namespace=view.namespace, mark=mark)


def grow(parser: duckdb.DuckDBPyConnection, tree: Node, find: Lookup, *, depth: int = 0) -> bool:
    """Put the queries of views in the place of their names; whether there were any.

    Raises:
        BadQuery: a view's query is not understood here, or views stand in each other without an end.
        Denied: the principal may not read a view.
    """
    listed = list(nodes_of(tree))
    own, grown = frozenset(own_names(listed)), False
    for node in listed:
        if node.get("type") != "BASE_TABLE":
            continue
        name = table_name(node)
        found = None if not name.levels and name.name.lower() in own else find(name)
        if found is None:
            continue
        if depth == DEEPEST:
            raise BadQuery(
                f"The view {found.name!r} stands in itself, or {DEEPEST} views in each other.",
                why="There is no end to what it means.",
                fix="Change one of them.",
                at=found.name,
            )
        _replace(node, _inner(parser, found, find, depth), alias=name.name.partition("@")[0])
        grown = True
    return grown


def _inner(parser: duckdb.DuckDBPyConnection, view: Definition, find: Lookup, depth: int) -> Node:
    """The view's query as what can stand behind FROM."""
    try:
        tree = parsed(parser, view.sql)
    except BadQuery as error:
        raise BadQuery(f"The query of the view {view.name!r}: {error.what}", why=error.why, at=view.name) from error
    name_instants(tree)
    listed = list(nodes_of(tree))
    own = frozenset(own_names(listed))
    for node in listed:
        if node.get("type") == "BASE_TABLE":
            _place(node, view, own)
    grow(parser, tree, find, depth=depth + 1)
    # A shell of the parser's own, so that it has whatever this version of DuckDB wants there.
    shell: Node = parsed(parser, "SELECT * FROM (SELECT 1) AS v")["statements"][0]["node"]["from_table"]
    shell["subquery"]["node"] = tree["statements"][0]["node"]
    return shell


def _place(node: Node, view: Definition, own: frozenset[str]) -> None:
    """Say where a name of a view is: in its namespace, which no WITH of the statement around it can hide."""
    name = table_name(node)
    if not name.levels and name.name.lower() in own:
        return
    levels, inner = name.levels or view.namespace or (data.DEFAULT,), name.name
    if not name.levels and levels == (data.DEFAULT,):
        levels, inner = _levels_in(inner)
    if len(levels) > 2:
        raise BadQuery(
            f"The view {view.name!r} reads from the namespace {'.'.join(levels)}.",
            why="SQL here names two levels at most.",
            fix="Give its tables another name.",
            at=view.name,
        )
    rename(node, levels, inner if "@" in inner else f"{inner}{view.mark}")


def _levels_in(name: str) -> tuple[tuple[str, ...], str]:
    """`"raw.visits"` in quotes is the table `raw.visits`, here as in every statement; one of more levels stays so."""
    inner, mark, ref = name.partition("@")
    levels, own = data.split_name(inner) or ((data.DEFAULT,), inner)
    return (levels, f"{own}{mark}{ref}") if len(levels) <= 2 else ((), name)


def _replace(node: Node, made: Node, *, alias: str) -> None:
    kept: dict[str, Any] = {
        "alias": node.get("alias") or alias,
        "sample": node.get("sample"),
        "column_name_alias": node.get("column_name_alias") or [],
    }
    node.clear()
    node.update({**made, **kept})
