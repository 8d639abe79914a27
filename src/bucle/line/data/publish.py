"""Commit: rows and files become visible, all of them in one step or none.

Everything is written and forced to the disk first; then one ledger transaction moves the branch, if it still stands
where it stood. Who lost that race builds on the new head and tries again; after a few lost races the building is done
inside the transaction, so that every commit comes through.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from bucle.ground.core import BucleError, check_name, make_ref
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.batches import Batches
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, no_such_branch, recent_head_of, saw_at
from bucle.line.data.commit import Commit, Mode, TableState, make_commit
from bucle.line.data.errors import BranchBusy, EmptyCommit
from bucle.line.data.hook import Moment, hooks_at, run_after, run_before
from bucle.line.data.lake import Shelf, staging
from bucle.line.data.names import check_no_view
from bucle.line.data.protection import Way, check_way
from bucle.line.data.tree import change_tree
from bucle.line.data.turn import turn
from bucle.line.files import FileEntry, keep_files

if TYPE_CHECKING:
    import pyarrow as pa

    from bucle.line.data.staged import Staged

__all__ = [
    "Also",
    "Change",
    "Frames",
    "Move",
    "as_frames",
    "build",
    "commit",
    "done_before",
    "lineage",
    "publish",
    "rows_added",
]

RACES = 3
"""Lost races before a commit is built under the ledger's lock."""

_LONG = 50_000
"""Rows from which on a batch is forced to the disk before it is one's turn; a shorter one is with all the rest."""

RACES_ASKING = 30
"""Lost races before giving up, when hooks are asked: they may not be asked under the lock."""

Also = Callable[[Transaction], None]
Frames = Mapping[str, "pl.DataFrame | pl.LazyFrame | pa.Table"]


@dataclass(frozen=True)
class Move:
    """A branch's step to a new head.

    Attributes:
        branch: the branch.
        build: makes the new head from the present one; may be called more than once.
        describe: what the event says besides commit, branch and message.
        kind: the event.
        message: why.
        key: the idempotency key.
        also: more to be written in the same transaction.
        way: how the branch is moved; a protected one asks.
        prepare: does what may be done before one's turn.
        is_long: whether building takes long, so that others are not to wait; what a first try made is used again.
    """

    branch: str
    build: Callable[[Commit | None], Commit]
    describe: Callable[[Commit], Mapping[str, Any]]
    kind: str
    message: str
    key: str | None
    also: Also | None = None
    way: Way = "commit"
    prepare: Callable[[], object] | None = None
    is_long: bool = False


class _Moved(Exception):
    """The branch moved between reading its head and the transaction."""


@dataclass
class Change:
    """What a commit is to do, and what of it is on the disk already.

    Attributes:
        tables: name -> rows.
        mode: whether rows are added or take the place of those there.
        files: path -> entry; None removes.
        message: why.
        staged: the rows as written, for the columns the table had then.
        early: where they were put before it was one's turn; they may not be on the disk yet.
    """

    tables: Mapping[str, pl.DataFrame | Batches]
    mode: Mode
    files: Mapping[str, FileEntry | None]
    message: str
    staged: dict[str, Staged] = field(default_factory=dict)
    early: Shelf | None = None


def commit(
    project: Project,
    tables: Frames,
    *,
    branch: str = MAIN,
    message: str,
    mode: Mode = "append",
    files: Mapping[str, bytes | Path | None] | None = None,
    key: str | None = None,
    also: Also | None = None,
) -> Commit:
    """Make rows and files visible on a branch, in one step.

    A table that is not there is made. A column the table does not have is added; one the batch does not have is null.

    Args:
        tables: name -> rows. A lazy frame, which must give the same rows each time it is read, is written part by part
            and is never whole in memory.
        branch: where; it must be there, `main` always is.
        message: why, for people.
        mode: `append` adds rows; `overwrite` puts the batch in the place of each table's rows.
        files: path -> bytes or a local file, added to the file tree; None removes a path.
        key: an idempotency key; a second call with it gives the first one's commit and writes nothing.
        also: more to be written in the same transaction, e.g. the names of the segments these rows came from.
    Returns:
        The branch's new head.
    Raises:
        EmptyCommit: neither tables nor files are given.
        NoSuchBranch: there is no such branch.
        TypeMismatch, TypeNotKept: a column does not fit the table, or Iceberg does not hold its type.
        BadPath: a path cannot stand in the tree, or a file would lie below a file.
        BadDataset: a file is a table's record, `.datasets/TABLE.yaml`, and cannot be understood.
        DiskFull: there is no room.
    Cost: the rows written once as Parquet, about six small files a table, one transaction.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    if not tables and not files:
        raise EmptyCommit(
            "A commit needs a table or a file.", why="There is nothing to make visible.", fix="Name some rows."
        )
    change = Change(tables=as_frames(tables), mode=mode, files=keep_files(project, files or {}), message=message)
    move = Move(
        branch=branch,
        build=lambda head: build(project, change, head),
        prepare=lambda: _stage_early(project, change, branch),
        describe=lambda made: {"mode": mode, "tables": rows_added(made, change)},
        kind="data.committed",
        message=message,
        key=key,
        also=also,
    )
    return publish(project, move)


def build(project: Project, change: Change, head: Commit | None) -> Commit:
    """Write everything that a change on top of a head needs; rows written for an earlier head are used again.

    What was written is removed when this fails, and never after: from here on a commit may name it.
    """
    states, tree = (dict(head.tables), head.files) if head else ({}, "")
    with staging(project) as shelf:
        for name in change.tables:
            states[name] = _put_on(project, shelf, change, name, states.get(name))
        tree = change_tree(project, tree, change.files)
        check_no_view(project, tree, states, head.tables if head else ())
        shelf.settle(*[change.early] if change.early else [])
    return make_commit(
        (head.id,) if head else (),
        states,
        tree,
        at=project.clock.now(),
        author=project.actor,
        message=change.message,
    )


def _put_on(project: Project, shelf: Shelf, change: Change, name: str, state: TableState | None) -> TableState:
    # pyiceberg takes half a second to load; who only reads never needs it.
    from bucle.line.data.staged import advance, open_table, stage  # noqa: PLC0415

    table = open_table(project, state)
    staged = change.staged.get(name)
    if staged is None or not staged.fits(table):
        staged = stage(shelf, name, change.tables[name], table, mode=change.mode)
    made = advance(project, shelf, name, staged, table, mode=change.mode)
    change.staged[name] = staged
    return made


def _stage_early(project: Project, change: Change, branch: str) -> None:
    """Write the rows before one's turn, so that others need not wait for it; a long batch is forced to the disk too.

    They are written for the table as it was last seen here, which may be swept away since. Whether they fit is known in
    turn, and so is what is wrong.
    """
    if not change.tables:
        return
    # pyiceberg takes a second to load; who commits files only never needs it.
    from bucle.line.data.staged import open_table, stage  # noqa: PLC0415

    head = recent_head_of(project, branch)
    with contextlib.suppress(BucleError, OSError), staging(project) as shelf:
        for name, frame in change.tables.items():
            table = open_table(project, head.tables.get(name) if head else None)
            change.staged[name] = stage(shelf, name, frame, table, mode=change.mode)
        if any(frame.height >= _LONG for frame in change.tables.values()):
            shelf.settle()
        change.early = shelf
        return
    change.staged.clear()


def publish(project: Project, move: Move) -> Commit:
    """Move a branch to what is built on its head, if its hooks agree.

    Raises:
        BranchProtected: the branch does not move this way.
        HookRefused, HookCycle: a hook says no, or made this commit itself.
        BranchBusy: with hooks to ask, the race was lost again and again.
    """
    before, after = _moments(move)
    asked = hooks_at(project, before, move.branch)
    if move.prepare is not None:
        move.prepare()
    outcome = _try(project, move, before, RACES_ASKING) if asked else _in_turn(project, move, before)
    if outcome is None:
        raise _busy(move)
    head, made = outcome
    if made is None:
        return _found(project, move.key)
    if head is None or made.id != head.id:
        run_after(project, after, move.branch, head, made)
    return made


Outcome = tuple[Commit | None, Commit | None]
"""The head before and the new one; the latter None when the key was used before."""


def _in_turn(project: Project, move: Move, before: Moment) -> Outcome:
    """Stand in line with the other writers; a move that takes long only when it has lost a race."""
    first = _try(project, move, before, 1) if move.is_long else None
    if first is not None:
        return first
    with turn(project, move.branch):
        return _try(project, move, before, RACES) or _publish_locked(project, move)


def _try(project: Project, move: Move, before: Moment, races: int) -> Outcome | None:
    """Build on the head and move the branch, if it still stands there; None when each race was lost."""
    for _ in range(races):
        head = head_of(project, move.branch)
        made = move.build(head)
        if head is None or made.id != head.id:
            run_before(project, before, move.branch, head, made)
        try:
            with _transaction(project, move) as transaction:
                found = store.the_branch(transaction.connection, move.branch)
                if found is None or found.head != (head.id if head else ""):
                    raise _Moved
                is_new = _write(project, transaction, move, head, made)
        except _Moved:
            continue
        except AlreadyDone:
            return None, None
        if is_new:
            saw_at(project, move.branch, made)
        return head, made
    return None


def _moments(move: Move) -> tuple[Moment, Moment]:
    return ("pre-merge", "post-merge") if move.kind == "data.merged" else ("pre-commit", "post-commit")


def _busy(move: Move) -> BranchBusy:
    return BranchBusy(
        f"The branch {move.branch!r} moved {RACES_ASKING} times while its hooks were asked.",
        why="A hook is asked about exactly what becomes visible, and others were faster each time.",
        fix="Try again when fewer write to it, or make the hook faster.",
        at=move.branch,
    )


def done_before(project: Project, key: str | None) -> Commit | None:
    """The commit an earlier call with this key made, or None."""
    event = project.ledger.find(key) if key is not None else None
    if event is None or "commit" not in event.data:
        return None
    with project.database.reading() as connection:
        return store.commit_of(connection, str(event.data["commit"]))


def as_frames(tables: Frames) -> dict[str, pl.DataFrame | Batches]:
    """The rows as Polars frames, lazy ones as batches, under names a table may have."""
    frames = dict[str, pl.DataFrame | Batches]()
    for name, rows in tables.items():
        if isinstance(rows, pl.LazyFrame):
            frames[check_name(name, "table name")] = Batches(rows)
            continue
        made = rows if isinstance(rows, pl.DataFrame) else pl.from_arrow(rows)
        frames[check_name(name, "table name")] = made if isinstance(made, pl.DataFrame) else made.to_frame()
    return frames


def rows_added(made: Commit, change: Change) -> dict[str, dict[str, Any]]:
    """Table -> what came in, for the event."""
    return {
        name: {"rows_added": frame.height, "rows": made.tables[name].rows, "digest": made.tables[name].digest}
        for name, frame in change.tables.items()
    }


def tables_changed(head: Commit | None, made: Commit) -> dict[str, dict[str, Any]]:
    """Table -> how it stands now, of those that came or have another content; for events."""
    before = head.tables if head else {}
    return {
        name: {"rows_added": state.rows - (before[name].rows if name in before else 0), "rows": state.rows,
               "digest": state.digest}
        for name, state in made.tables.items()
        if name not in before or before[name].digest != state.digest
    }  # fmt: skip


def lineage(transaction: Transaction, head: Commit | None, made: Commit) -> None:
    """Note where a commit came from and which tables it gave a new content."""
    for parent in made.parents:
        transaction.edge(make_ref("commit", parent), make_ref("commit", made.id), "followed_by")
    for name, state in made.tables.items():
        if head is None or head.tables.get(name) != state:
            transaction.edge(make_ref("commit", made.id), make_ref("table", name, made.id), "holds")


def _publish_locked(project: Project, move: Move) -> tuple[Commit | None, Commit | None]:
    try:
        with _transaction(project, move) as transaction:
            found = store.the_branch(transaction.connection, move.branch)
            if found is None:
                raise no_such_branch(transaction.connection, move.branch)
            head = store.commit_of(transaction.connection, found.head) if found.head else None
            made = move.build(head)
            _write(project, transaction, move, head, made)
    except AlreadyDone:
        return None, None
    return head, made


def _transaction(project: Project, move: Move) -> AbstractContextManager[Transaction]:
    subject = make_ref("branch", move.branch)
    return project.ledger.transaction(
        move.kind, subject=subject, actor=project.actor, reason=move.message, key=move.key
    )


def _write(project: Project, transaction: Transaction, move: Move, head: Commit | None, made: Commit) -> bool:
    """Keep the commit and move the branch; whether the commit is new."""
    if head is None or made.id != head.id:
        check_way(transaction.connection, move.branch, move.way)
    is_new = store.put_commit(transaction, made)
    store.put_branch(transaction, move.branch, made.id, at=project.clock.now(), actor=project.actor)
    lineage(transaction, head, made)
    told = {"tables": tables_changed(head, made), **move.describe(made)}
    transaction.data.update(told, commit=made.id, branch=move.branch, message=made.message)
    if move.also is not None:
        move.also(transaction)
    return is_new


def _found(project: Project, key: str | None) -> Commit:
    done = done_before(project, key)
    if done is None:
        raise AlreadyDone(
            f"The key {key!r} was used for something else.",
            why="A key stands for one commit for ever.",
            fix="Choose another key.",
        )
    return done
