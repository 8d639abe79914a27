"""The queries of the dashboard that no room has: counts, and pages of what is long."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from bucle.ground.core import Record, decode
from bucle.ground.ledger import Event
from bucle.ground.ledger.ledger import event_of_row
from bucle.ground.ledger.tables import EVENTS
from bucle.ground.project import Project
from bucle.line.tracking import Run
from bucle.line.tracking.tables import RUNS

__all__ = ["Tally", "events_page", "loop_events", "runs_page", "tallies"]


class Tally(Record, frozen=True):
    """How often something happened.

    Attributes:
        kind: of event.
        count: how often.
        seq: the last one's number.
        at: when that was.
    """

    kind: str
    count: int
    seq: int
    at: datetime


def tallies(project: Project) -> dict[str, Tally]:
    """Every kind of event with its count and its last one. Cost: one pass over the index of kinds."""
    counted = (
        sa.select(EVENTS.c.kind, sa.func.count().label("count"), sa.func.max(EVENTS.c.seq).label("seq"))
        .group_by(EVENTS.c.kind)
        .subquery()
    )
    query = sa.select(counted, EVENTS.c.at).join(EVENTS, EVENTS.c.seq == counted.c.seq)
    with project.database.reading() as connection:
        return {row.kind: Tally(**row._mapping) for row in connection.execute(query)}


def events_page(
    project: Project, *, kind: str, subject: str, actor: str, before: int | None, limit: int
) -> tuple[list[Event], int]:
    """Events newest first with all that fit the filter counted; a kind may end in `*`.

    Args:
        before: only with a smaller number.
    """
    wanted = []
    if kind:
        starts = EVENTS.c.kind.startswith(kind.rstrip("*"), autoescape=True)
        wanted.append(starts if kind.endswith("*") else EVENTS.c.kind == kind)
    if subject:
        wanted.append(EVENTS.c.subject.contains(subject, autoescape=True))
    if actor:
        wanted.append(EVENTS.c.actor.contains(actor, autoescape=True))
    rest = [] if before is None else [EVENTS.c.seq < before]
    query = sa.select(EVENTS).where(*wanted, *rest).order_by(EVENTS.c.seq.desc()).limit(limit)
    count = sa.select(sa.func.count()).select_from(EVENTS).where(*wanted)
    with project.database.reading() as connection:
        found = [event_of_row(row) for row in connection.execute(query)]
        return found, int(connection.execute(count).scalar_one())


def loop_events(project: Project, model: str) -> tuple[list[Event], dict[str, Event]]:
    """A loop's decisions in order, and for each decision's id the event that ended it."""
    subject = f"loop/{model}"
    decided = project.ledger.events(kinds=["loop.decided"], subject=subject)
    done = project.ledger.events(kinds=["loop.done"], subject=subject)
    return decided, {event.data["decision"]: event for event in done}


def runs_page(
    project: Project, *, experiment: str, status: str, q: str, sort: str, offset: int, limit: int
) -> tuple[list[Run], int]:
    """Runs that fit a filter, in an order, with all of them counted; the running ones stand on top."""
    wanted = []
    if experiment:
        wanted.append(RUNS.c.experiment == experiment)
    if status:
        wanted.append(RUNS.c.status == status)
    if q:
        wanted.append(sa.or_(RUNS.c.name.contains(q, autoescape=True), RUNS.c.id.startswith(q, autoescape=True)))
    order = _order(project, sort)
    # Only ids go through the sort: whole rows would be ten times as heavy.
    ids = sa.select(RUNS.c.id).where(*wanted).order_by(*order).offset(offset).limit(limit).scalar_subquery()
    query = sa.select(RUNS).where(RUNS.c.id.in_(ids)).order_by(*order)
    count = sa.select(sa.func.count()).select_from(RUNS).where(*wanted)
    with project.database.reading() as connection:
        found = [_run_of(dict(row._mapping)) for row in connection.execute(query)]
        return found, int(connection.execute(count).scalar_one())


def _order(project: Project, sort: str) -> list[sa.ColumnElement[Any]]:
    name, down = sort.removeprefix("-"), sort.startswith("-")
    if name in ("started_at", "name", "experiment", "status"):
        return [RUNS.c[name].desc() if down else RUNS.c[name].asc(), RUNS.c.id]
    column: sa.ColumnElement[Any]
    if project.database.is_sqlite:
        column = sa.func.json_extract(RUNS.c.metrics, '$."' + name.replace('"', "") + '"')
    else:
        column = sa.cast(sa.cast(RUNS.c.metrics, JSONB)[name].astext, sa.Float)
    return [(column.desc() if down else column.asc()).nulls_last(), RUNS.c.id]


def _run_of(row: dict[str, Any]) -> Run:
    texts = {name: decode(row[name], dict[str, str], what="run") for name in ("params", "tags", "artifacts")}
    values = decode(row["metrics"], dict[str, float | None], what="run")
    numbers = {name: math.nan if value is None else value for name, value in values.items()}
    return Run(**{**row, **texts, "metrics": numbers, "inputs": decode(row["inputs"], tuple[str, ...], what="run")})
