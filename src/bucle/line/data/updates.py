"""Updates: what an Iceberg client asks a catalog to change in a table's metadata, applied to the plain JSON.

Pure: metadata in, metadata out, the instant passed in. pyiceberg has the same for catalogs on the client's side, where
ids are never given twice and nobody asks to remove what is not there.

Source: Apache Iceberg REST catalog spec, schemas TableRequirement and TableUpdate; table spec, format version 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pyiceberg.exceptions import ValidationError as Incompatible
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadataV2
from pyiceberg.table.sorting import SortOrder

from bucle.line.data.errors import BadMetadata, NotBuiltOnHead
from bucle.line.data.iceberg import PROPERTIES

__all__ = ["Json", "apply_updates", "bad_metadata", "check_requirements", "parse_strictly"]

Json = dict[str, Any]
_FORMAT = 2
_LAST_ADDED = -1


def check_requirements(metadata: Json | None, requirements: Iterable[Mapping[str, Any]]) -> None:
    """Whether a table stands as the client thought it does.

    Args:
        metadata: as it is; None when there is no such table.
        requirements: each with its `type`.
    Raises:
        NotBuiltOnHead: it does not.
        BadMetadata: a requirement is not known.
    """
    for one in requirements:
        kind = one.get("type")
        if kind == "assert-create":
            if metadata is not None:
                raise _stale("the table was made by someone else")
        elif kind not in _FOUND and kind != "assert-ref-snapshot-id":
            raise bad_metadata(f"The requirement {str(kind)[:80]!r} is not known.")
        elif metadata is None:
            raise _stale("the table is not there")
        elif kind == "assert-ref-snapshot-id":
            _check_ref(metadata, str(one.get("ref")), one.get("snapshot-id"))
        else:
            name, found = _FOUND[kind]
            if one.get(name) != metadata.get(found):
                raise _stale(f"{found} is {metadata.get(found)!r}, not {one.get(name)!r}")


_FOUND = {
    "assert-table-uuid": ("uuid", "table-uuid"),
    "assert-last-assigned-field-id": ("last-assigned-field-id", "last-column-id"),
    "assert-current-schema-id": ("current-schema-id", "current-schema-id"),
    "assert-last-assigned-partition-id": ("last-assigned-partition-id", "last-partition-id"),
    "assert-default-spec-id": ("default-spec-id", "default-spec-id"),
    "assert-default-sort-order-id": ("default-sort-order-id", "default-sort-order-id"),
}
"""Requirement -> the field that says what is expected, and the field of the metadata that must be equal."""


def _check_ref(metadata: Json, ref: str, expected: int | None) -> None:
    """`null` means the ref must not exist; to skip that would let two first writes overwrite each other."""
    found = metadata["refs"].get(ref, {}).get("snapshot-id")
    if found != expected:
        raise _stale(f"{ref[:80]!r} points to {found}, not to {expected}")


@dataclass
class _Change:
    """Metadata on its way to what it will be.

    Attributes:
        metadata: a copy that may be changed at its top.
        now_ms: milliseconds since 1970.
        added: `schema`, `spec` or `order` -> the id that was added last, which clients call -1.
    """

    metadata: Json
    now_ms: int
    added: dict[str, int] = field(default_factory=dict)


def apply_updates(metadata: Json, updates: Iterable[Mapping[str, Any]], *, now_ms: int) -> Json:
    """The metadata after a client's updates, in their order; the same object's content when there are none.

    Args:
        metadata: format version 2, as JSON.
        updates: each with its `action`.
        now_ms: milliseconds since 1970.
    Raises:
        BadMetadata: an update is not known or cannot be made.
        NotBuiltOnHead: a snapshot's sequence number was given to another meanwhile.
    """
    change = _Change(metadata=dict(metadata), now_ms=max(now_ms, int(metadata["last-updated-ms"])))
    for update in updates:
        action = update.get("action")
        apply = _UPDATES.get(str(action))
        if apply is None:
            raise bad_metadata(f"The update {str(action)[:80]!r} is not known to a table of format version 2.")
        try:
            apply(change, update)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise bad_metadata(f"The update {action!r} cannot be made: {_line(error)}.") from error
    if change.metadata == metadata:
        return change.metadata
    # Another branch may need what a snapshot no longer shows: whatever a client sets, no engine may remove files.
    properties = {**change.metadata["properties"], "gc.enabled": PROPERTIES["gc.enabled"]}
    made = {**change.metadata, "properties": properties, "last-updated-ms": change.now_ms}
    parse_strictly(made)
    return made


def parse_strictly(metadata: Json) -> TableMetadataV2:
    """The metadata as pyiceberg reads it.

    Raises:
        BadMetadata: it is not consistent.
    """
    try:
        parsed = TableMetadataV2.model_validate(metadata)
        parsed.spec().check_compatible(parsed.schema())
        parsed.sort_order().check_compatible(parsed.schema())
    except (ValueError, TypeError, KeyError, Incompatible) as error:
        raise bad_metadata(f"The table's metadata would not be consistent: {_line(error)}.") from error
    return parsed


def _assign_uuid(change: _Change, update: Mapping[str, Any]) -> None:
    if change.metadata["table-uuid"] != update["uuid"] and change.metadata["snapshots"]:
        raise ValueError("a table keeps its uuid")
    change.metadata["table-uuid"] = str(update["uuid"])


def _upgrade(change: _Change, update: Mapping[str, Any]) -> None:
    if update["format-version"] != _FORMAT:
        raise ValueError(f"tables here have format version {_FORMAT}")


def _add_schema(change: _Change, update: Mapping[str, Any]) -> None:
    schema = Schema.model_validate(update["schema"])
    schema.check_format_version_compatibility(_FORMAT)
    made = schema.model_dump(mode="json", by_alias=True, exclude_none=True)
    _add(change, "schema", made)
    change.metadata["last-column-id"] = max(change.metadata["last-column-id"], schema.highest_field_id)


def _add_spec(change: _Change, update: Mapping[str, Any]) -> None:
    made = PartitionSpec.model_validate(update["spec"]).model_dump(mode="json", by_alias=True, exclude_none=True)
    _add(change, "spec", made)
    used = (one["field-id"] for one in made["fields"])
    change.metadata["last-partition-id"] = max(change.metadata["last-partition-id"], *used, 999)


def _add_order(change: _Change, update: Mapping[str, Any]) -> None:
    made = SortOrder.model_validate(update["sort-order"]).model_dump(mode="json", by_alias=True, exclude_none=True)
    _add(change, "order", made)


_KINDS = {
    "schema": ("schemas", "schema-id", "current-schema-id"),
    "spec": ("partition-specs", "spec-id", "default-spec-id"),
    "order": ("sort-orders", "order-id", "default-sort-order-id"),
}
"""What a table has several of -> their list, their id, and the field that says which one holds."""


def _add(change: _Change, kind: str, made: Json) -> None:
    """Add a schema, spec or order under an id of its own; one that is there already is not added again."""
    listed, id_name, _ = _KINDS[kind]
    known = change.metadata[listed]
    for one in known:
        if _but(one, id_name) == _but(made, id_name):
            change.added[kind] = one[id_name]
            return
    ids = {one[id_name] for one in known}
    wanted = made[id_name]
    if wanted < 0 or wanted in ids:
        # Order 0 means unsorted, wherever it stands.
        wanted = max((*ids, 0 if kind == "order" else -1)) + 1
    change.metadata[listed] = [*known, {**made, id_name: wanted}]
    change.added[kind] = wanted


def _but(one: Mapping[str, Any], id_name: str) -> Json:
    """Without its id, and without what an empty list of names says."""
    return {key: value for key, value in one.items() if key != id_name and not (key.endswith("-ids") and not value)}


def _choose(kind: str, name: str) -> Callable[[_Change, Mapping[str, Any]], None]:
    listed, id_name, current = _KINDS[kind]

    def chosen(change: _Change, update: Mapping[str, Any]) -> None:
        wanted = change.added[kind] if update[name] == _LAST_ADDED else update[name]
        if wanted not in {one[id_name] for one in change.metadata[listed]}:
            raise ValueError(f"there is no {kind} {wanted}")
        change.metadata[current] = wanted

    return chosen


def _remove(kind: str, name: str) -> Callable[[_Change, Mapping[str, Any]], None]:
    listed, id_name, current = _KINDS[kind]

    def removed(change: _Change, update: Mapping[str, Any]) -> None:
        gone = set(update[name])
        if change.metadata[current] in gone:
            raise ValueError(f"the {kind} in use cannot be removed")
        change.metadata[listed] = [one for one in change.metadata[listed] if one[id_name] not in gone]

    return removed


def _add_snapshot(change: _Change, update: Mapping[str, Any]) -> None:
    made = dict(update["snapshot"])
    metadata, sequence = change.metadata, int(made["sequence-number"])
    if any(one["snapshot-id"] == made["snapshot-id"] for one in metadata["snapshots"]):
        raise ValueError(f"snapshot {made['snapshot-id']} is there already")
    if not made["summary"].get("operation"):
        raise ValueError("a snapshot's summary says its operation")
    if sequence <= metadata["last-sequence-number"]:
        raise _stale(f"last-sequence-number is {metadata['last-sequence-number']}, and the snapshot has {sequence}")
    metadata["snapshots"] = [*metadata["snapshots"], made]
    metadata["last-sequence-number"] = sequence


def _set_ref(change: _Change, update: Mapping[str, Any]) -> None:
    metadata, name = change.metadata, str(update["ref-name"])
    wanted, kind = update["snapshot-id"], update["type"]
    if wanted not in {one["snapshot-id"] for one in metadata["snapshots"]}:
        raise ValueError(f"there is no snapshot {wanted}")
    if kind not in ("branch", "tag") or (name == "main" and kind != "branch"):
        raise ValueError(f"{name!r} cannot be a {kind}")
    kept = ("max-ref-age-ms", "max-snapshot-age-ms", "min-snapshots-to-keep")
    given = {key: update[key] for key in kept if update.get(key) is not None}
    if name == "main" and metadata.get("current-snapshot-id") != wanted:
        entry = {"snapshot-id": wanted, "timestamp-ms": change.now_ms}
        metadata["snapshot-log"] = [*metadata["snapshot-log"], entry]
        metadata["current-snapshot-id"] = wanted
    metadata["refs"] = {**metadata["refs"], name: {"snapshot-id": wanted, "type": kind, **given}}


def _remove_ref(change: _Change, update: Mapping[str, Any]) -> None:
    name = update["ref-name"]
    change.metadata["refs"] = {key: ref for key, ref in change.metadata["refs"].items() if key != name}
    if name == "main":
        change.metadata.pop("current-snapshot-id", None)


def _remove_snapshots(change: _Change, update: Mapping[str, Any]) -> None:
    gone, metadata = set(update["snapshot-ids"]), change.metadata
    for name, ref in list(metadata["refs"].items()):
        if ref["snapshot-id"] in gone:
            _remove_ref(change, {"ref-name": name})
    for listed in ("snapshots", "snapshot-log", "statistics", "partition-statistics"):
        if listed in metadata:
            metadata[listed] = [one for one in metadata[listed] if one["snapshot-id"] not in gone]


def _set_location(change: _Change, update: Mapping[str, Any]) -> None:
    change.metadata["location"] = str(update["location"]).rstrip("/")


def _set_properties(change: _Change, update: Mapping[str, Any]) -> None:
    given = {str(name): str(value) for name, value in update["updates"].items()}
    for name in ("write.data.path", "write.metadata.path", "write.folder-storage.path", "write.object-storage.path"):
        if name in given:
            raise ValueError(f"files of a table stay in its own folder: {name} cannot be set")
    change.metadata["properties"] = {**change.metadata["properties"], **given}


def _remove_properties(change: _Change, update: Mapping[str, Any]) -> None:
    gone = set(update["removals"])
    change.metadata["properties"] = {k: v for k, v in change.metadata["properties"].items() if k not in gone}


def _set_statistics(listed: str, name: str) -> Callable[[_Change, Mapping[str, Any]], None]:
    def put(change: _Change, update: Mapping[str, Any]) -> None:
        made = dict(update[name])
        others = [one for one in change.metadata.get(listed, []) if one["snapshot-id"] != made["snapshot-id"]]
        change.metadata[listed] = [*others, made]

    return put


def _remove_statistics(listed: str) -> Callable[[_Change, Mapping[str, Any]], None]:
    def removed(change: _Change, update: Mapping[str, Any]) -> None:
        gone = update["snapshot-id"]
        change.metadata[listed] = [one for one in change.metadata.get(listed, []) if one["snapshot-id"] != gone]

    return removed


_UPDATES: dict[str, Callable[[_Change, Mapping[str, Any]], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "add-schema": _add_schema,
    "set-current-schema": _choose("schema", "schema-id"),
    "remove-schemas": _remove("schema", "schema-ids"),
    "add-spec": _add_spec,
    "set-default-spec": _choose("spec", "spec-id"),
    "remove-partition-specs": _remove("spec", "spec-ids"),
    "add-sort-order": _add_order,
    "set-default-sort-order": _choose("order", "sort-order-id"),
    "add-snapshot": _add_snapshot,
    "set-snapshot-ref": _set_ref,
    "remove-snapshot-ref": _remove_ref,
    "remove-snapshots": _remove_snapshots,
    "set-location": _set_location,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
    "set-statistics": _set_statistics("statistics", "statistics"),
    "remove-statistics": _remove_statistics("statistics"),
    "set-partition-statistics": _set_statistics("partition-statistics", "partition-statistics"),
    "remove-partition-statistics": _remove_statistics("partition-statistics"),
}


def bad_metadata(what: str) -> BadMetadata:
    """The error for a change that cannot be made."""
    return BadMetadata(
        what,
        why="Nothing of the request was carried out.",
        fix="See what tables here hold and what is not offered: docs/iceberg.md",
    )


def _stale(what: str) -> NotBuiltOnHead:
    return NotBuiltOnHead(
        f"Requirement failed: {what}.",
        why="The change was made for another state of the table; carrying it out could lose what came between.",
        fix="Load the table again and repeat the change; Iceberg clients do so by themselves.",
    )


def _line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300]
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"[:300]
    return str(error).partition("\n")[0][:300]
