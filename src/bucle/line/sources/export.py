"""Export: a table's rows at a commit, written for other tools: as a Delta table, Parquet or CSV."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl

from bucle.ground.core import Record, StateError, short
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.sources.delta import delta_module

__all__ = ["Export", "ExportExists", "export"]

Target = Literal["delta", "parquet", "csv"]
ROWS = 1_000_000
"""So many are in memory at once."""


class ExportExists(StateError):
    """Something stands where an export is to be written."""

    code = "BU1809"


class Export(Record, frozen=True):
    """What was written.

    Attributes:
        table: the table.
        commit: at which commit.
        path: the file or folder.
        rows: how many.
    """

    table: str
    commit: str
    path: str
    rows: int


def export(
    project: Project,
    table: str,
    path: str | Path,
    *,
    to: Target,
    at: str = data.MAIN,
    principal: str = "",
    overwrite: bool = False,
) -> Export:
    """Write a table's rows at a commit for other tools, as who asks may see them.

    Args:
        path: the folder of a Delta table, or a file.
        principal: who asks, and is given what it may see; whoever opened the project unless given.
        overwrite: whether what stands there is replaced; a Delta table gets a new version then.
    Raises:
        NoSuchTable, NoSuchCommit: there is no such table or commit.
        Denied: the principal may not read the table.
        ExportExists: something stands there.
    Cost: the table read once, a part at a time.
    """
    found, target = data.snapshot(project, table, at=at), Path(path)
    tags = data.masks_for(project, table, at=found.commit, principal=principal)
    if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
        raise ExportExists(
            f"{target} is there already.",
            why="It would be replaced.",
            fix="Name another place, or --force",
            at=str(target),
        )
    rows = data.mask_rows(project, data.lazy(project, table, at=found.commit), tags)
    if to == "delta":
        _delta(rows, found, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            if to == "parquet":
                rows.sink_parquet(part, compression="zstd")
            else:
                rows.sink_csv(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return Export(table=table, commit=found.commit, path=str(target), rows=found.rows)


def _delta(rows: pl.LazyFrame, found: data.Snapshot, target: Path) -> None:
    """One version of the Delta table, whatever its size: rows go in as a stream."""
    import pyarrow as pa  # noqa: PLC0415

    schema = rows.head(0).collect().to_arrow(compat_level=pl.CompatLevel.oldest()).schema

    def batches() -> Iterator[Any]:
        for start in range(0, found.rows, ROWS):
            part = rows.slice(start, ROWS).collect().to_arrow(compat_level=pl.CompatLevel.oldest())
            yield from part.cast(schema).to_batches()

    module = delta_module()
    module.write_deltalake(
        str(target),
        pa.RecordBatchReader.from_batches(schema, batches()),
        mode="overwrite",
        schema_mode="overwrite",
        commit_properties=module.CommitProperties(custom_metadata={"bucle.commit": found.commit}),
        name=found.table,
        description=f"{found.table} at {short(found.commit)}",
    )
