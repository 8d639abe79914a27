"""Catalog: what Iceberg clients do with tables, each as one commit of ours.

A client writes data files itself, and asks the catalog to move the table's metadata on. Here that is a commit as any
other: built on the branch's head, put in place by compare and swap, rebuilt when another commit came between; then
what the client required of its table is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from bucle.ground.core import Record, check_name, suggest, to_micros
from bucle.ground.keys import is_encrypted
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit, TableState, make_commit
from bucle.line.data.errors import NoSuchCommit, NoSuchTable, TableEncrypted, TableExists, TableNotOurs
from bucle.line.data.lake import Shelf, load_manifest, new_folder, staging
from bucle.line.data.publish import Move, done_before, publish
from bucle.line.data.sealed import KEY
from bucle.line.data.snapshot import state_of

if TYPE_CHECKING:
    from bucle.line.data.foreign import Seen
    from bucle.line.data.table import Table

__all__ = [
    "Step",
    "TableChange",
    "TableMetadata",
    "check_step_free",
    "check_table_free",
    "commit_metadata",
    "create_table",
    "draft_table",
    "drop_table",
    "head_at",
    "move_on",
    "need_table",
    "register_table",
    "rename_table",
    "table_metadata",
    "table_names",
]

Json = dict[str, Any]


class TableMetadata(Record, frozen=True):
    """A table as Iceberg clients see it.

    Attributes:
        location: the URI of its metadata file; '' for a draft that no commit has.
        metadata: what stands in it.
    """

    location: str
    metadata: dict[str, Any]


class TableChange(Record, frozen=True):
    """What a client asks of one table.

    Attributes:
        table: its name; a table that is not there is made when the first requirement says so.
        requirements: how the table must stand, as in Iceberg's REST protocol.
        updates: what is to be changed, as there.
    """

    table: str
    requirements: tuple[dict[str, Any], ...]
    updates: tuple[dict[str, Any], ...]


@dataclass
class Step:
    """A head on its way to the next.

    Attributes:
        tables: where each table stands; to be changed in place.
        tree: the file tree; to be changed in place by its digest.
        shelf: takes what is written.
    """

    tables: dict[str, TableState]
    tree: str
    shelf: Shelf = field(repr=False)


def head_at(project: Project, at: str = MAIN) -> Commit | None:
    """The commit a name stands for; None for a branch without one. Errors as for `resolve`."""
    try:
        return resolve(project, at)
    except NoSuchCommit:
        # Tells a branch without a commit from a name that nothing answers to.
        if head_of(project, at) is None:
            return None
        raise


def table_names(project: Project, *, at: str = MAIN) -> list[str]:
    """The tables of a commit by name; none of a branch without a commit. Errors as for `resolve`."""
    head = head_at(project, at)
    return sorted(head.tables) if head else []


def check_table_free(project: Project, table: str, *, at: str = MAIN) -> None:
    """Whether a table of this name can be made.

    Raises:
        TableExists: there is one.
    """
    if table in table_names(project, at=at):
        raise _exists(table)


def table_metadata(project: Project, table: str, *, at: str = MAIN) -> TableMetadata:
    """A table as Iceberg clients see it.

    Raises:
        NoSuchTable: the commit does not hold it.
        NoSuchCommit, NoSuchBranch: nothing answers to `at`.
        TableNotOurs: the project was moved, and the table's files still name each other by the paths of before.
        TableEncrypted: another engine could not read it.
    """
    head = head_at(project, at)
    if head is None:
        raise _no_table(table, ())
    return _load(project, state_of(head, table))


def commit_metadata(
    project: Project, changes: Sequence[TableChange], *, branch: str = MAIN, message: str, key: str | None = None
) -> Commit:
    """Carry out what Iceberg clients ask of tables: all of it in one commit, or nothing.

    Files that the client wrote are checked to lie in the table's folder, hashed and forced to the disk.

    Args:
        changes: each table once.
        branch: where.
        message: why, for people.
        key: an idempotency key.
    Returns:
        The branch's new head; the old one when nothing changes.
    Raises:
        NotBuiltOnHead: a table does not stand as required.
        BadMetadata: a change cannot be made, or a file is not the table's own or damaged.
        NoSuchTable: a table is not there, and the change does not make it.
        NoSuchBranch: there is no such branch.
    Cost: new files are read once; known ones are not.
    """
    from bucle.line.data.foreign import Seen  # noqa: PLC0415

    seen = Seen()

    def step(made: Step) -> None:
        for change in changes:
            made.tables[change.table] = _changed(project, made, change, seen)

    return move_on(project, step, branch=branch, message=message, key=key)


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
    _check_open(project, table, {})
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
    metadata = apply_updates(first_metadata(_uri(project, folder)), updates, now_ms=_now_ms(project))
    for inner in ("metadata", "data"):
        # Clients that write through a local path do not make folders.
        (project.state / folder / inner).mkdir(parents=True, exist_ok=True)
    return TableMetadata(location="", metadata=_trimmed(metadata))


def create_table(
    project: Project, table: str, request: Mapping[str, Any], *, branch: str = MAIN, message: str
) -> TableMetadata:
    """Make an empty table; arguments and errors as for `draft_table`, and:

    Raises:
        TableExists: there is one of this name.
        NoSuchBranch: there is no such branch.
    """
    from bucle.line.data.foreign import Seen  # noqa: PLC0415

    metadata = draft_table(project, table, request).metadata

    def step(made: Step) -> None:
        check_step_free(made, table)
        made.tables[table] = _put(project, made, table, None, metadata=metadata, seen=Seen())

    commit = move_on(project, step, branch=branch, message=message)
    return _load(project, commit.tables[table])


def register_table(
    project: Project, table: str, location: str, *, overwrite: bool = False, branch: str = MAIN, message: str
) -> TableMetadata:
    """Give a name to a table whose metadata file lies in the lake: one that was dropped, or another state of one.

    Args:
        location: the URI of its metadata file.
        overwrite: whether a table of this name is replaced.
    Raises:
        BadName: the name cannot be used.
        BadMetadata: the file is not in the lake, or is no table's metadata.
        TableExists: there is one of this name.
    """
    from bucle.line.data.foreign import Seen, TakeIn, relative  # noqa: PLC0415
    from bucle.line.data.iceberg import parse_metadata  # noqa: PLC0415
    from bucle.line.data.staged import make_state  # noqa: PLC0415
    from bucle.line.data.updates import bad_metadata, parse_strictly  # noqa: PLC0415

    check_name(table, "table name")

    def step(made: Step) -> None:
        if not overwrite:
            check_step_free(made, table)
        path = relative(made.shelf, "lake", location)
        lake, folder, kind, name, *deeper = (*path.split("/"), "", "")
        if kind != "metadata" or not name.endswith(".metadata.json") or any(deeper):
            raise bad_metadata(f"{location[:300]!r} is no metadata file of a table in the lake.")
        folder = f"{lake}/{folder}"
        try:
            metadata = parse_metadata((project.state / path).read_bytes())
        except msgspec.DecodeError as error:
            raise bad_metadata(f"{location[:300]!r} is no JSON.") from error
        parse_strictly(metadata)
        if metadata["location"] != _uri(project, folder):
            raise bad_metadata(f"{location[:300]!r} is the metadata of a table that lies elsewhere.")
        _check_open(project, table, metadata)
        manifest = TakeIn(made.shelf, folder, None, Seen()).manifest(None, metadata)
        files = {**manifest.metadata, path: made.shelf.adopt(path)[0]}
        manifest = msgspec.structs.replace(manifest, metadata=files)
        made.tables[table] = make_state(project, table, path, manifest)

    commit = move_on(project, step, branch=branch, message=message)
    return _load(project, commit.tables[table])


def rename_table(project: Project, source: str, target: str, *, branch: str = MAIN, message: str) -> Commit:
    """Give a table another name; its files stay where they are.

    Raises:
        BadName: the name cannot be used.
        NoSuchTable: there is none called `source`.
        TableExists: there is one called `target`.
    """
    check_name(target, "table name")

    def step(made: Step) -> None:
        state = _taken(made, source)
        check_step_free(made, target)
        made.tables[target] = msgspec.structs.replace(state, name=target)

    return move_on(project, step, branch=branch, message=message)


def drop_table(project: Project, table: str, *, branch: str = MAIN, message: str) -> Commit:
    """Take a table from a branch; its files stay, since other branches and earlier commits have it.

    Raises:
        NoSuchTable: there is none of this name.
    """
    return move_on(project, lambda made: _ignore(_taken(made, table)), branch=branch, message=message)


def need_table(project: Project, made: Step, table: str) -> Table:
    """A table of the step's head, ready to be written to.

    Raises:
        NoSuchTable: the head does not hold it.
    """
    from bucle.line.data.table import open_table  # noqa: PLC0415

    found = open_table(project, made.tables.get(table))
    if found is None:
        raise _no_table(table, made.tables)
    return found


def move_on(
    project: Project,
    step: Callable[[Step], None],
    *,
    branch: str,
    message: str,
    key: str | None = None,
    is_long: bool = False,
) -> Commit:
    """Move a branch by what `step` does to its head; called again when another commit came between.

    Args:
        is_long: as of `Move`.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    before = dict[str, TableState]()

    def build(head: Commit | None) -> Commit:
        before.clear()
        before.update(head.tables if head else {})
        return _built(project, head, step, message)

    move = Move(
        branch=branch,
        build=build,
        describe=lambda made: {"mode": "iceberg", "tables": _described(before, made)},
        kind="data.committed",
        message=message,
        key=key,
        is_long=is_long,
    )
    return publish(project, move)


def _built(project: Project, head: Commit | None, step: Callable[[Step], None], message: str) -> Commit:
    with staging(project) as shelf:
        made = Step(tables=dict(head.tables) if head else {}, tree=head.files if head else "", shelf=shelf)
        step(made)
        if head is not None and made.tables == head.tables and made.tree == head.files:
            return head
        shelf.settle()
    return make_commit(
        (head.id,) if head else (),
        made.tables,
        made.tree,
        at=project.clock.now(),
        author=project.actor,
        message=message,
    )


def _changed(project: Project, made: Step, change: TableChange, seen: Seen) -> TableState:
    from bucle.line.data.iceberg import first_metadata  # noqa: PLC0415
    from bucle.line.data.updates import apply_updates, check_requirements  # noqa: PLC0415

    state = made.tables.get(change.table)
    before = _load(project, state).metadata if state else None
    check_requirements(before, change.requirements)
    if before is None and not any(one.get("type") == "assert-create" for one in change.requirements):
        raise _no_table(change.table, made.tables)
    base = before if before is not None else first_metadata("")
    after = apply_updates(base, change.updates, now_ms=_now_ms(project))
    if state is not None and after == before:
        return state
    return _put(project, made, change.table, state, metadata=after, seen=seen)


def _put(
    project: Project, made: Step, table: str, state: TableState | None, *, metadata: Json, seen: Seen
) -> TableState:
    """Write a table's metadata file and return its new pointer."""
    from bucle.line.data.foreign import TakeIn  # noqa: PLC0415
    from bucle.line.data.iceberg import new_snapshot_id, parse_metadata  # noqa: PLC0415
    from bucle.line.data.staged import make_state  # noqa: PLC0415

    _check_open(project, table, metadata)
    if state is None:
        folder = _drafted_folder(project, check_name(table, "table name"), metadata, seen)
        known, before = None, None
    else:
        folder = state.metadata_location.rpartition("/metadata/")[0]
        known = load_manifest(project, state.manifest)
        before = parse_metadata((project.state / state.metadata_location).read_bytes())
        _check_stays(project, folder, metadata)
    manifest = TakeIn(made.shelf, folder, known, seen).manifest(before, metadata)
    path = f"{folder}/metadata/{metadata['last-sequence-number']:05d}-{new_snapshot_id():016x}.metadata.json"
    written = msgspec.json.encode(_trimmed(metadata))
    digest = made.shelf.put(path, written)
    seen[path] = (digest, len(written))
    manifest = msgspec.structs.replace(manifest, metadata={**manifest.metadata, path: digest})
    return make_state(project, table, path, manifest)


def _check_stays(project: Project, folder: str, metadata: Json) -> None:
    from bucle.line.data.updates import bad_metadata  # noqa: PLC0415

    if metadata["location"] != _uri(project, folder):
        raise bad_metadata(f"A table's location cannot be changed; it is {_uri(project, folder)}.")


def _drafted_folder(project: Project, table: str, metadata: Json, seen: Seen) -> str:
    """The folder of a table to be made: one that was drafted under this name, and that no table has."""
    from bucle.line.data.updates import bad_metadata  # noqa: PLC0415

    location = str(metadata["location"]).rstrip("/")
    name = location.rpartition("/")[2]
    mark = name.removeprefix(f"{table}-")
    is_drafted = location == _uri(project, f"lake/{name}") and len(mark) == 32 and _is_hex(mark)
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


def _load(project: Project, state: TableState) -> TableMetadata:
    data = (project.state / state.metadata_location).read_bytes()
    metadata: Json = msgspec.json.decode(data)
    if KEY in metadata["properties"]:
        raise _encrypted(state.name)
    folder = state.metadata_location.rpartition("/metadata/")[0]
    if metadata["location"] != _uri(project, folder):
        raise TableNotOurs(
            f"The project was moved, and table {state.name!r} still names its files by the paths of before.",
            why="An Iceberg client would look for them there.",
            fix=f"Append to it once with Bucle, which mends the paths, or move it back: {metadata['location']}",
            at=state.name,
        )
    return TableMetadata(location=_uri(project, state.metadata_location), metadata=metadata)


def _check_open(project: Project, table: str, metadata: Json) -> None:
    """Whether another engine may write a table: not one that is encrypted, or to be."""
    if is_encrypted(project, table) or KEY in metadata.get("properties", {}):
        raise _encrypted(table)


def _encrypted(table: str) -> TableEncrypted:
    return TableEncrypted(
        f"Table {table[:200]!r} is encrypted.",
        why="Its keys stay with Bucle: another engine could not read its files, and would write plain ones.",
        fix="Query it here (bucle data query), or give an engine the keys of its files: data.file_keys(project, table)",
        at=table[:200],
    )


def _taken(made: Step, table: str) -> TableState:
    if table not in made.tables:
        raise _no_table(table, made.tables)
    return made.tables.pop(table)


def _ignore(_: TableState) -> None:
    """What a step returns is of no use."""


def check_step_free(made: Step, table: str) -> None:
    """Whether the step's head has room for a table of this name. Raises TableExists: it has one."""
    if table in made.tables:
        raise _exists(table)


def _exists(table: str) -> TableExists:
    return TableExists(
        f"There is a table {table!r} already.",
        why="A second one of that name would hide the first.",
        fix="Choose another name, or drop the table first.",
        at=table,
    )


def _no_table(table: str, known: Mapping[str, TableState] | tuple[()]) -> NoSuchTable:
    listed = sorted(known)
    return NoSuchTable(
        f"There is no table {table[:200]!r}.",
        why=f"There are: {', '.join(listed[:20]) or 'none'}.",
        fix=suggest(table, listed) or "See what there is: bucle data list",
        at=table[:200],
    )


def _described(before: Mapping[str, TableState], made: Commit) -> dict[str, Json]:
    """Table -> what changed, for the event."""
    found = dict[str, Json]()
    for name, state in made.tables.items():
        old = before.get(name)
        if old != state:
            added = state.rows - (old.rows if old else 0)
            found[name] = {"rows_added": max(added, 0), "rows": state.rows, "digest": state.digest}
    return found


def _trimmed(metadata: Json) -> Json:
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


def _now_ms(project: Project) -> int:
    return to_micros(project.clock.now()) // 1000


def _uri(project: Project, path: str) -> str:
    return f"file://{(project.state / path).as_posix()}"
