"""Review: somebody asks that a branch be merged; others look at it and say yes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec.structs import asdict, replace

from bucle.ground.core import Record, make_ref
from bucle.ground.governance import Approval, OwnWork, approve
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import check_branch, head_of, resolve
from bucle.line.data.commit import Commit
from bucle.line.data.errors import EmptyCommit, NoSuchReview, ReviewClosed
from bucle.line.data.tables import REVIEWS

__all__ = [
    "Review",
    "ReviewState",
    "approve_review",
    "check_open",
    "close_review",
    "open_review",
    "opened",
    "review",
    "reviews",
    "source_of",
]

ReviewState = Literal["open", "merged", "closed"]


class Review(Record, frozen=True):
    """A merge that somebody asks for.

    Attributes:
        number: its name.
        source: the branch that is to be merged.
        target: the branch that is to move.
        title: why, for people.
        author: who asks.
        at: when it was opened.
        state: where it stands.
        merged: the commit it became; '' before.
    """

    number: int
    source: str
    target: str
    title: str
    author: str
    at: datetime
    state: ReviewState
    merged: str


def open_review(project: Project, source: str, into: str = MAIN, *, title: str, key: str | None = None) -> Review:
    """Ask that a branch be merged into another.

    Args:
        source: the branch; what is committed to it later belongs to the review, and needs new approvals.
        into: the branch that is to move.
        title: why, for people.
        key: an idempotency key.
    Raises:
        NoSuchBranch: one of them is not there.
        NoSuchCommit: the source has no commit yet.
        EmptyCommit: the target has all that the source has.
    """
    for branch in (source, into):
        check_branch(project, branch)
    theirs, ours = resolve(project, source), head_of(project, into)
    with project.database.reading() as connection:
        is_merged = ours is not None and store.is_ancestor(connection, theirs.id, ours.id)
    if is_merged:
        raise EmptyCommit(
            f"{into!r} has all that {source!r} has.",
            why="There is nothing to review.",
            fix=f"Commit to {source!r} first.",
            at=source,
        )
    with project.ledger.transaction(
        "data.review_opened", subject=make_ref("branch", into), actor=project.actor, reason=title, key=key
    ) as transaction:
        made = Review(
            number=store.next_review(transaction.connection),
            source=source,
            target=into,
            title=title,
            author=project.actor,
            at=project.clock.now(),
            state="open",
            merged="",
        )
        transaction.insert(REVIEWS, asdict(made))
        transaction.data.update(review=made.number, source=source, target=into, commit=theirs.id)
    return made


def reviews(project: Project, *, state: ReviewState | None = "open", limit: int = 100) -> list[Review]:
    """Reviews, newest first.

    Args:
        state: only those that stand so; None for all.
        limit: at most so many.
    """
    with project.database.reading() as connection:
        return [Review(**row) for row in store.list_reviews(connection, state, limit)]


def review(project: Project, number: int) -> Review:
    """One review.

    Raises:
        NoSuchReview: there is none with this number.
    """
    with project.database.reading() as connection:
        row = store.the_review(connection, number)
    if row is None:
        raise NoSuchReview(
            f"There is no review {number}.", why="", fix="See those there are: bucle data review list", at=str(number)
        )
    return Review(**row)


def approve_review(project: Project, number: int, *, principal: str = "", reason: str = "") -> Approval:
    """Say yes to a review as its source stands now; what is committed to it later is not approved by this.

    Args:
        principal: who says yes; the project's actor unless given.
        reason: why.
    Raises:
        NoSuchReview: there is none with this number.
        ReviewClosed: it was merged or closed before.
        OwnWork: who says yes asked for it, or made one of its commits.
    """
    found, who = opened(project, number), principal or project.actor
    theirs = source_of(project, found)
    if who in _authors(project, found, theirs):
        raise OwnWork(
            f"{who} made a commit of review {number} and cannot approve it.",
            why="Four eyes see more than two.",
            fix=f"Ask somebody else: bucle data review approve {number} --as NAME",
            at=str(number),
        )
    subject = make_ref("review", str(number))
    return approve(project, subject, digest=theirs.id, principal=who, author=found.author, reason=reason)


def close_review(project: Project, number: int, *, reason: str = "") -> Review:
    """Close a review without merging it.

    Raises:
        NoSuchReview: there is none with this number.
        ReviewClosed: it was merged or closed before.
    """
    found = opened(project, number)
    with project.ledger.transaction(
        "data.review_closed",
        subject=make_ref("branch", found.target),
        actor=project.actor,
        reason=reason,
        data={"review": number},
    ) as transaction:
        check_open(transaction, number)
        transaction.update(REVIEWS, {"number": number}, {"state": "closed"})
    return replace(found, state="closed")


def opened(project: Project, number: int) -> Review:
    """A review that is open.

    Raises:
        NoSuchReview: there is none with this number.
        ReviewClosed: it was merged or closed before.
    """
    found = review(project, number)
    if found.state != "open":
        raise _closed(number, found.state)
    return found


def check_open(transaction: Transaction, number: int) -> None:
    """Whether a review is still open, in the transaction that ends it.

    Raises:
        ReviewClosed: it is not.
    """
    row = store.the_review(transaction.connection, number)
    if row is None or row["state"] != "open":
        raise _closed(number, row["state"] if row else "gone")


def source_of(project: Project, found: Review) -> Commit:
    """The commit a review's source stands at; of one that was merged, what it became.

    Raises:
        NoSuchBranch: the branch is gone.
        NoSuchCommit: it has no commit.
    """
    if found.merged:
        return resolve(project, found.merged)
    check_branch(project, found.source)
    return resolve(project, found.source)


def _authors(project: Project, found: Review, theirs: Commit) -> set[str]:
    """Who asked, and who made what would come in."""
    ours = head_of(project, found.target)
    with project.database.reading() as connection:
        known = store.ancestors(connection, ours.id) if ours else {}
        commits = store.history(connection, theirs.id, None)
    return {found.author, *(commit.author for commit in commits if commit.id not in known)}


def _closed(number: int, state: str) -> ReviewClosed:
    return ReviewClosed(
        f"Review {number} is {state}.",
        why="What was merged or closed stays so.",
        fix="Open another one: bucle data review open BRANCH --title TEXT",
        at=str(number),
    )
