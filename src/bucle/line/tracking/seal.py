"""Sealing: the ledger learns the digest of all that an ended run holds, so that no change of it goes unseen."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import BucleError, CorruptRecord, decode, digest_of, digest_of_value, make_ref
from bucle.ground.ledger import Fault, Transaction
from bucle.ground.project import Project
from bucle.ground.store import joined
from bucle.line.tracking import store
from bucle.line.tracking.chunk import Points
from bucle.line.tracking.fold import fold_runs
from bucle.line.tracking.metric import curves_of
from bucle.line.tracking.run import ENDED, Circumstances
from bucle.line.tracking.tables import RUN_PARAMS, RUN_TAGS, RUNS

__all__ = ["enter_seals", "seal", "seal_one", "verify_runs"]

AT_ONCE = 200
"""Runs in one event."""

_log = logging.getLogger("bucle.tracking")


def seal(project: Project, run_ids: Sequence[str] | None = None) -> int:
    """Have the ledger know runs as they are now.

    Args:
        run_ids: these, ended or not; None for all that have ended or are deleted.
    Returns:
        How many were sealed; those that were sealed already, and have not changed since, are not.
    Cost: reads all of each run.
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


def enter_seals(tx: Transaction, runs: Sequence[int], *, ended: bool = True) -> None:
    """Seal runs within a transaction of the ledger: its event carries their digests.

    Args:
        runs: their numbers.
        ended: nothing more is expected, so that their curves take their last form.
    """
    connection = tx.connection
    if ended:
        fold_runs(connection, runs, ended=True)
    rows = store.run_rows(connection, runs)
    found = _digests(connection, rows)
    tx.data["runs"] = {row.id: found[row.seq] for row in rows}
    _enter_edges(tx, rows)
    connection.execute(sa.update(RUNS).where(RUNS.c.seq.in_(runs)).values(sealed=tx.seq))


def verify_runs(project: Project) -> list[Fault]:
    """Every sealed run that is not as the ledger knows it; empty when all is well.

    Cost: reads every run and its curves once.
    """
    known: dict[str, tuple[int, str]] = {}
    for event in project.ledger.events(kinds=["tracking.*"]):
        for id_, digest in event.data.get("runs", {}).items():
            known[id_] = (event.seq, digest)
    faults, seen = list[Fault](), set[str]()
    with project.database.reading() as connection:
        numbers = list(connection.execute(sa.select(RUNS.c.seq).order_by(RUNS.c.seq)).scalars())
        for start in range(0, len(numbers), AT_ONCE):
            rows = store.run_rows(connection, numbers[start : start + AT_ONCE])
            seen.update(row.id for row in rows)
            faults += _compared(connection, [row for row in rows if row.sealed is not None], known)
    faults += [
        Fault(where=f"run {id_}", what=f"is gone: event {seq} sealed it")
        for id_, (seq, _) in known.items()
        if id_ not in seen
    ]
    return faults


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
    """Some runs that have ended, or are deleted, and are not sealed; behind a number."""
    is_over = sa.or_(RUNS.c.status.in_(ENDED), RUNS.c.lifecycle == "deleted")
    query = sa.select(RUNS.c.seq, RUNS.c.id).where(RUNS.c.sealed.is_(None), RUNS.c.seq > after, is_over)
    with project.database.reading() as connection:
        return [(row.seq, row.id) for row in connection.execute(query.order_by(RUNS.c.seq).limit(AT_ONCE))]


class _NothingToSeal(Exception):
    """Somebody else sealed them meanwhile."""


def _seal(project: Project, runs: Sequence[int], kind: str, subject: str) -> int:
    try:
        with project.ledger.transaction(kind, subject=subject, actor=project.actor) as tx:
            store.lock_runs(tx.connection, runs)
            query = sa.select(RUNS.c.seq).where(RUNS.c.seq.in_(runs), RUNS.c.sealed.is_(None))
            left = list(tx.connection.execute(query).scalars())
            if not left:
                raise _NothingToSeal
            running = sa.select(RUNS.c.seq).where(RUNS.c.seq.in_(left), RUNS.c.status.not_in(ENDED))
            is_running = set(tx.connection.execute(running).scalars())
            fold_runs(tx.connection, [run for run in left if run not in is_running], ended=True)
            enter_seals(tx, left, ended=False)
    except _NothingToSeal:
        return 0
    return len(left)


def _enter_edges(tx: Transaction, rows: Sequence[store.RunRow]) -> None:
    refs = {row.seq: make_ref("run", row.id) for row in rows}
    for row in rows:
        for source in decode(row.circumstances, Circumstances, what="run").inputs:
            tx.edge(source, refs[row.seq], "used")
    for file in store.artifact_rows(tx.connection, list(refs.values())):
        tx.edge(file.owner, make_ref("blob", file.digest), f"logged {file.path}")
    for model in store.model_rows(tx.connection, list(refs)):
        ref, other = refs[model.run], make_ref("logged-model", model.model)
        tx.edge(*((other, ref, "used") if model.direction == "input" else (ref, other, "produced")))


def _compared(
    connection: Connection, rows: Sequence[store.RunRow], known: Mapping[str, tuple[int, str]]
) -> list[Fault]:
    try:
        found: Mapping[int, str] = _digests(connection, rows)
    except (BucleError, ValueError, OverflowError) as error:
        if len(rows) > 1:
            return [fault for row in rows for fault in _compared(connection, [row], known)]
        return [Fault(where=f"run {rows[0].id}", what=f"cannot be read: {error}")]
    faults = list[Fault]()
    for row in rows:
        seq, digest = known.get(row.id, (None, ""))
        if row.sealed != seq:
            told = "no event seals it" if seq is None else f"event {seq} sealed it"
            faults.append(Fault(where=f"run {row.id}", what=f"says event {row.sealed} sealed it, but {told}"))
        elif digest != found[row.seq]:
            faults.append(Fault(where=f"run {row.id}", what=f"was changed by hand after event {seq} sealed it"))
    return faults


def _digests(connection: Connection, rows: Sequence[store.RunRow]) -> dict[int, str]:
    """The digest of all that each run holds, however its curves are kept."""
    runs = [row.seq for row in rows]
    held: dict[int, dict[str, list[list[Any]]]] = {
        run: {"params": [], "tags": [], "metrics": [], "datasets": [], "models": [], "artifacts": []} for run in runs
    }
    texts = {
        name: store.texts_of(connection, table, runs) for name, table in (("params", RUN_PARAMS), ("tags", RUN_TAGS))
    }
    summaries = store.summaries_of(connection, runs)
    curves = curves_of(connection, runs)
    keys = {key for found in texts.values() for _, key, _, _ in found} | {row.key for row in summaries}
    names = store.names_by_number(connection, keys | {key for _, key in curves})
    for name, found in texts.items():
        for run, key, value, rest in found:
            held[run][name].append([names.get(key), joined(value, rest)])
    for row in summaries:
        points = curves.pop((row.run, row.key))
        held[row.run]["metrics"].append([names.get(row.key), *_told(row), *_points(points)])
    for (run, key), points in curves.items():  # curves without a summary: somebody took it away
        held[run]["metrics"].append([names.get(key), *_points(points)])
    for dataset in store.dataset_rows(connection, runs):
        held[dataset.run]["datasets"].append(list(dataset[1:]))
    for model in store.model_rows(connection, runs):
        held[model.run]["models"].append(list(model[1:]))
    owners: dict[str, int] = {make_ref("run", row.id): row.seq for row in rows}
    for file in store.artifact_rows(connection, list(owners)):
        held[owners[file.owner]]["artifacts"].append([file.path, file.digest, file.size])
    return {row.seq: digest_of_value([_row(row), _in_order(held[row.seq])]) for row in rows}


def _row(row: store.RunRow) -> list[Any]:
    return [getattr(row, column.name) for column in RUNS.c if column.name not in ("seq", "sealed")]


def _in_order(held: Mapping[str, list[list[Any]]]) -> dict[str, list[list[Any]]]:
    return {name: sorted(rows, key=lambda one: [str(cell) for cell in one[:2]]) for name, rows in held.items()}


def _told(row: store.SummaryRow) -> list[Any]:
    """A metric's summary; a least value that is not told is the last one."""
    least, greatest = (row.value if one is None else one for one in (row.least, row.greatest))
    least_step, greatest_step = (row.step if one is None else one for one in (row.least_step, row.greatest_step))
    numbers = [_exact(one) for one in (row.value, least, greatest)]
    return [row.experiment, row.step, row.at, least_step, greatest_step, *numbers]


def _points(points: Points) -> list[Any]:
    if points.count == 1:
        return [1, int(points.steps[0]), int(points.at[0]), _exact(float(points.values[0]))]
    body = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in points)
    return [points.count, digest_of(body)]


def _exact(value: float | None) -> str:
    """A number bit for bit; JSON has no infinity and nothing that is not a number."""
    return "nan" if value is None or math.isnan(value) else float(value).hex()
