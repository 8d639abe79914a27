"""Alter: a table's columns and partitions change without writing a row; old files read as the new columns.

Source: Apache Iceberg table spec, format version 2, "Schema Evolution" and "Partition Evolution".
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from bucle.ground.core import Record, check_name, suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.errors import BadAlteration, TypeMismatch
from bucle.line.data.schema import Column, numbered_type, parse_type, replace_columns, type_name, widen
from bucle.line.data.step import Step, check_step_free, move_on, need_table

if TYPE_CHECKING:
    from bucle.line.data.table import Table

__all__ = [
    "AddColumn",
    "Alteration",
    "DropColumn",
    "MakeOptional",
    "MoveColumn",
    "PartitionBy",
    "RenameColumn",
    "WidenColumn",
    "alter",
    "make_table",
    "partition_fields",
]


class AddColumn(Record, frozen=True):
    """A new column; rows there are read as null in it.

    Attributes:
        name: what it is called.
        type: an Iceberg type by its word, `long` or `decimal(10, 2)`, or a Polars type.
        after: the column it stands after; None for the end.
    """

    name: str
    type: Any
    after: str | None = None


class DropColumn(Record, frozen=True):
    """A column goes; one of the same name that comes later is another one, and reads as null in old rows."""

    name: str


class RenameColumn(Record, frozen=True):
    """A column gets another name and keeps its values."""

    name: str
    to: str


class WidenColumn(Record, frozen=True):
    """A column takes greater values: int to long, float to double, a decimal with more digits."""

    name: str
    type: Any


class MoveColumn(Record, frozen=True):
    """A column stands elsewhere: after another, or first."""

    name: str
    after: str | None = None


class MakeOptional(Record, frozen=True):
    """A column that another engine made required may be null."""

    name: str


class PartitionBy(Record, frozen=True):
    """New rows are parted so; rows there stay where they are.

    Attributes:
        fields: columns or transforms of them: `region`, `day(at)`, `bucket(16, id)`, `truncate(4, code)`; also `year`,
            `month` and `hour`. None of them for no partitions.
    """

    fields: tuple[str, ...]


Alteration = AddColumn | DropColumn | RenameColumn | WidenColumn | MoveColumn | MakeOptional | PartitionBy


def alter(
    project: Project,
    table: str,
    changes: Sequence[Alteration | str],
    *,
    branch: str = MAIN,
    message: str = "",
    key: str | None = None,
) -> Commit:
    """Change a table's columns or partitions, all of it in one commit; no row is written.

    Args:
        changes: in their order; as records, or in words: `add note string`, `add n long after x`, `drop x`,
            `rename a b`, `widen n long`, `move n first`, `move n after x`, `optional n`,
            `partition by day(at), bucket(16, id)`, `partition by nothing`.
        branch: where.
        message: why; the changes in words when ''.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        BadAlteration: a change is not known, or would make old rows mean something else.
        TypeNotKept: Iceberg does not hold the type.
        NoSuchTable: the branch's head does not hold the table.
        NoSuchBranch: there is no such branch.
    """
    made = [_parsed(change) if isinstance(change, str) else change for change in changes]

    def step(head: Step) -> None:
        from bucle.line.data.resettle import resettle  # noqa: PLC0415

        found = need_table(project, head, table)
        columns, fields = _altered(found, made)
        head.tables[table] = resettle(project, head.shelf, found, columns, fields)

    told = message or f"alter {table}: {'; '.join(str(change) for change in changes)}"
    return move_on(project, step, branch=branch, message=told, key=key)


def make_table(
    project: Project,
    table: str,
    columns: Mapping[str, Any] | pl.DataFrame,
    *,
    partition_by: Sequence[str] = (),
    branch: str = MAIN,
    message: str = "",
    key: str | None = None,
) -> Commit:
    """Make an empty table, its partitions named.

    Args:
        columns: name -> type, as `AddColumn` takes it; of a frame, only the columns are taken.
        partition_by: as `PartitionBy` takes it.
        branch: where.
        message: why.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        BadName: the name cannot be used.
        TableExists: there is one of this name.
        BadAlteration: the partitions cannot be made of these columns.
        TypeNotKept: Iceberg does not hold a type.
        NoSuchBranch: there is no such branch.
    """
    check_name(table, "table name")
    given = columns.schema if isinstance(columns, pl.DataFrame) else columns

    def step(head: Step) -> None:
        from bucle.line.data.resettle import resettle  # noqa: PLC0415
        from bucle.line.data.table import new_table  # noqa: PLC0415

        check_step_free(head, table)
        fresh = new_table(project, table)
        empty = pl.DataFrame(schema={name: _column_type(name, kind).dtype for name, kind in given.items()})
        made = replace_columns((), empty, last=0)
        head.tables[table] = resettle(project, head.shelf, fresh, made, tuple(partition_by))

    return move_on(project, step, branch=branch, message=message or f"make {table}", key=key)


def _column_type(name: str, kind: Any) -> Column:
    return Column(id=0, name=name, type=parse_type(kind, name))


def _altered(table: Table, changes: Sequence[Alteration]) -> tuple[tuple[Column, ...], tuple[str, ...] | None]:
    columns, fields, last = list(table.columns), None, table.last
    for change in changes:
        if isinstance(change, PartitionBy):
            fields = change.fields
            continue
        names = [column.name for column in columns]
        if isinstance(change, AddColumn):
            _check_new(change.name, names)
            kind, first = parse_type(change.type, change.name), last + 1
            kind, last = numbered_type(kind, first)
            place = len(columns) if change.after is None else _place(change.after, names) + 1
            columns.insert(place, Column(id=first, name=change.name, type=kind))
            continue
        place = _place(change.name, names)
        old = columns[place]
        if isinstance(change, DropColumn):
            _check_droppable(table, old, columns)
            del columns[place]
        elif isinstance(change, RenameColumn):
            _check_new(change.to, names)
            columns[place] = Column(id=old.id, name=change.to, type=old.type)
        elif isinstance(change, WidenColumn):
            columns[place] = Column(id=old.id, name=old.name, type=_wider(old, change.type))
        elif isinstance(change, MoveColumn):
            del columns[place]
            columns.insert(_moved_to(change, [column.name for column in columns]), old)
    return tuple(columns), fields


def _moved_to(change: MoveColumn, names: list[str]) -> int:
    return 0 if change.after is None else _place(change.after, names) + 1


def _wider(old: Column, given: Any) -> Any:
    wanted = parse_type(given, old.name)
    try:
        made = widen(old, wanted)
    except TypeMismatch as error:
        raise _refused(
            f"Column {old.name!r} is {type_name(old.type)} and cannot become {type_name(wanted)}",
            "only int to long, float to double and a decimal to more digits keep every value",
        ) from error
    if made != wanted:
        raise _refused(f"Column {old.name!r} is {type_name(old.type)}, which holds more than {type_name(wanted)}")
    return made


def _check_droppable(table: Table, old: Column, columns: Sequence[Column]) -> None:
    specs, orders = table.metadata["partition-specs"], table.metadata["sort-orders"]
    if any(field["source-id"] == old.id for one in (*specs, *orders) for field in one["fields"]):
        raise _refused(f"Column {old.name!r} is what partitions or an order are made of", "they would be lost")
    if len(columns) == 1:
        raise _refused(f"Column {old.name!r} is the only one", "a table without columns has no rows")


def _check_new(name: str, names: Sequence[str]) -> None:
    if name in names:
        raise _refused(f"There is a column {name!r} already")


def _place(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise _refused(f"There is no column {name!r}", suggest(name, list(names)) or f"there are: {', '.join(names)}")
    return list(names).index(name)


def _parsed(text: str) -> Alteration:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    match words:
        case ["add", name, kind]:
            return AddColumn(name=name, type=kind)
        case ["add", name, kind, "after", other]:
            return AddColumn(name=name, type=kind, after=other)
        case ["drop", name]:
            return DropColumn(name=name)
        case ["rename", name, to]:
            return RenameColumn(name=name, to=to)
        case ["widen", name, kind]:
            return WidenColumn(name=name, type=kind)
        case ["move", name, "first"]:
            return MoveColumn(name=name)
        case ["move", name, "after", other]:
            return MoveColumn(name=name, after=other)
        case ["optional", name]:
            return MakeOptional(name=name)
        case ["partition", "by", "nothing"]:
            return PartitionBy(fields=())
        case ["partition", "by", _, *_]:
            return PartitionBy(fields=partition_fields(text.split(maxsplit=2)[2]))
    raise _refused(f"{text!r} is no change of a table", "write e.g. 'add note string', 'rename a b' or 'drop x'")


def partition_fields(text: str) -> tuple[str, ...]:
    """What `PartitionBy` takes, from text such as `day(at), bucket(16, id)`; nothing from an empty one."""
    made, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            made.append("")
        else:
            made[-1] += letter
    return tuple(field.strip() for field in made if field.strip())


def _refused(what: str, why: str = "") -> BadAlteration:
    return BadAlteration(
        f"{what}.",
        why=f"{why[:1].upper()}{why[1:]}." if why else "Two columns of one name could not be told apart.",
        fix="See what there is: bucle data show TABLE",
    )
