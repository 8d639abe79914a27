"""Merge: bring what happened on one branch to another."""

from __future__ import annotations

from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit, make_commit
from bucle.line.data.publish import Move, done_before, publish
from bucle.line.data.threeway import three_way
from bucle.line.data.tree import check_records

__all__ = ["merge", "merged"]


def merge(project: Project, source: str, into: str = MAIN, *, message: str, key: str | None = None) -> Commit:
    """Bring what happened on one branch to another.

    When `into` has not moved since they parted it simply takes the source's head. Otherwise each table and file that
    only one side changed is taken from that side, and a table to which both only added rows gets the rows of both,
    those of `into` first; in a commit with two parents.

    Args:
        source: a branch, or a commit.
        into: the branch that moves.
        key: an idempotency key.
    Returns:
        The head of `into` afterwards.
    Raises:
        Conflict: both changed the same file, or a table in another way than by adding rows.
        BadPath: one has a file where the other has a folder.
        BadDataset: a table's record that comes cannot be understood.
        NoSuchBranch, NoSuchCommit: one of them is not there.
    Cost: no row is read or written; of a table both added to, one manifest is written.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    theirs, ours = resolve(project, source), head_of(project, into)
    if ours is not None and key is None and _is_ancestor(project, theirs, ours):
        return ours
    move = Move(
        branch=into,
        build=lambda head: merged(project, head, theirs, message),
        describe=lambda _: {"source": source, "merged": theirs.id},
        kind="data.merged",
        message=message,
        key=key,
    )
    return publish(project, move)


def merged(project: Project, ours: Commit | None, theirs: Commit, message: str) -> Commit:
    """What a branch that stands at `ours` becomes by a merge of `theirs`; errors as for `merge`."""
    if ours is None or _is_ancestor(project, ours, theirs):
        check_records(project, ours.files if ours else "", theirs.files)
        return theirs
    if _is_ancestor(project, theirs, ours):
        return ours
    tables, tree = three_way(project, _parting(project, ours, theirs), ours, theirs)
    return make_commit(
        (ours.id, theirs.id),
        tables,
        tree,
        at=project.clock.now(),
        author=project.actor,
        message=message,
    )


def _is_ancestor(project: Project, old: Commit, young: Commit) -> bool:
    with project.database.reading() as connection:
        return store.is_ancestor(connection, old.id, young.id)


def _parting(project: Project, ours: Commit, theirs: Commit) -> Commit | None:
    with project.database.reading() as connection:
        found = store.parting(connection, ours.id, theirs.id)
        return store.commit_of(connection, found) if found else None
