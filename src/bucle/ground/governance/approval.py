"""Approval: somebody's yes to exactly these bytes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy.engine import Connection

from bucle.ground.core import NotAllowed, Record
from bucle.ground.governance.tables import APPROVALS
from bucle.ground.ledger import AlreadyDone
from bucle.ground.project import Project

__all__ = ["Approval", "OwnWork", "approvals", "approve", "read_approvals"]


class OwnWork(NotAllowed):
    """Nobody approves their own work."""

    code = "BU0401"


class Approval(Record, frozen=True):
    """A yes, bound to the digest of what was looked at.

    Attributes:
        subject: the ref approved, e.g. `model/flights@3`.
        digest: the content it had; another content is not approved.
        principal: who said yes: a person, or `policy:…`.
        at: when.
        reason: why.
    """

    subject: str
    digest: str
    principal: str
    at: datetime
    reason: str


def approve(project: Project, subject: str, *, digest: str, principal: str, author: str, reason: str) -> Approval:
    """Say yes to a thing with exactly this content. Saying it twice changes nothing.

    Args:
        author: who made it; four eyes are needed, so it cannot be `principal`.
    Raises:
        OwnWork: author and principal are the same.
    """
    if principal == author:
        raise OwnWork(
            f"{principal} made {subject} and cannot approve it.",
            why="Four eyes see more than two.",
            fix=f"Ask somebody else: bucle model approve {subject} --as NAME",
        )
    approval = Approval(subject=subject, digest=digest, principal=principal, at=project.clock.now(), reason=reason)
    key = f"approve/{subject}/{digest}/{principal}"
    try:
        with project.ledger.transaction(
            "governance.approved", subject=subject, actor=principal, reason=reason, key=key, data={"digest": digest}
        ) as transaction:
            transaction.insert(APPROVALS, asdict(approval))
    except AlreadyDone:
        return next(a for a in approvals(project, subject, digest=digest) if a.principal == principal)
    return approval


def approvals(project: Project, subject: str, *, digest: str) -> list[Approval]:
    """Every yes to this thing with this content, oldest first."""
    with project.database.reading() as connection:
        return read_approvals(connection, subject, digest=digest)


def read_approvals(connection: Connection, subject: str, *, digest: str) -> list[Approval]:
    """As `approvals`, on a connection that is open."""
    query = sa.select(APPROVALS).where(APPROVALS.c.subject == subject, APPROVALS.c.digest == digest)
    rows = connection.execute(query.order_by(APPROVALS.c.at, APPROVALS.c.principal))
    return [Approval(**row._mapping) for row in rows]
