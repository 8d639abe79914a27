"""Describe: say what a table is, who answers for it, and what it may be used for."""

from __future__ import annotations

from typing import Any

from bucle.ground.core import suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit
from bucle.line.data.dataset import Dataset, changed, dataset, dataset_file, dump_dataset, zones
from bucle.line.data.errors import BadDataset, NoSuchColumn
from bucle.line.data.publish import commit
from bucle.line.data.snapshot import snapshot

__all__ = ["describe"]


def describe(project: Project, table: str, *, branch: str = MAIN, message: str = "", **changes: Any) -> Commit:
    """Change a table's record in one commit; what is not named stays.

    Args:
        changes: attributes of `Dataset`, e.g. `owner="ana", purposes=["billing"]`.
    Returns:
        The branch's new head; the old one when nothing changes.
    Raises:
        NoSuchTable, NoSuchBranch: there is none.
        BadDataset: there is no such attribute or zone, or it cannot have that value.
        NoSuchColumn: the table has no such column.
    """
    known = snapshot(project, table, at=branch).columns
    before = _before(project, table, branch, is_whole=set(changes) >= _ATTRIBUTES)
    after = changed(before, {**changes, "table": table})
    if after == before and changes:
        return resolve(project, branch)
    _check(project, after, known)
    content = dump_dataset(after).encode()
    said = message or f"describe {table}: {', '.join(sorted(changes)) or 'as it was'}"
    return commit(project, {}, files={dataset_file(table): content}, branch=branch, message=said)


_ATTRIBUTES = frozenset(Dataset.__struct_fields__) - {"table"}


def _before(project: Project, table: str, branch: str, *, is_whole: bool) -> Dataset:
    """The record that is changed; one that cannot be understood can only be written anew as a whole."""
    try:
        return dataset(project, table, at=branch)
    except BadDataset:
        if is_whole:
            return Dataset(table=table)
        raise


def _check(project: Project, record: Dataset, columns: dict[str, str]) -> None:
    known = zones(project)
    if record.zone and record.zone not in known:
        raise BadDataset(
            f"Table {record.table!r} cannot lie in the zone {record.zone!r}: there is none.",
            why=f"bucle.toml has: {', '.join(known) or 'none'}.",
            fix=suggest(record.zone, known) or f"Add [data.zones.{record.zone}] to bucle.toml.",
            at=record.zone,
        )
    if record.event_at and record.event_at not in columns:
        raise NoSuchColumn(
            f"Table {record.table!r} has no column {record.event_at!r}.",
            why=f"It has: {', '.join(columns)}.",
            fix=suggest(record.event_at, columns) or "Name one of those.",
            at=record.event_at,
        )
    if record.event_at and columns[record.event_at] not in _TIMES:
        raise BadDataset(
            f"The column {record.event_at!r} of {record.table!r} is a {columns[record.event_at]}, no date or instant.",
            why="Nobody could tell from it how old a row is.",
            fix="Name a column of type date, timestamp or timestamptz.",
            at=record.event_at,
        )


_TIMES = ("date", "timestamp", "timestamptz")
