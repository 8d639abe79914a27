"""Upsert: rows take the place of those with the same key, or are added; in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from bucle.ground.core import suggest
from bucle.ground.project import Project
from bucle.line.data.batches import Batches
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.delete import ROW, numbered, remaining, touched
from bucle.line.data.errors import BadKeys, NoSuchColumn
from bucle.line.data.manifest import DataFile
from bucle.line.data.publish import as_frames
from bucle.line.data.step import Step, move_on

if TYPE_CHECKING:
    import pyarrow as pa

    from bucle.line.data.table import Table

__all__ = ["upsert"]


def upsert(
    project: Project,
    table: str,
    rows: pl.DataFrame | pa.Table,
    *,
    on: Sequence[str],
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> Commit:
    """Put rows in the place of those with the same key; rows with a new key are added. All of them come last.

    A table that is not there is made, a column it does not have is added; of columns the batch does not have, a row
    that was there keeps its values.

    Args:
        rows: the batch.
        on: the columns that make the key.
        branch: where.
        message: why, for people.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        BadKeys: two rows of the batch have one key, or a part of a key is null.
        NoSuchColumn: the batch or the table lacks a column of the key.
        TypeMismatch, TypeNotKept: a column does not fit the table.
        NoSuchBranch: there is no such branch.
    Cost: a read of the key's columns, in the files whose bounds overlap the batch's; the batch written once; one small
        file for each file that loses rows.
    """
    given = as_frames({table: rows})[table]
    frame = given.collect() if isinstance(given, Batches) else given
    _check_keys(frame, list(on))

    def step(made: Step) -> None:
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415
        from bucle.line.data.schema import evolve, fit  # noqa: PLC0415
        from bucle.line.data.sealed import cipher_for_table  # noqa: PLC0415
        from bucle.line.data.staged import written  # noqa: PLC0415
        from bucle.line.data.table import new_table, open_table  # noqa: PLC0415

        found = open_table(project, made.tables.get(table)) or new_table(project, table)
        if found.state is not None:
            _check_columns(table, on, [column.name for column in found.columns])
        columns = evolve(found.columns, frame, last=found.last)
        fitted, left = fit(frame, columns), None
        if found.state is not None and frame.height:
            kept = [column.name for column in found.columns if column.name not in frame.columns]
            files, met = _met(project, found, fitted, list(on), kept)
            if met.height:
                left = remaining(project, made.shelf, found, files, met[ROW].sort().to_numpy())
                fitted = _completed(fitted, met, list(on))
        cipher = cipher_for_table(project, table, found.head.key)
        there = None if found.state is None else found
        added = list(written(made.shelf, found.folder, fitted, columns, there, cipher=cipher))
        to = Revision("append", columns, added=added)
        if left is not None:
            to = Revision("overwrite", columns, added=added, data=left.data, deletes=left.deletes)
        made.tables[table] = revise(project, made.shelf, found, to)

    return move_on(project, step, branch=branch, message=message, key=key, is_long=True)


def _met(
    project: Project, table: Table, batch: pl.DataFrame, on: list[str], kept: list[str]
) -> tuple[tuple[DataFile, ...], pl.DataFrame]:
    """The keys of the batch that some files of the table have, the numbers of their rows, and what is to be kept."""
    within = pl.lit(value=True)
    for part in (batch[name] for name in on if _has_bounds(batch[name])):
        within &= _bounds(part)
    dtypes = {name: batch.schema[name] for name in on}
    files = touched(project, table, within)
    rows = numbered(project, table, files).filter(within).select(*on, *kept, ROW).cast(dtypes)  # type: ignore[arg-type]
    keys = batch.lazy().select(on)
    return files, rows.join(keys, on=on, how="inner" if kept else "semi").collect(engine="streaming")


def _has_bounds(keys: pl.Series) -> bool:
    """Whether the least and the greatest key say which rows cannot have one; NaN is neither less nor greater."""
    is_plain = not keys.dtype.is_nested() and keys.dtype != pl.Boolean
    return is_plain and not (keys.dtype.is_float() and bool(keys.is_nan().any()))


def _bounds(keys: pl.Series) -> pl.Expr:
    """Whether a row's value lies between the least and the greatest key. A text alone would be a column's name."""
    least, greatest = (pl.lit(bound, dtype=keys.dtype) for bound in (keys.min(), keys.max()))
    return pl.col(keys.name).is_between(least, greatest)


def _completed(batch: pl.DataFrame, met: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """The batch with what the rows that go had in columns the batch does not have."""
    kept = [name for name in met.columns if name not in (*on, ROW)]
    if not kept:
        return batch
    # A key the table has several times gives its first row's values.
    once = met.sort(ROW).unique(on, keep="first").drop(ROW)
    return batch.drop(kept).join(once, on=on, how="left", maintain_order="left").select(batch.columns)


def _check_keys(frame: pl.DataFrame, on: list[str]) -> None:
    if not on:
        raise BadKeys(
            "An upsert needs the columns of a key.", why="Nothing says which rows are to go.", fix="on=['id']"
        )
    _check_columns("the batch", on, frame.columns)
    empty = [name for name in on if frame[name].null_count()]
    if empty:
        raise BadKeys(
            f"{frame[empty[0]].null_count()} rows of the batch have no {empty[0]!r}, which is part of the key.",
            why="Nothing says which row is meant.",
            fix="Leave them out, or append them: data.commit(...)",
            at=empty[0],
        )
    double = frame.select(on).filter(pl.struct(on).is_duplicated())
    if double.height:
        raise BadKeys(
            f"{double.height} rows of the batch share a key, e.g. {double.row(0, named=True)}.",
            why="Which of them is to stay would be left to chance.",
            fix=f"Keep one of each: rows.unique({on!r}, keep='last')",
            at=", ".join(on),
        )


def _check_columns(where: str, on: Sequence[str], known: Sequence[str]) -> None:
    for name in on:
        if name not in known:
            raise NoSuchColumn(
                f"{where!r} has no column {name!r}.",
                why=f"It has: {', '.join(known)}.",
                fix=suggest(name, list(known)) or "Name one of those.",
                at=name,
            )
