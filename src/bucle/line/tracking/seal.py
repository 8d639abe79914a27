"""Sealing: the ledger learns the digest of all that an ended run holds, so that no change of it goes unseen."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy.engine import Connection

from bucle.ground.core import CorruptRecord, decode, make_ref
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.ground.store import retried
from bucle.line.tracking import seal_store, store
from bucle.line.tracking.digest import Ahead, CurveDigests, digests, read_ahead, up_to_date
from bucle.line.tracking.fold import fold_runs
from bucle.line.tracking.run import Circumstances
from bucle.line.tracking.writes import UNSEALED

__all__ = ["enter_seals", "seal", "seal_one"]

AT_ONCE = 200
"""Runs in one event."""

_log = logging.getLogger("bucle.tracking")


def seal(project: Project, run_ids: Sequence[str] | None = None) -> int:
    """Have the ledger know runs as they are now.

    Args:
        run_ids: these, ended or not; None for all that have ended or are deleted.
    Returns:
        How many were sealed; those that were sealed already, and have not changed since, are not.
    Cost: reads all of each run, the curves before the log is locked.
    """
    return sum(_seal_batch(project, runs) for runs in _batches(project, run_ids))


def _seal_batch(project: Project, runs: Sequence[tuple[int, str]]) -> int:
    subject = make_ref("run", runs[0][1]) if len(runs) == 1 else make_ref("tracking", "runs")
    try:
        return _seal(project, [seq for seq, _ in runs], "tracking.runs_sealed", subject)
    except CorruptRecord:
        if len(runs) == 1:
            raise
    return sum(_seal_sound(project, run) for run in runs)


def _seal_sound(project: Project, run: tuple[int, str]) -> int:
    """Seal one run of several; one that cannot be read keeps none of the others waiting."""
    try:
        return _seal_batch(project, [run])
    except CorruptRecord as error:
        _log.warning("The run %s cannot be sealed: %s", run[1], error)
        return 0


def seal_one(project: Project, run_id: str, kind: str) -> None:
    """Seal one run with an event of its own kind, whatever state it is in."""
    with project.database.reading() as connection:
        runs = store.run_numbers(connection, [run_id])
    _seal(project, runs, kind, make_ref("run", run_id))


def enter_seals(project: Project, tx: Transaction, runs: Sequence[int], curves: CurveDigests) -> None:
    """Seal runs within a transaction of the ledger: its event carries their digests, and which event it comes after.

    Args:
        runs: their numbers; locked, and their curves folded.
        curves: the digests of their curves.
    """
    rows = store.run_rows(tx.connection, runs)
    found = digests(tx.connection, rows, curves)
    tx.data["runs"] = {row.id: found[row.seq] for row in rows}
    refs = {str(make_ref("run", row.id)): row.id for row in rows}
    broken = project.ledger.newest(tx.connection, UNSEALED, list(refs))
    tx.data["after"] = {refs[ref]: seq for ref, seq in broken.items()}
    _enter_edges(tx, rows)
    seal_store.note_seal(tx.connection, runs, tx.seq)


def _batches(project: Project, run_ids: Sequence[str] | None) -> Iterator[list[tuple[int, str]]]:
    """Numbers and ids of the runs to look at: those given, or all that have ended and are not sealed."""
    if run_ids is not None:
        with project.database.reading() as connection:
            given = sorted(store.ids_by_number(connection, run_ids).items())
        yield from (given[start : start + AT_ONCE] for start in range(0, len(given), AT_ONCE))
        return
    last = -1
    while runs := _ended(project, last):
        yield runs
        last = runs[-1][0]


def _ended(project: Project, after: int) -> list[tuple[int, str]]:
    with project.database.reading() as connection:
        return seal_store.ended_unsealed(connection, after, AT_ONCE)


class _NothingToSeal(Exception):
    """Somebody else sealed them meanwhile."""


def _seal(project: Project, runs: Sequence[int], kind: str, subject: str) -> int:
    """Seal those of the runs that are not; what takes long is done before the log is locked."""
    with project.database.reading() as connection:
        waiting = {piece.run for piece in seal_store.pieces(connection, runs) if piece.key is None}
    for run in sorted(waiting):
        project.database.grouped(partial(_fold_ended, runs=[run]))
    ahead = read_ahead(project, runs)
    try:
        return retried(lambda: _seal_once(project, runs, kind, subject, ahead))
    except _NothingToSeal:
        return 0


def _seal_once(project: Project, runs: Sequence[int], kind: str, subject: str, ahead: Ahead) -> int:
    left: list[int] = []
    curves: dict[tuple[int, int], list[object]] = {}

    def look_again(connection: Connection) -> None:
        store.lock_runs(connection, runs)
        left.extend(seal_store.still_unsealed(connection, runs))
        if not left:
            raise _NothingToSeal
        curves.update(up_to_date(connection, left, ahead))
        _fold_ended(connection, left)

    with project.ledger.transaction(kind, subject=subject, actor=project.actor, first=look_again) as tx:
        enter_seals(project, tx, left, curves)
    return len(left)


def _fold_ended(connection: Connection, runs: Sequence[int]) -> None:
    """Give the curves of those that have ended their last form."""
    store.lock_runs(connection, runs)
    ended = [run for run, is_over in seal_store.still_unsealed(connection, runs).items() if is_over]
    fold_runs(connection, ended, ended=True)


def _enter_edges(tx: Transaction, rows: Sequence[store.RunRow]) -> None:
    refs = {row.seq: make_ref("run", row.id) for row in rows}
    for row in rows:
        about = decode(row.circumstances, Circumstances, what="run")
        for source in about.inputs:
            tx.edge(source, refs[row.seq], "used")
        if about.within:
            tx.edge(about.within, refs[row.seq], "tracked")
    for file in store.artifact_rows(tx.connection, list(refs.values())):
        tx.edge(file.owner, make_ref("blob", file.digest), f"logged {file.path}")
    for model in store.model_rows(tx.connection, list(refs)):
        ref, other = refs[model.run], make_ref("logged-model", model.model)
        tx.edge(*((other, ref, "used") if model.direction == "input" else (ref, other, "produced")))
