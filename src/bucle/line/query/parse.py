"""Parse: DuckDB's own parse of a text, and how tables are named in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb

from bucle.ground.core import Record
from bucle.line.query.errors import BadQuery, QueryNotAllowed

__all__ = [
    "Node",
    "TableName",
    "name_instants",
    "named",
    "nodes_of",
    "own_names",
    "parsed",
    "rename",
    "table_name",
]

Node = dict[str, Any]

_AS_TEXT = "SELECT json_serialize_sql(?)"


class TableName(Record, frozen=True):
    """A table as the text names it.

    Attributes:
        levels: the namespaces in front, none to two.
        name: what stands behind the last dot; `orders@dev` names a branch or commit as well.
    """

    levels: tuple[str, ...]
    name: str


def parsed(parser: duckdb.DuckDBPyConnection, text: str) -> Node:
    """The tree of one statement that reads.

    Raises:
        BadQuery: it is none, or several statements.
        QueryNotAllowed: it does something else than reading.
    """
    # All rows, not one: newer versions do nothing else while a result is open.
    ((found,),) = parser.execute(_AS_TEXT, [text]).fetchall()
    tree: Node = json.loads(found)
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


def nodes_of(value: Any) -> Iterator[Node]:
    """Every node of a tree."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes_of(inner)


def own_names(nodes: Iterable[Node]) -> Iterator[str]:
    """The names that WITH clauses make, in lower case."""
    for node in nodes:
        inner = node.get("cte_map")
        for one in inner.get("map", ()) if isinstance(inner, dict) else ():
            yield str(one["key"]).lower()


def table_name(node: Node) -> TableName:
    """The name at a node of type `BASE_TABLE`."""
    path = (node.get("qualified_name") or {}).get("path")
    parts = list(path) if path else [node["catalog_name"], node["schema_name"], node["table_name"]]
    *levels, name = (str(part) for part in parts)
    return TableName(levels=tuple(level for level in levels if level), name=name)


def name_instants(tree: Node) -> bool:
    """Write each `orders AT (VERSION => 'dev')` as a name, `"orders@dev"`; whether there were any.

    Raises:
        BadQuery: one says more than a text.
    """
    timed = [node for node in nodes_of(tree) if node.get("type") == "BASE_TABLE" and node.get("at_clause")]
    for node in timed:
        _name_instant(node)
    return bool(timed)


def rename(node: Node, levels: tuple[str, ...], name: str) -> None:
    """Give the table at a node another name; it is still called as before in the rest of the statement."""
    node["alias"] = node["alias"] or table_name(node).name.partition("@")[0]
    if node.get("qualified_name"):
        node["qualified_name"]["path"] = [*levels, name]
    node["catalog_name"], node["schema_name"] = ("", "", *levels)[-2:]
    node["table_name"] = name


def named(name: TableName, at: str) -> tuple[str, str, str]:
    """A table's own name, where it is read, and the mark that says so, '' when nothing did.

    Args:
        at: where tables are read that do not say it themselves.
    """
    inner, mark, ref = name.name.partition("@")
    if ref.startswith("@"):
        return inner, f"{at.partition('@')[0]}@{_instant(ref[1:])}", f"@{ref}"
    return inner, (ref or at) if mark else at, f"{mark}{ref}"


def _instant(text: str) -> str:
    """As `resolve` reads it: an instant without a zone is UTC, as in all of the engine."""
    day, _, rest = text.strip().replace(" ", "T", 1).partition("T")
    has_zone = rest.endswith("Z") or "+" in rest or "-" in rest
    return f"{day}T{rest or '00:00:00'}{'' if has_zone else 'Z'}"


def _name_instant(node: Node) -> None:
    """Write `orders AT (VERSION => 'dev')` as `"orders@dev"`, and an instant as one of the branch that is asked."""
    clause = node["at_clause"]
    constants = [one for one in nodes_of(clause["expr"]) if one.get("type") == "VALUE_CONSTANT"]
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
