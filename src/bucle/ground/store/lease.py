"""Leases: one holder at a time, taken over when the holder dies, with a token that fences off the dead.

Source: M. Kleppmann, "How to do distributed locking" (2016): a lock without a fencing token protects nothing.
"""

from __future__ import annotations

import os
import socket
import time

import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import Record, StateError
from bucle.ground.store.database import METADATA, Database

__all__ = ["Lease", "LeaseLost", "acquire", "fence", "held", "release", "renew", "this_process"]

LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    info={"volatile": True},
)


class LeaseLost(StateError):
    """Another process holds the lease now."""

    code = "BU0206"


class Lease(Record, frozen=True):
    """The right to act under a name until it expires.

    Attributes:
        name: what is held, e.g. `execution/4f1c`.
        holder: who holds it, for people: host and process id.
        token: grows by one with every new holder; a smaller token is a dead holder's.
        ttl_s: seconds it lasts without renewal.
    """

    name: str
    holder: str
    token: int
    ttl_s: float


def acquire(database: Database, name: str, holder: str, ttl_s: float = 30.0) -> Lease | None:
    """Take a lease that is free, expired, or held by a process of this machine that has ended.

    Args:
        holder: who asks; `this_process()` lets others on this machine see at once when the holder has died.
        ttl_s: seconds it lasts without renewal.
    Returns:
        The lease, or None while somebody else's is alive.
    """
    try:
        return _take(database, name, holder, ttl_s)
    except sa.exc.IntegrityError:
        # A lease never held before has no row to lock: two may insert it at once, and one of them comes too late.
        return _take(database, name, holder, ttl_s)


def renew(database: Database, lease: Lease) -> None:
    """Prolong a lease by its `ttl_s` from now.

    Raises:
        LeaseLost: it was taken over.
    """
    mine = sa.and_(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
    with database.writing() as connection:
        changed = connection.execute(sa.update(LEASES).where(mine).values(expires_at=time.time() + lease.ttl_s))
    if changed.rowcount == 0:
        raise _lost(lease)


def held(database: Database, name: str) -> Lease | None:
    """The lease that is alive under a name, whoever holds it, `ttl_s` being what is left; None when it is free."""
    now = time.time()
    with database.reading() as connection:
        row = connection.execute(sa.select(LEASES).where(LEASES.c.name == name)).one_or_none()
    if row is None or row.expires_at <= now or _is_gone(row.holder):
        return None
    return Lease(name=row.name, holder=row.holder, token=row.token, ttl_s=row.expires_at - now)


def fence(connection: Connection, lease: Lease) -> None:
    """Let a transaction go on only while the lease is still this holder's; nobody can take it over until it ends.

    Raises:
        LeaseLost: it was taken over; the transaction must not be kept.
    """
    mine = sa.and_(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
    if connection.execute(sa.select(LEASES.c.token).where(mine).with_for_update()).first() is None:
        raise _lost(lease)


def release(database: Database, lease: Lease) -> None:
    """Give a lease back; a lease already taken over is left alone."""
    mine = sa.and_(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
    with database.writing() as connection:
        connection.execute(sa.update(LEASES).where(mine).values(expires_at=0.0))


def this_process() -> str:
    """A name for this process that is never used again: host, process id, start time."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def _is_gone(holder: str) -> bool:
    host, _, rest = holder.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdecimal() or not started:
        return False
    try:
        process = psutil.Process(int(pid))
        return f"{process.create_time():.2f}" != started or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"The lease {lease.name} was taken over while {lease.holder} held it.",
        why="It was not renewed in time; what this process does now could be done twice.",
        fix="Nothing: the new holder goes on. Look for a machine that stood still.",
    )


def _take(database: Database, name: str, holder: str, ttl_s: float) -> Lease | None:
    now = time.time()
    with database.writing() as connection:
        query = sa.select(LEASES).where(LEASES.c.name == name).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            connection.execute(sa.insert(LEASES).values(name=name, holder=holder, token=1, expires_at=now + ttl_s))
            return Lease(name=name, holder=holder, token=1, ttl_s=ttl_s)
        if row.expires_at > now and row.holder != holder and not _is_gone(row.holder):
            return None
        token = row.token + 1
        connection.execute(
            sa.update(LEASES).where(LEASES.c.name == name).values(holder=holder, token=token, expires_at=now + ttl_s)
        )
    return Lease(name=name, holder=holder, token=token, ttl_s=ttl_s)
