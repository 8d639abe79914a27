"""Iceberg's table metadata as plain JSON, kept short: history lives in our commits.

pyiceberg's own commit copies every snapshot about twenty times, so that its cost grows with the table's age; a metadata
file here keeps the last few snapshots only.

Source: Apache Iceberg table spec, format version 2, "Table Metadata".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema

from bucle.ground.core import digest_of_value
from bucle.line.data.schema import Column, last_id, schema_json
from bucle.line.data.sealed import KEY

__all__ = [
    "PROPERTIES",
    "first_metadata",
    "have_spec",
    "iceberg_schema",
    "new_snapshot_id",
    "next_metadata",
    "parse_metadata",
    "partition_spec",
    "schema_of",
    "settings_of",
    "with_columns",
    "with_key",
    "with_schemas",
]


SNAPSHOTS_KEPT = 10
"""How many snapshots a metadata file shows to clients that know nothing of commits."""

PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    # Another branch may need what a snapshot no longer shows: no foreign engine may remove files.
    "gc.enabled": "false",
}


def new_snapshot_id() -> int:
    """A number no other snapshot has."""
    return uuid.uuid4().int >> 65


def iceberg_schema(columns: Sequence[Column]) -> Schema:
    """The columns as pyiceberg has them."""
    return schema_of(msgspec.json.encode(schema_json(columns, 0)))


@lru_cache(256)
def schema_of(text: bytes) -> Schema:
    """The schema that stands in JSON; what pyiceberg works out of it is worked out once."""
    return Schema.model_validate_json(text)


@lru_cache(256)
def _spec_of(text: bytes) -> PartitionSpec:
    return PartitionSpec.model_validate_json(text)


def partition_spec(metadata: Mapping[str, Any], spec_id: int) -> PartitionSpec:
    """One of a table's partition specs."""
    found = next(one for one in metadata["partition-specs"] if one["spec-id"] == spec_id)
    return _spec_of(msgspec.json.encode(found))


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
    before = with_columns(before, columns)
    snapshot = {**snapshot, "schema-id": before["current-schema-id"]}
    refs = {**before["refs"], "main": {"snapshot-id": snapshot["snapshot-id"], "type": "branch"}}
    kept = {ref["snapshot-id"] for ref in refs.values()}
    kept |= {one["snapshot-id"] for one in [*before["snapshots"], snapshot][-SNAPSHOTS_KEPT:]}
    snapshots = [one for one in [*before["snapshots"], snapshot] if one["snapshot-id"] in kept]
    of_snapshots: dict[str, Any] = {
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
        "current-snapshot-id": snapshot["snapshot-id"],
        "snapshots": snapshots,
        "snapshot-log": [one for one in [*before["snapshot-log"], entry] if one["snapshot-id"] in kept],
        "refs": refs,
    }


def parse_metadata(data: bytes) -> dict[str, Any]:
    """A metadata file that `next_metadata` made."""
    return msgspec.json.decode(data, type=dict[str, Any])


def with_columns(before: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """The metadata of a table that has other columns; a schema it had before keeps its id."""
    schema = schema_json(columns, 0)
    after = with_schemas(before, [schema], last_id(columns))
    current = next(one["schema-id"] for one in after["schemas"] if one["fields"] == schema["fields"])
    return {**after, "current-schema-id": current}


def with_schemas(before: Mapping[str, Any], schemas: Sequence[Mapping[str, Any]], last: int) -> dict[str, Any]:
    """The metadata of a table that knows more schemas.

    Args:
        last: the greatest field id given with them; it is not given again.
    """
    known = list(before["schemas"])
    for schema in schemas:
        if all(schema["fields"] != one["fields"] for one in known):
            number = max((one["schema-id"] for one in known), default=-1) + 1
            known.append({**schema, "schema-id": number})
    return {**before, "schemas": known, "last-column-id": max(before["last-column-id"], last)}


def have_spec(one: Mapping[str, Any], other: Mapping[str, Any], spec_id: int) -> bool:
    """Whether two states of a table know a partition spec, and know it alike."""
    specs = [{spec["spec-id"]: spec["fields"] for spec in side["partition-specs"]} for side in (one, other)]
    return spec_id in specs[0] and specs[0][spec_id] == specs[1].get(spec_id)


def with_key(metadata: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The metadata of a table that is kept under a key; '' for none."""
    properties = {name: value for name, value in metadata["properties"].items() if name != KEY}
    return {**metadata, "properties": {**properties, KEY: key} if key else properties}


def settings_of(metadata: Mapping[str, Any]) -> str:
    """The digest of what was set beyond rows and columns; '' for a table as we make it."""
    plain, metadata = first_metadata(""), with_key(metadata, "")
    refs = {name: ref for name, ref in metadata["refs"].items() if name != "main"}
    names = ("default-spec-id", "partition-specs", "default-sort-order-id", "sort-orders", "properties")
    found = {**{name: metadata[name] for name in names}, "refs": refs}
    usual = {**{name: plain[name] for name in names}, "refs": {}}
    return "" if found == usual else digest_of_value(found)
