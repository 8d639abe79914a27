"""Entry: a new file as a manifest lists it, encoded.

Every append writes one; pyiceberg's writer, which knows any schema, takes four times as long.

Source: Apache Iceberg table spec, format version 2, "Manifests"; Apache Avro specification 1.11, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pyiceberg.manifest import ManifestContent, ManifestEntryStatus

from bucle.line.data.manifest import DataFile
from bucle.line.data.parquet import DELETED_PATH

__all__ = ["encode_new"]

_NULL = b"\0"
_SOME = b"\2"
"""Which branch of a union with null follows."""

_FORMAT = b"\x0ePARQUET"


def encode_new(
    file: DataFile, uri: Callable[[str], str], partition: bytes, snapshot_id: int, holds: ManifestContent
) -> bytes:
    """A new file; its sequence number is given by the list that takes its manifest up.

    Args:
        uri: says where a path of the lake lies.
        partition: its partition's values, encoded.
        snapshot_id: the snapshot that brings it.
        holds: whether it is a data file or one of deletes.
    """
    known = file.known
    lower, upper = known.lower, known.upper
    if file.of:
        # Equal bounds tell readers that the file is about one data file only.
        bound = {DELETED_PATH: uri(file.of).encode()}
        lower, upper = {**lower, **bound}, {**upper, **bound}
    return b"".join(
        [
            _int(ManifestEntryStatus.ADDED),
            _SOME + _int(snapshot_id),
            _NULL * 2,
            _int(holds),
            _bytes(uri(file.path).encode()),
            _FORMAT,
            partition,
            _int(file.rows),
            _int(file.size_bytes),
            _counts(known.sizes),
            _counts(known.values),
            _counts(known.nulls),
            _counts(known.nans),
            _bounds(lower),
            _bounds(upper),
            _SOME + _bytes(file.key) if file.key else _NULL,
            _SOME + _array(len(known.splits), map(_int, known.splits)) if known.splits else _NULL,
            _NULL * 2,
        ]
    )


def _counts(counts: Mapping[int, int]) -> bytes:
    return _SOME + _array(len(counts), [_int(field) + _int(count) for field, count in counts.items()])


def _bounds(bounds: Mapping[int, bytes]) -> bytes:
    return _SOME + _array(len(bounds), [_int(field) + _bytes(bound) for field, bound in bounds.items()])


def _array(count: int, items: Iterable[bytes]) -> bytes:
    return _int(count) + b"".join(items) + _NULL if count else _NULL


def _bytes(data: bytes) -> bytes:
    return _int(len(data)) + data


def _int(number: int) -> bytes:
    """Zigzag, then seven bits a byte, the least first."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < 0x80:
        return _SHORT[rest]
    made = bytearray()
    while rest >= 0x80:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    made.append(rest)
    return bytes(made)


_SHORT = [bytes([byte]) for byte in range(0x80)]
