"""The queries over serving's tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from bucle.ground.core import Record
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.serving.tables import SEGMENTS

__all__ = ["Segment", "collected", "collected_segments", "note_segments"]


class Segment(Record, frozen=True):
    """A segment of the prediction log that stands in the table now.

    Attributes:
        endpoint: whose.
        segment: the file's name.
        digest: of the file.
        rows: how many predictions it held.
        collected_at: when it was moved.
    """

    endpoint: str
    segment: str
    digest: str
    rows: int
    collected_at: datetime


def collected(project: Project, endpoint: str, names: Sequence[str]) -> set[str]:
    """Which of these segments were collected before."""
    query = sa.select(SEGMENTS.c.segment).where(SEGMENTS.c.endpoint == endpoint, SEGMENTS.c.segment.in_(names))
    with project.database.reading() as connection:
        return set(connection.execute(query).scalars())


def collected_segments(project: Project, endpoint: str) -> list[Segment]:
    """Every segment collected from an endpoint, oldest first."""
    query = sa.select(SEGMENTS).where(SEGMENTS.c.endpoint == endpoint).order_by(SEGMENTS.c.segment)
    with project.database.reading() as connection:
        return [Segment(**row._mapping) for row in connection.execute(query)]


def note_segments(transaction: Transaction, segments: Sequence[Segment]) -> None:
    """Write down which segments a commit holds, in the commit's own transaction."""
    for segment in segments:
        transaction.insert(
            SEGMENTS,
            {
                "endpoint": segment.endpoint,
                "segment": segment.segment,
                "digest": segment.digest,
                "rows": segment.rows,
                "collected_at": segment.collected_at,
            },
        )
