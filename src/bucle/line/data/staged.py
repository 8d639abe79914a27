"""Staging: a batch's rows on the disk, durable, before any commit names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import polars as pl
from pyiceberg.manifest import ManifestFile

from bucle.ground.core import to_micros
from bucle.ground.project import Project
from bucle.line.data import iceberg
from bucle.line.data.batches import Batches, parts
from bucle.line.data.commit import Mode, TableState
from bucle.line.data.errors import TableNotOurs
from bucle.line.data.lake import DataFile, Manifest, Shelf, content_digest, keep_manifest, load_manifest, new_folder
from bucle.line.data.schema import Column, evolve, fit, replace_columns

__all__ = ["Staged", "Table", "advance", "make_state", "open_table", "restage", "stage"]

ROWS_PER_FILE = 4_000_000

MANIFESTS_KEPT = 32
"""A manifest list with more is merged into one, so that planning a read stays short."""


@dataclass(frozen=True)
class Table:
    """A table as a branch's head has it.

    Attributes:
        state: its pointer.
        manifest: what it consists of.
        metadata: its Iceberg metadata file.
    """

    state: TableState
    manifest: Manifest
    metadata: dict[str, Any]

    @property
    def folder(self) -> str:
        """The table's folder, relative to the state folder."""
        return str(PurePosixPath(self.state.metadata_location).parent.parent)

    @property
    def last(self) -> int:
        """The greatest field id ever given."""
        return int(self.metadata["last-column-id"])

    @property
    def is_partitioned(self) -> bool:
        """Whether another engine ever parted its rows into partitions."""
        return any(spec["fields"] for spec in self.metadata["partition-specs"])


@dataclass(frozen=True)
class Staged:
    """Rows written for a table that had certain columns.

    Attributes:
        folder: the table's folder.
        before: the columns the table had, None for a new table.
        last: the greatest field id the table had given.
        columns: the columns it will have.
        files: the data files, durable.
        snapshot_id: the snapshot they belong to.
        manifest: their Iceberg manifest, None when there are no rows.
        manifest_file: its path and digest.
    """

    folder: str
    before: tuple[Column, ...] | None
    last: int
    columns: tuple[Column, ...]
    files: tuple[DataFile, ...]
    snapshot_id: int
    manifest: ManifestFile | None
    manifest_file: dict[str, str]

    def fits(self, table: Table | None) -> bool:
        """Whether these files can still go into the table as it is now."""
        if table is None:
            return self.before is None
        unchanged = self.before == table.manifest.columns and self.last == table.last
        return unchanged and self.folder == table.folder


def open_table(project: Project, state: TableState | None) -> Table | None:
    """A table at a head, ready to be written to."""
    if state is None:
        return None
    metadata = iceberg.parse_metadata((project.state / state.metadata_location).read_bytes())
    return Table(state=state, manifest=load_manifest(project, state.manifest), metadata=metadata)


def stage(shelf: Shelf, name: str, frame: pl.DataFrame | Batches, table: Table | None, *, mode: Mode) -> Staged:
    """Write a batch's data files and their manifest.

    Raises:
        TypeMismatch, TypeNotKept: the frame does not fit the table.
    """
    folder = new_folder(name) if table is None else table.folder
    before = None if table is None else table.manifest.columns
    last = 0 if table is None else table.last
    change = evolve if mode == "append" else replace_columns
    columns = change(before or (), frame, last=last)
    snapshot_id = iceberg.new_snapshot_id()
    written = [_data_file(shelf, folder, fit(part, columns), columns) for part in parts(frame, ROWS_PER_FILE)]
    manifest, manifest_file = None, dict[str, str]()
    if written:
        path = f"{folder}/metadata/{snapshot_id}-added.avro"
        data, manifest = iceberg.added_manifest(
            _uri(shelf, path), columns, snapshot_id, [entry for _, entry in written]
        )
        manifest_file = {path: shelf.put(path, data)}
    return Staged(
        folder=folder,
        before=before,
        last=last,
        columns=columns,
        files=tuple(file for file, _ in written),
        snapshot_id=snapshot_id,
        manifest=manifest,
        manifest_file=manifest_file,
    )


def restage(
    shelf: Shelf, theirs: Table, files: Sequence[DataFile], table: Table, columns: tuple[Column, ...]
) -> Staged:
    """Data files that another state of the same table has, ready to be put on top of this one; no row is written again.

    Args:
        theirs: the state that has them.
        files: which of its files.
        table: what they are put on.
        columns: what the table will have.
    """
    snapshot_id = iceberg.new_snapshot_id()
    path = f"{table.folder}/metadata/{snapshot_id}-added.avro"
    source, wanted = iceberg.LakeIO(shelf.state / theirs.folder / "metadata"), {file.path for file in files}
    entries = [
        entry
        for manifest in _manifests(source, theirs)
        if manifest.content == iceberg.DATA
        for entry in iceberg.live_files(source, manifest, move=_mover(theirs, _uri(shelf, theirs.folder)))
        if entry.file_path.removeprefix(f"{_uri(shelf, '')}/") in wanted
    ]
    data, manifest = iceberg.added_manifest(_uri(shelf, path), columns, snapshot_id, entries)
    return Staged(
        folder=table.folder,
        before=table.manifest.columns,
        last=table.last,
        columns=columns,
        files=tuple(files),
        snapshot_id=snapshot_id,
        manifest=manifest,
        manifest_file={path: shelf.put(path, data)},
    )


def advance(
    project: Project, shelf: Shelf, name: str, staged: Staged, table: Table | None, *, mode: Mode
) -> TableState:
    """Write the Iceberg metadata that puts staged rows on top of a table, and return the table's new pointer."""
    location = _uri(shelf, staged.folder)
    metadata = iceberg.first_metadata(location) if table is None else table.metadata
    carried, carried_files = _carried(shelf, staged, table, mode, location)
    manifests = [*carried, *([staged.manifest] if staged.manifest else [])]
    sequence = int(metadata["last-sequence-number"]) + 1
    stem = f"{staged.folder}/metadata/{sequence:05d}-{iceberg.new_snapshot_id():016x}"
    parent = metadata.get("current-snapshot-id")
    listed = iceberg.manifest_list(_uri(shelf, f"{stem}.avro"), staged.snapshot_id, parent, sequence, manifests)
    data = (*(table.manifest.data if table and mode == "append" else ()), *staged.files)
    snapshot = {
        "snapshot-id": staged.snapshot_id,
        "sequence-number": sequence,
        "timestamp-ms": max(to_micros(project.clock.now()) // 1000, int(metadata["last-updated-ms"])),
        "manifest-list": _uri(shelf, f"{stem}.avro"),
        "summary": _summary(staged, data, mode),
        **({} if parent is None else {"parent-snapshot-id": parent}),
    }
    after = msgspec.json.encode(iceberg.next_metadata(metadata, staged.columns, snapshot, location=location))
    written = {
        f"{stem}.avro": shelf.put(f"{stem}.avro", listed),
        f"{stem}.metadata.json": shelf.put(f"{stem}.metadata.json", after),
    }
    kept = table.manifest if table and mode == "append" else None
    manifest = Manifest(
        columns=staged.columns,
        data=data,
        metadata={**carried_files, **staged.manifest_file, **written},
        deletes=kept.deletes if kept else (),
        by_id=kept is not None and kept.by_id,
        settings=table.manifest.settings if table else "",
    )
    return make_state(project, name, f"{stem}.metadata.json", manifest)


def make_state(project: Project, name: str, location: str, manifest: Manifest) -> TableState:
    """Keep a manifest and return the pointer to the table it describes."""
    return TableState(
        name=name,
        metadata_location=location,
        digest=content_digest(manifest),
        manifest=keep_manifest(project, manifest),
        rows=manifest.rows,
        files=len(manifest.data),
    )


def _data_file(shelf: Shelf, folder: str, part: pl.DataFrame, columns: Sequence[Column]) -> tuple[DataFile, Any]:
    path = f"{folder}/data/{iceberg.new_snapshot_id():016x}.parquet"
    statistics = dict[str, Any]()

    def write(target: Path) -> None:
        statistics.update(iceberg.write_parquet(part, columns, target))

    digest, size_bytes = shelf.fill(path, write)
    file = DataFile(path=path, digest=digest, rows=part.height, size_bytes=size_bytes)
    return file, iceberg.data_entry(_uri(shelf, path), size_bytes, statistics)


def _carried(
    shelf: Shelf, staged: Staged, table: Table | None, mode: Mode, location: str
) -> tuple[list[ManifestFile], dict[str, str]]:
    """The manifests of the rows that stay, merged into one when there are many or the project was moved."""
    if table is None or mode == "overwrite":
        return [], {}
    source = iceberg.LakeIO(shelf.state / table.folder / "metadata")
    found = _manifests(source, table)
    manifests = [manifest for manifest in found if manifest.content == iceberg.DATA]
    deletes = [manifest for manifest in found if manifest.content != iceberg.DATA]
    moved = table.metadata["location"] != location
    known = table.manifest.metadata.items()
    if moved and deletes:
        raise _pinned(table)
    if manifests and (moved or len(manifests) >= MANIFESTS_KEPT):
        path = f"{staged.folder}/metadata/{iceberg.new_snapshot_id():016x}-merged.avro"
        data, merged = iceberg.merged_manifest(
            _uri(shelf, path),
            table.manifest.columns,
            staged.snapshot_id,
            manifests,
            source=source,
            move=_mover(table, location),
        )
        kept, written = [merged, *deletes], {path: shelf.put(path, data)}
    else:
        kept, written = found, {}
    names = {PurePosixPath(manifest.manifest_path).name for manifest in kept}
    return kept, {**{path: digest for path, digest in known if PurePosixPath(path).name in names}, **written}


def _pinned(table: Table) -> TableNotOurs:
    return TableNotOurs(
        f"The project was moved, and rows of table {table.state.name!r} were deleted by an Iceberg client.",
        why="Its delete files name rows by the paths of before; appended to here, deleted rows would come back.",
        fix=f"Move the project back to where {table.metadata['location']} was, or overwrite the table.",
        at=table.state.name,
    )


def _mover(table: Table, location: str) -> Callable[[str], str]:
    """Says where a file of a table lies now that the table's folder is at `location`."""
    before = f"{table.metadata['location']}/"

    def moved(path: str) -> str:
        inner = path.removeprefix(before) if path.startswith(before) else f"data/{PurePosixPath(path).name}"
        return f"{location}/{inner}"

    return moved


def _manifests(source: iceberg.LakeIO, table: Table) -> list[ManifestFile]:
    """Those of the table's current snapshot, oldest first."""
    current = table.metadata.get("current-snapshot-id")
    if current is None:
        return []
    snapshot = next(one for one in table.metadata["snapshots"] if one["snapshot-id"] == current)
    return iceberg.read_list(source, snapshot["manifest-list"])


def _summary(staged: Staged, data: Sequence[DataFile], mode: Mode) -> dict[str, str]:
    return {
        "operation": mode,
        "added-data-files": str(len(staged.files)),
        "added-records": str(sum(file.rows for file in staged.files)),
        "total-data-files": str(len(data)),
        "total-records": str(sum(file.rows for file in data)),
    }


def _uri(shelf: Shelf, path: str) -> str:
    return f"file://{(shelf.state / path).as_posix()}"
