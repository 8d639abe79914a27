"""Protection: what it takes to move a branch."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from sqlalchemy.engine import Connection

from bucle.ground.core import BadName, Record, check_name, decode, encode, make_ref
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.errors import BranchProtected, NoSuchProtection
from bucle.line.data.tables import PROTECTIONS

__all__ = ["Protection", "Way", "check_way", "protect", "protection_of", "protections", "unprotect"]

Way = Literal["commit", "landing", "review"]
"""How a branch is moved: by who writes to it, by a batch that kept its contracts, or by a review."""


class _Rules(Record, frozen=True):
    approvals: int
    landings: bool


class Protection(Record, frozen=True):
    """What it takes to move a branch that is protected: a review, or a landing.

    Attributes:
        branch: its name; `*` stands for anything, e.g. `release-*`.
        approvals: so many others must have approved a review of exactly what is merged, 0 or more.
        landings: whether a batch whose tables all have contracts, and keep them, may land without a review.
    """

    branch: str
    approvals: int = 1
    landings: bool = True


def protect(project: Project, branch: str, *, approvals: int = 1, landings: bool = True) -> Protection:
    """Let a branch move by reviews and landings only, and never be removed.

    Args:
        branch: its name, or a pattern with `*`; protecting it again gives it these rules instead.
        approvals: as in `Protection`.
        landings: as in `Protection`.
    Raises:
        BadName: it can be no branch's name or pattern, or approvals are negative.
    """
    check_name(branch.replace("*", "x"), "branch name or pattern")
    if approvals < 0:
        raise BadName(f"A review cannot need {approvals} approvals.", why="", fix="Give 0 or more.", at="approvals")
    made = Protection(branch=branch, approvals=approvals, landings=landings)
    rules = encode(_Rules(approvals=approvals, landings=landings)).decode()
    with project.ledger.transaction(
        "data.protected",
        subject=make_ref("branch", branch),
        actor=project.actor,
        data={"branch": branch, "approvals": approvals, "landings": landings},
    ) as transaction:
        transaction.put(
            PROTECTIONS, {"branch": branch, "rules": rules, "at": project.clock.now(), "actor": project.actor}
        )
    return made


def unprotect(project: Project, branch: str) -> None:
    """Take a protection away.

    Raises:
        NoSuchProtection: there is none with exactly this name or pattern.
    """
    with project.ledger.transaction(
        "data.unprotected", subject=make_ref("branch", branch), actor=project.actor, data={"branch": branch}
    ) as transaction:
        known = [one.branch for one in _read(transaction.connection)]
        if branch not in known:
            raise NoSuchProtection(
                f"No protection is called {branch[:200]!r}.",
                why=f"There are: {', '.join(known) or 'none'}.",
                fix="Name it as it was made: bucle data protect list",
                at=branch[:200],
            )
        transaction.delete(PROTECTIONS, {"branch": branch})


def protections(project: Project) -> list[Protection]:
    """Every protection by name."""
    with project.database.reading() as connection:
        return list(_read(connection))


def protection_of(connection: Connection, branch: str) -> Protection | None:
    """What protects a branch: all that match it together, the strictest of each rule; None when nothing does."""
    found = [one for one in _read(connection) if fnmatchcase(branch, one.branch)]
    if not found:
        return None
    return Protection(
        branch=branch,
        approvals=max(one.approvals for one in found),
        landings=all(one.landings for one in found),
    )


def check_way(connection: Connection, branch: str, way: Way) -> None:
    """Whether a branch may be moved so.

    Raises:
        BranchProtected: it may not.
    """
    found = protection_of(connection, branch)
    if found is None or way == "review" or (way == "landing" and found.landings):
        return
    by = "a review, or a batch that keeps its contracts" if found.landings else "a review"
    raise BranchProtected(
        f"The branch {branch!r} is protected; it moves by {by}.",
        why="Nothing of this is visible.",
        fix="Commit to a branch of your own and ask for a review: bucle data review open BRANCH "
        f"--into {branch} --title TEXT",
        at=branch,
    )


def _read(connection: Connection) -> Iterable[Protection]:
    for row in store.protections_of(connection):
        rules = decode(row["rules"], _Rules, what="protection")
        yield Protection(branch=row["branch"], approvals=rules.approvals, landings=rules.landings)
