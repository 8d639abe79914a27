"""Finding one's way: branches, commits, history."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy.engine import Connection

from bucle.ground.core import BadName, as_utc, check_name, make_ref, short, suggest
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN, Branch
from bucle.line.data.commit import Commit
from bucle.line.data.errors import (
    AmbiguousCommit,
    BranchExists,
    BranchProtected,
    CommitExpired,
    NoSuchBranch,
    NoSuchCommit,
)
from bucle.line.data.protection import protection_of
from bucle.line.data.tables import BRANCHES

__all__ = [
    "branches",
    "check_branch",
    "create_branch",
    "delete_branch",
    "head_of",
    "log",
    "no_such_branch",
    "recent_head_of",
    "resolve",
    "saw_at",
]

_SHORTEST_PREFIX = 4

_DATE = len("2013-03-01")

_HEADS = 8
"""The heads of so many branches are kept decoded."""


def create_branch(project: Project, name: str, at: str = MAIN, *, key: str | None = None) -> Branch:
    """A new branch at a commit; no data is copied.

    Raises:
        BadName: the name cannot be used.
        BranchExists: there is a branch or a tag of that name.
        NoSuchCommit: nothing answers to `at`.
    """
    check_name(name, "branch name")
    made = Branch(name=name, head=_start(project, at), at=project.clock.now(), actor=project.actor)
    with project.ledger.transaction(
        "data.branch_created",
        subject=make_ref("branch", name),
        actor=project.actor,
        key=key,
        data={"branch": name, "commit": made.head},
    ) as transaction:
        if store.the_branch(transaction.connection, name) or store.the_tag(transaction.connection, name):
            raise BranchExists(
                f"There is a branch or a tag {name!r} already.",
                why="A second one of that name would hide the first.",
                fix=f"Choose another name, or remove it: bucle data branch delete {name}",
            )
        store.put_branch(transaction, name, made.head, at=project.clock.now(), actor=project.actor)
    return made


def delete_branch(project: Project, name: str, *, key: str | None = None) -> None:
    """Remove a branch. Its commits stay and can be read by id.

    Raises:
        BranchProtected: it is `main`, or protected.
        NoSuchBranch: there is none of that name.
    """
    if name == MAIN:
        raise BranchProtected(
            "The branch 'main' cannot be removed.", why="Readers read it unless told otherwise.", fix="Nothing to do."
        )
    with project.ledger.transaction(
        "data.branch_deleted", subject=make_ref("branch", name), actor=project.actor, key=key
    ) as transaction:
        gone = store.the_branch(transaction.connection, name)
        if gone is None:
            raise no_such_branch(transaction.connection, name)
        if protection_of(transaction.connection, name) is not None:
            raise BranchProtected(
                f"The branch {name!r} is protected and cannot be removed.",
                why="What is protected stays.",
                fix="Take the protection away first: bucle data protect remove NAME",
                at=name,
            )
        transaction.data.update(branch=name, commit=gone.head)
        transaction.delete(BRANCHES, {"name": name})


def branches(project: Project) -> list[Branch]:
    """Every branch by name; `main` is always among them."""
    with project.database.reading() as connection:
        return store.list_branches(connection)


def head_of(project: Project, branch: str) -> Commit | None:
    """The commit a branch stands at; None before its first.

    Raises:
        NoSuchBranch: there is none of that name.
    """
    with project.database.reading() as connection:
        found = store.the_branch(connection, branch)
        if found is None:
            raise no_such_branch(connection, branch)
        if not found.head:
            return None
        heads = project.keep(_Heads, _Heads)
        return heads.of(branch, found.head) or heads.put(branch, store.commit_of(connection, found.head))


def recent_head_of(project: Project, branch: str) -> Commit | None:
    """The commit at which this process last saw a branch stand, or stands it at now if it never looked."""
    return project.keep(_Heads, _Heads).known.get(branch) or head_of(project, branch)


def saw_at(project: Project, branch: str, commit: Commit) -> None:
    """Remember a commit that was made at the head of a branch: it need not be read again."""
    project.keep(_Heads, _Heads).put(branch, commit)


class _Heads:
    """The heads of the branches looked at last; a commit never changes."""

    def __init__(self) -> None:
        self.known = OrderedDict[str, Commit]()
        self._lock = Lock()

    def of(self, branch: str, commit: str) -> Commit | None:
        """That commit, if it is what the branch stood at last."""
        found = self.known.get(branch)
        return found if found is not None and found.id == commit else None

    def put(self, branch: str, commit: Commit | None) -> Commit | None:
        """Remember where a branch stands."""
        if commit is not None:
            with self._lock:
                self.known[branch] = commit
                self.known.move_to_end(branch)
                while len(self.known) > _HEADS:
                    self.known.popitem(last=False)
        return commit

    def close(self) -> None:
        """Forget them."""
        self.known.clear()


def resolve(project: Project, at: str = MAIN) -> Commit:
    """The commit that a name stands for.

    Args:
        at: a branch, a tag, a commit's id or a prefix of it that no other has (4 digits at least), or
            `branch@instant` for the newest commit of the branch made until then, e.g. `main@2013-03-01T00:00:00Z`;
            a date stands for its first moment in UTC.
    Raises:
        NoSuchCommit: nothing answers to it, or the branch has no commit yet.
        AmbiguousCommit: several commits start so.
        CommitExpired: its data was given up.
    """
    name, mark, instant = at.partition("@")
    with project.database.reading() as connection:
        branch = store.the_branch(connection, name)
        if branch is not None and mark:
            return _kept(connection, _as_of(connection, branch, _instant(instant, at)))
        if branch is not None:
            found = store.commit_of(connection, branch.head)
            return found or _raise_empty(branch.name)
        tag = store.the_tag(connection, at)
        found = store.commit_of(connection, tag["commit"]) if tag else None
        return found or _kept(connection, _by_prefix(connection, at))


def log(project: Project, branch: str = MAIN, limit: int | None = None) -> list[Commit]:
    """A branch's commits, newest first, those that were merged in included.

    Args:
        branch: a branch, or anything `resolve` knows.
        limit: at most so many.
    """
    with project.database.reading() as connection:
        found = store.the_branch(connection, branch)
        if found is not None and not found.head:
            return []
    head = resolve(project, branch)
    with project.database.reading() as connection:
        return store.history(connection, head.id, limit)


def check_branch(project: Project, name: str) -> None:
    """Whether there is a branch of this name.

    Raises:
        NoSuchBranch: there is none.
    """
    with project.database.reading() as connection:
        if store.the_branch(connection, name) is None:
            raise no_such_branch(connection, name)


def no_such_branch(connection: Connection, name: str) -> NoSuchBranch:
    """The error for a branch that is not there, with a near miss."""
    known = [branch.name for branch in store.list_branches(connection)]
    return NoSuchBranch(
        f"There is no branch {name!r}.",
        why=f"There are: {', '.join(known[:10])}.",
        fix=suggest(name, known) or f"Make it: bucle data branch create {name}",
        at=name,
    )


def _start(project: Project, at: str) -> str:
    with project.database.reading() as connection:
        branch = store.the_branch(connection, at)
    return branch.head if branch is not None else resolve(project, at).id


def _kept(connection: Connection, found: Commit) -> Commit:
    """The commit itself; what a branch or tag stands at never expires."""
    gone = store.expired_at(connection, found.id)
    if gone is not None:
        raise CommitExpired(
            f"The data of commit {short(found.id)} was given up at {gone.isoformat()}.",
            why="No branch or tag held it, and it was past its retention; that it was made is still in the log.",
            fix="Read a younger one: bucle data log. Tag what is to stay: bucle data tag create NAME",
            at=found.id,
        )
    return found


def _by_prefix(connection: Connection, at: str) -> Commit:
    is_hex = len(at) >= _SHORTEST_PREFIX and all(digit in "0123456789abcdef" for digit in at)
    found = store.commits_with_prefix(connection, at) if is_hex else []
    if len(found) > 1:
        raise AmbiguousCommit(
            f"Several commits start with {at!r}.", why="It is not clear which is meant.", fix="Give more digits."
        )
    if found:
        return found[0]
    known = [branch.name for branch in store.list_branches(connection)]
    known += [tag["name"] for tag in store.list_tags(connection)]
    raise NoSuchCommit(
        f"Nothing answers to {at!r}: no branch, no tag, no commit.",
        why=f"There are: {', '.join(known[:10])}. A commit is named by its id or at least 4 digits of it.",
        fix=suggest(at, known) or "See what there is: bucle data log",
        at=at,
    )


def _as_of(connection: Connection, branch: Branch, instant: datetime) -> Commit:
    found = store.newest_until(connection, branch.head, instant)
    if found is None:
        raise NoSuchCommit(
            f"Branch {branch.name!r} had no commit at {instant.isoformat()}.",
            why="Its first one is younger.",
            fix="See when it was made: bucle data log",
        )
    return found


def _instant(text: str, at: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if len(text) == _DATE else as_utc(found)
    except ValueError as error:
        raise BadName(
            f"{at!r} is no branch@instant: {error}.", why="", fix="Write it so: main@2013-03-01T00:00:00Z"
        ) from error


def _raise_empty(branch: str) -> Commit:
    raise NoSuchCommit(
        f"Branch {branch!r} has no commit yet.",
        why="There is nothing to read.",
        fix="Land some rows first: data.commit(project, {'table': frame}, message='…')",
        at=branch,
    )
