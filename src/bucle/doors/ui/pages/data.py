"""`/data`: what changed since last time, is it fit?"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any

import msgspec

from bucle.doors.ui.parameters import Name
from bucle.doors.ui.problems import attempt
from bucle.ground.core import Record, make_ref, to_builtins
from bucle.ground.governance import ANONYMOUS
from bucle.ground.ledger import Edge, Event
from bucle.ground.project import Project
from bucle.line import contracts, data, query
from bucle.line.contracts import Contract
from bucle.line.data import Branch, Commit, Health, Snapshot, Tag, Use, Verdict

__all__ = ["At", "Change", "Data", "TablePage", "TableRow", "data_page", "table"]

At = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:+@\-]*$")]

SAMPLE = 50
"""So many rows are shown of a table."""

VERDICTS = 30
"""So many batches are shown with what the contract said of them."""


USES = 20
"""So many uses are shown of a table."""


class TableRow(Record, frozen=True):
    """A table at a commit.

    Attributes:
        snapshot: where it stands.
        growth: rows after each of the last commits, oldest first.
        contract: whether `contracts/` holds one for it.
        health: how it is now; None when that could not be read.
    """

    snapshot: Snapshot
    growth: tuple[int, ...]
    contract: bool
    health: Health | None


class Change(Record, frozen=True):
    """A commit with what it changed.

    Attributes:
        commit: the commit.
        rows: table -> rows more or fewer than in its parent.
    """

    commit: Commit
    rows: dict[str, int]


class Data(Record, frozen=True):
    """Every table at a commit, with the history that led there.

    Attributes:
        at: what was asked for: a branch or a commit.
        commit: what that is; None before the first commit.
        tables: at that commit.
        changes: the last commits, newest first.
        branches: by name.
        tags: by name.
        reviews: how many are open.
        refused: batches that broke a contract, newest first.
        problems: what could not be read.
    """

    at: str
    commit: Commit | None
    tables: tuple[TableRow, ...]
    changes: tuple[Change, ...]
    branches: tuple[Branch, ...]
    tags: tuple[Tag, ...]
    reviews: int
    refused: tuple[Event, ...]
    problems: tuple[dict[str, str], ...]


class TablePage(Record, frozen=True):
    """One table at a commit.

    Attributes:
        at: what was asked for.
        snapshot: where the table stands.
        sample: its newest rows, as JSON shows them.
        contract: what its batches must be like; None when there is none.
        changes: commits that changed it, newest first.
        verdicts: what its contract said of the last batches, newest first.
        users: what was made of it as it is or was, of the newest commit first.
        health: what is known of it, how it is and how it was; None when that could not be read.
        uses: who trained on it and what for, newest first.
        problems: what could not be read.
    """

    at: str
    snapshot: Snapshot
    sample: tuple[dict[str, Any], ...]
    contract: Contract | None
    changes: tuple[Change, ...]
    verdicts: tuple[Verdict, ...]
    users: tuple[Edge, ...]
    health: Health | None
    uses: tuple[Use, ...]
    problems: tuple[dict[str, str], ...]


def data_page(project: Project, *, at: At = "main") -> Data:
    """Every table at a commit.

    Args:
        at: a branch, a commit or the beginning of its id, or `branch@instant`.
    Raises:
        NoSuchCommit: nothing answers to `at`.
    """
    problems = list[dict[str, str]]()
    history = data.log(project, at, limit=60)
    kept = attempt(problems, lambda: contracts.of_project(project)) or {}
    commit = history[0] if history else None
    found = attempt(problems, partial(data.healths, project, at=commit.id)) if commit else None
    healths = {one.table: one for one in found or ()}
    refused = project.ledger.events(kinds=["data.refused"], limit=20, newest_first=True)
    rows = []
    for name in sorted(commit.tables if commit else ()):
        snapshot = attempt(problems, partial(data.snapshot, project, name, at=commit.id if commit else at))
        if snapshot is not None:
            growth = tuple(one.tables[name].rows for one in history[:24][::-1] if name in one.tables)
            rows.append(TableRow(snapshot=snapshot, growth=growth, contract=name in kept, health=healths.get(name)))
    return Data(
        at=at,
        commit=commit,
        tables=tuple(rows),
        changes=tuple(_changes(history)),
        branches=tuple(data.branches(project)),
        tags=tuple(data.tags(project)),
        reviews=len(data.reviews(project)),
        refused=tuple(data.told_to_all(project, refused)),
        problems=(*problems, *_unwell([row.health for row in rows])),
    )


def _unwell(healths: Iterable[Health | None]) -> list[dict[str, str]]:
    """What could not be read of tables, as parts of a page that cannot be read are told."""
    return [{"code": "", "what": f"{one.table}: {one.problem}"} for one in healths if one and one.problem]


def table(project: Project, *, table: Name, at: At = "main") -> TablePage:
    """One table at a commit.

    Args:
        table: its name.
        at: a branch, a commit or the beginning of its id, or `branch@instant`.
    Raises:
        NoSuchTable: the commit does not hold it.
        NoSuchCommit: nothing answers to `at`.
    Cost: a read of the table's last rows.
    """
    problems = list[dict[str, str]]()
    snapshot = data.snapshot(project, table, at=at)
    # Pages do not know who looks at them: what is personal is masked on all of them.
    read = partial(query.preview, project, table, at=snapshot.commit, limit=SAMPLE, offset=-SAMPLE, principal=ANONYMOUS)
    shown = attempt(problems, read)
    kept = attempt(problems, lambda: contracts.of_project(project)) or {}
    history = data.log(project, snapshot.commit, limit=120)
    changes = [one for one in _changes(history) if table in one.rows]
    health = attempt(problems, lambda: data.health(project, table, at=snapshot.commit))
    return TablePage(
        at=at,
        snapshot=snapshot,
        sample=tuple(to_builtins(shown.rows[::-1] if shown else ())),
        contract=kept.get(table),
        changes=tuple(changes),
        verdicts=health.batches[: -VERDICTS - 1 : -1] if health else (),
        users=_users(project, table, history),
        health=health,
        uses=tuple(data.uses(project, table, limit=USES)),
        problems=(*problems, *_unwell([health])),
    )


def _users(project: Project, table: str, history: list[Commit]) -> tuple[Edge, ...]:
    """What was made of a table as it stood in these commits, of the newest commit first."""
    held = [commit.id for commit in history if table in commit.tables]
    refs = [ref for commit in held for ref in (make_ref("commit", commit), make_ref("table", table, commit))]
    age = {str(ref): place for place, ref in enumerate(refs)}
    found = project.ledger.edges_of(refs, upstream=False)
    used = [edge for edge in found if not edge.target.startswith(("table/", "commit/"))]
    return tuple(sorted(used, key=lambda edge: (age[edge.source], edge.target)))


def _changes(history: list[Commit]) -> list[Change]:
    known = {commit.id: commit for commit in history}
    found = []
    for commit in history:
        before = known.get(commit.parents[0]) if commit.parents else None
        if commit.parents and before is None:
            continue
        held = before.tables if before else {}
        rows = {
            name: state.rows - (held[name].rows if name in held else 0)
            for name, state in commit.tables.items()
            if name not in held or held[name].digest != state.digest
        }
        found.append(Change(commit=commit, rows=rows))
    return found
