"""Draft: a table that no commit has yet: its folder, and its first metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bucle.ground.core import Record, check_name, to_micros
from bucle.ground.keys import is_encrypted
from bucle.ground.project import Project
from bucle.line.data.errors import TableEncrypted
from bucle.line.data.lake import new_folder
from bucle.line.data.sealed import KEY

if TYPE_CHECKING:
    from bucle.line.data.foreign import Seen

__all__ = ["TableMetadata", "check_open", "draft_table", "drafted_folder", "encrypted", "now_ms", "trimmed", "uri"]

Json = dict[str, Any]


class TableMetadata(Record, frozen=True):
    """A table as Iceberg clients see it.

    Attributes:
        location: the URI of its metadata file; '' for a draft that no commit has.
        metadata: what stands in it.
    """

    location: str
    metadata: dict[str, Any]


def draft_table(project: Project, table: str, request: Mapping[str, Any]) -> TableMetadata:
    """A table that no commit has yet: its folder is made, and its first metadata told.

    Args:
        table: its name.
        request: `schema`, and if given `partition-spec`, `write-order`, `properties`, as in Iceberg's REST protocol.
    Raises:
        BadName: the name cannot be used.
        BadMetadata: the schema, partitions or order cannot be kept here.
        TableEncrypted: a table of this name is encrypted, which another engine would not do.
    """
    from bucle.line.data.iceberg import first_metadata  # noqa: PLC0415
    from bucle.line.data.updates import apply_updates, bad_metadata  # noqa: PLC0415

    given = {str(name): str(value) for name, value in (request.get("properties") or {}).items()}
    if given.pop("format-version", "2") != "2":
        raise bad_metadata("Tables here have format version 2; the property format-version asks for another.")
    if request.get("location"):
        raise bad_metadata("The catalog chooses where a table lies; leave out its location.")
    folder = new_folder(check_name(table, "table name"))
    check_open(project, table, {})
    schema, spec, order = _fresh(request)
    updates: list[Json] = [
        {"action": "add-schema", "schema": schema},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "set-properties", "updates": given},
    ]
    if spec["fields"]:
        updates += [{"action": "add-spec", "spec": spec}, {"action": "set-default-spec", "spec-id": -1}]
    if order["fields"]:
        updates += [{"action": "add-sort-order", "sort-order": order}]
        updates += [{"action": "set-default-sort-order", "sort-order-id": -1}]
    metadata = apply_updates(first_metadata(uri(project, folder)), updates, now_ms=now_ms(project))
    for inner in ("metadata", "data"):
        # Clients that write through a local path do not make folders.
        (project.state / folder / inner).mkdir(parents=True, exist_ok=True)
    return TableMetadata(location="", metadata=trimmed(metadata))


def drafted_folder(project: Project, table: str, metadata: Json, seen: Seen) -> str:
    """The folder of a table to be made: one that was drafted under this name, and that no table has."""
    from bucle.line.data.updates import bad_metadata  # noqa: PLC0415

    location = str(metadata["location"]).rstrip("/")
    name = location.rpartition("/")[2]
    mark = name.removeprefix(f"{table}-")
    is_drafted = location == uri(project, f"lake/{name}") and len(mark) == 32 and _is_hex(mark)
    listed = (project.state / "lake" / name / "metadata").glob("*.metadata.json") if is_drafted else ()
    # Those in `seen` are of an earlier try of this very commit.
    taken = [file for file in listed if file.relative_to(project.state).as_posix() not in seen]
    if not is_drafted or taken or not (project.state / "lake" / name).is_dir():
        raise bad_metadata(
            f"A new table lies where the catalog says; {location[:300]!r} is no folder that was made for {table!r}."
        )
    return f"lake/{name}"


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in text)


def check_open(project: Project, table: str, metadata: Json) -> None:
    """Whether another engine may write a table: not one that is encrypted, or to be."""
    if is_encrypted(project, table) or KEY in metadata.get("properties", {}):
        raise encrypted(table)


def encrypted(table: str) -> TableEncrypted:
    """The error for a table that another engine cannot read."""
    return TableEncrypted(
        f"Table {table[:200]!r} is encrypted.",
        why="Its keys stay with Bucle: another engine could not read its files, and would write plain ones.",
        fix="Query it here (bucle data query), or give an engine the keys of its files: data.file_keys(project, table)",
        at=table[:200],
    )


def trimmed(metadata: Json) -> Json:
    """Without what is null: clients take it for a value."""
    return {name: value for name, value in metadata.items() if value is not None}


def _fresh(request: Mapping[str, Any]) -> tuple[Json, Json, Json]:
    """Schema, partition spec and sort order with ids of ours, which a client may leave to the catalog."""
    from pyiceberg.partitioning import PartitionSpec, assign_fresh_partition_spec_ids  # noqa: PLC0415
    from pyiceberg.schema import Schema, assign_fresh_schema_ids  # noqa: PLC0415
    from pyiceberg.table.sorting import SortOrder, assign_fresh_sort_order_ids  # noqa: PLC0415

    from bucle.line.data.updates import bad_metadata  # noqa: PLC0415

    spec, order = request.get("partition-spec") or {"fields": []}, request.get("write-order") or {"fields": []}
    try:
        given = Schema.model_validate(request.get("schema"))
        fresh = assign_fresh_schema_ids(given)
        numbered = [{"field-id": 1000 + place, **one} for place, one in enumerate(spec["fields"])]
        parted = PartitionSpec.model_validate({"spec-id": 0, "fields": numbered})
        ordered = SortOrder.model_validate({"order-id": 1 if order["fields"] else 0, "fields": order["fields"]})
        made = (
            fresh,
            assign_fresh_partition_spec_ids(parted, given, fresh),
            assign_fresh_sort_order_ids(ordered, given, fresh),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise bad_metadata(f"The table cannot be made: {' '.join(str(error).splitlines())[:300]}.") from error
    found = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in made]
    return found[0], found[1], found[2]


def now_ms(project: Project) -> int:
    """Milliseconds since 1970."""
    return to_micros(project.clock.now()) // 1000


def uri(project: Project, path: str) -> str:
    """How Iceberg names a file of the state folder."""
    return f"file://{(project.state / path).as_posix()}"
