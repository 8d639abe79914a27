"""The queries over the gates' table."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.line.gates.tables import DIGESTS, VERDICTS

__all__ = ["verdict_row", "verdict_rows"]


def verdict_row(connection: Connection, id_: str) -> dict[str, Any] | None:
    """One verdict."""
    row = connection.execute(_whole().where(VERDICTS.c.id == id_)).one_or_none()
    return None if row is None else dict(row._mapping)


def verdict_rows(connection: Connection, subject: str | None, limit: int | None) -> list[dict[str, Any]]:
    """The newest verdicts on a subject, or on all, oldest first."""
    query = _whole().order_by(VERDICTS.c.at.desc(), VERDICTS.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(VERDICTS.c.subject == subject)
    return [dict(row._mapping) for row in connection.execute(query)][::-1]


def _whole() -> sa.Select[Any]:
    """Verdicts with the digest each is about, empty for the oldest."""
    joined = VERDICTS.outerjoin(DIGESTS, DIGESTS.c.verdict == VERDICTS.c.id)
    return sa.select(VERDICTS, sa.func.coalesce(DIGESTS.c.digest, "").label("digest")).select_from(joined)
