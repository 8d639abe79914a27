"""The queries of the dashboard that no room has: counts, and pages of what is long."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import Record
from bucle.ground.ledger import Event
from bucle.ground.ledger.ledger import event_of_row
from bucle.ground.ledger.tables import EVENTS
from bucle.ground.project import Project
from bucle.ground.store import Prepared, Tongue
from bucle.line import data, tracking
from bucle.line.tracking.tables import EXPERIMENTS, NAMES, RUN_METRICS, RUN_PARAMS, RUN_TAGS, RUNS

__all__ = [
    "Cells",
    "Choice",
    "Extent",
    "Spread",
    "Tally",
    "Texts",
    "cells",
    "differing",
    "events_page",
    "experiment_choices",
    "loop_events",
    "names",
    "sealing_event",
    "statuses",
    "tallies",
]


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
        total = int(connection.execute(count).scalar_one())
    return data.told_to_all(project, found), total


def loop_events(project: Project, model: str) -> tuple[list[Event], dict[str, Event]]:
    """A loop's decisions in order, and for each decision's id the event that ended it."""
    subject = f"loop/{model}"
    decided = project.ledger.events(kinds=["loop.decided"], subject=subject)
    done = project.ledger.events(kinds=["loop.done"], subject=subject)
    return decided, {event.data["decision"]: event for event in done}


class Extent(NamedTuple):
    """A metric of a run without its curve.

    Attributes:
        last, least, greatest: of its values; None where it was no number.
    """

    last: float | None
    least: float | None
    greatest: float | None


class Choice(Record, frozen=True):
    """An experiment to choose.

    Attributes:
        id: its number, as text.
        name: what it is called.
    """

    id: str
    name: str


class Texts(NamedTuple):
    """A parameter or tag among some runs.

    Attributes:
        key: its name.
        runs: how many have it.
        values: whether they have one value, and which.
    """

    key: str
    runs: int
    value: str
    same: bool


class Spread(NamedTuple):
    """A metric among some runs.

    Attributes:
        key: its name.
        runs: how many have it.
        least: the least of their last values.
        same: whether all have that one.
        has_curve: whether a run has more than one point of it.
    """

    key: str
    runs: int
    least: float
    same: bool
    has_curve: bool


def _of_runs(table: sa.Table, *columns: sa.ColumnElement[Any], by_key: bool = False) -> Prepared:
    """What belongs to some runs: rows of some keys, or one row a key over all of them."""

    def build(tongue: Tongue) -> sa.Executable:
        query = sa.select(*columns).where(tongue.among(table.c.run, "runs"))
        if by_key:
            return query.group_by(table.c.key).order_by(table.c.key)
        return query.where(tongue.among(table.c.key, "keys"))

    return Prepared(build)


def _sum_of_texts(table: sa.Table) -> Prepared:
    least, greatest = sa.func.min(table.c.value), sa.func.max(table.c.value)
    columns = (table.c.key, sa.func.count(), least, greatest, sa.func.count(table.c.rest))
    return _of_runs(table, *columns, by_key=True)


MOST_EXPERIMENTS = 200
"""So many experiments are offered to choose from."""

_EXPERIMENT = sa.select(EXPERIMENTS.c.id, EXPERIMENTS.c.name)
_CHOICES = Prepared(
    lambda _: (
        _EXPERIMENT.where(EXPERIMENTS.c.lifecycle == "active")
        .order_by(EXPERIMENTS.c.updated_at.desc(), EXPERIMENTS.c.id.desc())
        .limit(sa.literal_column(str(MOST_EXPERIMENTS)))
    )
)
_CHOICE = Prepared(lambda _: _EXPERIMENT.where(EXPERIMENTS.c.name == sa.bindparam("name")))
_SEQS = Prepared(lambda tongue: sa.select(RUNS.c.id, RUNS.c.seq).where(tongue.among(RUNS.c.id, "ids")))
_STATUSES = Prepared(lambda tongue: sa.select(RUNS.c.id, RUNS.c.status).where(tongue.among(RUNS.c.id, "ids")))
_TEXTS = {"params": RUN_PARAMS, "tags": RUN_TAGS}
_TEXT_SUMS = {scope: _sum_of_texts(table) for scope, table in _TEXTS.items()}
_VALUES = {
    scope: _of_runs(table, table.c.run, table.c.key, table.c.value, table.c.rest) for scope, table in _TEXTS.items()
}
_OF_METRIC = (RUN_METRICS.c.run, RUN_METRICS.c.key)
_EXTENTS = _of_runs(
    RUN_METRICS,
    *_OF_METRIC,
    RUN_METRICS.c.value,
    sa.func.coalesce(RUN_METRICS.c.least, RUN_METRICS.c.value),
    sa.func.coalesce(RUN_METRICS.c.greatest, RUN_METRICS.c.value),
)
_MARKS = _of_runs(RUN_METRICS, *_OF_METRIC, RUN_METRICS.c.step, RUN_METRICS.c.at)
_METRIC_COUNTS = _of_runs(RUN_METRICS, RUN_METRICS.c.key, sa.func.count(), by_key=True)
_METRIC_SUMS = _of_runs(
    RUN_METRICS,
    RUN_METRICS.c.key,
    sa.func.count(),
    sa.func.min(RUN_METRICS.c.value),
    sa.func.max(RUN_METRICS.c.value),
    sa.func.count(RUN_METRICS.c.least),
    by_key=True,
)


class Cells:
    """What some runs have, read on one connection; of metrics, parameters and tags only those asked for.

    Args:
        project: whose runs.
        connection: of one reading.
        runs: their ids.
    """

    def __init__(self, project: Project, connection: Connection, runs: Sequence[str]) -> None:
        self._connection = connection
        self._names = tracking.names_of(project)
        known = dict(_SEQS.rows(connection, {"ids": list(runs)}))
        self._ids = {known[id_]: id_ for id_ in runs if id_ in known}
        self._seqs = list(self._ids)

    def texts(self, scope: str) -> list[Texts]:
        """The parameters (or tags) the runs have, in the order they were first logged, and whether they differ."""
        found = _TEXT_SUMS[scope].rows(self._connection, {"runs": self._seqs})
        name = self._names.names(self._connection, (row[0] for row in found))
        # What does not fit into an index stands apart; such texts are long, and are taken to differ.
        return [
            Texts(name[key], count, least, least == greatest and not (longer and count > 1))
            for key, count, least, greatest, longer in found
        ]

    def spreads(self) -> list[Spread]:
        """The metrics the runs have, in the order they were first logged, and whether their last values differ."""
        found = _METRIC_SUMS.rows(self._connection, {"runs": self._seqs})
        name = self._names.names(self._connection, (row[0] for row in found))
        return [
            Spread(name[key], count, math.nan if least is None else least, least == greatest, curves > 0)
            for key, count, least, greatest, curves in found
        ]

    def metrics(self, most: int) -> list[str]:
        """Metrics of the first `most` runs: those that most of them have first, then as they were first logged."""
        found = _METRIC_COUNTS.rows(self._connection, {"runs": self._seqs[:most]})
        name = self._names.names(self._connection, (key for key, _ in found))
        return [name[key] for key, _ in sorted(found, key=lambda row: -row[1])]

    def extents(self, keys: Sequence[str]) -> dict[str, dict[str, Extent]]:
        """Run -> metric -> its last, least and greatest value; only of the metrics named."""
        found: dict[int, dict[str, Extent]] = {seq: {} for seq in self._seqs}
        names, rows = self._rows(_EXTENTS, keys)
        for run, key, *ends in rows:
            found[run][names[key]] = Extent._make(ends)
        return {self._ids[seq]: held for seq, held in found.items()}

    def values(self, keys: Sequence[str], scope: str) -> dict[str, dict[str, str]]:
        """Run -> parameter (or tag) -> its value; only of those named."""
        found: dict[int, dict[str, str]] = {seq: {} for seq in self._seqs}
        names, rows = self._rows(_VALUES[scope], keys)
        for run, key, value, rest in rows:
            found[run][names[key]] = value if rest is None else f"{value}{rest}"
        return {self._ids[seq]: held for seq, held in found.items()}

    def marks(self, keys: Sequence[str]) -> dict[tuple[str, str], str]:
        """(run, metric) -> a text that changes when its curve has grown; nothing for a metric a run does not have."""
        names, rows = self._rows(_MARKS, keys)
        return {(self._ids[run], names[key]): f"{step}:{at}" for run, key, step, at in rows}

    def _rows(self, what: Prepared, keys: Sequence[str]) -> tuple[dict[int, str], list[tuple[Any, ...]]]:
        """The keys that exist by their numbers, and the rows of the runs that have them."""
        names = {number: key for key, number in self._names.numbers(keys).items()} if keys else {}
        if not names or not self._seqs:
            return names, []
        return names, what.rows(self._connection, {"runs": self._seqs, "keys": list(names)})


@contextmanager
def cells(project: Project, runs: Sequence[str]) -> Iterator[Cells]:
    """What some runs have, for as long as the block lasts."""
    with project.database.reading() as connection:
        yield Cells(project, connection, runs)


def differing(texts: Sequence[Texts], runs: int) -> list[str]:
    """The parameters that tell runs apart: those with several values first, then those only some have."""
    if runs < 2:
        return []
    return [one.key for one in texts if not one.same] + [one.key for one in texts if one.same and one.runs < runs]


def statuses(project: Project, runs: Sequence[str]) -> dict[str, str]:
    """Run -> whether it goes on."""
    with project.database.reading() as connection:
        return dict(_STATUSES.rows(connection, {"ids": list(runs)}))


def sealing_event(project: Project, run: str) -> int | None:
    """The number of the event that holds the digest of all a run has; None while there is none."""
    with project.database.reading() as connection:
        found: int | None = connection.execute(sa.select(RUNS.c.sealed).where(RUNS.c.id == run)).scalar_one_or_none()
    return found


def experiment_choices(project: Project, name: str) -> list[Choice]:
    """The experiments changed last, and one by its name."""
    with project.database.reading() as connection:
        rows = [*_CHOICES.rows(connection, {}), *(_CHOICE.rows(connection, {"name": name}) if name else ())]
    return [Choice(id=str(number), name=known) for number, known in dict.fromkeys(rows)]


def names(project: Project, scope: str, *, q: str, experiments: Sequence[int], limit: int) -> list[str]:
    """Names of parameters, tags, or metrics that contain `q`, by name.

    Args:
        experiments: metrics only of these; an index begins with them.
    """
    if scope == "metrics":
        mine = sa.and_(RUN_METRICS.c.experiment.in_(experiments), RUN_METRICS.c.key == NAMES.c.id)
    else:
        mine = _TEXTS[scope].c.key == NAMES.c.id
    query = sa.select(NAMES.c.name).where(sa.exists().where(mine), NAMES.c.name.contains(q, autoescape=True))
    with project.database.reading() as connection:
        return list(connection.execute(query.order_by(NAMES.c.name).limit(limit)).scalars())
