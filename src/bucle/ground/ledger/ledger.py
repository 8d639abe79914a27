"""The ledger: every change is one transaction of state, lineage and exactly one event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.core import Clock, decode, digest_of_value, encode
from bucle.ground.ledger.anchor import Anchor
from bucle.ground.ledger.errors import AlreadyDone, RowMissing
from bucle.ground.ledger.event import Edge, Event, StateChange, entry_of
from bucle.ground.ledger.merkle import Frontier, leaf_hash
from bucle.ground.ledger.tables import EDGES, EVENTS, HEAD
from bucle.ground.store import Database, Work

__all__ = ["Ledger", "Transaction", "event_of_row", "row_digest", "row_key"]

_LOCK_HEAD = sa.select(HEAD).with_for_update()
_MOVE_HEAD = sa.update(HEAD).values(size=sa.bindparam("to_size"), peaks=sa.bindparam("to_peaks"))
_ADD_EVENT, _ADD_EDGES = sa.insert(EVENTS), sa.insert(EDGES)


class Transaction:
    """The inside of `Ledger.transaction`: what is written here is kept together or not at all.

    Attributes:
        connection: for reading within the transaction, and for writing volatile tables.
        seq: the number its event will have.
        data: what the event will say besides; fill it before the block ends.
    """

    def __init__(self, connection: Connection, data: Mapping[str, Any], seq: int) -> None:
        self.connection = connection
        self.seq = seq
        self.data: dict[str, Any] = dict(data)
        self.edges: set[tuple[str, str, str]] = set()
        self._changes: dict[tuple[str, str], str | None] = {}

    def insert(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Add a row of state."""
        self._note(table, self.connection.execute(_inserting(table), dict(row)).one())

    def update(self, table: sa.Table, key: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Change the row with this primary key.

        Raises:
            RowMissing: there is none.
        """
        written = self._updated(table, key, changes)
        if written is None:
            raise _row_missing(table, key)
        # A changed primary key moves the row: nothing is left under the old one.
        before = {**written._mapping, **{name: value for name, value in key.items() if name in changes}}
        self._changes[str(table.name), _key_text(table, before)] = None
        self._note(table, written)

    def put(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Insert a row, or replace the one with the same primary key."""
        key = {column.name: row[column.name] for column in table.primary_key}
        changes = {name: value for name, value in row.items() if name not in key}
        if not changes:
            if self.connection.execute(_finding(table), _named(key)).first() is None:
                self.insert(table, row)
            return
        written = self._updated(table, key, changes)
        if written is None:
            self.insert(table, row)
        else:
            self._note(table, written)

    def delete(self, table: sa.Table, key: Mapping[str, Any]) -> None:
        """Remove the row with this primary key.

        Raises:
            RowMissing: there is none.
        """
        gone = self.connection.execute(_deleting(table), _named(key)).one_or_none()
        if gone is None:
            raise _row_missing(table, key)
        self._changes[str(table.name), row_key(table, gone)] = None

    def update_all(self, table: sa.Table, matching: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
        """Change every row with these values, in one statement; how many there were."""
        statement = sa.update(table).where(*_equal(table, matching)).values(**changes).returning(*table.c)
        rows = self.connection.execute(statement).all()
        moved = {name: value for name, value in matching.items() if name in changes and name in table.primary_key}
        for row in rows:
            if moved:
                self._changes[str(table.name), _key_text(table, {**row._mapping, **moved})] = None
            self._note(table, row)
        return len(rows)

    def delete_all(self, table: sa.Table, matching: Mapping[str, Any]) -> int:
        """Remove every row with these values, in one statement; how many there were."""
        rows = self.connection.execute(sa.delete(table).where(*_equal(table, matching)).returning(*table.c)).all()
        for row in rows:
            self._changes[str(table.name), row_key(table, row)] = None
        return len(rows)

    def edge(self, source: str, target: str, kind: str) -> None:
        """Note that `target` came from `source`."""
        self.edges.add((source, target, kind))

    def changes(self) -> tuple[StateChange, ...]:
        """The rows written so far with their digests."""
        return tuple(StateChange(table=t, key=k, digest=d) for (t, k), d in sorted(self._changes.items()))

    def _updated(self, table: sa.Table, key: Mapping[str, Any], changes: Mapping[str, Any]) -> Row[Any] | None:
        given = {**_named(key), **{f"to_{name}": value for name, value in changes.items()}}
        return self.connection.execute(_updating(table, tuple(changes)), given).one_or_none()

    def _note(self, table: sa.Table, written: Row[Any]) -> None:
        self._changes[str(table.name), row_key(table, written)] = row_digest(table, written)


class Ledger:
    """The log of everything that happened and the lineage of everything there is.

    Args:
        database: migrated.
        clock: tells when an event happened.
        anchor: where the roots are kept a second time, outside the database.
    """

    def __init__(self, database: Database, clock: Clock, anchor: Anchor) -> None:
        self._database = database
        self._clock = clock
        self._anchor = anchor

    @contextmanager
    def transaction(
        self,
        kind: str,
        *,
        subject: str,
        actor: str,
        reason: str = "",
        key: str | None = None,
        data: Mapping[str, Any] | None = None,
        first: Work[object] | None = None,
    ) -> Iterator[Transaction]:
        """Make a change: state, edges and one event, all or nothing.

        Args:
            kind: `room.verb_in_the_past`.
            subject: the ref the event is about.
            actor: who does it.
            reason: why, for people.
            key: an idempotency key; give one wherever a crash may lead to a second attempt.
            data: plain values the event carries; more can be added to `Transaction.data`.
            first: what to do in the same transaction before the log is locked. Who locks rows of volatile tables does
                so here, as group commits do that add an event of their own (`append`): then nobody waits in a ring.
        Raises:
            AlreadyDone: an event with this key exists; the block did not run.
            DatabaseFailed: nothing was kept.
        """
        with self._database.writing() as connection:
            if first is not None:
                first(connection)
            head = connection.execute(_LOCK_HEAD).one()
            if key is not None and connection.execute(sa.select(EVENTS.c.seq).where(EVENTS.c.key == key)).first():
                raise AlreadyDone(f"{key!r} was done before.", why="The ledger holds its event.", fix="Nothing to do.")
            transaction = Transaction(connection, data or {}, head.size)
            yield transaction
            event = _append(
                connection,
                _frontier(head),
                transaction,
                {
                    "seq": head.size,
                    "at": self._clock.now(),
                    "actor": actor,
                    "kind": kind,
                    "subject": subject,
                    "reason": reason,
                    "key": key,
                },
            )
        self._anchor.note(event.seq, bytes.fromhex(event.root))

    def append(
        self,
        connection: Connection,
        kind: str,
        *,
        subject: str,
        actor: str,
        reason: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """Add an event to a write that was begun elsewhere, e.g. a group commit: kept with it or not at all.

        The log is locked until that write ends. The event's own root is not anchored, since a group commit may not be
        on the disk yet; the root of the next transaction covers it.

        Args:
            connection: of that write; not of a `transaction`.
            kind, subject, actor, reason, data: as of `transaction`.
        Returns:
            The event's number.
        """
        head = connection.execute(_LOCK_HEAD).one()
        fields = {"seq": head.size, "at": self._clock.now(), "actor": actor, "kind": kind, "subject": subject}
        made = Transaction(connection, data or {}, head.size)
        return _append(connection, _frontier(head), made, {**fields, "reason": reason, "key": None}).seq

    def record(self, kind: str, **kwargs: Any) -> None:
        """An event that changes no state; arguments as for `transaction`."""
        with self.transaction(kind, **kwargs):
            pass

    def find(self, key: str) -> Event | None:
        """The event with an idempotency key, or None."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(EVENTS).where(EVENTS.c.key == key)).one_or_none()
        return None if row is None else event_of_row(row)

    def find_below(self, prefix: str) -> Event | None:
        """The first event whose idempotency key is a prefix and a digest behind it, or None."""
        below = EVENTS.c.key.between(f"{prefix}{'0' * 64}", f"{prefix}{'f' * 64}")
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(EVENTS).where(below).order_by(EVENTS.c.seq)).all()
        # Some databases leave out punctuation when they compare texts.
        return next((event_of_row(row) for row in rows if row.key.startswith(prefix)), None)

    def events(
        self,
        *,
        kinds: Sequence[str] = (),
        subject: str | None = None,
        after: int = -1,
        limit: int | None = None,
        newest_first: bool = False,
        connection: Connection | None = None,
    ) -> list[Event]:
        """Events in order.

        Args:
            kinds: only these; `data.*` means all of a room; empty means every kind.
            subject: only about this ref; `model/flights@*` means all that begin so.
            after: only with a greater `seq`.
            limit: at most so many.
            newest_first: from the end.
            connection: to read by, when the events must be of one view with something else.
        """
        query = sa.select(EVENTS).where(EVENTS.c.seq > after)
        if kinds:
            query = query.where(sa.or_(*(_of_kind(kind) for kind in kinds)))
        if subject is not None:
            query = query.where(_about(subject))
        query = query.order_by(EVENTS.c.seq.desc() if newest_first else EVENTS.c.seq).limit(limit)
        with self._database.reading() if connection is None else nullcontext(connection) as reading:
            return [event_of_row(row) for row in reading.execute(query)]

    def newest(self, connection: Connection, kind: str, subjects: Sequence[str]) -> dict[str, int]:
        """The number of the last event of a kind about each of some refs; those that have none are left out."""
        last = sa.select(EVENTS.c.subject, sa.func.max(EVENTS.c.seq)).group_by(EVENTS.c.subject)
        rows = connection.execute(last.where(EVENTS.c.subject.in_(subjects), EVENTS.c.kind == kind))
        return {row[0]: row[1] for row in rows}

    def size(self) -> int:
        """How many events there are."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(HEAD.c.size)).scalar_one())

    def edges_of(self, refs: Sequence[str], *, upstream: bool) -> list[Edge]:
        """The edges that lead to (upstream) or from (downstream) these refs."""
        column = EDGES.c.target if upstream else EDGES.c.source
        query = sa.select(EDGES.c.source, EDGES.c.target, EDGES.c.kind).where(column.in_(refs)).distinct()
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(EDGES.c.source, EDGES.c.target, EDGES.c.kind))
            return [Edge(source=row.source, target=row.target, kind=row.kind) for row in rows]

    def lineage(self, ref: str, *, upstream: bool = True, depth: int = 12) -> list[Edge]:
        """All edges within `depth` steps of a ref, nearest first, each once."""
        seen, found, frontier = {ref}, dict[tuple[str, str, str], Edge](), [ref]
        for _ in range(depth):
            edges = self.edges_of(frontier, upstream=upstream)
            found.update({(edge.source, edge.target, edge.kind): edge for edge in edges})
            reached = {edge.source if upstream else edge.target for edge in edges} - seen
            if not reached:
                break
            seen |= reached
            frontier = sorted(reached)
        return list(found.values())


def row_key(table: sa.Table, row: Row[Any]) -> str:
    """A row's primary key as canonical JSON."""
    return _key_text(table, row._mapping)


def row_digest(table: sa.Table, row: Row[Any]) -> str:
    """The digest of all columns of a row."""
    return digest_of_value({column.name: _plain(column, row._mapping[column.name]) for column in table.c})


def _plain(column: sa.Column[Any], value: Any) -> Any:
    # SQLite gives a whole number back as an integer from RETURNING and as a float from SELECT.
    return float(value) if isinstance(column.type, sa.Float) and value is not None else value


def event_of_row(row: Row[Any]) -> Event:
    """The event a row of `events` holds."""
    state = decode(row.state, list[tuple[str, str, str | None]], what="ledger event")
    return Event(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        kind=row.kind,
        subject=row.subject,
        reason=row.reason,
        key=row.key,
        data=decode(row.data, dict[str, Any], what="ledger event"),
        state=tuple(StateChange(table=table, key=key, digest=digest) for table, key, digest in state),
        leaf=row.leaf,
        root=row.root,
    )


def _frontier(head: Row[Any]) -> Frontier:
    return Frontier(head.size, (bytes.fromhex(peak) for peak in decode(head.peaks, list[str])))


def _append(connection: Connection, frontier: Frontier, made: Transaction, fields: Mapping[str, Any]) -> Event:
    edges = [Edge(source=source, target=target, kind=kind) for source, target, kind in sorted(made.edges)]
    data = decode(encode(made.data), dict[str, Any])
    event = Event(**fields, data=data, state=made.changes(), leaf="", root="")
    leaf = leaf_hash(entry_of(event, edges))
    frontier.append(leaf)
    row = {
        **fields,
        "data": encode(data).decode(),
        "state": encode([[change.table, change.key, change.digest] for change in event.state]).decode(),
        "leaf": leaf.hex(),
        "root": frontier.root().hex(),
    }
    connection.execute(_ADD_EVENT, row)
    if edges:
        connection.execute(
            _ADD_EDGES,
            [{"seq": event.seq, "source": edge.source, "target": edge.target, "kind": edge.kind} for edge in edges],
        )
    peaks = encode([peak.hex() for peak in frontier.peaks]).decode()
    connection.execute(_MOVE_HEAD, {"to_size": frontier.size, "to_peaks": peaks})
    return Event(**fields, data=data, state=event.state, leaf=row["leaf"], root=row["root"])


def _row_missing(table: sa.Table, key: Mapping[str, Any]) -> RowMissing:
    return RowMissing(f"Table {table.name} has no row {dict(key)}.", fix="Look whether it was removed meanwhile.")


def _of_kind(kind: str) -> sa.ColumnElement[bool]:
    return EVENTS.c.kind.startswith(kind[:-1], autoescape=True) if kind.endswith("*") else EVENTS.c.kind == kind


def _about(subject: str) -> sa.ColumnElement[bool]:
    if subject.endswith("*"):
        return EVENTS.c.subject.startswith(subject[:-1], autoescape=True)
    return EVENTS.c.subject == subject


# SQLAlchemy takes longer to put a statement together than SQLite to run it: those of one row are kept.


@lru_cache
def _inserting(table: sa.Table) -> sa.Executable:
    return sa.insert(table).returning(*table.c)


@lru_cache
def _updating(table: sa.Table, changed: tuple[str, ...]) -> sa.Executable:
    values: dict[str, Any] = {name: sa.bindparam(f"to_{name}") for name in changed}
    return sa.update(table).where(*_matches(table)).values(values).returning(*table.c)


@lru_cache
def _finding(table: sa.Table) -> sa.Executable:
    return sa.select(sa.literal(1)).where(*_matches(table))


@lru_cache
def _deleting(table: sa.Table) -> sa.Executable:
    return sa.delete(table).where(*_matches(table)).returning(*table.c)


def _matches(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [column == sa.bindparam(f"key_{column.name}") for column in table.primary_key]


def _named(key: Mapping[str, Any]) -> dict[str, Any]:
    return {f"key_{name}": value for name, value in key.items()}


def _equal(table: sa.Table, values: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in values.items()]


def _key_text(table: sa.Table, row: Mapping[Any, Any]) -> str:
    return encode([row[column.name] for column in table.primary_key]).decode()
