"""Restore: a branch, or some of its tables, as they were at a commit; what happened since stays in the history."""

from __future__ import annotations

from collections.abc import Sequence

from bucle.ground.core import short, suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import NoSuchTable
from bucle.line.data.pick import Given, State, give_state
from bucle.line.data.publish import done_before

__all__ = ["restore"]


def restore(
    project: Project,
    commit: str,
    branch: str = MAIN,
    *,
    tables: Sequence[str] = (),
    message: str = "",
    key: str | None = None,
) -> Commit:
    """Give a branch the state of an earlier commit, as a new commit. No row is written: tables point where they did.

    Args:
        commit: the state that is wanted: a commit, tag or branch, `main@2013-03-01T00:00:00Z`.
        branch: the branch that moves.
        tables: only these; all tables and files unless given. One that the commit does not have cannot be meant.
        message: why; `restore: …` unless given.
        key: an idempotency key.
    Returns:
        The branch's new head; digests of what was restored are those of the commit.
    Raises:
        EmptyCommit: the branch is so already.
        NoSuchTable: the commit does not have a table that is named.
        NoSuchBranch, NoSuchCommit: one of them is not there.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    of = resolve(project, commit)
    for name in tables:
        _check_table(of, name)
    why = message or f"restore: {of.message}"
    given = Given(of=of, kind="data.restored", message=why, key=key, told={"only": list(tables)})
    return give_state(project, branch, lambda head: _state(of, head, tables), given)


def _state(of: Commit, head: Commit | None, tables: Sequence[str]) -> State:
    if not tables:
        return dict(of.tables), of.files
    before = head.tables if head is not None else {}
    files = head.files if head is not None else ""
    return {**before, **{name: of.tables[name] for name in tables}}, files


def _check_table(of: Commit, name: str) -> None:
    if name not in of.tables:
        raise NoSuchTable(
            f"Commit {short(of.id)} has no table {name!r}. {suggest(name, of.tables)}".rstrip(),
            why=f"It has: {', '.join(of.tables) or 'none'}.",
            fix="Name a table it has, or none for all of its state.",
            at=name,
        )
