"""Definition: what a view is, as a record."""

from __future__ import annotations

from typing import Any

import polars as pl

from bucle.ground.core import Record
from bucle.line.data.schema import replace_columns, schema_json

__all__ = ["View", "view_schema"]

Json = dict[str, Any]


class View(Record, frozen=True):
    """A query that has a name.

    Attributes:
        name: of tables and views alike; dots part namespaces.
        location: a URI that names this very definition; nothing lies there, the commit has it.
        metadata: as Iceberg's view spec, format version 1.
    """

    name: str
    location: str
    metadata: dict[str, Any]

    @property
    def version(self) -> dict[str, Any]:
        """The one that holds: its queries, its schema's id, its namespace."""
        current = self.metadata["current-version-id"]
        found: Json = next(one for one in self.metadata["versions"] if one["version-id"] == current)
        return found

    @property
    def namespace(self) -> tuple[str, ...]:
        """The levels of the namespace in which its query looks for names that have none."""
        return tuple(self.version["default-namespace"])

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns of its rows, as Iceberg's schemas have them."""
        wanted = self.version["schema-id"]
        found = next(one for one in self.metadata["schemas"] if one["schema-id"] == wanted)
        return list(found["fields"])

    def sql(self, *dialects: str) -> str | None:
        """Its query in the first of these dialects that it has; None when it has none of them."""
        known = {one["dialect"].lower(): str(one["sql"]) for one in self.version["representations"]}
        return next((known[dialect] for dialect in dialects if dialect in known), None)


def view_schema(frame: pl.DataFrame) -> dict[str, Any]:
    """The schema of a view whose rows are as this frame's, as Iceberg has it.

    Raises:
        TypeNotKept: Iceberg has no such type.
    """
    return schema_json(replace_columns((), frame, last=0), 0)
