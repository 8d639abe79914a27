"""Guard: what later rooms have against a change. It is asked within the change's own transaction, before it is written.

So nothing can come between the answer and the change: whoever else writes waits until the transaction is over.
"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.engine import Connection

from bucle.line.registry.errors import ModelInUse

__all__ = ["UNGUARDED", "Guard", "check_unused"]


class Guard(Protocol):
    """Says no by raising an error; what it reads, it reads over the connection it is given."""

    def alias(self, connection: Connection, model: str, alias: str, number: int | None) -> None:
        """An alias is to name another version; with None, no version any more."""
        ...

    def stage(self, connection: Connection, model: str, number: int | None, to: str) -> None:
        """A version, or with None every version of a model, is to go to another stage."""
        ...

    def removal(self, connection: Connection, model: str, number: int | None) -> None:
        """A version, or with None a whole model, is to go, or to be called otherwise."""
        ...


class _Unguarded:
    """Has nothing against anything."""

    def alias(self, connection: Connection, model: str, alias: str, number: int | None) -> None:
        """Yes."""

    def stage(self, connection: Connection, model: str, number: int | None, to: str) -> None:
        """Yes."""

    def removal(self, connection: Connection, model: str, number: int | None) -> None:
        """Yes."""


UNGUARDED: Guard = _Unguarded()


def check_unused(why: str, model: str, number: int | None) -> None:
    """Refuse when there is a reason to, e.g. that a version answers traffic.

    Raises:
        ModelInUse: `why` is not empty.
    """
    if why:
        name = model if number is None else f"{model}@{number}"
        raise ModelInUse(
            f"{name} is in use.",
            why=why,
            fix=f"Give the traffic to another version first: bucle deploy roll ENDPOINT {model}@VERSION",
            at=name,
        )
