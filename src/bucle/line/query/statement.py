"""Statement: what a text of SQL asks for, read from DuckDB's own parse of it before anything runs.

Only one statement that reads is let through: SELECT in all its forms (WITH, VALUES, FROM first, set operations),
DESCRIBE and SUMMARIZE of those, and EXPLAIN of them. Every table it names is found here, so that the engine needs to
know no other, and every function that could read a file, an address or the engine's own settings is refused here.
"""

from __future__ import annotations

import json
import re

import duckdb

from bucle.ground.core import Record
from bucle.line.query.errors import QueryNotAllowed
from bucle.line.query.parse import Node, TableName, name_instants, nodes_of, own_names, parsed, table_name
from bucle.line.query.views import Lookup, grow

__all__ = ["Statement", "read_statement"]

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"})
"""Functions that give rows of their own making; all others may reach out of the tables."""

_SECRETIVE = frozenset({"current_setting", "getvariable", "getenv", "write_log"})
_EXPLAIN = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)
_AS_SQL = "SELECT json_deserialize_sql(?::JSON)"


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


def read_statement(parser: duckdb.DuckDBPyConnection, text: str, views: Lookup | None = None) -> Statement:
    """Read a text of SQL.

    Args:
        parser: any connection; nothing of the text is run.
        views: finds those whose queries are put in the place of their names.
    Raises:
        BadQuery: it is none, or several statements.
        QueryNotAllowed: it does something else than reading tables.
    """
    explain = _EXPLAIN.match(text)
    prefix, body = (explain[0], text[explain.end() :]) if explain else ("", text)
    tree = parsed(parser, body)
    nodes = list(nodes_of(tree))
    _check_functions(nodes)
    is_timed = name_instants(tree)
    is_grown = views is not None and grow(parser, tree, views)
    if is_grown:
        nodes = list(nodes_of(tree))
        _check_functions(nodes)
    tables = [table_name(node) for node in nodes if node.get("type") == "BASE_TABLE"]
    return Statement(
        text=prefix + (_written(parser, tree) if is_timed or is_grown else body),
        tables=tuple(dict.fromkeys(tables)),
        own=frozenset(own_names(nodes)),
        functions=frozenset(_functions(nodes)),
        columns=_columns(nodes),
    )


def _written(parser: duckdb.DuckDBPyConnection, tree: Node) -> str:
    ((found,),) = parser.execute(_AS_SQL, [json.dumps(tree)]).fetchall()
    return str(found)


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


def _columns(nodes: list[Node]) -> frozenset[str] | None:
    kinds = {str(node.get("type")) for node in nodes} | {str(node.get("ref_type")) for node in nodes}
    if kinds & {"STAR", "POSITIONAL_REFERENCE", "NATURAL"}:
        return None
    named = [name for node in nodes for key in ("column_names", "using_columns") for name in node.get(key) or ()]
    return frozenset(str(name).lower() for name in named)
