"""Pick: take what one commit did, or its opposite, to a branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from bucle.ground.core import short
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit, TableState, make_commit
from bucle.line.data.errors import EmptyCommit
from bucle.line.data.publish import Move, done_before, publish
from bucle.line.data.threeway import three_way

__all__ = ["Given", "State", "cherry_pick", "give_state", "revert"]


def cherry_pick(
    project: Project, commit: str, into: str = MAIN, *, message: str = "", key: str | None = None
) -> Commit:
    """Do on a branch what one commit did where it was made.

    Args:
        commit: whose change is taken, against its first parent.
        into: the branch that moves.
        message: why; the commit's own unless given.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        Conflict: the branch changed the same table or file in a way that cannot be put together.
        EmptyCommit: the branch has all of it already.
        NoSuchBranch, NoSuchCommit: one of them is not there.
    Cost: as for a merge.
    """
    return _apply(project, commit, into, "pick", message=message, key=key)


def revert(project: Project, commit: str, branch: str = MAIN, *, message: str = "", key: str | None = None) -> Commit:
    """Undo on a branch what one commit did; what happened since stays, and so does the history.

    Args:
        commit: whose change is undone, against its first parent; of a merge that is all it brought in.
        branch: the branch that moves.
        message: why; `revert: …` unless given.
        key: an idempotency key.
    Returns:
        The branch's new head.
    Raises:
        Conflict: the same file was changed since, or the table in another way than by adding rows before or after.
        EmptyCommit: nothing of it is left to undo.
        NoSuchBranch, NoSuchCommit: one of them is not there.
    Cost: as for a merge.
    """
    return _apply(project, commit, branch, "revert", message=message, key=key)


def _apply(
    project: Project, commit: str, branch: str, how: Literal["pick", "revert"], *, message: str, key: str | None
) -> Commit:
    done = done_before(project, key)
    if done is not None:
        return done
    of = resolve(project, commit)
    parent = _first_parent(project, of)
    base, theirs = (parent, of) if how == "pick" else (of, parent)
    why = message or (of.message if how == "pick" else f"revert: {of.message}")

    def state(head: Commit | None) -> State:
        ours = head if head is not None else _nothing(project, why)
        return three_way(project, base, ours, theirs, how=how)

    kind = "data.picked" if how == "pick" else "data.reverted"
    return give_state(project, branch, state, Given(of=of, kind=kind, message=why, key=key))


State = tuple[dict[str, TableState], str]
"""The tables and the file tree of a commit."""


class Given(NamedTuple):
    """What a branch is given the state of, and how that is told.

    Attributes:
        of: the commit it comes from.
        kind: of the event.
        message: why.
        key: an idempotency key.
        told: more for the event.
    """

    of: Commit
    kind: str
    message: str
    key: str | None
    told: Mapping[str, Any] = MappingProxyType({})


def give_state(project: Project, branch: str, state: Callable[[Commit | None], State], given: Given) -> Commit:
    """Move a branch to a commit with the state that follows from its head.

    Raises:
        EmptyCommit: the head has it already.
    """

    def build(head: Commit | None) -> Commit:
        tables, tree = state(head)
        if (tables, tree) == ((head.tables, head.files) if head is not None else ({}, "")):
            raise EmptyCommit(
                f"Nothing of commit {short(given.of.id)} is left to do on branch {branch!r}.",
                why="The branch would stay as it is.",
                fix=f"See what the commit did: bucle data log --branch {branch}",
                at=given.of.id,
            )
        parents = (head.id,) if head is not None else ()
        return make_commit(parents, tables, tree, at=project.clock.now(), author=project.actor, message=given.message)

    move = Move(
        branch=branch,
        build=build,
        describe=lambda _: {"of": given.of.id, **given.told},
        kind=given.kind,
        message=given.message,
        key=given.key,
    )
    return publish(project, move)


def _nothing(project: Project, message: str) -> Commit:
    return make_commit((), {}, "", at=project.clock.now(), author=project.actor, message=message)


def _first_parent(project: Project, commit: Commit) -> Commit | None:
    if not commit.parents:
        return None
    with project.database.reading() as connection:
        return store.commit_of(connection, commit.parents[0])
