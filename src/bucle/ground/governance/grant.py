"""Grant: who may read what, who sees what is personal, who may push rows, and who may change tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec.structs import asdict

from bucle.ground.core import NotAllowed, NotFound, Record, UserError
from bucle.ground.governance.tables import GRANTS
from bucle.ground.project import Project

__all__ = ["Action", "Denied", "Grant", "NoSuchGrant", "check", "grant", "grants", "is_allowed", "may", "revoke"]

Action = Literal["read", "unmask", "push", "write"]
Effect = Literal["allow", "deny"]

_BY_DEFAULT: dict[str, bool] = {"read": True, "unmask": False, "push": True, "write": True}
"""What may be done where nothing was said; of `write`, where nothing was said of `push` either."""


class Denied(NotAllowed):
    """The principal may not do this here."""

    code = "BU0402"


class NoSuchGrant(NotFound):
    """Nothing was granted to this principal here."""

    code = "BU0403"


class Grant(Record, frozen=True):
    """What a principal may do, or may not.

    Attributes:
        principal: who; `*` is everybody, `anonymous` who comes without a token.
        action: `read` rows, `unmask`: see personal values as they are, `push` rows to a stream that feeds a table, or
            `write`: commit to a table, make it, drop it, over a protocol.
        subject: the ref it is about, e.g. `table/sales.orders`; `table/raw.*` is every one that begins so, `zone/raw`
            everything that lies in it. A file of the tree is `file/` and its path.
        effect: `allow` or `deny`.
        at: since when.
        by: who granted it.
        reason: why.
    """

    principal: str
    action: Action
    subject: str
    effect: Effect
    at: datetime
    by: str
    reason: str


def grant(
    project: Project, principal: str, action: Action, subject: str, *, effect: Effect = "allow", reason: str = ""
) -> Grant:
    """Allow or deny something; what was said before of the same is replaced.

    Raises:
        UserError: the action is none, or the subject is no ref.
    """
    kind, slash, name = subject.partition("/")
    if action not in _BY_DEFAULT or not (kind and slash and name and principal) or "*" in subject[:-1]:
        raise UserError(
            f"{principal!r} cannot be granted {action!r} on {subject!r}.",
            why="An action is read, unmask, push or write; a subject is a ref, `*` at its end only.",
            fix="Write it like: ana unmask table/sales.orders",
        )
    made = Grant(principal, action, subject, effect, project.clock.now(), project.actor, reason)
    with project.ledger.transaction(
        "governance.granted",
        subject=subject,
        actor=project.actor,
        reason=reason,
        data={"principal": principal, "action": action, "effect": effect},
    ) as transaction:
        transaction.put(GRANTS, asdict(made))
    return made


def revoke(project: Project, principal: str, action: Action, subject: str, *, reason: str = "") -> None:
    """Take back what was allowed or denied.

    Raises:
        NoSuchGrant: nothing was.
    """
    key = {"principal": principal, "action": action, "subject": subject}
    if not any((one.principal, one.action, one.subject) == (principal, action, subject) for one in grants(project)):
        raise NoSuchGrant(
            f"Nothing was said of {principal!r}, {action!r} and {subject!r}.", fix="See: bucle access list", at=subject
        )
    with project.ledger.transaction(
        "governance.revoked", subject=subject, actor=project.actor, reason=reason, data=key
    ) as transaction:
        transaction.delete(GRANTS, key)


def grants(project: Project) -> list[Grant]:
    """All of them, by principal."""
    query = sa.select(GRANTS).order_by(GRANTS.c.principal, GRANTS.c.action, GRANTS.c.subject)
    with project.database.reading() as connection:
        return [Grant(**row._mapping) for row in connection.execute(query)]


def may(project: Project, principal: str, action: Action, subject: str, *, within: str = "") -> bool:
    """Whether a principal may do this: as the narrowest grant says; of two equally narrow ones the denial counts.

    A grant to a principal is narrower than one to `*`, then one about exactly the subject narrower than one about
    many, then a longer subject narrower than a shorter one; what is said of the place it lies in must allow it as well,
    unless the subject itself was named. Where nothing was said, rows may be read, pushed and written, and personal
    values are masked; where nothing was said of writing, who may not push may not write either: it would be a way
    round.

    Args:
        within: the ref of what the subject lies in, e.g. `zone/raw`; '' when it lies in nothing.
    """
    return is_allowed(grants(project), principal, action, subject, within=within)


def is_allowed(
    known: Sequence[Grant],
    principal: str,
    action: Action,
    subject: str,
    *,
    within: str = "",
    default: bool | None = None,
) -> bool:
    """As `may`, of grants that were read before: for who asks of many subjects at once.

    Args:
        default: what holds where nothing was said; as for `may` unless given.
    """
    told = [one for one in known if one.action == action and _is_about(one, principal, (subject, within))]
    if not told and action == "write":
        return is_allowed(known, principal, "push", subject, within=within, default=default)
    if not told:
        return _BY_DEFAULT[action] if default is None else default
    own = [one for one in told if one.principal != "*"] or told
    counting = [one for one in own if one.subject == subject] or [*_narrowest(own, subject), *_narrowest(own, within)]
    return all(one.effect == "allow" for one in counting)


def check(project: Project, principal: str, action: Action, subject: str, *, within: str = "") -> None:
    """Refuse what a principal may not do; arguments as for `may`.

    Raises:
        Denied: it may not.
    """
    if not may(project, principal, action, subject, within=within):
        place = f", which lies in {within}" if within else ""
        raise Denied(
            f"{principal} may not {action} {subject}{place}.",
            why="It was denied, or never allowed.",
            fix=f"Ask who keeps it: bucle access allow {principal} {action} {within or subject}",
            at=subject,
        )


def _is_about(one: Grant, principal: str, subjects: tuple[str, ...]) -> bool:
    return one.principal in (principal, "*") and any(_covers(one.subject, subject) for subject in subjects)


def _narrowest(told: list[Grant], subject: str) -> list[Grant]:
    covering = [one for one in told if _covers(one.subject, subject)]
    longest = max((_width(one) for one in covering), default=(False, 0))
    return [one for one in covering if _width(one) == longest]


def _width(one: Grant) -> tuple[bool, int]:
    return not one.subject.endswith("*"), len(one.subject)


def _covers(granted: str, subject: str) -> bool:
    return subject.startswith(granted[:-1]) if granted.endswith("*") else subject == granted
