"""Statement: what a text of SQL asks for, read from DuckDB's own parse of it before anything runs.

Only one statement that reads is let through: SELECT in all its forms (WITH, VALUES, FROM first, set operations),
DESCRIBE and SUMMARIZE of those, and EXPLAIN of them. Every table it names is found here, so that the engine needs to
know no other, and every function that could read a file, an address or the engine's own settings is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from bucle.ground.core import Record
from bucle.line.query.errors import BadQuery, QueryNotAllowed

__all__ = ["Statement", "TableName", "read_statement"]

Node = dict[str, Any]

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"})
"""Functions that give rows of their own making; all others may reach out of the tables."""

_SECRETIVE = frozenset({"current_setting", "getvariable", "getenv", "write_log"})
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)
_AS_TEXT = "SELECT json_serialize_sql(?)"
_AS_SQL = "SELECT json_deserialize_sql(?::JSON)"


class TableName(Record, frozen=True):
    """A table as the text names it.

    Attributes:
        levels: the namespaces in front, none to two.
        name: what stands behind the last dot; `orders@dev` names a branch or commit as well.
    """

    levels: tuple[str, ...]
    name: str


class Statement(Record, frozen=True):
    """A text that only reads.

    Attributes:
        text: to be run.
        tables: every table it names, each once; names of its own WITH clauses among them.
        own: names its WITH clauses make.
        functions: every function it calls, in lower case.
        columns: every name of a column it may read, in lower case; None when it may be any.
    """

    text: str
    tables: tuple[TableName, ...]
    own: frozenset[str]
    functions: frozenset[str]
    columns: frozenset[str] | None


def read_statement(parser: duckdb.DuckDBPyConnection, text: str) -> Statement:
    """Read a text of SQL.

    Args:
        parser: any connection; nothing of the text is run.
    Raises:
        BadQuery: it is none, or several statements.
        QueryNotAllowed: it does something else than reading tables.
    """
    explain = _EXPLAIN.match(text)
    prefix, body = (explain[0], text[explain.end() :]) if explain else ("", text)
    tree = _parsed(parser, body)
    nodes = list(_nodes(tree))
    _check_functions(nodes)
    timed = [node for node in nodes if node.get("type") == "BASE_TABLE" and node.get("at_clause")]
    for node in timed:
        _name_instant(node)
    tables = [_table_name(node) for node in nodes if node.get("type") == "BASE_TABLE"]
    return Statement(
        text=prefix + (_written(parser, tree) if timed else body),
        tables=tuple(dict.fromkeys(tables)),
        own=frozenset(_own_names(nodes)),
        functions=frozenset(_functions(nodes)),
        columns=_columns(nodes),
    )


def _parsed(parser: duckdb.DuckDBPyConnection, text: str) -> Node:
    found = parser.execute(_AS_TEXT, [text]).fetchone()
    tree: Node = json.loads(found[0]) if found else {"error": True}
    if not tree["error"] and len(tree["statements"]) == 1:
        return tree
    if not tree["error"]:
        raise BadQuery(
            f"The text has {len(tree['statements'])} statements.", why="One query has one answer.", fix="Send one."
        )
    if tree.get("error_type") == "not implemented":
        raise QueryNotAllowed(
            "Only SELECT, WITH, DESCRIBE, SUMMARIZE and EXPLAIN can be asked here.",
            why="A query reads; what changes tables is a commit.",
            fix="To write: bucle data add FILE --table TABLE",
        )
    raise BadQuery(
        f"This is no SQL that DuckDB understands: {str(tree.get('error_message', '')).splitlines()[0][:300]}.",
        why="Nothing was read.",
        fix="Mend the text.",
        at=f"character {tree['position']}" if "position" in tree else "",
    )


def _written(parser: duckdb.DuckDBPyConnection, tree: Node) -> str:
    found = parser.execute(_AS_SQL, [json.dumps(tree)]).fetchone()
    return str(found[0]) if found else ""


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)


def _check_functions(nodes: list[Node]) -> None:
    for node in nodes:
        if node.get("type") == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS:
                raise _refused(f"The function {name}()")
        if node.get("type") == "SHOW_REF" and not node.get("query"):
            raise QueryNotAllowed(
                "SHOW is not answered here.", why="A query sees the tables it names.", fix="bucle data list"
            )
    for name in sorted(_functions(nodes) & _SECRETIVE):
        raise _refused(f"The function {name}()")


def _functions(nodes: list[Node]) -> set[str]:
    return {str(node["function_name"]).lower() for node in nodes if node.get("function_name")}


def _refused(what: str) -> QueryNotAllowed:
    return QueryNotAllowed(
        f"{what} cannot be used in a query.",
        why="It could read files, addresses or settings that are no table.",
        fix="Read tables by their names; what lies elsewhere comes in through a source: bucle sources add",
    )


def _own_names(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        inner = node.get("cte_map")
        for one in inner.get("map", ()) if isinstance(inner, dict) else ():
            yield str(one["key"]).lower()


def _columns(nodes: list[Node]) -> frozenset[str] | None:
    kinds = {str(node.get("type")) for node in nodes} | {str(node.get("ref_type")) for node in nodes}
    if kinds & {"STAR", "POSITIONAL_REFERENCE", "NATURAL"}:
        return None
    named = [name for node in nodes for key in ("column_names", "using_columns") for name in node.get(key) or ()]
    return frozenset(str(name).lower() for name in named)


def _table_name(node: Node) -> TableName:
    path = (node.get("qualified_name") or {}).get("path")
    parts = list(path) if path else [node["catalog_name"], node["schema_name"], node["table_name"]]
    *levels, name = (str(part) for part in parts)
    return TableName(levels=tuple(level for level in levels if level), name=name)


def _name_instant(node: Node) -> None:
    """Write `orders AT (VERSION => 'dev')` as `"orders@dev"`, and an instant as one of the branch that is asked."""
    clause = node["at_clause"]
    constants = [one for one in _nodes(clause["expr"]) if one.get("type") == "VALUE_CONSTANT"]
    if len(constants) != 1:
        raise BadQuery("AT takes one text.", why="Which commit is meant must be plain.", fix="AT (VERSION => 'main')")
    one = constants[0]
    value = one["literal"]["text"] if "literal" in one else one["value"]["value"]
    mark = "@@" if clause["unit"].upper() == "TIMESTAMP" else "@"
    name = f"{node['table_name']}{mark}{value}"
    node["alias"] = node["alias"] or node["table_name"]
    node["table_name"], node["at_clause"] = name, None
    if node.get("qualified_name"):
        node["qualified_name"]["path"][-1] = name
