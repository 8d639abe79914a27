"""ReviewReport: what merging a review would change, what speaks against it, and the merge itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, make_ref
from bucle.ground.governance import Approval, read_approvals
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line import contracts
from bucle.line.contracts import Contract, ContractReport
from bucle.line.data.branches import head_of
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.diff import TableDiff, diff_tables
from bucle.line.data.errors import Conflict, ReviewBlocked
from bucle.line.data.guarded import referred, rows_of
from bucle.line.data.mask import mask_report
from bucle.line.data.merge import merged
from bucle.line.data.protection import protection_of
from bucle.line.data.publish import Move, done_before, publish
from bucle.line.data.review import Review, check_open, opened, review, source_of
from bucle.line.data.tables import REVIEWS
from bucle.line.files import unshared

__all__ = ["ReviewReport", "inspect_review", "merge_review"]


class ReviewReport(Record, frozen=True):
    """What merging would do, and what speaks against it.

    Attributes:
        review: what is asked.
        head: the commit the source stands at; approvals are for exactly this one.
        target: the commit the target stands at; '' before its first.
        tables: what would change in the target, by table.
        files: paths of the file tree that would change.
        checks: what the contracts of these tables say of them as they would be.
        approvals: who said yes to this head.
        needed: how many approvals the target wants.
        problems: why it cannot be merged now; empty when it can.
    """

    review: Review
    head: str
    target: str
    tables: tuple[TableDiff, ...]
    files: tuple[str, ...]
    checks: tuple[ContractReport, ...]
    approvals: tuple[Approval, ...]
    needed: int
    problems: tuple[str, ...]


def inspect_review(project: Project, number: int) -> ReviewReport:
    """What merging would change, what the contracts say of it, who approved, and what is still in the way.

    Raises:
        NoSuchReview: there is none with this number.
        NoSuchBranch: one of its branches is gone.
    Cost: a merge, and a read of the tables that change and have a contract.
    """
    found = review(project, number)
    theirs, ours = source_of(project, found), head_of(project, found.target)
    proposed, conflict = None, ""
    try:
        proposed = merged(project, ours, theirs, found.title)
    except Conflict as error:
        conflict = error.what
    checks = _checks(project, contracts.of_project(project), ours, proposed) if proposed else ()
    with project.database.reading() as connection:
        said, needed = _approved(connection, found, theirs)
    problems = [conflict] if conflict else list(_broken(checks))
    problems += [f"It is {found.state}."] if found.state != "open" else []
    problems += [_missing(len(said), needed)] if len(said) < needed else []
    return ReviewReport(
        review=found,
        head=theirs.id,
        target=ours.id if ours else "",
        tables=tuple(diff_tables(project, ours.tables if ours else {}, proposed.tables)) if proposed else (),
        files=tuple(_changed_files(project, ours, proposed)) if proposed else (),
        checks=checks,
        approvals=said,
        needed=needed,
        problems=tuple(problems),
    )


def merge_review(project: Project, number: int, *, key: str | None = None) -> Commit:
    """Merge what a review asks for; on a protected branch this is the way.

    The contracts are asked of the tables as they will be, and the approvals are counted in the transaction that moves
    the branch.

    Returns:
        The target's new head.
    Raises:
        NoSuchReview: there is none with this number.
        ReviewClosed: it was merged or closed before.
        ReviewBlocked: a contract is broken, or approvals are missing.
        Conflict: both branches changed the same thing.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    found = opened(project, number)
    theirs = source_of(project, found)
    rules = contracts.of_project(project)

    def build(head: Commit | None) -> Commit:
        proposed = merged(project, head, theirs, found.title)
        for broken in _broken(_checks(project, rules, head, proposed)):
            raise _blocked(number, broken)
        return proposed

    def close(transaction: Transaction) -> None:
        check_open(transaction, number)
        said, needed = _approved(transaction.connection, found, theirs)
        if len(said) < needed:
            raise _blocked(number, _missing(len(said), needed))
        transaction.update(REVIEWS, {"number": number}, {"state": "merged", "merged": transaction.data["commit"]})

    move = Move(
        branch=found.target,
        build=build,
        describe=lambda _: {"source": found.source, "merged": theirs.id, "review": number},
        kind="data.merged",
        message=found.title,
        key=key,
        also=close,
        way="review",
    )
    return publish(project, move)


def _checks(
    project: Project, rules: Mapping[str, Contract], ours: Commit | None, proposed: Commit
) -> tuple[ContractReport, ...]:
    """What the contracts say of the tables that change, as they would be."""
    before = ours.tables if ours else {}
    changed = [
        state
        for name, state in proposed.tables.items()
        if name in rules and (name not in before or before[name].digest != state.digest)
    ]
    # A merge that is only tried has no commit that could be asked for its tags; what comes in has.
    incoming = proposed.parents[-1] if len(proposed.parents) > 1 else proposed.id
    reports = (_check(project, rules[state.name], proposed, state) for state in changed)
    return tuple(mask_report(project, report, incoming) for report in reports)


def _check(project: Project, contract: Contract, proposed: Commit, state: TableState) -> ContractReport:
    others = referred(project, contract, proposed, {}, "append")
    return contracts.check(rows_of(project, state), contract, tables=others, at=project.clock.now())


def _broken(checks: tuple[ContractReport, ...]) -> Iterator[str]:
    return (one.breaches[0].sentence() for one in checks if not one.passed)


def _approved(connection: Connection, found: Review, theirs: Commit) -> tuple[tuple[Approval, ...], int]:
    """Who said yes to exactly this head, and how many must."""
    rules = protection_of(connection, found.target)
    said = read_approvals(connection, make_ref("review", str(found.number)), digest=theirs.id)
    return tuple(said), rules.approvals if rules else 0


def _changed_files(project: Project, ours: Commit | None, proposed: Commit) -> Iterator[str]:
    before, after = unshared(project, ours.files if ours else "", proposed.files)
    return (path for path in sorted({*before, *after}) if before.get(path) != after.get(path))


def _missing(said: int, needed: int) -> str:
    return f"It has {said} of {needed} approvals of what stands there now."


def _blocked(number: int, problem: str) -> ReviewBlocked:
    return ReviewBlocked(
        f"Review {number} cannot be merged: {problem}",
        why="Nothing of it is visible to readers.",
        fix=f"See all that is in the way: bucle data review show {number}",
        at=str(number),
    )
