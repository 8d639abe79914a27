"""`/diff` and `/reviews`: what changed between two commits, and is it to be let in?"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from bucle.doors.ui.pages.data import At
from bucle.doors.ui.parameters import Limit, Text
from bucle.doors.ui.problems import attempt
from bucle.ground.core import Record, to_builtins
from bucle.ground.governance import ANONYMOUS
from bucle.ground.project import Project
from bucle.line import data, query
from bucle.line.data import ColumnChange, Commit, Protection, Review, ReviewReport, TableDiff
from bucle.line.files import FileDiff

__all__ = ["DiffPage", "ReviewPage", "Reviews", "RowsPage", "diff_page", "review_page", "reviews_page"]

ROWS = 50
"""So many rows are shown of each kind."""

Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Table = Annotated[str, msgspec.Meta(max_length=128, pattern=r"^[A-Za-z0-9_.\-]*$")]


class RowsPage(Record, frozen=True):
    """How the rows of one table differ.

    Attributes:
        table: the table.
        key: columns that name a row; empty when whole rows were compared.
        added: how many rows only the second commit has.
        removed: how many only the first has.
        changed: how many both have and differ.
        columns: what each column holds at both.
        first_added: the first of them, as JSON shows them.
        first_removed: likewise.
        before: the first that changed, as they were.
        after: the same rows, as they are.
    """

    table: str
    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    columns: tuple[ColumnChange, ...]
    first_added: tuple[dict[str, Any], ...]
    first_removed: tuple[dict[str, Any], ...]
    before: tuple[dict[str, Any], ...]
    after: tuple[dict[str, Any], ...]


class DiffPage(Record, frozen=True):
    """What changed from one commit to another.

    Attributes:
        a: the first, as asked for.
        b: the second.
        before: the commit `a` stands for; None when the project has none yet.
        after: the commit `b` stands for; likewise.
        tables: those that differ.
        files: those of the tree that differ, the first of them.
        files_changed: how many differ.
        rows: of the table that was asked for; None when none was.
        problems: what could not be read.
    """

    a: str
    b: str
    before: Commit | None
    after: Commit | None
    tables: tuple[TableDiff, ...]
    files: tuple[FileDiff, ...]
    files_changed: int
    rows: RowsPage | None
    problems: tuple[dict[str, str], ...]


class Reviews(Record, frozen=True):
    """Merges that somebody asks for.

    Attributes:
        reviews: newest first.
        protections: what it takes to move a branch.
    """

    reviews: tuple[Review, ...]
    protections: tuple[Protection, ...]


class ReviewPage(Record, frozen=True):
    """One review.

    Attributes:
        report: what merging would change, and what is in the way.
        tables: those that would change.
    """

    report: ReviewReport
    tables: tuple[TableDiff, ...]


def diff_page(project: Project, *, a: At = "main", b: At = "main", table: Table = "", key: Text = "") -> DiffPage:
    """What changed from one commit to another.

    Args:
        a: a branch, a tag, a commit or the beginning of its id, or `branch@instant`.
        b: another.
        table: show the rows of this one.
        key: columns that name a row, with commas between.
    Raises:
        NoSuchCommit: nothing answers to one of them.
    Cost: of the table asked for, a read of the files that only one side has, and of its columns.
    """
    if not data.log(project, limit=1) and a == b == data.MAIN:
        return DiffPage(a=a, b=b, before=None, after=None, tables=(), files=(), files_changed=0, rows=None, problems=())
    problems = list[dict[str, str]]()
    before, after = data.resolve(project, a), data.resolve(project, b)
    tables = attempt(problems, lambda: data.diff(project, before.id, after.id)) or []
    files = attempt(problems, lambda: data.diff_files(project, before.id, after.id)) or []
    rows = attempt(problems, lambda: _rows(project, table, before, after, key)) if table else None
    return DiffPage(
        a=a,
        b=b,
        before=before,
        after=after,
        tables=tuple(tables),
        files=tuple(files[:ROWS]),
        files_changed=len(files),
        rows=rows,
        problems=tuple(problems),
    )


def reviews_page(project: Project, *, limit: Limit = 100) -> Reviews:
    """Merges that somebody asks for, newest first.

    Args:
        limit: at most so many.
    """
    found = data.reviews(project, state=None, limit=limit)
    return Reviews(reviews=tuple(found), protections=tuple(data.protections(project)))


def review_page(project: Project, *, number: Number) -> ReviewPage:
    """One review: what merging would change, what the contracts say, who approved, what is in the way.

    Args:
        number: its name.
    Raises:
        NoSuchReview: there is none with this number.
        NoSuchBranch: its source is gone.
    """
    report = data.inspect_review(project, number)
    return ReviewPage(report=report, tables=report.tables)


def _rows(project: Project, table: str, before: Commit, after: Commit, key: str) -> RowsPage:
    names = [name.strip() for name in key.split(",") if name.strip()]
    # Pages do not know who looks at them: what is personal is masked on all of them.
    columns = data.diff_columns(project, table, before.id, after.id)
    found = data.diff_rows(project, table, before.id, after.id, key=names)
    found = query.shown_diff(project, found, at=after.id, principal=ANONYMOUS)
    shown = {
        what: tuple(to_builtins(getattr(found, what).head(ROWS).to_dicts()))
        for what in ("added", "removed", "before", "after")
    }
    return RowsPage(
        table=table,
        key=found.key,
        added=found.added.height,
        removed=found.removed.height,
        changed=found.after.height,
        columns=tuple(query.shown_columns(project, table, columns, at=after.id, principal=ANONYMOUS)),
        first_added=shown["added"],
        first_removed=shown["removed"],
        before=shown["before"],
        after=shown["after"],
    )
