"""Avro: Iceberg's manifests and manifest lists, written and read by pyiceberg.

Source: Apache Iceberg table spec, format version 2, "Manifests" and "Manifest Lists".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any, cast

from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.manifest import (
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestListWriterV2,
    ManifestWriterV2,
    _inherit_from_manifest,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record as Row

from bucle.ground.keys import is_sealed, unseal
from bucle.ground.project import Project
from bucle.line.data import manifest as listed
from bucle.line.data.container import encode_partition, layout, pack, read_container, write_container
from bucle.line.data.entry import encode_new
from bucle.line.data.listing import Line, read_lines, to_line, write_lines
from bucle.line.data.partition import values

__all__ = [
    "DATA",
    "DELETES",
    "LakeIO",
    "entries_of",
    "lines_of",
    "manifest",
    "manifest_list",
    "new_manifest",
    "read_list",
    "without",
]

DATA = ManifestContent.DATA
"""What a manifest lists: data files."""

DELETES = ManifestContent.DELETES
"""What a manifest lists: files that name rows that are gone."""

_FILE_PATH = 1
"""Where pyiceberg's DataFile, which has no setter, keeps its path."""


class _Memory(InputFile, OutputFile):
    """A file in memory, as pyiceberg reads and writes it."""

    def __init__(self, location: str, data: bytes = b"") -> None:
        super().__init__(location)
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def exists(self) -> bool:
        """It does."""
        return True

    def open(self, seekable: bool = True) -> Any:
        """For reading."""
        return io.BytesIO(self.data)

    def to_input_file(self) -> InputFile:
        """Itself."""
        return self

    def create(self, overwrite: bool = False) -> Any:
        """For writing; the bytes are here once it is closed."""
        return _Sink(self)


class _Sink(io.BytesIO):
    def __init__(self, owner: _Memory) -> None:
        super().__init__()
        self._owner = owner

    def close(self) -> None:
        """Hand the bytes over."""
        if not self.closed:
            self._owner.data = self.getvalue()
        super().close()


class LakeIO(FileIO):
    """Reads a table's metadata files from its folder, wherever the project was moved to.

    Args:
        project: whose lake it is; its keys open what is encrypted.
        folder: the table's `metadata` folder, relative to the state folder.
    """

    def __init__(self, project: Project, folder: str) -> None:
        super().__init__({})
        self._project, self._inner = project, folder
        self._folder = project.state / folder

    def new_input(self, location: str) -> InputFile:
        """The file of that name in this folder."""
        name = PurePosixPath(location).name
        data = (self._folder / name).read_bytes()
        return _Memory(location, unseal(self._project, data, f"{self._inner}/{name}") if is_sealed(data) else data)

    def new_output(self, location: str) -> OutputFile:
        """A file in memory."""
        return _Memory(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove the file of that name."""
        name = location if isinstance(location, str) else location.location
        (self._folder / PurePosixPath(name).name).unlink()


class _Writer(ManifestWriterV2):
    """Writes manifests of either content; pyiceberg's own writes data manifests only, and a block for each entry."""

    def __init__(self, *given: Any, holds: ManifestContent) -> None:
        super().__init__(*given)
        self._holds = holds
        self._lines = list[ManifestEntry]()

    def content(self) -> ManifestContent:
        """What it lists."""
        return self._holds

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "data" if self._holds == DATA else "deletes"}

    def new_writer(self) -> Any:
        """Collects the entries for one block."""
        return self

    def write_block(self, entries: list[ManifestEntry]) -> None:
        """Collect entries."""
        self._lines += entries

    @property
    def output_file(self) -> OutputFile:
        """Where the manifest is written to."""
        return self._output_file

    def write(self, entries: Sequence[ManifestEntry]) -> tuple[bytes, ManifestFile]:
        """The manifest of these entries, and the line that names it."""
        self._writer = self  # type: ignore[assignment]
        for entry in entries:
            self.add_entry(entry)
        kind = self._spec.partition_type(self._schema)
        return self._told(write_container("manifest_entry", self._lines, self._meta, kind))

    def write_new(self, files: Sequence[listed.DataFile], uri: Callable[[str], str]) -> tuple[bytes, ManifestFile]:
        """The manifest of new files, and the line that names it."""
        self._writer = self  # type: ignore[assignment]
        kind = self._spec.partition_type(self._schema)
        self._partitions = [Row(*values(file.partition, kind)) for file in files]
        self._added_files, self._added_rows = len(files), sum(file.rows for file in files)
        entries = [
            encode_new(file, uri, encode_partition(partition, kind), self._snapshot_id, self._holds)
            for file, partition in zip(files, self._partitions, strict=True)
        ]
        schema = layout("manifest_entry", kind)[1]
        return self._told(pack(b"".join(entries), len(entries), self._meta, schema))

    def _told(self, data: bytes) -> tuple[bytes, ManifestFile]:
        self._output_file.data = data  # type: ignore[attr-defined]
        return data, self.to_manifest_file()


class _List(ManifestListWriterV2):
    """Says what is to stand in a manifest list."""

    def lines(self, manifests: Sequence[ManifestFile | Line]) -> bytes:
        """The list of these manifests."""
        made = [one if isinstance(one, Line) else to_line(self.prepare_manifest(one)) for one in manifests]
        return write_lines(made, self._meta)


def entries_of(source: LakeIO, one: ManifestFile | Line, *, move: Callable[[str], str]) -> list[ManifestEntry]:
    """The live entries of a manifest, as existing ones; `move` says where a data file lies now."""
    found = read_container("manifest_entry", source.new_input(one.manifest_path))
    entries = [
        _inherit_from_manifest(entry, cast(ManifestFile, one))
        for entry in found
        if entry.status != ManifestEntryStatus.DELETED
    ]
    for entry in entries:
        entry.data_file[_FILE_PATH] = move(entry.data_file.file_path)
        entry.status = ManifestEntryStatus.EXISTING
    return entries


def without(entries: Sequence[ManifestEntry], gone: set[str], snapshot_id: int) -> bool:
    """Mark the entries whose files are gone; returns whether there are any."""
    hit = [entry for entry in entries if entry.data_file.file_path in gone]
    for entry in hit:
        entry.status, entry.snapshot_id = ManifestEntryStatus.DELETED, snapshot_id
    return bool(hit)


def manifest(
    location: str,
    schema: Schema,
    spec: PartitionSpec,
    snapshot_id: int,
    entries: Sequence[ManifestEntry],
    *,
    holds: ManifestContent = DATA,
) -> tuple[bytes, ManifestFile]:
    """A manifest: its bytes, and the line of the manifest list that names it."""
    return _Writer(spec, schema, _Memory(location), snapshot_id, "deflate", holds=holds).write(entries)


def new_manifest(
    location: str,
    schema: Schema,
    spec: PartitionSpec,
    snapshot_id: int,
    files: Sequence[listed.DataFile],
    *,
    uri: Callable[[str], str],
    holds: ManifestContent,
) -> tuple[bytes, ManifestFile]:
    """A manifest of new files; see `manifest`.

    Args:
        uri: says where a path of the lake lies.
    """
    return _Writer(spec, schema, _Memory(location), snapshot_id, "deflate", holds=holds).write_new(files, uri)


def manifest_list(
    location: str, snapshot_id: int, parent_id: int | None, sequence: int, manifests: Sequence[ManifestFile | Line]
) -> bytes:
    """The list of a snapshot's manifests, oldest first."""
    return _List(_Memory(location), snapshot_id, parent_id, sequence, "deflate").lines(manifests)


def read_list(source: LakeIO, location: str) -> list[ManifestFile]:
    """The manifests of a snapshot, oldest first, with all that is known of them."""
    return read_container("manifest_file", source.new_input(location))


def lines_of(source: LakeIO, location: str) -> Sequence[ManifestFile | Line]:
    """The manifests of a snapshot, oldest first, to be listed again."""
    found = source.new_input(location)
    return read_lines(found.open().read()) or read_container("manifest_file", found)
