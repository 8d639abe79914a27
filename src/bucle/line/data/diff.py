"""Diff: what changed from one commit to another, table by table."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from bucle.ground.core import Record
from bucle.ground.keys import KeyDestroyed
from bucle.ground.project import Project
from bucle.line import files
from bucle.line.data.branches import resolve
from bucle.line.data.commit import TableState
from bucle.line.data.lake import Manifest, load_manifest
from bucle.line.data.schema import type_name
from bucle.line.files import FileDiff

__all__ = ["TableDiff", "diff", "diff_files", "diff_tables"]


class TableDiff(Record, frozen=True):
    """How a table differs between two commits.

    Attributes:
        table: the table.
        change: whether it came, went or has another content.
        rows_before: 0 when it was not there.
        rows_after: 0 when it is gone.
        files_added: data files only the second has.
        files_removed: data files only the first has.
        columns_added: columns only the second has.
        columns_removed: columns only the first has.
        columns_changed: columns whose type differs.
    """

    table: str
    change: Literal["added", "removed", "changed"]
    rows_before: int
    rows_after: int
    files_added: int
    files_removed: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    columns_changed: tuple[str, ...]


def diff(project: Project, a: str, b: str) -> list[TableDiff]:
    """What changed from one commit to another, by table; tables with equal content are left out.

    Of a table whose key was destroyed only how many rows it had is known: it had no files or columns.
    """
    return diff_tables(project, resolve(project, a).tables, resolve(project, b).tables)


def diff_files(project: Project, a: str, b: str) -> list[FileDiff]:
    """What changed from one commit to another, by file of the tree: came, went, has other content or another path.

    Raises:
        NoSuchCommit: nothing answers to `a` or `b`.
    Cost: linear in what the two trees do not share.
    """
    before, after = resolve(project, a).files, resolve(project, b).files
    return [] if before == after else files.diff(*files.unshared(project, before, after))


def diff_tables(project: Project, before: Mapping[str, TableState], after: Mapping[str, TableState]) -> list[TableDiff]:
    """As `diff`, of two maps of tables."""
    return [
        _table_diff(project, name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if _digest(before.get(name)) != _digest(after.get(name))
    ]


def _table_diff(project: Project, name: str, before: TableState | None, after: TableState | None) -> TableDiff:
    old, new = _listed(project, before), _listed(project, after)
    was, now = ({c.name: type_name(c.type) for c in side.columns} for side in (old, new))
    old_files, new_files = {file.digest for file in old.data}, {file.digest for file in new.data}
    return TableDiff(
        table=name,
        change="added" if before is None else "removed" if after is None else "changed",
        rows_before=before.rows if before else 0,
        rows_after=after.rows if after else 0,
        files_added=len(new_files - old_files),
        files_removed=len(old_files - new_files),
        columns_added=tuple(column for column in now if column not in was),
        columns_removed=tuple(column for column in was if column not in now),
        columns_changed=tuple(column for column in was if column in now and was[column] != now[column]),
    )


def _listed(project: Project, state: TableState | None) -> Manifest:
    """What a state lists; nothing where there is none, or its key was destroyed."""
    if state is not None:
        with suppress(KeyDestroyed):
            return load_manifest(project, state.manifest)
    return Manifest(columns=(), data=(), metadata={})


def _digest(state: TableState | None) -> str:
    return state.digest if state else ""
