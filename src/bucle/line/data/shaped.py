"""Shaped by others: tables whose files do not say everything, since rows were deleted or columns renamed."""

from __future__ import annotations

import polars as pl
from pyiceberg.table import StaticTable

from bucle.ground.project import Project
from bucle.line.data.errors import TableNotOurs
from bucle.line.data.lake import Manifest

__all__ = ["read_shaped"]


def read_shaped(project: Project, manifest: Manifest) -> pl.DataFrame:
    """The rows of such a table, read by pyiceberg: position deletes applied, columns found by field id.

    Raises:
        TableNotOurs: the project was moved; delete files name rows by the paths of before.
    Cost: the whole table in memory.
    """
    location = next(path for path in manifest.metadata if path.endswith(".metadata.json"))
    table = StaticTable.from_metadata(f"file://{(project.state / location).as_posix()}")
    if table.location() != f"file://{(project.state / location).parent.parent.as_posix()}":
        raise TableNotOurs(
            "A table with deleted rows or renamed columns cannot be read where the project was moved to.",
            why="Its Iceberg files name each other by the paths of before.",
            fix=f"Move the project back to where {table.location()} was, or link that path to it.",
        )
    rows = pl.from_arrow(table.scan().to_arrow())
    return rows if isinstance(rows, pl.DataFrame) else rows.to_frame()
