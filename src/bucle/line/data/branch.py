"""Branch: a name for a commit that moves on."""

from __future__ import annotations

from datetime import datetime

from bucle.ground.core import Record

__all__ = ["INGEST", "MAIN", "Branch"]

MAIN = "main"
"""The branch readers read unless told otherwise; it is always there."""

INGEST = "ingest-"
"""How the branch of a landing starts; it is gone once the batch was published or refused."""


class Branch(Record, frozen=True):
    """A name for a commit that moves on.

    Attributes:
        name: what it is called.
        head: the commit it stands at; '' before the first.
        at: when it last moved; None when it never did.
        actor: who moved it.
    """

    name: str
    head: str
    at: datetime | None
    actor: str
