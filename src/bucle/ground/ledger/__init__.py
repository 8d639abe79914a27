"""The one ledger: events in a tamper-evident log, and the lineage between everything."""

from bucle.ground.ledger.anchor import Anchor
from bucle.ground.ledger.errors import AlreadyDone, LogDamaged, NoSuchEvent, RowMissing
from bucle.ground.ledger.event import Edge, Event, StateChange
from bucle.ground.ledger.ledger import Ledger, Transaction
from bucle.ground.ledger.verify import Fault, LogReport, verify_log

__all__ = [
    "AlreadyDone",
    "Anchor",
    "Edge",
    "Event",
    "Fault",
    "Ledger",
    "LogDamaged",
    "LogReport",
    "NoSuchEvent",
    "RowMissing",
    "StateChange",
    "Transaction",
    "verify_log",
]
