"""Every query over monitoring's tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec.structs import asdict

from bucle.ground.core import decode, encode
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.monitoring.signal import Signal, SignalKind
from bucle.line.monitoring.tables import SIGNALS, WINDOWS
from bucle.line.monitoring.window import Window

__all__ = ["keep_signals", "keep_windows", "signals", "windows"]


def windows(
    project: Project,
    endpoint: str,
    *,
    model: str | None = None,
    version: int | None = None,
    arm: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Window]:
    """The windows kept of an endpoint, oldest first, then by version and arm.

    Args:
        model: only this model's.
        version: only this version's.
        arm: only this arm's.
        since: only windows that start then or later.
        until: only windows that end then or earlier.
    """
    table = WINDOWS.c
    query = sa.select(table.body).where(table.endpoint == endpoint)
    for column, wanted in ((table.model, model), (table.version, version), (table.arm, arm)):
        query = query if wanted is None else query.where(column == wanted)
    query = query if since is None else query.where(table.since >= since)
    query = query if until is None else query.where(table.until <= until)
    query = query.order_by(table.since, table.until, table.model, table.version, table.arm)
    with project.database.reading() as connection:
        return [decode(body, Window, what="window") for body in connection.execute(query).scalars()]


def signals(
    project: Project,
    endpoint: str | None = None,
    *,
    kinds: Sequence[SignalKind] = (),
    version: int | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Signal]:
    """Signals raised, newest stretch first.

    Args:
        endpoint: only this endpoint's.
        kinds: only of these kinds.
        version: only about this version.
        since: only of stretches that end later than this.
        limit: at most so many.
    """
    query = sa.select(SIGNALS)
    query = query if endpoint is None else query.where(SIGNALS.c.endpoint == endpoint)
    query = query if not kinds else query.where(SIGNALS.c.kind.in_(kinds))
    query = query if version is None else query.where(SIGNALS.c.version == version)
    query = query if since is None else query.where(SIGNALS.c.until > since)
    query = query.order_by(SIGNALS.c.until.desc(), SIGNALS.c.version, SIGNALS.c.kind, SIGNALS.c.feature, SIGNALS.c.id)
    with project.database.reading() as connection:
        return [Signal(**row._mapping) for row in connection.execute(query.limit(limit))]


def keep_windows(transaction: Transaction, found: Sequence[Window]) -> None:
    """Write windows; one of the same version, arm and stretch is replaced."""
    for window in found:
        transaction.put(
            WINDOWS,
            {
                "endpoint": window.endpoint,
                "model": window.model,
                "version": window.version,
                "arm": window.arm,
                "since": window.since,
                "until": window.until,
                "rows": window.rows,
                "labelled": window.labelled,
                "body": encode(window).decode(),
            },
        )


def keep_signals(transaction: Transaction, found: Sequence[Signal]) -> None:
    """Write signals; one raised before is brought up to date."""
    for signal in found:
        transaction.put(SIGNALS, asdict(signal))
