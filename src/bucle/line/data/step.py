"""Step: a branch's head on its way to the next, changed by what a verb does to it.

A step is built on the head, put in place by compare and swap, and rebuilt when another commit came between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bucle.ground.core import suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit, TableState, make_commit
from bucle.line.data.errors import NoSuchCommit, NoSuchTable, TableExists
from bucle.line.data.lake import Shelf, staging
from bucle.line.data.names import check_no_view
from bucle.line.data.publish import Move, done_before, publish

if TYPE_CHECKING:
    from bucle.line.data.table import Table

__all__ = ["Step", "check_step_free", "head_at", "move_on", "need_table", "no_table", "table_exists"]


@dataclass
class Step:
    """A head on its way to the next.

    Attributes:
        tables: where each table stands; to be changed in place.
        tree: the file tree; to be changed in place by its digest.
        shelf: takes what is written.
        head: what it starts from.
    """

    tables: dict[str, TableState]
    tree: str
    shelf: Shelf = field(repr=False)
    head: Commit | None = None


def head_at(project: Project, at: str = MAIN) -> Commit | None:
    """The commit a name stands for; None for a branch without one. Errors as for `resolve`."""
    try:
        return resolve(project, at)
    except NoSuchCommit:
        # Tells a branch without a commit from a name that nothing answers to.
        if head_of(project, at) is None:
            return None
        raise


def need_table(project: Project, made: Step, table: str) -> Table:
    """A table of the step's head, ready to be written to.

    Raises:
        NoSuchTable: the head does not hold it.
    """
    from bucle.line.data.table import open_table  # noqa: PLC0415

    found = open_table(project, made.tables.get(table))
    if found is None:
        raise no_table(table, made.tables)
    return found


def move_on(
    project: Project,
    step: Callable[[Step], None],
    *,
    branch: str,
    message: str,
    key: str | None = None,
    is_long: bool = False,
    told: Callable[[], Mapping[str, Any]] = dict,
) -> Commit:
    """Move a branch by what `step` does to its head; called again when another commit came between.

    Args:
        is_long: as of `Move`.
        told: what the event says besides.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    before = dict[str, TableState]()

    def build(head: Commit | None) -> Commit:
        before.clear()
        before.update(head.tables if head else {})
        return _built(project, head, step, message)

    move = Move(
        branch=branch,
        build=build,
        describe=lambda made: {"mode": "iceberg", "tables": _described(before, made), **told()},
        kind="data.committed",
        message=message,
        key=key,
        is_long=is_long,
    )
    return publish(project, move)


def _built(project: Project, head: Commit | None, step: Callable[[Step], None], message: str) -> Commit:
    with staging(project) as shelf:
        made = Step(tables=dict(head.tables) if head else {}, tree=head.files if head else "", shelf=shelf, head=head)
        step(made)
        if head is not None and made.tables == head.tables and made.tree == head.files:
            return head
        check_no_view(project, made.tree, made.tables, head.tables if head else ())
        shelf.settle()
    return make_commit(
        (head.id,) if head else (),
        made.tables,
        made.tree,
        at=project.clock.now(),
        author=project.actor,
        message=message,
    )


def check_step_free(made: Step, table: str) -> None:
    """Whether the step's head has room for a table of this name. Raises TableExists: it has one."""
    if table in made.tables:
        raise table_exists(table)


def table_exists(table: str) -> TableExists:
    """The error for a name that is taken."""
    return TableExists(
        f"There is a table {table!r} already.",
        why="A second one of that name would hide the first.",
        fix="Choose another name, or drop the table first.",
        at=table,
    )


def no_table(table: str, known: Mapping[str, TableState] | tuple[()]) -> NoSuchTable:
    """The error for a table that is not there."""
    listed = sorted(known)
    return NoSuchTable(
        f"There is no table {table[:200]!r}.",
        why=f"There are: {', '.join(listed[:20]) or 'none'}.",
        fix=suggest(table, listed) or "See what there is: bucle data list",
        at=table[:200],
    )


def _described(before: Mapping[str, TableState], made: Commit) -> dict[str, dict[str, Any]]:
    """Table -> what changed, for the event."""
    found = dict[str, dict[str, Any]]()
    for name, state in made.tables.items():
        old = before.get(name)
        if old != state:
            added = state.rows - (old.rows if old else 0)
            found[name] = {"rows_added": max(added, 0), "rows": state.rows, "digest": state.digest}
    return found
