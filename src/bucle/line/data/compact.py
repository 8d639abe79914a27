"""Compact: the same rows in the same order, in fewer files and without files of deletes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.lake import Shelf
from bucle.line.data.manifest import DataFile
from bucle.line.data.scanned import read_frame, rows_in
from bucle.line.data.sealed import cipher_for_table
from bucle.line.data.step import Step, move_on, need_table

if TYPE_CHECKING:
    from bucle.line.data.table import Table

__all__ = ["compact"]

TARGET = 128 * 1024 * 1024

Bin = tuple[tuple[str, tuple[str, ...]], ...]
"""Data files that become one: the path of each, and the paths of the deletes that go with it."""


def compact(
    project: Project,
    table: str,
    *,
    target_size: int = TARGET,
    sort_by: Sequence[str] = (),
    branch: str = MAIN,
    message: str = "",
    key: str | None = None,
) -> Commit:
    """Write small files, and files that lost rows, together into larger ones.

    Rows keep their order; of a partitioned table, their order within each partition. What others add meanwhile stays;
    files they changed meanwhile are left as they are.

    Args:
        target_size: bytes; files of three quarters of it stay unless they lost rows.
        sort_by: columns by which the rows of each new file are sorted, so that more files can be skipped.
        branch: where.
        message: why; told from what was done when ''.
        key: an idempotency key.
    Returns:
        The branch's new head; the old one when there is nothing to do.
    Raises:
        NoSuchTable: the branch's head does not hold the table.
        NoSuchBranch: there is no such branch.
    Cost: what is compacted is read and written once; about `target_size` of it in memory, uncompressed.
    """
    done = dict[Bin, list[DataFile]]()

    def step(made: Step) -> None:
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415

        found = need_table(project, made, table)
        first = not done
        for one in _bins(found, target_size):
            # When the head moved on, what was written is used where it still can be, and nothing more is begun.
            if first:
                done[one] = _written(project, made.shelf, found, one, sort_by)
        data, deletes = _replaced(found, done)
        if len(data) != len(found.data) or data != list(found.data):
            to = Revision("replace", found.columns, data=data, deletes=deletes)
            made.tables[table] = revise(project, made.shelf, found, to)

    return move_on(project, step, branch=branch, message=message or f"compact {table}", key=key, is_long=True)


def _bins(table: Table, target_size: int) -> list[Bin]:
    """Which files become one."""
    deletes = _deletes_of(table)
    wide = any(not file.of for file in table.deletes)
    bins = list[Bin]()
    for files in _of_partitions(table):
        group, size = list[DataFile](), 0
        for file in [*files, None]:
            worn = file is not None and (wide or file.path in deletes or file.spec_id != _spec_of(table))
            fits = file is not None and (worn or file.size_bytes < target_size * 3 // 4)
            if group and (file is None or not fits or size + file.size_bytes > target_size):
                if len(group) > 1 or wide or group[0].path in deletes or group[0].spec_id != _spec_of(table):
                    bins.append(tuple((one.path, tuple(deletes.get(one.path, ()))) for one in group))
                group, size = [], 0
            if file is not None and fits:
                group.append(file)
                size += file.size_bytes
    return bins


def _of_partitions(table: Table) -> list[list[DataFile]]:
    """The data files in order: of each partition its own, those parted in another way together."""
    spec, parts = table.spec(), defaultdict[tuple[object, ...], list[DataFile]](list)
    for file in table.data:
        is_present = bool(spec.fields) and file.spec_id == spec.spec_id
        parts[(is_present, *file.partition) if is_present else ()].append(file)
    return list(parts.values())


def _spec_of(table: Table) -> int:
    return int(table.metadata["default-spec-id"])


def _deletes_of(table: Table) -> dict[str, list[str]]:
    found = defaultdict[str, list[str]](list)
    for file in table.deletes:
        found[file.of].append(file.path)
    wide = found.pop("", [])
    return {file.path: [*found.get(file.path, ()), *wide] for file in table.data} if wide else dict(found)


def _written(project: Project, shelf: Shelf, table: Table, one: Bin, sort_by: Sequence[str]) -> list[DataFile]:
    from bucle.line.data.staged import written  # noqa: PLC0415

    paths, deletes = {path for path, _ in one}, {delete for _, listed in one for delete in listed}
    part = msgspec.structs.replace(
        table.manifest,
        data=tuple(file for file in table.data if file.path in paths),
        deletes=tuple(file for file in table.deletes if file.path in deletes),
    )
    rows = rows_in(read_frame(project, part, bounded=()), part)
    rows = rows.sort(sort_by, maintain_order=True) if sort_by else rows
    cipher = cipher_for_table(project, table.name, table.head.key)
    return list(written(shelf, table.folder, rows, table.columns, table, cipher=cipher))


def _replaced(table: Table, done: dict[Bin, list[DataFile]]) -> tuple[list[DataFile], list[DataFile]]:
    """The table's files with those of each bin replaced by what became of them, where the table still has them so."""
    deletes, present = _deletes_of(table), {file.path for file in table.data}
    after, gone = dict[str, list[DataFile]](), set[str]()
    for one, made in done.items():
        if all(path in present and tuple(deletes.get(path, ())) == listed for path, listed in one):
            after[one[0][0]] = made
            gone |= {path for path, _ in one}
    data = list[DataFile]()
    for file in table.data:
        data += after.get(file.path, []) if file.path in gone else [file]
    left = {file.path for file in data}
    kept = [f for f in table.deletes if (f.of in left if f.of else any(file.path in left for file in table.data))]
    return data, kept
