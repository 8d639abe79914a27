"""Three-way merge: what two sides make of one base, table by table and file by file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from bucle.ground.project import Project
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.errors import Conflict
from bucle.line.data.lake import Manifest, Shelf, load_manifest, staging
from bucle.line.data.schema import Column
from bucle.line.data.tree import FileEntry, keep_tree, load_tree

__all__ = ["Merged", "three_way"]

V = TypeVar("V", TableState, FileEntry)

Merged = tuple[dict[str, TableState], str]
"""Tables' pointers and the file tree's digest."""


def three_way(
    project: Project, base: Commit | None, ours: Commit, theirs: Commit | None, *, picking: bool = False
) -> Merged:
    """What `ours` becomes when it also takes what led from `base` to `theirs`.

    Each table and file that only one side changed is taken from that side; a table to which both only added rows gets
    the rows of both, those of `ours` first, also when they are equal: nobody can tell whether it was meant once. A side
    that is None is an empty lake.

    Args:
        picking: rows that `theirs` added are taken whatever `ours` did to the table: one commit is done again, not two
            histories joined.
    Raises:
        Conflict: both changed the same file, or a table in another way than by adding rows.
    Cost: as many comparisons as there are tables and files; no row is read or written; of a table both added to, one
        manifest is written.
    """
    with staging(project.state) as shelf:
        both = _Joining(project, shelf, picking=picking)
        tables = _merge("table", base.tables if base else {}, ours.tables, theirs.tables if theirs else {}, both.join)
        tree = _trees(project, base.files if base else "", ours.files, theirs.files if theirs else "")
        shelf.settle()
    return tables, tree


def _trees(project: Project, base: str, ours: str, theirs: str) -> str:
    if theirs == base:
        return ours
    if ours == base:
        return theirs
    old, mine, their = (load_tree(project, tree) for tree in (base, ours, theirs))
    return keep_tree(project, _merge("file", old, mine, their, _never))


def _merge(
    what: str,
    base: Mapping[str, V],
    ours: Mapping[str, V],
    theirs: Mapping[str, V],
    join: Callable[[V | None, V | None, V | None], V | None],
) -> dict[str, V]:
    """What both sides make of it together; `join` says what becomes of what both have changed, None if nothing can."""
    merged = dict(ours)
    for name in sorted({*base, *theirs}):
        old, mine, their = base.get(name), ours.get(name), theirs.get(name)
        # Most entries are the very same object, since commits share what they have in common.
        if old is their or _content(old) == _content(their):
            continue
        taken = their
        if _content(mine) != _content(old):
            taken = join(old, mine, their) or (mine if _content(mine) == _content(their) else None)
            if taken is None and mine is not their:
                raise _conflict(what, name)
        if taken is None:
            merged.pop(name, None)
        else:
            merged[name] = taken
    return merged


def _never(base: V | None, ours: V | None, theirs: V | None) -> None:
    """Two contents of one file are a conflict."""


class _Joining:
    """Puts together what two branches added to one table.

    Args:
        project: whose lake it is.
        shelf: takes the manifests.
        picking: whether only `theirs` must have added rows.
    """

    def __init__(self, project: Project, shelf: Shelf, *, picking: bool) -> None:
        self._project = project
        self._shelf = shelf
        self._picking = picking

    def join(self, base: TableState | None, ours: TableState | None, theirs: TableState | None) -> TableState | None:
        """The table with the rows of both, or None when one did something else than adding rows."""
        if base is None or ours is None or theirs is None:
            return None
        old, mine, their = (load_manifest(self._project, side.manifest) for side in (base, ours, theirs))
        columns = _columns_of_both(old, mine, their)
        if columns is None or not _only_grew(old, their) or not (self._picking or _only_grew(old, mine)):
            return None
        if mine.by_id or their.by_id:
            return None
        known = {file.path for file in (*mine.data, *old.data)}
        added = [file for file in their.data if file.path not in known]
        if not added:
            return ours if columns == mine.columns else None
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
