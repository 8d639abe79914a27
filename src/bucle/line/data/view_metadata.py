"""View metadata: what Iceberg's clients keep of a query that has a name, made and changed as plain JSON.

Pure: metadata in, metadata out, the instant and the uuid passed in. Where a view lies is left out: its definition is
part of a commit, and no file of its own.

Source: Apache Iceberg view spec, format version 1; REST catalog spec, schemas ViewRequirement and ViewUpdate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.schema import Schema
from pyiceberg.view.metadata import ViewMetadata, ViewVersion

from bucle.line.data.errors import BadMetadata, NotBuiltOnHead

__all__ = ["apply_view_updates", "check_view_requirements", "new_view", "parse_view"]

Json = dict[str, Any]
_LAST_ADDED = -1
_KEPT = 10
"""So many versions stay unless the property `version.history.num-entries` says otherwise."""

_MOST = 1000


def new_view(request: Mapping[str, Any], *, uuid: str, now_ms: int) -> Json:
    """The metadata of a view to be made.

    Args:
        request: `schema`, `view-version`, and if given `properties`, as in Iceberg's REST protocol.
        uuid: its own.
        now_ms: milliseconds since 1970.
    Raises:
        BadMetadata: it cannot be a view.
    """
    empty: Json = {
        "view-uuid": uuid,
        "format-version": 1,
        "schemas": [],
        "versions": [],
        "version-log": [],
        "properties": {},
        "current-version-id": 0,
    }
    version = request.get("view-version")
    updates: list[Json] = [
        {"action": "set-properties", "updates": request.get("properties") or {}},
        {"action": "add-schema", "schema": request.get("schema")},
        {"action": "add-view-version", "view-version": {**version, "schema-id": _LAST_ADDED} if version else None},
        {"action": "set-current-view-version", "view-version-id": _LAST_ADDED},
    ]
    return apply_view_updates(empty, updates, now_ms=now_ms)


def check_view_requirements(metadata: Mapping[str, Any], requirements: Iterable[Mapping[str, Any]]) -> None:
    """Whether a view stands as the client thought it does.

    Raises:
        NotBuiltOnHead: it does not.
        BadMetadata: a requirement is not known.
    """
    for one in requirements:
        if one.get("type") != "assert-view-uuid":
            raise _bad(f"The requirement {str(one.get('type'))[:80]!r} is not known of a view.")
        if one.get("uuid") != metadata["view-uuid"]:
            raise NotBuiltOnHead(
                f"Requirement failed: view-uuid is {metadata['view-uuid']!r}, not {str(one.get('uuid'))[:80]!r}.",
                why="The view was dropped and made anew meanwhile.",
                fix="Load it again and repeat the change.",
            )


@dataclass
class _Change:
    """Metadata on its way to what it will be.

    Attributes:
        metadata: a copy that may be changed at its top.
        now_ms: milliseconds since 1970.
        schema_id: of the schema that was added last, which clients call -1.
        version_id: of the version that was added last.
    """

    metadata: Json
    now_ms: int
    schema_id: int | None = field(default=None)
    version_id: int | None = field(default=None)


def apply_view_updates(metadata: Json, updates: Iterable[Mapping[str, Any]], *, now_ms: int) -> Json:
    """The metadata after a client's updates, in their order.

    Raises:
        BadMetadata: an update is not known or cannot be made.
    """
    change = _Change(metadata=dict(metadata), now_ms=now_ms)
    for update in updates:
        action = update.get("action")
        apply = _UPDATES.get(str(action))
        if apply is None:
            raise _bad(f"The update {str(action)[:80]!r} is not known of a view.")
        try:
            apply(change, update)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _bad(f"The update {action!r} cannot be made: {_line(error)}.") from error
    made = change.metadata
    if made != metadata:
        _check_dialects(metadata, made)
        _forget(made)
    parse_view(made)
    return made


def parse_view(metadata: Mapping[str, Any]) -> ViewMetadata:
    """The metadata as pyiceberg reads it.

    Raises:
        BadMetadata: it is not consistent.
    """
    try:
        parsed = ViewMetadata.model_validate({"location": "", **metadata})
        schemas = {schema.schema_id for schema in parsed.schemas}
        if parsed.current_version_id not in {version.version_id for version in parsed.versions}:
            raise ValueError("the current version is not there")
        if not {version.schema_id for version in parsed.versions} <= schemas:
            raise ValueError("a version's schema is not there")
    except (ValueError, TypeError, KeyError) as error:
        raise _bad(f"The view's metadata would not be consistent: {_line(error)}.") from error
    return parsed


def _assign_uuid(change: _Change, update: Mapping[str, Any]) -> None:
    if change.metadata["view-uuid"] != update["uuid"]:
        raise ValueError("a view keeps its uuid")


def _upgrade(change: _Change, update: Mapping[str, Any]) -> None:
    if update["format-version"] != 1:
        raise ValueError("views have format version 1")


def _set_location(change: _Change, update: Mapping[str, Any]) -> None:
    raise ValueError("a view lies in the commit; it has no location of its own")


def _add_schema(change: _Change, update: Mapping[str, Any]) -> None:
    made = Schema.model_validate(update["schema"]).model_dump(mode="json", by_alias=True, exclude_none=True)
    known = change.metadata["schemas"]
    same = [one for one in known if _but(one, "schema-id") == _but(made, "schema-id")]
    if not same:
        made["schema-id"] = _free(made["schema-id"], [one["schema-id"] for one in known])
        change.metadata["schemas"] = [*known, made]
    change.schema_id = (same or [made])[0]["schema-id"]


def _add_version(change: _Change, update: Mapping[str, Any]) -> None:
    given = dict(update["view-version"])
    if given["schema-id"] == _LAST_ADDED:
        given["schema-id"] = change.schema_id
    made = ViewVersion.model_validate(given).model_dump(mode="json", by_alias=True, exclude_none=True)
    dialects = [one["dialect"].lower() for one in made["representations"]]
    if not dialects or not all(one["sql"].strip() for one in made["representations"]):
        raise ValueError("a view has a query")
    if len(set(dialects)) < len(dialects):
        raise ValueError("a view has one query for a dialect")
    known = change.metadata["versions"]
    same = [one for one in known if _content(one) == _content(made)]
    if not same:
        made["version-id"] = _free(made["version-id"], [one["version-id"] for one in known], first=1)
        change.metadata["versions"] = [*known, made]
    change.version_id = (same or [made])[0]["version-id"]


def _set_version(change: _Change, update: Mapping[str, Any]) -> None:
    wanted = update["view-version-id"]
    wanted = change.version_id if wanted == _LAST_ADDED else wanted
    found = next((one for one in change.metadata["versions"] if one["version-id"] == wanted), None)
    if found is None:
        raise ValueError(f"there is no version {wanted}")
    if change.metadata["current-version-id"] != wanted:
        at = found["timestamp-ms"] if wanted == change.version_id else change.now_ms
        entry = {"timestamp-ms": at, "version-id": wanted}
        change.metadata["version-log"] = [*change.metadata["version-log"], entry]
        change.metadata["current-version-id"] = wanted


def _set_properties(change: _Change, update: Mapping[str, Any]) -> None:
    given = {str(name): str(value) for name, value in update["updates"].items()}
    change.metadata["properties"] = {**change.metadata["properties"], **given}


def _remove_properties(change: _Change, update: Mapping[str, Any]) -> None:
    gone = set(update["removals"])
    change.metadata["properties"] = {k: v for k, v in change.metadata["properties"].items() if k not in gone}


_UPDATES: dict[str, Callable[[_Change, Mapping[str, Any]], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "set-location": _set_location,
    "add-schema": _add_schema,
    "add-view-version": _add_version,
    "set-current-view-version": _set_version,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
}


def _check_dialects(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """A replacement does not silently lose what another engine reads, as the spec's `replace.drop-dialect.allowed`."""
    lost = _dialects(before) - _dialects(after)
    if lost and after["properties"].get("replace.drop-dialect.allowed", "").lower() != "true":
        raise _bad(
            f"The new version has no query for {', '.join(sorted(lost))}, which the one before had; "
            "give one, or set the property replace.drop-dialect.allowed to true."
        )


def _dialects(metadata: Mapping[str, Any]) -> set[str]:
    current = metadata["current-version-id"]
    found = (one["representations"] for one in metadata["versions"] if one["version-id"] == current)
    return {one["dialect"].lower() for listed in found for one in listed}


def _forget(made: Json) -> None:
    """Let go of the oldest versions; what a replacement leaves is never less than itself and the one before."""
    told = made["properties"].get("version.history.num-entries", "")
    most = min(max(int(told), 2), _MOST) if told.isdecimal() else _KEPT
    ids = sorted(one["version-id"] for one in made["versions"])
    kept = {*ids[-most:], made["current-version-id"]}
    made["versions"] = [one for one in made["versions"] if one["version-id"] in kept]
    made["version-log"] = [one for one in made["version-log"] if one["version-id"] in kept]


def _free(wanted: int, taken: Iterable[int], first: int = 0) -> int:
    """An id above all there are: one that was let go of does not come again for something else."""
    return max([first, wanted, *(one + 1 for one in taken)])


def _but(one: Mapping[str, Any], name: str) -> Json:
    """Without its id, and without what an empty list of names says."""
    return {key: value for key, value in one.items() if key != name and not (key.endswith("-ids") and not value)}


def _content(version: Mapping[str, Any]) -> Json:
    return {key: value for key, value in version.items() if key not in ("version-id", "timestamp-ms")}


def _bad(what: str) -> BadMetadata:
    return BadMetadata(
        what, why="Nothing of the request was carried out.", fix="See what views are here: docs/iceberg.md"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).splitlines())[:300]
