"""Access key: what a program signs its requests with, as S3's clients do. The secret is kept nowhere: it is derived."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime

import sqlalchemy as sa
from blake3 import blake3
from msgspec.structs import asdict

from bucle.ground.core import NotFound, Record
from bucle.ground.governance.tables import ACCESS_KEYS
from bucle.ground.project import Project
from bucle.ground.store import secret_of

__all__ = ["AccessKey", "NoSuchAccessKey", "access_key", "access_keys", "make_access_key", "revoke_access_keys"]

_PREFIX = "BUCLE"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_RANDOM = 20
"""Letters of five random bits each."""

_PURPOSE = b"bucle 2026 secret of an access key\0"
_SECRET_BYTES = 30


class NoSuchAccessKey(NotFound):
    """No access key has this id, and no principal of this name has one."""

    code = "BU0405"


class AccessKey(Record, frozen=True):
    """A key that signs requests.

    Attributes:
        id: what a request names it by.
        principal: whom it stands for.
        at: since when.
        by: who made it.
    """

    id: str
    principal: str
    at: datetime
    by: str


def make_access_key(project: Project, principal: str) -> tuple[AccessKey, str]:
    """A new access key of a principal, and its secret, to be shown once."""
    name = _PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    made = AccessKey(id=name, principal=principal, at=project.clock.now(), by=project.actor)
    with project.ledger.transaction(
        "governance.access_key_made", subject=f"principal/{principal}", actor=project.actor, data={"key": name}
    ) as transaction:
        transaction.insert(ACCESS_KEYS, asdict(made))
    return made, _secret(project, name)


def access_key(project: Project, name: str) -> tuple[AccessKey, str]:
    """The access key of this id, and its secret.

    Raises:
        NoSuchAccessKey: it was never made, or taken back.
    """
    query = sa.select(ACCESS_KEYS).where(ACCESS_KEYS.c.id == name)
    with project.database.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise _no_such(name)
    return AccessKey(**row._mapping), _secret(project, name)


def access_keys(project: Project) -> list[AccessKey]:
    """All of them, by principal and age."""
    query = sa.select(ACCESS_KEYS).order_by(ACCESS_KEYS.c.principal, ACCESS_KEYS.c.at, ACCESS_KEYS.c.id)
    with project.database.reading() as connection:
        return [AccessKey(**row._mapping) for row in connection.execute(query)]


def revoke_access_keys(project: Project, name: str) -> list[AccessKey]:
    """Take back the access key of this id, or all those of a principal of this name; they were never good again.

    Raises:
        NoSuchAccessKey: there is none.
    """
    gone = [one for one in access_keys(project) if name in (one.id, one.principal)]
    if not gone:
        raise _no_such(name)
    with project.ledger.transaction(
        "governance.access_keys_revoked",
        subject=f"principal/{gone[0].principal}",
        actor=project.actor,
        data={"keys": [one.id for one in gone]},
    ) as transaction:
        for one in gone:
            transaction.delete(ACCESS_KEYS, {"id": one.id})
    return gone


def _secret(project: Project, name: str) -> str:
    """Who has the file `.bucle/access.key` can make every secret, and nobody else."""
    key = secret_of(project.state / "access.key")
    return base64.urlsafe_b64encode(blake3(_PURPOSE + name.encode(), key=key).digest(_SECRET_BYTES)).decode()


def _no_such(name: str) -> NoSuchAccessKey:
    return NoSuchAccessKey(
        f"There is no access key {name[:80]!r}.",
        why="It was never made, or taken back.",
        fix="Make one: bucle access s3-key PRINCIPAL",
        at=name[:80],
    )
