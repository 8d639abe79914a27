"""Listing: a manifest list line by line, so that an append writes the lines there are as it found them.

A table of a thousand commits has some forty manifests; pyiceberg takes 40 µs to read and write the line of each.

Source: Apache Iceberg table spec, format version 2, "Manifest Lists"; Apache Avro specification 1.11, "Binary
Encoding".
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from pyiceberg.avro.decoder import BinaryDecoder, new_decoder
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import MAGIC, SYNC_SIZE
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.types import StructType

from bucle.line.data.container import layout, pack

__all__ = ["Line", "read_lines", "to_line", "write_lines"]

_NOTHING = StructType()
"""Manifest lists have no partition values of their own."""


@dataclass(frozen=True, slots=True)
class Line:
    """A manifest, as a list names it; the attributes are those of pyiceberg's `ManifestFile`.

    Attributes:
        raw: the whole line, as it stands in the file.
    """

    manifest_path: str
    partition_spec_id: int
    content: ManifestContent
    sequence_number: int
    added_snapshot_id: int
    added_files_count: int
    existing_files_count: int
    raw: bytes


def read_lines(data: bytes) -> list[Line] | None:
    """The lines of a list that was written by `write_lines`; None for one that another engine wrote."""
    decoder = new_decoder(data)
    if decoder.read(len(MAGIC)) != MAGIC:
        return None
    header = _map(decoder)
    ours = layout("manifest_file", _NOTHING)[1].encode(), b"deflate"
    if (header.get("avro.schema"), header.get("avro.codec")) != ours:
        return None
    decoder.skip(SYNC_SIZE)
    made = list[Line]()
    while decoder.tell() < len(data):
        count, size = decoder.read_int(), decoder.read_int()
        made += _block(zlib.decompress(decoder.read(size), wbits=-zlib.MAX_WBITS), count)
        decoder.skip(SYNC_SIZE)
    return made


def write_lines(lines: list[Line], meta: Mapping[str, str]) -> bytes:
    """A manifest list of these lines.

    Args:
        meta: what its header says besides.
    """
    return pack(b"".join([line.raw for line in lines]), len(lines), meta, layout("manifest_file", _NOTHING)[1])


def to_line(one: ManifestFile) -> Line:
    """A manifest whose sequence number is known, as a line."""
    out = io.BytesIO()
    layout("manifest_file", _NOTHING)[0].write(BinaryEncoder(out), one)
    return Line(
        manifest_path=one.manifest_path,
        partition_spec_id=one.partition_spec_id,
        content=one.content,
        sequence_number=one.sequence_number,
        added_snapshot_id=one.added_snapshot_id or 0,
        added_files_count=one.added_files_count or 0,
        existing_files_count=one.existing_files_count or 0,
        raw=out.getvalue(),
    )


def _map(decoder: BinaryDecoder) -> dict[str, bytes]:
    found = dict[str, bytes]()
    while (count := decoder.read_int()) != 0:
        if count < 0:
            decoder.skip_int()
        for _ in range(abs(count)):
            name = decoder.read_utf8()
            found[name] = decoder.read_bytes()
    return found


def _block(data: bytes, count: int) -> list[Line]:
    decoder, made = new_decoder(data), list[Line]()
    for _ in range(count):
        begin = decoder.tell()
        path = decoder.read_utf8()
        decoder.skip_int()
        spec_id, content, sequence = decoder.read_int(), decoder.read_int(), decoder.read_int()
        decoder.skip_int()
        snapshot, added, existing = decoder.read_int(), decoder.read_int(), decoder.read_int()
        for _ in range(4):
            decoder.skip_int()
        _skip_partitions(decoder)
        if decoder.read_int():
            decoder.skip_bytes()
        raw = data[begin : decoder.tell()]
        made.append(Line(path, spec_id, ManifestContent(content), sequence, snapshot, added, existing, raw))
    return made


def _skip_partitions(decoder: BinaryDecoder) -> None:
    """Pass over what is known of the partitions: each whether it has nulls, whether NaNs, and its bounds."""
    if not decoder.read_int():
        return
    while (count := decoder.read_int()) != 0:
        if count < 0:
            decoder.skip_int()
        for _ in range(abs(count)):
            decoder.skip_boolean()
            if decoder.read_int():
                decoder.skip_boolean()
            for _ in range(2):
                if decoder.read_int():
                    decoder.skip_bytes()
