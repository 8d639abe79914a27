"""Iceberg's files: Parquet with field ids, Avro manifests and lists by pyiceberg, the metadata file as plain JSON.

pyiceberg's own commit copies every snapshot about twenty times, so that its cost grows with the table's age. History
lives in our commits; a metadata file here keeps the last few snapshots only.

Source: Apache Iceberg table spec, format version 2.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record as Row

from bucle.line.data.schema import Column, last_id, schema_json

__all__ = [
    "DATA",
    "PROPERTIES",
    "LakeIO",
    "added_manifest",
    "data_entry",
    "first_metadata",
    "live_files",
    "manifest_list",
    "merged_manifest",
    "new_snapshot_id",
    "next_metadata",
    "parse_metadata",
    "read_list",
    "write_parquet",
]

SNAPSHOTS_KEPT = 10
"""How many snapshots a metadata file shows to clients that know nothing of commits."""

ROW_GROUP = 250_000

DATA = ManifestContent.DATA
"""What a manifest lists: data files, and not files of rows that are gone."""

_FILE_PATH = 1
"""Where pyiceberg's DataFile, which has no setter, keeps its path."""

PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    # Another branch may need what a snapshot no longer shows: no foreign engine may remove files.
    "gc.enabled": "false",
}


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
        folder: the table's `metadata` folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder = folder

    def new_input(self, location: str) -> InputFile:
        """The file of that name in this folder."""
        return _Memory(location, (self._folder / PurePosixPath(location).name).read_bytes())

    def new_output(self, location: str) -> OutputFile:
        """A file in memory."""
        return _Memory(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove the file of that name."""
        name = location if isinstance(location, str) else location.location
        (self._folder / PurePosixPath(name).name).unlink()


def write_parquet(frame: pl.DataFrame, columns: Sequence[Column], target: Path) -> dict[str, Any]:
    """Write a frame as a Parquet file with field ids and return Iceberg's statistics of it.

    Chunks are cut by content, so that a file with a few rows more shares most of its bytes with the one before.
    """
    arrow = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = [
        _with_field_id(field, column.id, column.type) for field, column in zip(arrow.schema, columns, strict=True)
    ]
    arrow = arrow.cast(pa.schema(fields))
    collected = list[Any]()
    pq.write_table(
        arrow,
        target,
        compression="zstd",
        row_group_size=ROW_GROUP,
        use_content_defined_chunking=True,
        store_decimal_as_integer=True,
        metadata_collector=collected,
    )
    schema = _schema(columns)
    statistics = data_file_statistics_from_parquet_metadata(
        collected[0], compute_statistics_plan(schema, {}), parquet_path_to_id_mapping(schema)
    )
    return statistics.to_serialized_dict()


def data_entry(location: str, size_bytes: int, statistics: Mapping[str, Any]) -> DataFile:
    """A data file as manifests list it."""
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=Row(),
        file_size_in_bytes=size_bytes,
        sort_order_id=None,
        spec_id=0,
        equality_ids=None,
        key_metadata=None,
        **statistics,
    )


def new_snapshot_id() -> int:
    """A number no other snapshot has."""
    return uuid.uuid4().int >> 65


def added_manifest(
    location: str, columns: Sequence[Column], snapshot_id: int, entries: Sequence[DataFile]
) -> tuple[bytes, ManifestFile]:
    """A manifest of new data files; its sequence number is given by the list that takes it up."""
    made = [
        ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, data_file=entry)
        for entry in entries
    ]
    return _manifest(location, columns, snapshot_id, made)


def merged_manifest(
    location: str,
    columns: Sequence[Column],
    snapshot_id: int,
    manifests: Sequence[ManifestFile],
    *,
    source: LakeIO,
    move: Callable[[str], str],
) -> tuple[bytes, ManifestFile]:
    """One manifest with the live files of many; `move` says where a data file lies now."""
    made = [entry for manifest in manifests for entry in _moved(source, manifest, move)]
    for entry in made:
        entry.status = ManifestEntryStatus.EXISTING
    return _manifest(location, columns, snapshot_id, made)


def live_files(source: LakeIO, manifest: ManifestFile, *, move: Callable[[str], str]) -> list[DataFile]:
    """The data files of a manifest; `move` says where one lies now."""
    return [entry.data_file for entry in _moved(source, manifest, move)]


def _moved(source: LakeIO, manifest: ManifestFile, move: Callable[[str], str]) -> list[ManifestEntry]:
    entries = manifest.fetch_manifest_entry(source)
    for entry in entries:
        entry.data_file[_FILE_PATH] = move(entry.data_file.file_path)
    return list(entries)


def manifest_list(
    location: str, snapshot_id: int, parent_id: int | None, sequence: int, manifests: Sequence[ManifestFile]
) -> bytes:
    """The list of a snapshot's manifests, oldest first."""
    file = _Memory(location)
    with write_manifest_list(2, file, snapshot_id, parent_id, sequence, "deflate") as writer:
        writer.add_manifests(list(manifests))
    return file.data


def read_list(source: LakeIO, location: str) -> list[ManifestFile]:
    """The manifests of a snapshot, oldest first."""
    return list(read_manifest_list(source.new_input(location)))


def first_metadata(location: str) -> dict[str, Any]:
    """The metadata of a table that has no snapshot yet."""
    return {
        "format-version": 2,
        "table-uuid": str(uuid.uuid4()),
        "location": location,
        "last-sequence-number": 0,
        "last-updated-ms": 0,
        "last-column-id": 0,
        "current-schema-id": -1,
        "schemas": [],
        "default-spec-id": 0,
        "partition-specs": [{"spec-id": 0, "fields": []}],
        "last-partition-id": 999,
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": PROPERTIES,
        "snapshots": [],
        "snapshot-log": [],
        "metadata-log": [],
        "refs": {},
    }


def next_metadata(
    before: Mapping[str, Any], columns: Sequence[Column], snapshot: Mapping[str, Any], *, location: str
) -> dict[str, Any]:
    """The metadata after one more snapshot."""
    schemas, current = _schemas(before["schemas"], columns)
    snapshot = {**snapshot, "schema-id": current}
    refs = {**before["refs"], "main": {"snapshot-id": snapshot["snapshot-id"], "type": "branch"}}
    kept = {ref["snapshot-id"] for ref in refs.values()}
    kept |= {one["snapshot-id"] for one in [*before["snapshots"], snapshot][-SNAPSHOTS_KEPT:]}
    snapshots = [one for one in [*before["snapshots"], snapshot] if one["snapshot-id"] in kept]
    of_snapshots = {
        name: [one for one in before[name] if one["snapshot-id"] in kept]
        for name in ("statistics", "partition-statistics")
        if name in before
    }
    entry = {"snapshot-id": snapshot["snapshot-id"], "timestamp-ms": snapshot["timestamp-ms"]}
    return {
        **before,
        **of_snapshots,
        "location": location,
        "last-sequence-number": snapshot["sequence-number"],
        "last-updated-ms": snapshot["timestamp-ms"],
        "last-column-id": max(before["last-column-id"], last_id(columns)),
        "current-schema-id": current,
        "schemas": schemas,
        "current-snapshot-id": snapshot["snapshot-id"],
        "snapshots": snapshots,
        "snapshot-log": [one for one in [*before["snapshot-log"], entry] if one["snapshot-id"] in kept],
        "refs": refs,
    }


def parse_metadata(data: bytes) -> dict[str, Any]:
    """A metadata file that `next_metadata` made."""
    return msgspec.json.decode(data, type=dict[str, Any])


def _manifest(
    location: str, columns: Sequence[Column], snapshot_id: int, entries: Sequence[ManifestEntry]
) -> tuple[bytes, ManifestFile]:
    file = _Memory(location)
    with write_manifest(2, UNPARTITIONED_PARTITION_SPEC, _schema(columns), file, snapshot_id, "deflate") as writer:
        for entry in entries:
            writer.add_entry(entry)
    return file.data, writer.to_manifest_file()


def _schema(columns: Sequence[Column]) -> Schema:
    return Schema.model_validate(schema_json(columns, 0))


def _schemas(known: Sequence[dict[str, Any]], columns: Sequence[Column]) -> tuple[list[dict[str, Any]], int]:
    for schema in known:
        if schema["fields"] == schema_json(columns, 0)["fields"]:
            return list(known), schema["schema-id"]
    fresh = max((schema["schema-id"] for schema in known), default=-1) + 1
    return [*known, schema_json(columns, fresh)], fresh


def _with_field_id(field: pa.Field, field_id: int, kind: Any) -> pa.Field:
    made = pa.field(field.name, _with_inner_ids(field.type, kind), nullable=True)
    return made.with_metadata({"PARQUET:field_id": str(field_id)})


def _with_inner_ids(arrow: pa.DataType, kind: Any) -> pa.DataType:
    if isinstance(kind, str):
        return pa.time64("us") if kind == "time" else arrow
    if kind["type"] == "list":
        element = _with_field_id(arrow.value_field.with_name("element"), kind["element-id"], kind["element"])
        return pa.large_list(element)
    return pa.struct([_with_field_id(arrow.field(i), f["id"], f["type"]) for i, f in enumerate(kind["fields"])])
