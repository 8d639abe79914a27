"""Three-way merge: what two sides make of one base, table by table and file by file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from bucle.ground.project import Project
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.dataset import dataset_of, described_by, dump_dataset, joined
from bucle.line.data.errors import Conflict, TypeMismatch
from bucle.line.data.lake import Shelf, staging
from bucle.line.data.manifest import DataFile, Manifest, load_manifest
from bucle.line.data.names import view_names, view_of_file
from bucle.line.data.schema import Column, gave_names_anew, widen
from bucle.line.data.tree import change_tree, check_records
from bucle.line.files import FileEntry, find_entries, keep_files, unshared

__all__ = ["How", "Merged", "three_way"]

if TYPE_CHECKING:
    from bucle.line.data.table import Table

V = TypeVar("V", TableState, FileEntry)

How = Literal["merge", "pick", "revert"]

Merged = tuple[dict[str, TableState], str]
"""Tables' pointers and the file tree's digest."""


def three_way(
    project: Project, base: Commit | None, ours: Commit, theirs: Commit | None, *, how: How = "merge"
) -> Merged:
    """What `ours` becomes when it also takes what led from `base` to `theirs`.

    Each table and file that only one side changed is taken from that side; a table to which both only added rows gets
    the rows of both, those of `ours` first, also when they are equal: nobody can tell whether it was meant once. A side
    that is None is an empty lake.

    Args:
        how: `merge` joins two histories. `pick` does one commit again: rows that `theirs` added are put on top whatever
            `ours` did to the table. `revert` undoes one: rows that came from `theirs` to `base` are taken out, whatever
            was added since.
    Raises:
        Conflict: both changed the same file, or a table in another way than by adding rows.
        BadPath: one has a file where the other has a folder.
        BadDataset: a table's record that comes cannot be understood.
    Cost: as many comparisons as there are tables, and paths in blobs of the tree that `base` and `theirs` do not share;
        no row is read or written; of a table both added to, one manifest is written.
    """
    with staging(project) as shelf:
        both = _Joining(project, shelf, how)
        tables = _merge("table", base.tables if base else {}, ours.tables, theirs.tables if theirs else {}, both.join)
        tree = _trees(project, base.files if base else "", ours.files, theirs.files if theirs else "")
        shelf.settle()
    for name in set(view_names(project, tree)).intersection(tables):
        raise _conflict("name", name, "one for a table, one for a view")
    return tables, tree


def _trees(project: Project, base: str, ours: str, theirs: str) -> str:
    if theirs == base:
        return ours
    if ours == base:
        check_records(project, ours, theirs)
        return theirs
    old, their = unshared(project, base, theirs)
    mine = find_entries(project, ours, {*old, *their})
    for path, entry in _records(project, old, mine, their).items():
        old[path], their[path] = mine[path], entry
    merged = _merge("file", old, mine, their, _never)
    changes = {path: merged.get(path) for path in {*mine, *merged} if merged.get(path) != mine.get(path)}
    return change_tree(project, ours, changes)


def _records(
    project: Project, base: Mapping[str, FileEntry], ours: Mapping[str, FileEntry], theirs: Mapping[str, FileEntry]
) -> dict[str, FileEntry]:
    """Path -> what both sides made of a table's record, where they changed different things of it."""
    found = dict[str, bytes]()
    for path in sorted(base.keys() & ours.keys() & theirs.keys()):
        table, sides = described_by(path), (base[path], ours[path], theirs[path])
        if table is not None and len({one.digest for one in sides}) == len(sides):
            made = joined(*(dataset_of(project, one, table) for one in sides))
            found |= {path: dump_dataset(made).encode()} if made is not None else {}
    return {path: entry for path, entry in keep_files(project, found).items() if entry is not None}


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
    """Puts together what two sides did to one table.

    Args:
        project: whose lake it is.
        shelf: takes the metadata.
        how: what it is done for.
    """

    def __init__(self, project: Project, shelf: Shelf, how: How) -> None:
        self._project = project
        self._shelf = shelf
        self._how = how

    def join(self, base: TableState | None, ours: TableState | None, theirs: TableState | None) -> TableState | None:
        """The table with what both did, or None when it cannot be put together."""
        if base is None or ours is None or theirs is None or _folder(ours) != _folder(theirs):
            return None
        old, mine, their = (load_manifest(self._project, side.manifest) for side in (base, ours, theirs))
        if self._how == "revert":
            return self._without(ours, mine, added=_added(their, old))
        # What a field id stands for is known where nobody changed columns; else by its name, if each has one.
        is_by_id = mine.by_id or their.by_id
        if is_by_id and not old.columns == mine.columns == their.columns:
            return None
        added = _added(old, their)
        if added is None or (self._how == "merge" and _added(old, mine) is None):
            return None
        known = {file.path for file in mine.data}
        new = [file for file in added if file.path not in known]
        columns = _columns_of_both(old, mine, their)
        if not new or columns is None:
            return ours if columns == mine.columns else None
        return self._with(ours, theirs, columns, new, is_by_id=is_by_id)

    def _with(
        self,
        ours: TableState,
        theirs: TableState,
        columns: tuple[Column, ...],
        new: Sequence[DataFile],
        *,
        is_by_id: bool,
    ) -> TableState | None:
        """The table with files of another state of it put at its end; None when they would read as something else."""
        # pyiceberg takes half a second to load; who only reads never needs it.
        from bucle.line.data.iceberg import have_spec, with_schemas  # noqa: PLC0415
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415
        from bucle.line.data.table import open_table  # noqa: PLC0415

        table, other = open_table(self._project, ours), open_table(self._project, theirs)
        if table is None or other is None:
            return None
        metadata = with_schemas(table.metadata, other.metadata["schemas"], other.last)
        alike = all(have_spec(table.metadata, other.metadata, spec_id) for spec_id in {file.spec_id for file in new})
        # One field id that each side gave to a column of its own would find the values of either.
        if (gave_names_anew(metadata) and not is_by_id) or not alike:
            return None
        made = columns if self._how == "merge" else _columns_for(columns, table, other)
        if made is None:
            return None
        table = replace(table, metadata=metadata, head=replace(table.head, by_id=is_by_id))
        return revise(self._project, self._shelf, table, Revision("append", made, added=new))

    def _without(self, ours: TableState, mine: Manifest, added: Sequence[DataFile] | None) -> TableState | None:
        """The table without files that were added; None when one of them is not there as it was."""
        if added is None:
            return None
        gone = {file.path for file in added}
        left = [file for file in mine.data if file.path not in gone]
        if len(left) + len(gone) != len(mine.data):
            return None
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415
        from bucle.line.data.table import open_table  # noqa: PLC0415

        table, to = open_table(self._project, ours), Revision("delete", mine.columns, data=left)
        return None if table is None else revise(self._project, self._shelf, table, to)


def _added(before: Manifest, after: Manifest) -> list[DataFile] | None:
    """The files that came; None when a file or a row went, or something else was set."""
    if before.deletes != after.deletes or before.settings != after.settings:
        return None
    old = {file.path for file in before.data}
    new = [file for file in after.data if file.path not in old]
    return new if len(old) + len(new) == len(after.data) else None


def _folder(state: TableState) -> str:
    return state.metadata_location.rpartition("/metadata/")[0]


def _columns_of_both(base: Manifest, ours: Manifest, theirs: Manifest) -> tuple[Column, ...] | None:
    """The columns when at most one side changed them, or both alike."""
    if theirs.columns in (base.columns, ours.columns):
        return ours.columns
    return theirs.columns if ours.columns == base.columns else None


def _columns_for(columns: Sequence[Column], ours: Table, theirs: Table) -> tuple[Column, ...] | None:
    """What columns become so that rows of `theirs` can be put on top of `ours`: what was dropped here stays so."""
    given = {field["id"] for schema in ours.metadata["schemas"] for field in schema["fields"]}
    their = {column.id: column for column in theirs.columns}
    try:
        made = [
            msgspec.structs.replace(column, type=widen(column, their.get(column.id, column).type)) for column in columns
        ]
    except TypeMismatch:
        return None
    known = given.union(column.id for column in columns)
    return (*made, *[column for column in theirs.columns if column.id not in known])


def _conflict(what: str, name: str, how: str = "") -> Conflict:
    how = how or ("in another way than by adding rows" if what == "table" else "differently")
    view = view_of_file(name) if what == "file" else None
    if view is not None:
        what, name = "view", view
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
