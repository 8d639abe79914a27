"""Retention: rows that are too old are gone, from the tables and from the commits that still hold them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl
from msgspec.structs import replace

from bucle.ground.core import BucleError, ConfigError, Record, duration_of, instant_before
from bucle.ground.keys import KeyDestroyed
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.commit import Commit
from bucle.line.data.compact import compact
from bucle.line.data.dataset import InForce, kept_for_a_time
from bucle.line.data.delete import delete
from bucle.line.data.errors import BadDataset
from bucle.line.data.expire import give_up, holders
from bucle.line.data.guarded import rows_of
from bucle.line.data.hook import DataSection
from bucle.line.data.manifest import DataFile, Head, Run, load_head, load_run
from bucle.line.data.schema import Column
from bucle.line.data.sweep import sweep

__all__ = ["Held", "Retained", "Retention", "retain", "retained_at"]

_SUBJECT = "lake/retention"
_KIND = "data.retained"
_DAY = timedelta(days=1)


class Retained(Record, frozen=True):
    """A table whose rows are kept for a time.

    Attributes:
        table: the table.
        retention: how long.
        event_at: the column that says when a row happened; rows for which it is null stay.
        before: rows that happened before this instant are too old.
        rows: so many were, on `main`.
        problem: why they could not be removed, or why nobody can tell which they are; '' when they could.
    """

    table: str
    retention: str
    event_at: str
    before: datetime
    rows: int
    problem: str = ""


class Held(Record, frozen=True):
    """A commit that still holds rows that are too old.

    Attributes:
        commit: its id.
        tables: of which there are such rows.
        by: the refs of what holds it: a branch or tag that stands at it, a run, a model.
    """

    commit: str
    tables: tuple[str, ...]
    by: tuple[str, ...]


class Retention(Record, frozen=True):
    """What a retention removed, and what remains and why.

    Attributes:
        at: when it was done.
        tables: those whose rows are kept for a time.
        commits: those whose data was given up since they held rows that are too old.
        held: those that hold such rows and stay.
        files: how many files were removed; the others go a day after the last commit that needs them was given up.
        size_bytes: how much room that gave back.
        problem: why no file could be removed; '' when they could.
    """

    at: datetime
    tables: tuple[Retained, ...]
    commits: tuple[str, ...]
    held: tuple[Held, ...]
    files: int = 0
    size_bytes: int = 0
    problem: str = ""


def retain(
    project: Project, *, also_used: bool = False, dry_run: bool = False, older_than: timedelta = _DAY
) -> Retention:
    """Remove rows that are older than their table's retention from `main`, and give up the commits that hold them.

    Files that lost rows are written anew without them. A commit is given up once it holds a row that has been too old
    for `[data] keep_history`; one at which a branch or tag stands, or from which a run or a model was made, stays, and
    is told. What is wrong with one table, its record, its key, its files, is told of it, and the others go on.

    Args:
        also_used: commits from which runs or models were made are given up as well.
        dry_run: only tell what would be done.
        older_than: as of `sweep`.
    Raises:
        ConfigError: `[data] keep_history` is no duration.
    Cost: a read of one column of the files that are not young; files that lose rows are written again; once, a look at
        the bounds of every file of every commit.
    """
    grace, now = _keep_history(project), project.clock.now()
    due = _due(project, now)
    if not dry_run:
        due = [_applied(project, one) for one in due]
    old, due = _holding(project, due, grace)
    kept = holders(project, (commit for commit, _ in old))
    if also_used:
        kept = {commit: firm for commit, refs in kept.items() if (firm := tuple(filter(_is_firm, refs)))}
    gone = [commit for commit, _ in old if commit.id not in kept]
    if not dry_run:
        gone = give_up(project, gone, keep=1)
    held = tuple(Held(commit=one.id, tables=names, by=kept[one.id]) for one, names in old if one.id in kept)
    told = Retention(at=now, tables=tuple(due), commits=tuple(one.id for one in gone), held=held)
    return told if dry_run else _swept(project, told, older_than)


def retained_at(project: Project) -> datetime | None:
    """When rows that are too old were last looked for; None when they never were."""
    found = project.ledger.events(kinds=[_KIND], subject=_SUBJECT, newest_first=True, limit=1)
    return found[0].at if found else None


def _due(project: Project, now: datetime) -> list[Retained]:
    """The tables of `main` whose rows are kept for a time, with how many are too old."""
    head = head_of(project, MAIN)
    return [] if head is None else [_told(project, head, *one, now) for one in kept_for_a_time(project).items()]


def _told(project: Project, head: Commit, table: str, held: InForce | BadDataset, now: datetime) -> Retained:
    """How many rows of a table are too old; of one whose key was destroyed none are left."""
    if isinstance(held, BadDataset):
        return Retained(table=table, retention="", event_at="", before=now, rows=0, problem=str(held))
    assert held.keeps is not None, "only of these is it asked"
    before, event_at = instant_before(now, held.keeps), held.record.event_at
    told = Retained(table=table, retention=held.retention, event_at=event_at, before=before, rows=0)
    try:
        column = _column(project, head, table, event_at)
        if column is None:
            problem = f"no column says when a row happened: bucle data describe {table} --event-at COLUMN"
            return replace(told, event_at="", problem=problem)
        rows = rows_of(project, head.tables[table]).filter(_is_old(column, before)).select(pl.len()).collect().item()
    except KeyDestroyed:
        return told
    except _FAULTS as error:
        return replace(told, problem=str(error))
    return replace(told, rows=rows)


_FAULTS = (BucleError, pl.exceptions.PolarsError, OSError)
"""What is wrong with one table and is nothing to the others."""


def _applied(project: Project, one: Retained) -> Retained:
    """Remove a table's old rows from `main`, and from its files."""
    if not one.event_at or one.problem:
        return one
    try:
        head = head_of(project, MAIN)
        column = _column(project, head, one.table, one.event_at) if head else None
        if head is None or column is None:
            return one
        if one.rows:
            said = f"rows of {one.table} older than {one.retention}"
            head = delete(project, one.table, _is_old(column, one.before), message=said)
        if one.table in head.tables and _Oldest(project, column, one).is_in(head.tables[one.table].manifest):
            compact(project, one.table, message=f"files of {one.table} without rows older than {one.retention}")
    except KeyDestroyed:
        return one
    except _FAULTS as error:
        return replace(one, problem=str(error))
    return one


def _holding(
    project: Project, due: Sequence[Retained], grace: timedelta
) -> tuple[list[tuple[Commit, tuple[str, ...]]], list[Retained]]:
    """The commits that hold rows that have been too old for a time, and of which tables; and what is told of these."""
    looks = {one.table: _look(project, one, grace) for one in due if one.event_at}
    if not looks:
        return [], list(due)
    with project.database.reading() as connection:
        commits = store.kept_commits(connection)
    found, problems = list[tuple[Commit, tuple[str, ...]]](), dict[str, str]()
    for commit in commits:
        names = list[str]()
        for name in looks.keys() & commit.tables.keys():
            try:
                if looks[name].is_in(commit.tables[name].manifest):
                    names.append(name)
            except _FAULTS as error:  # nobody can tell how old its rows are
                problems.setdefault(name, str(error))
        if names:
            found.append((commit, tuple(sorted(names))))
    return found, [replace(one, problem=one.problem or problems.get(one.table, "")) for one in due]


def _look(project: Project, one: Retained, grace: timedelta) -> _Oldest:
    head = head_of(project, MAIN)
    try:
        column = _column(project, head, one.table, one.event_at) if head else None
    except _FAULTS:  # told before, or told of each commit that holds it so
        column = None
    return _Oldest(project, column, replace(one, before=instant_before(one.before, grace)))


class _Oldest:
    """Whether the files of a table's states hold rows from before an instant, as their bounds tell.

    Lists of files are kept in pieces that states share: each is looked at once.

    Args:
        project: whose table it is.
        column: that says when a row happened, as the table has it now; None when the table cannot be read now.
        one: the table, that column's name, and the instant.
    """

    def __init__(self, project: Project, column: Column | None, one: Retained) -> None:
        self._project, self._id, self._name, self._before = project, column and column.id, one.event_at, one.before
        self._known = dict[str, bool]()

    def is_in(self, manifest: str) -> bool:
        """Whether a state holds such rows; where a file's bounds are not known, it may. Without its key it has none.

        Raises:
            BlobMissing, BlobCorrupt, KeyMissing: nobody can tell.
        """
        if manifest not in self._known:
            try:
                self._known[manifest] = self._is_held(load_head(self._project, manifest))
            except KeyDestroyed:
                self._known[manifest] = False
        return self._known[manifest]

    def _is_held(self, head: Head) -> bool:
        column = self._found(head.columns)
        return column is not None and (
            any(_is_file_old(file, column, self._before) for file in head.data.tail)
            or any(self._is_in_piece(Run(pieces=(piece,)), column) for piece in head.data.pieces)
        )

    def _found(self, columns: Sequence[Column]) -> Column | None:
        """The column in another state of the table; None when it, or another table of that name, has none."""
        timed = [one for one in columns if one.type in _UNITS]
        same = [one for one in timed if one.id == self._id]
        return next(iter([*same, *(one for one in timed if one.name == self._name)]), None)

    def _is_in_piece(self, part: Run, column: Column) -> bool:
        blob = part.pieces[0].blob
        if blob not in self._known:
            self._known[blob] = any(_is_file_old(file, column, self._before) for file in load_run(self._project, part))
        return self._known[blob]


def _is_file_old(file: DataFile, column: Column, before: datetime) -> bool:
    told = file.known
    least = told.lower.get(column.id)
    if least is None:
        # A file from before the column was made has nothing of it; one without statistics may have anything.
        return told.values.get(column.id, 0) > told.nulls.get(column.id, 0) or not file.statistics
    return int.from_bytes(least, "little", signed=True) < _number(column, before)


def _swept(project: Project, told: Retention, older_than: timedelta) -> Retention:
    """The files that no commit needs any more are gone as well, where all that is needed can be told."""
    try:
        done = sweep(project, older_than=older_than)
        told = replace(told, files=done.files, size_bytes=done.size_bytes)
    except BucleError as error:
        told = replace(told, problem=str(error))
    data = {
        "tables": {one.table: one.rows for one in told.tables},
        "problems": {one.table: one.problem for one in told.tables if one.problem},
        "problem": told.problem,
        "commits": len(told.commits),
        "held": {one.commit: list(one.by) for one in told.held},
        "files": told.files,
    }
    project.ledger.record(_KIND, subject=_SUBJECT, actor=project.actor, data=data)
    return told


def _column(project: Project, head: Commit, table: str, name: str) -> Column | None:
    """The column that says when a row happened; None when the table has no such column, or it says no time."""
    if table not in head.tables:
        return None
    columns = load_head(project, head.tables[table].manifest).columns
    return next((one for one in columns if one.name == name and one.type in _UNITS), None)


def _is_old(column: Column, before: datetime) -> pl.Expr:
    limit: date | datetime = before
    if column.type == "date":
        limit = before.date()
    elif column.type == "timestamp":
        limit = before.replace(tzinfo=None)
    return pl.col(column.name) < pl.lit(limit, column.dtype)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"date": timedelta(days=1), "timestamp": timedelta(microseconds=1), "timestamptz": timedelta(microseconds=1)}


def _number(column: Column, instant: datetime) -> int:
    """An instant as Iceberg keeps bounds of a column."""
    return (instant - _EPOCH) // _UNITS[str(column.type)]


def _keep_history(project: Project) -> timedelta:
    text = project.config.section("data", DataSection).keep_history
    found = duration_of(text)
    if found is None:
        raise ConfigError(
            f"[data] keep_history = {text!r} is no duration.",
            why="Nobody could tell how long commits stay that hold old rows.",
            fix="Number and unit: s, m, h, d or w, e.g. 7d.",
            at="data.keep_history",
        )
    return found


def _is_firm(ref: str) -> bool:
    """Whether what holds a commit does so even when what was made from it may not."""
    return ref.startswith(("branch/", "tag/"))
