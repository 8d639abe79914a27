"""Staging: a batch's rows on the disk, durable, before any commit names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from bucle.ground.keys import Cipher
from bucle.ground.project import Project
from bucle.line.data.batches import Batches, parts
from bucle.line.data.commit import Mode, TableState
from bucle.line.data.errors import BadAlteration
from bucle.line.data.iceberg import new_snapshot_id
from bucle.line.data.lake import Shelf, new_folder
from bucle.line.data.manifest import DataFile, Statistics, pack_statistics
from bucle.line.data.parquet import write_parquet
from bucle.line.data.partition import parted
from bucle.line.data.revise import Revision, revise
from bucle.line.data.schema import Column, evolve, fit, replace_columns
from bucle.line.data.sealed import cipher_for_table, new_file_key
from bucle.line.data.table import Table, make_state, new_table, open_table

__all__ = ["Staged", "Table", "advance", "make_state", "open_table", "stage", "written"]

ROWS_PER_FILE = 4_000_000


@dataclass(frozen=True)
class Staged:
    """Rows written for a table that had certain columns.

    Attributes:
        folder: the table's folder.
        before: the columns the table had, None for a new table.
        last: the greatest field id the table had given.
        spec_id: the partition spec the rows were parted by.
        columns: the columns it will have.
        files: the data files, durable.
    """

    folder: str
    before: tuple[Column, ...] | None
    last: int
    spec_id: int
    columns: tuple[Column, ...]
    files: tuple[DataFile, ...]

    def fits(self, table: Table | None) -> bool:
        """Whether these files can still go into the table as it is now."""
        if table is None:
            return self.before is None
        unchanged = self.before == table.columns and self.last == table.last
        return unchanged and self.folder == table.folder and self.spec_id == table.metadata["default-spec-id"]


def stage(shelf: Shelf, name: str, frame: pl.DataFrame | Batches, table: Table | None, *, mode: Mode) -> Staged:
    """Write a batch's data files.

    Raises:
        TypeMismatch, TypeNotKept: the frame does not fit the table.
        KeyMissing, KeysOff: the table is to be encrypted, and cannot be.
    """
    cipher = cipher_for_table(shelf.project, name, table.head.key if table is not None else None)
    change = evolve if mode == "append" else replace_columns
    last = 0 if table is None else table.last
    columns = change(() if table is None else table.columns, frame, last=last)
    _check_partitions(table, columns)
    folder = new_folder(name) if table is None else table.folder
    return Staged(
        folder=folder,
        before=None if table is None else table.columns,
        last=last,
        spec_id=0 if table is None else table.metadata["default-spec-id"],
        columns=columns,
        files=tuple(
            file
            for part in parts(frame, ROWS_PER_FILE)
            for file in written(shelf, folder, fit(part, columns), columns, table, cipher=cipher)
        ),
    )


def advance(
    project: Project, shelf: Shelf, name: str, staged: Staged, table: Table | None, *, mode: Mode
) -> TableState:
    """Write the Iceberg metadata that puts staged rows on top of a table, and return the table's new pointer."""
    onto = table or new_table(project, name, staged.folder)
    if mode == "append":
        return revise(project, shelf, onto, Revision("append", staged.columns, added=staged.files))
    return revise(project, shelf, onto, Revision("overwrite", staged.columns, added=staged.files, data=()))


def written(
    shelf: Shelf,
    folder: str,
    frame: pl.DataFrame,
    columns: Sequence[Column],
    table: Table | None,
    *,
    cipher: Cipher | None,
) -> Iterator[DataFile]:
    """Write a fitted frame as data files: of each partition its own, and none longer than `ROWS_PER_FILE`.

    Args:
        cipher: of an encrypted table: wraps the files' keys.
    """
    spec = table.spec() if table is not None else None
    for partition, part in parted(frame, columns, spec):
        for at in range(0, part.height, ROWS_PER_FILE):
            piece, spec_id = part.slice(at, ROWS_PER_FILE), spec.spec_id if spec else 0
            made = _data_file(shelf, folder, piece, columns, cipher)
            yield msgspec.structs.replace(made, partition=partition, spec_id=spec_id)


def _check_partitions(table: Table | None, columns: Sequence[Column]) -> None:
    ids = {column.id for column in columns}
    for field in table.spec().fields if table is not None else ():
        if field.source_id not in ids:
            raise BadAlteration(
                f"The batch lacks what table {table.name if table else ''!r} is partitioned by: {field.name!r}.",
                why="Rows without it would lie in no partition.",
                fix="Give the batch that column in the type it has, or change the partitions first: "
                "bucle data alter TABLE 'partition by nothing'",
            )


def _data_file(
    shelf: Shelf,
    folder: str,
    part: pl.DataFrame,
    columns: Sequence[Column],
    cipher: Cipher | None,
) -> DataFile:
    path = f"{folder}/data/{new_snapshot_id():016x}.parquet"
    key, wrapped = new_file_key(cipher, path)
    found = list[Statistics]()

    def write(target: Path) -> None:
        found.append(write_parquet(part, columns, target, key=key))

    digest, size_bytes = shelf.fill(path, write)
    return DataFile(
        path=path,
        digest=digest,
        rows=part.height,
        size_bytes=size_bytes,
        statistics=pack_statistics(found[0]),
        key=wrapped,
    )
