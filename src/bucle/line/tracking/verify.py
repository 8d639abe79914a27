"""Verifying runs: whether each is as the ledger knows it, and each seal follows from what the ledger says before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import BucleError, make_ref
from bucle.ground.ledger import Event, Fault
from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.digest import curve_digests, digests
from bucle.line.tracking.tables import RUNS
from bucle.line.tracking.writes import UNSEALED

__all__ = ["verify_runs"]

AT_ONCE = 200
"""Runs that are compared at once."""


class _Seal(NamedTuple):
    """What the ledger knows of a run.

    Attributes:
        seq: the event that sealed it last.
        digest: of all it held then.
        broken: the event that says it was changed since; None while the seal holds.
        is_linked: whether the event says what it came after; those of an older Bucle do not.
    """

    seq: int
    digest: str
    broken: int | None
    is_linked: bool


def verify_runs(project: Project) -> list[Fault]:
    """Every sealed run that is not as the ledger knows it; empty when all is well, also while others write.

    Named are: a run that was changed behind the ledger's back or is gone; one that stands unsealed though no event says
    why; and a seal that does not come after the event that broke the one before.

    Cost: reads every run and its curves once, in one view of the database.
    """
    with project.database.reading() as connection:
        known, faults = _told(project.ledger.events(kinds=["tracking.*"], connection=connection))
        seen = set[str]()
        numbers = list(connection.execute(sa.select(RUNS.c.seq).order_by(RUNS.c.seq)).scalars())
        for start in range(0, len(numbers), AT_ONCE):
            rows = store.run_rows(connection, numbers[start : start + AT_ONCE])
            seen.update(row.id for row in rows)
            faults += [fault for row in rows if row.sealed is None for fault in _unsealed(row, known.get(row.id))]
            faults += _compared(connection, [row for row in rows if row.sealed is not None], known)
    faults += [
        Fault(where=f"run {id_}", what=f"is gone: event {one.seq} sealed it")
        for id_, one in known.items()
        if id_ not in seen
    ]
    return faults


def _told(events: Iterable[Event]) -> tuple[dict[str, _Seal], list[Fault]]:
    """What the ledger says of each run, and the seals that do not follow from the event before."""
    known: dict[str, _Seal] = {}
    faults = list[Fault]()
    for event in events:
        if event.kind == UNSEALED:
            id_ = event.subject.removeprefix(make_ref("run", ""))
            before = known.get(id_)
            if before is None or before.broken is not None or before.seq != event.data.get("sealed"):
                what = f"event {event.seq} says event {event.data.get('sealed')} sealed it, which the ledger does not"
                faults.append(Fault(where=f"run {id_}", what=what))
            if before is not None:
                known[id_] = before._replace(broken=event.seq)
        for id_, digest in event.data.get("runs", {}).items():
            faults += _misplaced(event, id_, known.get(id_))
            known[id_] = _Seal(event.seq, digest, None, "after" in event.data)
    return known, faults


def _misplaced(event: Event, id_: str, before: _Seal | None) -> list[Fault]:
    """Whether a seal does not come after what it must."""
    if before is None or not before.is_linked:
        return []
    if before.broken is None:
        what = f"was sealed again by event {event.seq}, but no event says that it was changed after {before.seq}"
    elif event.data.get("after", {}).get(id_) != before.broken:
        what = f"was sealed again by event {event.seq}, which does not name event {before.broken} before it"
    else:
        return []
    return [Fault(where=f"run {id_}", what=what)]


def _unsealed(row: store.RunRow, known: _Seal | None) -> list[Fault]:
    """A run whose row says it is not sealed."""
    if known is None or known.broken is not None or not known.is_linked:
        return []
    what = f"stands unsealed, but event {known.seq} sealed it and none says that it was changed"
    return [Fault(where=f"run {row.id}", what=what)]


def _compared(connection: Connection, rows: Sequence[store.RunRow], known: Mapping[str, _Seal]) -> list[Fault]:
    try:
        found: Mapping[int, str] = digests(connection, rows, curve_digests(connection, [row.seq for row in rows]))
    except (BucleError, ValueError, OverflowError) as error:
        if len(rows) > 1:
            return [fault for row in rows for fault in _compared(connection, [row], known)]
        return [Fault(where=f"run {rows[0].id}", what=f"cannot be read: {error}")]
    return [Fault(where=f"run {row.id}", what=what) for row in rows for what in _wrong(row, known.get(row.id), found)]


def _wrong(row: store.RunRow, known: _Seal | None, found: Mapping[int, Any]) -> list[str]:
    """What is wrong with a run that says it is sealed."""
    if known is None:
        return [f"says event {row.sealed} sealed it, but no event seals it"]
    if known.broken is not None:
        return [f"says event {row.sealed} sealed it, but event {known.broken} broke that seal"]
    if row.sealed != known.seq:
        return [f"says event {row.sealed} sealed it, but event {known.seq} sealed it"]
    if known.digest != found[row.seq]:
        return [f"was changed by hand after event {known.seq} sealed it"]
    return []
