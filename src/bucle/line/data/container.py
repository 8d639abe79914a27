"""Container: Avro files of Iceberg's records; what pyiceberg works out of a schema anew for each file is kept here.

Source: Apache Avro specification 1.11, "Object Container Files".
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from pyiceberg.avro.decoder import new_decoder
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import MAGIC, SYNC_SIZE, AvroFile
from pyiceberg.avro.reader import Reader
from pyiceberg.avro.resolver import resolve_reader, resolve_writer
from pyiceberg.avro.writer import Writer
from pyiceberg.io import InputFile
from pyiceberg.manifest import (
    DEFAULT_READ_VERSION,
    MANIFEST_ENTRY_SCHEMAS,
    MANIFEST_LIST_FILE_SCHEMAS,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    PartitionFieldSummary,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record as Row
from pyiceberg.types import StructType
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

__all__ = ["Kind", "encode_partition", "layout", "pack", "read_container", "write_container"]

Kind = Literal["manifest_entry", "manifest_file"]
"""What the records are: lines of a manifest, or lines of a manifest list."""

_FORMAT = 2
_KEPT = 256
"""So many schemas' readers and writers are kept; a table has a few."""


def write_container(kind: Kind, records: Iterable[Any], meta: Mapping[str, str], partition: StructType) -> bytes:
    """An Avro file of these records.

    Args:
        meta: what its header says besides.
        partition: the type of the files' partition values; without fields for manifest lists.
    """
    writer, schema = layout(kind, partition)
    block, count = io.BytesIO(), 0
    inner = BinaryEncoder(block)
    for record in records:
        writer.write(inner, record)
        count += 1
    return pack(block.getvalue(), count, meta, schema)


def encode_partition(partition: Row, kind: StructType) -> bytes:
    """The values of a partition as they stand in a file's entry."""
    if not kind.fields:
        return b""
    out = io.BytesIO()
    _partition_writer(kind.model_dump_json()).write(BinaryEncoder(out), partition)
    return out.getvalue()


@lru_cache(_KEPT)
def _partition_writer(kind: str) -> Writer:
    made = _entries(_FORMAT, kind).find_field("data_file.partition").field_type
    return resolve_writer(record_schema=made, file_schema=made)


def pack(records: bytes, count: int, meta: Mapping[str, str], schema: str) -> bytes:
    """An Avro file of one block.

    Args:
        records: encoded, one after another.
        count: how many.
        meta: what its header says besides.
        schema: how they are laid out.
    """
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = deflate.compress(records) + deflate.flush()
    out, sync = io.BytesIO(), os.urandom(SYNC_SIZE)
    encoder = BinaryEncoder(out)
    header = {**meta, "avro.schema": schema, "avro.codec": "deflate"}
    out.write(MAGIC)
    encoder.write_int(len(header))
    for name, value in header.items():
        encoder.write_utf8(name)
        encoder.write_utf8(value)
    encoder.write_int(0)
    out.write(sync)
    encoder.write_int(count)
    encoder.write_int(len(packed))
    out.write(packed)
    out.write(sync)
    return out.getvalue()


def read_container(kind: Kind, file: InputFile) -> list[Any]:
    """The records of an Avro file that any engine wrote."""
    with _Kept(file, kind) as records:
        return list(records)


class _Kept(AvroFile[Any]):
    """An Avro file whose reader is kept for the next of its kind."""

    def __init__(self, file: InputFile, kind: Kind) -> None:
        super().__init__(file, _READ[kind])
        self._kind = kind

    def __enter__(self) -> _Kept:
        with self.input_file.open() as opened:
            self.decoder = new_decoder(opened.read())
        self.header = self._read_header()
        self.reader = _reader(self._kind, self.header.meta["avro.schema"])
        return self


_READ = {
    "manifest_entry": MANIFEST_ENTRY_SCHEMAS[DEFAULT_READ_VERSION],
    "manifest_file": MANIFEST_LIST_FILE_SCHEMAS[DEFAULT_READ_VERSION],
}


@lru_cache(_KEPT)
def _reader(kind: Kind, schema: str) -> Reader:
    written = AvroSchemaConversion().avro_to_iceberg(json.loads(schema))
    types: dict[int, Any]
    enums: dict[int, Any]
    if kind == "manifest_entry":
        types = {-1: ManifestEntry, 2: DataFile}
        enums = {0: ManifestEntryStatus, 101: FileFormat, 134: DataFileContent}
    else:
        types, enums = {-1: ManifestFile, 508: PartitionFieldSummary}, {517: ManifestContent}
    return resolve_reader(written, _READ[kind], types, enums)


def layout(kind: Kind, partition: StructType) -> tuple[Writer, str]:
    """How records are written, and the schema as the file tells it; `partition` as for `write_container`."""
    return _layout(kind, partition.model_dump_json() if partition.fields else "")


@lru_cache(_KEPT)
def _layout(kind: Kind, partition: str) -> tuple[Writer, str]:
    if kind == "manifest_file":
        record, made = _READ[kind], MANIFEST_LIST_FILE_SCHEMAS[_FORMAT]
    else:
        record, made = _entries(DEFAULT_READ_VERSION, partition), _entries(_FORMAT, partition)
    told = json.dumps(AvroSchemaConversion().iceberg_to_avro(made, schema_name=kind))
    return resolve_writer(record_schema=record, file_schema=made), told


def _entries(version: Any, partition: str) -> Schema:
    kind = StructType.model_validate_json(partition) if partition else StructType()
    return manifest_entry_schema_with_data_file(
        format_version=version, data_file=data_file_with_partition(format_version=version, partition_type=kind)
    )
