"""Token: what a program shows to be taken for a principal. Only its digest is kept."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from bucle.ground.core import NotAllowed, digest_of
from bucle.ground.governance.tables import TOKENS
from bucle.ground.project import Project

__all__ = ["ANONYMOUS", "BadToken", "make_token", "principal_of", "revoke_tokens"]

ANONYMOUS = "anonymous"
"""Who comes without a token."""

_PREFIX = "bucle_"


class BadToken(NotAllowed):
    """The token is not, or no longer, known."""

    code = "BU0404"
    http_status = 401


def make_token(project: Project, principal: str) -> str:
    """A token of a principal: 256 random bits, shown once."""
    token = _PREFIX + secrets.token_urlsafe(32)
    row = {"digest": digest_of(token.encode()), "principal": principal, "at": project.clock.now(), "by": project.actor}
    with project.ledger.transaction(
        "governance.token_made", subject=f"principal/{principal}", actor=project.actor
    ) as transaction:
        transaction.insert(TOKENS, row)
    return token


def revoke_tokens(project: Project, principal: str) -> int:
    """Take back every token of a principal; how many there were."""
    with project.ledger.transaction(
        "governance.tokens_revoked", subject=f"principal/{principal}", actor=project.actor
    ) as transaction:
        return transaction.delete_all(TOKENS, {"principal": principal})


def principal_of(project: Project, authorization: str) -> str:
    """Whom a header `Authorization` stands for; `anonymous` when it is empty.

    Raises:
        BadToken: it bears a token that nobody has.
    """
    if not authorization.strip():
        return ANONYMOUS
    scheme, _, token = authorization.strip().partition(" ")
    query = sa.select(TOKENS.c.principal).where(TOKENS.c.digest == digest_of(token.strip().encode()))
    with project.database.reading() as connection:
        found = connection.execute(query).scalar()
    if scheme.lower() != "bearer" or found is None:
        raise BadToken(
            "The token is not known here.", why="It was never made, or taken back.", fix="bucle access token PRINCIPAL"
        )
    return str(found)
