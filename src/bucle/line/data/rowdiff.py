"""RowDiff: which rows of a table came, went and changed between two commits, and what that did to its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from msgspec.structs import replace

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import NoSuchColumn, RepeatedKey, TypeMismatch
from bucle.line.data.manifest import DataFile, Manifest, load_manifest
from bucle.line.data.purpose import ask
from bucle.line.data.schema import Column, ids_of, type_name, widen
from bucle.line.data.snapshot import frame_of_files, state_of

__all__ = ["ColumnChange", "ColumnContent", "RowDiff", "diff_columns", "diff_rows"]

_TIMES = "_times"
_EMPTY = Manifest(columns=(), data=(), metadata={})


@dataclass(frozen=True)
class RowDiff:
    """How a table's rows differ between two commits.

    Attributes:
        table: the table.
        key: the columns that name a row; empty when whole rows were compared.
        added: rows only the second has.
        removed: rows only the first has.
        before: with a key, rows that both have and that differ, as the first has them.
        after: the same rows in the same order, as the second has them.
    """

    table: str
    key: tuple[str, ...]
    added: pl.DataFrame
    removed: pl.DataFrame
    before: pl.DataFrame
    after: pl.DataFrame


class ColumnContent(Record, frozen=True):
    """What a column holds.

    Attributes:
        type: its Iceberg type.
        nulls: how many values are missing.
        distinct: about how many different values there are; None for nested types.
        least: the least value, as text.
        greatest: the greatest value, as text.
        mean: of numbers.
    """

    type: str
    nulls: int
    distinct: int | None = None
    least: str | None = None
    greatest: str | None = None
    mean: float | None = None


class ColumnChange(Record, frozen=True):
    """What a column holds at two commits; None where it is not there.

    Attributes:
        column: its name.
        before: at the first.
        after: at the second.
    """

    column: str
    before: ColumnContent | None
    after: ColumnContent | None


def diff_rows(project: Project, table: str, a: str, b: str, *, key: Sequence[str] = ()) -> RowDiff:
    """Compare a table's rows at two commits; what a side has no column for is null.

    Args:
        table: the table; one of the commits may not hold it.
        a: the first commit, b: the second; anything `resolve` knows.
        key: columns that name a row. Without them whole rows are compared, and one that comes twice counts twice.
    Raises:
        NoSuchTable: neither commit holds it.
        NoSuchColumn: a key is no column of both.
        RepeatedKey: a key names two rows of one commit.
        NoSuchCommit: nothing answers to `a` or `b`.
    Cost: files that both commits have are not read, unless they hold values of a column that only one of them has.
    """
    old, new = _sides(project, table, a, b)
    columns = _columns(old, new)
    _check_key(table, key, old, new)
    before, after = (_rows(project, mine, other, columns) for mine, other in ((old, new), (new, old)))
    if not key:
        removed, added = _more(before, after), _more(after, before)
        none = before.clear()
        return RowDiff(table=table, key=(), added=added, removed=removed, before=none, after=none)
    for side, commit in ((before, a), (after, b)):
        _check_repeats(table, key, side, commit)
    removed = before.join(after, on=key, how="anti", nulls_equal=True, maintain_order="left")
    added = after.join(before, on=key, how="anti", nulls_equal=True, maintain_order="left")
    was = before.join(after, on=key, how="semi", nulls_equal=True).sort(key)
    now = after.join(before, on=key, how="semi", nulls_equal=True).sort(key)
    others = [name for name in columns if name not in key]
    same = pl.Series([True] * was.height, dtype=pl.Boolean)
    for name in others:
        same &= was[name].eq_missing(now[name])
    return RowDiff(
        table=table, key=tuple(key), added=added, removed=removed, before=was.filter(~same), after=now.filter(~same)
    )


def diff_columns(project: Project, table: str, a: str, b: str) -> list[ColumnChange]:
    """What each column of a table holds at two commits, in one read of each; errors as for `diff_rows`."""
    old, new = _sides(project, table, a, b)
    was, now = _measure(project, old), _measure(project, new)
    return [ColumnChange(column=name, before=was.get(name), after=now.get(name)) for name in {**was, **now}]


def _sides(project: Project, table: str, a: str, b: str) -> tuple[Manifest, Manifest]:
    first, second = resolve(project, a), resolve(project, b)
    if table not in first.tables:
        state_of(second, table)
    for side in (first, second):
        if table in side.tables:
            ask(project, table, side.id)
    return _manifest(project, first, table), _manifest(project, second, table)


def _manifest(project: Project, commit: Commit, table: str) -> Manifest:
    state = commit.tables.get(table)
    return load_manifest(project, state.manifest) if state else _EMPTY


def _columns(old: Manifest, new: Manifest) -> dict[str, pl.DataType]:
    """The columns of both, each with a type that holds the values of both."""
    was, now = ({column.name: column for column in side.columns} for side in (old, new))
    either = {**was, **now}
    return {name: _type_for(was.get(name, column), now.get(name, column)) for name, column in either.items()}


def _type_for(one: Column, other: Column) -> pl.DataType:
    for known, given in ((one, other), (other, one)):
        with suppress(TypeMismatch):
            return replace(known, type=widen(known, given.type)).dtype
    return pl.String()


def _rows(project: Project, mine: Manifest, other: Manifest, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows of one side that may differ from the other's, with the columns of both."""
    if not mine.columns:
        return pl.DataFrame(schema=columns)
    shared = {file.path for file in other.data} if mine.deletes == other.deletes else set[str]()
    ours, theirs = ({(column.id, column.name): column for column in side.columns} for side in (mine, other))
    only = [column for key, column in {**ours, **theirs}.items() if (key in ours) != (key in theirs)]
    left = [file for file in mine.data if file.path not in shared or _may_hold(file, only)]
    have = {column.name for column in mine.columns}
    rows = frame_of_files(project, replace(mine, data=tuple(left), gone=None)).select(
        pl.col(name).cast(dtype) if name in have else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in columns.items()
    )
    return rows.collect()


def _may_hold(file: DataFile, columns: Sequence[Column]) -> bool:
    """Whether a file may have values of one of these columns; of an old one it is not known."""
    held = file.known.values if columns else {}
    return bool(columns) and (not held or any(not held.keys().isdisjoint(ids_of(column)) for column in columns))


def _more(mine: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """The rows that one side has more often than the other, as often as that."""
    if not mine.width:
        return mine
    names = mine.columns
    counted = mine.group_by(names, maintain_order=True).len(_TIMES)
    theirs = other.group_by(names).len("_theirs")
    joined = counted.join(theirs, on=names, how="left", nulls_equal=True, maintain_order="left")
    more = (pl.col(_TIMES).cast(pl.Int64) - pl.col("_theirs").fill_null(0).cast(pl.Int64)).clip(0)
    kept = joined.with_columns(more.alias(_TIMES)).filter(pl.col(_TIMES) > 0)
    return kept.select(names)[np.repeat(np.arange(kept.height), kept[_TIMES].to_numpy())]


def _measure(project: Project, side: Manifest) -> dict[str, ColumnContent]:
    """What each column holds, in one read."""
    if not side.columns:
        return {}
    wanted = [one for column in side.columns for one in _measures(column.name, column.dtype)]
    found = frame_of_files(project, side).select(wanted).collect().row(0, named=True)
    measured: dict[str, dict[str, Any]] = {column.name: {"type": type_name(column.type)} for column in side.columns}
    for label, value in found.items():
        what, _, name = label.partition("|")
        measured[name][what] = value
    return {name: ColumnContent(**content) for name, content in measured.items()}


def _measures(name: str, dtype: pl.DataType) -> Iterator[pl.Expr]:
    """Each measure of a column, labelled `MEASURE|COLUMN`."""
    value = pl.col(name)
    yield value.null_count().alias(f"nulls|{name}")
    if not dtype.is_nested():
        yield value.approx_n_unique().alias(f"distinct|{name}")
        yield value.min().cast(pl.String, strict=False).alias(f"least|{name}")
        yield value.max().cast(pl.String, strict=False).alias(f"greatest|{name}")
    if dtype.is_numeric():
        yield value.cast(pl.Float64).mean().alias(f"mean|{name}")


def _check_key(table: str, key: Sequence[str], old: Manifest, new: Manifest) -> None:
    for side in (old, new):
        names = [column.name for column in side.columns]
        for column in key:
            if names and column not in names:
                raise NoSuchColumn(
                    f"Table {table!r} has no column {column!r} at both commits.",
                    why=f"One has: {', '.join(names)}.",
                    fix="Name columns that both have.",
                    at=column,
                )


def _check_repeats(table: str, key: Sequence[str], side: pl.DataFrame, commit: str) -> None:
    repeated = side.select(pl.struct(key).is_duplicated().sum()).item() if side.height else 0
    if repeated:
        raise RepeatedKey(
            f"{repeated} rows of table {table!r} at {commit!r} share their {', '.join(key)} with another.",
            why="A key names one row.",
            fix="Name more columns, or none to compare whole rows.",
            at=", ".join(key),
        )
