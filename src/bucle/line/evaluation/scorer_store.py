"""The queries over the table of scorers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.line.evaluation.tables import SCORERS

__all__ = ["scorer_rows"]


def scorer_rows(connection: Connection, experiments: Sequence[int] | None, name: str | None) -> list[dict[str, Any]]:
    """Scorers by experiment, name and version.

    Args:
        experiments: only of these; None for all.
        name: only of this name; None for all.
    """
    query = sa.select(SCORERS).order_by(SCORERS.c.experiment, SCORERS.c.name, SCORERS.c.version)
    if experiments is not None:
        query = query.where(SCORERS.c.experiment.in_(experiments))
    if name is not None:
        query = query.where(SCORERS.c.name == name)
    return [dict(row._mapping) for row in connection.execute(query)]
