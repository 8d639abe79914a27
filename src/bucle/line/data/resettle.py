"""Resettle: a table gets other columns or partitions, and its files stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from bucle.ground.core import to_micros
from bucle.ground.project import Project
from bucle.line.data.commit import TableState
from bucle.line.data.errors import BadAlteration, BadMetadata
from bucle.line.data.iceberg import new_snapshot_id, settings_of, with_columns, with_key
from bucle.line.data.lake import Shelf
from bucle.line.data.schema import Column, gave_names_anew
from bucle.line.data.table import Table, make_state
from bucle.line.data.updates import apply_updates, parse_strictly

__all__ = ["resettle", "spec_fields"]

_FIELD = re.compile(r"(?P<transform>[a-z]+)\((?:(?P<width>\d+),\s*)?(?P<column>.+)\)", re.DOTALL)
_SUFFIX = {"bucket": "bucket", "truncate": "trunc", "year": "year", "month": "month", "day": "day", "hour": "hour"}


def resettle(
    project: Project,
    shelf: Shelf,
    table: Table,
    columns: tuple[Column, ...],
    fields: Sequence[str] | None = None,
) -> TableState:
    """Write the metadata of a table that has other columns or partitions, and return its new pointer.

    Args:
        fields: by what new rows are parted; None for as it is.
    Raises:
        BadAlteration: the partitions cannot be made of these columns.
    """
    if table.is_moved:
        raise BadAlteration(
            f"The project was moved, and table {table.name!r} still names its files by the paths of before.",
            why="Only a new snapshot mends them.",
            fix="Append to it, or compact it, and repeat the change.",
        )
    now_ms = max(to_micros(project.clock.now()) // 1000, int(table.metadata["last-updated-ms"]))
    metadata = {**with_columns(table.metadata, columns), "last-updated-ms": now_ms}
    try:
        if fields is not None:
            spec = {"spec-id": -1, "fields": spec_fields(metadata, columns, fields)}
            updates: list[dict[str, Any]] = [{"action": "add-spec", "spec": spec}]
            updates += [{"action": "set-default-spec", "spec-id": -1}]
            metadata = apply_updates(metadata, updates, now_ms=now_ms)
        parse_strictly(metadata)
    except BadMetadata as error:
        raise BadAlteration(
            f"Table {table.name!r} cannot be changed so: {error.what}",
            why="A partition is made of a column that is there, by a transform that its type has.",
            fix="See what there is: bucle data show TABLE",
        ) from error
    path = f"{table.folder}/metadata/{metadata['last-sequence-number']:05d}-{new_snapshot_id():016x}.metadata.json"
    metadata = with_key(metadata, table.head.key)
    written = shelf.put(path, msgspec.json.encode({k: v for k, v in metadata.items() if v is not None}))
    kept = {name: digest for name, digest in table.head.metadata.items() if not name.endswith(".metadata.json")}
    head = replace(
        table.head,
        columns=columns,
        metadata={**kept, path: written},
        by_id=table.head.by_id or bool(table.head.data.files and gave_names_anew(metadata)),
        settings=settings_of(metadata),
    )
    return make_state(project, table.name, path, head)


def spec_fields(metadata: Mapping[str, Any], columns: Sequence[Column], fields: Sequence[str]) -> list[dict[str, Any]]:
    """Partition fields in Iceberg's JSON form; one the table had before keeps its id.

    Raises:
        BadAlteration: a field names no column, or no transform that is known.
    """
    ids = {column.name: column.id for column in columns}
    known = {
        (field["source-id"], field["transform"]): field
        for spec in metadata["partition-specs"]
        for field in spec["fields"]
    }
    last, made = int(metadata["last-partition-id"]), list[dict[str, Any]]()
    for text in fields:
        name, transform, suffix = _read(text, ids)
        old = known.get((ids[name], transform))
        if old is None:
            last += 1
            old = {"source-id": ids[name], "field-id": last, "transform": transform, "name": f"{name}{suffix}"}
        made.append(old)
    return made


def _read(text: str, ids: Mapping[str, int]) -> tuple[str, str, str]:
    """Column, transform, and what is put behind the column's name to name the field."""
    if text in ids:
        return text, "identity", ""
    found = _FIELD.fullmatch(text)
    word = found["transform"].removesuffix("s") if found else ""
    if found and found["column"] in ids and (word in _SUFFIX or word == "identity"):
        width = found["width"]
        if (width is not None) == (word in ("bucket", "truncate")):
            transform = word if width is None else f"{word}[{width}]"
            suffix = "" if word == "identity" else f"_{_SUFFIX[word]}" + ("" if width is None else f"_{width}")
            return found["column"], transform, suffix
    raise BadAlteration(
        f"{text!r} is nothing to part rows by.",
        why=f"The columns are: {', '.join(ids)}.",
        fix="Name a column, or year, month, day or hour(column), bucket(16, column), truncate(4, column).",
    )
