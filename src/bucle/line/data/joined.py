"""Joined: small changes to a branch's files, each visible and durable when it returns, in few commits.

Who comes while nobody moves the branch makes a commit at once. Whoever comes meanwhile waits, and all who wait and act
under one name become the next commit; one of them makes it. Nobody waits by sleeping.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock

from bucle.ground.core import BucleError
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.commit import Commit
from bucle.line.data.notes import put_notes
from bucle.line.data.protection import check_way
from bucle.line.data.publish import Change, Move, build, publish
from bucle.line.files import (
    FOLDER,
    FileEntry,
    below_file,
    check_path,
    entries_at,
    folders_above,
    is_file,
    is_folder,
    walk,
)

__all__ = ["change_files"]

_MOST = 10_000
"""Paths of one commit after which no more wait to join it."""

Check = Callable[[Mapping[str, FileEntry | None]], None]
"""Is told what stands at the paths now, and raises when that must not be changed."""


@dataclass
class _Wish:
    """What one caller wants changed, all of it or nothing."""

    project: Project
    changes: Mapping[str, FileEntry | None]
    notes: Mapping[str, Mapping[str, str]]
    message: str
    check: Check | None
    turn: Event = field(default_factory=Event)
    error: BaseException | None = None
    made: Commit | None = None
    is_done: bool = False


def change_files(
    project: Project,
    changes: Mapping[str, FileEntry | None],
    *,
    branch: str = MAIN,
    message: str,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    check: Check | None = None,
) -> Commit | None:
    """Put files whose contents are kept already at their paths, and remove others, in one commit with those of others.

    An empty folder that a file comes to lie in is no longer named by itself.

    Args:
        project: in whose actor's name.
        changes: path -> entry; None removes.
        branch: where.
        message: why, for people; a commit of several callers says how many files instead.
        notes: path -> what is noted of the file.
        check: is told what stands at the paths, in the same step in which they are changed.
    Returns:
        The branch's head: a new commit, or the present one when nothing has changed; None when there is none.
    Raises:
        NoSuchBranch: there is no such branch.
        BadPath: a path cannot stand in the tree, or it would lie below a file.
        BadDataset: a file is a table's record and cannot be understood.
        BranchProtected, HookRefused, BranchBusy: the branch does not move.
        Exception: whatever `check` raises; nothing was changed.
    """
    for path in changes:
        check_path(path)
    wish = _Wish(project, dict(changes), notes or {}, message, check)
    project.keep(_Lines, _Lines).of(branch).do(wish, branch)
    if wish.error is not None:
        raise wish.error
    return wish.made


class _Lines:
    """Branch -> who waits to change it."""

    def __init__(self) -> None:
        self._known = dict[str, _Line]()
        self._lock = Lock()

    def of(self, branch: str) -> _Line:
        """The line before a branch."""
        with self._lock:
            return self._known.setdefault(branch, _Line())

    def close(self) -> None:
        """Nothing is held."""


class _Line:
    """Who waits to change a branch. The first of those that wait makes the commit of all that may join it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting = deque[_Wish]()
        self._is_busy = False

    def do(self, wish: _Wish, branch: str) -> None:
        """Have it done, by this thread or the one that is at it."""
        with self._lock:
            self._waiting.append(wish)
            is_first, self._is_busy = not self._is_busy, True
        if not is_first:
            wish.turn.wait()
        if wish.is_done:
            return
        batch = self._take()
        try:
            _carry_out(branch, batch)
        finally:
            with self._lock:
                self._is_busy = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].turn.set()
            for one in batch:
                one.is_done = True
                one.turn.set()

    def _take(self) -> list[_Wish]:
        """The first that waits, and all that act under the same name."""
        with self._lock:
            first, batch, left, paths = self._waiting[0], list[_Wish](), deque[_Wish](), 0
            for wish in self._waiting:
                if wish.project.actor == first.project.actor and (not batch or paths + len(wish.changes) <= _MOST):
                    batch.append(wish)
                    paths += len(wish.changes)
                else:
                    left.append(wish)
            self._waiting = left
            return batch


class _Nothing(Exception):
    """The branch holds all of it already."""


def _carry_out(branch: str, batch: Sequence[_Wish]) -> None:
    """Make one commit of them. When that is refused, each is tried alone: one caller's fault is nobody else's."""
    try:
        made = _commit(branch, batch)
    except BucleError as error:
        if len(batch) == 1:
            batch[0].error = error
            return
        for wish in batch:
            _carry_out(branch, [wish])
    except BaseException as error:
        for wish in batch:
            wish.error = error
    else:
        for wish in batch:
            wish.made = made


def _commit(branch: str, batch: Sequence[_Wish]) -> Commit | None:
    project, message = batch[0].project, _message(batch)
    agreed, told = list[_Wish](), dict[str, int]()

    def on_top_of(head: Commit | None) -> Commit:
        agreed[:], changes = _joined(project, head.files if head else "", batch)
        if not changes:
            raise _Nothing
        told["removed"] = sum(entry is None for entry in changes.values())
        told["kept"] = len(changes) - told["removed"]
        return build(project, Change(tables={}, mode="append", files=changes, message=message), head)

    move = Move(
        branch=branch,
        build=on_top_of,
        describe=lambda _: {"tables": {}, "files": told},
        kind="data.committed",
        message=message,
        key=None,
        also=lambda transaction: put_notes(transaction.connection, _notes(agreed), at=project.clock.now()),
    )
    try:
        return publish(project, move)
    except _Nothing:
        with project.database.writing() as connection:
            check_way(connection, branch, move.way)
            put_notes(connection, _notes(agreed), at=project.clock.now())
        return head_of(project, branch)


def _joined(project: Project, tree: str, batch: Sequence[_Wish]) -> tuple[list[_Wish], dict[str, FileEntry | None]]:
    """Those of them that may be done on top of a tree, one after the other, and what that changes."""
    known = _Present(project, tree, batch)
    agreed = list[_Wish]()
    for wish in batch:
        wish.error = None
        try:
            if wish.check is not None:
                wish.check({path: known.entry(path) for path in wish.changes})
            known.change(wish.changes)
        except Exception as error:  # the caller's, and told to none but the caller
            wish.error = error
        else:
            agreed.append(wish)
    return agreed, known.changes()


class _Present:
    """What stands in a tree at the paths that are to be changed and above them, as changes are made.

    Args:
        project: that keeps it.
        tree: its digest.
        batch: whose paths are looked up, all at once.
    """

    def __init__(self, project: Project, tree: str, batch: Sequence[_Wish]) -> None:
        self._project = project
        self._tree = tree
        paths = {path for wish in batch for path in wish.changes}
        self._before = entries_at(project, tree, paths | {above for path in paths for above in folders_above(path)})
        self._now = dict[str, FileEntry | None]()
        self._folders = set[str]()

    def entry(self, path: str) -> FileEntry | None:
        """What stands there now."""
        return self._now[path] if path in self._now else self._before.get(path)

    def changes(self) -> dict[str, FileEntry | None]:
        """What differs from the tree."""
        return {path: entry for path, entry in self._now.items() if self._before.get(path) != entry}

    def change(self, changes: Mapping[str, FileEntry | None]) -> None:
        """Make changes, all of them or none. Raises BadPath: a file would lie below a file."""
        made = dict(changes)
        put = {path: entry for path, entry in changes.items() if entry is not None}
        folders = self._folders | {above for path in put for above in folders_above(path)}
        for path, entry in put.items():
            stands = self.entry(path)
            if stands is not None and (stands.mode == FOLDER) != (entry.mode == FOLDER):
                raise self._taken(path, stands, made, folders)
            made |= self._cleared(path, made)
            if self._has_below(path, made, folders):
                if entry.mode != FOLDER:
                    raise is_folder(path)
                del made[path]  # it is there as it is
        self._now |= made
        self._folders = folders

    def _taken(
        self, path: str, stands: FileEntry, made: Mapping[str, FileEntry | None], folders: set[str]
    ) -> BucleError:
        """The error for a file where a folder stands, or the other way round."""
        if stands.mode != FOLDER:
            return is_file(path)
        return is_folder(path, is_empty=not self._has_below(path, made, folders))

    def _cleared(self, path: str, made: Mapping[str, FileEntry | None]) -> dict[str, None]:
        """The empty folders above a path, which are empty no more."""
        gone = dict[str, None]()
        for above in folders_above(path):
            entry = made[above] if above in made else self.entry(above)
            if entry is not None and entry.mode != FOLDER:
                raise below_file(path, above)
            if entry is not None:
                gone[above] = None
        return gone

    def _has_below(self, path: str, made: Mapping[str, FileEntry | None], folders: set[str]) -> bool:
        below = f"{path}/"
        if path in folders:
            now = {**self._now, **made}
            if any(entry is not None and one.startswith(below) for one, entry in now.items()):
                return True
        for one, _ in walk(self._project, self._tree, below):
            if not one.startswith(below):
                return False
            if (made[one] if one in made else self._now.get(one, _THERE)) is not None:
                return True
        return False


_THERE = FileEntry(digest="", size_bytes=0)


def _notes(batch: Sequence[_Wish]) -> Iterator[tuple[str, FileEntry, Mapping[str, str]]]:
    for wish in batch:
        for path, told in wish.notes.items():
            entry = wish.changes.get(path)
            if entry is not None:
                yield path, entry, told


def _message(batch: Sequence[_Wish]) -> str:
    if len(batch) == 1:
        return batch[0].message
    entries = [entry for wish in batch for entry in wish.changes.values()]
    gone = sum(entry is None for entry in entries)
    told = {"kept": len(entries) - gone, "removed": gone}
    return f"files: {', '.join(f'{count} {what}' for what, count in told.items() if count)}"
