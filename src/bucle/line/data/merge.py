"""Merge and diff: how two states of the lake relate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit, TableState, make_commit
from bucle.line.data.errors import Conflict
from bucle.line.data.lake import Manifest, Shelf, load_manifest, staging
from bucle.line.data.publish import Move, done_before, publish
from bucle.line.data.schema import Column, type_name
from bucle.line.files import FileEntry, keep_tree, load_tree

__all__ = ["TableDiff", "diff", "merge"]

V = TypeVar("V", TableState, FileEntry)


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
    """What changed from one commit to another, by table; tables with equal content are left out."""
    before, after = resolve(project, a).tables, resolve(project, b).tables
    names = sorted({*before, *after})
    return [
        _table_diff(project, name, before.get(name), after.get(name))
        for name in names
        if _content(before.get(name)) != _content(after.get(name))
    ]


def merge(project: Project, source: str, into: str = MAIN, *, message: str, key: str | None = None) -> Commit:
    """Bring what happened on one branch to another.

    When `into` has not moved since they parted it simply takes the source's head. Otherwise each table and file that
    only one side changed is taken from that side, and a table to which both only added rows gets the rows of both,
    those of `into` first; in a commit with two parents.

    Args:
        source: a branch, or a commit.
        into: the branch that moves.
        key: an idempotency key.
    Returns:
        The head of `into` afterwards.
    Raises:
        Conflict: both changed the same file, or a table in another way than by adding rows.
        NoSuchBranch, NoSuchCommit: one of them is not there.
    Cost: no row is read or written; of a table both added to, one manifest is written.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    theirs, ours = resolve(project, source), head_of(project, into)
    if ours is not None and key is None and _is_ancestor(project, theirs, ours):
        return ours
    move = Move(
        branch=into,
        build=lambda head: _merged(project, head, theirs, message),
        describe=lambda _: {"source": source, "merged": theirs.id},
        kind="data.merged",
        message=message,
        key=key,
    )
    return publish(project, move)


def _merged(project: Project, ours: Commit | None, theirs: Commit, message: str) -> Commit:
    if ours is None or _is_ancestor(project, ours, theirs):
        return theirs
    if _is_ancestor(project, theirs, ours):
        return ours
    base = _parting(project, ours, theirs)
    trees = [load_tree(project, one.files) if one else {} for one in (base, ours, theirs)]
    with staging(project.state) as shelf:
        both = _Joining(project, shelf)
        tables = _three_way("table", base.tables if base else {}, ours.tables, theirs.tables, both.join)
        files = _three_way("file", trees[0], trees[1], trees[2], _never)
        shelf.settle()
    return make_commit(
        (ours.id, theirs.id),
        tables,
        keep_tree(project, files),
        at=project.clock.now(),
        author=project.actor,
        message=message,
    )


def _three_way(
    what: str,
    base: Mapping[str, V],
    ours: Mapping[str, V],
    theirs: Mapping[str, V],
    join: Callable[[V | None, V | None, V | None], V | None],
) -> dict[str, V]:
    """What both sides make of it together; `join` says what becomes of what both have changed, None if nothing can."""
    merged = dict[str, V]()
    for name in sorted({*base, *ours, *theirs}):
        sides = (base.get(name), ours.get(name), theirs.get(name))
        old, mine, their = (_content(side) for side in sides)
        if mine != old and their not in (old, mine):
            taken = join(*sides)
            if taken is None:
                raise _conflict(what, name)
        else:
            taken = sides[1] if mine != old or their == old else sides[2]
        if taken is not None:
            merged[name] = taken
    return merged


def _never(base: V | None, ours: V | None, theirs: V | None) -> None:
    """Two contents of one file are a conflict."""


class _Joining:
    """Puts together what two branches added to one table.

    Args:
        project: whose lake it is.
        shelf: takes the manifests.
    """

    def __init__(self, project: Project, shelf: Shelf) -> None:
        self._project = project
        self._shelf = shelf

    def join(self, base: TableState | None, ours: TableState | None, theirs: TableState | None) -> TableState | None:
        """The table with the rows of both, or None when one did something else than adding rows."""
        if base is None or ours is None or theirs is None:
            return None
        old, mine, their = (load_manifest(self._project, side.manifest) for side in (base, ours, theirs))
        columns = _columns_of_both(old, mine, their)
        if columns is None or not (_only_grew(old, mine) and _only_grew(old, their)):
            return None
        if mine.by_id or their.by_id:
            return None
        known = {file.path for file in mine.data}
        added = [file for file in their.data if file.path not in known]
        # pyiceberg takes half a second to load; who only reads never needs it.
        from bucle.line.data.staged import advance, open_table, restage  # noqa: PLC0415

        table, other = open_table(self._project, ours), open_table(self._project, theirs)
        if table is None or other is None or table.folder != other.folder or table.is_partitioned:
            return None
        staged = restage(self._shelf, other, added, table, columns)
        return advance(self._project, self._shelf, ours.name, staged, table, mode="append")


def _only_grew(before: Manifest, after: Manifest) -> bool:
    """Whether every data file that was there still is, no row of them is gone, and nothing else was set."""
    if before.deletes != after.deletes or before.settings != after.settings:
        return False
    return {file.path for file in before.data} <= {file.path for file in after.data}


def _columns_of_both(base: Manifest, ours: Manifest, theirs: Manifest) -> tuple[Column, ...] | None:
    """The columns when at most one side changed them, or both alike; two new columns might bear one field id."""
    if theirs.columns in (base.columns, ours.columns):
        return ours.columns
    return theirs.columns if ours.columns == base.columns else None


def _conflict(what: str, name: str) -> Conflict:
    how = "in another way than by adding rows" if what == "table" else "differently"
    return Conflict(
        f"Both branches changed {what} {name!r} since they parted, {how}.",
        why="Taking one side would silently drop what the other did.",
        fix=f"Decide which is right, write {name!r} on the source branch as it should be, and merge again "
        "from a branch that starts at the target's head.",
        at=name,
    )


def _content(entry: TableState | FileEntry | None) -> str | None:
    if isinstance(entry, FileEntry):
        return f"{entry.digest} {entry.mode:o}"
    return None if entry is None else entry.digest


def _is_ancestor(project: Project, old: Commit, young: Commit) -> bool:
    with project.database.reading() as connection:
        return old.id in store.ancestors(connection, young.id)


def _parting(project: Project, ours: Commit, theirs: Commit) -> Commit | None:
    with project.database.reading() as connection:
        mine, their = store.ancestors(connection, ours.id), store.ancestors(connection, theirs.id)
        common = sorted(mine.keys() & their.keys(), key=lambda commit_id: (-mine[commit_id], commit_id))
        return store.commit_of(connection, common[0]) if common else None


def _table_diff(project: Project, name: str, before: TableState | None, after: TableState | None) -> TableDiff:
    empty = Manifest(columns=(), data=(), metadata={})
    old = load_manifest(project, before.manifest) if before else empty
    new = load_manifest(project, after.manifest) if after else empty
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
