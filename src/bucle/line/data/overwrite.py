"""Overwrite: a batch takes the place of the partitions its rows lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.errors import BadAlteration
from bucle.line.data.publish import as_frames
from bucle.line.data.step import Step, move_on, need_table

if TYPE_CHECKING:
    import pyarrow as pa

    from bucle.line.data.table import Table

__all__ = ["overwrite_partitions"]


def overwrite_partitions(
    project: Project,
    table: str,
    rows: pl.DataFrame | pa.Table,
    *,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> Commit:
    """Put a batch in the place of the partitions its rows lie in; other partitions stay.

    Args:
        rows: the batch; as with an append, columns may come, and those it lacks are null.
        branch: where.
        message: why, for people.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        BadAlteration: the table has no partitions, or rows that were parted in another way.
        NoSuchTable: the branch's head does not hold the table.
        TypeMismatch, TypeNotKept: a column does not fit the table.
        NoSuchBranch: there is no such branch.
    Cost: the batch written once.
    """
    frame = as_frames({table: rows})[table]

    def step(made: Step) -> None:
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415
        from bucle.line.data.staged import stage  # noqa: PLC0415

        found = need_table(project, made, table)
        _check(found)
        staged = stage(made.shelf, table, frame, found, mode="append")
        met = {file.partition for file in staged.files}
        data = [file for file in found.data if file.partition not in met]
        to = Revision("overwrite", staged.columns, added=staged.files, data=data)
        made.tables[table] = revise(project, made.shelf, found, to)

    return move_on(project, step, branch=branch, message=message, key=key)


def _check(table: Table) -> None:
    spec = table.spec()
    if not spec.fields:
        raise BadAlteration(
            f"Table {table.name!r} has no partitions.",
            why="Nothing says which rows the batch replaces.",
            fix="Overwrite all of it with data.commit(…, mode='overwrite'), or give it partitions first.",
        )
    if any(file.spec_id != spec.spec_id for file in table.data):
        raise BadAlteration(
            f"Table {table.name!r} has rows that were parted in another way.",
            why="Some of them may belong to the partitions that the batch replaces.",
            fix=f"Part them anew first: bucle data compact {table.name}",
        )
