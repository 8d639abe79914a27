"""Snapshot: a table at a commit, and reading its rows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from bucle.ground.core import Record, short, suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.errors import LakeDamaged, NoSuchColumn, NoSuchTable
from bucle.line.data.lake import Manifest, load_manifest
from bucle.line.data.purpose import ask
from bucle.line.data.scanned import read_frame, rows_in
from bucle.line.data.schema import Column, type_name

__all__ = ["Plan", "Snapshot", "frame_of_files", "lazy", "plan", "scan", "snapshot", "state_of", "tables"]


class Snapshot(Record, frozen=True):
    """A table at a commit.

    Attributes:
        table: the table.
        commit: the commit's id.
        digest: of the content: equal rows in equal files, equal digest.
        rows: how many.
        files: in how many data files.
        columns: name -> Iceberg type, in order.
    """

    table: str
    commit: str
    digest: str
    rows: int
    files: int
    columns: dict[str, str]


class Plan(Record, frozen=True):
    """What another engine reads to see a table's rows at a commit.

    Attributes:
        table: the table.
        commit: the commit's id.
        columns: name, field id and Iceberg type, in order.
        files: absolute paths of its Parquet files, in the order of its rows; a file may lack a column, which is null
            then, or have a narrower type.
        is_plain: whether those files say everything. If not, rows were deleted or columns renamed: read it with `lazy`.
        is_encrypted: whether it takes keys to read them: `file_keys`.
    """

    table: str
    commit: str
    columns: tuple[Column, ...]
    files: tuple[str, ...]
    is_plain: bool
    is_encrypted: bool = False


def tables(project: Project, at: str = MAIN) -> list[str]:
    """The tables of a commit by name.

    Raises:
        NoSuchCommit: nothing answers to `at`.
    """
    return sorted(resolve(project, at).tables)


def snapshot(project: Project, table: str, *, at: str = MAIN) -> Snapshot:
    """A table at a commit.

    Raises:
        NoSuchTable: the commit does not hold it.
        NoSuchCommit: nothing answers to `at`.
    """
    commit = resolve(project, at)
    state = state_of(commit, table)
    return Snapshot(
        table=table,
        commit=commit.id,
        digest=state.digest,
        rows=state.rows,
        files=state.files,
        columns={c.name: type_name(c.type) for c in load_manifest(project, state.manifest).columns},
    )


def plan(project: Project, table: str, *, at: str = MAIN) -> Plan:
    """What another engine reads to see a table's rows at a commit; errors as for `snapshot`."""
    commit = resolve(project, at)
    manifest = load_manifest(project, state_of(commit, table).manifest)
    ask(project, table, commit.id)
    return Plan(
        table=table,
        commit=commit.id,
        columns=manifest.columns,
        files=tuple(str(project.state / file.path) for file in manifest.data),
        is_plain=_is_plain(manifest),
        is_encrypted=bool(manifest.key),
    )


def scan(
    project: Project,
    table: str,
    *,
    at: str = MAIN,
    columns: Sequence[str] | None = None,
    where: pl.Expr | None = None,
) -> pl.DataFrame:
    """A table's rows at a commit, in the order they were committed.

    Args:
        at: a branch, a commit, or a branch at an instant.
        columns: only these, in this order.
        where: only rows for which this holds; it may name any column. Files and row groups whose statistics rule
            it out are not read.
    Raises:
        NoSuchTable: the commit does not hold the table.
        NoSuchColumn: the table has no such column.
        PurposeRefused: a training reads it, for which it may not be used.
        LakeDamaged: a data file is missing or cannot be read.
    Cost: one read of the columns named.
    """
    commit = resolve(project, at)
    manifest = load_manifest(project, state_of(commit, table).manifest)
    ask(project, table, commit.id)
    named = where.meta.root_names() if where is not None else []
    _check_columns(table, [*(columns or ()), *named], [column.name for column in manifest.columns])
    # An expression that names its columns by a pattern may be about any of them.
    plain = where is None or not any(name.startswith("^") for name in named)
    rows = read_frame(project, manifest, bounded=named if plain else None)
    rows = rows if where is None else rows.filter(where)
    rows = rows if columns is None else rows.select(columns)
    try:
        return rows_in(rows, manifest)
    except (pl.exceptions.ComputeError, OSError) as error:
        raise _damaged(table, at, error) from error


def lazy(project: Project, table: str, *, at: str = MAIN) -> pl.LazyFrame:
    """A table's rows at a commit as a lazy frame; errors as for `scan`, those of the disk when it is collected."""
    commit = resolve(project, at)
    state = state_of(commit, table)
    ask(project, table, commit.id)
    return frame_of_files(project, load_manifest(project, state.manifest))


def frame_of_files(project: Project, manifest: Manifest) -> pl.LazyFrame:
    """The rows of a manifest's data files in order: old files read as today's columns and types."""
    return read_frame(project, manifest)


def _is_plain(manifest: Manifest) -> bool:
    return not manifest.deletes and not manifest.by_id


def state_of(commit: Commit, table: str) -> TableState:
    """Where a table stands in a commit.

    Raises:
        NoSuchTable: the commit does not hold it.
    """
    if table not in commit.tables:
        known = sorted(commit.tables)
        raise NoSuchTable(
            f"Commit {short(commit.id)} has no table {table!r}.",
            why=f"It has: {', '.join(known[:20]) or 'none'}.",
            fix=suggest(table, known) or "See what there is: bucle data list",
            at=table,
        )
    return commit.tables[table]


def _check_columns(table: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for column in wanted:
        if column not in known and not column.startswith("^"):
            raise NoSuchColumn(
                f"Table {table!r} has no column {column!r}.",
                why=f"It has: {', '.join(known)}.",
                fix=suggest(column, known) or "Name one of those.",
                at=column,
            )


def _damaged(table: str, at: str, error: Exception) -> LakeDamaged:
    return LakeDamaged(
        f"Table {table!r} cannot be read at {at!r}: {str(error).splitlines()[0]}.",
        why="A data file that the commit needs is missing or damaged.",
        fix="Name every damaged file with `bucle audit verify`, and restore them from a backup.",
        at=table,
    )
