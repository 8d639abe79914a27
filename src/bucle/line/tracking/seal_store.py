"""The queries of sealing: which runs are to be sealed, and how their curves stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.store import Prepared
from bucle.line.tracking.run import ENDED
from bucle.line.tracking.tables import METRIC_CHUNKS, METRIC_TAIL, RUNS

__all__ = ["Piece", "ended_unsealed", "note_seal", "pieces", "still_unsealed"]


class Piece(NamedTuple):
    """A stored part of a run's curves. The same pieces hold the same points: whoever adds points adds a piece.

    Attributes:
        run: whose it is.
        key: the metric of a chunk; None for a batch that is not folded.
        seq: its number.
        size: points of a chunk, bytes of a batch.
    """

    run: int
    key: int | None
    seq: int
    size: int


_CHUNKS = Prepared(
    lambda tongue: sa.select(
        METRIC_CHUNKS.c.run, METRIC_CHUNKS.c.key, METRIC_CHUNKS.c.seq, METRIC_CHUNKS.c.count
    ).where(tongue.among(METRIC_CHUNKS.c.run, "runs"))
)

_BATCHES = Prepared(
    lambda tongue: sa.select(
        METRIC_TAIL.c.run, sa.null(), METRIC_TAIL.c.seq, sa.func.length(METRIC_TAIL.c.points)
    ).where(tongue.among(METRIC_TAIL.c.run, "runs"))
)


def pieces(connection: Connection, runs: Sequence[int]) -> list[Piece]:
    """What the curves of runs consist of. Cost: no point is read."""
    given = {"runs": list(runs)}
    return [Piece._make(row) for rows in (_CHUNKS, _BATCHES) for row in rows.rows(connection, given)]


def ended_unsealed(connection: Connection, after: int, limit: int) -> list[tuple[int, str]]:
    """Numbers and ids of runs that have ended, or are deleted, and are not sealed; behind a number."""
    is_over = sa.or_(RUNS.c.status.in_(ENDED), RUNS.c.lifecycle == "deleted")
    query = sa.select(RUNS.c.seq, RUNS.c.id).where(RUNS.c.sealed.is_(None), RUNS.c.seq > after, is_over)
    return [(row.seq, row.id) for row in connection.execute(query.order_by(RUNS.c.seq).limit(limit))]


def still_unsealed(connection: Connection, runs: Sequence[int]) -> dict[int, bool]:
    """Those of these runs that are not sealed, and whether each has ended."""
    query = sa.select(RUNS.c.seq, RUNS.c.status).where(RUNS.c.seq.in_(runs), RUNS.c.sealed.is_(None))
    return {row.seq: row.status in ENDED for row in connection.execute(query)}


def note_seal(connection: Connection, runs: Sequence[int], event: int) -> None:
    """An event holds the digest of these runs."""
    connection.execute(sa.update(RUNS).where(RUNS.c.seq.in_(runs)).values(sealed=event))
