"""Verification: is the log whole, and does the state say what the log says?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import BucleError, Record
from bucle.ground.ledger.anchor import Anchor
from bucle.ground.ledger.event import Edge, Event, entry_of
from bucle.ground.ledger.ledger import event_of_row, row_digest, row_key
from bucle.ground.ledger.merkle import EMPTY_ROOT, Frontier, leaf_hash
from bucle.ground.ledger.tables import EDGES, EVENTS, HEAD
from bucle.ground.store import METADATA, SCHEMA_VERSION, Database, DatabaseFailed

__all__ = ["Fault", "LogReport", "verify_log"]


class Fault(Record, frozen=True):
    """Something that is not as it was written.

    Attributes:
        where: `event 17`, `row model_versions ["flights",3]`, `database page …`, `blob 9a0b…`, a file.
        what: what is wrong with it.
    """

    where: str
    what: str


class LogReport(Record, frozen=True):
    """What a verification found.

    Attributes:
        size: entries read.
        root: the Merkle root over them, hexadecimal: note it elsewhere and compare later.
        rows: rows of state compared with what the log says of them.
        faults: what is wrong, the first bad entry first; empty when all is well.
    """

    size: int
    root: str
    rows: int
    faults: tuple[Fault, ...]


def verify_log(database: Database, anchor: Anchor) -> LogReport:
    """Read the whole log, recompute every hash, and compare every row of state with the log.

    Every room's `tables` must have been imported, since only known tables are compared.

    Returns:
        The report; a damaged log is a finding, not an error.
    Raises:
        DatabaseFailed: a PostgreSQL server does not answer.
    Cost: one read of `events`, `edges` and all state.
    """
    anchored = anchor.roots()  # before the database's snapshot: what is written meanwhile must not seem to be gone
    try:
        with database.reading() as connection:
            return _verified(database, connection, anchored)
    except DatabaseFailed as error:
        if not database.is_sqlite:
            raise  # a server that does not answer says nothing about the log
        return _unreadable(error, [])


def _verified(database: Database, connection: Connection, anchored: list[bytes | None]) -> LogReport:
    faults = list(_integrity(database, connection))
    try:
        frontier, events, found = _read_log(connection, anchored)
        rows, wrong = _compare_state(connection, events)
    except sa.exc.OperationalError as error:
        if not database.is_sqlite:
            raise
        return _unreadable(error, faults)
    except (sa.exc.DatabaseError, BucleError, msgspec.MsgspecError, ValueError, OverflowError) as error:
        return _unreadable(error, faults)
    faults = found + wrong + faults
    return LogReport(size=frontier.size, root=frontier.root().hex(), rows=rows, faults=tuple(faults))


def _unreadable(error: Exception, faults: list[Fault]) -> LogReport:
    faults = [*faults, Fault(where="database", what=f"cannot be read through: {error}")]
    return LogReport(size=0, root=EMPTY_ROOT.hex(), rows=0, faults=tuple(faults))


def _integrity(database: Database, connection: Connection) -> Iterator[Fault]:
    version = database.schema_version()
    if version != SCHEMA_VERSION:
        yield Fault(where="schema version", what=f"is {version}, this Bucle made {SCHEMA_VERSION}")
    if not database.is_sqlite:
        return
    try:
        lines = [str(line) for line in connection.exec_driver_sql("PRAGMA integrity_check").scalars()]
    except sa.exc.DatabaseError as error:
        lines = [str(error.orig)]
    for line in lines:
        if line != "ok":
            yield Fault(where="database file", what=line)


def _read_log(connection: Connection, anchored: list[bytes | None]) -> tuple[Frontier, list[Event], list[Fault]]:
    edges = defaultdict[int, list[Edge]](list)
    for row in connection.execute(sa.select(EDGES)):
        edges[row.seq].append(Edge(source=row.source, target=row.target, kind=row.kind))
    frontier, events = Frontier(), list[Event]()
    faults = list[Fault]()
    for row in connection.execute(sa.select(EVENTS).order_by(EVENTS.c.seq)):
        event = _event_or_fault(row, faults)
        fault = None
        if row.seq != frontier.size and not faults:
            fault = f"is gone: the log goes on with event {row.seq}"
            faults.append(Fault(where=f"event {frontier.size}", what=fault))
        if event is None:
            continue
        events.append(event)
        leaf = leaf_hash(entry_of(event, edges.pop(event.seq, [])))
        frontier.append(leaf)
        if not faults:
            faults.extend(_check_entry(event, leaf, frontier, anchored))
    faults.extend(_check_end(connection, frontier, anchored, faults))
    faults.extend(Fault(where=f"edges of event {seq}", what="belong to no event") for seq in sorted(edges))
    return frontier, events, faults


def _event_or_fault(row: sa.Row[tuple[object, ...]], faults: list[Fault]) -> Event | None:
    try:
        return event_of_row(row)
    except (BucleError, msgspec.MsgspecError, ValueError, OverflowError) as error:
        faults.append(Fault(where=f"event {row.seq}", what=f"cannot be read: {error}"))
        return None


def _check_entry(event: Event, leaf: bytes, frontier: Frontier, anchored: list[bytes | None]) -> Iterator[Fault]:
    where = f"event {event.seq}"
    root = frontier.root()
    known = anchored[event.seq] if event.seq < len(anchored) else None
    if leaf.hex() != event.leaf:
        yield Fault(where=where, what=f"{event.kind} of {event.subject} was changed after it was written")
    elif root.hex() != event.root:
        yield Fault(where=where, what="does not follow from the entries before it: one was changed or reordered")
    elif known is not None and known != root:
        yield Fault(where=where, what="contradicts the anchor outside the database: the log was rewritten from here on")


def _check_end(
    connection: Connection, frontier: Frontier, anchored: list[bytes | None], faults: list[Fault]
) -> Iterator[Fault]:
    head = connection.execute(sa.select(HEAD)).one_or_none()
    size = head.size if head is not None else 0
    if faults:
        return
    if max(size, len(anchored)) > frontier.size:
        yield Fault(
            where=f"event {frontier.size}", what=f"is gone: the log once had {max(size, len(anchored))} entries"
        )
    elif size != frontier.size or head is None or head.peaks != _peaks_text(frontier):
        yield Fault(where="ledger head", what="does not belong to this log")


def _peaks_text(frontier: Frontier) -> str:
    return msgspec.json.encode([peak.hex() for peak in frontier.peaks]).decode()


def _compare_state(connection: Connection, events: list[Event]) -> tuple[int, list[Fault]]:
    expected = dict[str, dict[str, tuple[str | None, int]]]()
    for event in events:
        for change in event.state:
            expected.setdefault(change.table, {})[change.key] = (change.digest, event.seq)
    rows, faults = 0, list[Fault]()
    for table in METADATA.sorted_tables:
        if table.info.get("volatile") or table.info.get("ledger"):
            continue
        written = expected.pop(table.name, {})
        for row in connection.execute(sa.select(table)):
            rows += 1
            digest, seq = written.pop(row_key(table, row), (None, -1))
            if digest != row_digest(table, row):
                faults.append(_row_fault(table.name, row_key(table, row), seq, digest))
        faults.extend(
            Fault(where=f"row {table.name} {key}", what=f"is gone: event {seq} wrote it")
            for key, (digest, seq) in written.items()
            if digest is not None
        )
    return rows, faults


def _row_fault(table: str, key: str, seq: int, digest: str | None) -> Fault:
    if digest is None:
        return Fault(where=f"row {table} {key}", what="stands in no event: it was added or brought back by hand")
    return Fault(where=f"row {table} {key}", what=f"was changed by hand after event {seq} wrote it")
