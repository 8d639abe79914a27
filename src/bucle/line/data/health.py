"""Health: how much a table holds, how good it is, how fresh and how full, now and over time.

All of it comes from commits, from the bounds and counts that the lists of files carry, and from the verdicts on the
ledger: no row is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bucle.ground.core import BucleError, Record
from bucle.ground.keys import KeyDestroyed
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import log, resolve
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.dataset import Dataset, InForce, each_in_force
from bucle.line.data.guarded import contract_of
from bucle.line.data.manifest import DataFile, Head, Piece, Run, load_head, load_run
from bucle.line.data.snapshot import state_of
from bucle.line.data.verdicts import Verdict, verdicts

__all__ = ["Health", "HealthPoint", "health", "healths"]

HISTORY = 120
"""So many commits of the branch are looked through, whatever they changed."""

POINTS = 60
"""So many states of a table are told at most."""

BATCHES = 60
"""So many batches are told at most."""


EVENTS = 1000
"""So many commits and refusals are looked through for batches."""


class HealthPoint(Record, frozen=True):
    """A table after a commit that changed it.

    Attributes:
        commit: the commit.
        at: when it was made.
        rows: how many there were.
        size_bytes: how long the files of rows were.
        newest: when the newest row happened; None when no column says so.
        filled: the share of values that are not missing, over all columns, 0 to 1; None without rows.
    """

    commit: str
    at: datetime
    rows: int
    size_bytes: int
    newest: datetime | None
    filled: float | None


class Health(Record, frozen=True):
    """How a table is, and how it was.

    Attributes:
        table: the table.
        dataset: what is known of it.
        rows: how many.
        files: in how many files.
        size_bytes: how long these are.
        changed_at: when it was last changed, among the commits that were looked through; None when before them.
        newest: when the newest row happened; None when no column says so.
        score: the share of its contract's rules that the last batch kept, 0 to 1; None without a contract.
        kept: the share of the last batches that landed, 0 to 1; None without a contract.
        filled: column -> the share of its values that are not missing, rows deleted but not yet compacted included.
        points: the last states, oldest first.
        batches: what its contract said of the last batches, oldest first.
        looked_through: how many commits.
        problem: why its record or its lists of files cannot be read, and so not all is told; '' when all is.
    """

    table: str
    dataset: InForce
    rows: int
    files: int
    size_bytes: int
    changed_at: datetime | None
    newest: datetime | None
    score: float | None
    kept: float | None
    filled: dict[str, float]
    points: tuple[HealthPoint, ...] = ()
    batches: tuple[Verdict, ...] = ()
    looked_through: int = 0
    problem: str = ""


def health(project: Project, table: str, *, at: str = MAIN) -> Health:
    """How a table is at a commit, and how it was.

    Raises:
        NoSuchTable, NoSuchCommit: there is none.
    Cost: of the last commits, the lists of files that they do not share; no row.
    """
    commit = resolve(project, at)
    state_of(commit, table)
    history = log(project, commit.id, HISTORY)
    told = verdicts(project, table, limit=BATCHES, among=EVENTS)
    return _Looking(project, table, commit).seen(history, told, points=POINTS)


def healths(project: Project, *, at: str = MAIN) -> list[Health]:
    """How every table of a commit is, by name, without what they were.

    Raises:
        NoSuchCommit: nothing answers to `at`.
    Cost: each table's list of files; no row.
    """
    commit = resolve(project, at)
    history, said = log(project, commit.id, HISTORY), verdicts(project, among=EVENTS)
    found = list[Health]()
    for name in sorted(commit.tables):
        mine = [one for one in said if one.table == name]
        found.append(_Looking(project, name, commit).seen(history, mine, points=0))
    return found


@dataclass
class _Figures:
    """What a list of files says of itself; lists add up."""

    rows: int = 0
    size_bytes: int = 0
    newest: int | None = None
    values: dict[int, int] = field(default_factory=dict)
    nulls: dict[int, int] = field(default_factory=dict)

    def add(self, other: _Figures) -> None:
        self.rows += other.rows
        self.size_bytes += other.size_bytes
        self.newest = max((one for one in (self.newest, other.newest) if one is not None), default=None)
        for mine, theirs in ((self.values, other.values), (self.nulls, other.nulls)):
            for column, count in theirs.items():
                mine[column] = mine.get(column, 0) + count


class _Looking:
    """Looks at one table's states; pieces of lists that states share are looked at once."""

    def __init__(self, project: Project, table: str, commit: Commit) -> None:
        self._project, self._table, self._commit = project, table, commit
        self._known = dict[str, _Figures]()
        self._problem = ""
        self._dataset = self._in_force()
        self._head = self._load(commit.tables[table])
        self._event_at = self._dataset.record.event_at or self._aged()
        found = [one for one in self._head.columns if one.name == self._event_at and one.type in _UNITS]
        self._column = found[0] if found else None

    def _aged(self) -> str:
        """The column whose age the table's contract limits; '' when there is none."""
        try:
            contract = contract_of(self._project, self._table, at=self._commit.id)
        except BucleError as error:
            self._problem = self._problem or str(error)
            return ""
        return next((one.name for one in contract.columns if one.max_age_hours is not None), "") if contract else ""

    def _in_force(self) -> InForce:
        held = each_in_force(self._project, [self._table], at=self._commit.id)[self._table]
        if isinstance(held, InForce):
            return held
        self._problem = str(held)
        return InForce(record=Dataset(table=self._table))

    def seen(self, history: Sequence[Commit], told: Sequence[Verdict], *, points: int) -> Health:
        now, state = self._figures(self._head), self._commit.tables[self._table]
        changes = list(_changes(history, self._table))
        newest_first = told[:BATCHES]
        return Health(
            table=self._table,
            dataset=self._dataset,
            rows=state.rows,
            files=state.files,
            size_bytes=now.size_bytes,
            changed_at=changes[0].at if changes else None,
            newest=self._instant(now),
            score=newest_first[0].score if newest_first else None,
            kept=sum(one.passed for one in newest_first) / len(newest_first) if newest_first else None,
            filled={one.name: share for one in self._head.columns if (share := _filled(now, [one.id])) is not None},
            points=tuple(map(self._point, reversed(changes[:points]))),
            batches=tuple(reversed(newest_first)) if points else (),
            looked_through=len(history),
            problem=self._problem,
        )

    def _point(self, commit: Commit) -> HealthPoint:
        state = commit.tables[self._table]
        head = self._load(state)
        now = self._figures(head)
        return HealthPoint(
            commit=commit.id,
            at=commit.at,
            rows=state.rows,
            size_bytes=now.size_bytes,
            newest=self._instant(now),
            filled=_filled(now, [column.id for column in head.columns]),
        )

    def _load(self, state: TableState) -> Head:
        """What lists a state's files; nothing where it cannot be read: only its commit tells of it then."""
        try:
            return load_head(self._project, state.manifest)
        except BucleError as error:
            # That a table was made anew since its key was destroyed is nothing wrong with it.
            if state == self._commit.tables[self._table] or not isinstance(error, KeyDestroyed):
                self._problem = self._problem or str(error)
            return Head(columns=(), data=Run(), metadata={})

    def _figures(self, head: Head) -> _Figures:
        found = self._summed(head.data.tail)
        for piece in head.data.pieces:
            if piece.blob not in self._known:
                self._known[piece.blob] = self._summed(self._piece(piece))
            found.add(self._known[piece.blob])
        return found

    def _piece(self, piece: Piece) -> Iterable[DataFile]:
        try:
            return load_run(self._project, Run(pieces=(piece,)))
        except BucleError as error:
            self._problem = self._problem or str(error)
            return ()

    def _summed(self, files: Iterable[DataFile]) -> _Figures:
        found = _Figures()
        for file in files:
            told = file.known
            most = told.upper.get(self._column.id) if self._column else None
            newest = None if most is None else int.from_bytes(most, "little", signed=True)
            found.add(_Figures(file.rows, file.size_bytes, newest, told.values, told.nulls))
        return found

    def _instant(self, figures: _Figures) -> datetime | None:
        if self._column is None or figures.newest is None:
            return None
        try:
            return _EPOCH + figures.newest * _UNITS[str(self._column.type)]
        except OverflowError:
            return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"date": timedelta(days=1), "timestamp": timedelta(microseconds=1), "timestamptz": timedelta(microseconds=1)}


def _changes(history: Sequence[Commit], table: str) -> Iterable[Commit]:
    """The commits that gave a table another content, newest first."""
    known = {commit.id: commit for commit in history}
    for commit in history:
        state = commit.tables.get(table)
        parents = [known.get(parent) for parent in commit.parents]
        if state is None or (parents and parents[0] is None):
            continue
        before = parents[0].tables.get(table) if parents and parents[0] else None
        if before is None or before.digest != state.digest:
            yield commit


def _filled(figures: _Figures, columns: Iterable[int]) -> float | None:
    """The share of some columns' values that are there, of those that are counted."""
    counted = [column for column in columns if figures.values.get(column)]
    values = sum(figures.values[column] for column in counted)
    nulls = sum(figures.nulls.get(column, 0) for column in counted)
    return 1 - nulls / values if values else None
