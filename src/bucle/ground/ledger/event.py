"""Event: the one kind of thing the ledger holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bucle.ground.core import Record, encode

__all__ = ["Edge", "Event", "StateChange", "entry_of"]


class Edge(Record, frozen=True):
    """Lineage: `target` came from `source`.

    Attributes:
        source: the ref it came from.
        target: the ref that came of it.
        kind: how: `trained_on`, `built_from`, `judged`, `serves`, …
    """

    source: str
    target: str
    kind: str


class StateChange(Record, frozen=True):
    """What a transaction did to one row of state.

    Attributes:
        table: the table.
        key: the row's primary key, as canonical JSON.
        digest: of the whole row afterwards; None when it was deleted.
    """

    table: str
    key: str
    digest: str | None


class Event(Record, frozen=True):
    """Something that happened, once and for ever.

    Attributes:
        seq: its place in the log, from 0, without gaps.
        at: when, in UTC.
        actor: who: a person, `loop`, `policy:…`.
        kind: what: `room.verb_in_the_past`, e.g. `data.committed`.
        subject: the ref it is about.
        reason: why, in the actor's words.
        key: an idempotency key; at most one event bears it.
        data: what else is to be known.
        state: the rows of state this event's transaction wrote.
        leaf: SHA-256 of the entry, hexadecimal.
        root: the Merkle root of the log up to and with this entry, hexadecimal.
    """

    seq: int
    at: datetime
    actor: str
    kind: str
    subject: str
    reason: str
    key: str | None
    data: dict[str, Any]
    state: tuple[StateChange, ...]
    leaf: str
    root: str


def entry_of(event: Event, edges: list[Edge]) -> bytes:
    """The bytes that the log's hash covers: all of the event but its hashes, and its edges."""
    return encode(
        {
            "seq": event.seq,
            "at": event.at,
            "actor": event.actor,
            "kind": event.kind,
            "subject": event.subject,
            "reason": event.reason,
            "key": event.key,
            "data": event.data,
            "state": [[change.table, change.key, change.digest] for change in event.state],
            "edges": sorted([edge.source, edge.target, edge.kind] for edge in edges),
        }
    )
