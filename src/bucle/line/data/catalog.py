"""Catalog: what Iceberg clients do with tables, each as one commit of ours.

A client writes data files itself, and asks the catalog to move the table's metadata on. Here that is a commit as any
other: built on the branch's head, put in place by compare and swap, rebuilt when another commit came between; then
what the client required of its table is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bucle.ground.core import Record, check_name
from bucle.ground.project import Project
from bucle.line.data.audit import Audit, move_audited
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.dataset import changed, dataset_file, dataset_of, dump_dataset
from bucle.line.data.draft import (
    TableMetadata,
    check_open,
    draft_table,
    drafted_folder,
    encrypted,
    now_ms,
    trimmed,
    uri,
)
from bucle.line.data.errors import TableNotOurs
from bucle.line.data.lake import load_manifest
from bucle.line.data.names import check_no_view
from bucle.line.data.pii import pii_file
from bucle.line.data.publish import done_before
from bucle.line.data.sealed import KEY
from bucle.line.data.snapshot import state_of
from bucle.line.data.step import Step, check_step_free, head_at, move_on, no_table, table_exists
from bucle.line.data.tree import change_tree
from bucle.line.files import FileEntry, find_entry, keep_files

if TYPE_CHECKING:
    from bucle.line.data.foreign import Seen

__all__ = [
    "TableChange",
    "check_table_free",
    "commit_metadata",
    "create_table",
    "drop_table",
    "rename_table",
    "table_metadata",
    "table_names",
]

Json = dict[str, Any]


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


def table_names(project: Project, *, at: str = MAIN) -> list[str]:
    """The tables of a commit by name; none of a branch without a commit. Errors as for `resolve`."""
    head = head_at(project, at)
    return sorted(head.tables) if head else []


def check_table_free(project: Project, table: str, *, at: str = MAIN) -> None:
    """Whether a table of this name can be made.

    Raises:
        TableExists, ViewExists: the name is taken.
    """
    head = head_at(project, at)
    if head is not None and table in head.tables:
        raise table_exists(table)
    check_no_view(project, head.files if head else "", [table], ())


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
        raise no_table(table, ())
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
        ContractViolated: rows break the contract of a table's last landing.
        NoSuchBranch: there is no such branch.
    Cost: new files are read once; known ones are not.
    """
    from bucle.line.data.foreign import Seen  # noqa: PLC0415

    seen, audit = Seen(), Audit(project, branch)

    def step(made: Step) -> None:
        for change in changes:
            made.tables[change.table] = _changed(project, made, change, seen)
        audit.check(made.head, made.tables, [change.table for change in changes])

    return move_audited(project, step, audit, branch=branch, message=message, key=key)


def create_table(
    project: Project,
    table: str,
    request: Mapping[str, Any],
    *,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> TableMetadata:
    """Make an empty table; arguments and errors as for `draft_table`, and:

    Args:
        key: an idempotency key.

    Raises:
        TableExists: there is one of this name.
        NoSuchBranch: there is no such branch.
    """
    from bucle.line.data.foreign import Seen  # noqa: PLC0415

    done = done_before(project, key)
    if done is not None:
        return table_metadata(project, table, at=done.id)
    metadata = draft_table(project, table, request).metadata

    def step(made: Step) -> None:
        check_step_free(made, table)
        made.tables[table] = _put(project, made, table, None, metadata=metadata, seen=Seen())

    commit = move_on(project, step, branch=branch, message=message, key=key)
    return _load(project, commit.tables[table])


def rename_table(
    project: Project, source: str, target: str, *, branch: str = MAIN, message: str, key: str | None = None
) -> Commit:
    """Give a table another name; its files stay where they are, and what is known of it goes along.

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
        made.tree = _known_as(project, made.tree, source, target)

    return move_on(project, step, branch=branch, message=message, key=key)


def _known_as(project: Project, tree: str, source: str, target: str) -> str:
    """The file tree in which a table's record and its tags of what is personal bear another name.

    The tags stand under the old name as well: what was committed under it, before it was tagged, stays masked by them.
    """
    old, tags = find_entry(project, tree, dataset_file(source)), find_entry(project, tree, pii_file(source))
    changes = dict[str, FileEntry | None]()
    if old is not None:
        record = changed(dataset_of(project, old, source), {"table": target})
        content = dump_dataset(record).encode()
        changes |= {dataset_file(source): None, **keep_files(project, {dataset_file(target): content})}
    if tags is not None:
        changes[pii_file(target)] = tags
    return change_tree(project, tree, changes)


def drop_table(project: Project, table: str, *, branch: str = MAIN, message: str, key: str | None = None) -> Commit:
    """Take a table from a branch; its files stay, since other branches and earlier commits have it.

    Raises:
        NoSuchTable: there is none of this name.
    """
    return move_on(project, lambda made: _ignore(_taken(made, table)), branch=branch, message=message, key=key)


def _changed(project: Project, made: Step, change: TableChange, seen: Seen) -> TableState:
    from bucle.line.data.iceberg import first_metadata  # noqa: PLC0415
    from bucle.line.data.updates import apply_updates, check_requirements  # noqa: PLC0415

    state = made.tables.get(change.table)
    before = _load(project, state).metadata if state else None
    check_requirements(before, change.requirements)
    if before is None and not any(one.get("type") == "assert-create" for one in change.requirements):
        raise no_table(change.table, made.tables)
    base = before if before is not None else first_metadata("")
    after = apply_updates(base, change.updates, now_ms=now_ms(project))
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

    check_open(project, table, metadata)
    if state is None:
        folder = drafted_folder(project, check_name(table, "table name"), metadata, seen)
        known, before = None, None
    else:
        folder = state.metadata_location.rpartition("/metadata/")[0]
        known = load_manifest(project, state.manifest)
        before = parse_metadata((project.state / state.metadata_location).read_bytes())
        _check_stays(project, folder, metadata)
    manifest = TakeIn(made.shelf, folder, known, seen).manifest(before, metadata)
    path = f"{folder}/metadata/{metadata['last-sequence-number']:05d}-{new_snapshot_id():016x}.metadata.json"
    written = msgspec.json.encode(trimmed(metadata))
    digest = made.shelf.put(path, written)
    seen[path] = (digest, len(written))
    manifest = msgspec.structs.replace(manifest, metadata={**manifest.metadata, path: digest})
    return make_state(project, table, path, manifest)


def _check_stays(project: Project, folder: str, metadata: Json) -> None:
    from bucle.line.data.updates import bad_metadata  # noqa: PLC0415

    if metadata["location"] != uri(project, folder):
        raise bad_metadata(f"A table's location cannot be changed; it is {uri(project, folder)}.")


def _load(project: Project, state: TableState) -> TableMetadata:
    data = (project.state / state.metadata_location).read_bytes()
    metadata: Json = msgspec.json.decode(data)
    if KEY in metadata["properties"]:
        raise encrypted(state.name)
    folder = state.metadata_location.rpartition("/metadata/")[0]
    if metadata["location"] != uri(project, folder):
        raise TableNotOurs(
            f"The project was moved, and table {state.name!r} still names its files by the paths of before.",
            why="An Iceberg client would look for them there.",
            fix=f"Append to it once with Bucle, which mends the paths, or move it back: {metadata['location']}",
            at=state.name,
        )
    return TableMetadata(location=uri(project, state.metadata_location), metadata=metadata)


def _taken(made: Step, table: str) -> TableState:
    if table not in made.tables:
        raise no_table(table, made.tables)
    return made.tables.pop(table)


def _ignore(_: TableState) -> None:
    """What a step returns is of no use."""
