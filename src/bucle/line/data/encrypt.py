"""Encrypt: a table is written anew under a new key; a key is destroyed; other engines are given keys of files."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bucle.ground.core import make_ref
from bucle.ground.keys import KeysOff, NoSuchKey, TableKey, cipher_anew, destroy, is_sealed, key_named, keys
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import branches, resolve
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.lake import DataFile, load_manifest
from bucle.line.data.scanned import read_frame
from bucle.line.data.sealed import Ciphers
from bucle.line.data.snapshot import state_of
from bucle.line.data.step import Step, move_on, need_table

__all__ = ["destroy_key", "encrypt", "file_keys"]


def encrypt(project: Project, table: str, *, branch: str = MAIN, message: str = "", key: str | None = None) -> Commit:
    """Write a table anew, under a new key: a plain one is encrypted from then on, an encrypted one gets other keys.

    Earlier states stay as they were: expire and sweep them to be rid of what lies there in plain text, or destroy the
    earlier key.

    Args:
        branch: where.
        message: why, for people.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        KeyMissing, BadKeyring: there is no key to wrap the table's by.
        NoSuchTable: the branch's head does not hold the table.
        NoSuchBranch: there is no such branch.
    Cost: the table is read and written once, one data file in memory at a time.
    """
    made_for = cipher_anew(project, table)

    def step(made: Step) -> None:
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415
        from bucle.line.data.staged import written  # noqa: PLC0415

        found, data = need_table(project, made, table), list[DataFile]()
        for file in found.data:
            deletes = tuple(one for one in found.deletes if one.of in ("", file.path))
            part = msgspec.structs.replace(found.manifest, data=(file,), deletes=deletes)
            rows = read_frame(project, part, bounded=()).collect()
            data += written(made.shelf, found.folder, rows, found.columns, found, cipher=made_for)
        to = Revision("replace", found.columns, data=data, deletes=(), key=made_for.name)
        made.tables[table] = revise(project, made.shelf, found, to)

    return move_on(project, step, branch=branch, message=message or f"encrypt {table}", key=key)


def destroy_key(project: Project, table: str, *, reason: str) -> list[TableKey]:
    """Destroy every key that a table has or had: all its states are erased, on every branch and in every copy.

    A backup of the database that was made before still holds the wrapped keys: destroy it too, or the keyring.

    Args:
        table: its name.
        reason: why, for the log.
    Raises:
        NoSuchKey: no key was made for it.
        KeysOff: another table, which was once renamed, is kept under one of the keys.
    Cost: a look at the manifest of every table of every branch.
    """
    used = _keys_in_use(project)
    mine = {one.key for one in keys(project) if one.table == table and one.destroyed_at is None}
    live = {one.key for one in keys(project) if one.destroyed_at is None}
    mine |= {key for key in used.get(table, ()) if key in live}
    if not mine:
        raise NoSuchKey(
            f"Table {table!r} has no key.",
            why="It was never encrypted, or its key was destroyed before.",
            fix="See what there is: bucle keys list",
            at=table,
        )
    others = sorted(name for name, held in used.items() if name != table and held & mine)
    if others:
        raise KeysOff(
            f"Table {others[0]!r} is kept under a key of {table!r}.",
            why="One of them had the other's name, and would be erased as well.",
            fix=f"Give it a key of its own first: bucle keys encrypt {others[0]}",
            at=make_ref("table", others[0]),
        )
    return destroy(project, mine, reason=reason)


def file_keys(project: Project, table: str, *, at: str = MAIN) -> dict[str, bytes]:
    """The keys of an encrypted table's data files, for another engine: absolute path -> 32 bytes.

    `polars.ParquetDecryptionProperties(footer_key=key)`; DuckDB takes it in base64: `PRAGMA add_parquet_key('k', '…')`,
    then `read_parquet(path, encryption_config = {footer_key: 'k'})`. Rows that were deleted are in the files still.

    Raises:
        NoSuchTable: the commit does not hold the table.
        KeyDestroyed, KeyMissing: its key is gone or not at hand.
    """
    manifest, ciphers = load_manifest(project, state_of(resolve(project, at), table).manifest), Ciphers(project)
    return {str(project.state / file.path): ciphers.file_key(file) for file in manifest.data if file.key}


def _keys_in_use(project: Project) -> dict[str, set[str]]:
    """Table -> the names of the keys under which the branches have it."""
    found = dict[str, set[str]]()
    heads = {branch.head for branch in branches(project) if branch.head}
    for state in {s.manifest: s for head in heads for s in _states(project, head)}.values():
        data = project.blobs.get(state.manifest)
        if is_sealed(data):
            found.setdefault(state.name, set()).add(key_named(data))
    return found


def _states(project: Project, commit: str) -> Iterable[TableState]:
    return resolve(project, commit).tables.values()
